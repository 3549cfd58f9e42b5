"""What is sent to change a job: some of its fields, and of theirs, or a job as it was read."""

from __future__ import annotations

import types
from typing import Any, Union, cast, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from execlog.core.codec import builtins
from execlog.runner.job import Job

_NESTED = frozenset({"run", "trigger", "retries", "misfire"})
"""What has fields of its own. Tags, arguments and environments are values: a new one replaces the old one."""


def patched(job: Job, changes: dict[str, Any]) -> dict[str, Any]:
    """The fields of the job with these changed; of a trigger or an action of the same type what is left out stays."""
    plain: dict[str, Any] = builtins(job)
    for name, value in cast("dict[str, Any]", builtins(changes)).items():
        plain[name] = _onto(plain[name], value) if name in _NESTED and value is not None else value
    return plain


def _onto(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """The fields of `old` with those of `new`, which stand alone where they are of another type."""
    return new if old is None or new.get("type") != old.get("type") else old | new


def job_of(again: Job) -> Job:
    """The job in what was sent to replace one."""
    return Job(**{name: getattr(again, name) for name in Job.__struct_fields__})


def _patch_of(kind: type[Struct], without: frozenset[str] = frozenset()) -> Any:
    """The Struct whose fields are all of those of `kind`, and may all be left out."""
    fields = [
        (field.name, _optional(field.type) | UnsetType, UNSET)
        for field in structs.fields(kind)
        if field.name not in without
    ]
    tag = kind.__struct_config__.tag
    return msgspec.defstruct(
        f"{kind.__name__}Patch", fields, tag=tag, frozen=True, kw_only=True, forbid_unknown_fields=True
    )


def _optional(annotation: Any) -> Any:
    """The type of a patch of a value of this type."""
    origin: Any = get_origin(annotation)
    if origin in {Union, types.UnionType}:
        return Union[tuple(_optional(one) for one in get_args(annotation))]  # noqa: UP007 - made of a tuple
    is_struct = isinstance(annotation, type) and issubclass(annotation, Struct)
    return _patch_of(cast("type[Struct]", annotation)) if is_struct else cast("Any", annotation)


JobPatch: Any = _patch_of(Job, frozenset({"id"}))
"""What is to change of a job; what is left out stays."""
