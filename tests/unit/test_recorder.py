"""The caller's side: one short path and one careful one, which must say the same; secrets stay out on both."""

from __future__ import annotations

import signal
import threading
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execlog.core.ids import IdMaker
from execlog.core.model import Status
from execlog.core.redact import Redactor
from execlog.core.settings import load
from execlog.recorder.recorder import Recorder
from journals import TIMES, said


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"rows": 3, "duration": 0.5},
        {"input": "select 1", "metadata": {"page": 1}},
        {"output": [1], "params": {"a": "b"}},
    ],
    ids=["bare", "figures", "text", "nested"],
)
def test_the_short_path_says_what_the_careful_one_says(recorder, more):
    fields = {"kind": "query", "subject": "s", "actor": "a", "engine": "e", "namespace": "n"} | TIMES | more
    for _ in range(3):
        recorder.record("load", **fields)
    first, *others = said(recorder)
    for event in others:
        assert msgspec.structs.replace(event, id=first.id, at=first.at) == first
    assert first.status is Status.SUCCEEDED
    assert first.rows == more.get("rows")


secrets = st.sampled_from(
    [
        "password=hunter2",
        "api_key: hunter2",
        "Authorization: Bearer hunter2",
        "postgresql://u:hunter2@host/db",
        "token='hunter2'",
    ]
)


@given(
    secret=secrets,
    where=st.sampled_from(["input", "output", "metadata", "params", "name", "subject"]),
    times=st.booleans(),
)
def test_secrets_stay_out_on_both_paths(secret, where, times):
    # One recorder for all: what was seen clean before must not open the way for a secret.
    for _ in range(2):
        fields = dict(TIMES) if times else {}
        if where in {"metadata", "params"}:
            fields[where] = {"text": secret, "deep": {"password": "hunter2"}, "password": "hunter2"}
        elif where != "name":
            fields[where] = secret
        SHARED.append(fields)
        SHARED_RECORDER.record(secret if where == "name" else "load", **fields)
    assert b"hunter2" not in DATA[-1] if DATA else True


SHARED: list[dict] = []
DATA: list[bytes] = []


class Catching(Recorder):
    """A recorder that writes nowhere."""

    def __init__(self) -> None:
        self.caught: list[bytes] = []
        super().__init__(load({}, home="/nonexistent"), load({}, home="/nonexistent").home)
        self._append = self._catch

    def _catch(self, payload, worth):
        DATA.append(payload)
        return True


SHARED_RECORDER = Catching()


def test_a_word_that_is_clean_as_a_text_is_no_clean_key():
    redactor = Redactor()
    for text in ("token", "a", "password"):
        redactor.is_clean(text)
    assert not redactor.is_clean({"token": "x"})
    assert not redactor.is_clean({"password": "x"})


def test_a_status_still_open_takes_the_careful_path(recorder):
    for _ in range(3):
        recorder.record("load", status="running", origin=recorder.origin, **TIMES)
    assert len(recorder.open) == 3
    assert all(event.status is Status.RUNNING for event in said(recorder))


def test_stamps_are_strictly_increasing_when_the_clock_goes_back(recorder, monkeypatch):
    times = iter([10**18, 10**18 - 3600 * 10**9, 10**18, 10**18 + 10**4])
    monkeypatch.setattr("execlog.recorder.recorder._time_ns", lambda: next(times))
    stamps = [recorder.stamp() for _ in range(4)]
    assert stamps == sorted(set(stamps))


def test_a_signal_handler_may_record_the_first_record_while_the_first_is_recorded(tmp_path):
    root = tmp_path / "journal" / "store"
    for turn in range(40):
        recorder = Recorder(load({}, home=str(tmp_path)), root)
        before = signal.signal(signal.SIGALRM, lambda *_: recorder.record("handler"))  # noqa: B023 - it runs within the same turn
        signal.setitimer(signal.ITIMER_REAL, 0.00005 + turn * 0.00004)
        recorder.record("main")
        deadline = time.monotonic() + 20  # the time-out of tests would be a signal of the same kind
        while len(said(recorder)) < 2 and time.monotonic() < deadline:
            pass
        signal.signal(signal.SIGALRM, before)
        assert recorder.refused == {}
        assert {event.name for event in said(recorder)} == {"main", "handler"}
        recorder.detach().close(remove=True)
    assert list(root.iterdir()) == []


def test_a_signal_between_counting_an_attempt_and_naming_its_folder_costs_nothing(recorder):
    class Interrupted:
        number = -1

        def __next__(self):
            self.number = mine = self.number + 1
            if mine == 0:
                recorder.record("handler")
            return mine

    recorder._attempts = Interrupted()
    recorder.record("main")
    assert recorder.refused == {}
    assert {event.name for event in said(recorder)} == {"main", "handler"}


def test_ids_are_unique_when_threads_and_handlers_ask_at_once():
    maker, found = IdMaker(), []

    def ask(number: int = 3000) -> None:
        found.extend(maker() for _ in range(number))

    before = signal.signal(signal.SIGALRM, lambda *_: ask(20))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    threads = [threading.Thread(target=ask, args=(20_000,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        ask()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    for thread in threads:
        thread.join()
    assert len(found) == len(set(found)) > 100_000
