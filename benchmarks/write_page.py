"""Writes docs/benchmarks.md, docs/images/growth.svg and the README's table from results, and from nothing else.

    write_page.py [FOLDER]        default: docs/benchmarks, what is published

Curves are drawn as plain SVG, as docs/images/draw.py draws: a dozen lines of geometry, where matplotlib would bring
numpy and 60 MiB into everybody's development environment for the sake of one picture.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path

import msgspec
from report import Figure, Results

DOCS = Path(__file__).parents[1] / "docs"
KEPT, PAGE, PICTURE, README = (
    DOCS / "benchmarks",
    DOCS / "benchmarks.md",
    DOCS / "images" / "growth.svg",
    (DOCS.parent / "README.md"),
)
ORDER = (
    "import_time", "cli_start", "bench_recorder", "bench_ingest", "bench_files", "bench_growth", "bench_http",
    "bench_http_reads", "bench_http_reads_postgres", "bench_http_ingest", "bench_gateway", "bench_scheduler",
    "peers_recorder", "peers_scheduler", "peers_server",
)  # fmt: skip
PEERS = ("APScheduler", "procrastinate", "rq", "OpenTelemetry, OTLP encoding", "Langfuse", "MLflow", "Phoenix")
SHORT = (
    ("`record()`: what a caller waits for, in CPU", "peers_recorder", "caller"),
    ("1,000 records over HTTP, until they are in the database", "peers_server", "in the database"),
    ("the newest 50 over HTTP, half of the answers within", "peers_server", "newest 50, p50"),
    ("1,000 jobs due at once", "peers_scheduler", "run"),
    ("records in over HTTP, durable when acknowledged", "bench_http_ingest", "batches of 1,000, acknowledged durable"),
    ("the latest of a job, HTTP, 99 % within", "bench_http_reads", "latest of a job, HTTP, p99"),
    ("7 days of everything, HTTP, 99 % within", "bench_http_reads", "7 days of everything, HTTP, p99"),
    ("a text in errors, HTTP, 99 % within", "bench_http_reads", "text of an error, HTTP, p99"),
)  # fmt: skip
"""What the README shows: in words, program, figure; of several sizes the largest. Peers have it under their name."""

_MEASURED = re.compile(r"(<!-- measured -->\n).*?(<!-- /measured -->)", re.DOTALL)
WIDTH, HEIGHT, PAD, COLUMNS = 300, 150, 34, 3
_HEAD = """# Benchmarks

Every figure here was printed by the program named above it and written here from the results it left; nobody edits
them by hand. `make bench ARGS="--results docs/benchmarks"` measures all of it anew, on a machine that does nothing
else. Absolute figures are of one machine; ratios travel better. A target that was missed says so.
"""


def read(folder: Path) -> list[Results]:
    """The results in a folder, in the order of the page."""
    found = [msgspec.json.decode(path.read_bytes(), type=Results) for path in folder.glob("*.json")]
    return sorted(found, key=lambda one: (ORDER.index(one.program) if one.program in ORDER else 99, one.program))


def page(found: list[Results]) -> str:
    """The page."""
    parts = [_HEAD] if found else [_HEAD, "\nNothing was measured for this version yet.\n"]
    for results in found:
        parts.append(f"\n## {results.program}\n\n`{results.command}` on {results.machine}.\n")
        if results.program == "bench_growth":
            parts.append("\n![Cost against the number of executions](images/growth.svg)\n")
        parts.append("\n" + table(results.figures))
        parts += [f"\n{name} is left out: {reason}\n" for name, reason in results.left_out.items()]
    return "".join(parts)


def table(figures: Iterable[Figure]) -> str:
    """The figures as a table of Markdown."""
    rows = ["| figure | at | value | unit | target |", "|---|--:|--:|---|---|"]
    for one in figures:
        name = f"{one.name} ({one.version})" if one.version else one.name
        size = "" if one.size is None else f"{one.size:,}"
        rows.append(f"| {name} | {size} | {shown(one.value)} | {one.unit} | {one.target}{', missed' * one.missed} |")
    return "\n".join(rows) + "\n"


def shown(value: float) -> str:
    """A value with as many digits as mean something."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def short(found: Iterable[Results]) -> str:
    """The README's table, empty where nothing of it was measured."""
    figures = {(one.program, figure.name): figure for one in found for figure in sorted_by_size(one.figures)}
    lines: list[str] = []
    for words, program, name in SHORT:
        figure = figures.get((program, name)) or figures.get((program, f"execlog, {name}"))
        if figure is None:
            continue
        peers = {peer.partition(",")[0]: figures.get((program, f"{peer}, {name}")) for peer in PEERS}
        beside = ", ".join(f"{peer} {quantity(one)}" for peer, one in peers.items() if one is not None)
        among = f", among {figure.size:,}" if figure.size and not beside else ""
        lines.append(f"| {words}{among} | {quantity(figure)} | {beside} |\n")
    return "".join(["| | execlog | beside it |\n|---|--:|---|\n", *lines]) if lines else ""


def quantity(figure: Figure) -> str:
    """A figure's value with its unit: µs and ms without what they are for."""
    unit = figure.unit.partition("/")[0] if figure.unit.startswith(("µs", "ms")) else figure.unit
    return f"{shown(figure.value)} {unit}"


def sorted_by_size(figures: Iterable[Figure]) -> list[Figure]:
    """The figures, those of larger sizes later."""
    return sorted(figures, key=lambda figure: figure.size or 0)


def picture(found: Iterable[Results]) -> str:
    """Every figure that was measured at several sizes, one small chart each."""
    curves: dict[str, list[Figure]] = {}
    for results in found:
        if results.program == "bench_growth":
            for figure in sorted_by_size(results.figures):
                if figure.size is not None:
                    curves.setdefault(f"{figure.name}, {figure.unit}", []).append(figure)
    rows = -(-len(curves) // COLUMNS)
    size = f'width="{WIDTH * COLUMNS}" height="{HEIGHT * rows}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">']
    lines.append(f'<rect {size} fill="#fff"/>')
    for place, (title, points) in enumerate(curves.items()):
        lines += chart(title, points, place % COLUMNS * WIDTH, place // COLUMNS * HEIGHT)
    return "\n".join([*lines, "</svg>"]) + "\n"


def chart(title: str, points: list[Figure], left: int, top: int) -> list[str]:
    """One chart: both axes begin at zero."""
    widest = max(point.size or 0 for point in points) or 1
    most = max(point.value for point in points) or 1
    wide, high, bottom = WIDTH - 2 * PAD, HEIGHT - 2 * PAD, top + HEIGHT - PAD
    line = " ".join(
        f"{left + PAD + (point.size or 0) / widest * wide:.1f},{bottom - point.value / most * high:.1f}"
        for point in points
    )
    return [
        f'<text x="{left + PAD}" y="{top + 16}" font-weight="bold">{escape(title)}</text>',
        f'<text x="{left + PAD}" y="{top + 30}" fill="#666">{shown(most)} at the top</text>',
        f'<path d="M{left + PAD} {top + PAD}V{bottom}H{left + WIDTH - PAD}" fill="none" stroke="#999"/>',
        f'<polyline points="{line}" fill="none" stroke="#0969da" stroke-width="2"/>',
        f'<text x="{left + WIDTH - PAD}" y="{bottom + 14}" text-anchor="end" fill="#666">{widest:,} executions</text>',
    ]


def write(folder: Path = KEPT) -> dict[Path, str]:
    """What each file must say, by the results in a folder."""
    found = read(folder)
    readme = _MEASURED.sub(lambda match: match[1] + short(found) + match[2], README.read_text())
    return {PAGE: page(found), PICTURE: picture(found), README: readme}


def main() -> int:
    """The exit code; writes the files."""
    for path, text in write(Path(sys.argv[1]) if len(sys.argv) > 1 else KEPT).items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
