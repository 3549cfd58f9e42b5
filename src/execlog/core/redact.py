"""Taking secrets out before anything becomes durable.

Four kinds of places are covered: values under a telling name (`password`, `api_key`, `Authorization`, …) anywhere in
a nested value; `name=value`, `name: value` and `Bearer …` inside texts such as queries, commands and errors; private
keys in PEM; and the user info of a URL or DSN. Patterns are linear-time: RE2 where the extra is installed, otherwise
patterns without nested repeats. What a system says of a file that is called as a secret is stays, for it is no value:
`/etc/passwd: No such file`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

from msgspec import Struct, structs

MASK = "[redacted]"
NAMES = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "api_key", "apikey", "api-key", "access_key",
    "private_key",
    "authorization", "credential", "cookie", "client_secret", "bearer",
)  # fmt: skip
_COUNTS = frozenset(
    {"tokens", "token_usage", "tokenusage", "max_tokens", "total_tokens", "input_tokens", "output_tokens"}
)
_BLANKS = r" \t\r\n\f\v"
_BOUND = re.compile(r"\{([01]),\d+\}")
# No bounds are needed to stay linear: a quoted value ends at the next quote, which the next match needs to begin.
# A mask is a value, brackets and all: a text that was read and is saved again stays as it is.
_VALUE = r"""("[^"\n]*"|'[^'\n]*'|\[redacted\]|[^\s,;&"'<>)}\]]+)"""
_REFUSALS = (
    "no such", "not found", "permission denied", "operation not permitted", "access denied", "is a directory",
    "not a directory", "file exists", "cannot open", "cannot access", "cannot stat", "read-only file system",
    "input/output error", "too many open files", "text file busy", "command not found", "connection refused",
)  # fmt: skip
"""How a message goes on after the name of a file, which may be called as a secret is: `/etc/passwd: No such file`."""
_PEM = r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{0,20000}(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?"


_PLAIN = (int, float, bool, type(None))
_DEEPEST = 64
_REMEMBERED, _REMEMBERED_LENGTH = 5_000, 60


class Pattern(Protocol):
    """What both engines offer."""

    def search(self, text: str, /) -> Any:
        """A match anywhere in the text, or None."""
        ...

    def sub(self, repl: str | Callable[[Any], str], text: str, /) -> str:
        """The text with every match replaced, by a template or by what a function makes of it."""
        ...


class Redactor:
    """Takes secrets out of texts, plain values and Structs; `extra` adds names of secrets to the built-in ones."""

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self._names = tuple(dict.fromkeys(name.lower() for name in (*NAMES, *extra)))
        self._squeezed = tuple(name.replace("_", "").replace("-", "") for name in self._names)
        words = "|".join(re.escape(name) for name in self._names if name != "bearer")
        name = rf"(?:{words})[\w.-]{{0,20}}[\"']?"
        refusal = rf"({name}:\s{{1,3}}(?:{'|'.join(_REFUSALS)})\b)"
        self._assignment = _compile(rf"(?i){refusal}|({name}\s{{0,3}}(?:=>|[=:])\s{{0,3}})" + _VALUE)
        self._scheme = _compile(r"(?i)\b((?:bearer|basic)\s{1,3})[\w.~+/=-]+")
        self._userinfo = _compile(r"(://)[^\s/]{1,500}(@)")
        self._private_key = _compile(_PEM)
        # One search for each piece beats one pattern of them all, six times over.
        self._pieces = tuple(dict.fromkeys(map(_trigger, (*self._names, "://"))))
        self._clean: set[str | None] = {None}

    def is_clean(self, value: Any) -> bool:
        """Whether a quick look is enough to know that there is no secret, in texts, numbers, dicts and lists of such.

        Names, keys and short texts come again and again, so the clean ones are remembered.
        """
        kind: object = type(cast("object", value))
        if kind is str:
            return (len(value) <= _REMEMBERED_LENGTH and value in self._clean) or self._look_at(value)
        if kind is dict:
            clean = self._clean
            for key, entry in cast("dict[Any, Any]", value).items():
                if key not in clean and not self._look_at(key):
                    return False
                kind = type(cast("object", entry))
                if kind in _PLAIN or (kind is str and entry in clean):
                    continue
                if not self.is_clean(entry):
                    return False
            return True
        if kind is list or kind is tuple:
            return all(map(self.is_clean, cast("list[Any]", value)))
        return kind in _PLAIN

    def _look_at(self, text: Any) -> bool:
        if type(text) is not str:
            return False
        low = text.lower()
        for piece in self._pieces:
            if piece in low:
                return False
        if len(text) <= _REMEMBERED_LENGTH:
            if len(self._clean) >= _REMEMBERED:
                self._clean.clear()
            self._clean.update((None, text))
        return True

    def text(self, text: str) -> str:
        """The text with every secret in it replaced by `[redacted]`."""
        low = text.lower()
        if not any(piece in low for piece in self._pieces):
            return text
        text = self._private_key.sub(MASK, text)
        text = self._scheme.sub(rf"\1{MASK}", text)
        text = self._assignment.sub(_masked, text)
        return self._userinfo.sub(rf"\1{MASK}\2", text)

    def value(self, value: Any, depth: int = 0) -> Any:
        """A nested plain value without secrets; the value itself, or the parts of it, where there are none."""
        kind: object = type(cast("object", value))
        if kind in _PLAIN or isinstance(value, str):
            return value if kind is not str or value in self._clean else self.text(cast("str", value))
        if depth > _DEEPEST:
            return "[nested too deeply]"
        if isinstance(value, dict):
            return {key: self._entry(key, entry, depth) for key, entry in cast("dict[Any, Any]", value).items()}
        if isinstance(value, list | tuple):
            entries = [self.value(entry, depth + 1) for entry in cast("list[Any]", value)]
            return entries if isinstance(value, list) else tuple(entries)
        if isinstance(value, Struct):
            return self._struct(value, depth)
        return value

    def is_secret(self, name: str) -> bool:
        """Whether a value under this name is a secret."""
        low = name.lower()
        if low in _COUNTS:
            return False
        squeezed = low.replace("_", "").replace("-", "")
        return any(word in squeezed for word in self._squeezed) and not squeezed.endswith("tokens")

    def _struct(self, value: Struct, depth: int) -> Struct:
        """The Struct with the fields replaced that are not what they were; most are numbers, or clean."""
        changed: dict[str, Any] = {}
        for name in value.__struct_fields__:
            old = getattr(value, name)
            # Never `==`: a caller's value may answer it with anything, or raise; arrays do.
            if type(old) in _PLAIN or (type(old) is tuple and not old):
                continue
            new = self.value(old, depth + 1)
            if new is not old:
                changed[name] = new
        return structs.replace(value, **changed) if changed else value

    def _entry(self, key: Any, entry: Any, depth: int) -> Any:
        if isinstance(key, str) and entry is not None and not isinstance(entry, bool) and self.is_secret(key):
            return MASK
        return self.value(entry, depth + 1)


def _masked(assignment: Any) -> str:
    return assignment[1] or f"{assignment[2]}{MASK}"


def _trigger(name: str) -> str:
    """A short piece of the name: fewer distinct pieces make the first look cheaper."""
    for piece in ("pass", "key", "token", "secret", "auth", "cookie", "credential"):
        if piece in name:
            return piece
    return name


def _compile(pattern: str) -> Pattern:
    # What counts as blank differs between the engines.
    pattern = pattern.replace(r"[^\s", rf"[^{_BLANKS}").replace(r"\s", rf"[{_BLANKS}]")
    try:
        import re2  # pyright: ignore[reportMissingTypeStubs] - it has none
    except ImportError:
        return re.compile(pattern)
    compile_linear = cast("Any", re2).compile
    # RE2 needs no bounds to stay linear, and pays for counted repeats with memory.
    return cast("Pattern", compile_linear(_BOUND.sub(lambda bound: "*" if bound[1] == "0" else "+", pattern)))
