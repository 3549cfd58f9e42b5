"""What somebody on call is told of failures as they happen, each recorded and asked about as its people would."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import execlog
from execlog.core.errors import NotFoundError
from execlog.history import dossier, kin
from execlog.history.explanation import explain
from execlog.ledger import Ledger

NOW = datetime.now(UTC).replace(minute=30)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
STOCKS = ("MSFT", "IBM", "GOOG")


@pytest.fixture(params=["memory", "sqlite", "files", "postgres", "redis"])
def ledger(request, tmp_path, new_store_url):
    url = new_store_url(request.param)
    with Ledger.open(url, home=tmp_path) as opened:
        yield opened


def ran(ledger, ago, *, broken=(), revision="r1", host="web1", seconds=10.0, **fields):
    """The id of a run of `nightly`, so long ago, with an item per stock where some are broken or may be."""
    began = NOW - ago
    if broken is not None:
        fields["items"] = [
            {"key": stock, "status": "failed", "error": LookupError(f"no rows for {stock}")}
            if stock in broken
            else {"key": stock}
            for stock in STOCKS
        ]
    return ledger.record(
        "nightly",
        started_at=began,
        ended_at=began + timedelta(seconds=seconds),
        duration=seconds,
        context={"host": host, "revision": revision, "pid": str(ago)},
        **fields,
    )


def why(ledger, id_):
    return execlog.open_history(ledger).explain(id_)


def telling(found):
    return [(change.path, change.before, change.after) for change in found.changed if change.telling]


def test_one_item_fails_since_a_deployment(ledger):
    for day in range(20, 3, -1):
        good = ran(ledger, day * DAY, params={"day": f"day {day}"}, metadata={"scheduled_for": f"{NOW - day * DAY}"})
    for day in (3, 2, 1):
        bad = ran(ledger, day * DAY, broken=["GOOG"], revision="r2", params={"day": f"day {day}"})
    found = why(ledger, bad)
    assert telling(found) == [("context.revision", "r1", "r2")]
    assert [(change.path, change.telling) for change in found.changed][1:] == [("params.day", False)]
    assert (found.last_success.id, found.compared_with.id, found.failures_since) == (good, good, 2)
    assert found.failing_since == NOW - 3 * DAY
    assert [(item.key, item.in_a_row, item.failed_before, item.seen_before) for item in found.items] == [
        ("GOOG", 2, 2, 19)
    ]
    assert found.summary == (
        "1 of 3 items failed: GOOG for the 3rd time in a row: LookupError: no rows for GOOG",
        "The same error came 2 more times in the last 30 days.",
        f"It is the 3rd failure in a row, since {NOW - 3 * DAY:%Y-%m-%d %H:%M} UTC; the last success was 3 d earlier.",
        "Changed since it last went well: context.revision.",
        "context.revision was r2 in all 3 that failed so, and in none of the last 17 that went well.",
        "Different too, but so in good runs or from run to run: params.day.",
    )


def test_an_item_that_is_new_to_failing_beside_one_that_always_does(ledger):
    for day in range(8, 1, -1):
        last = ran(ledger, day * DAY, broken=["IBM"], params={"source": "a"})
    bad = ran(ledger, DAY, broken=["IBM", "GOOG"], params={"source": "b"})
    found = why(ledger, bad)
    assert found.last_success is None
    assert found.compared_with.id == last
    assert telling(found) == [("params.source", "a", "b")]
    assert found.summary[0] == "2 of 3 items failed: GOOG for the first time; IBM as every time before."
    assert execlog.open_history(ledger).compare(bad).before.id == last


def test_a_whole_run_fails_that_was_always_partial(ledger):
    last = ran(ledger, 2 * DAY, broken=["IBM"])
    bad = ran(ledger, DAY, broken=None, error=KeyError("close"), revision="r2")
    found = why(ledger, bad)
    assert found.compared_with.id == last
    assert telling(found) == [("context.revision", "r1", "r2")]
    both = why(ledger, ran(ledger, HOUR, broken=["IBM", "GOOG"], error=KeyError("close")))
    assert both.summary[:2] == (
        "KeyError: 'close'",
        "2 of 3 items failed: GOOG for the first time; IBM as every time before.",
    )


def test_only_one_host_is_broken(ledger):
    ids = {}
    for hour in range(20, 0, -1):
        host = f"web{hour % 3}"
        error = OSError("no space left on device") if host == "web2" else None
        ids[host] = ran(ledger, hour * HOUR, broken=None, host=host, error=error)
    found = why(ledger, ids["web2"])
    assert telling(found) == [("context.host", "web0", "web2")]
    assert found.recovered is not None
    assert "It has succeeded again, 1 h later." in found.summary
    assert "context.host was web2 in all 7 that failed so, and in none of the last 12 that went well." in found.summary


def test_a_change_that_came_after_the_first_failure_is_not_why(ledger):
    for day in (5, 4, 3):
        ran(ledger, day * DAY, broken=None)
    ran(ledger, 2 * DAY, broken=None, error="no answer")
    found = why(ledger, ran(ledger, DAY, broken=None, error="no answer", revision="r2", actor="ann"))
    assert telling(found) == []
    assert [change.path for change in found.changed] == ["context.revision", "actor"]


def test_new_code_is_a_suspect_though_it_comes_every_day(ledger):
    for day in range(9, 1, -1):
        ran(ledger, day * DAY, broken=None, revision=f"r{day}", params={"day": day})
    found = why(ledger, ran(ledger, DAY, broken=None, revision="r1", params={"day": 1_000}, error="too much"))
    assert [path for path, *_ in telling(found)] == ["params.day", "context.revision"]


def test_prompts_steps_and_models_are_compared(ledger):
    def of(prompt, model, **more):
        params = {"steps": [{"id": "ask", "prompt": "Read this. " * 20 + prompt}, {"id": "say"}]}
        return ran(ledger, broken=None, params=params, input={"text": "same"}, usage={model: {"input": 9}}, **more)

    of("Be brief.", "small", ago=2 * DAY)
    found = why(ledger, of("Be long.", "large", ago=DAY, error=ValueError("empty output")))
    assert [path for path, *_ in telling(found)] == ["params.steps.ask.prompt", "models"]


def test_rows_time_and_cost_out_of_the_usual_of_what_succeeded(ledger):
    for day in range(20, 1, -1):
        as_ever = ran(
            ledger, day * DAY, broken=None, rows=5_000 + day, usage={"m": {"input": 90 + day % 3, "cost": "0.01"}}
        )
    assert why(ledger, as_ever).summary == ()
    odd = ran(ledger, DAY, broken=None, rows=12, seconds=300, usage={"m": {"input": 90, "cost": "0.03"}})
    found = why(ledger, odd)
    assert [(one.name, one.value, one.usual) for one in found.unusual] == [
        ("rows", 12, 5_011),
        ("duration", 300, 10),
        ("cost", 0.03, 0.01),
    ]
    assert found.summary == (
        "Unusual rows: 12; the last 19 that went well had 5,011 (5,002 to 5,020).",
        "Unusual duration: 5 min; the last 19 that went well had 10 s.",
        "Unusual cost: $0.03; the last 19 that went well had $0.01.",
        "Nothing recorded of its parameters and surroundings is new since it last went well.",
    )
    silent = why(ledger, ran(ledger, HOUR, broken=None, usage={"m": {"input": 90, "cost": "0.01"}}))
    assert [(one.name, one.value) for one in silent.unusual] == [("rows", None)]


def test_of_a_failure_only_what_is_more_than_usual_is_odd(ledger):
    for day in range(9, 1, -1):
        ran(ledger, day * DAY, broken=None, rows=100, params={"files": 10})
    error = TimeoutError("no end")
    late = why(ledger, ran(ledger, DAY, broken=None, rows=1_000, seconds=600, params={"files": 100}, error=error))
    assert [one.name for one in late.unusual] == ["rows", "duration"]
    early = why(ledger, ran(ledger, HOUR, broken=None, rows=1, seconds=0.1, error=KeyError("close")))
    assert early.unusual == ()


def test_a_flaky_job_and_a_regression_of_it(ledger):
    ids = {}
    for hour in range(40, 0, -1):
        error = ConnectionError(f"reset by 10.0.0.{hour}") if hour % 10 == 0 else None
        ids[hour % 10] = ran(ledger, hour * HOUR, broken=None, error=error)
    said = why(ledger, ids[0]).summary
    assert "The same error came 3 more times in the last 30 days." in said
    assert "It fails now and then: 2 of the 20 before it failed, all of them so." in said
    said = why(ledger, ran(ledger, timedelta(0), broken=None, error=KeyError("close"))).summary
    assert "This error came for the first time in 30 days." in said
    assert "It fails now and then: 2 of the 20 before it failed, none of them so." in said


def test_failures_at_one_time_of_day(ledger):
    midnight = NOW.replace(hour=0)
    ids = {}
    for hour in range(24 * 5, 0, -1):
        began = midnight - hour * HOUR
        ids[began.hour] = ran(ledger, NOW - began, broken=None, error=None if began.hour else ValueError("no session"))
    said = why(ledger, ids[0]).summary
    assert "All 5 that failed so began between 00:00 and 00:59 UTC; those that went well hardly ever did." in said


def test_one_root_and_forty_that_follow(ledger):
    with ledger.run("nightly", kind="job") as run:
        for step in range(41):
            error = RuntimeError(f"no input of step {step - 1}") if step else ConnectionError("feed is down")
            ledger.run("step" if step else "source").begin().end(error)
        run.fail(RuntimeError("41 steps failed"))
    found = why(ledger, run.id)
    assert (found.inside.count, found.inside.first.name) == (41, "source")
    assert found.summary[1] == "41 executions inside it failed, source first: ConnectionError: feed is down."
    with ledger.run("steps") as run:
        for item in run.items(["fetch", *map(str, range(40))]):
            with item:
                raise RuntimeError("no input") if item.key != "fetch" else ConnectionError("feed is down")
    assert why(ledger, run.id).summary[:2] == (
        "41 of 41 items failed: fetch, 0, 1, 2, 3 and 36 more.",
        "The first to fail was fetch: ConnectionError: feed is down, and 1 other error.",
    )


def test_a_retry_that_succeeded(ledger):
    first = ran(ledger, 2 * HOUR, broken=None, error="no answer")
    again = ran(ledger, HOUR, broken=None, retry_of=first, root_id=first)
    found = why(ledger, first)
    assert found.recovered.id == again
    assert "A retry of it succeeded, 1 h later." in found.summary


def test_what_never_succeeded_and_what_did_long_ago(ledger):
    for hour in (3, 2):
        ran(ledger, hour * HOUR, broken=None, error="no answer")
    never = ran(ledger, HOUR, broken=None, error="no answer")
    assert why(ledger, never).summary[-1] == (
        "nightly has not succeeded before, as far as is known; the 2 before it did not, either."
    )
    with pytest.raises(NotFoundError, match="has not succeeded before"):
        execlog.open_history(ledger).compare(never)
    ran(ledger, 90 * DAY, broken=None)
    assert why(ledger, never).summary[2].endswith("UTC; the last success was 89 d 23 h earlier.")


def test_queries_are_compared_with_those_of_their_shape(ledger):
    def ask(ago, query, shape, **more):
        return ran(ledger, ago, broken=None, kind="query", input=query, metadata={"fingerprint": shape}, **more)

    for hour in range(12, 2, -1):
        ask(hour * HOUR, f"select {hour}", "a" if hour % 2 else "b", rows=3 if hour % 2 else 90_000)
    assert why(ledger, ask(2 * HOUR, "select 2", "b", rows=90_000)).unusual == ()
    bad = ask(HOUR, "select x", "c", error="no column x")
    assert why(ledger, bad).changed == ()
    assert execlog.open_history(ledger).compare(bad).before.input is not None


def test_more_failures_than_are_looked_at_are_counted(ledger):
    good = ran(ledger, 40 * HOUR, broken=None)
    for hour in range(30, 0, -1):
        bad = ran(ledger, hour * HOUR, broken=["GOOG"])
    found = why(ledger, bad)
    assert (found.failures_since, found.failing_since) == (29, NOW - 30 * HOUR)
    assert (found.compared_with.id, found.items[0].in_a_row) == (good, 20)


def test_of_runs_with_many_items_fewer_are_looked_at(ledger, monkeypatch):
    monkeypatch.setattr(kin, "MOST_ITEMS", 4 * len(STOCKS))
    for hour in range(9, 0, -1):
        bad = ran(ledger, hour * HOUR, broken=["GOOG"])
    assert [(item.in_a_row, item.seen_before) for item in why(ledger, bad).items] == [(4, 4)]


def test_what_failed_inside_it_is_told_to_who_may_see_it(ledger):
    child = ledger.record("child", error="secret", actor="bob", parent_id="mother")
    mother = ledger.record("mother", id="mother", error="it broke", actor="alice")
    ledger.flush()
    assert why(ledger, mother).inside.first.id == child
    whole = dossier.get(ledger.store, mother)
    assert explain(ledger.store, whole, now=ledger.clock.now(), actor="alice").inside is None
