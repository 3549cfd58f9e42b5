"""Execution history for Python: record, keep and read what ran."""
