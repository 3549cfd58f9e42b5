"""What queries run on: one small protocol (`base`), one module per kind of database."""
