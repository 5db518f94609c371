"""Rooms: entering and leaving them, their topics, and who and what there is."""

from __future__ import annotations

from heapq import nlargest
from itertools import chain, islice

from selchat.errors import Refusal
from selchat.hub.hub import Hub, is_admin, sees
from selchat.hub.messages import not_muted, said_before
from selchat.hub.state import Room, Session, User
from selchat.model import commands, entries, events, names
from selchat.model.clean import clean_line

_TOPIC = 300
"""Characters in a topic: it is shown in lists, a line each."""


def join(hub: Hub, session: Session, command: commands.Join) -> None:
    """Enter a room; it is made if there is none of that name."""
    user = session.user
    name = names.room(command.room)
    key = names.key(name)
    room = hub.state.rooms.get(key)
    command.room = room.name if room is not None else name
    if key in user.rooms:
        hub.done(session, command)
        return
    _may_enter(hub, user, room, name)
    if key in user.silenced:  # since it was here before: who comes again wants to hear it
        hub.order(events.Silenced, user.id, name, False, users=(user.id,), by=session)
    entry = hub.order(
        events.Joined,
        command.room,
        user.name,
        room is None,
        conversation=entries.room(key),
        users=(user.id,),
        by=session,
    )
    room = hub.state.rooms[key]
    hub.tell(entry, room.audience(), session.peer)
    hub.done(session, command, entry)
    if session.token is None:  # a person at the other end, not a program that can ask
        if room.topic:
            hub.answer(session.peer, _seen(room), command)
        page = said_before(hub, user, "#" + room.name, entry)
        if page.entries:
            hub.answer(session.peer, page, command)


def _may_enter(hub: Hub, user: User, room: Room | None, name: str) -> None:
    """Raise a `Refusal` if it may not."""
    settings = hub.settings
    if len(user.rooms) >= settings.rooms_per_user:
        raise Refusal(
            "too-many-rooms",
            f"you are in {len(user.rooms)} rooms: /leave one before you enter more",
        )
    if room is None:
        if len(hub.state.rooms) >= settings.rooms:
            raise Refusal("too-many-rooms", "this server has no place for more rooms: /rooms")
        owned = sum(one.role(user) == events.OWNER for one in user.noted)
        if owned >= settings.rooms_per_user:
            raise Refusal(
                "too-many-rooms",
                f"you own {owned} rooms: enter one that is there, or make another its owner (/op)",
            )
        return
    if is_admin(user):
        return
    if room.banned(user):
        raise Refusal("banned", f"you are banned from #{room.name}: its moderators can change that")
    if room.private and user not in room.invited and user not in room.roles:
        raise Refusal(
            "invitation-required", f"#{name} is private: ask one of its moderators for an /invite"
        )
    if len(room.members) >= settings.members_per_room:
        raise Refusal("room-full", f"#{room.name} is full: try again later")


def leave(hub: Hub, session: Session, command: commands.Leave) -> None:
    """Leave a room."""
    user = session.user
    room = hub.own_room(user, command.room)
    command.room = room.name
    entry = hub.order_in(room, events.Left, user.name, events.LEFT, by=session, user=user)
    hub.done(session, command, entry)


def topic(hub: Hub, session: Session, command: commands.Topic) -> None:
    """Set a room's topic, or tell it."""
    if command.text is None:
        room = hub.room(command.room, session.user)
        hub.answer(session.peer, _seen(room, command.id), command)
        return
    room = hub.own_room(session.user, command.room)
    command.room = room.name
    not_muted(session.user, room)
    text = clean_line(command.text).strip()
    if len(text) > _TOPIC:
        raise Refusal("too-long", f"a topic has at most {_TOPIC} characters: make it shorter")
    entry = hub.order_in(room, events.Topic, session.user.name, text, by=session)
    hub.done(session, command, entry)


def rooms(hub: Hub, session: Session, command: commands.Rooms) -> None:
    """List the rooms that the asker may know of, the largest first."""
    known = [room for room in hub.state.rooms.values() if sees(session.user, room)]
    largest = nlargest(hub.settings.list_limit, known, key=lambda room: len(room.members))
    seen = [_seen(room) for room in largest]
    hub.answer(session.peer, events.Rooms(command.id, seen, len(known) - len(seen)), command)


def who(hub: Hub, session: Session, command: commands.Who) -> None:
    """List the members of a room, those who are there first, or everybody who is there."""
    asker, limit = session.user, hub.settings.list_limit
    if command.room is None:
        hidden = [user for user in asker.blockers if user.online]
        there = (user for user in hub.state.names.values() if user not in asker.blockers)
        users = [events.User(user.name, user.away) for user in islice(there, limit)]
        left = len(hub.state.names) - len(hidden) - len(users)
        hub.answer(session.peer, events.Users(command.id, None, users, left), command)
        return
    room = hub.room(command.room, asker)
    if room.private and asker not in room.members and not is_admin(asker):
        raise Refusal("not-a-member", f"#{room.name} is private: /join {room.name} first")
    there = (user for user in room.members if _seems_there(user, asker))
    away = (user for user in room.members if not _seems_there(user, asker))
    users = [_member(room, user, asker) for user in islice(chain(there, away), limit)]
    left = len(room.members) - len(users)
    hub.answer(session.peer, events.Users(command.id, room.name, users, left), command)


def _seems_there(user: User, asker: User) -> bool:
    return user.online and asker not in user.blocked


def _member(room: Room, user: User, asker: User) -> events.User:
    there = _seems_there(user, asker)
    away = user.away if there else None
    return events.User(user.name, away, there, room.role(user), user in room.muted)


def _seen(room: Room, identity: str | None = None) -> events.Room:
    return events.Room(identity, room.name, room.topic, len(room.members), room.private)
