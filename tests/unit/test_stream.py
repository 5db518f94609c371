"""A stream costs what its limits say, loses nothing, and ends once, whatever either side does."""

from __future__ import annotations

import logging
import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selchat.loop import READ, WRITE, Handler, Loop
from selchat.stream import CLOSED, OPEN, Limits, Stream, Streams
from tests.unit.ways import Clock

LIMITS = Limits(read_size=1_000, write_budget=100, soft=1_000, hard=4_000, linger=2.0, drain=60.0)
ROOMY = LIMITS._replace(write_budget=2**20, soft=2**24, hard=2**26, read_size=2**16)


class CountingLoop(Loop):
    """A loop that counts what epoll is told, which costs as much as a send."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.modified = 0

    def modify(self, fd: int, mask: int, handler: Handler) -> None:
        self.modified += 1
        super().modify(fd, mask, handler)

    def mask(self, fd: int) -> int:
        """What is waited for; 0 where nothing is."""
        key = self._selector.get_map().get(fd)
        return key.events if key is not None else 0


class Recorder:
    """An owner that notes what it is told; a test can have it do something when it is."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.chunks: list[bytes] = []
        self.reasons: list[str | None] = []
        self.on: dict[str, Callable[[], None]] = {}

    def received(self, data: bytes) -> None:
        self.chunks.append(data)
        self._note("received")

    def ended(self) -> None:
        self._note("ended")

    def drained(self) -> None:
        self._note("drained")

    def closed(self, reason: str | None) -> None:
        self.reasons.append(reason)
        self._note("closed")

    def _note(self, call: str) -> None:
        assert "closed" not in self.calls, f"{call} after the end"
        self.calls.append(call)
        if call in self.on:
            self.on[call]()

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)


class Side(NamedTuple):
    """A stream with its owner, and the peer's end of it (which does not block)."""

    stream: Stream
    owner: Recorder
    peer: socket.socket

    def read(self) -> bytes:
        """All that the peer can read now. An end or a reset is what stops it too."""
        found = b""
        with suppress(BlockingIOError):
            while data := self.peer.recv(65_536):
                found += data
        return found

    def at_end(self) -> bool:
        """Whether the peer is told the end, with nothing before it."""
        try:
            return self.peer.recv(1) == b""
        except BlockingIOError:
            return False


class World:
    """A loop with a clock that stands still, and streams on it."""

    def __init__(self, stack: ExitStack, limits: Limits = LIMITS) -> None:
        self.clock = Clock()
        self.loop = CountingLoop(self.clock)
        stack.callback(self.loop.close)
        self.streams = Streams(self.loop, limits)
        self.loop.on_tick_end(self.streams.flush)
        self._stack = stack

    def side(
        self, kind: int = socket.SOCK_STREAM, tcp: bool = False, buffer: int | None = None
    ) -> Side:
        """A connected stream. With SOCK_SEQPACKET, each send is one packet at the peer."""
        ours, peer = loopback() if tcp else socket.socketpair(type=kind)
        if buffer is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        ours.setblocking(False)
        peer.setblocking(False)
        self._stack.enter_context(peer)
        owner = Recorder()
        stream = Stream(self.streams, ours, owner)
        self._stack.callback(stream.abort, None)
        return Side(stream, owner, peer)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.loop.tick(0)

    def read(self, side: Side, size: int) -> bytes:
        """Tick, and read at the peer, until `size` bytes came, or nothing did for long."""
        found, idle = side.read(), 0
        while len(found) < size and idle < 100:
            self.loop.tick(0.01)
            data = side.read()
            found += data
            idle = 0 if data else idle + 1
        return found

    def until(self, done: Callable[[], bool]) -> None:
        """Tick until `done`; over TCP the kernel may need a moment."""
        for _ in range(1_000):
            if done():
                return
            self.loop.tick(0.01)
        raise AssertionError("it did not come about")

    def mask(self, side: Side) -> int:
        return self.loop.mask(side.stream._socket.fileno())


def loopback() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    return ours, peer


def reset(peer: socket.socket) -> None:
    """Close a TCP socket with a reset (SO_LINGER with no time)."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def world(stack: ExitStack) -> World:
    return World(stack)


@pytest.fixture
def roomy(stack: ExitStack) -> World:
    return World(stack, ROOMY)


# Reading


def test_a_tick_reads_a_bounded_piece_of_each(world: World) -> None:
    one, other = world.side(), world.side()
    one.peer.send(b"x" * 2_500)
    other.peer.send(b"y" * 10)
    sizes = []
    for _ in range(4):
        world.tick()
        sizes.append([len(chunk) for chunk in one.owner.chunks])
    assert sizes == [[1_000], [1_000, 1_000], [1_000, 1_000, 500], [1_000, 1_000, 500]]
    assert other.owner.chunks == [b"y" * 10]  # in the first, beside the one that floods


def test_a_held_peer_is_not_read(world: World) -> None:
    side = world.side()
    side.peer.send(b"before")
    world.tick()
    side.stream.hold(True)
    side.peer.send(b"while")
    side.peer.shutdown(socket.SHUT_WR)
    world.tick(3)
    assert side.owner.calls == ["received"]
    side.stream.hold(False)
    world.tick(3)
    assert side.owner.data == b"beforewhile"
    assert side.owner.calls == ["received", "received", "ended"]


def test_a_held_peer_is_still_written_to(world: World) -> None:
    side = world.side()
    side.stream.hold(True)
    side.stream.write(b"x" * 250)
    world.tick(3)
    assert side.read() == b"x" * 250
    world.tick(2)
    assert world.mask(side) == 0


def test_a_peer_that_is_held_in_the_tick_in_which_it_is_ready_is_not_read(world: World) -> None:
    sides = [world.side(), world.side()]
    for me, other in ((0, 1), (1, 0)):
        sides[me].owner.on["received"] = partial(sides[other].stream.hold, True)
        sides[me].peer.send(b"x")
    world.tick(3)
    assert sorted(len(side.owner.chunks) for side in sides) == [0, 1]


def test_a_stream_that_is_closed_in_the_tick_in_which_it_is_ready_is_not_read(
    world: World,
) -> None:
    sides = [world.side(), world.side()]
    for me, other in ((0, 1), (1, 0)):
        sides[me].owner.on["received"] = partial(sides[other].stream.abort, "the other")
        sides[me].peer.send(b"x")
    world.tick(3)
    assert sorted(side.owner.calls for side in sides) == [["closed"], ["received"]]


# Writing


def test_what_is_written_in_a_tick_leaves_in_one_send(roomy: World) -> None:
    side = roomy.side(socket.SOCK_SEQPACKET)
    for word in (b"one ", b"two ", b"three"):
        side.stream.write(word)
    assert side.stream.waiting == 13
    with pytest.raises(BlockingIOError):
        side.peer.recv(100)  # nothing leaves before the end of the tick
    roomy.tick()
    assert side.peer.recv(100) == b"one two three"
    assert side.stream.waiting == 0
    assert roomy.loop.modified == 0


def test_writability_is_waited_for_only_while_something_is_left(roomy: World) -> None:
    side = roomy.side(buffer=4_096)
    data = random.Random(1).randbytes(200_000)
    side.stream.write(data)
    assert roomy.mask(side) == READ
    roomy.tick()
    assert 0 < side.stream.waiting < len(data)
    assert roomy.mask(side) == READ | WRITE
    assert roomy.loop.modified == 1
    assert roomy.read(side, len(data)) == data
    roomy.tick()
    assert roomy.mask(side) == READ
    assert roomy.loop.modified == 2  # once on, once off
    assert side.stream.waiting == 0


def test_a_tick_writes_no_more_than_the_budget(world: World) -> None:
    side, other = world.side(), world.side()
    side.stream.write(b"x" * 250)
    other.stream.write(b"y")
    sizes = []
    for _ in range(4):
        world.tick()
        sizes.append(len(side.read()))
    assert sizes == [100, 100, 50, 0]
    assert other.read() == b"y"


def test_an_empty_write_is_nothing(world: World) -> None:
    side = world.side()
    side.stream.write(b"")
    world.tick(2)
    assert (side.read(), side.stream.waiting, world.mask(side)) == (b"", 0, READ)
    side.stream.write(b"")
    side.stream.write(b"x")
    world.tick(2)
    assert side.read() == b"x"


@settings(max_examples=8)
@given(st.integers(0, 2**32))
def test_ten_thousand_writes_arrive_intact_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    with ExitStack() as stack:
        world = World(stack, ROOMY._replace(write_budget=chance.choice([997, 65_536])))
        side = world.side(buffer=chance.choice([4_096, 212_992]))
        source = chance.randbytes(100_000)
        written, found = [], []
        for _ in range(10_000):
            size = chance.choice([0, 1, chance.randrange(200), chance.randrange(200)])
            if chance.random() < 0.001:
                size = chance.randrange(70_000)
            start = chance.randrange(100_000 - size)
            written.append(source[start : start + size])
            side.stream.write(written[-1])
            if chance.random() < 0.1:
                world.tick()
            if chance.random() < 0.1:
                found.append(side.read())
        side.stream.finish()
        found.append(world.read(side, sum(map(len, written)) - sum(map(len, found))))
        assert b"".join(found) == b"".join(written)
        world.tick()
        assert side.at_end()


# Limits of what waits


def test_over_the_soft_limit_the_peer_is_not_read_until_half_of_it_is_left(world: World) -> None:
    side = world.side()
    side.stream.write(b"x" * 1_050)
    side.stream.write(b"x" * 50)  # 1,100
    world.tick()  # 1,000 are left
    side.peer.send(b"a question")
    seen = []
    for _ in range(5):
        seen.append((side.stream.waiting, side.stream.full, world.mask(side), *side.owner.calls))
        world.tick()
    assert seen == [(waiting, True, WRITE) for waiting in (1_000, 900, 800, 700, 600)]
    seen.append((side.stream.waiting, side.stream.full, world.mask(side), *side.owner.calls))
    assert seen[-1] == (500, False, READ | WRITE, "drained")
    world.tick(10)
    assert side.owner.calls == ["drained", "received"]
    assert len(side.read()) == 1_100


def test_at_the_soft_limit_the_peer_is_read(world: World) -> None:
    side = world.side()
    side.stream.write(b"x" * 1_000)
    side.peer.send(b"a question")
    world.tick()
    assert not side.stream.full
    assert side.owner.calls == ["received"]
    world.tick(20)
    assert side.owner.calls == ["received"]


def test_drained_is_said_once_each_time(world: World) -> None:
    side = world.side()
    for times in (1, 2, 3):
        side.stream.write(b"x" * 1_500)
        world.tick(30)
        assert side.owner.calls == ["drained"] * times
        side.read()


def test_what_is_written_when_it_drained_goes_out(world: World) -> None:
    side = world.side()
    more = [b"a" * 1_000, b"b" * 1_000]

    def feed() -> None:
        if more:
            side.stream.write(more.pop(0))

    side.owner.on["drained"] = feed
    side.stream.write(b"x" * 1_500)
    found = b""
    for _ in range(60):
        world.tick()
        found += side.read()
    assert found == b"x" * 1_500 + b"a" * 1_000 + b"b" * 1_000
    assert side.owner.calls == ["drained"] * 3


def test_over_the_hard_limit_it_is_closed_with_a_reason(world: World) -> None:
    side = world.side()
    for _ in range(5):
        side.stream.write(b"x" * 1_000)
    assert side.owner.calls == []  # never from within a write
    world.tick()
    assert side.owner.calls == ["closed"]
    assert side.owner.reasons == ["4900 bytes were waiting to be read by it"]
    assert side.stream.state == CLOSED


def test_what_leaves_at_once_does_not_count_for_the_hard_limit(world: World) -> None:
    side = world.side()
    side.stream.write(b"x" * 4_100)  # 100 of them leave in this tick
    world.tick()
    assert side.owner.calls == []
    side.stream.write(b"x" * 101)
    world.tick()
    assert side.owner.calls == ["closed"]


def test_the_hard_limit_holds_for_what_is_written_while_it_is_full(world: World) -> None:
    side = world.side()
    side.stream.write(b"x" * 2_000)
    world.tick()
    side.stream.write(b"x" * 2_300)
    world.tick()
    assert side.owner.calls == ["closed"]


def test_a_reader_that_is_stuck_is_closed_at_the_hard_limit(stack: ExitStack) -> None:
    world = World(stack, LIMITS._replace(write_budget=2**20))
    side = world.side(buffer=4_096)
    for _ in range(1_000):
        if side.stream.waiting:
            break
        side.stream.write(b"x" * 1_000)
        world.tick()
    side.stream.write(b"x" * 1_500)
    world.tick(3)
    assert side.stream.full
    side.stream.write(b"x" * 4_000)
    world.tick()  # it never becomes writable, and yet
    assert side.owner.calls == ["closed"]


@pytest.mark.parametrize("budget", [100, 10_000])
def test_drained_is_not_said_where_nothing_can_be_written_any_more(
    stack: ExitStack, budget: int
) -> None:
    world = World(stack, LIMITS._replace(write_budget=budget))
    side = world.side()
    side.peer.shutdown(socket.SHUT_WR)
    world.tick()
    side.stream.write(b"x" * 2_000)
    side.stream.finish()
    world.tick(30)
    assert side.owner.calls == ["ended", "closed"]
    assert len(side.read()) == 2_000


# The ends


def test_the_peer_s_end_is_told_once_and_answers_still_go_out(world: World) -> None:
    side = world.side()
    side.peer.send(b"the last question")
    side.peer.shutdown(socket.SHUT_WR)
    world.tick(5)
    assert side.owner.calls == ["received", "ended"]
    side.stream.write(b"x" * 250)
    world.tick(5)
    assert side.read() == b"x" * 250
    side.stream.write(b"the last word")
    side.stream.finish()
    world.tick(2)
    assert side.read() == b"the last word"
    assert side.at_end()
    assert side.owner.calls == ["received", "ended", "closed"]
    assert side.owner.reasons == [None]


def test_after_finish_nothing_is_added_and_the_end_is_said_behind_the_rest(world: World) -> None:
    side = world.side()
    side.stream.write(b"x" * 250)
    side.stream.finish()
    side.stream.write(b"too late")
    side.stream.finish()
    assert side.stream.waiting == 250
    world.tick(2)
    assert side.read() == b"x" * 200
    assert not side.at_end()
    side.stream.write(b"too late")
    world.tick()
    assert side.read() == b"x" * 50
    assert side.at_end()
    assert side.owner.calls == []  # the peer may still be talking
    side.peer.close()
    world.tick()
    assert side.owner.reasons == [None]
    side.stream.write(b"too late")
    side.stream.finish()
    side.stream.hold(True)
    side.stream.abort("too late")
    world.tick(2)
    assert side.owner.calls == ["closed"]


def test_what_the_peer_says_after_finish_is_thrown_away(world: World) -> None:
    side = world.side()
    side.peer.send(b"before")
    world.tick()
    side.stream.finish()
    world.tick()
    side.peer.send(b"after")
    world.tick(2)
    assert side.owner.data == b"before"
    side.peer.shutdown(socket.SHUT_WR)
    world.tick()
    assert side.owner.calls == ["received", "closed"]  # no `ended`: it is ours


def test_the_last_words_reach_a_peer_whose_input_was_not_read(roomy: World) -> None:
    """Without lingering, the kernel answers unread input with a reset (RFC 2525, 2.17)."""
    side = roomy.side(tcp=True)
    chunk = b"q" * 65_536
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += side.peer.send(chunk)
    assert sent > 500_000
    side.stream.hold(True)
    words = b"too many questions: good bye\n" * 10_000
    side.stream.write(words)
    side.stream.finish()
    assert roomy.read(side, len(words)) == words
    roomy.until(side.at_end)  # no ECONNRESET
    assert not side.owner.chunks
    side.peer.close()
    roomy.until(lambda: side.owner.calls == ["closed"])
    assert side.owner.reasons == [None]


def test_the_peer_s_end_is_not_told_to_who_has_finished(world: World) -> None:
    side = world.side()
    side.peer.shutdown(socket.SHUT_WR)
    side.stream.finish()
    world.tick(2)
    assert side.owner.calls == ["closed"]


def test_to_finish_again_does_not_linger_longer(world: World) -> None:
    side = world.side()
    side.stream.finish()
    side.stream.finish()
    world.tick()
    world.clock.now += 1.5
    side.stream.finish()
    world.tick()
    world.clock.now += 0.5
    world.tick()
    assert side.owner.reasons == [None]


def test_a_peer_that_does_not_close_is_lingered_for_no_longer_than_the_limit(world: World) -> None:
    side = world.side()
    side.stream.write(b"bye")
    side.stream.finish()
    world.tick()
    world.clock.now += 1.999
    world.tick()
    assert side.owner.calls == []
    world.clock.now += 0.001
    world.tick()
    assert side.owner.reasons == [None]
    assert side.read() == b"bye"
    world.clock.now += 1_000
    world.tick()
    assert side.owner.calls == ["closed"]


def test_a_peer_that_does_not_read_its_last_lines_is_closed_with_a_reason(stack: ExitStack) -> None:
    world = World(stack, ROOMY)
    side = world.side(buffer=4_096)
    side.stream.write(b"x" * 500_000)
    side.stream.finish()
    world.tick(3)
    world.clock.now += 59.9
    world.tick()
    assert side.owner.calls == []
    world.clock.now += 0.1
    world.tick()
    assert side.owner.reasons == ["it did not read its last lines"]


def test_the_time_to_read_the_last_lines_ends_when_they_are_sent(stack: ExitStack) -> None:
    world = World(stack, LIMITS._replace(linger=1_000.0))
    side = world.side()
    side.stream.write(b"bye")
    side.stream.finish()
    world.tick()
    world.clock.now += 999
    world.tick()
    assert side.owner.calls == []


def test_abort_closes_at_once_and_loses_what_waits(world: World) -> None:
    freed: list[int] = []
    world.streams.on_freed = lambda: freed.append(world.streams.open)
    side, other = world.side(), world.side()
    fd = side.stream._socket.fileno()
    side.stream.write(b"lost")
    assert world.streams.open == 2
    side.stream.abort("because")
    side.stream.abort("again")
    assert world.loop.mask(fd) == 0
    assert side.owner.reasons == ["because"]
    assert side.stream.waiting == 0
    assert freed == [1]
    world.tick(2)
    assert side.at_end()
    assert other.owner.calls == []


def test_no_timer_outlives_its_stream(world: World) -> None:
    for aborted in (True, False):
        side = world.side()
        side.stream.finish()
        side.stream.finish()
        world.tick()
        if aborted:
            side.stream.abort(None)
        else:
            side.peer.close()
        world.tick()
        assert side.owner.calls == ["closed"]
    assert [timer for _, _, timer in world.loop._timers if timer.callback is not None] == []


# Closed once, on every way


def crash() -> None:
    raise ZeroDivisionError("the owner's fault")


def by_peer(world: World, side: Side) -> None:
    side.owner.on["ended"] = side.stream.finish
    side.peer.close()


def by_both(world: World, side: Side) -> None:
    side.stream.finish()
    side.peer.close()


def by_reset(world: World, side: Side) -> None:
    reset(side.peer)


def by_reset_while_writing(world: World, side: Side) -> None:
    side.stream.write(b"x" * 900)
    world.tick()
    reset(side.peer)


def by_reset_while_held(world: World, side: Side) -> None:
    side.stream.hold(True)
    reset(side.peer)
    side.stream.write(b"x" * 900)


def by_reset_while_full(world: World, side: Side) -> None:
    side.stream.write(b"x" * 3_000)
    world.tick()
    reset(side.peer)


def by_reset_while_finishing(world: World, side: Side) -> None:
    side.stream.write(b"x" * 900)
    side.stream.finish()
    world.tick()
    reset(side.peer)


def by_reset_while_lingering(world: World, side: Side) -> None:
    side.stream.finish()
    world.tick()
    reset(side.peer)


def by_abort(world: World, side: Side) -> None:
    side.stream.abort("it")
    side.stream.abort("it")


def by_abort_when_it_received(world: World, side: Side) -> None:
    side.owner.on["received"] = lambda: side.stream.abort("it")
    side.peer.send(b"x")


def by_abort_when_it_ended(world: World, side: Side) -> None:
    side.owner.on["ended"] = lambda: side.stream.abort("it")
    side.peer.shutdown(socket.SHUT_WR)


def by_abort_when_it_drained(world: World, side: Side) -> None:
    side.owner.on["drained"] = lambda: side.stream.abort("it")
    side.stream.write(b"x" * 1_200)


def by_abort_when_it_closed(world: World, side: Side) -> None:
    side.owner.on["closed"] = lambda: side.stream.abort("again")
    side.stream.abort("it")


def by_finish_when_it_received(world: World, side: Side) -> None:
    side.owner.on["received"] = side.stream.finish
    side.peer.send(b"x")
    side.peer.shutdown(socket.SHUT_WR)


def by_finish_when_it_drained(world: World, side: Side) -> None:
    side.owner.on["drained"] = side.stream.finish
    side.stream.write(b"x" * 1_200)
    side.peer.shutdown(socket.SHUT_WR)


def by_finish_while_full(world: World, side: Side) -> None:
    side.peer.shutdown(socket.SHUT_WR)
    world.tick()
    side.stream.write(b"x" * 1_200)
    side.stream.finish()


def by_finish_and_abort(world: World, side: Side) -> None:
    side.stream.write(b"x")
    side.stream.finish()
    side.stream.abort("it")


def by_the_hard_limit(world: World, side: Side) -> None:
    side.stream.write(b"x" * 9_000)


def by_the_hard_limit_while_finishing(world: World, side: Side) -> None:
    side.stream.write(b"x" * 9_000)
    side.stream.finish()


def by_crash_when_it_received(world: World, side: Side) -> None:
    side.owner.on["received"] = crash
    side.peer.send(b"x")


def by_crash_when_it_ended(world: World, side: Side) -> None:
    side.owner.on["ended"] = crash
    side.peer.shutdown(socket.SHUT_WR)


def by_crash_when_it_drained(world: World, side: Side) -> None:
    side.owner.on["drained"] = crash
    side.stream.write(b"x" * 1_200)


def by_crash_when_it_received_and_closed(world: World, side: Side) -> None:
    by_crash_when_it_received(world, side)
    side.owner.on["closed"] = crash


def by_crash_when_it_drained_and_closed(world: World, side: Side) -> None:
    by_crash_when_it_drained(world, side)
    side.owner.on["closed"] = crash


WAYS = [value for name, value in sorted(globals().items()) if name.startswith("by_")]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_it_is_closed_once_and_nothing_is_told_after_it(
    world: World, way: Callable[[World, Side], None]
) -> None:
    side, other = world.side(tcp=True), world.side(tcp=True)
    world.until(lambda: bool(world.mask(side)))
    way(world, side)
    for _ in range(200):
        if side.owner.reasons:
            break
        world.loop.tick(0.01)
    world.tick(3)
    world.clock.now += 1_000
    world.tick(3)
    assert side.owner.calls.count("closed") == 1  # the recorder fails for what comes after it
    assert side.owner.calls.count("ended") <= 1
    assert side.stream.state == CLOSED
    assert world.streams.open == 1
    # The other one goes on.
    other.peer.send(b"still there?")
    other.stream.write(b"yes")
    world.until(lambda: other.owner.data == b"still there?")
    world.until(lambda: not other.stream.waiting)
    assert other.read() == b"yes"


@pytest.mark.parametrize("call", ["received", "ended", "drained"])
def test_an_owner_s_exception_is_logged_with_its_traceback(
    world: World, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    side = world.side()
    side.owner.on[call] = crash
    side.peer.send(b"x")
    side.peer.shutdown(socket.SHUT_WR)
    side.stream.write(b"x" * 1_200)
    world.tick(30)
    assert side.owner.reasons == ["an internal error, which the server's log tells"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "ZeroDivisionError: the owner's fault" in caplog.text
    assert "in crash" in caplog.text


def test_an_exception_in_a_flush_keeps_nobody_from_being_flushed(roomy: World) -> None:
    world = roomy
    bad, good = world.side(), world.side()
    bad.owner.on["closed"] = crash
    bad.peer.close()
    bad.stream.write(b"x")
    good.stream.write(b"hello")
    world.streams.flush()
    assert bad.owner.calls == ["closed"]
    assert good.read() == b"hello"


def test_a_reset_has_a_reason(world: World) -> None:
    side = world.side(tcp=True)
    reset(side.peer)
    world.until(lambda: bool(side.owner.reasons))
    assert side.owner.reasons == ["Connection reset by peer"]
    assert side.owner.calls == ["closed"]  # a broken link is no end of input


# Anything in any order


class Life:
    """A stream in a world that does anything to it, and what must come of that."""

    def __init__(self, stack: ExitStack, seqpacket: bool) -> None:
        self.world = World(stack)
        self.side = self.world.side(socket.SOCK_SEQPACKET if seqpacket else socket.SOCK_STREAM)
        self.seqpacket = seqpacket
        self.said = self.written = self.found = b""
        self.peer_ended = False
        self.finished = False

    def write(self, size: int) -> None:
        data = random.Random(size).randbytes(size)
        if self.side.stream.state == OPEN:
            self.written += data
        self.side.stream.write(data)

    def say(self, size: int) -> None:
        data = random.Random(size).randbytes(size)
        if not self.peer_ended and data and not self.seqpacket:
            with suppress(BrokenPipeError, BlockingIOError):
                self.said += data[: self.side.peer.send(data)]

    def read(self, size: int) -> None:
        if self.side.peer.fileno() >= 0:
            with suppress(ConnectionResetError):
                self.found += self.side.read()

    def tick(self, size: int) -> None:
        self.world.tick()

    def hold(self, size: int) -> None:
        self.side.stream.hold(size % 2 == 0)

    def wait(self, size: int) -> None:
        self.world.clock.now += size / 50

    def finish(self, size: int) -> None:
        self.side.stream.finish()
        self.finished = True

    def half_close(self, size: int) -> None:
        if not self.peer_ended:
            self.side.peer.shutdown(socket.SHUT_WR)
        self.peer_ended = True

    def hang_up(self, size: int) -> None:
        self.side.peer.close()
        self.peer_ended = True

    def abort(self, size: int) -> None:
        self.side.stream.abort("it")

    def check(self) -> None:
        """Let it come to rest, then to its end."""
        world, side = self.world, self.side
        side.stream.hold(False)
        for _ in range(200):
            world.tick()
            self.read(0)
        assert self.said.startswith(side.owner.data)  # in order, without a gap
        assert self.written.startswith(self.found)
        if not side.owner.reasons and not self.finished:
            assert side.owner.data == self.said
            assert ("ended" in side.owner.calls) is self.peer_ended
            assert self.found == self.written or side.peer.fileno() < 0
        side.stream.finish()
        for _ in range(3):
            world.tick(3)
            world.clock.now += 1_000
        assert side.owner.calls.count("closed") == 1
        assert side.owner.calls.count("ended") <= 1
        assert world.streams.open == 0
        assert not any(timer.callback for _, _, timer in world.loop._timers)


OFTEN = [Life.write, Life.say, Life.read, Life.tick, Life.tick, Life.hold]
SELDOM = [Life.wait, Life.finish, Life.half_close, Life.hang_up, Life.abort]
STEPS = st.lists(st.tuples(st.sampled_from(OFTEN * 4 + SELDOM), st.integers(0, 1_500)), max_size=80)


@settings(max_examples=300)
@given(STEPS, st.booleans())
def test_any_order_of_events_keeps_the_promises(
    steps: list[tuple[Callable[[Life, int], None], int]], seqpacket: bool
) -> None:
    with ExitStack() as stack:
        life = Life(stack, seqpacket)
        for step, size in steps:
            step(life, size)
        life.check()


def test_a_broken_pipe_is_told_in_words(world: World) -> None:
    side = world.side()
    side.peer.close()
    side.stream.write(b"x")
    world.streams.flush()
    assert side.owner.reasons == ["Broken pipe"]
