"""`execlog copy` on real stores."""

from __future__ import annotations

import json

import pytest


def test_a_home_is_copied_into_files_and_counted(execlog, home, tmp_path):
    source, target = f"sqlite:///{home}/execlog.db", f"files:///{tmp_path}/files"
    assert execlog(home, "copy", source, target, "--dry-run").stdout == "8 executions would be copied\n"
    done = execlog(home, "copy", source, target)
    assert "8 executions copied, 8 of them new or changed; 0 jobs, 0 pairs" in done.stdout
    again = json.loads(execlog(home, "copy", source, target, "--json").stdout)
    assert (again["executions"], again["written"], again["missing"]) == (8, 0, [])
    listed = [execlog(home, "--store", url, "list", "--no-header").stdout for url in (source, target)]
    assert listed[0] == listed[1] != ""


def test_a_filter_narrows_and_mistakes_are_told(execlog, home, tmp_path):
    source, target = f"sqlite:///{home}/execlog.db", f"sqlite:///{tmp_path}/other.db"
    assert "2 executions copied" in execlog(home, "copy", source, target, "--kind", "task").stdout
    for typo in (f"sqlite:///{tmp_path}/typo.db", f"files:///{tmp_path}/typo"):
        assert "is no store of execlog" in execlog(home, "copy", typo, target, code=4).stderr
        assert not list(tmp_path.glob("typo*"))
    assert "are the same store" in execlog(home, "copy", source, source, code=2).stderr
    assert "no store answers to" in execlog(home, "copy", source, "nowhere://x", code=2).stderr


@pytest.mark.valkey
def test_what_another_scheduler_wrote_is_for_import(execlog, valkey, empty_valkey_url, tmp_path):
    record = {"job_id": "daily", "job_name": "Daily", "start_time": "2026-01-02T03:00:00", "status": "success"}
    for id_ in ("run-1", "run-2"):
        valkey.ask("SET", f"scheduler:execution_history:{id_}", json.dumps(record | {"execution_id": id_}))
    target = f"sqlite:///{tmp_path}/other.db"
    done = execlog(tmp_path, "copy", empty_valkey_url, target, code=6)
    assert "not taken in: 2 records of jobs that another program wrote; execlog import redis" in done.stdout
    planned = json.loads(execlog(tmp_path, "copy", empty_valkey_url, target, "--dry-run", "--json").stdout)
    assert planned == {"found": 0, "foreign": 2}
    execlog(tmp_path, "copy", empty_valkey_url, target, "--kind", "query")
    execlog(tmp_path, "--store", empty_valkey_url, "import", "redis", empty_valkey_url)
    assert "2 executions copied" in execlog(tmp_path, "copy", empty_valkey_url, target).stdout


@pytest.mark.postgres
def test_a_database_without_a_history_is_left_as_it_is(execlog, postgres, empty_postgres_url, tmp_path):
    refused = execlog(tmp_path, "copy", empty_postgres_url, f"sqlite:///{tmp_path}/other.db", code=4)
    assert "is no store of execlog" in refused.stderr
    execlog(tmp_path, "copy", f"sqlite:///{tmp_path}/other.db", empty_postgres_url, code=4)
    assert "schema 0" in execlog(tmp_path, "--store", empty_postgres_url, "migrate", "--check", code=1).stdout
