"""A coordinator that speaks Trino's client protocol: POST a statement, GET its pages while there are any, DELETE it.

It runs no SQL: a test says what a statement answers. What is faithful is the protocol: queued and running states before
there are columns, a slug and a token in every nextUri, the same page again when it is asked for again, an error inside
a 200, 410 for what is gone, 204 for a DELETE, authentication by headers, session properties in headers.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UNBOUNDED = {"varchar": "2147483647"}


class TrinoQuery:
    """One query on the coordinator."""

    def __init__(self, text, headers, columns, pages, error, hold):
        self.id = f"20260101_000000_{uuid.uuid4().hex[:5]}"
        self.slug = uuid.uuid4().hex
        self.text, self.headers = text, headers
        self.columns, self.pages, self.error, self.hold = columns, pages, error, hold
        self.state = "QUEUED"
        self.fetched = 0


class Rows:
    """What a statement answers: columns as (name, type), and pages of rows as JSON values; `update` for DML."""

    def __init__(self, columns, pages, *, update=None, count=None):
        self.columns, self.pages, self.update, self.count = columns, pages, update, count


class TrinoPeer:
    """`answers` maps a statement to Rows, to an error (a dict), or to None: it runs until it is cancelled."""

    def __init__(self, answers):
        self.answers = answers
        self.queries = []
        self.requests = []
        self.breaking = 0
        self.slow_start = threading.Event()
        self.slow_start.set()
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                peer.requests.append(("POST", text))
                self._answer(*peer.submit(text, dict(self.headers)))

            def do_GET(self):
                peer.requests.append(("GET", self.path))
                self._answer(*peer.page(self.path))

            def do_DELETE(self):
                peer.requests.append(("DELETE", self.path))
                self._answer(*peer.cancel(self.path))

            def _answer(self, status, body):
                if status is None:  # the line breaks
                    self.close_connection = True
                    self.connection.close()
                    return
                data = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self):
        for query in self.queries:
            query.state = "FAILED"
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def submit(self, text, headers):
        if self.breaking:
            self.breaking -= 1
            return 503, None
        self.slow_start.wait(10)
        found = self.answers.get(text, {"errorName": "TABLE_NOT_FOUND", "errorType": "USER_ERROR", "errorCode": 46,
                                        "message": f"line 1:15: Table for {text!r} does not exist"})  # fmt: skip
        error = found if isinstance(found, dict) else None
        rows = found if isinstance(found, Rows) else Rows([], [])
        query = TrinoQuery(text, headers, rows.columns, rows.pages, error, found is None)
        query.update, query.count = rows.update, rows.count
        self.queries.append(query)
        return 200, self._status(query, 0)

    def page(self, path):
        query, token = self._find(path)
        if query is None:
            return 410, None
        if query.state == "FAILED":
            return 200, self._failed(query)
        if query.hold:
            threading.Event().wait(0.05)  # the coordinator holds a request back for a moment, up to a second
            query.state = "RUNNING"
            return 200, self._status(query, token + 1)
        if token == 0:
            query.state = "RUNNING"
            return 200, self._status(query, 1)
        if query.error is not None:
            query.state = "FAILED"
            return 200, self._failed(query)
        number = token - 1
        query.fetched = max(query.fetched, number + 1)
        last = number + 1 >= len(query.pages)
        query.state = "FINISHED" if last else "RUNNING"
        body = self._status(query, None if last else token + 1)
        body["columns"] = [self._column(name, kind) for name, kind in query.columns]
        if number < len(query.pages):
            body["data"] = query.pages[number]
        return 200, body

    def cancel(self, path):
        query, _ = self._find(path)
        if query is None:
            return 410, None
        if query.state != "FINISHED":
            query.state = "FAILED"
            query.error = {"errorName": "USER_CANCELED", "errorType": "USER_ERROR", "errorCode": 3,
                           "message": "Query was canceled"}  # fmt: skip
        return 204, None

    def _find(self, path):
        parts = path.split("/")
        for query in self.queries:
            if parts[4:6] == [query.id, query.slug]:
                return query, int(parts[6])
        return None, 0

    def _status(self, query, token):
        stage = "queued" if query.state == "QUEUED" else "executing"
        body = {
            "id": query.id,
            "infoUri": f"http://127.0.0.1:{self.port}/ui/query.html?{query.id}",
            "stats": {"state": query.state, "queued": query.state == "QUEUED", "scheduled": True, "nodes": 1},
            "warnings": [],
        }
        if query.update is not None:
            body["updateType"] = query.update
            if query.state == "FINISHED":
                body["updateCount"] = query.count
        if token is not None:
            body["nextUri"] = f"http://127.0.0.1:{self.port}/v1/statement/{stage}/{query.id}/{query.slug}/{token}"
        return body

    def _failed(self, query):
        error = query.error or {"errorName": "SERVER_SHUTTING_DOWN", "errorType": "INTERNAL_ERROR", "message": "bye"}
        return self._status(query, None) | {"error": {"failureInfo": {"type": "io.trino.X"}, **error}}

    @staticmethod
    def _column(name, kind):
        if kind.startswith("array"):
            raw, arguments = "array", [{"kind": "TYPE", "value": {"rawType": kind[6:-1], "arguments": []}}]
        else:
            begin, numbers, rest = re.fullmatch(r"(\w+)(?:\(([\d,]+)\))?(.*)", kind).groups()
            raw = begin + rest
            arguments = [
                {"kind": "LONG", "value": int(number)}
                for number in (numbers or UNBOUNDED.get(raw, "")).split(",")
                if number
            ]
        return {"name": name, "type": kind, "typeSignature": {"rawType": raw, "arguments": arguments}}
