"""`execlog serve`: the app on a socket, from the first answer to a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import threading
from collections.abc import Callable, Generator, Sequence

import uvicorn
from sse_starlette.sse import AppStatus

from execlog.core.errors import SettingsError
from execlog.core.settings import Settings
from execlog.history.alerts import load_alerts
from execlog.history.retention import Retention
from execlog.kind import Kind
from execlog.ledger import Ledger
from execlog.web.access import check_exposure
from execlog.web.alerts import Alerts
from execlog.web.app import create_app
from execlog.web.protocol import BoundedProtocol

Announce = Callable[[str], object]
_WILD = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - recognised, not bound
_SECONDS_TO_ANSWER = 10.0
_MOST_FILES = 65_536


def serve(
    ledger: Ledger,
    kinds: Sequence[Kind] = (),
    settings: Settings | None = None,
    *,
    announce: Announce = print,
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; `announce` is given the URL once it answers.

    Closing the ledger is the caller's.
    Raises SettingsError for an address that is taken or none, off loopback where no tokens are set, and for alerts that
    cannot be used.
    """
    Server(ledger, kinds, settings).run(announce=announce)


class Server:
    """The app on a socket. `url` is known from the beginning (port 0 takes a free one); `run` makes it answer."""

    def __init__(self, ledger: Ledger, kinds: Sequence[Kind] = (), settings: Settings | None = None) -> None:
        """Bind the socket. Raises SettingsError as `serve` does."""
        settings = settings or ledger.settings
        check_exposure(settings)
        self._alerts = Alerts(ledger, load_alerts(ledger.settings.home))
        self._app = create_app(ledger, kinds, settings)
        self._socket = bind(settings.host, settings.port)
        self.port: int = self._socket.getsockname()[1]
        self.url = _url(settings.host, self.port)
        self._retention = Retention(ledger, settings.retention_days)
        is_wild = settings.host.strip("[]") in _WILD
        self._pages = None if is_wild else self.url  # what readers elsewhere may know it by
        config = uvicorn.Config(
            self._app,
            http=BoundedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.shutdown_timeout) - 1),
        )
        self._uvicorn = _Uvicorn(config, self._app.state.stop)

    def run(self, *, announce: Announce | None = None) -> None:
        """Serve until `stop`, on the main thread also until a signal; `announce` is given the URL once it answers."""
        _raise_file_limit()
        self._uvicorn.on_answer = None if announce is None else lambda: announce(self.url)
        self._uvicorn.address = self._socket.getsockname()
        self._retention.start()
        self._alerts.start(self._pages)
        # sse-starlette would cut streams off in the middle at the signal; here they are ended.
        AppStatus.disable_automatic_graceful_drain()
        try:
            self._uvicorn.run(sockets=[self._socket])
        finally:
            AppStatus.enable_automatic_graceful_drain_mode()
            self._retention.stop()
            self._alerts.stop()
            self._socket.close()

    @contextlib.contextmanager
    def in_thread(self) -> Generator[str]:
        """Serve in a thread while the context lasts, once it answers; the context's value is the URL."""
        answers = threading.Event()
        thread = threading.Thread(target=self.run, kwargs={"announce": _setter(answers)}, daemon=True)
        thread.start()
        try:
            if not answers.wait(_SECONDS_TO_ANSWER):
                raise SettingsError(f"the server does not answer at {self.url}")
            yield self.url
        finally:
            self.stop()
            thread.join(_SECONDS_TO_ANSWER)

    def stop(self) -> None:
        """Ask it to stop; from any thread."""
        self._uvicorn.should_exit = True


class _Uvicorn(uvicorn.Server):
    """uvicorn that ends live streams first, speaks only once it answers, and lets the caller outlive a signal."""

    def __init__(self, config: uvicorn.Config, close_streams: Callable[[], None]) -> None:
        super().__init__(config)
        self.on_answer: Callable[[], object] | None = None
        self.address: tuple[str, int] = ("127.0.0.1", 0)
        self._close_streams = close_streams
        self._answering: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take SIGINT, SIGTERM and SIGHUP as a wish to stop; uvicorn would raise them again at the end.

        That would kill the caller. A hangup that is ignored, as under nohup, stays ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wishes = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            wishes.append(signal.SIGHUP)
        before = {number: signal.signal(number, self.handle_exit) for number in wishes}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        if self.on_answer is not None:
            self._answering = asyncio.create_task(self._say())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the live streams, which would never end by themselves, then everything else."""
        if self._answering is not None:
            self._answering.cancel()
        self._close_streams()
        await super().shutdown(sockets)

    async def _say(self) -> None:
        host, port = self.address[:2]
        async with asyncio.timeout(_SECONDS_TO_ANSWER):
            reader, writer = await asyncio.open_connection(_WILD.get(host, host), port)
            writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            await reader.readline()
            writer.close()
        if self.on_answer is not None:
            self.on_answer()


def _setter(event: threading.Event) -> Announce:
    return lambda _: event.set()


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to this address; raises SettingsError where that cannot be."""
    try:
        found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(f"cannot listen on {host}:{port}: {reason}") from error
    return bound


def _url(host: str, port: int) -> str:
    host = _WILD.get(host.strip("[]"), host.strip("[]"))
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_file_limit() -> None:
    """Let the process open as many files as it may: every live client is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
