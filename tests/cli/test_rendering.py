"""Numbers, texts and tables as people see them."""

from __future__ import annotations

import io

import pytest

from execlog.cli import executions, units
from execlog.cli.plumbing import Tail
from execlog.cli.table import Cell, Column, write_table, write_values
from execlog.cli.terminal import Terminal, columns_of, cut, printable, terminal_of
from execlog.core.clock import parse_seconds
from execlog.core.model import Event
from execlog.store.memory import MemoryStore

DAY = 86_400_000_000


def terminal(width=80, *, colour=False, glyphs=True) -> Terminal:
    return Terminal(io.StringIO(), interactive=True, colour=colour, width=width, glyphs=glyphs)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.0000123, "12.3 µs"),
        (0.0456, "45.6 ms"),
        (1.2345, "1.23 s"),
        (0.0009996, "1 ms"),
        (0.9996, "1 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (60, "1 min"),
        (75.4, "1 min 15 s"),
        (3_600, "1 h"),
        (3_725, "1 h 2 min"),
        (90_061, "1 d 1 h"),
    ],
)
def test_durations_are_in_the_unit_that_fits(value, text):
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("gone", "text"),
    [
        (0, "now"),
        (0.9, "now"),
        (1, "1 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (7_300, "2 h ago"),
        (200_000, "2 d ago"),
        (-90, "in 1 min"),
    ],
)
def test_ages(gone, text):
    now = 1_800_000_000_000_000
    assert units.age(now - int(gone * 1e6), now) == text


def test_an_old_age_is_a_date_and_the_ends_of_the_calendar_have_one():
    now = 1_800_000_000_000_000
    assert units.age(now - 40 * DAY, now) == units.local(now - 40 * DAY)[:10]
    assert (
        units.local(-62_135_596_800_000_000).startswith("1-01-01") or units.local(-62_135_596_800_000_000)[:4] == "0001"
    )
    assert units.local(253_402_300_799_999_999)[:4] in {"9999", "1000"}


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "$0.00"), (1, "$0.000000001"), (10**9, "$1.00"), (1_234_500_000_000, "$1,234.50"), (-5 * 10**8, "-$0.50")],
)
def test_money_is_exact(nano, text):
    assert units.dollars(nano) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 %"), (0.01, "0.1 %"), (50, "50 %"), (66.666, "66.7 %"), (99.99, "99.9 %"), (100, "100 %")],
)
def test_percents_never_round_to_all_or_nothing(value, text):
    assert units.percent(value) == text


@pytest.mark.parametrize(
    ("text", "value"), [("250ms", 0.25), ("1.5", 1.5), ("90s", 90), ("15m", 900), ("2h", 7_200), ("7d", 604_800)]
)
def test_durations_are_read(text, value):
    assert parse_seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "x", "-1s", "nan", "inf", "1e400h", "5 parsecs"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any will do
        parse_seconds(text)


@pytest.mark.parametrize(("text", "nano"), [("0.05", 50_000_000), ("$1", 10**9), ("0.000000001", 1)])
def test_amounts_are_read_exactly(text, nano):
    assert units.parse_dollars(text) == nano


def test_recorded_text_cannot_steer_a_terminal():
    assert printable("a\x1b[31m\x07\x9b\u202eb") == "a\\x1b[31m\\x07\\x9b\\u202eb"
    assert printable("two\nlines\t") == "two\\nlines\\t"
    assert printable("two\nlines", keep_newlines=True) == "two\nlines"
    assert printable("naïve 漢字") == "naïve 漢字"


def test_wide_characters_take_two_columns():
    assert columns_of("漢字") == 4
    assert columns_of("e\u0301") == 1
    assert cut("漢字漢字", 5) == "漢字…"
    assert cut("plain", 5) == "plain"
    assert cut("longer than that", 8) == "longer…"


COLUMNS = [
    Column("NAME", lambda row: Cell(row[0], "bold"), least=6),
    Column("N", lambda row: Cell(row[1], "red"), right=True),
    Column("EXTRA", lambda row: Cell(row[2]), least=6, drop=1),
]


def table(rows, width, **more) -> list[str]:
    out = terminal(width, **more)
    write_table(out, COLUMNS, rows)
    return out.stream.getvalue().splitlines()


def test_a_table_is_aligned():
    assert table([("alpha", "1", "first"), ("漢", "1000", "second")], 80) == [
        "NAME      N  EXTRA",
        "alpha     1  first",
        "漢     1000  second",
    ]


def test_a_wide_table_shrinks_and_then_drops_columns():
    rows = [("a-very-long-name-indeed", "12345", "something rather long to say")]
    for width in range(16, 70):
        lines = table(rows, width)
        assert max(map(columns_of, lines)) <= width, width
        assert "12345" in lines[1], width
    assert "EXTRA" not in table(rows, 16)[0]
    assert "…" in table(rows, 30)[1]
    assert "~" in table(rows, 30, glyphs=False)[1]


def test_columns_that_are_empty_throughout_are_left_out():
    assert table([("alpha", "", ""), ("beta", "", "")], 80) == ["NAME", "alpha", "beta"]


def test_colours_do_not_count_as_width():
    plain = table([("alpha", "1", "x"), ("b", "22", "y")], 80)
    coloured = table([("alpha", "1", "x"), ("b", "22", "y")], 80, colour=True)
    assert coloured[2] == "\x1b[1mb\x1b[0m      \x1b[31m22\x1b[0m  y"
    assert len(plain) == len(coloured)


def test_values_are_whole_and_one_a_line():
    out = terminal(10)
    write_values(out, ("one", "two"), [("a" * 50, "x\ty\nz")])
    assert out.stream.getvalue() == f"one\ttwo\n{'a' * 50}\tx\\ty\\nz\n"


class Screen(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "plain", "colour"),
    [
        ({"TERM": "xterm"}, False, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, False, True),
        ({"TERM": "xterm"}, True, False),
        ({"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_when_there_are_colours(environment, plain, colour):
    assert terminal_of(Screen(), plain=plain, environment=environment).colour is colour


def test_a_pipe_has_no_colours_unless_forced():
    assert not terminal_of(io.StringIO(), plain=False, environment={"TERM": "xterm"}).colour
    assert terminal_of(io.StringIO(), plain=False, environment={"FORCE_COLOR": "1"}).colour


def store_of(*ids: str) -> MemoryStore:
    store = MemoryStore()
    store.apply([Event(id=id_, kind="job", at=1) for id_ in ids])
    return store


def test_short_ids_are_beginnings_that_no_other_id_of_the_store_has():
    ids = [
        "019aaa39-4c1f-7abc-8001-aaaaaaaaaaaa",
        "019aaa39-4c1f-7abc-8002-aaaaaaaaaaaa",
        "019aaa3a-0000-7000-8000-bbbbbbbbbbbb",
        "mine",
    ]
    store = store_of(*ids)
    assert executions.short_ids(store, ids[:1]) == {ids[0]: "019aaa39-4c1f-7abc-8001"}
    assert executions.short_ids(store, ids[2:]) == {ids[2]: "019aaa3a-0000", "mine": "mine"}


def test_short_ids_where_one_is_the_beginning_of_another():
    names = ("nightly-backup", "nightly-backup-1", "nightly-backup-12", "nightly-backups")
    short = executions.short_ids(store_of(*names), names)
    assert short == {name: name for name in names}


def test_ids_are_whole_where_too_many_begin_as_they_do():
    ids = [f"019aaa39-4c1f-7{number:03x}-8001-aaaaaaaaaaaa" for number in range(250)]
    assert executions.short_ids(store_of(*ids), ids[:1]) == {ids[0]: ids[0]}


def test_a_tail_keeps_the_end_in_whole_lines():
    tail = Tail(20)
    for number in range(20_000):
        tail.write(b"line %d\r\n" % number)
    assert tail.text() == "line 19999\n"
    assert tail.last_line() == "line 19999"
    assert Tail(10).last_line() == ""
