"""A process that speaks kdb+'s protocol as kdb+ does, and answers what a test tells it to.

It cannot evaluate q. It checks who connects, reads every message whole, knows the gateway's two wrappers by their text
and does what they say: evaluates read-only or not, and cuts a page out of a table.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

from execlog.kinds.queries.connectors import kdb
from execlog.kinds.queries.connectors.qipc import messages, wire
from execlog.kinds.queries.connectors.qipc import values as q


class KdbPeer:
    """`answers` maps a query's text to a value, an exception, or a function of its parameters; "" closes the line."""

    def __init__(self, answers, *, user="", password="", compress=False):
        self.answers = answers
        self.user, self.password, self.compress = user, password, compress
        self.asked = []
        self.lines = []
        self.release = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.release.set()
        self._server.close()
        self.hang_up()

    def hang_up(self):
        """Close every line, as a process that dies does."""
        lines, self.lines = self.lines, []
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line):
        said = b""
        while not said.endswith(b"\0"):
            said += line.recv(1)
        who, capability = said[:-2].decode(), said[-2]
        if who not in {f"{self.user}:{self.password}", self.user if not self.password else ""} or capability != 3:
            line.close()
            return
        line.sendall(bytes([capability]))
        self.lines.append(line)
        with line, suppress(OSError):
            while (data := self._message(line)) is not None:
                self._reply(line, messages.value_of(data))

    @staticmethod
    def _message(line):
        data = b""
        while len(data) < 8 or len(data) < struct.unpack("<I", data[4:8])[0]:
            piece = line.recv(65_536)
            if not piece:
                return None
            data += piece
        assert data[1] == messages.SYNC
        return data

    def _reply(self, line, asked):
        # Published rows come in between at any time.
        line.sendall(messages.message(q.Mixed((q.string("upd"), q.symbol("trade"))), messages.ASYNC))
        try:
            value = self._evaluate(asked)
        except q.QError as error:
            line.sendall(messages.wrap(wire.encode_error(str(error)), messages.RESPONSE))
            return
        line.sendall(messages.message(value, messages.RESPONSE, compress_it=self.compress))

    def _evaluate(self, asked):
        wrapper = q.text_of(asked.items[0])
        if wrapper == "{system x}":
            self.asked.append(("system", q.text_of(asked.items[1])))
            return q.NULL
        assert wrapper in {kdb.READING, kdb.WRITING}
        query, offset, limit = asked.items[1], asked.items[2].raw, asked.items[3].raw
        parameters = query.items[1:] if isinstance(query, q.Mixed) else ()
        text = q.text_of(query.items[0] if isinstance(query, q.Mixed) else query)
        self.asked.append(("reval" if wrapper == kdb.READING else "value", text, *map(q.plain, parameters)))
        answer = self.answers.get(text, q.QError(text))
        if callable(answer):
            answer = answer(*parameters)
        if isinstance(answer, Exception):
            raise answer
        if text.startswith("update") and wrapper == kdb.READING:
            raise q.QError("noupdate: `. `t")
        if isinstance(answer, q.Dictionary) and isinstance(answer.keys, q.Table):
            answer = q.Table(
                q.Dictionary(
                    q.Vector(q.SYMBOL, q.column_names(answer.keys) + q.column_names(answer.values)),
                    q.Mixed((*q.columns_of(answer.keys), *q.columns_of(answer.values))),
                )
            )
        return self._page(answer, offset, limit) if isinstance(answer, q.Table) else answer

    @staticmethod
    def _page(table, offset, limit):
        columns = {
            name: q.vector(column.type, column.values(offset, offset + limit))
            for name, column in zip(q.column_names(table), q.columns_of(table), strict=True)
        }
        return q.Mixed((q.symbol(kdb.PAGE), q.long(q.length_of(table)), q.table(columns)))
