"""Executions as files, one each, beside an index that spares reading them."""
