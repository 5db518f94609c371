"""The log's care: commits that fail, commits that are slow, and the work for idle moments."""

from __future__ import annotations

import logging

from selchat.errors import StoreError
from selchat.hub.hub import Hub
from selchat.hub.sessions import settle
from selchat.hub.snapshot import dump
from selchat.loop import Loop, Timer
from selchat.retention import Retention
from selchat.store import Log

log = logging.getLogger(__name__)

_PAUSE = 0.2
"""Seconds after a commit in which there must be none, for the moment to count as idle."""

_STEP = 0.02
"""Seconds between two steps of the work, where there is more. A twentieth of the time goes into it,
for 2,500 entries a second; of more than that, the rest waits until fewer come."""

_TRY_AGAIN = 1.0
"""Seconds between attempts to write a log that could not be written."""

_SAY_AGAIN = 60.0
"""Seconds between two complaints about a slow disk."""


class Upkeep:
    """Commits at the end of each tick, and sees to the log between them."""

    def __init__(self, loop: Loop, store: Log, hub: Hub) -> None:
        self._loop = loop
        self._log = store
        self._hub = hub
        self._timer: Timer | None = None
        self._due = False
        self._quiet_until = 0.0
        self._retention = Retention(loop, store, hub)
        saved = store.snapshot()
        self._saved = saved[0] if saved is not None else 0
        self._committed = store.newest
        self._busy_until = 0.0

    def commit(self) -> None:
        """Commit what the tick has appended; where that fails, see that nobody is told of it."""
        slow = self._log.stats.slow
        try:
            self._log.commit()
        except StoreError as error:
            log.error("NOTHING CAN BE STORED: %s. Messages are refused until it can", error)
            self._loop.call_later(_TRY_AGAIN, self._try_again)
            try:
                self._hub.commit_failed(str(error))
            except StoreError as unread:
                log.error("AND NOTHING CAN BE READ: %s", unread)
            return
        if self._log.newest != self._committed:
            self._committed = self._log.newest
            self._busy_until = self._loop.clock() + _PAUSE
            if self._timer is None and not self._due:
                self._timer = self._loop.call_later(_PAUSE, self._look)
            if self._log.stats.slow > slow > 0:
                self._complain()
        if self._due and self._hub.failing is None:
            self._due = False
            self._work()
        if self._hub.failing is None:
            self._retention.work()

    def close(self) -> None:
        """Save the state, if all is well, and close the log."""
        if self._hub.failing is None and self._saved < self._log.newest:
            try:
                self._log.commit()
                self._log.save_snapshot(dump(self._hub.state))
            except StoreError as error:
                log.error("the state could not be saved: %s", error)
        self._log.close()

    def _try_again(self) -> None:
        if not (self._log.probe() and self._restored()):
            self._loop.call_later(_TRY_AGAIN, self._try_again)
            return
        log.warning("messages can be stored again")
        self._hub.failing = None
        settle(self._hub)

    def _restored(self) -> bool:
        """See that the state is again what the log says; False if that cannot be read."""
        if self._hub.stale:
            try:
                self._hub.restore()
            except StoreError:
                return False
        return True

    def _look(self) -> None:
        # The work is for the end of the tick, when all that was applied is committed.
        self._timer = None
        self._due = True

    def _work(self) -> None:
        """Do what is due, more of it if nothing was committed lately; else look again later."""
        idle = self._loop.clock() >= self._busy_until
        more = False
        try:
            if self._committed - self._saved >= self._hub.settings.snapshot_entries:
                self._log.save_snapshot(dump(self._hub.state))
                self._saved = self._committed
            more = self._log.tidy(idle)
        except StoreError as error:
            log.error("the log's upkeep failed: %s", error)
        if more or not idle:
            self._timer = self._loop.call_later(_STEP if more else _PAUSE, self._look)

    def _complain(self) -> None:
        if self._loop.clock() >= self._quiet_until:
            self._quiet_until = self._loop.clock() + _SAY_AGAIN
            stats = self._log.stats
            log.warning(
                "the disk is slow: %d of %d commits took over 0.1 s (half of the last thousand "
                "%.3f s or less, 99 of 100 %.3f s), and everybody waited",
                stats.slow,
                stats.commits,
                stats.percentile(50),
                stats.percentile(99),
            )
