"""What a benchmark found: figures beside what they are compared with and their targets; printed, and kept as JSON.

    report = Report("bench_reads")
    report.add("by id, p99", 0.4, "ms", at_most=5.0, size=1_000_000)
    return report.close()                      the exit code: 1 where a target is missed

Where EXECLOG_BENCH_RESULTS names a folder, `close` writes `PROGRAM.json` there; `write_page.py` reads those files.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

FOLDER = "EXECLOG_BENCH_RESULTS"


class Figure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure; `size` is the N it was measured at, `version` what a peer was."""

    name: str
    value: float
    unit: str
    size: int | None = None
    at_most: float | None = None
    at_least: float | None = None
    version: str | None = None

    @property
    def missed(self) -> bool:
        """Whether it has a target and is on the wrong side of it."""
        return (self.at_most is not None and self.value > self.at_most) or (
            self.at_least is not None and self.value < self.at_least
        )

    @property
    def target(self) -> str:
        """The target in words, empty where there is none."""
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return "" if self.at_least is None else f"at least {self.at_least:,g}"


class Results(Struct, frozen=True, kw_only=True):
    """Everything one program found; `left_out` says by name what could not be measured, and why."""

    program: str
    command: str
    machine: str
    figures: tuple[Figure, ...]
    left_out: dict[str, str] = {}


class Report:
    """The figures of one program as they come in."""

    def __init__(self, program: str) -> None:
        self.figures: list[Figure] = []
        self.left_out: dict[str, str] = {}
        self._program = program
        # Folders and URLs of one machine are nobody else's business.
        arguments = ["…" if "/" in word else word for word in sys.argv[1:]]
        self._command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])

    def add(self, name: str, value: float, unit: str, **more: object) -> Figure:
        """The figure, which has been printed."""
        figure = Figure(name=name, value=round(value, 4), unit=unit, **more)  # pyright: ignore[reportArgumentType] - Figure's own fields
        self.figures.append(figure)
        at = "" if figure.size is None else f"{figure.size:>11,}"
        print(f"  {name:<44}{at:>11} {_shown(value):>11} {unit:<12} {figure.target}{'  MISSED' * figure.missed}")
        return figure

    def leave_out(self, name: str, reason: str) -> None:
        """Say what is not measured."""
        self.left_out[name] = reason
        print(f"  {name}: left out, {reason}")

    def close(self) -> int:
        """The exit code, 1 where a target is missed; writes the results where a folder for them is named."""
        folder = os.environ.get(FOLDER)
        if folder:
            results = Results(
                program=self._program,
                command=self._command,
                machine=machine(),
                figures=tuple(self.figures),
                left_out=self.left_out,
            )
            Path(folder).mkdir(parents=True, exist_ok=True)
            path = Path(folder) / f"{self._program}.json"
            path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
        return int(any(figure.missed for figure in self.figures))


def machine() -> str:
    """What it was measured on, without its name."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def take_turns(candidates: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of each candidate's figures over rounds in which each has its turn, every round another one first."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    names = list(candidates)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(candidates[name]())
    return {name: statistics.median(figures) for name, figures in found.items()}


def percentile(values: list[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed."""
    return sorted(values)[round(share * (len(values) - 1))]


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
