"""Who may do what: the check behind the column `who` of the table, and the roles of rooms.

A moderator sees to order among mere members; an owner says who is what, and may do all of it to
anybody. Server admins may do what owners may, in every room.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from selchat.errors import Refusal
from selchat.hub.hub import Hub, is_admin
from selchat.hub.state import Room, Session, User
from selchat.model import commands, events, names
from selchat.model.clean import clean_line
from selchat.model.entries import Entry

_REASON = 200
"""Characters of a reason: it stands in one line with two names."""

_RANK = {events.MEMBER: 0, events.MODERATOR: 1, events.OWNER: 2}


class Who(IntEnum):
    """Who may use a command; who comes later may all that those before may."""

    ANYBODY = 0
    """Before the log-in, too."""
    GUEST = 1
    """Logged in, even where guests may not talk."""
    USER = 2
    """Guests where they may talk, and who is registered."""
    ACCOUNT = 3
    """Who is registered."""
    MODERATOR = 4
    """A moderator or owner of the command's room."""
    OWNER = 5
    """An owner of the command's room."""
    ADMIN = 6
    """Who sees to the whole server."""


def check(hub: Hub, session: Session, command: Any, who: Who) -> None:
    """Raise a `Refusal` that says why the user of `session` may not use `command`."""
    user = session.user
    if who >= Who.USER and user.account is None and not hub.settings.guests:
        raise Refusal(
            "account-required", f"guests may not talk here: /register makes {user.name} an account"
        )
    if who <= Who.USER or is_admin(user):
        return
    if who == Who.ADMIN:
        raise Refusal("not-allowed", "that is for the admins of this server")
    if who == Who.ACCOUNT:
        if user.account is None:
            raise Refusal(
                "account-required", f"that is for registered names: /register makes {user.name} one"
            )
        return
    room = hub.own_room(user, command.room)
    least = events.OWNER if who == Who.OWNER else events.MODERATOR
    if _RANK[room.role(user)] < _RANK[least]:
        raise Refusal("not-allowed", f"that takes {_a(least)} of #{room.name}: {_ask(room, least)}")


def _a(role: events.Role) -> str:
    return f"an {role}" if role == events.OWNER else f"a {role}"


def _ask(room: Room, least: events.Role) -> str:
    those = [user.name for user, role in room.roles.items() if _RANK[role] >= _RANK[least]]
    return f"ask {' or '.join(those[:3])}" if those else "it has none, so ask an admin"


def _room(hub: Hub, session: Session, text: str) -> Room:
    """The room that a moderator's command is about: the admins need not be in it."""
    if is_admin(session.user):
        return hub.room(text, session.user)
    return hub.own_room(session.user, text)


def _target(hub: Hub, session: Session, room: Room, text: str) -> User:
    """The user whom a command is about, whom the asker may act upon. Refusals."""
    user = hub.user(text)
    actor = session.user
    if user is actor or is_admin(actor) or room.role(actor) == events.OWNER:
        return user
    if room.role(user) != events.MEMBER:
        raise Refusal(
            "not-allowed", f"{user.name} is {_a(room.role(user))}: {_ask(room, events.OWNER)}"
        )
    return user


def _member(room: Room, user: User) -> None:
    if user not in room.members:
        raise Refusal("not-a-member", f"{user.name} is not in #{room.name}: /who {room.name}")


def reason(text: str) -> str:
    """Why somebody does something to another, in one line. Refusal `too-long`."""
    text = clean_line(text).strip()
    if len(text) > _REASON:
        raise Refusal("too-long", f"a reason has at most {_REASON} characters: say it shorter")
    return text


# The commands


def op(hub: Hub, session: Session, command: commands.Op) -> None:
    """Make a member a moderator or an owner."""
    room = _room(hub, session, command.room)
    user = hub.user(command.user)
    if room.role(user) == command.role:
        hub.done(session, command)
        return
    _member(room, user)
    _keep_an_owner(room, user, command.role)
    _rank(hub, session, room, user, command.role, command)


def deop(hub: Hub, session: Session, command: commands.Deop) -> None:
    """Make an owner or a moderator a mere member."""
    room = _room(hub, session, command.room)
    user = hub.user(command.user)
    if room.role(user) == events.MEMBER:
        raise Refusal("not-allowed", f"{user.name} is no moderator of #{room.name}")
    _keep_an_owner(room, user, events.MEMBER)
    _rank(hub, session, room, user, events.MEMBER, command)


def _keep_an_owner(room: Room, user: User, role: events.Role) -> None:
    owners = [one for one, its in room.roles.items() if its == events.OWNER]
    if role != events.OWNER and owners == [user]:
        raise Refusal(
            "not-allowed", f"#{room.name} would have no owner: /op {room.name} NAME owner first"
        )


def _rank(
    hub: Hub,
    session: Session,
    room: Room,
    user: User,
    role: events.Role,
    command: commands.Op | commands.Deop,
) -> None:
    command.room, command.user = room.name, user.name
    by = session.user.name
    entry = hub.order_in(room, events.Ranked, user.name, role, by, by=session, user=user)
    hub.done(session, command, entry)


def kick(hub: Hub, session: Session, command: commands.Kick) -> None:
    """Put a member out of a room; it may come back."""
    room = _room(hub, session, command.room)
    user = _target(hub, session, room, command.user)
    _member(room, user)
    if user is session.user:
        raise Refusal("not-allowed", f"that is you: /leave {room.name} leaves")
    command.room, command.user, command.text = room.name, user.name, reason(command.text)
    entry = put_out(hub, session, room, user, events.KICKED, command.text)
    hub.done(session, command, entry)


def put_out(hub: Hub, session: Session, room: Room, user: User, why: str, text: str) -> Entry:
    """Take a user out of a room, and tell it and the members."""
    by = session.user.name
    return hub.order_in(room, events.Left, user.name, why, by, text, by=session, user=user)


def ban(hub: Hub, session: Session, command: commands.Ban) -> None:
    """Put a user out of a room, for good. Of a guest it is the name that is banned."""
    room = _room(hub, session, command.room)
    text = reason(command.text)
    name = names.user(command.user.removeprefix("@"))
    if len(room.bans) >= hub.settings.bans_per_room:
        raise Refusal("too-many", f"#{room.name} has too many bans: /unban somebody first")
    user = hub.state.named(names.key(name))
    if user is not None:
        user = _target(hub, session, room, name)
        if user is session.user:
            raise Refusal("not-allowed", f"that is you: /leave {room.name} leaves")
        name = user.name
    command.room, command.user, command.text = room.name, name, text
    by = session.user.name
    entry = None
    if user is None or not room.banned(user):
        entry = hub.order_in(room, events.Banned, name, True, by, by=session, user=user)
    if user is not None and user in room.members:
        entry = put_out(hub, session, room, user, events.BANNED, text)
    hub.done(session, command, entry)


def unban(hub: Hub, session: Session, command: commands.Unban) -> None:
    """Let a user enter a room again."""
    room = _room(hub, session, command.room)
    key = names.key(command.user.removeprefix("@"))
    user = hub.state.named(key)
    if user is None or user.id not in room.bans:  # it may have had another name then
        found = [ban for ban, shown in room.bans.items() if key in (ban, names.key(shown))]
        if not found:
            shown = ", ".join(list(room.bans.values())[:10]) or "nobody"
            raise Refusal("not-banned", f"that name is not banned from #{room.name}: {shown} is")
        user = hub.state.users.get(found[0]) if isinstance(found[0], int) else None
    name = user.name if user is not None else room.bans.get(key, command.user)
    command.room, command.user = room.name, name
    by = session.user.name
    entry = hub.order_in(room, events.Banned, name, False, by, by=session, user=user)
    hub.done(session, command, entry)


def mute(hub: Hub, session: Session, command: commands.Mute) -> None:
    """Let a user say nothing in a room."""
    _mute(hub, session, command, on=True)


def unmute(hub: Hub, session: Session, command: commands.Unmute) -> None:
    """Let a user speak in a room again."""
    _mute(hub, session, command, on=False)


def _mute(
    hub: Hub, session: Session, command: commands.Mute | commands.Unmute, *, on: bool
) -> None:
    room = _room(hub, session, command.room)
    user = _target(hub, session, room, command.user)
    entry = None
    if (user in room.muted) is not on:
        if on:
            _member(room, user)
        by = session.user.name
        entry = hub.order_in(room, events.Muted, user.name, on, by, by=session, user=user)
    command.room, command.user = room.name, user.name
    hub.done(session, command, entry)


def invite(hub: Hub, session: Session, command: commands.Invite) -> None:
    """Let a user enter a room, which may be private. In one that is not, any member may."""
    room = _room(hub, session, command.room)
    actor = session.user
    if room.private and room.role(actor) == events.MEMBER and not is_admin(actor):
        raise Refusal(
            "not-allowed",
            f"#{room.name} is private: {_ask(room, events.MODERATOR)} to invite somebody",
        )
    user = hub.user(command.user, actor)
    command.room, command.user = room.name, user.name
    if user in room.members:
        raise Refusal("already-there", f"{user.name} is in #{room.name} already")
    if room.banned(user):
        raise Refusal("banned", f"{user.name} is banned from #{room.name}: /unban first")
    entry = None
    if user not in room.invited:
        if len(room.invited) >= hub.settings.bans_per_room:
            raise Refusal("too-many", f"#{room.name} has too many invitations that nobody used")
        quiet = actor in user.blocked
        entry = hub.order_in(
            room, events.Invited, user.name, actor.name, by=session, user=user, quiet=quiet
        )
    hub.done(session, command, entry)


def private(hub: Hub, session: Session, command: commands.Private) -> None:
    """Make a room private, or open it to all."""
    room = _room(hub, session, command.room)
    on = command.on == "on"
    command.room = room.name
    entry = None
    if room.private is not on:
        entry = hub.order_in(room, events.Private, on, session.user.name, by=session)
    hub.done(session, command, entry)
