"""The recorder beside the clients of OpenTelemetry, Langfuse and MLflow: µs of CPU a record.

    peers_recorder.py [--records 20000] [--rounds 3]

"caller" is the calling thread, "process" everything until it was handed over. execlog is measured twice, with its drain
into SQLite in the process, and drained by a server; OpenTelemetry twice, with an exporter that does nothing, and with
the OTLP encoding every real exporter does; Langfuse sends to a local server that takes anything; MLflow writes to
SQLite. Targets: OpenTelemetry, encoding, costs its caller and its process at least 20 times what execlog costs them
beside a server.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import environments
from bench_recorder import serve
from environments import PeerError
from report import Report

from execlog.ledger import Ledger

Figures = dict[str, float]
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
SERVED = "execlog, drained by a server"
SLOW = {"MLflow": 80}
"""Who is given only one of so many records, to end in time."""


class Sink(BaseHTTPRequestHandler):
    """Takes anything, and says that it is well."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read all of it."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST  # noqa: N815 - as above

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def sink() -> Iterator[str]:
    """The URL of a server that takes anything."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def execlog(records: int, *, served: bool) -> Figures:
    """Figures of our own recorder until the store has everything, which this process or a server puts there."""
    with tempfile.TemporaryDirectory() as folder:
        home, store = Path(folder), f"sqlite:///{folder}/x.db"
        with Ledger.open(store, home=home) as ledger, drained_by_a_server(home, store) if served else nullcontext():
            return figures_of(ledger, records)


@contextmanager
def drained_by_a_server(home: Path, store: str) -> Iterator[None]:
    """Let another process empty the journals of this home meanwhile."""
    server = serve(home, store)
    try:
        yield
    finally:
        server.terminate()
        server.wait()


def figures_of(ledger: Ledger, records: int) -> Figures:
    """What so many records cost."""
    record = ledger.recorder.record

    def call() -> None:
        record(
            "load", kind="query", subject="kdb-prod", actor="u-17", engine="kdb", duration=0.1, rows=10,
            started_at=1_700_000_000_000_000, ended_at=1_700_000_000_100_000,
        )  # fmt: skip

    call()
    ledger.flush(30)
    process, thread = time.process_time(), time.thread_time()
    for _ in range(records):
        call()
    caller = time.thread_time() - thread
    ledger.flush(60)
    whole = time.process_time() - process
    return {"caller": caller / records * 1e6, "process": whole / records * 1e6}


def candidates(url: str) -> dict[str, Callable[[int], Figures]]:
    """Who takes part, by name."""

    def mlflow(records: int) -> Figures:
        with tempfile.TemporaryDirectory() as folder:
            number = max(records // SLOW["MLflow"], 20)
            uri = f"sqlite:///{folder}/mlflow.db"
            return environments.ask("MLflow", "record", "mlflow", number, uri, environment=QUIET)

    def otel(exporter: str) -> Callable[[int], Figures]:
        return lambda records: environments.ask("OpenTelemetry", "record", "opentelemetry", records, exporter)

    return {
        "execlog": lambda records: execlog(records, served=False),
        SERVED: lambda records: execlog(records, served=True),
        "OpenTelemetry, exporter does nothing": otel("nowhere"),
        "OpenTelemetry, OTLP encoding": otel("encoded"),
        "Langfuse": lambda records: environments.ask("Langfuse", "record", "langfuse", records, url, environment=QUIET),
        "MLflow": mlflow,
    }


def medians(runs: list[Figures]) -> Figures:
    """Of each figure over the rounds."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def compare(report: Report, found: dict[str, Figures]) -> None:
    """Report the figures, and how the others' compare to ours."""
    for name, figures in found.items():
        version = None if name.startswith("execlog") else environments.version(name.partition(",")[0])
        for key, value in figures.items():
            report.add(f"{name}, {key}", value, "µs/record", version=version)
    for name, figures in found.items():
        if name.startswith("execlog"):
            continue
        target = {"at_least": 20.0} if name.endswith("encoding") else {}
        for key, value in figures.items():
            report.add(f"{name}, {key} over {SERVED}", value / found[SERVED][key], "times", **target)


def main() -> int:
    """The exit code: 0 where the target is met, or the peer is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    report = Report("peers_recorder")
    found: dict[str, list[Figures]] = {}
    with sink() as url:
        taking_part = candidates(url)
        for _ in range(options.rounds):
            for name, run in list(taking_part.items()):
                try:
                    found.setdefault(name, []).append(run(options.records))
                except PeerError as error:
                    report.leave_out(name, str(error))
                    del taking_part[name], found[name]
    compare(report, {name: medians(runs) for name, runs in found.items()})
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
