"""Alerts: what is said of executions that change, and what is wrong with a table that describes none."""

from __future__ import annotations

import msgspec
import pytest

from execlog.core.errors import SettingsError
from execlog.core.model import Error, Execution, Item, Status
from execlog.history import alerting
from execlog.history.alerting import Message, Standing, State, judge, judge_silence, sample
from execlog.history.alerts import load_alerts, rule_of
from execlog.store.memory import MemoryStore
from histories import FAILURE, SECOND, T0, mixed

HOUR = 3_600 * SECOND
PLACE = {"webhook": "https://hooks.example/services/T0/B0/secret"}


class Desk:
    """A rule, its state, and a clock."""

    def __init__(self, **table):
        self.rule = rule_of("mine", PLACE | table)
        self.now = T0
        self.state = State(store="s", change=0, at=T0, standings={"mine": Standing(heard_at=T0)})
        self.count = 0

    def see(self, one: Execution) -> Message | None:
        said = judge(self.rule, self.state, one, self.now, pages="http://here:1")
        # What is kept must say the same after a restart.
        self.state = msgspec.json.decode(msgspec.json.encode(self.state), type=State)
        self.state.at = self.now
        return said

    def run(self, status: Status = Status.FAILED, after: float = 60, **fields) -> Message | None:
        """What is said of one more execution that ended so, so many seconds later."""
        self.now += int(after * SECOND)
        self.count += 1
        error = None if status is Status.SUCCEEDED else Error("E", "row 17: bad", fingerprint="f1")
        said = {"kind": "job", "subject": "nightly", "ended_at": self.now, "error": error}
        said |= {"id": f"run-{self.count}", "at": self.now, "created_at": self.now, "status": status} | fields
        return self.see(Execution(**said))


def event(message: Message | None) -> str | None:
    return None if message is None else message.event


def test_trouble_is_told_with_its_reason_and_a_link():
    message = Desk().run(namespace="shop", id="a/b")
    url = "http://here:1/executions/a%2Fb?kind=job&namespace=shop"
    assert message.text == f"job shop/nightly failed: E: row 17: bad {url}"
    assert (message.alert, message.event, message.reason, message.url) == ("mine", "trouble", "E: row 17: bad", url)
    assert (message.execution.id, message.execution.status, message.held_back) == ("a/b", "failed", 0)
    assert Desk(pages="https://history.example/x/").run().url == "https://history.example/x/executions/run-1?kind=job"


@pytest.mark.parametrize("status", Status)
def test_by_default_what_did_not_succeed_is_trouble_unless_somebody_wanted_it(status):
    told = {Status.FAILED, Status.TIMED_OUT, Status.PARTIAL, Status.CRASHED}
    assert (Desk().run(status) is not None) is (status in told)


@pytest.mark.parametrize(
    ("table", "is_told"),
    [
        ({"kind": "job"}, True),
        ({"kind": "workflow"}, False),
        ({"namespace": "shop", "subject": "nightly", "actor": "ann", "engine": "threads"}, True),
        ({"namespace": "other"}, False),
        ({"subject": "night"}, False),
        ({"actor": "bob"}, False),
        ({"engine": "dask"}, False),
        ({"tags": {"env": "prod"}}, True),
        ({"tags": {"env": "prod", "team": "b"}}, False),
        ({"status": ["crashed"]}, False),
        ({"status": ["bad"]}, True),
    ],
)
def test_filters_narrow(table, is_told):
    one = {"namespace": "shop", "actor": "ann", "engine": "threads", "tags": {"env": "prod", "team": "a"}}
    assert (Desk(**table).run(**one) is not None) is is_told


def test_the_same_trouble_is_told_once_in_a_while_and_then_says_how_often_it_came():
    desk = Desk(every="1h")
    assert event(desk.run()) == "trouble"
    assert [desk.run(), desk.run(), desk.run()] == [None] * 3
    assert event(desk.run(subject="other")) == "trouble"
    assert event(desk.run(error=Error("E", "other", fingerprint="f2"))) == "trouble"
    later = desk.run(after=3_600)
    assert (later.held_back, "(3 more held back)" in later.text) == (3, True)
    assert desk.run() is None
    assert event(Desk(every="0s").run()) == "trouble"


def test_a_later_change_of_what_was_told_is_no_news():
    desk = Desk(every="0s")
    assert event(desk.run(id="a")) == "trouble"
    assert event(desk.run(id="b")) == "trouble"
    assert desk.run(id="a") is None
    assert event(desk.run(Status.SUCCEEDED)) == "recovered"
    assert desk.run(id="b") is None


def test_success_is_said_once_and_what_was_held_back_with_it():
    desk = Desk()
    assert desk.run(Status.SUCCEEDED) is None
    desk.run(), desk.run()
    assert desk.run(Status.SUCCEEDED, subject="other") is None
    assert desk.run(Status.CANCELLED) is None
    message = desk.run(Status.SUCCEEDED)
    assert (message.event, message.held_back, message.reason) == ("recovered", 1, "")
    assert message.text.startswith("job nightly succeeded again (1 more held back) http")
    assert desk.run(Status.SUCCEEDED) is None


def test_what_goes_back_and_forth_does_not_speak_each_time():
    desk = Desk(every="1h")
    said = [event(desk.run(status)) for status in [Status.FAILED, Status.SUCCEEDED] * 5]
    assert said == ["trouble", "recovered"] + [None] * 8
    message = desk.run(after=3_600)
    assert (message.event, message.held_back) == ("trouble", 4)


def test_a_success_from_before_the_trouble_is_no_recovery():
    desk = Desk()
    desk.run()
    assert desk.run(Status.SUCCEEDED, ended_at=T0, created_at=T0) is None
    assert event(desk.run(Status.SUCCEEDED)) == "recovered"


def test_a_crashed_one_whose_real_outcome_comes_late_recovers():
    desk = Desk()
    desk.run(Status.CRASHED, id="late")
    assert event(desk.run(Status.SUCCEEDED, id="late", ended_at=desk.now - HOUR)) == "recovered"


def test_recovery_need_not_be_told():
    desk = Desk(recovery=False)
    desk.run()
    assert desk.run(Status.SUCCEEDED) is None


def test_a_job_whose_items_partly_fail_says_which():
    store = MemoryStore()
    store.apply(mixed())
    desk = Desk()
    message = desk.see(store.get("run-1"))
    assert message.text.startswith(
        "job backfill partial: GOOGL: ConnectionError: Failed to fetch prices: Connection timeout"
    )
    one = Item(key="MSFT", status=Status.FAILED, error=FAILURE)
    same = desk.run(Status.PARTIAL, subject="backfill", error=None, items=(one,))
    assert same is None, "the same error of an item is the same trouble"


def test_silence_is_told_once_and_ends_with_what_runs_again():
    desk = Desk(silent="26h", kind="job")
    desk.now += 25 * HOUR
    assert judge_silence(desk.rule, desk.state, desk.now) is None
    desk.now += HOUR
    message = judge_silence(desk.rule, desk.state, desk.now)
    assert (message.event, message.text, message.execution) == ("silent", "kind job: nothing has ended for 26 h", None)
    assert judge_silence(desk.rule, desk.state, desk.now + HOUR) is None
    assert desk.run(Status.SUCCEEDED, kind="query") is None
    assert desk.run(Status.RUNNING) is None
    assert event(desk.run(Status.SUCCEEDED)) == "recovered"
    assert desk.run(Status.SUCCEEDED) is None
    assert event(judge_silence(desk.rule, desk.state, desk.now + 26 * HOUR)) == "silent"
    assert event(desk.run()) == "trouble"
    assert judge_silence(Desk().rule, Desk().state, T0 + 1_000 * HOUR) is None


def test_only_silence():
    desk = Desk(silent="1h", status=[])
    assert desk.run() is None
    assert event(judge_silence(desk.rule, desk.state, desk.now + HOUR)) == "silent"


def test_a_history_that_is_brought_in_is_no_news():
    desk = Desk(every="0s")
    long_ago = T0 - 48 * HOUR
    assert desk.run(ended_at=long_ago, created_at=long_ago) is None
    assert event(desk.run(ended_at=T0 - HOUR, created_at=T0 - HOUR)) == "trouble"


def test_what_is_kept_does_not_grow_without_end(monkeypatch):
    for name in ("MOST_SUBJECTS", "MOST_ERRORS", "MOST_TOLD"):
        monkeypatch.setattr(alerting, name, 3)
    desk = Desk()
    for number in range(6):
        assert event(desk.run(subject=f"job {number}")) == "trouble"
        assert event(desk.run(subject="job 0", error=Error("E", "x", fingerprint=f"e{number}"))) == "trouble"
    assert [place.rpartition("\n")[2] for place in desk.state.troubles] == ["job 4", "job 5", "job 0"]
    assert list(desk.state.troubles["mine\njob\n\njob 0"]) == ["e3", "e4", "e5"]
    assert len(desk.state.told) == 3


def test_a_text_is_one_line_that_calls_nobody():
    error = Error("E", "<!channel>\x0b look " + "x" * 5_000)
    text = Desk().run(error=error, subject="a\nb").text
    assert text.startswith("job a b failed: E: < !channel> look xxx")
    assert len(text) < 700


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("<@U0123456> come", "< @U0123456> come"),
        ("<https://evil.example|https://history.example>", "< https://evil.example|https://history.example>"),
        ("@all, @Channel and @here", "@ all, @ Channel and @ here"),
        ("[https://history.example](https://evil.example)", "[https://history.example] (https://evil.example)"),
        ("all@example.org: a<b, x[1] of <class 'int'>", "all@example.org: a<b, x[1] of <class 'int'>"),
    ],
)
def test_a_text_leads_and_calls_as_it_reads(said, shown):
    message = Desk().run(error=Error("E", said))
    assert message.text == f"job nightly failed: E: {shown} {message.url}"
    assert message.reason == f"E: {said}"


def test_a_sample_is_of_what_the_rule_is_about():
    message = sample(rule_of("mine", PLACE | {"kind": "pipeline", "subject": "eod"}), T0, None)
    assert message.text == "pipeline eod failed: this is a test of the alert, nothing went wrong"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("x", "a table is needed, as \\[alerts.NAME\\]"),
        ({}, "it goes nowhere: a webhook, a webhook_env or a command is needed"),
        ({"webhook": "https://h/x", "webhook_env": "X"}, "webhook and webhook_env: one of them is enough"),
        ({"webhook": "hooks.example/secret"}, "webhook is no URL; write https://HOST/PATH"),
        ({"webhook": "https://h:port/secret"}, "webhook is no URL"),
        ({"webhook": "https://h/secret\n"}, "webhook is no URL"),
        ({"webhook": "https://ann:secret@h/"}, "webhook: a user or password in the URL is not sent"),
        ({"command": []}, r"Expected `array` of length >= 1 - at `\$.command`"),
        ({"command": "mail"}, r"Expected `array \| null`, got `str` - at `\$.command`"),
        (PLACE | {"colour": "red"}, "unknown field `colour`; there are kind, .*webhook_env, command"),
        (PLACE | {"status": ["faild"]}, r"it is one of bad, cancelled, .*timed_out - at `\$.status"),
        (PLACE | {"status": []}, "it never tells anything: a status or silent is needed"),
        (PLACE | {"every": "often"}, r"Expected Seconds, or a span with its unit: .*90s.* - at `\$.every`"),
        (PLACE | {"every": 3600}, r"Expected `str`, got `int` \(Seconds, or a span .*15m\) - at `\$.every`"),
        (PLACE | {"silent": "0s"}, "silent: a second or more is needed"),
        (PLACE | {"recovery": "no"}, r"Expected `bool`, got `str` - at `\$.recovery`"),
        (PLACE | {"pages": "here"}, "pages is no URL"),
    ],
)
def test_a_table_that_cannot_be_used_says_what_would_be_right(table, said):
    with pytest.raises(SettingsError, match=rf"^alerts\.mine: .*{said}") as refused:
        rule_of("mine", table)
    assert "secret" not in str(refused.value)


def test_tables_are_read_from_the_file(tmp_path):
    assert load_alerts(tmp_path) == {}
    file = tmp_path / "execlog.toml"
    file.write_text('[alerts.a]\nwebhook_env = "HOOK"\n[alerts.b]\ncommand = ["mail", "ops"]\nkind = "job"\n')
    rules = load_alerts(tmp_path)
    assert [(rule.name, rule.ways, rule.what) for rule in rules.values()] == [
        ("a", ("webhook",), ""),
        ("b", ("command",), "kind job"),
    ]
    file.write_text('[alerts]\nwebhook = "https://h/secret"\n')
    with pytest.raises(SettingsError, match=r"alerts\.webhook: a table is needed"):
        load_alerts(tmp_path)
    file.write_text("alerts = 3\n")
    with pytest.raises(SettingsError, match=r"alerts is a table: \[alerts\], or \[alerts\.NAME\]"):
        load_alerts(tmp_path)


def test_a_webhook_may_stand_in_the_environment():
    rule = rule_of("mine", {"webhook_env": "HOOK"})
    assert rule.address({"HOOK": " https://h/secret\n"}) == "https://h/secret"
    with pytest.raises(SettingsError, match=r"alerts\.mine: webhook_env: the environment has no 'HOOK'"):
        rule.address({})
    with pytest.raises(SettingsError, match=r"alerts\.mine: webhook_env: what HOOK has is no URL") as refused:
        rule.address({"HOOK": "ftp://secret"})
    assert "secret" not in str(refused.value)
