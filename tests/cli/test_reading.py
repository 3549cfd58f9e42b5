"""The commands that read, on a real SQLite home: in a pipe, on a terminal, as JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import known
from execlog.cli.terminal import columns_of
from execlog.core.model import Error, Event, Status
from execlog.ledger import Ledger

GOLDEN = Path(__file__).parent / "golden"
CASES = {
    "list": ("list",),
    "list-narrow": ("list", "--status", "bad", "--sort", "oldest"),
    "latest": ("latest",),
    "failures": ("failures",),
    "stats": ("stats", "--by", "kind"),
    "show-job": ("show", known.ident("aaaa")),
    "show-command": ("show", known.ident("eeee")),
    "show-workflow": ("show", known.ident("cccc")),
    "tail": ("tail",),
}


def check(name: str, text: str) -> None:
    """Compare with a golden file; EXECLOG_GOLDEN=write writes it anew."""
    path = GOLDEN / f"{name}.txt"
    text = known.normalised(text)
    if os.environ.get("EXECLOG_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "if this is meant: EXECLOG_GOLDEN=write pytest"


@pytest.mark.parametrize("name", CASES)
def test_in_a_pipe(execlog, known_home, name):
    check(f"{name}.pipe", execlog(known_home, *CASES[name]).stdout)


@pytest.mark.parametrize("name", CASES)
def test_on_a_terminal(on_terminal, known_home, name):
    with on_terminal(known_home, *CASES[name], columns=110) as terminal:
        assert terminal.wait() == 0
        check(f"{name}.terminal", terminal.output)


COMPARED = ("compare", known.ident("aaaa"), known.ident("aaab"))


@pytest.mark.parametrize("columns", [60, 80, 100])
@pytest.mark.parametrize(
    "asked", [*(CASES[name] for name in ("list", "latest", "failures", "stats", "tail")), COMPARED], ids=" ".join
)
def test_on_a_narrow_terminal_lines_fit(on_terminal, known_home, asked, columns):
    with on_terminal(known_home, *asked, "--no-color", columns=columns) as terminal:
        assert terminal.wait() == 0
        assert "\x1b" not in terminal.output
        lines = [line for line in terminal.output.splitlines() if " -> " not in line]
        assert max(map(columns_of, lines)) <= columns


def test_a_narrow_list_keeps_what_ran_and_why(on_terminal, known_home):
    with on_terminal(known_home, "list", "--no-color", columns=80) as terminal:
        assert terminal.wait() == 0
        assert "WHY" in terminal.output
        assert "exit code 3: d" in terminal.output
    with on_terminal(known_home, "list", "--no-color", columns=60) as terminal:
        assert terminal.wait() == 0
        assert "backfill-2003" in terminal.output
        assert "backfill-2005" in terminal.output


@pytest.mark.parametrize("asked", ["show {}", "show {} --json", "latest"])
def test_how_it_went_is_told_though_nobody_reads_on(known_home, asked):
    words = asked.format(known.ident("eeee")).split()
    program = [sys.executable, "-m", "execlog.cli.main", "--home", str(known_home), *words, "--check"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, env=known.environment(), check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_help_is_broken_into_lines(on_terminal, known_home):
    with on_terminal(known_home, "latest", "--help", columns=60) as terminal:
        assert terminal.wait() == 0
        head = terminal.output.partition("positional arguments:")[0]
        assert "by its subject" in head
        assert max(map(len, head.splitlines())) <= 60


def test_json_is_what_the_api_gives(execlog, known_home):
    page = json.loads(execlog(known_home, "list", "--json", "--limit", "3").stdout)
    assert [one["name"] for one in page["executions"]] == ["features", "backup 漢字", "select pirce from trades"]
    rest = json.loads(execlog(known_home, "list", "--json", "--cursor", page["next_cursor"]).stdout)
    assert len(rest["executions"]) == 5
    assert rest["next_cursor"] is None
    whole = json.loads(execlog(known_home, "show", known.ident("aaaa"), "--json").stdout)
    assert [item["key"] for item in whole["items"]] == list(known.STOCKS)
    groups = json.loads(execlog(known_home, "failures", "--json").stdout)["failures"]
    assert groups[0]["message"] == "exit code 3: disk full"
    stats = json.loads(execlog(known_home, "stats", "--json", "--by", "kind").stdout)
    assert stats["overall"]["total"] == 7
    assert json.loads(execlog(known_home, "latest", "nightly", "--json").stdout)["executions"][0]["status"] == "crashed"
    lines = execlog(known_home, "tail", "--json", "-n", "2").stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["backup 漢字", "features"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["--kind", "job", "--item", "GOOG", "--item-status", "failed"], ["backfill-2003"]),
        (["--text", "PIRCE"], ["select pirce from trades"]),
        (["--engine", "starburst", "--actor", "u-17"], ["select pirce from trades"]),
        (["--tag", "year=2005"], ["backfill-2005"]),
        (["--min-cost", "0.005", "--max-cost", "1"], ["summarise"]),
        (["--min-tokens", "1000"], ["summarise"]),
        (["--namespace", "news"], ["summarise"]),
        (["--status", "open"], ["features"]),
        (["--status", "crashed,partial"], ["backfill-2003", "nightly"]),
        (["--since", "5h"], ["features", "backup 漢字"]),
        (["--until", "30d"], ["nightly"]),
        (["--min-duration", "2s"], []),
        (["--subject", "nightly", "--sort", "oldest", "-n", "1"], ["nightly"]),
    ],
)
def test_filters(execlog, known_home, filters, names):
    lines = execlog(known_home, "list", "--no-header", *filters).stdout.splitlines()
    assert [line.split("\t")[5] for line in lines] == names


def test_an_id_may_be_cut_where_no_other_begins_so(execlog, known_home):
    ambiguous = execlog(known_home, "show", "019aaa39-aaa", code=2).stderr
    assert "several executions begin with '019aaa39-aaa'" in ambiguous
    assert "019aaa39-aaaa  partial   backfill-2003, 8 h ago" in ambiguous
    assert f"id          {known.ident('dddd')}" in execlog(known_home, "show", "019aaa39-d").stdout
    assert "no execution 'nothing'" in execlog(known_home, "show", "nothing", code=3).stderr
    assert "no execution '019'; of a longer id give at least 4" in execlog(known_home, "show", "019", code=3).stderr


def test_an_id_that_two_kinds_have_is_not_guessed(execlog, home):
    with Ledger.open(home=home) as ledger:
        ledger.record("a", kind="job", id="twice", status="failed")
        ledger.record("b", kind="workflow", namespace="p", id="twice")
        ledger.flush()
    for command in (("show",), ("rm",), ("retry",), ("compare",)):
        said = execlog(home, *command, "twice", code=2).stderr
        assert "several executions have the id 'twice'; tell them apart with --kind and --namespace" in said
        assert "\n  workflow p  succeeded b" in said
        assert "\n  job  failed    a" in said
    assert execlog(home, "show", "twice", "--namespace", "p").stdout.startswith("✓ succeeded  b")
    assert execlog(home, "rm", "twice", "--kind", "job").stdout == "1 removed\n"
    assert execlog(home, "show", "twice").stdout.startswith("✓ succeeded  b")


def test_check_turns_the_status_into_the_exit_code(execlog, known_home):
    execlog(known_home, "show", known.ident("eeee"), "--check", code=1)
    execlog(known_home, "show", known.ident("aaaa"), "--check", code=6)
    execlog(known_home, "show", known.ident("aaab"), "--check")
    execlog(known_home, "show", known.ident("ffff"), "--check")
    execlog(known_home, "latest", "nightly", "--check", code=1)
    execlog(known_home, "latest", "summarise", "--check")
    assert "no execution of 'nothing'" in execlog(known_home, "latest", "nothing", code=3).stderr


def test_latest_falls_back_on_a_name(execlog, tmp_path):
    with Ledger.open(home=tmp_path) as ledger:
        ledger.record("Load orders", id="by-name", kind="etl", subject="orders")
        ledger.record("orders", id="by-subject", kind="etl", subject="other")
    for asked in ("orders", "Load orders"):
        shown = execlog(tmp_path, "latest", asked, "--kind", "etl", "--json").stdout
        assert [one["id"] for one in json.loads(shown)["executions"]] == ["by-name"]
    assert "no execution of 'Load orders'" in execlog(tmp_path, "latest", "Load orders", "--kind", "job", code=3).stderr


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_a_spreadsheet_runs_nothing_of_an_export(execlog, tmp_path, sign):
    formula = f"{sign}HYPERLINK(1)"
    with Ledger.open(home=tmp_path) as ledger:
        fields = {"actor": formula, "rows": -5, "usage": {"m": {"cost": "-0.5"}}, "error": Error("E", formula)}
        ledger.record(formula, id="x", status="failed", **fields)
    execlog(tmp_path, "export", "--csv", "-o", str(tmp_path / "out.csv"))
    with (tmp_path / "out.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert {row[name] for name in ("name", "subject", "actor", "error_message")} == {f"'{formula}"}
    assert (row["rows"], row["cost_usd"], row["id"]) == ("-5", "-0.5", "x")
    assert json.loads(execlog(tmp_path, "export", "--ndjson").stdout)["name"] == formula


def test_an_empty_home_says_what_to_try(execlog, on_terminal, tmp_path):
    Ledger.open(home=tmp_path / "empty").store.close()
    assert execlog(tmp_path / "empty", "list", "--no-header").stdout == ""
    with on_terminal(tmp_path / "empty", "list") as terminal:
        assert terminal.wait() == 0
        assert "execlog run -- echo hello" in terminal.output


@pytest.mark.parametrize("asked", ["list", "stats", "export --json", "show x", "latest", "rm --all -y", "jobs list"])
def test_a_place_where_nothing_is_is_not_made(execlog, tmp_path, asked):
    assert (
        f"no history at {tmp_path}/nowhere/execlog.db" in execlog(tmp_path / "nowhere", *asked.split(), code=4).stderr
    )
    for scheme in ("sqlite", "files"):
        store = f"{scheme}:///{tmp_path}/nosuch/x"
        assert "no history at" in execlog(tmp_path, *asked.split(), "--store", store, code=4).stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked", ["list", "list --json", "latest --table", "stats", "failures", "export", "tail"])
def test_of_an_empty_store_it_is_said_which_it_is(tmp_path, asked):
    command = [sys.executable, "-m", "execlog.cli.main", *asked.split()]

    def run(**place: str) -> subprocess.CompletedProcess[str]:
        environment = known.environment(**place)
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=60)

    home = tmp_path / "mistyped"
    assert run(EXECLOG_HOME=str(home)).stderr == f"execlog: nothing is recorded in {home}/execlog.db\n"
    files = f"files:///{tmp_path}/files"
    said = run(EXECLOG_HOME=str(home), EXECLOG_STORE=files).stderr
    assert said == f"execlog: nothing is recorded in {tmp_path}/files\n"


def test_of_a_store_with_something_in_it_nothing_is_said(execlog, known_home):
    assert execlog(known_home, "list", "--subject", "nobody").stderr == ""


def test_what_waits_in_a_journal_is_a_history(execlog, tmp_path):
    code = "import execlog, os; execlog.record('x'); os._exit(0)"
    environment = known.environment(EXECLOG_HOME=str(tmp_path / "home"), EXECLOG_DRAIN="server")
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not (tmp_path / "home" / "execlog.db").exists()
    assert "task" in execlog(tmp_path / "home", "list").stdout


def test_tables_in_a_pipe_have_no_colours(execlog, known_home):
    out = execlog(known_home, "list", "--table").stdout
    assert "✗ failed" in out
    assert "\x1b" not in out


def test_a_reader_that_leaves_is_no_error(known_home):
    command = f"{sys.executable} -m execlog.cli.main --home {known_home} export --ndjson | head -c 10"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env=known.environment(), check=False
    )
    assert (len(done.stdout), done.stderr) == (10, "")
    assert done.returncode == 0


def test_what_failed_through_its_items_says_why_in_a_pipe(execlog, tmp_path):
    items = [{"key": "A", "status": "succeeded"}, {"key": "B", "status": "failed", "error": "no answer"}]
    with Ledger.open(home=tmp_path) as ledger:
        ledger.record("load", id="x", kind="job", status="partial", items=items)
    for asked in (["list"], ["latest"], ["tail"]):
        [row] = csv.DictReader(execlog(tmp_path, *asked).stdout.splitlines(), delimiter="\t")
        assert row["error_message"] == "no answer"


def test_what_did_not_run_itself_says_so(execlog, tmp_path):
    items = [
        {"key": "asks", "status": "succeeded", "data": {"reusedFrom": "run-9"}},
        {"key": "alert", "status": "succeeded", "data": {"skipped": "all is calm"}},
        {"key": "counts", "status": "succeeded", "data": {"skipped": 3}},
        {"key": "after", "status": "queued"},
    ]
    with Ledger.open(home=tmp_path) as ledger:
        ledger.record("flow", id="x", kind="workflow", status="failed", items=items)
    shown = [line.split() for line in execlog(tmp_path, "show", "x", "--table").stdout.splitlines()]
    assert ["✓", "succeeded", "asks", "taken", "over", "from", "run-9"] in shown
    assert ["○", "skipped", "alert", "all", "is", "calm"] in shown
    assert ["✓", "succeeded", "counts"] in shown
    assert ["○", "not", "run", "after"] in shown


def test_a_dash_stands_for_standard_output(execlog, known_home, tmp_path):
    done = execlog(known_home, "export", "--csv", "-o", "-", cwd=tmp_path)
    assert (done.stdout, done.stderr) == (execlog(known_home, "export", "--csv").stdout, "")
    assert list(tmp_path.iterdir()) == []


def test_export_is_whole_and_the_same_in_every_form(execlog, known_home, tmp_path):
    rows = list(csv.DictReader(io.StringIO(execlog(known_home, "export", "--csv").stdout)))
    lines = [json.loads(line) for line in execlog(known_home, "export").stdout.splitlines()]
    array = json.loads(execlog(known_home, "export", "--json").stdout)
    assert [row["id"] for row in rows] == [one["id"] for one in lines] == [one["id"] for one in array]
    assert len(rows) == 8
    assert [item["key"] for item in lines[5]["items"]] == list(known.STOCKS)
    assert rows[5]["error_message"] == "Failed to fetch GOOG: Connection timeout after 30s"
    target = tmp_path / "out.csv"
    done = execlog(known_home, "export", "--csv", "-o", str(target), "--limit", "2", "--sort", "oldest")
    assert done.stderr == f"2 executions written to {target}\n"
    assert [row["name"] for row in csv.DictReader(target.read_text().splitlines())] == ["nightly", "nightly"]
    assert list(tmp_path.iterdir()) == [target]
    assert json.loads(execlog(known_home, "export", "--json", "--subject", "nothing").stdout) == []


def test_a_file_that_cannot_be_written(execlog, known_home, tmp_path):
    err = execlog(known_home, "export", "-o", str(tmp_path / "no" / "such"), code=2).stderr
    assert f"there is no folder '{tmp_path}/no'" in err


def test_a_store_that_is_not_there(execlog, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    for arguments in (("list",), ("show", "abcd"), ("stats",), ("export",)):
        execlog(tmp_path / "home", "--store", f"sqlite:///{blocked}/x.db", *arguments, code=4)
    doctor = execlog(tmp_path / "home", "--store", f"sqlite:///{blocked}/x.db", "doctor", code=4)
    assert "bad      store" in doctor.stdout


def test_a_file_that_is_no_database(execlog, tmp_path):
    other = tmp_path / "other.db"
    other.write_bytes(b"not a database, " * 100)
    assert "execlog: " in execlog(tmp_path / "home", "--store", f"sqlite:///{other}", "list", code=4).stderr


def test_what_a_dead_process_left_is_seen(execlog, tmp_path):
    code = "import execlog, os; execlog.run('victim').begin(); execlog.record('last words'); os._exit(9)"
    environment = known.environment(EXECLOG_HOME=str(tmp_path / "home"))
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    lines = execlog(tmp_path / "home", "list", "--no-header").stdout.splitlines()
    assert {(line.split("\t")[3], line.split("\t")[5]) for line in lines} == {
        ("succeeded", "last words"),
        ("crashed", "victim"),
    }


@pytest.mark.slow
def test_many_executions_are_read_page_by_page(execlog, tmp_path):
    with Ledger.open(home=tmp_path / "home") as ledger:
        now = time.time_ns() // 1000
        ledger.store.apply(
            [
                Event(
                    id=f"many-{number:05}",
                    kind="task",
                    at=now,
                    status=Status.SUCCEEDED,
                    started_at=now - number,
                    name="many",
                )
                for number in range(2500)
            ]
        )
    assert len(execlog(tmp_path / "home", "list", "-n", "2200", "--no-header").stdout.splitlines()) == 2200
    assert len(execlog(tmp_path / "home", "export", "--csv").stdout.splitlines()) == 2501
