"""What every store must do, as tests: derive a class, say how a store is made, and run pytest.

    class TestMyStore(StoreConformance):
        def make_store(self, clock: ManualClock) -> Store:
            return MyStore("my://…", clock=clock)

Each test gets a new, empty store. What a store says it cannot do (`Capabilities`) is not asked of it. Run
`execlog.testing.agreement` too: it finds what nobody thought of.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from execlog.core.errors import CursorError, InvalidError, StoreError
from execlog.core.filter import Filter
from execlog.core.model import Counts, Error, Item, LogLine, Status, Usage
from execlog.core.rollup import quantiles
from execlog.core.storable import NAME_BYTES
from execlog.store.base import SUMMARY, WHOLE, Store
from execlog.store.matching import ITEMS_SEARCHED, ITEMS_TEXT
from execlog.store.memory import MemoryStore
from execlog.testing.agreement import ManualClock
from execlog.testing.comparing import assert_same
from execlog.testing.making import DAY, HOUR, LONG, MIDNIGHT, SECOND, ended, said_whole


class StoreConformance:
    """The tests; see the module."""

    def make_store(self, clock: ManualClock) -> Store:
        """A new, empty store on this clock."""
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The store's clock."""
        return ManualClock(MIDNIGHT + DAY)

    @pytest.fixture
    def store(self, clock: ManualClock) -> Iterator[Store]:
        """The store under test."""
        made = self.make_store(clock)
        yield made
        made.close()

    def test_what_was_applied_is_read_back_whole(self, store: Store) -> None:
        """Every field of an event comes back."""
        event = said_whole()
        assert_same(store.apply([event]).inserted, 1, store.url)
        found = store.get("run-0001", kind="job", namespace="north")
        assert_same(getattr(found, "key", None), event.key, store.url)
        for name in event.__struct_fields__:
            if name not in {"at", "logs"}:
                assert_same((name, getattr(found, name)), (name, getattr(event, name)), store.url)
        assert_same(getattr(found, "counts", None), Counts(1, 0, 1, 0), store.url)
        assert_same(getattr(found, "created_at", None), MIDNIGHT, store.url)

    def test_applying_again_changes_nothing(self, store: Store) -> None:
        """A batch applied twice is applied once."""
        batch = [ended(number, items=(Item(key="A", status=Status.SUCCEEDED),)) for number in range(20)]
        first = store.apply(batch)
        before = [store.find(Filter(), limit=100, parts=WHOLE), store.stats(Filter())]
        again = store.apply(batch)
        assert_same((first.inserted, again.inserted, again.updated), (20, 0, 0), store.url)
        assert_same(again.last_change, first.last_change, store.url)
        assert_same([store.find(Filter(), limit=100, parts=WHOLE), store.stats(Filter())], before, store.url)

    def test_the_order_of_batches_does_not_matter(self, store: Store) -> None:
        """An end that comes before its beginning is an end."""
        begun = ended(1, Status.RUNNING, at=MIDNIGHT, started_at=MIDNIGHT, name="Prices", duration=None)
        done = ended(1, Status.FAILED, at=MIDNIGHT + 5, ended_at=MIDNIGHT + 5, error=Error("E", "no"))
        store.apply([done])
        store.apply([begun])
        found = store.get("run-0001")
        shown = found and (found.status, found.name, found.started_at, found.error and found.error.message)
        assert_same(shown, (Status.FAILED, "Prices", MIDNIGHT, "no"), store.url)

    def test_a_late_outcome_beats_crashed(self, store: Store) -> None:
        """And the statistics count it once."""
        store.apply([ended(1, Status.CRASHED, at=MIDNIGHT + 9)])
        store.apply([ended(1, Status.SUCCEEDED, at=MIDNIGHT + 5)])
        bucket = store.stats(Filter())[0].bucket
        assert_same((bucket.succeeded, bucket.crashed, bucket.total), (1, 0, 1), store.url)

    def test_ids_are_unique_within_kind_and_namespace(self, store: Store) -> None:
        """The same id elsewhere is another execution."""
        store.apply([ended(1), ended(1, kind="query"), ended(1, namespace="north")])
        assert_same(store.count(Filter(ids=("run-0001",))), 3, store.url)

    def test_pages_follow_one_another_under_writes(self, store: Store) -> None:
        """Newest first; what comes in meanwhile shifts nothing."""
        store.apply([ended(number) for number in range(0, 40, 2)])
        seen: list[str] = []
        cursor = None
        for turn in range(1, 40, 2):
            page = store.find(Filter(kind="job"), limit=3, cursor=cursor)
            seen += [entry.id for entry in page.entries]
            cursor = page.next_cursor
            if cursor is None:
                break
            store.apply([ended(100 + turn)])
        assert_same(seen, [f"run-{number:04d}" for number in range(38, -1, -2)], store.url)

    def test_executions_of_one_moment_are_ordered_by_id(self, store: Store) -> None:
        """So that no page repeats or skips one."""
        store.apply([ended(1, id=f"x-{number:03d}") for number in range(50)])
        seen: list[str] = []
        cursor = None
        while cursor is not None or not seen:
            page = store.find(Filter(), limit=7, cursor=cursor)
            seen += [entry.id for entry in page.entries]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert_same(seen, [f"x-{number:03d}" for number in range(49, -1, -1)], store.url)

    def test_a_cursor_of_another_question_is_refused(self, store: Store) -> None:
        """And one that is none."""
        store.apply([ended(number) for number in range(3)])
        cursor = store.find(Filter(kind="job"), limit=1).next_cursor
        with pytest.raises(CursorError):
            store.find(Filter(kind="query"), limit=1, cursor=cursor)
        with pytest.raises(CursorError):
            store.find(Filter(), cursor="nonsense")

    @pytest.mark.parametrize(("limit", "offset"), [(0, 0), (1001, 0), (1, -1)])
    def test_a_page_has_bounds(self, store: Store, limit: int, offset: int) -> None:
        """A limit or an offset out of range is refused."""
        with pytest.raises(InvalidError):
            store.find(Filter(), limit=limit, offset=offset)

    def test_a_summary_is_without_what_is_large(self, store: Store) -> None:
        """Parts come only where they are asked for."""
        store.apply([ended(1, items=(Item(key="A"),), output="o", logs=(LogLine(1, 0, "info", "x"),))])
        summary, whole = store.find(Filter()).entries[0], store.find(Filter(), parts=WHOLE).entries[0]
        assert_same((summary.items, summary.output, summary.logs), ((), None, ()), store.url)
        assert_same((len(whole.items), whole.output, len(whole.logs)), (1, "o", 1), store.url)
        assert_same(summary.counts.total, 1, store.url)

    def test_statistics_add_up(self, store: Store) -> None:
        """Only what ended counts; sums are exact, quantiles within 1 %."""
        good = [
            ended(number, duration=number / 100, rows=2, usage={"m": Usage(1, 2, cost_nano=1_000_000)})
            for number in range(1, 101)
        ]
        store.apply([*good, ended(200, Status.FAILED), ended(201, Status.RUNNING)])
        bucket = store.stats(Filter(subject="prices"))[0].bucket
        assert_same((bucket.total, bucket.succeeded, bucket.failed, bucket.rows), (101, 100, 1, 200), store.url)
        assert_same((bucket.cost_nano, bucket.tokens_input, bucket.tokens_output), (10**8, 100, 200), store.url)
        assert_same((bucket.max_micros, bucket.duration_micros), (10**6, 51_000_000), store.url)
        middle = quantiles(bucket, 0.5)[0] or 0.0
        assert_same(round(middle, 1), 0.5, store.url)

    def test_a_window_is_exact_to_the_microsecond(self, store: Store) -> None:
        """From its first moment on, up to but without its last."""
        times = [MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + HOUR - 1, MIDNIGHT + HOUR, MIDNIGHT + DAY]
        store.apply([ended(number, at=at) for number, at in enumerate(times)])
        for since in (None, *times):
            for until in (None, *times):
                expected = sum(1 for at in times if (since is None or at >= since) and (until is None or at < until))
                for asked in (
                    Filter(since=since, until=until),
                    Filter(kind="job", subject="prices", since=since, until=until),
                ):
                    assert_same(store.stats(asked)[0].bucket.total, expected, store.url)
                    assert_same(store.count(asked), expected, store.url)

    @pytest.mark.parametrize("asked", [Filter(), Filter(name="odd"), Filter(since=MIDNIGHT, until=MIDNIGHT + SECOND)])
    def test_a_duration_that_nobody_knows_is_none(self, store: Store, asked: Filter) -> None:
        """It counts among the executions, not among the durations, in cells and where executions are read."""
        store.apply([ended(number, at=MIDNIGHT, name="odd", duration=took) for number, took in enumerate((2.0, None))])
        bucket = store.stats(asked)[0].bucket
        told = (bucket.total, bucket.timed, bucket.duration_micros, bucket.max_micros)
        assert_same(told, (2, 1, 2_000_000, 2_000_000), store.url)
        assert_same(round(quantiles(bucket, 1.0)[0] or 0.0, 1), 2.0, store.url)

    def test_statistics_over_nothing_are_zero(self, store: Store) -> None:
        """One group over everything, none where it is grouped."""
        assert_same([group.bucket.total for group in store.stats(Filter())], [0], store.url)
        assert_same(store.stats(Filter(), group_by="hour"), [], store.url)

    def test_groups_come_in_order(self, store: Store) -> None:
        """By name, or by time."""
        store.apply([ended(1, subject="b"), ended(2, subject="a"), ended(3, subject=None), ended(4_000, subject="a")])
        by_subject = [(group.key, group.bucket.total) for group in store.stats(Filter(), group_by="subject")]
        by_hour = [(group.key, group.bucket.total) for group in store.stats(Filter(), group_by="hour")]
        assert_same(by_subject, [("a", 2), ("b", 1)], store.url)
        assert_same(by_hour, [(MIDNIGHT, 3), (MIDNIGHT + HOUR, 1)], store.url)

    def test_latest_is_one_of_each_subject(self, store: Store) -> None:
        """The newest of each, newest first; a filter narrows what is looked at."""
        store.apply(
            [ended(1, subject="a"), ended(2, Status.FAILED, subject="a"), ended(3, subject="b"), ended(0, subject="c")]
        )
        assert_same([entry.id for entry in store.latest(Filter())], ["run-0003", "run-0002", "run-0000"], store.url)
        good = Filter(statuses=(Status.SUCCEEDED,))
        assert_same([entry.id for entry in store.latest(good)], ["run-0003", "run-0001", "run-0000"], store.url)

    def test_failures_are_grouped_by_what_is_the_same_error(self, store: Store) -> None:
        """The latest group first; an execution without an error of its own counts under its item's."""
        item = Item(key="A", status=Status.FAILED, error=Error("HTTPError", "503 from host 7"))
        store.apply(
            [
                ended(1, Status.FAILED, error=Error("HTTPError", "503 from host 1")),
                ended(2, Status.FAILED, error=Error("HTTPError", "503 from host 2"), subject="other"),
                ended(3, Status.CRASHED),
                ended(4, Status.PARTIAL, items=(item,)),
                ended(5, Status.CANCELLED, error=Error("Cancelled", "by ann")),
            ]
        )
        groups = store.failures(Filter())
        shown = [(group.type, group.message, group.count, group.last.id) for group in groups]
        assert_same(shown[0], ("HTTPError", "503 from host 7", 3, "run-0004"), store.url)
        assert_same([group.type for group in groups], ["HTTPError", "crashed"], store.url)
        assert_same(groups[0].subjects, ("other", "prices"), store.url)
        assert_same(store.count(Filter(fingerprint=groups[0].fingerprint)), 3, store.url)

    @pytest.mark.parametrize("text", ["timeout", "TIMEOUT AFTER", "überlauf", "価格が", '"quoted" *', "50 %", "e"])
    def test_errors_are_found_by_any_part_of_their_text(self, store: Store, text: str) -> None:
        """In any script and any case."""
        message = 'Überlauf: connection Timeout after 30s, 価格が "quoted" * 50 %'
        store.apply(
            [ended(1, Status.FAILED, error=Error("E", message)), ended(2, Status.FAILED, error=Error("X", "no"))]
        )
        found = [entry.id for entry in store.find(Filter(text=text)).entries]
        assert_same(found, ["run-0001"], store.url)
        store.delete(Filter(ids=("run-0001",)))
        assert_same(store.find(Filter(text=text)).entries, (), store.url)

    @pytest.mark.parametrize("text", ["timeout after", "httperror", "30"])
    def test_executions_are_found_by_the_errors_of_their_items(self, store: Store, text: str) -> None:
        """Told at once or bit by bit, and as the items are now."""
        error = Error("HTTPError", "GOOGL: timeout after 30s")
        failed = Item(key="GOOGL", at=MIDNIGHT, status=Status.FAILED, error=error)
        fine = Item(key="AAPL", at=MIDNIGHT, status=Status.SUCCEEDED, error=error)
        store.apply([ended(1, Status.PARTIAL, items=(failed, fine)), ended(2, items=(fine,)), ended(3, Status.RUNNING)])
        store.apply([ended(3, None, items=(failed,)), ended(4, Status.FAILED, error=Error("E", "no"))])
        store.apply([ended(4, None, items=(failed,))])
        found = [entry.id for entry in store.find(Filter(text=text)).entries]
        assert_same(found, ["run-0004", "run-0003", "run-0001"], store.url)
        other = Item(key="GOOGL", at=MIDNIGHT + 1, status=Status.FAILED, error=Error("E", "disk full"))
        store.apply([ended(number, None, items=(other,)) for number in (1, 3, 4)])
        assert_same(store.find(Filter(text=text)).entries, (), store.url)
        assert_same(store.count(Filter(text="disk full")), 3, store.url)
        store.delete(Filter(ids=("run-0003",)))
        assert_same(store.count(Filter(text="disk full")), 2, store.url)

    def test_of_very_many_failed_items_the_first_are_searched(self, store: Store) -> None:
        """A hundred, and 10,000 characters of their errors."""
        items = [
            Item(key=f"k{number:03d}", position=number, status=Status.FAILED, error=Error("E", f"no {number:03d}."))
            for number in range(ITEMS_SEARCHED + 1)
        ]
        long = Item(key="k", status=Status.FAILED, error=Error("E", "x" * (ITEMS_TEXT - 2) + "yz"))
        store.apply([ended(1, Status.FAILED, items=tuple(reversed(items))), ended(2, Status.FAILED, items=(long,))])
        store.apply([ended(3, Status.RUNNING), ended(4, Status.RUNNING)])
        store.apply([ended(3, Status.FAILED, items=tuple(items)), ended(4, Status.FAILED, items=(long,))])
        for text, ids in (("no 099.", [3, 1]), ("no 100.", []), ("xxx", [4, 2]), ("xyz", []), ("0.", [3, 1])):
            found = [entry.id for entry in store.find(Filter(text=text)).entries]
            assert_same((text, found), (text, [f"run-{number:04d}" for number in ids]), store.url)

    def test_what_was_deleted_while_it_ran_stays_deleted(self, store: Store, clock: ManualClock) -> None:
        """Whatever is said about it afterwards."""
        store.apply([ended(1, Status.RUNNING)])
        assert_same(store.delete(Filter(ids=("run-0001",))), 1, store.url)
        applied = store.apply([ended(1, at=clock.at + SECOND)])
        assert_same((applied.inserted, applied.ignored), (0, 1), store.url)
        assert_same(store.get("run-0001"), None, store.url)

    def test_what_had_ended_comes_back_only_by_news(self, store: Store, clock: ManualClock) -> None:
        """A replay is none."""
        store.apply([ended(1)])
        store.delete(Filter(kind="job"))
        assert_same(store.apply([ended(1)]).ignored, 1, store.url)
        assert_same(store.apply([ended(1, at=clock.at + 1)]).inserted, 1, store.url)

    def test_deleting_without_marks_forgets(self, store: Store) -> None:
        """As retention does."""
        store.apply([ended(1)])
        store.delete(Filter(), keep_marks=False)
        assert_same(store.apply([ended(1)]).inserted, 1, store.url)

    def test_statistics_forget_what_was_deleted(self, store: Store) -> None:
        """The maximum too."""
        store.apply([ended(1, duration=9.0, items=(Item(key="A"),)), ended(2, duration=3.0), ended(3, duration=1.0)])
        store.delete(Filter(ids=("run-0001",)))
        bucket = store.stats(Filter(subject="prices"))[0].bucket
        assert_same((bucket.total, bucket.max_micros, bucket.duration_micros), (2, 3_000_000, 4_000_000), store.url)
        assert_same(store.count(Filter(item="A")), 0, store.url)

    def test_changes_are_told_in_order(self, store: Store) -> None:
        """Created, changed and deleted; nothing for what did not change."""
        if not store.capabilities.changes:
            pytest.skip("the store tells no changes")
        store.apply([ended(1), ended(2)])
        store.apply([ended(1), ended(2, at=MIDNIGHT + DAY, name="new")])
        store.delete(Filter(ids=("run-0001",)))
        changes = store.changes(0)
        assert_same(
            [(change.id, change.deleted) for change in changes][-2:],
            [("run-0002", False), ("run-0001", True)],
            store.url,
        )
        assert_same(len(changes), 4, store.url)
        assert_same(
            [change.number for change in changes], list(range(changes[0].number, changes[0].number + 4)), store.url
        )
        assert_same(store.changes(changes[1].number), changes[2:], store.url)
        assert_same(store.changes(changes[0].number, limit=1), changes[1:2], store.url)
        assert_same(store.changes(-1), changes[-1:], store.url)

    def test_absent_processes_are_those_not_noted_alive(self, store: Store, clock: ManualClock) -> None:
        """On the store's clock, and only where something of theirs is open."""
        store.apply(
            [
                ended(1, Status.RUNNING, origin="boot:1"),
                ended(2, Status.RUNNING, origin="boot:2"),
                ended(3, origin="boot:3"),
            ]
        )
        store.attend("boot:1", seconds=10)
        assert_same(store.absent(), ["boot:2"], store.url)
        clock.at += 11 * SECOND
        assert_same(store.absent(), ["boot:1", "boot:2"], store.url)
        store.attend("boot:2", seconds=10)
        store.attend("boot:2", seconds=0)
        assert_same(store.absent(), ["boot:1", "boot:2"], store.url)

    def test_nothing_a_caller_says_loses_a_batch(self, store: Store) -> None:
        """What cannot be kept as it is is mended; the rest of the batch is kept as it is."""
        strange = [
            ended(1, name="a\0b", input={"k\0": float("nan")}),
            ended(2, Status.FAILED, error=Error("E", "half a pair: \ud83d")),
            ended(3, rows=2**70, duration=float("inf")),
            ended(4, started_at=-(2**62), ended_at=2**62),
            ended(5, params={"n": 2**64}),
        ]
        applied = store.apply([ended(0), *strange, ended(6)])
        assert_same((applied.inserted, applied.quarantined), (7, 0), store.url)
        found = store.get("run-0001")
        assert_same(found and (found.name, found.input), ("a\ufffdb", {"k\ufffd": None}), store.url)
        assert_same(store.stats(Filter())[0].bucket.total, 7, store.url)

    def test_long_names_are_cut_and_stay_apart(self, store: Store) -> None:
        """The same on every store, whatever is in the batch beside them; and they are found by what was handed in."""
        names = [LONG + end for end in "ab"]
        long = [
            ended(at, subject=name, actor=name, namespace=name, items=(Item(key=name, at=MIDNIGHT),))
            for at, name in enumerate(names)
        ]
        assert_same(store.apply([ended(7), *long]).quarantined, 0, store.url)
        assert_same(store.apply(long[:1]).inserted, 0, store.url)
        judge = MemoryStore()
        judge.apply([ended(7), *long])
        for parts in (WHOLE, SUMMARY):
            expected = judge.find(Filter(), parts=parts).entries
            assert_same(store.find(Filter(), parts=parts).entries, expected, store.url)
        for asked in (Filter(subject=names[0]), Filter(actor=names[0]), Filter(item=names[0])):
            assert_same([entry.id for entry in store.find(asked).entries], ["run-0000"], store.url)
        assert_same([store.get("run-0001", kind="job", namespace=names[1]) is None], [False], store.url)
        subjects = {entry.subject or "" for entry in store.latest(Filter())}
        assert_same(sorted(len(name.encode()) <= NAME_BYTES for name in subjects), [True, True, True], store.url)

    def test_threads_lose_nothing(self, store: Store) -> None:
        """Several write while one reads: every batch is there once, and no reader sees half of one."""
        halves: list[int] = []
        refused: list[str] = []
        stop = threading.Event()

        def write(first: int) -> None:
            for number in range(first, first + 100, 10):
                try:
                    store.apply([ended(at, actor=f"batch-{number}") for at in range(number, number + 10)])
                except StoreError as error:
                    refused.append(str(error))

        def read() -> None:
            while not stop.is_set():
                counted = Counter(entry.actor for entry in store.find(Filter(), limit=1000).entries)
                halves.extend(count for count in counted.values() if count != 10)  # noqa: PLR2004 - a batch is ten

        reader = threading.Thread(target=read)
        writers = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200)]
        for thread in (reader, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        reader.join()
        assert_same(refused, [], store.url)
        assert_same((halves, store.count(Filter()), store.stats(Filter())[0].bucket.total), ([], 300, 300), store.url)

    def test_a_closed_store_says_so(self, store: Store) -> None:
        """And closing twice is fine."""
        store.close()
        store.close()
        with pytest.raises(StoreError):
            store.apply([ended(1)])

    def test_its_facts_are_texts(self, store: Store) -> None:
        """For `execlog doctor`."""
        facts = store.check()
        assert_same({type(value) for value in facts.values()}, {str}, store.url)
        assert_same(store.url.partition("://")[1], "://", store.url)
