"""A real server: it says its URL when it answers, stops within three seconds, and streams what happens."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import signal
import socket
import urllib.request

import pytest

from execlog.core.errors import SettingsError
from execlog.core.settings import Settings
from execlog.ledger import Ledger
from execlog.web.server import Server, bind
from histories import execution
from servers import wait_until
from webserver import EventReader, WebServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with WebServer(tmp_path_factory.mktemp("home")) as started:
        yield started
        assert started.stop() < 3.0


@pytest.fixture
def cleanup():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def follow(cleanup):
    def connect(server: WebServer, path: str, **headers: str) -> EventReader:
        return cleanup.enter_context(contextlib.closing(EventReader(server.port, path, **headers)))

    return connect


def get(server: WebServer, path: str) -> dict:
    with urllib.request.urlopen(server.url + path, timeout=10) as answer:
        return json.load(answer)


def post(server: WebServer, *said: dict) -> list[str]:
    request = urllib.request.Request(
        f"{server.url}/api/executions", json.dumps(said).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["ids"]


def test_it_answers_when_it_says_so(server):
    assert get(server, "/healthz")["status"] == "ok"
    with urllib.request.urlopen(server.url + "/healthz", timeout=10) as answer:
        assert "server" not in {name.lower() for name in answer.headers}


def test_it_streams_what_happens_from_now_on(server, follow):
    reader = follow(server, "/api/feed?kind=now")
    assert (reader.status, reader.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert reader.headers["x-content-type-options"] == "nosniff"
    assert reader.first()["retry"] == "2000"
    [new] = post(server, {"kind": "now", "name": "a", "rows": 3})
    event = reader.next()
    assert event["event"] == "execution"
    assert (json.loads(event["data"])["id"], json.loads(event["data"])["rows"]) == (new, 3)
    request = urllib.request.Request(f"{server.url}/api/executions/{new}?kind=now", method="DELETE")
    urllib.request.urlopen(request, timeout=10).close()
    gone = reader.next()
    assert (gone["event"], json.loads(gone["data"])) == ("deleted", {"kind": "now", "namespace": "", "id": new})
    assert int(gone["id"]) > int(event["id"])


def test_a_client_that_comes_back_misses_nothing(server, follow):
    reader = follow(server, "/api/feed?kind=back")
    reader.first()
    [first] = post(server, {"kind": "back", "name": "a"})
    last = reader.next()["id"]
    reader.close()
    missed = [post(server, {"kind": "back", "name": "b"})[0] for _ in range(3)]
    wait_until(lambda: len(get(server, "/api/executions?kind=back")["executions"]) == 4, 10, "storing")
    again = follow(server, "/api/feed?kind=back", **{"Last-Event-ID": last})
    assert [found["id"] for found in again.executions(3)] == missed
    by_query = follow(server, f"/api/feed?kind=back&last_event_id={last}")
    assert [found["id"] for found in by_query.executions(3)] == missed
    from_the_beginning = follow(server, "/api/feed?kind=back&last_event_id=0")
    assert [found["id"] for found in from_the_beginning.executions(4)] == [first, *missed]


def test_a_stream_is_narrowed(server, follow):
    reader = follow(server, "/api/feed?kind=narrow&subject=wanted&status=failed,partial")
    reader.first()
    post(
        server,
        {"kind": "narrow", "subject": "other", "error": "x"},
        {"kind": "narrow", "subject": "wanted"},
        {"kind": "other", "subject": "wanted", "error": "x"},
    )
    [new] = post(server, {"kind": "narrow", "subject": "wanted", "error": "x"})
    assert reader.executions(1)[0]["id"] == new


@pytest.mark.parametrize("header", ["abc", "-1", "1.5", "9" * 30])
def test_a_last_event_id_that_is_none_is_422(server, header, follow):
    reader = follow(server, "/api/feed", **{"Last-Event-ID": header})
    assert reader.status == 422


def test_too_many_live_clients_are_told_to_come_again(tmp_path, follow):
    with WebServer(tmp_path, EXECLOG_SSE_CLIENTS="2") as server:
        readers = [follow(server, "/api/feed") for _ in range(2)]
        for reader in readers:
            reader.first()
        refused = follow(server, "/api/feed")
        assert (refused.status, refused.headers["retry-after"]) == (503, "10")
        readers.pop().close()
        wait_until(lambda: get(server, "/healthz")["live_clients"] == 1, 10, "noticing that a client left")
        admitted = follow(server, "/api/feed")
        assert admitted.status == 200
        assert server.stop() < 3.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_stops_within_three_seconds_with_streams_open(tmp_path, number, follow, cleanup):
    with WebServer(tmp_path) as server:
        readers = [follow(server, "/api/feed") for _ in range(20)]
        for reader in readers:
            reader.first()
        idle = cleanup.enter_context(
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10))
        )
        idle.request("GET", "/healthz")
        idle.getresponse().read()
        half = cleanup.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        half.sendall(b"POST /api/executions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert server.stop(number) < 3.0
        assert all(reader.ended.wait(5) for reader in readers)


def test_what_was_accepted_is_kept_when_it_stops(tmp_path):
    with WebServer(tmp_path, f"sqlite:///{tmp_path / 'kept.db'}") as server:
        ids = [post(server, {"name": "a"})[0] for _ in range(20)]
        server.stop()
    with Ledger.open(f"sqlite:///{tmp_path / 'kept.db'}", home=tmp_path) as ledger:
        assert all(ledger.store.get(one) is not None for one in ids)


def test_what_another_process_writes_is_streamed_too(tmp_path, follow):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    with WebServer(tmp_path, url) as server, Ledger.open(url, home=tmp_path) as ledger:
        reader = follow(server, "/api/feed?kind=elsewhere")
        reader.first()
        written = [ledger.record("there", kind="elsewhere") for _ in range(3)]
        assert {found["id"] for found in reader.executions(3)} == set(written)
        ledger.store.apply([execution(1, id="straight", kind="elsewhere")])
        assert reader.executions(1)[0]["id"] == "straight"


def test_a_taken_port_is_said_clearly():
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(SettingsError, match=r"cannot listen on 127\.0\.0\.1"):
            bind("127.0.0.1", taken.getsockname()[1])
    for host in ("999.999.999.999", "no.such.host.invalid"):
        with pytest.raises(SettingsError, match="cannot listen"):
            bind(host, 0)


def test_it_serves_in_a_thread_too(tmp_path, cleanup):
    ledger = cleanup.enter_context(Ledger.open("memory://", home=tmp_path))
    with Server(ledger, settings=Settings(port=0)).in_thread() as url:
        assert urllib.request.urlopen(f"{url}/healthz", timeout=10).read()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/healthz", timeout=10)


def test_off_loopback_it_does_not_start_without_tokens(tmp_path):
    with Ledger.open("memory://", home=tmp_path) as ledger, pytest.raises(SettingsError, match="EXECLOG_TOKENS"):
        Server(ledger, settings=Settings(host="0.0.0.0", port=0))


def test_a_body_over_the_limit_ends_the_connection(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sent:
        sent.sendall(
            b"POST /api/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 10000000000\r\n\r\n{"
        )
        answer = sent.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("chunked", [False, True])
def test_who_sends_too_much_reads_why(server, chunked):
    body = b" " * 2**22
    for _ in range(10):
        data = iter([body[:70_000]] * 60) if chunked else body
        sent = urllib.request.Request(f"{server.url}/api/executions", data, {"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(sent, timeout=10)
        assert refused.value.code == 413
        assert b"1048576 bytes" in refused.value.read()


def test_what_waits_to_be_asked_for_is_refused_unsent(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=4) as sent:
        sent.sendall(
            b"POST /api/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: 4194304\r\n\r\n"
        )
        assert sent.makefile("rb").read().startswith(b"HTTP/1.1 413")


def test_many_live_clients_may_open_files(server):
    soft, _hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    assert soft > 3_000


@pytest.mark.parametrize("head", [b"GET /" + b"x" * 100_000, b"GET / HTTP/1.1\r\n" + b"X-Many: 1\r\n" * 10_000])
def test_a_head_without_end_is_refused(server, head):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sent:
        with contextlib.suppress(OSError):
            for start in range(0, len(head), 4096):
                sent.sendall(head[start : start + 4096])
        with contextlib.suppress(ConnectionResetError):
            assert sent.recv(100).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
def test_a_head_that_never_comes_is_not_waited_for(tmp_path, cleanup, monkeypatch, begun):
    monkeypatch.setattr("execlog.web.protocol.SECONDS_FOR_HEAD", 0.2)
    ledger = cleanup.enter_context(Ledger.open("memory://", home=tmp_path))
    server = Server(ledger, settings=Settings(port=0))
    cleanup.enter_context(server.in_thread())
    sent = cleanup.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
    sent.sendall(begun)
    assert sent.recv(100) == b""


_CHUNKED = b"POST /api/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_CHUNKED += b'Transfer-Encoding: chunked\r\n\r\nd\r\n{"name": "x"}\r\n'


@pytest.mark.parametrize("more", [b"0\r\n", b"0\r\nX-One: ", b"1;"], ids=["trailers", "one trailer", "extension"])
def test_what_is_no_body_ends_the_connection_where_it_has_no_end(server, more):
    line = b"X-Many: 1\r\n" if more == b"0\r\n" else b"x" * 11
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sent:
        sent.sendall(_CHUNKED + more)
        sixteen_megabytes = line * 1_450_000
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            sent.sendall(sixteen_megabytes)


def test_trailers_are_no_headers(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sent:
        for _ in range(2):
            sent.sendall(_CHUNKED + b"0\r\nContent-Encoding: gzip\r\n\r\n")
            answer = http.client.HTTPResponse(sent)
            answer.begin()
            assert (answer.status, answer.read()[:14]) == (202, b'{"accepted":1,')


def test_a_body_that_goes_on_after_the_answer_is_not_waited_for(tmp_path, cleanup, monkeypatch):
    monkeypatch.setattr("execlog.web.protocol.SECONDS_FOR_HEAD", 0.2)
    ledger = cleanup.enter_context(Ledger.open("memory://", home=tmp_path))
    server = Server(ledger, settings=Settings(port=0))
    cleanup.enter_context(server.in_thread())
    sent = cleanup.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
    sent.sendall(_CHUNKED.replace(b"/api/executions", b"/nowhere"))
    assert sent.recv(100).startswith(b"HTTP/1.1 404")

    def ends() -> bool:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sent.sendall(b"1\r\nx\r\n")  # sooner than a line that lies idle is given up
            return False
        return True

    wait_until(ends, 10, "the end of the connection")


def test_requests_follow_each_other_on_one_connection(server):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        for _ in range(3):
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
        connection.request("POST", "/api/executions", b'{"name": "x"}', {"Content-Type": "application/json"})
        assert connection.getresponse().status == 202
