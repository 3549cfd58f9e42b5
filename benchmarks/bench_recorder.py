"""What recording costs the caller, beside its own limit and beside what others do; and whether it bothers anybody.

    bench_recorder.py [NAME …]     names: cost, peers, latency, burst, contended; all without a name

cost       record() beside building the same Struct, encoding it, a CRC and a store into a mapped file: target <= 2 x
peers      stdlib QueueHandler, one asyncio task a record (peers_recorder has those that are installed for it)
latency    p99 of record() while two other threads compute, with the store up and down: target <= 20 µs
burst      200,000 records (30 MB) in one second from four threads: nothing dropped, p99 <= 50 µs, readable in 10 s
contended  the drain while the main thread computes: >= 15,000 rows/s at >= 75 % with the thread, 20,000 at 95 % without

Every figure is a median over rounds in which the candidates take turns. CPU is this process's own, not the clock.
"""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import mmap
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

from report import Report, percentile, take_turns

from execlog.core import codec
from execlog.core.filter import Filter
from execlog.core.model import Event
from execlog.core.settings import load
from execlog.ledger import Ledger
from execlog.recorder.recorder import Recorder
from execlog.recorder.segment import FRAME, FRAME_WORD

NUMBER, ROUNDS, SEGMENT = 20_000, 7, 64 * 2**20
PLAIN: dict[str, Any] = {
    "kind": "query", "subject": "kdb-prod", "actor": "u-17", "engine": "kdb", "started_at": 1_700_000_000_000_000,
    "ended_at": 1_700_000_000_100_000, "duration": 0.1, "rows": 10,
}  # fmt: skip
ID = "01a20259-052f-7000-a000-48559839d20f"


def texts(number: int) -> list[dict[str, Any]]:
    """A query's own text and metadata for each record, no two alike."""
    return [
        {
            "input": f"select sym, last price from trade where date=2024.01.{n % 28 + 1:02d}, sym=`S{n} by sym",
            "metadata": {"page": n, "conversation": "c-12345", "complexity": "medium"},
        }
        for n in range(number)
    ]


def cpu_of(work: Callable[[], object]) -> float:
    """Microseconds of CPU for each of NUMBER records."""
    start = time.process_time()
    work()
    return (time.process_time() - start) / NUMBER * 1e6


def plain_event(number: int, _: dict[str, Any]) -> Event:
    """An event of identifiers and numbers, its fields spelled out as a caller spells them."""
    return Event(
        id=ID, kind="query", at=number, status="succeeded", name="load", subject="kdb-prod", actor="u-17", engine="kdb",  # pyright: ignore[reportArgumentType] - a word for a status
        started_at=1_700_000_000_000_000, ended_at=1_700_000_000_100_000, duration=0.1, rows=10,
    )  # fmt: skip


def free_event(number: int, more: dict[str, Any]) -> Event:
    """The same with free text and metadata."""
    return Event(
        id=ID, kind="query", at=number, status="succeeded", name="load", subject="kdb-prod", actor="u-17", engine="kdb",  # pyright: ignore[reportArgumentType] - a word for a status
        started_at=1_700_000_000_000_000, ended_at=1_700_000_000_100_000, duration=0.1, rows=10, input=more["input"],
        metadata=more["metadata"],
    )  # fmt: skip


def record_plain(record: Callable[..., str], _: dict[str, Any]) -> None:
    """What a caller of record() writes."""
    record(
        "load", kind="query", subject="kdb-prod", actor="u-17", engine="kdb", started_at=1_700_000_000_000_000,
        ended_at=1_700_000_000_100_000, duration=0.1, rows=10,
    )  # fmt: skip


def record_free(record: Callable[..., str], more: dict[str, Any]) -> None:
    """The same with free text and metadata."""
    record(
        "load", kind="query", subject="kdb-prod", actor="u-17", engine="kdb", started_at=1_700_000_000_000_000,
        ended_at=1_700_000_000_100_000, duration=0.1, rows=10, input=more["input"], metadata=more["metadata"],
    )  # fmt: skip


def limit(folder: Path, free: list[dict[str, Any]]) -> float:
    """The least that a crash-safe record can cost: Struct, encoding, CRC, a store into fresh preallocated pages."""
    path = folder / "limit"
    with path.open("w+b") as file:
        os.posix_fallocate(file.fileno(), 0, SEGMENT)
        mapped = mmap.mmap(file.fileno(), SEGMENT)

    build = free_event if free[0] else plain_event

    def work() -> None:
        position, encode, pack = 0, codec.encode, FRAME.pack
        for number, more in enumerate(free):
            payload = encode(build(number, more))
            end = position + FRAME.size + len(payload)
            mapped[position:end] = pack(FRAME_WORD, len(payload), crc32(payload, number), number) + payload
            position = end

    cost = cpu_of(work)
    mapped.close()
    path.unlink()
    return cost


def recorder_in(folder: Path) -> Recorder:
    """A recorder that nobody drains."""
    settings = load({}, home=str(folder), journal_segment=SEGMENT, journal_cap=2**40)
    return Recorder(settings, folder / "journal" / str(time.monotonic_ns()))


def recorded(folder: Path, free: list[dict[str, Any]]) -> float:
    """record() itself."""
    recorder = recorder_in(folder)
    record = recorder.record
    record("load", **PLAIN)
    say = record_free if free[0] else record_plain

    def work() -> None:
        for more in free:
            say(record, more)

    cost = cpu_of(work)
    assert recorder.journal is not None
    assert recorder.journal.accepted == NUMBER + 1, recorder.refused
    recorder.journal.close(remove=True)
    return cost


def cost(report: Report, folder: Path) -> None:
    """Print what record() costs beside its limit."""
    plain: list[dict[str, Any]] = [{}] * NUMBER
    free = texts(NUMBER)
    found = take_turns({
        "limit": lambda: limit(folder, plain),
        "record": lambda: recorded(folder, plain),
        "limit, free text": lambda: limit(folder, free),
        "record, free text": lambda: recorded(folder, free),
    }, ROUNDS)  # fmt: skip
    show(report, found)
    report.add("record over limit", found["record"] / found["limit"], "times", at_most=2.0)
    # Each of these is looked through for secrets.
    report.add("record over limit, free text", found["record, free text"] / found["limit, free text"], "times")


def queue_cost() -> float:
    """A stdlib log record with the same fields through a QueueHandler, which a kill loses."""
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    logger = logging.getLogger("bench")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers.clear()
    logger.addHandler(logging.handlers.QueueHandler(waiting))  # pyright: ignore[reportArgumentType] - it only puts

    def work() -> None:
        for _ in range(NUMBER):
            logger.info("load", extra={"record": PLAIN})

    return cpu_of(work)


def task_cost() -> float:
    """A task for each record, as `create_task(save(record))` does; saving itself costs nothing here."""

    async def save(record: dict[str, Any]) -> None:
        del record

    async def main() -> None:
        for start in range(0, NUMBER, 1000):
            tasks = [asyncio.create_task(save({**PLAIN, "id": number})) for number in range(start, start + 1000)]
            await asyncio.gather(*tasks)

    return cpu_of(lambda: asyncio.run(main()))


def peers(report: Report, folder: Path) -> None:
    """Print what others take."""
    plain: list[dict[str, Any]] = [{}] * NUMBER
    found = take_turns({
        "record": lambda: recorded(folder, plain),
        "QueueHandler": queue_cost,
        "asyncio task": task_cost,
    }, 5)  # fmt: skip
    show(report, found)
    for name in ("QueueHandler", "asyncio task"):
        report.add(f"{name} over record", found[name] / found["record"], "times")


def compute(stop: threading.Event) -> int:
    """Work that never lets go of the interpreter by itself; how much of it was done."""
    done = 0
    while not stop.is_set():
        for number in range(1000):
            done += number & 1
    return done


def latencies(folder: Path, store: str) -> list[float]:
    """Seconds each of NUMBER calls took while two other threads compute, at a pace of one call in 100 µs."""
    stop, took = threading.Event(), []
    threads = [threading.Thread(target=compute, args=(stop,)) for _ in range(2)]
    with Ledger.open(store, home=folder / f"home{time.monotonic_ns()}") as ledger:
        record = ledger.recorder.record
        record("load", **PLAIN)
        record("load", **PLAIN)
        for thread in threads:
            thread.start()
        clock = time.perf_counter
        for _ in range(NUMBER):
            start = clock()
            record("load", **PLAIN)
            took.append(clock() - start)
        stop.set()
        for thread in threads:
            thread.join()
        ledger.close(0.2)
    return took


def latency(report: Report, folder: Path) -> None:
    """Print how long a caller waits."""
    (folder / "blocked").touch()
    for name, store in {
        "store up": f"sqlite:///{folder}/latency.db",
        "store down": f"sqlite:///{folder}/blocked/x.db",
    }.items():
        p50, p99, most = [], [], []
        for _ in range(3):
            took = sorted(latencies(folder, store))
            p50.append(took[len(took) // 2])
            p99.append(took[len(took) * 99 // 100])
            most.append(took[-1])
        figures = [statistics.median(each) * 1e6 for each in (p50, p99, most)]
        report.add(f"{name}, p50 of a call", figures[0], "µs")
        report.add(f"{name}, p99 of a call", figures[1], "µs", at_most=20)
        report.add(f"{name}, most", figures[2], "µs")


def burst(report: Report, folder: Path) -> None:
    """Print what becomes of 200,000 records of 150 bytes in one second."""
    each, threads = 50_000, 4
    took: list[list[float]] = [[] for _ in range(threads)]
    with Ledger.open(f"sqlite:///{folder}/burst.db", home=folder / "burst") as ledger:
        record, clock = ledger.recorder.record, time.perf_counter
        for _ in range(2):
            record("load", **PLAIN)
        began = clock()

        def work(mine: list[float]) -> None:
            for number in range(each):
                while number > (clock() - began) * each:
                    time.sleep(0.001)
                start = clock()
                record("load", **PLAIN)
                mine.append(clock() - start)

        workers = [threading.Thread(target=work, args=(mine,)) for mine in took]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        said = clock() - began
        ledger.flush(60)
        readable = clock() - began
        all_of_them = sorted(one for mine in took for one in mine)
        stats = ledger.stats()
        assert stats.accepted == each * threads + 2
        assert ledger.store.count(Filter(kind="query")) == each * threads + 2
        report.add("burst, said in", said, "s")
        report.add("burst, readable after", readable, "s", at_most=10)
        report.add("burst, dropped", sum(stats.dropped.values()), "records", at_most=0)
        report.add("burst, p50 of a call", percentile(all_of_them, 0.5) * 1e6, "µs")
        report.add("burst, p99 of a call", percentile(all_of_them, 0.99) * 1e6, "µs", at_most=50)


def contended(report: Report, folder: Path) -> None:
    """Print how the drain and the application's main thread share the machine."""
    alone = speed(2.0)
    for name in ("thread", "server"):
        place = folder / name
        store = f"sqlite:///{place}/x.db"
        with Ledger.open(store, home=place) as ledger:
            server = serve(place, store) if name == "server" else None
            try:
                number = 60_000
                for _ in range(number):
                    ledger.record("load", **PLAIN)
                began = time.perf_counter()
                busy = speed_until(lambda: ledger._pump.cursor.stored >= number)  # noqa: B023, SLF001 - the benchmark looks inside
                rate = number / (time.perf_counter() - began)
            finally:
                if server is not None:
                    server.terminate()
                    server.wait()
        rows, share = (15_000, 75) if name == "thread" else (20_000, 95)
        report.add(f"drained by a {name}", rate, "rows/s", at_least=rows)
        report.add(f"drained by a {name}, main thread", 100 * busy / alone, "% of its speed", at_least=share)


def serve(home: Path, store: str) -> subprocess.Popen[bytes]:
    """A server process that empties the journals of this home."""
    script = "import time; from execlog.ledger import Ledger; ledger = Ledger.open(drains_home=True); "
    script += "print('serving', flush=True); time.sleep(600)"
    environment = os.environ | {"EXECLOG_HOME": str(home), "EXECLOG_STORE": store}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def speed(seconds: float) -> float:
    """Loops a second of the main thread, undisturbed."""
    until = time.perf_counter() + seconds
    return speed_until(lambda: time.perf_counter() > until)


def speed_until(done: Callable[[], bool]) -> float:
    """Loops a second of the main thread until something is done, asked fifty times a second."""
    count, began = 0, time.perf_counter()
    ask = began + 0.02
    while True:
        for number in range(1000):
            count += number & 1
        if (now := time.perf_counter()) > ask:
            if done():
                return count / (now - began)
            ask = time.perf_counter() + 0.02


def show(report: Report, found: dict[str, float]) -> None:
    """Report medians of CPU."""
    for name, figure in found.items():
        if all(name != known.name for known in report.figures):
            report.add(name, figure, "µs CPU")


PARTS: dict[str, Callable[[Report, Path], None]] = {
    "cost": cost, "peers": peers, "latency": latency, "burst": burst, "contended": contended,
}  # fmt: skip


def main(names: list[str]) -> int:
    """The exit code: 0 where every target of the parts named, or of all, is met."""
    report = Report("bench_recorder")
    for name in names or PARTS:
        print(name)
        folder = Path(tempfile.mkdtemp(prefix="bench-recorder-", dir=os.environ.get("BENCH_FOLDER")))
        try:
            PARTS[name](report, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return report.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
