"""What a client can ask, one class a command.

The class is the syntax in every tongue. In JSON its fields are the members of the object and its
tag is `type`. A person types `/` and the tag, then the fields that `words` names, in that order:
those without a default are required, and `text` takes the rest of the line. So `Topic` is
`{"type":"topic","room":"dev","text":"…"}` and `/topic ROOM [TEXT]`. Who may use a command, what
does it and its help are columns of the table in hub/dispatch.py.
"""

# No annotations from __future__: msgspec would have to compile the text of each, at every start.

from functools import cache
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct
from msgspec.structs import fields

from selchat.scram import Verifier

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

    Who is registered logs in with the `device` that the server made for this client, or with its
    password: `auth` is then the first word of SCRAM (client-first-message). `join_password` is
    for a server that has one.
    """

    user: str
    version: int = VERSION
    token: str | None = None
    after: Seq | None = None
    log: str | None = None
    device: str | None = None
    auth: str | None = None
    join_password: str | None = None


class Auth(Command):
    """The client's further word in a log-in with a password, or before `passwd` (SCRAM)."""

    data: str


class Secret(Command):
    """A line that was asked for as a password (text tongue)."""

    text: str


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


class Posts(Struct, gc=False):
    """Neighbouring posts of text to one target: what the text tongue makes of lines that came
    together, since it takes little more work to handle them at once than one of them. Where they
    are `plain` (clean.py) nobody has to look at them again: that is how many characters they have
    together, or a little more, and else 0.
    """

    to: str
    texts: list[str]
    plain: int = 0
    id: None = None

    def each(self) -> list[Post]:
        """What they are one by one."""
        return [Post(to=self.to, text=text) for text in self.texts]


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


class Register(Command):
    """Make one's name an account: `verifier` is made of the password by the client.

    Who types text gives the `password` itself. `invitation` is the word of one, where it takes one.
    """

    words = ("password", "invitation")
    password: str | None = None
    invitation: str | None = None
    verifier: Verifier | None = None


class Passwd(Command):
    """Take another password: `proof` answers a challenge that was asked for with `auth`, and
    `verifier` is made of the new password. Who types text gives the passwords themselves.
    """

    words = ("old", "new")
    old: str | None = None
    new: str | None = None
    proof: str | None = None
    verifier: Verifier | None = None


class Remember(Command):
    """Ask for a token to log in with from now on, in the place of the password."""


class Logout(Command):
    """End the session, and forget the device that it was begun with."""

    words = ()


class Sessions(Command):
    """List one's own sessions and devices, or end the one with the number `end`."""

    words = ("end",)
    end: Seq | None = None


class Op(Command):
    """Give a member of a room a role: `moderator` unless it is said, or `owner`."""

    words = ("room", "user", "role")
    room: str
    user: str
    role: Literal["moderator", "owner"] = "moderator"


class Deop(Command):
    """Make an owner or a moderator a mere member."""

    words = ("room", "user")
    room: str
    user: str


class Kick(Command):
    """Put a member out of a room; it may come back."""

    words = ("room", "user", "text")
    room: str
    user: str
    text: str = ""


class Ban(Command):
    """Put a user out of a room, for good."""

    words = ("room", "user", "text")
    room: str
    user: str
    text: str = ""


class Unban(Command):
    """Let a user enter a room again."""

    words = ("room", "user")
    room: str
    user: str


class Mute(Command):
    """Let a user say nothing in a room."""

    words = ("room", "user")
    room: str
    user: str


class Unmute(Command):
    """Let a user speak in a room again."""

    words = ("room", "user")
    room: str
    user: str


class Invite(Command):
    """Let a user enter a room that is private."""

    words = ("room", "user")
    room: str
    user: str


class Private(Command):
    """Make a room private: for members and who is invited, and not listed."""

    words = ("room", "on")
    room: str
    on: Literal["on", "off"]


class Delete(Command):
    """Take a message away: the one with `seq`, else the last one of `user`, or of one's own."""

    words = ("to", "user")
    to: str
    user: str | None = None
    seq: Seq | None = None


class Edit(Command):
    """Change one's own message: the one with `seq`, else the last one."""

    words = ("to", "text")
    to: str
    text: str
    seq: Seq | None = None


class Block(Command):
    """Hear nothing of a user; without one, list who is blocked."""

    words = ("user",)
    user: str | None = None


class Unblock(Command):
    """Hear a user again."""

    words = ("user",)
    user: str


class MuteRoom(Command, tag="mute-room"):
    """Stay in a room and hear nothing of it."""

    words = ("room",)
    room: str


class UnmuteRoom(Command, tag="unmute-room"):
    """Hear a room again."""

    words = ("room",)
    room: str


class Kill(Command):
    """End the sessions of a user."""

    words = ("user", "text")
    user: str
    text: str = ""


class Announce(Command):
    """Say something to everybody."""

    words = ("text",)
    text: str


class BanAddress(Command, tag="ban-address"):
    """Let nobody connect from an address or a network, for some hours or for ever."""

    words = ("network", "hours")
    network: str
    hours: Annotated[float, Meta(gt=0, le=1e6)] | None = None


class UnbanAddress(Command, tag="unban-address"):
    """Let an address or a network connect again."""

    words = ("network",)
    network: str


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
    | Auth
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
    | Edit
    | Delete
    | Register
    | Passwd
    | Remember
    | Sessions
    | Logout
    | Block
    | Unblock
    | MuteRoom
    | UnmuteRoom
    | Invite
    | Kick
    | Ban
    | Unban
    | Mute
    | Unmute
    | Private
    | Op
    | Deop
    | Kill
    | Announce
    | BanAddress
    | UnbanAddress
    | Help
    | Quit
    | Ping
    | Pong
)
"""What a client says in the JSON tongue."""

ALL: tuple[type[Command], ...] = (*AnyCommand.__args__, Secret)


def name(command: type[Command]) -> str:
    """The command's name: its `type` in JSON, and what is typed after the `/`."""
    return str(command.__struct_config__.tag)


TYPED = {name(command): command for command in ALL if command.words is not None}
"""The commands that a person types, by name."""

_LABELS = {
    "of": "TARGET",
    "to": "TARGET",
    "limit": "N",
    "end": "N",
    "on": "on|off",
    "role": "moderator|owner",
}


@cache
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
