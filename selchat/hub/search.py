"""Search: what was said, in all that the asker may see."""

from __future__ import annotations

from datetime import UTC, datetime

from selchat.errors import Refusal
from selchat.hub.hub import Hub, rfc3339
from selchat.hub.messages import LOOKS, fitting, heard, target, without_text
from selchat.hub.state import Session
from selchat.model import commands, entries, events, names
from selchat.model.clean import clean_line
from selchat.store import Query

_FIRST = 20
"""Messages found that are given where no number is asked for: a screen of them."""

_WORDS = 16
"""Words of a search that count: each costs a look into the index."""


def search(hub: Hub, session: Session, command: commands.Search) -> None:
    """Find what was said, newest first.

    Who asks sees the rooms that it is in, from their beginning, and its direct messages.
    """
    user = session.user
    words = tuple(clean_line(command.text).split()[:_WORDS])
    if not words:
        raise Refusal("empty", "type the words to look for: /search WORDS")
    rooms = tuple(map(entries.room, user.rooms))
    who: int | None = user.id
    only = None
    if command.of is not None:
        mark, name = target(command.of)
        if mark == "#":
            rooms = (entries.room(hub.own_room(user, name).key),)
        else:
            rooms = (entries.pair(user.id, hub.user(name, user).id),)
            only = user.id
        who = None
    limit = min(command.limit or _FIRST, hub.settings.page)
    above = hub.log.seq_at(_moment(command.after)) - 1 if command.after else 0
    below = hub.log.seq_at(_moment(command.before)) if command.before else hub.log.newest + 1
    query = Query(
        words=words,
        conversations=rooms,
        user=who,
        only=only,
        author=names.key(command.by.removeprefix("@")) if command.by else None,
        above=above,
        below=min(below, command.below) if command.below is not None else below,
        limit=limit + 1,
    )
    looks = 0
    while True:
        found = hub.log.search(query)
        more = len(found) > limit
        seen = [one for one in found[:limit] if heard(hub, user, one)]
        if seen or not more:
            break
        looks += 1
        if looks == LOOKS:
            seen = [without_text(found[limit - 1])]
            break
        query = query._replace(below=found[limit - 1].seq)
    page = fitting(seen)
    told = [entry.fact for entry in page if isinstance(entry.fact, events.Message)]
    more = more or len(page) < len(seen)
    hub.answer(session.peer, events.Found(command.id, " ".join(words), told, more), command)


def _moment(text: str) -> str:
    """A date or a time as facts have it, in UTC. Refusal `bad-date`."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return rfc3339(moment)
    except (ValueError, OverflowError):
        raise Refusal("bad-date", "a date is typed like this: 2026-01-31") from None
