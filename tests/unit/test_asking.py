"""Asking from Python: the words of the API, and what was recorded a moment ago is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import execlog
from execlog.core.errors import InvalidError, NotFoundError
from execlog.core.model import Event, Status
from execlog.ledger import Ledger

DAY = 86_400_000_000


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open("sqlite:///" + str(tmp_path / "execlog.db"), home=tmp_path) as opened:
        yield opened


@pytest.fixture
def history(ledger):
    return execlog.open_history(ledger)


def nightly(ledger, *, stocks, broken=(), version):
    with ledger.run("nightly", kind="job", params={"version": version}) as run:
        for stock in run.items(stocks):
            with stock:
                if stock.value in broken:
                    raise ConnectionError("no answer")
    return run.id


def test_what_was_recorded_just_now_is_in_the_answer(ledger, history):
    id_ = ledger.record("load", kind="query", subject="kdb", rows=7)
    assert [(one.id, one.rows) for one in history.executions(kind="query")] == [(id_, 7)]
    assert history.latest("kdb").id == id_
    assert history.latest("another") is None


def test_what_has_a_name_alone_is_found_by_it(ledger, history):
    id_ = ledger.record("load")
    assert history.latest("load").id == id_
    assert [one.subject for one in history.latest_of_each()] == ["load"]
    ledger.append(
        Event(id="sent", kind="task", at=ledger.recorder.stamp(), status=Status.SUCCEEDED, name="sent by curl")
    )
    ledger.append(Event(id="old", kind="task", at=ledger.recorder.stamp() - 31 * DAY, name="long ago"))
    assert history.latest("sent by curl").id == "sent"
    assert history.latest("sent by curl", kind="job") is None
    assert history.latest("long ago") is None
    assert history.latest("long ago", since="60d").id == "old"


def test_one_status_or_several(ledger, history):
    for status in ("succeeded", "failed", "cancelled"):
        ledger.record("load", status=status)
    assert [one.status for one in history.executions(status="failed")] == ["failed"]
    assert history.count(status=["failed", "cancelled"]) == 2


def test_times_are_datetimes_or_spans(ledger, history):
    now = datetime.now(UTC)
    old = ledger.record("load", started_at=now - timedelta(days=3), ended_at=now - timedelta(days=3))
    new = ledger.record("load")
    assert [one.id for one in history.executions(since="24h")] == [new]
    assert [one.id for one in history.executions(until=now - timedelta(days=2))] == [old]


def test_all_of_them_page_by_page(ledger, history):
    ids = [ledger.record("load", subject=f"s{number % 3}") for number in range(25)]
    assert [one.id for one in history.every(limit=4)] == ids[::-1]
    assert len(list(history.every(limit=4, subject="s1"))) == 8


def test_why_and_what_changed(ledger, history):
    good = nightly(ledger, stocks=["IBM", "GOOG"], version=1)
    bad = nightly(ledger, stocks=["IBM", "GOOG"], broken={"GOOG"}, version=2)
    found = history.explain(bad)
    assert found.last_success.id == good
    assert [(change.path, change.before, change.after) for change in found.changed] == [("params.version", 1, 2)]
    assert [item.key for item in history.compare(bad).items] == ["GOOG"]
    assert history.compare(bad, good).before.id == good
    assert [one.key for one in history.get(bad).items] == ["IBM", "GOOG"]
    with pytest.raises(NotFoundError, match="has not succeeded"):
        history.compare(good)


def test_failures_and_figures(ledger, history):
    nightly(ledger, stocks=["A", "B"], broken={"B"}, version=1)
    ledger.record("load", status="failed", error="disk full", duration=2.0)
    assert {group.message for group in history.failures()} == {"no answer", "disk full"}
    figures = history.stats(group_by="kind")
    assert (figures.overall.total, figures.overall.failed, figures.overall.partial) == (2, 1, 1)
    assert {group.key for group in figures.groups} == {"job", "task"}
    assert {one.subject for one in history.latest_of_each(kind="job")} == {"nightly"}


def test_a_question_from_python_takes_the_words_of_the_command_line(ledger, history):
    nightly(ledger, stocks=("A", "B"), broken=("B",), version=1)
    nightly(ledger, stocks=("A",), version=2)
    bad = {one.id for one in history.executions(status="bad")}
    assert bad == {one.id for one in history.executions() if one.status == "partial"}
    assert history.executions(min_duration="90s") == history.executions(min_duration=90) == ()
    assert {group.message for group in history.failures(status="bad")} == {"no answer"}


@pytest.mark.parametrize(
    "question", [{"status": "broken"}, {"since": "yesterday"}, {"colour": "red"}, {"limit": 0}, {"min_cost": "much"}]
)
def test_what_is_no_question_is_refused_by_name(history, question):
    with pytest.raises(InvalidError) as refused:
        history.executions(**question)
    assert next(iter(question)) in f"{refused.value} {refused.value.field}"


@pytest.mark.parametrize(
    ("method", "question"),
    [("stats", {"group_by": "colour"}), ("failures", {"limit": -1}), ("latest_of_each", {"limit": 0})],
)
def test_what_no_answer_can_be_cut_to_is_refused_by_name(history, method, question):
    with pytest.raises(InvalidError, match=next(iter(question))):
        getattr(history, method)(**question)


def test_an_execution_that_is_not_there_is_said_so(history):
    with pytest.raises(NotFoundError):
        history.get("nothing")
