"""What may be run: exactly one statement, and on a read-only connection one that reads.

This is the first of two locks. The second is the database's own (a read-only transaction, a read-only file, `reval`),
which every connector turns as well, because no reader of SQL knows every function with a side effect.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from execlog.kinds.queries.lexer import STANDARD, Dialect, Token, tokens
from execlog.kinds.queries.trouble import RefusedError

READERS = frozenset(
    {
        "select",
        "with",
        "values",
        "table",
        "from",
        "show",
        "describe",
        "desc",
        "explain",
        "summarize",
        "pivot",
        "unpivot",
    }
)
"""What a statement that reads begins with."""

_CHANGES = frozenset({"insert", "update", "delete", "merge"})
_EXPLAINING = frozenset({"explain", "analyze", "verbose", "query", "plan", "extended"})
_UNREADABLE = {
    "open": "a quote or comment that never ends begins",
    "hidden": "a comment that the database may take for code, or the code after it for a comment, begins",
}
_LIST = re.compile(r"\(\?(?:, \?)+\)")


def single(query: str, dialect: Dialect = STANDARD) -> tuple[str, tuple[Token, ...]]:
    """The one statement in the query without what follows it, and its tokens without comments.

    Raises RefusedError for none, for several, for a quote or comment that never ends, for a comment of which it depends
    on the database, or its version, whether it is one, and for a NUL, where some drivers end a query.
    """
    if "\0" in query:
        raise RefusedError("SyntaxError", f"a NUL, which no query may have, is character {query.index(chr(0)) + 1}")
    said: list[Token] = []
    end = None
    for token in tokens(query, dialect):
        if token.kind == "comment":
            continue
        if token.kind in _UNREADABLE:
            raise RefusedError("SyntaxError", f"{_UNREADABLE[token.kind]} at character {token.start + 1}")
        if token.kind == "end":
            end = token if end is None and said else end
        elif end is not None:
            raise RefusedError("SeveralStatements", "one statement at a time: this has another one after the ';'")
        else:
            said.append(token)
    if not said:
        raise RefusedError("EmptyQuery", "there is no statement in this query")
    return query[said[0].start : said[-1].end], tuple(said)


def check_reads(said: Sequence[Token], dialect: Dialect = STANDARD) -> None:
    """Nothing, for a statement that reads; raises RefusedError for one that (also) does something else."""
    first = _first_word(said)
    if first == "explain":
        # EXPLAIN ANALYZE runs what it explains.
        said = _explained(said)
        first = _first_word(said)
    if first not in READERS:
        begins = next((token.text for token in said if token.text != "("), "")
        known = "a statement that reads begins with SELECT, WITH or the like"
        raise RefusedError("NotReadOnly", f"this connection is read-only: {known}, not with {begins!r:.40}")
    before = ""
    for token in said:
        text = token.text.lower()
        if token.kind == "word" and before in {"(", ")"} and text in _CHANGES:
            raise _not_read_only(f"{first} … {text}")
        if token.kind == "word" and text == "into" and not dialect.unpivots_into:
            raise _not_read_only(f"{first} … into")
        before = text


def check_calls(said: Sequence[Token], doing: Collection[str]) -> None:
    """Nothing; raises RefusedError for a call of a function that does more than read: one of `doing`, in lower case.

    One whose name is written in escapes (`U&"…"`) is not looked up, but refused.
    """
    for token, following in pairwise(said):
        if following.text != "(" or token.kind not in {"word", "name"}:
            continue
        name = token.text.strip('"').lower()
        if name in doing or name.startswith('u&"'):
            raise RefusedError("NotReadOnly", f"this connection is read-only, and {name:.60}() does more than read")


def _first_word(said: Iterable[Token]) -> str:
    for token in said:
        if token.text != "(":
            return token.text.lower() if token.kind == "word" else ""
    return ""


def _explained(said: Sequence[Token]) -> Sequence[Token]:
    """What follows EXPLAIN and its options, which may stand in parentheses."""
    start = 0
    while start < len(said) and said[start].text.lower() in _EXPLAINING:
        start += 1
    if start < len(said) and said[start].text == "(" and _first_word(said[start:]) not in READERS:
        while start < len(said) and said[start].text != ")":
            start += 1
        start += 1
    return said[start:]


def _not_read_only(what: str) -> RefusedError:
    return RefusedError("NotReadOnly", f"this connection is read-only, and {what.upper()} does more than read")


def normalise(query: str, dialect: Dialect = STANDARD) -> str:
    """The query with its literals replaced by `?`, without comments, bare words in lower case, evenly spaced.

    The same text for queries that differ only in values, layout and letter case; lists of values are one value.
    """
    parts: list[str] = []
    for token in tokens(query, dialect):
        if token.kind in {"comment", "end"}:
            continue
        if token.kind in {"text", "number", "parameter"}:
            parts.append("?")
        else:
            parts.append(token.text.lower() if token.kind == "word" else token.text)
    text = " ".join(parts).replace(" . ", ".").replace("( ", "(").replace(" )", ")").replace(" ,", ",")
    return _LIST.sub("(?)", text)


def fingerprint(query: str, dialect: Dialect = STANDARD) -> str:
    """Sixteen hex digits, the same for queries that differ only in values, layout and letter case."""
    return hashlib.blake2s(normalise(query, dialect).encode("utf-8", "replace"), digest_size=8).hexdigest()
