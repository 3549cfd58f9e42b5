"""The ledger that the module's functions write to, where it cannot be had."""

from __future__ import annotations

import pytest

import execlog
from execlog.core.errors import SettingsError
from execlog.core.settings import Settings
from execlog.ledger import Ledger


@pytest.fixture
def no_default(monkeypatch):
    """This process as it is before anybody recorded into its default ledger."""
    monkeypatch.setattr(execlog, "_default", None)
    monkeypatch.setattr(execlog, "_refusing", None)
    return monkeypatch


@pytest.mark.parametrize(
    ("variable", "value"),
    [("EXECLOG_PORT", "abc"), ("EXECLOG_HOME", "~nobody-of-this-name/x"), ("EXECLOG_HOME", "relative")],
)
def test_settings_that_cannot_be_used_stop_nothing_that_is_recorded(tmp_path, no_default, caplog, variable, value):
    no_default.setenv("EXECLOG_HOME", str(tmp_path / "home"))
    no_default.setenv(variable, value)
    gone = tmp_path / "gone"
    gone.mkdir()
    no_default.chdir(gone)
    gone.rmdir()
    doubled = execlog.track(lambda number: number * 2)
    assert doubled(2) == 4
    assert execlog.record("load")
    assert execlog.record_durable("load")
    assert [result.returned for result in execlog.each(doubled, [1, 2])] == [2, 4]
    assert not execlog.flush(1.0)
    assert [record.message for record in caplog.records if "could not record (settings)" in record.message]
    assert len(caplog.records) == 1
    for ask in (execlog.open_history, execlog.default_ledger, Ledger.open):
        with pytest.raises(SettingsError, match=variable.removeprefix("EXECLOG_").lower()):
            ask()
    opened = execlog.configure(Ledger.open(settings=Settings(home=tmp_path, store="memory://")))
    assert opened.stats().refused["settings"] >= 4
    execlog.record("load")
    assert execlog.flush()
    opened.close()
