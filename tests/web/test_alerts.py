"""Alerts as they are sent: over real HTTP and to real commands, kept until they are through."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from execlog.core.errors import SettingsError
from execlog.core.model import Error, Event, Status
from execlog.history.alerts import load_alerts, rule_of
from execlog.ledger import Ledger
from execlog.store.base import Change
from execlog.web import alerts, delivery
from execlog.web.alerts import Alerts, read_state
from execlog.web.server import Server
from servers import free_port, wait_until
from webhook import Webhook

SECONDS = 10.0


@pytest.fixture
def hook():
    with Webhook() as started:
        yield started


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path / 'history.db'}", home=tmp_path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(alerts, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(alerts, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(alerts, "SETTLE_SECONDS", 0.0)


@contextlib.contextmanager
def sending(ledger: Ledger, **tables: dict):
    """Alerts of these tables while the context lasts."""
    sender = Alerts(ledger, {name: rule_of(name, table) for name, table in tables.items()})
    sender.start("http://here:1")
    try:
        yield sender
    finally:
        sender.stop()


def happen(ledger: Ledger, id_: str, status: Status = Status.FAILED, **fields) -> None:
    """Put an execution that ended now into the store."""
    now = time.time_ns() // 1000
    error = None if status is Status.SUCCEEDED else Error("E", "bad", fingerprint="f")
    said = {"kind": "job", "subject": "nightly", "at": now, "ended_at": now, "status": status, "error": error} | fields
    ledger.store.apply([Event(id=id_, **said)])


def ids(messages: list[dict]) -> list[str]:
    return [message["execution"]["id"] for message in messages]


def came(hook: Webhook, count: int) -> None:
    wait_until(lambda: len(hook.took) >= count, SECONDS, f"message {count}")


def kept(ledger: Ledger) -> alerts.State:
    state = read_state(ledger.settings.home)
    assert state is not None
    return state


def settled(ledger: Ledger) -> None:
    wait_until(lambda: not kept(ledger).pending, SECONDS, "sending what waits")


def test_trouble_and_recovery_are_posted(ledger, hook):
    happen(ledger, "old")
    with sending(ledger, mine={"webhook": hook.url}):
        happen(ledger, "a")
        came(hook, 1)
        happen(ledger, "b")
        happen(ledger, "c", Status.SUCCEEDED)
        came(hook, 2)
        settled(ledger)
        standing = kept(ledger).standings["mine"]
    assert [(one["event"], one["execution"]["id"], one["held_back"]) for one in hook.took] == [
        ("trouble", "a", 0),
        ("recovered", "c", 1),
    ]
    assert hook.took[0]["text"] == "job nightly failed: E: bad http://here:1/executions/a?kind=job"
    assert (standing.sent_at is not None, standing.errors) == (True, {})


def test_what_is_kept_to_be_sent_is_for_its_user_alone(ledger, hook, tmp_path):
    tmp_path.chmod(0o755)  # as systemd makes a StateDirectory
    with sending(ledger, jobs={"webhook": hook.url}):
        happen(ledger, "a")
        wait_until(lambda: len(hook.took) == 1, SECONDS, "sending")
    assert read_state(tmp_path) is not None
    assert [file.name for file in tmp_path.iterdir() if file.is_file() and file.stat().st_mode & 0o077] == []


def test_a_restart_neither_loses_nor_repeats(ledger, hook):
    rule = {"webhook": hook.url, "every": "0s"}
    with sending(ledger, mine=rule):
        happen(ledger, "a")
        came(hook, 1)
    happen(ledger, "b")
    with sending(ledger, mine=rule):
        came(hook, 2)
    with sending(ledger, mine=rule):
        happen(ledger, "c", Status.SUCCEEDED)
        came(hook, 3)
    assert ids(hook.took) == ["a", "b", "c"]


def test_a_message_that_was_not_answered_is_sent_again_after_the_restart(ledger, hook):
    hook.hold()
    with sending(ledger, mine={"webhook": hook.url}):
        happen(ledger, "a")
        wait_until(lambda: hook.came, SECONDS, "the first try")
    assert len(kept(ledger).pending) == 1
    hook.goes_on.set()
    with sending(ledger, mine={"webhook": hook.url}):
        wait_until(lambda: len(hook.came) >= 2, SECONDS, "the second try")
        settled(ledger)
    assert set(ids(hook.came)) == {"a"}


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_what_may_pass_is_tried_again(ledger, hook, status):
    hook.answers = [(status, {}), (status, {})]
    with sending(ledger, mine={"webhook": hook.url}):
        happen(ledger, "a")
        came(hook, 1)
    assert ids(hook.came) == ["a", "a", "a"]


@pytest.mark.parametrize("status", [400, 404, 410, 301])
def test_what_is_refused_is_given_up_and_said(ledger, hook, status, caplog):
    hook.answers = [(status, {"Location": hook.url})]
    with sending(ledger, mine={"webhook": hook.url, "every": "0s"}):
        happen(ledger, "a")
        happen(ledger, "b")
        came(hook, 1)
        settled(ledger)
        assert kept(ledger).standings["mine"].dropped == 1
    assert ids(hook.came) == ["a", "b"]
    [said] = [record.getMessage() for record in caplog.records]
    assert f"alert mine (webhook): a message is given up: HTTP {status} " in said
    assert "job nightly failed: E: bad" in said
    assert "nobody" not in caplog.text
    assert "nor-this" not in caplog.text


def test_retry_after_is_listened_to(hook):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90))
    hook.answers = [(429, {"Retry-After": "7"}), (503, {"Retry-After": later}), (429, {"Retry-After": "999999"})]
    waits = [delivery.post(hook.url, b"{}").wait for _ in range(4)]
    assert (waits[0], 85 < waits[1] <= 90, waits[2], waits[3]) == (7, True, delivery.LONGEST_WAIT, None)


def test_retry_after_is_waited_for(ledger, hook, monkeypatch):
    monkeypatch.setattr(alerts, "FIRST_WAIT", 60.0)
    hook.answers = [(429, {"Retry-After": "1"})]
    with sending(ledger, mine={"webhook": hook.url}):
        begun = time.monotonic()
        happen(ledger, "a")
        came(hook, 1)
        assert 1.0 <= time.monotonic() - begun < 30


def test_a_retry_after_of_nothing_is_no_wish_to_be_flooded(ledger, hook, monkeypatch):
    monkeypatch.setattr(alerts, "FIRST_WAIT", 0.1)
    hook.answers = [(429, {"Retry-After": "0"})] * 3
    with sending(ledger, mine={"webhook": hook.url}):
        begun = time.monotonic()
        happen(ledger, "a")
        came(hook, 1)
        assert time.monotonic() - begun >= 0.35


def test_a_dead_and_a_slow_webhook_hold_up_nobody_and_no_shutdown(ledger, hook, caplog):
    dead = f"http://127.0.0.1:{free_port()}/secret-path"
    with Webhook() as slow:
        slow.hold()
        sender = Alerts(
            ledger,
            {
                name: rule_of(name, {"webhook": url})
                for name, url in (("dead", dead), ("slow", slow.url), ("mine", hook.url))
            },
        )
        sender.start()
        happen(ledger, "a")
        came(hook, 1)
        happen(ledger, "b", Status.SUCCEEDED)
        came(hook, 2)
        wait_until(lambda: slow.came and kept(ledger).standings["dead"].errors, SECONDS, "tries")
        begun = time.monotonic()
        sender.stop()
        assert time.monotonic() - begun < 2.0
    waiting = [(one.alert, json.loads(bytes(one.body))["event"]) for one in kept(ledger).pending]
    assert sorted(waiting) == [(name, event) for name in ("dead", "slow") for event in ("recovered", "trouble")]
    assert "ConnectionRefusedError" in kept(ledger).standings["dead"].errors["webhook"]
    assert [record.getMessage() for record in caplog.records if "dead" in record.getMessage()] == [
        "alert dead (webhook): not sent, and tried again: ConnectionRefusedError: [Errno 111] Connection refused"
    ]


def test_an_answer_is_not_waited_for_without_end():
    with Webhook() as hook:
        hook.hold()
        assert delivery.post(hook.url, b"{}", timeout=0.2) == delivery.Outcome(
            is_sent=False, said="no answer within 0.2s"
        )


def test_the_oldest_that_wait_make_room_and_are_named(ledger, monkeypatch, caplog):
    monkeypatch.setattr(alerts, "MOST_PENDING", 3)
    monkeypatch.setattr(alerts, "FIRST_WAIT", 60.0)
    with sending(ledger, mine={"webhook": f"http://127.0.0.1:{free_port()}/x", "every": "0s"}):
        for number in range(5):
            happen(ledger, f"run-{number}", subject=f"job {number}")
        wait_until(lambda: kept(ledger).standings["mine"].dropped == 2, SECONDS, "dropping")
        assert ids([json.loads(bytes(one.body)) for one in kept(ledger).pending]) == ["run-2", "run-3", "run-4"]
    assert "given up: 3 newer ones wait; the first said: job job 0 failed: E: bad" in caplog.text


def test_a_command_gets_the_message(ledger, tmp_path):
    program = 'cat > told.json; echo "$EXECLOG_ALERT_NAME $EXECLOG_ALERT_EVENT $EXECLOG_ALERT_SUBJECT" > told.txt'
    with sending(ledger, mine={"command": ["sh", "-c", f"cd {tmp_path}; {program}"]}):
        happen(ledger, "a", error=Error("E", "x" * 250_000))  # more than an environment takes
        wait_until((tmp_path / "told.txt").exists, SECONDS, "the command")
        settled(ledger)
    told = json.loads((tmp_path / "told.json").read_text())
    assert (told["execution"]["id"], len(told["execution"]["error"]["message"])) == ("a", 8_000)
    assert (tmp_path / "told.txt").read_text() == "mine trouble nightly\n"


def test_a_command_that_fails_is_tried_a_few_times(ledger, monkeypatch, caplog):
    monkeypatch.setattr(alerts, "COMMAND_TRIES", 2)
    with sending(ledger, mine={"command": ["sh", "-c", "echo no mail today, token=hunter2 >&2; exit 75"]}):
        happen(ledger, "a")
        wait_until(lambda: kept(ledger).standings["mine"].dropped == 1, SECONDS, "giving up")
    assert kept(ledger).standings["mine"].errors == {"command": "exit code 75: no mail today, token=[redacted]"}
    assert "not sent, and tried again: exit code 75: no mail today" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_command_is_ended_at_its_time_and_when_the_server_stops(tmp_path):
    stuck = ["sh", "-c", "sleep 60 & echo $! >> pids; wait"]
    body = json.dumps(
        {"alert": "a", "execution": None} | dict.fromkeys(("event", "text", "reason", "held_back", "url"))
    )
    with contextlib.chdir(tmp_path):
        ended = delivery.run(stuck, body.encode(), stopping=threading.Event(), timeout=0.3)
        assert ended.said == "it did not end within 0.3s"
        stopping = threading.Event()
        stopping.set()
        assert delivery.run(stuck, body.encode(), stopping=stopping).said == "the server stops"
        missing = delivery.run(["no-such-program"], body.encode(), stopping=threading.Event())
        assert (missing.is_sent, "no-such-program" in missing.said) == (False, True)
        deaf = delivery.run(["true"], body.encode() + b" " * 2**20, stopping=threading.Event())
        assert deaf.is_sent, "a command need not read"


def test_silence_is_told(ledger, hook):
    with sending(ledger, mine={"webhook": hook.url, "silent": "1s"}):
        came(hook, 1)
        happen(ledger, "a", Status.SUCCEEDED)
        came(hook, 2)
    assert [one["event"] for one in hook.took[:2]] == ["silent", "recovered"]


def test_changes_that_are_kept_no_longer_are_said_and_passed(ledger, hook, caplog, monkeypatch):
    with sending(ledger, mine={"webhook": hook.url}):
        happen(ledger, "a")
        came(hook, 1)
    happen(ledger, "b", Status.SUCCEEDED)
    happen(ledger, "c", subject="other")
    store, real = ledger.store, ledger.store.changes
    last = real(-1)[-1].number

    def trimmed(after: int, *, limit: int = 1000) -> list[Change]:
        return real(max(after, last - 1) if after >= 0 else after, limit=limit)

    monkeypatch.setattr(type(store), "changes", lambda _, after, *, limit=1000: trimmed(after, limit=limit))
    with sending(ledger, mine={"webhook": hook.url}):
        came(hook, 2)
    assert ids(hook.took) == ["a", "c"]
    assert "alerts missed 1 changes: the store keeps them no longer" in caplog.text


@pytest.mark.parametrize("content", [b"{", b'{"store": "another", "change": 7, "at": 0}'])
def test_a_state_that_is_none_of_ours_is_said_and_begun_anew(ledger, hook, content, caplog):
    (ledger.settings.home / "alerts.json").write_bytes(content)
    happen(ledger, "old")
    with sending(ledger, mine={"webhook": hook.url}):
        happen(ledger, "new", subject="other")
        came(hook, 1)
    assert ids(hook.took) == ["new"]
    assert "alerts begin anew, with what happens from now on" in caplog.text


def test_what_an_alert_that_is_gone_wanted_to_say_is_dropped(ledger, hook):
    with sending(ledger, gone={"webhook": f"http://127.0.0.1:{free_port()}/x"}):
        happen(ledger, "a")
        wait_until(lambda: kept(ledger).pending, SECONDS, "keeping")
    with sending(ledger, mine={"webhook": hook.url}):
        state = kept(ledger)
    assert (state.pending, state.troubles, list(state.standings)) == ([], {}, ["mine"])


def test_of_two_servers_of_a_home_one_sends_and_then_the_other(ledger, hook):
    rule = {"webhook": hook.url, "every": "0s"}
    with sending(ledger, mine=rule) as first, sending(ledger, mine=rule):
        happen(ledger, "a")
        came(hook, 1)
        first.stop()
        happen(ledger, "b")
        came(hook, 2)
        settled(ledger)
    assert ids(hook.took) == ["a", "b"]


def test_a_store_that_is_away_is_waited_for(ledger, hook, caplog, monkeypatch):
    with sending(ledger, mine={"webhook": hook.url}):
        real, away = alerts.load, threading.Event()

        def failing(*arguments):
            away.set()
            raise OSError("the store is away")

        monkeypatch.setattr(alerts, "load", failing)
        happen(ledger, "a")
        assert away.wait(SECONDS)
        monkeypatch.setattr(alerts, "load", real)
        came(hook, 1)
    assert [record.getMessage() for record in caplog.records].count("alerts wait: the store is away") == 1


def test_a_server_does_not_start_with_alerts_it_cannot_send(tmp_path, ledger):
    (tmp_path / "execlog.toml").write_text('[alerts.mine]\nwebhook_env = "EXECLOG_NO_SUCH_HOOK"\n')
    with pytest.raises(SettingsError, match=r"alerts\.mine: webhook_env: the environment has no"):
        Server(ledger)
    assert load_alerts(tmp_path)["mine"].ways == ("webhook",)


def test_without_alerts_nothing_is_started_or_taken_up_later(ledger, hook):
    with sending(ledger, mine={"webhook": hook.url}):
        pass
    before = threading.active_count()
    with sending(ledger):
        assert threading.active_count() == before
        happen(ledger, "meanwhile")
    with sending(ledger, mine={"webhook": hook.url}):
        happen(ledger, "new", subject="other")
        came(hook, 1)
    assert ids(hook.took) == ["new"]


def test_nothing_that_is_said_shows_a_webhook(ledger, hook, caplog):
    caplog.set_level(logging.DEBUG)
    hook.answers = [(500, {})]
    with sending(ledger, mine={"webhook": hook.url}):
        happen(ledger, "a")
        came(hook, 1)
        settled(ledger)
    text = caplog.text + (ledger.settings.home / "alerts.json").read_text()
    assert "tried again: HTTP 500 Internal Server Error: no …" in caplog.text
    assert "nobody-sees" not in text
