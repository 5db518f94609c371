"""People who talk, each at a terminal, with the real client and the real server."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pexpect
import pytest

from tests.e2e.harness import PATIENCE, ROOT, ServerProcess, environment

CLIENT = ("-W", "error", str(ROOT / "bin" / "selchat-client"))


class Terminal:
    """A terminal of 24 lines of 80 characters with a client in it."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            [*CLIENT, *arguments],
            encoding="utf-8",
            timeout=PATIENCE,
            dimensions=(24, 80),
            env=environment(
                TERM="xterm-256color",
                LANG="C.UTF-8",
                LC_ALL="C.UTF-8",
                NO_COLOR="1",  # or a name and what follows it could be apart
                HOME=str(home),
                XDG_CONFIG_HOME=str(home),
                XDG_DATA_HOME=str(home),
                XDG_STATE_HOME=str(home),
            ),
        )
        self.child.delaybeforesend = None
        self.pid: int = self.child.pid

    def types(self, line: str) -> None:
        """Type a line, with the key Enter."""
        self.child.send(f"{line}\r")

    def presses(self, key: str) -> None:
        self.child.send(key)

    def sees(self, *texts: str) -> None:
        """These come up, one after the other."""
        for text in texts:
            try:
                self.child.expect_exact(text)
            except (pexpect.TIMEOUT, pexpect.EOF) as error:
                raise AssertionError(
                    f"{text!r} was to come ({type(error).__name__}): {self.child.before!r}"
                ) from None

    def sees_like(self, pattern: str) -> None:
        """Something comes up that matches."""
        self.child.expect(pattern)

    def ends(self, code: int) -> str:
        """The client ends with that exit code; what was seen until then."""
        self.child.expect(pexpect.EOF)
        seen: str = self.child.before
        self.child.wait()
        assert (self.child.exitstatus, self.child.signalstatus) == (code, None), seen
        assert "Traceback" not in seen
        return seen

    def close(self) -> None:
        self.child.close(force=True)


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    """Open terminals with a client in them; they are closed with the test."""
    with ExitStack() as stack:

        def terminal(*arguments: str) -> Terminal:
            one = Terminal(tmp_path, *arguments)
            stack.callback(one.close)
            return one

        yield terminal


@pytest.fixture
def person(server: ServerProcess, terminal: Open) -> Open:
    """People at terminals, logged in and in the rooms named."""

    def person(name: str, *rooms: str, patience: str = "60") -> Terminal:
        where = f"127.0.0.1:{server.port}"
        one = terminal(where, "--plain", "--user", name, "--patience", patience)
        one.sees(f"* welcome {name}: ")
        for room in rooms:
            one.types(f"/join {room}")
            one.sees(f"* you joined #{room}")
        return one

    return person


# Talking


def test_two_people_talk_in_a_room_and_alone(person: Open) -> None:
    alice = person("alice", "dev")
    bob = person("bob", "dev")
    alice.sees("* bob joined #dev")
    alice.types("#dev hello bob, how are you?")
    bob.sees("[#dev] alice: hello bob, how are you?")
    bob.types("#dev Grüße 👋 日本")
    alice.sees("[#dev] bob: Grüße 👋 日本")
    alice.types("@bob just you")
    bob.sees("[@alice] just you")
    bob.types("@alice I see")
    alice.sees("[@bob] I see")
    bob.types("quit")
    bob.ends(0)
    alice.sees("* bob left #dev (quit)")
    alice.types("quit")
    alice.ends(0)


def test_three_people_in_two_rooms_hear_only_what_is_for_them(person: Open) -> None:
    alice = person("alice", "dev")
    bob = person("bob", "dev", "ops")
    carol = person("carol", "ops")
    bob.sees("* carol joined #ops")
    alice.types("#dev for the developers")
    bob.sees("[#dev] alice: for the developers")
    carol.types("#ops for the operators")
    bob.sees("[#ops] carol: for the operators")
    bob.types("#ops the end")
    carol.sees("[#ops] bob: the end")
    assert "developers" not in carol.child.before
    bob.types("#dev the end")
    alice.sees("[#dev] bob: the end")
    assert "operators" not in alice.child.before


def test_with_somebody_who_has_only_nc(server: ServerProcess, person: Open) -> None:
    nc = server.text("nick", "dev")
    alice = person("alice", "dev")
    nc.expect("* alice joined #dev")
    alice.types("#dev hello nick")
    nc.expect("[#dev] alice: hello nick")
    nc.send("#dev hello alice")
    alice.sees("[#dev] nick: hello alice")
    nc.send("@alice psst")
    alice.sees("[@nick] psst")
    nc.reset()
    alice.sees("* nick left #dev (lost connection)")


def test_help_lists_all_that_can_be_typed(person: Open) -> None:
    alice = person("alice")
    alice.types("/help")
    alice.sees(
        "/join ROOM",
        "/leave ROOM",
        "#ROOM MESSAGE",
        "@USER MESSAGE",
        "/me TARGET TEXT",
        "/rooms",
        "/who [ROOM]",
        "/topic ROOM [TEXT]",
        "/away [TEXT]",
        "/nick NAME",
        "/history TARGET [N]",
        "quit",
    )


def test_every_further_command(person: Open) -> None:
    alice = person("alice", "dev")
    bob = person("bob", "dev")
    alice.types("/me #dev waves")
    bob.sees("[#dev] * alice waves")
    alice.types("/topic dev the weather")
    alice.sees("* you set the topic of #dev")
    bob.sees("* alice set the topic of #dev: the weather")
    bob.types("/topic dev")
    bob.sees("* the topic of #dev: the weather")
    bob.types("/rooms")
    bob.sees("* #dev (2): the weather")
    bob.types("/who dev")
    bob.sees("* in #dev: alice (owner), bob")
    bob.types("/away out for tea")
    bob.sees("* you are away: out for tea")
    alice.types("@bob hello?")
    bob.sees("[@alice] hello?")
    alice.sees("* bob is away: out for tea")
    alice.types("/who")
    alice.sees("bob (away: out for tea)")
    bob.types("/away")
    bob.sees("* you are back")
    alice.types("/nick anna")
    alice.sees("* you are now anna")
    bob.sees("* alice is now anna in #dev")
    bob.types("#dev remember this")
    alice.sees("[#dev] bob: remember this")
    alice.types("/history #dev 2")
    alice.sees_like(r"\* \[\d{4}-\d\d-\d\d \d\d:\d\dZ\] \[#dev\] bob: remember this")
    bob.types("/leave dev")
    bob.sees("* you left #dev")
    alice.sees("* bob left #dev")


def test_a_mistake_is_told_in_one_line_and_changes_nothing(person: Open) -> None:
    alice = person("alice")
    alice.types("/jion dev")
    alice.sees("! there is no /jion: did you mean /join ROOM ?")
    alice.types("#dev hello")
    alice.sees("! you are not in #dev: type /join dev first")
    alice.types("@nobody hello")
    alice.sees("! there is no user nobody here")
    alice.types("quit")
    alice.ends(0)


def test_each_line_has_its_time_before_it(person: Open) -> None:
    alice = person("alice", "dev")
    bob = person("bob", "dev")
    alice.sees_like(r"([01]\d|2[0-3]):[0-5]\d \* bob joined #dev")
    alice.types("#dev hello")
    bob.sees_like(r"([01]\d|2[0-3]):[0-5]\d \[#dev\] alice: hello")


# Names


def test_the_name_is_asked_before_anything_is_connected(terminal: Open) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # nobody listens there
        alice = terminal(f"127.0.0.1:{sock.getsockname()[1]}")
        alice.sees("Username: ")
        alice.types("alice")
        assert "(Connection refused): is selchat-server running there?" in alice.ends(1)


def test_the_name_that_is_typed_is_the_users(server: ServerProcess, terminal: Open) -> None:
    alice = terminal(f"127.0.0.1:{server.port}")
    alice.sees("Username: ")
    alice.types("alice")
    alice.sees("* welcome alice: ")


def test_another_name_is_asked_for_where_one_is_in_use(
    server: ServerProcess, terminal: Open
) -> None:
    server.text("alice")
    other = terminal(f"127.0.0.1:{server.port}", "--user", "Alice")
    other.sees("the name Alice is in use", "Username: ")
    other.types("no name")
    other.sees("choose another", "Username: ")
    other.types("anna")
    other.sees("* welcome anna: ")


# The end


def test_ctrl_d_ends_it_in_order(server: ServerProcess, person: Open) -> None:
    bob = server.text("bob", "dev")
    alice = person("alice", "dev")
    bob.expect("* alice joined #dev")
    alice.presses("\x04")
    bob.expect("* alice left #dev (quit)")
    alice.ends(0)


def test_ctrl_c_ends_it_in_order(server: ServerProcess, person: Open) -> None:
    bob = server.text("bob", "dev")
    alice = person("alice", "dev")
    bob.expect("* alice joined #dev")
    alice.presses("\x03")
    bob.expect("* alice left #dev (quit)")
    alice.ends(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order(
    server: ServerProcess, person: Open, number: signal.Signals
) -> None:
    bob = server.text("bob", "dev")
    alice = person("alice", "dev")
    bob.expect("* alice joined #dev")
    os.kill(alice.pid, number)
    bob.expect("* alice left #dev (quit)")
    alice.ends(0)


@pytest.mark.parametrize("key", ["\x04", "\x03"])
def test_who_does_not_say_a_name_is_not_kept(
    server: ServerProcess, terminal: Open, key: str
) -> None:
    alice = terminal(f"127.0.0.1:{server.port}")
    alice.sees("Username: ")
    alice.presses(key)
    alice.ends(1)


def test_a_server_that_stops_is_said_and_is_a_failure(server: ServerProcess, person: Open) -> None:
    alice = person("alice", "dev", patience="0")
    server.signal()
    alice.sees("* the server is stopping")
    assert f"the connection to 127.0.0.1 port {server.port} was lost" in alice.ends(1)
    server.expect_exit()


def test_a_server_that_is_killed_is_said_and_is_a_failure(
    server: ServerProcess, person: Open
) -> None:
    alice = person("alice", "dev", patience="0")
    server.signal(signal.SIGKILL)
    server.expect_exit(-signal.SIGKILL)
    assert f"the connection to 127.0.0.1 port {server.port} was lost" in alice.ends(1)
