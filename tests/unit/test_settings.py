"""Settings come from what is given, the environment, the file and the defaults, in this order."""

from pathlib import Path

import pytest

from execlog.core.errors import SettingsError
from execlog.core.settings import PREFIX, Settings, default_home, load, section
from execlog.kinds.queries.sealing import sealer_of
from execlog.ledger import Ledger
from execlog.store.places import path_of


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


@pytest.mark.parametrize("name", ["home", "store"])
def test_an_empty_place_is_refused_and_not_taken_for_the_default(tmp_path, name):
    with pytest.raises(SettingsError, match=rf"{name}: what is given is empty"):
        load({"EXECLOG_HOME": str(tmp_path)}, **{name: ""})


def test_a_home_cannot_be_named_by_the_file_in_it(tmp_path):
    (tmp_path / "execlog.toml").write_text('home = "/elsewhere"\n')
    with pytest.raises(SettingsError, match="EXECLOG_HOME names another"):
        load({"EXECLOG_HOME": str(tmp_path)})


def test_a_home_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="file is not a folder"):
        load({"EXECLOG_HOME": str(tmp_path / "file")})


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "execlog.toml").mkdir()  # as container engines make it for a file that is to be mounted and is missing
    with pytest.raises(SettingsError, match=r"execlog\.toml: Is a directory"):
        load({"EXECLOG_HOME": str(tmp_path)})


@pytest.mark.parametrize("name", ["home", "store"])
def test_names_that_are_no_text_are_refused(tmp_path, name):
    said = {"EXECLOG_HOME": str(tmp_path), f"EXECLOG_{name.upper()}": f"{tmp_path}/bad\udcff"}
    with pytest.raises(SettingsError, match=rf"{name}: .*bad\\xff.* is not UTF-8"):
        load(said)


def test_the_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "execlog.toml").write_bytes(b"\xef\xbb\xbfport = 7\n")
    assert load({"EXECLOG_HOME": str(tmp_path)}).port == 7


def test_a_home_may_have_a_percent_sign_in_its_name(tmp_path):
    home = tmp_path / "p%20q"
    assert path_of(load({"EXECLOG_HOME": str(home)}).store_url) == home / "execlog.db"
    with Ledger.open(home=home) as ledger:
        ledger.record("a")
    assert [each.name for each in tmp_path.iterdir()] == ["p%20q"]
    assert (home / "execlog.db").is_file()


def test_tokens_may_end_in_equals_signs_as_base64_does(tmp_path):
    said = {"EXECLOG_HOME": str(tmp_path), "EXECLOG_TOKENS": "YWI==admin, a:b=viewer,c=operator:x=y,"}
    assert load(said).tokens == {"YWI=": "admin", "a:b": "viewer", "c": "operator:x=y"}


@pytest.mark.parametrize("tokens", ["hunter2", "hunter2=", "a=viewer,hunter2"])
def test_a_token_without_a_role_is_refused_and_not_left_out(tmp_path, tokens):
    with pytest.raises(SettingsError, match="EXECLOG_TOKENS: one of them says no role") as refused:
        load({"EXECLOG_HOME": str(tmp_path), "EXECLOG_TOKENS": tokens})
    assert "hunter2" not in str(refused.value)


def test_a_complaint_shows_no_secret(tmp_path):
    (tmp_path / "execlog.toml").write_text("tokens = {hunter2 = 5}\nstore = ['redis://:hunter2@host']\n")
    with pytest.raises(SettingsError) as refused:
        load({"EXECLOG_HOME": str(tmp_path)})
    assert "hunter2" not in str(refused.value)


def test_a_complaint_says_where_the_setting_stands(tmp_path):
    (tmp_path / "execlog.toml").write_text('port = "many"\n')
    home = {"EXECLOG_HOME": str(tmp_path)}
    for environment, given, place in (
        (home, {}, f"{tmp_path}/execlog.toml: port cannot be 'many'"),
        (home | {"EXECLOG_PORT": "some"}, {}, "EXECLOG_PORT: port cannot be 'some'"),
        (home | {"EXECLOG_PORT": "some"}, {"port": "few"}, "settings: port cannot be 'few'"),
    ):
        with pytest.raises(SettingsError) as refused:
            load(environment, **given)
        assert str(refused.value).startswith(place)


def test_sections_belong_to_others(tmp_path):
    (tmp_path / "execlog.toml").write_text('[connections.kdb]\nurl = "x"\n')
    assert section(tmp_path, "connections") == {"kdb": {"url": "x"}}
    assert section(tmp_path, "jobs") == {}
    assert section(tmp_path / "none", "jobs") == {}


def test_a_section_is_a_table_with_the_keys_it_may_have(tmp_path):
    (tmp_path / "execlog.toml").write_text("connections = 3\n[queries]\nseal_key = 'x'\n")
    with pytest.raises(SettingsError, match=r"connections is a table: \[connections\], or \[connections\.NAME\]"):
        section(tmp_path, "connections")
    with pytest.raises(SettingsError, match=r"\[queries\] has no seal_key; there are seal_key_env, seal_key_file"):
        sealer_of(tmp_path)


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
