"""The API as a page of the documentation: Markdown, made of the same rows as everything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from execlog.web.manual import Line, Operation, sections

_HEAD = """# HTTP API

This page is written by `python docs/reference/write_api.py`, out of the table that also makes the routes, their
validation, the OpenAPI document (`/openapi.json`) and the authorisation. A running server shows it at `/docs`.

- Errors are `application/problem+json`: `type`, `title`, `status`, `detail`, `instance`, and `field` or `errors` where
  parts of the input are wrong.
- Times are ISO 8601 with `Z`; a time without an offset is read as UTC. Durations are seconds, unless a family says
  otherwise. Money is an exact decimal number of US dollars.
- Where tokens are set, send `Authorization: Bearer TOKEN`. Roles are viewer, operator and admin; each may do what the
  one before may. A token can be limited to one actor.
- A body may be compressed (`Content-Encoding: gzip`); the limit of its size counts what it unpacks to.
"""


def markdown(listed: Sequence[Operation]) -> str:
    """The page."""
    lines = [_HEAD]
    for tag, ones in sections(listed):
        lines += [f"## {tag.capitalize()}", ""]
        for one in ones:
            lines += [*_operation(one), ""]
    return "\n".join(lines).rstrip() + "\n"


def _operation(one: Operation) -> Iterator[str]:
    yield f"### `{one.method} {one.path}`"
    yield ""
    yield f"{one.summary}. {one.description}".rstrip()
    yield ""
    yield _who(one)
    yield ""
    yield from _table("Parameter", one.parameters)
    if one.accepts:
        yield f"Body: {', '.join(f'`{accepted}`' for accepted in one.accepts)}"
        yield ""
        yield from _table("Field of the body", one.body)
    answers = ", ".join(f"{answer.name} {answer.about} ({answer.type})" for answer in one.answers)
    yield f"Answers: {answers}."
    yield ""
    yield from _table("Field of the answer", one.fields)
    yield f"Errors: {', '.join(str(status) for status, _ in one.errors)}."


def _who(one: Operation) -> str:
    if one.role == "public":
        return "Anyone may call it."
    limited = "a token limited to one actor sees only that actor's" if one.limited else "not for limited tokens"
    return f"Role: {one.role}; {limited}."


def _table(heading: str, lines: Sequence[Line]) -> Iterator[str]:
    if not lines:
        return
    yield f"| {heading} | | Type | |"
    yield "|---|---|---|---|"
    for line in lines:
        yield f"| `{line.name}` | {line.place} | {_cell(line.type)} | {_cell(line.about)} |"
    yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
