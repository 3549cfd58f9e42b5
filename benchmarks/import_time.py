"""CPU that `import execlog` costs beside `python -c pass`: at most 30 ms. Exits with 1 when it is more."""

from __future__ import annotations

import os
import statistics
import sys

from report import Report

ROUNDS = 25
LIMIT_MS = 30.0
EVERYTHING = "import execlog\nfor name in getattr(execlog, '__all__', ()): getattr(execlog, name)"


def cpu_ms(code: str) -> float:
    """User and system milliseconds of a fresh interpreter that runs `code`."""
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        message = f"{code!r} failed"
        raise RuntimeError(message)
    return (usage.ru_utime + usage.ru_stime) * 1000


def main() -> int:
    """The exit code: 0 within the limit, else 1. Prints the medians of runs that take turns."""
    cpu_ms(EVERYTHING)  # writes the bytecode
    rounds = [(cpu_ms("pass"), cpu_ms("import execlog"), cpu_ms(EVERYTHING)) for _ in range(ROUNDS)]
    bare, module, everything = map(statistics.median, zip(*rounds, strict=True))
    cost = module - bare
    report = Report("import_time")
    report.add("python -c pass", bare, "ms CPU")
    report.add("import execlog, over that", cost, "ms CPU", at_most=LIMIT_MS)
    report.add("every name of its API, over that", everything - bare, "ms CPU")
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
