"""What recording one finished thing costs with a peer's client: record.py opentelemetry|langfuse|mlflow NUMBER SINK.

Prints µs of CPU a record: of the calling thread, and of the whole process until everything was handed to the sink.
SINK is "nowhere" or "encoded" for OpenTelemetry, the URL of a server that takes anything for Langfuse, a tracking URI
for MLflow. Run by the peer's own Python.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

FIELDS = {
    "kind": "query", "subject": "kdb-prod", "actor": "u-17", "engine": "kdb", "started_at": 1_700_000_000_000_000,
    "ended_at": 1_700_000_000_100_000, "duration": 0.1, "rows": 10,
}  # fmt: skip
Parts = tuple[Callable[[], object], Callable[[], object]]


def opentelemetry(number: int, sink: str) -> Parts:
    """A span with the fields as attributes, through a BatchSpanProcessor."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Exporter(SpanExporter):
        """Encodes what it is given as OTLP protobuf, unless it goes nowhere."""

        def export(self, spans):  # noqa: ANN001, ANN202 - the peer's own types
            if sink == "encoded":
                encode_spans(spans).SerializeToString()
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Exporter(), max_queue_size=number * 2))
    tracer = provider.get_tracer("bench")

    def call() -> None:
        with tracer.start_as_current_span("load", attributes=FIELDS):
            pass

    return call, provider.shutdown


def langfuse(_: int, sink: str) -> Parts:
    """A span with the fields as metadata."""
    from langfuse import Langfuse

    client = Langfuse(public_key="pk-lf-bench", secret_key="sk-lf-bench", base_url=sink)
    return lambda: client.start_observation(name="load", metadata=FIELDS).end(), client.flush


def mlflow(_: int, sink: str) -> Parts:
    """A trace of one span with the fields as attributes."""
    import mlflow

    mlflow.set_tracking_uri(sink)
    mlflow.set_experiment("bench")

    def call() -> None:
        with mlflow.start_span("load", attributes=FIELDS):
            pass

    return call, mlflow.flush_trace_async_logging


def main() -> None:
    """Print the figures."""
    which, number, sink = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    call, flush = {"opentelemetry": opentelemetry, "langfuse": langfuse, "mlflow": mlflow}[which](number, sink)
    call()
    process, thread = time.process_time(), time.thread_time()
    for _ in range(number):
        call()
    caller = time.thread_time() - thread
    flush()
    whole = time.process_time() - process
    print(json.dumps({"caller": caller / number * 1e6, "process": whole / number * 1e6}))


if __name__ == "__main__":
    main()
