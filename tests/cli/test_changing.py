"""The commands that remove and repeat."""

from __future__ import annotations

import json
import sys

import known
from execlog.kinds.workflows import Endpoint, ExecutionEngine, Flow
from execlog.kinds.workflows.models.standin import StandIn
from execlog.ledger import Ledger
from execlog.store.sql import migrations


def ids(execlog, home, *filters: str) -> list[str]:
    return [line.split("\t")[0] for line in execlog(home, "list", "--no-header", *filters).stdout.splitlines()]


def test_rm_by_id_and_by_its_beginning(execlog, home):
    assert execlog(home, "rm", known.ident("aaaa"), "019aaa39-d").stdout == "2 removed\n"
    assert len(ids(execlog, home)) == 6
    assert "no execution" in execlog(home, "rm", known.ident("aaaa"), code=3).stderr
    done = execlog(home, "rm", known.ident("aaab"), "nothing", code=6)
    assert (done.stdout, "no execution 'nothing'" in done.stderr) == ("1 removed\n", True)


def test_rm_by_filter(execlog, home):
    assert execlog(home, "rm", "--kind", "task", "--dry-run").stdout == "2 would be removed\n"
    assert "add --yes" in execlog(home, "rm", "--kind", "task", code=2).stderr
    assert json.loads(execlog(home, "rm", "--kind", "task", "--yes", "--json").stdout) == {"deleted": 2, "found": 2}
    assert len(ids(execlog, home)) == 6
    assert execlog(home, "rm", "--all", "--yes").stdout == "6 removed\n"
    assert json.loads(execlog(home, "stats", "--json").stdout)["overall"]["total"] == 0


def test_rm_asks_on_a_terminal(execlog, on_terminal, home):
    for answer, code, left in (("n", 1, 8), ("", 1, 8), ("y", 0, 6)):
        with on_terminal(home, "rm", "--kind", "task") as terminal:
            terminal.expect(r"Remove 2 executions\? \[y/N\] ")
            terminal.type(f"{answer}\n")
            assert terminal.wait() == code
        assert len(ids(execlog, home)) == left


def test_migrate_says_the_versions_before_and_after(execlog, home, tmp_path):
    new = f"sqlite:///{tmp_path / 'new.db'}"
    latest = len(migrations("sqlite"))
    seen = execlog(home, "--store", new, "migrate", "--check", code=1).stdout
    assert seen == f"{new}: schema 0, to become {latest}\n"
    done = json.loads(execlog(home, "--store", new, "migrate", "--json").stdout)
    assert done == {"url": new, "before": 0, "after": latest, "changed": True}
    assert execlog(home, "--store", new, "migrate", "--check").stdout == f"{new}: schema {latest}, nothing to do\n"
    assert execlog(home, "--store", "memory://", "migrate").stdout == "memory://: has no schema\n"
    (tmp_path / "text.db").write_bytes(b"no database" * 100)
    execlog(home, "--store", f"sqlite:///{tmp_path / 'text.db'}", "migrate", code=4)


def test_prune_keeps_what_is_young_or_open(execlog, home):
    assert execlog(home, "prune", "--older-than", "30d", "--dry-run").stdout == "1 would be removed\n"
    assert execlog(home, "prune", "--older-than", "30d", "--yes").stdout == "1 removed\n"
    assert execlog(home, "prune", "--older-than", "1s", "--yes", "--kind", "pipeline").stdout == "0 removed\n"
    (home / "execlog.toml").write_text("retention_days = 1\n")
    assert json.loads(execlog(home, "prune", "--yes", "--json").stdout) == {"deleted": 1, "found": 1}
    assert len(ids(execlog, home)) == 6


def test_retry_of_a_command_runs_it_again_where_it_ran(execlog, tmp_path):
    home, folder = tmp_path / "home", tmp_path / "folder"
    folder.mkdir()
    code = "import pathlib; p = pathlib.Path('ran'); n = p.exists(); p.touch(); raise SystemExit(0 if n else 4)"
    execlog(home, "run", "--name", "flaky", "--tag", "a=b", "--", sys.executable, "-c", code, code=4, cwd=folder)
    first = ids(execlog, home)[0]
    execlog(home, "retry", first)
    again = json.loads(execlog(home, "show", ids(execlog, home, "--retry-of", first)[0], "--json").stdout)
    assert (again["status"], again["subject"], again["tags"]) == ("succeeded", "flaky", {"a": "b"})
    assert (again["retry_of"], again["root_id"]) == (first, first)
    assert [attempt["status"] for attempt in again["attempts"]] == ["failed", "succeeded"]
    shown = execlog(home, "show", again["id"]).stdout
    assert "Attempts\n" in shown
    assert "(this one)" in shown


def test_retry_of_a_workflow_goes_on_from_its_failed_step(execlog, tmp_path):
    home, switch = tmp_path / "home", tmp_path / "switch"
    with StandIn() as model:
        flow = Flow("nightly")
        flow.llm("ask", model="gpt-4o-mini", prompt="x", endpoint="ours")
        flow.shell("fragile", ["cat", str(switch)], needs=["ask"])
        flow.llm("tell", model="gpt-4o-mini", prompt="{{ steps.fragile.output }}", endpoint="ours")
        with Ledger.open(home=home) as ledger:
            endpoints = {"ours": Endpoint(base_url=model.url)}
            failed = ExecutionEngine(ledger, endpoints=endpoints).run(flow, project_id="p")
        assert "no endpoint 'ours'" in execlog(home, "retry", failed.id, code=1).stderr
        (home / "execlog.toml").write_text(f'[workflows.endpoints.ours]\nbase_url = "{model.url}"\n')
        assert "exit code 1" in execlog(home, "retry", failed.id, code=1).stdout
        switch.write_text("on")
        again = json.loads(execlog(home, "retry", failed.id, "--json").stdout)
        assert [asked.prompt for asked in model.asked] == ["x", "on"]
    assert (again["status"], again["retry_of"], again["namespace"]) == ("succeeded", failed.id, "p")
    assert "nothing to resume" in execlog(home, "retry", again["id"], code=1).stderr


def test_retry_of_a_workflow_that_needs_its_program_says_so(execlog, home):
    flow = Flow("own")
    flow.python("fails", lambda: 1 / 0)
    with Ledger.open(home=home) as ledger:
        failed = ExecutionEngine(ledger).run(flow)
    assert f"ExecutionEngine(…).resume('default', '{failed.id}'" in execlog(home, "retry", failed.id, code=1).stderr


def test_retry_of_what_cannot_be_run_from_here_says_so(execlog, home):
    err = execlog(home, "retry", known.ident("bbb2"), code=1).stderr
    assert f"retry_of='{known.ident('bbb2')}'" in err
    assert "executions of the kind 'task' that a program recorded cannot be run again" in err
    with Ledger.open(home=home) as ledger:
        recorded = ledger.record("nightly", kind="job", status="failed")
    assert "the kind 'job' that a program recorded" in execlog(home, "retry", recorded, code=1).stderr
    execlog(home, "run", "--", "sh", "-c", "exit 1", "--", "--token=abcdef", code=1)
    assert "held a secret" in execlog(home, "retry", ids(execlog, home)[0], code=1).stderr
    execlog(home, "run", "--", "false", code=1)
    assert "no items" in execlog(home, "retry", ids(execlog, home)[0], "--failed-items", code=2).stderr
