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
        ("user alice_17 not found", "user alice_99 not found"),
        ("no such file: /data/tmpabc123x/in.csv", "no such file: /data/tmpzzq_9y/in.csv"),
        ("cannot open /data/2026/01/05/MSFT.parquet", "cannot open data/2026/AAPL.parquet"),
        (
            "404 Client Error: Not Found for url: https://api.test/v1/MSFT?token=abc",
            "404 Client Error: Not Found for url: https://api.test/v1/AAPL?token=xyz",
        ),
        ("connect to [fe80::1ff:fe23:4567:890a]:5432 failed", "connect to [2001:db8::a]:5432 failed"),
        ("connect to db-7f9c-x2.internal:5432 refused", "connect to db-8a1d-q9.internal:5432 refused"),
        ("request id 8f3ac9 failed", "request id b71e02 failed"),
        ("instance i-0ab12cd34ef is gone", "instance i-0ffe2cd34aa is gone"),
        ("failed at Mon Jan  5 10:00:01 2026", "failed at Tue Feb 17 11:30:00 2026"),
        ("job 01J8Z3K4M5N6P7Q8R9S0T1V2W3 lost", "job 01J8Z3K4M5N6P7Q8R9S0AAAAAA lost"),
        ("mail to ann@example.com bounced", "mail to bob.lee@example.org bounced"),
        ("took 1.5e-3 s", "took 2 s"),
        ("-5 is negative", "7 is negative"),
        (
            "Command '['ls', '/data/a b/x', 'foo']' returned non-zero exit status 2.",
            "Command '['ls', '/q', 'bar', '-l']' returned non-zero exit status 2.",
        ),
        (
            "errors (3 sub-exceptions)\n- ValueError: bad row 3\n- KeyError: 'x'\n- ValueError: bad row 5",
            "errors (2 sub-exceptions)\n- KeyError: 'y'\n- ValueError: bad row 9",
        ),
        ("no route", "no route\nwhile handling OSError: no route (at a.py:3 connect)"),
    ],
)
def test_what_varies_does_not_count(one, other):
    assert fingerprint(Error("E", one)) == fingerprint(Error("E", other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Error("ValueError", "no"), Error("KeyError", "no")),
        (Error("E", "connection refused"), Error("E", "connection reset")),
        (Error("E", "cannot make int64 of it"), Error("E", "cannot make float64 of it")),
        (Error("E", "can't open the file, won't retry"), Error("E", "can't reach the host, won't retry")),
        (Error("E", "exit code 1"), Error("E", "exit code 137: 12")),
        (Error("E", "HTTP 404"), Error("E", "HTTP 503")),
        (Error("E", "server returned 503"), Error("E", "server returned 404")),
        (Error("E", "Error code: 429 - {'a': 'b'}"), Error("E", "Error code: 401 - {'a': 'b'}")),
        (Error("E", "Client error '404 Not Found'"), Error("E", "Client error '401 Unauthorized'")),
        (Error("E", "401 Client Error:  for url: https://a"), Error("E", "404 Client Error:  for url: https://a")),
        (Error("E", "killed by signal 9"), Error("E", "killed by signal 15")),
        (Error("E", "ORA-00942: no"), Error("E", "ORA-01017: no")),
        (
            Error("E", "(1045, \"Access denied for user 'root'@'db1'\")"),
            Error("E", "(1049, \"Access denied for user 'root'@'db1'\")"),
        ),
        (
            Error("E", 'refused: "rate limit reached for this model"'),
            Error("E", 'refused: "the key is not valid here"'),
        ),
        (Error("E", "no", ("a.py:3 run",)), Error("E", "no", ("b.py:3 run",))),
        (Error("E", "no", ("a.py:3 run",)), Error("E", "no", ("a.py:3 load",))),
    ],
)
def test_what_is_another_error_counts(one, other):
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.py:3 run", "a.py:33 run"),
        ("/srv/releases/20260101/jobs/load.py:12 load", "/app/etl/load.py:19 load"),
        ("/usr/lib/python3.11/json/decoder.py:3 decode", "/usr/lib/python3.12/json/decoder.py:9 decode"),
        ("<ipython-input-3-abc>:1 <module>", "<ipython-input-7-bcd>:1 <module>"),
        ("C:\\old\\a.py:3 f.<locals>.<lambda>", "D:\\new\\a.py:4 f.<locals>.<lambda>"),
    ],
)
def test_moved_code_is_the_same_place(one, other):
    assert fingerprint(Error("E", "no", (one, "b.py:1 x"))) == fingerprint(Error("E", "no", (other,)))


def test_a_type_is_the_same_wherever_it_is_defined():
    assert fingerprint(Error("DataError", "no")) == fingerprint(Error("shop.jobs.load.DataError", "no"))


def test_an_item_named_in_its_own_error_does_not_count():
    assert fingerprint(Error("E", "no rows for GOOG"), "GOOG") == fingerprint(Error("E", "no rows for IBM"), "IBM")
    assert fingerprint(Error("E", "no rows for GOOG"), "GO") == fingerprint(Error("E", "no rows for GOOG"))


@given(st.text(), st.text(st.characters(exclude_categories=())), st.lists(st.text(), max_size=2).map(tuple))
def test_every_error_has_twelve_hex_digits(kind, message, frames):
    found = fingerprint(Error(kind, message, frames))
    assert len(found) == 12
    assert int(found, 16) >= 0


@pytest.mark.parametrize(
    "piece", ["'", '"x', "a1", "f", "0-", "1.", "`1.", "a/", "a@", "f:", "a-", "May 1 ", "x://", "a "]
)
def test_no_message_takes_long(piece):
    began = time.thread_time()
    normalise(piece * 5_000)
    assert time.thread_time() - began < 0.5
