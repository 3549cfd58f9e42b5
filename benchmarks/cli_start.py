"""CPU of the command line: `execlog --help` and every command's help at most 100 ms. Exits with 1 when one is more."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from report import Report

from execlog.cli.catalogue import ENTRIES

ROUNDS = 11
LIMIT_MS = 100.0


def cpu_ms(*arguments: str) -> float:
    """User and system milliseconds of a fresh interpreter with these arguments, its output thrown away."""
    nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ, file_actions=nowhere)
    _, status, usage = os.wait4(child, 0)
    if status:
        message = f"{arguments} failed"
        raise RuntimeError(message)
    return (usage.ru_utime + usage.ru_stime) * 1000


def main() -> int:
    """The exit code: 0 within the limit, else 1. Prints the medians of runs that take turns."""
    with tempfile.TemporaryDirectory() as folder:
        home = str(Path(folder) / "home")
        cases = {"python -c pass": ("-c", "pass"), "execlog --help": ("-m", "execlog.cli.main", "--help")}
        cases |= {f"execlog {name} --help": ("-m", "execlog.cli.main", name, "--help") for name in ENTRIES}
        cases["execlog run -- true"] = ("-m", "execlog.cli.main", "--home", home, "run", "--", "true")
        cases["execlog list"] = ("-m", "execlog.cli.main", "--home", home, "list")
        for arguments in cases.values():
            cpu_ms(*arguments)  # writes the bytecode, makes the home
        figures = {name: [] for name in cases}
        for _ in range(ROUNDS):
            for name, arguments in cases.items():
                figures[name].append(cpu_ms(*arguments))
    medians = {name: statistics.median(times) for name, times in figures.items()}
    report = Report("cli_start")
    for name, median in medians.items():
        report.add(name, median, "ms CPU", **({"at_most": LIMIT_MS} if name.endswith("--help") else {}))
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
