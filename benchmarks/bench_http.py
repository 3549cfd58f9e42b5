"""What the server costs beside a bare Starlette + msgspec route for the same work: at least 0.8 of its throughput.

Both are served by uvicorn with uvloop and httptools in a process of their own, over the same SQLite file; the same
client asks both over keep-alive connections in turns, and medians are compared. "Bare" is a plain function behind a
Starlette route that reads its parameters by hand, makes the same call, encodes it with msgspec and returns a Response:
no validation, no authorisation, no limits, no security headers. Starlette runs it in a pool of 40 threads that compete
for the interpreter; "inline" is the same on the event loop, where nothing does, and is printed beside it. Exits with 1
when a ratio to "bare" is below its target.

    history   GET /scheduler/jobs/{job_id}/history?limit=50
    page      GET /api/executions?kind=job&subject=…&limit=50
    one       GET /api/executions/{id}
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from report import Report
from serving import Client, Served

TARGET = 0.8
EXECUTIONS = 20_000
JOBS = 100
CONNECTIONS = 16
BATCH = 1_000
PATHS = {
    "history": "/scheduler/jobs/job-7/history?limit=50",
    "page": "/api/executions?kind=job&subject=job-7&limit=50",
    "one": "/api/executions/run-1007",
}


def fill(url: str) -> None:
    """Put 20,000 executions of 100 jobs into the store, 200 of each, with five items each."""
    from execlog.core.model import Event, Item, Status
    from execlog.core.settings import Settings
    from execlog.store.opening import open_store

    store = open_store(url, Settings())
    start = time.time_ns() // 1000 - 86_400_000_000
    items = tuple(Item(key=f"S{number}", status=Status.SUCCEEDED, position=number, rows=10) for number in range(5))
    for first in range(0, EXECUTIONS, BATCH):
        events = [
            Event(
                id=f"run-{number}",
                kind="job",
                at=start + number * 1_000_000,
                status=Status.SUCCEEDED if number % 10 else Status.FAILED,
                name=f"Job {number % JOBS}",
                subject=f"job-{number % JOBS}",
                actor="schedule",
                started_at=start + number * 1_000_000,
                ended_at=start + number * 1_000_000 + 900_000,
                duration=0.9,
                rows=50,
                items=items,
            )
            for number in range(first, first + BATCH)
        ]
        store.apply(events)
    store.close()


def serve_inline(url: str, home: str) -> None:
    """As bare, but on the event loop itself: no thread is changed, and one slow question holds up all others."""
    serve_bare(url, home, inline=True)


def serve_bare(url: str, home: str, *, inline: bool = False) -> None:
    """Serve the three routes barely, until killed."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from execlog.core.filter import Filter
    from execlog.history.dossier import dossier, get
    from execlog.history.listing import ExecutionList
    from execlog.history.view import to_json, view
    from execlog.kind import Call
    from execlog.kinds.jobs import SchedulerServingApp
    from execlog.kinds.jobs.routes import Handlers
    from execlog.ledger import Ledger

    ledger = Ledger.open(url, home=home)
    jobs = Handlers(SchedulerServingApp(ledger))
    history_params = next(
        type_ for name, type_ in vars(sys.modules[Handlers.__module__]).items() if name == "HistoryParams"
    )

    def history(request: Request) -> Response:
        params = history_params(job_id=request.path_params["job_id"], limit=int(request.query_params["limit"]))
        return Response(to_json(jobs.history(Call(params=params))), media_type="application/json")

    def page(request: Request) -> Response:
        query = request.query_params
        asked = Filter(kind=query["kind"], subject=query["subject"])
        found = ledger.store.find(asked, limit=int(query["limit"]))
        answer = ExecutionList(executions=tuple(map(view, found.entries)), next_cursor=found.next_cursor)
        return Response(to_json(answer), media_type="application/json")

    def one(request: Request) -> Response:
        answer = dossier(ledger.store, get(ledger.store, request.path_params["id"]))
        return Response(to_json(answer), media_type="application/json")

    def placed(handler: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def on_loop(request: Request) -> Response:
            return handler(request)

        return on_loop if inline else handler

    app = Starlette(
        routes=[
            Route("/scheduler/jobs/{job_id}/history", placed(history)),
            Route("/api/executions", placed(page)),
            Route("/api/executions/{id}", placed(one)),
        ]
    )
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    print(taken.getsockname()[1], flush=True)
    config = uvicorn.Config(app, http="httptools", ws="none", log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[taken])


def serve_ours(url: str, home: str) -> None:
    """Serve execlog, until killed."""
    from execlog.core.settings import load
    from execlog.kinds.jobs import SchedulerServingApp, jobs_kind
    from execlog.ledger import Ledger
    from execlog.web.server import Server

    ledger = Ledger.open(settings=load(store=url, home=home, port=0))
    server = Server(ledger, [jobs_kind(SchedulerServingApp(ledger))])
    server.run(announce=lambda _: print(server.port, flush=True))


SERVERS = {"bare": serve_bare, "inline": serve_inline, "execlog": serve_ours}


def started(label: str, url: str, folder: str) -> Served:
    """One of the servers, in a process of its own."""
    return Served([sys.executable, __file__, "--serve", label, url, f"{folder}/{label}"])


def measure(served: Served, path: str, seconds: float) -> tuple[float, float, float]:
    """Requests a second, server CPU µs a request and p99 in ms, of so many connections at once."""
    times: list[float] = []
    until = time.monotonic() + seconds

    def work() -> None:
        client = Client(served.port)
        mine: list[float] = []
        while (begun := time.monotonic()) < until:
            client.get(path)
            mine.append(time.monotonic() - begun)
        times.extend(mine)
        client.close()

    cpu, begun = served.cpu(), time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - begun
    p99 = statistics.quantiles(times, n=100)[98] * 1e3
    return len(times) / elapsed, (served.cpu() - cpu) / len(times) * 1e6, p99


def compare(report: Report, name: str, servers: dict[str, Served], *, rounds: int, seconds: float) -> None:
    """Report each server's throughput, and ours as a share of the bare ones': medians over rounds that take turns."""
    path = PATHS[name]
    answers = [json.loads(Client(served.port).get(path)) for served in servers.values()]
    assert all(answer == answers[0] for answer in answers), f"{name}: they do not answer the same"
    for served in servers.values():
        measure(served, path, 0.3)
    runs = [{label: measure(served, path, seconds) for label, served in servers.items()} for _ in range(rounds)]
    for label in servers:
        rate, cpu, p99 = (statistics.median(values) for values in zip(*(run[label] for run in runs), strict=True))
        report.add(f"{name}, {label}", rate, "requests/s")
        report.add(f"{name}, {label}, server CPU", cpu, "µs/request")
        report.add(f"{name}, {label}, p99", p99, "ms")
    for label in ("bare", "inline"):
        share = statistics.median(run["execlog"][0] / run[label][0] for run in runs)
        target = {"at_least": TARGET} if label == "bare" else {}
        report.add(f"{name}, execlog over {label}", share, "times", **target)


def main() -> int:
    """The exit code: 0 where every ratio reaches its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--serve", nargs=3, metavar=("WHICH", "URL", "HOME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        which, url, home = options.serve
        SERVERS[which](url, home)
        return 0
    report = Report("bench_http")
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        fill(url)
        print(
            f"{EXECUTIONS:,} executions of {JOBS} jobs; {CONNECTIONS} connections; median of {options.rounds} pairs\n"
        )
        with ExitStack() as stack:
            servers = {label: stack.enter_context(started(label, url, folder)) for label in SERVERS}
            for name in PATHS:
                compare(report, name, servers, rounds=options.rounds, seconds=options.seconds)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
