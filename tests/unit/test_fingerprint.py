"""Errors that differ only in what varies have one fingerprint; others do not."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execlog.core.fingerprint import fingerprint, normalise
from execlog.core.model import Error


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Connection timeout after 30s", "Connection timeout after 45s"),
        ("no row 'AAPL' in \"prices\"", "no row 'GOOG' in \"volumes\""),
        ("job 0190f3a2-0000-7000-8000-00000000000a gone", "job 0190f3a2-ffff-7000-8000-0000000000ff gone"),
        ("object at 0x7f3a12", "object at 0x7f3a99"),
        ("blob deadbeefdeadbeef missing", "blob 0123456789abcdef missing"),
        ("at  line\n3", "at line 4"),
    ],
)
def test_what_varies_does_not_count(one, other):
    assert fingerprint(Error("E", one)) == fingerprint(Error("E", other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Error("ValueError", "no"), Error("KeyError", "no")),
        (Error("E", "connection refused"), Error("E", "connection reset")),
        (Error("E", "no", ("a.py:3 run",)), Error("E", "no", ("b.py:3 run",))),
        (Error("E", "no", ("a.py:3 run",)), Error("E", "no", ("a.py:3 load",))),
    ],
)
def test_what_is_another_error_counts(one, other):
    assert fingerprint(one) != fingerprint(other)


def test_a_moved_line_is_the_same_place():
    assert fingerprint(Error("E", "no", ("a.py:3 run",))) == fingerprint(Error("E", "no", ("a.py:33 run", "b.py:1 x")))


@given(st.text(), st.text(st.characters(exclude_categories=())), st.lists(st.text(), max_size=2).map(tuple))
def test_every_error_has_twelve_hex_digits(kind, message, frames):
    found = fingerprint(Error(kind, message, frames))
    assert len(found) == 12
    assert int(found, 16) >= 0


@pytest.mark.parametrize("piece", ["'", '"x', "a1", "f", "0-", "1.", "`1."])
def test_no_message_takes_long(piece):
    began = time.thread_time()
    normalise(piece * 5_000)
    assert time.thread_time() - began < 0.5
