"""What the command line says about itself, and what it says when it is called wrongly."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import execlog.cli.actions
import execlog.cli.commands
import known
from execlog.cli import catalogue, exits
from execlog.cli.families import open_families
from execlog.cli.main import command_parser, main
from execlog.cli.reference import reference
from execlog.ledger import Ledger
from execlog.web.app import create_app

ROOT = Path(__file__).parents[2]
HOME = "no-such-home"


@pytest.fixture
def call(capsys):
    """The exit code, output and complaint of a command line called in this process."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(list(arguments))
        except SystemExit as stop:
            code = stop.code
        done = capsys.readouterr()
        return code, done.out, done.err

    return run


@pytest.mark.parametrize("module", [execlog.cli.commands, execlog.cli.actions])
def test_every_command_is_a_module_and_every_module_a_command(module):
    folder = Path(module.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(catalogue.ENTRIES)


def test_the_overview_names_every_command(call):
    for arguments in ([], ["--help"], ["-h"], ["help"]):
        code, out, _ = call(*arguments)
        assert code == 0
        assert all(f"  {name} " in out for name in catalogue.ENTRIES)
        assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("name", catalogue.ENTRIES)
def test_help_of_a_command(call, name):
    code, out, _ = call(name, "--help")
    assert code == 0
    assert out.startswith(f"usage: execlog {name}")
    assert "examples:\n  " in out
    assert call("help", name)[1] == out


@pytest.mark.parametrize("name", catalogue.ENTRIES)
def test_reading_commands_have_json(name):
    writing = {"demo", "serve", "run", "export", "completion", "jobs"}
    if name not in writing:
        assert "--json" in command_parser(name).option_names()


def test_the_version(call):
    code, out, _ = call("--version")
    assert (code, out.split()[0]) == (0, "execlog")
    assert call("-V")[1] == out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["lst"], "unknown command 'lst'; did you mean list?"),
        (["list", "--staus", "failed"], "unknown option --staus; did you mean --status?"),
        (["list", "--status", "faild"], "did you mean failed?"),
        (["list", "extra"], "one argument too many: 'extra'"),
        (["list", "--since", "yesterday"], "not a time: 'yesterday'; write ISO 8601"),
        (["list", "--since", "-5m"], "not a time: '-5m'; write ISO 8601"),
        (["list", "--min-duration", "-.5s"], "'-.5s' is not a duration"),
        (["list", "--min-duration", "long"], "'long' is not a duration"),
        (["list", "--min-cost", "much"], "'much' is not an amount of US dollars"),
        (["list", "--tag", "year"], "not a tag: 'year'; write NAME=VALUE"),
        (["list", "--limit", "0"], "must be at least 1"),
        (["list", "--limit", "-1"], "'-1' is not a count"),
        (["list", "--sort", "fastest"], "'fastest' is not one of newest, oldest, slowest, costliest"),
        (["show"], "the following arguments are required: ID"),
        (["run"], "which command? execlog run -- COMMAND"),
        (["run", "--"], "which command?"),
        (["rm"], "name ids, or a filter such as --subject, or --all"),
        (["prune"], "--older-than is needed"),
        (["export", "--csv", "--json"], "not allowed with argument --csv"),
        (["completion", "tcsh"], "invalid choice: 'tcsh'"),
        (["serve", "--port", "70000"], "there is no port 70000; write a number from 0 to 65535"),
        (["demo", "--port", "web"], "'web' is not a port; write a number from 0 to 65535"),
        (["--nonsense", "list"], "unknown option --nonsense"),
    ],
)
def test_a_wrong_command_line_says_what_to_do_and_exits_with_2(call, tmp_path, arguments, complaint):
    code, out, err = call("--home", str(tmp_path), *arguments)
    assert (code, out) == (exits.USAGE, "")
    assert complaint in err
    assert "--help'." in err
    assert len(err) < 800


def test_a_store_nobody_knows(call, tmp_path):
    code, _, err = call("--home", str(tmp_path), "--store", "mongodb://x", "list")
    assert code == exits.USAGE
    assert "sqlite" in err


def test_the_reference_is_what_the_parsers_say():
    written = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m execlog.cli.reference docs/reference/cli.md"


def test_routes_that_help_names_are_in_the_table(tmp_path):
    with Ledger.open("memory://", home=tmp_path) as ledger, open_families(ledger, schedule=False) as (kinds, _):
        routes = create_app(ledger, kinds).state.table.routes
    known = {(route.method, re.sub(r"{[^}]+}", "{}", route.path)): route for route in routes}
    named = re.findall(r"\b(GET|POST|DELETE) (/[^\s?`]+)(?:\?(\w+)=)?", reference())
    assert len(named) >= 8
    for method, path, parameter in named:
        route = known[method, re.sub(r"{[^}]+}", "{}", path)]
        assert not parameter or parameter in route.params.__struct_fields__


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments", ["list", "--help", "--version", "list --help", "help list", "doctor", "completion bash"]
)
def test_an_output_that_takes_nothing_is_an_error_without_a_trace(tmp_path, arguments, unbuffered):
    with Ledger.open(home=tmp_path) as ledger:
        ledger.record("load")
    program = f"{sys.executable} -m execlog.cli.main --home {tmp_path} {arguments}"

    def run(redirected: str) -> subprocess.CompletedProcess[str]:
        command, environment = ["bash", "-c", f"{program} {redirected}"], known.environment()
        environment |= {"PYTHONUNBUFFERED": unbuffered}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    full, closed = run(">/dev/full"), run(">&-")
    assert full.returncode == 1
    assert full.stderr == "execlog: cannot write to standard output: No space left on device\n"
    assert (closed.returncode, closed.stderr) == (0, "")
