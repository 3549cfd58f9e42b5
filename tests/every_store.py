"""The stores that tests of the families run over, each by the name `new_store_url` knows."""

from __future__ import annotations

import pytest

EVERY_STORE = [
    "memory",
    "sqlite",
    "files",
    pytest.param("redis", marks=pytest.mark.valkey),
    pytest.param("postgres", marks=pytest.mark.postgres),
]
