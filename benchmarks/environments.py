"""Environments of peers: each peer is installed into a venv of its own, in versions pinned here, once.

They are kept under EXECLOG_BENCH_CACHE (default: the user's cache folder). A peer that does not install is reported by
name and left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PINS: dict[str, tuple[str, ...]] = {
    "OpenTelemetry": ("opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp-proto-common==1.45.2"),
    "APScheduler": ("apscheduler==3.11.3", "sqlalchemy>=2.0,<2.1"),
    "procrastinate": ("procrastinate==3.10.0", "psycopg[binary]==3.3.9"),
    "rq": ("rq==3.0.0", "redis==8.1.0"),
    "Langfuse": ("langfuse==5.0.4",),
    "MLflow": ("mlflow==3.17.2",),
    "Phoenix": ("arize-phoenix==20.26.1",),
}
"""What is installed for each peer; the first is the peer itself."""

SCRIPTS = Path(__file__).with_name("peers")
INSTALL_SECONDS, RUN_SECONDS = 600, 300


class PeerError(RuntimeError):
    """A peer could not be installed, or failed; the message says why in a line."""


def version(peer: str) -> str:
    """The pinned version."""
    return PINS[peer][0].partition("==")[2]


def cache() -> Path:
    """Where benchmarks keep what takes long to make: peers' environments, long histories."""
    kept = os.environ.get("EXECLOG_BENCH_CACHE")
    return Path(kept).absolute() if kept else Path.home() / ".cache" / "execlog-bench"


def installed(peer: str) -> Path:
    """The peer's own `bin` folder. Raises PeerError where it does not install."""
    place = cache() / "peers" / peer.lower()
    done = place / "pins"
    if done.is_file() and done.read_text() == "\n".join(PINS[peer]):
        return place / "bin"
    shutil.rmtree(place, ignore_errors=True)
    print(f"  installing {' '.join(PINS[peer])}", flush=True)
    try:
        run([sys.executable, "-m", "venv", str(place)], INSTALL_SECONDS)
        run([str(place / "bin" / "pip"), "install", "--quiet", *PINS[peer]], INSTALL_SECONDS)
    except PeerError:
        shutil.rmtree(place, ignore_errors=True)
        raise
    done.write_text("\n".join(PINS[peer]))
    return place / "bin"


def ask(peer: str, script: str, *arguments: object, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a script of `peers/` prints in its last line, run by the peer's own Python. Raises PeerError."""
    command = [str(installed(peer) / "python"), str(SCRIPTS / f"{script}.py"), *map(str, arguments)]
    return json.loads(run(command, RUN_SECONDS, environment).strip().rpartition("\n")[2])


def run(command: list[str], seconds: float, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints. Raises PeerError with the last line of what it complains about."""
    try:
        with tempfile.TemporaryDirectory() as place:  # some leave files where they are run
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=seconds, cwd=place,
                env=os.environ | dict(environment or {}),
            )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"it took longer than {seconds:g} s") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["without a word"]
        raise PeerError(lines[-1][:200])
    return done.stdout
