"""Line mode on a terminal, seen on an emulated screen."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, ServerProcess, Text
from tests.e2e.screens import CLIENT, Screen

Open = Callable[..., Screen]

SIZES = pytest.mark.parametrize("size", [(80, 24), (40, 10)])


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Open]:
    """Open terminals with a command in them, a client's unless told."""
    with ExitStack() as stack:

        def screen(
            *arguments: str,
            command: tuple[str, ...] = CLIENT,
            size: tuple[int, int] = (80, 24),
            **environ: str,
        ) -> Screen:
            one = Screen(tmp_path, *command, *arguments, size=size, **environ)
            stack.callback(one.close)
            return one

        yield screen


@pytest.fixture
def alice(server: ServerProcess, screen: Open) -> Open:
    """Alice at a terminal, in #dev."""

    def alice(
        *flags: str, size: tuple[int, int] = (80, 24), room: str = "dev", **environ: str
    ) -> Screen:
        address = f"127.0.0.1:{server.port}"
        one = screen(address, "--user", "alice", *flags, size=size, **environ)
        one.sees("* welcome alice: ")
        if room:
            one.enters(f"/join {room}")
            one.sees(f"* you joined #{room}")
        return one

    return alice


@pytest.fixture
def bob(server: ServerProcess) -> Text:
    return server.text("bob", "dev")


def heard(bob: Text) -> str:
    """The next line that alice said."""
    while not (line := bob.line()).startswith(("[#dev] alice: ", "[@alice] ")):
        pass
    return line.removeprefix("[#dev] alice: ")


# Conversations


@SIZES
def test_plain_text_goes_to_the_conversation_in_the_prompt(
    server: ServerProcess, alice: Open, bob: Text, size: tuple[int, int]
) -> None:
    one = alice(size=size)
    one.prompts("#dev> ")
    one.enters("hello")
    assert heard(bob) == "hello"
    one.sees("[#dev] alice: hello ✓")
    one.enters("//etc/hosts")
    assert heard(bob) == "/etc/hosts"
    one.enters("# a heading")
    assert heard(bob) == "# a heading"
    one.enters("/to @bob")
    one.prompts("@bob> ")
    one.enters("psst")
    assert heard(bob) == "[@alice] psst"
    one.sees("* you to @bob: psst ✓")
    one.enters("#dev back")
    one.prompts("#dev> ")
    assert heard(bob) == "back"
    one.enters("/join ops")
    one.prompts("#ops> ")
    one.enters("/to #nowhere")
    one.sees("! you are not in #nowhere")
    one.enters("/leave ops")
    one.prompts("#dev> ")
    one.enters("/kyes")
    one.sees("/keys ?")


def test_without_a_conversation_it_says_how_to_get_one(alice: Open) -> None:
    one = alice(room="")
    one.prompts("> ")
    one.enters("hello everybody")
    one.sees("! /join ROOM first, or say to whom: #ROOM MESSAGE or @USER MESSAGE")


def test_what_is_typed_ahead_of_the_answers_is_understood(alice: Open, bob: Text) -> None:
    one = alice(room="")
    one.types("/join dev\rone\rtwo\r@bob three\r")
    assert [heard(bob) for _ in range(3)] == ["one", "two", "[@alice] three"]


def test_own_messages_are_on_their_way_until_they_are_acknowledged(
    server: ServerProcess, alice: Open
) -> None:
    one = alice()
    server.signal(signal.SIGSTOP)
    one.enters("one")
    one.enters("two")
    one.sees("… [#dev] alice: one\n… [#dev] alice: two\n#dev>")
    assert "✓" not in one.all
    for number in range(5):
        one.enters(f"{number}")
    one.sees("… and 4 more")
    server.signal(signal.SIGCONT)
    one.sees("[#dev] alice: one ✓", "[#dev] alice: two ✓", "[#dev] alice: 4 ✓")
    one.until(lambda: "…" not in "".join(one.rows), "nothing is on its way")


def test_what_was_refused_is_told_and_comes_back_with_up(alice: Open) -> None:
    one = alice()
    one.enters("@nobody are you there?")
    one.sees("! there is no user nobody here", "* not sent (Up brings it back): are you there?")
    one.types("\x1b[A")
    one.prompts("#dev> @nobody are you there?")


# The line


@SIZES
def test_a_line_longer_than_the_window_is_edited_in_it(
    alice: Open, bob: Text, size: tuple[int, int]
) -> None:
    one = alice(size=size)
    text = "".join(f"{number:04d} " for number in range(size[0] // 5 * 3))
    one.types(text)
    one.until(lambda: one.line.endswith(text[-8:]), "the end is seen")
    one.types("\x01start ")
    one.prompts("#dev> start ")
    one.types("\x05end")
    one.until(lambda: one.line.endswith("end"), "the end is seen")
    bob.send("#dev a message in between")
    one.sees("[#dev] bob: a message in between")
    one.until(lambda: one.line.endswith("end"), "the line is there again")
    one.types("\r")
    assert heard(bob) == f"start {text}end"
    one.prompts("#dev> ")


@SIZES
@pytest.mark.parametrize("filler", ["x", "日", "e\u0301"])
def test_wide_and_combining_characters_at_the_margin(
    alice: Open, bob: Text, size: tuple[int, int], filler: str
) -> None:
    one = alice(size=size)
    for padding in range(3):
        text = "y" * padding + filler * (size[0] + 5)
        one.types(text)
        shown = unicodedata.normalize("NFC", f"#dev> {text}")  # as pyte shows it
        one.shows_at_the_end(shown)
        one.types("\x1b[D" * (size[0] // 2) + "|" + "\x1b[D\x1b[3~")  # there, and away again
        one.shows_at_the_end(shown)
        one.types("\x05\r")
        assert heard(bob) == text
        one.prompts("#dev> ")


def test_800_messages_arrive_while_a_line_is_edited(alice: Open, bob: Text) -> None:
    one = alice(size=(40, 10))
    typed = "The quick brown 狐 jumps over the lazy dög. " * 4
    for number in range(800):
        bob.send(f"#dev number {number}")
        if number % 4 == 0:
            one.types(typed[number // 4 : number // 4 + 1])
        if number % 50 == 49:
            one.sees(f"number {number}")
    one.types("\x01=> \x05\x17end")
    one.until(lambda: one.line.endswith(" end"), "the line is complete")
    one.types("\r")
    assert heard(bob) == f"=> {typed.rstrip().removesuffix('dög.')}end"
    numbers = [int(number) for number in re.findall(r"bob: number (\d+)", one.all)]
    assert numbers == list(range(800))


@SIZES
def test_a_paste_of_1500_characters(alice: Open, bob: Text, size: tuple[int, int]) -> None:
    one = alice(size=size)
    text = "".join(f"{number:04d} " for number in range(300))
    one.pastes(text)
    one.until(lambda: one.line.endswith("0299 "), "the paste is in the line")
    one.types("end\r")
    assert heard(bob) == text + "end"


def test_pasted_lines_are_one_message(server: ServerProcess, alice: Open) -> None:
    carol = server.json("carol", "dev")
    one = alice()
    one.pastes("first\r\tsecond\rthird\r")
    one.prompts("third")
    one.types("\r")
    while (event := carol.event())["type"] != "message":
        pass
    assert event["text"] == "first\n    second\nthird"
    one.sees("[#dev] alice: first ✓", "[#dev] alice: third ✓")


def test_many_pasted_lines_are_asked_about(server: ServerProcess, alice: Open) -> None:
    carol = server.json("carol", "dev")
    one = alice()
    text = "\r".join(f"line {number}" for number in range(6))
    one.pastes(text)
    one.prompts("line 5")
    one.types("\r")
    one.sees("line 0", "send these 6 lines as one message?")
    one.prompts("y or n: ")
    one.types("n")
    one.prompts("line 5")
    one.types("\ry")
    while (event := carol.event())["type"] != "message":
        pass
    assert event["text"] == text.replace("\r", "\n")
    one.prompts("#dev> ")


def test_hostile_paste_and_bytes_are_shown_and_do_nothing(alice: Open) -> None:
    one = alice()
    one.pastes("a\x1b[2Jb\x07")
    one.prompts("#dev> a␛[2Jb␇")
    one.child.send(b"\xff\xc3")
    one.until(lambda: "�" in one.line, "a mark is seen")


def test_history_and_search_are_kept_between_runs(alice: Open) -> None:
    one = alice()
    for line in ("the fox", "the dog"):
        one.enters(line)
        one.sees(f"{line} ✓")
    one.types("half a line")
    one.prompts("#dev> half a line")
    one.types("\x03")
    one.ends(0)
    two = alice(room="")
    two.types("\x1b[A")
    two.prompts("> half a line")
    two.types("\x1b[A")
    two.prompts("> the dog")
    two.types("\x15\x12fox")
    two.sees("(search) fox: the fox")
    two.types("\x07")
    two.prompts("> ")
    file = two.home / "state" / "selchat" / "history"
    assert file.stat().st_mode & 0o777 == 0o600


def test_tab_completes_and_a_second_one_lists(alice: Open, bob: Text) -> None:
    one = alice()
    one.types("/le\t")
    one.prompts("#dev> /leave ")
    one.types("d\t")
    one.prompts("#dev> /leave dev ")
    one.types("\x15bo\t")
    one.prompts("#dev> bob: ")
    one.types(":roc\t")
    one.prompts("#dev> bob: 🚀 ")
    one.types("\x15/h\t")
    one.types("\t")
    one.sees("* /help, /history")
    one.prompts("#dev> /h")
    one.types("\x15@\t")
    one.prompts("#dev> @bob ")


def test_help_and_keys_are_listed(alice: Open) -> None:
    one = alice()
    one.enters("/help")
    one.sees("* /join ROOM", "* /to TARGET")
    one.enters("/keys")
    one.sees("Ctrl-R", "search the history", "Ctrl-Z")


# How it looks


def test_a_name_has_always_the_same_colour(alice: Open, bob: Text) -> None:
    one = alice(NO_COLOR="")
    bob.send("#dev one", "#dev two", "@alice three")
    one.sees("three")
    colors = re.findall(rb"\x1b\[(\d+)mbob\x1b\[0m", one.raw)
    assert len(colors) >= 3
    assert len(set(colors)) == 1


@pytest.mark.parametrize("how", ["NO_COLOR", "flag"])
def test_colours_can_be_switched_off(alice: Open, bob: Text, how: str) -> None:
    one = alice("--no-color", NO_COLOR="") if how == "flag" else alice(NO_COLOR="1")
    bob.send("#dev hello")
    one.sees("[#dev] bob: hello")
    assert not re.search(rb"\x1b\[[0-9;]*m", one.raw)


def test_the_bell_rings_for_mentions_and_direct_messages(alice: Open, bob: Text) -> None:
    one = alice()
    bob.send("#dev palice is not meant", "#dev nobody")
    one.sees("nobody")
    assert b"\a" not in one.raw
    bob.send("#dev Alice, are you there?")
    one.sees("are you there?")
    one.until(lambda: one.raw.count(b"\a") == 1, "the bell rings")
    bob.send("@alice you")
    one.until(lambda: one.raw.count(b"\a") == 2, "the bell rings")


def test_the_bell_can_be_switched_off(alice: Open, bob: Text) -> None:
    one = alice("--no-bell")
    bob.send("@alice you", "#dev alice")
    one.sees("[#dev] bob: alice")
    assert b"\a" not in one.raw


# The window


def test_a_storm_of_resizes_leaves_the_line_and_the_messages(alice: Open, bob: Text) -> None:
    one = alice()
    bob.send("#dev before the storm")
    one.sees("before the storm")
    one.types("half a line")
    one.prompts("#dev> half a line")
    for number in range(40):
        one.resizes(80 - number % 7 * 5, 24 - number % 5)
        if number % 10 == 5:
            bob.send(f"#dev in the storm {number}")
    one.resizes(80, 24)
    bob.send("#dev after the storm")
    one.sees("before the storm", "in the storm 35", "after the storm")
    one.types("!")
    one.until(lambda: one.line.endswith("half a line!"), "the line is there")
    assert "".join(one.rows).count("half a line!") == 1
    one.types("\r")
    assert heard(bob) == "half a line!"


def test_suspend_and_resume(server: ServerProcess, screen: Open, bob: Text) -> None:
    shell = screen(command=("bash", "--norc", "--noprofile", "-i"), PS1="shell$ ")
    shell.prompts("shell$ ")
    before = shell.mode()
    shell.enters(shlex.join((*CLIENT, f"127.0.0.1:{server.port}", "--user", "alice")))
    shell.sees("* welcome alice")
    shell.enters("/join dev")
    shell.prompts("#dev> ")
    shell.types("half a line")
    shell.prompts("#dev> half a line")
    shell.types("\x1a")
    shell.sees("Stopped")
    shell.prompts("shell$ ")
    assert "half a line" not in "\n".join(shell.rows)
    shell.enters("stty -a | grep -o '.icanon'; echo $((6*7))")
    shell.sees(" icanon\n42")
    bob.send("#dev while it is suspended")
    shell.enters("fg")
    shell.sees("while it is suspended")
    shell.prompts("#dev> half a line")
    shell.types("\r")
    assert heard(bob) == "half a line"
    shell.types("\x04")
    shell.prompts("shell$ ")
    assert shell.mode() == before or shell.mode()[3] == before[3]


# The end


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("quit", 0, "* bye"),
        ("\x04", 0, "* bye"),
        ("\x03", 0, "* leaving: interrupted (Ctrl-C)"),
        (signal.SIGTERM, 0, "* leaving: told to end (SIGTERM)"),
        (signal.SIGHUP, 0, "* leaving: the terminal is gone (SIGHUP)"),
        ("server", 0, "* leaving: interrupted (Ctrl-C)"),
    ],
)
def test_the_terminal_is_as_it_was_after_every_end(
    server: ServerProcess, screen: Open, how: str | signal.Signals, code: int, said: str
) -> None:
    client = shlex.join((*CLIENT, f"127.0.0.1:{server.port}", "--user", "alice"))
    script = f"stty -a; {client}; echo rc=$?; stty -a; echo over"
    one = screen(script, command=("bash", "--norc", "--noprofile", "-c"))
    one.sees("* welcome alice")
    one.prompts("> ")
    if isinstance(how, signal.Signals):
        one.types("half")
        one.prompts("> half")
        pids = Path(f"/proc/{one.child.pid}/task/{one.child.pid}/children").read_text().split()
        os.kill(int(pids[0]), how)
    elif how == "server":
        one.types("half")
        server.signal()
        one.sees("* the connection was lost (closed by the server): trying again")
        one.types("\x03")
    else:
        one.types(how + "\r" if len(how) > 1 else how)
    one.sees(said, f"rc={code}", "over")
    text = one.raw.decode()
    modes = re.findall(r"speed .*?-xcase|speed .*?extproc", text, re.DOTALL)
    assert len(modes) == 2
    assert modes[0] == modes[1]
    assert text.count("\x1b[?2004h") == text.count("\x1b[?2004l")
    assert "half" not in "\n".join(one.rows)


def test_a_vanished_terminal_ends_it(server: ServerProcess, alice: Open, bob: Text) -> None:
    one = alice()
    bob.expect("* alice joined #dev")
    one.child.close(force=False)
    bob.expect("* alice left #dev (quit)")


def test_a_crash_gives_the_terminal_back_and_says_why(server: ServerProcess, screen: Open) -> None:
    script = (
        "import sys\n"
        "input()\n"
        "from selchat.client import complete, line\n"
        "def crash(*_): raise RuntimeError('a mistake')\n"
        "line.complete = crash\n"
        "from selchat import cli\n"
        "sys.exit(cli.client_main())"
    )
    one = screen(
        "-c",
        script,
        f"127.0.0.1:{server.port}",
        "--user",
        "alice",
        command=(sys.executable,),
        PYTHONPATH=str(ROOT),
    )
    before = one.mode()  # while it waits for a line
    one.types("\r")
    one.sees("* welcome alice")
    one.types("x\t")
    one.sees("Traceback", "RuntimeError: a mistake", "selchat-client: an error in selchat-client")
    one.until(lambda: not one.read(0), "it ends")
    one.child.wait()
    assert one.child.exitstatus == 1
    assert b"\x1b[?2004l" in one.raw
    assert one.mode() == before


# Linear mode


@pytest.mark.parametrize("how", ["--linear", "TERM"])
def test_linear_mode_writes_lines_and_nothing_else(alice: Open, bob: Text, how: str) -> None:
    one = alice("--linear") if how == "--linear" else alice(TERM="dumb", NO_COLOR="")
    one.sees("* plain text goes to #dev now")
    bob.send("#dev alice?")
    one.sees("[#dev] bob: alice?")
    one.types("hellp")
    one.sees("hellp")
    one.types("\x7f")
    one.sees("\\p/")
    one.enters("o")
    assert heard(bob) == "hello"
    one.types("half")
    one.sees("half")
    one.resizes(60, 20)
    one.types("\x1b[D\x12\x01\x1b[A")
    one.sees("hello")
    one.enters("!")
    assert heard(bob) == "hello!"
    bob.send("#dev the end")
    one.sees("the end")
    one.enters("quit")
    one.ends(0)
    assert not re.search(rb"[\x00-\x06\x08\x09\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)", one.raw)
    said = one.raw.decode().replace("\a", "").split("\r\n")
    assert sum("[#dev] bob: alice?" in line for line in said) == 1
    assert "hellp\\p/o" in said
    assert not any("alice: hello" in line for line in said)


def test_linear_mode_does_not_speak_while_one_types(alice: Open, bob: Text) -> None:
    one = alice("--linear")
    one.types("half")
    one.sees("half")
    bob.send("#dev in between")
    one.types(" a line")
    one.sees("half a line")
    assert "in between" not in one.all
    one.types("\r")
    one.sees("half a line\n")
    one.sees("in between")


# A hostile server

WELCOME = {
    "type": "welcome",
    "user": "al!ice",
    "token": "t",
    "seq": 0,
    "log": "l",
    "version": "1",
    "line_limit": 65_536,
    "rooms": ["dev!"],
}


def test_a_hostile_server_cannot_act_on_the_terminal(screen: Open) -> None:
    bad = r"\u001b[2J\u001b]0;owned\u0007\u009b31m\u202e\r\b"
    lines = [
        json.dumps(WELCOME).replace("!", bad),
        f'{{"type":"message","seq":1,"at":"{bad}","to":"#dev","from":"b{bad}","text":"hi{bad}"}}',
        '{"type":"message","seq":1,"at":"","to":"","from":"","text":""}',
        f'{{"type":"joined","seq":2,"at":"","room":"dev","user":"{bad}"}}',
        f'{{"type":"notice","code":"{bad}","text":"{bad}"}}',
        f'{{"type":"users","id":"~1","room":"dev{bad}","users":[{{"user":"b{bad}"}}]}}',
        f'{{"type":"help","id":"x","commands":[{{"usage":"{bad}","help":"the end{bad}"}}]}}',
    ]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        one = screen(
            f"127.0.0.1:{listener.getsockname()[1]}", "--user", "alice", "--no-tls", NO_COLOR=""
        )
        peer, _ = listener.accept()
        with peer:
            peer.sendall("".join(f"{line}\n" for line in lines).encode())
            one.sees("the end")
            one.types("@\t\t#\t\t")
            one.types("\x15x\r")
            one.sees("x")
            peer.sendall(b"\x1b[2Jno json\n")
            one.sees("no selchat server")
            one.types("\x03")
            one.ends(1)
    text = one.raw.decode()
    for own in (r"\x1b\[\?2004[hl]", r"\x1b\[[0-9]*m", r"\x1b\[\d*[AB]", r"\x1b\[J", "\a"):
        text = re.sub(own, "", text)
    assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]", text)
