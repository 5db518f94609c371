"""What a session can be told, one class an event.

Three kinds. *Facts* stand in the log: they carry `seq` and `at` and are told to all whom they
concern, after the commit. *Answers* go to the one who asked and carry the `id` of the command.
*Passing* events are neither: whoever misses one has missed nothing.

`at` is UTC with milliseconds in RFC 3339 form, `2026-01-31T12:00:00.123Z`. Names in events are
as they were when the event happened. Rooms stand without `#` in a field called `room`, and with
it in `to` and `of`, where `@` marks a user.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

LEFT = "left"
QUIT = "quit"
LOST = "lost connection"


class Event(Struct, tag_field="type", tag=str.lower, omit_defaults=True, gc=False):
    """The root of all events."""


class Fact(Event):
    """Something durable, in its place in the log."""

    seq: int
    at: str


class Message(Fact):
    """A message to a room or a user; `action` where it says what its author does (`/me`).

    `id` is there only when a session is given back a post of its own, on a resume.
    """

    to: str
    from_: str = field(name="from")
    text: str
    action: bool = False
    id: str | None = None


class Joined(Fact):
    """`user` entered `room`."""

    room: str
    user: str


class Left(Fact):
    """`user` is no longer in `room`. A link that broke reads differently from a `quit`."""

    room: str
    user: str
    reason: Literal["left", "quit", "lost connection"]


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


class Opened(Fact):
    """A session began, and with it the user of the same id. Never told.

    `token` is the SHA-256 of a token session's token in hexadecimal, None for a bare session.
    """

    user: str
    token: str | None


class Returned(Fact):
    """A session whose user had gone offline came back, as `user`. Never told."""

    user: str


class Gone(Fact):
    """A session's user went offline, its name is free. Never told.

    With `for_good` the session is over; without, its token still finds it.
    """

    for_good: bool


class Welcome(Event):
    """The first line of a session: who one is, the token that brings one back, the newest `seq`
    of the log with that id, the rooms that one is in already, and the longest line in bytes that
    the server reads.
    """

    user: str
    token: str | None
    seq: int
    log: str
    version: str
    line_limit: int
    rooms: list[str]


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
    entries: list[Message | Joined | Left | Topic | Renamed]
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


class Rooms(Event):
    """The rooms there are, the largest first; `omitted` is how many more there are."""

    id: str | None
    rooms: list[Room]
    omitted: int = 0


class User(Struct, omit_defaults=True):
    """One line of `Users`; `away` is the reason given, None for who is here."""

    user: str
    away: str | None = None


class Users(Event):
    """The members of `room`, or everybody where it is None; `omitted` is how many more."""

    id: str | None
    room: str | None
    users: list[User]
    omitted: int = 0


class Usage(Struct):
    """One line of `Help`: what to type, and what it does."""

    usage: str
    help: str


class Help(Event):
    """The commands, from the dispatcher's table."""

    id: str | None
    commands: list[Usage]


class Notice(Event):
    """Something to know that is no error, such as the server's end; `code` for programs."""

    code: str
    text: str


class Ping(Event):
    """A question for a sign of life: answer with a `pong`."""


class Pong(Event):
    """The answer to a `ping`."""

    id: str | None = None


AnyFact = Message | Joined | Left | Topic | Renamed | Opened | Returned | Gone
"""What stands in the log."""

Told = Message | Joined | Left | Topic | Renamed
"""The facts that sessions are told."""

AnyEvent = (
    Message
    | Joined
    | Left
    | Topic
    | Renamed
    | Welcome
    | Ok
    | Error
    | History
    | Found
    | Room
    | Rooms
    | Users
    | Help
    | Notice
    | Ping
    | Pong
)
"""What goes over the wire."""
