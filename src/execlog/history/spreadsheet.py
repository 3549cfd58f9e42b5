"""Texts in cells of a CSV file, as a spreadsheet takes them: as texts, never as formulas."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are the first as East Asian keyboards write them, which Excel takes for them."""


def text_cell(text: str) -> str:
    """The text; with an apostrophe before it where a spreadsheet would run it as a formula (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(_FORMULA) else text
