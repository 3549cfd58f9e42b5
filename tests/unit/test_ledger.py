"""What callers do with a ledger, and what can be read back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import Counter

import pytest

from execlog.core.filter import Filter
from execlog.core.model import Status
from execlog.ledger import Ledger
from execlog.recorder.context import surroundings
from execlog.store.base import WHOLE
from histories import only


def test_a_run_that_ends_well_has_succeeded(ledger):
    with ledger.run("nightly", kind="pipeline", params={"day": 3, "password": "hunter2"}) as run:
        run.rows(5)
        run.log("halfway")
        run.usage("model-a", input=5, output=3, cost=0.001)
    execution = only(ledger)
    assert (execution.id, execution.kind, execution.status, execution.rows) == (run.id, "pipeline", "succeeded", 5)
    assert execution.params == {"day": 3, "password": "[redacted]"}
    assert [line.message for line in execution.logs] == ["halfway"]
    assert (execution.tokens, execution.cost_nano) == ((5, 3), 1_000_000)
    assert execution.seconds is not None


def test_an_exception_is_recorded_and_goes_on(ledger):
    with pytest.raises(ValueError, match="no data"), ledger.run("nightly"):
        raise ValueError("no data")
    execution = only(ledger)
    assert execution.status is Status.FAILED
    assert execution.error is not None
    assert (execution.error.type, execution.error.message) == ("ValueError", "no data")
    assert "test_ledger.py" in execution.error.frames[0]


def test_an_item_that_fails_leaves_the_loop_going(ledger):
    seen = []
    with ledger.run("prices", kind="job") as run:
        for item in run.items(["AAPL", "GOOG", "MSFT"]):
            with item:
                seen.append(item.value)
                if item.value == "GOOG":
                    raise LookupError("no rows")
    execution = only(ledger)
    assert seen == ["AAPL", "GOOG", "MSFT"]
    assert execution.status is Status.PARTIAL
    assert [(item.key, item.status) for item in execution.items] == [
        ("AAPL", "succeeded"),
        ("GOOG", "failed"),
        ("MSFT", "succeeded"),
    ]
    assert (execution.counts.total, execution.counts.succeeded, execution.counts.failed) == (3, 2, 1)


def test_items_that_are_never_entered_follow_their_loop(ledger):
    def fetch_all() -> None:
        with ledger.run("prices") as run:
            for item in run.items(["AAPL", "GOOG"]):
                if item.value == "GOOG":
                    raise LookupError("no rows")

    with pytest.raises(LookupError):
        fetch_all()
    execution = only(ledger)
    assert [(item.key, item.status) for item in execution.items] == [("AAPL", "succeeded"), ("GOOG", "failed")]
    assert execution.status is Status.FAILED


def test_time_outs_and_cancellations_are_told_apart(ledger):
    async def cancelled() -> None:
        async with ledger.run("slow", id="cancelled"):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    with pytest.raises(TimeoutError), ledger.run("slow", id="timed-out"):
        raise TimeoutError("after 30s")
    assert ledger.flush()
    found = {entry.id: entry.status for entry in ledger.store.find(Filter()).entries}
    assert found == {"cancelled": Status.CANCELLED, "timed-out": Status.TIMED_OUT}


def test_runs_nest_and_retries_link(ledger):
    with ledger.run("outer") as outer, ledger.run("inner", retry_of="first", root_id="first"):
        pass
    assert ledger.flush()
    (inner,) = ledger.store.find(Filter(parent_id=outer.id)).entries
    assert (inner.name, inner.retry_of, inner.root_id) == ("inner", "first", "first")


def test_values_of_one_key_are_items_of_their_own(ledger):
    outcomes = iter([ValueError("first"), None, None])

    def work(value):
        if (error := next(outcomes)) is not None:
            raise error

    ledger.each(work, ["a", "a", "a#2"])
    execution = only(ledger)
    assert [(item.key, item.status) for item in execution.items] == [
        ("a", "failed"),
        ("a#2", "succeeded"),
        ("a#2#2", "succeeded"),
    ]
    assert execution.status is Status.PARTIAL


def test_a_second_loop_over_the_same_is_another_try_of_them(ledger):
    with ledger.run("nightly") as run:
        for item in run.items(["a", "b"]):
            with item:
                raise ValueError("not yet")
        for item in run.items(["a", "b"]):
            with item:
                pass
    execution = only(ledger)
    assert (execution.status, execution.counts.total, execution.total) == (Status.SUCCEEDED, 2, 2)


class Query:
    """Has a length, which would cost a look at everything."""

    def __len__(self):
        raise AssertionError("nobody may ask")

    def __iter__(self):
        return iter("abc")


@pytest.mark.parametrize(
    ("values", "total"),
    [(["a", "b", "c"], 3), (range(3), 3), ({"a": 1, "b": 2}, 2), ({"a"}, 1), (iter("abc"), None), (Query(), None)],
    ids=lambda value: type(value).__name__,
)
def test_how_many_there_will_be_is_known_from_the_first_on(ledger, values, total):
    with ledger.run("nightly", id="nightly") as run:
        for _ in run.items(values):
            assert ledger.flush()
            assert ledger.store.get("nightly").total == total
            break
    assert only(ledger).total == total


def test_a_total_that_is_given_is_kept(ledger):
    with ledger.run("nightly", total=7) as run:
        list(run.items(["a", "b"]))
    assert only(ledger).total == 7


def test_record_takes_what_callers_have(ledger):
    ledger.record(
        "query",
        kind="query",
        id="q-1",
        status="failed",
        duration=0.5,
        error=RuntimeError("refused"),
        items=["a", {"key": "b", "status": "failed", "error": "bad"}],
        usage={"m": {"input": 1, "cost": "0.000000001"}},
    )
    execution = only(ledger)
    assert (execution.status, execution.duration, execution.cost_nano) == ("failed", 0.5, 1)
    assert execution.started_at == execution.ended_at - 500_000
    assert [(item.key, item.status) for item in execution.items] == [("a", "succeeded"), ("b", "failed")]


def test_bad_fields_are_counted_never_raised(ledger, caplog):
    ledger.record("query", nonsense=1)
    ledger.record("query", id="../escape", rows="many")
    with ledger.run("nightly", id="a/b"):
        pass
    stats = ledger.stats()
    assert stats.refused == {"invalid": 2}
    assert stats.mended == {"field": 1}
    assert "could not record" in caplog.text
    assert ledger.flush()
    found = ledger.store.find(Filter(), parts=WHOLE).entries
    assert {(one.name, str(one.metadata)) for one in found} == {("query", "{'nonsense': 1}"), ("nightly", "None")}


def test_a_run_keeps_the_fields_beside_an_odd_one(ledger):
    with ledger.run("nightly", id="mine", actor="ann", nonsense=1) as run:
        run.metadata["rows"] = 3
    assert ledger.flush()
    found = ledger.store.get("mine")
    assert (found.actor, found.metadata) == ("ann", {"nonsense": 1, "rows": 3})


@pytest.mark.parametrize("odd", [{"name": 5}, {"kind": 5}, {"kind": None}, {"actor": ["ann"]}], ids=str)
def test_what_is_run_goes_on_whatever_is_odd_about_it(ledger, odd):
    with ledger.run(**{"name": "nightly", "id": "a/b", "engine": "duck"} | odd):
        pass
    found = only(ledger)
    said = {"name": "nightly", "kind": "task", "engine": "duck"} | {name: it for name, it in odd.items() if it}
    assert {name: getattr(found, name) for name in said} == {name: str(it) for name, it in said.items()}
    assert ledger.stats().refused == {"invalid": 1}


@pytest.mark.parametrize(
    "metadata",
    [{"x": float("nan")}, {"x": "a\0b"}, {"x": "\ud800"}, {"x": 2**70}, {"x": object()}, {"x": {"y": "z" * 3_000_000}}],
    ids=["nan", "nul", "surrogate", "integer", "object", "long"],
)
def test_what_cannot_be_stored_is_mended(ledger, metadata):
    ledger.record("odd", metadata=metadata)
    assert "x" in only(ledger).metadata
    assert ledger.stats().refused == {}


def test_a_closed_ledger_leaves_nothing_behind(tmp_path):
    ledger = Ledger.open("memory://", home=tmp_path)
    ledger.record("once")
    ledger.close()
    ledger.close()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_recorded_after_the_close_waits_and_is_said_to(tmp_path):
    url = f"sqlite:///{tmp_path}/history.db"
    ledger = Ledger.open(url, home=tmp_path)
    for _ in range(3):
        ledger.record("early")
    ledger.close()
    assert ledger.flush()
    ledger.record("late")
    assert not ledger.flush(0.1)
    assert (ledger.stats().accepted, ledger.stats().stored, ledger.stats().pending) == (1, 0, 1)


def test_what_is_open_when_its_ledger_is_closed_is_not_called_crashed(tmp_path):
    url = f"sqlite:///{tmp_path}/history.db"
    process = """
import sys
from execlog.ledger import Ledger

ledger = Ledger.open(sys.argv[1], home=sys.argv[2])
run = ledger.run("nightly", id="nightly").begin()
ledger.close()
with Ledger.open(sys.argv[1], home=sys.argv[2]) as other:
    other.drain_dead()
    print(other.store.get("nightly").status)
run.end()
"""
    said = subprocess.run(
        [sys.executable, "-c", process, url, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout == "running\n"
    with Ledger.open(url, home=tmp_path) as ledger:
        ledger.drain_dead()
        assert ledger.store.get("nightly").status is Status.SUCCEEDED
        assert [path for path in ledger.root.iterdir() if (path / "alive").exists()] == []


def test_a_serving_process_never_takes_its_own_new_journal_for_anothers(tmp_path, monkeypatch):
    begun, visited = Ledger._begun, threading.Event()

    def late(self, journal):
        assert visited.wait(10)
        begun(self, journal)

    monkeypatch.setattr(Ledger, "_begun", late)
    with Ledger.open("memory://", home=tmp_path, drains_home=True) as ledger:
        visit = ledger._pump.home.visit

        def watched(*args, **kwargs):
            taken = visit(*args, **kwargs)
            if ledger._pump.home.journals():
                visited.set()
            return taken

        monkeypatch.setattr(ledger._pump.home, "visit", watched)
        ledger.record("first")
        assert ledger.flush(5.0)
        assert ledger.stats().stored == 1


def test_without_a_working_directory_errors_are_recorded_all_the_same(tmp_path, ledger, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    surroundings.cache_clear()
    with pytest.raises(ZeroDivisionError), ledger.run("nightly"):
        exec(compile("1 / 0", "relative.py", "exec"))
    surroundings.cache_clear()
    assert any(frame.startswith("relative.py") for frame in only(ledger).error.frames)


class Growing(Counter[str]):
    """Counts that another thread adds to whenever they are walked through."""

    def items(self):
        for pair in super().items():
            self[f"reason {len(self)}"] += 1
            yield pair


def test_stats_are_answered_while_counts_grow(ledger, monkeypatch):
    monkeypatch.setattr(ledger.recorder, "mended", Growing(a=2))
    monkeypatch.setattr(ledger.store, "mended", Growing(a=1, b=4))
    assert ledger.stats().mended == {"a": 3, "b": 4}
