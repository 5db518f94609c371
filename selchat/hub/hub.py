"""The hub: orders what happens, and says who is to be told.

Every durable change takes the same way, `Hub.order`: an entry with the next `seq` and the time
goes to the log, is applied to the state at once, and stands in `out` together with the answers,
in the order in which all of it is to be told. Nothing of `out` may be told before the log has
committed; delivery.py does that at the end of the tick.

`order` is the seam where another sequencer could put the entries of several nodes into one order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

from msgspec import Struct

from selchat.errors import Refusal, StoreError
from selchat.hub import snapshot
from selchat.hub.state import Aim, Cancellable, Peer, Room, Session, State, User
from selchat.hub.throttle import Delays, Quota
from selchat.model import entries, names
from selchat.model.commands import Auth, Command, Hello, Posts, Secret
from selchat.model.entries import Entry
from selchat.model.events import AnyFact, Error, Event, Fact, Message, Messages, Ok
from selchat.settings import ServerSettings
from selchat.store import Log

T = TypeVar("T")

_BY_ENTRY = ("removed", "session-ended")
"""What the last words of a connection say that another one's command ends, and an entry."""

_SUSPICIONS = 100
"""Wrong passwords from one address that the audit log is told of in an hour: people read it."""

_GUESSES = 100
"""Names that a 'did you mean' looks at: comparing all could take long."""


class Told(Struct, gc=False):
    """An entry, and the connections that are told of it: `peers` but those of `but`.

    `own` says that it is told to those whose user said it, from another session. `command` is the
    post that the entry is, or the posts that it is, for whose `asker` it is done with that.
    """

    entry: Entry
    peers: tuple[Peer, ...]
    but: tuple[Peer, ...] = ()
    own: bool = False
    asker: Peer | None = None
    command: Command | Posts | None = None


class Answer(Struct, gc=False):
    """An event for one connection; `command` is what it answers, None where nothing was asked."""

    event: Event
    peer: Peer
    command: Command | None


class Resumed(NamedTuple):
    """A connection has come back to its session, and is to get what came after `after`; up to
    `newest`, the last entry there was then, its own posts too.

    With `direct` it is a new session, of an account that was away: up to `newest` it gets only what
    was said to it alone.
    """

    peer: Peer
    session: Session
    after: int
    newest: int
    direct: bool = False


class Close(NamedTuple):
    """A connection ends, after what it was told before."""

    peer: Peer


class Noted(NamedTuple):
    """A line of the audit log: who did what to whom, if there was anybody."""

    at: str
    who: str
    what: str
    whom: str = ""
    text: str = ""


class World(Protocol):
    """What the hub needs of the world and cannot reach by itself."""

    def now(self) -> int:
        """Milliseconds since 1970 (UTC)."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Cancellable:
        """Call `callback` once, in `delay` seconds."""

    def secret(self) -> str:
        """A new word that nobody can guess, of characters that need no quoting."""

    def derive(
        self, password: bytes, salt: bytes, iterations: int, then: Callable[[bytes | None], None]
    ) -> Cancellable:
        """Compute PBKDF2-HMAC-SHA256 elsewhere, and call `then` with it in a later tick; with None
        where that is not possible now.
        """


class Hub:
    """What the commands work with: the state, the log, and `out`, what the tick has to tell."""

    def __init__(self, log: Log, settings: ServerSettings, world: World) -> None:
        self.log = log
        self.settings = settings
        self.world = world
        self.state = State()
        self.failing: str | None = None
        """Why nothing can be stored at the moment; None where all is well."""
        self.stale = False
        """Whether the state holds what was not stored, as the log could not be read since then.
        Nothing is done then that depends on it."""
        self.out: list[Told | Answer | Resumed | Close] = []
        self.password: str | None = None
        """What guests have to know to come in; None where they need nothing."""
        self.delays = Delays()
        self.suspicions = Quota(_SUSPICIONS, 3_600.0)
        self.registrations = Quota(settings.registrations_per_address, 3_600.0)
        self.audit: list[Noted] = []
        """What the tick has to add to the audit log, after the commit."""
        self._now = 0
        self._stamp = ""

    # What happens

    def order(
        self,
        kind: type[AnyFact],
        *fields: object,
        conversation: str = "",
        users: tuple[int, ...] = (),
        by: Session | None = None,
        post_id: str | None = None,
    ) -> Entry:
        """Put a fact of that kind, with those fields, at the end of the log, and apply it.

        `by` is the session that caused it. Refusal `not-stored` while the log cannot be written.
        """
        if self.failing is not None:
            self.expect_storing()
        log = self.log
        fact = kind(log.newest + 1, self.time(), *fields)  # type: ignore[arg-type]
        if by is not None:
            entry = Entry(fact, conversation, users, by.id, post_id, by.user.id)
        else:
            entry = Entry(fact, conversation, users)
        log.append(entry)
        self.state.apply(entry)
        return entry

    def say(self, by: Session, aim: Aim, text: str, action: bool, post_id: str | None) -> Entry:
        """As `order`, for what comes most: a message."""
        if self.failing is not None:
            self.expect_storing()
        log, user = self.log, by.user
        fact = Message(log.newest + 1, self.time(), aim.name, user.name, text, action)
        entry = Entry(fact, aim.conversation, aim.users, by.id, post_id, user.id)
        log.append(entry)
        self.state.apply(entry)
        return entry

    def say_all(self, by: Session, aim: Aim, texts: list[str]) -> Entry:
        """As `say` for each of these, of which there are two or more: they become one entry. As
        messages change nothing, it is not applied.
        """
        log, user = self.log, by.user
        fact = Messages(log.newest + len(texts), self.time(), aim.name, user.name, texts)
        entry = Entry(fact, aim.conversation, aim.users, by.id, None, user.id)
        log.append(entry)
        return entry

    def order_in(
        self,
        room: Room,
        kind: type[AnyFact],
        *fields: object,
        by: Session | None,
        user: User | None = None,
        quiet: bool = False,
    ) -> Entry:
        """Order a fact that concerns a room, whose name comes before `fields`, and tell it there.

        `user` is whom it concerns by name, and who is told of it in any case, unless it is `quiet`.
        The session `by` that caused it is answered instead.
        """
        users = (user.id,) if user is not None else ()
        audience = room.audience()
        elsewhere = user is not None and (user not in room.members or room.key in user.silenced)
        if user is not None and elsewhere and not quiet:
            audience += user.peers()
        entry = self.order(
            kind, room.name, *fields, conversation=entries.room(room.key), users=users, by=by
        )
        self.tell(entry, audience, by.peer if by is not None else None)
        return entry

    def time(self) -> str:
        """The time now in RFC 3339 form. It never goes back, so that it agrees with `seq`."""
        now = self.world.now()
        if now != self._now:
            self._now = now
            self._stamp = max(self._stamp, stamp(now))
        return self._stamp

    def expect_storing(self) -> None:
        """For what would be begun, and not be there any more later. Refusal `not-stored`."""
        if self.failing is not None:
            raise not_stored(self.failing)

    def restore(self) -> None:
        """Make the state what the log says it is. Connections stay with their sessions.

        Timers are gone afterwards (sessions.settle sets them). Raises `StoreError`; the state is
        then what it was.
        """
        old, self.state = self.state, _from_log(self.log)
        self.stale = False
        for newest in self.log.entries(self.log.newest - 1):
            self._stamp = max(self._stamp, newest.fact.at)  # the clock may have been set back since
        for session in old.sessions.values():
            if session.timer is not None:
                session.timer.cancel()
            again = self.state.sessions.get(session.id)
            if again is not None:
                again.user.away = session.user.away
                again.seen = session.seen
            if session.peer is not None:
                session.peer.session = again
                if again is not None:
                    again.peer = session.peer
                    again.user.forget_peers()

    def commit_failed(self, why: str) -> None:
        """Nothing of this tick is stored: tell nobody of it, and those who asked that it is not.

        Until `failing` is taken back, nothing durable is tried. Raises `StoreError` as `restore`.
        """
        self.failing = why
        self.stale = True
        self.audit.clear()
        out, self.out = self.out, []
        refusal = not_stored(why)
        for item in out:
            if isinstance(item, Told):
                for post in _asked(item.command):
                    error = Error(post.id, refusal.code, refusal.text)
                    self.answer(item.asker, error, post)
            elif isinstance(item, Answer) and getattr(item.event, "code", "") in _BY_ENTRY:
                # It is closed, but what it was to be told of is not so.
                text = f"the server could not go on here ({why}): connect again"
                self.answer(item.peer, Error(code=refusal.code, text=text))
            elif isinstance(item, Close) or (isinstance(item, Answer) and item.command is None):
                self.out.append(item)  # what nobody asked for is true all the same
            elif isinstance(item, Answer):
                assert item.command is not None
                error = Error(item.command.id, refusal.code, refusal.text)
                self.answer(item.peer, error, item.command)
                if isinstance(item.command, Hello | Auth | Secret):
                    # Whoever it is now, it can come again.
                    if item.peer.session is not None:
                        item.peer.session.attach(None)
                    self.close(item.peer)
        self.restore()

    # Who is told

    def tell(self, entry: Entry, peers: tuple[Peer, ...], author: Peer | None) -> None:
        """Tell `peers` of an entry, but for `author`."""
        self.out.append(Told(entry, peers, (author,) if author is not None else ()))

    def note(self, who: str, what: str, whom: str = "", text: str = "") -> None:
        """Add a line to the audit log, when what it says is committed."""
        self.audit.append(Noted(self.time(), who, what, whom, text))

    def take_notes(self) -> list[Noted]:
        """What is to be added to the audit log now."""
        notes, self.audit = self.audit, []
        return notes

    def answer(self, peer: Peer | None, event: Event, command: Command | None = None) -> None:
        """Tell one connection alone; nobody where it is None."""
        if peer is not None:
            self.out.append(Answer(event, peer, command))

    def close(self, peer: Peer) -> None:
        """End a connection after what it was told so far; what it sent besides is dropped."""
        peer.closing = True
        self.out.append(Close(peer))

    def done(self, session: Session, command: Command, entry: Entry | None = None) -> None:
        """Answer that it is done, and with which entry."""
        fact: Fact | None = entry.fact if entry is not None else None
        ok = Ok(command.id, fact.seq, fact.at) if fact is not None else Ok(command.id)
        self.answer(session.peer, ok, command)

    # Who and where

    def room(self, text: str, user: User) -> Room:
        """The room of that name (or `#name`) that `user` may see. Refusal `no-such-room`."""
        name = text.removeprefix("#")
        room = self.state.rooms.get(names.key(name))
        if room is None or not sees(user, room):
            known = {key: room for key, room in self._some(self.state.rooms) if sees(user, room)}
            hint = _guess(name, known) or "/rooms lists them"
            raise Refusal("no-such-room", f"there is no room #{_short(name)}: {hint}")
        return room

    def own_room(self, user: User, text: str) -> Room:
        """The room of that name, of which `user` is a member. Refusal `not-a-member`."""
        name = text.removeprefix("#")
        room = user.rooms.get(names.key(name))
        if room is None:
            raise Refusal(
                "not-a-member", f"you are not in #{_short(name)}: type /join {_short(name)} first"
            )
        return room

    def user(self, text: str, asker: User | None = None) -> User:
        """The user of that name, with or without `@`, who is online or has an account.

        A guest who has blocked `asker` seems not to be there. Refusal `no-such-user`.
        """
        name = text.removeprefix("@")
        user = self.state.named(names.key(name))
        if user is None or (user.account is None and asker in user.blocked):
            known = {
                key: each for key, each in self._some(self.state.names) if asker not in each.blocked
            }
            hint = _guess(name, known) or "/who lists who is here"
            raise Refusal("no-such-user", f"there is no user {_short(name)} here: {hint}")
        return user

    def free_name(self, text: str, user: User | None = None) -> str:
        """The name in the form to keep. Refusal `bad-name`, or `name-in-use` by another."""
        name = names.user(text)
        key = names.key(name)
        if self.state.named(key) not in (None, user):
            raise Refusal("name-in-use", f"the name {name} is in use: choose another")
        other = self.state.looks.get(names.skeleton(name), user)
        if other is not user and other is not None:
            raise Refusal(
                "name-in-use",
                f"the name {name} looks like {other.name}, which is in use: choose another",
            )
        return name

    @staticmethod
    def _some(known: dict[str, T]) -> Iterator[tuple[str, T]]:
        return islice(known.items(), _GUESSES)


def sees(user: User, room: Room) -> bool:
    """Whether a user may know that a room is there."""
    return not room.private or user in room.members or user in room.invited or is_admin(user)


def is_admin(user: User) -> bool:
    """Whether a user sees to the whole server."""
    return user.account is not None and user.account.admin


def _asked(command: Command | Posts | None) -> Sequence[Command]:
    if command is None:
        return ()
    return command.each() if isinstance(command, Posts) else (command,)


def _guess(name: str, known: Mapping[str, User | Room]) -> str:
    meant = names.closest(names.key(name[: names.LONGEST]), known)
    return f"did you mean {known[meant].name}?" if meant else ""


def stamp(now: int) -> str:
    """A time in milliseconds since 1970 as facts have it."""
    seconds, milliseconds = divmod(now, 1_000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@lru_cache(maxsize=4)
def _second(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).replace(tzinfo=None).isoformat()


def rfc3339(moment: datetime) -> str:
    """A time, which knows its zone, as facts have it: in UTC, with milliseconds."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _from_log(log: Log) -> State:
    saved = log.snapshot()
    after, state = (saved[0], snapshot.load(saved[1])) if saved is not None else (0, State())
    for entry in log.entries(after):
        try:
            state.apply(entry)
        except LookupError as error:
            raise StoreError(f"the log is damaged: entry {entry.seq} fits no other") from error
    return state


def not_stored(why: str) -> Refusal:
    """The refusal of what cannot be stored."""
    return Refusal("not-stored", f"that could not be stored ({why}): try again later")


def _short(name: str) -> str:
    """A name that may be none, cut to the length of one."""
    return name if len(name) <= names.LONGEST else name[: names.LONGEST] + "…"
