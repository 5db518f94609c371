"""The two commands: help, mistakes in one line, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Generic, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import selchat.client
from selchat import arguments, cli
from selchat.errors import StartError, StoreError, UsageError
from selchat.settings import ClientOptions, ServerSettings, documentation

BIN = Path(__file__).resolve().parents[2] / "bin"

Options = TypeVar("Options", ServerSettings, ClientOptions)
Ending = int | BaseException


class StandIn(Generic[Options]):
    """In the place of the server or the client: it notes what it is given, and ends as told."""

    def __init__(self) -> None:
        self.given: list[Options] = []
        self.ends: Ending = 0

    def run(self, options: Options) -> int:
        self.given.append(options)
        if isinstance(self.ends, BaseException):
            raise self.ends
        return self.ends

    def put(self, monkeypatch: pytest.MonkeyPatch, package: types.ModuleType, name: str) -> None:
        module = types.ModuleType(f"{package.__name__}.{name}")
        module.run = self.run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(package, name, module, raising=False)


def run(
    program: str, *arguments: str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a real command, without a terminal."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SELCHAT_")}
    return subprocess.run(
        [sys.executable, str(BIN / program), *arguments],
        env={**clean, "COLUMNS": "100", **(environ or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SELCHAT_"):
            monkeypatch.delenv(name)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> StandIn[ServerSettings]:
    stand_in = StandIn[ServerSettings]()
    stand_in.put(monkeypatch, selchat, "server")
    return stand_in


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> StandIn[ClientOptions]:
    stand_in = StandIn[ClientOptions]()
    stand_in.put(monkeypatch, selchat.client, "plain")
    return stand_in


@pytest.mark.parametrize("program", ["selchat-server", "selchat-client"])
def test_version(program: str) -> None:
    done = run(program, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{program} {selchat.__version__}\n"


def test_help_of_the_server_lists_every_setting_and_where_it_comes_from() -> None:
    done = run("selchat-server", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for row in documentation():
        assert f"{row.flag} {row.placeholder}" in done.stdout
        assert f"(default: {row.default})" in " ".join(done.stdout.split())
    for text in ("--config FILE", "SELCHAT_CONFIG", "SELCHAT_LINE_LIMIT", "exit codes:"):
        assert text in done.stdout
    assert "defaults < the TOML file (--config) < environment < flags" in done.stdout


def test_help_of_the_client_says_how_to_type() -> None:
    done = run("selchat-client", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for text in ("/join ROOM", "#ROOM MESSAGE", "@USER MESSAGE", "/help", "quit", "SELCHAT_USER"):
        assert text in done.stdout
    assert "exit codes:" in done.stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "selchat-server --port",
            "argument --port: expected one argument; try selchat-server --help",
        ),
        ("selchat-server --port 99999", "--port: '99999' is not allowed; it takes a whole number"),
        ("selchat-server --prot 1", "'--prot' is not known; did you mean --port?"),
        ("selchat-server --por 1", "'--por' is not known; did you mean --port?"),
        ("selchat-server start", "'start' is not known; try selchat-server --help"),
        ("selchat-server --host a\nb", "--host: 'a\\nb' is not allowed"),
        ("selchat-server a\nb", "'a\\nb' is not known"),
        ("selchat-server --config /nowhere/x", "--config: cannot read '/nowhere/x': No such file"),
        ("selchat-server --config /", "--config: cannot read '/': Is a directory"),
        (
            "selchat-server --soft-limit 5000000",
            "--soft-limit: hard_limit (4194304) must be greater",
        ),
        ("selchat-client", "nobody to ask for a name, as this is no terminal; type --user NAME"),
        (
            "selchat-client --user",
            "argument --user: expected one argument; try selchat-client --help",
        ),
        ("selchat-client --user=", "--user: the name is empty"),
        ("selchat-client --user a host:port", "'port' is no port; it takes a whole number from 1"),
        ("selchat-client --user a host one", "'one' is not known; try selchat-client --help"),
        ("selchat-client --usr a", "'--usr' is not known; did you mean --user?"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(command: str, said: str) -> None:
    program, *arguments = command.split(" ")
    done = run(program, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{program}: {said}")
    assert done.stderr.endswith("\n")
    assert done.stderr.count("\n") == 1


def test_a_wrong_variable_is_one_line_and_exit_code_2() -> None:
    done = run("selchat-server", environ={"SELCHAT_PORT": "many", "SELCHAT_PROT": "1"})
    assert done.returncode == 2
    assert done.stderr == (
        "selchat-server: SELCHAT_PORT: 'many' is not allowed; "
        "it takes a whole number from 0 to 65535\n"
    )


def test_a_config_file_of_the_environment_is_named_in_the_error(tmp_path: Path) -> None:
    missing = str(tmp_path / "chat.toml")
    done = run("selchat-server", environ={"SELCHAT_CONFIG": missing})
    assert done.returncode == 2
    assert done.stderr.startswith("selchat-server: SELCHAT_CONFIG: cannot read ")


def test_flags_and_config_reach_the_server(server: StandIn[ServerSettings], tmp_path: Path) -> None:
    config = tmp_path / "chat.toml"
    config.write_text("port = 1\npage = 7\n")
    assert cli.server_main(["--config", str(config), "--port", "0", "--host=::1"]) == 0
    assert server.given == [ServerSettings(port=0, page=7, host="::1")]


FLAGS = (*(row.flag for row in documentation()), "--config")
PARSER = arguments.server_parser()
WORDS = st.one_of(
    st.sampled_from((*FLAGS, "--prot", "--help", "--version", "--json", "--", "-", "-h")),
    st.sampled_from(("", "0", "-1", "::1", "a b", "-a b", "=", "status", "backup", "@file")),
    st.builds("{}={}".format, st.sampled_from((*FLAGS, "--prot")), st.text(max_size=3)),
    st.text(max_size=3),
)


@given(st.lists(WORDS, max_size=6))
@example(["--port=", "--port", "", "--data", "status"])
def test_what_is_read_without_the_parser_is_what_the_parser_reads(words: list[str]) -> None:
    read = cli._settings_only(words)
    if read is not None:
        assert arguments.operator_command(list(words)) is None
        told = {
            name: text for name, text in vars(PARSER.parse_all(words)).items() if text is not None
        }
        assert read == told


@given(st.dictionaries(st.sampled_from(FLAGS), st.tuples(st.booleans(), st.text(max_size=3))))
def test_settings_with_values_are_read_without_the_parser(
    flags: dict[str, tuple[bool, str]],
) -> None:
    words: list[str] = []
    for flag, (together, text) in flags.items():
        words += [f"{flag}={text}"] if together else [flag, text.lstrip("-")]
    read = cli._settings_only(words)
    assert read is not None
    assert len(read) == len(flags)


def test_a_server_looks_for_garbage_but_not_among_what_was_loaded(tmp_path: Path) -> None:
    program = (
        "import gc, sys\n"
        "from selchat import cli, server\n"
        "def run(self):\n"
        "    print(gc.isenabled(), gc.get_freeze_count() > 10_000)\n"
        "    return 0\n"
        "server.Server.run = run\n"
        "sys.exit(cli.server_main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--host", "127.0.0.1", "--port", "0", "--data", tmp_path],
        capture_output=True,
        cwd=BIN.parent,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    assert done.stdout == "True True\n"


def test_the_flag_for_the_config_wins_over_the_variable(
    server: StandIn[ServerSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flag.toml").write_text("page = 1")
    (tmp_path / "variable.toml").write_text("page = 2\nport = 2")
    monkeypatch.setenv("SELCHAT_CONFIG", str(tmp_path / "variable.toml"))
    cli.server_main(["--config", str(tmp_path / "flag.toml")])
    cli.server_main([])
    assert server.given == [ServerSettings(page=1), ServerSettings(page=2, port=2)]


def test_a_variable_that_sets_nothing_is_told_of_and_the_server_runs(
    server: StandIn[ServerSettings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SELCHAT_PROT", "1")
    assert cli.server_main([]) == 0
    assert server.given == [ServerSettings()]
    assert capsys.readouterr().err == (
        "selchat-server: 'SELCHAT_PROT' sets nothing; did you mean SELCHAT_PORT?\n"
    )


@pytest.mark.parametrize(
    ("ends", "code", "said"),
    [
        (0, 0, ""),
        (1, 1, ""),
        (StartError("port 9000 is in use"), 1, "selchat-server: port 9000 is in use\n"),
        (StoreError("no room\non disk"), 1, "selchat-server: no room\\non disk\n"),
        (UsageError("no such address"), 2, "selchat-server: no such address\n"),
        (KeyboardInterrupt(), 1, ""),
    ],
)
def test_how_the_server_ends_is_the_exit_code(
    server: StandIn[ServerSettings],
    capsys: pytest.CaptureFixture[str],
    ends: Ending,
    code: int,
    said: str,
) -> None:
    server.ends = ends
    assert cli.server_main([]) == code
    assert capsys.readouterr().err == said


def test_a_bug_is_not_hidden(server: StandIn[ServerSettings]) -> None:
    server.ends = RuntimeError("a bug")
    with pytest.raises(RuntimeError):
        cli.server_main([])


@pytest.mark.parametrize(
    ("arguments", "host", "port"),
    [
        ([], "localhost", 9000),
        (["chat.example.org"], "chat.example.org", 9000),
        (["chat.example.org:1"], "chat.example.org", 1),
        (["::1"], "::1", 9000),
        (["[::1]"], "::1", 9000),
        (["[::1]:65535"], "::1", 65535),
        (["[fe80::1%eth0]:90"], "fe80::1%eth0", 90),
    ],
)
def test_where_the_client_goes(
    client: StandIn[ClientOptions], arguments: list[str], host: str, port: int
) -> None:
    assert cli.client_main([*arguments, "--user", "alice", "--plain"]) == 0
    assert client.given == [ClientOptions(host=host, port=port, user="alice", json=False)]


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            ":",
            ":9",
            "h:",
            "h:0",
            "h:65536",
            "h:٣",
            "h:+1",
            "h: 1",
            "h:1\n",
            "a:b:c",
            "http://h",
        ),
        *(
            "[h]:3",
            "[]",
            "[]:3",
            "[::1",
            "::1]",
            "[::1]3",
            "[::1]:",
            "[[::1]]",
            "a..b",
            "u@h",
            "a b",
        ),
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        arguments.parse_address(address)
    assert str(caught.value).isprintable()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with profiles, where the client looks for it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "selchat" / "client.toml"
    file.parent.mkdir()
    file.write_text(
        '[default]\nhost = "here"\nuser = "ann"\n'
        '[work]\nhost = "there"\nport = 1\nuser = "bea"\nrooms = ["dev"]\n'
        "bell = false\ncolor = false\nlinear = true\nhistory = false\n"
    )
    return file


def test_a_profile_is_a_name_for_all_of_it(client: StandIn[ClientOptions], config: Path) -> None:
    assert cli.client_main(["work"]) == 0
    assert client.given == [
        ClientOptions(
            host="there",
            port=1,
            user="bea",
            json=False,
            rooms=("dev",),
            bell=False,
            color=False,
            linear=True,
            history=False,
        )
    ]


def test_the_default_profile_counts_where_nothing_is_named(
    client: StandIn[ClientOptions], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.client_main([]) == 0
    assert cli.client_main(["elsewhere:2", "--user", "cleo"]) == 0
    monkeypatch.setenv("SELCHAT_USER", "dora")
    assert cli.client_main([]) == 0
    found = [(options.host, options.port, options.user) for options in client.given]
    assert found == [("here", 9000, "ann"), ("elsewhere", 2, "cleo"), ("here", 9000, "dora")]


def test_a_file_of_profiles_that_is_named_must_be_there_and_right(
    client: StandIn[ClientOptions], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.client_main(["--config", "/nowhere/x"]) == cli.WRONG_USAGE
    assert "--config: cannot read '/nowhere/x': No such file" in capsys.readouterr().err
    config.write_text("[work]\nhots = 1")
    assert cli.client_main(["work"]) == cli.WRONG_USAGE
    assert "'hots' is no setting; did you mean host?" in capsys.readouterr().err


def test_one_message_is_said_to_a_target(client: StandIn[ClientOptions], config: Path) -> None:
    assert cli.client_main(["work", "--to", "#ops", "the disk", "is full", "--no-bell"]) == 0
    assert cli.client_main(["--to=@bob"]) == 0
    found = [(options.to, options.message, options.rooms) for options in client.given]
    assert found == [("#ops", "the disk is full", ()), ("@bob", None, ())]


@pytest.mark.parametrize("target", ["ops", "", "#", "@", "#a b", "@you"])
def test_a_target_is_a_room_or_a_user(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.client_main(["--user", "ann", "--to", target]) == cli.WRONG_USAGE
    assert "selchat-client: --to: " in capsys.readouterr().err


def test_the_name_may_come_from_the_environment_and_the_flag_wins(
    client: StandIn[ClientOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELCHAT_USER", "bob")
    assert cli.client_main(["--json"]) == 0
    assert cli.client_main(["--user", "alice"]) == 0
    assert [(options.user, options.json) for options in client.given] == [
        ("bob", True),
        ("alice", False),
    ]


def test_on_a_terminal_the_client_may_ask_for_the_name(
    client: StandIn[ClientOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELCHAT_USER", "")
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(isatty=lambda: True))
    assert cli.client_main([]) == 0
    assert client.given[0].user is None


def test_without_any_standard_input_a_name_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.client_main([]) == cli.WRONG_USAGE


@pytest.mark.parametrize(
    ("ends", "code", "said"),
    [
        (1, 1, ""),
        (StartError("no server at h:1"), 1, "selchat-client: no server at h:1\n"),
        (KeyboardInterrupt(), 1, ""),
    ],
)
def test_how_the_client_ends_is_the_exit_code(
    client: StandIn[ClientOptions],
    capsys: pytest.CaptureFixture[str],
    ends: Ending,
    code: int,
    said: str,
) -> None:
    client.ends = ends
    assert cli.client_main(["--user", "alice"]) == code
    assert capsys.readouterr().err == said
