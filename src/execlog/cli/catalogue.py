"""What the command line offers: names in groups, with a line each. The overview needs nothing else."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command: its name, which is also its module in `commands`, and what it does in one line."""

    name: str
    summary: str


GROUPS: dict[str, tuple[Entry, ...]] = {
    "Start": (
        Entry("demo", "run real jobs over real prices and look at their history"),
        Entry("serve", "serve the API, the pages and the scheduler of a home"),
        Entry("run", "run any command and record how it went"),
    ),
    "Look": (
        Entry("list", "executions, newest first, by any filter"),
        Entry("show", "one execution with its items, errors and log"),
        Entry("tail", "the last executions, and with -f those to come"),
        Entry("latest", "the newest execution of everything that runs"),
        Entry("failures", "what failed, grouped by error"),
        Entry("explain", "why one did not go well, and what changed since it did"),
        Entry("compare", "two executions, or one and the last success before it"),
        Entry("stats", "counts, success rates, durations and cost"),
    ),
    "Act": (
        Entry("retry", "run an execution again, or only its failed items"),
        Entry("jobs", "add, run, pause and remove scheduled jobs"),
        Entry("workflow", "run a workflow that is written in a file, or check it"),
        Entry("alerts", "who is told when something goes wrong, and a test of it"),
    ),
    "Keep": (
        Entry("export", "write executions as CSV, JSON or NDJSON"),
        Entry("backup", "copy the database of a history that is in use"),
        Entry("copy", "copy a history from one store to another"),
        Entry("import", "take over the history of another program"),
        Entry("rm", "remove executions"),
        Entry("prune", "remove what is older than a given age"),
        Entry("migrate", "bring the store's schema up to this version"),
        Entry("doctor", "check this installation, its home and its store"),
        Entry("completion", "print the completion script of a shell"),
    ),
}
ENTRIES: dict[str, Entry] = {entry.name: entry for group in GROUPS.values() for entry in group}
