"""The recorder beside the clients of OpenTelemetry, Langfuse and MLflow: µs of CPU a record.

    peers_recorder.py [--records 5000] [--rounds 3]

"caller" is the calling thread, "process" everything until it was handed over: execlog's own includes its drain into
SQLite, after which it can be read. OpenTelemetry is measured twice, with an exporter that does nothing, and with the
OTLP encoding every real exporter does; Langfuse sends to a local server that takes anything; MLflow writes to SQLite.
Target: OpenTelemetry's caller, encoding, at least 20 times execlog's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import environments
from environments import PeerError
from report import Report

from execlog.ledger import Ledger

Figures = dict[str, float]
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
SLOW = {"MLflow": 20}
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


def execlog(records: int) -> Figures:
    """Figures of our own recorder, its drain and store included in the process."""
    with tempfile.TemporaryDirectory() as home, Ledger.open(home=home) as ledger:
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
        "execlog": execlog,
        "OpenTelemetry, exporter does nothing": otel("nowhere"),
        "OpenTelemetry, OTLP encoding": otel("encoded"),
        "Langfuse": lambda records: environments.ask("Langfuse", "record", "langfuse", records, url, environment=QUIET),
        "MLflow": mlflow,
    }


def main() -> int:
    """The exit code: 0 where the target is met, or the peer is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5_000)
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
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in found.items()
    }
    for name, figures in medians.items():
        version = None if name == "execlog" else environments.version(name.partition(",")[0])
        for key, value in figures.items():
            report.add(f"{name}, {key}", value, "µs/record", version=version)
    for name, figures in medians.items():
        if name != "execlog":
            target = {"at_least": 20.0} if name.endswith("encoding") else {}
            ratio = figures["caller"] / medians["execlog"]["caller"]
            report.add(f"{name}, caller over execlog's", ratio, "times", **target)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
