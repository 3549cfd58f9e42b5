"""What a query is like: its fingerprint, how complex it is, which tables it touches, and what could be better about it.

The fingerprint comes from the gateway's own reading of SQL, so that it is the same wherever a query is recorded; the
rest from sqlglot (extra `sql`), and is unknown without it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

from msgspec import Struct

from execlog.kinds.queries import statements
from execlog.kinds.queries.lexer import Dialect

Complexity = Literal["simple", "moderate", "complex"]
MAX_LENGTH = 50_000
MAX_NESTED = 8
"""Arrays and structs in each other; sqlglot takes twice as long for each level, which is minutes for 20."""

_SIMPLE, _MODERATE = 2, 8
_BRACKETS = re.compile(r"(?:\b(?:array|struct)\s*+)?[\[(]|[\])]", re.IGNORECASE)
_VALUE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*"|\b\d[\d.:DT]*+[a-z]?\b')


class Analysis(Struct, frozen=True):
    """What is known of a query. `complexity` is None where it cannot be told; `suggestions` are sentences."""

    fingerprint: str
    complexity: Complexity | None = None
    tables: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()


def analyse(query: str, dialect: Dialect | None, language: str) -> Analysis:
    """The analysis of a query; `language` is sqlglot's name of its dialect, "" for SQL of no particular one."""
    if dialect is None:
        return Analysis(_plain_fingerprint(query))
    return look_closer(query, statements.fingerprint(query, dialect), language)


def fingerprint_of(query: str, dialect: Dialect | None) -> str:
    """Sixteen hex digits, the same for queries that differ only in values and layout."""
    return _plain_fingerprint(query) if dialect is None else statements.fingerprint(query, dialect)


def look_closer(query: str, fingerprint: str, language: str) -> Analysis:
    """The analysis by sqlglot; the fingerprint alone where it is not installed or cannot read the query."""
    if not _has_sqlglot() or len(query) > MAX_LENGTH or _nests_too_deeply(query):
        return Analysis(fingerprint)
    import sqlglot

    try:
        with _unheard("sqlglot"):
            tree: Any = sqlglot.parse_one(query, dialect=language or None)
        return Analysis(fingerprint, _complexity(tree), _tables(tree), tuple(_suggestions(tree)))
    except (sqlglot.ParseError, sqlglot.TokenError, RecursionError, ValueError):
        return Analysis(fingerprint)


def _nests_too_deeply(query: str) -> bool:
    opened: list[bool] = []
    depth = 0
    for bracket in _BRACKETS.findall(query):
        if bracket[-1] in "[(":
            opened.append(bracket != "(")
            depth += opened[-1]
            if depth > MAX_NESTED:
                return True
        elif opened:
            depth -= opened.pop()
    return False


@contextmanager
def _unheard(logger: str) -> Generator[None]:
    """What this thread says to the logger is dropped: it quotes queries, which may hold what is redacted and sealed."""
    here = threading.get_ident()

    def is_another_thread_s(_record: logging.LogRecord) -> bool:
        return threading.get_ident() != here

    said = logging.getLogger(logger)
    said.addFilter(is_another_thread_s)
    try:
        yield
    finally:
        said.removeFilter(is_another_thread_s)


@cache
def _has_sqlglot() -> bool:
    return importlib.util.find_spec("sqlglot") is not None


def _plain_fingerprint(query: str) -> str:
    """For languages that are not SQL: values are left out, letter case counts."""
    text = " ".join(_VALUE.sub("?", query).split())
    return hashlib.blake2s(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _complexity(tree: Any) -> Complexity:
    """Two points for what combines rows of several places, one for what combines rows of one."""
    from sqlglot import exp

    points = 2 * sum(1 for _ in tree.find_all(exp.Join, exp.Subquery, exp.SetOperation, exp.Window, exp.Exists))
    points += sum(1 for _ in tree.find_all(exp.CTE, exp.Group, exp.Distinct, exp.Having, exp.Unnest, exp.Lateral))
    return "simple" if points <= _SIMPLE else "moderate" if points <= _MODERATE else "complex"


def _tables(tree: Any) -> tuple[str, ...]:
    from sqlglot import exp

    own = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    names: dict[str, None] = {}
    for table in tree.find_all(exp.Table):
        parts = [part for part in (table.catalog, table.db, table.name) if part]
        if parts and not (len(parts) == 1 and parts[0].lower() in own):
            names[".".join(parts)] = None
    return tuple(sorted(names))


def _suggestions(tree: Any) -> Iterator[str]:
    for fits, sentence in _ADVICE:
        if fits(tree):
            yield sentence


def _selects_all(tree: Any) -> bool:
    from sqlglot import exp

    return any(
        isinstance(column, exp.Star) and select.args.get("from_", select.args.get("from")) is not None
        for select in tree.find_all(exp.Select)
        for column in select.expressions
    )


def _begins_with_wildcard(tree: Any) -> bool:
    from sqlglot import exp

    return any(
        isinstance(like.expression, exp.Literal) and like.expression.name.startswith("%")
        for like in tree.find_all(exp.Like, exp.ILike)
    )


def _joins_everything(tree: Any) -> bool:
    from sqlglot import exp

    for select in tree.find_all(exp.Select):
        joins: list[Any] = select.args.get("joins") or []
        bare = [
            join for join in joins if not (join.args.get("on") or join.args.get("using") or join.args.get("method"))
        ]
        tables = [join for join in bare if isinstance(join.this, exp.Table)]
        if tables and select.args.get("where") is None:
            return True
    return False


def _wraps_a_column(tree: Any) -> bool:
    from sqlglot import exp

    return any(
        isinstance(comparison.this, exp.Func | exp.Cast)
        and comparison.this.find(exp.Column) is not None
        and isinstance(comparison.expression, exp.Literal)
        for where in tree.find_all(exp.Where)
        for comparison in where.find_all(exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
    )


def _not_in_a_query(tree: Any) -> bool:
    from sqlglot import exp

    return any(isinstance(no.this, exp.In) and no.this.args.get("query") is not None for no in tree.find_all(exp.Not))


_ADVICE: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (_selects_all, "It selects every column; naming those it needs reads and sends less."),
    (_begins_with_wildcard, "A LIKE that begins with % cannot use an ordinary index."),
    (_joins_everything, "A join without a condition combines every row with every other."),
    (_wraps_a_column, "Comparing a function of a column keeps the database from using the column's index."),
    (_not_in_a_query, "NOT IN a query finds nothing when the query returns a null; NOT EXISTS does."),
)
