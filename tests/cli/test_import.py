"""`execlog import` of what other programs wrote: Redis keys, files and tables of the contract, on real servers."""

from __future__ import annotations

import json

import pytest

from execlog.ledger import Ledger
from execlog.store.pairs import Pair

APPLE = Pair("AAPL", "1d")

RECORD = {
    "execution_id": "run-1", "job_id": "daily", "job_name": "Daily prices", "start_time": "2026-01-02T03:00:00",
    "end_time": "2026-01-02T03:00:09", "status": "partial_success", "fetched_stocks": ["AAPL"],
    "failed_stocks": ["GOOGL"], "errors": ["Failed to fetch GOOGL: Connection timeout after 30s"], "total_stocks": 2,
    "duration_seconds": 9.0, "triggered_by": "schedule", "metadata": {"region": "eu", "api_key": "sk-1"},
}  # fmt: skip
WORKFLOW = {
    "id": "w-1", "projectId": "shop", "status": "completed", "startedAt": "2026-01-02T03:00:00Z",
    "completedAt": "2026-01-02T03:00:02Z", "duration": 2000,
    "tokenUsage": {"input": 100, "output": 20, "total": 120}, "costUSD": 0.003,
}  # fmt: skip
TABLES = """
create table scheduler_execution_log (execution_id text, started_at timestamptz, completed_at timestamptz,
    total_symbols int, successful_symbols int, failed_symbols int, total_records_processed bigint,
    duration_seconds double precision, status text, error_message text);
insert into scheduler_execution_log values
    ('b-1', '2026-01-02T03:00Z', '2026-01-02T03:01Z', 2, 1, 1, 500, 60, 'completed', null),
    ('b-2', '2026-01-03T03:00Z', null, 2, null, null, null, null, 'exploded', null),
    ('b-3', 'infinity', null, 2, null, null, null, null, 'running', null),
    ('b-4', '2026-01-04T03:00Z', '2026-01-04T03:01Z', 2, 2, 0, 500, 'NaN', 'completed', null);
create table symbol_computation_status (execution_id text, symbol text, asset_class text, timeframe text, status text,
    records_processed int, records_inserted int, features_computed int, started_at timestamptz,
    completed_at timestamptz, duration_seconds double precision, error_message text);
insert into symbol_computation_status values
    ('b-1', 'AAPL', 'stock', '1d', 'completed', 500, 500, 6, '2026-01-02T03:00Z', '2026-01-02T03:01Z', 60, null),
    ('b-4', 'MSFT', 'stock', '1d', 'completed', 5, 5, 6, '2026-01-04T03:00Z', '2026-01-04T03:01Z', '-Infinity', null),
    ('none', 'AAPL', 'stock', '1d', 'completed', 500, 500, 6, '2026-01-02T03:00Z', '2026-01-02T03:01Z', 60, null),
    ('b-1', 'GOOG', 'stock', '1d', 'failed', 0, 0, 0, '2026-01-02T03:00Z', '2026-01-02T03:01Z', 1, 'no rows');
create table feature_computation_failures (symbol text, timeframe text, error_message text, execution_id text,
    retry_count int, resolved boolean, failed_at timestamptz);
insert into feature_computation_failures values ('GOOG', '1d', 'no rows', 'b-1', 1, false, '2026-01-02T03:01Z');
create table feature_freshness (symbol text, timeframe text, last_computed_at timestamptz, data_point_count int,
    status text, staleness_seconds double precision, updated_at timestamptz);
insert into feature_freshness values ('AAPL', '1d', '2026-01-02T03:01Z', 500, 'fresh', 0, now());
create table query_executions (id bigint, execution_id text, user_id text, query text, database_type text, status text,
    execution_time double precision, total_rows bigint, started_at timestamp, completed_at timestamp, error_type text,
    error_message text);
insert into query_executions values
    (1, 'q-1', 'ann', 'select 1 -- password=hunter2', 'kdb', 'success', 0.5, 3000000000, '2026-01-02 03:00',
        '2026-01-02 03:00:01', null, null),
    (2, 'q-2', 'ann', 'select 2', 'kdb', 'timeout', 30, 0, '2026-01-02 04:00',
        '2026-01-02 04:00:30', 'TimeoutError', 'slow');
"""


@pytest.mark.valkey
def test_a_schedulers_redis(execlog, valkey, empty_valkey_url, tmp_path):
    valkey.ask("SET", "scheduler:execution_history:run-1", json.dumps(RECORD))
    valkey.ask("SET", "scheduler:execution_history:run-2", "{not json")
    valkey.ask("HSET", "scheduler:execution_history:run-3", "status", "success")
    home = tmp_path / "home"
    done = execlog(home, "import", "redis", empty_valkey_url, code=6)
    assert "3 records read, 1 new or changed here" in done.stdout
    assert "left scheduler:execution_history:run-3: a hash, where a record is a text" in done.stdout
    assert "left scheduler:execution_history:run-2: " in done.stdout
    shown = json.loads(execlog(home, "show", "run-1", "--json").stdout)
    assert (shown["status"], shown["subject"], shown["actor"]) == ("partial", "daily", "schedule")
    assert shown["metadata"] == {"region": "eu", "api_key": "[redacted]"}
    assert [(item["key"], item["status"]) for item in shown["items"]] == [("AAPL", "succeeded"), ("GOOGL", "failed")]
    again = json.loads(execlog(home, "import", "redis", empty_valkey_url, "--json", code=6).stdout)
    assert (again["read"], again["written"], again["refused"]) == (3, 0, 2)


@pytest.mark.valkey
def test_records_of_a_redis_as_they_are_found(execlog, valkey, empty_valkey_url, tmp_path):
    """What Python's json writes for a number that is none, a clock that went back, and an old record without names."""
    home, keys = tmp_path / "home", "scheduler:execution_history:"
    bare = {name: value for name, value in RECORD.items() if name not in {"execution_id", "job_name"}}
    valkey.ask("SET", keys + "nan", json.dumps(RECORD | {"execution_id": "nan", "duration_seconds": float("nan")}))
    valkey.ask("SET", keys + "back", json.dumps(RECORD | {"execution_id": "back", "duration_seconds": -1}))
    valkey.ask("SET", keys + "bare", json.dumps(bare))
    valkey.ask("SET", keys + "half", json.dumps(RECORD)[:90])
    valkey.ask("SET", keys + "run-1", json.dumps(RECORD))
    valkey.ask("SET", keys + "run-1:backup", json.dumps(RECORD | {"status": "failed", "errors": ["an old copy"]}))
    done = execlog(home, "import", "redis", empty_valkey_url, code=6)
    assert "6 records read, 4 new" in done.stdout
    assert f"left {keys}half: Input data was truncated" in done.stdout
    assert f"left {keys}run-1:backup: the execution in it is 'run-1', whose key is another" in done.stdout
    shown = {id_: json.loads(execlog(home, "show", id_, "--json").stdout) for id_ in ("nan", "back", "bare", "run-1")}
    assert {one["duration"] for one in shown.values()} == {9.0}
    assert (shown["bare"]["name"], shown["run-1"]["status"]) == ("daily", "partial")


def test_files_of_workflows(execlog, tmp_path):
    folder, home = tmp_path / "old" / "projects" / "shop" / "executions", tmp_path / "home"
    folder.mkdir(parents=True)
    (folder / "w-1.json").write_text(json.dumps(WORKFLOW, indent=2))
    before = sorted(path.name for path in (tmp_path / "old").rglob("*"))
    planned = execlog(home, "import", "files", str(tmp_path / "old"), "--dry-run")
    assert "1 record read, 1 execution would be new, 0 are here already" in planned.stdout
    execlog(home, "show", "w-1", code=3)
    assert "1 record read, 1 new" in execlog(home, "import", "files", str(tmp_path / "old")).stdout
    assert "1 record read, 0 new" in execlog(home, "import", "files", str(tmp_path / "old")).stdout
    planned = json.loads(execlog(home, "import", "files", str(tmp_path / "old"), "--dry-run", "--json").stdout)
    assert planned == {"read": 1, "new": 0, "known": 1, "refused": 0, "reasons": []}
    shown = json.loads(execlog(home, "show", "w-1", "--json").stdout)
    assert (shown["namespace"], shown["status"], shown["tokens"]["input"]) == ("shop", "succeeded", 100)
    assert sorted(path.name for path in (tmp_path / "old").rglob("*")) == before
    assert "is no folder" in execlog(home, "import", "files", str(tmp_path / "none"), code=3).stderr


def test_files_that_are_not_quite_json(execlog, tmp_path):
    folder, home = tmp_path / "old" / "projects" / "shop" / "executions", tmp_path / "home"
    folder.mkdir(parents=True)
    (folder / "nan.json").write_text(json.dumps(WORKFLOW | {"id": "nan", "costUSD": float("nan")}))
    (folder / "endless.json").write_text(json.dumps(WORKFLOW | {"id": "endless", "duration": float("inf")}))
    (folder / "torn.json").write_text(json.dumps(WORKFLOW | {"id": "torn", "output": "half a pair: \ud83d"}))
    (folder / "half.json").write_text(json.dumps(WORKFLOW | {"id": "half"}, indent=2)[:90])
    done = execlog(home, "import", "files", str(tmp_path / "old"), code=6)
    assert "4 records read, 3 new" in done.stdout
    assert "left projects/shop/executions/half.json: Input data was truncated" in done.stdout
    shown = {id_: json.loads(execlog(home, "show", id_, "--json").stdout) for id_ in ("nan", "endless", "torn")}
    assert {one["duration"] for one in shown.values()} == {2.0}
    assert [shown[id_]["cost"] for id_ in ("nan", "endless")] == [None, 0.003]
    assert shown["torn"]["output"] == "half a pair: \ufffd"
    again = json.loads(execlog(home, "import", "files", str(tmp_path / "old"), "--json", code=6).stdout)
    assert (again["written"], again["refused"]) == (0, 1)


def test_what_is_no_file_costs_only_itself(execlog, tmp_path):
    folder = tmp_path / "projects" / "shop" / "executions"
    (folder / "a.json").mkdir(parents=True)
    (folder / "b.json").symlink_to(tmp_path / "nowhere")
    (folder / "w-1.json").write_text(json.dumps(WORKFLOW))
    done = execlog(tmp_path / "home", "import", "files", str(tmp_path), code=6)
    assert "3 records read, 1 new" in done.stdout
    assert "left projects/shop/executions/a.json: Is a directory" in done.stdout
    assert "left projects/shop/executions/b.json: No such file" in done.stdout


def test_a_file_that_holds_another_execution_does_not_speak_for_it(execlog, tmp_path):
    folder = tmp_path / "projects" / "shop" / "executions"
    folder.mkdir(parents=True)
    (folder / "w-1.json").write_text(json.dumps(WORKFLOW))
    (folder / "w-1 copy.json").write_text(json.dumps(WORKFLOW | {"status": "failed", "error": "an old copy"}))
    (folder / "w-2.json").write_text(json.dumps(WORKFLOW | {"id": "w-2", "projectId": "elsewhere"}))
    done = execlog(tmp_path / "home", "import", "files", str(tmp_path), code=6)
    assert "3 records read, 1 new" in done.stdout
    assert "left projects/shop/executions/w-1 copy.json: the execution in it is 'w-1' of project 'shop'" in done.stdout
    assert "left projects/shop/executions/w-2.json: the execution in it is 'w-2' of project 'elsewhere'" in done.stdout
    assert json.loads(execlog(tmp_path / "home", "show", "w-1", "--json").stdout)["status"] == "succeeded"


@pytest.mark.valkey
def test_a_redis_that_is_the_store_too(execlog, valkey, empty_valkey_url, tmp_path):
    home, record = tmp_path / "home", "scheduler:execution_history:run-1"
    valkey.ask("SET", record, json.dumps(RECORD))
    with Ledger.open(empty_valkey_url, home=home) as ledger, ledger.run("nightly", kind="job") as run, run.item("AAPL"):
        pass
    mine = f"scheduler:execution_history:{run.id}"
    before = valkey.text("GET", mine)
    imported = "--store", empty_valkey_url, "import", "redis", empty_valkey_url
    assert "2 records read, 1 new or changed here" in execlog(home, *imported).stdout
    once = valkey.text("GET", record)
    assert "2 records read, 0 new or changed here" in execlog(home, *imported).stdout
    assert (valkey.text("GET", record), valkey.text("GET", mine)) == (once, before)


def test_a_folder_that_is_the_store_too(execlog, tmp_path):
    home, store = tmp_path / "home", tmp_path / "store"
    folder = store / "projects" / "shop" / "executions"
    folder.mkdir(parents=True)
    (folder / "w-1.json").write_text(json.dumps(WORKFLOW))
    imported = "--store", f"files:///{store}", "import", "files", str(store)
    execlog(home, "--store", f"files:///{store}", "list")  # opening takes it in
    assert "1 record read, 0 new or changed here" in execlog(home, *imported).stdout
    once = (folder / "w-1.json").read_text()
    assert "1 record read, 0 new or changed here" in execlog(home, *imported).stdout
    assert (folder / "w-1.json").read_text() == once


@pytest.mark.postgres
def test_tables_of_pipelines_and_queries(execlog, postgres, empty_postgres_url, tmp_path):
    home = tmp_path / "home"
    assert "none of the tables" in execlog(home, "import", "postgres", empty_postgres_url, code=2).stderr
    postgres.execute(TABLES, empty_postgres_url.rpartition("/")[2])
    done = execlog(home, "import", "postgres", empty_postgres_url, code=6)
    assert "12 records read, 6 new" in done.stdout
    assert "left scheduler_execution_log row 2: 'exploded' is no status" in done.stdout
    assert "left scheduler_execution_log row 3: started_at: not a time" in done.stdout
    assert "left symbol_computation_status row 3: scheduler_execution_log has no execution 'none'" in done.stdout
    execlog(home, "show", "none", code=3)
    run = json.loads(execlog(home, "show", "b-1", "--json").stdout)
    assert (run["status"], run["rows"], len(run["items"])) == ("partial", 500, 2)
    odd = json.loads(execlog(home, "show", "b-4", "--json").stdout)
    assert (odd["duration"], odd["items"][0]["rows"], odd["items"][0]["duration"]) == (60.0, 5, 60.0)
    query = json.loads(execlog(home, "show", "q-2", "--json").stdout)
    assert (query["status"], query["engine"], query["actor"]) == ("timed_out", "kdb", "ann")
    large = json.loads(execlog(home, "show", "q-1", "--json").stdout)
    assert (large["rows"], large["input"]) == (3_000_000_000, "select 1 -- password=[redacted]")
    again = json.loads(execlog(home, "import", "postgres", empty_postgres_url, "--json", code=6).stdout)
    assert (again["written"], again["refused"]) == (0, 3)
    with Ledger.open(home=home) as ledger:
        state = ledger.store.pairs.states([APPLE])[APPLE]
    assert state.data_point_count == 500


@pytest.mark.postgres
def test_views_and_an_end_that_is_not_said(execlog, postgres, empty_postgres_url, tmp_path):
    views = """
    create schema kept;
    create table kept.queries (execution_id text, query text, database_type text, status text,
        execution_time numeric, started_at timestamptz);
    insert into kept.queries values ('q-1', 'select 1', 'kdb', 'success', 0.5, '2026-01-02T03:00Z');
    create view query_executions as select * from kept.queries;
    create table scheduler_execution_log (execution_id uuid, started_at timestamp, completed_at timestamp,
        duration_seconds numeric(9, 3), status text);
    insert into scheduler_execution_log values
        ('00000000-0000-0000-0000-000000000001', '2026-01-02 03:00', null, 33.5, 'completed'),
        ('00000000-0000-0000-0000-000000000002', '2026-01-02 04:00', null, null, 'failed');
    """
    postgres.execute(views, empty_postgres_url.rpartition("/")[2])
    home = tmp_path / "home"
    assert "3 records read, 3 new" in execlog(home, "import", "postgres", empty_postgres_url).stdout
    assert json.loads(execlog(home, "show", "q-1", "--json").stdout)["duration"] == 0.5
    ended = [json.loads(execlog(home, "show", f"{'0' * 8}-0000-0000-0000-{n:012}", "--json").stdout) for n in (1, 2)]
    assert [one["ended_at"] for one in ended] == ["2026-01-02T03:00:33.500000Z", "2026-01-02T04:00:00Z"]


@pytest.mark.postgres
def test_our_own_database_is_for_copy(execlog, empty_postgres_url, tmp_path):
    execlog(tmp_path / "home", "--store", empty_postgres_url, "list")
    refused = execlog(tmp_path / "home", "import", "postgres", empty_postgres_url, code=2)
    assert "use execlog copy" in refused.stderr


@pytest.mark.postgres
@pytest.mark.parametrize(
    "source",
    [
        "postgresql://ann:hunter2@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?password=hunter2",
        "host=127.0.0.1 port=1 password=hunter2",
        "redis://ann:hunter2@127.0.0.1:1/0",
    ],
)
def test_a_password_of_the_source_is_not_shown(execlog, tmp_path, source):
    refused = execlog(tmp_path / "home", "import", "postgres", source, code=4)
    assert "127.0.0.1" in refused.stderr
    assert "hunter2" not in refused.stderr
