"""The executor of jobs: what it runs, what it says of it, and that it goes on without a history."""

import logging

import pytest

import execlog
from execlog.core.errors import InvalidError, StoreError
from execlog.core.filter import Filter
from execlog.core.model import Status
from execlog.kinds.jobs import Call, Fetch, Job, JobExecutor, SchedulerServingApp
from execlog.ledger import Ledger
from execlog.store.memory import MemoryStore

STOCKS = ("MSFT", "AMZN", "IBM", "GOOG", "AAPL")


def test_real_prices_really_end_for_one_of_five(ledger):
    job = Job(id="y2000", name="Year 2000", stocks=STOCKS, run=Fetch(start="2000-01-01", end="2000-12-31"))
    with JobExecutor(ledger) as executor:
        result = executor.execute_job(job, triggered_by="test")
        assert result.saved
        assert result.status == "partial_success"
        assert result.fetched_stocks == ["MSFT", "AMZN", "IBM", "AAPL"]
        assert result.failed_stocks == ["GOOG"]
        assert result.errors == [
            "Failed to fetch GOOG: no rows for GOOG between 2000-01-01 and 2000-12-31; its first row is 2004-08-01"
        ]
        kept = executor.registry.get_execution(result.execution_id)
    assert kept.to_dict() == result.to_dict()
    assert (kept.triggered_by, kept.total_stocks, kept.job_name) == ("test", 5, "Year 2000")


def test_a_fetch_function_of_ones_own_and_its_errors(registry):
    def fetch(symbol):
        if symbol == "GOOGL":
            raise TimeoutError("Connection timeout after 30s")
        return [1, 2, 3]

    with JobExecutor(registry, fetch=fetch) as executor:
        result = executor.execute_job(Job(id="j", name="J", stocks=("AAPL", "GOOGL", "MSFT")), stocks=["AAPL", "GOOGL"])
    assert result.errors == ["Failed to fetch GOOGL: Connection timeout after 30s"]
    assert result.record.total_stocks == 2
    execution = registry.find(result.execution_id)
    assert execution.rows == 3
    assert execution.items[1].status is Status.TIMED_OUT


async def fetch_later(symbol):
    if symbol == "B":
        raise ValueError("no b here")
    return [1, 2]


def fetch_one_by_one(symbol):
    yield 1
    if symbol == "B":
        raise ValueError("no b here")
    yield 2


@pytest.mark.parametrize("fetch", [fetch_later, fetch_one_by_one])
def test_a_fetch_that_is_a_coroutine_or_a_generator_is_run_to_its_end(ledger, fetch):
    with JobExecutor(ledger, fetch=fetch) as executor:
        result = executor.execute_job(Job(name="J", stocks=("A", "B")))
        assert (result.fetched_stocks, result.errors) == (["A"], ["Failed to fetch B: no b here"])
        assert executor.registry.find(result.execution_id).rows == 2


@pytest.mark.parametrize("stocks", [["typo"], ["A", "typo"], []])
def test_stocks_that_the_job_has_not_are_refused_naming_those_it_has(ledger, stocks):
    with JobExecutor(ledger, fetch=str) as executor, pytest.raises(InvalidError, match=r"the job's stocks: A, B$"):
        executor.execute_job(Job(name="J", stocks=("A", "B")), stocks=stocks)


class BrokenStore(MemoryStore):
    """A store that is down."""

    down = True

    def apply(self, events):
        if self.down:
            raise StoreError("the store is down", retry=True)
        return super().apply(events)


def test_an_exception_that_says_nothing_is_named(registry):
    def fetch(_: str) -> None:
        raise ValueError

    with JobExecutor(registry, fetch=fetch) as executor:
        assert executor.execute_job(Job(name="Mute", stocks=("A",))).errors == ["Failed to fetch A: ValueError"]


def test_a_job_goes_on_when_its_history_cannot_be_saved(caplog):
    store, done = BrokenStore(), []
    with caplog.at_level(logging.WARNING), JobExecutor(store, fetch=done.append) as executor:
        lost = executor.execute_job(Job(id="j", name="J", stocks=("A", "B")))
        assert (lost.status, lost.saved, sorted(done)) == ("success", False, ["A", "B"])
        assert lost.execution_id
        assert "the store is down" in caplog.text
        store.down = False
        assert executor.execute_job(Job(id="j", name="J", stocks=("C",))).saved
        assert executor.registry.get_execution(lost.execution_id).status == "success"


def test_a_job_that_cannot_be_run_is_refused_before_it_starts(registry):
    with JobExecutor(registry) as executor, pytest.raises(InvalidError, match="at least one stock"):
        executor.execute_job(Job(id="j", name="J"))


def test_jobs_live_with_their_store(tmp_path):
    places = {
        f"sqlite:///{tmp_path / 'a %23 b?.db'}": "a # b?.db",
        f"files:///{tmp_path / 'files'}": "files/.execlog/jobs.db",
    }
    for url, file in places.items():
        with Ledger.open(url, home=tmp_path / "home") as ledger:
            with SchedulerServingApp(ledger) as app:
                app.desk.create(Job(id="j", name="J", stocks=("AAPL",)))
            assert (tmp_path / file).exists()
            with SchedulerServingApp(ledger) as app:
                assert app.desk.get("j").name == "J"


def test_what_a_job_runs_can_speak_about_its_execution(ledger, monkeypatch):
    monkeypatch.setattr(execlog, "_default", ledger)
    with JobExecutor(ledger) as executor:
        result = executor.execute_job(Job(id="j", name="J", stocks=("A", "B"), run=Call("chores:speak")))
        execution = executor.registry.find(result.execution_id)
    assert [item.output for item in execution.items] == [result.execution_id] * 2
    assert sorted(line.message for line in execution.logs) == ["fetching A", "fetching B"]
    assert execution.rows == 6
    inner = ledger.store.find(Filter(parent_id=result.execution_id)).entries
    assert [child.name for child in inner] == ["inner", "inner"]
