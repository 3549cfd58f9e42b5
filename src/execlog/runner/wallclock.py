"""Cron expressions on a time zone's wall clock, through whatever the zone does to it."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim

_MINUTE, _HOUR = 60, 3600
_SHORTCUTS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class WallCron(CronSim):
    """The times an expression comes after `dt`, in the time zone of `dt`.

    CronSim takes changes of the clock for whole hours at full hours. Zones change theirs by half an hour, at a minute
    past midnight, or at midnight, so that a day begins at one o'clock, or twice; there it leaves times out, invents
    some, or never comes to an end. And with six fields it runs a fixed time never, or twice.
    """

    def __init__(self, expression: str, dt: datetime) -> None:
        super().__init__(_SHORTCUTS.get(expression.strip().lower(), expression), dt)
        minute, hour = self.parts[1:3]
        if dt.tzinfo is not None and not minute.startswith("*") and not hour.startswith("*"):
            self.fixup_tz = dt.tzinfo
            self.dt = self.dt.replace(tzinfo=None)

    def advance_month(self) -> None:
        """Roll forward to a month that is allowed."""
        before = self.dt
        super().advance_month()
        if self.dt != before:
            self._settle_midnight(before)

    def advance_day(self) -> bool:
        """Whether it rolled forward, to a day that is allowed or into the next month."""
        before = self.dt
        rolled = super().advance_day()
        if rolled:
            self._settle_midnight(before)
        return rolled

    def advance_hour(self) -> bool:
        """Whether it rolled forward, to an hour that is allowed or into the next day."""
        if self.dt.hour in self.hours:
            return False
        day = self.dt.date()
        while self.dt.hour not in self.hours and self.dt.date() == day:
            self._to_next_hour()
        return True

    def _to_next_hour(self) -> None:
        """Roll forward to where the wall clock shows another hour; minute by minute where it changes meanwhile."""
        before = self.dt
        self.tick(seconds=_HOUR - before.minute * _MINUTE - before.second)
        if self.dt.utcoffset() == before.utcoffset():
            return
        self.dt = before
        self.tick(seconds=_MINUTE - before.second)
        while self.dt.hour == before.hour and self.dt.minute:
            self.tick(seconds=_MINUTE)

    def _settle_midnight(self, before: datetime) -> None:
        """Take the second midnight of a day that begins again, and the end of the gap where there is no midnight."""
        if self.dt.tzinfo is None:
            return
        if self.dt.astimezone(UTC) < before.astimezone(UTC):
            self.dt = self.dt.replace(fold=1)
        self.dt = self.dt.astimezone(UTC).astimezone(self.dt.tzinfo)
