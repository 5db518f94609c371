"""TLS over a stream: bytes are encrypted and decrypted in memory, sockets stay out of it.

Hazards, and what is done about them:

- Bytes that the TLS object has taken in cannot be seen by the selector. After each piece of input
  it is read until it wants more (SSLWantReadError), or something would wait there for ever.
- A handshake goes both ways before the first plain byte. What the owner writes meanwhile is kept,
  and its size counts as waiting like everything else.
- The end of TLS (close_notify) and the end of the connection are two things (RFC 8446, section
  6.1). Without the first, anybody on the way may have cut the connection. What was said before
  still counts, and the owner is told the end, but `cut` says that the peer did not say it.
- What decrypts to several things (data, an end, a failure) may come in one piece. The owner can
  close or hold the stream because of the first; the others then come to nothing, or wait.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress

from selchat.stream import OPEN, Owner, Stream

log = logging.getLogger(__name__)

_PIECE = 65_536
_RECORD = 16_384


class TlsStream:
    """The owner of a `Stream` of ciphertext, and a stream of plain bytes to an owner of its own.

    It has a stream's methods, and its limits: they count ciphertext. The owner is given what one
    read of the stream completed, which can be more than `read_size` by one record (16 KiB).
    """

    # fmt: off
    __slots__ = (
        "_early", "_in", "_object", "_out", "_over", "_owner", "_secured", "_stream", "_told",
        "cut", "failure", "ready",
    )
    # fmt: on

    def __init__(
        self,
        stream: Stream,
        owner: Owner,
        context: ssl.SSLContext,
        server_hostname: str | None = None,
        secured: Callable[[], None] | None = None,
    ) -> None:
        """Take over `stream`. A context for clients makes this end the client, and begins.

        `secured` is called when the handshake is done, before any plain byte comes or goes. If it
        closes the stream, none does.
        """
        self._stream = stream
        self._owner = owner
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.protocol == ssl.PROTOCOL_TLS_SERVER
        self._object = context.wrap_bio(self._in, self._out, server, server_hostname)
        self._early: list[bytes] = []
        self._secured = secured
        self._over = False  # the peer will say no more,
        self._told = False  # and the owner knows it
        self.ready = False
        """Whether the handshake is done."""
        self.cut = False
        """Whether the peer's end came without its having said so (close_notify)."""
        self.failure: ssl.SSLError | None = None
        """What went wrong with TLS itself."""
        stream.owner = self
        if not server:
            self._shake_hands()

    def __repr__(self) -> str:
        return f"<TLS over {self._stream!r}>"

    # As a stream

    @property
    def full(self) -> bool:
        """See `Stream`."""
        return self._stream.full

    @property
    def held(self) -> bool:
        """See `Stream`."""
        return self._stream.held

    @property
    def waiting(self) -> int:
        """See `Stream`."""
        return self._stream.waiting + sum(map(len, self._early))

    @property
    def state(self) -> int:
        """See `Stream`."""
        return self._stream.state

    @property
    def object(self) -> ssl.SSLObject:
        """The TLS session, to ask for its certificates and parameters; gone with the stream."""
        return self._object

    def write(self, data: bytes) -> None:
        """See `Stream`."""
        if self._stream.state != OPEN or self.failure is not None or not data:
            return
        if not self.ready:
            self._early.append(data)
            return
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._flush()

    def hold(self, held: bool) -> None:
        """See `Stream`."""
        self._stream.hold(held)
        self._tell_end()  # it may have waited

    def finish(self) -> None:
        """See `Stream`; says the end of TLS first. In the handshake nothing is said."""
        if self._stream.state != OPEN:
            return
        if self.ready:
            with suppress(ssl.SSLError):  # it wants the peer's end too, which is not waited for
                self._object.unwrap()
            self._flush()
        self._stream.finish()

    def abort(self, reason: str | None) -> None:
        """See `Stream`."""
        self._stream.abort(reason)

    def crashed(self, error: Exception) -> None:
        """See `Stream`."""
        self._stream.crashed(error)

    # As the owner of the stream below

    def received(self, data: bytes) -> None:
        """Ciphertext came."""
        if self._over:
            return  # there is none behind the end
        self._in.write(data)
        if self.ready or self._shake_hands():
            self._read()

    def ended(self) -> None:
        """The connection ended, with or without the end of TLS."""
        if not self.ready:
            self._stream.abort("it went away in the TLS handshake")
            return
        self.cut = not self._over
        self._over = True
        self._tell_end()

    def drained(self) -> None:
        """There is room for more."""
        self._owner.drained()

    def closed(self, reason: str | None) -> None:
        """It is over."""
        # Now, and not when the collector finds their cycle: it counts objects, and these are few
        # and big (some 20 KiB) where it cannot see.
        del self._object, self._in, self._out
        self._owner.closed(_why(self.failure) if self.failure is not None else reason)

    # Inside

    def _shake_hands(self) -> bool:
        """Go on with the handshake; True if it is done and all is well."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._fail(error)
            return False
        self._flush()
        secured, self._secured = self._secured, None
        if secured is not None:
            secured()
        if self._stream.state != OPEN:
            return False
        self.ready = True
        early, self._early = self._early, []
        for data in early:
            self.write(data)
        return True

    def _read(self) -> None:
        """Give the owner all that can be decrypted, then what came of it."""
        pieces = []
        failure = None
        try:
            while piece := self._object.read(_PIECE):
                pieces.append(piece)
            self._over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._over = True
        except ssl.SSLError as error:
            failure = error
        self._flush()
        if pieces:
            self._owner.received(b"".join(pieces))
        if failure is not None:
            self._fail(failure)
        else:
            self._tell_end()

    def _tell_end(self) -> None:
        held = self._stream.held or self._stream.state != OPEN
        if self._over and not self._told and not held:
            self._told = True
            self._owner.ended()

    def _fail(self, error: ssl.SSLError) -> None:
        """End, with the alert that says what is wrong."""
        if self._stream.state != OPEN:
            return
        log.debug("%s", _why(error))
        self.failure = error
        self._flush()
        self._stream.finish()

    def _flush(self) -> None:
        if self._out.pending:
            self._stream.write(self._out.read())


def greeted(data: bytes) -> bool:
    """Whether a client's first record has come as a whole, or is none: then TLS can begin.

    Who sends it byte by byte does not have a TLS session while it does. RFC 8446, section 5.1.
    """
    length = int.from_bytes(data[3:5])
    return len(data) >= 5 and (length > _RECORD or len(data) >= 5 + length)


def fingerprint(certificate: bytes) -> str:
    """What tells a certificate (in DER form) from all others, in the form that ssh uses."""
    digest = hashlib.sha256(certificate).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _why(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {error.verify_message}"
    return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
