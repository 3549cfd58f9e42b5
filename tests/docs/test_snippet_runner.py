"""The runner of the documentation's snippets: it runs what is there and fails what is wrong."""

from __future__ import annotations

import os
import textwrap
import time
from pathlib import Path

import pytest

import servers
import snippets


@pytest.fixture
def read(tmp_path):
    """Runs a page given as text; returns what it found."""

    def run(text: str) -> list[snippets.Snippet]:
        page = tmp_path / "page.md"
        page.write_text(textwrap.dedent(text))
        found = snippets.find(page, tmp_path)
        with snippets.Reader(tmp_path / "reader") as reader:
            reader.run(found)
        return found

    return run


def test_python_snippets_share_names_print_and_await(read):
    found = read("""
        ```python
        import asyncio
        async def answer():
            return 42
        ```
        Prose.
        ```python
        print(await answer(), "1.234 s")
        ```

        ```output
        42 ... s
        ```
    """)
    assert [one.language for one in found] == ["python", "python", "output"]


def test_console_snippets_share_a_folder_and_an_empty_home(read):
    read("""
        - in a list

          ```console
          $ echo one > file; cat \\
          >   file
          one
          $ ls "$EXECLOG_HOME" 2>&1
          ls: ...
          # exit code 2
          $ printf 'a\\nb\\nc\\n'
          a
          ...
          $ python -c 'import execlog; print(execlog.__name__)'
          execlog
          ```
        ```sh
        test "$(cat file)" = one
        ```
    """)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```python\nprint(1)\n```\n```output\n2\n```", r"page\.md:5 should print\n2\nand printed\n1"),
        ("\n```python\n1 / 0\n```", r'File "page\.md", line 3, in <module>\n(.|\n)*ZeroDivisionError'),
        ("```python\nimport sys; sys.exit(0)\n```", "SystemExit"),
        ("```python\nimport os; os._exit(0)\n```", "the interpreter ended"),
        ("```python\nimport atexit, os; atexit.register(os._exit, 3)\n```", "interpreter exited with 3"),
        ("```console\n$ echo one\ntwo\n```", "should print\ntwo\nand printed\none"),
        ("```console\n$ echo one\n```", "should print\n\nand printed\none"),
        ("```console\n$ false\n```", "`false` exited with 1, not 0"),
        ("```console\n$ true\n# exit code 3\n```", "exited with 0, not 3"),
        ("```console\nls\n```", "starts with a line"),
        ("```sh\nfalse\ntrue\n```", "exited with 1"),
    ],
)
def test_what_is_wrong_fails_and_names_its_place(read, text, problem):
    with pytest.raises(snippets.SnippetError, match=problem):
        read(text)


def test_what_hangs_fails(read, monkeypatch):
    monkeypatch.setattr(snippets, "STEP_SECONDS", 0.5)
    with pytest.raises(snippets.SnippetError, match="did not end"):
        read("```console\n$ sleep 60\n```")


def test_a_marked_snippet_is_left_out_with_its_reason(read):
    marked, plain = read("""
        <!-- no-run: needs a cluster -->

        ```console
        $ false
        ```
        ```python
        pass
        ```
    """)
    assert (marked.unrun, plain.unrun) == ("needs a cluster", None)


def test_other_fences_and_longer_ones_are_text(read):
    assert (
        read("""
        ```json
        {}
        ```
        ````markdown
        ```python
        1 / 0
        ```
        ````
    """)
        == []
    )


def test_a_server_in_the_background_ends_with_its_page(read, tmp_path):
    began = time.monotonic()
    read("""
        ```console
        $ sleep 300 & echo $! > pid
        ```
    """)
    pid = int((tmp_path / "reader" / "page" / "pid").read_text())
    servers.wait_until(lambda: not alive(pid), 10, "ending the background process")
    assert time.monotonic() - began < 30


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["a", "...", "d"], "a\nb\nc\nd\n", True),
        (["a", "...", "d"], "a\nd\n", True),
        (["a", "..."], "a\n", True),
        (["a ... c"], "a bb c  \n", True),
        (["a"], "a\nb\n", False),
        ([], "", True),
        ([], "a\n", False),
        (["a.c"], "abc\n", False),
        (["", "a", ""], "\na\n\n", True),
    ],
)
def test_expected_lines(expected, printed, same):
    assert snippets.matches(expected, printed) is same
