"""`POST /v3/execute` with and without recording, side by side in one server: recording may cost at most 1 %.

One server process has the app twice, with a gateway that records into SQLite (which the same process drains) and with
one that does not. A client in another process asks both in turn, ABBA, over one keep-alive connection, and compares the
medians of the pairs. What is asked for:

    study      how each stock moved within a year of each month of each other, as an analyst asks: tens of milliseconds
    report     a grouped aggregate over the prices, as a dashboard asks: one or two milliseconds
    page       a hundred of 560 rows
    lookup     one row by its key: nothing but overhead, the worst case there is

`ARGS="gateway --rounds 500"` of `make bench`, or `python benchmarks/bench_gateway.py --rounds 500`.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import Report

QUERIES = {
    "study": "select a.symbol, b.symbol as other, max(b.price / a.price) as best, min(b.price / a.price) as worst "
    "from prices a join prices b on a.symbol <> b.symbol and b.date > a.date and b.date <= date(a.date, '+1 year') "
    "group by 1, 2",
    "report": "select a.symbol, b.symbol as other, count(*) as months, avg(a.price / b.price) as ratio "
    "from prices a join prices b on a.date = b.date and a.symbol < b.symbol "
    "group by 1, 2 having avg(a.price) > 0 order by ratio desc",
    "page": "select symbol, date, price from prices order by date, symbol",
    "lookup": "select price from prices where symbol = 'IBM' and date = '2005-06-01'",
}
LIMITS = {"study": 1.01, "report": 1.01, "page": None, "lookup": None}
WARM_UP = 40


def serve(home: Path, port: int) -> None:
    """The server: the app at /on and at /off, until it is killed."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount

    import execlog
    from execlog.kinds.queries.demo import demo_gateway
    from execlog.kinds.queries.gateway import Gateway
    from execlog.kinds.queries.routes import query_kind
    from execlog.ledger import Ledger
    from execlog.web.app import create_app

    prices = Path(execlog.__file__).parent / "kinds" / "jobs" / "data" / "stocks.csv"
    ledger = Ledger.open(f"sqlite:///{home}/spine.db", home=home, drains_home=True)
    recording = demo_gateway(ledger, prices)
    silent = Gateway(ledger, recording.connections, record=lambda _event: True)
    apps = {"/on": recording, "/off": silent}
    app = Starlette(routes=[Mount(path, create_app(ledger, [query_kind(ledger, one)])) for path, one in apps.items()])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


def ask(line: http.client.HTTPConnection, where: str, body: bytes) -> float:
    """Seconds from sending the request to having read the answer."""
    began = time.perf_counter()
    line.request("POST", f"/{where}/v3/execute", body, {"Content-Type": "application/json"})
    answer = line.getresponse()
    data = answer.read()
    seconds = time.perf_counter() - began
    assert answer.status == 200, data
    return seconds


def measure(line: http.client.HTTPConnection, query: str, rounds: int) -> tuple[float, float, float]:
    """Median seconds without recording, with it, and the median ratio of neighbouring pairs."""
    body = json.dumps({"query": query, "connection": "prices", "user_id": "bench", "page_size": 100}).encode()
    for _ in range(WARM_UP):
        ask(line, "on", body)
        ask(line, "off", body)
    off: list[float] = []
    on: list[float] = []
    for number in range(rounds):
        order = ("off", "on") if number % 2 else ("on", "off")
        taken = {where: ask(line, where, body) for where in order}
        off.append(taken["off"])
        on.append(taken["on"])
    ratios = [with_it / without for with_it, without in zip(on, off, strict=True)]
    return statistics.median(off), statistics.median(on), statistics.median(ratios)


def connect(port: int, server: subprocess.Popen[bytes]) -> http.client.HTTPConnection:
    """A connection, once the server answers."""
    end = time.monotonic() + 30
    while time.monotonic() < end and server.poll() is None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            line.connect()
        except OSError:
            time.sleep(0.05)
            continue
        assert line.sock is not None
        line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return line
    message = "the server did not start"
    raise RuntimeError(message)


def main() -> int:
    """0 when recording costs no more than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400, help="pairs of requests a query")
    parser.add_argument("--serve", nargs=2, metavar=("HOME", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Path(options.serve[0]), int(options.serve[1]))
        return 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    report = Report("bench_gateway")
    with tempfile.TemporaryDirectory(prefix="execlog-bench-") as home:
        server = subprocess.Popen([sys.executable, __file__, "--serve", home, str(port)])
        try:
            line = connect(port, server)
            gc.disable()
            for name, query in QUERIES.items():
                without, with_it, ratio = measure(line, query, options.rounds)
                limit = LIMITS[name]
                report.add(f"{name}, without recording", without * 1e3, "ms")
                report.add(f"{name}, with", with_it * 1e3, "ms")
                report.add(f"{name}, with over without", ratio, "times", **({"at_most": limit} if limit else {}))
        finally:
            server.kill()
            server.wait()
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
