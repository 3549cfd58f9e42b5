"""What watches over the server: its health, and metrics as Prometheus reads them."""

from __future__ import annotations

import re
import threading
import time

import pytest

from execlog.core.clock import SystemClock
from execlog.core.errors import StoreError
from execlog.core.filter import Filter, Page
from execlog.core.model import Status
from execlog.recorder import journal
from execlog.recorder.home import Home
from execlog.recorder.journal import Journal, Limits
from execlog.recorder.sidecar import Cursor, Owner
from execlog.web import health, workers
from histories import mixed, seed
from servers import wait_until

SAMPLE = re.compile(r'^[a-z_]+(\{[a-z_]+="(\\.|[^"\\\n])*"(,[a-z_]+="(\\.|[^"\\\n])*")*\})? -?[0-9.e+-]+$')


@pytest.fixture
def metrics(ledger, client):
    def read() -> dict[str, float]:
        answer = client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        found: dict[str, float] = {}
        for line in answer.text.splitlines():
            if not line.startswith("#"):
                assert SAMPLE.match(line), line
                name, _, value = line.rpartition(" ")
                assert name not in found
                found[name] = float(value)
        return found

    return read


def test_executions_are_counted_by_kind_and_status(ledger, metrics):
    seed(ledger, *mixed())
    found = metrics()
    assert found['execlog_executions{kind="job",status="succeeded"}'] == 2
    assert found['execlog_executions{kind="job",status="failed"}'] == 1
    assert found['execlog_executions{kind="workflow",status="succeeded"}'] == 1
    assert found['execlog_duration_seconds{kind="job"}'] == 40
    assert found['execlog_timed_executions{kind="workflow"}'] == 1
    assert found["execlog_store_up"] == 1
    assert found['execlog_cost_usd{kind="workflow"}'] == 0.001
    assert found['execlog_open_executions{status="running"}'] == ledger.store.count(Filter(statuses=(Status.RUNNING,)))


def test_a_store_that_takes_long_for_its_sums_is_asked_for_them_less_often(ledger, client, metrics, monkeypatch):
    class Clock(SystemClock):
        seconds = 0.0

        def monotonic(self) -> float:
            return self.seconds

    clock, stats, asked_at = Clock(), ledger.store.stats, []

    def slow(*args, **kwargs):
        asked_at.append(clock.seconds)
        clock.seconds += 5
        return stats(*args, **kwargs)

    monkeypatch.setattr(ledger, "clock", clock)
    monkeypatch.setattr(ledger.store, "stats", slow)
    for _ in range(12):
        assert metrics()["execlog_store_up"] == 1
        clock.seconds += 10
    assert asked_at == [0, 55, 110]


def test_what_removing_lowers_is_no_counter(ledger, client):
    seed(ledger, *mixed())
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", client.get("/metrics").text, re.MULTILINE))
    for name in ("executions", "open_executions", "rows", "tokens_input", "tokens_output", "cost_usd"):
        assert types[f"execlog_{name}"] == "gauge"
    assert types["execlog_duration_seconds"] == types["execlog_timed_executions"] == "gauge"
    assert {type_ for name, type_ in types.items() if name.endswith("_total")} == {"counter"}
    assert not {name for name, type_ in types.items() if type_ == "counter" and not name.endswith("_total")}


def test_the_journal_and_the_requests_are_counted(ledger, client, metrics):
    client.post("/api/executions", json=[{"name": "a"}, {"name": "b"}])
    client.get("/api/executions/nobody")
    assert ledger.flush()
    found = metrics()
    assert found["execlog_records_accepted_total"] == 2
    assert found["execlog_records_stored_total"] == 2
    assert found["execlog_records_pending"] == 0
    assert found["execlog_journal_bytes"] > 0
    assert found["execlog_live_clients"] == 0
    assert found['execlog_http_requests_total{method="POST",path="/api/executions",status="202"}'] == 1
    assert found['execlog_http_requests_total{method="GET",path="/api/executions/{id}",status="404"}'] == 1


def test_odd_kinds_do_not_break_the_format(ledger, metrics):
    from histories import execution

    seed(ledger, execution(0, kind='a"b\\c\nd'))
    assert metrics()['execlog_executions{kind="a\\"b\\\\c\\nd",status="succeeded"}'] == 1


def test_every_family_is_explained_once(client):
    lines = client.get("/metrics").text.splitlines()
    helped = [line.split()[2] for line in lines if line.startswith("# HELP")]
    typed = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert helped == typed
    assert len(helped) == len(set(helped))


def test_health_tells_of_a_store_that_answers_but_takes_nothing(ledger, client, monkeypatch):
    """Such as one whose schema a newer execlog brought up: what is read there says nothing of it."""

    def refuse(_):
        raise StoreError("it was brought up", retry=False)

    with monkeypatch.context() as patch:
        patch.setattr(ledger.store, "apply", refuse)
        ledger.record("a")
        wait_until(lambda: ledger.failing_for > 0, 10, "the store was not asked")
        assert client.get("/healthz").json()["status"] == "ok"
        patch.setattr(health, "STALLED", 0.0)
        answer = client.get("/healthz")
        assert (answer.status_code, answer.json()["status"], answer.json()["pending"]) == (503, "stalled", 1)
    wait_until(lambda: ledger.failing_for == 0, 10, "the store was not asked again")
    answer = client.get("/healthz").json()
    assert (answer["status"], answer["pending"]) == ("ok", 0)


def test_health_says_what_waits(ledger, client):
    assert client.get("/healthz").json() == {
        "status": "ok",
        "version": client.get("/healthz").json()["version"],
        "store": "reachable",
        "pending": 0,
        "dropped": 0,
        "journals": 0,
        "journal_bytes": 0,
        "live_clients": 0,
    }


def test_without_the_store_the_journals_are_still_told_of(ledger, client, metrics, monkeypatch):
    client.post("/api/executions", json=[{"name": "a"}])
    assert ledger.flush()

    def fail(*_, **__):
        raise StoreError("away", retry=True)

    for name in ("stats", "count", "changes"):
        monkeypatch.setattr(ledger.store, name, fail)
    wait_until(lambda: ledger.drained_at is not None, 10, "the end of the drain's turn")
    found = metrics()
    assert found["execlog_store_up"] == 0
    assert found["execlog_records_accepted_total"] == 1
    assert found["execlog_last_drain_timestamp_seconds"] > 1e9
    assert not any(name.startswith("execlog_executions") for name in found)
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["status"], answer.json()["journals"]) == (503, "down", 1)


def test_journals_of_other_processes_are_counted_once_until_and_after_they_are_gone(ledger, client, metrics):
    ledger.root.mkdir(parents=True, exist_ok=True)
    limits = Limits(4_096, 8_192, 0)
    other = Journal(ledger.root / "other", Owner("boot:other", 1, "here", "boot", 0), limits)
    while other.append(b"x" * 1_000):
        pass
    found = metrics()
    assert (found['execlog_journals{writer="alive"}'], found['execlog_journals{writer="gone"}']) == (1, 0)
    assert found["execlog_journal_bytes"] > 0
    assert found['execlog_lost_records_total{reason="outcome"}'] == 1
    assert client.get("/healthz").json()["dropped"] == 1
    other.close(remove=False)
    home = Home(ledger.root, ledger.clock.now)
    assert metrics()['execlog_journals{writer="gone"}'] == 1
    home.retire(other.folder, Cursor())
    found = metrics()
    assert found['execlog_journals{writer="gone"}'] == 0
    assert found['execlog_lost_records_total{reason="outcome"}'] == 1


def test_a_journal_that_cannot_grow_is_no_good_health(ledger, client, metrics, monkeypatch):
    client.post("/api/executions", json=[{"name": "a"}])
    assert metrics()["execlog_journal_shedding"] == 0
    monkeypatch.setattr(journal, "is_short_of_space", lambda *_, **__: True)
    ledger.recorder.journal.reassess()
    assert client.post("/api/executions", json=[{"name": "a", "status": "running"}]).status_code == 503
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["status"], answer.json()["store"]) == (503, "shedding", "reachable")
    assert metrics()["execlog_journal_shedding"] == 1


def test_the_process_is_told_of_in_the_names_of_prometheus_clients(metrics):
    found = metrics()
    assert abs(found["process_start_time_seconds"] - time.time()) < 3_600
    assert found["process_resident_memory_bytes"] > 1_000_000
    assert found["process_open_fds"] > 3
    assert found["process_cpu_seconds_total"] > 0
    assert any(name.startswith("execlog_build_info{version=") for name in found)


def test_a_store_that_hangs_is_told_without_waiting_for_it(ledger, client, monkeypatch):
    go, asked = threading.Event(), []

    def hang(after, *, limit=1000):
        asked.append(after)
        assert go.wait(60)
        return []

    monkeypatch.setattr(ledger.store, "changes", hang)
    for _ in range(2):
        answer = client.get("/healthz")
        assert (answer.status_code, answer.json()["store"]) == (503, "unreachable")
    assert len(asked) == 1  # what hangs is not asked again and again
    go.set()
    wait_until(lambda: client.get("/healthz").status_code == 200, 10, "the store answers again")


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_who_watches_does_not_wait_behind_requests_that_wait_for_the_store(ledger, client, monkeypatch, path):
    go, hanging = threading.Event(), threading.Semaphore(0)

    def hang(*_, **__):
        hanging.release()
        assert go.wait(60)
        return Page()

    monkeypatch.setattr(ledger.store, "find", hang)
    readers = [threading.Thread(target=client.get, args=("/api/executions",)) for _ in range(2 * workers.SIZE)]
    answers = []
    probe = threading.Thread(target=lambda: answers.append(client.get(path).status_code))
    for reader in readers:
        reader.start()
    for _ in range(workers.SIZE):
        assert hanging.acquire(timeout=10)
    probe.start()
    probe.join(10)
    answered = list(answers)
    go.set()
    for thread in (*readers, probe):
        thread.join(10)
    assert answered == [200]
