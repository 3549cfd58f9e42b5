"""The completion scripts do in a real shell what they promise."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import known
import terminals
from execlog.cli.catalogue import ENTRIES
from execlog.cli.completion import SHELLS

BASH = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$(({count} - 1)); COMPREPLY=()
_execlog
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def complete(tmp_path, known_home):
    """What bash offers for a line that ends with these words."""
    script = tmp_path / "completion.bash"
    script.write_text(SHELLS["bash"]())
    program = tmp_path / "execlog"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m execlog --home {known_home} "$@"\n')
    program.chmod(0o755)

    def run(*words: str) -> list[str]:
        quoted = " ".join(f"'{word}'" for word in words)
        code = BASH.format(script=script, words=quoted, count=len(words))
        path = f"{tmp_path}:{Path('/usr/bin')}:/bin"
        done = subprocess.run(
            ["bash", "--norc", "-c", code], capture_output=True, text=True, check=True, env=known.environment(PATH=path)
        )
        assert done.stderr == ""
        return done.stdout.split()

    return run


def test_commands_and_subcommands(complete):
    assert complete("execlog", "") == list(ENTRIES)
    assert complete("execlog", "la") == ["latest"]
    assert complete("execlog", "--home", "somewhere", "fail") == ["failures"]
    assert complete("execlog", "jobs", "p") == ["pause"]


def test_options_and_their_words(complete):
    assert complete("execlog", "list", "--st") == ["--status", "--store"]
    assert complete("execlog", "list", "--status", "p") == ["partial"]
    assert complete("execlog", "stats", "--by", "h") == ["hour"]
    assert complete("execlog", "jobs", "add", "x", "--overlap", "") == ["skip", "queue", "allow"]
    assert "--cron" in complete("execlog", "jobs", "add", "x", "--")
    assert complete("execlog", "completion", "") == ["bash", "fish", "zsh"]


def test_ids_and_files(complete, tmp_path, monkeypatch):
    assert complete("execlog", "show", "019aaa39-a") == [known.ident("aaab"), known.ident("aaaa")]
    monkeypatch.chdir(tmp_path)
    assert complete("execlog", "export", "-o", "completion.b") == ["completion.bash"]
    assert "execlog" in complete("execlog", "run", "--", "exec")


@pytest.mark.parametrize(("shell", "check"), [("zsh", ["-n"]), ("fish", ["--no-execute"])])
def test_the_other_shells_accept_their_script(shell, check, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(SHELLS[shell]())
    subprocess.run([shell, *check, str(script)], check=True, capture_output=True)


def test_fish_offers_what_bash_offers(tmp_path):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    script = tmp_path / "script"
    script.write_text(SHELLS["fish"]())

    def offered(line: str) -> list[str]:
        code = f"source {script}; complete -C '{line}'"
        done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, check=True)
        return [entry.split("\t")[0] for entry in done.stdout.splitlines()]

    assert set(offered("execlog ")) == set(ENTRIES)
    assert offered("execlog list --status p") == ["partial"]
    assert offered("execlog jobs pa") == ["pause"]
    assert "--cron" in offered("execlog jobs add --cr")


HOSTILE = ("$(touch pwned)", "`touch pwned`")
"""Ids anybody may post who may post at all."""


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A folder with an `execlog` whose history has such ids, and the scripts; and the environment for a shell in it."""
    program = tmp_path / "execlog"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{id_}'\n" for id_ in HOSTILE))
    program.chmod(0o755)
    for shell, script in SHELLS.items():
        (tmp_path / shell).write_text(script())
    monkeypatch.chdir(tmp_path)
    return known.environment(PATH=f"{tmp_path}:/usr/bin:/bin", HOME=str(tmp_path))


def test_what_is_recorded_is_no_command_for_bash(hostile, tmp_path):
    code = BASH.format(script="./bash", words="execlog show ''", count=3)
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True, env=hostile)
    assert done.stdout.splitlines() == [r"\$\(touch\ pwned\)", r"\`touch\ pwned\`"]
    assert not (tmp_path / "pwned").exists()


def test_what_is_recorded_is_no_command_for_zsh(hostile, tmp_path):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    with terminals.Terminal(["zsh", "-f"], hostile) as terminal:
        terminal.type("PS1=; autoload -U compinit; compinit -u -D; source ./zsh; print rea''dy\r")
        terminal.expect("ready")
        terminal.type("execlog show \\$\t")
        terminal.expect(r"\\\$\\\(touch\\ pwned\\\)")
    assert not (tmp_path / "pwned").exists()


def test_what_is_recorded_is_no_command_for_fish(hostile, tmp_path):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    code = "source fish; complete -C 'execlog show '"
    done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, check=True, env=hostile)
    assert sorted(done.stdout.splitlines()) == sorted(HOSTILE)
    assert not (tmp_path / "pwned").exists()


@pytest.fixture
def echoing(hostile, tmp_path):
    """The same with an `execlog` whose history has nothing but what that program was called with."""
    (tmp_path / "execlog").write_text('#!/bin/sh\nfor word in "$@"; do echo "got=$word"; done\n')
    return hostile


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (
            "execlog --home '~/x y' --store sqlite : ////a/b.db show ''",
            ["--home", "{home}/x\\ y", "--store", "sqlite:////a/b.db"],
        ),
        ("execlog jobs show --home = /there ''", ["--home=/there"]),
    ],
)
def test_bash_asks_the_history_that_was_named(echoing, tmp_path, words, place):
    code = BASH.format(script="./bash", words=words, count=words.count(" ") + 1 - words.count("x y"))
    done = subprocess.run(["bash", "--norc", "-uc", code], capture_output=True, text=True, check=True, env=echoing)
    assert done.stderr == ""
    got = [line.removeprefix("got=") for line in done.stdout.splitlines()]
    assert got[: len(place)] == [word.format(home=tmp_path) for word in place]


def test_zsh_asks_the_history_that_was_named(echoing, tmp_path):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    with terminals.Terminal(["zsh", "-f"], echoing) as terminal:
        terminal.type("PS1=; autoload -U compinit; compinit -u -D; source ./zsh; print rea''dy\r")
        terminal.expect("ready")
        terminal.type("execlog --home ~/x show got=/\t")
        terminal.expect(re.escape(f"got={tmp_path}/x"))


def test_fish_asks_the_history_that_was_named(echoing, tmp_path):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    code = "source fish; complete -C 'execlog --home ~/x --store=sqlite:////b show '"
    done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, check=True, env=echoing)
    assert {f"got={tmp_path}/x", "got=--store=sqlite:////b"} <= set(done.stdout.splitlines())
