"""The exit codes, and which error ends with which."""

from __future__ import annotations

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
UNREACHABLE = 4
PARTIAL = 6
TIMED_OUT = 124
NOT_EXECUTABLE = 126
NOT_INSTALLED = 127
SIGNALLED = 128
"""Plus the signal's number."""
INTERRUPTED = 130

MEANINGS: dict[int, str] = {
    OK: "it went well",
    FAILED: "it failed, or what was run failed",
    USAGE: "the command line or a setting is wrong",
    NOT_FOUND: "there is no such execution, job or alert",
    UNREACHABLE: "the store could not be reached or could not answer",
    PARTIAL: "some of it worked and some did not",
    INTERRUPTED: "stopped with Ctrl-C",
}


def code_of(error: Exception) -> int:
    """The exit code an error of execlog's own ends with."""
    from execlog.core import errors

    if isinstance(error, errors.UnsupportedError) and error.capability == "store":
        return USAGE  # a URL no store answers to
    table: tuple[tuple[type[Exception], int], ...] = (
        (errors.InvalidError, USAGE),
        (errors.SettingsError, USAGE),
        (errors.NotFoundError, NOT_FOUND),
        (errors.StoreError, UNREACHABLE),
    )
    return next((code for type_, code in table if isinstance(error, type_)), FAILED)
