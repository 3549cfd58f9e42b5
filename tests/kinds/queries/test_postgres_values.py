"""What the gateway makes of PostgreSQL's values."""

from __future__ import annotations

import uuid
from urllib.parse import quote, urlencode

import psycopg
import pytest

from execlog.kinds.queries.gateway import Query

pytestmark = pytest.mark.postgres


@pytest.fixture
def tables(empty_postgres_url):
    return {"pg": {"type": "postgres", "url": empty_postgres_url}}


@pytest.fixture
def ask(gateway):
    return lambda query, **said: gateway.execute(Query(query=query, **said))


def test_values_are_safe(ask):
    row = ask(
        "select 12345678901234567890.10::numeric, 9007199254740993::int8, 'nan'::float8, '-infinity'::float8, "
        "'infinity'::timestamp, '10000-01-01'::date, '4713-01-01 BC'::date, '2020-01-01 12:00+02'::timestamptz, "
        "'1 day 2 hours'::interval, '\\xdeadbeef'::bytea, '{\"a\": [1, 1e400]}'::jsonb, '10.0.0.1/8'::inet, "
        "array[1, null], '[1,5)'::int4range, null, true, 'nan'::numeric, '-infinity'::interval"
    ).part.values()[0]
    assert row[:10] == [
        "12345678901234567890.10", "9007199254740993", "NaN", "-Infinity", "infinity", "10000-01-01", "4713-01-01 BC",
        "2020-01-01T10:00:00Z", "P1DT2H", "3q2+7w==",
    ]  # fmt: skip
    assert row[11:] == ["10.0.0.1/8", [1, None], "[1,5)", None, True, "NaN", "-infinity"]


@pytest.mark.parametrize(
    ("query", "type_", "value"),
    [
        ("'24:00:00'::time", "time", "24:00:00"),
        ("'24:00:00+15:59'::timetz", "timetz", "24:00:00+15:59"),
        ("'2147483647 days'::interval", "interval", "P2147483647D"),
        ("'(,5]'::int4range", "int4range", "(,6)"),
        ("'[2020-01-01,infinity)'::tsrange", "tsrange", '["2020-01-01 00:00:00",infinity)'),
        ("'{[1,3),[5,7)}'::int4multirange", "int4multirange", "{[1,3),[5,7)}"),
        ("array['happy', null]::mood[]", "mood[]", ["happy", None]),
        ("array[row('sad', 1)]::pair[]", "pair[]", ["(sad,1)"]),
        ("array[5::positive]", "positive[]", [5]),
        ("pg_sleep(0)", "void", ""),
        ("'[0.1, 1e400, 1.1000000000000000001]'::json", "json", [0.1, "1E+400", "1.1000000000000000001"]),
        ("repeat('1', 5000)::jsonb", "jsonb", "1" * 5000),
        ("(repeat('[', 3000) || repeat(']', 3000))::json", "json", "[" * 3000 + "]" * 3000),
    ],
)
def test_a_value_psycopg_has_no_word_for_keeps_all_it_says(ask, empty_postgres_url, query, type_, value):
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute("create type mood as enum ('sad', 'happy'); create type pair as (m mood, n int)")
        connection.execute("create domain positive as int check (value > 0)")
    part = ask(f"select {query} as v").part
    assert (part.column_types, part.values()) == ((type_,), [[value]])


def test_values_do_not_depend_on_the_settings_of_the_role(ask, make_gateway, empty_postgres_url):
    asked = (
        "select '0044-03-15 BC'::date, '2020-03-04 12:00+00'::timestamptz, '1 mon'::interval, '3 days'::interval, "
        "'00:00:01'::interval, 1 / 3.0::float8, E'\\\\x00ff'::bytea, '\\'"
    )
    odd = "-c DateStyle=SQL,DMY -c IntervalStyle=sql_standard -c extra_float_digits=-9 -c bytea_output=escape"
    odd += " -c standard_conforming_strings=off -c TimeZone=Asia/Kolkata"
    with psycopg.connect(empty_postgres_url) as connection:
        url = f"{empty_postgres_url}?" + urlencode({"options": odd}, quote_via=quote)
        assert connection.execute("select 1").fetchone() == (1,)
    for read_only in (True, False):
        gateway = make_gateway({"odd": {"type": "postgres", "url": url, "read_only": read_only}}, max_concurrent=1)
        for _ in range(2):
            assert gateway.execute(Query(query=asked)).part.values() == ask(asked).part.values()
    assert ask(asked).part.values() == [
        ["0044-03-15 BC", "2020-03-04T12:00:00Z", "P1M", "P3D", "PT1S", 1 / 3, "AP8=", "\\"]
    ]


def test_texts_of_a_database_without_an_encoding_are_texts(make_gateway, empty_postgres_url):
    name = "ascii_" + uuid.uuid4().hex
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute(
            f"create database {name} encoding sql_ascii locale 'C' locale_provider libc template template0"
        )
    try:
        url = empty_postgres_url.rpartition("/")[0] + f"/{name}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create table x as select unnest(array['plain', 'caf\u00e9', E'\\xff?']) as b".encode())
        for read_only in (True, False):
            gateway = make_gateway({"pg": {"type": "postgres", "url": url, "read_only": read_only}}, max_concurrent=1)
            for _ in range(2):
                part = gateway.execute(Query(query="select b, '\u00e9' from x")).part
                assert part.values() == [["plain", "\u00e9"], ["caf\u00e9", "\u00e9"], ["\ufffd?", "\u00e9"]]
            gateway.close()
    finally:
        with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")


INTERVALS = (
    "1 mon", "-1 mon", "1 year 2 mons 3 days 04:05:06.789", "-1 years -2 mons +3 days -04:05:06.5",
    "1 mon 00:00:00.000001", "2 years", "-178000000 years", "1 mon -1 days +120:00:00", "10 mons 10:10:10",
    "1 mon -00:00:01", "25 hours", "1 day 1 hour", "-1 day +01:00:00", "1 day -00:00:00.5", "0", "infinity",
)  # fmt: skip


def test_an_interval_keeps_its_months_days_and_hours(ask, empty_postgres_url):
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute("set intervalstyle = iso_8601")
        expected = [connection.execute("select %s::interval::text", [said]).fetchone()[0] for said in INTERVALS]
    asked = ask("select $1::interval[], '1 mon'::interval, '40 days'::interval", params=[list(INTERVALS)])
    assert asked.part.values() == [[expected, "P1M", "P40D"]]


def test_an_object_among_the_parameters_is_json(ask):
    asked = ask("select $1::jsonb -> 'a', $2::json ->> 'b', $3", params=[{"a": [1, None]}, {"b": "é"}, {"c": {}}])
    assert asked.part.values() == [[[1, None], "é", {"c": {}}]]
