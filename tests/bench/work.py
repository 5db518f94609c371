"""The loads that any of the servers can be put under, and what is measured then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.contestants import Contestant, Running, apart
from tests.bench.load import percentile
from tests.bench.swarm import Swarm

Figures = dict[str, float]

_WARM_UP = 0.5


class Work(NamedTuple):
    """A load: who is there, and how much is under way. `rate` 0 is as fast as it goes.

    In `bursts`, all that may be under way is written at once, when the last of it has arrived.
    Everybody is in `each` of the rooms. `idle` connections and `silent` rooms are there besides;
    where nothing else is, what the connections take is measured.
    """

    rooms: int = 0
    members: int = 0
    writers: int = 1
    each: int = 1
    pairs: int = 0
    idle: int = 0
    silent: int = 0
    window: int = 8
    bursts: bool = False
    rate: float = 0.0
    size: int = 100

    @property
    def connections(self) -> int:
        busy = self.rooms * self.members // self.each + 2 * self.pairs
        return busy + self.idle + self.silent // 100


ALL = (
    *("selchat", "selchat, memory", "before", "before, memory"),
    *("InspIRCd", "ngIRCd", "asyncio streams", "threads"),
)
FEW = ("selchat", "InspIRCd", "asyncio streams")
_ALOUD = Work(rooms=1, members=200, writers=20, bursts=True)
TONGUES = ("selchat", "selchat, JSON", "selchat, TLS", "selchat, JSON in TLS", "selchat, mixed")

WORKS: dict[str, tuple[Sequence[str], Work]] = {
    "fanout": (ALL, Work(rooms=1, members=200, writers=20)),
    "fanout1000": (ALL, Work(rooms=1, members=1_000, writers=10)),
    "rooms": (ALL, Work(rooms=100, members=10)),
    "dm": (ALL, Work(pairs=500, window=4)),
    "latency": (ALL, Work(rooms=50, members=10, rate=1_000)),
    "idle": (ALL, Work(idle=5_000)),
    "many-rooms": (ALL, Work(rooms=1_000, members=20, each=50, window=1)),
    "tongues": (TONGUES, _ALOUD),
    "mixed": (
        ("selchat", "selchat, mixed", "selchat, memory", "selchat, mixed, memory"),
        _ALOUD,
    ),
}
"""Loads by name, and who is compared."""

BUSY = Work(rooms=10, members=10)
"""A load that stays the same while something else grows."""


class Growing(NamedTuple):
    """A load that grows: what does, for whom, the load at a size, and at which sizes. `more` are
    those that take minutes to set up.
    """

    below: str
    rows: Sequence[str]
    work: Callable[[int], Work]
    sizes: Sequence[int]
    more: Sequence[int] = ()


GROWTH = {
    "members": Growing(
        "members of the room",
        FEW,
        lambda n: Work(rooms=1, members=n, writers=2),
        (10, 50, 200, 1_000, 3_000),
        (10_000,),
    ),
    "room-count": Growing(
        "rooms, ten of them busy",
        FEW,
        lambda n: BUSY._replace(silent=n - 10),
        (10, 100, 1_000, 10_000, 100_000),
    ),
    "connections": Growing(
        "connections, a hundred of them in busy rooms",
        FEW,
        lambda n: BUSY._replace(idle=n - 100),
        (100, 1_000, 5_000, 10_000, 18_000),
    ),
    "size": Growing(
        "bytes of a message",
        TONGUES,
        lambda n: Work(rooms=1, members=100, writers=4, bursts=True, size=n),
        (16, 128, 512, 2_048, 16_384),
    ),
}


def measure(
    contestant: Contestant,
    work: Work,
    seconds: float,
    *,
    check: bool = False,
    folder: Path | None = None,
) -> Figures:
    """One run. AssertionError where something was lost, repeated or out of order."""
    with apart(contestant, folder) as server:
        swarm = Swarm(server.port, contestant.proto, contestant.batch)
        try:
            return _measure(swarm, server, work, seconds, check) | server.peak()
        finally:
            swarm.close()


def _measure(swarm: Swarm, server: Running, work: Work, seconds: float, check: bool) -> Figures:
    if not (work.rooms or work.pairs):
        return idle(swarm, server, work.idle)
    swarm.connect(work.idle)
    swarm.silent_rooms(work.silent)
    swarm.pairs(work.pairs)
    if work.rooms:
        swarm.rooms(work.rooms, work.members, work.writers, work.each)
    swarm.settle()
    if work.rate:
        return paced(swarm, server, work.rate, seconds, work.size)
    return _flood(swarm, server, work, seconds, check)


def _flood(swarm: Swarm, server: Running, work: Work, seconds: float, check: bool) -> Figures:
    marks: list[float | None] = []
    told = swarm.flood(
        work.window,
        min(_WARM_UP, seconds),
        seconds,
        work.size,
        lambda: marks.append(server.cpu()),
        check,
        work.bursts,
    )
    return cost(marks[0], marks[1], told, "CPU µs/delivery") | {"deliveries/s": told / seconds}


def paced(swarm: Swarm, server: Running, rate: float, seconds: float, size: int) -> Figures:
    """What is said at a rate: how long it is under way, and what it costs."""
    before, end = server.cpu(), time.perf_counter() + seconds
    waits = swarm.pace(rate, size, lambda: time.perf_counter() < end)
    return {
        "p50 ms": percentile(waits, 50) * 1e3,
        "p99 ms": percentile(waits, 99) * 1e3,
    } | cost(before, server.cpu(), len(waits), "CPU µs/delivery")


def idle(swarm: Swarm, server: Running, count: int) -> Figures:
    """What so many connections take that say nothing."""
    swarm.connect(10)  # what is made for the first one is not of each
    cpu, memory = server.cpu(), server.memory()
    swarm.connect(count)
    now, full = server.cpu(), server.memory()
    if memory is None or full is None:
        return {}
    return {"bytes/connection": (full - memory) / count} | cost(cpu, now, count, "CPU µs/log-in")


def cost(before: float | None, after: float | None, count: int, name: str) -> Figures:
    """The CPU for each of so many; nothing where it cannot be told."""
    if before is None or after is None:
        return {}
    return {name: (after - before) / max(count, 1) * 1e6}
