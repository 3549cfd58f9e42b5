"""The servers that other tests rely on: they start, answer, survive a restart, and leave no process behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import servers


def alive(pid: int) -> bool:
    """Whether a process is there and not merely a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.postgres
def test_postgres_answers_and_can_search_by_trigrams(empty_postgres_url, postgres):
    database = empty_postgres_url.rpartition("/")[2]
    assert postgres.execute("select version()").startswith("PostgreSQL 18.")
    assert postgres.execute("create extension pg_trgm; select 'timeout' % 'timeouts'", database).endswith("t")
    assert postgres.execute("select lower('ÄÖ')") == "äö"


@pytest.mark.postgres
def test_postgres_refuses_bad_sql_with_its_own_words(postgres):
    with pytest.raises(servers.ServerError, match="nowhere"):
        postgres.execute("select * from nowhere")


@pytest.mark.postgres
def test_postgres_takes_psycopg(postgres_url):
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("show server_version_num").fetchone()[0].startswith("18")


@pytest.mark.postgres
def test_postgres_keeps_data_and_port_over_stop_and_kill(postgres):
    with servers.Postgres() as own:
        port = own.port
        own.execute("create table kept (n int); insert into kept values (1)")
        own.stop()
        assert not servers.accepts(port)
        own.start().execute("insert into kept values (2)")
        children = Path(f"/proc/{own.process.pid}/task/{own.process.pid}/children").read_text().split()
        own.kill()
        servers.wait_until(lambda: not any(alive(int(child)) for child in children), 10, "killing postgres")
        assert own.start().execute("select count(*) from kept") == "2"
        assert own.port == port
    assert not own.folder.exists()
    assert postgres.execute("select 1") == "1"


@pytest.mark.valkey
def test_valkey_sets_and_gets(empty_valkey_url, valkey):
    redis = pytest.importorskip("redis")
    with redis.Redis.from_url(empty_valkey_url, decode_responses=True) as client:
        assert client.dbsize() == 0
        assert client.set("key", "välue")
        assert client.get("key") == "välue"
        assert client.info("server")["valkey_version"].startswith("9.")
    assert valkey.ask("EXISTS", "key") == ":1"


@pytest.mark.valkey
def test_valkey_comes_back_on_its_port_after_a_kill(valkey):
    with servers.Valkey({"appendonly": "yes", "appendfsync": "always"}) as own:
        assert own.ask("SET", "key", "value") == "+OK"
        own.kill()
        assert not servers.accepts(own.port)
        assert own.start().ask("STRLEN", "key") == ":5"
    assert valkey.ask("PING") == "+PONG"


def test_a_server_that_cannot_start_says_why():
    class Broken(servers.Valkey):
        def command(self):
            return [*super().command(), "--no-such-directive", "1"]

    broken = Broken()
    with pytest.raises(servers.ServerError, match="no-such-directive"), broken:
        pass
    assert not broken.folder.exists()


def test_a_first_start_moves_away_from_a_port_that_was_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = servers.Valkey()
        server.port = taken.getsockname()[1]
        with server:
            assert server.port != taken.getsockname()[1]
            assert server.ask("PING") == "+PONG"


def test_servers_die_with_the_process_that_started_them(tmp_path):
    script = textwrap.dedent("""
        import servers, sys
        started = [servers.Postgres().start(), servers.Valkey().start()]
        print(*(server.process.pid for server in started), *(server.folder for server in started), flush=True)
        sys.stdin.read()
    """)
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path(servers.__file__).parent), "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    pids = [int(word) for word in owner.stdout.readline().split()[:2]]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()
    servers.wait_until(lambda: not any(alive(pid) for pid in pids), 10, "taking the servers along")


@pytest.mark.browser
def test_chromium_runs_a_page(chromium, tmp_path):
    address = "data:text/html,<body><script>document.body.append(6*7)</script>"
    command = [chromium, "--headless", *servers.chromium_flags(), f"--user-data-dir={tmp_path}", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "</script>42</body>" in done.stdout


@pytest.mark.browser
def test_playwright_drives_chromium(page):
    page.set_content("<button onclick='this.textContent = \"clicked\"'>click</button>")
    page.get_by_role("button").click()
    assert page.get_by_role("button").text_content() == "clicked"


def test_free_ports_are_free(free_port):
    assert not servers.accepts(free_port)
