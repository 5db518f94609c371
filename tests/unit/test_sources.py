"""Where settings come from: what wins, and what is said of a wrong one."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.errors import UsageError
from selchat.settings import ServerSettings, documentation
from selchat.sources import is_host, load, shown, unknown_variables

NAMES = [row.name for row in documentation()]


def refused(
    *,
    toml: str | bytes = b"",
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> str:
    """The one line that `load` refuses these with."""
    content = toml.encode() if isinstance(toml, str) else toml
    with pytest.raises(UsageError) as caught:
        load(toml=("chat.toml", content), environ=environ, flags=flags)
    line = str(caught.value)
    assert line.isprintable()
    return line


def test_without_any_source_there_are_the_defaults() -> None:
    assert load() == ServerSettings()


def test_flags_win_over_the_environment_over_the_file_over_defaults() -> None:
    toml = ("chat.toml", b"port = 1\nbacklog = 1\npage = 1\n")
    environ = {"SELCHAT_BACKLOG": "2", "SELCHAT_PAGE": "2", "PORT": "7"}
    settings = load(toml=toml, environ=environ, flags={"page": "3"})
    assert (settings.port, settings.backlog, settings.page) == (1, 2, 3)
    assert settings.list_limit == ServerSettings().list_limit


def test_every_kind_of_value_is_read_from_text() -> None:
    settings = load(flags={"port": "0", "grace": "0.5", "host": "::1", "log_level": "debug"})
    assert settings == ServerSettings(port=0, grace=0.5, host="::1", log_level="debug")


def test_the_file_may_give_whole_seconds_and_have_a_byte_order_mark() -> None:
    content = b"\xef\xbb\xbfgrace = 5\ntoken_lifetime = 6.5\ndata = '/srv/chat'\n"
    settings = load(toml=("chat.toml", content))
    assert settings == ServerSettings(grace=5.0, token_lifetime=6.5, data="/srv/chat")


@pytest.mark.parametrize("text", ["none", "", "10.0.0.0/8", "127.0.0.0/8, ::1,2001:db8::/32"])
def test_who_is_exempt_may_be_nobody_or_networks(text: str) -> None:
    assert load(flags={"limits_exempt": text}).limits_exempt == text


@pytest.mark.parametrize(
    ("value", "means"),
    [("[]", ""), ('["10.0.0.0/8", "::1"]', "10.0.0.0/8, ::1"), ('"none"', "none")],
)
def test_in_a_file_they_may_be_a_list(value: str, means: str) -> None:
    content = f"limits_exempt = {value}".encode()
    assert load(toml=("chat.toml", content)).limits_exempt == means


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(environ={"SELCHAT_PORT": "", "SELCHAT_HOST": ""}) == ServerSettings()


def test_a_file_name_of_any_bytes_is_kept() -> None:
    assert load(environ={"SELCHAT_DATA": "/srv/\udcff"}).data == "/srv/\udcff"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", ""),
        ("port", "65536"),
        ("port", "-1"),
        ("port", "9000 "),
        ("port", "９０００"),
        ("port", "0x10"),
        ("port", "9" * 5000),
        ("line_limit", "511"),
        ("line_limit", "64k"),
        ("line_limit", "1.5"),
        ("grace", "nan"),
        ("grace", "inf"),
        ("grace", "1e400"),
        ("grace", "-0.1"),
        ("ping_after", "0"),
        ("keepalive", "32768"),
        ("log_level", "INFO"),
        ("host", ""),
        ("host", "a b"),
        ("host", "[::1]"),
        ("host", "x" * 64),
        ("data", ""),
        ("limits_exempt", "localhost"),
        ("limits_exempt", "127.0.0.1,"),
        ("limits_exempt", "10.0.0.0/33"),
        ("rate", "0"),
        ("memory_limit", "-1"),
    ],
)
def test_a_wrong_value_is_refused_with_its_source_and_what_it_takes(name: str, text: str) -> None:
    takes = next(row.takes for row in documentation() if row.name == name)
    flag, variable = "--" + name.replace("_", "-"), "SELCHAT_" + name.upper()
    said = f": {shown(text)} is not allowed; it takes {takes}"
    assert refused(flags={name: text}) == flag + said
    if text:
        assert refused(environ={variable: text}) == variable + said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("port = true", "chat.toml: port: True is not allowed; it takes a whole number"),
        ("port = 9000.0", "chat.toml: port: 9000.0 is not allowed"),
        ("grace = nan", "chat.toml: grace: nan is not allowed"),
        ("grace = inf", "chat.toml: grace: inf is not allowed"),
        ("page = [1]", "chat.toml: page: [1] is not allowed"),
        ("[port]", "chat.toml: port: {} is not allowed"),
        ("log_level = 'loud'", "one of debug, info, warning, error"),
        ('port = "9000"', "from 0 to 65535, without quotes"),
        ('data = "a\\u0000b"', "chat.toml: data: 'a\\x00b' is not allowed"),
        ("prot = 1", "chat.toml: 'prot' is no setting; did you mean port?"),
        ("line-limit = 1", "did you mean line_limit?"),
        ("zzz = 1", "selchat-server --help lists the settings"),
        ('"a\\nb" = 1', "'a\\nb' is no setting"),
        ("port = x", "chat.toml: not TOML: Invalid value (at line 1, column 8)"),
        ("port = 1\nport = 2", "chat.toml: not TOML: "),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_key(line: str, said: str) -> None:
    assert said in refused(toml=line)


def test_quotes_are_not_blamed_for_what_would_be_wrong_without_them() -> None:
    assert "quotes" not in refused(toml='port = "many"')


def test_a_file_that_is_not_text_is_refused() -> None:
    assert refused(toml=b"port = \xff") == "chat.toml: byte 7 is not UTF-8; save it as UTF-8"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            {"soft_limit": "5000000"},
            "--soft-limit: hard_limit (4194304) must be greater than soft_limit (5000000)",
        ),
        (
            {"soft_limit": "600", "hard_limit": "600"},
            "--hard-limit: hard_limit (600) must be greater than soft_limit (600)",
        ),
        (
            {"grace": "1000000"},
            "--grace: token_lifetime (86400) must not be less than grace (1000000)",
        ),
        (
            {"token_lifetime": "1.5"},
            "--token-lifetime: token_lifetime (1.5) must not be less than grace (120)",
        ),
        ({"cert": "a.crt"}, "--cert: cert and key belong together: set both"),
        ({"key": "a.key"}, "--key: cert and key belong together: set both"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(flags: dict[str, str], said: str) -> None:
    assert refused(flags=flags) == said


def test_a_contradiction_between_sources_names_one_that_was_set() -> None:
    said = refused(toml="soft_limit = 1000", environ={"SELCHAT_HARD_LIMIT": "900"})
    assert said.startswith("SELCHAT_HARD_LIMIT: hard_limit (900)")


def test_a_variable_that_sets_nothing_is_told_of() -> None:
    environ = {
        "SELCHAT_PROT": "1",
        "SELCHAT_ZZZZZZZZZZZZ": "1",
        "SELCHAT_PORT": "1",
        "SELCHAT_CONFIG": "x",
        "SELCHAT_USER": "alice",
        "SELCHAT_REQUIRE_ALL": "1",
        "HOME": "/",
    }
    assert unknown_variables(environ) == [
        "'SELCHAT_PROT' sets nothing; did you mean SELCHAT_PORT?",
        "'SELCHAT_ZZZZZZZZZZZZ' sets nothing; selchat-server --help lists the settings",
    ]


@pytest.mark.parametrize("host", ["h", "a.b.", "10.0.0.1", "::1", "fe80::1%eth0", "münchen.de"])
def test_hosts(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host", ["", "a..b", "a/b", "u@h", "a\n", "a\0", "[::1]", "é" * 64, "\udcff"]
)
def test_what_is_no_host(host: str) -> None:
    assert not is_host(host)


@given(st.text())
def test_what_is_no_host_is_all_that_a_look_up_could_stumble_over(text: str) -> None:
    if is_host(text):
        text.encode("idna")


@given(st.dictionaries(st.sampled_from(NAMES), st.text()), st.binary())
def test_any_text_and_any_file_give_settings_or_one_line(
    flags: dict[str, str], content: bytes
) -> None:
    for toml in (None, ("chat.toml", content)):
        try:
            load(toml=toml, flags=flags)
        except UsageError as error:
            assert str(error).isprintable()
