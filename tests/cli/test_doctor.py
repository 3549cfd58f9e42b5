"""`execlog doctor`: what it finds, and what it advises."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from execlog.cli import checkup
from execlog.store.sqlite import SQLiteStore, summing
from execlog.testing.making import ended


@pytest.mark.valkey
def test_doctor_names_the_master_that_may_lose_what_it_holds(execlog, valkey_cluster, tmp_path):
    report = json.loads(execlog(tmp_path, "--store", valkey_cluster.url, "doctor", "--json").stdout)
    store = next(finding for finding in report["findings"] if finding["check"] == "store")
    assert (report["ok"], store["state"]) == (True, "warning")
    assert "3 masters, 3 replicas" in store["text"]
    for master in valkey_cluster.masters:
        assert f"127.0.0.1:{master.port} has no append-only file" in store["advice"]


def test_doctor(execlog, on_terminal, known_home, tmp_path):
    report = json.loads(execlog(known_home, "doctor", "--json").stdout)
    assert report["ok"] is True
    assert {"home", "disk", "journals", "store", "extras"} <= {finding["check"] for finding in report["findings"]}
    with on_terminal(known_home, "doctor") as terminal:
        assert terminal.wait() == 0
        assert "✓" in terminal.output
    assert "made with the first record" in execlog(tmp_path / "new", "doctor").stdout
    assert not (tmp_path / "new").exists()
    new = f"files:///{tmp_path}/files"
    assert "made with the first record" in execlog(tmp_path / "home", "--store", new, "doctor").stdout
    assert not (tmp_path / "files").exists()
    (tmp_path / "execlog.toml").write_text("nonsense = 1\n")
    done = execlog(tmp_path, "doctor", code=1)
    assert "unknown settings nonsense" in done.stdout


def test_doctor_finds_extras_in_the_metadata_of_the_package(monkeypatch):
    metadata = ["msgspec>=0.20", "psycopg>=3; extra == 'postgres'", 'no-such-thing[x]>1,<2; extra == "dream"']
    metadata += ["execlog[postgres]; extra == 'all'", "pytest>=9 ; extra == 'postgres'"]
    monkeypatch.setattr(checkup, "requires", lambda _: metadata)
    finding = checkup._check_extras()
    assert (finding.text, finding.advice) == ("postgres", "not installed: dream (pip install 'execlog[NAME]')")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("connections = 3\n", "connections is a table"),
        ("[queries]\nseal_key = 'x'\n", "has no seal_key"),
        ("[sources.s]\nnone = 1\n", "[sources.s]"),
        ("[workflows.endpoint.e]\napi = 'openai'\n", "[workflows] has no endpoint; there are endpoints"),
    ],
)
def test_doctor_reads_the_tables_of_all_families(execlog, tmp_path, settings, said):
    (tmp_path / "execlog.toml").write_text(settings)
    findings = json.loads(execlog(tmp_path, "doctor", "--json", code=1).stdout)["findings"]
    [bad] = [finding for finding in findings if finding["state"] == "bad"]
    assert said in bad["text"]


def test_doctor_goes_on_where_the_journals_cannot_be_read(execlog, home):
    (home / "journal").touch()
    findings = json.loads(execlog(home, "doctor", "--json", code=1).stdout)["findings"]
    states = {finding["check"]: finding["state"] for finding in findings}
    assert (states["journals"], states["store"]) == ("bad", "ok")
    assert execlog(home, "list", "--no-header").stdout


def test_doctor_names_a_variable_that_is_nearly_a_setting():
    environment = dict.fromkeys(
        ["EXECLOG_RETENTION_DAY", "EXECLOG_PORT", "EXECLOG_HOOK_OF_OPS", "EXECLOG_EXECUTION_ID", "RETENTION_DAY"], "3"
    )
    [warning] = checkup._check_names(environment)
    assert warning.text == "EXECLOG_RETENTION_DAY in the environment is no setting"
    assert warning.advice == "did you mean EXECLOG_RETENTION_DAYS?"


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ('host = "0.0.0.0"\n[tokens]\nshort = "admin"\n', "16 characters or more"),
        ('[tokens]\n"0123456789abcdef" = "editor"\n', "write viewer, operator or admin"),
    ],
)
def test_doctor_says_what_a_server_will_not_start_with(execlog, tmp_path, settings, advice):
    (tmp_path / "execlog.toml").write_text(settings)
    findings = json.loads(execlog(tmp_path, "doctor", "--json").stdout)["findings"]
    [access] = [finding for finding in findings if finding["check"] == "access"]
    assert access["state"] == "warning"
    assert advice in access["advice"]


def test_doctor_recounts_and_mends(execlog, home, monkeypatch):
    def said(*options, code=0):
        return execlog(home, "doctor", *options, code=code).stdout

    monkeypatch.setattr(summing, "TAIL", 1)
    with closing(SQLiteStore(home / "execlog.db")) as store:
        store.apply([ended(1)])
        assert "statistics" not in said()
        assert "sums as the executions add up" in said("--recount")
        with store.connections.write() as session:
            session.run("update buckets set failed = failed + 1 where resolution = 86400")
    assert "statistics" not in said()
    wrong = said("--recount", code=1)
    assert "not as the executions add up, e.g. " in wrong
    assert "execlog doctor --mend" in wrong
    assert "written anew" in said("--mend")
    found = json.loads(said("--recount", "--json"))["findings"]
    assert [finding["state"] for finding in found if finding["check"] == "statistics"] == ["ok"]


@pytest.mark.valkey
def test_doctor_recounts_nothing_where_no_sums_are_kept(execlog, valkey_url, tmp_path):
    assert "added up from the executions" in execlog(tmp_path, "--store", valkey_url, "doctor", "--recount").stdout
