"""Messages: saying something to a room or a user, and reading what was said."""

from __future__ import annotations

from selchat.errors import Refusal, Trimmed
from selchat.hub.hub import Hub
from selchat.hub.state import Session
from selchat.model import commands, entries, events, names
from selchat.model.clean import clean
from selchat.model.entries import Entry

PAGE_TEXT = 131_072
"""Weight after which a page of entries ends early: a page of long messages must fit into what may
wait for one reader. A character takes four bytes at most, in UTF-8 or escaped in JSON."""

_AMONG = 3
"""Entries that are looked through for each message that is shown on joining."""

_LINE = 100
"""Weight of a line besides its own characters: the text tongue repeats room and name before it."""


def post(hub: Hub, session: Session, command: commands.Post | commands.Me) -> None:
    """Say something to a room or a user.

    A post whose `id` the session used before is not posted again: it is answered with the first
    one's `seq`, or refused where it is another post.
    """
    text = clean(command.text)
    if not text or text.isspace():
        raise Refusal("empty", "that message is empty: type something behind the name")
    if text.count("\n") >= hub.settings.message_lines:
        most = hub.settings.message_lines
        raise Refusal("too-many-lines", f"a message has at most {most} lines: send it in pieces")
    action = type(command) is commands.Me
    if command.id is not None:
        try:
            first = hub.log.find_post(session.id, command.id)
        except Trimmed as gone:  # nobody knows any more what it said, but it was said
            hub.answer(session.peer, events.Ok(command.id, gone.seq), command)
            return
        if first is not None:
            _again(command, text, action, first)
            hub.done(session, command, first)
            return
    mark, name = target(command.to)
    say = _to_room if mark == "#" else _to_user
    say(hub, session, command, name, text, action)


def _to_room(
    hub: Hub, session: Session, command: commands.Command, name: str, text: str, action: bool
) -> None:
    room = hub.own_room(session.user, name)
    entry = hub.order(
        events.Message,
        "#" + room.name,
        session.user.name,
        text,
        action,
        conversation=entries.room(room.key),
        session=session.id,
        post_id=command.id,
    )
    hub.tell(entry, room.audience(), session.peer)
    hub.done(session, command, entry)


def _to_user(
    hub: Hub, session: Session, command: commands.Command, name: str, text: str, action: bool
) -> None:
    author, user = session.user, hub.user(name)
    entry = hub.order(
        events.Message,
        "@" + user.name,
        author.name,
        text,
        action,
        conversation=entries.pair(author.id, user.id),
        users=(author.id, user.id) if user is not author else (author.id,),
        session=session.id,
        post_id=command.id,
    )
    hub.tell(entry, user.peers(), None)
    hub.done(session, command, entry)
    if user.away is not None and user is not author:
        notice = events.Notice("away", f"{user.name} is away: {user.away}")
        hub.answer(session.peer, notice, command)


def _again(command: commands.Post | commands.Me, text: str, action: bool, first: Entry) -> None:
    """Check that a repeated post is the one that bore its `id` before."""
    said = first.fact
    if not isinstance(said, events.Message) or (
        (names.key(said.to), said.text, said.action) != (names.key(command.to), text, action)
    ):
        raise Refusal("id-reused", "that id was used for another post: take a new one")


def history(hub: Hub, session: Session, command: commands.History) -> None:
    """Give a page of a conversation: the newest, or the one before or after a `seq`.

    Only members read a room's history; of a conversation between two, only the two can ask.
    """
    mark, name = target(command.of)
    if mark == "#":
        room = hub.own_room(session.user, name)
        conversation, of = entries.room(room.key), "#" + room.name
    else:
        user = hub.user(name)
        conversation, of = entries.pair(session.user.id, user.id), "@" + user.name
    limit = min(command.limit or hub.settings.page, hub.settings.page)
    # One more than asked for, to know whether there is more.
    if command.after is None:
        found = hub.log.before(conversation, command.before, limit + 1)
        page = fitting(found[-limit:][::-1])[::-1]
    else:
        try:
            found = hub.log.conversation(conversation, command.after, limit + 1)
        except Trimmed as gone:
            found = hub.log.conversation(conversation, gone.seq, limit + 1)
        if command.before is not None:
            found = [entry for entry in found if entry.seq < command.before]
        page = fitting(found[:limit])
    told = [entry.fact for entry in page if isinstance(entry.fact, events.Told)]
    mine = [e.seq for e in page if mark == "@" and e.users[:1] == (session.user.id,)]
    answer = events.History(command.id, of, told, len(page) < len(found), mine)
    hub.answer(session.peer, answer, command)


def said_before(hub: Hub, of: str, joined: Entry) -> events.History:
    """What was last said in a room before `joined`, for who has just entered it."""
    limit = hub.settings.join_history
    # Among joins and leaves: they are no news for who was not there.
    found = hub.log.before(joined.conversation, joined.seq, limit * _AMONG) if limit else []
    said = [entry for entry in found if isinstance(entry.fact, events.Message)][-limit:]
    told = [e.fact for e in fitting(said[::-1])[::-1] if isinstance(e.fact, events.Message)]
    return events.History(None, of, [*told], False)


def fitting(page: list[Entry]) -> list[Entry]:
    """The first entries of a page, as many as one may be sent at once; at least one of them."""
    room = PAGE_TEXT
    for number, entry in enumerate(page):
        room -= weight(entry.fact)
        if room < 0:
            return page[: max(number, 1)]
    return page


def weight(fact: events.Fact) -> int:
    """About how many characters it takes to tell a fact, in the tongue that takes the most."""
    if isinstance(fact, events.Message):
        return len(fact.text) + _LINE * (1 + fact.text.count("\n"))
    return _LINE


def target(text: str) -> tuple[str, str]:
    """The mark and the name of where a message goes. Refusal `bad-target`."""
    mark, name = text[:1], text[1:]
    if mark not in ("#", "@") or name[:1] in ("", "#", "@"):
        raise Refusal("bad-target", "name a room or a user: #ROOM or @USER")
    return mark, name
