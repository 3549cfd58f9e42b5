"""Floor 1: where executions are kept. One protocol (`base`), one implementation per folder entry, SQL in `sql/`."""
