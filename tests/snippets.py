"""The snippets of the documentation, and a reader who types them in: page by page, from the top, in an empty home.

- ```python runs; the snippets of one page share their names, and `await` works at the top. A ```output block right
  after it is what it prints.
- ```console runs each line after `$ ` (a trailing backslash goes on); the lines below are what it prints. An exit code
  other than 0 fails, unless a line `# exit code N` follows the output.
- ```sh and ```bash run whole, as a script that stops at the first error.
- `...` stands for anything within a line, or, alone on it, for any lines. No expected line at all expects nothing.
- `<!-- no-run: reason -->` above a snippet leaves it out; the run lists those.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
STEP_SECONDS = 60.0

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>[\w-]*)[^`\n]*$")
NO_RUN = re.compile(r"^\s*<!--\s*no-run:\s*(?P<reason>.*?)\s*-->\s*$")
EXIT_CODE = re.compile(r"^# exit code (\d+)$")
RUNNABLE = {"python", "console", "sh", "bash", "output"}

# Reads one JSON request a line, runs it in names that all requests share, answers with one JSON line.
PYTHON_READER = r"""
import ast, asyncio, contextlib, inspect, io, json, linecache, sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    request = json.loads(line)
    where, source = request["where"], request["source"]
    linecache.cache[where] = (len(source), None, source.splitlines(keepends=True), where)
    printed, problem = io.StringIO(), None
    try:
        code = compile(source, where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(printed):
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(eval(code, names))
            else:
                exec(code, names)
    except (Exception, SystemExit):
        problem = traceback.format_exc()
    print(json.dumps({"printed": printed.getvalue(), "problem": problem}), flush=True)
"""


class SnippetError(AssertionError):
    """A snippet failed, or printed something else than the page says; the message names its place."""


@dataclass(frozen=True)
class Snippet:
    """One fenced block: where its text starts, and why it is not run, if so."""

    page: str
    line: int
    language: str
    text: str
    unrun: str | None = None

    @property
    def where(self) -> str:
        """Page and line, as an editor opens them."""
        return f"{self.page}:{self.line}"


def pages(root: Path = ROOT) -> list[Path]:
    """README.md and every Markdown file of docs/, sorted."""
    return [path for path in [root / "README.md", *sorted(root.glob("docs/**/*.md"))] if path.is_file()]


def find(page: Path, root: Path = ROOT) -> list[Snippet]:
    """The runnable snippets of a page, in order."""
    return list(_find(page.read_text(encoding="utf-8").splitlines(), str(page.relative_to(root))))


def _find(lines: list[str], page: str) -> Iterator[Snippet]:
    reason: str | None = None
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        if mark := NO_RUN.match(line):
            reason = mark["reason"]
        elif fence := FENCE.match(line):
            text = _body(numbered, fence["fence"], len(fence["indent"]))
            if fence["language"] in RUNNABLE:
                yield Snippet(page, number + 1, fence["language"], text, reason)
            reason = None
        elif line.strip():
            reason = None


def _body(numbered: Iterator[tuple[int, str]], fence: str, indent: int) -> str:
    body: list[str] = []
    for _, line in numbered:
        if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            break
        body.append(line[indent:] if not line[:indent].strip() else line)
    return "".join(line + "\n" for line in body)


@dataclass(frozen=True)
class Step:
    """One command of a console snippet, with what the page says it prints and exits with."""

    command: str
    expected: list[str]
    exit_code: int = 0


def steps(snippet: Snippet) -> list[Step]:
    """The commands of a snippet of the shell; those of a script are one, whose output nobody compares."""
    if snippet.language != "console":
        return [Step(snippet.text, ["..."])]
    found: list[Step] = []
    lines = iter(snippet.text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command = command[:-1] + next(lines).removeprefix("> ")
            found.append(Step(command, []))
        elif not found:
            message = f"{snippet.where}: a console snippet starts with a line `$ command`"
            raise SnippetError(message)
        elif code := EXIT_CODE.match(line):
            found[-1] = Step(found[-1].command, found[-1].expected, int(code[1]))
        else:
            found[-1].expected.append(line)
    return found


def matches(expected: list[str], printed: str) -> bool:
    """Whether `printed` is what was expected, line by line, trailing blanks aside; `...` stands for anything."""
    pattern = "".join(_line_pattern(line.rstrip()) for line in "\n".join(expected).strip("\n").splitlines())
    got = "".join(line.rstrip() + "\n" for line in printed.strip("\n").splitlines())
    return re.fullmatch(pattern, got) is not None


def _line_pattern(line: str) -> str:
    if line.strip() == "...":
        return r"(?:.*\n)*"
    return ".*".join(map(re.escape, line.split("..."))) + r"\n"


class Reader:
    """Runs the snippets of one page in a folder of its own; whatever they leave running ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []
        self.python: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        programs = self.folder / "bin"
        programs.mkdir(parents=True)
        self._program(programs / "python", "")
        # The checkout's own command line, whether it is installed or not.
        self._program(programs / "execlog", " -c 'import sys; from execlog.cli.main import main; sys.exit(main())'")
        self.work = self.folder / "page"
        self.work.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EXECLOG_")}
        self.environment = {
            **kept,
            "PATH": f"{programs}{os.pathsep}{kept.get('PATH', '')}",
            "PYTHONPATH": str(ROOT / "src"),
            "EXECLOG_HOME": str(self.folder / "home"),
            "HOME": str(self.folder),
            "COLUMNS": "120",
        }
        return self

    @staticmethod
    def _program(path: Path, words: str) -> None:
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{words} "$@"\n')
        path.chmod(0o755)

    def run(self, found: list[Snippet]) -> None:
        """Run them in order; SnippetError at the first that fails."""
        printed = ""
        for snippet in found:
            if snippet.unrun is not None:
                continue
            if snippet.language == "output":
                self._compare(snippet.where, snippet.text.splitlines(), printed)
            elif snippet.language == "python":
                printed = self._run_python(snippet)
            else:
                for step in steps(snippet):
                    printed = self._run_step(snippet, step)

    def _run_python(self, snippet: Snippet) -> str:
        if self.python is None:
            self.python = subprocess.Popen(
                [sys.executable, "-c", PYTHON_READER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=self.work,
                env=self.environment,
                start_new_session=True,
            )
        # Blank lines in front give tracebacks the page's own line numbers.
        source = "\n" * (snippet.line - 1) + snippet.text
        self.python.stdin.write(json.dumps({"where": snippet.page, "source": source}) + "\n")
        self.python.stdin.flush()
        answer = self.python.stdout.readline()
        if not answer:
            message = f"{snippet.where}: the interpreter ended"
            raise SnippetError(message)
        done = json.loads(answer)
        if done["problem"]:
            message = f"{snippet.where}:\n{done['problem']}"
            raise SnippetError(message)
        return done["printed"]

    def _run_step(self, snippet: Snippet, step: Step) -> str:
        # To a file: a server left running in the background would keep a pipe open.
        output = self.folder / "output"
        with output.open("wb") as file:
            shell = subprocess.Popen(
                ["bash", "-e", "-o", "pipefail", "-c", step.command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self.work,
                env=self.environment,
                start_new_session=True,
            )
        self.started.append(shell)
        try:
            code = shell.wait(STEP_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        printed = output.read_text(encoding="utf-8", errors="replace")
        if code != step.exit_code:
            ended = "did not end" if code is None else f"exited with {code}, not {step.exit_code}"
            message = f"{snippet.where}: `{step.command.strip()}` {ended}:\n{printed}"
            raise SnippetError(message)
        self._compare(f"{snippet.where}: `{step.command.strip()}`", step.expected, printed)
        return printed

    @staticmethod
    def _compare(what: str, expected: list[str], printed: str) -> None:
        if not matches(expected, printed):
            wanted = "\n".join(expected)
            message = f"{what} should print\n{wanted}\nand printed\n{printed}"
            raise SnippetError(message)

    def __exit__(self, *_: object) -> None:
        for shell in self.started:
            _end_group(shell)
        if self.python is not None:
            self._end_python(self.python)

    @staticmethod
    def _end_python(python: subprocess.Popen[str]) -> None:
        python.stdin.close()
        try:
            python.wait(STEP_SECONDS)
        finally:
            _end_group(python)
            python.stdout.close()
        if python.returncode:
            message = f"the page's interpreter exited with {python.returncode}"
            raise SnippetError(message)


def _end_group(leader: subprocess.Popen[Any]) -> None:
    """End what is left of the group that `leader` began: ask, and after ten seconds make it."""
    for number, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        _signal_group(leader.pid, number)
        deadline = time.monotonic() + seconds
        while leader.poll() is None or _signal_group(leader.pid, 0):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    for each in (snippet for page in pages() for snippet in find(page)):
        sys.stdout.write(f"{each.where} {each.language}{f' not run: {each.unrun}' if each.unrun is not None else ''}\n")
