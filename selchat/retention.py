"""Forgetting what is older than the operator wants to keep, in steps between what people do."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from selchat.errors import StoreError
from selchat.hub.hub import Hub, stamp
from selchat.hub.snapshot import dump
from selchat.loop import Loop
from selchat.store import Log

log = logging.getLogger(__name__)

_ROUND = 3_600.0
"""Seconds from one round over the whole log to the next."""

_IDLE = 0.02
"""Seconds between two steps of a round while nothing is committed: half of the time for others."""

_BUSY = 1.0
"""Seconds between two steps otherwise. They go on, or a server that is never idle would never
forget; but each is a commit that somebody may wait for."""

_DAY = 86_400_000
"""Milliseconds."""


class Retention:
    """Rounds over the log, one small step at a time, if the settings ask for any."""

    def __init__(self, loop: Loop, store: Log, hub: Hub) -> None:
        self._loop = loop
        self._log = store
        self._hub = hub
        self._steps: Iterator[int] | None = None
        self._forgotten = 0
        self._seen = store.newest
        self._due = bool(hub.settings.retention_days or hub.settings.retention_entries)

    def work(self) -> None:
        """Do a step if it is time. To be called at the end of a tick, when all is committed."""
        if not self._due:
            return
        self._due = False
        busy = self._log.newest != self._seen
        self._seen = self._log.newest
        try:
            over = self._step()
            self._log.tidy(idle=not busy)  # what is forgotten goes through the write-ahead log too
        except StoreError as error:
            log.error("what is old could not be forgotten: %s", error)
            over = True
        if over:
            if self._forgotten:
                log.info("%d old entries were forgotten", self._forgotten)
            self._steps, self._forgotten = None, 0
        self._loop.call_later(_ROUND if over else _BUSY if busy else _IDLE, self._look)

    def _step(self) -> bool:
        """Go on with the round, or begin one; True at its end."""
        if self._steps is None:
            self._steps = self._begin()
        forgotten = next(self._steps, None)
        self._forgotten += forgotten or 0
        return forgotten is None

    def _begin(self) -> Iterator[int]:
        # Only what is below a snapshot can go, and the last one may be long ago.
        self._log.save_snapshot(dump(self._hub.state))
        settings = self._hub.settings
        before = 0
        if settings.retention_days:
            oldest = self._hub.world.now() - round(settings.retention_days * _DAY)
            before = self._log.seq_at(stamp(oldest))
        # Asked of the state as it is then: it is another one after a commit that failed.
        return self._log.trim(
            before, settings.retention_entries, lambda user: user in self._hub.state.users
        )

    def _look(self) -> None:
        self._due = True
