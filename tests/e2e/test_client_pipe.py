"""The client off a terminal: what a script that pipes into it can rely on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import (
    PATIENCE,
    ROOT,
    LineReader,
    ServerProcess,
    Speaker,
    Text,
    environment,
    until,
)

CLIENT = (sys.executable, "-W", "error", str(ROOT / "bin" / "selchat-client"))
LIMIT = 65_536
AT_ONCE = ("--patience", "0")
"""For a client that is to give a lost server up."""

PLAIN = ("--no-tls",)
"""For a server that is none of ours."""

Result = subprocess.CompletedProcess[str]


def run(*arguments: str, stdin: bytes | Path = b"", **more: str) -> Result:
    """Run a client to its end: `stdin` from a pipe or a file, `more` in its environment."""
    with ExitStack() as stack:
        source: dict[str, Any] = {"input": stdin}
        if isinstance(stdin, Path):
            source = {"stdin": stack.enter_context(stdin.open("rb"))}
        done = subprocess.run(
            (*CLIENT, *arguments),
            **source,
            capture_output=True,
            timeout=PATIENCE,
            env=environment(**more),
            check=False,
        )
    return Result(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def send(server: ServerProcess, *arguments: str, stdin: bytes | Path = b"", **more: str) -> Result:
    """Run a client as `cron` to its end."""
    return run(f"127.0.0.1:{server.port}", "--user", "cron", *arguments, stdin=stdin, **more)


def shell(pipeline: str, stdin: str = "") -> Result:
    return subprocess.run(
        ("sh", "-c", pipeline),
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        env=environment(),
        check=False,
    )


def went_well(result: Result) -> None:
    assert (result.returncode, result.stderr) == (0, ""), result.stdout


def why(result: Result, code: int = 1) -> str:
    """The one line on standard error that says why it failed."""
    assert result.returncode == code, result
    assert result.stderr.count("\n") == 1, result.stderr
    start, _, said = result.stderr.rstrip("\n").partition(": ")
    assert start == "selchat-client"
    return said


class Running(Speaker):
    """A client that goes on, as `cron`; its output is read with `line`, its errors with `why`."""

    def __init__(self, port: int, log: Path, *arguments: str) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                (*CLIENT, f"127.0.0.1:{port}", "--user", "cron", *arguments),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment(),
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self._reader = LineReader(self.stdout.fileno())

    def send_bytes(self, data: bytes) -> None:
        self.stdin.write(data)
        self.stdin.flush()

    def why(self, code: int = 1) -> str:
        """Wait for its end, and give the line that says why."""
        status = self.process.wait(PATIENCE)
        return why(Result((), status, "", self._log.read_text(encoding="utf-8")), code)

    def went_well(self) -> None:
        went_well(Result((), self.process.wait(PATIENCE), "", self._log.read_text()))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.stdin.close()
        self.stdout.close()


Begin = Callable[..., Running]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start clients that go on; they are ended with the test."""
    with ExitStack() as stack:

        def begin(port: int, *arguments: str) -> Running:
            client = Running(port, tmp_path / f"client-{port}.log", *arguments)
            stack.callback(client.close)
            return client

        yield begin


class Scripted(Speaker):
    """A server with one client, which does what the test says and nothing by itself."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port: int = self._listener.getsockname()[1]
        self._peer: socket.socket | None = None

    def expect_hello(self) -> None:
        """The client connects, and says who it is."""
        self._peer = self._listener.accept()[0]
        self._peer.settimeout(PATIENCE)
        self._reader = LineReader(self._peer.fileno())
        self.events("hello")

    def welcome(self) -> None:
        """Take the client in."""
        self.expect_hello()
        self.say(
            "welcome",
            user="cron",
            token="t",
            seq=0,
            log="l",
            version="0",
            line_limit=LIMIT,
            rooms=[],
        )

    def event(self) -> dict[str, Any]:
        """What the client asks next."""
        event: dict[str, Any] = json.loads(self.line())
        return event

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """What it asks next is of these kinds."""
        asked = [self.event() for _ in kinds]
        assert [one["type"] for one in asked] == list(kinds)
        return asked

    def say(self, kind: str, **fields: object) -> None:
        self.send(json.dumps({"type": kind, **fields}))

    def ok(self, command: dict[str, Any]) -> None:
        self.say("ok", id=command["id"], seq=1, at="2026-01-31T12:00:00.000Z")

    def quiet(self) -> None:
        """The client is there, and asked nothing before the answer to this ping."""
        self.say("ping")
        assert self.event() == {"type": "pong"}

    def goodbye(self) -> None:
        """Be asked to quit, and agree."""
        (quit_,) = self.events("quit")
        self.say("ok", id=quit_["id"])
        self.close()

    def send_bytes(self, data: bytes) -> None:
        assert self._peer is not None
        self._peer.sendall(data)

    def close(self) -> None:
        if self._peer is not None:
            self._peer.close()
        self._listener.close()


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    yield server
    server.close()


@pytest.fixture
def bob(server: ServerProcess) -> Text:
    """Somebody who listens in #ops."""
    return server.text("bob", "ops")


# Where the lines come from


def test_the_pipeline_of_the_readme(server: ServerProcess, bob: Text) -> None:
    pipeline = f"date | sed 's/^/#ops /' | {shlex.join(CLIENT)} 127.0.0.1:{server.port} --user cron"
    went_well(shell(pipeline))
    bob.expect("* cron joined #ops", "[#ops] cron: …:…:…", "* cron left #ops (quit)")


def test_a_file(server: ServerProcess, bob: Text, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text("#ops one\n#ops two\n", encoding="utf-8")
    went_well(send(server, stdin=file))
    bob.expect("* cron joined #ops", "[#ops] cron: one", "[#ops] cron: two")


def test_an_empty_input_is_no_failure(server: ServerProcess, bob: Text) -> None:
    went_well(send(server, stdin=Path(os.devnull)))
    went_well(send(server, stdin=b""))
    bob.quiet()


def test_the_last_line_needs_no_end_and_empty_lines_are_nothing(
    server: ServerProcess, bob: Text
) -> None:
    went_well(send(server, stdin=b"\n\n#ops one\n   \n\t\r\n#ops two\r\n\n#ops three"))
    bob.expect(
        "* cron joined #ops",
        "[#ops] cron: one",
        "[#ops] cron: two",
        "[#ops] cron: three",
        "* cron left #ops (quit)",
    )


def test_lines_in_any_script_and_bytes_in_none(server: ServerProcess, bob: Text) -> None:
    went_well(send(server, stdin="#ops Grüße 👋 日本\n".encode() + b"#ops \xff\x1b[31m\n"))
    bob.expect("* cron joined #ops", "[#ops] cron: Grüße 👋 日本", "[#ops] cron: \ufffd␛[31m")


def test_a_line_arrives_while_more_is_to_come(
    server: ServerProcess, bob: Text, begin: Begin
) -> None:
    client = begin(server.port)
    client.send("#ops one")
    bob.expect("* cron joined #ops", "[#ops] cron: one")
    client.send_bytes(b"#ops tw")
    client.send_bytes(b"o\n#ops thr")
    bob.expect("[#ops] cron: two")
    client.stdin.close()
    bob.expect("[#ops] cron: thr", "* cron left #ops (quit)")
    client.went_well()


def test_what_comes_is_printed_as_in_the_text_tongue(
    server: ServerProcess, bob: Text, begin: Begin
) -> None:
    client = begin(server.port)
    client.send("/join ops")
    client.expect("* welcome cron: …", "* you joined #ops")
    bob.send("#ops hi", "@cron just you")
    client.expect("[#ops] bob: hi", "[@bob] just you")
    client.stdin.close()
    client.expect("* bye")
    client.expect_end()
    client.went_well()


def test_a_closed_standard_stream_is_as_good_as_none(server: ServerProcess, bob: Text) -> None:
    client = f"{shlex.join(CLIENT)} 127.0.0.1:{server.port} --user cron"
    for command in (f"echo '#ops hi' | {client} >&-", f"{client} <&-", f"{client} <&- >&-"):
        went_well(shell(command))
    bob.expect("* cron joined #ops", "[#ops] cron: hi", "* cron left #ops (quit)")
    bob.quiet()


# Rooms


def test_each_room_is_entered_once_before_the_first_post_to_it(
    server: ServerProcess, bob: Text
) -> None:
    dan = server.text("dan", "dev")
    went_well(send(server, stdin=b"#ops 1\n#dev 2\n/me #OPS waves\n#ops 4\n#dev 5\n"))
    bob.expect(
        "* cron joined #ops",
        "[#ops] cron: 1",
        "[#ops] * cron waves",
        "[#ops] cron: 4",
        "* cron left #ops (quit)",
    )
    dan.expect("* cron joined #dev", "[#dev] cron: 2", "[#dev] cron: 5", "* cron left #dev (quit)")


def test_a_room_that_was_left_is_entered_again(server: ServerProcess, bob: Text) -> None:
    went_well(send(server, stdin=b"#ops 1\n/leave ops\n#ops 2\n#ops 3\n"))
    bob.expect(
        "* cron joined #ops",
        "[#ops] cron: 1",
        "* cron left #ops",
        "* cron joined #ops",
        "[#ops] cron: 2",
        "[#ops] cron: 3",
        "* cron left #ops (quit)",
    )


# Acknowledgements


def test_it_ends_when_all_is_acknowledged_and_not_before(scripted: Scripted, begin: Begin) -> None:
    client = begin(scripted.port, *PLAIN)
    client.send("#ops 1", "#ops 2", "@bob 3")
    client.stdin.close()
    scripted.welcome()
    asked = scripted.events("join", "post", "post", "post")
    for command in asked:
        scripted.quiet()
        assert client.process.poll() is None
        scripted.ok(command)
    scripted.goodbye()
    client.went_well()


def test_a_server_that_does_not_answer_is_not_flooded(scripted: Scripted, begin: Begin) -> None:
    client = begin(scripted.port, *PLAIN)
    client.send(*("@bob x" for _ in range(5_000)))
    client.stdin.close()
    scripted.welcome()
    asked = scripted.events(*["post"] * 1_000)
    scripted.quiet()
    for command in asked:
        scripted.ok(command)
    scripted.events(*["post"] * 1_000)
    scripted.quiet()


def test_a_refused_line_fails_and_the_others_are_sent(server: ServerProcess, bob: Text) -> None:
    result = send(server, stdin=b"#ops 1\n@nobody hi\n#ops 2\n")
    assert why(result).startswith("refused: there is no user nobody here")
    bob.expect("* cron joined #ops", "[#ops] cron: 1", "[#ops] cron: 2", "* cron left #ops (quit)")


def test_of_several_refused_lines_the_first_is_told(server: ServerProcess, bob: Text) -> None:
    result = send(server, stdin=b"what is this\n#ops 1\n#\n@nobody hi\n#not!a!room x\n")
    assert why(result).startswith("4 refused, first: say to whom")
    assert result.stdout.count("! say to whom") == 1
    assert "! there is no user nobody here" in result.stdout
    bob.expect("* cron joined #ops", "[#ops] cron: 1", "* cron left #ops (quit)")


@pytest.mark.parametrize("size", [LIMIT, 2 * 2**20])
def test_an_over_long_line_is_refused_here_and_the_rest_goes_on(
    server: ServerProcess, bob: Text, size: int
) -> None:
    lines = b"#ops " + b"x" * size + b"\n#ops after\n"
    assert why(send(server, stdin=lines)).endswith("send it in pieces")
    bob.expect("* cron joined #ops", "[#ops] cron: after", "* cron left #ops (quit)")


def test_lines_after_quit_are_not_sent(server: ServerProcess, bob: Text) -> None:
    went_well(send(server, stdin=b"#ops 1\nquit\n#ops 2\n"))
    bob.expect("* cron joined #ops", "[#ops] cron: 1", "* cron left #ops (quit)")
    bob.quiet()


# Much


def peak(*arguments: str, stdin: Path) -> int:
    """Run a client that is to succeed; the most memory that it ever had, in bytes."""
    with stdin.open("rb") as source:
        process = subprocess.Popen(
            (*CLIENT, *arguments), stdin=source, stdout=subprocess.DEVNULL, env=environment()
        )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def test_20000_lines_arrive_in_order_and_once_and_need_little_memory(
    server: ServerProcess, bob: Text, tmp_path: Path
) -> None:
    count, padding = 20_000, "x" * 1_000
    file = tmp_path / "lines"
    file.write_text("".join(f"#ops {n} {padding}\n" for n in range(count)), encoding="ascii")
    arguments = f"127.0.0.1:{server.port}", "--user", "cron"
    little = peak(*arguments, stdin=Path(os.devnull))
    much = peak(*arguments, stdin=file)
    bob.expect("* cron joined #ops")
    for n in range(count):
        assert bob.line() == f"[#ops] cron: {n} {padding}"
    bob.expect("* cron left #ops (quit)")
    assert much - little < 12 * 2**20, "20 MB went through it"


def test_two_who_both_say_much_to_one_room_do_not_wait_for_each_other(
    server: ServerProcess, begin: Begin, tmp_path: Path
) -> None:
    count, padding = 500, "x" * 60_000
    file = tmp_path / "lines"
    file.write_text("".join(f"#ops {n} {padding}\n" for n in range(count)), encoding="ascii")
    with file.open("rb") as one, file.open("rb") as other:
        processes = [
            subprocess.Popen(
                (*CLIENT, f"127.0.0.1:{server.port}", "--user", name),
                stdin=source,
                stdout=subprocess.DEVNULL,
                env=environment(),
            )
            for name, source in (("one", one), ("other", other))
        ]
    try:
        assert [process.wait(PATIENCE) for process in processes] == [0, 0]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


# What goes wrong


def test_no_server(server: ServerProcess) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # nobody listens there, nor will
        port = sock.getsockname()[1]
        result = run(f"127.0.0.1:{port}", "--user", "cron", stdin=b"#ops hi\n")
    assert why(result) == (
        f"cannot reach 127.0.0.1 port {port} (Connection refused): is selchat-server running there?"
    )
    assert result.stdout == ""


def test_no_such_host() -> None:
    # An address of an interface that there is not is looked up, and not found, without a network.
    result = run("fe80::1%nowhere", "--user", "cron", stdin=b"#ops hi\n")
    assert why(result).startswith("there is no host fe80::1%nowhere (")


def test_something_else_that_listens_there(scripted: Scripted, begin: Begin) -> None:
    client = begin(scripted.port, *PLAIN)
    scripted.expect_hello()
    scripted.send("HTTP/1.1 400 Bad Request")
    assert "what answers there is no selchat server" in client.why()


def test_a_name_that_is_in_use(server: ServerProcess) -> None:
    server.text("Cron")
    said = why(send(server, stdin=b"#ops hi\n"))
    assert said == "the name cron is in use: choose another with --user"


def test_a_name_that_is_none(server: ServerProcess) -> None:
    result = run(f"127.0.0.1:{server.port}", "--user", "a b\x1b[2J", stdin=b"#ops hi\n")
    assert why(result).endswith("choose another with --user")


def test_arguments_that_are_no_text(server: ServerProcess, bob: Text) -> None:
    result = run(f"127.0.0.1:{server.port}", "--user", "\udcff", stdin=b"#ops hi\n")
    assert why(result).endswith("choose another with --user")
    went_well(send(server, "--to", "#ops", "caf\udce9"))
    bob.expect("* cron joined #ops", "[#ops] cron: caf?")


def test_a_server_that_is_killed(server: ServerProcess, bob: Text, begin: Begin) -> None:
    client = begin(server.port, *AT_ONCE)
    client.send("#ops one")
    bob.expect("* cron joined #ops", "[#ops] cron: one")
    server.signal(signal.SIGKILL)
    server.expect_exit(-signal.SIGKILL)
    said = client.why()
    assert said.startswith(f"the connection to 127.0.0.1 port {server.port} was lost (")


def test_a_server_that_stops(server: ServerProcess, begin: Begin) -> None:
    client = begin(server.port, *AT_ONCE)
    client.expect("* welcome cron: …")
    server.signal()
    client.expect("* the server is stopping")
    assert f"127.0.0.1 port {server.port} was lost" in client.why()
    server.expect_exit()


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        (1, "; 3 lines may not have arrived"),
        (3, "; 1 line may not have arrived"),
        (4, ""),
    ],
)
def test_how_many_lines_may_be_lost_is_said(
    scripted: Scripted, begin: Begin, answered: int, said: str
) -> None:
    client = begin(scripted.port, *PLAIN, *AT_ONCE)
    client.send("#ops 1", "#ops 2", "#ops 3")
    client.stdin.close()
    scripted.welcome()
    asked = scripted.events("join", "post", "post", "post")
    for command in asked[:answered]:
        scripted.ok(command)
    if answered == len(asked):
        scripted.events("quit")
    else:
        scripted.quiet()  # so it has seen the end of its input
    scripted.close()
    where = f"the connection to 127.0.0.1 port {scripted.port} was lost"
    assert client.why() == f"{where} (closed by the server){said}"


def test_input_that_was_not_read_yet_is_said_to_be_lost_too(
    scripted: Scripted, begin: Begin
) -> None:
    client = begin(scripted.port, *PLAIN, *AT_ONCE)
    client.send("@bob 1")
    scripted.welcome()
    scripted.events("post")
    scripted.close()
    assert client.why().endswith(
        "; 1 line may not have arrived, and the input was not read to its end"
    )


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order_but_is_a_failure(
    server: ServerProcess, bob: Text, begin: Begin, number: int
) -> None:
    client = begin(server.port)
    client.send("#ops one")
    bob.expect("* cron joined #ops", "[#ops] cron: one")
    client.process.send_signal(number)
    bob.expect("* cron left #ops (quit)")
    assert client.why() == "interrupted before the end of the input"


def test_a_signal_ends_it_where_the_server_does_not_answer(
    scripted: Scripted, begin: Begin
) -> None:
    client = begin(scripted.port, *PLAIN)
    client.send("@bob 1", "@bob 2")
    scripted.welcome()
    scripted.events("post", "post")
    client.process.send_signal(signal.SIGTERM)
    scripted.events("quit")
    assert client.why().endswith("was lost (no answer); 2 lines may not have arrived")


def test_a_second_signal_ends_it_at_once(scripted: Scripted, begin: Begin) -> None:
    client = begin(scripted.port, *PLAIN)
    scripted.welcome()
    client.expect("* welcome cron: …")
    client.process.send_signal(signal.SIGINT)
    scripted.events("quit")
    client.process.send_signal(signal.SIGINT)
    assert client.why() == "interrupted"


def test_a_signal_ends_it_before_it_is_welcome(scripted: Scripted, begin: Begin) -> None:
    client = begin(scripted.port, *PLAIN)
    scripted.expect_hello()
    client.process.send_signal(signal.SIGTERM)
    assert client.why() == "interrupted"


# Output


def test_output_that_nobody_reads_ends_it_without_a_traceback(
    server: ServerProcess, bob: Text, begin: Begin
) -> None:
    client = begin(server.port)
    client.send("/join ops")
    client.expect("* welcome cron: …")
    client.stdout.close()

    def ended() -> bool:
        bob.send("#ops hello?")
        return client.process.poll() is not None

    until(ended, "the client has ended")
    assert client.why() == "nobody reads what is printed"


def test_head_ends_it_too(server: ServerProcess) -> None:
    client = f"{shlex.join(CLIENT)} 127.0.0.1:{server.port} --user cron"
    lines = [f"/topic room{n}\n" for n in range(5_000)]
    done = shell(f"{client} | head -1", "".join(lines))
    assert done.stdout.startswith("* welcome cron: ")
    assert done.stdout.count("\n") == 1
    assert done.stderr.count("\n") <= 1, done.stderr


# JSON, for programs


def test_json_prints_each_event_as_a_line(server: ServerProcess, bob: Text, begin: Begin) -> None:
    client = begin(server.port, "--json")
    client.send('{"type":"join","id":"a","room":"ops"}', '{"type":"who","id":"b","room":"ops"}')
    client.expect(
        '{"type":"welcome","user":"cron"}',
        '{"type":"ok","id":"a"}',
        '{"type":"users","id":"b","room":"ops"}',
    )
    bob.send("#ops hi")
    client.expect('{"type":"message","to":"#ops","from":"bob","text":"hi"}')
    client.stdin.close()
    client.expect('{"type":"ok"}')
    client.expect_end()
    client.went_well()


def test_json_takes_both_kinds_of_lines(server: ServerProcess, bob: Text) -> None:
    lines = ['{"type":"post","id":"1","to":"#ops","text":"a\\nb"}', "#ops c"]
    result = send(server, "--json", stdin="\n".join(lines).encode())
    went_well(result)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["type"] for answer in answers] == ["welcome", "ok", "ok", "ok", "ok"]
    mine = [answer for answer in answers if answer.get("id") == "1"]
    assert len(mine) == 1, "the room that is entered for it has another id"
    assert mine[0]["seq"] == answers[2]["seq"]
    bob.expect("* cron joined #ops", "[#ops] cron: a", "[#ops] cron: b", "[#ops] cron: c")


def test_json_tells_of_lines_that_are_no_commands_in_json(server: ServerProcess) -> None:
    result = send(server, "--json", stdin=b'{"type":"psot"}\nhello\n{\n{"type":"help"}\n')
    assert why(result).startswith("3 refused, first: ")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["type"] for answer in answers[:4]] == ["welcome", "error", "error", "error"]
    assert [answer["code"] for answer in answers[1:4]] == [
        "unknown-command",
        "no-command",
        "bad-json",
    ]


def test_json_commands_that_have_no_answer_are_not_waited_for(server: ServerProcess) -> None:
    went_well(send(server, "--json", stdin=b'{"type":"pong"}\n{"type":"ping"}\n'))


def test_json_of_a_hostile_server_holds_nothing_that_acts_on_a_terminal(
    scripted: Scripted, begin: Begin
) -> None:
    client = begin(scripted.port, *PLAIN, "--json")
    scripted.welcome()
    client.expect('{"type":"welcome"}')
    scripted.say("notice", code="x", text="\x1b[2J\x07\x7f\x9b\u202e\n")
    line = client.line()
    assert line.isprintable()
    assert json.loads(line)["type"] == "notice"
    client.stdin.close()
    scripted.goodbye()
    client.went_well()


def test_lines_of_a_hostile_server_hold_nothing_that_acts_on_a_terminal(
    scripted: Scripted, begin: Begin
) -> None:
    client = begin(scripted.port, *PLAIN)
    scripted.welcome()
    client.expect("* welcome cron: …")
    scripted.say("notice", code="x", text="\x1b[2J\x07\x7f\x9b\u202e\n[#ops] bob: hi")
    line = client.line()
    assert line.isprintable()
    assert line.endswith(" [#ops] bob: hi")
    client.stdin.close()
    scripted.goodbye()
    client.went_well()


# How it is called


def test_without_a_terminal_there_is_nobody_to_ask_for_a_name(server: ServerProcess) -> None:
    result = run(f"127.0.0.1:{server.port}", stdin=b"alice\n")
    assert "--user" in why(result, 2)


def test_the_name_can_come_from_the_environment(server: ServerProcess, bob: Text) -> None:
    where = f"127.0.0.1:{server.port}"
    went_well(run(where, stdin=b"#ops hi\n", SELCHAT_USER="anna"))
    bob.expect("* anna joined #ops", "[#ops] anna: hi", "* anna left #ops (quit)")
    went_well(run(where, "--user", "otto", stdin=b"#ops hi\n", SELCHAT_USER="anna"))
    bob.expect("* otto joined #ops")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--user", ""), "--user"),
        (("--user", "cron", "--jsn"), "did you mean --json?"),
        (("--user", "cron", "localhost:none"), "is no port"),
        (("--user", "cron", "localhost:0"), "is no port"),
        (("--user", "cron", "a..b"), "is no address"),
    ],
)
def test_a_wrong_call_says_what_is_right(arguments: tuple[str, ...], said: str) -> None:
    assert said in why(run(*arguments), 2)
