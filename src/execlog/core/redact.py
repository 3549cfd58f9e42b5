"""Taking secrets out before anything becomes durable.

Five kinds of places are covered: values under a telling name (`password`, `api_key`, `Authorization`, …) anywhere in
a nested value, in a pair, or behind an option of that name; `name=value`, `name: value`, `--name value`, what follows
`Authorization:`, `Cookie:` and `Bearer …` inside texts such as queries, commands and errors; private keys in PEM; the
user info of a URL, a DSN and curl's `-u`; and what is known by its own form: a JWT, a key of a provider whose keys all
begin alike. An object is taken for what it is recorded as: its fields, or its text. Patterns are linear-time: RE2 where
the extra is installed, otherwise patterns without nested repeats. What a system says of a file that is called as a
secret is stays, for it is no value: `/etc/passwd: No such file`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import Enum
from itertools import pairwise
from typing import Any, Protocol, cast

from msgspec import Struct, structs

from execlog.core import codec
from execlog.core.storable import safe_repr

MASK = "[redacted]"
NAMES = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "api_key", "apikey", "api-key", "access_key",
    "private_key", "account_key", "subscription_key", "db_pass", "user_pass", "smtp_pass", "ftp_pass",
    "authorization", "credential", "cookie", "client_secret", "bearer",
)  # fmt: skip
_COUNTS = frozenset(
    {"tokens", "token_usage", "tokenusage", "max_tokens", "total_tokens", "input_tokens", "output_tokens"}
)
_BEARING = ("access", "refresh", "auth", "api", "session", "secret")
"""Which tokens are secrets though there are several; any others are counted."""
_INNOCENT = ("secretar", "tokeniz", "tokenis")
_NAME = re.compile(r"^[\w.-]{1,60}$")
_A_COUNT = re.compile(r"(?i)token_?count$")
_BEFORE = re.compile(r"[\w-]*\Z")
_A_TIME = re.compile(r"(?:_at|[a-z]At)$")
_NO_VALUE = re.compile(r"(?i)^--?no-|^-.*[_-](?:stdin|file|path)$")
"""Options that are not followed by the secret they name."""
_BLANKS = r" \t\r\n\f\v"
_BOUND = re.compile(r"\{([01]),\d+\}")
# No bounds are needed to stay linear: a quoted value ends at the next quote, which the next match needs to begin.
# A mask is a value, brackets and all: a text that was read and is saved again stays as it is.
_DOUBLED = r"""''[^\s',;)}\]](?:[^'\n]|'''')*''"""
"""A text within one of SQL: `dblink('host=a password=''…''')`. What follows an empty one does not begin another."""

_TEXT = r"""(?:"(?:[^"\\\n]|\\.)*"|""" + _DOUBLED + r"""|'(?:[^'\\\n]|\\.)*'|\\*"[^"\n]*"|\\*'[^'\n]*')"""
"""In JSON within JSON the quotes are escaped themselves."""
_ADDED = r"""[\w.]+(?:'[^\s',;)}\]][^'\n]*'|"[^\s",;)}\]][^"\n]*")"""
_CALLED = rf"(?:(?:[a-zA-Z]?[a-zA-Z]?|[\w.]*\(){_TEXT}|{_ADDED})"
"""As in `b'…'` and `SecretStr('…')`, and in a shell's word `abc'…'`; the end of a text it stands in is none of it."""
_QUOTED = rf"(?:\[redacted\]|{_CALLED}|[\[(]{_CALLED}(?:, ?{_CALLED})*|"
_VALUE = _QUOTED + r"""[^\s,;&"'<>)}\]=][^\s,;&"'<>)}\]]*)"""
"""Never a sign of equality: the end of a base64 text, as of a sealed one, may read like a name and its sign."""
_LINE_VALUE = _QUOTED + r"""[^\s,;&"'<>)}\]]+(?:[,;&][^\s,;&"'<>)}\]]+)*)"""
_OPTION_VALUE = _QUOTED + r"""[^\s"'-][^\s"']*)"""
_HEADER = (
    r"""('(?:proxy-)?authorization\s{0,3}:\s{0,3})[^'\n]+""",
    r"""("(?:proxy-)?authorization\s{0,3}:\s{0,3})[^"\n]+""",
    r"""(\bauthorization["']?\s{0,3}:\s{0,3})(?:\[redacted\]|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\n]+)""",
    r"""(\bcookie["']?\s{0,3}:\s{0,3}["']?)[^\s"'=;,]+=[^"'\n]+""",
)
"""What follows is a scheme and whatever that needs: it goes to the end of the line, or of the quotes it stands in."""
_REFUSALS = (
    "no such", "not found", "permission denied", "operation not permitted", "access denied", "is a directory",
    "not a directory", "file exists", "cannot open", "cannot access", "cannot stat", "read-only file system",
    "input/output error", "too many open files", "text file busy", "command not found", "connection refused",
)  # fmt: skip
"""How a message goes on after the name of a file, which may be called as a secret is: `/etc/passwd: No such file`."""
_IN_SQL = (
    r"(?i)(\b(?:password|passwd|passphrase|pwd|secret|\w{1,20}_token|\w{0,10}access_key|identified\s{1,3}by)"
    r"\s{1,3}(?:(?:to|by)\s{1,3}|=\s{0,3})?|\bpassword\s{1,3}for\s{1,3}\S{1,99}\s{0,3}=\s{0,3}|\bpassword\(\s{0,3}"
    r"|\bidentified\s{1,3}with\s{1,3}\S{1,99}\s{1,3}(?:by|as)\s{1,3})"
    r"""[en]?(?:"""
    + _DOUBLED
    + r"""|'(?:[^'\\\n]|''|\\.)*'|'(?:[^'\n]|'')*'|"[^"\n]*"|\$\w{0,20}\$[^$\n]*\$\w{0,20}\$)"""
)
"""`alter user ann password '…'`, `create secret s (type s3, secret '…')`: SQL needs no sign between name and value."""
_KEY = r"[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
_PEM = rf"-----BEGIN {_KEY}(?:[^-]|-[^-]){{0,20000}}(?:-----END {_KEY})?"
"""A single hyphen is in the headers of a key that has a passphrase: `Proc-Type: 4,ENCRYPTED`."""
_SIGNATURE = r"""(?i)([?&](?:x-amz-signature|x-goog-signature|sig)=)[^\s&"'<>]+"""
_CURL = (
    r"""(\bcurl\s(?:[^|]{0,300}?\s)?(?:-u\s{0,3}|-U\s{0,3}|--user\s{1,3}|--proxy-user\s{1,3})["']?[^\s:"']{1,99}:)"""
    r"""[^\s"']+"""
)
_CURL_USER = frozenset({"-u", "-U", "--user", "--proxy-user"})
_MARKS = ("eyj", "sk-", "ghp_", "_pat_", "xox", "aiza", "/services/t")
_SHAPES = (
    r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*|\bsk-[\w-]{20,}|\b(?:ghp|github_pat)_\w{20,}"
    r"|\bxox[abeoprs]-[\w-]{10,}|\bAIza[\w-]{35}|/services/T\w{5,}/B\w{5,}/\w{16,}"
)
"""JWT; keys of OpenAI, Anthropic and others like them; tokens of GitHub and Slack; Google's keys; Slack's webhooks."""

_PLAIN = (int, float, bool, type(None))
_DEEPEST = 64
_PAIR = 2
_AROUND = " \t\r\n\f\v\"'\\[(,=:>"
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
        extra = tuple(name.lower() for name in extra)
        self._names = tuple(dict.fromkeys((*NAMES, *extra)))
        innocent = [stem for stem in _INNOCENT if not any(stem in name for name in extra)]
        self._innocent = re.compile("|".join(innocent) or r"(?!)")
        self._squeezed = tuple(name.replace("_", "").replace("-", "") for name in self._names)
        words = "|".join(dict.fromkeys(_written(name) for name in self._names if name != "bearer"))
        name = rf"(?:{words})[\w.-]{{0,20}}\\*[\"']?"
        refusal = rf"({name}:\s{{1,3}}(?:{'|'.join(_REFUSALS)})\b)"
        option = rf"((?:^|\s|[\"'\[(,=])--?[\w-]{{0,40}}(?:{words})[\w-]{{0,20}}[\"']?(?:,\s{{0,3}}|\s{{1,3}}))"
        line, any_ = (
            rf"({name}\s{{0,3}}:\s{{1,3}})" + _LINE_VALUE,
            rf"({name}\s{{0,3}}(?:=>|={{1,3}}|:)\s{{0,3}})" + _VALUE,
        )
        self._header = _compile("(?i)" + "|".join((refusal, *_HEADER)))
        self._option = _compile("(?i)()" + option + _OPTION_VALUE)
        self._assignment = _compile(rf"""(?i){refusal}|(execlog_tokens=)[^\s"']+|{line}|{any_}""")
        self._scheme = _compile(r"(?i)\b((?:bearer|basic)\s{1,3})[\w.~+/=-]+")
        self._sql = _compile(_IN_SQL)
        self._userinfo = _compile(r"(://)[^\s/]{1,500}(@)")
        self._private_key = _compile(_PEM)
        self._element = _compile(rf"(?i)(<[\w:.-]{{0,40}}(?:{words})[\w.-]{{0,20}}(?:\s[^<>]{{0,200}})?>)[^<]+(</)")
        self._signature = _compile(_SIGNATURE)
        self._curl = _compile(_CURL)
        self._shapes = _compile(_SHAPES)
        # One search for each piece beats one pattern of them all, six times over.
        self._pieces = tuple(dict.fromkeys(map(_trigger, (*self._names, "identified", "://", "curl"))))
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
        for mark in _MARKS:
            if mark in low and self._shapes.search(text):
                return False
        if len(text) <= _REMEMBERED_LENGTH:
            if len(self._clean) >= _REMEMBERED:
                self._clean.clear()
            self._clean.update((None, text))
        return True

    def text(self, text: str) -> str:
        """The text with every secret in it replaced by `[redacted]`."""
        low = text.lower()
        if any(mark in low for mark in _MARKS):
            text = self._shapes.sub(MASK, text)
        if not any(piece in low for piece in self._pieces):
            return text
        text = self._private_key.sub(MASK, text)
        text = self._scheme.sub(rf"\1{MASK}", text)
        if "authorization" in low or "cookie" in low:
            text = self._header.sub(self._masked, text)
        if "-" in text:
            text = self._option.sub(self._masked, text)
        if "curl" in low:
            text = self._curl.sub(rf"\1{MASK}", text)
        if "'" in text or '"' in text or "$" in text:
            text = self._sql.sub(rf"\1{MASK}", text)
        if "</" in text:
            text = self._element.sub(rf"\1{MASK}\2", text)
        text = self._assignment.sub(self._masked, text)
        return self._signature.sub(rf"\1{MASK}", self._userinfo.sub(rf"\1{MASK}\2", text))

    def value(self, value: Any, depth: int = 0) -> Any:
        """A nested plain value without secrets; the value itself, or the parts of it, where there are none."""
        kind: object = type(cast("object", value))
        if kind is str:
            return value if value in self._clean else self.text(cast("str", value))
        if kind in _PLAIN or isinstance(value, int | float | bytes | Enum):
            return value
        return "[nested too deeply]" if depth > _DEEPEST else self._nested(value, depth)

    def _nested(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return {key: self._entry(key, entry, depth) for key, entry in cast("dict[Any, Any]", value).items()}
        if isinstance(value, list | tuple):
            entries = self._entries(cast("list[Any]", value), depth)
            return entries if isinstance(value, list) else tuple(entries)
        if isinstance(value, Struct) and type(value).__module__.startswith("execlog."):
            return self._struct(value, depth)
        return self.value(_plain(value), depth + 1)

    def is_secret(self, name: str) -> bool:
        """Whether a value under this name is a secret."""
        low = name.lower()
        if low in _COUNTS or _A_COUNT.search(name) or not self._tells(name):
            return False
        return not low.endswith("tokens") or any(word in low for word in _BEARING)

    def _tells(self, name: str) -> bool:
        """Whether there is a word for a secret in the name, which is not that of a time."""
        squeezed = self._innocent.sub("", name.lower().replace("_", "").replace("-", "").replace(" ", ""))
        return any(word in squeezed for word in self._squeezed) and not _A_TIME.search(name)

    def _masked(self, match: Any) -> str:
        parts: tuple[str | None, ...] = match.groups()
        prefix = next(part for part in parts if part)
        name = prefix.strip(_AROUND)
        if parts[0] or not self._tells(name) or _NO_VALUE.search(name) or self._counts(match, prefix):
            return match[0]
        return prefix + MASK

    def _counts(self, match: Any, prefix: str) -> bool:
        """Whether it is a number of tokens: `max_tokens: 5000`, of which the match has only the end of the name."""
        if not match[0][len(prefix) :].isdigit():
            return False
        start: int = match.start()
        before = _BEFORE.search(match.string[max(start - _REMEMBERED_LENGTH, 0) : start])
        name = (before[0] if before else "") + prefix.strip(_AROUND)
        return "token" in name.lower() and not self.is_secret(name)

    def _entries(self, entries: list[Any], depth: int) -> list[Any]:
        """The entries without secrets: what stands behind an option that tells, or a name in a pair, is one too."""
        shown = [self.value(entry, depth + 1) for entry in entries]
        tells = self._is_named if len(entries) == _PAIR else self._is_option
        for at, (name, entry) in enumerate(pairwise(entries), 1):
            if type(name) is str and tells(name) and not (isinstance(entry, str) and entry.startswith("-")):
                shown[at] = entry if entry is None or isinstance(entry, bool) else MASK
            elif type(name) is str and name in _CURL_USER and type(entry) is str and _calls_curl(entries):
                user, colon, _ = entry.partition(":")
                shown[at] = user + colon + MASK if colon else entry
        return shown

    def _is_option(self, text: str) -> bool:
        return text.startswith("-") and self._is_named(text)

    def _is_named(self, text: str) -> bool:
        return bool(_NAME.search(text)) and not _NO_VALUE.search(text) and self.is_secret(text)

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


def _plain(value: Any) -> Any:
    """What an object is recorded as: a text, or its fields."""
    if isinstance(value, str):
        return str.__str__(value)
    try:
        return codec.builtins(value)
    except Exception:  # noqa: BLE001 - a caller's object may raise anything when it is looked into
        return safe_repr(value)


def _calls_curl(command: list[Any]) -> bool:
    return any(type(word) is str and word.rpartition("/")[2] == "curl" for word in command)


def _written(name: str) -> str:
    """The pattern of a name in texts: `api_key`, `apiKey`, `api-key` and `API key` are one."""
    return "[_ -]?".join(map(re.escape, re.split("[_-]", name)))


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
