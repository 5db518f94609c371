"""Who may speak what, encrypted or not, and for how long a handshake is waited for."""

from __future__ import annotations

import json
import ssl
from contextlib import suppress

import pytest

from tests.authority import trusting_nobody
from tests.unit.playbook import Stage

FAR = ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7", "::ffff:127.0.0.1", "10.127.0.1", "::"]
"""The mapped ones cannot occur (listening sockets take IPv6 alone); they would not pass either."""


class Inside:
    """A client with TLS."""

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage, self._socket = stage, stage.connect(name)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = trusting_nobody().wrap_bio(self._in, self._out)
        for _ in range(4):
            self.shake()

    def shake(self) -> None:
        """Go on with the handshake."""
        with suppress(ssl.SSLWantReadError):
            self._object.do_handshake()
        self._exchange()

    def say(self, *lines: str) -> None:
        self._object.write("".join(f"{line}\n" for line in lines).encode())
        self._exchange()

    def lines(self) -> list[str]:
        found = b""
        with suppress(ssl.SSLWantReadError):
            while data := self._object.read(65_536):
                found += data
        return found.decode().splitlines()

    def _exchange(self) -> None:
        if self._out.pending:
            self._socket.say(self._out.read())
        self._stage.settle()
        self._in.write(bytes(self._socket.taken))
        self._socket.taken.clear()


@pytest.mark.parametrize("address", FAR)
def test_required_refuses_plaintext_from_elsewhere(address: str) -> None:
    stage = Stage(tls="required")
    stage.address = address
    stage.say("alice", "alice", "/join dev")
    said, end = stage.get("alice")
    assert said.startswith("! this server wants TLS: ")
    assert "s_client" in said
    assert end == "<end>"
    stage.say("bob", {"type": "hello", "user": "bob", "version": 1})
    said, end = stage.get("bob")
    assert json.loads(said)["code"] == "tls-required"
    assert end == "<end>"
    assert not stage.hub.state.users
    carol = Inside(stage, "carol")
    carol.say("carol", "/join dev")
    assert carol.lines()[-1] == "* you joined #dev"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_required_lets_this_machine_do_without(address: str) -> None:
    stage = Stage(tls="required")
    stage.address = address
    stage.say("alice", "alice")
    assert stage.get("alice")[0].startswith("* welcome alice")


@pytest.mark.parametrize("tls", ["on", "off"])
def test_otherwise_all_may_do_without(tls: str) -> None:
    stage = Stage(tls=tls)
    stage.address = FAR[0]
    stage.say("alice", "alice")
    assert stage.get("alice")[0].startswith("* welcome alice")


def test_a_handshake_has_its_time_from_its_first_byte() -> None:
    stage = Stage(handshake_timeout=10.0)
    stage.connect("slow")
    stage.advance(30)
    stage.clients["slow"].say(b"\x16\x03\x01")
    for _ in range(9):
        stage.advance(1)
        stage.clients["slow"].say(b"\x02")  # a byte a second
    assert stage.get("slow") == []
    stage.advance(2)
    assert stage.get("slow") == ["<end>"]
    stage.advance(3)
    assert not stage.server._connections


def test_who_only_shakes_hands_has_no_longer() -> None:
    stage = Stage()
    Inside(stage, "silent")
    stage.advance(59)
    assert len(stage.server._connections) == 1
    stage.advance(4)
    assert not stage.server._connections


def test_an_idle_one_is_pinged_inside() -> None:
    stage = Stage()
    alice = Inside(stage, "alice")
    alice.say('{"type":"hello","user":"alice","version":1}')
    alice.lines()
    stage.advance(121)
    alice._exchange()
    assert alice.lines() == ['{"type":"ping"}']
    stage.advance(61)
    alice._exchange()
    assert json.loads(alice.lines()[-1])["code"] == "ping-timeout"


def test_the_server_stops_with_a_word_and_the_end_of_tls() -> None:
    stage = Stage()
    alice = Inside(stage, "alice")
    alice.say("alice")
    alice.lines()
    Inside(stage, "silent")
    stage.connect("shaking").say(b"\x16\x03\x01")
    stage.settle()
    stage.server.loop.call_later(0, stage.server.stop)
    stage.settle()
    alice._exchange()
    assert alice.lines() == ["* the server is stopping"]
    assert alice._object.read(1) == b""  # close_notify: it said all
    stage.advance(4)
    assert not stage.server._connections
