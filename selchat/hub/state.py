"""What is true after an entry: users, sessions, rooms, and who is where.

Only `State.apply` changes it, and it decides by the entry and the state alone: no clock, no
chance, no setting. So whoever applies the same entries has the same state, after a restart too.
Which connection a session has at the moment (`peer`) is no part of that, and no entry says it.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any, Protocol

from selchat.model import events, names
from selchat.model.entries import Entry
from selchat.scram import Verifier

_NONE: frozenset[Any] = frozenset()
"""One for all: each `frozenset()` would be an object of its own, of 216 bytes."""


class Peer(Protocol):
    """What the hub knows of a connection."""

    session: Session | None
    """Whose connection it is; None before the log-in and after the end."""

    closing: bool
    """Whether it is to hear nothing but what it was told already."""

    login: object | None
    """A log-in that is under way (accounts.py)."""

    @property
    def bare(self) -> bool:
        """Whether a session on it ends with it."""

    @property
    def address(self) -> str:
        """Where it comes from."""

    @property
    def exempt(self) -> bool:
        """Whether it is exempt from limits for each address."""

    @property
    def safe(self) -> bool:
        """Whether nobody on the way can read what it says: it is inside TLS, or on this machine."""

    @property
    def binding(self) -> bytes | None:
        """What binds a log-in to this very TLS connection (RFC 5929, section 4); None without."""

    def pause(self) -> None:
        """Carry out no further command of it until `go_on`."""

    def go_on(self) -> None:
        """What it waited for is there."""

    def expect_secret(self, secret: bool) -> None:
        """Whether its next line is a password, in the text tongue."""

    def login_refused(self) -> None:
        """A log-in was refused: there are only so many."""


class Cancellable(Protocol):
    """A timer."""

    def cancel(self) -> None:
        """Never call."""


class Device:
    """A client that may log in without the password: the hash of its token, and its last use."""

    __slots__ = ("token", "used")

    def __init__(self, token: str, used: str) -> None:
        self.token = token
        self.used = used


class Account:
    """What a registered user has beyond a guest. `devices` are found by their numbers.

    `left` is the newest entry that one of its sessions could see before it went offline.
    """

    __slots__ = ("admin", "devices", "left", "verifier")

    def __init__(self, verifier: Verifier) -> None:
        self.verifier = verifier
        self.admin = False
        self.devices: dict[int, Device] = {}
        self.left = 0


class User:
    """Someone who talks. Its `id` is the `seq` of the entry that made it.

    `present` is how many of its sessions are online. `blocked` are those it hears nothing of, and
    `blockers` those who hear nothing of it; `silenced` the keys of the rooms that it is told
    nothing of. `noted` are rooms that know something of it though it may not be in them.
    """

    # fmt: off
    __slots__ = (
        "_peers", "account", "away", "blocked", "blockers", "id", "name", "noted", "present",
        "rooms", "sessions", "silenced",
    )
    # fmt: on

    def __init__(self, identity: int, name: str) -> None:
        self.id = identity
        self.name = name
        self.present = 0
        self.away: str | None = None
        self.rooms: dict[str, Room] = {}
        self.sessions: list[Session] = []
        self.account: Account | None = None
        # Empty for nearly all: what is shared and cannot change costs nothing.
        self.blocked: frozenset[User] = _NONE
        self.blockers: frozenset[User] = _NONE
        self.silenced: frozenset[str] = _NONE
        self.noted: frozenset[Room] = _NONE
        self._peers: tuple[Peer, ...] | None = None

    @property
    def online(self) -> bool:
        """Whether it is there, or was a moment ago."""
        return self.present > 0

    def peers(self) -> tuple[Peer, ...]:
        """The connections of its sessions. The same object until one comes or goes."""
        if self._peers is None:
            self._peers = tuple(one.peer for one in self.sessions if one.peer is not None)
        return self._peers

    def forget_peers(self) -> None:
        """A session of it came, went, or changed connection."""
        self._peers = None


class Aim:
    """Where a session may say something: found and checked once, and good until `State.changes`
    is another number. `to` is what the session called it.

    It is a room, or a user, by whom one is `heard` who has not blocked the session's user. Where it
    is `simple` nobody else is to be told, and all of them are.
    """

    __slots__ = (
        *("changes", "conversation", "heard", "name", "room", "simple", "to", "user", "users"),
    )

    def __init__(
        self,
        to: str,
        changes: int,
        name: str,
        conversation: str,
        users: tuple[int, ...],
        where: Room | User,
        heard: bool = True,
        simple: bool = False,
    ) -> None:
        self.to = to
        self.changes = changes
        self.name = name
        self.conversation = conversation
        self.users = users
        self.room = where if isinstance(where, Room) else None
        self.user = where if isinstance(where, User) else None
        self.heard = heard
        self.simple = simple


class Session:
    """One client's presence as a user. `token` is the hash of its token, None if it is bare.

    `device` is the number of what it logged in with, 0 for a password or a guest; `since` is when
    it began; `seen` the newest entry when its connection was lost, while it has none.
    """

    # fmt: off
    __slots__ = (
        "aim", "device", "id", "peer", "present", "seen", "since", "timer", "token", "user",
    )
    # fmt: on

    def __init__(self, identity: int, user: User, token: str | None) -> None:
        self.id = identity
        self.user = user
        self.token = token
        self.present = True
        self.device = 0
        self.since = ""
        self.seen = 0
        self.peer: Peer | None = None
        self.timer: Cancellable | None = None
        self.aim: Aim | None = None  # of the last message

    def attach(self, peer: Peer | None) -> None:
        """Put it on another connection, or on none."""
        if self.peer is not None:
            self.peer.session = None
        self.peer = peer
        if peer is not None:
            peer.session = self
        self.user.forget_peers()
        for room in self.user.rooms.values():
            room.forget_audience()


class Room:
    """A group chat. `key` is its name as names.key() gives it.

    `roles` are those of owners and moderators; `muted` may not speak, `invited` may enter though
    it is private. `bans` are found by the id of an account, or by the key of a guest's name, since
    a guest that comes back has another id.
    """

    # fmt: off
    __slots__ = (
        "_audience", "bans", "invited", "key", "members", "muted", "name", "private", "roles",
        "topic",
    )
    # fmt: on

    def __init__(self, key: str, name: str) -> None:
        self.key = key
        self.name = name
        self.topic = ""
        self.private = False
        self.members: dict[User, None] = {}  # ordered by arrival
        self.roles: dict[User, events.Role] = {}
        self.muted: frozenset[User] = _NONE
        self.invited: frozenset[User] = _NONE
        self.bans: dict[int | str, str] = {}
        self._audience: tuple[Peer, ...] | None = None

    def audience(self) -> tuple[Peer, ...]:
        """The connections of its members who want to hear it. The same object until one comes or
        goes, so that entries told to the same audience can be told apart from others by identity.
        """
        if self._audience is None:
            self._audience = tuple(
                session.peer
                for user in self.members
                if self.key not in user.silenced
                for session in user.sessions
                if session.peer is not None
            )
        return self._audience

    def forget_audience(self) -> None:
        """Somebody came, went, or changed connection."""
        self._audience = None

    def widen_audience(self, user: User) -> None:
        """A member came: where many come, finding all of them again for each takes long."""
        if self._audience is not None and self.key not in user.silenced:
            self._audience += user.peers()

    def role(self, user: User) -> events.Role:
        """What a user is here."""
        return self.roles.get(user, events.MEMBER)

    def banned(self, user: User) -> bool:
        """Whether it may not enter."""
        return bool(self.bans) and (user.id in self.bans or names.key(user.name) in self.bans)

    @property
    def kept(self) -> bool:
        """Whether it lives on when nobody is in it."""
        return bool(self.topic or self.private or self.bans) or any(
            user.account is not None for user in self.roles
        )


class Exclusion:
    """A network that nobody may connect from; `until` is a time as facts have it, or empty."""

    __slots__ = ("by", "network", "until")

    def __init__(self, network: str, until: str, by: str) -> None:
        self.network = ip_network(network)
        self.until = until
        self.by = by


class Invitation:
    """Lets `uses` more accounts be registered until the time `until`, with a word of that hash."""

    __slots__ = ("until", "uses", "word")

    def __init__(self, word: str, uses: int, until: str) -> None:
        self.word = word
        self.uses = uses
        self.until = until


class State:
    """All users, sessions and rooms that are alive, each found by what it is asked for with.

    `changes` counts what changed: while it is the same, so is what was found out here.
    """

    def __init__(self) -> None:
        self.changes = 0
        self.users: dict[int, User] = {}
        self.names: dict[str, User] = {}  # of those online, by key
        self.accounts: dict[str, User] = {}  # of those registered, online or not, by key
        self.looks: dict[str, User] = {}  # of both, by what their names look like
        self.sessions: dict[int, Session] = {}
        self.tokens: dict[str, Session] = {}  # by hash
        self.devices: dict[str, tuple[User, int]] = {}  # by hash of the token
        self.rooms: dict[str, Room] = {}  # by key
        self.exclusions: dict[str, Exclusion] = {}  # by network
        self.invitations: dict[int, Invitation] = {}  # by number
        self._apply: dict[type[events.Fact], Callable[[Entry, Any], None]] = {
            events.Opened: self._opened,
            events.Returned: self._returned,
            events.Gone: self._gone,
            events.Joined: self._joined,
            events.Left: self._left,
            events.Topic: self._topic,
            events.Renamed: self._renamed,
            events.Ranked: self._ranked,
            events.Muted: self._muted,
            events.Banned: self._banned,
            events.Invited: self._invited,
            events.Private: self._private,
            events.Registered: self._registered,
            events.Changed: self._changed,
            events.Device: self._device,
            events.Revoked: self._revoked,
            events.Admin: self._admin,
            events.Blocked: self._blocked,
            events.Silenced: self._silenced,
            events.Excluded: self._excluded,
            events.Invitation: self._invitation,
            events.Withdrawn: self._withdrawn,
        }

    def apply(self, entry: Entry) -> None:
        """Let what `entry` says be so. A message changes nothing."""
        change = self._apply.get(type(entry.fact))
        if change is not None:
            self.changes += 1
            change(entry, entry.fact)

    def named(self, key: str) -> User | None:
        """The user of that name who is online or registered."""
        return self.names.get(key) or self.accounts.get(key)

    # Sessions

    def _opened(self, _: Entry, fact: events.Opened) -> None:
        if fact.account:
            user = self.users[fact.account]
        else:
            user = self.users[fact.seq] = User(fact.seq, fact.user)
        session = self.sessions[fact.seq] = Session(fact.seq, user, fact.token)
        session.device, session.since = fact.device, fact.at
        if fact.device and user.account is not None:
            user.account.devices[fact.device].used = fact.at
        user.sessions.append(session)
        user.present += 1
        self._name(user)
        if fact.token is not None:
            self.tokens[fact.token] = session

    def _returned(self, entry: Entry, fact: events.Returned) -> None:
        session = self.sessions[entry.session]
        session.present = True
        session.user.present += 1
        session.user.name = fact.user
        self._name(session.user)

    def _gone(self, entry: Entry, fact: events.Gone) -> None:
        session = self.sessions[entry.session]
        user = session.user
        if session.present:
            session.present = False
            user.present -= 1
            if user.account is not None:
                user.account.left = max(user.account.left, fact.seen or fact.seq)
            if not user.online:
                user.away = None
                self._unname(user)
        if fact.for_good:
            del self.sessions[session.id]
            user.sessions.remove(session)
            user.forget_peers()
            if session.token is not None:
                del self.tokens[session.token]
            if user.account is None:
                self._forget(user)

    def _forget(self, user: User) -> None:
        """A guest is gone for good, and so is what is remembered of it."""
        del self.users[user.id]
        for other in user.blocked:
            other.blockers -= {user}
        for other in user.blockers:
            other.blocked -= {user}
        for room in user.noted:
            room.roles.pop(user, None)
            room.muted -= {user}
            room.invited -= {user}

    def _name(self, user: User) -> None:
        key = names.key(user.name)
        self.names[key] = user
        self.looks[names.skeleton(user.name)] = user

    def _unname(self, user: User) -> None:
        """The name is free, unless it is that of an account."""
        key = names.key(user.name)
        if self.names.get(key) is user:
            del self.names[key]
        look = names.skeleton(user.name)
        if key not in self.accounts and self.looks.get(look) is user:
            del self.looks[look]

    # Rooms

    def _joined(self, entry: Entry, fact: events.Joined) -> None:
        key = names.key(fact.room)
        user = self.users[entry.users[0]]
        room = self.rooms.get(key)
        if room is None:
            room = self.rooms[key] = Room(key, fact.room)
        room.members[user] = None
        room.invited -= {user}
        if fact.owner:
            self._rank(room, user, events.OWNER)
        user.rooms[key] = room
        room.widen_audience(user)

    def _left(self, entry: Entry, fact: events.Left) -> None:
        room = self.rooms[names.key(fact.room)]
        user = self.users[entry.users[0]]
        del room.members[user], user.rooms[room.key]
        if user.account is None:
            room.roles.pop(user, None)
        room.forget_audience()
        self._forget_empty(room)

    def _topic(self, _: Entry, fact: events.Topic) -> None:
        self.rooms[names.key(fact.room)].topic = fact.text

    def _private(self, _: Entry, fact: events.Private) -> None:
        room = self.rooms[names.key(fact.room)]
        room.private = fact.on
        self._forget_empty(room)

    def _ranked(self, entry: Entry, fact: events.Ranked) -> None:
        room = self.rooms[names.key(fact.room)]
        self._rank(room, self.users[entry.users[0]], fact.role)
        self._forget_empty(room)

    def _rank(self, room: Room, user: User, role: events.Role) -> None:
        if role == events.MEMBER:
            room.roles.pop(user, None)
        else:
            room.roles[user] = role
            user.noted |= {room}

    def _muted(self, entry: Entry, fact: events.Muted) -> None:
        room, user = self.rooms[names.key(fact.room)], self.users[entry.users[0]]
        if fact.on:
            room.muted |= {user}
            user.noted |= {room}
        else:
            room.muted -= {user}

    def _banned(self, entry: Entry, fact: events.Banned) -> None:
        room = self.rooms[names.key(fact.room)]
        user = self.users.get(entry.users[0]) if entry.users else None
        key = names.key(fact.user)
        if fact.on:
            registered = user is not None and user.account is not None
            room.bans[user.id if registered and user is not None else key] = fact.user
            if user is not None:
                room.invited -= {user}
        else:
            if user is not None:
                room.bans.pop(user.id, None)
            room.bans.pop(key, None)
            self._forget_empty(room)

    def _invited(self, entry: Entry, fact: events.Invited) -> None:
        room, user = self.rooms[names.key(fact.room)], self.users[entry.users[0]]
        room.invited |= {user}
        user.noted |= {room}

    def _forget_empty(self, room: Room) -> None:
        if not room.members and not room.kept:
            for user in (*room.roles, *room.muted, *room.invited):
                user.noted -= {room}
            del self.rooms[room.key]  # its past is in the log, under the same name

    # Accounts

    def _renamed(self, entry: Entry, fact: events.Renamed) -> None:
        user = self.users[entry.users[0]]
        key = names.key(user.name)
        if user.account is not None:
            self.accounts.pop(key, None)
        self._unname(user)
        user.name = fact.name
        if user.account is not None:
            self.accounts[names.key(user.name)] = user
            self.looks[names.skeleton(user.name)] = user
        if user.online:
            self._name(user)

    def _registered(self, entry: Entry, fact: events.Registered) -> None:
        user = self.sessions[entry.session].user
        user.account = Account(fact.verifier)
        self.accounts[names.key(user.name)] = user
        invitation = self.invitations.get(fact.invitation)
        if invitation is not None:
            invitation.uses -= 1
            if invitation.uses <= 0:
                del self.invitations[fact.invitation]

    def _changed(self, _: Entry, fact: events.Changed) -> None:
        user = self.users[fact.user]
        account = self._account(user)
        account.verifier = fact.verifier
        for number in tuple(account.devices):
            self._revoke(user, number)

    def _device(self, entry: Entry, fact: events.Device) -> None:
        session = self.sessions[entry.session]
        self._account(session.user).devices[fact.seq] = Device(fact.token, fact.at)
        self.devices[fact.token] = session.user, fact.seq
        session.device = fact.seq

    def _revoked(self, _: Entry, fact: events.Revoked) -> None:
        self._revoke(self.users[fact.user], fact.device)

    def _revoke(self, user: User, number: int) -> None:
        device = self._account(user).devices.pop(number, None)
        if device is not None:
            del self.devices[device.token]
        for session in user.sessions:
            if session.device == number:
                session.device = 0

    def _admin(self, _: Entry, fact: events.Admin) -> None:
        self._account(self.users[fact.user]).admin = fact.on

    def _account(self, user: User) -> Account:
        if user.account is None:
            raise LookupError(f"user {user.id} has no account")
        return user.account

    # What users want to hear

    def _blocked(self, _: Entry, fact: events.Blocked) -> None:
        user, whom = self.users[fact.user], self.users.get(fact.whom)
        if whom is None:
            return  # a guest that has gone since
        if fact.on:
            user.blocked |= {whom}
            whom.blockers |= {user}
        else:
            user.blocked -= {whom}
            whom.blockers -= {user}

    def _silenced(self, _: Entry, fact: events.Silenced) -> None:
        user = self.users[fact.user]
        key = names.key(fact.room)
        user.silenced = user.silenced | {key} if fact.on else user.silenced - {key}
        if key in user.rooms:
            user.rooms[key].forget_audience()

    # The server

    def _excluded(self, _: Entry, fact: events.Excluded) -> None:
        if fact.on:
            self.exclusions[fact.network] = Exclusion(fact.network, fact.until, fact.by)
        else:
            self.exclusions.pop(fact.network, None)

    def _invitation(self, _: Entry, fact: events.Invitation) -> None:
        self.invitations[fact.seq] = Invitation(fact.word, fact.uses, fact.until)

    def _withdrawn(self, _: Entry, fact: events.Withdrawn) -> None:
        self.invitations.pop(fact.invitation, None)
