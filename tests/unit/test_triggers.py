"""When jobs are due: cron over DST, intervals, sessions, misfires, jitter."""

import sys
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from execlog.core.clock import iso, micros
from execlog.core.errors import InvalidError, MissingExtraError
from execlog.runner.job import Command, Cron, Interval, Job, Misfire, Once, Session
from execlog.runner.triggers import BATCH, COUNTED, LEAST_GRACE, after, anchored, check_trigger, due_at, plan

SECOND = 1_000_000


def at(text):
    return micros(datetime.fromisoformat(text))


def instants(trigger, start, count):
    found, moment = [], at(start) - 1
    for _ in range(count):
        moment = after(trigger, moment)
        if moment is None:
            break
        found.append(iso(moment))
    return found


BERLIN, LORD_HOWE = "Europe/Berlin", "Australia/Lord_Howe"
DST = [
    # On 2025-03-30 Berlin has no 02:00-03:00; what was due in it runs right after the gap, once.
    ("30 2 * * *", BERLIN, "2025-03-29T00:00:00Z", "2025-03-29T01:30:00Z 2025-03-30T01:00:00Z 2025-03-31T00:30:00Z"),
    # On 2025-10-26 it has 02:00-03:00 twice; a fixed time runs once.
    ("30 2 * * *", BERLIN, "2025-10-25T00:00:00Z", "2025-10-25T00:30:00Z 2025-10-26T00:30:00Z 2025-10-27T01:30:00Z"),
    # Every so many minutes goes on through both, by elapsed time.
    ("*/30 * * * *", BERLIN, "2025-10-26T00:00:00Z", "2025-10-26T00:00:00Z 2025-10-26T00:30:00Z 2025-10-26T01:00:00Z"),
    ("*/30 * * * *", BERLIN, "2025-10-26T01:30:00Z", "2025-10-26T01:30:00Z 2025-10-26T02:00:00Z"),
    ("*/30 * * * *", BERLIN, "2025-03-30T00:30:00Z", "2025-03-30T00:30:00Z 2025-03-30T01:00:00Z 2025-03-30T01:30:00Z"),
    ("0 9 * * MON-FRI", "America/New_York", "2025-03-07T00:00:00Z", "2025-03-07T14:00:00Z 2025-03-10T13:00:00Z"),
    # Lord Howe moves by half an hour.
    ("15 2 * * *", LORD_HOWE, "2025-10-03T20:00:00Z", "2025-10-04T15:30:00Z 2025-10-05T15:15:00Z"),
    ("*/30 3 * * *", LORD_HOWE, "2025-10-04T15:00:00Z", "2025-10-04T16:00:00Z 2025-10-04T16:30:00Z"),
    # This Sunday began twice, and the one below at one o'clock.
    ("*/20 0 * * SUN", "America/St_Johns", "2010-11-07T02:30:00Z", "2010-11-07T02:30:00Z 2010-11-07T03:30:00Z"),
    ("*/20 0 * * SUN", "America/Sao_Paulo", "2010-10-15T00:00:00Z", "2010-10-24T02:00:00Z"),
    # A field for the seconds changes none of it.
    ("0 30 2 * * *", BERLIN, "2025-03-29T23:00:00Z", "2025-03-30T01:00:00Z 2025-03-31T00:30:00Z"),
    ("0 30 2 * * *", BERLIN, "2025-10-25T23:00:00Z", "2025-10-26T00:30:00Z 2025-10-27T01:30:00Z"),
    ("0 0 29 2 *", "UTC", "2025-01-01T00:00:00Z", "2028-02-29T00:00:00Z 2032-02-29T00:00:00Z"),
    ("0 0 L * *", "UTC", "2025-01-31T00:00:01Z", "2025-02-28T00:00:00Z 2025-03-31T00:00:00Z"),
    ("*/20 * * * * *", "UTC", "2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z 2025-01-01T00:00:20Z"),
]


@pytest.mark.parametrize(("expression", "zone", "start", "expected"), DST)
def test_cron_is_right_over_dst(expression, zone, start, expected):
    assert instants(Cron(expression, zone), start, len(expected.split())) == expected.split()


@pytest.mark.parametrize("zone", [BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Tehran", "America/St_Johns"])
@pytest.mark.parametrize("expression", ["30 2 * * *", "0 0 * * *", "30 1 * * *"])
def test_a_daily_cron_runs_once_a_day_for_ten_years(zone, expression):
    from zoneinfo import ZoneInfo

    trigger, moment, end = Cron(expression, zone), at("2015-01-01T12:00:00Z"), at("2025-01-01T12:00:00Z")
    days = []
    while (moment := after(trigger, moment)) < end:
        days.append(datetime.fromtimestamp(moment / SECOND, ZoneInfo(zone)).date())
    assert len(days) == len(set(days)) in {3652, 3653, 3654}
    assert all((later - sooner).days == 1 for sooner, later in pairwise(days))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["30 2 * * *", "*/7 * * * *", "15 */2 * * *", "0 3 * * SUN", "5 1,2 * * *"]),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.integers(at("2025-03-01T00:00:00Z"), at("2025-11-30T00:00:00Z")),
    st.integers(0, 30 * 86_400 * SECOND),
)
def test_the_next_instant_does_not_depend_on_where_one_asks_from(expression, zone, start, step):
    trigger = Cron(expression, zone)
    found = after(trigger, start)
    assert found > start
    inside = min(start + step, found - 1)
    assert after(trigger, inside) == found
    assert after(trigger, found) > found


def test_asking_from_within_the_hour_that_comes_twice_does_not_go_back():
    trigger = Cron("30 2 * * *", BERLIN)
    assert iso(after(trigger, at("2025-10-26T01:10:00Z"))) == "2025-10-27T01:30:00Z"


@pytest.mark.parametrize(
    ("shortcut", "expected"),
    [
        ("@hourly", "2024-01-31T13:00:00Z"),
        ("@daily", "2024-01-31T23:00:00Z"),
        ("@Midnight", "2024-01-31T23:00:00Z"),
        ("@weekly", "2024-02-03T23:00:00Z"),
        ("@monthly", "2024-01-31T23:00:00Z"),
        ("@yearly", "2024-12-31T23:00:00Z"),
        ("@annually", "2024-12-31T23:00:00Z"),
    ],
)
def test_cron_knows_the_usual_shortcuts(shortcut, expected):
    trigger = Cron(shortcut, "Europe/Berlin")
    check_trigger(trigger)
    assert iso(after(trigger, micros(datetime(2024, 1, 31, 12, 30, tzinfo=UTC)))) == expected


def test_intervals_keep_to_their_grid():
    trigger = Interval(60, datetime(2025, 1, 1, tzinfo=UTC))
    assert instants(trigger, "2024-06-01T00:00:00Z", 2) == ["2025-01-01T00:00:00Z", "2025-01-01T00:01:00Z"]
    assert instants(trigger, "2025-01-01T00:00:30Z", 1) == ["2025-01-01T00:01:00Z"]
    assert after(Interval(31_536_000, datetime(9999, 6, 1, tzinfo=UTC)), at("9999-07-01T00:00:00Z")) is None


def test_an_interval_without_start_begins_one_interval_after_the_job_was_made():
    job = anchored(Job(name="n", trigger=Interval(90)), at("2025-01-01T00:00:00Z"))
    assert instants(job.trigger, "2025-01-01T00:00:00Z", 1) == ["2025-01-01T00:01:30Z"]
    assert anchored(job, 0) == job


def test_once_is_once():
    trigger = Once(datetime(2025, 1, 1, 12))  # noqa: DTZ001 - a naive time is read as UTC
    assert instants(trigger, "2024-01-01T00:00:00Z", 3) == ["2025-01-01T12:00:00Z"]


def timed(said):
    time = datetime.fromisoformat(said)
    return [("at", Once(time)), ("start_at", Interval(5, time))]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("2030-01-01T02:00:00+02:00", "2030-01-01T00:00:00+00:00"),
        ("2030-01-01T00:00:00", "2030-01-01T00:00:00+00:00"),
    ],
)
def test_the_times_of_a_trigger_are_kept_in_utc(said, kept):
    for name, trigger in timed(said):
        assert getattr(anchored(Job(name="n", trigger=trigger), 0).trigger, name).isoformat() == kept


@pytest.mark.parametrize("said", ["0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-02:00"])
def test_a_time_that_utc_has_no_year_for_is_refused(said):
    for name, trigger in timed(said):
        with pytest.raises(InvalidError, match="years 1 to 9999") as refused:
            check_trigger(trigger)
        assert refused.value.field == f"trigger.{name}"


def test_sessions_know_holidays_half_days_and_dst():
    closes = Session("XNYS", "close", offset=600)
    assert instants(closes, "2025-07-02T00:00:00Z", 3) == [
        "2025-07-02T20:10:00Z", "2025-07-03T17:10:00Z", "2025-07-07T20:10:00Z",
    ]  # fmt: skip
    opens = Session("XNYS", "open", offset=-1800)
    assert instants(opens, "2025-10-31T00:00:00Z", 2) == ["2025-10-31T13:00:00Z", "2025-11-03T14:00:00Z"]
    assert instants(Session("XNYS", "open"), "2024-12-31T20:00:00Z", 1) == ["2025-01-02T14:30:00Z"]
    # Tokyo's sessions begin on the UTC day they belong to, Sydney's on the one before.
    assert instants(Session("XASX", "open"), "2025-01-01T12:00:00Z", 1) == ["2025-01-01T23:00:00Z"]


def test_a_calendar_without_the_extra_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    with pytest.raises(MissingExtraError, match=r"execlog\[calendars\]"):
        check_trigger(Session("XNYS"))


def job(policy="once", grace=60.0, jitter=0.0, seconds=10.0):
    trigger = Interval(seconds, datetime(2025, 1, 1, tzinfo=UTC))
    return Job(id="j", name="j", run=Command("x"), trigger=trigger, misfire=Misfire(policy, grace), jitter=jitter)


START = at("2025-01-01T00:00:00Z")


def due(made, first, now):
    found, moment = [], first
    while moment is not None and moment <= now:
        found.append(moment)
        moment = after(made.trigger, moment)
    return found


laws = given(
    st.integers(0, 80),
    st.integers(0, 400 * SECOND),
    st.sampled_from([0.0, 5.0, 60.0, 1000.0]),
    st.sampled_from([1.0, 7.0, 10.0]),
)


@laws
@settings(max_examples=200, deadline=None)
def test_every_due_instant_is_run_or_counted_and_none_comes_twice(number, late, grace, seconds):
    for policy in ("skip", "once", "all"):
        made = job(policy, grace, seconds=seconds)
        first = START + number * round(seconds * SECOND)
        now = first + late
        run, skipped, next_at, rounds = [], 0, first, 0
        while next_at <= now:
            planned = plan(made, next_at, now)
            run += planned.instants
            skipped += planned.skipped
            assert planned.next_at > planned.last_at >= next_at
            next_at, rounds = planned.next_at, rounds + 1
        expected = due(made, first, now)
        assert run == sorted(set(run))
        assert set(run) <= set(expected)
        assert len(run) + skipped == len(expected)
        assert next_at == after(made.trigger, expected[-1])
        assert rounds <= len(expected) // BATCH + 1


@laws
@settings(max_examples=200, deadline=None)
def test_policies_say_which_of_the_late_ones_run(number, late, grace, seconds):
    first = START + number * round(seconds * SECOND)
    now = first + late
    expected = due(job(seconds=seconds), first, now)
    cutoff = now - round(max(grace, LEAST_GRACE) * SECOND)
    on_time = [moment for moment in expected if moment >= cutoff]
    missed = len(on_time) < len(expected)
    skip, once, everything = (
        plan(job(policy, grace, seconds=seconds), first, now) for policy in ("skip", "once", "all")
    )
    assert list(skip.instants) == on_time[:BATCH]
    assert list(everything.instants) == expected[:BATCH]
    assert list(once.instants) == ([expected[-1]] if missed else expected[:BATCH])
    assert everything.late == missed
    assert not once.late


def test_years_of_downtime_cost_a_few_steps():
    now = START + 5 * 365 * 86_400 * SECOND
    once = plan(job("once", seconds=0.01), START, now)
    assert once.instants == (now,)
    assert once.skipped == COUNTED
    skip = plan(job("skip", grace=0.0, seconds=4.0), START, now - 10_000)
    assert (skip.instants, skip.next_at) == ((), now)
    cron = replace(job("once"), trigger=Cron("* * * * *"))
    assert plan(cron, START, now).instants == (now,)


def test_a_once_that_was_missed_runs_late_or_not_at_all():
    made = replace(job("once"), trigger=Once(datetime(2025, 1, 1, tzinfo=UTC)))
    assert plan(made, START, START + 10**12).instants == (START,)
    skip = plan(replace(made, misfire=Misfire("skip", 60.0)), START, START + 10**12)
    assert (skip.instants, skip.skipped, skip.next_at) == ((), 1, None)
    assert plan(replace(made, trigger=None), START, START).next_at is None


@given(st.integers(0, 10**6), st.sampled_from([0.5, 3.0, 30.0]))
@settings(max_examples=100, deadline=None)
def test_jitter_is_bounded_and_the_same_everywhere(number, jitter):
    made = job(jitter=jitter)
    instant = START + number
    moved = due_at(made, instant)
    assert 0 <= moved - instant <= jitter * SECOND
    assert due_at(made, instant) == moved
    assert due_at(job(), instant) == instant


def test_jitter_spreads():
    made = job(jitter=10.0)
    delays = [due_at(made, START + step * SECOND) - START - step * SECOND for step in range(500)]
    assert min(delays) < SECOND
    assert max(delays) > 9 * SECOND


@pytest.mark.parametrize("policy", ["skip", "once", "all"])
@pytest.mark.parametrize(("grace", "jitter"), [(10.0, 300.0), (0.0, 0.0), (0.0, 30.0), (5.0, 0.0)])
def test_what_runs_as_soon_as_it_is_due_is_never_late(policy, grace, jitter):
    made = replace(job(policy, grace, jitter), trigger=Cron("0 9 * * *"))
    for day in range(20):
        instant = at("2026-01-05T09:00:00Z") + day * 86_400 * SECOND
        planned = plan(made, instant, due_at(made, instant) + SECOND)
        assert (planned.instants, planned.skipped, planned.late) == ((instant,), 0, False)


@given(st.integers(0, 200 * SECOND), st.sampled_from(["skip", "once", "all"]), st.sampled_from([0.0, 15.0, 100.0]))
@settings(max_examples=200, deadline=None)
def test_with_jitter_too_every_instant_is_dealt_with_once(late, policy, grace):
    made = job(policy, grace, jitter=8.0)
    now = due_at(made, START) + late
    run, skipped, next_at = [], 0, START
    while next_at is not None and due_at(made, next_at) <= now:
        planned = plan(made, next_at, now)
        run += planned.instants
        skipped += planned.skipped
        next_at = planned.next_at
    assert run == sorted(set(run))
    assert all(due_at(made, moment) <= now for moment in run)
    assert len(run) + skipped == (next_at - START) // (10 * SECOND)
