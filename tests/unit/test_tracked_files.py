"""What is tracked says nothing that is wrong on the next machine: folders, registries, what its Python does wrong."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Put together here, so that this file does not hold what it looks for.
FOLDERS = ["/" + "work", "/" + "root", "/" + "home" + "/[a-z][a-z0-9_-]*"]
HOSTS = [
    ".".join(words)
    for words in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("maven", "org"),
        ("maven", "apache", "org"),
        ("deb", "debian", "org"),
    ]
]
# A folder counts at the start of a path only: `/api/work` and `../root` are something else.
FORBIDDEN = re.compile(
    rf"(?<![\w./*~-])(?:{'|'.join(FOLDERS)})(?![\w-])|(?<![\w-])(?:{'|'.join(map(re.escape, HOSTS))})(?![\w-])"
)


def findings(text: str) -> list[str]:
    """The lines that name a machine's folder or a registry's host, each with its number."""
    return [f"{number}: {line.strip()}" for number, line in enumerate(text.splitlines(), 1) if FORBIDDEN.search(line)]


def tracked_files() -> list[Path]:
    """The files of the next commit: tracked, or neither tracked nor ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_machine_or_a_registry():
    files = tracked_files()
    assert ROOT / "pyproject.toml" in files
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in files
        for line in findings(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        *(f"open('{folder}/x')" for folder in FOLDERS[:2]),
        "cd " + FOLDERS[0],
        "PATH=" + "/" + "home" + "/ann/bin",
        *(f"https://{host}/simple" for host in HOSTS),
        "files." + HOSTS[1],
    ],
)
def test_what_is_forbidden_is_found(text):
    assert findings(text)


@pytest.mark.parametrize(
    "text",
    [
        "GET /api/work",
        "/" + "workflows",
        "/" + "rootless",
        "a/" + "home/ann",
        "../" + "root",
        "my" + HOSTS[0],
        "/" + "work-list",
    ],
)
def test_what_is_alike_is_left_alone(text):
    assert not findings(text)


def test_what_the_demo_leaves_behind_is_ignored():
    assert (
        subprocess.run(["git", "check-ignore", "-q", ".execlog-demo/execlog.db"], cwd=ROOT, check=False).returncode == 0
    )


def test_no_pattern_repeats_a_group_possessively():
    """Until Python 3.11.5 that goes wrong where the group can backtrack (gh-106052); single characters are safe."""
    sources = [path for path in tracked_files() if path.suffix == ".py" and "src" in path.relative_to(ROOT).parts]
    found = [path for path in sources if re.search(r"\)(?:[*+?]|\{\d*,?\d*\})\+", path.read_text("utf-8"))]
    assert len(sources) > 100
    assert not found
