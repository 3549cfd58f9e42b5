"""What a user's `pip install execlog` costs: few packages, few bytes, and an import that loads no server."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = 15
MEBIBYTES = 25.0

# Modules of the server and of the extras, which only what needs them may load.
HEAVY = {
    *("starlette", "uvicorn", "sse_starlette", "jinja2", "httptools", "uvloop"),
    *("psycopg", "redis", "duckdb", "trino", "polars", "exchange_calendars", "re2", "cryptography", "opentelemetry"),
    *("distributed", "clickhouse_connect", "genai_prices", "sqlglot", "yfinance"),
}
# Parts of the standard library that cost more than all of execlog may.
COSTLY = {"asyncio", "ssl", "sqlite3", "multiprocessing", "http", "email", "unittest", "xml"}

MEASURE = textwrap.dedent("""
    import importlib.metadata, json, os
    sizes = {}
    for found in importlib.metadata.distributions():
        paths = [found.locate_file(file) for file in found.files]
        sizes[found.metadata["Name"].lower()] = sum(os.path.getsize(path) for path in paths)
    print(json.dumps(sizes))
""")


# Imports every module; beside its name stands its file, or why it could not be imported.
IMPORT_ALL = textwrap.dedent("""
    import importlib, json, pkgutil, execlog
    outcome = {"execlog": execlog.__file__}
    def look(package):
        for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            if found.name == "execlog.testing" or found.name.endswith(".__main__"):
                continue
            try:
                module = importlib.import_module(found.name)
            except ImportError as error:
                outcome[found.name] = f"ImportError: {error}"
            else:
                outcome[found.name] = module.__file__
                if found.ispkg:
                    look(module)
    look(execlog)
    print(json.dumps(outcome))
""")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    (built,) = folder.glob("execlog-*.whl")
    return built


@pytest.fixture(scope="module")
def core(wheel, tmp_path_factory):
    """The interpreter of a new environment that holds the wheel and what it needs, and nothing else."""
    return install(wheel, tmp_path_factory.mktemp("core"), ROOT / "constraints.txt")


@pytest.fixture(scope="module")
def lowest(wheel, tmp_path_factory):
    """As `core`, with every dependency at its lower bound."""
    folder = tmp_path_factory.mktemp("lowest")
    dependencies = PROJECT["project"]["dependencies"]
    pins = folder / "lowest.txt"
    pins.write_text("".join(entry.partition(",")[0].replace(">=", "==") + "\n" for entry in dependencies))
    return install(wheel, folder, pins)


def install(wheel: Path, folder: Path, constraints: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip("--python", str(python), "install", "-c", str(constraints), str(wheel))
    return python


def pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def run(python: str | Path, code: str) -> str:
    """What `code` prints when `python` runs it away from the checkout's own settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXECLOG_")}
    environment["PYTHONPATH"] = "" if python != sys.executable else str(ROOT / "src")
    command = [str(python), "-W", "error", "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def loaded_by(code: str) -> set[str]:
    """The top-level modules that `code` loads, beside those every start of Python loads."""
    listing = "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    return set(run(sys.executable, code + listing).split()) - set(run(sys.executable, listing).split())


def test_the_core_stays_within_15_packages_and_25_mib(core):
    sizes = json.loads(run(core, MEASURE))
    assert sizes.pop("execlog") > 0
    table = "\n".join(
        f"{size / 2**20:6.2f} MiB {name}" for name, size in sorted(sizes.items(), key=lambda item: -item[1])
    )
    total = sum(sizes.values()) / 2**20
    assert len(sizes) <= PACKAGES, f"{len(sizes)} packages of {total:.1f} MiB, at most {PACKAGES}\n{table}"
    assert total <= MEBIBYTES, f"{total:.1f} MiB, at most {MEBIBYTES}\n{table}"


@pytest.mark.parametrize("bounds", ["core", "lowest"])
def test_every_module_imports_without_the_extras_or_names_the_missing_one(bounds, request):
    python = request.getfixturevalue(bounds)
    outcome = json.loads(run(python, IMPORT_ALL))
    assert outcome["execlog"].startswith(str(python.parents[1]))
    failed = {name: result for name, result in outcome.items() if result.startswith("ImportError")}
    assert {name: result for name, result in failed.items() if "execlog[" not in result} == {}


def test_the_wheel_holds_every_file_of_the_package(wheel):
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "src/execlog"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = {name.removeprefix("src/") for name in listed.split("\0") if name and (ROOT / name).is_file()}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert wanted
    assert held == wanted


def test_importing_execlog_loads_neither_the_server_nor_an_extra():
    assert "execlog" in (loaded := loaded_by("import execlog"))
    assert not loaded & HEAVY
    assert not loaded & COSTLY


def test_the_whole_api_loads_neither_the_server_nor_an_extra():
    loaded = loaded_by("import execlog\nfor name in getattr(execlog, '__all__', ()): getattr(execlog, name)")
    assert not loaded & HEAVY


def test_every_extra_is_in_all_and_every_dependency_is_bounded():
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    every = {name for entry in extras["all"] for name in entry.partition("[")[2].rstrip("]").split(",")}
    assert every == extras.keys() - {"all"}
    bounds = [entry for name, entries in extras.items() if name != "all" for entry in entries] + project["dependencies"]
    assert [entry for entry in bounds if ">=" not in entry or ",<" not in entry] == []


def test_what_is_locked_runs_on_the_oldest_python():
    installed = {one.name: one.metadata.get("Requires-Python") or "" for one in importlib.metadata.distributions()}
    assert "msgspec" in installed
    assert {name: want for name, want in installed.items() if "3.11.0" not in SpecifierSet(want)} == {}


def test_every_dependency_has_its_reason_in_the_docs():
    described = (ROOT / "docs" / "dependencies.md").read_text()
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    extras = [entry for name, entries in project["optional-dependencies"].items() if name != "all" for entry in entries]
    names = [entry.partition(">=")[0].partition("[")[0] for entry in project["dependencies"] + extras + groups["dev"]]
    assert [name for name in names if f"`{name}`" not in described] == []


def test_recording_without_asyncio_does_not_load_it(tmp_path):
    recording = f"""
import execlog
with execlog.Ledger.open("sqlite:///{tmp_path}/db", home="{tmp_path}") as ledger:
    with ledger.run("nightly") as run:
        run.rows(1)
"""
    assert "asyncio" not in loaded_by(recording)
