"""A row of the log: a fact, and where it is found again.

An entry belongs to at most one *conversation*, where `history` finds it, and to the *personal
streams* of the users whom it concerns by name: a direct message to both its ends, a join or a
leave to the one who joined or left. With the conversations of the rooms that a user is in, its
personal stream is all that it would have been told.

Messages that came together are one entry on their way and in the log (`Messages`), and one each for
whoever asks the log for them.
"""

from __future__ import annotations

from msgspec import Struct, structs

from selchat.model import events
from selchat.model.events import AnyFact

TOGETHER = 10
"""Messages that are one entry, at most. Where one of them is looked for, so many places are."""


class Entry(Struct, frozen=True, gc=False):
    """One entry of the log.

    `conversation` is `room(…)`, `pair(…)` or empty; `users` are the ids of those in whose
    personal stream it stands; `session` is the id of the session that caused it and `author` that
    of its user, 0 where none did; `post_id` the id that this session gave its post.
    """

    fact: AnyFact
    conversation: str
    users: tuple[int, ...] = ()
    session: int = 0
    post_id: str | None = None
    author: int = 0

    @property
    def seq(self) -> int:
        """Its place in the log; of several messages in one that of the last."""
        return self.fact.seq

    @property
    def first(self) -> int:
        """Where it begins."""
        return self.fact.first

    def each(self) -> list[Entry]:
        """What it is one by one, where it is several messages in one."""
        fact = self.fact
        if not isinstance(fact, events.Messages):
            return [self]
        rest = self.conversation, self.users, self.session, None, self.author
        return [Entry(message, *rest) for message in fact.each()]


Correction = events.Edited | events.Deleted
CORRECTIONS = (events.Edited, events.Deleted)


def corrected(message: events.Message, correction: Correction) -> events.Message:
    """The message that stands in the log from a correction on, in the place of `message`."""
    if isinstance(correction, events.Deleted):
        return structs.replace(message, text="", deleted=True)
    return structs.replace(message, text=correction.text, edited=True)


def overtaken(fact: events.AnyFact) -> events.AnyFact:
    """The edit that stands in the log once its message was corrected again: without its text."""
    return structs.replace(fact, text="") if isinstance(fact, events.Edited) else fact


def is_overtaken(fact: events.AnyFact) -> bool:
    """Whether it is such an edit, of which nobody needs to be told any more."""
    return isinstance(fact, events.Edited) and not fact.text


def room(key: str) -> str:
    """The conversation of the room with that key (model/names.py)."""
    return "#" + key


def pair(one: int, other: int) -> str:
    """The conversation of two users, by their ids; the same in either order."""
    return f"@{one}:{other}" if one < other else f"@{other}:{one}"
