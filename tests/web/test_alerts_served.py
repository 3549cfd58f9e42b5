"""Alerts of a real `execlog serve`, from the failure to the message, through kills of the server."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

import known
from execlog.ledger import Ledger
from servers import wait_until
from webhook import Webhook

SECONDS = 10.0


@pytest.fixture
def hook():
    with Webhook() as started:
        yield started


def ids(messages: list[dict]) -> list[str]:
    return [message["execution"]["id"] for message in messages]


def came(hook: Webhook, count: int) -> None:
    wait_until(lambda: len(hook.took) >= count, SECONDS, f"message {count}")


class Serve:
    """`execlog serve` of a home."""

    def __init__(self, home, hook: Webhook) -> None:
        command = [sys.executable, "-m", "execlog", "--home", str(home), "serve", "--port", "0", "--no-scheduler"]
        environment = known.environment() | {"MY_HOOK": hook.url}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_from_a_failure_to_the_message_through_kills(tmp_path, hook):
    home = tmp_path / "home"
    home.mkdir()
    (home / "execlog.toml").write_text('[alerts.mine]\nwebhook_env = "MY_HOOK"\n')

    def record(name: str, **fields) -> str:
        with Ledger.open(home=home) as ledger:
            return ledger.record(name, kind="job", **fields)

    with Serve(home, hook) as server:
        first = record("nightly", error=ValueError("row 17"))
        came(hook, 1)
        record("nightly")
        came(hook, 2)
        hook.hold()
        second = record("other", error=ValueError("row 18"))
        wait_until(lambda: len(hook.came) == 3, SECONDS, "the message under way")
        server.process.kill()
        server.process.wait()
    third = record("third", error=ValueError("row 19"))
    with Serve(home, hook) as server:
        wait_until(lambda: len(hook.came) == 4, SECONDS, "the message under way again")
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        _, log = server.process.communicate(timeout=10)
        assert " WARNING " not in log
        assert (server.process.returncode, time.monotonic() - begun < 3.0) == (0, True)
    hook.goes_on.set()
    with Serve(home, hook) as server:
        wait_until(lambda: third in ids(hook.took), SECONDS, "the message after the kill")
    assert [one["event"] for one in hook.took[:2]] == ["trouble", "recovered"]
    assert hook.took[0]["execution"]["id"] == first
    assert hook.took[0]["text"].startswith("job nightly failed: ValueError: row 17 http://127.0.0.1:")
    assert {second, third} <= set(ids(hook.took))
