"""Pages of history that are asked for while rooms are busy: what they cost, and how long they take.

Twenty JSON clients take turns, each with one question as soon as the one before has its answer.
They go back through a room that nobody writes to at the time, from its newest page to its first,
and begin again; so no page is in anybody's hands already.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Sequence

from tests.bench.contestants import CONTESTANTS, apart
from tests.bench.load import percentile
from tests.bench.member import Member
from tests.bench.swarm import Swarm
from tests.bench.work import Figures, paced

ROWS = ("rooms alone", "rooms and history")

ASKERS = 20
_ROOMS = 50
"""Busy rooms, of ten each."""

_RATE = 2_000.0
"""Messages a second in these, in all."""

_KEPT = 1_000
"""Messages in the room that is read."""

_PAGE = 50
_ROOM = "archive"
_PREPARED = 500
"""Messages under way while that room is filled."""


class Asker(Member):
    """Asks for pages; `pages` has the seconds that each took, of all askers."""

    _asked = 0.0  # when, while one is asked for

    def begin(self, swarm: Swarm, turns: deque[Asker], pages: list[float]) -> None:
        self._swarm, self._turns, self._pages = swarm, turns, pages
        self._answer = b""

    def next(self, before: int | None) -> None:
        """Ask for the page before that entry, or the newest."""
        question = {"type": "history", "id": "h", "of": f"#{_ROOM}", "limit": _PAGE}
        if before is not None:
            question["before"] = before
        self.unsent += json.dumps(question).encode() + b"\n"
        self._asked = time.perf_counter()
        self._swarm.send(self)

    def hear(self, data: bytes) -> None:
        if not self._asked:
            super().hear(data)
            return
        self._answer += data
        if not data.endswith(b"\n"):
            return
        self._pages.append(time.perf_counter() - self._asked)
        page = json.loads(self._answer)
        self._answer, self._asked = b"", 0.0
        assert page["type"] == "history", page
        assert 0 < len(page["entries"]) <= _PAGE, page
        self._turns.rotate(-1)
        self._turns[0].next(page["entries"][0]["seq"] if page["more"] else None)


def measure(
    row: str,
    seconds: float,
    *,
    askers: int = ASKERS,
    rooms: int = _ROOMS,
    rate: float = _RATE,
    kept: int = _KEPT,
) -> Figures:
    """One run."""
    contestant = CONTESTANTS["selchat"]
    with apart(contestant) as server:
        swarm = Swarm(server.port, contestant.proto)
        try:
            swarm.rooms(rooms, 10, 1)
            people = [Asker(server.port, f"asker{n}", "json") for n in range(askers)]
            swarm.login(people)
            swarm.enter((asker, [_ROOM]) for asker in people)
            _fill(swarm, people[0], kept)
            swarm.settle()
            pages: list[float] = []
            if row == ROWS[1]:
                turns = deque(people)
                for asker in people:
                    asker.begin(swarm, turns, pages)
                people[0].next(None)
            figures = paced(swarm, server, rate, seconds, 100)
            return figures | _waited(pages, seconds) | server.peak()
        finally:
            swarm.close()


def _fill(swarm: Swarm, writer: Member, count: int) -> None:
    for first in range(0, count, _PREPARED):
        numbers = range(first, min(first + _PREPARED, count))
        said = [writer.proto.say(f"#{_ROOM}", f"{number} {'x' * 90}") for number in numbers]
        writer.ask(said, b'"type":"ok"')
        swarm.answered([writer])


def _waited(pages: Sequence[float], seconds: float) -> Figures:
    if not pages:
        return {}
    return {
        "page p50 ms": percentile(pages, 50) * 1e3,
        "page p99 ms": percentile(pages, 99) * 1e3,
        "pages/s": len(pages) / seconds,
    }
