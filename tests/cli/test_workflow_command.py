"""`execlog workflow`: workflows that are written in files, run and checked from a shell."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import known
from cli.conftest import command
from execlog.kinds.workflows.models.standin import StandIn
from servers import wait_until

GREETING = {
    "name": "greeting",
    "input": {"city": "Ulm", "greeting": "Hello"},
    "steps": [
        {"id": "shout", "type": "shell", "command": ["echo", "{{ steps.greet.output }}!"]},
        {"id": "greet", "type": "python", "function": "ours:greet", "input": {"city": "{{ input.city }}"}},
    ],
}


@pytest.fixture
def folder(tmp_path):
    """A folder with a workflow, and the module its function is in."""
    (tmp_path / "ours.py").write_text("def greet(city):\n    return 'Hello, ' + city\n")
    (tmp_path / "greeting.json").write_text(json.dumps(GREETING))
    return tmp_path


def first_field(written):
    """Of the line under the names."""
    return written.splitlines()[1].split("\t")[0]


def test_a_workflow_is_run_from_its_file(execlog, folder):
    home = folder / "home"
    options = ("--project", "p", "--id", "first", "--tag", "env=test", "--json")
    asked = ("--input", '{"city": "Bonn"}')
    done = json.loads(execlog(home, "workflow", "run", "greeting.json", *asked, *options, cwd=folder).stdout)
    assert (done["id"], done["status"], done["namespace"], done["actor"]) == ("first", "succeeded", "p", "manual")
    shown = json.loads(execlog(home, "show", "first", "--json").stdout)
    assert (shown["output"], shown["tags"]) == ("Hello, Bonn!", {"env": "test"})
    assert "first" in execlog(home, "workflow", "run", "greeting.json", *options, cwd=folder, code=1).stderr
    (folder / "given.json").write_text('{"city": "Köln"}')
    line = execlog(home, "workflow", "run", "greeting.json", "--input", "@given.json", cwd=folder).stdout
    assert "succeeded" in line
    assert "Hello, Köln!" in execlog(home, "show", first_field(line), "--json").stdout


def test_one_that_fails_says_why_and_is_resumed_by_retry(execlog, folder):
    home, ours = folder / "home", folder / "ours.py"
    good = ours.read_text()
    ours.write_text("def greet(city):\n    raise OSError('the door is shut')\n")
    line = execlog(home, "workflow", "run", "greeting.json", cwd=folder, code=1).stdout
    assert "the door is shut" in line
    ours.write_text(good)
    assert "succeeded" in execlog(home, "retry", first_field(line), cwd=folder).stdout


def test_functions_are_found_where_the_installed_command_is_called(folder):
    """Which, unlike `python -m`, does not look into the folder it is called in by itself."""
    script = "import sys; sys.path.remove(''); from execlog.cli.main import main; sys.exit(main())"
    words = [sys.executable, "-c", script, "workflow", "run", "greeting.json", "--home", "home"]
    done = subprocess.run(words, cwd=folder, env=known.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_check_tells_what_would_run(execlog, folder):
    home = folder / "home"
    found = execlog(home, "workflow", "check", "greeting.json", cwd=folder).stdout
    assert [line.split("\t") for line in found.splitlines()[1:]] == [
        ["greet", "python", ""],
        ["shout", "shell", "greet"],
    ]
    steps = json.loads(execlog(home, "workflow", "check", "greeting.json", "--json", cwd=folder).stdout)["steps"]
    assert steps[1] == {"id": "shout", "type": "shell", "needs": ["greet"]}
    (folder / "ours.py").write_text("")
    assert "step 'greet'" in execlog(home, "workflow", "check", "greeting.json", cwd=folder, code=2).stderr


@pytest.mark.parametrize(
    ("file", "text", "options", "said", "code"),
    [
        ("none.json", None, (), "none.json", 1),
        ("broken.json", "{", (), "broken.json: not JSON", 2),
        ("empty.yaml", "name: x\n", (), "empty.yaml", 2),
        ("fine.json", json.dumps(GREETING), ("--input", "{"), "--input: not JSON", 2),
        ("fine.json", json.dumps(GREETING), ("--input", "@nowhere"), "nowhere", 1),
    ],
)
def test_what_cannot_be_read_is_named(execlog, folder, file, text, options, said, code):
    if text is not None:
        (folder / file).write_text(text)
    assert said in execlog(folder / "home", "workflow", "run", file, *options, cwd=folder, code=code).stderr
    assert not list((folder / "home").glob("execlog.db"))


def test_the_endpoints_are_those_of_the_settings(execlog, folder):
    home = folder / "home"
    step = {"id": "ask", "type": "llm", "model": "gpt-4o-mini", "prompt": "{{ input.text }}"}
    (folder / "ask.json").write_text(json.dumps({"name": "ask", "steps": [step]}))
    missing = execlog(home, "workflow", "check", "ask.json", cwd=folder, code=2).stderr
    assert "[workflows.endpoints.default] in execlog.toml" in missing
    with StandIn() as model:
        home.mkdir(exist_ok=True)
        (home / "execlog.toml").write_text(f'[workflows.endpoints.default]\nbase_url = "{model.url}"\n')
        execlog(home, "workflow", "run", "ask.json", "--input", '{"text": "x"}', cwd=folder)
        assert [asked.prompt for asked in model.asked] == ["x"]


def test_the_schema_is_the_one_of_the_manual(execlog, tmp_path):
    written = Path(__file__).parents[2] / "docs/reference/workflow.schema.json"
    assert execlog(tmp_path, "workflow", "schema").stdout == written.read_text(encoding="utf-8")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_what_interrupts_it_cancels_it(execlog, folder, sign):
    home = folder / "home"
    steps = [{"id": "long", "type": "shell", "command": ["sh", "-c", "echo $$ > pid; exec sleep 600"]}]
    (folder / "long.json").write_text(json.dumps({"name": "long", "steps": steps}))
    words = command(home, "workflow", "run", "long.json", "--id", "long")
    with subprocess.Popen(words, cwd=folder, env=known.environment(), stderr=subprocess.DEVNULL) as running:
        wait_until(
            lambda: (folder / "pid").exists() and (folder / "pid").read_text().strip(), 30, "the step did not begin"
        )
        running.send_signal(sign)
        assert running.wait(timeout=30) == 130
    shown = json.loads(execlog(home, "show", "long", "--json").stdout)
    assert (shown["status"], shown["items"][0]["status"]) == ("cancelled", "cancelled")
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)


def test_on_a_terminal_each_step_is_told_as_it_ends(on_terminal, folder):
    steps = [
        {"id": name, "type": "shell", "command": ["sh", "-c", f"exit {code}"]} for name, code in (("a", 0), ("b", 3))
    ]
    steps[1]["needs"] = ["a"]
    (folder / "two.json").write_text(json.dumps({"name": "two", "steps": steps}))
    with on_terminal(folder / "home", "workflow", "run", str(folder / "two.json")) as terminal:
        assert terminal.wait() == 1
        assert re.search(r"succeeded a \S+ ms", terminal.output)
        assert re.search(r"failed b \S+ ms  CommandFailedError: exit code 3", terminal.output)
