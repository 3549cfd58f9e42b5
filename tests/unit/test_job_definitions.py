"""What a job may be, and the error that names what it may not."""

import pytest

from execlog.core.codec import builtins, convert
from execlog.core.errors import InvalidError
from execlog.runner.job import Call, Command, Cron, Fetch, Job, Session
from execlog.runner.validation import check_job

GOOD = {
    "name": "Daily",
    "stocks": ["AAPL", "BRK.B"],
    "run": {"type": "fetch", "source": "feed", "start": "2000-01-01", "end": "2000-12-31"},
    "trigger": {"type": "cron", "expression": "*/5 9-17 * * MON-FRI", "timezone": "America/New_York"},
    "retries": {"limit": 3, "backoff": 1.5},
    "misfire": {"policy": "all", "grace": 5},
    "overlap": "queue",
    "timeout": 60,
    "concurrency": 2,
    "tags": {"team": "data"},
}


def test_a_job_survives_json():
    job = check_job(convert(GOOD, Job))
    assert convert(builtins(job), Job) == job
    assert job.seconds_per_item == 300.0
    assert convert({"name": "n", "run": {"type": "call", "function": "m:f"}}, Job).seconds_per_item is None


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"concurrency": 0},
        {"concurrency": 257},
        {"timeout": 0},
        {"timeout": -1},
        {"overlap": "maybe"},
        {"unknown": 1},
        {"run": {"type": "rocket"}},
        {"run": {"type": "fetch", "days": 0}},
        {"run": {"type": "command", "command": ""}},
        {"run": {"type": "command", "command": []}},
        {"trigger": {"type": "interval", "seconds": 0}},
        {"trigger": {"type": "once", "at": "soon"}},
        {"trigger": {"type": "session", "calendar": "XNYS", "at": "lunch"}},
        {"retries": {"limit": -1}},
        {"retries": {"factor": 0.5}},
        {"jitter": -1},
        {"stocks": ["A"] * 10_001},
    ],
)
def test_what_does_not_fit_is_refused_by_its_shape(fields):
    with pytest.raises(InvalidError):
        convert(GOOD | fields, Job)


@pytest.mark.parametrize(
    ("job", "field"),
    [
        (Job(name=" "), "name"),
        (Job(name="n", id="a/b", stocks=("A",)), "id"),
        (Job(name="n"), "stocks"),
        (Job(name="n", stocks=("A", "A")), "stocks"),
        (Job(name="n", stocks=("A ",)), "stocks"),
        (Job(name="n", stocks=("../A",)), "stocks"),
        (Job(name="n", stocks=("A",), run=Fetch(start="2000-13-01")), "run.start"),
        (Job(name="n", stocks=("A",), run=Fetch(end="20000101")), "run.end"),
        (Job(name="n", stocks=("A",), run=Fetch(start="2001-01-01", end="2000-01-01")), "run.start"),
        (Job(name="n", run=Call("os.system")), "run.function"),
        (Job(name="n", run=Call("os:system()")), "run.function"),
        (Job(name="n", run=Call("a b:c")), "run.function"),
        (Job(name="n", run=Command("  ")), "run.command"),
        (Job(name="n", run=Command(("ls", "a\0b"))), "run.command"),
        (Job(name="n", run=Command("ls", env={"A=B": "c"})), "run.env"),
        (Job(name="n", run=Command("ls", env={"": "c"})), "run.env"),
        (Job(name="n", run=Command("ls"), launcher="processes"), "launcher"),
        (Job(name="n", run=Command("ls"), tags={"": "x"}), "tags"),
        (Job(name="n", run=Command("ls"), trigger=Cron("61 * * * *")), "trigger.expression"),
        (Job(name="n", run=Command("ls"), trigger=Cron("0 0 30 2 *")), "trigger.expression"),
        (Job(name="n", run=Command("ls"), trigger=Cron("* * *")), "trigger.expression"),
        (Job(name="n", run=Command("ls"), trigger=Cron("* * * * *", "Mars/Base")), "trigger.timezone"),
        (Job(name="n", run=Command("ls"), trigger=Cron("* * * * *", "../etc/passwd")), "trigger.timezone"),
        (Job(name="n", run=Command("ls"), trigger=Session("NOPE")), "trigger.calendar"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(job, field):
    with pytest.raises(InvalidError) as caught:
        check_job(job)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("job", "hint"),
    [
        (Job(name="n", run=Command("ls"), trigger=Cron("@reboot")), "and @hourly, @daily, @weekly"),
        (Job(name="n", run=Command("ls"), trigger=Cron("0 0 * * MON-SUN")), "SUN-SAT: every day"),
        (Job(name="n", stocks=("BTC/USD",)), "write e.g. BTC-USD"),
    ],
)
def test_a_refusal_says_what_is_accepted(job, hint):
    with pytest.raises(InvalidError, match=hint):
        check_job(job)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"run": {"type": "rocket"}}, "fetch, call, command"),
        ({"trigger": {"type": "full moon"}}, "cron, interval, once, session"),
        ({"run": {"command": "true"}}, "fetch, call, command"),
        ({"trigger": {"expression": "0 2 * * *"}}, "cron, interval, once, session"),
    ],
)
def test_a_type_that_is_none_is_told_with_those_that_are(fields, words):
    with pytest.raises(InvalidError, match=f"it is one of {words} "):
        convert(GOOD | fields, Job)
