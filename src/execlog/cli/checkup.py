"""What `execlog doctor` looks at; each check says what it found, and what to do where that is not well."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from msgspec import Struct

from execlog import __version__
from execlog.cli import units
from execlog.core.clock import SystemClock
from execlog.core.errors import ExeclogError, SettingsError
from execlog.core.settings import PREFIX, Settings, load
from execlog.store.places import is_there, path_of

if TYPE_CHECKING:
    from execlog.store.base import Store

State = Literal["ok", "warning", "bad"]
BAD: State = "bad"
_NAMED = 5
_OF_EXTRA = re.compile(r"""^([\w.-]+).*;.*extra\s*==\s*["']([\w-]+)["']""")
"""A requirement of an extra: the package, and the extra."""


class Finding(Struct, frozen=True, omit_defaults=True):
    """What a check found, and what to do about it."""

    check: str
    state: State
    text: str
    advice: str = ""


def check_up(home: str | None, store: str | None, *more: Callable[[Store], Finding]) -> list[Finding]:
    """Every finding, in the order things depend on each other; `more` is what else is asked of the store."""
    return list(_check_up(home, store, more))


def _check_up(home: str | None, store: str | None, more: Iterable[Callable[[Store], Finding]]) -> Iterator[Finding]:
    yield Finding("execlog", "ok", f"{__version__} on Python {platform.python_version()}, {platform.platform()}")
    try:
        settings = load(home=home, store=store)
    except SettingsError as error:
        yield Finding("settings", BAD, str(error), "correct or remove what it names")
        return
    file = settings.home / "execlog.toml"
    yield Finding("settings", "ok", str(file) if file.is_file() else f"defaults and environment (no {file})")
    yield from _check_names(os.environ)
    yield from _check_access(settings)
    yield from _check_tables(settings.home)
    yield from _check_alerts(settings)
    yield from _check_home(settings)
    yield from _check_journals(settings)
    yield from _check_store(settings, more)
    yield _check_extras()


def _check_names(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that look like a setting's but are none: they are not in force, and nothing else says so."""
    said = [name.removeprefix(PREFIX).lower() for name in environment if name.startswith(PREFIX)]
    for name in sorted(set(said) - set(Settings.__struct_fields__)):
        meant = get_close_matches(name, Settings.__struct_fields__, n=1, cutoff=0.7)
        if meant:
            text = f"{PREFIX}{name.upper()} in the environment is no setting"
            yield Finding("settings", "warning", text, f"did you mean {PREFIX}{meant[0].upper()}?")


def _check_access(settings: Settings) -> Iterator[Finding]:
    from execlog.web.access import Access, check_exposure

    try:
        check_exposure(settings)
        Access(settings)
    except SettingsError as error:
        yield Finding("access", "warning", "`execlog serve` will not start with this host and these tokens", str(error))


def _check_tables(home: Path) -> Iterator[Finding]:
    from execlog.kinds.jobs.fetcher import configured_sources
    from execlog.kinds.queries.connections import load_connections
    from execlog.kinds.queries.sealing import sealer_of
    from execlog.kinds.workflows.models.endpoint import endpoints_of

    for read in (configured_sources, load_connections, sealer_of, endpoints_of):
        try:
            read(home)
        except ExeclogError as error:
            yield Finding("settings", BAD, str(error), "correct it: what needs it will not start")


def _check_alerts(settings: Settings) -> Iterator[Finding]:
    from execlog.history.alerts import load_alerts

    try:
        rules = load_alerts(settings.home)
    except SettingsError as error:
        yield Finding("alerts", BAD, str(error), "correct it: `execlog serve` will not start with it")
        return
    for rule in rules.values():
        try:
            if "webhook" in rule.ways:
                rule.address()
        except SettingsError as error:
            yield Finding("alerts", "warning", str(error), "`execlog serve` needs it in its environment")
    if rules:
        yield Finding("alerts", "ok", f"{', '.join(rules)} (`execlog alerts` shows what was sent)")


def _check_home(settings: Settings) -> Iterator[Finding]:
    from execlog.recorder.journal import reserve

    home = settings.home
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    if home.exists() and not home.is_dir():
        yield Finding("home", BAD, f"{home} is not a folder", "move it away, or set EXECLOG_HOME to a folder")
        return
    if not _is_writable(existing):
        yield Finding("home", BAD, f"{existing} cannot be written to", "let this user write there, or set EXECLOG_HOME")
        return
    made = "" if home.exists() else " (made with the first record)"
    yield Finding("home", "ok", f"{home}{made}")
    free, kept = shutil.disk_usage(existing).free, reserve(existing, settings.journal_min_free)
    if free < kept:
        needed = units.size(kept)
        yield Finding(
            "disk",
            BAD,
            f"{units.size(free)} free",
            f"make room: below {needed} progress, then starts, then outcomes are not recorded",
        )
    elif free < 4 * kept:
        yield Finding("disk", "warning", f"{units.size(free)} free", "make room soon")
    else:
        yield Finding("disk", "ok", f"{units.size(free)} free")


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _check_journals(settings: Settings) -> Iterator[Finding]:
    from execlog.ledger import Ledger
    from execlog.recorder.home import Home

    home = Home(Ledger(settings).root, SystemClock().now)
    try:
        standing = home.standing()
    except OSError as error:
        text = f"{error.filename or home.root}: {error.strerror}"
        yield Finding("journals", BAD, text, "a home belongs to one user: let everything in it be theirs")
        return
    gone, size = standing.abandoned, units.size(standing.size)
    text = f"{standing.journals} journals, {gone} of processes that are gone, {size} on disk"
    if gone:
        yield Finding("journals", "warning", text, "`execlog list` and `execlog serve` take them in")
    else:
        yield Finding("journals", "ok", text if standing.journals else "none: everything recorded is in the store")
    losses = standing.losses
    lost = sum(losses.shed) + losses.lost
    if lost or losses.damaged:
        kept = settings.home / "quarantine"
        text = f"{units.count(lost)} records lost so far, {units.size(losses.damaged)} damaged (kept in {kept})"
        yield Finding("losses", "warning", text, "was the store down for long, or the disk full?")
    served = "`execlog serve` is running here" if home.served_by_another() else "not running here"
    yield Finding("server", "ok", served)


@runtime_checkable
class Verifying(Protocol):
    """A store of files that are more than its own."""

    def damaged(self) -> list[Path]:
        """The files that are not as it wrote them, or that it cannot read."""
        ...


def _check_store(settings: Settings, more: Iterable[Callable[[Store], Finding]]) -> Iterator[Finding]:
    from execlog.store.opening import open_store

    try:
        if _is_to_be_made(settings.store_url):
            yield Finding("store", "ok", f"{settings.store_url} (made with the first record)")
            return
        store = open_store(settings.store_url, settings)
        try:
            facts = store.check()
            warning = facts.pop("warning", "")
            text = f"{store.url}: {', '.join(f'{name} {value}' for name, value in facts.items())}"
            yield Finding("store", "warning" if warning else "ok", text, warning)
            if isinstance(store, Verifying):
                yield _check_files(store.damaged())
            yield from _check_jobs(store)
            for ask in more:
                yield ask(store)
        finally:
            store.close()
    except (ExeclogError, OSError) as error:
        yield Finding(
            "store",
            BAD,
            str(error),
            "is it there, running, and yours to read and write? recording goes on into the journal meanwhile",
        )


def _check_jobs(store: Store) -> Iterator[Finding]:
    """That nobody begins what is due, where it is so."""
    from execlog.kinds.jobs.wording import LATE
    from execlog.store.job_opening import KeepsJobs

    if not isinstance(store, KeepsJobs):
        return
    with closing(store.open_jobs()) as jobs:
        late = jobs.due(SystemClock().now() - LATE, limit=_NAMED + 1).entries
    if late:
        names = ", ".join(entry.id for entry in late[:_NAMED]) + (" …" if len(late) > _NAMED else "")
        text = f"due, and begun by nobody: {names}"
        yield Finding("jobs", "warning", text, "`execlog serve` (without --no-scheduler) runs what is due")


def _check_files(damaged: list[Path]) -> Finding:
    if not damaged:
        return Finding("files", "ok", "as they were written")
    return Finding(
        "files",
        BAD,
        f"{units.count(len(damaged))} are not as they were written, e.g. {damaged[0]}",
        "changed by hand, or damaged: answers come from the index, which is right as long as it is kept; with "
        ".execlog/written removed, the next process writes anew what changed last",
    )


def _is_to_be_made(url: str) -> bool:
    """Whether this is a file or a folder that is no store yet and can be made one: opening it would make it."""
    path = path_of(url)
    if path is None or is_there(url):
        return False
    existing = next(place for place in (path, *path.parents) if place.exists())
    return existing.is_dir() and (existing != path or not url.startswith("sqlite")) and _is_writable(existing)


def _check_extras() -> Finding:
    try:
        extras = _extras()
    except PackageNotFoundError:
        return Finding("extras", "ok", "not known: execlog runs from its source, without being installed")
    installed = [extra for extra, packages in extras.items() if all(map(_is_installed, packages))]
    missing = [extra for extra in extras if extra not in installed]
    advice = f"not installed: {', '.join(missing)} (pip install 'execlog[NAME]')" if missing else ""
    return Finding("extras", "ok", ", ".join(installed) or "none installed", advice)


def _extras() -> dict[str, list[str]]:
    """Each extra, and the packages it brings. Raises PackageNotFoundError where execlog is not installed itself."""
    found: dict[str, list[str]] = {}
    for requirement in requires("execlog") or ():
        match = _OF_EXTRA.match(requirement)
        if match and match[2] != "all":
            found.setdefault(match[2], []).append(match[1])
    return found


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False
