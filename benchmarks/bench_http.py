"""What the server costs beside a bare Starlette + msgspec route for the same work: at least 0.8 of its throughput.

Both are served by uvicorn with uvloop and httptools in a process of their own, over the same SQLite file; the same
client asks both over keep-alive connections in turns, and medians are compared. "Bare" is a plain function behind a
Starlette route that reads its parameters by hand, makes the same call, encodes it with msgspec and returns a Response:
no validation, no authorisation, no limits, no security headers. Exits with 1 when a ratio is below its target.

    history   GET /scheduler/jobs/{job_id}/history?limit=50
    page      GET /api/executions?kind=job&subject=…&limit=50
    one       GET /api/executions/{id}
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

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


def serve_bare(url: str, home: str) -> None:
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

    app = Starlette(
        routes=[
            Route("/scheduler/jobs/{job_id}/history", history),
            Route("/api/executions", page),
            Route("/api/executions/{id}", one),
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


class Served:
    """A server process; counts its own CPU seconds."""

    def __init__(self, which: str, url: str, home: str) -> None:
        command = [sys.executable, __file__, "--serve", which, url, home]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def cpu(self) -> float:
        """User and system seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


class Client:
    """Asks one path over one keep-alive connection, again and again."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\n\r\n".encode()

    def ask(self) -> bytes:
        """The body of one answer."""
        self._socket.sendall(self._request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(65_536)
        head, _, body = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(262_144)
        return body

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def measure(served: Served, path: str, seconds: float) -> tuple[float, float, float]:
    """Requests a second, server CPU µs a request and p99 in ms, of so many connections at once."""
    times: list[float] = []
    until = time.monotonic() + seconds

    def work() -> None:
        client = Client(served.port, path)
        mine: list[float] = []
        while (begun := time.monotonic()) < until:
            client.ask()
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


def compare(name: str, bare: Served, ours: Served, *, rounds: int, seconds: float) -> float:
    """Our throughput as a share of the bare one's: the median of pairs of runs that take turns; prints both."""
    path = PATHS[name]
    same = json.loads(Client(bare.port, path).ask()) == json.loads(Client(ours.port, path).ask())
    assert same, f"{name}: the two do not answer the same"
    for served in (bare, ours):
        measure(served, path, 0.3)
    pairs = [(measure(bare, path, seconds), measure(ours, path, seconds)) for _ in range(rounds)]
    shares = [ours_[0] / bare_[0] for bare_, ours_ in pairs]
    for label, place in (("bare", 0), ("execlog", 1)):
        rate, cpu, p99 = (statistics.median(values) for values in zip(*(pair[place] for pair in pairs), strict=True))
        print(f"{name:8} {label:8} {rate:7.0f} requests/s  {cpu:6.0f} µs CPU a request  p99 {p99:5.1f} ms")
    share = statistics.median(shares)
    print(f"{name:8} ratio    {share:7.2f}  (pairs {min(shares):.2f} to {max(shares):.2f}; target {TARGET})\n")
    return share


def main() -> int:
    """The exit code: 0 where every ratio reaches its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--serve", nargs=3, metavar=("WHICH", "URL", "HOME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        which, url, home = options.serve
        {"bare": serve_bare, "ours": serve_ours}[which](url, home)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        fill(url)
        print(
            f"{EXECUTIONS:,} executions of {JOBS} jobs; {CONNECTIONS} connections; median of {options.rounds} pairs\n"
        )
        bare, ours = Served("bare", url, f"{folder}/bare"), Served("ours", url, f"{folder}/ours")
        try:
            shares = [compare(name, bare, ours, rounds=options.rounds, seconds=options.seconds) for name in PATHS]
        finally:
            bare.stop()
            ours.stop()
    return int(min(shares) < TARGET)


if __name__ == "__main__":
    sys.exit(main())
