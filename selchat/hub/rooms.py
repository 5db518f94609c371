"""Rooms: entering and leaving them, their topics, and who and what there is."""

from __future__ import annotations

from heapq import nlargest
from itertools import islice

from selchat.errors import Refusal
from selchat.hub.hub import Hub
from selchat.hub.messages import said_before
from selchat.hub.state import Room, Session
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
    entry = hub.order(
        events.Joined,
        command.room,
        user.name,
        conversation=entries.room(key),
        users=(user.id,),
        session=session.id,
    )
    room = hub.state.rooms[key]
    hub.tell(entry, room.audience(), session.peer)
    hub.done(session, command, entry)
    if session.token is None:  # a person at the other end, not a program that can ask
        if room.topic:
            hub.answer(session.peer, _seen(room), command)
        page = said_before(hub, "#" + room.name, entry)
        if page.entries:
            hub.answer(session.peer, page, command)


def leave(hub: Hub, session: Session, command: commands.Leave) -> None:
    """Leave a room."""
    room = hub.own_room(session.user, command.room)
    command.room = room.name
    audience = room.audience()
    entry = hub.order_in(room, session, events.Left, room.name, session.user.name, events.LEFT)
    hub.tell(entry, audience, session.peer)
    hub.done(session, command, entry)


def topic(hub: Hub, session: Session, command: commands.Topic) -> None:
    """Set a room's topic, or tell it."""
    if command.text is None:
        hub.answer(session.peer, _seen(hub.room(command.room), command.id), command)
        return
    room = hub.own_room(session.user, command.room)
    command.room = room.name
    text = clean_line(command.text).strip()
    if len(text) > _TOPIC:
        raise Refusal("too-long", f"a topic has at most {_TOPIC} characters: make it shorter")
    entry = hub.order(
        events.Topic,
        room.name,
        session.user.name,
        text,
        conversation=entries.room(room.key),
        session=session.id,
    )
    hub.tell(entry, room.audience(), session.peer)
    hub.done(session, command, entry)


def rooms(hub: Hub, session: Session, command: commands.Rooms) -> None:
    """List the rooms, the largest first."""
    known = hub.state.rooms
    largest = nlargest(hub.settings.list_limit, known.values(), key=lambda room: len(room.members))
    seen = [_seen(room) for room in largest]
    hub.answer(session.peer, events.Rooms(command.id, seen, len(known) - len(seen)), command)


def who(hub: Hub, session: Session, command: commands.Who) -> None:
    """List the members of a room, or everybody."""
    room = hub.room(command.room) if command.room is not None else None
    known = room.members if room is not None else hub.state.names.values()
    users = [events.User(user.name, user.away) for user in islice(known, hub.settings.list_limit)]
    name = room.name if room is not None else None
    hub.answer(
        session.peer, events.Users(command.id, name, users, len(known) - len(users)), command
    )


def _seen(room: Room, identity: str | None = None) -> events.Room:
    return events.Room(identity, room.name, room.topic, len(room.members))
