"""TLS over a stream keeps the promises of a stream, however its bytes are cut or broken.

The peer encrypts in memory, so that each byte of the ciphertext is in the test's hands.
"""

from __future__ import annotations

import gc
import logging
import socket
import ssl
import struct
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.certificate import Tls
from selchat.stream import CLOSED, OPEN, Limits
from selchat.tls import TlsStream
from tests.authority import trusting_nobody
from tests.unit.test_stream import LIMITS, ROOMY, Side, World

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
RECORD = 16_384
"""Bytes of plaintext in a record at most (RFC 8446, section 5.1)."""
CUTS = [1, 7, 100_000]

SERVER = Tls(None, None, None).context

both_versions = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])


def client_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = trusting_nobody()
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


class Peer:
    """The other end of a stream: it encrypts in memory, and sends when it is told."""

    def __init__(self, world: World, side: Side, context: ssl.SSLContext) -> None:
        self._world = world
        self.socket = side.peer
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.protocol == ssl.PROTOCOL_TLS_SERVER
        self.object = context.wrap_bio(self._in, self._out, server)
        self.heard = b""
        self.told_end = False
        """Whether close_notify came."""
        self.eof = False

    def shake_hands(self, cut: int = 100_000) -> None:
        """Do the whole handshake, sending so many bytes at a time."""
        for _ in range(10):
            with suppress(ssl.SSLWantReadError):
                self.object.do_handshake()
                self.send(self.encrypted(), cut)
                return
            self.send(self.encrypted(), cut)
            self._take()
        raise AssertionError("the handshake does not come to its end")

    def encrypted(self, *said: bytes) -> bytes:
        """What is to be sent, with these words behind it."""
        for data in said:
            self.object.write(data)
        return self._out.read()

    def end(self) -> bytes:
        """Close_notify."""
        with suppress(ssl.SSLError):
            self.object.unwrap()
        return self._out.read()

    def send(self, data: bytes, cut: int = 100_000) -> None:
        for place in range(0, len(data), cut):
            self.socket.send(data[place : place + cut])
            self._world.tick()
        self._world.tick(2)

    def say(self, *said: bytes) -> None:
        self.send(self.encrypted(*said))

    def hear(self, size: int = 0) -> bytes:
        """Tick and read until so many bytes came in all, or nothing did for long."""
        idle = 0
        while idle < 5 and (not size or len(self.heard) < size):
            self._world.tick()
            idle = 0 if self._take() else idle + 1
            with suppress(ssl.SSLWantReadError):
                while not self.told_end:
                    try:
                        data = self.object.read(1 << 20)
                    except ssl.SSLZeroReturnError:
                        data = b""
                    self.heard += data
                    self.told_end = not data
        return self.heard

    def _take(self) -> bool:
        try:
            data = self.socket.recv(1 << 20)
        except BlockingIOError:
            return False
        self.eof = self.eof or not data
        self._in.write(data)
        return bool(data)


class Meeting:
    """A stream with TLS over it, its owner, and the peer."""

    def __init__(
        self,
        world: World,
        *,
        ours: ssl.SSLContext = SERVER,
        theirs: ssl.SSLContext | None = None,
        secured: Callable[[], None] | None = None,
        tcp: bool = False,
        buffer: int | None = None,
    ) -> None:
        self.world = world
        self.side = world.side(tcp=tcp, buffer=buffer)
        self.owner = self.side.owner
        self.peer = Peer(world, self.side, theirs or client_context())
        self.tls = TlsStream(self.side.stream, self.owner, ours, None, secured)

    def begun(self, cut: int = 100_000) -> Meeting:
        self.peer.shake_hands(cut)
        self.world.tick(2)
        assert self.tls.ready
        return self

    def over(self) -> str | None:
        """Let all the time pass that closing takes; why it ended."""
        self.world.tick(3)
        for _ in range(3):
            self.world.clock.now += 100
            self.world.tick(3)
        assert self.tls.state == CLOSED
        assert self.owner.calls.count("closed") == 1
        return self.owner.reasons[0]


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack, ROOMY)


@pytest.fixture
def small() -> Iterator[World]:
    """With limits that are soon reached."""
    with ExitStack() as stack:
        yield World(stack, LIMITS)


def as_client(
    world: World, version: ssl.TLSVersion, secured: Callable[[], None] | None = None
) -> Meeting:
    """Ours is the client's end."""
    return Meeting(world, ours=client_context(version), theirs=SERVER, secured=secured)


# What is said arrives


@both_versions
@pytest.mark.parametrize("cut", CUTS)
def test_whatever_way_it_is_cut_it_is_the_same(
    world: World, version: ssl.TLSVersion, cut: int
) -> None:
    meeting = Meeting(world, theirs=client_context(version)).begun(cut)
    peer = meeting.peer
    peer.send(peer.encrypted(b"one\n", b"two\n", b"x" * 600) + peer.end(), cut)
    assert meeting.owner.data == b"one\ntwo\n" + b"x" * 600
    assert meeting.owner.calls[-1] == "ended"
    meeting.tls.write(b"bye")
    meeting.tls.finish()
    peer.socket.shutdown(socket.SHUT_WR)
    assert peer.hear() == b"bye"
    assert (peer.told_end, peer.eof) == (True, True)
    assert meeting.owner.calls.count("ended") == 1
    assert meeting.over() is None


@both_versions
@pytest.mark.parametrize("cut", CUTS)
def test_as_a_client_too(world: World, version: ssl.TLSVersion, cut: int) -> None:
    seen: list[bytes | None] = []
    meeting = as_client(
        world, version, lambda: seen.append(meeting.tls.object.getpeercert(binary_form=True))
    )
    meeting.begun(cut)
    assert len(seen) == 1
    assert seen[0]
    meeting.tls.write(b"hello")
    assert meeting.peer.hear() == b"hello"
    meeting.peer.send(meeting.peer.encrypted(b"welcome") + meeting.peer.end(), cut)
    assert meeting.owner.data == b"welcome"
    assert meeting.owner.calls[-1] == "ended"


def test_many_records_in_one_piece_are_one_call(world: World) -> None:
    """None is left inside, where the selector would not see it; and the owner is not re-entered."""
    meeting = Meeting(world).begun()
    meeting.peer.send(b"".join(meeting.peer.encrypted(b"%d " % n) for n in range(500)))
    assert meeting.owner.chunks == [b"".join(b"%d " % n for n in range(500))]


def test_what_one_read_makes_is_bounded(small: World) -> None:
    meeting = Meeting(small).begun()
    data = meeting.peer.encrypted(b"x" * 200_000)
    for place in range(0, len(data), 50_000):
        meeting.peer.send(data[place : place + 50_000])
        small.tick(50)
    assert len(meeting.owner.data) == 200_000
    assert max(map(len, meeting.owner.chunks)) <= LIMITS.read_size + RECORD


@both_versions
def test_a_write_of_any_size_goes_out_whole(world: World, version: ssl.TLSVersion) -> None:
    meeting = Meeting(world, theirs=client_context(version)).begun()
    said = bytes(range(256)) * 8_000
    for data in (said, b"", b"end"):
        meeting.tls.write(data)
    assert meeting.peer.hear(len(said) + 3) == said + b"end"
    assert meeting.tls.waiting == 0


# Limits


def test_a_reader_that_stops_is_not_read_and_later_drained(small: World) -> None:
    meeting = Meeting(small, buffer=4096).begun()
    for _ in range(100):
        if meeting.tls.full:
            break
        meeting.tls.write(b"x" * 300)
        small.tick()
    assert meeting.tls.full
    assert meeting.tls.waiting > LIMITS.soft
    assert "drained" not in meeting.owner.calls
    meeting.peer.socket.send(meeting.peer.encrypted(b"more"))
    small.tick(3)
    assert meeting.owner.chunks == []
    meeting.peer.hear()
    assert meeting.owner.calls == ["drained", "received"]
    assert not meeting.tls.full


def test_limits_count_what_is_encrypted(small: World) -> None:
    meeting = Meeting(small).begun()
    for _ in range(40):  # each with a header and a tag
        meeting.tls.write(b"x")
    assert meeting.tls.waiting > 40 * 20
    assert meeting.tls.full is (meeting.tls.waiting > LIMITS.soft)


def test_over_the_hard_limit_it_is_closed(small: World) -> None:
    meeting = Meeting(small).begun()
    meeting.tls.write(b"x" * 2 * LIMITS.hard)
    small.tick()
    assert meeting.owner.calls == ["closed"]
    assert "waiting to be read" in str(meeting.owner.reasons[0])


# Before the handshake is done


@both_versions
def test_what_is_written_early_waits_counts_and_goes_out_in_order(
    world: World, version: ssl.TLSVersion
) -> None:
    meeting = as_client(world, version, lambda: meeting.tls.write(b" three"))
    greeting = meeting.tls.waiting
    meeting.tls.write(b"one")
    meeting.tls.write(b" two")
    assert meeting.tls.waiting == greeting + 7
    meeting.begun()
    meeting.tls.write(b" four")
    assert meeting.peer.hear() == b"one two three four"


def test_nothing_goes_to_who_is_objected_to(world: World) -> None:
    """Data came right behind the last words of the handshake; it is not looked at either."""
    meeting = as_client(world, ssl.TLSVersion.TLSv1_2, lambda: meeting.tls.abort("no"))
    meeting.tls.write(b"secret")
    peer = meeting.peer
    for _ in range(2):
        world.tick()
        peer._take()
        with suppress(ssl.SSLWantReadError):
            peer.object.do_handshake()
            break
        peer.send(peer.encrypted())
    peer.send(peer.encrypted(b"take this"))
    assert meeting.owner.calls == ["closed"]
    assert meeting.owner.reasons == ["no"]
    assert peer.hear() == b""


def test_an_error_when_it_is_secured_closes_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a mistake")

    meeting = as_client(world, ssl.TLSVersion.TLSv1_3, fail)
    with suppress(AssertionError):  # it comes to no end at the peer
        meeting.peer.shake_hands()
    assert meeting.owner.calls == ["closed"]
    assert "a mistake" in caplog.text


def test_who_goes_away_in_the_handshake_was_never_there(world: World) -> None:
    meeting = Meeting(world)
    with suppress(ssl.SSLWantReadError):
        meeting.peer.object.do_handshake()
    meeting.peer.send(meeting.peer.encrypted()[:50])
    meeting.peer.socket.shutdown(socket.SHUT_WR)
    world.tick()
    assert meeting.owner.calls == ["closed"]
    assert meeting.owner.reasons == ["it went away in the TLS handshake"]


def test_it_can_be_finished_in_the_handshake(world: World) -> None:
    meeting = Meeting(world)
    meeting.tls.write(b"too early")
    meeting.tls.finish()
    meeting.tls.write(b"too late")
    world.tick()
    assert meeting.side.at_end()
    assert meeting.over() is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x16\x03\x01\x00\x05hello", "TLS failed: "),
        (b"\x16garbage and more of it", "TLS failed: "),
        (b"GET / HTTP/1.1\r\n\r\n", "TLS failed: http request"),
    ],
)
def test_what_is_no_handshake_ends_with_an_alert(
    world: World, data: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    meeting = Meeting(world)
    meeting.peer.send(data)
    meeting.tls.write(b"nobody reads this")
    answer = meeting.side.read()
    assert answer == b"" or answer[:1] == b"\x15"
    assert meeting.tls.failure is not None
    assert str(meeting.over()).startswith(why)
    assert caplog.text.count("TLS failed") == 1


def test_a_version_that_is_too_old_is_refused(world: World) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = client_context()
        old.set_ciphers("DEFAULT@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    meeting = Meeting(world, theirs=old)
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        meeting.peer.shake_hands()
    assert meeting.over() == "TLS failed: unsupported protocol"


def test_a_server_that_speaks_no_tls_is_told_from_one_that_is_gone(world: World) -> None:
    meeting = as_client(world, ssl.TLSVersion.TLSv1_3)
    meeting.peer.send(b"220 mail.example.org ESMTP\r\n")
    assert meeting.over() == "TLS failed: wrong version number"
    assert meeting.tls.failure is not None


# The peer's end


def test_an_end_that_was_said_is_told_once(world: World) -> None:
    meeting = Meeting(world).begun()
    meeting.peer.send(meeting.peer.end())
    assert meeting.owner.calls == ["ended"]
    meeting.tls.write(b"it may read on")  # it has closed its side alone
    assert meeting.peer.hear() == b"it may read on"
    meeting.peer.send(b"garbage behind the end")
    meeting.peer.socket.shutdown(socket.SHUT_WR)
    world.tick(2)
    assert meeting.owner.calls == ["ended"]
    assert not meeting.tls.cut
    meeting.tls.finish()
    assert meeting.over() is None


def test_what_comes_behind_the_end_takes_no_memory(world: World) -> None:
    meeting = Meeting(world).begun()
    meeting.peer.send(meeting.peer.end())
    for _ in range(20):
        meeting.peer.send(b"x" * 50_000)
    assert meeting.tls._in.pending == 0


def test_an_end_that_was_not_said_is_a_cut(world: World) -> None:
    meeting = Meeting(world).begun()
    meeting.peer.say(b"half a li")
    assert not meeting.tls.cut
    meeting.peer.socket.shutdown(socket.SHUT_WR)
    world.tick()
    assert meeting.owner.calls == ["received", "ended"]
    assert meeting.tls.cut


def test_a_cut_inside_a_record_gives_nothing_of_it(world: World) -> None:
    meeting = Meeting(world).begun()
    meeting.peer.send(meeting.peer.encrypted(b"x" * 1_000)[:-1])
    meeting.peer.socket.shutdown(socket.SHUT_WR)
    world.tick()
    assert meeting.owner.calls == ["ended"]
    assert meeting.tls.cut


def test_a_reset_is_a_reason(world: World) -> None:
    meeting = Meeting(world, tcp=True).begun()
    linger = struct.pack("ii", 1, 0)
    meeting.peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    meeting.peer.socket.close()
    world.tick(3)
    assert meeting.owner.calls == ["closed"]
    assert meeting.owner.reasons == ["Connection reset by peer"]


# Data and an end in one piece


def in_one_piece(meeting: Meeting) -> None:
    meeting.peer.send(meeting.peer.encrypted(b"data") + meeting.peer.end())


def test_the_end_waits_while_it_is_held(world: World) -> None:
    """As without TLS: what came before the end is done before the end is told."""
    meeting = Meeting(world).begun()
    meeting.owner.on["received"] = lambda: meeting.tls.hold(True)
    in_one_piece(meeting)
    assert meeting.owner.calls == ["received"]
    meeting.tls.hold(True)
    meeting.peer.socket.shutdown(socket.SHUT_WR)
    world.tick(3)
    assert meeting.owner.calls == ["received"]
    meeting.tls.hold(False)
    world.tick(3)
    meeting.tls.hold(False)
    assert meeting.owner.calls == ["received", "ended"]
    assert not meeting.tls.cut


def test_no_end_is_told_after_the_owner_has_ended_it(world: World) -> None:
    for ends in ("abort", "finish"):
        meeting = Meeting(world).begun()
        tls = meeting.tls
        meeting.owner.on["received"] = (
            partial(tls.abort, "enough") if ends == "abort" else tls.finish
        )
        in_one_piece(meeting)
        meeting.tls.hold(False)
        meeting.over()
        assert meeting.owner.calls == ["received", "closed"]


def test_an_owner_that_fails_closes_its_stream_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a mistake")

    meeting, other = Meeting(world).begun(), Meeting(world).begun()
    meeting.owner.on["received"] = fail
    in_one_piece(meeting)
    assert meeting.owner.calls == ["received", "closed"]
    assert "a mistake" in caplog.text
    other.peer.say(b"still here")
    assert other.owner.data == b"still here"


def test_what_was_said_before_a_failure_counts(world: World) -> None:
    meeting = Meeting(world).begun()
    meeting.owner.on["received"] = lambda: meeting.tls.write(b"it will not be read")
    meeting.peer.send(meeting.peer.encrypted(b"data") + b"garbage, garbage")
    assert meeting.owner.data == b"data"
    assert meeting.owner.calls == ["received"]
    with pytest.raises(ssl.SSLError, match="ALERT"):  # the peer is told what is wrong
        meeting.peer.hear()
    assert str(meeting.over()).startswith("TLS failed: ")
    assert meeting.owner.calls == ["received", "closed"]


# Our end


@both_versions
def test_our_end_comes_behind_all_that_was_written(world: World, version: ssl.TLSVersion) -> None:
    meeting = Meeting(world, theirs=client_context(version), buffer=4096).begun()
    said = b"x" * 100_000
    meeting.tls.write(said)
    meeting.tls.finish()
    meeting.tls.finish()
    meeting.tls.write(b"ignored")
    assert meeting.peer.hear(len(said) + 1) == said
    assert (meeting.peer.told_end, meeting.peer.eof) == (True, True)
    assert meeting.tls.state != OPEN
    assert meeting.over() is None


def test_who_still_talks_when_we_end_loses_none_of_our_last_words(world: World) -> None:
    """TLS says that there is unread data (an error), and it is none of ours."""
    meeting = Meeting(world, tcp=True).begun()
    meeting.peer.socket.send(meeting.peer.encrypted(b"unread"))
    meeting.tls.write(b"last words")
    meeting.tls.finish()
    meeting.peer.socket.send(meeting.peer.encrypted(b"and more"))
    assert meeting.peer.hear() == b"last words"
    assert meeting.peer.told_end
    assert meeting.over() is None


def test_after_the_end_nothing_does_anything(world: World) -> None:
    meeting = Meeting(world).begun()
    meeting.tls.abort("enough")
    meeting.tls.write(b"ignored")
    meeting.tls.finish()
    meeting.tls.hold(True)
    meeting.tls.hold(False)
    meeting.tls.abort("again")
    assert meeting.owner.reasons == ["enough"]
    assert meeting.tls.waiting == 0


def test_the_memory_of_a_session_is_freed_at_its_end(world: World) -> None:
    """Without the garbage collector, which may not run for long: it does not see how much it is."""
    gc.disable()
    try:
        meeting = Meeting(world).begun()
        session = weakref.ref(meeting.tls.object)
        meeting.tls.abort(None)
        assert session() is None
    finally:
        gc.enable()


# Whatever comes


@st.composite
def broken(draw: st.DrawFn) -> tuple[list[bytes], float, bytes, int, int]:
    """What is said, where it is broken, with what, how much of it is replaced, how it is cut."""
    return (
        draw(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6)),
        draw(st.floats(0, 1)),
        draw(st.binary(max_size=100)),
        draw(st.integers(0, 50)),
        draw(st.sampled_from([1, 13, 100_000])),
    )


@both_versions
@given(way=broken(), early=st.booleans())
def test_garbage_gives_one_clean_end(
    version: ssl.TLSVersion, way: tuple[list[bytes], float, bytes, int, int], early: bool
) -> None:
    said, where, garbage, replaced, cut = way
    with ExitStack() as stack:
        world = World(stack, ROOMY)
        meeting = Meeting(world, theirs=client_context(version))
        peer = meeting.peer
        if early:  # in the handshake
            with suppress(ssl.SSLWantReadError):
                peer.object.do_handshake()
            data = peer.encrypted()
        else:
            meeting.begun()
            data = peer.encrypted(*said) + peer.end()
        place = int(where * len(data))
        bad = data[:place] + garbage + data[place + replaced :]
        with suppress(BrokenPipeError, ConnectionResetError):
            peer.send(bad, cut)
            peer.socket.shutdown(socket.SHUT_WR)
        world.tick(3)
        if not early and bad == data:
            assert meeting.owner.data == b"".join(said)
            assert not meeting.tls.cut
        assert b"".join(said).startswith(meeting.owner.data)
        assert meeting.owner.calls.count("ended") <= 1
        meeting.tls.finish()
        meeting.over()


@given(
    said=st.lists(st.binary(min_size=1, max_size=40_000), min_size=1, max_size=5),
    budget=st.integers(100, 50_000),
)
def test_what_is_written_arrives_whatever_the_budget(said: list[bytes], budget: int) -> None:
    with ExitStack() as stack:
        limits = Limits(write_budget=budget, soft=2**24, hard=2**26)
        meeting = Meeting(World(stack, limits)).begun()
        for data in said:
            meeting.tls.write(data)
        meeting.tls.finish()
        assert meeting.peer.hear(sum(map(len, said)) + 1) == b"".join(said)
        assert meeting.peer.told_end
