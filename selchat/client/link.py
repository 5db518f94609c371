"""The client's connection: from a name to addresses to a session, one event after the other.

Names are resolved before the loop runs, because `getaddrinfo` blocks. The addresses are tried in
the order that it gives (RFC 6724), each for a bounded time.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Protocol

import msgspec

from selchat.errors import StartError
from selchat.loop import WRITE, Loop, Timer
from selchat.model import commands, events
from selchat.model.commands import Command
from selchat.model.events import AnyEvent, Event
from selchat.stream import Limits, Stream, Streams
from selchat.wire.framing import Lines
from selchat.wire.jsonl import encode_command

_CONNECT = 10.0
"""Seconds for one address. A host that is there answers in much less; one that is not, never."""

_LONGEST = 16 * 2**20
"""Bytes in a line from the server: a page of history is long, but not this long."""

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(AnyEvent)

Address = tuple[socket.AddressFamily, tuple[str, int]]


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


def resolve(host: str, port: int) -> list[Address]:
    """The addresses of `host`. Blocks; raises `StartError` where there are none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise StartError(f"there is no host {host} ({why}): check the name") from None
    return [(family, address) for family, _, _, _, address in dict.fromkeys(found)]  # type: ignore[misc]


class Link:
    """A connection to the first of `addresses` that answers, which speaks the JSON tongue."""

    def __init__(self, loop: Loop, addresses: list[Address], reader: Reader) -> None:
        self._loop = loop
        self._addresses = list(addresses)
        self._reader = reader
        self._streams = Streams(loop, Limits())
        self._stream: Stream | None = None
        self._lines = Lines(_LONGEST)
        self._attempt: _Attempt | None = None
        self._over = False
        loop.on_tick_end(self._streams.flush)
        self._next("no address")

    @property
    def full(self) -> bool:
        """Whether nothing more should be sent until `drained`."""
        return self._stream is not None and self._stream.full

    def send(self, command: Command) -> None:
        """Send a command, at the end of the tick."""
        if self._stream is not None:
            self._stream.write(encode_command(command))

    def close(self) -> None:
        """End the connection, if there is one, without waiting."""
        self._over = True
        if self._attempt is not None:
            self._attempt.close()
        if self._stream is not None:
            self._stream.abort(None)

    # From the attempts and the stream

    def reached(self, sock: socket.socket) -> None:
        """An attempt was successful."""
        self._attempt = None
        self._stream = Stream(self._streams, sock, self)
        self._reader.connected()

    def unreached(self, reason: str) -> None:
        """An attempt was not: try the next address."""
        self._attempt = None
        self._next(reason)

    def received(self, data: bytes) -> None:
        """Bytes from the server: tell the reader what they say."""
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
            else:
                self._reader.told(event)

    def ended(self) -> None:
        """The server has said all it will."""
        if self._stream is not None:
            self._stream.finish()

    def drained(self) -> None:
        """There is room for more."""
        self._reader.drained()

    def closed(self, reason: str | None) -> None:
        """The connection is gone."""
        self._end(reason)

    def _next(self, reason: str) -> None:
        if self._addresses:
            family, address = self._addresses.pop(0)
            self._attempt = _Attempt(self._loop, family, address, self.reached, self.unreached)
            self._attempt.start()
        else:
            self._end(reason)

    def _fail(self, reason: str) -> None:
        self._end(reason)
        if self._stream is not None:
            self._stream.abort(reason)

    def _end(self, reason: str | None) -> None:
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
