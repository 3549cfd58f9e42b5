"""CI takes the skips listed in expected_skips.txt for granted; any other fails the run, so no test fades out unseen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

EXPECTED = Path(__file__).with_name("expected_skips.txt")


def parse(text: str) -> list[re.Pattern[str]]:
    """The patterns of a list of expected skips: one `nodeid: reason` a line, `*` for anything, `#` for a comment."""
    lines = [line.strip() for line in text.splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    return [re.compile(".*".join(map(re.escape, line.split("*"))), re.DOTALL) for line in wanted]


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a skipped report was skipped, without the word in front of it."""
    _, _, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, str(report.longrepr))
    return reason.removeprefix("Skipped: ")


class Watch:
    """A pytest plugin that fails the session when a test was skipped that `expected` does not name."""

    def __init__(self, expected: str) -> None:
        self.expected = parse(expected)
        self.unexpected: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._see(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._see(report)

    def _see(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        skip = f"{report.nodeid}: {reason_of(report)}"
        if not any(pattern.fullmatch(skip) for pattern in self.expected):
            self.unexpected.append(skip)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unexpected:
            terminalreporter.section("skips that tests/expected_skips.txt does not expect", red=True)
            for skip in self.unexpected:
                terminalreporter.write_line(skip)
