"""What a user wants to hear: whom it blocks, and the rooms that it does not follow.

To who is blocked, the blocker looks offline: direct messages get nowhere, and nobody says why.
"""

from __future__ import annotations

from selchat.errors import Refusal
from selchat.hub.hub import Hub
from selchat.hub.state import Session
from selchat.model import commands, events, names

_SHOWN = 50
"""Names in a list of who is blocked."""


def block(hub: Hub, session: Session, command: commands.Block) -> None:
    """Hear nothing of a user any more; or list those who are blocked."""
    user = session.user
    if command.user is None:
        blocked = sorted(other.name for other in user.blocked)
        shown = ", ".join(blocked[:_SHOWN]) + (", …" if len(blocked) > _SHOWN else "")
        text = f"you block {shown}" if blocked else "you block nobody"
        hub.answer(session.peer, events.Notice("blocked", text, command.id), command)
        return
    other = hub.user(command.user)
    if other is user:
        raise Refusal("not-allowed", "that is you: choose another")
    if len(user.blocked) >= hub.settings.blocks_per_user:
        raise Refusal("too-many", "you block too many: /unblock somebody first")
    _block(hub, session, command, other.id, other.name, on=True)


def unblock(hub: Hub, session: Session, command: commands.Unblock) -> None:
    """Hear a user again."""
    key = names.key(command.user.removeprefix("@"))
    found = next((one for one in session.user.blocked if names.key(one.name) == key), None)
    if found is None:
        raise Refusal("not-blocked", "you do not block anybody of that name: /block lists them")
    _block(hub, session, command, found.id, found.name, on=False)


def _block(
    hub: Hub,
    session: Session,
    command: commands.Block | commands.Unblock,
    whom: int,
    name: str,
    *,
    on: bool,
) -> None:
    user, entry = session.user, None
    if any(other.id == whom for other in user.blocked) is not on:
        entry = hub.order(events.Blocked, user.id, whom, on, users=(user.id,), by=session)
    command.user = name
    hub.done(session, command, entry)


def mute_room(hub: Hub, session: Session, command: commands.MuteRoom) -> None:
    """Stay in a room and be told nothing of it."""
    _silence(hub, session, command, on=True)


def unmute_room(hub: Hub, session: Session, command: commands.UnmuteRoom) -> None:
    """Be told again what is said in a room."""
    _silence(hub, session, command, on=False)


def _silence(
    hub: Hub, session: Session, command: commands.MuteRoom | commands.UnmuteRoom, *, on: bool
) -> None:
    user, entry = session.user, None
    room = hub.own_room(user, command.room)
    if on and len(user.silenced) >= hub.settings.rooms_per_user:
        for key in user.silenced - user.rooms.keys():  # those that it left since
            hub.order(events.Silenced, user.id, key, False, users=(user.id,), by=session)
    if (room.key in user.silenced) is not on:
        entry = hub.order(events.Silenced, user.id, room.name, on, users=(user.id,), by=session)
    command.room = room.name
    hub.done(session, command, entry)
