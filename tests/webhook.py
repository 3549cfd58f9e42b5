"""A webhook on loopback: keeps what is posted to it, and answers as it is told to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PATH = "/services/T0/B0/path-that-nobody-sees?key=nor-this"


class Webhook:
    """Answers each POST with the next of `answers` (status, headers), then with 200; none while it is `held`.

    came   every message that was posted, also those that were refused or never answered
    took   those that were answered with 200
    """

    def __init__(self, *answers: tuple[int, dict[str, str]]) -> None:
        self.answers = list(answers)
        self.came: list[dict[str, Any]] = []
        self.took: list[dict[str, Any]] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.path == PATH
                hook.came.append(body)
                hook.goes_on.wait(30)
                status, headers = hook.answers.pop(0) if hook.answers else (200, {})
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(f"no {self.path}".encode())
                except OSError:
                    return
                if status == 200:
                    hook.took.append(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def hold(self) -> None:
        """Answer nobody until `goes_on` is set."""
        self.goes_on.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.goes_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
