"""Whom the client believes: what was seen first, what it is told, or what an authority says."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import pytest

from selchat.certificate import Tls
from selchat.client import link as link_module
from selchat.client import trust as trust_module
from selchat.client.link import Address, Link
from selchat.client.trust import Pins, Trust, settle
from selchat.errors import StartError
from selchat.model import commands
from selchat.settings import ClientOptions
from selchat.stream import Limits, Stream, Streams
from selchat.tls import TlsStream
from tests.authority import Authority, Pair
from tests.unit.test_link import PATIENCE, WELCOME, Reader, address, lines
from tests.unit.test_link import Stage as LinkStage

OTHER = "SHA256:" + "A" * 43


class Door:
    """A server that shows a certificate to all who come, and says nothing."""

    def __init__(self, stack: ExitStack, context: ssl.SSLContext) -> None:
        self._listener = stack.enter_context(socket.socket())
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._context = context
        self.met = 0
        self.port: int = self._listener.getsockname()[1]
        self.addresses: list[Address] = [address(self._listener)]
        thread = threading.Thread(target=self._run)
        thread.start()
        stack.callback(thread.join, PATIENCE)
        stack.callback(self._listener.shutdown, socket.SHUT_RDWR)

    def _run(self) -> None:
        with ExitStack() as stack:
            while True:
                try:
                    peer = stack.enter_context(self._listener.accept()[0])
                except OSError:
                    return
                peer.settimeout(PATIENCE)
                self.met += 1
                with suppress(OSError):
                    stack.enter_context(self._context.wrap_socket(peer, server_side=True))


class House:
    """A user's home, and doors to knock at."""

    def __init__(self, stack: ExitStack, home: Path) -> None:
        self._stack = stack
        self.tls = Tls(None, None, None)
        self.folder = home / "state" / "selchat"
        self.file = self.folder / "servers"

    def door(self, context: ssl.SSLContext | None = None) -> Door:
        return Door(self._stack, context or self.tls.context)

    def settle(
        self,
        door: Door,
        host: str = "127.0.0.1",
        *,
        tls: bool = True,
        fingerprint: str | None = None,
    ) -> Trust | None:
        options = ClientOptions(
            host=host, port=door.port, user="a", json=False, tls=tls, fingerprint=fingerprint
        )
        return settle(options, door.addresses, False)

    def pins(self) -> dict[str, str]:
        return Pins(self.file).load()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with ExitStack() as stack:
        yield House(stack, tmp_path)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers are on other machines."""
    monkeypatch.setattr(trust_module, "is_local", lambda addresses: False)


def pin(trust: Trust | None) -> str | None:
    assert trust is not None
    return trust._pin


# What is seen first


def test_on_this_machine_the_first_one_seen_is_pinned(house: House) -> None:
    door = house.door()
    assert pin(house.settle(door)) == house.tls.fingerprint
    assert house.file.read_text() == f"127.0.0.1:{door.port} {house.tls.fingerprint}\n"
    assert stat.S_IMODE(house.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(house.folder.stat().st_mode) == 0o700


def test_who_is_pinned_is_not_met_first(house: House) -> None:
    door = house.door()
    house.settle(door)
    met = door.met
    assert pin(house.settle(door)) == house.tls.fingerprint
    assert door.met == met


def test_another_certificate_is_for_the_connection_to_object_to(house: House) -> None:
    """So that it is so in each reconnect too."""
    door = house.door()
    Pins(house.file).save(f"127.0.0.1:{door.port}", OTHER)
    assert pin(house.settle(door)) == OTHER


def test_elsewhere_nothing_is_pinned_without_being_asked(house: House, elsewhere: None) -> None:
    door = house.door()
    with pytest.raises(StartError) as caught:
        house.settle(door)
    command = f"selchat-client 127.0.0.1:{door.port} --fingerprint {house.tls.fingerprint}"
    assert str(caught.value).endswith(f"type  {command}")
    assert not house.file.exists()


def test_the_command_is_one_for_ipv6_too(house: House, elsewhere: None) -> None:
    door = house.door()  # which need not be there for that
    with pytest.raises(StartError, match=rf"selchat-client \[::1\]:{door.port} --fingerprint SHA"):
        house.settle(door, "::1")


@pytest.mark.parametrize("host", ["CHAT.Example.org", "chat.example.org"])
def test_names_of_hosts_have_no_case(house: House, host: str) -> None:
    door = house.door()
    Pins(house.file).save(f"chat.example.org:{door.port}", OTHER)
    assert pin(house.settle(door, host)) == OTHER


def test_addresses_of_this_machine() -> None:
    def here(*addresses: str) -> bool:
        return trust_module.is_local([(socket.AF_INET, (one, 1)) for one in addresses])

    assert here("127.0.0.1", "127.5.5.5", "::1")
    assert not here("127.0.0.1", "192.0.2.1")
    assert not here("fe80::1%eth0")
    assert not here("::ffff:192.0.2.1")


# What one is told


def test_a_fingerprint_that_is_given_is_pinned_unmet(house: House, elsewhere: None) -> None:
    door = house.door()
    Pins(house.file).save(f"127.0.0.1:{door.port}", OTHER)
    assert pin(house.settle(door, fingerprint=house.tls.fingerprint)) == house.tls.fingerprint
    assert house.pins() == {f"127.0.0.1:{door.port}": house.tls.fingerprint}
    assert pin(house.settle(door)) == house.tls.fingerprint
    assert door.met == 0


def test_without_encryption_there_is_nothing_to_trust(house: House) -> None:
    door = house.door()
    assert house.settle(door, tls=False) is None
    assert door.met == 0


# The file


def test_the_last_line_counts_and_what_is_none_does_not(house: House) -> None:
    house.folder.mkdir(parents=True)
    house.file.write_bytes(b"a:1 one\n\n# a b c\nnonsense\n\xff\xfe bytes\xff\nb:1 two\na:1 three")
    pins = Pins(house.file)
    assert pins.load()["a:1"] == "three"
    assert pins.load()["b:1"] == "two"
    pins.save("c:1", "four")  # behind a line without an end
    assert pins.load()["a:1"] == "three"
    assert pins.load()["c:1"] == "four"


def test_of_two_clients_neither_forgets_what_the_other_pins(house: House) -> None:
    threads = [
        threading.Thread(target=Pins(house.file).save, args=(f"host{n}:1", OTHER))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(house.pins()) == 20


def test_where_it_cannot_be_kept_one_can_talk_all_the_same(house: House) -> None:
    door = house.door()
    house.folder.parent.write_text("a file where a folder should be")
    for _ in range(2):
        assert pin(house.settle(door)) == house.tls.fingerprint


# What an authority says


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, house: House) -> Authority:
    """One that this machine trusts."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
    return authority


def context(pair: Pair) -> ssl.SSLContext:
    return Tls(None, str(pair.cert), str(pair.key)).context


@pytest.mark.parametrize("host", ["127.0.0.1", "chat.example.org"])
def test_who_is_vouched_for_needs_no_pin(
    house: House, elsewhere: None, authority: Authority, host: str
) -> None:
    door = house.door(context(authority.vouch("127.0.0.1", "chat.example.org")))
    trust = house.settle(door, host)
    assert trust is not None
    assert pin(trust) is None
    assert trust.context.verify_mode is ssl.CERT_REQUIRED
    assert trust.context.check_hostname
    assert not house.file.exists()


def test_who_is_vouched_for_as_another_is_as_good_as_unknown(
    house: House, elsewhere: None, authority: Authority
) -> None:
    door = house.door(context(authority.vouch("other.example.org")))
    with pytest.raises(StartError, match="is not known yet"):
        house.settle(door, "chat.example.org")


# Where there is nobody


def test_a_server_that_says_nothing_is_not_waited_for_long(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust_module, "_PATIENCE", 0.1)
    silent = socket.socket()
    with silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert trust_module._meet("127.0.0.1", [address(silent)]) == (None, False)


def test_the_next_address_is_met_where_nobody_is_at_the_first(house: House) -> None:
    door = house.door()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        door.addresses.insert(0, address(nobody))
        assert pin(house.settle(door)) == house.tls.fingerprint


# The connection


class Guarded(Reader):
    """A reader that can be told of an objection."""

    def __init__(self) -> None:
        super().__init__()
        self.objections: list[str] = []

    def objected(self, why: str) -> None:
        assert not self.over
        self.over = True
        self.objections.append(why)


class ServerEnd:
    """The server's end of a link: it notes what it hears."""

    def __init__(self, stage: Stage, sock: socket.socket, context: ssl.SSLContext) -> None:
        sock.setblocking(False)
        self.heard = b""
        self.over = False
        self.stream = TlsStream(Stream(stage.streams, sock, self), self, context)

    def received(self, data: bytes) -> None:
        self.heard += data

    def ended(self) -> None:
        self.stream.finish()

    def drained(self) -> None:
        """It has no limit."""

    def closed(self, reason: str | None) -> None:
        self.over = True


class Stage(LinkStage):
    """A server with TLS, and links to it."""

    def __init__(self) -> None:
        super().__init__()
        self.reader: Guarded = Guarded()
        self.streams = Streams(self.loop, Limits())
        self.loop.on_tick_end(self.streams.flush)
        self.tls = Tls(None, None, None)
        self.listener = self.listen()
        self.where = address(self.listener)

    def trust(self, pin: str | None = None, host: str = "127.0.0.1") -> Trust:
        return Trust(host, "127.0.0.1:9", pin)

    def secured_link(self, trust: Trust) -> Link:
        link = Link(self.loop, [self.where], self.reader, trust)
        self.links.append(link)
        return link

    def serve(self, context: ssl.SSLContext | None = None) -> ServerEnd:
        """Take a connection."""
        sock = self.listener.accept()[0]
        return ServerEnd(self, self.keep(sock), context or self.tls.context)

    def objected(self) -> str:
        def objected() -> bool:
            self.clock.now += 0.1  # it may wait for the other's end, for a moment
            return bool(self.reader.objections)

        self.until(objected, "objected")
        self.loop.tick(0)
        self.clock.now += 1_000  # it does not try again by itself
        self.loop.tick(0)
        assert self.reader.notes == []
        assert len(self.reader.objections) == 1
        return self.reader.objections[0]


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    with stage:
        yield stage


def connected(stage: Stage) -> Callable[[], bool]:
    return lambda: "connected" in stage.reader.notes


def test_the_right_server_is_talked_to(stage: Stage) -> None:
    link = stage.secured_link(stage.trust(stage.tls.fingerprint))
    link.send(commands.Ping(id="too early, and sent to nobody"))
    server = stage.serve()
    link.send(commands.Ping(id="the same in the handshake"))
    stage.until(connected(stage), "connected")
    link.send(commands.Ping(id="1"))
    stage.until(lambda: server.heard.endswith(b"\n"), "heard")
    assert msgspec.json.decode(server.heard) == {"type": "ping", "id": "1"}
    server.stream.write(lines(WELCOME))
    stage.until(lambda: stage.reader.events, "told")
    server.stream.finish()
    stage.ended("connected", None)


def test_another_server_is_not_told_a_word(stage: Stage) -> None:
    link = stage.secured_link(stage.trust(OTHER))
    link.send(commands.Ping(id="1"))
    server = stage.serve()
    said = stage.objected()
    assert OTHER in said
    command = f"selchat-client 127.0.0.1:9 --fingerprint {stage.tls.fingerprint}"
    assert said.endswith(f"type  {command}")
    stage.until(lambda: server.over, "over")
    assert server.heard == b""


def test_one_that_came_in_the_place_of_the_right_one_is_objected_to(stage: Stage) -> None:
    link = stage.secured_link(stage.trust(stage.tls.fingerprint))
    server = stage.serve()
    stage.until(connected(stage), "connected")
    server.stream.abort(None)
    stage.until(lambda: stage.reader.over, "ended")
    assert not stage.reader.objections
    stage.reader = link._reader = Guarded()
    link.connect()
    stage.serve(Tls(None, None, None).context)
    assert "not the one that was seen before" in stage.objected()


@pytest.mark.parametrize("answer", [b"! what?\n", b"\x15\x03\x01\x00\x02\x02\x28"])
def test_who_speaks_no_tls_is_objected_to_and_told_nothing(stage: Stage, answer: bytes) -> None:
    stage.secured_link(stage.trust(stage.tls.fingerprint))
    peer = stage.accept(stage.listener)
    peer.sendall(answer)
    said = stage.objected()
    assert "TLS failed" in said
    assert "--no-tls" in said
    heard = b"".join(iter(lambda: peer.recv(65_536), b""))
    assert heard[:1] == b"\x16"
    assert b"ping" not in heard


def test_who_goes_away_in_the_handshake_is_tried_again(stage: Stage) -> None:
    """A server that is starting or stopping, behind something that accepts for it."""
    link = stage.secured_link(stage.trust(stage.tls.fingerprint))
    stage.accept(stage.listener).close()
    stage.until(lambda: stage.reader.over, "ended")
    assert stage.reader.objections == []
    assert len(stage.reader.notes) == 1
    stage.reader = link._reader = Guarded()
    link.connect()
    stage.serve()
    stage.until(connected(stage), "connected")


def test_who_accepts_and_says_nothing_is_given_up(stage: Stage) -> None:
    stage.secured_link(stage.trust(stage.tls.fingerprint))
    stage.accept(stage.listener)
    stage.loop.tick(0.01)
    assert stage.reader.notes == []
    stage.clock.now += link_module._CONNECT + 1
    stage.ended("no answer")
    assert stage.reader.objections == []


def test_a_certificate_of_an_authority_is_verified_each_time(
    stage: Stage, authority: Authority, house: House
) -> None:
    link = stage.secured_link(stage.trust(None))
    server = stage.serve(context(authority.vouch("127.0.0.1")))
    stage.until(connected(stage), "connected")
    server.stream.abort(None)
    stage.until(lambda: stage.reader.over, "ended")
    for other in (context(authority.vouch("127.0.0.2")), stage.tls.context):
        stage.reader = link._reader = Guarded()
        link.connect()
        stage.serve(other)
        said = stage.objected()
        assert "not to be trusted" in said
        assert "--no-tls" not in said
