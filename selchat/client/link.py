"""The client's connection: from a name to addresses to a session, one event after the other.

Names are resolved before the loop runs, because `getaddrinfo` blocks. The addresses are tried in
the order that it gives (RFC 6724), each for a bounded time.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Protocol

import msgspec

from selchat.errors import StartError
from selchat.loop import WRITE, Loop, Timer
from selchat.model import commands, events
from selchat.model.commands import Command
from selchat.model.events import AnyEvent, Event
from selchat.scram import binding
from selchat.stream import Limits, Stream, Streams
from selchat.tls import TlsStream
from selchat.wire.framing import Lines
from selchat.wire.jsonl import encode_command

_CONNECT = 10.0
"""Seconds for one address. A host that is there answers in much less; one that is not, never."""

_LOOK = 30.0
"""Seconds between looks whether anything came. A laptop that slept, or moved to another network,
is told of no end: its connection is silent for ever."""

_LOOKS = 3
"""Looks that find nothing, the later ones with a ping, after which the connection is lost."""

_LONGEST = 16 * 2**20
"""Bytes in a line from the server: a page of history is long, but not this long."""

_ENOUGH = 262_144
"""Bytes waiting to go out above which no more should be sent."""

_ALWAYS_READ = Limits(soft=sys.maxsize, hard=sys.maxsize)
"""The client reads however much of its own waits: the server does not, so if neither did, two
clients that both say much to one room would wait for ever."""

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(AnyEvent)

Address = tuple[socket.AddressFamily, tuple[str, int]]


class Trust(Protocol):
    """Whom a secured connection may lead to."""

    host: str
    context: ssl.SSLContext

    def objection(self, session: ssl.SSLObject) -> str | None:
        """Why the server at the other end is not the right one; None if it is."""


class Reader(Protocol):
    """Who uses a link."""

    def connected(self) -> None:
        """The server is reached: say hello."""

    def told(self, event: Event) -> None:
        """The server said something."""

    def drained(self) -> None:
        """What was sent has gone out, so that more can be asked."""

    def ended(self, reason: str | None) -> None:
        """The connection is over, or could not be made: None after an orderly end."""

    def objected(self, why: str) -> None:
        """What is at the other end is not to be talked to, now or later."""


def resolve(host: str, port: int) -> list[Address]:
    """The addresses of `host`. Blocks; raises `StartError` where there are none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StartError(f"there is no host {host} ({why}): check the name") from None
    return [(family, address) for family, _, _, _, address in dict.fromkeys(found)]  # type: ignore[misc]


class Link:
    """A connection to the first of `addresses` that answers, which speaks the JSON tongue.

    `full` says that nothing more should be sent until `drained`.
    """

    def __init__(
        self,
        loop: Loop,
        addresses: list[Address],
        reader: Reader,
        trust: Trust | None = None,
    ) -> None:
        """Begin to connect, with TLS where there is somebody to `trust`."""
        self._loop = loop
        self._addresses = addresses
        self._reader = reader
        self._trust = trust
        self._streams = Streams(loop, _ALWAYS_READ)
        loop.on_tick_end(self._flush)
        self.connect()

    def connect(self) -> None:
        """Begin, or begin again after the end."""
        self._left = list(self._addresses)
        self._stream: Stream | TlsStream | None = None
        self._lines = Lines(_LONGEST)
        self._attempt: _Attempt | None = None
        self._timer: Timer | None = None
        self._silent = 0  # looks in a row that found nothing to have come
        self._over = False
        self._usable = False  # connected, with the right server
        self.full = False
        self._next("no address")

    def send(self, command: Command) -> None:
        """Send a command, at the end of the tick; to nobody where there is no connection."""
        if self._stream is not None and self._usable:
            self._stream.write(encode_command(command))
            self.full = self.full or self._waiting() > _ENOUGH

    @property
    def reached(self) -> bool:
        """Whether the server can be told something."""
        return self._usable and not self._over

    def binding(self) -> bytes | None:
        """What binds a log-in to this connection; None without TLS, and without a connection."""
        if not (self.reached and isinstance(self._stream, TlsStream)):
            return None
        return binding(self._stream.object.getpeercert(binary_form=True) or b"")

    def close(self) -> None:
        """End the connection, if there is one, without waiting."""
        self._over = True
        self._stop_timer()
        if self._attempt is not None:
            self._attempt.close()
        if self._stream is not None:
            self._stream.abort(None)

    # From the attempts and the stream

    def arrived(self, sock: socket.socket) -> None:
        """An attempt was successful."""
        self._attempt = None
        stream = self._stream = Stream(self._streams, sock, self)
        trust = self._trust
        if trust is None:
            self._secured(None)
            return
        self._timer = self._loop.call_later(_CONNECT, lambda: stream.abort("no answer"))
        tls = self._stream = TlsStream(
            stream,
            self,
            trust.context,
            trust.host,
            lambda: self._secured(trust.objection(tls.object)),
        )

    def unreached(self, reason: str) -> None:
        """An attempt was not: try the next address."""
        self._attempt = None
        self._next(reason)

    def received(self, data: bytes) -> None:
        """Bytes from the server: tell the reader what they say."""
        self._silent = 0
        for line in self._lines.feed(data):
            if self._over:
                return
            if line is None:
                self._fail("it sends lines without end, so it is no selchat server")
                return
            try:
                event = _decoder.decode(line)
            except msgspec.ValidationError:
                continue  # what a newer server says, and this client does not know
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._fail("what answers there is no selchat server")
                return
            if isinstance(event, events.Ping):
                self.send(commands.Pong())
            elif not isinstance(event, events.Pong) or event.id is not None:
                self._reader.told(event)

    def ended(self) -> None:
        """The server has said all it will."""
        if self._stream is not None:
            self._stream.finish()

    def drained(self) -> None:
        """Never called: there is no limit to what may wait in this stream."""

    def closed(self, reason: str | None) -> None:
        """The connection is gone."""
        failure = self._stream.failure if isinstance(self._stream, TlsStream) else None
        if failure is not None and not self._usable:
            hint = "is it a selchat server with TLS? (--no-tls is for one without)"
            if isinstance(failure, ssl.SSLCertVerificationError):
                hint = "begin again, and you are told its fingerprint; ask its operator for it"
            self._object(f"{reason}: {hint}")
        self._end(reason)

    def _secured(self, objection: str | None) -> None:
        """The connection is ready to be used, if the server is the right one."""
        if objection is not None:
            self._object(objection)
            return
        self._usable = True
        self._stop_timer()
        self._timer = self._loop.call_later(_LOOK, self._look)
        self._reader.connected()

    def _look(self) -> None:
        """Once in a while: a server from which nothing came is asked, then given up."""
        if self._silent == _LOOKS:
            if self._stream is not None:
                self._stream.abort("no sign of life")
            return
        if self._silent:
            self.send(commands.Ping())
        self._silent += 1
        self._timer = self._loop.call_later(_LOOK, self._look)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._streams.flush()
        while self.full and not self._over and self._waiting() <= _ENOUGH // 2:
            self.full = False
            self._reader.drained()
            self._streams.flush()

    def _waiting(self) -> int:
        return self._stream.waiting if self._stream is not None else 0

    def _next(self, reason: str) -> None:
        if not self._left:
            self._end(reason)
            return
        family, address = self._left.pop(0)
        try:
            self._attempt = _Attempt(self._loop, family, address, self.arrived, self.unreached)
        except OSError as error:  # a kernel without IPv6
            why = error.strerror or str(error)
            # In a tick: the caller may not be ready for it yet.
            self._loop.call_later(0, lambda: None if self._over else self.unreached(why))
        else:
            self._attempt.start()

    def _object(self, why: str) -> None:
        if not self._over:
            self._over = True
            self._stop_timer()
            self._reader.objected(why)
            if self._stream is not None:
                self._stream.abort(None)

    def _fail(self, reason: str) -> None:
        self._end(reason)
        if self._stream is not None:
            self._stream.abort(reason)

    def _end(self, reason: str | None) -> None:
        self._stop_timer()
        if not self._over:
            self._over = True
            self._reader.ended(reason)


class _Attempt:
    """A connection to one address that is being made."""

    def __init__(
        self,
        loop: Loop,
        family: socket.AddressFamily,
        address: tuple[str, int],
        reached: Callable[[socket.socket], None],
        unreached: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._address = address
        self._reached = reached
        self._unreached = unreached
        self._timer: Timer | None = None
        self._socket = socket.socket(family, socket.SOCK_STREAM)

    def start(self) -> None:
        """Begin. One of the two callbacks follows, in a tick of the loop."""
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._loop.register(self._socket.fileno(), WRITE, self)
        delay, why = _CONNECT, "no answer"
        error = self._socket.connect_ex(self._address)
        if error not in (0, errno.EINPROGRESS):
            delay, why = 0, os.strerror(error)  # in a tick, too: the caller is not ready for it yet
        self._timer = self._loop.call_later(delay, lambda: self._give_up(why))

    def ready(self, mask: int) -> None:  # noqa: ARG002  (a Handler)
        """The attempt has come to an end."""
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._give_up(os.strerror(error))
            return
        try:
            self._socket.getpeername()
        except OSError:
            return  # it never began, as the timer is about to say
        self._release()
        self._reached(self._socket)

    def crashed(self, error: Exception) -> None:
        """Something is wrong with this client itself."""
        self._give_up(str(error))

    def close(self) -> None:
        """Give it up, and call nobody."""
        self._release()
        self._socket.close()

    def _give_up(self, reason: str) -> None:
        self.close()
        self._unreached(reason)

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._loop.unregister(self._socket.fileno())
