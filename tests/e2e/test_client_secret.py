"""A password is typed at a terminal, and never seen on it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, ServerProcess
from tests.e2e.screens import Screen

SECRET = "hunter2-hunter2"
BASH = ("bash", "--norc", "--noprofile", "-c")

Open = Callable[..., Screen]


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Where what was told is written to, a line each."""
    return tmp_path / "told"


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Open]:
    """Open terminals with a command in them."""
    with ExitStack() as stack:

        def screen(*command: str) -> Screen:
            one = Screen(tmp_path, *command, PYTHONPATH=str(ROOT))
            stack.callback(one.close)
            return one

        yield screen


def tells(one: Screen, told: Path, *expected: str | None) -> None:
    """That is what was told, and nothing of it is on the terminal."""
    one.until(lambda: told.exists() and told.read_text().count("\n") >= len(expected), "it is told")
    assert told.read_text().splitlines() == [repr(text) for text in expected]
    assert not re.search(rb"hun|ter2", one.raw)


# In the chat

CLIENT = """\
import sys
from pathlib import Path
from selchat import cli
from selchat.client import line

told = Path(sys.argv.pop(1))

def send(self, typed):
    if not typed.startswith("/secret"):
        return before(self, typed)

    def then(text):
        with told.open("a") as file:
            file.write(f"{text!r}\\n")
        self._output.tell("* thank you")
        if prompts:
            self.ask_secret(prompts.pop(), then)

    prompts = ["Again: ", "Password: "] if typed == "/secret twice" else ["Password: "]
    self.ask_secret(prompts.pop(), then)

def show(self, event, heard):
    shown(self, event, heard)
    if any("ask now" in said for said in heard.lines):
        send(self, "/secret")

before, line.Line._send = line.Line._send, send
shown, line.Line.show = line.Line.show, show
sys.exit(cli.client_main())
"""


@pytest.fixture
def alice(server: ServerProcess, screen: Open, told: Path) -> Open:
    """Alice at a terminal, in #dev, whose client knows `/secret`."""

    def alice(*flags: str) -> Screen:
        address = f"127.0.0.1:{server.port}"
        user = ("--user", "alice", *flags)
        one = screen(sys.executable, "-c", CLIENT, str(told), address, *user)
        one.sees("* welcome alice: ")
        one.enters("/join dev")
        one.sees("* you joined #dev")
        return one

    return alice


def test_what_is_typed_is_told_and_not_shown(alice: Open, told: Path) -> None:
    one = alice()
    one.enters("/secret")
    one.prompts("Password: ")
    one.types(SECRET + "x\x7f")
    one.types("\r")
    one.prompts("#dev> ")
    tells(one, told, SECRET)
    # Neither the history, the undo nor what was cut has it.
    for keys in ("\x1b[A", "\x1f", "\x19", "\x12unt\x07"):
        one.types(keys)
    one.types("\x15the end\r")
    one.sees("[#dev] alice: the end ✓")
    one.types("\x04")
    one.ends(0)
    tells(one, told, SECRET)
    kept = [path for path in one.home.rglob("*") if path.is_file() and path != told]
    assert any(path.name == "history" for path in kept)
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]


def test_messages_come_in_while_it_is_typed(server: ServerProcess, alice: Open, told: Path) -> None:
    one = alice()
    bob = server.text("bob", "dev")
    one.enters("/secret")
    one.prompts("Password: ")
    one.types(SECRET[:5])
    bob.send("#dev in between")
    one.sees("[#dev] bob: in between")
    one.prompts("Password: ")
    one.types(SECRET[5:] + "\r")
    tells(one, told, SECRET)
    one.prompts("#dev> ")


@pytest.mark.parametrize("flags", [[], ["--linear"]])
def test_the_line_that_was_being_typed_comes_back(
    server: ServerProcess, alice: Open, told: Path, flags: list[str]
) -> None:
    one = alice(*flags)
    bob = server.text("bob", "dev")
    one.types("half a ")
    one.sees("half a")
    bob.send("#dev ask now")
    one.sees("Password:")
    one.types(SECRET + "\r")
    tells(one, told, SECRET)
    one.types("line\r")
    while (heard := bob.line()) != "[#dev] alice: half a line":
        assert SECRET not in heard
    tells(one, told, SECRET)


def test_two_questions_in_a_row_and_what_is_typed_ahead(alice: Open, told: Path) -> None:
    one = alice()
    one.enters("/secret twice")
    one.prompts("Password: ")
    one.types(f"{SECRET}\r{SECRET[::-1]}\rthe line after\r")
    tells(one, told, SECRET, SECRET[::-1])
    one.sees("[#dev] alice: the line after ✓")


@pytest.mark.parametrize("key", ["\x1b", "\x03", "\x07", "\x15\x04"])
def test_it_can_be_left_without_an_answer_and_the_chat_goes_on(
    alice: Open, told: Path, key: str
) -> None:
    one = alice()
    one.enters("/secret")
    one.prompts("Password: ")
    one.types(SECRET)
    one.types(key)
    tells(one, told, None)
    one.prompts("#dev> ")
    one.enters("still here")
    one.sees("[#dev] alice: still here ✓")
    one.types("\x03")  # which is the signal again
    one.sees("* leaving: interrupted (Ctrl-C)")
    one.ends(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_in_the_middle_ends_the_client_and_gives_the_terminal_back(
    alice: Open, told: Path, number: signal.Signals
) -> None:
    one = alice()
    one.enters("/secret")
    one.prompts("Password: ")
    one.types(SECRET)
    one.signal(number)
    one.sees("* leaving: ")
    one.ends(0)
    assert not told.exists()
    assert b"hunter" not in one.raw


def test_linear_mode_asks_and_writes_nothing_of_it(alice: Open, told: Path) -> None:
    one = alice("--linear")
    one.enters("/secret")
    one.sees("* Password:")
    one.types("hunterx\x7f\x152hunter\x15")
    one.types(SECRET + "\r")
    one.sees("* thank you")
    tells(one, told, SECRET)
    one.enters("the end")
    one.enters("quit")
    one.ends(0)
    tells(one, told, SECRET)
    assert not re.search(rb"[\x00-\x06\x08\x09\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)", one.raw)


# Before the chat

ASK = """\
import sys
from pathlib import Path
from selchat.client.terminal import ask_password
from selchat.errors import StartError

told = Path(sys.argv[1])
try:
    text = ask_password("Password: ")
except StartError as error:
    sys.exit(f"ask: {error}")
except KeyboardInterrupt:  # as in cli.py; else bash ends as well
    sys.exit(1)
told.write_text(f"{text!r}\\n")
"""


@pytest.fixture
def ask(screen: Open, told: Path) -> Screen:
    """A shell that says what the terminal is like before and after a password was asked for.

    What asks has neither input nor output of its own.
    """
    asks = shlex.join((sys.executable, "-c", ASK, str(told)))
    one = screen(*BASH, f"stty -a; {asks} </dev/null >/dev/null; echo rc=$?; stty -a; echo over")
    one.prompts("Password: ")
    return one


def as_it_was(one: Screen) -> None:
    """The terminal is as it was before."""
    one.sees("over")
    modes = re.findall(r"speed .*?-xcase|speed .*?extproc", one.raw.decode(), re.DOTALL)
    assert len(modes) == 2
    assert modes[0] == modes[1]
    assert not re.search(rb"hun|ter2", one.raw)


def test_a_password_is_asked_for_at_the_terminal(ask: Screen, told: Path) -> None:
    ask.types(f"other\x15{SECRET}x\x7f\r")
    tells(ask, told, SECRET)
    ask.sees("rc=0")
    as_it_was(ask)


def test_an_empty_line_is_no_password(ask: Screen, told: Path) -> None:
    ask.types(f"\r\r{SECRET}\r")
    tells(ask, told, SECRET)
    as_it_was(ask)
    assert ask.all.count("Password:") == 3


def test_the_end_of_input_is_none(ask: Screen, told: Path) -> None:
    ask.types("\x04")
    ask.sees("ask: no password was given", "rc=1")
    as_it_was(ask)
    assert not told.exists()


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("\x03", 1),
        ("\x1c", 131),
        (signal.SIGTERM, 143),
        (signal.SIGHUP, 129),
    ],
)
def test_a_signal_ends_it_as_it_would_and_gives_the_terminal_back(
    ask: Screen, told: Path, how: str | signal.Signals, code: int
) -> None:
    ask.types(SECRET)
    if isinstance(how, signal.Signals):
        pids = Path(f"/proc/{ask.child.pid}/task/{ask.child.pid}/children").read_text().split()
        os.kill(int(pids[0]), how)
    else:
        ask.types(how)
    ask.sees(f"rc={code}")
    as_it_was(ask)
    assert not told.exists()


def test_a_stop_waits_until_the_password_was_typed(ask: Screen, told: Path) -> None:
    ask.types(f"\x1a{SECRET}\r")
    tells(ask, told, SECRET)
    as_it_was(ask)


def test_without_a_terminal_it_says_where_to_type_it(screen: Open, told: Path) -> None:
    asks = shlex.join((sys.executable, "-c", ASK, str(told)))
    one = screen(*BASH, f"setsid -w {asks}; echo rc=$?")
    one.sees("ask: a password is needed and there is no terminal to type it at: ", "rc=1")
