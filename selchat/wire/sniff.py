"""What a connection speaks, told from its first bytes.

The table is the whole of it: the first row with a matching prefix decides, text is what is left.
A tongue that is not spoken yet is refused in its own syntax, so that the peer's program can show
its user why.
"""

from __future__ import annotations

from typing import NamedTuple

from selchat.wire import Tongue
from selchat.wire.jsonl import Jsonl
from selchat.wire.text import Text

_HINT = "use selchat-client, or type to it with nc: the first line is your name"

# RFC 8446, section 6: a fatal alert (2), handshake_failure (40), in a TLS 1.0 record as every
# version's client understands it (section 5.1).
_TLS = b"\x15\x03\x01\x00\x02\x02\x28"

_PAGE = f"This is a selchat server, and it does not speak HTTP: {_HINT}.\n".encode()
# RFC 9110, section 15.6.2; a HEAD has no content in its answer (section 9.3.2).
_HTTP_HEAD = (
    b"HTTP/1.1 501 Not Implemented\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n"
    b"Connection: close\r\n\r\n"
) % len(_PAGE)

# RFC 2812, section 3.7.4.
_IRC = f"ERROR :this server does not speak IRC: {_HINT}\r\n".encode()


class Refused(NamedTuple):
    """A protocol that is not spoken: the last words to its peer."""

    name: str
    goodbye: bytes


class Row(NamedTuple):
    """Connections that begin with one of `prefixes` speak `tongue`."""

    prefixes: tuple[bytes, ...]
    any_case: bool
    tongue: type[Tongue] | Refused


TLS = Refused("TLS", _TLS)
"""Not a tongue: whoever can, takes it off and sniffs again."""

TABLE = (
    Row((b"\x16",), False, TLS),
    Row((b"{",), False, Jsonl),
    Row((b"HEAD ",), False, Refused("HTTP", _HTTP_HEAD)),
    Row(
        (b"GET ", b"POST ", b"PUT ", b"OPTIONS ", b"DELETE "),
        False,
        Refused("HTTP", _HTTP_HEAD + _PAGE),
    ),
    Row((b"CAP ", b"NICK ", b"USER ", b"PASS "), True, Refused("IRC", _IRC)),
)

_FIRST = {
    each[0]
    for row in TABLE
    for prefix in row.prefixes
    for each in ((prefix, prefix.lower()) if row.any_case else (prefix,))
}
"""What all but text begins with."""

LONGEST = max(len(prefix) for row in TABLE for prefix in row.prefixes)
"""Bytes after which it is always clear."""


def sniff(data: bytes) -> type[Tongue] | Refused | None:
    """Tell the tongue from `data`, all that a connection has said; None: say more."""
    if data and data[0] not in _FIRST:
        return Text
    start = data[:LONGEST]
    more = False
    for row in TABLE:
        seen = start.upper() if row.any_case else start
        for prefix in row.prefixes:
            if seen.startswith(prefix):
                return row.tongue
            if prefix.startswith(seen):
                more = True
    return None if more else Text
