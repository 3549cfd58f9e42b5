"""What watches over the server: its health, and metrics as Prometheus reads them."""

from __future__ import annotations

import re

import pytest

from execlog.core.filter import Filter
from execlog.core.model import Status
from histories import mixed, seed

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
    assert found['execlog_duration_seconds_sum{kind="job"}'] == 40
    assert found['execlog_duration_seconds_count{kind="workflow"}'] == 1
    assert found['execlog_cost_usd{kind="workflow"}'] == 0.001
    assert found['execlog_open_executions{status="running"}'] == ledger.store.count(Filter(statuses=(Status.RUNNING,)))


def test_what_removing_lowers_is_no_counter(ledger, client):
    seed(ledger, *mixed())
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", client.get("/metrics").text, re.MULTILINE))
    for name in ("executions", "open_executions", "rows", "tokens_input", "tokens_output", "cost_usd"):
        assert types[f"execlog_{name}"] == "gauge"
    assert types["execlog_duration_seconds"] == "summary"
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


def test_health_says_what_waits(ledger, client):
    assert client.get("/healthz").json() == {
        "status": "ok",
        "version": client.get("/healthz").json()["version"],
        "store": "reachable",
        "pending": 0,
        "dropped": 0,
        "journal_bytes": 0,
        "live_clients": 0,
    }
