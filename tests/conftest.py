"""What all tests share: real servers (one of each a worker, started when first asked for), hypothesis, skips in CI."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import hypothesis
import psycopg
import pytest

import servers
import skips
import snippets
from execlog.store.postgres.store import PostgresStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

AnyServer = TypeVar("AnyServer", bound="servers.Server | servers.ValkeyCluster")

# Two busy cores make any deadline a lie; CI must say the same thing about the same commit every time.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_configure(config: pytest.Config) -> None:
    # Workers report to the controller, which alone sees every skip.
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(skips.Watch(skips.EXPECTED.read_text()), "expected-skips")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran = [report.nodeid for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")]
    figures = [
        (report.nodeid, *each) for report in terminalreporter.getreports("passed") for each in report.user_properties
    ]
    if figures:
        terminalreporter.section("figures")
        for nodeid, name, figure in figures:
            terminalreporter.write_line(f"{nodeid.partition('::')[2]}: {name}: {figure}")
    unrun = [one for page in snippets.pages() for one in snippets.find(page) if one.unrun is not None]
    if unrun and any("test_snippets.py" in name for name in ran):
        terminalreporter.section("snippets of the documentation that are not run")
        for one in unrun:
            terminalreporter.write_line(f"{one.where} {one.language}: {one.unrun}")


def _serve(make: Callable[[], AnyServer]) -> Iterator[AnyServer]:
    try:
        server = make()
    except servers.MissingServerError as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """The worker's PostgreSQL, shared by its tests. A test that stops one starts its own servers.Postgres()."""
    yield from _serve(servers.Postgres)


@pytest.fixture(scope="session")
def postgres_url(postgres: servers.Postgres) -> str:
    """The URL of the shared PostgreSQL's database `postgres`."""
    return postgres.url


@pytest.fixture
def empty_postgres_url(postgres: servers.Postgres) -> Iterator[str]:
    """The URL of a database made for this test alone, and dropped after it."""
    name = f"test_{uuid.uuid4().hex}"
    postgres.execute(f"create database {name}")
    yield postgres.database_url(name)
    postgres.execute(f"drop database {name} with (force)")


_EMPTY = """
do $$
declare kept regclass;
begin
    for kept in
        select oid from pg_class
        where relkind in ('r', 'p') and not relispartition and relnamespace = 'public'::regnamespace
            and relname <> 'execlog_schema'
    loop
        execute 'delete from ' || kept;
    end loop;
    insert into state default values;
end $$
"""


@pytest.fixture(scope="session")
def migrated_postgres_url(postgres: servers.Postgres) -> str:
    """The URL of a database that has execlog's tables."""
    postgres.execute("create database migrated")
    url = postgres.database_url("migrated")
    PostgresStore(url).close()
    return url


@pytest.fixture
def kept_postgres_url(migrated_postgres_url: str) -> str:
    """The URL of a database whose tables are there, and empty: making them takes longer than most tests do."""
    with psycopg.connect(migrated_postgres_url) as connection:
        connection.execute(_EMPTY)
    return migrated_postgres_url


@pytest.fixture
def new_store_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """A function that gives the URL of an empty store of this name: memory, sqlite, files, redis or postgres."""

    def name_url(name: str) -> str:
        if name == "postgres":
            return request.getfixturevalue("kept_postgres_url")
        if name == "redis":
            monkeypatch.setenv("EXECLOG_REDIS_HISTORY_LIMIT", "10000")  # as the others, which keep everything
            return request.getfixturevalue("empty_valkey_url")
        urls = {"memory": "memory://", "files": f"files:///{tmp_path / 'history'}"}
        return urls.get(name, f"sqlite:///{tmp_path / 'history.db'}")

    return name_url


@pytest.fixture(scope="session")
def valkey() -> Iterator[servers.Valkey]:
    """The worker's Valkey, shared by its tests. A test that stops one starts its own servers.Valkey()."""
    yield from _serve(servers.Valkey)


@pytest.fixture(scope="session")
def valkey_url(valkey: servers.Valkey) -> str:
    """The URL of the shared Valkey's database 0."""
    return valkey.url


@pytest.fixture
def empty_valkey_url(valkey: servers.Valkey) -> str:
    """The URL of the shared Valkey's database 0, emptied for this test."""
    valkey.ask("FLUSHALL")
    return valkey.url


@pytest.fixture(scope="session")
def valkey_cluster() -> Iterator[servers.ValkeyCluster]:
    """The worker's cluster of Valkeys. A test that stops a node starts its own servers.ValkeyCluster()."""
    yield from _serve(servers.ValkeyCluster)


@pytest.fixture
def empty_cluster_url(valkey_cluster: servers.ValkeyCluster) -> str:
    """The URL of the shared cluster, emptied for this test."""
    valkey_cluster.empty()
    return valkey_cluster.url


@pytest.fixture
def free_port() -> int:
    """A loopback port that nobody listens on; servers.free_port() gives more of them."""
    return servers.free_port()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Debian's chromium."""
    try:
        return servers.find_chromium()
    except servers.MissingServerError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A headless browser under playwright, whose own loop keeps asyncio.run from working in the same module."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=servers.chromium_flags())
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page with cookies and storage of its own."""
    context = browser.new_context()
    yield context.new_page()
    context.close()
