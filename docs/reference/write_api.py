"""Writes docs/reference/api.md out of the route table: `python docs/reference/write_api.py`."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from execlog.cli.families import open_families
from execlog.ledger import Ledger
from execlog.web.app import create_app
from execlog.web.manual import operations
from execlog.web.reference import markdown

PAGE = Path(__file__).with_name("api.md")


def write() -> str:
    """The page as it should be now."""
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        ledger = stack.enter_context(Ledger.open("memory://", home=home))
        kinds, _ = stack.enter_context(open_families(ledger, schedule=False))
        return markdown(operations(create_app(ledger, kinds).state.table.routes))


if __name__ == "__main__":
    PAGE.write_text(write())
