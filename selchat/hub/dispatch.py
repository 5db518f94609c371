"""THE TABLE: each command, what does it, who may, what it costs, and its help.

Arity and types are no column: they are the command's class (model/commands.py), checked where a
line is decoded, and `usage` reads them from there. The columns are checked in one place,
`dispatch`; `/help`, the README and docs/protocol.md are made from the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from selchat.errors import Refusal, StoreError
from selchat.hub import (
    accounts,
    admin,
    corrections,
    login,
    messages,
    personal,
    roles,
    rooms,
    search,
    sessions,
)
from selchat.hub.hub import Hub, not_stored
from selchat.hub.roles import Who
from selchat.hub.state import Peer, Session
from selchat.model import commands, events
from selchat.model.commands import Command


class Row(NamedTuple):
    """One command's policy."""

    handler: Callable[[Hub, Any, Any], None]
    """Called with the hub, the session (or the peer, for ANYBODY) and the command."""
    who: Who
    """Who may use it."""
    cost: int
    """What it takes from a sender's allowance, in messages: at most, where it names a `limit`."""
    help: str
    """What it does, for the one who types it; empty for what only programs say."""
    audit: bool = False
    """Whether its use stands in the audit log."""


def help_(hub: Hub, peer: Peer, command: commands.Help) -> None:
    """List the commands that can be typed, from this table."""
    hub.answer(peer, events.Help(command.id, typed()), command)


def ping(hub: Hub, peer: Peer, command: commands.Ping) -> None:
    """Show that the server is there."""
    hub.answer(peer, events.Pong(command.id), command)


def pong(hub: Hub, peer: Peer, command: commands.Pong) -> None:
    """A sign of life: that it came is all."""


TABLE: dict[type[Command], Row] = {
    commands.Hello: Row(login.hello, Who.ANYBODY, 5, ""),
    commands.Auth: Row(login.auth, Who.ANYBODY, 5, ""),
    commands.Secret: Row(login.secret, Who.ANYBODY, 5, ""),
    commands.Join: Row(rooms.join, Who.USER, 2, "enter a room; it is made if there is none"),
    commands.Leave: Row(rooms.leave, Who.USER, 2, "leave a room"),
    commands.Post: Row(messages.post, Who.USER, 1, "say something to a room, or to one user"),
    commands.Me: Row(messages.post, Who.USER, 1, "say what you do: /me #dev waves"),
    commands.Rooms: Row(rooms.rooms, Who.USER, 200, "list the rooms"),
    commands.Who: Row(rooms.who, Who.USER, 50, "list who is in a room, or everybody"),
    commands.Topic: Row(rooms.topic, Who.USER, 2, "show or set what a room is about"),
    commands.Away: Row(sessions.away, Who.USER, 1, "be away, or back without TEXT"),
    commands.Nick: Row(sessions.nick, Who.GUEST, 5, "take another name"),
    commands.History: Row(
        messages.history, Who.USER, 200, "show the last N things said in #ROOM or with @USER"
    ),
    commands.Search: Row(search.search, Who.USER, 200, "find what was said where you can read"),
    commands.Edit: Row(
        corrections.edit, Who.USER, 50, "change what you said last in #ROOM or to @USER"
    ),
    commands.Delete: Row(
        corrections.delete, Who.USER, 50, "take back what you, or as a moderator USER, said last"
    ),
    commands.Register: Row(
        accounts.register, Who.GUEST, 50, "make your name an account, with a password"
    ),
    commands.Passwd: Row(accounts.passwd, Who.ACCOUNT, 50, "take another password"),
    commands.Remember: Row(accounts.remember, Who.ACCOUNT, 20, ""),
    commands.Sessions: Row(accounts.list_, Who.USER, 20, "list your sessions, or end number N"),
    commands.Logout: Row(accounts.logout, Who.GUEST, 5, "leave, and have this client forgotten"),
    commands.Block: Row(
        personal.block, Who.USER, 5, "hear nothing of USER; without a name, list them"
    ),
    commands.Unblock: Row(personal.unblock, Who.USER, 5, "hear USER again"),
    commands.MuteRoom: Row(
        personal.mute_room, Who.USER, 2, "stay in a room and hear nothing of it"
    ),
    commands.UnmuteRoom: Row(personal.unmute_room, Who.USER, 2, "hear a room again"),
    commands.Invite: Row(roles.invite, Who.USER, 5, "let USER enter a room that is private"),
    commands.Kick: Row(roles.kick, Who.MODERATOR, 5, "put USER out of a room", audit=True),
    commands.Ban: Row(roles.ban, Who.MODERATOR, 5, "put USER out of a room for good", audit=True),
    commands.Unban: Row(roles.unban, Who.MODERATOR, 5, "let USER enter a room again", audit=True),
    commands.Mute: Row(roles.mute, Who.MODERATOR, 5, "let USER say nothing in a room", audit=True),
    commands.Unmute: Row(roles.unmute, Who.MODERATOR, 5, "let USER speak again", audit=True),
    commands.Private: Row(
        roles.private, Who.OWNER, 5, "let only who is invited enter a room", audit=True
    ),
    commands.Op: Row(roles.op, Who.OWNER, 5, "make USER a moderator, or an owner", audit=True),
    commands.Deop: Row(roles.deop, Who.OWNER, 5, "make USER a mere member", audit=True),
    commands.Kill: Row(admin.kill, Who.ADMIN, 20, "end all sessions of USER", audit=True),
    commands.Announce: Row(admin.announce, Who.ADMIN, 200, "say something to all", audit=True),
    commands.BanAddress: Row(
        admin.ban_address, Who.ADMIN, 200, "refuse an address or network", audit=True
    ),
    commands.UnbanAddress: Row(admin.unban_address, Who.ADMIN, 20, "accept it again", audit=True),
    commands.Help: Row(help_, Who.ANYBODY, 1, "list the commands"),
    commands.Quit: Row(sessions.quit_, Who.ANYBODY, 0, "leave the chat"),
    commands.Ping: Row(ping, Who.ANYBODY, 1, ""),
    commands.Pong: Row(pong, Who.ANYBODY, 0, ""),
}

ANYBODY, USER = Who.ANYBODY, Who.USER  # looked up for each command
_LEAST = 10
"""What a question costs at least, however little it asks for: finding it is work, too."""

_LOG_IN = (commands.Hello, commands.Auth, commands.Secret)


def cost(command: Command) -> int:
    """What a command takes from its sender's allowance, in messages."""
    most = TABLE[type(command)].cost
    if most > _LEAST and isinstance(command, commands.History | commands.Search) and command.limit:
        return max(_LEAST, min(most, command.limit))
    return most


def dispatch(hub: Hub, peer: Peer, command: Command) -> None:
    """Carry out a command, or tell its sender why not."""
    row = TABLE[type(command)]
    try:
        session = peer.session
        if hub.stale and (row.who is not ANYBODY or isinstance(command, _LOG_IN)):
            raise not_stored(hub.failing or "")
        if row.who is ANYBODY:
            row.handler(hub, peer, command)
        elif session is not None:
            if row.who is not USER or not hub.settings.guests:
                roles.check(hub, session, command, row.who)
            row.handler(hub, session, command)
            if row.audit:
                _note(hub, session, command)
        else:
            raise Refusal("not-logged-in", "say who you are first: hello")
    except Refusal as refusal:
        login.refuse(hub, peer, command, refusal)
    except StoreError as error:
        text = f"the log could not be read ({error}): try again later"
        hub.answer(peer, events.Error(command.id, "not-stored", text), command)


def dispatch_posts(hub: Hub, peer: Peer, posts: commands.Posts) -> None:
    """Carry out several posts at once, or one by one where they have to be looked at."""
    session = peer.session
    ready = session is not None and not hub.stale and hub.settings.guests
    if not (ready and session is not None and messages.say_all(hub, session, posts)):
        for post in posts.each():
            dispatch(hub, peer, post)


def _note(hub: Hub, session: Session, command: Any) -> None:
    """What was done, as it was understood."""
    whom = getattr(command, "user", "") or getattr(command, "network", "")
    room = getattr(command, "room", "")
    parts = ["#" + room] if room else []
    parts += [
        str(getattr(command, key))
        for key in ("role", "on", "hours", "text")
        if getattr(command, key, None)
    ]
    hub.note(session.user.name, commands.name(type(command)), whom, " ".join(parts))


def typed() -> list[events.Usage]:
    """How each command is typed, and what it does, in the order of the table."""
    return [
        events.Usage(usage, row.help)
        for command, row in TABLE.items()
        for usage in commands.usage(command)
    ]
