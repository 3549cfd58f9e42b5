"""`execlog alerts`: what it does."""

from __future__ import annotations

import threading

import msgspec
from msgspec import Struct

from execlog.cli import exits, units
from execlog.cli.parser import Options, did_you_mean
from execlog.cli.place import now, settings_of
from execlog.cli.table import Cell, Column, write_table, write_values
from execlog.cli.terminal import Terminal, printable
from execlog.core.clock import iso, parse_when
from execlog.core.errors import NotFoundError, SettingsError
from execlog.core.settings import Settings
from execlog.history.alerting import State, sample
from execlog.history.alerts import Rule, Way, load_alerts
from execlog.history.view import to_json
from execlog.web import delivery
from execlog.web.alerts import read_state, sends


class AlertView(Struct, frozen=True, kw_only=True):
    """An alert and how it stands; `silent` is seconds."""

    name: str
    of: str
    status: list[str]
    silent: float | None
    to: list[str]
    last_sent: str | None
    pending: int
    dropped: int
    last_error: str | None


def execute(options: Options, terminal: Terminal) -> int:
    """List the alerts, or try one."""
    settings = settings_of(options)
    rules = load_alerts(settings.home)
    return _try(rules, options, terminal) if options.action else _list(settings, rules, options, terminal)


def _list(settings: Settings, rules: dict[str, Rule], options: Options, terminal: Terminal) -> int:
    try:
        state = read_state(settings.home)
    except ValueError as error:
        raise SettingsError(f"{error}; with the file removed, alerts begin anew") from error
    views = [_view(rule, state) for rule in rules.values()]
    if options.json:
        terminal.line(msgspec.json.encode(views).decode())
    elif not terminal.interactive:
        write_values(terminal, AlertView.__struct_fields__, map(_values, views), header=not options.no_header)
    elif not views:
        terminal.line(f"No alerts. They are tables [alerts.NAME] in {settings.home / 'execlog.toml'}")
    else:
        write_table(terminal, _COLUMNS, views)
        if not sends(settings.home):
            terminal.line(terminal.paint("nothing is sent now: `execlog serve` is not running here", "yellow"))
    return exits.OK


def _try(rules: dict[str, Rule], options: Options, terminal: Terminal) -> int:
    rule = rules.get(options.alert)
    if rule is None:
        hint = did_you_mean(options.alert, rules) or "; `execlog alerts` shows those there are"
        raise NotFoundError(f"there is no alert {options.alert!r}{hint}")
    body = to_json(sample(rule, now(), None))
    outcomes: dict[Way, delivery.Outcome] = {}
    for way in rule.ways:
        outcomes[way] = (
            delivery.post(rule.address(), body)
            if way == "webhook"
            else delivery.run(rule.command, body, stopping=threading.Event())
        )
    if options.json:
        found = [
            {"way": way, "to": _to(rule, way), "sent": one.is_sent, "said": one.said} for way, one in outcomes.items()
        ]
        terminal.line(msgspec.json.encode(found).decode())
    else:
        for way, one in outcomes.items():
            went = "sent" if one.is_sent else "not sent"
            terminal.line(f"{printable(_to(rule, way))} {went}: {printable(one.said)}")
    return exits.OK if all(one.is_sent for one in outcomes.values()) else exits.FAILED


def _view(rule: Rule, state: State | None) -> AlertView:
    standing = state.standings.get(rule.name) if state is not None else None
    pending = state.pending if state is not None else []
    errors = standing.errors if standing is not None else {}
    return AlertView(
        name=rule.name,
        of=rule.what,
        status=sorted(rule.statuses),
        silent=rule.silent,
        to=[_to(rule, way) for way in rule.ways],
        last_sent=iso(standing.sent_at) if standing is not None else None,
        pending=sum(one.alert == rule.name for one in pending),
        dropped=standing.dropped if standing is not None else 0,
        last_error="; ".join(f"{way}: {said}" for way, said in errors.items()) or None,
    )


def _to(rule: Rule, way: Way) -> str:
    """Where it goes, without what may be secret: a command's arguments are no less than a webhook's path."""
    if way == "command":
        return rule.command[0] + (" …" if len(rule.command) > 1 else "")
    return delivery.shown(rule.webhook) if rule.webhook is not None else f"${rule.webhook_env}"


def _values(one: AlertView) -> list[str]:
    silent = "" if one.silent is None else f"{one.silent:g}"
    counts = str(one.pending), str(one.dropped)
    lists = ", ".join(one.status), silent, ", ".join(one.to)
    return [one.name, one.of, *lists, one.last_sent or "", *counts, one.last_error or ""]


def _when(one: AlertView) -> str:
    silent = [] if one.silent is None else [f"silent for {units.seconds(one.silent)}"]
    return ", ".join([*one.status, *silent])


def _sent(one: AlertView) -> str:
    return units.age(parse_when(one.last_sent, now=None), now()) if one.last_sent else "never"


_COLUMNS = [
    Column[AlertView]("ALERT", lambda one: Cell(one.name, "bold"), least=8),
    Column[AlertView]("OF", lambda one: Cell(one.of or "everything"), least=8),
    Column[AlertView]("WHEN", lambda one: Cell(_when(one)), least=8, drop=2),
    Column[AlertView]("TO", lambda one: Cell(", ".join(one.to)), least=8, drop=1),
    Column[AlertView]("LAST SENT", lambda one: Cell(_sent(one), "" if one.last_sent else "dim")),
    Column[AlertView]("WAIT", lambda one: Cell(str(one.pending) if one.pending else ""), right=True),
    Column[AlertView]("GIVEN UP", lambda one: Cell(str(one.dropped) if one.dropped else ""), right=True),
    Column[AlertView]("LAST ERROR", lambda one: Cell(one.last_error or "", "red"), least=12),
]
