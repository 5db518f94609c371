"""The conversations of a user: which there are, who is in them, what was said there. Pure."""

from __future__ import annotations

from collections import deque

from selchat.model import events, names
from selchat.model.entries import Correction, corrected
from selchat.model.events import Event, Message

_KEPT = 1_000
"""Messages kept of each conversation; older ones can be asked for (`history`)."""

_SPEAKERS = 500
"""Names remembered of those who said something, for the completion."""


class Conversation:
    """A room (`#dev`), or what is said with one user (`@bob`)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.users: dict[str, str] = {}
        """The members that are known, by key."""
        self.messages: deque[Message] = deque(maxlen=_KEPT)
        """What was said, oldest first."""
        self.unread = 0
        """How much of that came while another conversation was the current one."""


class Conversations:
    """All conversations, of which one may be the current one: plain text goes there.

    `current` is its key, empty where there is none.
    """

    def __init__(self) -> None:
        self.all: dict[str, Conversation] = {}
        """By key: the mark (`#` or `@`) and the key of the name."""
        self.current = ""
        self._speakers: dict[str, str] = {}  # by key, who spoke last comes last

    @property
    def target(self) -> str:
        """The current conversation as it is written, `#dev` or `@bob`; empty if there is none."""
        return self.all[self.current].name if self.current else ""

    def entered(self, room: str) -> bool:
        """Whether the user is in a room, or has asked to be."""
        return _key("#", room) in self.all

    def enter(self, room: str) -> None:
        """The user is in a room, or has asked to be."""
        self._conversation("#" + room.removeprefix("#"))

    def left(self, room: str) -> None:
        """The user is not in a room, or no more. The room entered last becomes the current one."""
        key = _key("#", room)
        self.all.pop(key, None)
        if key == self.current:
            rooms = [other for other in self.all if other[0] == "#"]
            self.current = ""
            if rooms:
                self.turn_to(self.all[rooms[-1]].name)

    def turn_to(self, target: str) -> None:
        """Make a conversation the current one; all in it counts as read."""
        conversation = self._conversation(target)
        self.current = _key(target[0], target[1:])
        conversation.unread = 0

    def room_names(self) -> list[str]:
        """The rooms that the user is in, without marks, the current one first."""
        rooms = [one.name[1:] for key, one in self.all.items() if key[0] == "#"]
        return sorted(rooms, key=lambda room: _key("#", room) != self.current)

    def users(self) -> list[str]:
        """The users that are known: who spoke last, then members of rooms."""
        found = dict(reversed(self._speakers.items()))
        for conversation in sorted(self.all.values(), key=lambda one: one.name != self.target):
            for key, user in conversation.users.items():
                found.setdefault(key, user)
        return list(found.values())

    def told(self, event: Event, own: bool) -> None:
        """Take note of an event; `own` says that it is a message of the user itself."""
        match event:
            case Message():
                self._message(event, own)
            case events.Users(room=str(room)) if self.entered(room):
                one = self._conversation(f"#{room}")
                one.name = f"#{room}"  # as it is written by the one who made it
                one.users = {names.key(user.user): user.user for user in event.users}
            case events.Joined() if self.entered(event.room):
                self._conversation(f"#{event.room}").users[names.key(event.user)] = event.user
            case events.Left() if self.entered(event.room):
                self._conversation(f"#{event.room}").users.pop(names.key(event.user), None)
            case events.Renamed():
                self._renamed(event)
            case events.Edited() | events.Deleted():
                self._corrected(event)

    def _message(self, event: Message, own: bool) -> None:
        if event.to[:1] == "#":
            if not self.entered(event.to):
                return  # a room that the user has just left
            conversation = self._conversation(event.to)
        else:
            conversation = self._conversation(event.to if own else f"@{event.from_}")
        conversation.messages.append(event)
        if own:
            return
        if conversation is not self.all.get(self.current):
            conversation.unread += 1
        key = names.key(event.from_)
        self._speakers.pop(key, None)
        self._speakers[key] = event.from_
        if len(self._speakers) > _SPEAKERS:
            del self._speakers[next(iter(self._speakers))]

    def _corrected(self, event: Correction) -> None:
        for conversation in self.all.values():
            for place, message in enumerate(conversation.messages):
                if message.seq == event.of:
                    conversation.messages[place] = corrected(message, event)
                    return

    def _renamed(self, event: events.Renamed) -> None:
        old, new = names.key(event.user), names.key(event.name)
        for conversation in self.all.values():
            if conversation.users.pop(old, None) is not None:
                conversation.users[new] = event.name
        if self._speakers.pop(old, None) is not None:
            self._speakers[new] = event.name

    def _conversation(self, name: str) -> Conversation:
        key = _key(name[0], name[1:])
        if key not in self.all:
            self.all[key] = Conversation(name)
        return self.all[key]


def _key(mark: str, name: str) -> str:
    return mark + names.key(name.removeprefix("#"))
