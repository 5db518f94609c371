"""What a session has missed, read from the log in pages.

The rule is the one by which it would have been told live: in each room the entries from its
user's join to its leave, its user's direct messages, and what its other sessions said, without
what the user does not want to hear. A resumed session gets its own posts too, with their `id`,
since it may not have seen their `ok`.

The reader is somewhere in the past (`cursor`) and may have been in other rooms then than now.
A `_View` is where it was at the cursor, and what it wanted to hear; its user's personal stream,
which holds its joins, leaves and wishes, moves the view along with the cursor.
"""

from __future__ import annotations

from heapq import merge
from operator import attrgetter
from typing import NamedTuple, TypeVar

from msgspec import structs

from selchat.errors import Trimmed
from selchat.hub.messages import fitting
from selchat.hub.state import Session, User
from selchat.model import entries, events, names
from selchat.model.entries import Entry
from selchat.store import Log

T = TypeVar("T")

_seq = attrgetter("seq")

_NOT_BEFORE = events.Message | events.Invited
"""What an account that was away is given of what concerned it alone."""


class Item(NamedTuple):
    """A fact that the reader is told; `own` where its user said it, in another session."""

    fact: events.Fact
    own: bool


class Catchup:
    """One reader's way from the past to the present.

    `cursor` is the `seq` up to which it has been given everything; `resumed` is the `seq` up to
    which its own posts are given back (0: none are). With `direct` it gets, up to `resumed`, only
    what was said to its user alone.
    """

    __slots__ = ("_direct", "_log", "_resumed", "_session", "_view", "cursor")

    def __init__(
        self, log: Log, session: Session, cursor: int, resumed: int, direct: bool = False
    ) -> None:
        """Raises `Trimmed` where the log has forgotten something above `cursor`."""
        self._log = log
        self._session = session
        self._resumed = resumed
        self._direct = direct
        self.cursor = cursor
        begin = max(cursor, resumed) if direct else cursor
        self._view = _View(session.user)
        for entry in reversed(self._moves(begin)):
            self._view.move(entry, back=True)
        for name in self._view.rooms:
            log.conversation(name, begin, 1)

    def page(self, limit: int) -> tuple[list[Item], bool]:
        """The next facts, in order, at most `limit`, and whether the present is reached.

        Moves the cursor behind them. Raises `Trimmed` where the log has forgotten some.
        """
        user = self._session.user.id
        begin = max(self.cursor, self._resumed) if self._direct else self.cursor
        streams = [
            self._log.conversation(name, begin, limit)
            for name in self._view.rooms - self._view.silenced
        ]
        streams.append(self._personal(limit))
        # A longest stream may go on where it was cut, and the others' entries behind that place
        # must wait; `limit` entries of all together end at or before it.
        found = list({entry.seq: entry for entry in merge(*streams, key=_seq)}.values())
        page = fitting(found[:limit])
        told: list[Item] = []
        for entry in page:
            self.cursor = entry.seq
            before = self._direct and entry.seq <= self._resumed
            if not before or (isinstance(entry.fact, _NOT_BEFORE) and entry.author != user):
                fact = self._told(entry)
                if fact is not None:
                    told.append(Item(fact, self._own(entry)))
            if not before and user in entry.users and self._view.move(entry):
                return told, False  # the streams to read from are others now
        return told, len(page) == len(found) < limit

    def _personal(self, limit: int) -> list[Entry]:
        user = self._session.user.id
        try:
            return self._log.personal(user, self.cursor, limit)
        except Trimmed as gone:
            if not self._direct or gone.seq > self._resumed:
                raise
            return self._log.personal(user, gone.seq, limit)  # who was away for so long has no more

    def _told(self, entry: Entry) -> events.Fact | None:
        """What the session is told of an entry; None for what it did itself or does not hear."""
        fact = entry.fact
        if not isinstance(fact, events.Told) or entries.is_overtaken(fact):
            return None
        if entry.session != self._session.id:
            quiet = isinstance(fact, _SAID) and entry.conversation[:1] == "#"
            quiet = quiet or (isinstance(fact, events.Invited) and self._concerned(entry))
            return None if quiet and entry.author in self._view.blocked else fact
        if isinstance(fact, events.Message):
            if entry.seq <= self._resumed:
                return structs.replace(fact, id=entry.post_id)
            if entry.conversation == self._to_itself:
                return fact  # a word to oneself is told live as well
        return None

    def _concerned(self, entry: Entry) -> bool:
        return self._session.user.id in entry.users

    def _own(self, entry: Entry) -> bool:
        """Whether it is what the user said to another, from whichever session."""
        direct = entry.author == self._session.user.id and entry.conversation[:1] == "@"
        return direct and entry.conversation != self._to_itself

    @property
    def _to_itself(self) -> str:
        return entries.pair(self._session.user.id, self._session.user.id)

    def _moves(self, after: int) -> list[Entry]:
        """What has moved the view since `after`, oldest first."""
        moves = []
        while page := self._log.personal(self._session.user.id, after, 1_000):
            moves += [entry for entry in page if isinstance(entry.fact, _MOVES)]
            after = page[-1].seq
        return moves


_MOVES = events.Joined | events.Left | events.Blocked | events.Silenced
_SAID = events.Message | events.Edited | events.Deleted


class _View:
    """Which conversations a user is told of, and which of them and whom it does not want to hear.

    Made as it is now; `move` brings it to another place in the log.
    """

    __slots__ = ("blocked", "rooms", "silenced")

    def __init__(self, user: User) -> None:
        self.rooms = {entries.room(key) for key in user.rooms}
        self.silenced = {entries.room(key) for key in user.silenced}
        self.blocked = {other.id for other in user.blocked}

    def move(self, entry: Entry, back: bool = False) -> bool:
        """Go over an entry of the user's personal stream, forwards or back; True if that changed
        anything.
        """
        fact = entry.fact
        match fact:
            case events.Joined() | events.Left():
                _put(self.rooms, entry.conversation, isinstance(fact, events.Joined) is not back)
            case events.Silenced(room=room, on=on):
                _put(self.silenced, entries.room(names.key(room)), on is not back)
            case events.Blocked(whom=whom, on=on):
                _put(self.blocked, whom, on is not back)
            case _:
                return False
        return True


def _put(those: set[T], one: T, there: bool) -> None:
    if there:
        those.add(one)
    else:
        those.discard(one)
