"""Messages: saying something to a room or a user, and reading what was said."""

from __future__ import annotations

from msgspec import structs

from selchat.errors import Refusal, Trimmed
from selchat.hub.hub import Hub, Told
from selchat.hub.state import Aim, Peer, Room, Session, User
from selchat.model import commands, entries, events, names
from selchat.model.clean import clean, plain
from selchat.model.entries import Entry

PAGE_TEXT = 131_072
"""Weight after which a page of entries ends early: a page of long messages must fit into what may
wait for one reader. A character takes four bytes at most, in UTF-8 or escaped in JSON."""

_AMONG = 3
"""Entries that are looked through for each message that is shown on joining."""

_LONG = (events.Message, events.Edited)
LOOKS = 5
"""Pages that are looked through for one with something in it that the asker wants to hear."""

_LINE = 100
"""Weight of a line besides its own characters: the text tongue repeats room and name before it."""


def post(hub: Hub, session: Session, command: commands.Post | commands.Me) -> None:
    """Say something to a room or a user.

    A post whose `id` the session used before is not posted again: it is answered with the first
    one's `seq`, or refused where it is another post.
    """
    text = checked(hub, command.text)
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
    aim = session.aim
    if aim is None or aim.changes != hub.state.changes or aim.to != command.to:
        aim = session.aim = _aim(hub, session.user, command.to)
    entry = hub.say(session, aim, text, action, command.id)
    if aim.room is not None:
        tell_room(hub, entry, aim.room, session, command)
    elif aim.user is not None:
        _tell_user(hub, entry, aim, aim.user, session, command)


def say_all(hub: Hub, session: Session, posts: commands.Posts) -> bool:
    """Say several things at once, if nothing stands against any of them, and it is told to no more
    people than the room, or the one user; False: say them one by one.
    """
    texts, aim, peer = posts.texts, session.aim, session.peer
    if hub.failing is not None or not _as_they_are(posts, hub.settings.message_size):
        return False
    if aim is None or aim.changes != hub.state.changes or aim.to != posts.to:
        try:
            aim = session.aim = _aim(hub, session.user, posts.to)
        except Refusal:
            return False
    if not aim.simple:
        return False
    but: tuple[Peer, ...] = ()
    if aim.room is not None:
        peers = aim.room.audience()
        but = (peer,) if peer is not None else ()
    elif aim.user is None or aim.user.away is not None:
        return False
    else:
        peers = aim.user.peers()
    entry = (
        hub.say_all(session, aim, texts)
        if len(texts) > 1
        else hub.say(session, aim, texts[0], False, None)
    )
    hub.out.append(Told(entry, peers, but, False, peer, posts))
    return True


def _as_they_are(posts: commands.Posts, most: int) -> bool:
    """Whether these can be said as they are: each is one clean line of `most` characters or less
    (0: of any number).
    """
    if 0 < posts.plain <= most:
        return True
    texts = posts.texts
    if not posts.plain and any(clean(text) != text or "\n" in text for text in texts):
        return False
    return not most or max(map(len, texts)) <= most


def _aim(hub: Hub, author: User, to: str) -> Aim:
    """Where `author` may say something. Raises a `Refusal` where it may not."""
    changes = hub.state.changes
    simple = not author.blockers and len(author.sessions) == 1
    mark, name = target(to)
    if mark == "#":
        room = hub.own_room(author, name)
        not_muted(author, room)
        conversation = entries.room(room.key)
        return Aim(to, changes, "#" + room.name, conversation, (), room, simple=simple)
    user = hub.user(name, author)
    heard = author not in user.blocked  # else it looks as if the user was away
    users = (author.id, user.id) if heard and user is not author else (author.id,)
    conversation = entries.pair(author.id, user.id)
    simple = simple and heard and user is not author
    return Aim(to, changes, "@" + user.name, conversation, users, user, heard, simple)


def checked(hub: Hub, text: str) -> str:
    """A message's text, clean. Refusal `empty`, `too-long` or `too-many-lines`."""
    settings = hub.settings
    most = settings.message_size
    if plain(text) and text and not text.isspace() and (len(text) <= most or not most):
        return text  # there is nothing to clean, and no line ends in it
    text = clean(text)
    if not text or text.isspace():
        raise Refusal("empty", "that message is empty: type something behind the name")
    if 0 < most < len(text):
        raise Refusal("too-long", f"a message has at most {most} characters: send it in pieces")
    if text.count("\n") >= settings.message_lines:
        most = settings.message_lines
        raise Refusal("too-many-lines", f"a message has at most {most} lines: send it in pieces")
    return text


def not_muted(user: User, room: Room) -> None:
    """Refusal `muted` where a moderator has taken the right to speak from a user."""
    if user in room.muted:
        raise Refusal("muted", f"you may not speak in #{room.name}: ask one of its moderators")


def tell_room(
    hub: Hub, entry: Entry, room: Room, session: Session, command: commands.Command | None = None
) -> None:
    """Tell a room what a session said: all but that one, and those who have blocked its user.

    With `command`, which asked for it, that session is told that it is done.
    """
    peer = session.peer
    but: tuple[Peer, ...] = (peer,) if peer is not None else ()
    for user in session.user.blockers:
        but += user.peers()
    hub.out.append(Told(entry, room.audience(), but, False, peer, command))


def _tell_user(
    hub: Hub, entry: Entry, aim: Aim, user: User, session: Session, command: commands.Command
) -> None:
    author = session.user
    peers = user.peers() if aim.heard else ()
    hub.out.append(Told(entry, peers, (), False, session.peer, command))
    if user is not author:
        tell_own(hub, entry, session)
    if aim.heard and user.away is not None and user is not author:
        notice = events.Notice("away", f"{user.name} is away: {user.away}")
        hub.answer(session.peer, notice, command)


def tell_own(hub: Hub, entry: Entry, session: Session) -> None:
    """Tell the other sessions of its user what a session did."""
    if len(session.user.sessions) > 1:
        others = tuple(peer for peer in session.user.peers() if peer is not session.peer)
        hub.out.append(Told(entry, others, own=True))


def _again(command: commands.Post | commands.Me, text: str, action: bool, first: Entry) -> None:
    """Check that a repeated post is the one that bore its `id` before."""
    said = first.fact
    if isinstance(said, events.Message) and (said.edited or said.deleted):
        said = structs.replace(said, text=text)  # what it said first is gone
    if not isinstance(said, events.Message) or (
        (names.key(said.to), said.text, said.action) != (names.key(command.to), text, action)
    ):
        raise Refusal("id-reused", "that id was used for another post: take a new one")


def history(hub: Hub, session: Session, command: commands.History) -> None:
    """Give a page of a conversation: the newest, or the one before or after a `seq`.

    Only members read a room's history; of a conversation between two, only the two can ask.
    """
    user = session.user
    mark, name = target(command.of)
    if mark == "#":
        room = hub.own_room(user, name)
        conversation, of = entries.room(room.key), "#" + room.name
    else:
        other = hub.user(name, user)
        conversation, of = entries.pair(user.id, other.id), "@" + other.name
    limit = min(command.limit or hub.settings.page, hub.settings.page)
    before, after = command.before, command.after
    looks = 0
    while True:
        page, more = _page(hub, conversation, before, after, limit)
        seen = [one for one in page if heard(hub, user, one)]
        if seen or not more:
            break
        looks += 1
        last = page[0] if after is None else page[-1]
        if looks == LOOKS:  # a page that says that there is more is never empty
            seen = [without_text(last)]
            break
        before, after = (last.seq, None) if after is None else (before, last.seq)
    told = [entry.fact for entry in seen if isinstance(entry.fact, events.Told)]
    mine = [one.seq for one in seen if mark == "@" and one.author == user.id]
    hub.answer(session.peer, events.History(command.id, of, told, more, mine), command)


def heard(hub: Hub, user: User, entry: Entry) -> bool:
    """Whether a user may see an entry of a conversation of its own, and wants to."""
    if entries.is_overtaken(entry.fact):
        return False
    if entry.conversation[:1] == "@":
        return user.id in entry.users  # not what the other said while it was blocked
    return not user.blocked or hub.state.users.get(entry.author) not in user.blocked


def without_text(entry: Entry) -> Entry:
    """A place to go on from, where the asker wants to hear nothing of what stands there."""
    fact = entry.fact
    if isinstance(fact, events.Message):
        return structs.replace(entry, fact=structs.replace(fact, text="", deleted=True))
    if isinstance(fact, events.Edited):
        return structs.replace(entry, fact=structs.replace(fact, text=""))
    return entry


def _page(
    hub: Hub, conversation: str, before: int | None, after: int | None, limit: int
) -> tuple[list[Entry], bool]:
    """A page of a conversation, and whether there is more in its direction."""
    # One more than asked for, to know whether there is more.
    if after is None:
        found = hub.log.before(conversation, before, limit + 1)
        page = fitting(found[-limit:][::-1])[::-1]
    else:
        try:
            found = hub.log.conversation(conversation, after, limit + 1)
        except Trimmed as gone:
            found = hub.log.conversation(conversation, gone.seq, limit + 1)
        if before is not None:
            found = [entry for entry in found if entry.seq < before]
        page = fitting(found[:limit])
    return page, len(page) < len(found)


def said_before(hub: Hub, user: User, of: str, joined: Entry) -> events.History:
    """What was last said in a room before `joined`, for who has just entered it."""
    limit = hub.settings.join_history
    # Among joins and leaves: they are no news for who was not there.
    found = hub.log.before(joined.conversation, joined.seq, limit * _AMONG) if limit else []
    said = [
        one
        for one in found
        if isinstance(one.fact, events.Message) and not one.fact.deleted and heard(hub, user, one)
    ][-limit:]
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
    if type(fact) is events.Messages:
        return sum(map(len, fact.texts)) + _LINE * len(fact.texts)
    if isinstance(fact, _LONG):
        return len(fact.text) + _LINE * (1 + fact.text.count("\n"))
    return _LINE


def target(text: str) -> tuple[str, str]:
    """The mark and the name of where a message goes. Refusal `bad-target`."""
    mark, name = text[:1], text[1:]
    if mark not in ("#", "@") or name[:1] in ("", "#", "@"):
        raise Refusal("bad-target", "name a room or a user: #ROOM or @USER")
    return mark, name
