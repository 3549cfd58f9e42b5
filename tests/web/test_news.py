"""Live updates from the inside: what is told, to whom, and what happens to those who cannot follow."""

from __future__ import annotations

import asyncio
import json
import threading

import msgspec
import pytest

from execlog.core.errors import StoreError
from execlog.core.filter import Filter
from execlog.kind import Call
from execlog.store.memory import MemoryStore
from execlog.web import feed, news
from execlog.web.feed import Feeds, Hub
from execlog.web.news import FeedQuestion, Wanted, newest, read
from execlog.web.problem import ProblemError
from execlog.web.workers import Workers
from histories import execution, mixed, seed


def fields(data: bytes) -> list[dict[str, str]]:
    """The events in these bytes, as their fields."""
    blocks = data.decode().strip().split("\n\n")
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def test_each_execution_is_told_once_in_its_last_state():
    store = MemoryStore()
    store.apply([execution(0, status="running", at=5)])
    store.apply([execution(1)])
    store.apply([execution(0)])
    told = read(store, 0)
    assert [(one.key.id, one.execution.status.value) for one in told] == [
        ("run-1", "succeeded"),
        ("run-0", "succeeded"),
    ]
    assert told[-1].number == newest(store)
    assert read(store, newest(store)) == []
    [event] = fields(told[0].data)
    assert (event["id"], event["event"], json.loads(event["data"])["id"]) == (str(told[0].number), "execution", "run-1")


def test_what_was_deleted_is_told_by_its_identity():
    store = MemoryStore()
    store.apply([execution(0)])
    store.delete(Filter(ids=("run-0",)))
    [told] = read(store, 0)
    [event] = fields(told.data)
    assert (event["event"], json.loads(event["data"])) == ("deleted", {"kind": "job", "namespace": "", "id": "run-0"})


def test_who_is_too_far_behind_is_told_so(monkeypatch):
    monkeypatch.setattr(news, "PAGE", 10)
    monkeypatch.setattr(news, "MOST_BEHIND", 25)
    store = MemoryStore()
    store.apply([execution(number) for number in range(30)])
    [told] = read(store, 0)
    [event] = fields(told.data)
    assert (event["event"], json.loads(event["data"])) == ("gap", {"after": 0, "upto": newest(store)})
    assert told.number == newest(store)
    assert len(read(store, newest(store) - 20)) == 10


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({}, ["run-0", "run-1", "run-2", "run-3", "run-4", "run-5"]),
        ({"kind": "workflow"}, ["run-5"]),
        ({"namespace": "shop"}, ["run-5"]),
        ({"id": "run-3"}, ["run-3"]),
        ({"subject": "ticker"}, ["run-2", "run-3"]),
        ({"actor": "alice"}, ["run-5"]),
        ({"status": ["failed", "running"]}, ["run-2", "run-4"]),
    ],
)
def test_a_client_is_told_what_it_wants(asked, ids):
    store = MemoryStore()
    store.apply(mixed())
    wanted = Wanted(msgspec.convert(asked, FeedQuestion))
    assert [one.key.id for one in read(store, 0) if wanted.takes(one)] == ids


def test_a_limited_client_is_never_told_of_others():
    store = MemoryStore()
    store.apply(mixed())
    limited = Wanted(FeedQuestion(), limited_to="alice")
    assert [one.key.id for one in read(store, 0) if limited.takes(one)] == ["run-5"]
    store.delete(Filter())
    assert [one for one in read(store, 0) if limited.takes(one)] == []


class Listener:
    """A client of a hub, in the loop."""

    def __init__(self, hub: Hub, after: int | None = None, **asked: object) -> None:
        self.events = hub.admit(Wanted(msgspec.convert(asked, FeedQuestion)), after)

    async def next(self) -> list[dict[str, str]]:
        return fields(await asyncio.wait_for(anext(self.events), 10))

    async def ids(self, number: int) -> list[str]:
        """The ids of the next executions, so many of them."""
        found: list[str] = []
        while len(found) < number:
            found += [json.loads(event["data"])["id"] for event in await self.next() if "data" in event]
        return found


def test_a_slow_client_reads_from_the_store_what_the_ring_has_lost(ledger, monkeypatch):
    monkeypatch.setattr(feed, "RING", 4)

    async def play() -> None:
        hub = Hub(ledger, Workers())
        slow, quick = Listener(hub), Listener(hub)
        await slow.next()
        await quick.next()
        for number in range(12):
            seed(ledger, execution(number))
            ledger.feed.publish(newest(ledger.store))
            assert await quick.ids(1) == [f"run-{number}"]
        assert await slow.ids(12) == [f"run-{number}" for number in range(12)]
        await slow.events.aclose()
        await quick.events.aclose()
        assert hub.clients == 0

    asyncio.run(play())


def test_a_client_that_wants_little_is_moved_on(ledger, monkeypatch):
    monkeypatch.setattr(feed, "_QUIET", 3)

    async def play() -> None:
        hub = Hub(ledger, Workers())
        picky = Listener(hub, kind="none")
        begin = int((await picky.next())[0]["id"])
        seed(ledger, *(execution(number) for number in range(5)))
        [moved] = await picky.next()
        assert (set(moved), int(moved["id"])) == ({"id"}, begin + 5)
        await picky.events.aclose()

    asyncio.run(play())


def test_the_hub_reads_only_while_somebody_listens(ledger):
    async def play() -> None:
        hub = Hub(ledger, Workers())
        first = Listener(hub)
        await first.next()
        assert hub._reader is not None
        await first.events.aclose()
        assert hub._reader is None
        seed(ledger, execution(0))
        again = Listener(hub)
        assert int((await again.next())[0]["id"]) == newest(ledger.store)
        seed(ledger, execution(1))
        assert await again.ids(1) == ["run-1"]
        await again.events.aclose()

    asyncio.run(play())


def test_a_store_that_fails_for_a_while_ends_nothing(ledger, monkeypatch):
    async def play() -> None:
        hub = Hub(ledger, Workers())
        listener = Listener(hub)
        await listener.next()
        changes, failed = ledger.store.changes, asyncio.Event()
        loop = asyncio.get_running_loop()

        def down(*_args, **_kwargs):
            loop.call_soon_threadsafe(failed.set)
            raise StoreError("down", retry=True)

        monkeypatch.setattr(ledger.store, "changes", down)
        assert await listener.next() == [{"event": "away", "data": "{}"}]
        failed.clear()
        await asyncio.wait_for(failed.wait(), 10)  # which is not said again
        monkeypatch.setattr(ledger.store, "changes", changes)
        seed(ledger, execution(0))
        assert await listener.ids(1) == ["run-0"]
        await listener.events.aclose()

    asyncio.run(play())


def down(*_args, **_kwargs):
    raise StoreError("down", retry=True)


def test_who_comes_while_the_store_is_away_waits_for_it(ledger, monkeypatch):
    """A stream that broke off at once would come back at once, and a page would say "live" each time."""

    async def play() -> None:
        hub = Hub(ledger, Workers())
        with monkeypatch.context() as patch:
            patch.setattr(ledger.store, "changes", down)
            listener = Listener(hub)
            assert await listener.next() == [{"event": "away", "data": "{}"}]
        assert int((await listener.next())[0]["id"]) == newest(ledger.store)
        seed(ledger, execution(0))
        assert await listener.ids(1) == ["run-0"]
        await listener.events.aclose()

    asyncio.run(play())


def test_who_waits_for_the_store_is_let_go_when_the_server_stops(ledger, monkeypatch):
    monkeypatch.setattr(ledger.store, "changes", down)

    async def play() -> None:
        hub = Hub(ledger, Workers())
        listener = Listener(hub)
        assert await listener.next() == [{"event": "away", "data": "{}"}]
        hub.close()
        assert [event async for event in listener.events] == []  # no place to go on from: none was found

    asyncio.run(play())


def test_a_place_is_taken_when_it_is_promised_and_given_back_unread(ledger):
    async def play() -> None:
        feeds = Feeds(ledger, Workers(), most_clients=2)
        asked = Call(params=FeedQuestion())
        promised = [(await feeds.open(asked)).body for _ in range(2)]
        with pytest.raises(ProblemError) as refused:
            await feeds.open(asked)
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "10"})
        for _ in range(2):  # closing twice gives one place back
            await promised[0].aclose()
        assert feeds.clients == 1
        await (await feeds.open(asked)).body.aclose()
        await promised[1].aclose()
        assert feeds.clients == 0

    asyncio.run(play())


def test_closing_ends_every_stream(ledger):
    async def play() -> None:
        hub = Hub(ledger, Workers())
        listeners = [Listener(hub) for _ in range(3)]
        for listener in listeners:
            await listener.next()
        waiting = [asyncio.ensure_future(listener.next()) for listener in listeners]
        await asyncio.sleep(0)
        hub.close()
        for one in waiting:
            with pytest.raises(StopAsyncIteration):
                await one

    asyncio.run(play())


def test_workers_hand_back_what_is_returned_and_raised():
    async def play() -> None:
        workers = Workers(2)
        assert await asyncio.gather(*(workers.run(lambda n=n: n * n) for n in range(20))) == [n * n for n in range(20)]
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 // 0)
        workers.close()

    asyncio.run(play())


def test_too_many_waiting_calls_are_refused(monkeypatch):
    from execlog.web import workers as module

    monkeypatch.setattr(module, "MAX_WAITING", 3)
    release = threading.Event()

    async def play() -> None:
        workers = Workers(1)
        waiting = [asyncio.ensure_future(workers.run(release.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ProblemError) as refused:
            await workers.run(release.wait)
        assert refused.value.status == 503
        release.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await workers.run(lambda: "again") == "again"
        workers.close()

    asyncio.run(play())


def test_a_caller_that_gives_up_leaves_the_worker_working():
    async def play() -> None:
        workers = Workers(1)
        begun, release, done = asyncio.Event(), threading.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def work() -> None:
            loop.call_soon_threadsafe(begun.set)
            release.wait(10)
            done.set()

        call = asyncio.ensure_future(workers.run(work))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        release.set()
        assert await workers.run(lambda: "next") == "next"
        assert done.is_set()
        workers.close()

    asyncio.run(play())


def test_the_threads_of_an_app_that_nobody_closes_end_with_it():
    async def play() -> list[threading.Thread]:
        workers = Workers(2)
        return await asyncio.gather(*(workers.run(threading.current_thread) for _ in range(20)))

    for thread in set(asyncio.run(play())):
        thread.join(5)
        assert not thread.is_alive()
