"""A log-in storm: all clients of a server come back at once, after it was started again.

They are JSON sessions in rooms of a hundred. While none of them is connected, each room is told
ten messages; then the server is stopped and started, and each session resumes with its token, the
`log` and the last `seq` that it saw. It must be given its ten messages once, in order. As many at
a time are on their way as the server's backlog holds. Beside them an honest pair talks, and waits.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from tests.bench.contestants import CONTESTANTS, Running, apart
from tests.bench.load import percentile
from tests.bench.member import PATIENCE, Member
from tests.bench.swarm import Group, Swarm
from tests.bench.work import Figures, cost

ROWS = ("the pair alone", "all log in", "all resume")
SESSIONS = 10_000

_ROOM = 100
"""Members of a room."""

TEXTS = [f"{number}^" for number in range(10)]
"""What each session misses."""

_UNDER_WAY = 1_000
"""Log-ins under way at a time: what finds no place in a backlog is tried again by the system only
after a second."""

_AT_ONCE = 16
"""Log-ins begun in a turn, so that the pair is heard between them."""

_RATE = 100.0
"""Messages a second of the pair."""


class Seat:
    """What a client knows of its session when it has no connection."""

    __slots__ = ("log", "name", "room", "seq", "token")

    def __init__(self, number: int) -> None:
        self.name, self.room = f"u{number}", f"r{number // _ROOM}"
        self.token = self.log = ""
        self.seq = 0


class Visit(Member):
    """One connection of a session, and all that it is told."""

    def __init__(self, port: int, seat: Seat) -> None:
        super().__init__(port, seat.name, "json")
        self.seat = seat
        self.heard: list[bytes] = []

    def begin(self) -> None:
        """Log in and enter the room, or resume."""
        seat = self.seat
        if not seat.token:
            room = self.proto.join(seat.room)
            self.ask([self.proto.hello(seat.name), room], self.proto.joined, 1)
            return
        hello = {"type": "hello", "user": seat.name, "token": seat.token, "log": seat.log}
        self.ask([json.dumps(hello | {"after": seat.seq})], b"^", len(TEXTS))

    def hear(self, data: bytes) -> None:
        self.heard.append(data)
        super().hear(data)

    def learn(self) -> None:
        """Keep what is needed to resume."""
        said = b"".join(self.heard)
        welcome = json.loads(said.partition(b"\n")[0])
        self.seat.token, self.seat.log = welcome["token"], welcome["log"]
        self.seat.seq = max(map(int, re.findall(rb'"seq":(\d+)', said)))


def check(seat: Seat, said: bytes) -> None:
    """In what was said to a session that resumed is what it missed, once and in order."""
    welcome, *events = map(json.loads, said.splitlines())
    assert (welcome["type"], welcome["user"]) == ("welcome", seat.name), welcome
    seqs = [event["seq"] for event in events if "seq" in event]
    assert seqs == sorted(set(seqs)), f"{seat.name}: {seqs}"
    texts = [event["text"] for event in events if event["type"] == "message"]
    assert texts == TEXTS, f"{seat.name}: {texts}"
    assert seqs[0] > seat.seq, f"{seat.name}: {seqs[0]} after {seat.seq}"


def measure(row: str, seconds: float, *, sessions: int = SESSIONS) -> Figures:
    """One run; `seconds` are for the pair where it is alone."""
    contestant = CONTESTANTS["selchat, JSON"]
    seats = [Seat(number) for number in range(sessions)]
    with tempfile.TemporaryDirectory(prefix="selchat-bench-") as made:
        folder = Path(made)
        if row == ROWS[2]:
            with apart(contestant, folder) as server:
                _prepare(server, seats)
        with apart(contestant, folder) as server:
            swarm = Swarm(server.port, "text")
            try:
                _pair(swarm)
                if row == ROWS[0]:
                    end = time.perf_counter() + seconds
                    waits = swarm.pace(_RATE, 100, lambda: time.perf_counter() < end)
                    return _waited(waits) | server.peak()
                before = server.cpu()
                visits, took, waits = _all_at_once(swarm, seats)
                after = server.cpu()
                swarm.settle()  # so that what is told twice is heard
                if row == ROWS[2]:
                    for visit in visits:
                        check(visit.seat, b"".join(visit.heard))
                figures = _waited(waits) | {"seconds": took, "each/s": sessions / took}
                return figures | cost(before, after, sessions, "CPU µs each") | server.peak()
            finally:
                swarm.close()


def _prepare(server: Running, seats: Sequence[Seat]) -> None:
    """Log all in, have them go, and write what they miss."""
    swarm = Swarm(server.port, "json")
    try:
        writer = Member(server.port, "writer", "json")
        swarm.login([writer])
        rooms = sorted({seat.room for seat in seats})
        swarm.enter([(writer, rooms)])
        visits, _, _ = _all_at_once(swarm, seats)
        for visit in visits:
            visit.learn()
            swarm.deaf(visit)
            visit.socket.close()
        for text in TEXTS:
            writer.ask([writer.proto.say(f"#{room}", text) for room in rooms], b'"type":"ok"')
            swarm.answered([writer])
    finally:
        swarm.close()


def _all_at_once(swarm: Swarm, seats: Sequence[Seat]) -> tuple[list[Visit], float, list[float]]:
    """Have all come, and the pair talk if there is one. Return them, the seconds until each has all
    that it waits for, and what the pair waited.
    """
    visits: list[Visit] = []
    todo = deque(seats)
    coming: set[Visit] = set()
    start = end = time.perf_counter()

    def more() -> bool:
        nonlocal end
        end = time.perf_counter()
        assert end < start + PATIENCE, f"{len(coming)} wait"
        done = {visit for visit in coming if visit.due <= 0}
        coming.difference_update(done)
        for _ in range(min(_AT_ONCE, _UNDER_WAY - len(coming), len(todo))):
            visit = Visit(swarm.port, todo.popleft())
            visit.begin()
            swarm.add(visit)
            swarm.send(visit)
            visits.append(visit)
            coming.add(visit)
        return bool(todo or coming)

    if swarm.groups:
        waits = swarm.pace(_RATE, 100, more)
    else:
        waits = []
        while more():
            swarm.turn()
    return visits, end - start, waits


def _pair(swarm: Swarm) -> None:
    writer, reader = swarm.connect(2)
    swarm.watch(Group([(f"@{reader.name}", writer)], 1), [reader])


def _waited(waits: Sequence[float]) -> Figures:
    return {
        "pair p50 ms": percentile(waits, 50) * 1e3,
        "pair p99 ms": percentile(waits, 99) * 1e3,
    }
