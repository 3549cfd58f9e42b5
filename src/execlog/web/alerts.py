"""The sender of alerts: a thread that follows the store's changes, and one for each way messages go out.

What is to be sent is kept in `{home}/alerts.json` before it is sent, with the change number up to which the store was
looked at: so a restart loses nothing, and repeats at most the message it cut off. Of several servers of one home one
sends, and when it is gone another.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Raw

from execlog.core.errors import ExeclogError
from execlog.core.model import Execution, Key
from execlog.core.redact import Redactor
from execlog.history.alerting import MOST_PENDING, Message, Pending, Standing, State, is_trouble, judge, judge_silence
from execlog.history.alerts import Rule, Way
from execlog.history.reason import explained
from execlog.history.view import to_json
from execlog.ledger import Ledger
from execlog.recorder.lock import FileLock, holder
from execlog.recorder.sidecar import write_durably
from execlog.web import delivery
from execlog.web.news import PAGE, load, newest

POLL_SECONDS = 0.5
_EXPLAINED = 100
"""Executions whose items are read in one step."""
SETTLE_SECONDS = 30.0
"""After a start, silence is not judged: what ended meanwhile may still be in journals."""
SAVE_SECONDS = 5.0
"""How far the place may be behind in the file, where nothing else changed."""
FIRST_WAIT, LAST_WAIT = 1.0, 300.0
COMMAND_TRIES = 5
_log = logging.getLogger("execlog.alerts")


def state_file(home: Path) -> Path:
    """Where the state is kept."""
    return home / "alerts.json"


def sends(home: Path) -> bool:
    """Whether some server of this home sends alerts now."""
    return holder(home / "alerts.lock") is not None


def read_state(home: Path) -> State | None:
    """The state that is kept, None where there is none. Raises ValueError for a file that is none of ours."""
    try:
        return msgspec.json.decode(state_file(home).read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise ValueError(f"{state_file(home)}: {error}") from error


class Alerts:
    """Sends the alerts of some rules while it runs."""

    def __init__(self, ledger: Ledger, rules: Mapping[str, Rule]) -> None:
        """Raises SettingsError where a rule's webhook is not in the environment."""
        self._ledger, self._rules = ledger, rules
        self._pages: str | None = None
        self._trouble = tuple({status for rule in rules.values() for status in rule.statuses})
        self._urls = {rule.name: rule.address() for rule in rules.values() if "webhook" in rule.ways}
        self._home = ledger.settings.home
        self._redactor = Redactor(ledger.settings.redact)
        self._lock = FileLock(self._home / "alerts.lock")
        self._state: State | None = None
        self._guard = threading.Condition()
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._settled_at = self._saved_at = 0.0
        self._complaint = ""

    def start(self, pages: str | None = None) -> None:
        """Begin with what happens from now on, or with what has happened since the last run.

        `pages` is where the server's pages are, if that is known.
        """
        if not self._rules:
            # Who is told again one day is told of what happens then, not of all that happened in between.
            with contextlib.suppress(OSError):
                state_file(self._home).unlink(missing_ok=True)
            return
        self._pages = pages
        self._try()
        self._threads = [threading.Thread(target=self._follow, name="execlog-alerts", daemon=True)]
        for rule in self._rules.values():
            self._threads += [
                threading.Thread(target=self._deliver, args=(rule, way), name=f"execlog-alert-{way}", daemon=True)
                for way in rule.ways
            ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 0.5) -> None:
        """End it; a message that is not through within `timeout` seconds is sent again by the next server."""
        with self._guard:
            self._stopping.set()
            self._wake.set()
            self._guard.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        with self._guard:
            if self._state is not None and not self._closed:
                self._save()
            self._closed = True
            self._lock.release()

    def _follow(self) -> None:
        stop = self._ledger.feed.listen(lambda _: self._wake.set())
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                if not self._try():
                    self._wake.wait(POLL_SECONDS)
        finally:
            stop()

    def _try(self) -> bool:
        """Whether there was something new. What goes wrong is said once, and tried again."""
        try:
            if not self._lock.acquire():
                return False
            if self._state is None:
                self._begin()
            found = self._look()
        except (ExeclogError, OSError) as error:
            self._say(f"alerts wait: {error}")
            return False
        except Exception as error:  # noqa: BLE001 - said below; a thread that ends would leave trouble untold
            self._say(f"alerts wait, which should not be: {type(error).__name__}: {error}")
            return False
        self._complaint = ""
        return found

    def _say(self, complaint: str) -> None:
        if complaint != self._complaint:
            _log.warning("%s", complaint)
        self._complaint = complaint

    def _begin(self) -> None:
        """Take up the state that was kept, or begin at now."""
        store, now, place = self._ledger.store, self._ledger.clock.now(), self._ledger.root.name
        last = newest(store)
        try:
            state = read_state(self._home)
        except ValueError as error:
            _log.warning("alerts begin anew, with what happens from now on: %s", error)
            state = None
        if state is None or state.store != place or state.change > last:
            if state is not None:
                _log.warning("alerts begin anew, with what happens from now on: the store is another one")
            state = State(store=place, change=last, at=now)
        state.standings = {name: state.standings.get(name) or Standing(heard_at=now) for name in self._rules}
        ways = {(rule.name, way) for rule in self._rules.values() for way in rule.ways}
        state.pending = [pending for pending in state.pending if (pending.alert, pending.way) in ways]
        state.troubles = {
            place: found for place, found in state.troubles.items() if place.partition("\n")[0] in self._rules
        }
        self._settled_at = time.monotonic() + SETTLE_SECONDS
        with self._guard:
            self._state = state
            self._save()
            self._guard.notify_all()

    def _look(self) -> bool:
        """Whether something happened in the store; what is to be said of it is on its way then."""
        state, store = self._state, self._ledger.store
        assert state is not None  # noqa: S101 - `_try` begins first
        changes = store.changes(state.change, limit=PAGE)
        if changes and changes[0].number > state.change + 1:
            _log.warning(
                "alerts missed %d changes: the store keeps them no longer", changes[0].number - state.change - 1
            )
        ordered = self._changed(state, [change.key for change in changes if not change.deleted])
        now = self._ledger.clock.now()
        with self._guard:
            said = self._judged(state, ordered, now, is_caught_up=len(changes) < PAGE)
            state.at = now
            if changes:
                state.change = changes[-1].number
            self._enqueue(state, said)
            if said or (changes and time.monotonic() - self._saved_at > SAVE_SECONDS):
                self._save()
                self._guard.notify_all()
        return bool(changes)

    def _changed(self, state: State, keys: Sequence[Key]) -> list[Execution]:
        """What may have to be judged of these, in the order it ended; trouble with the items that say why."""
        store, rules = self._ledger.store, self._rules.values()
        keys = list(dict.fromkeys(keys))
        found = load(store, keys, self._trouble) if self._trouble else {}
        if found or any(rule.silent for rule in rules) or _has_open(state):
            found = load(store, keys)
        trouble = [one for one in found.values() if any(is_trouble(rule, one) for rule in rules)]
        for at in range(0, len(trouble), _EXPLAINED):
            found |= {one.key: one for one in explained(store, trouble[at : at + _EXPLAINED])}
        return sorted(found.values(), key=lambda one: one.at if one.ended_at is None else one.ended_at)

    def _judged(self, state: State, ordered: list[Execution], now: int, *, is_caught_up: bool) -> list[Message]:
        rules = self._rules.values()
        said = [judge(rule, state, one, now, pages=self._pages) for one in ordered for rule in rules]
        if is_caught_up and time.monotonic() > self._settled_at:
            said += [judge_silence(rule, state, now) for rule in rules]
        return [message for message in said if message is not None]

    def _enqueue(self, state: State, said: Sequence[Message]) -> None:
        """Put the messages on each of their ways; the oldest ones there make room."""
        for rule in self._rules.values():
            mine = [message for message in said if message.alert == rule.name]
            bodies = [Raw(to_json(message)) for message in mine[-MOST_PENDING:]]
            for way in rule.ways if mine else ():
                waiting = [one for one in state.pending if (one.alert, one.way) == (rule.name, way)]
                others = [one for one in state.pending if (one.alert, one.way) != (rule.name, way)]
                over = max(len(waiting) + len(mine) - MOST_PENDING, 0)
                if over:
                    first = msgspec.json.decode(waiting[0].body)["text"] if waiting else mine[0].text
                    self._give_up(state, rule.name, way, over, f"{MOST_PENDING} newer ones wait", first)
                waiting += [Pending(rule.name, way, body) for body in bodies]
                state.pending = [*others, *waiting[-MOST_PENDING:]]

    def _give_up(self, state: State, alert: str, way: Way, count: int, why: str, text: str) -> None:
        state.standings[alert].dropped += count
        what = "a message is given up" if count == 1 else f"{count} messages are given up"
        _log.warning("alert %s (%s): %s: %s; the first said: %s", alert, way, what, why, text)

    def _deliver(self, rule: Rule, way: Way) -> None:
        """Send the messages of one way, one after another, each until it is through or has to be given up."""
        tries = 0
        while (pending := self._next(rule.name, way)) is not None:
            outcome = self._send(rule, way, bytes(pending.body))
            if self._settle(pending, outcome, tries + 1):
                tries = 0
                continue
            tries += 1
            wait = min(FIRST_WAIT * 2 ** min(tries - 1, 20), LAST_WAIT) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
            self._stopping.wait(outcome.wait or wait)  # who asks for no wait at all is not to be flooded

    def _send(self, rule: Rule, way: Way, body: bytes) -> delivery.Outcome:
        if way == "webhook":
            return delivery.post(self._urls[rule.name], body)
        try:
            return delivery.run(rule.command, body, stopping=self._stopping)
        except OSError as error:  # a full disk, say: the thread must outlive it
            return delivery.Outcome(is_sent=False, said=str(error))

    def _next(self, alert: str, way: Way) -> Pending | None:
        """The next message of one way, waited for; None when the server stops."""
        while True:
            with self._guard:
                waiting = self._state.pending if self._state is not None else []
                if self._stopping.is_set():
                    return None
                for pending in waiting:
                    if (pending.alert, pending.way) == (alert, way):
                        return pending
                self._guard.wait()

    def _settle(self, pending: Pending, outcome: delivery.Outcome, tries: int) -> bool:
        """Whether the message is done with: it is through, or has to be given up."""
        with self._guard:
            state = self._state
            if state is None or self._closed or (self._stopping.is_set() and not outcome.is_sent):
                return False
            standing, said = state.standings[pending.alert], self._redactor.text(outcome.said)
            is_over = outcome.is_refused or (pending.way == "command" and tries >= COMMAND_TRIES)
            if outcome.is_sent or is_over:
                state.pending = [one for one in state.pending if one is not pending]
            if outcome.is_sent:
                standing.sent_at = self._ledger.clock.now()
                standing.errors.pop(pending.way, None)
            else:
                standing.errors[pending.way] = said
                if is_over:
                    text = msgspec.json.decode(pending.body)["text"]
                    self._give_up(state, pending.alert, pending.way, 1, said, text)
                elif tries == 1:
                    _log.warning("alert %s (%s): not sent, and tried again: %s", pending.alert, pending.way, said)
            self._save()
            return outcome.is_sent or is_over

    def _save(self) -> None:
        """Keep the state; the guard is held."""
        if self._closed:
            return
        self._saved_at = time.monotonic()
        try:
            write_durably(state_file(self._home), msgspec.json.encode(self._state))
        except OSError as error:
            _log.warning("alerts: what is to be sent cannot be kept, and would be lost with this process: %s", error)


def _has_open(state: State) -> bool:
    return any(trouble.is_open for found in state.troubles.values() for trouble in found.values())
