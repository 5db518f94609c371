"""Accounts, as people and scripts use them: who one is, is asked once and shown nowhere."""

from __future__ import annotations

import base64
import json
import re
import select
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from selchat import scram
from tests.e2e.conftest import Start
from tests.e2e.harness import PATIENCE, LineReader, ServerProcess, Speaker, environment, until
from tests.e2e.screens import CLIENT, Screen

PASSWORD = "hunter2-hunter2"
OTHER = "mackerel-mackerel"
WELCOME = "* welcome alice"
ASKS = "Password of alice: "

Open = Callable[..., Screen]


class Folk:
    """Everybody who sits at a terminal, each on a machine of its own."""

    def __init__(self, tmp: Path, stack: ExitStack) -> None:
        self.tmp = tmp
        self._stack = stack

    def home(self, name: str) -> Path:
        folder = self.tmp / name
        folder.mkdir(exist_ok=True)
        return folder

    def start(self, port: int, *arguments: str, home: str = "home", user: str = "alice") -> Screen:
        where = f"127.0.0.1:{port}"
        one = Screen(self.home(home), *CLIENT, where, "--user", user, *arguments)
        self._stack.callback(one.close)
        return one

    def files(self, home: str = "home") -> dict[str, bytes]:
        """What is kept on that machine."""
        folder = self.home(home)
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    def keeps(self, what: str, home: str = "home") -> bool:
        return any(what in name for name in self.files(home))

    def run(
        self, port: int, *arguments: str, home: str = "script", user: str = "alice", typed: str = ""
    ) -> tuple[int, str, str]:
        """Run a client off a terminal: its exit code, standard output and standard error."""
        folder = str(self.home(home))
        done = subprocess.run(
            (*CLIENT, f"127.0.0.1:{port}", "--user", user, *arguments),
            check=False,
            input=typed,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            env=environment(HOME=folder, XDG_CONFIG_HOME=folder, XDG_STATE_HOME=f"{folder}/state"),
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folk(tmp_path: Path) -> Iterator[Folk]:
    with ExitStack() as stack:
        yield Folk(tmp_path, stack)


def verifier(password: str) -> dict[str, object]:
    """A verifier in JSON, of the least work."""
    made: dict[str, object] = msgspec.to_builtins(
        scram.make(password, scram.ITERATIONS_LEAST), builtin_types=()
    )
    return made


def registered(server: ServerProcess, name: str = "alice", *rooms: str, **fields: object) -> None:
    """Have somebody make an account, and leave."""
    one = server.json(name, *rooms)
    one.do("register", verifier=verifier(PASSWORD), **fields)
    one.say("quit", id="q")
    one.event(type="ok", id="q")
    one.expect_end()


def log_in(one: Screen, password: str = PASSWORD) -> None:
    one.prompts(ASKS)
    one.enters(password)
    one.sees(WELCOME)


def reads(one: Screen, text: str) -> None:
    """That is on the terminal, broken wherever it may be."""
    wanted = "".join(text.split())
    one.until(lambda: wanted in "".join(one.all.split()), f"{text!r} is seen")


def unseen(*screens: Screen) -> None:
    """Of no password was anything on these terminals."""
    for one in screens:
        assert not re.search(rb"hun|ter2|mack|kerel", one.raw)


def nowhere(folder: Path) -> None:
    """Of no password is anything in a file there."""
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not re.search(rb"hunter2|mackerel", content), path


# Registering, and logging in again


def test_a_name_is_registered_and_logs_in_again_without_being_asked(
    server: ServerProcess, folk: Folk, tmp_path: Path
) -> None:
    one = folk.start(server.port)
    one.sees(WELCOME)
    one.enters("/register")
    one.prompts("A new password: ")
    one.enters("hunter2")
    one.sees("! a password has at least 8 characters: add some")
    one.prompts("A new password: ")
    one.enters(PASSWORD)
    one.prompts("The same again: ")
    one.enters(OTHER)
    one.sees("! these are two different ones: type it anew")
    for prompt in ("A new password: ", "The same again: "):
        one.prompts(prompt)
        one.enters(PASSWORD)
    one.sees("* your name is registered: from now on it takes your password")
    until(lambda: folk.keeps("devices/"), "the device is remembered")
    one.enters("/register")
    one.sees("! alice is registered already: /passwd changes its password")
    one.enters("quit")
    one.ends(0)

    again = folk.start(server.port)
    again.sees(WELCOME)
    again.enters("/sessions")
    again.sees(": this session, remembered, since ")
    unseen(one, again)
    nowhere(tmp_path)
    for path in (tmp_path / "home").rglob("*.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_with_a_password_is_not_brought_back(
    server: ServerProcess, folk: Folk, tmp_path: Path
) -> None:
    one = folk.start(server.port)
    one.sees(WELCOME)
    one.enters("/rooms")
    one.sees("* there is no room yet")
    for line in (f"/regsiter {PASSWORD}", f"/REGISTER {PASSWORD} {OTHER} x", f"/passwd {OTHER}"):
        one.enters(line)
        one.types("\x10")  # Ctrl-P: the line before
        one.prompts("> /rooms")
        one.types("\x15")
    one.enters(f"/register {PASSWORD}")
    one.sees("* your name is registered")
    one.types("\x10")
    one.prompts("> /rooms")
    one.types("\x12hunter")  # Ctrl-R
    one.sees("(nothing found)")
    one.types("\x07\x15")
    one.enters("quit")
    one.ends(0)
    assert folk.files()["state/selchat/history"] == b'"/rooms"\n"quit"\n'
    nowhere(tmp_path)


def test_an_account_is_shown_what_was_said_and_what_waits_for_it(
    server: ServerProcess, folk: Folk
) -> None:
    bob = server.text("bob", "dev")
    registered(server, "alice", "dev")
    bob.send("#dev where is she?", "@alice call me")
    bob.send("#")
    bob.seek("! type a message behind the name: …")
    one = folk.start(server.port)
    log_in(one)
    one.sees("* you are in #dev", "[#dev] bob: where is she?", "[@bob] call me")
    one.prompts("#dev> ")
    one.enters("here")
    bob.seek("[#dev] alice: here")


def test_another_machine_is_asked_and_both_see_the_same(
    server: ServerProcess, folk: Folk, tmp_path: Path
) -> None:
    registered(server, "alice", "dev")
    one, two = folk.start(server.port, home="one"), folk.start(server.port, home="two")
    one.prompts(ASKS)
    one.sees("! alice is registered: log in with its password (Esc: another name)")
    one.enters(OTHER)
    one.sees("! the name or the password is wrong: try again (Esc: another name)")
    log_in(one)
    log_in(two)
    two.prompts("#dev> ")
    two.enters("hello")
    one.sees("* you to #dev: hello")

    two.enters("/passwd")
    for prompt, password in (
        ("The old password: ", PASSWORD),
        ("A new password: ", OTHER),
        ("The same again: ", OTHER),
    ):
        two.prompts(prompt)
        two.enters(password)
    two.sees("* your password is changed, and your other sessions are over")
    seen = one.ends(1)
    assert "selchat-client: this session is over: your password was changed" in seen
    assert seen.count("this session is over") == 1

    again = folk.start(server.port, home="one")
    log_in(again, OTHER)
    two.enters("quit")
    two.ends(0)
    two = folk.start(server.port, home="two")
    two.sees(WELCOME)
    unseen(one, two, again)
    nowhere(tmp_path)


def test_the_token_is_good_for_scripts_too_and_for_another_name_until_one_logs_out(
    server: ServerProcess, folk: Folk
) -> None:
    registered(server)
    one = folk.start(server.port)
    log_in(one)
    until(lambda: folk.keeps("devices/"), "the device is remembered")
    one.enters("/nick lisa")
    one.sees("* you are now lisa")
    one.enters("quit")
    one.ends(0)
    code, out, err = folk.run(server.port, home="home", user="lisa", typed="#ops hi\n")
    assert (code, err) == (0, "")
    assert "* bye" in out
    one = folk.start(server.port, user="lisa")
    one.sees("* welcome lisa")
    one.enters("/logout")
    one.ends(0)
    assert not folk.keeps(".json")
    one = folk.start(server.port, user="lisa")
    one.prompts("Password of lisa: ")


# What is wrong


def test_who_gives_no_password_takes_another_name(server: ServerProcess, folk: Folk) -> None:
    registered(server, "alice", "dev")
    one = folk.start(server.port)
    log_in(one)
    one.prompts("#dev> ")
    until(lambda: folk.keeps("alice.json"), "the session is kept")
    one.signal(signal.SIGKILL)  # so that there is a session to go on with, of alice
    one.close()
    for path in (folk.home("home") / "state/selchat").rglob("*.json"):
        if "devices" in str(path):
            path.unlink()
        else:
            path.write_text(path.read_text().replace('"token":"', '"token":"x'))
    one = folk.start(server.port)
    one.resizes(40, 10)
    one.prompts(ASKS)
    one.types("hunter2\x1b")
    reads(one, "! no password was given: take another name")
    one.prompts("Username: ")
    one.enters("carol")
    one.sees("* welcome carol")
    one.prompts("> ")
    one.enters("/who dev")
    reads(one, "* in #dev: alice (owner")
    assert ", carol" not in one.all
    one.enters("quit")
    one.ends(0)
    unseen(one)
    one = folk.start(server.port)
    log_in(one)  # nothing of carol's is in alice's place


def test_after_a_wrong_password_one_waits_and_three_are_enough(serve: Start, folk: Folk) -> None:
    server = serve("--limits-exempt", "none")
    registered(server)
    one = folk.start(server.port)
    one.prompts(ASKS)
    one.enters(OTHER)
    one.sees("! the name or the password is wrong")
    one.prompts(ASKS)
    one.enters(OTHER)
    one.sees("! too many wrong passwords: try again in 1 second")
    one.prompts(ASKS)
    one.enters(OTHER)
    assert "selchat-client: too many log-ins were refused: connect again" in one.ends(1)
    unseen(one)


def test_what_is_typed_while_a_password_is_looked_at_is_no_message(
    server: ServerProcess, folk: Folk
) -> None:
    registered(server, "alice", "dev")
    one = folk.start(server.port)
    one.prompts(ASKS)
    server.signal(signal.SIGSTOP)
    try:
        one.enters(OTHER)
        one.prompts("the password is being checked ")
        one.types(PASSWORD)
    finally:
        server.signal(signal.SIGCONT)
    log_in(one)
    one.prompts("#dev> ")
    unseen(one)


def test_a_password_may_be_typed_for_longer_than_the_server_waits(serve: Start, folk: Folk) -> None:
    server = serve("--login-timeout", "1")
    registered(server)
    before = server.descriptors()
    one = folk.start(server.port)
    one.prompts(ASKS)
    until(lambda: server.descriptors() > before or "login" in server.stderr(), "it is connected")
    until(lambda: server.descriptors() <= before, "the server has hung up")
    log_in(one)


def test_a_lost_change_of_the_password_is_told(start: Start, folk: Folk) -> None:
    server = start("--host", "127.0.0.1")
    server.ready()
    registered(server)
    one = folk.start(server.port)
    log_in(one)
    until(lambda: folk.keeps("devices/"), "the device is remembered")
    server.signal(signal.SIGSTOP)
    one.enters(f"/passwd {PASSWORD} {OTHER}")
    one.prompts("> ")
    server.signal(signal.SIGKILL)
    server.expect_exit(-signal.SIGKILL)
    one.sees("* the connection was lost")
    one.enters(f"/passwd {PASSWORD} {OTHER}")
    one.sees("! there is no connection now: type it again when there is one")
    place = ("--port", str(server.port), "--data", str(folk.tmp / "data-1"))
    start("--host", "127.0.0.1", *place).ready()
    one.sees("! the connection was lost before your password was changed: try again")
    one.sees("* the connection is back")
    one.enters(f"/passwd {PASSWORD} {OTHER}")
    one.sees("* your password is changed")
    one.close()


# The server's own rules


def test_an_invitation_is_asked_for_where_it_takes_one(serve: Start, folk: Folk) -> None:
    server = serve("--registration", "invite", "--guests", "false")
    data = str(folk.tmp / "data-1")
    command = (*CLIENT[:-1], CLIENT[-1].replace("-client", "-server"), "invite", "--data", data)
    made = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    (word,) = re.findall(r"\b[\w-]{20,}\b", made.stdout)
    one = folk.start(server.port)
    one.sees(WELCOME)
    one.enters("/join dev")
    one.sees("! guests may not talk here: /register makes alice an account")
    one.enters(f"/register {PASSWORD}")
    one.prompts("The invitation: ")
    one.enters("let me in")
    one.sees("! that invitation is not, or no more, good: ask for another")
    one.prompts("The invitation: ")
    one.enters(word)
    one.sees("* your name is registered")
    one.enters("/join dev")
    one.prompts("#dev> ")
    assert word.encode() not in one.raw


def test_a_join_password_is_asked_for(serve: Start, folk: Folk, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSWORD}\n")
    server = serve("--join-password-file", str(secret))
    one = folk.start(server.port)
    one.prompts("Server password: ")
    one.enters(OTHER)
    one.sees("! that is not the password of this server: try again")
    one.prompts("Server password: ")
    one.enters(PASSWORD)
    one.sees(WELCOME)
    unseen(one)

    code, out, err = folk.run(server.port, user="bot", typed="#ops hi\n")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "--join-password-file" in err
    arguments = ("--join-password-file", str(secret))
    code, out, err = folk.run(server.port, *arguments, user="bot", typed="#ops hi\n")
    assert (code, err) == (0, "")


# Scripts


def test_a_script_has_its_password_in_a_file(
    server: ServerProcess, folk: Folk, tmp_path: Path
) -> None:
    registered(server)
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text(PASSWORD)
    wrong.write_text(f"{OTHER}\n")
    bob = server.text("bob", "ops")
    said = ("--to", "#ops", "hi")
    assert folk.run(server.port, *said, "--password-file", str(right)) == (0, "", "")
    bob.seek("[#ops] alice: hi")
    assert not folk.keeps("devices/", "script"), "it has no need of a device"
    for arguments, hint in (
        ((), "--password-file"),
        (("--password-file", str(wrong)), "the name or the password is wrong"),
        (("--password-file", str(tmp_path / "none")), "cannot be read"),
    ):
        code, out, err = folk.run(server.port, *said, *arguments)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert hint in err
        assert OTHER not in err


# In the chat


def test_commands_that_name_no_room_mean_the_current_one(server: ServerProcess, folk: Folk) -> None:
    one = folk.start(server.port)
    one.sees(WELCOME)
    one.enters("/join dev")
    one.prompts("#dev> ")
    bob = server.text("bob", "dev")
    one.enters("teh cat")
    bob.expect("[#dev] alice: teh cat")
    one.enters("/edit the cat")
    bob.expect("* alice changed a message in #dev: the cat")
    one.sees("* you changed it to: the cat")
    one.enters("/delete")
    bob.expect("* alice deleted a message in #dev")
    one.sees("* the message is deleted")
    for command, told, shown in (
        ("/op @bob", "* alice made bob a moderator of #dev", "* bob is a moderator of #dev now"),
        ("/deop bob", "* alice made bob a mere member of #dev", "* bob is a mere member of #dev"),
        ("/mute bob", "* bob may not speak in #dev (alice)", "* bob may not speak in #dev"),
        ("/unmute bob", "* bob may speak in #dev again (alice)", "* bob may speak in #dev again"),
        ("/private on", "* alice made #dev private…", "* #dev is private: one needs an /invite"),
        ("/kick b\t not now", "* bob left #dev (kicked by alice: not now)", "* you put bob out of"),
    ):
        one.enters(command)
        bob.expect(told)
        one.sees(shown)
    one.enters("/invite bob")
    one.sees("* bob is invited to #dev")
    bob.expect("* alice invites bob to #dev: /join dev")
    one.enters("/mute-room")
    one.sees("* you hear nothing of #dev any more")
    one.enters("/kick #ops bob")
    one.sees("! you are not in #ops: type /join ops first")
    assert "##" not in one.all


def test_text_over_tls_logs_in_too(server: ServerProcess) -> None:
    registered(server)
    where = f"127.0.0.1:{server.port}"
    one = server.program("openssl", "s_client", "-quiet", "-verify_quiet", "-connect", where)
    one.send("alice")
    one.seek("* alice is registered: type its password as the next line")
    one.send(PASSWORD, "/join dev", "/sessions")
    one.expect("* welcome alice: …", "* you joined #dev", "* …: this session, since …")
    one.send("quit")
    one.seek("* bye")


# On the wire


class Between:
    """Who sits between a client and a server, and listens."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self._port = port
        self.port = self._listener.getsockname()[1]
        self.heard = b""

    def serve(self) -> None:
        """Pass on what one client and the server say, until one of them ends."""
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
        with client, server:
            ways = {client: server, server: client}
            while True:
                ready, _, _ = select.select(list(ways), [], [], PATIENCE)
                assert ready, "nothing more came, and no end"
                for sock in ready:
                    data = sock.recv(65_536)
                    if not data:
                        return
                    self.heard += data
                    ways[sock].sendall(data)

    def close(self) -> None:
        self._listener.close()


def test_the_password_is_not_on_the_wire(server: ServerProcess, folk: Folk, tmp_path: Path) -> None:
    """Not even in plaintext."""
    file = tmp_path / "file"
    file.write_text(OTHER)
    steps = (
        ((), f"/register {PASSWORD}\n/passwd {PASSWORD} {OTHER}\n", "register", "is changed"),
        (("--password-file", str(file)), "/sessions\n", "auth", "this session"),
    )
    for arguments, typed, word, done in steps:
        between = Between(server.port)
        folder = str(folk.home("script"))
        client = subprocess.Popen(
            (*CLIENT, f"127.0.0.1:{between.port}", "--user", "alice", "--no-tls", *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=environment(HOME=folder, XDG_CONFIG_HOME=folder, XDG_STATE_HOME=f"{folder}/state"),
        )
        assert client.stdin is not None
        client.stdin.write(typed)
        client.stdin.close()
        between.serve()
        between.close()
        assert client.stdout is not None
        out = client.stdout.read()
        client.stdout.close()
        assert client.wait(PATIENCE) == 0, out
        assert done in out
        assert word.encode() in between.heard
        assert not re.search(rb"hunter2|mackerel", between.heard)
        for password in (PASSWORD, OTHER):
            assert base64.b64encode(password.encode())[:12] not in between.heard


# A server that is not what it says


class Hostile(Speaker):
    """A server that the test plays."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port: int = self._listener.getsockname()[1]
        self._socket: socket.socket | None = None

    def accept(self) -> dict[str, object]:
        """Wait for a client, and give its hello."""
        self._socket, _ = self._listener.accept()
        self._reader = LineReader(self._socket.fileno())
        return self.heard()

    def heard(self) -> dict[str, object]:
        said: dict[str, object] = json.loads(self.line())
        return said

    def send_bytes(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(data)

    def say(self, kind: str, **fields: object) -> None:
        self.send(json.dumps({"type": kind, **fields}))

    def close(self) -> None:
        self._listener.close()
        if self._socket is not None:
            self._socket.close()


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    one = Hostile()
    yield one
    one.close()


def welcome(**fields: object) -> dict[str, object]:
    return {
        "user": "alice",
        "token": "t",
        "seq": 1,
        "log": "l",
        "version": "1",
        "line_limit": 65_536,
        "rooms": [],
        "account": True,
        **fields,
    }


@pytest.mark.parametrize(
    ("challenge", "why"),
    [
        (None, "it does not know your password, so it is not the right server"),
        ("i=2000000", "the server asks for 2000000 rounds of PBKDF2"),
    ],
)
def test_a_server_that_does_not_know_the_password_is_refused(
    hostile: Hostile, folk: Folk, challenge: str | None, why: str
) -> None:
    one = folk.start(hostile.port, "--no-tls")
    assert "auth" not in hostile.accept()
    hostile.say("error", code="registered", text="alice is registered")
    one.prompts(ASKS)
    one.enters(PASSWORD)
    nonce = str(hostile.heard()["auth"]).partition(",r=")[2]
    work = challenge or "i=100000"
    hostile.say("challenge", id=None, data=f"r={nonce}x,s=QUJDREVGR0hJSktMTU5PUA==,{work}")
    hostile.say("welcome", **welcome(proof="v=" + "A" * 43 + "="))
    one.ends(1)
    reads(one, why)
    unseen(one)
    assert not folk.keeps(".json")


def test_a_server_cannot_have_a_token_kept_that_nobody_asked_for(
    hostile: Hostile, folk: Folk
) -> None:
    one = folk.start(hostile.port, "--no-tls")
    hostile.accept()
    hostile.say("welcome", **welcome())
    one.sees(WELCOME)
    hostile.say("remembered", device="evil")
    hostile.say("remembered", id="~1", device="evil")
    hostile.say("challenge", id="~1", data="r=x,s=QUJD,i=4096")
    hostile.say("challenge", id=None, data="r=x,s=QUJD,i=4096")
    hostile.say("notice", code="x", text="the end")
    one.sees("* the end")
    assert not folk.keeps("devices/")


def test_a_device_that_is_unknown_is_forgotten_and_the_password_asked_for(
    hostile: Hostile, folk: Folk
) -> None:
    one = folk.start(hostile.port, "--no-tls")
    hostile.accept()
    hostile.say("error", code="device-unknown", text="this client is not remembered")
    assert "device" not in hostile.heard()
    hostile.say("error", code="registered", text="alice is registered")
    one.prompts(ASKS)
    one.types("\x03")
    one.prompts("Username: ")
