"""Which release this is."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def release() -> str:
    """The installed version; "0" in a source tree that is not installed."""
    try:
        return version("execlog")
    except PackageNotFoundError:
        return "0"
