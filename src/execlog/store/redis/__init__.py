"""Executions in Redis or Valkey: jobs in section A's own keys, the other kinds in the same scheme under a prefix."""
