"""Sockets with their buffers: `Listener` accepts, `Stream` reads and writes.

A connection has two ends that close by themselves. Whether the peer has said its end is
`peer_ended`; ours goes through these states:

    OPEN ──finish()──> FINISHING                 what is queued still goes out, nothing is added
    FINISHING ──all sent──> LINGERING            our end is said (FIN), input is thrown away
    any ──the peer's end too, reset, abort(), time over──> CLOSED    the owner is told, once

Lingering has a reason: closing a socket whose input was not read to its end makes the kernel
send a reset, which can destroy our last words at the peer before it has read them (RFC 2525,
section 2.17).

A peer is not read while more than the soft limit waits to go out to it, because what it sends
can only make it more. Reading goes on when half of that is left.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import NamedTuple, Protocol

from selchat.loop import READ, WRITE, Loop, Timer

log = logging.getLogger(__name__)

OPEN, FINISHING, LINGERING, CLOSED = range(4)

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""Errors of accept(2) that say that this machine or process is full, not that a peer is bad."""

_SAY_AGAIN = 60.0
"""Seconds between two complaints: at the limit each descriptor that comes free is used up again."""

_ACCEPT_AGAIN = 1.0
"""Seconds after which a paused listener tries again, should no stream of ours have closed."""


_MUCH = 65_536
"""Bytes read in a tick after which only little is read of each further stream: a hundred that flood
at once would otherwise hold up a tick by what they sent, of which most has to wait anyway."""

_LITTLE = 4_096


class Limits(NamedTuple):
    """What one stream may cost. Bytes and seconds; settings.py tells each one's reason."""

    read_size: int = 65_536
    write_budget: int = 262_144
    soft: int = 262_144
    hard: int = 4_194_304
    linger: float = 2.0
    drain: float = 60.0


class Owner(Protocol):
    """Who uses a stream. An exception from any of these closes that stream alone."""

    def received(self, data: bytes) -> None:
        """At most `read_size` bytes came in."""

    def ended(self) -> None:
        """The peer will send no more. It may be reading still: `finish()` when all is said."""

    def drained(self) -> None:
        """After more than the soft limit was waiting, half of it or less is."""

    def closed(self, reason: str | None) -> None:
        """It is over, once: None after an orderly end, else what broke it."""


class Streams:
    """What the streams of a loop share: their limits, and who has something to send.

    `flush` is meant as an end-of-tick hook: all that a stream was given during a tick leaves in
    one system call, and what is read in a tick is counted from one to the next.
    """

    def __init__(self, loop: Loop, limits: Limits) -> None:
        self.loop = loop
        self.limits = limits
        self.soft = limits.soft  # looked at for each write
        self._easy = min(limits.soft, limits.write_budget)
        self.unsent: dict[Stream, None] = {}  # in order; each once, for its budget
        self.open = 0
        self.read = 0  # bytes, in this tick
        self.on_freed: Callable[[], None] | None = None
        """Called when a descriptor was given back."""

    def flush(self) -> None:
        """Send what was queued since the last call, one `send` for each stream."""
        self.read = 0
        easy = self._easy
        unsent, self.unsent = self.unsent, {}
        for stream in unsent:
            try:
                out = stream._out
                # Nearly always nothing has been waiting since an earlier tick, as then it would not
                # only be read, and all is sent at once: then there is nothing else to see to.
                if out and stream._mask == READ and stream.waiting <= easy and stream.state == OPEN:
                    data = out[0] if len(out) == 1 else b"".join(out)
                    try:
                        sent = stream._socket.send(data)
                    except OSError:
                        sent = 0  # the same again, and it is seen to there
                    if sent == len(data):
                        stream._out = None
                        stream.waiting = 0
                        continue
                    out[:] = [data]
                    stream._took(out, sent)
                stream.flush()
            except Exception as error:
                log.exception("%r failed and is closed", stream)
                stream.crashed(error)


class Stream:
    """A connected, non-blocking stream socket with its read and write buffers.

    `waiting` is how many bytes are queued and not yet taken by the kernel. `full` says that they
    were more than the soft limit, and are more than half of it still. `owner` can be another one
    later, as TLS is (tls.py).
    """

    # fmt: off
    __slots__ = (
        "_mask", "_offset", "_out", "_shared", "_socket", "_timer",
        "full", "held", "owner", "peer_ended", "state", "waiting",
    )
    # fmt: on

    def __init__(self, shared: Streams, sock: socket.socket, owner: Owner) -> None:
        self._shared = shared
        self._socket = sock
        self.owner = owner
        self._out: list[bytes] | None = None
        self._offset = 0  # how much of the first buffer is sent
        self._timer: Timer | None = None
        self.waiting = 0
        self.held = False
        self.full = False
        self.state = OPEN
        self.peer_ended = False
        self._mask = READ
        shared.open += 1
        shared.loop.register(sock.fileno(), READ, self)

    def __repr__(self) -> str:
        return f"<stream {self._socket.fileno()}, {self.waiting} bytes waiting>"

    # For the owner

    def write(self, data: bytes) -> None:
        """Queue `data`; it leaves at the end of the tick. Ignored once `finish` was called."""
        if self.state != OPEN:
            return
        shared = self._shared
        size = len(data)
        if self._out is None:
            self._out = [data]
            shared.unsent[self] = None
        else:
            self._out.append(data)
            size += self.waiting
        self.waiting = size
        if size > shared.soft and (not self.full or size > shared.limits.hard):
            self.full = True
            shared.unsent[self] = None  # for its interest in reading, or its end

    def hold(self, held: bool) -> None:
        """Do not read the peer for now, or read it again. Its end of input waits as well."""
        if held is not self.held:
            self.held = held
            if self.state != CLOSED:
                self._interest()

    def finish(self) -> None:
        """Send what is queued, say our end, wait a little for the peer's, and close."""
        if self.state != OPEN:
            return
        self.state = FINISHING
        self._shared.unsent[self] = None
        self._timer = self._shared.loop.call_later(
            self._shared.limits.drain, lambda: self.abort("it did not read its last lines")
        )

    def abort(self, reason: str | None) -> None:
        """Close at once; what is queued is lost."""
        if self.state == CLOSED:
            return
        self.state = CLOSED
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._mask:
            self._shared.loop.unregister(self._socket.fileno())
            self._mask = 0
        self._socket.close()
        self._out = None
        self.waiting = 0
        self._shared.open -= 1
        if self._shared.on_freed is not None:
            self._shared.on_freed()
        self.owner.closed(reason)

    # For the loop

    def ready(self, mask: int) -> None:
        """The socket can be written or read, or has failed."""
        if mask & WRITE and self.state != CLOSED:
            self.flush()
        # What was called before this in the tick may have held or closed it.
        if not mask & self._mask & READ:
            return
        shared = self._shared
        size = shared.limits.read_size
        try:
            data = self._socket.recv(size if shared.read <= _MUCH else min(size, _LITTLE))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.abort(error.strerror or str(error))
            return
        shared.read += len(data)
        if not data:
            self._ended()
        elif self.state == OPEN:
            self.owner.received(data)

    def crashed(self, error: Exception) -> None:  # noqa: ARG002  (logged by the caller)
        """The owner failed on this stream's behalf."""
        try:
            self.abort("an internal error, which the server's log tells")
        except Exception:
            log.exception("the owner of a stream failed again when that was closed")

    def flush(self) -> None:
        """Try to send, then wait for exactly what is needed next."""
        if self.state == CLOSED:
            return
        try:
            if self._out is not None:
                self._send_some(self._out)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.abort(error.strerror or str(error))
            return
        limits = self._shared.limits
        if self.waiting > limits.hard:
            self.abort(f"{self.waiting} bytes were waiting to be read by it")
            return
        if self.state == FINISHING and self._out is None:
            self._say_end()
        if self.full and self.waiting <= limits.soft // 2:
            self.full = False
            if self.state == OPEN:  # else nothing can be added any more
                self.owner.drained()
        if self.state != CLOSED:
            self._interest()

    # Inside

    def _send_some(self, out: list[bytes]) -> None:
        """Send as much of the first buffer as the budget lets through."""
        if self._offset == 0 and len(out) > 1:
            out[:] = [b"".join(out)]
        end = self._offset + self._shared.limits.write_budget
        self._took(out, self._socket.send(memoryview(out[0])[self._offset : end]))

    def _took(self, out: list[bytes], sent: int) -> None:
        """So much of the first buffer is sent."""
        self.waiting -= sent
        self._offset += sent
        if self._offset == len(out[0]):
            self._offset = 0
            del out[0]
            if not out:
                self._out = None

    def _ended(self) -> None:
        """The peer has said its end."""
        self.peer_ended = True
        if self.state == LINGERING:
            self.abort(None)
            return
        self._interest()
        if self.state == OPEN:
            self.owner.ended()

    def _say_end(self) -> None:
        self.state = LINGERING
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort(None)  # it went away by itself, after all was sent
            return
        if self.peer_ended:
            self.abort(None)
            return
        limits = self._shared.limits
        self._timer = self._shared.loop.call_later(limits.linger, lambda: self.abort(None))

    def _interest(self) -> None:
        mask = WRITE if self._out is not None else 0
        listening = self.state == OPEN and not self.full and not self.held
        if not self.peer_ended and (listening or self.state == LINGERING):
            mask |= READ
        self._set_mask(mask)

    def _set_mask(self, mask: int) -> None:
        if mask == self._mask:
            return
        loop, fd = self._shared.loop, self._socket.fileno()
        if not mask:
            loop.unregister(fd)
        elif not self._mask:
            loop.register(fd, mask, self)
        else:
            loop.modify(fd, mask, self)
        self._mask = mask


class Listener:
    """Listening sockets that hand each new connection to `accepted(socket, address)`.

    At most `batch` connections are accepted in a tick. When descriptors run out it stops
    accepting, says so once, and goes on as soon as a stream closes: the kernel's queue keeps
    those who wait. An accepted socket is non-blocking and has TCP_NODELAY and keepalive, which
    it inherits from the listening one.
    """

    def __init__(
        self,
        shared: Streams,
        sockets: list[socket.socket],
        accepted: Callable[[socket.socket, tuple[str, int]], None],
        batch: int,
    ) -> None:
        self._shared = shared
        self._sockets = sockets
        self._accepted = accepted
        self._batch = batch
        self._paused = False
        self._said = False
        self._quiet_until = 0.0
        self._timer: Timer | None = None
        shared.on_freed = self._resume
        self._register()

    def __repr__(self) -> str:
        return f"<listener on {[sock.getsockname() for sock in self._sockets]}>"

    def ready(self, mask: int) -> None:  # noqa: ARG002  (a Handler)
        """Somebody wants to connect."""
        left = self._batch
        for sock in self._sockets:
            while left and not self._paused:
                try:
                    peer, address = sock.accept()
                except (BlockingIOError, InterruptedError):
                    break
                except OSError as error:
                    if error.errno in _EXHAUSTED:
                        self._pause(error)
                    continue  # else it was gone before we looked (ECONNABORTED and its kind)
                finally:
                    left -= 1
                peer.setblocking(False)
                self._accepted(peer, address[:2])
                if self._said:
                    self._said = False
                    log.warning("descriptors are free again: new connections are accepted")

    def crashed(self, error: Exception) -> None:
        """One connection could not be set up; the loop has logged it. Others may."""

    def close(self) -> None:
        """Stop listening."""
        self._shared.on_freed = None
        if not self._paused:
            self._unregister()
        self._paused = True
        if self._timer is not None:
            self._timer.cancel()
        for sock in self._sockets:
            sock.close()
        self._sockets = []

    def _pause(self, error: OSError) -> None:
        now = self._shared.loop.clock()
        if not self._said and now >= self._quiet_until:
            self._said = True
            self._quiet_until = now + _SAY_AGAIN
            log.warning(
                "no new connections are accepted for now (%s): %d are open; "
                "raise the limit with 'ulimit -n' to allow more",
                error.strerror,
                self._shared.open,
            )
        self._paused = True
        self._unregister()
        self._timer = self._shared.loop.call_later(_ACCEPT_AGAIN, self._resume)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            if self._timer is not None:
                self._timer.cancel()
            self._register()

    def _register(self) -> None:
        for sock in self._sockets:
            self._shared.loop.register(sock.fileno(), READ, self)

    def _unregister(self) -> None:
        for sock in self._sockets:
            self._shared.loop.unregister(sock.fileno())


def listen(host: str | None, port: int, backlog: int, keepalive: int) -> list[socket.socket]:
    """Listening sockets on every address of `host` (None: all of IPv4 and IPv6), on one port.

    `port` 0 picks a free one. `keepalive` is the idle time in seconds after which the kernel
    begins to ask whether a silent peer is still there. Raises OSError with the address in its
    `filename` where that address cannot be had.
    """
    for attempt in range(8):
        try:
            return _listen(host, port, backlog, keepalive)
        except OSError as error:
            # The port that was free for IPv4 may be taken for IPv6: pick another.
            if port or error.errno != errno.EADDRINUSE or attempt == 7:
                raise
    raise AssertionError


def _listen(host: str | None, port: int, backlog: int, keepalive: int) -> list[socket.socket]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:  # from the idna codec: an empty label, or one that is too long
        raise socket.gaierror(socket.EAI_NONAME, "this is no host name") from None
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError:
                if host is None and family == socket.AF_INET6:
                    continue  # a kernel without IPv6
                raise
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            port = port or sockets[0].getsockname()[1]
            try:
                sock.bind((address[0], port, *address[2:]))
                sock.listen(backlog)
            except OSError as error:
                if (
                    host is None
                    and family == socket.AF_INET6
                    and error.errno == errno.EADDRNOTAVAIL
                ):
                    sockets.pop().close()  # IPv6 is switched off
                    continue
                error.filename = address[0]
                raise
            sock.setblocking(False)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets
