"""Whether a job can be run: what the shapes of its fields cannot say."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime

from execlog.core.errors import InvalidError
from execlog.core.ids import check_id
from execlog.runner.job import Action, Call, Command, Fetch, Job
from execlog.runner.triggers import check_trigger

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
MAX_NAMED = 20
MAX_TAG = 100
MAX_TAG_VALUE = 1_000


def check_job(job: Job) -> Job:
    """The job itself, if it can be run. Raises InvalidError naming the field that keeps it from that."""
    if job.id:
        check_id(job.id)
    if not job.name.strip():
        raise InvalidError("name must not be blank", field="name")
    _check_stocks(job)
    _check_action(job.run)
    if job.trigger is not None:
        check_trigger(job.trigger)
    if job.launcher == "processes" and isinstance(job.run, Command):
        raise InvalidError("a command is a process already: leave launcher at threads", field="launcher")
    for key, value in job.tags.items():
        if not 1 <= len(key) <= MAX_TAG or len(value) > MAX_TAG_VALUE:
            message = f"tags: {key!r:.40} must have 1 to {MAX_TAG} characters, its value at most {MAX_TAG_VALUE}"
            raise InvalidError(message, field="tags")
    return job


def check_narrowed(job: Job, stocks: tuple[str, ...]) -> None:
    """Nothing, if the job can be run over these stocks alone. Raises InvalidError naming those it has."""
    known = set(job.stocks)
    wrong = next((f"{stock!r:.120} is none" for stock in stocks if stock not in known), None)
    if wrong is None and stocks:
        return
    named = ", ".join(job.stocks[:MAX_NAMED]) + (", …" if len(job.stocks) > MAX_NAMED else "")
    raise InvalidError(
        f"{wrong or 'stocks is empty: name some'} of the job's stocks: {named or 'it has none'}", field="stocks"
    )


def _check_stocks(job: Job) -> None:
    seen: set[str] = set()
    for stock in job.stocks:
        try:
            check_id(stock, field="stocks")
        except InvalidError as error:
            raise InvalidError(f"{error}; write e.g. BTC-USD for BTC/USD", field="stocks") from error
        if stock != stock.strip():
            raise InvalidError(f"stocks: {stock!r} begins or ends with a blank", field="stocks")
        if stock in seen:
            raise InvalidError(f"stocks: {stock!r} is there twice", field="stocks")
        seen.add(stock)
    if isinstance(job.run, Fetch) and not job.stocks:
        raise InvalidError("a fetch needs at least one stock", field="stocks")


def _check_action(action: Action) -> None:
    if isinstance(action, Call) and not _FUNCTION.fullmatch(action.function):
        raise InvalidError(f'{action.function!r} is not "package.module:function"', field="run.function")
    if isinstance(action, Command):
        _check_command(action)
    if isinstance(action, Fetch):
        start, end = (_day(getattr(action, name), f"run.{name}") for name in ("start", "end"))
        if start and end and start > end:
            raise InvalidError(f"start {action.start} is after end {action.end}", field="run.start")


def _check_command(action: Command) -> None:
    texts = [action.command] if isinstance(action.command, str) else list(action.command)
    if not texts[0].strip():
        raise InvalidError("the command is blank", field="run.command")
    texts += [action.cwd or "", *action.env, *action.env.values()]
    if any("\0" in text for text in texts):
        raise InvalidError("a command, its folder and its environment cannot contain NUL", field="run.command")
    if any("=" in name or not name for name in action.env):
        raise InvalidError("names of environment variables are not empty and contain no '='", field="run.env")


def _day(text: str | None, field: str) -> datetime | None:
    if text is None:
        return None
    with suppress(ValueError):
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text)
    raise InvalidError(f"{field}: {text!r} is not a day; write 2004-08-01", field=field)
