"""`execlog jobs`, `serve` and `retry` of jobs, on real processes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

import chores
import known
import servers
from execlog.kinds.jobs import SchedulerServingApp
from execlog.ledger import Ledger

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@contextlib.contextmanager
def serving(home, *arguments: str, **environment: str):
    """A server of the home; its process, and its URL once it answers."""
    command = [sys.executable, "-m", "execlog", "--home", str(home), "serve", "--port", "0", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=known.environment() | environment
    ) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_job_from_its_making_to_its_removal(execlog, home):
    made = execlog(
        home, "jobs", "add", "nightly", "--cron", "0 2 * * *", "--timezone", "Europe/Berlin", "--", "echo", "-n", "hi"
    )
    assert made.stdout == "nightly added: echo -n hi, 0 2 * * * Europe/Berlin\n"
    assert "--replace replaces it" in execlog(home, "jobs", "add", "nightly", "--shell", "true", code=1).stderr
    job = json.loads(execlog(home, "jobs", "show", "nightly", "--json").stdout)
    assert job["run"] == {"type": "command", "command": ["echo", "-n", "hi"], "cwd": None, "env": {}}
    assert execlog(home, "jobs", "pause", "nightly").stdout == "nightly paused\n"
    line = execlog(home, "jobs", "list", "--no-header").stdout.rstrip("\n").split("\t")
    assert line[:5] == ["nightly", "nightly", "paused", "0 2 * * * Europe/Berlin", ""]
    assert re.fullmatch(r"nightly resumed, next in \d+ (min|h)\n", execlog(home, "jobs", "resume", "nightly").stdout)
    assert json.loads(execlog(home, "jobs", "list", "--json").stdout)[0]["enabled"] is True
    assert execlog(home, "jobs", "history", "nightly", "--no-header").stdout == ""
    done = execlog(home, "jobs", "rm", "nightly", "nothing", code=6)
    assert (done.stdout, done.stderr) == ("nightly removed\n", "execlog: there is no job 'nothing'\n")
    for command in ("show", "pause", "resume", "cancel", "rm", "run", "history"):
        assert "no job 'nightly'" in execlog(home, "jobs", command, "nightly", code=3).stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "nothing to run; say what to run"),
        (["--shell", "true", "--call", "a:b"], "only one of these"),
        (["--shell", "true", "--cron", "* *"], "cron"),
        (["--shell", "true", "--cron", "* * * * *", "--every", "5s"], "not allowed with"),
        (["--shell", "true", "--every", "soon"], "'soon' is not a duration"),
        (["--call", "nonsense"], 'is not "package.module:function"'),
        (["--stocks", "A", "--source", "nowhere"], "there is no source 'nowhere'"),
        (["--shell", "true", "--overlap", "alow"], "did you mean allow?"),
        (["--shell", "true", "--at", "2001-01-01"], "in the past"),
        (["--shell", "true", "--at", "2030-01-01T02:00", "--timezone", "Asia/Tokyo"], "--at takes an offset"),
        (["--shell", "true", "--every", "1d", "--timezone", "Asia/Tokyo"], "--timezone goes with --cron"),
        (["--shell", "true", "--every", "1d", "--offset", "5m"], "--offset goes with --session"),
        (["--shell", "true", "--every", "1d", "--at-open"], "--at-open goes with --session"),
        (["--shell", "true", "--arg", "a=1"], "--arg goes with --call"),
        (["--shell", "true", "--at", "tomorrow"], "'tomorrow'; write ISO 8601"),
        (["--shell", "true", "--every", "0s"], "$.trigger.seconds"),
        (["--shell", "true", "--session", "XNYS", "--offset", "20000d"], "$.trigger.offset"),
        (["--shell", "true", "--concurrency", "1000000"], "$.concurrency"),
        (["--shell", "true", "--retries", "100000"], "$.retries.limit"),
        (["--shell", "true", "--timeout", "0s"], "$.timeout"),
        (["--shell", "true", "--grace", "20000d"], "$.misfire.grace"),
        (["--stocks", "A", "--days", "10000000"], "$.run.days"),
    ],
)
def test_what_is_no_job_is_refused_with_a_reason(execlog, home, arguments, complaint):
    assert complaint in execlog(home, "jobs", "add", "x", *arguments, code=2).stderr
    if (home / "execlog.db").exists():
        assert execlog(home, "jobs", "list", "--no-header").stdout == ""


def test_a_job_runs_here_where_no_server_runs(execlog, on_terminal, home):
    execlog(home, "jobs", "add", "sample", "--stocks", "MSFT,GOOG,AAPL", "--from", "2003-01-01", "--to", "2003-12-31")
    done = execlog(home, "jobs", "run", "sample", code=6)
    header, line = done.stdout.splitlines()
    assert header.split("\t")[3:5] == ["status", "subject"]
    assert line.split("\t")[3:5] == ["partial", "sample"]
    with on_terminal(home, "jobs", "run", "sample", "--no-color", columns=140) as terminal:
        assert terminal.wait() == 6
        assert "GOOG: " in terminal.output
        assert "no rows for GOOG between 2003-01-01 and 2003-12-31" in terminal.output
    assert (
        json.loads(execlog(home, "jobs", "run", "sample", "--stocks", "MSFT", "--json").stdout)["status"] == "succeeded"
    )
    assert (
        "'IBM' is none of the job's stocks" in execlog(home, "jobs", "run", "sample", "--stocks", "IBM", code=2).stderr
    )
    first = execlog(home, "list", "--status", "partial", "-n", "1", "--no-header").stdout.split("\t")[0]
    again = json.loads(execlog(home, "retry", first, "--failed-items", "--json", code=1).stdout)
    assert (again["retry_of"], [item["key"] for item in again["items"]]) == (first, ["GOOG"])
    history = json.loads(execlog(home, "jobs", "history", "sample", "--json").stdout)
    assert [record["status"] for record in history] == ["failed", "success", "partial_success", "partial_success"]
    assert history[0]["triggered_by"] == "retry"
    with on_terminal(home, "jobs", "list", "--no-color", columns=140) as terminal:
        assert terminal.wait() == 0
        assert "fetch 3 stocks from sample, 2003-01-01 to 2003-12-31" in terminal.output
        assert "✗ failed" in terminal.output
    with on_terminal(home, "jobs", "show", "sample") as terminal:
        assert terminal.wait() == 0
        assert "MSFT, GOOG, AAPL" in terminal.output


def test_once_may_be_so_long_from_now(execlog, home):
    execlog(home, "jobs", "add", "soon", "--at", "90m", "--shell", "true")
    job = json.loads(execlog(home, "jobs", "show", "soon", "--json").stdout)
    made, at = (datetime.fromisoformat(job[name]) for name in ("created_at", "next_run_at"))
    assert at - made == pytest.approx(timedelta(minutes=90), abs=timedelta(minutes=1))


def test_what_waits_does_not_hide_how_it_went(execlog, home):
    execlog(home, "jobs", "add", "flaky", "--shell", "exit 3")
    execlog(home, "jobs", "run", "flaky", code=1)
    waits = execlog(home, "jobs", "run", "flaky", "--no-wait").stdout.strip()
    assert execlog(home, "jobs", "list", "--no-header").stdout.split("\t")[6] == "failed"
    assert execlog(home, "latest", "flaky", "--no-header").stdout.split("\t")[0] == waits
    assert execlog(home, "latest", "flaky", "--check", "--no-header", code=1).stdout.split("\t")[3] == "failed"


def test_what_nobody_begins_is_called_late(execlog, on_terminal, home):
    assert "begun by nobody" not in execlog(home, "doctor").stdout
    execlog(home, "jobs", "add", "nightly", "--cron", "0 2 * * *", "--shell", "true")
    with Ledger.open(home=home) as ledger, SchedulerServingApp(ledger) as app:
        entry, ago = app.jobs.get("nightly"), ledger.clock.now() - 60_000_000
        app.jobs.put(replace(entry, next_at=ago, due_at=ago), expected=entry.version)
    assert execlog(home, "jobs", "list", "--no-header").stdout.split("\t")[2] == "late"
    assert re.search("^warning +jobs +due, and begun by nobody: nightly$", execlog(home, "doctor").stdout, re.MULTILINE)
    with on_terminal(home, "jobs", "list") as terminal:
        assert terminal.wait() == 0
        assert "`execlog serve` runs what is due" in terminal.output
    execlog(home, "jobs", "pause", "nightly")
    assert execlog(home, "jobs", "list", "--no-header").stdout.split("\t")[2] == "paused"


def test_of_many_that_wait_only_the_first_are_named(execlog, home):
    execlog(home, "jobs", "add", "later", "--shell", "true", "--overlap", "queue")
    for _ in range(7):
        execlog(home, "jobs", "run", "later", "--no-wait")
    waiting = dict(line.split(None, 1) for line in execlog(home, "jobs", "show", "later").stdout.splitlines())[
        "waiting"
    ]
    assert waiting.count("-7000-") == 5
    assert waiting.endswith(" and 2 more")


def test_a_job_that_waits_is_not_called_running(execlog, home):
    execlog(home, "jobs", "add", "later", "--shell", "true")
    waits = execlog(home, "jobs", "run", "later", "--no-wait").stdout.strip()
    assert execlog(home, "jobs", "list", "--no-header").stdout.split("\t")[2] == "scheduled"
    shown = execlog(home, "jobs", "show", "later").stdout
    assert re.search(rf"^waiting +{waits}$", shown, re.MULTILINE), shown
    assert not re.search("^running", shown, re.MULTILINE), shown
    execlog(home, "jobs", "pause", "later")
    assert execlog(home, "jobs", "list", "--no-header").stdout.split("\t")[2] == "paused"


def test_resuming_says_where_nothing_is_to_come(execlog, home):
    execlog(home, "jobs", "add", "once", "--at", "2s", "--shell", "true")
    execlog(home, "jobs", "add", "by-hand", "--shell", "true")
    execlog(home, "jobs", "pause", "once", "by-hand")
    at = json.loads(execlog(home, "jobs", "show", "once", "--json").stdout)["trigger"]["at"]
    servers.wait_until(lambda: datetime.now(UTC) > datetime.fromisoformat(at), 10, "the instant to pass")
    said = execlog(home, "jobs", "resume", "once", "by-hand").stdout
    assert said == "once resumed; nothing is to come\nby-hand resumed\n"


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_a_job_calls_a_function_of_the_folder_it_is_run_in(execlog, home, tmp_path, monkeypatch, launcher):
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # as the script `execlog` does, and unlike `python -m`
    (tmp_path / "of_my_own.py").write_text("def count(stock):\n    return len(stock)\n")
    made = ("--call", "of_my_own:count", "--stocks", "A,BC", "--launcher", launcher)
    execlog(home, "jobs", "add", "mine", *made)
    assert json.loads(execlog(home, "jobs", "run", "mine", "--json", cwd=tmp_path).stdout)["status"] == "succeeded"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    refused = execlog(home, "jobs", "run", "mine", "--table", cwd=elsewhere, code=1).stdout
    assert "No module named 'of_my_own'; PYTHONPATH adds folders to those that are searched" in refused


def test_a_job_is_listed_under_its_name_where_that_is_not_its_id(execlog, home):
    execlog(home, "jobs", "add", "one", "--shell", "true")
    assert "NAME" not in execlog(home, "jobs", "list", "--table").stdout
    execlog(home, "jobs", "add", "01a21fa7-f983", "--name", "nightly backup", "--shell", "true")
    table = execlog(home, "jobs", "list", "--table").stdout.splitlines()
    assert table[0].split()[:3] == ["JOB", "NAME", "STATE"]
    assert table[1].startswith("01a21fa7-f983  nightly backup  idle")


def test_a_cron_job_shows_the_instants_to_come(execlog, home):
    execlog(home, "jobs", "add", "night", "--cron", "30 2 28 3,10 *", "--timezone", "Europe/Berlin", "--shell", "true")
    shown = dict(line.split(None, 1) for line in execlog(home, "jobs", "show", "night").stdout.splitlines()[1:])
    instants = [shown["next"].split()[0], *shown["then"].split(", ")]
    assert len(instants) == 5
    assert instants == sorted(instants)
    assert {one[4:10] for one in instants} == {"-03-28", "-10-28"}
    assert {one[10:] for one in instants} <= {"T02:30:00+01:00", "T02:30:00+02:00", "T03:00:00+02:00"}, (
        "the last where there is no 2:30"
    )
    assert datetime.fromisoformat(instants[0]) == datetime.fromisoformat(
        json.loads(execlog(home, "jobs", "show", "night", "--json").stdout)["next_run_at"]
    )


def test_jobs_are_imported_from_files_and_what_was_listed_can_be(execlog, home, tmp_path):
    file = tmp_path / "jobs.toml"
    file.write_text("""
        [[jobs]]
        id = "hourly"
        name = "Every hour"
        run = {type = "command", command = "true"}
        trigger = {type = "cron", expression = "0 * * * *"}
        [[jobs]]
        name = "broken"
        run = {type = "command", command = " "}
    """)
    done = execlog(home, "jobs", "import", str(file), code=6)
    assert done.stdout == "hourly imported: true, 0 * * * * UTC\n"
    assert "job 'broken': the command is blank" in done.stderr
    listed = execlog(home, "jobs", "list", "--json").stdout
    execlog(home, "jobs", "rm", "hourly")
    assert execlog(home, "jobs", "import", "-", input=listed).stdout.startswith("hourly imported")
    file.write_text("[[jobs]]\nnme = 1\n")
    assert "jobs.toml, job 1: " in execlog(home, "jobs", "import", str(file), code=2).stderr
    assert "No such file" in execlog(home, "jobs", "import", str(tmp_path / "none.json"), code=1).stderr


def test_a_server_runs_what_is_due_and_what_is_asked_for(execlog, home):
    with serving(home) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert json.load(urllib.request.urlopen(f"{url}/healthz"))["status"] == "ok"
        execlog(home, "jobs", "add", "tick", "--every", "200ms", "--shell", "echo tick")
        servers.wait_until(lambda: "succeeded" in execlog(home, "list", "--subject", "tick").stdout, 15, "a tick")
        execlog(home, "jobs", "pause", "tick")
        execlog(home, "jobs", "add", "asked", "--shell", "exit 4")
        line = execlog(home, "jobs", "run", "asked", code=1).stdout.splitlines()[1].split("\t")
        assert (line[3], line[4], line[6]) == ("failed", "asked", "manual")
        idle = execlog(home, "jobs", "cancel", "asked").stdout
        assert idle == "asked has nothing to cancel: it is not running\n"
        execlog(home, "jobs", "add", "long", "--shell", "sleep 60")
        execution = execlog(home, "jobs", "run", "long", "--no-wait").stdout.strip()
        servers.wait_until(lambda: "running" in execlog(home, "jobs", "list").stdout, 15, "the long job's start")
        assert execlog(home, "jobs", "cancel", "long").stdout == "long cancelled\n"
        servers.wait_until(lambda: "cancelled" in execlog(home, "show", execution).stdout, 15, "the cancellation")
        again = execlog(home, "retry", line[0], code=1).stdout.splitlines()[1].split("\t")
        assert again[6] == "retry"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
        said = process.stderr.read().splitlines()
        assert [line.split()[1] for line in said] == ["INFO", "INFO"], said  # that it serves, and stops


def test_a_command_of_a_job_is_not_told_the_tokens_of_the_server(execlog, home):
    tokens = "first-token-of-16=admin,second-token-of-16=viewer:ann"
    with serving(home, EXECLOG_TOKENS=tokens) as (_, url):
        assert url
        execlog(home, "jobs", "add", "look", "--shell", "env; echo looked at")
        execution = execlog(home, "jobs", "run", "look", "--no-wait").stdout.strip()
        servers.wait_until(lambda: "looked at" in execlog(home, "show", execution).stdout, 15, "the job's end")
        shown = execlog(home, "show", execution, "--json").stdout
    assert "EXECLOG_HOME=" in shown
    assert "token-of-16" not in shown


def test_ctrl_c_stops_a_server(on_terminal, home):
    with on_terminal(home, "serve", "--port", "0") as terminal:
        terminal.expect(r"http://127.0.0.1:\d+")
        terminal.type("\x03")
        assert terminal.wait() == 0


def test_a_server_logs_where_it_is_and_that_it_stops_with_times(home):
    with serving(home) as (process, url):
        process.terminate()
        _, log = process.communicate(timeout=20)
    began, stopped = log.splitlines()
    assert re.fullmatch(rf"{TIME} INFO execlog \S+ serves {home}, store sqlite:///{home}/execlog.db, at {url}", began)
    assert re.fullmatch(f"{TIME} INFO execlog stops", stopped)


def test_a_server_does_not_start_where_it_must_not(execlog, home, tmp_path):
    assert "token" in execlog(home, "serve", "--host", "0.0.0.0", "--port", "0", code=2).stderr
    with serving(home) as (_, url):
        port = url.rpartition(":")[2]
        assert "cannot listen" in execlog(tmp_path / "other", "serve", "--port", port, code=2).stderr
    (tmp_path / "file").write_text("")
    homeless = execlog(tmp_path / "file" / "home", "serve", "--port", "0", code=2).stderr
    assert f"home: {tmp_path}/file/home is not a folder" in homeless
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "journal").write_text("")
    homeless = execlog(tmp_path / "taken", "serve", "--port", "0", code=2).stderr
    assert f"the home {tmp_path}/taken cannot be written to" in homeless
    assert "Errno" not in homeless
    execlog(home, "--store", f"sqlite:///{tmp_path}/file/x.db", "serve", "--port", "0", code=4)


@pytest.mark.parametrize(
    ("how", "store"), [("threads", ""), ("processes", "sqlite:///here.db"), ("command", "sqlite:///here.db")]
)
def test_what_a_job_records_itself_is_its_child_in_the_same_history(execlog, tmp_path, how, store):
    what = ("--call", "chores:nest", "--launcher", how)
    if how == "command":
        what = ("--shell", f"cd / && {sys.executable} -m execlog run --name inner -- true")
    place = ("--store", store) if store else ()
    shutil.copy(chores.__file__, tmp_path)

    def run(*words):
        return execlog(tmp_path / "home", *place, *words, cwd=tmp_path).stdout

    run("jobs", "add", "outer", *what)
    job = json.loads(run("jobs", "run", "outer", "--json"))
    (inner,) = json.loads(run("list", "--parent", job["id"], "--json"))["executions"]
    assert inner["name"] == "inner"
