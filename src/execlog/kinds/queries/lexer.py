"""SQL cut into tokens: enough to tell statements apart, to see what a statement begins with, and to normalise it.

One linear pass; text that is in no dialect's grammar comes out as tokens all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple

from msgspec import Struct

TokenKind = Literal["word", "name", "text", "number", "parameter", "sign", "end", "comment", "open", "hidden"]
"""word: keyword or bare name; name: quoted one; text: literal; end: `;`; open: a quote or comment that never ends;
hidden: what looks like a comment, and may be code to the database."""


class Dialect(Struct, frozen=True):
    """What texts, names and comments look like.

    dollar_texts      $$ … $$ and $tag$ … $tag$ are literals
    nested_comments   /* /* */ */ is one comment
    backslashes       a backslash escapes the next character in every literal (in E'…' it does so with `dollar_texts`)
    backticks         `name`
    brackets          [name]
    hash_comments     # begins a comment
    double_texts      "…" is a literal, not a name
    hidden_code       /*! … */, /*+ … */ and /*M! … */ are code, and -- is a comment only before a blank
    unpivots_into     INTO names the columns that UNPIVOT makes, and no SELECT writes into anything
    """

    dollar_texts: bool = False
    nested_comments: bool = False
    backslashes: bool = False
    backticks: bool = False
    brackets: bool = False
    hash_comments: bool = False
    double_texts: bool = False
    hidden_code: bool = False
    unpivots_into: bool = False


STANDARD = Dialect()
POSTGRES = Dialect(dollar_texts=True, nested_comments=True)
DUCKDB = Dialect(dollar_texts=True, nested_comments=True, unpivots_into=True)
SQLITE = Dialect(backticks=True, brackets=True)
TRINO = Dialect()
MYSQL = Dialect(backslashes=True, backticks=True, hash_comments=True, double_texts=True, hidden_code=True)


class Token(NamedTuple):
    """A piece of the query."""

    kind: TokenKind
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.start + len(self.text)


def tokens(query: str, dialect: Dialect = STANDARD) -> Iterator[Token]:
    """The query's tokens in order, comments among them, white space left out."""
    match = _pattern(dialect).match
    position, length = 0, len(query)
    while position < length:
        found = match(query, position)
        if found is None:  # cannot be: the last alternative takes any character
            return
        start, position = position, found.end()
        kind = found.lastgroup or "sign"
        if kind == "space":
            continue
        if kind in {"nested", "dollar"}:
            end = _after_comment(query, start) if kind == "nested" else _after_dollars(query, start, found[0])
            position = length if end < 0 else end
            kind = "open" if end < 0 else "comment" if kind == "nested" else "text"
        yield Token(_KINDS.get(kind, "sign"), query[start:position], start)


_KINDS: dict[str, TokenKind] = {
    "word": "word", "name": "name", "text": "text", "number": "number", "parameter": "parameter", "end": "end",
    "comment": "comment", "open": "open", "hidden": "hidden",
}  # fmt: skip


@cache
def _pattern(dialect: Dialect) -> re.Pattern[str]:
    texts = ["[bBnNxXuU]?&?" + _quoted("'", escapes=dialect.backslashes)]
    if dialect.dollar_texts:
        texts.insert(0, "[eE]" + _quoted("'", escapes=True))
    names: list[str] = []
    doubled = _quoted('"', escapes=dialect.backslashes)
    (texts if dialect.double_texts else names).append(doubled if dialect.backslashes else f"(?:[uU]&)?{doubled}")
    if dialect.backticks:
        names.append(_quoted("`", escapes=False))
    if dialect.brackets:
        names.append(r"\[[^\]]*+\]")
    dashes = r"--(?=[\x00-\x20\x7f]|\Z)" if dialect.hidden_code else "--"
    # A lone carriage return ends a comment in some databases, and is a part of it in others.
    hidden = [rf"{dashes}[^\n\r]*+\r(?!\n|\Z)", *([r"/\*(?:[!+]|M!)"] if dialect.hidden_code else [])]
    comments = [rf"{dashes}[^\n]*+"]
    if dialect.hash_comments:
        comments.append(r"#[^\n]*+")
    if not dialect.nested_comments:
        comments.append(r"/\*[^*]*+\*++(?:[^/*][^*]*+\*++)*/")
    parts = [
        r"(?P<space>\s++)",
        rf"(?P<hidden>{'|'.join(hidden)})",
        rf"(?P<comment>{'|'.join(comments)})",
        *([r"(?P<nested>/\*)"] if dialect.nested_comments else []),
        *([r"(?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*+)?\$)"] if dialect.dollar_texts else []),
        rf"(?P<text>{'|'.join(texts)})",
        *([f"(?P<name>{'|'.join(names)})"] if names else []),
        r"(?P<number>(?:0[xX][0-9a-fA-F]++|(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?))",
        r"(?P<parameter>\$\d++|[:@$](?=[A-Za-z_])\w++|%\(\w++\)s|%s|\?\d*+)",
        r"(?P<word>[^\W\d][\w$]*+)",
        r"(?P<end>;)",
        # What begins here and was not matched above never ends; to look for its end again and again would be slow.
        rf"(?P<open>['\"{'`' if dialect.backticks else ''}{'[' if dialect.brackets else ''}]|/\*).*",
        r"(?P<sign>::|<=|>=|<>|!=|\|\||->>?|.)",
    ]
    return re.compile("|".join(parts), re.DOTALL)


def _quoted(quote: str, *, escapes: bool) -> str:
    """The pattern of what stands between two of these, where a doubled one is one of the text's own.

    Only single characters are repeated possessively: of a group, Python before 3.11.5 gets that wrong.
    """
    plain = rf"[^{quote}\\]*+" if escapes else f"[^{quote}]*+"
    own = rf"(?:{quote}{quote}|\\.)" if escapes else quote * 2
    return f"{quote}{plain}(?:{own}{plain})*{quote}(?!{quote})"


def _after_comment(query: str, start: int) -> int:
    """Where the nested comment that begins here ends; -1 when it does not."""
    depth, position = 0, start
    for mark in re.compile(r"/\*|\*/").finditer(query, start):
        depth += 1 if mark[0] == "/*" else -1
        position = mark.end()
        if depth == 0:
            return position
    return -1


def _after_dollars(query: str, start: int, tag: str) -> int:
    end = query.find(tag, start + len(tag))
    return -1 if end < 0 else end + len(tag)
