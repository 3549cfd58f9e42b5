"""The one shape of an error: a problem document (RFC 9457), `application/problem+json`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from msgspec import Struct

from execlog.core.errors import (
    ConflictError,
    CursorError,
    ForbiddenError,
    InvalidError,
    JournalError,
    MissingExtraError,
    NotFoundError,
    StoreError,
    UnsupportedError,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"Retry-After": "5"}
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
_NAMED = re.compile(r"field `([^`]+)`")
_TITLES = {
    400: "This request cannot be read",
    401: "Say who you are",
    403: "You may not do this",
    404: "There is no such thing here",
    405: "Not with this method",
    408: "The request took too long to arrive",
    409: "It is in another state",
    413: "Too large",
    414: "The address is too long",
    415: "Not in this format",
    421: "Not under this host name",
    422: "The input does not fit",
    429: "Too many requests",
    500: "Something broke here",
    501: "Not possible with this store or installation",
    503: "Not able to answer right now",
}
_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (CursorError, 400),
    (ForbiddenError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (UnsupportedError, 501),
    (MissingExtraError, 501),
    (StoreError, 503),
    (JournalError, 503),
)


class FieldError(Struct, frozen=True, omit_defaults=True):
    """What is wrong with one part of the input; `line` counts from 1 in a batch."""

    message: str
    field: str | None = None
    line: int | None = None


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was not answered as it was asked.

    type      stays the same for the same kind of problem
    field     which part of the input is wrong, where one is
    errors    one entry per wrong part, where there may be several
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    field: str | None = None
    errors: tuple[FieldError, ...] = ()


class ProblemError(Exception):
    """Raised by a handler or the framework to answer with this problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        errors: tuple[FieldError, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.field = field
        self.headers = dict(headers or {})
        self.errors = errors


def as_problem(error: Exception) -> ProblemError | None:
    """The problem an error means to the client; None for one nobody expected."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, InvalidError | msgspec.ValidationError) and not isinstance(error, CursorError):
        return invalid(str(error), field=getattr(error, "field", None))
    for known, status in _STATUSES:
        if isinstance(error, known):
            again = status == 503 and getattr(error, "retry", True)  # noqa: PLR2004 - Service Unavailable
            field = getattr(error, "field", None)
            return ProblemError(status, str(error), field=field, headers=RETRY_AFTER if again else None)
    return None


def invalid(message: str, *, field: str | None = None) -> ProblemError:
    """A 422, the field taken out of msgspec's message where it names one."""
    place = _PLACE.search(message)
    named = _NAMED.search(message)
    if field is None and place is not None:
        field, message = place[1] or None, message[: place.start()]
    elif field is None and named is not None:
        field = named[1]
    return ProblemError(422, f"{field}: {message}" if place and field else message, field=field)


def document(error: ProblemError, instance: str) -> Problem:
    """The document that is sent."""
    title = _TITLES.get(error.status) or HTTPStatus(error.status).phrase
    slug = HTTPStatus(error.status).phrase.lower().replace(" ", "-")
    return Problem(
        type=f"urn:execlog:problem:{slug}",
        title=title,
        status=error.status,
        detail=str(error),
        instance=instance,
        field=error.field,
        errors=error.errors,
    )
