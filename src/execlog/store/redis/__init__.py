"""Executions in Redis or Valkey: jobs in the keys their clients know, the other kinds in the same scheme."""
