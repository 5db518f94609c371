"""What is true after an entry: users, sessions, rooms, and who is where.

Only `State.apply` changes it, and it decides by the entry and the state alone: no clock, no
chance, no setting. So whoever applies the same entries has the same state, after a restart too.
Which connection a session has at the moment (`peer`) is no part of that, and no entry says it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from selchat.model import events, names
from selchat.model.entries import Entry


class Peer(Protocol):
    """What the hub knows of a connection."""

    session: Session | None
    """Whose connection it is; None before the log-in and after the end."""

    closing: bool
    """Whether it is to hear nothing but what it was told already."""

    @property
    def bare(self) -> bool:
        """Whether a session on it ends with it."""


class Cancellable(Protocol):
    """A timer."""

    def cancel(self) -> None:
        """Never call."""


class User:
    """Someone who talks. Its `id` is the `seq` of the entry that made it."""

    __slots__ = ("away", "id", "name", "online", "rooms", "sessions")

    def __init__(self, identity: int, name: str) -> None:
        self.id = identity
        self.name = name
        self.online = True
        self.away: str | None = None
        self.rooms: dict[str, Room] = {}
        self.sessions: list[Session] = []

    def peers(self) -> tuple[Peer, ...]:
        """The connections of its sessions."""
        return tuple(session.peer for session in self.sessions if session.peer is not None)


class Session:
    """One client's presence as a user. `token` is the hash of its token, None if it is bare."""

    __slots__ = ("id", "peer", "timer", "token", "user")

    def __init__(self, identity: int, user: User, token: str | None) -> None:
        self.id = identity
        self.user = user
        self.token = token
        self.peer: Peer | None = None
        self.timer: Cancellable | None = None

    def attach(self, peer: Peer | None) -> None:
        """Put it on another connection, or on none."""
        if self.peer is not None:
            self.peer.session = None
        self.peer = peer
        if peer is not None:
            peer.session = self
        for room in self.user.rooms.values():
            room.forget_audience()


class Room:
    """A group chat. `key` is its name as names.key() gives it."""

    __slots__ = ("_audience", "key", "members", "name", "topic")

    def __init__(self, key: str, name: str) -> None:
        self.key = key
        self.name = name
        self.topic = ""
        self.members: dict[User, None] = {}  # ordered by arrival
        self._audience: tuple[Peer, ...] | None = None

    def audience(self) -> tuple[Peer, ...]:
        """The connections of its members. The same object until one comes or goes, so that
        entries told to the same audience can be told apart from others by identity.
        """
        if self._audience is None:
            self._audience = tuple(
                session.peer
                for user in self.members
                for session in user.sessions
                if session.peer is not None
            )
        return self._audience

    def forget_audience(self) -> None:
        """Somebody came, went, or changed connection."""
        self._audience = None


class State:
    """All users, sessions and rooms that are alive, each found by what it is asked for with."""

    def __init__(self) -> None:
        self.users: dict[int, User] = {}
        self.names: dict[str, User] = {}  # of those online, by key
        self.sessions: dict[int, Session] = {}
        self.tokens: dict[str, Session] = {}  # by hash
        self.rooms: dict[str, Room] = {}  # by key
        self._apply: dict[type[events.Fact], Callable[[Entry, Any], None]] = {
            events.Opened: self._opened,
            events.Returned: self._returned,
            events.Gone: self._gone,
            events.Joined: self._joined,
            events.Left: self._left,
            events.Topic: self._topic,
            events.Renamed: self._renamed,
        }

    def apply(self, entry: Entry) -> None:
        """Let what `entry` says be so. A message changes nothing."""
        change = self._apply.get(type(entry.fact))
        if change is not None:
            change(entry, entry.fact)

    def _opened(self, _: Entry, fact: events.Opened) -> None:
        user = self.users[fact.seq] = User(fact.seq, fact.user)
        session = self.sessions[fact.seq] = Session(fact.seq, user, fact.token)
        user.sessions.append(session)
        self.names[names.key(user.name)] = user
        if fact.token is not None:
            self.tokens[fact.token] = session

    def _returned(self, entry: Entry, fact: events.Returned) -> None:
        user = self.sessions[entry.session].user
        user.name = fact.user
        user.online = True
        self.names[names.key(user.name)] = user

    def _gone(self, entry: Entry, fact: events.Gone) -> None:
        session = self.sessions[entry.session]
        user = session.user
        if user.online:
            user.online = False
            user.away = None
            del self.names[names.key(user.name)]
        if fact.for_good:
            del self.sessions[session.id], self.users[user.id]
            if session.token is not None:
                del self.tokens[session.token]

    def _joined(self, entry: Entry, fact: events.Joined) -> None:
        key = names.key(fact.room)
        room = self.rooms.get(key)
        if room is None:
            room = self.rooms[key] = Room(key, fact.room)
        user = self.users[entry.users[0]]
        room.members[user] = None
        user.rooms[key] = room
        room.forget_audience()

    def _left(self, entry: Entry, fact: events.Left) -> None:
        room = self.rooms[names.key(fact.room)]
        user = self.users[entry.users[0]]
        del room.members[user], user.rooms[room.key]
        room.forget_audience()
        if not room.members and not room.topic:
            del self.rooms[room.key]  # its past is in the log, under the same name

    def _topic(self, _: Entry, fact: events.Topic) -> None:
        self.rooms[names.key(fact.room)].topic = fact.text

    def _renamed(self, entry: Entry, fact: events.Renamed) -> None:
        user = self.users[entry.users[0]]
        self.names.pop(names.key(user.name), None)
        user.name = fact.name
        self.names[names.key(user.name)] = user
