"""Many clients in one process, that write as fast as a window lets them, or at a rate.

Each message holds one `^`, with a number of 19 digits before it, so that a reader counts what it
got without looking at lines. What a server lost, repeated or put out of order is an error.
"""

from __future__ import annotations

import json
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

_CHUNK = 1 << 18
_PATIENCE = 30.0
_QUIET = 0.15
"""Seconds of silence after which all that was said before is there."""

_WRITERS = 10**12
"""In the number of a message, what stands for its writer begins here."""


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
_PROTOS = {"text": _TEXT, "tls": _TEXT, "json": _JSON, "irc": _IRC}


class Member:
    """One client. `got` is how many messages it was told."""

    def __init__(self, port: int, name: str, proto: str) -> None:
        self.name = name
        self.proto = _PROTOS[proto]
        self.got = 0
        self.group: Group | None = None
        self.written = 0
        self.unsent = b""
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), _PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proto == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self._rest = b""

    def ask(self, line: str) -> None:
        self.socket.sendall(line.encode() + b"\n")

    def wait(self, mark: bytes) -> None:
        """Until that was said; before `start` only."""
        while mark not in self._rest:
            data = self.socket.recv(_CHUNK)
            assert data, f"{self.name} was thrown out: {self._rest[-200:]!r}"
            self._rest += data
        self._rest = self._rest.partition(mark)[2]

    def start(self) -> None:
        self.socket.setblocking(False)
        self._rest = b""

    def read(self) -> bytes:
        """What came, to the last `^` in it."""
        data = b""
        try:
            data = self.socket.recv(_CHUNK)
            assert data, f"{self.name} was thrown out"
            while isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
                data += self.socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        return data

    def numbers(self, data: bytes) -> list[int]:
        """The numbers of the messages in what came."""
        *parts, self._rest = (self._rest + data).split(b"^")
        self._rest = self._rest[-64:]
        return [int(part[-19:]) for part in parts]

    def write(self) -> bool:
        """Send what is to be sent; True if all of it is."""
        try:
            sent = self.socket.send(self.unsent)
        except (BlockingIOError, ssl.SSLWantWriteError):
            sent = 0
        self.unsent = self.unsent[sent:]
        return not self.unsent


class Group:
    """Who reads what its writers write: a room, or a pair."""

    def __init__(self, to: str, writers: Sequence[Member], readers: Sequence[Member]) -> None:
        self.to = to
        self.writers = writers
        self.fan = len(readers) - (writers[0] in readers)
        self.sent = 0
        self.got = 0
        for member in readers:
            member.group = self

    @property
    def missing(self) -> int:
        return self.sent * self.fan - self.got


class Swarm:
    """All clients of a server."""

    def __init__(self, port: int, proto: str, batch: int = 64) -> None:
        self._port = port
        self._protos = ("json", "text") if proto == "mixed" else (proto,)
        self._batch = batch
        self._writing: dict[Member, None] = {}
        self._selector = selectors.DefaultSelector()
        self.members: list[Member] = []
        self.groups: list[Group] = []

    def close(self) -> None:
        self._selector.close()
        for member in self.members:
            member.socket.close()

    def connect(self, count: int) -> list[Member]:
        """So many more, logged in."""
        made: list[Member] = []
        while len(made) < count:
            batch: list[Member] = []
            for _ in range(min(self._batch, count - len(made))):
                number = len(self.members) + len(made) + len(batch)
                proto = self._protos[number % len(self._protos)]
                batch.append(Member(self._port, f"m{number}", proto))
                batch[-1].ask(batch[-1].proto.hello(batch[-1].name))
            for member in batch:
                member.wait(member.proto.welcome)
            made += batch
        self.members += made
        return made

    def rooms(self, rooms: int, size: int, writers: int) -> None:
        """So many rooms of so many."""
        members = self.connect(rooms * size)
        for number in range(rooms):
            inside = members[number * size : (number + 1) * size]
            for member in inside:
                member.ask(member.proto.join(f"r{number}"))
                member.wait(member.proto.joined)
            self.groups.append(Group(f"#r{number}", inside[:writers], inside))
        self._start(members)

    def pairs(self, count: int) -> None:
        """So many pairs, of which one writes and one reads."""
        members = self.connect(2 * count)
        for writer, reader in zip(members[::2], members[1::2], strict=True):
            self.groups.append(Group(f"@{reader.name}", [writer], [reader]))
        self._start(members)

    def flood(
        self,
        window: int,
        warm_up: float,
        seconds: float,
        size: int,
        measure: Callable[[], None],
        check: bool,
    ) -> int:
        """Keep so many messages of each writer under way; return how many were told within
        `seconds`. `measure` is called at the beginning and the end of these.
        """
        padding = "x" * max(0, size - 20)
        seen: dict[Member, dict[int, int]] = {}
        start = time.perf_counter() + warm_up
        end, counted, done = start + seconds, 0, 0
        stage = 0  # warming up, measuring, draining
        ready = set(self.groups)
        while True:
            now = time.perf_counter()
            if stage == 0 and now >= start:
                measure()
                counted, stage = self.got, 1
            elif stage == 1 and now >= end:
                measure()
                done, stage = self.got - counted, 2
            if stage == 2:
                if not any(group.missing for group in self.groups):
                    return done
                assert now < end + _PATIENCE, f"{sum(g.missing for g in self.groups)} are lost"
            else:
                for group in ready:
                    self._fill(group, window, padding)
            ready = self._turn(seen if check else None)

    def pace(self, rate: float, seconds: float, size: int) -> list[float]:
        """Write so many messages a second; return the seconds that each one told was under way."""
        padding = "x" * max(0, size - 20)
        waits: list[float] = []
        start = time.perf_counter()
        due, number = start, 0
        while due < start + seconds or any(group.missing for group in self.groups):
            now = time.perf_counter()
            assert now < start + seconds + _PATIENCE, "some are lost"
            while due <= now and due < start + seconds:
                group = self.groups[number % len(self.groups)]
                self._say(group, group.writers[0], round(due * 1e9), padding)
                number += 1
                due = start + number / rate
            self._turn(None, waits, max(0.0, min(due - now, 0.05)))
        return waits

    @property
    def got(self) -> int:
        return sum(group.got for group in self.groups)

    def _start(self, members: Sequence[Member]) -> None:
        for member in members:
            member.start()
            self._selector.register(member.socket, selectors.EVENT_READ, member)
        while self._selector.select(_QUIET):  # what was said on entering
            for key, _ in self._selector.select(0):
                key.data.read()

    def _fill(self, group: Group, window: int, padding: str) -> None:
        writers = group.writers
        while group.missing < window * len(writers) * group.fan:
            writer = writers[group.sent % len(writers)]
            number = _WRITERS * writers.index(writer) + writer.written
            self._say(group, writer, number, padding)

    def _say(self, group: Group, writer: Member, number: int, padding: str) -> None:
        line = writer.proto.say(group.to, f"{number:019}^{padding}")
        writer.unsent += line.encode() + b"\n"
        writer.written += 1
        group.sent += 1
        self._writing[writer] = None

    def _turn(
        self,
        seen: dict[Member, dict[int, int]] | None,
        waits: list[float] | None = None,
        patience: float = 0.05,
    ) -> set[Group]:
        """Send and read once; return the groups in which something came."""
        self._writing = {one: None for one in self._writing if not one.write()}
        groups: set[Group] = set()
        for key, _ in self._selector.select(0.001 if self._writing else patience):
            member: Member = key.data
            data = member.read()
            group = member.group
            if group is None:
                continue  # a writer of a pair
            count = data.count(b"^")
            member.got += count
            group.got += count
            groups.add(group)
            if waits is not None:
                now = time.perf_counter()
                waits += [now - number / 1e9 for number in member.numbers(data)]
            elif seen is not None:
                _check(member, seen.setdefault(member, {}), member.numbers(data))
        return groups


def _check(member: Member, last: dict[int, int], numbers: list[int]) -> None:
    for number in numbers:
        writer, count = divmod(number, _WRITERS)
        assert count == last.get(writer, -1) + 1, f"{member.name}: {count} after {last}"
        last[writer] = count
