"""Servers that break a promise each. The crash test must find that out, or it is no test.

python tests/crash/broken.py KIND …       KIND is a key of `KINDS`, then flags of the server
"""

from __future__ import annotations

import sys
from typing import Any

import selchat.server
from selchat import cli
from selchat.hub.catchup import Catchup, Item
from selchat.model.entries import Entry
from selchat.store.sqlite import SqliteLog

DELAY = 0.005
"""Seconds between telling and committing."""


class Hasty(selchat.server.Server):
    """Tells some milliseconds before it commits."""

    _committing = False

    def _end_tick(self) -> None:
        self.delivery.deliver()
        self.streams.flush()
        if not self._committing:
            self._committing = True
            self.loop.call_later(DELAY, self._commit)
        if self.hub.out:
            self._wake()

    def _commit(self) -> None:
        self._committing = False
        self._upkeep.commit()


def hasty() -> None:
    selchat.server.Server = Hasty  # type: ignore[misc]


def forgetful() -> None:
    """Knows no post again after a restart."""

    def find_post(log: SqliteLog, session: int, post_id: str) -> Entry | None:
        return log._pending_posts.get((session, post_id))

    SqliteLog.find_post = find_post  # type: ignore[assignment, method-assign]


def careless() -> None:
    """Loses an entry when it gives a page of what was missed."""
    whole = Catchup.page

    def page(catchup: Catchup, limit: int) -> tuple[list[Item], bool]:
        told, present = whole(catchup, limit)
        return told[:2] + told[3:], present

    Catchup.page = page  # type: ignore[assignment, method-assign]


def repetitive() -> None:
    """Begins one entry too early with what was missed."""
    whole = Catchup.__init__

    def begin(catchup: Catchup, log: SqliteLog, session: Any, cursor: int, *more: Any) -> None:
        whole(catchup, log, session, max(0, cursor - 1), *more)

    Catchup.__init__ = begin  # type: ignore[assignment, method-assign]


KINDS = {kind.__name__: kind for kind in (hasty, forgetful, careless, repetitive)}

if __name__ == "__main__":
    KINDS[sys.argv.pop(1)]()
    sys.exit(cli.server_main())
