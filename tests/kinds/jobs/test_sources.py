"""Where prices come from, over real HTTP, and where they are kept."""

import contextlib
import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from chores import wait_for
from execlog.core.errors import InvalidError, SettingsError
from execlog.core.model import Status
from execlog.kinds.jobs import Fetch, Job, JobExecutor, csv_source
from execlog.kinds.jobs.feed import PriceFeed
from execlog.kinds.jobs.fetcher import SAMPLE, configured_sources, open_source
from execlog.kinds.jobs.http_source import MAX_ANSWER, HttpSource, Pace, retry_after
from execlog.kinds.jobs.prices import Price, PriceTable
from execlog.kinds.jobs.sources import CsvConfig, FetchError, HttpConfig
from execlog.ledger import Ledger
from execlog.runner.stop import Stop, current
from stopping import stopped_when_asked

FAST = {"rate": 0, "backoff": 0.01}
STOCKS = ("MSFT", "AMZN", "IBM", "GOOG", "AAPL")
YEAR = ("2000-01-01", "2000-12-31")


@contextmanager
def server(answer):
    """A server that gives `answer(number)`: status, headers, body; `requests` are the paths asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            status, headers, body = answer(len(requests))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            for part in [body] if isinstance(body, bytes) else body:
                try:
                    self.wfile.write(part)
                except OSError:
                    return

        def log_message(self, *_):
            pass

    requests = []
    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}", requests
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def answers(*given):
    return lambda number: given[min(number, len(given)) - 1]


ROWS = (
    b'{"rows": [{"date": "2000-02-01", "close": 2}, {"date": "2000-01-03", "close": "1.5", "open": 1, "volume": null}]}'
)
GOOD = (200, {"Content-Type": "application/json"}, ROWS)


def test_the_shipped_prices_are_the_real_ones():
    prices = csv_source.CsvSource(CsvConfig(str(SAMPLE))).prices()
    assert {symbol: len(rows) for symbol, rows in prices.items()} == {
        "MSFT": 123, "AMZN": 123, "IBM": 123, "GOOG": 68, "AAPL": 123,
    }  # fmt: skip
    assert prices["GOOG"][0] == Price("2004-08-01", 102.37)
    assert prices["AAPL"][-1].date == "2010-03-01"


def test_a_job_over_a_real_feed_brings_home_rows_and_says_what_is_missing(tmp_path):
    with PriceFeed() as feed, Ledger.open("memory://", home=tmp_path) as ledger:
        sources = {"feed": HttpConfig(feed.url, **FAST)}
        with JobExecutor(ledger, sources=sources) as executor:
            job = Job(id="j", name="J", stocks=STOCKS, run=Fetch("feed", *YEAR))
            for _ in range(2):
                result = executor.execute_job(job)
                assert result.status == "partial_success"
                missing = "no rows for GOOG between 2000-01-01 and 2000-12-31; its first row is 2004-08-01"
                assert result.errors == [f"Failed to fetch GOOG: {missing}"]
            execution = executor.registry.find(result.execution_id)
    assert execution.rows == 48
    assert execution.items[0].output == {"first": "2000-01-01", "last": "2000-12-01"}
    table = PriceTable(tmp_path / "prices.db")
    assert table.count() == 48
    assert table.read("MSFT", limit=1) == [Price("2000-01-01", 39.81)]
    table.close()


def test_a_feed_that_is_busy_now_and_then_is_asked_again(tmp_path):
    with PriceFeed(busy_every=3, busy_seconds=0) as feed:
        source = HttpSource(HttpConfig(feed.url, **FAST))
        assert [len(source.fetch(symbol, *YEAR)) for symbol in ("MSFT", "IBM", "AAPL", "AMZN")] == [12] * 4
        assert feed.requests == 5


def test_a_slow_feed_times_out_in_the_words_of_the_contract(tmp_path):
    with PriceFeed(delays={"GOOGL": 30}) as feed, Ledger.open("memory://", home=tmp_path) as ledger:
        sources = {"feed": HttpConfig(feed.url, timeout=0.2)}
        with JobExecutor(ledger, sources=sources) as executor:
            result = executor.execute_job(Job(id="j", name="J", stocks=("MSFT", "GOOGL"), run=Fetch("feed", *YEAR)))
            assert result.errors == ["Failed to fetch GOOGL: Connection timeout after 0.2s"]
            assert executor.registry.find(result.execution_id).items[1].status is Status.TIMED_OUT


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 400), ("symbol=NONE", 404), ("symbol=GOOG&end=2003-12-31", 404), ("symbol=GOOG", 200), ("symbol=%00", 404)],
)
def test_the_feed_answers_as_feeds_do(query, status):
    with PriceFeed() as feed:
        assert feed.answer("/prices", query)[0] == status
        assert feed.answer("/else", query)[0] == 404


def test_rows_are_read_sorted_and_cut_to_the_days_asked_for():
    with server(answers(GOOD)) as (url, requests):
        source = HttpSource(HttpConfig(f"{url}/base/", **FAST))
        assert source.fetch("A/B&C", *YEAR) == [Price("2000-01-03", 1.5, open=1.0), Price("2000-02-01", 2.0)]
        assert source.fetch("A", "2000-01-05", "2000-12-31") == [Price("2000-02-01", 2.0)]
        with pytest.raises(
            FetchError, match="no rows for A between 1999-01-01 and 1999-12-31; its first row is 2000-01-03"
        ):
            source.fetch("A", "1999-01-01", "1999-12-31")
    assert requests[0] == "/base/prices?symbol=A%2FB%26C&start=2000-01-01&end=2000-12-31"


def test_csv_answers_and_bare_lists_are_read_too():
    csv = (200, {"Content-Type": "text/csv; charset=utf-8"}, b"date,price\nJan 3 2000,7.5\n")
    bare = (200, {"Content-Type": "application/json"}, b'[{"date": "2000-01-03T00:00:00Z", "close": 7.5}]')
    with server(answers(csv, bare)) as (url, _):
        source = HttpSource(HttpConfig(url, **FAST))
        assert source.fetch("A", *YEAR) == source.fetch("A", *YEAR) == [Price("2000-01-03", 7.5)]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_busy_and_broken_servers_are_asked_again(status):
    with server(answers((status, {}, b""), (status, {}, b""), GOOD)) as (url, requests):
        assert len(HttpSource(HttpConfig(url, **FAST)).fetch("A", *YEAR)) == 2
        assert len(requests) == 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail": "in maintenance"}', "in maintenance"),
        (b'"ferm\xe9"', '"ferm\ufffd"'),
        (b"[" * 100_000, r"\[+"),
    ],
    ids=["json", "no utf-8", "too deep"],
)
def test_after_the_last_try_the_server_s_own_words_are_the_error(body, words):
    with server(answers((503, {}, body))) as (url, requests):
        with pytest.raises(FetchError, match=rf"^HTTP 503 Service Unavailable: {words}$"):
            HttpSource(HttpConfig(url, retries=2, **FAST)).fetch("A", *YEAR)
        assert len(requests) == 3


@pytest.mark.parametrize(
    ("status", "message"),
    [(400, "HTTP 400 Bad Request: no"), (404, "^no$"), (301, "HTTP 301 Moved Permanently, it is at /elsewhere: no")],
)
def test_what_asking_again_cannot_mend_is_not_asked_again(status, message):
    with server(answers((status, {"Location": "/elsewhere"}, b"no"))) as (url, requests):
        with pytest.raises(FetchError, match=message):
            HttpSource(HttpConfig(url, **FAST)).fetch("A", *YEAR)
        assert len(requests) == 1


def test_the_server_s_retry_after_is_waited_for():
    with server(answers((429, {"Retry-After": "1"}, b""), GOOD)) as (url, _):
        began = time.monotonic()
        HttpSource(HttpConfig(url, **FAST)).fetch("A", *YEAR)
        assert time.monotonic() - began >= 1


def test_a_server_that_asks_for_too_long_a_wait_fails_at_once():
    with server(answers((429, {"Retry-After": "3600"}, b""))) as (url, requests):
        with pytest.raises(FetchError, match="HTTP 429 Too Many Requests; it asks to wait 3600s"):
            HttpSource(HttpConfig(url, **FAST)).fetch("A", *YEAR)
        assert len(requests) == 1


NOW = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        (format_datetime(datetime(2025, 1, 1, 0, 1, tzinfo=UTC), usegmt=True), 60.0),
        (format_datetime(datetime(2024, 1, 1, tzinfo=UTC), usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 40, None),
        ("²", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(value, seconds):
    assert retry_after(value, now=NOW.timestamp()) == seconds


def test_a_server_that_is_not_there_is_said_to_refuse():
    with server(answers(GOOD)) as (url, _):
        pass
    with pytest.raises(FetchError, match=r"Connection to 127.0.0.1:\d+ failed: .*refused"):
        HttpSource(HttpConfig(url, retries=1, **FAST)).fetch("A", *YEAR)


def drip(number, part):
    for _ in range(number):
        yield part
        time.sleep(0.02)


def dripping_headers(client):
    with client, contextlib.suppress(OSError):
        client.sendall(b"HTTP/1.1 200 OK\r\n")
        for part in drip(200, b"X-Slow: x\r\n"):
            client.sendall(part)


def test_a_server_that_drips_its_body_is_given_up_at_the_timeout():
    with server(lambda _: (200, {}, drip(200, b" "))) as (url, _):
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"Connection timeout after 0.3s"):
            HttpSource(HttpConfig(url, timeout=0.3)).fetch("A", *YEAR)
        assert time.monotonic() - began < 2


def test_a_server_that_drips_its_headers_is_given_up_at_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        answering = threading.Thread(target=lambda: dripping_headers(listening.accept()[0]))
        answering.start()
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"Connection timeout after 0.3s"):
            HttpSource(HttpConfig(url, timeout=0.3)).fetch("A", *YEAR)
        assert time.monotonic() - began < 2
        answering.join()


def test_a_fetch_s_own_limit_is_beyond_that_of_its_source():
    config = HttpConfig("http://localhost")
    assert Job(name="J").seconds_per_item > (config.retries + 1) * config.timeout


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "neither JSON nor CSV"),
        (b"{}", "not a list of rows"),
        (b'"x"', "not a list of rows"),
        (b"[1]", "row 1 is not an object"),
        (b'[{"date": "2000-01-01"}]', "row 1 is not a price"),
        (b'[{"date": "someday", "close": 1}]', "row 1 is not a price"),
        (b'[{"date": "2000-01-01", "close": "NaN"}]', "row 1 is not a price"),
        (b'[{"date": "2000-01-01", "close": 1e999}]', "neither JSON nor CSV|row 1 is not a price"),
        (b'[{"date": "2000-01-01", "close": null, "price": null}]', "row 1 has no closing price"),
        (b"[" * 100_000, "neither JSON nor CSV"),
        (b"\xff\xfe", "neither JSON nor CSV"),
        (b'{"rows": []}', "no rows for A"),
    ],
)
def test_answers_that_are_no_prices_fail_with_their_reason(body, message):
    given = (200, {"Content-Type": "application/json"}, body)
    with server(answers(given)) as (url, _), pytest.raises(FetchError, match=message):
        HttpSource(HttpConfig(url, **FAST)).fetch("A", *YEAR)


def test_an_answer_without_end_is_not_kept_in_memory(monkeypatch):
    monkeypatch.setattr("execlog.kinds.jobs.http_source.MAX_ANSWER", 100_000)
    endless = server(lambda _: (200, {}, (b"x" * 10_000 for _ in range(10_000))))
    with endless as (url, _), pytest.raises(FetchError, match="larger than 100000 bytes"):
        HttpSource(HttpConfig(url, **FAST)).fetch("A", *YEAR)
    assert MAX_ANSWER == 32 * 2**20


def test_a_cancelled_fetch_does_not_wait_for_its_next_try():
    stop = Stop()
    token = current.set(stop)
    try:
        with server(answers((503, {"Retry-After": "20"}, b""))) as (url, requests):
            began = time.monotonic()
            with stopped_when_asked(stop, requests), pytest.raises(FetchError):
                HttpSource(HttpConfig(url, **FAST)).fetch("A", *YEAR)
            assert time.monotonic() - began < 5
            assert len(requests) == 1
    finally:
        current.reset(token)


def test_waiting_for_the_rate_or_between_tries_is_no_time_of_the_item_s(tmp_path):
    busy = (429, {"Retry-After": "1"}, b"")
    with server(answers(busy, GOOD)) as (url, _), Ledger.open("memory://", home=tmp_path) as ledger:
        sources = {"feed": HttpConfig(url, rate=4)}
        with JobExecutor(ledger, sources=sources) as executor:
            job = Job(name="J", stocks=tuple("ABCD"), run=Fetch("feed", *YEAR), item_timeout=0.5)
            assert executor.execute_job(job).errors == []


def test_who_is_told_to_end_asks_nothing_and_takes_no_turn():
    stop, said = Stop(), []

    def ask(source):
        current.set(stop)
        with pytest.raises(FetchError, match="told to end"):
            source.fetch("A", *YEAR)
        said.append("nothing")

    with server(answers(GOOD)) as (url, requests):
        source = HttpSource(HttpConfig(url, rate=0.01))
        source.fetch("A", *YEAR)
        turn = source._pace._next
        threads = [threading.Thread(target=ask, args=(source,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        wait_for(source._pace._turn.locked)
        stop.set("enough")
        for thread in threads:
            thread.join(10)
        assert (len(said), len(requests), source._pace._next) == (5, 1, turn)


def test_the_rate_holds_over_threads():
    pace, began = Pace(100), time.monotonic()
    threads = [threading.Thread(target=lambda: [pace.wait() for _ in range(10)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 0.28


@pytest.mark.parametrize("path", ["/x/{ticker}", "/x/{symbol}/{", "/x/{0}", "/x/{symbol.name}"])
def test_a_path_that_cannot_be_filled_in_is_refused_where_it_is_configured(tmp_path, path):
    written = f'[sources.feed]\ntype = "http"\nbase_url = "https://example.org"\npath = "{path}"\n'
    (tmp_path / "execlog.toml").write_text(written)
    with pytest.raises(SettingsError, match=r"sources\.feed.*\{symbol\}, \{start\} and \{end\}"):
        configured_sources(tmp_path)


def test_a_password_in_an_address_is_refused_and_not_shown(tmp_path):
    (tmp_path / "execlog.toml").write_text(
        '[sources.feed]\ntype = "http"\nbase_url = "https://ann:hunter2@example.org"\n'
    )
    with pytest.raises(SettingsError, match="a user or password in it is not sent") as refused:
        configured_sources(tmp_path)
    assert "hunter2" not in str(refused.value)


def test_sources_are_configured_by_name(tmp_path):
    (tmp_path / "execlog.toml").write_text(
        '[sources.feed]\ntype = "http"\nbase_url = "https://example.org"\nrate = 2\n'
    )
    sources = configured_sources(tmp_path)
    assert sources["feed"] == HttpConfig("https://example.org", rate=2)
    assert {"sample", "yfinance", "feed"} == set(sources)
    assert open_source(sources["feed"]) is open_source(HttpConfig("https://example.org", rate=2.0))
    (tmp_path / "execlog.toml").write_text('[sources.feed]\ntype = "http"\nbase_url = "ftp://example.org"\n')
    with pytest.raises(SettingsError, match=r"sources\.feed"):
        configured_sources(tmp_path)


def test_keeping_a_price_again_replaces_it(tmp_path):
    table = PriceTable(tmp_path / "new" / "prices.db")
    assert (
        table.keep("A", [Price("2000-01-01", 1.0), Price("2000-01-02", 2.0, volume=5)], source="s", fetched_at=1) == 2
    )
    table.keep("A", [Price("2000-01-02", 3.0)], source="s", fetched_at=2)
    table.keep("A", [Price("2000-01-02", 4.0)], source="other", fetched_at=2)
    assert table.read("A", source="s") == [Price("2000-01-01", 1.0), Price("2000-01-02", 3.0)]
    assert [price.close for price in table.read("A", "2000-01-02")] == [4.0, 3.0]
    assert table.count() == 3
    table.close()


def test_a_fetch_without_a_stock_or_source_is_refused(tmp_path):
    with Ledger.open("memory://", home=tmp_path) as ledger, JobExecutor(ledger, sources={}) as executor:
        result = executor.execute_job(Job(id="j", name="J", stocks=("A",), run=Fetch("none")))
        assert result.errors == ["Failed to fetch A: there is no source 'none'; configured are none"]
        with pytest.raises(InvalidError):
            executor.execute_job(Job(id="j", name="J"))
