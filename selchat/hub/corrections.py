"""Taking back what was said: messages are edited by their authors, and deleted by them or by
moderators. The log keeps that it happened, and no more of the text (store/__init__.py).
"""

from __future__ import annotations

from selchat.errors import Refusal
from selchat.hub.hub import Hub, is_admin
from selchat.hub.messages import checked, heard, not_muted, target, tell_own, tell_room
from selchat.hub.state import Session, User
from selchat.model import commands, entries, events, names
from selchat.model.entries import Entry

_BACK = 200
"""Entries that are looked through for somebody's last message."""


def delete(hub: Hub, session: Session, command: commands.Delete) -> None:
    """Take away a message of one's own, or as a moderator of somebody else."""
    name = command.user.removeprefix("@") if command.user is not None else session.user.name
    said = _find(hub, session, command.to, command.seq, name)
    fact = said.fact
    assert isinstance(fact, events.Message)
    own = said.author == session.user.id
    if not own and not _moderates(session.user, fact.to):
        raise Refusal(
            "not-allowed", "that takes its author, or a moderator of the room: ask one of them"
        )
    if fact.deleted:
        hub.done(session, command)
        return
    by = session.user.name
    _correct(hub, session, said, command, events.Deleted, fact.to, fact.seq, by, fact.from_)
    if not own:
        hub.note(by, "delete", fact.from_, f"{fact.to} {fact.seq}")


def edit(hub: Hub, session: Session, command: commands.Edit) -> None:
    """Change the text of a message of one's own."""
    text = checked(hub, command.text)
    said = _find(hub, session, command.to, command.seq, session.user.name)
    fact = said.fact
    assert isinstance(fact, events.Message)
    if said.author != session.user.id:
        raise Refusal("not-allowed", "only its author can change a message: /delete takes it away")
    if fact.deleted:
        raise Refusal("no-such-message", "that message was deleted: say it anew")
    by = session.user.name
    _correct(hub, session, said, command, events.Edited, fact.to, fact.seq, by, text)


def _find(hub: Hub, session: Session, to: str, seq: int | None, name: str) -> Entry:
    """The message that is meant, in a conversation of the asker. Refusals."""
    user = session.user
    mark, where = target(to)
    if mark == "#":
        room = hub.own_room(user, where)
        not_muted(user, room)
        conversation = entries.room(room.key)
    else:
        conversation = entries.pair(user.id, hub.user(where, user).id)
    if seq is not None:
        place = min(seq, hub.log.newest) + 1
        found = hub.log.before(conversation, place, 1)
        found = [one for one in found if one.seq == seq]
    else:
        key = names.key(name)
        other = hub.state.named(key)
        found = [
            one
            for one in hub.log.before(conversation, None, _BACK)
            if isinstance(one.fact, events.Message)
            and not one.fact.deleted
            and (one.author == other.id if other else names.key(one.fact.from_) == key)
        ]
    found = [one for one in found if heard(hub, user, one)]
    if not found or not isinstance(found[-1].fact, events.Message):
        raise Refusal(
            "no-such-message", f"there is no such message in {to[:33]}: /history {to[:33]}"
        )
    return found[-1]


def _moderates(user: User, to: str) -> bool:
    room = user.rooms.get(names.key(to[1:])) if to[:1] == "#" else None
    return room is not None and (room.role(user) != events.MEMBER or is_admin(user))


def _correct(
    hub: Hub,
    session: Session,
    said: Entry,
    command: commands.Delete | commands.Edit,
    kind: type[events.Deleted | events.Edited],
    *fields: object,
) -> None:
    """Order the correction of a message, and tell those who were told that."""
    author = session.user
    others = [user for one in said.users if (user := hub.state.users.get(one)) is not None]
    others = [user for user in others if user is not author and author not in user.blocked]
    users = tuple(user.id for user in (author, *others)) if said.users else ()
    entry = hub.order(kind, *fields, conversation=said.conversation, users=users, by=session)
    if command.to[:1] == "#":
        tell_room(hub, entry, author.rooms[names.key(command.to[1:])], session)
    else:
        for user in others:
            hub.tell(entry, user.peers(), None)
        tell_own(hub, entry, session)
    hub.done(session, command, entry)
