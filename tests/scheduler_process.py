"""A scheduler in a process of its own, for tests that kill it: `scheduler_process.py HOME LEASE POLL STORE`."""

import signal
import sys
import threading
from pathlib import Path

from execlog.kinds.jobs import SchedulerServingApp
from execlog.ledger import Ledger


def main() -> None:
    """Run until SIGTERM; a line on stdout says that it runs."""
    home, lease, poll = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with Ledger.open(sys.argv[4], home=home) as ledger, SchedulerServingApp(ledger) as app:
        app.start_scheduler(lease=lease, poll=poll)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        ended.wait()


if __name__ == "__main__":
    main()
