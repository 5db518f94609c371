"""Conversations as scripts: what clients say, and what each of them must get.

A `Stage` is the whole server on a kernel of paper: sockets and selector are stand-ins, the clock
stands still until it is told to go on, words that nobody can guess are numbered. Everything else
is the real thing. `Stage.play` runs a script:

    alice >> #dev hello         alice sends this line; who is new here connects first
    alice >+ #dev hel           … without its newline
    alice >| end                she ends her output; `reset` breaks the connection
    -- tick                     the server turns once; else it turns when answers are expected
    -- 120 s                    time goes on
    bob << [#dev] alice: hello  what bob gets
    bob <| end                  the server ends the connection; `cut` is a broken one
       .. more                  continues the line above, without a space

Lines said one below the other are there when the server looks, in that order. The lines expected
one below the other are everything that those named, and everybody else, get: silence is checked
too. In them NOW is the server's time and VERSION its version.
"""

from __future__ import annotations

import hashlib
import logging
import selectors
import socket
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from difflib import ndiff
from itertools import takewhile
from typing import Any, NamedTuple, cast
from unittest.mock import patch

import msgspec

import selchat
import selchat.server
from selchat.connection import Connection
from selchat.hub.state import Cancellable
from selchat.loop import Loop
from selchat.server import Server
from selchat.settings import ServerSettings
from selchat.stream import Stream

START = 1_769_860_800_123
"""2026-01-31T12:00:00.123Z, when every script begins."""

_SETTINGS: dict[str, Any] = {"store": "memory", "join_history": 0}
"""What a stage has unless it is told otherwise, apart from the defaults."""

_MOST_TICKS = 20_000
"""After so many without rest the server is spinning."""


class Asleep(Exception):
    """The server would now wait for something to happen."""


class Kernel:
    """What stands in for the selector: it knows which of its sockets are ready."""

    def __init__(self) -> None:
        self.keys: dict[int, selectors.SelectorKey] = {}
        self.sockets: dict[int, Socket | Door] = {}
        self.stamp = 0
        self._descriptors = 2

    def descriptor(self, sock: Socket | Door) -> int:
        self._descriptors += 1
        self.sockets[self._descriptors] = sock
        return self._descriptors

    def register(self, fd: int, mask: int, data: object) -> None:
        assert fd in self.sockets, "registered after it was closed"
        assert fd not in self.keys, "registered twice"
        self.keys[fd] = selectors.SelectorKey(fd, fd, mask, data)

    def modify(self, fd: int, mask: int, data: object) -> None:
        assert fd in self.keys
        self.keys[fd] = selectors.SelectorKey(fd, fd, mask, data)

    def unregister(self, fd: int) -> None:
        assert fd in self.sockets, "unregistered after it was closed"
        del self.keys[fd]

    def select(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = []
        for fd, key in self.keys.items():
            sock = self.sockets[fd]
            mask = sock.ready() & key.events
            if mask:
                ready.append((sock.since, key, mask))
        if not ready and timeout != 0:
            raise Asleep
        return [(key, mask) for _, key, mask in sorted(ready, key=lambda item: item[0])]

    def close(self) -> None:
        pass


class Door:
    """A listening socket."""

    family = socket.AF_INET
    since = 0

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.fd = kernel.descriptor(self)
        self.waiting: deque[Socket] = deque()

    def ready(self) -> int:
        return selectors.EVENT_READ if self.waiting else 0

    def fileno(self) -> int:
        return self.fd

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 9000

    def accept(self) -> tuple[Socket, tuple[str, int]]:
        if not self.waiting:
            raise BlockingIOError
        sock = self.waiting.popleft()
        return sock, (sock.address, 40_000)

    def close(self) -> None:
        del self.kernel.sockets[self.fd]


class Socket:
    """Both ends of a connection: the server's, and what its client does at the other.

    `room` is how many bytes the client's side takes still, None for any number: a client that
    does not read has none.
    """

    def __init__(self, kernel: Kernel, address: str) -> None:
        self.kernel = kernel
        self.address = address
        self.fd = kernel.descriptor(self)
        self.since = 0  # when it said the first thing that the server has not read
        self.room: int | None = None
        self.broken = False  # as a connection is whose end was not noticed yet
        self.taken = bytearray()
        self._said = bytearray()
        self._said_end = False
        self._over = ""  # how the server ended it, until the client noticed
        self._end = ""  # "end" or "reset", after what was said
        self._closed = False

    # The client's end

    def say(self, data: bytes) -> None:
        self._touch()
        self._said += data

    def end(self, kind: str = "end") -> None:
        assert kind in ("end", "reset")
        self._touch()
        self._end = kind

    def lines(self) -> list[str]:
        """The lines that came since the last call, and `<end>` if the server ended the
        connection, `<cut>` if it did so without a word."""
        *lines, rest = bytes(self.taken).split(b"\n")
        self.taken = bytearray(rest)
        over, self._over = self._over, ""
        return [line.decode() for line in lines] + ([over] if over else [])

    @property
    def unread(self) -> int:
        """How much of what the client said the server has not read."""
        return len(self._said)

    def _touch(self) -> None:
        if not self._said and not self._end:
            self.kernel.stamp += 1
            self.since = self.kernel.stamp

    # The server's end

    def ready(self) -> int:
        if self._end == "reset":
            return selectors.EVENT_READ | selectors.EVENT_WRITE
        mask = selectors.EVENT_READ if self._said or self._end else 0
        return mask | (selectors.EVENT_WRITE if self.room is None or self.room else 0)

    def fileno(self) -> int:
        return -1 if self._closed else self.fd

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def recv(self, size: int) -> bytes:
        if self._end == "reset":
            raise ConnectionResetError(104, "Connection reset by peer")
        if not self._said and not self._end:
            raise BlockingIOError
        data = bytes(self._said[:size])
        del self._said[:size]
        return data

    def send(self, data: bytes | memoryview) -> int:
        if self._end == "reset" or self.broken:
            raise BrokenPipeError(32, "Broken pipe")
        if self.room == 0:
            raise BlockingIOError
        sent = len(data) if self.room is None else min(self.room, len(data))
        self.taken += bytes(data[:sent])
        if self.room is not None:
            self.room -= sent
        return sent

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_WR
        self._said_end = True
        self._over = "<end>"

    def close(self) -> None:
        assert self.fd not in self.kernel.keys, "closed while registered"
        self._closed = True
        if not self._said_end and not self.broken and self._end != "reset":
            self._over = "<cut>"
        del self.kernel.sockets[self.fd]


class World:
    """The hub's world: numbered secrets, and a clock that is turned by hand."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.time = 0.0
        self.secrets = 0
        loop.clock = lambda: self.time

    def now(self) -> int:
        return START + round(self.time * 1000)

    def stamp(self) -> str:
        moment = datetime.fromtimestamp(self.now() / 1000, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def call_later(self, delay: float, callback: Callable[[], None]) -> Cancellable:
        return self.loop.call_later(delay, callback)

    def secret(self) -> str:
        self.secrets += 1
        return f"token-{self.secrets}"

    def derive(
        self, password: bytes, salt: bytes, iterations: int, then: Callable[[bytes | None], None]
    ) -> Cancellable:
        """The helper process is at hand, but its answer comes in a later tick all the same."""
        derived = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
        return self.loop.call_later(0, lambda: then(derived))


class _Errors(logging.Handler):
    """Keeps what was logged as an error: the loop survives bugs, a test must not."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(logging.Formatter().format(record))


_errors = _Errors()
logging.getLogger("selchat").addHandler(_errors)


class Stage:
    """A server, and the clients that were named."""

    def __init__(self, **settings: Any) -> None:
        self.kernel = Kernel()
        door = Door(self.kernel)
        with (
            patch("selectors.DefaultSelector", return_value=self.kernel),
            patch.object(selchat.server, "listen", return_value=[door]),
        ):
            self.server = Server(ServerSettings(**_SETTINGS | settings))
        self.world = World(self.server.loop)
        self.hub = self.server.hub
        self.hub.world = self.world
        self.log = self.server.log
        self.log.id = "log"
        self.clients: dict[str, Socket] = {}
        self.address = "127.0.0.1"
        """Where whoever connects from now on comes from."""
        self._door = door
        _errors.texts.clear()

    # One step at a time

    def connect(self, name: str) -> Socket:
        """Open a connection that scripts call `name`, or give the one of that name."""
        if name not in self.clients:
            self.clients[name] = Socket(self.kernel, self.address)
            self._door.waiting.append(self.clients[name])
            self.tick()
        return self.clients[name]

    def connection(self, name: str) -> Connection:
        """The server's side of a connection that is open."""
        sock = cast(socket.socket, self.clients[name])
        return next(c for c in self.server._connections if cast(Stream, c.stream)._socket is sock)

    def say(self, name: str, *lines: str | dict[str, Any]) -> None:
        """Have a client send lines; dicts as JSON."""
        for line in lines:
            text = line.encode() if isinstance(line, str) else msgspec.json.encode(line)
            self.connect(name).say(text + b"\n")

    def tick(self) -> bool:
        """Let the server turn once; False if there was nothing to do."""
        try:
            self.server.loop.tick()
        except Asleep:
            return False
        return True

    def settle(self) -> None:
        """Let the server turn until it waits."""
        ticks = 0
        while self.tick():
            ticks += 1
            assert ticks < _MOST_TICKS, "the server does not come to rest"
        texts = self.take_errors()
        assert not texts, "\n".join(["the server logged errors:", *texts])

    def advance(self, seconds: float) -> None:
        """Let time go on, and the server do what is due."""
        self.settle()
        end = self.world.time + seconds
        while (timers := self.server.loop._timers) and timers[0][0] <= end:
            self.world.time = max(self.world.time, timers[0][0])
            self.settle()
        self.world.time = end

    def take_errors(self) -> list[str]:
        """What was logged as an error since the last call."""
        texts, _errors.texts = _errors.texts, []
        return texts

    def get(self, name: str) -> list[str]:
        """Settle, and return the lines that a client got since it was last asked."""
        self.settle()
        return self.clients[name].lines()

    def enter(self, *names: str, json: tuple[str, ...] = (), room: str | None = "dev") -> None:
        """Log in, in the text tongue and in JSON, and enter a room; nobody looks."""
        for name in names:
            self.say(name, name, *([f"/join {room}"] if room else []))
            self.settle()
        for name in json:
            self.say(name, {"type": "hello", "user": name})
            if room:
                self.say(name, {"type": "join", "room": room})
            self.settle()
        for client in self.clients.values():
            client.lines()

    # Scripts

    def play(self, script: str) -> None:
        """Run a script; AssertionError with the difference where something else is said."""
        for acts, expected in _blocks(script):
            for number, act in enumerate(acts):
                if number == 0 or acts[number - 1].name == "--":
                    # Whoever is new connects before anything is said, since that takes a tick.
                    for other in takewhile(lambda act: act.name != "--", acts[number:]):
                        self.connect(other.name)
                self._perform(act)
            self.settle()
            stamp = self.world.stamp()
            wanted = [
                line.replace('"NOW"', f'"{stamp}"').replace("VERSION", selchat.__version__)
                for line in expected
            ]
            found = self._found(wanted)
            # Who comes first among the clients is nobody's concern.
            if found != sorted(wanted, key=lambda line: _order(wanted, line)):
                difference = "\n".join(ndiff(wanted, found))
                said = "\n".join(f"{act.name} {act.mark} {act.text}" for act in acts)
                raise AssertionError(f"after\n{said}\nexpected (-) and got (+)\n{difference}")

    def _perform(self, act: _Step) -> None:
        if act.name == "--":
            if act.text == "tick":
                self.tick()
            else:
                self.advance(float(act.text.removesuffix(" s")))
        elif act.mark == ">|":
            self.clients[act.name].end(act.text)
        else:
            line = act.text if act.mark == ">+" else act.text + "\n"
            self.connect(act.name).say(line.encode())

    def _found(self, wanted: list[str]) -> list[str]:
        names = list(dict.fromkeys([_name(line) for line in wanted] + list(self.clients)))
        return [
            f"{name} <| {line[1:-1]}" if line in ("<end>", "<cut>") else f"{name} << {line}"
            for name in names
            if name in self.clients
            for line in self.clients[name].lines()
        ]


class _Step(NamedTuple):
    name: str
    mark: str
    text: str


def _blocks(script: str) -> Iterator[tuple[list[_Step], list[str]]]:
    acts: list[_Step] = []
    expected: list[str] = []
    for name, mark, text in _steps(script):
        if mark in ("<<", "<|"):
            expected.append(f"{name} {mark} {text}")
            continue
        if expected:
            yield acts, expected
            acts, expected = [], []
        acts.append(_Step(name, mark, text))
    yield acts, expected


def _steps(script: str) -> list[_Step]:
    steps: list[_Step] = []
    for line in script.split("\n"):
        name, _, rest = line.lstrip(" ").partition(" ")
        if not name:
            continue
        if name == "..":
            steps[-1] = steps[-1]._replace(text=steps[-1].text + rest)
        elif name == "--":
            steps.append(_Step(name, "", rest))
        else:
            mark, _, text = rest.partition(" ")
            assert mark in (">>", ">+", ">|", "<<", "<|"), f"not a step: {line}"
            steps.append(_Step(name, mark, text))
    return steps


def _name(line: str) -> str:
    return line.partition(" ")[0]


def _order(lines: list[str], line: str) -> int:
    names = list(dict.fromkeys(map(_name, lines)))
    return names.index(_name(line))
