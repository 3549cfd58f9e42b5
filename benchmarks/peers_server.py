"""The server beside those of MLflow and Phoenix: the same number of finished things taken in and listed, over HTTP.

    peers_server.py [--records 1000] [--batch 200] [--rounds 50]

Each runs on loopback over its own SQLite. execlog is given NDJSON and acknowledges it durable; MLflow and Phoenix are
given the same fields as OTLP spans in protobuf, a trace each, as their clients send them. "acknowledged" counts until
the last answer, "in the database" until all of it is there; then the newest 50 are asked for, in turns. No target.
"""

from __future__ import annotations

import argparse
import http.client
import os
import secrets
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import environments
import msgspec
from bench_http_ingest import bodies
from environments import PeerError
from generator import batches
from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from report import Report, percentile
from serving import execlog_serve

from execlog.core.model import Event

START_SECONDS, STORE_SECONDS = 90, 120
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PHOENIX_TELEMETRY_ENABLED": "false",
}  # fmt: skip


class Server(Struct, frozen=True, kw_only=True):
    """A server that runs: where, over which database, and how it is spoken to."""

    port: int
    database: Path
    table: str
    path: str
    headers: dict[str, str]
    listing: tuple[str, str, bytes | None]

    def ask(
        self, line: http.client.HTTPConnection, method: str, path: str, body: bytes | None, **headers: str
    ) -> bytes:
        """The body of an answer that says it is well. Raises PeerError."""
        line.request(method, path, body, headers)
        answer = line.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise PeerError(f"{method} {path} is answered with {answer.status}: {data[:100]!r}")
        return data

    def stored(self) -> int:
        """How many records are in the database."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(f"select count(*) from {self.table}").fetchone()[0]


def otlp(events: list[Event]) -> bytes:
    """The executions as OTLP spans, a trace each."""
    spans = [
        Span(
            trace_id=secrets.token_bytes(16), span_id=secrets.token_bytes(8), name=event.name or event.kind,
            start_time_unix_nano=(event.started_at or 0) * 1000, end_time_unix_nano=(event.ended_at or 0) * 1000,
            attributes=[
                KeyValue(key=name, value=AnyValue(string_value=str(value)))
                for name in ("kind", "subject", "actor", "engine", "rows", "input")
                if (value := getattr(event, name)) is not None
            ],
        )
        for event in events
    ]  # fmt: skip
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])
    return request.SerializeToString()


@contextmanager
def running(command: list[str], port: int, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """A peer's server while it is needed. Raises PeerError where it does not answer in time."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env=os.environ | QUIET | environment, start_new_session=True
        )
        try:
            until = time.monotonic() + START_SECONDS
            while not answers(port):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise PeerError(f"it does not start: {log.read()[-200:]!r}")
                time.sleep(0.1)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def answers(port: int) -> bool:
    """Whether a server answers there."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        line.request("GET", "/")
        return line.getresponse().status < 500
    except OSError:
        return False
    finally:
        line.close()


@contextmanager
def execlog(folder: Path) -> Iterator[Server]:
    """Our own."""
    with execlog_serve(f"sqlite:///{folder}/x.db", folder) as served:
        yield Server(
            port=served.port, database=folder / "x.db", table="executions", path="/api/executions?durable=true",
            headers={"Content-Type": "application/x-ndjson"}, listing=("GET", "/api/executions?limit=50", None),
        )  # fmt: skip


@contextmanager
def mlflow(folder: Path) -> Iterator[Server]:
    """MLflow's tracking server."""
    port = free_port()
    command = [str(environments.installed("MLflow") / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/m.db"]
    command += ["--default-artifact-root", f"{folder}/artifacts"]
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    asked = msgspec.json.encode({"locations": [place], "max_results": 50})
    binaries = os.pathsep.join((str(Path(command[0]).parent), os.environ["PATH"]))
    with running(command, port, folder, {"PATH": binaries}):
        yield Server(
            port=port, database=folder / "m.db", table="trace_info", path="/v1/traces",
            headers={"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": "0"},
            listing=("POST", "/api/3.0/mlflow/traces/search", asked),
        )  # fmt: skip


@contextmanager
def phoenix(folder: Path) -> Iterator[Server]:
    """Phoenix."""
    port = free_port()
    environment = {
        "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_WORKING_DIR": str(folder), "PHOENIX_SQL_DATABASE_URL": f"sqlite:///{folder}/p.db",
    }  # fmt: skip
    command = [str(environments.installed("Phoenix") / "phoenix"), "serve"]
    with running(command, port, folder, environment):
        yield Server(
            port=port, database=folder / "p.db", table="spans", path="/v1/traces",
            headers={"Content-Type": "application/x-protobuf"},
            listing=("GET", "/v1/projects/default/spans?limit=50", None),
        )  # fmt: skip


def free_port() -> int:
    """A loopback port that nobody listens on."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from servers import free_port as find

    return find()


def ingest(server: Server, given: list[bytes], records: int) -> dict[str, float]:
    """Records a second until the last answer, and until all are in the database."""
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    began = time.perf_counter()
    for body in given:
        server.ask(line, "POST", server.path, body, **server.headers)
    acknowledged = time.perf_counter() - began
    while (there := server.stored()) < records:
        if time.perf_counter() - began > STORE_SECONDS:
            raise PeerError(f"{there} of {records} records arrived within {STORE_SECONDS} s")
        time.sleep(0.02)
    stored = time.perf_counter() - began
    line.close()
    return {"acknowledged": records / acknowledged, "in the database": records / stored}


def list_in_turns(servers: dict[str, Server], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of listing the newest 50, each round every server once."""
    lines = {name: http.client.HTTPConnection("127.0.0.1", one.port, timeout=60) for name, one in servers.items()}
    took: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            method, path, body = server.listing
            headers = {"Content-Type": "application/json"} if body else {}
            began = time.perf_counter()
            data = server.ask(lines[name], method, path, body, **headers)
            took[name].append((time.perf_counter() - began) * 1e3)
            assert len(data) > 1_000, f"{name} lists nothing: {data!r}"
    for line in lines.values():
        line.close()
    return took


CANDIDATES: dict[str, Callable[[Path], object]] = {"execlog": execlog, "MLflow": mlflow, "Phoenix": phoenix}


def main() -> int:
    """The exit code: 0, whoever is quicker."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    report = Report("peers_server")
    spans = [otlp(events) for events in batches(options.records, size=options.batch)]
    servers: dict[str, Server] = {}
    with ExitStack() as stack:
        for name, start in CANDIDATES.items():
            given = bodies(options.records, options.batch) if name == "execlog" else spans
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            try:
                server: Server = stack.enter_context(start(folder))  # pyright: ignore[reportArgumentType] - a context
                found = ingest(server, given, options.records)
            except PeerError as error:
                report.leave_out(name, str(error))
                continue
            servers[name] = server
            for what, rate in found.items():
                report.add(f"{name}, {what}", rate, "records/s", size=options.records, version=pinned(name))
        for name, took in list_in_turns(servers, options.rounds).items():
            for what, value in (("p50", statistics.median(took)), ("p99", percentile(took, 0.99))):
                report.add(f"{name}, newest 50, {what}", value, "ms", size=options.records, version=pinned(name))
    return report.close()


def pinned(name: str) -> str | None:
    """The version of a peer; None for our own."""
    return None if name == "execlog" else environments.version(name)


if __name__ == "__main__":
    sys.exit(main())
