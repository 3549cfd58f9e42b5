"""Settings come from what is given, the environment, the file and the defaults, in this order."""

from pathlib import Path

import pytest

from execlog.core.errors import SettingsError
from execlog.core.settings import PREFIX, Settings, default_home, load, section


def test_the_defaults_are_in_force_where_nothing_is_said(tmp_path):
    settings = load({"EXECLOG_HOME": str(tmp_path)})
    assert settings == Settings(home=tmp_path)
    assert settings.store_url == f"sqlite:///{tmp_path}/execlog.db"


def test_the_file_beats_the_default_the_environment_the_file_and_what_is_given_both(tmp_path):
    (tmp_path / "execlog.toml").write_text('port = 1\nhost = "file"\ndrain_batch = 7\n[sources]\nany = "thing"\n')
    settings = load({"EXECLOG_HOME": str(tmp_path), "EXECLOG_PORT": "2", "EXECLOG_HOST": "environment"}, host="given")
    assert (settings.port, settings.host, settings.drain_batch) == (2, "given", 7)


def test_none_given_is_not_given(tmp_path):
    assert load({"EXECLOG_HOME": str(tmp_path), "EXECLOG_PORT": "2"}, port=None).port == 2


def test_lists_and_tables_are_read_from_the_environment(tmp_path):
    settings = load(
        {
            "EXECLOG_HOME": str(tmp_path),
            "EXECLOG_REDACT": "pin, iban",
            "EXECLOG_TOKENS": "abc=viewer,def=operator:ann",
            "EXECLOG_CAPTURE_CONTEXT": "false",
        }
    )
    assert settings.redact == ("pin", "iban")
    assert settings.tokens == {"abc": "viewer", "def": "operator:ann"}
    assert settings.capture_context is False


def test_an_empty_variable_says_nothing(tmp_path):
    assert load({"EXECLOG_HOME": str(tmp_path), "EXECLOG_PORT": ""}).port == Settings().port


@pytest.mark.parametrize("text", ["prot = 1", "port = 'many'", "port = ", b"\xff", "port = [1]"])
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path, text):
    (tmp_path / "execlog.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError, match=r"execlog\.toml|settings"):
        load({"EXECLOG_HOME": str(tmp_path)})


def test_a_variable_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="port"):
        load({"EXECLOG_HOME": str(tmp_path), "EXECLOG_PORT": "many"})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("drain", "threads", "one of thread, process, server"),
        ("drain_batch", "0", ">= 1"),
        ("drain_interval", "nan", "> 0"),
        ("journal_segment", "0", ">= 4096"),
        ("close_timeout", "inf", "<= 1000000000"),
        ("port", "70000", "<= 65535"),
        ("port", "many", "`int`"),
        ("redis_history_limit", "-1", ">= 1"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_what_is_allowed(tmp_path, name, value, allowed):
    variable = PREFIX + name.upper()
    with pytest.raises(SettingsError) as refused:
        load({"EXECLOG_HOME": str(tmp_path), variable: value})
    assert all(part in str(refused.value) for part in (name, repr(value), allowed, variable))


def test_a_complaint_shows_no_secret(tmp_path):
    (tmp_path / "execlog.toml").write_text("tokens = {hunter2 = 5}\nstore = ['redis://:hunter2@host']\n")
    with pytest.raises(SettingsError) as refused:
        load({"EXECLOG_HOME": str(tmp_path)})
    assert "hunter2" not in str(refused.value)


def test_sections_belong_to_others(tmp_path):
    (tmp_path / "execlog.toml").write_text('[connections.kdb]\nurl = "x"\n')
    assert section(tmp_path, "connections") == {"kdb": {"url": "x"}}
    assert section(tmp_path, "jobs") == {}
    assert section(tmp_path / "none", "jobs") == {}


def test_the_home_is_the_users_data_folder():
    assert default_home({"XDG_DATA_HOME": "/data"}) == Path("/data/execlog")
    assert default_home({}).name == "execlog"


def test_a_relative_home_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load({"EXECLOG_HOME": "here"}).home == tmp_path / "here"


def test_every_setting_is_explained():
    explained = Settings.__doc__ or ""
    for name in Settings.__struct_fields__:
        assert f"    {name}" in explained or f", {name}" in explained, name


def test_every_setting_has_a_variable(tmp_path):
    said = {
        "home": str(tmp_path), "store": "memory://", "host": "h", "drain": "thread", "redact": "a",
        "allowed_hosts": "a", "tokens": "a=viewer", "redis_prefix": "p", "capture_context": "true",
        "journal_segment": "4096",
    }  # fmt: skip
    environment = {PREFIX + name.upper(): said.get(name, "1") for name in Settings.__struct_fields__}
    settings = load(environment)
    assert settings.store == "memory://"
    assert settings.redis_ttl == 1.0
