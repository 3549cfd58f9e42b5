"""Answers over a store: what a question means, what an execution looks like, what is kept for how long."""

from __future__ import annotations

import threading
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execlog.core.errors import ForbiddenError, InvalidError, StoreError
from execlog.core.filter import Filter
from execlog.core.model import Error, Event, Item, LogLine, Status, Usage
from execlog.history import dossier, intake, question, view
from execlog.history.listing import list_executions, list_latest
from execlog.history.retention import DAY, Retention, remove_before
from execlog.history.statistics import statistics
from execlog.ledger import Ledger
from execlog.store.memory import MemoryStore
from histories import SECOND, T0, execution, mixed

NOW = T0 + 3_600 * SECOND


@pytest.fixture
def store():
    filled = MemoryStore()
    filled.apply(mixed())
    return filled


def test_a_question_of_a_command_line_means_the_same_as_one_of_a_query_string():
    asked = question.ask({"status": ["failed"], "since": "2h", "min_cost": "0.5", "tags": {"a": "b"}, "kind": None})
    meant = question.as_filter(asked, now=NOW)
    assert meant == Filter(
        statuses=(Status.FAILED,), since=NOW - 7_200 * SECOND, min_cost_nano=5 * 10**8, tags={"a": "b"}
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"since": "soon"}, "since"), ({"until": "0000-01-01"}, "until")],
)
def test_a_time_that_is_none_names_its_field(fields, field):
    with pytest.raises(InvalidError) as refused:
        question.as_filter(question.ask(fields), now=NOW)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "fields", [{"limit": 0}, {"limit": 1001}, {"nonsense": 1}, {"status": ["done"]}, {"min_cost": "1e3"}]
)
def test_a_question_that_does_not_fit_is_refused(fields):
    with pytest.raises(InvalidError):
        question.ask(fields)


def test_one_actors_question_stays_that_actors():
    assert question.as_filter(question.ask({}), now=NOW, actor="alice").actor == "alice"
    with pytest.raises(ForbiddenError, match="limited to 'alice'"):
        question.as_filter(question.ask({"actor": "bob"}), now=NOW, actor="alice")


def test_a_question_comes_back_from_its_plain_values():
    asked = question.ask({"status": ["failed", "crashed"], "text": "x", "tags": {"a": "b"}, "limit": 7})
    assert question.ask(question.encoded(asked)) == asked
    assert question.encoded(question.ask({})) == {}


def test_two_questions_that_ask_for_parts_get_no_more_than_they_may(store):
    with pytest.raises(InvalidError, match="100"):
        list_executions(store, question.ask({"include": ["logs"], "limit": 500}), now=NOW)


@given(st.integers(-(10**18), 10**18))
def test_money_is_exact_there_and_back(nano):
    printed = view.to_json(view.dollars(nano)).decode()
    assert view.nano(printed) == nano
    assert Decimal(printed) * 10**9 == nano


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_time_that_was_recorded_can_be_shown(at):
    shown = view.view(msgspec.structs.replace(_executed(), created_at=at, started_at=at))
    assert view.to_json(shown)


def _executed():
    from execlog.core.fold import begin

    return begin(execution(0))


def test_parts_that_were_not_asked_for_are_not_there(store):
    found = store.get("run-1")
    assert b'"items"' not in view.to_json(view.view(found))
    whole = msgspec.json.decode(view.to_json(view.view(found, frozenset({"items", "detail", "logs"}))))
    assert whole["params"] == {"year": 2004}
    assert whole["usage"] == {}
    assert [line["level"] for line in whole["logs"]] == ["info", "error"]


def test_a_long_execution_is_cut_and_says_so():
    store = MemoryStore()
    items = tuple(Item(key=str(n), at=T0, status=Status.SUCCEEDED, position=n) for n in range(1_200))
    logs = tuple(LogLine(T0 + n, n, "info", str(n)) for n in range(1_100))
    store.apply([execution(0, items=items, logs=logs)])
    store.apply([execution(n, parent_id="run-0") for n in range(1, 102)])
    whole = dossier.dossier(store, dossier.get(store, "run-0"))
    assert whole.truncated == ("items", "logs", "children")
    assert (len(whole.items), len(whole.logs), len(whole.children)) == (1_000, 1_000, 100)
    assert whole.logs[-1].message == "1099"
    assert whole.counts.total == 1_200


def test_an_execution_that_was_never_retried_has_no_attempts(store):
    assert dossier.dossier(store, dossier.get(store, "run-0")).attempts == ()


def test_a_chain_of_attempts_is_whole_from_every_end():
    store = MemoryStore()
    store.apply([execution(0)])
    store.apply([execution(n, root_id="run-0", retry_of=f"run-{n - 1}") for n in range(1, 4)])
    for asked in range(4):
        found = dossier.dossier(store, dossier.get(store, f"run-{asked}"))
        assert [attempt.id for attempt in found.attempts] == ["run-0", "run-1", "run-2", "run-3"]


def test_groups_are_ordered_by_size_and_cut(store):
    found = statistics(store, Filter(), group_by="subject", limit=1)
    assert ([group.key for group in found.groups], found.truncated, found.overall.total) == (["backfill"], True, 5)


def test_what_is_open_is_counted_only_where_it_is_asked_for(store):
    assert statistics(store, Filter()).open.running == 1
    assert statistics(store, Filter(statuses=(Status.FAILED,))).open.running == 0


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (b'{"error": "late"}', Error("Error", "late")),
        (
            b'{"error": {"type": "KeyError", "message": "x", "frames": ["a.py:1 f"]}}',
            Error("KeyError", "x", ("a.py:1 f",)),
        ),
    ],
)
def test_an_error_is_a_text_or_more(said, meant):
    assert intake.event_of(intake.read(said), id_="new", at=T0).error == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (b'{"name": "load orders"}', "load orders"),
        (b'{"name": "load orders", "subject": "orders"}', "orders"),
        (b'{"name": "load orders", "subject": null}', None),  # as the API gives one that has none
        (b'{"id": "run-1"}', None),
    ],
)
def test_what_ran_is_the_name_where_nothing_is_said_of_it(said, meant):
    assert intake.event_of(intake.read(said), id_="new", at=T0).subject == meant


def test_cost_without_a_model_is_kept_too():
    event = intake.event_of(intake.read(b'{"cost": 0.1, "tokens": {"input": 5, "output": 7}}'), id_="new", at=T0)
    assert event.usage == {"": Usage(5, 7, cost_nano=100_000_000)}
    said = b'{"cost": 9, "usage": {"m": {"cost": 0.3, "calls": 2}}}'
    assert intake.event_of(intake.read(said), id_="new", at=T0).usage == {"m": Usage(calls=2, cost_nano=300_000_000)}


def test_an_end_follows_from_start_and_duration():
    event = intake.event_of(intake.read(b'{"started_at": 100, "duration": 2.5}'), id_="new", at=T0)
    assert (event.started_at, event.ended_at, event.status) == (100 * SECOND, 102_500_000, Status.SUCCEEDED)
    assert intake.event_of(intake.read(b"{}"), id_="new", at=T0).ended_at == T0


@pytest.mark.parametrize("deep", [b"[" * 65, b'{"a":' * 65, b'["",' * 65, b"[" * 10**6])
def test_depth_is_refused_before_it_costs_anything(deep):
    with pytest.raises(InvalidError, match="deep"):
        intake.check_depth(deep)


@pytest.mark.parametrize(
    "flat", [b'"' + b"[" * 1000 + b'"', b'["\\"[[[' + b"[" * 1000 + b'"]', b"[" * 60 + b"]" * 60, b"[]" * 5000]
)
def test_what_is_not_deep_passes(flat):
    intake.check_depth(flat)


def old(store: MemoryStore, days: int, **fields: object) -> None:
    at = NOW - days * DAY
    store.apply([execution(0, id=f"old-{days}-{len(fields)}", at=at, started_at=at, ended_at=at + 1, **fields)])


def test_what_is_older_than_its_days_goes_and_the_rest_stays():
    store = MemoryStore()
    for days in (1, 29, 31, 32, 100, 400):
        old(store, days)
    old(store, 50, status=Status.RUNNING)
    assert remove_before(store, NOW - 30 * DAY) == 4
    left = {found.id for found in store.find(Filter()).entries}
    assert left == {"old-1-0", "old-29-0", "old-50-1"}
    assert remove_before(store, NOW - 30 * DAY) == 0


def test_it_goes_a_day_at_a_time():
    asked: list[Filter] = []

    class Watched(MemoryStore):
        def delete(self, filter: Filter, *, keep_marks: bool = True) -> int:
            asked.append(filter)
            return super().delete(filter, keep_marks=keep_marks)

    store = Watched()
    for days in (31, 32, 400):
        old(store, days)
    remove_before(store, NOW - 30 * DAY)
    assert len(asked) == 3
    assert all(one.until is not None and one.until <= NOW - 30 * DAY for one in asked)


def test_the_keeper_removes_once_it_starts_and_stops_when_told(tmp_path, caplog):
    with Ledger.open("memory://", home=tmp_path) as ledger:
        ledger.store.apply([execution(0)])
        removed = threading.Event()
        delete = ledger.store.delete

        def watched(*args, **kwargs):
            try:
                return delete(*args, **kwargs)
            finally:
                removed.set()

        ledger.store.delete = watched
        keeper = Retention(ledger, days=1)
        keeper.start()
        assert removed.wait(10)
        keeper.stop(10)
        assert ledger.store.count(Filter()) == 0
        idle = Retention(ledger, days=0)
        idle.start()
        idle.stop()


def test_the_keeper_outlives_a_store_that_is_down(tmp_path, caplog):
    with Ledger.open("memory://", home=tmp_path) as ledger:
        tried = threading.Event()

        def down(*_args, **_kwargs):
            tried.set()
            raise StoreError("down", retry=True)

        ledger.store.find = down
        keeper = Retention(ledger, days=1)
        keeper.start()
        assert tried.wait(10)
        keeper.stop(10)
        del ledger.store.find
    assert "could not be removed" in caplog.text


def test_an_event_of_another_kind_is_shown_alike():
    from execlog.core.fold import begin

    shown = view.view(begin(Event(id="x", kind="own-kind", at=T0)))
    assert (shown.kind, shown.status, shown.duration) == ("own-kind", Status.RUNNING, None)


def test_the_latest_of_an_actor_is_found_behind_later_ones_of_others():
    store = MemoryStore()
    store.apply([execution(1, actor="ann"), execution(2, actor="bob")])
    latest = list_latest(store, Filter(actor="ann"), limit=1, now=NOW).executions
    assert [one.id for one in latest] == ["run-1"]
