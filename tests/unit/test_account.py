"""The account in a run of a client, whose server the test plays, word for word."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from selchat import scram
from selchat.client import front as front_module
from selchat.client.devices import Devices
from selchat.client.state import State
from selchat.errors import StartError
from selchat.model import commands, events
from selchat.model.commands import AnyCommand, Command
from selchat.model.events import Event
from selchat.settings import ClientOptions
from tests.unit.test_client_session import AT, FakeLink, OneLoop, Person, welcome
from tests.unit.ways import Clock

PASSWORD, OTHER = "hunter2-hunter2", "mackerel-mackerel"
SALT = b"0123456789abcdef"
ELSEWHERE = [(socket.AF_INET, ("192.0.2.1", 1))]
VERIFIER = scram.from_salted(
    scram.salted(PASSWORD.encode(), SALT, scram.ITERATIONS_LEAST), SALT, scram.ITERATIONS_LEAST
)
decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(AnyCommand)

C = TypeVar("C", bound=Command)


class Bound(FakeLink):
    """A connection with TLS, as far as a log-in is concerned."""

    def binding(self) -> bytes | None:
        return b"of the certificate"


class Someone(Person):
    """A person who is asked for passwords."""

    def __init__(self, options: ClientOptions, loop: OneLoop, person: bool) -> None:
        self.prompts: list[str] = []
        self._then: Callable[[str | None], None] | None = None
        super().__init__(options, loop, State(auto_join=False), person)
        self.link.open = True
        self.connected()

    def ask_secret(self, prompt: str, then: Callable[[str | None], None]) -> None:
        assert self._then is None
        self.prompts.append(prompt)
        self._then = then

    def answers(self, secret: str | None) -> None:
        """Answer the question."""
        assert self._then is not None
        then, self._then = self._then, None
        then(secret)

    def hears(self, *said: Event) -> None:
        """The server says something."""
        for event in said:
            self.told(event)

    def sends(self, kind: type[C]) -> C:
        """The next thing that is sent, which is of that kind."""
        line, _, self.link.out = self.link.out.partition(b"\n")
        command = decoder.decode(line)
        assert isinstance(command, kind), command
        return command

    def silent(self) -> None:
        """Nothing more was sent."""
        assert self.link.out == b""


Start = Callable[..., Someone]


@pytest.fixture
def devices(tmp_path: Path) -> Devices:
    return Devices(tmp_path / "selchat" / "devices")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a client that is connected."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with ExitStack() as stack:

        def start(
            person: bool = True, *, link: type[FakeLink] = FakeLink, far: bool = False, **given: str
        ) -> Someone:
            monkeypatch.setattr(front_module, "Link", link)
            monkeypatch.setattr(front_module, "resolve", lambda *_: ELSEWHERE if far else [])
            files = {}
            for name, secret in given.items():
                (tmp_path / name).write_text(secret)
                files[name] = str(tmp_path / name)
            options = ClientOptions(
                host="h",
                port=1,
                user="alice",
                json=False,
                tls=False,
                password_file=files.get("password_file"),
                join_password_file=files.get("join_password_file"),
            )
            loop = OneLoop(Clock())
            stack.callback(loop.close)
            return Someone(options, loop, person)

        yield start


def registered() -> events.Error:
    return events.Error(None, "registered", "alice is registered: log in with its password")


def account(proof: str | None = None, token: str = "t1") -> events.Welcome:
    event = welcome(token=token)
    event.account, event.proof = True, proof
    return event


def server(binding: bytes | None = None) -> scram.Server:
    return scram.Server("alice", VERIFIER, b"secret", binding)


def proving(one: Someone) -> str:
    """Answer for the password, and give the nonce of what is sent then."""
    one.sends(commands.Hello)
    one.hears(registered())
    one.answers(PASSWORD)
    hello = one.sends(commands.Hello)
    assert hello.auth is not None
    return hello.auth.partition(",r=")[2]


# Whom it talks to


def test_a_log_in_by_password_is_bound_to_the_certificate_and_makes_a_device(
    start: Start, devices: Devices
) -> None:
    one = start(link=Bound)
    one.sends(commands.Hello)
    one.hears(registered())
    assert one.said == ["! alice is registered: log in with its password"]
    one.answers(PASSWORD)
    exchange = server(b"of the certificate")
    hello = one.sends(commands.Hello)
    assert (hello.device, hello.token) == (None, None)
    assert hello.auth is not None
    assert hello.auth.startswith("p=tls-server-end-point,,")
    one.hears(events.Challenge(None, exchange.first(hello.auth)))
    proof = exchange.final(one.sends(commands.Auth).data)
    one.hears(account(proof))
    assert one.failure is None
    remember = one.sends(commands.Remember)
    one.hears(events.Remembered(remember.id, "d" * 43))
    assert devices.load("h", 1, "alice") == "d" * 43

    again = start(link=Bound)
    hello = again.sends(commands.Hello)
    assert (hello.device, hello.auth) == ("d" * 43, None)


@pytest.mark.parametrize(
    "challenge",
    [
        "r={nonce},s={salt},i=1000001",
        "r={nonce},s={salt},i=100000000000",
        "r={nonce},s={salt},i=1",
        "r={nonce},s={salt},i=-1",
        "r={nonce},s=,i=100000",
        "r=mine,s={salt},i=100000",
        "r={nonce},s={salt},i=" + "9" * 900,
        "m=more,r={nonce},s={salt},i=100000",
        "e=no",
        "",
        "x" * 100_000,
        "\ud800",
    ],
)
def test_a_challenge_that_is_none_is_not_answered(start: Start, challenge: str) -> None:
    one = start()
    nonce = proving(one)
    salt = "MDEyMzQ1Njc4OWFiY2RlZg=="
    one.hears(
        events.Challenge(None, challenge.replace("{nonce}", f"{nonce}x").replace("{salt}", salt))
    )
    one.silent()
    assert one.failure is not None
    assert one.loop.stopped  # type: ignore[attr-defined]


@pytest.mark.parametrize("proof", [None, "", "v=", "v=" + "A" * 43 + "=", "e=other", "x" * 5_000])
@pytest.mark.parametrize("challenged", [False, True])
def test_who_does_not_show_to_know_the_password_is_not_the_server(
    start: Start, devices: Devices, proof: str | None, challenged: bool
) -> None:
    one = start()
    nonce = proving(one)
    if challenged:
        data = f"r={nonce}x,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=100000"
        one.hears(events.Challenge(None, data))
        one.sends(commands.Auth)
    one.hears(account(proof))
    one.silent()
    assert one.failure == "h port 1: it does not know your password, so it is not the right server"
    assert one.state.token is None, "nothing of it is kept"
    assert devices.load("h", 1, "alice") is None


def test_a_second_challenge_is_not_answered(start: Start) -> None:
    one = start()
    nonce = proving(one)
    data = f"r={nonce}x,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=100000"
    one.hears(events.Challenge(None, data))
    one.sends(commands.Auth)
    one.hears(events.Challenge(None, data))
    one.silent()
    assert one.failure is not None


def test_a_challenge_that_nobody_asked_for_is_not_answered(start: Start) -> None:
    one = start()
    one.sends(commands.Hello)
    one.hears(events.Challenge(None, "r=x,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=100000"))
    one.silent()
    assert one.failure == "h port 1: the server answers what it was not asked"


@pytest.mark.parametrize("device", ["", "d" * 513, "d\n", "\ud800"])
def test_a_token_that_is_none_is_not_kept(start: Start, devices: Devices, device: str) -> None:
    one = start()
    one.hears(account())
    one.sends(commands.Hello)
    one.hears(events.Remembered(None, "d" * 43), events.Remembered("~1", "d" * 43))
    assert devices.load("h", 1, "alice") is None, "nobody asked for it"
    one.state.wonder(commands.Remember())
    one.hears(events.Notice("x", "y"))
    one.hears(events.Remembered(one.sends(commands.Remember).id, device))
    assert devices.load("h", 1, "alice") is None


# In plaintext, to another machine


def test_no_token_goes_over_the_network_in_plaintext(start: Start, devices: Devices) -> None:
    devices.save("h", 1, "alice", "d" * 43)
    assert start().sends(commands.Hello).device == "d" * 43
    one = start(far=True)
    assert one.sends(commands.Hello) == commands.Hello(user="alice")


def test_no_password_does_either(start: Start) -> None:
    why = "passwords go over TLS only: leave out --no-tls"
    one = start(far=True)
    one.sends(commands.Hello)
    one.hears(registered())
    one.answers(PASSWORD)
    one.silent()
    assert one.failure == why

    one = start(far=True, join_password_file=PASSWORD)
    one.silent()
    assert one.failure == why

    one = start(far=True)
    one.sends(commands.Hello)
    one.hears(welcome())
    assert one.account.command(f"/register {PASSWORD}")
    one.silent()
    assert one.said == [f"! {why}"]


# After the session


def test_a_session_that_is_over_is_followed_by_one_of_the_device(
    start: Start, devices: Devices
) -> None:
    devices.save("h", 1, "alice", "d" * 43)
    one = start()
    one.sends(commands.Hello)
    one.hears(account())
    one.link.open = False
    one.ended("cut")
    one.link.open = True
    one.connected()
    hello = one.sends(commands.Hello)
    assert (hello.token, hello.device) == ("t1", None)
    one.hears(events.Error(None, "session-expired", "say hello without it"))
    hello = one.sends(commands.Hello)
    assert (hello.token, hello.device) == (None, "d" * 43)
    one.hears(events.Error(None, "device-unknown", "this client is not remembered any more"))
    assert one.sends(commands.Hello) == commands.Hello(user="alice")
    assert devices.load("h", 1, "alice") is None
    one.hears(registered())
    one.answers(None)
    assert one.failure == "no password was given", "it was alice who talked here, and nobody else"


@pytest.mark.parametrize("code", ["taken-over", "session-ended", "removed"])
def test_a_session_that_was_ended_is_not_gone_on_with(start: Start, code: str) -> None:
    one = start()
    one.sends(commands.Hello)
    one.hears(account(), events.Error(None, code, "this session is over"))
    one.link.open = one.link.wants = False
    one.ended(None)
    assert one.failure == "this session is over"
    assert one.loop.stopped  # type: ignore[attr-defined]


def test_the_token_goes_with_the_name_whoever_changes_it(start: Start, devices: Devices) -> None:
    devices.save("h", 1, "alice", "d" * 43)
    one = start()
    one.sends(commands.Hello)
    one.hears(account())
    one.hears(events.Renamed(9, AT, "dev", "alice", "other"))
    assert one.state.user == "alice", "that was another one, before"
    one.hears(events.Renamed(12, AT, "dev", "alice", "lisa"))
    assert (one.state.user, one.name) == ("lisa", "lisa")
    assert devices.load("h", 1, "lisa") == "d" * 43
    assert devices.load("h", 1, "alice") is None
    one.link.open = False
    one.ended("cut")
    one.link.open = True
    one.connected()
    again = account()
    again.user = "mona"
    one.hears(again)
    assert devices.load("h", 1, "mona") == "d" * 43


# Without a person


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        ({}, registered(), "log in once at a terminal, or name a file"),
        (
            {"password_file": OTHER},
            events.Error(None, "wrong-credential", "the name or the password is wrong"),
            "the name or the password is wrong (--password-file)",
        ),
        (
            {"password_file": OTHER},
            events.Error(None, "wait", "too many wrong passwords"),
            "too many wrong passwords (--password-file)",
        ),
        (
            {},
            events.Error(None, "join-password-required", "this server has a password"),
            "this server has a password (--join-password-file)",
        ),
        (
            {"join_password_file": OTHER},
            events.Error(None, "wrong-credential", "that is not the password of this server"),
            "that is not the password of this server (--join-password-file)",
        ),
    ],
)
def test_a_script_ends_with_what_it_lacks(
    start: Start, given: dict[str, str], error: events.Error, why: str
) -> None:
    one = start(person=False, **given)
    one.sends(commands.Hello)
    if "password_file" in given:
        one.hears(registered())
        one.sends(commands.Hello)
    one.hears(error)
    one.silent()
    assert one.failure is not None
    assert why in one.failure
    assert OTHER not in one.failure


def test_the_file_of_a_password_may_be_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "password").write_bytes(b" two words \r\nmore\n")
    assert front_module.secret_of("~/password") == " two words "
    for content in (b"", b"\n", b"\xff"):
        (tmp_path / "password").write_bytes(content)
        with pytest.raises(StartError, match="the password file ~/password"):
            front_module.secret_of("~/password")
    with pytest.raises(StartError, match="nobody-of-this-name"):
        front_module.secret_of("~nobody-of-this-name/password")


@pytest.mark.parametrize("line", ["/register", "/passwd", "/passwd one"])
def test_a_script_is_not_asked_for_a_password(start: Start, line: str) -> None:
    one = start(person=False)
    one.sends(commands.Hello)
    one.hears(account() if "passwd" in line else welcome())
    assert one.account.command(line)
    one.silent()
    assert one.state.failed == 1


@pytest.mark.parametrize(
    "line",
    [f"/register\t{PASSWORD}", f"/REGISTER  {PASSWORD}", f"/register {PASSWORD} word"],
)
def test_a_password_is_made_into_a_verifier_however_it_is_typed(start: Start, line: str) -> None:
    one = start(person=False)
    one.sends(commands.Hello)
    one.hears(welcome())
    assert one.account.command(line)
    assert PASSWORD.encode() not in one.link.out
    register = one.sends(commands.Register)
    assert register.password is None
    assert register.verifier is not None
    assert register.verifier.iterations == scram.ITERATIONS
    assert register.invitation == ("word" if "word" in line else None)


@pytest.mark.parametrize("line", ["/register a b c", "/passwd a", "/passwd a b c"])
def test_too_many_words_or_too_few_are_no_password(start: Start, line: str) -> None:
    one = start()
    one.sends(commands.Hello)
    one.hears(account() if "passwd" in line else welcome())
    assert one.account.command(line)
    one.silent()
    assert "! type it like this: " in one.said[0]


def test_a_wrong_old_password_changes_nothing(start: Start) -> None:
    one = start()
    one.sends(commands.Hello)
    one.hears(account())
    assert one.account.command(f"/passwd {OTHER} {PASSWORD}")
    auth = one.sends(commands.Auth)
    exchange = server()
    one.hears(events.Challenge(auth.id, exchange.first(auth.data)))
    passwd = one.sends(commands.Passwd)
    assert passwd.proof is not None
    with pytest.raises(Exception, match="wrong"):
        exchange.final(passwd.proof)
    one.hears(events.Error(passwd.id, "wrong-credential", "wrong"))
    one.silent()

    assert one.account.command(f"/passwd {PASSWORD} {OTHER}")
    auth, exchange = one.sends(commands.Auth), server()
    one.hears(events.Challenge(auth.id, exchange.first(auth.data)))
    passwd = one.sends(commands.Passwd)
    assert passwd.proof is not None
    assert exchange.final(passwd.proof)
    assert passwd.verifier is not None
    assert scram.fits(
        passwd.verifier,
        scram.salted(OTHER.encode(), passwd.verifier.salt, passwd.verifier.iterations),
    )
    one.hears(events.Ok(passwd.id, 12, AT))
    one.sends(commands.Remember)
