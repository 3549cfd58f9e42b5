"""A recount: what a store says of its executions, held against what they add up to one by one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice

from msgspec.structs import replace

from execlog.core.filter import Filter
from execlog.core.model import TERMINAL, Execution, Key
from execlog.core.rollup import ALPHA, Bucket, quantiles, status_counts
from execlog.store.base import FailureGroup, Group, Store
from execlog.store.preparing import FAILURES

HOUR, HOURS = 3_600_000_000, 3
"""µs; and so many of the last ones in which something began are recounted each for itself."""
SHARES = (0.0, 0.25, 0.5, 0.9, 0.99, 1.0)
MICROSECOND = 1e-6
MOST = 1000


def recount(store: Store, question: Filter, found: Sequence[Execution]) -> None:
    """All that the store sums up must equal what these, all it has on the question, newest first, add up to."""
    ended = [execution for execution in found if execution.status in TERMINAL]
    assert store.count(question) == len(found)
    recount_sums(store.stats(question), ended)
    recount_windows(store, question, ended)
    recount_failures(store.failures(question, limit=MOST), [one for one in ended if one.status in FAILURES])
    newest: dict[tuple[str, str, str], Key] = {}
    for one in found:
        if one.subject:
            newest.setdefault((one.kind, one.namespace, one.subject), one.key)
    assert [one.key for one in store.latest(question, limit=MOST)] == list(islice(newest.values(), MOST))


def recount_windows(store: Store, question: Filter, ended: Sequence[Execution]) -> None:
    """The last hours, each by itself and as cells of time, and all from the middle of one on."""
    starts = sorted({one.created_at - one.created_at % HOUR for one in ended})[-HOURS:]
    if not starts:
        return
    hours = {start: [one for one in ended if start <= one.created_at < start + HOUR] for start in starts}
    cells = store.stats(replace(question, since=starts[0]), group_by="hour")
    assert [cell.key for cell in cells] == starts
    for cell, (start, within) in zip(cells, hours.items(), strict=True):
        recount_sums([cell], within)
        recount_sums(store.stats(replace(question, since=start, until=start + HOUR)), within)
    last = hours[starts[-1]]
    since = last[len(last) // 2].created_at
    recount_sums(store.stats(replace(question, since=since)), [one for one in last if one.created_at >= since])


def recount_sums(groups: Sequence[Group], ended: Sequence[Execution]) -> None:
    """One group's counts, durations, rows, tokens and costs; its quantiles to within what a sketch is off."""
    bucket = groups[0].bucket if groups else Bucket()
    statuses = [one.status for one in ended]
    assert {status: count for status, count in status_counts(bucket).items() if count} == {
        status: statuses.count(status) for status in set(statuses)
    }
    seconds = sorted(one.seconds for one in ended if one.seconds is not None)
    micros = [int(each * 1e6 + 0.5) for each in seconds]
    assert (bucket.timed, bucket.duration_micros) == (len(micros), sum(micros))
    assert bucket.max_micros == max(micros, default=0)
    assert bucket.tokens_input == total(one.tokens[0] for one in ended)
    assert bucket.tokens_output == total(one.tokens[1] for one in ended)
    assert (bucket.rows, bucket.cost_nano) == (total(one.rows for one in ended), total(one.cost_nano for one in ended))
    for share, said in zip(SHARES, quantiles(bucket, *SHARES), strict=True):
        if said is None:
            assert not seconds
        else:
            exact = seconds[max(math.ceil(share * len(seconds) - MICROSECOND) - 1, 0)]
            assert abs(said - exact) <= ALPHA * exact + MICROSECOND, (share, said, exact)


def recount_failures(groups: Sequence[FailureGroup], failed: Sequence[Execution]) -> None:
    """Each failure in one group; those with an error of their own in that one's, with the first and the last of it."""
    if len(groups) == MOST:
        return
    assert sum(group.count for group in groups) == len(failed)
    said = {group.fingerprint: group for group in groups}
    own: dict[str | None, list[Execution]] = {}
    for one in failed:
        if one.error is not None:
            own.setdefault(one.error.fingerprint, []).append(one)
    for fingerprint, (last, *others) in own.items():
        group = said[fingerprint or ""]
        assert (group.last_at, group.first_at) == (last.created_at, (others or [last])[-1].created_at)
        assert (group.count, group.last) == (1 + len(others), last.key)


def total(numbers: Iterable[int | None]) -> int:
    """Their sum; what is not known counts nothing."""
    return sum(number or 0 for number in numbers)
