"""Who may come in: connections per address and in all, memory over all, handshakes under way.

Nobody who is in is sent away for these. Who may not come in is told why by the connection itself,
in its own tongue, so it must be listened to for a moment. So many at a time are, and no more: what
comes beyond them is closed without a word, as telling it could be made to cost more than letting
it in.
"""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from selchat.addresses import Networks, place
from selchat.settings import ServerSettings

log = logging.getLogger(__name__)

_TOLD = 100
"""Connections that are being told at a time why they may not come in,"""

_TOLD_PER_ADDRESS = 4
"""and those from one address among them."""

_LOOK_AGAIN = 1.0
"""Seconds for which the memory that was found in use is taken to be so still."""

_SAY_AGAIN = 60.0
"""Seconds between two lines in the log that somebody is refused."""

HANDSHAKES_A_TICK = 1
"""Handshakes that are begun in a tick. Each takes a processor for about a millisecond, in which
nobody else is served; the others wait for the next tick."""


class Refusal(NamedTuple):
    """Why a connection may not come in, for its peer."""

    code: str
    text: str


SILENT = Refusal("", "")
"""The refusal of whoever is not even told so."""

_FULL = "the server is full: try again later"
_TOO_MANY = (
    "there are too many connections from your address ({count}): close one, or try again later"
)


class Gate:
    """Counts who is in, and who is being told that it may not."""

    def __init__(self, settings: ServerSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._exempt = Networks(settings.limits_exempt)
        self._inside = 0
        self._per_place: dict[str, int] = {}
        self._told = 0
        self._told_per_place: dict[str, int] = {}
        self._memory = 0
        self._looked = -_LOOK_AGAIN
        self._quiet_until = 0.0

    def exempt(self, address: str) -> bool:
        """Whether the limits per address, and the rates, are none for it."""
        return address in self._exempt

    def enter(self, address: str, exempt: bool) -> Refusal | None:
        """Somebody comes. None: it may, and `leave` is called when it goes.

        So it is with a refusal other than `SILENT`, until its peer has been told.
        """
        refusal = self._refusal(address, exempt)
        if refusal is None:
            self._inside += 1
            if not exempt:
                _count(self._per_place, place(address), 1)
            return None
        self._say(address, refusal)
        where = place(address)
        if self._told >= _TOLD or self._told_per_place.get(where, 0) >= _TOLD_PER_ADDRESS:
            return SILENT
        self._told += 1
        _count(self._told_per_place, where, 1)
        return refusal

    def leave(self, address: str, exempt: bool, refused: bool) -> None:
        """One who was let in, or was told why not, is gone."""
        if refused:
            self._told -= 1
            _count(self._told_per_place, place(address), -1)
            return
        self._inside -= 1
        if not exempt:
            _count(self._per_place, place(address), -1)

    def _refusal(self, address: str, exempt: bool) -> Refusal | None:
        settings = self._settings
        if self._inside >= settings.connections or self._over_memory():
            return Refusal("full", _FULL)
        if not exempt:
            count = self._per_place.get(place(address), 0)
            if count >= settings.connections_per_address:
                return Refusal("too-many-connections", _TOO_MANY.format(count=count))
        return None

    def _over_memory(self) -> bool:
        limit = self._settings.memory_limit
        if not limit:
            return False
        now = self._clock()
        if now - self._looked >= _LOOK_AGAIN:
            self._looked = now
            self._memory = resident()
        return self._memory > limit

    def _say(self, address: str, refusal: Refusal) -> None:
        now = self._clock()
        if now >= self._quiet_until:
            self._quiet_until = now + _SAY_AGAIN
            log.warning(
                "new connections are refused (%s), the last one from %s: %d are open, "
                "%d MiB of memory are in use",
                refusal.code,
                address,
                self._inside,
                self._memory >> 20,
            )


class Shaker(Protocol):
    """Who wants a TLS handshake with us."""

    def shake_hands(self) -> None:
        """Its turn has come: begin."""


class Handshakes:
    """Those under way, at most `most`, and those that wait for their turn, in order.

    `wake` makes the loop tick again at once.
    """

    def __init__(self, most: int, wake: Callable[[], None]) -> None:
        self._most = most
        self._wake = wake
        self._begun = 0  # in this tick
        self._under_way: set[Shaker] = set()
        self._waiting: dict[Shaker, None] = {}

    def begin(self, shaker: Shaker) -> bool:
        """Whether it may begin at once; else it is called when it may."""
        if not self._waiting and self._free():
            self._count(shaker)
            return True
        self._waiting[shaker] = None
        return False

    def end(self, shaker: Shaker) -> None:
        """It is done, or gone."""
        if shaker in self._under_way:
            self._under_way.discard(shaker)
            if self._waiting:
                self._wake()
        else:
            self._waiting.pop(shaker, None)

    def next_tick(self) -> None:
        """Let those begin whose turn it is."""
        self._begun = 0
        while self._waiting and self._free():
            shaker = next(iter(self._waiting))
            del self._waiting[shaker]
            self._count(shaker)
            shaker.shake_hands()
        if self._waiting and len(self._under_way) < self._most:
            self._wake()

    def _free(self) -> bool:
        return self._begun < HANDSHAKES_A_TICK and len(self._under_way) < self._most

    def _count(self, shaker: Shaker) -> None:
        self._begun += 1
        self._under_way.add(shaker)


def resident() -> int:
    """Bytes of memory that this process has in use, as the system counts them."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:  # not Linux: the most that it ever was is what there is to know
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def _count(book: dict[str, int], key: str, change: int) -> None:
    count = book.get(key, 0) + change
    if count:
        book[key] = count
    else:
        del book[key]
