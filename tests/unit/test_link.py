"""The client's connection, against real sockets that do what servers and networks do."""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.client import link as link_module
from selchat.client.link import Address, Link, resolve
from selchat.client.state import State
from selchat.errors import StartError
from selchat.loop import Loop
from selchat.model import commands, events
from selchat.model.clean import clean_line
from selchat.model.events import Event
from selchat.wire.jsonl import encode_command
from tests.unit.test_client_state import any_event, assert_clean, heard
from tests.unit.ways import Clock, pieces

PATIENCE = 20.0
AT = "2026-01-31T12:03:04.567Z"
HI = events.Message(1, AT, "#dev", "bob", "hi")
WELCOME = events.Welcome("alice", "token", 1, "log", "1", 65_536, [])
NO_SERVER = "what answers there is no selchat server"


def lines(*told: Event) -> bytes:
    return b"".join(msgspec.json.encode(event) + b"\n" for event in told)


class Reader:
    """Notes what it is told, and does what the test wants."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.notes: list[str | None] = []
        """`connected`, `drained`, then the reason of the end."""
        self.over = False
        self.on_event: Callable[[Event], None] = lambda event: None
        self.on_drained: Callable[[], None] = lambda: None

    def objected(self, why: str) -> None:
        raise AssertionError(f"there is nobody to trust, and still: {why}")

    def connected(self) -> None:
        assert not self.over
        self.notes.append("connected")

    def told(self, event: Event) -> None:
        assert not self.over
        self.events.append(event)
        self.on_event(event)

    def drained(self) -> None:
        assert not self.over
        self.notes.append("drained")
        self.on_drained()

    def ended(self, reason: str | None) -> None:
        assert not self.over
        self.over = True
        self.notes.append(reason)


class Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


class Stage:
    """A loop, a link's reader, and the sockets of servers. Nothing may be logged as an error."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.loop = Loop(self.clock)
        self.reader = Reader()
        self.links: list[Link] = []
        self._open = ExitStack()
        self._errors = Errors()

    def __enter__(self) -> Stage:
        logging.getLogger("selchat").addHandler(self._errors)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        logging.getLogger("selchat").removeHandler(self._errors)
        for link in self.links:
            link.close()
        self._open.close()
        self.loop.close()
        assert not self._errors.texts, "\n".join(self._errors.texts)

    def keep(self, sock: socket.socket) -> socket.socket:
        """Close it when the test is over."""
        return self._open.enter_context(sock)

    def listen(self, backlog: int = 16) -> socket.socket:
        listener = self.keep(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(backlog)
        listener.settimeout(PATIENCE)
        return listener

    def refusing(self) -> Address:
        """An address where nobody listens, nor will while the test runs."""
        sock = self.keep(socket.socket())
        sock.bind(("127.0.0.1", 0))
        return address(sock)

    def silent(self) -> Address:
        """An address that takes no connection and refuses none."""
        listener = self.listen(backlog=0)
        for _ in range(4):  # its queue is full after one or two
            sock = self.keep(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        return address(listener)

    def link(self, *addresses: Address) -> Link:
        link = Link(self.loop, list(addresses), self.reader)
        self.links.append(link)
        return link

    def meet(self) -> tuple[Link, socket.socket]:
        """A link that is connected, and the server's end of it."""
        listener = self.listen()
        link = self.link(address(listener))
        self.until(lambda: self.reader.notes == ["connected"], "connected")
        return link, self.accept(listener)

    def accept(self, listener: socket.socket) -> socket.socket:
        peer = self.keep(listener.accept()[0])
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.settimeout(PATIENCE)
        return peer

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Tick until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"not {what}: {self.reader.notes}"
            self.loop.tick(0.01)

    def ended(self, *notes: str | None) -> None:
        """It comes to its end, with these notes on the way."""
        self.until(lambda: self.reader.over, "ended")
        self.loop.tick(0)
        assert self.reader.notes == list(notes)

    def heard(self, peer: socket.socket, wanted: bytes) -> None:
        """The server's end hears just that."""
        data = b""
        peer.setblocking(False)

        def read() -> bool:
            nonlocal data
            try:
                data += peer.recv(65_536)
            except BlockingIOError:
                return False
            return len(data) >= len(wanted)

        self.until(read, "heard")
        assert data == wanted


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def address(sock: socket.socket) -> Address:
    return socket.AF_INET, sock.getsockname()


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


# From a name to addresses


def test_a_name_gives_its_addresses_each_once() -> None:
    found = resolve("127.0.0.1", 9000)
    assert found == [(socket.AF_INET, ("127.0.0.1", 9000))]
    found = resolve("localhost", 9000)
    assert found
    assert len(set(found)) == len(found)
    assert {where[1][1] for where in found} == {9000}


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "not known"),
        (UnicodeError("label too long"), "label too long"),
    ],
)
def test_a_name_without_addresses_is_one_line_of_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(StartError, match=rf"there is no host nowhere \(.*{why}\): check the name"):
        resolve("nowhere", 9000)


# Connecting


def test_the_first_address_that_answers_is_taken(stage: Stage) -> None:
    first, second = stage.listen(), stage.listen()
    stage.link(address(first), address(second))
    assert stage.reader.notes == [], "nothing is told before the loop runs"
    stage.until(lambda: stage.reader.notes, "connected")
    assert stage.reader.notes == ["connected"]
    stage.accept(first)
    second.setblocking(False)
    with pytest.raises(BlockingIOError):
        second.accept()


def test_an_address_that_refuses_is_passed_over(stage: Stage) -> None:
    listener = stage.listen()
    stage.link(stage.refusing(), stage.refusing(), address(listener))
    stage.until(lambda: stage.reader.notes, "connected")
    assert stage.reader.notes == ["connected"]
    stage.accept(listener)


def test_when_all_refuse_the_reason_is_told_once_and_in_a_tick(stage: Stage) -> None:
    stage.link(stage.refusing(), stage.refusing())
    assert stage.reader.notes == []
    stage.ended("Connection refused")


def test_an_address_without_an_answer_is_given_ten_seconds(stage: Stage) -> None:
    listener = stage.listen()
    stage.link(stage.silent(), address(listener))
    stage.clock.now += 9.9
    for _ in range(5):
        stage.loop.tick(0.01)
    assert stage.reader.notes == []
    stage.clock.now += 0.2
    stage.until(lambda: stage.reader.notes, "connected")
    assert stage.reader.notes == ["connected"]


def test_when_nobody_answers_that_is_the_reason(stage: Stage) -> None:
    stage.link(stage.refusing(), stage.silent())
    for _ in range(5):
        stage.loop.tick(0.01)
    assert stage.reader.notes == []
    stage.clock.now += 10.1
    stage.ended("no answer")


def test_a_connection_that_was_made_in_time_has_no_time_limit_left(stage: Stage) -> None:
    _, peer = stage.meet()
    stage.clock.now += 1_000
    stage.loop.tick(0)
    peer.sendall(lines(HI))
    stage.until(lambda: stage.reader.events, "told")
    assert stage.reader.notes == ["connected"]


def test_an_address_that_fails_at_once_is_passed_over_in_a_tick(stage: Stage) -> None:
    # There is no TCP to a multicast address: connect(2) itself says so, and nothing is sent.
    nowhere: Address = (socket.AF_INET, ("224.0.0.1", 9))
    stage.link(nowhere)
    assert stage.reader.notes == []
    stage.ended(os.strerror(errno.ENETUNREACH))


def no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a kernel without it, where `localhost` can have an IPv6 address all the same."""

    class Socket(socket.socket):
        def __init__(self, family: int = -1, *rest: int, **more: object) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            super().__init__(family, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "socket", Socket)


IPV6: Address = (socket.AF_INET6, ("::1", 9))


def test_without_ipv6_an_address_of_it_is_passed_over(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = stage.listen()
    no_ipv6(monkeypatch)
    stage.link(IPV6, address(listener))
    stage.until(lambda: stage.reader.notes, "connected")
    assert stage.reader.notes == ["connected"]


def test_an_address_that_cannot_even_be_tried_is_told_of_in_a_tick(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_ipv6(monkeypatch)
    stage.link(IPV6)
    assert stage.reader.notes == []
    stage.ended(os.strerror(errno.EAFNOSUPPORT))


def test_a_link_that_is_closed_while_it_connects_tells_nobody(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    trying = [stage.link(address(stage.listen())), stage.link(stage.silent())]
    no_ipv6(monkeypatch)
    for link in [*trying, stage.link(IPV6)]:
        link.close()
    stage.clock.now += 11
    for _ in range(3):
        stage.loop.tick(0.01)
    assert stage.reader.notes == []


def test_nothing_is_left_open_of_addresses_that_failed(stage: Stage) -> None:
    addresses = [stage.refusing(), stage.silent(), stage.refusing()]
    before = descriptors()
    stage.link(*addresses)
    for _ in range(5):
        stage.loop.tick(0.01)
    assert descriptors() == before + 1
    stage.clock.now += 11
    stage.ended("Connection refused")
    assert descriptors() == before


# Talking


def test_what_the_server_says_is_told_in_order(stage: Stage) -> None:
    told = [WELCOME, HI, events.Ok("1", 2, AT), events.Notice("x", "y")]
    for way, chunks in pieces(lines(*told)):
        with Stage() as another:
            _, peer = another.meet()
            for chunk in chunks:
                peer.sendall(chunk)
                another.loop.tick(0)
            another.until(lambda a=another: len(a.reader.events) == 4, way)  # type: ignore[misc]
            assert another.reader.events == told


def test_what_is_sent_leaves_at_the_end_of_the_tick(stage: Stage) -> None:
    link, peer = stage.meet()
    asked = [commands.Post(id="1", to="#dev", text="a\nb"), commands.Quit(id="2")]
    for command in asked:
        link.send(command)
    stage.heard(peer, b"".join(map(encode_command, asked)))


def test_what_is_sent_before_there_is_a_connection_is_nothing(stage: Stage) -> None:
    listener = stage.listen()
    link = stage.link(address(listener))
    link.send(commands.Quit())
    stage.until(lambda: stage.reader.notes, "connected")
    link.send(commands.Pong())
    stage.heard(stage.accept(listener), encode_command(commands.Pong()))


def test_a_ping_is_answered_and_is_nobody_elses_concern(stage: Stage) -> None:
    _, peer = stage.meet()
    peer.sendall(lines(events.Ping(), HI))
    stage.heard(peer, b'{"type":"pong"}\n')
    assert stage.reader.events == [HI]


def test_a_reader_that_closes_the_link_is_told_no_more(stage: Stage) -> None:
    link, peer = stage.meet()
    stage.reader.on_event = lambda event: link.close()
    peer.sendall(lines(HI, HI))
    stage.until(lambda: stage.reader.events, "told")
    for _ in range(3):
        stage.loop.tick(0.01)
    assert stage.reader.events == [HI]
    assert stage.reader.notes == ["connected"]
    assert peer.recv(1) == b""


# What a server does that is none of ours, or newer


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"hologram","text":"from the future"}',
        b'{"type":"opened","seq":1,"at":"","user":"x","token":null}',
        b'{"type":"message","seq":"one"}',
        b'{"type":"message"}',
        b'{"no":"type"}',
        b"{}",
        b"[]",
        b"5",
        b'"text"',
        b"null",
    ],
)
def test_what_this_client_does_not_know_is_ignored(stage: Stage, line: bytes) -> None:
    _, peer = stage.meet()
    peer.sendall(line + b"\n" + lines(HI))
    stage.until(lambda: stage.reader.events, "told")
    assert stage.reader.events == [HI]
    assert stage.reader.notes == ["connected"]


def test_members_that_this_client_does_not_know_are_ignored(stage: Stage) -> None:
    _, peer = stage.meet()
    peer.sendall(b'{"new":[{}],"type":"notice","code":"x","text":"y","more":null}\r\n')
    stage.until(lambda: stage.reader.events, "told")
    assert stage.reader.events == [events.Notice("x", "y")]


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"+OK POP3 ready\r\n",
        b"\n",
        b"\x16\x03\x01\x02\x00\x01\n",
        bytes(range(256)) + b"\n",
        b'{"type":"notice","code":"\xff","text":""}\n',
        b'{"type":"notice","code":"x","text":"y"\n',
        b'{"type":"notice","code":"\\ud800","text":""}\n',
        b'{"type":"notice","x":' + b"[" * 100_000 + b"\n",
        b"\0" * 100 + b"\n",
    ],
)
def test_what_is_no_selchat_server_is_said_and_left(stage: Stage, said: bytes) -> None:
    _, peer = stage.meet()
    peer.sendall(said + lines(HI))
    stage.ended("connected", NO_SERVER)
    assert stage.reader.events == []


def test_what_was_said_before_garbage_counts(stage: Stage) -> None:
    _, peer = stage.meet()
    peer.sendall(lines(HI) + b"garbage\n" + lines(HI))
    stage.ended("connected", NO_SERVER)
    assert stage.reader.events == [HI]


def test_a_line_without_end_is_not_kept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_LONGEST", 1_000)
    _, peer = stage.meet()
    peer.sendall(lines(events.Notice("x", "y" * 950)))
    stage.until(lambda: stage.reader.events, "told")
    peer.sendall(b"x" * 1_001)
    stage.ended("connected", "it sends lines without end, so it is no selchat server")


def test_the_longest_line_holds_a_large_page_of_history(stage: Stage) -> None:
    page = events.History(None, "#dev", [HI] * 50_000, more=True)
    _, peer = stage.meet()
    peer.setblocking(False)
    data = memoryview(lines(page))
    assert len(data) > 2**21

    def feed() -> object:
        nonlocal data
        if data:
            with suppress(BlockingIOError):
                data = data[peer.send(data) :]
        return stage.reader.events

    stage.until(feed, "told")
    assert stage.reader.events == [page]


# The end


def test_a_server_that_closes_in_order_leaves_no_reason(stage: Stage) -> None:
    _, peer = stage.meet()
    peer.sendall(lines(HI))
    peer.close()
    stage.ended("connected", None)
    assert stage.reader.events == [HI]


def test_a_server_that_ends_its_side_is_done_and_the_other_side_ends_too(stage: Stage) -> None:
    _, peer = stage.meet()
    peer.shutdown(socket.SHUT_WR)
    stage.ended("connected", None)
    assert peer.recv(1) == b""


def test_an_unfinished_last_line_is_no_event(stage: Stage) -> None:
    _, peer = stage.meet()
    peer.sendall(lines(HI)[:-1])
    peer.close()
    stage.ended("connected", None)
    assert stage.reader.events == []


def test_a_broken_connection_has_its_reason(stage: Stage) -> None:
    _, peer = stage.meet()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    stage.ended("connected", "Connection reset by peer")


def test_after_the_end_nothing_is_sent_or_told(stage: Stage) -> None:
    link, peer = stage.meet()
    peer.close()
    stage.ended("connected", None)
    link.send(commands.Quit())
    link.close()
    stage.loop.tick(0)
    assert stage.reader.notes == ["connected", None]


# Neither side waits for ever


POST = commands.Post(to="#dev", text="x" * 10_000)


def fill(stage: Stage, link: Link) -> int:
    """Send until the kernels take no more and the link is full; how many bytes that was."""
    sent = 0

    def full() -> bool:
        nonlocal sent
        while not link.full:
            link.send(POST)
            sent += len(encode_command(POST))
        for _ in range(5):  # what the kernels still take, they take
            stage.loop.tick(0.01)
        return link.full

    stage.until(full, "full")
    return sent


def read(peer: socket.socket, data: bytearray) -> None:
    peer.setblocking(False)
    try:
        while chunk := peer.recv(1 << 20):
            data += chunk
    except BlockingIOError:
        pass


def test_a_server_that_does_not_read_fills_the_link_until_it_reads_again(stage: Stage) -> None:
    link, peer = stage.meet()
    sent = fill(stage, link)
    before = stage.reader.notes.count("drained")
    data = bytearray()

    def read_all() -> bool:
        read(peer, data)
        return len(data) == sent

    stage.until(read_all, "all read")
    stage.until(lambda: not link.full, "drained")
    assert stage.reader.notes.count("drained") == before + 1, "once, when there is room again"
    assert data == encode_command(POST) * (sent // len(encode_command(POST)))


def test_a_full_link_is_read_all_the_same(stage: Stage) -> None:
    # Two clients who say much to one room: if each read only after it has sent, and the server
    # read each only after that one has read, nobody would ever go on.
    link, peer = stage.meet()
    fill(stage, link)
    peer.sendall(lines(HI))
    stage.until(lambda: stage.reader.events, "told")
    assert link.full


def test_what_is_sent_when_there_is_room_again_leaves_at_once(stage: Stage) -> None:
    link, peer = stage.meet()
    left = 200
    sent = 0

    def more() -> None:
        nonlocal left, sent
        while left and not link.full:
            left -= 1
            sent += len(encode_command(POST))
            link.send(POST)

    sent += fill(stage, link)
    stage.reader.on_drained = more
    data = bytearray()

    def read_all() -> bool:
        read(peer, data)
        return not left and len(data) == sent

    stage.until(read_all, "all read")


def test_a_link_that_ends_while_it_is_full_is_not_drained(stage: Stage) -> None:
    link, peer = stage.meet()
    fill(stage, link)
    peer.close()  # with unread input: a reset
    stage.until(lambda: stage.reader.over, "ended")
    for _ in range(3):
        stage.loop.tick(0)  # the reader would fail if it were told more
    assert stage.reader.notes[-1] is not None


# Any server at all


def said() -> st.SearchStrategy[bytes]:
    known = any_event().map(lines)
    json = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
    strange = json.map(lambda value: msgspec.json.encode(value) + b"\n")
    halves = st.tuples(known, st.integers(0, 200)).map(lambda cut: cut[0][: cut[1]])
    return st.binary() | known | strange | halves | st.just(b"\n")


@given(st.lists(said(), max_size=8), st.booleans())
def test_whatever_a_server_sends_nothing_breaks_and_nothing_harmful_is_shown(
    chunks: list[bytes], reset: bool
) -> None:
    state = State(auto_join=True)
    with Stage() as stage:
        link, peer = stage.meet()

        def show(event: Event) -> None:
            assert_clean(heard(state, event))
            assert_clean([clean_line(msgspec.json.encode(event).decode())])
            for command in state.typed("@bob x") if state.line_limit > 1_000 else ():
                link.send(command)

        stage.reader.on_event = show
        peer.sendall(b"".join(chunks))
        if reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        stage.until(lambda: stage.reader.over, "ended")
        reason = stage.reader.notes[-1]
        assert reason is None or reason.isprintable()
