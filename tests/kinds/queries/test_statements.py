"""Telling statements apart, reading from writing, and one query from another that only has other values."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execlog.kinds.queries.lexer import DUCKDB, MYSQL, POSTGRES, SQLITE, STANDARD, TRINO, tokens
from execlog.kinds.queries.statements import check_reads, fingerprint, normalise, single
from execlog.kinds.queries.trouble import RefusedError

DIALECTS = [STANDARD, POSTGRES, SQLITE, DUCKDB, TRINO, MYSQL]


@pytest.mark.parametrize(
    ("query", "statement"),
    [
        ("select 1", "select 1"),
        ("  select 1 ; ", "select 1"),
        ("select 1;;; -- end", "select 1"),
        ("/* ; */ select 1 -- ; drop", "select 1"),
        ("select ';'; ", "select ';'"),
        ("select 'it''s; fine'", "select 'it''s; fine'"),
        ('select ";" from t;', 'select ";" from t'),
        ("select 1 /* a */ ;", "select 1"),
    ],
)
def test_one_statement_is_taken_out_of_what_stands_around_it(query, statement):
    assert single(query)[0] == statement


@pytest.mark.parametrize(
    ("query", "dialect"),
    [
        ("select $$ ; $$", POSTGRES),
        ("select $tag$ ; $$ ; $tag$", POSTGRES),
        ("select /* /* ; */ ; */ 1", POSTGRES),
        (r"select E'\';'", POSTGRES),
        ("select [;] from t", SQLITE),
        ("select `;` from t", SQLITE),
        (r"select '\';'", MYSQL),
        ("select 1 # ; drop", MYSQL),
    ],
)
def test_each_dialect_has_its_own_quotes_and_comments(query, dialect):
    assert single(query, dialect)


@pytest.mark.parametrize(
    ("query", "dialect"),
    [
        ("select 1; select 2", STANDARD),
        ("select 1; drop table t", STANDARD),
        ("select '; ' ; delete from t", STANDARD),
        # What is a comment or a literal elsewhere is none here.
        ("select /* /* */ 1; drop table t; -- */", SQLITE),
        ("select $$ ; drop table t; $$", SQLITE),
        (r"select '\'; drop table t; --'", STANDARD),
        ("select 1 # ; drop table t", POSTGRES),
    ],
)
def test_several_statements_are_refused(query, dialect):
    with pytest.raises(RefusedError) as refused:
        check_reads(single(query, dialect)[1])
    assert refused.value.kind == "SeveralStatements"


@pytest.mark.parametrize("query", ["", "   ", ";", " ; ; ", "-- nothing", "/* nothing */"])
def test_nothing_is_refused(query):
    with pytest.raises(RefusedError, match="no statement"):
        single(query)


@pytest.mark.parametrize("query", ["select 'open", 'select "open', "select 1 /* open", "select '''"])
def test_what_never_ends_is_refused(query):
    with pytest.raises(RefusedError, match="never ends"):
        single(query)


@pytest.mark.parametrize(
    "query",
    [
        "select 1",
        "SELECT * FROM t",
        "(select 1) union (select 2)",
        "((select 1))",
        "with x as (select 1) select * from x",
        "values (1), (2)",
        "table t",
        "from t",
        "show tables",
        "describe t",
        "explain select 1",
        "explain analyze select 1",
        "explain (analyze, format json) select 1",
        "explain (select 1)",
        "select replace(a, 'x', 'y') from t",
        "select insert_at, t.update from t where (update_at > 1)",
        "select 'into' from t",
        "select * from (select 1) as delete_me",
    ],
)
def test_reading_statements_pass(query):
    check_reads(single(query, POSTGRES)[1])


@pytest.mark.parametrize(
    "query",
    [
        "insert into t values (1)",
        "update t set a = 1",
        "delete from t",
        "drop table t",
        "create table x as select 1",
        "truncate t",
        "call f()",
        "copy t to 'x'",
        "attach 'x' as y",
        "pragma journal_mode = off",
        "set role admin",
        "begin",
        "vacuum",
        "with x as (insert into t values (1) returning *) select * from x",
        "with x as (select 1) delete from t",
        "with x as (select 1), y as (update t set a = 1 returning a) select * from y",
        "explain analyze delete from t",
        "explain (analyze) delete from t",
        "explain (analyze, verbose) insert into t values (1)",
        "select * into new_table from t",
        "do $$ begin end $$",
        "1",
        "'x'",
    ],
)
def test_everything_else_is_refused(query):
    with pytest.raises(RefusedError) as refused:
        check_reads(single(query, POSTGRES)[1])
    assert refused.value.kind == "NotReadOnly"


@pytest.mark.parametrize(
    ("query", "normal"),
    [
        ("SELECT  *\nFROM Users WHERE id = 17", "select * from users where id = ?"),
        ("select * from users where id=18 -- mine", "select * from users where id = ?"),
        ("select a from t where b in (1, 2,3)", "select a from t where b in (?)"),
        ("select a from t where b in ('x')", "select a from t where b in (?)"),
        ("select a from t where b = $1 and c = :name and d = ?", "select a from t where b = ? and c = ? and d = ?"),
        ('select "Mixed" from s.t', 'select "Mixed" from s.t'),
        ("select f( a , b ) ;", "select f (a, b)"),
        ("select 1.5e3, 0x1F, .5", "select ?, ?, ?"),
    ],
)
def test_values_layout_and_case_do_not_matter(query, normal):
    assert normalise(query, POSTGRES) == normal
    assert fingerprint(query, POSTGRES) == fingerprint(normal, POSTGRES)


@pytest.mark.parametrize(
    ("query", "dialect", "kind"),
    [
        ("select 1 /*! into outfile '/srv/x' */ from dual", MYSQL, "SyntaxError"),
        ("select 1 /*!99999 ' */ into outfile '/srv/x' -- '", MYSQL, "SyntaxError"),
        ("select 1 /*M! into outfile '/srv/x' */ from dual", MYSQL, "SyntaxError"),
        ("select /*+ set_var(sql_mode = '') */ 1", MYSQL, "SyntaxError"),
        ("select 5--1 into outfile '/srv/x'\n from dual", MYSQL, "NotReadOnly"),
        ("(select 1 into outfile '/srv/x')", MYSQL, "NotReadOnly"),
        ("select 5--\xa0 into outfile '/srv/x'", MYSQL, "NotReadOnly"),
        ("select 1 --\r into zz", POSTGRES, "SyntaxError"),
        ("select 1 -- '\r into zz --'", STANDARD, "SyntaxError"),
        ("(select 1 as x into zz)", POSTGRES, "NotReadOnly"),
        ("(select 1) union (select 2 into @x)", STANDARD, "NotReadOnly"),
    ],
)
def test_what_writes_in_a_hidden_place_is_refused(query, dialect, kind):
    with pytest.raises(RefusedError) as refused:
        check_reads(single(query, dialect)[1], dialect)
    assert refused.value.kind == kind


@pytest.mark.parametrize(
    ("query", "dialect"),
    [
        ("select 5 -- into outfile\n", MYSQL),
        ("select 5 --", MYSQL),
        ("select 5--\tinto", MYSQL),
        ("select 5 -- into\r\n", POSTGRES),
        ("select 5--1", MYSQL),
        ("select /* into */ 1", MYSQL),
        ("select 5--1 into outfile", POSTGRES),
        ("select /*+ hint */ /*! */ 1", POSTGRES),
        ("unpivot t on a, b into name n value v", DUCKDB),
    ],
)
def test_what_only_looks_like_it_passes(query, dialect):
    check_reads(single(query, dialect)[1], dialect)


def test_different_queries_have_different_fingerprints():
    queries = ["select a from t", "select b from t", "select a from u", 'select "a" from t', "select a, ? from t"]
    assert len({fingerprint(query) for query in queries}) == len(queries)


@given(st.text(alphabet="se'lct\"`[]$;/*-#\\ \n1x(é)", max_size=200), st.sampled_from(DIALECTS))
def test_tokens_cover_the_query_in_order(query, dialect):
    end = 0
    for token in tokens(query, dialect):
        assert query[end : token.start].strip() == ""
        assert token.text == query[token.start : token.end]
        assert token.text
        end = token.end
    assert query[end:].strip() == ""


@given(st.text(max_size=300), st.sampled_from(DIALECTS))
def test_a_statement_that_was_taken_out_is_one_statement(query, dialect):
    try:
        statement, said = single(query, dialect)
    except RefusedError:
        return
    assert single(statement, dialect)[0] == statement
    assert said


@pytest.mark.parametrize("piece", ["(", "'", "/*", "$a$", "a.", "--\n", '"', "[", "/* */", "e'\\", "x'", "1e"])
def test_long_text_is_read_in_linear_time(piece):
    def seconds(length, dialect):
        query = piece * (length // len(piece)) + "'"
        began = time.thread_time()
        assert sum(1 for _ in tokens(query, dialect)) >= 1
        return time.thread_time() - began

    for dialect in (POSTGRES, SQLITE, MYSQL):
        seconds(1_000, dialect)
        # Sixteen times the length; quadratic would take 256 times as long.
        assert seconds(64_000, dialect) < 100 * max(seconds(4_000, dialect), 2e-3)
