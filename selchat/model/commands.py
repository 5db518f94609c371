"""What a client can ask, one class a command.

The class is the syntax in every tongue. In JSON its fields are the members of the object and its
tag is `type`. A person types `/` and the tag, then the fields that `words` names, in that order:
those without a default are required, and `text` takes the rest of the line. So `Topic` is
`{"type":"topic","room":"dev","text":"…"}` and `/topic ROOM [TEXT]`. Who may use a command, what
does it and its help are columns of the table in hub/dispatch.py.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct
from msgspec.structs import fields

Id = Annotated[str, Meta(max_length=64, description="Comes back on the answer.")]
Seq = Annotated[int, Meta(ge=0, le=2**63 - 1, description="A place in the log.")]
Limit = Annotated[int, Meta(ge=1, le=2**63 - 1, description="Entries at most; capped silently.")]

VERSION = 1
"""The version of the JSON tongue that `Hello` names."""


class Command(Struct, tag_field="type", tag=str.lower, omit_defaults=True, kw_only=True, gc=False):
    """What all commands share.

    `id` is the client's own word for this request, unique in its session: it comes back on the
    answer, and a `Post` or `Me` repeated with the same one is not posted again.
    """

    words: ClassVar[tuple[str, ...] | None] = None
    """The fields that a person types; None for what only programs say."""

    id: Id | None = None


class Hello(Command):
    """Log in as `user`; or come back to a session with its `token`, the last `seq` seen in
    `after` and the `log` that the welcome named.
    """

    user: str
    version: int = VERSION
    token: str | None = None
    after: Seq | None = None
    log: str | None = None


class Join(Command):
    """Enter a room; it is created if there is none of that name."""

    words = ("room",)
    room: str


class Leave(Command):
    """Leave a room."""

    words = ("room",)
    room: str


class Post(Command):
    """Say something to a room (`to` is `#ROOM`) or to a user (`@USER`)."""

    to: str
    text: str


class Me(Command):
    """Say what one does: `/me #dev waves` shows as `[#dev] * alice waves`."""

    words = ("to", "text")
    to: str
    text: str


class Rooms(Command):
    """List the rooms."""

    words = ()


class Who(Command):
    """List the members of a room, or everybody."""

    words = ("room",)
    room: str | None = None


class Topic(Command):
    """Set a room's topic, or ask for it where `text` is left out."""

    words = ("room", "text")
    room: str
    text: str | None = None


class Away(Command):
    """Be away with a reason, or back where `text` is left out."""

    words = ("text",)
    text: str | None = None


class Nick(Command):
    """Take another name."""

    words = ("name",)
    name: str


class History(Command):
    """Ask for what was said in a conversation (`#ROOM` or `@USER`), in pages.

    Without `before` and `after` the newest page; with `before` the page that ends below that
    `seq`, with `after` the one that begins above it.
    """

    words = ("of", "limit")
    of: str
    limit: Limit | None = None
    before: Seq | None = None
    after: Seq | None = None


class Search(Command):
    """Find what was said, newest first, in all that the asker may see.

    `text` is the words that must all occur. `of` (`#ROOM` or `@USER`) and `by` (a user's name)
    narrow it; `before` and `after` are dates or times in RFC 3339 form, `below` is a `seq` to page
    on from.
    """

    words = ("text",)
    text: str
    of: str | None = None
    by: str | None = None
    before: str | None = None
    after: str | None = None
    below: Seq | None = None
    limit: Limit | None = None


class Help(Command):
    """List the commands."""

    words = ()


class Quit(Command):
    """End the session."""

    words = ()


class Ping(Command):
    """Ask for a sign of life; the answer is a `pong`."""


class Pong(Command):
    """Answer the server's `ping`."""


AnyCommand = (
    Hello
    | Join
    | Leave
    | Post
    | Me
    | Rooms
    | Who
    | Topic
    | Away
    | Nick
    | History
    | Search
    | Help
    | Quit
    | Ping
    | Pong
)

ALL: tuple[type[Command], ...] = AnyCommand.__args__


def name(command: type[Command]) -> str:
    """The command's name: its `type` in JSON, and what is typed after the `/`."""
    return str(command.__struct_config__.tag)


TYPED = {name(command): command for command in ALL if command.words is not None}
"""The commands that a person types, by name."""

_LABELS = {"of": "TARGET", "to": "TARGET", "limit": "N"}


def usage(command: type[Command]) -> tuple[str, ...]:
    """How a person types it, e.g. `("/topic ROOM [TEXT]",)`; empty for what only programs say."""
    if command is Post:
        return ("#ROOM MESSAGE", "@USER MESSAGE")
    if command is Quit:
        return ("quit",)
    if command is Search:
        return ("/search WORDS [in #ROOM|with @USER] [from @USER] [before|after DATE]",)
    if command.words is None:
        return ()
    required = {field.name for field in fields(command) if field.required}
    words = [f"/{name(command)}"]
    for word in command.words:
        label = _LABELS.get(word, word.upper())
        words.append(label if word in required else f"[{label}]")
    return (" ".join(words),)
