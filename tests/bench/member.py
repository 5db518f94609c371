"""One client of a benchmark, and what it says in which protocol. It never waits.

Each message holds one `^`, with a number of 15 digits before it, so that a reader counts what it
got without looking at lines; the shortest message has 16 bytes.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import NamedTuple

CHUNK = 1 << 18
PATIENCE = 60.0
"""Seconds without any progress after which a benchmark is broken."""

DIGITS = 15


class Proto(NamedTuple):
    """How something is said, and by what in the answer one knows that it was done."""

    hello: Callable[[str], str]
    welcome: bytes
    join: Callable[[str], str]
    joined: bytes
    say: Callable[[str, str], str]


_TEXT = Proto(
    lambda name: name,
    b"* welcome ",
    lambda room: f"/join {room}",
    b"* you joined ",
    lambda to, text: f"{to} {text}",
)
_JSON = Proto(
    lambda name: json.dumps({"type": "hello", "user": name}),
    b'"type":"welcome"',
    lambda room: json.dumps({"type": "join", "room": room}),
    b'"type":"ok"',
    lambda to, text: f'{{"type":"post","to":"{to}","text":"{text}"}}',
)
_IRC = Proto(
    lambda name: f"NICK {name}\r\nUSER {name} 0 * :x",
    b" 001 ",
    lambda room: f"JOIN #{room}",
    b" 366 ",
    lambda to, text: f"PRIVMSG {to.removeprefix('@')} :{text}",
)
_PROTOS = {"text": _TEXT, "json": _JSON, "irc": _IRC}
_TLS = "tls "
"""What stands before the protocol that is spoken inside TLS."""


class Member:
    """One client. `got` messages and `bytes` are what it was told; of `due` things that it asked
    for, it has no answer yet.
    """

    def __init__(
        self, port: int, name: str, proto: str, *, receive_buffer: int | None = None
    ) -> None:
        self.name = name
        self.proto = _PROTOS[proto.removeprefix(_TLS)]
        self.got = self.bytes = self.due = 0
        self.unsent = b""
        self._mark = self._rest = b""
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:  # before connecting, as it bounds the window for good
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proto.startswith(_TLS):
            self.socket = _CONTEXT.wrap_socket(self.socket)
        self.socket.setblocking(False)

    def ask(self, lines: Sequence[str], mark: bytes, times: int | None = None) -> None:
        """Have lines to send; that mark will come for each of them, or so many times."""
        self.unsent += "".join(f"{line}\n" for line in lines).encode()
        self.due += len(lines) if times is None else times
        self._mark, self._rest = mark, b""

    def hear(self, data: bytes) -> None:
        """Take what came, where no messages are counted."""
        if self.due > 0:
            data = self._rest + data
            self.due -= data.count(self._mark)
            self._rest = data[-len(self._mark) + 1 :] if len(self._mark) > 1 else b""

    def read(self) -> bytes:
        """What came."""
        data = b""
        try:
            data = self.socket.recv(CHUNK)
            assert data, f"{self.name} was thrown out"
            while isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
                data += self.socket.recv(CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        self.bytes += len(data)
        return data

    def numbers(self, data: bytes) -> list[int]:
        """The numbers of the messages in what came."""
        *parts, self._rest = (self._rest + data).split(b"^")
        self._rest = self._rest[-DIGITS:]
        return [int(part[-DIGITS:]) for part in parts]

    def write(self) -> bool:
        """Send what is to be sent; True if all of it is."""
        try:
            sent = self.socket.send(self.unsent)
        except (BlockingIOError, ssl.SSLWantWriteError):
            sent = 0
        self.unsent = self.unsent[sent:]
        return not self.unsent


def message(number: int, size: int) -> str:
    """A message of that size, or of the least that there can be."""
    return f"{number:0{DIGITS}}^".ljust(size, "x")


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_CONTEXT = _trusting()
