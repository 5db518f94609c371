"""What a session has missed, read from the log in pages.

The rule is the one by which it would have been told live: in each room the entries from its
user's join to its leave, its user's direct messages, and what its other sessions said. A resumed
session gets its own posts too, with their `id`, since it may not have seen their `ok`.

The reader is somewhere in the past (`cursor`) and may have been in other rooms then than now.
`view` is where it was at the cursor; its user's personal stream, which holds its joins and
leaves, moves the view along with the cursor.
"""

from __future__ import annotations

from heapq import merge
from operator import attrgetter

from msgspec import structs

from selchat.hub.messages import fitting
from selchat.hub.state import Session
from selchat.model import entries, events
from selchat.model.entries import Entry
from selchat.store import Log

_seq = attrgetter("seq")


class Catchup:
    """One reader's way from the past to the present.

    `cursor` is the `seq` up to which it has been given everything; `resumed` is the `seq` up to
    which its own posts are given back (0: none are).
    """

    __slots__ = ("_log", "_resumed", "_session", "_view", "cursor")

    def __init__(self, log: Log, session: Session, cursor: int, resumed: int) -> None:
        """Raises `Trimmed` where the log has forgotten something above `cursor`."""
        self._log = log
        self._session = session
        self._resumed = resumed
        self.cursor = cursor
        self._view = {entries.room(key) for key in session.user.rooms}
        for entry in reversed(self._moves(cursor)):
            if isinstance(entry.fact, events.Joined):
                self._view.discard(entry.conversation)
            else:
                self._view.add(entry.conversation)
        for name in self._view:
            log.conversation(name, cursor, 1)

    def page(self, limit: int) -> tuple[list[events.Fact], bool]:
        """The next facts, in order, at most `limit`, and whether the present is reached.

        Moves the cursor behind them. Raises `Trimmed` where the log has forgotten some.
        """
        user, cursor = self._session.user.id, self.cursor
        streams = [self._log.conversation(name, cursor, limit) for name in self._view]
        streams.append(self._log.personal(user, cursor, limit))
        # A longest stream may go on where it was cut, and the others' entries behind that place
        # must wait; `limit` entries of all together end at or before it.
        found = list({entry.seq: entry for entry in merge(*streams, key=_seq)}.values())
        page = fitting(found[:limit])
        told: list[events.Fact] = []
        for entry in page:
            self.cursor = entry.seq
            fact = self._told(entry)
            if fact is not None:
                told.append(fact)
            if user in entry.users and self._moved(entry):
                return told, False  # the streams to read from are others now
        return told, len(page) == len(found) < limit

    def _moved(self, entry: Entry) -> bool:
        if isinstance(entry.fact, events.Joined):
            self._view.add(entry.conversation)
        elif isinstance(entry.fact, events.Left):
            self._view.discard(entry.conversation)
        else:
            return False
        return True

    def _told(self, entry: Entry) -> events.Fact | None:
        """What the session is told of an entry; None for what it did itself."""
        if entry.session != self._session.id:
            return entry.fact
        fact = entry.fact
        if isinstance(fact, events.Message):
            if entry.seq <= self._resumed:
                return structs.replace(fact, id=entry.post_id)
            if entry.users == (self._session.user.id,):
                return fact  # a word to oneself is told live as well
        return None

    def _moves(self, after: int) -> list[Entry]:
        """The joins and leaves of the user since `after`, oldest first."""
        moves = []
        while page := self._log.personal(self._session.user.id, after, 1_000):
            moves += [e for e in page if isinstance(e.fact, events.Joined | events.Left)]
            after = page[-1].seq
        return moves
