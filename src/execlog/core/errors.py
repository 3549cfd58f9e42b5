"""The error tree of execlog.

ExeclogError                 anything execlog raises on purpose
├── InvalidError             the caller's input is wrong: `field` names it, the message says what to do (HTTP 422)
│   └── CursorError          a page cursor that is not ours, or of another question (HTTP 400)
├── NotFoundError            there is no such execution, job or item (HTTP 404)
├── ForbiddenError           the caller is known and may not do this (HTTP 403)
├── ConflictError            the thing changed under the caller, or is in another state (HTTP 409)
├── UnsupportedError         this store or installation cannot do that: `capability` names it (HTTP 501)
├── MissingExtraError        an optional dependency is not installed: `extra` names it
├── SettingsError            a setting cannot be used
├── CodecError               bytes that are not a record of ours, or of a newer version
├── JournalError             the journal cannot take or give a record
└── StoreError               the store could not answer; `retry` says whether trying again can help (HTTP 503)
"""

from __future__ import annotations


class ExeclogError(Exception):
    """Anything execlog raises on purpose."""


class InvalidError(ExeclogError):
    """The caller's input is wrong; `field` names the part that is."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class CursorError(InvalidError):
    """A page cursor that was not made by this question."""


class NotFoundError(ExeclogError):
    """There is no such thing here."""


class ForbiddenError(ExeclogError):
    """The caller is known, and may not do this."""


class ConflictError(ExeclogError):
    """The thing changed under the caller, or is in a state that does not allow this."""


class UnsupportedError(ExeclogError):
    """The store or installation cannot do that; `capability` names what is missing."""

    def __init__(self, message: str, *, capability: str) -> None:
        super().__init__(message)
        self.capability = capability


class MissingExtraError(ExeclogError):
    """An optional dependency is not installed; the message says which extra brings it."""

    def __init__(self, extra: str, *, needed_for: str) -> None:
        super().__init__(f"{needed_for} needs an optional dependency: pip install 'execlog[{extra}]'")
        self.extra = extra


class SettingsError(ExeclogError):
    """A setting cannot be used."""


class CodecError(ExeclogError):
    """Bytes that are not a record of ours, or of a version newer than this code."""


class JournalError(ExeclogError):
    """The journal cannot take or give a record."""


class StoreError(ExeclogError):
    """The store could not answer; `retry` says whether trying again can help."""

    def __init__(self, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry
