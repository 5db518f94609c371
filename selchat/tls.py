"""TLS over a stream: bytes are encrypted and decrypted in memory, sockets stay out of it.

Hazards, and what is done about them:

- Bytes that the TLS object has taken in cannot be seen by the selector. After each piece of input
  it is read until it wants more (SSLWantReadError), or something would wait there for ever.
- A handshake goes both ways before the first plain byte. What the owner writes meanwhile is kept,
  and its size counts as waiting like everything else.
- The end of TLS (close_notify) and the end of the connection are two things (RFC 8446, section
  6.1). A connection that ends without the first is cut: what was said before it still counts, as
  it does without TLS.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress

from selchat.stream import Owner, Stream

log = logging.getLogger(__name__)

_PIECE = 65_536


class TlsStream:
    """The owner of a `Stream` of ciphertext, and a stream of plain bytes to an owner of its own.

    It has a stream's methods, and its limits: they count ciphertext.
    """

    __slots__ = (
        "_early",
        "_failed",
        "_in",
        "_object",
        "_out",
        "_owner",
        "_secured",
        "_stream",
        "ready",
    )

    def __init__(
        self,
        stream: Stream,
        owner: Owner,
        context: ssl.SSLContext,
        server_hostname: str | None = None,
        secured: Callable[[], None] | None = None,
    ) -> None:
        """Take over `stream`. A context for clients makes this end the client, and begins.

        `secured` is called when the handshake is done, before any plain byte comes or goes.
        """
        self._stream = stream
        self._owner = owner
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.protocol == ssl.PROTOCOL_TLS_SERVER
        self._object = context.wrap_bio(self._in, self._out, server, server_hostname)
        self._early: list[bytes] = []
        self._secured = secured
        self._failed: str | None = None
        self.ready = False
        """Whether the handshake is done."""
        stream.owner = self
        if not server:
            self._advance()

    def __repr__(self) -> str:
        return f"<TLS over {self._stream!r}>"

    # As a stream

    @property
    def full(self) -> bool:
        """See `Stream`."""
        return self._stream.full

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
        """The TLS session, to ask for its certificates and parameters."""
        return self._object

    def write(self, data: bytes) -> None:
        """See `Stream`."""
        if not self.ready:
            self._early.append(data)
            return
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            self.abort(_why(error))
            return
        self._flush()

    def hold(self, held: bool) -> None:
        """See `Stream`."""
        self._stream.hold(held)

    def finish(self) -> None:
        """See `Stream`; says the end of TLS first."""
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
        self._in.write(data)
        self._advance()

    def ended(self) -> None:
        """The connection ended, with or without the end of TLS."""
        if self.ready:
            self._owner.ended()
        else:
            self._stream.abort("it went away in the TLS handshake")

    def drained(self) -> None:
        """There is room for more."""
        self._owner.drained()

    def closed(self, reason: str | None) -> None:
        """It is over."""
        self._owner.closed(self._failed or reason)

    # Inside

    def _advance(self) -> None:
        """Go on with the handshake, then with reading, as far as the input goes."""
        try:
            if not self.ready:
                self._object.do_handshake()
                self.ready = True
                if self._secured is not None:
                    self._secured()
                early, self._early = self._early, []
                for data in early:
                    self._object.write(data)
            self._read()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._flush()  # the alert that says what is wrong
            log.info("%s", _why(error))
            self._failed = _why(error)
            self._stream.finish()

    def _read(self) -> None:
        pieces = []
        try:
            while piece := self._object.read(_PIECE):
                pieces.append(piece)
            over = True
        except ssl.SSLWantReadError:
            over = False
        except ssl.SSLZeroReturnError:
            over = True
        self._flush()
        if pieces:
            self._owner.received(b"".join(pieces))
        if over:
            self._owner.ended()

    def _flush(self) -> None:
        if self._out.pending:
            self._stream.write(self._out.read())


def fingerprint(certificate: bytes) -> str:
    """What tells a certificate (in DER form) from all others, in the form that ssh uses."""
    digest = hashlib.sha256(certificate).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _why(error: ssl.SSLError) -> str:
    return f"TLS failed: {error.reason or error}"
