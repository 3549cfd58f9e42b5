"""`execlog alerts`: the rules and how they stand, and a test of them; secrets stay where they are."""

from __future__ import annotations

import json

import msgspec
import pytest
from msgspec import Raw

from execlog.cli.main import main
from execlog.history.alerting import Pending, Standing, State
from webhook import Webhook


@pytest.fixture
def hook():
    with Webhook() as started:
        yield started


@pytest.fixture
def home(tmp_path, hook, monkeypatch):
    monkeypatch.setenv("EXECLOG_TEST_HOOK", hook.url)
    (tmp_path / "execlog.toml").write_text(
        f"""
[alerts.plain]
webhook = "{hook.url}"
kind = "job"
silent = "26h"
[alerts.both]
webhook_env = "EXECLOG_TEST_HOOK"
command = ["sh", "-c", "echo secret-word; exit 3"]
status = ["crashed"]
"""
    )
    return tmp_path


@pytest.fixture
def call(capsys, home):
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["--home", str(home), *arguments])
        done = capsys.readouterr()
        return code, done.out, done.err

    return run


def test_the_rules_and_how_they_stand(call, home, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    standing = Standing(heard_at=0, sent_at=1_767_250_800_000_000, dropped=2, errors={"webhook": "HTTP 500"})
    pending = [Pending("plain", "webhook", Raw(b"{}"))] * 3
    state = State(store="s", change=1, at=0, standings={"plain": standing}, pending=pending)
    (home / "alerts.json").write_bytes(msgspec.json.encode(state))
    code, out, _ = call("alerts", "--json")
    plain, both = json.loads(out)
    assert code == 0
    assert (plain["last_sent"], plain["pending"], plain["dropped"]) == ("2026-01-01T07:00:00Z", 3, 2)
    assert (plain["of"], plain["silent"], plain["last_error"]) == ("kind job", 93_600.0, "webhook: HTTP 500")
    assert (both["last_sent"], both["pending"], both["to"]) == (None, 0, ["$EXECLOG_TEST_HOOK", "sh …"])
    assert both["status"] == ["crashed"]
    _, piped, _ = call("alerts")
    header, first, _ = piped.splitlines()
    assert dict(zip(header.split("\t"), first.split("\t"), strict=True))["silent"] == "93600"
    _, table, _ = call("alerts", "--table")
    assert "silent for 1 d 2 h" in table
    assert "nothing is sent now: `execlog serve` is not running here" in table
    assert "nobody-sees" not in out + piped + table
    assert "secret-word" not in out + piped + table


def test_no_rules(call, home):
    (home / "execlog.toml").write_text("")
    assert call("alerts", "--table")[:2] == (0, f"No alerts. They are tables [alerts.NAME] in {home}/execlog.toml\n")
    assert call("alerts", "--json")[:2] == (0, "[]\n")


def test_a_test_sends_now_and_says_what_happened(call, hook):
    code, out, _ = call("alerts", "test", "plain")
    host = hook.url.partition("/services")[0]
    assert (code, out) == (0, f"{host}/… sent: HTTP 200 OK\n")
    assert hook.took[0]["text"] == "job test failed: this is a test of the alert, nothing went wrong"
    code, out, _ = call("alerts", "test", "both")
    assert (code, out) == (
        1,
        "$EXECLOG_TEST_HOOK sent: HTTP 200 OK\nsh … not sent: exit code 3: secret-word\n",
    )
    hook.answers = [(403, {})]
    code, out, _ = call("alerts", "test", "plain", "--json")
    assert (code, json.loads(out)) == (
        1,
        [{"way": "webhook", "to": f"{host}/…", "sent": False, "said": "HTTP 403 Forbidden: no …"}],
    )
    assert json.loads(call("alerts", "--json", "test", "plain")[1])[0]["sent"]


def test_an_alert_that_is_none_and_one_that_cannot_be_used(call, home, monkeypatch):
    code, _, err = call("alerts", "test", "plan")
    assert (code, err) == (3, "execlog: there is no alert 'plan'; did you mean plain?\n")
    assert "`execlog alerts` shows those there are" in call("alerts", "test", "x")[2]
    monkeypatch.delenv("EXECLOG_TEST_HOOK")
    code, _, err = call("alerts", "test", "both")
    assert (code, err) == (2, "execlog: alerts.both: webhook_env: the environment has no 'EXECLOG_TEST_HOOK'\n")
    assert call("alerts")[0] == 0
    (home / "alerts.json").write_text("{")
    code, _, err = call("alerts")
    assert (code, "alerts.json: " in err, "with the file removed" in err) == (2, True, True)
    (home / "execlog.toml").write_text("[alerts.plain]\n")
    assert call("alerts")[::2] == (
        2,
        "execlog: alerts.plain: it goes nowhere: a webhook, a webhook_env or a command is needed\n",
    )


def test_doctor_looks_at_alerts(call, home, monkeypatch):
    def findings() -> list[tuple[str, str]]:
        found = json.loads(call("doctor", "--json")[1])["findings"]
        return [(one["state"], one["text"]) for one in found if one["check"] == "alerts"]

    assert findings() == [("ok", "plain, both (`execlog alerts` shows what was sent)")]
    monkeypatch.delenv("EXECLOG_TEST_HOOK")
    assert findings()[0] == (
        "warning",
        "alerts.both: webhook_env: the environment has no 'EXECLOG_TEST_HOOK'",
    )
    (home / "execlog.toml").write_text('[alerts.plain]\ncommand = ["x"]\nstatus = ["faild"]\n')
    [(state, text)] = findings()
    assert (state, "alerts.plain: Invalid enum value 'faild'; it is one of bad, " in text) == ("bad", True)
    (home / "execlog.toml").write_text("")
    assert findings() == []
