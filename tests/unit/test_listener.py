"""A listener takes its connections in pieces, and sits out the times when there is no room."""

from __future__ import annotations

import errno
import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from selchat.loop import READ, Loop
from selchat.stream import Limits, Listener, Stream, Streams, listen
from tests.unit.ways import Clock


class Owner:
    """An owner that does nothing."""

    def received(self, data: bytes) -> None:
        pass

    def ended(self) -> None:
        pass

    def drained(self) -> None:
        pass

    def closed(self, reason: str | None) -> None:
        pass


class Door:
    """A listener on a loopback port, and those whom it let in."""

    def __init__(self, stack: ExitStack, batch: int = 3) -> None:
        self.clock = Clock()
        self.loop = Loop(self.clock)
        stack.callback(self.loop.close)
        self.streams = Streams(self.loop, Limits())
        self.sockets = listen("127.0.0.1", 0, 100, 60)
        self.address: tuple[str, int] = self.sockets[0].getsockname()
        self.fd = self.sockets[0].fileno()
        self.listener = Listener(self.streams, self.sockets, self.let_in, batch)
        stack.callback(self.listener.close)
        self.came: list[tuple[socket.socket, tuple[str, int]]] = []
        self.refuse = 0
        self._stack = stack

    def let_in(self, sock: socket.socket, address: tuple[str, int]) -> None:
        if self.refuse:
            self.refuse -= 1
            sock.close()
            raise ZeroDivisionError("could not be set up")
        self._stack.enter_context(sock)
        self.came.append((sock, address))

    def knock(self, times: int = 1) -> list[socket.socket]:
        """Connect; the kernel holds them until they are accepted."""
        return [
            self._stack.enter_context(socket.create_connection(self.address, timeout=5))
            for _ in range(times)
        ]

    def listening(self) -> bool:
        """Whether a connection would wake the loop."""
        return self.fd in self.loop._selector.get_map()

    def until(self, count: int) -> None:
        for _ in range(100):
            if len(self.came) >= count:
                return
            self.loop.tick(0.01)
        raise AssertionError(f"only {len(self.came)} came")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def door(stack: ExitStack) -> Door:
    return Door(stack)


@contextmanager
def no_descriptors_left(leaving: int = 0) -> Iterator[list[int]]:
    """Use up all descriptors but `leaving`, under a lowered limit; gives those to close."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    filled: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 5, hard))
    try:
        with suppress(OSError):
            while True:
                filled.append(os.dup(0))
        for _ in range(leaving):
            os.close(filled.pop())
        yield filled
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in filled:
            os.close(fd)


# Accepting


def test_a_tick_accepts_a_bounded_batch(door: Door) -> None:
    door.knock(7)
    counts = []
    for _ in range(4):
        door.loop.tick(0.05)
        counts.append(len(door.came))
    assert counts == [3, 6, 7, 7]


def test_the_batch_is_shared_by_its_sockets(stack: ExitStack) -> None:
    door = Door(stack)
    door.listener.close()
    both = listen("127.0.0.1", 0, 100, 60) + listen("127.0.0.1", 0, 100, 60)
    listener = Listener(door.streams, both, door.let_in, 3)
    stack.callback(listener.close)
    for sock in both * 4:
        stack.enter_context(socket.create_connection(sock.getsockname(), timeout=5))
    counts = []
    for _ in range(4):
        listener.ready(READ)
        counts.append(len(door.came))
    assert counts[0] == 3
    assert counts[1] <= 6
    assert counts[-1] == 8


def test_who_comes_is_told_with_its_address(door: Door) -> None:
    (client,) = door.knock()
    door.until(1)
    sock, address = door.came[0]
    assert address == client.getsockname()
    assert sock.getpeername() == client.getsockname()


def test_an_accepted_socket_has_what_the_listening_one_was_given(door: Door) -> None:
    door.knock()
    door.until(1)
    sock = door.came[0][0]
    assert not sock.getblocking()
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def test_one_that_cannot_be_set_up_keeps_no_other_out(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.refuse = 1
    door.knock(3)
    door.until(2)
    assert "could not be set up" in caplog.text


def test_one_that_is_gone_already_keeps_no_other_out(door: Door) -> None:
    first, _ = door.knock(2)
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    first.close()
    door.until(1)
    assert door.came[-1][0].getpeername()


def test_a_closed_listener_accepts_nobody(door: Door) -> None:
    door.listener.close()
    assert not door.listening()
    with pytest.raises(ConnectionRefusedError):
        door.knock()
    door.listener.close()
    assert door.streams.on_freed is None


def test_it_can_be_closed_by_who_is_let_in(stack: ExitStack) -> None:
    door = Door(stack)
    door.knock(2)
    came: list[object] = []

    def last(sock: socket.socket, address: tuple[str, int]) -> None:
        came.append(stack.enter_context(sock))
        door.listener.close()

    door.listener._accepted = last
    door.loop.tick(0.05)
    door.loop.tick(0)
    assert len(came) == 1


# No descriptor left


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    return [record.getMessage() for record in caplog.records]


def test_without_descriptors_it_pauses_says_so_once_and_goes_on(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.knock(2)
    with no_descriptors_left() as filled:
        door.loop.tick(0.05)
        assert not door.listening()
        assert len(said(caplog)) == 1
        assert "no new connections are accepted for now" in said(caplog)[0]
        assert "Too many open files" in said(caplog)[0]
        assert "ulimit -n" in said(caplog)[0]
        # No busy loop: though two wait outside, nothing is ready, and the wait is a second.
        assert door.loop._selector.select(0) == []
        assert door.loop._patience(None) == 1.0
        for _ in range(5):  # tries again once a second, in vain
            door.clock.now += 1
            door.loop.tick(0)  # looks again
            door.loop.tick(0)  # in vain
            assert not door.listening()
        assert door.came == []
        assert len(said(caplog)) == 1
        os.close(filled.pop())
        os.close(filled.pop())
        os.close(filled.pop())
        door.clock.now += 1
        door.loop.tick(0)
        door.loop.tick(0)
    assert len(door.came) == 2
    assert door.listening()
    assert said(caplog)[1:] == ["descriptors are free again: new connections are accepted"]


def test_it_goes_on_as_soon_as_a_stream_closes(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.knock(1)
    door.until(1)
    stream = Stream(door.streams, door.came[0][0], Owner())
    door.knock(1)
    with no_descriptors_left():
        door.loop.tick(0.05)
        assert not door.listening()
        assert "1 are open" in said(caplog)[0]
        stream.abort(None)
        assert door.listening()
        door.loop.tick(0)  # the clock stood still
        assert len(door.came) == 2


def test_the_others_are_served_while_it_is_paused(door: Door) -> None:
    (client,) = door.knock(1)
    door.until(1)
    stream = Stream(door.streams, door.came[0][0], Owner())
    door.loop.on_tick_end(door.streams.flush)
    door.knock(1)
    with no_descriptors_left():
        door.loop.tick(0.05)
        stream.write(b"still here")
        door.loop.tick(0)
    assert client.recv(100) == b"still here"
    stream.abort(None)


def test_it_can_be_closed_while_it_is_paused(door: Door) -> None:
    door.knock(1)
    with no_descriptors_left():
        door.loop.tick(0.05)
        assert not door.listening()
        door.listener.close()
    assert door.loop._patience(None) is None  # nothing is left to be waited for
    door.clock.now += 1_000
    door.loop.tick(0)
    assert door.came == []


# Where to listen


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def closing(stack: ExitStack, sockets: list[socket.socket]) -> list[socket.socket]:
    for sock in sockets:
        stack.enter_context(sock)
    return sockets


def test_port_0_is_one_port_for_both_families(stack: ExitStack) -> None:
    sockets = closing(stack, listen(None, 0, 10, 60))
    families = {sock.family for sock in sockets}
    assert families == {socket.AF_INET, socket.AF_INET6} if has_ipv6() else {socket.AF_INET}
    assert len(families) == len(sockets)
    ports = {sock.getsockname()[1] for sock in sockets}
    assert len(ports) == 1
    assert 0 not in ports
    for sock in sockets:
        assert not sock.getblocking()
        local = "127.0.0.1" if sock.family == socket.AF_INET else "::1"
        stack.enter_context(socket.create_connection((local, ports.copy().pop()), timeout=5))


@pytest.mark.parametrize("host", [None, "127.0.0.1", "localhost"])
def test_a_port_in_use_is_an_error_that_names_the_address(
    stack: ExitStack, host: str | None
) -> None:
    port = closing(stack, listen(host, 0, 10, 60))[0].getsockname()[1]
    with pytest.raises(OSError, match="in use") as caught:
        listen(host, port, 10, 60)
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.filename in {"0.0.0.0", "127.0.0.1", "::1"}


def test_a_port_in_use_leaves_nothing_open(stack: ExitStack) -> None:
    port = closing(stack, listen("127.0.0.1", 0, 10, 60))[0].getsockname()[1]
    before = len(list(Path("/proc/self/fd").iterdir()))
    with suppress(OSError):
        listen("127.0.0.1", port, 10, 60)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_port_can_be_listened_on_again_at_once(stack: ExitStack) -> None:
    """A restart: connections of the one before are in TIME_WAIT (SO_REUSEADDR)."""
    first = listen("127.0.0.1", 0, 10, 60)
    address: tuple[str, int] = first[0].getsockname()
    with socket.create_connection(address, timeout=5) as client:
        accepted, _ = first[0].accept()
        accepted.close()  # first, so that the wait is on this side
        assert client.recv(1) == b""
    first[0].close()
    assert closing(stack, listen(*address, 10, 60))[0].getsockname() == address


def test_an_address_of_another_machine_is_an_error_that_names_it() -> None:
    with pytest.raises(OSError, match="assign requested address") as caught:
        listen("203.0.113.7", 0, 10, 60)  # RFC 5737: nobody's
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert caught.value.filename == "203.0.113.7"


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example", "é" * 64, "not a name", ""])
def test_what_is_no_host_name_is_no_address(host: str) -> None:
    with pytest.raises(socket.gaierror):
        listen(host, 0, 10, 60)


def test_keepalive_is_in_seconds(stack: ExitStack) -> None:
    sock = closing(stack, listen("127.0.0.1", 0, 10, 77))[0]
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
