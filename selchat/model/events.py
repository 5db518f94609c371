"""What a session can be told, one class an event.

Three kinds. *Facts* stand in the log: they carry `seq` and `at` and are told to all whom they
concern, after the commit. *Answers* go to the one who asked and carry the `id` of the command.
*Passing* events are neither: whoever misses one has missed nothing.

`at` is UTC with milliseconds in RFC 3339 form, `2026-01-31T12:00:00.123Z`. Names in events are
as they were when the event happened. Rooms stand without `#` in a field called `room`, and with
it in `to` and `of`, where `@` marks a user.
"""

# No annotations from __future__: msgspec would have to compile the text of each, at every start.

from typing import Literal

from msgspec import Struct, field

from selchat.scram import Verifier

LEFT = "left"
QUIT = "quit"
LOST = "lost connection"
KICKED = "kicked"
BANNED = "banned"
KILLED = "removed"

Role = Literal["owner", "moderator", "member"]
"""What a user may do in a room: a moderator sees to order, an owner says who is one."""

OWNER: Role = "owner"
MODERATOR: Role = "moderator"
MEMBER: Role = "member"


class Event(Struct, tag_field="type", tag=str.lower, omit_defaults=True, gc=False):
    """The root of all events."""


class Fact(Event):
    """Something durable, in its place in the log."""

    seq: int
    at: str

    @property
    def first(self) -> int:
        """Its `seq` too, where it is not several facts in one (`Messages`)."""
        return self.seq


class Message(Fact):
    """A message to a room or a user; `action` where it says what its author does (`/me`).

    `id` is there only when a session is given back a post of its own, on a resume. Of a `deleted`
    one the text is gone; of an `edited` one it is the new text.
    """

    to: str
    from_: str = field(name="from")
    text: str
    action: bool = False
    id: str | None = None
    edited: bool = False
    deleted: bool = False


class Messages(Fact):
    """Neighbouring messages of one session to one target, kept as one: they came together, and are
    ordered, stored and encoded together. `seq` is that of the last. Readers are told of each.
    """

    to: str
    from_: str = field(name="from")
    texts: list[str]

    @property
    def first(self) -> int:
        """The `seq` of the first of them."""
        return self.seq - len(self.texts) + 1

    def each(self) -> list[Message]:
        """What they are one by one."""
        at, to, name = self.at, self.to, self.from_
        return [Message(seq, at, to, name, text) for seq, text in enumerate(self.texts, self.first)]


class Joined(Fact):
    """`user` entered `room`; who makes it is its `owner`."""

    room: str
    user: str
    owner: bool = False


class Left(Fact):
    """`user` is no longer in `room`. A link that broke reads differently from a `quit`.

    Where others made it go (`kicked`, `banned`, `removed` from the server) `by` says who that was,
    and `why` what for.
    """

    room: str
    user: str
    reason: Literal["left", "quit", "lost connection", "kicked", "banned", "removed"]
    by: str | None = None
    why: str = ""


class Topic(Fact):
    """`user` set the topic of `room`; an empty `text` clears it."""

    room: str
    user: str
    text: str


class Renamed(Fact):
    """`user` is called `name` from now on; told in each room that the user is in."""

    room: str | None
    user: str
    name: str


class Ranked(Fact):
    """`by` made `user` an owner, a moderator or a mere member of `room`."""

    room: str
    user: str
    role: Role
    by: str


class Muted(Fact):
    """`by` took from `user` the right to say something in `room`, or gave it back (`on`)."""

    room: str
    user: str
    on: bool
    by: str


class Banned(Fact):
    """`by` let `user` not enter `room` any more, or again (`on`)."""

    room: str
    user: str
    on: bool
    by: str


class Invited(Fact):
    """`by` lets `user` enter `room`, which may be private."""

    room: str
    user: str
    by: str


class Private(Fact):
    """`by` made `room` private, for those who are invited, or open to all (`on`)."""

    room: str
    on: bool
    by: str


class Deleted(Fact):
    """`user` took the text of the message with the `seq` `of` away; it was said by `author`."""

    to: str
    of: int
    user: str
    author: str


class Edited(Fact):
    """`from` changed the text of its message with the `seq` `of` to `text`."""

    to: str
    of: int
    from_: str = field(name="from")
    text: str


Told = (
    Message
    | Joined
    | Left
    | Topic
    | Renamed
    | Ranked
    | Muted
    | Banned
    | Invited
    | Private
    | Deleted
    | Edited
)
"""The facts that sessions are told."""


class Opened(Fact):
    """A session began. Never told.

    With it began the user of the same id, unless it is a session of the `account` with that id,
    which came with the `device` of that number, or with its password (0).
    `token` is the SHA-256 of a token session's token in hexadecimal, None for a bare session.
    """

    user: str
    token: str | None
    account: int = 0
    device: int = 0


class Returned(Fact):
    """A session that had gone offline came back, as `user`. Never told."""

    user: str


class Gone(Fact):
    """A session went offline. Never told. If its user has no account, the name is free.

    With `for_good` the session is over; without, its token still finds it. `seen` is the newest
    entry when its connection was lost, 0 where it had one to the end.
    """

    for_good: bool
    seen: int = 0


class Registered(Fact):
    """The session's user has an account from now on, under its name. Never told.

    `invitation` is the number of the invitation that was used, 0 for none.
    """

    verifier: Verifier
    invitation: int = 0


class Changed(Fact):
    """The account `user` has another password, and no devices. Never told."""

    user: int
    verifier: Verifier


class Device(Fact):
    """The session's user may log in with the token whose SHA-256 is `token`. Never told.

    Its number is the `seq`.
    """

    token: str


class Revoked(Fact):
    """The account `user` has that device no more. Never told."""

    user: int
    device: int


class Admin(Fact):
    """The account with the id `user` sees to the whole server, or no more (`on`). Never told."""

    user: int
    on: bool
    by: str


class Blocked(Fact):
    """`user`, an id, hears nothing of the user with the id `whom`, or again (`on`). Never told."""

    user: int
    whom: int
    on: bool


class Silenced(Fact):
    """The user with the id `user` is told nothing of `room`, or again (`on`). Never told."""

    user: int
    room: str
    on: bool


class Excluded(Fact):
    """Nobody may connect from the addresses of `network` until the time `until` (as `at`; empty:
    for ever), or again (`on`). Never told.
    """

    network: str
    until: str
    on: bool
    by: str


class Invitation(Fact):
    """An account may be registered with the word whose SHA-256 is `word`, `uses` times, until the
    time `until`. Never told. Its number is the `seq`.
    """

    word: str
    uses: int
    until: str


class Withdrawn(Fact):
    """The invitation of that number is no more good. Never told."""

    invitation: int


class Welcome(Event):
    """The first line of a session: who one is, the token that brings one back, the newest `seq`
    of the log with that id, the rooms that one is in already, and the longest line in bytes that
    the server reads. `account` says that one is registered; `proof` is the server's last word in a
    log-in with a password (server-final-message).
    """

    user: str
    token: str | None
    seq: int
    log: str
    version: str
    line_limit: int
    rooms: list[str]
    account: bool = False
    proof: str | None = None


class Challenge(Event):
    """The server's word in a log-in with a password (SCRAM, RFC 5802): answer it with `auth`."""

    data: str
    id: str | None = None


class Wanted(Event):
    """What the next line of a reader of text is taken for: `password` of `user`, who is registered,
    or the `server` password.
    """

    what: Literal["password", "server"]
    user: str = ""


class Remembered(Event):
    """The token with which this client can log in from now on: to be kept as a password is."""

    id: str | None
    device: str


class Ok(Event):
    """Done; with `seq` and `at` if it made an entry, and then that entry is durable."""

    id: str | None = None
    seq: int | None = None
    at: str | None = None


class Error(Event):
    """Not done, or not understood: `code` for programs, `text` for people."""

    id: str | None = None
    code: str = "error"
    text: str = ""


class History(Event):
    """A page of a conversation, oldest first; `more` where the direction asked goes on.

    In a conversation between two, `mine` are the `seq`s of what the asker said: names alone do not
    tell, since people change them.
    """

    id: str | None
    of: str
    entries: list[Told]
    more: bool
    mine: list[int] = []


class Found(Event):
    """What a search for `text` found, newest first; `more` where there is more."""

    id: str | None
    text: str
    entries: list[Message]
    more: bool


class Room(Event):
    """What can be seen of a room: an answer to a question for its topic, or a line of a list."""

    id: str | None = None
    room: str = ""
    topic: str = ""
    members: int = 0
    private: bool = False


class Rooms(Event):
    """The rooms there are, the largest first; `omitted` is how many more there are."""

    id: str | None
    rooms: list[Room]
    omitted: int = 0


class User(Struct, omit_defaults=True):
    """One line of `Users`; `away` is the reason given, None for who is here. A registered user may
    be a member of a room and not `online`; `role` is what it has in the room that was asked for.
    """

    user: str
    away: str | None = None
    online: bool = True
    role: Role = "member"
    muted: bool = False


class Users(Event):
    """The members of `room`, or everybody where it is None; `omitted` is how many more."""

    id: str | None
    room: str | None
    users: list[User]
    omitted: int = 0


class Session(Struct, omit_defaults=True):
    """One line of `Sessions`: a session, or a device that has none now. `number` ends it."""

    number: int
    online: bool
    since: str
    own: bool = False
    device: bool = False
    """Whether it can log in without the password."""


class Sessions(Event):
    """The sessions and devices of the asker's account."""

    id: str | None
    sessions: list[Session]


class Usage(Struct):
    """One line of `Help`: what to type, and what it does."""

    usage: str
    help: str


class Help(Event):
    """The commands, from the dispatcher's table."""

    id: str | None
    commands: list[Usage]


class Notice(Event):
    """Something to know that is no error, such as the server's end; `code` for programs. It has an
    `id` where it is the answer to a command.
    """

    code: str
    text: str
    id: str | None = None


class Ping(Event):
    """A question for a sign of life: answer with a `pong`."""


class Pong(Event):
    """The answer to a `ping`."""

    id: str | None = None


AnyFact = (
    Told
    | Messages
    | Opened
    | Returned
    | Gone
    | Registered
    | Changed
    | Device
    | Revoked
    | Admin
    | Blocked
    | Silenced
    | Excluded
    | Invitation
    | Withdrawn
)
"""What stands in the log."""

AnyEvent = (
    Told
    | Welcome
    | Challenge
    | Remembered
    | Ok
    | Error
    | History
    | Found
    | Room
    | Rooms
    | Users
    | Sessions
    | Help
    | Notice
    | Ping
    | Pong
)
"""What goes over the wire."""
