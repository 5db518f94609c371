"""Entries as rows: a row is an entry as it came, be it one fact or several messages in one.

The key of a row is the `seq` of its last message, so the row of any message is the first one whose
key is not below it, and a row is behind a place where its key is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from selchat.model.entries import CORRECTIONS, TOGETHER, Entry
from selchat.model.events import AnyFact, Messages
from selchat.store.places import Places

encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[AnyFact] = msgspec.json.Decoder(AnyFact)
decode = _decoder.decode

INSERT = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COLUMNS = """
SELECT fact, session, user, other, post_id, name, author
FROM entry JOIN conversation ON conversation.id = conversation
"""
ALL = _COLUMNS + "WHERE seq > ? ORDER BY seq LIMIT ?"
ONE = _COLUMNS + "WHERE seq = ?"

BEYOND = TOGETHER - 1
"""How far the last message of a row can be above another one in it."""

_SEVERAL = """
SELECT seq, conversation, session, user, other, fact, author FROM entry
WHERE seq = (SELECT min(seq) FROM entry WHERE seq >= ?) AND seq - more <= ? AND more > 0
"""

_NOBODY = (None, None)


def to_row(entry: Entry, number: int) -> tuple[Any, ...]:
    """The row of an entry in the conversation with that number."""
    fact, session, author, users = entry.fact, entry.session, entry.author, entry.users
    user, other = (*users, None, None)[:2] if users else _NOBODY
    by = author if author != session else None
    data = encode(fact)
    if type(fact) is Messages:
        more = len(fact.texts) - 1
        return fact.seq, number, session, user, other, None, data, by, None, more
    corrects = fact.of if isinstance(fact, CORRECTIONS) else None
    return fact.seq, number, session, user, other, entry.post_id, data, by, corrects, 0


def entries(rows: Iterable[tuple[Any, ...]], *, back: bool = False) -> Iterator[Entry]:
    """The entries of rows as the questions above give them, one by one; `back`: the last first.

    Raises msgspec.MsgspecError, ValueError or TypeError where one cannot be read.
    """
    for fact, session, user, other, post_id, name, author in rows:
        entry = Entry(
            decode(fact),
            name,
            () if user is None else (user,) if other is None else (user, other),
            session,
            post_id,
            session if author is None else author,
        )
        if type(entry.fact) is Messages:
            each = entry.each()
            yield from reversed(each) if back else each
        else:
            yield entry


def split(db: sqlite3.Connection, places: Places, seq: int) -> None:
    """Give the message with that `seq`, and those in one row with it, rows of their own.

    Part of the open transaction. Raises sqlite3.Error.
    """
    found = db.execute(_SEVERAL, (seq, seq)).fetchone()
    if found is None:
        return
    last, number, session, user, other, data, author = found
    messages = decode(data)
    assert isinstance(messages, Messages)
    db.execute("DELETE FROM entry WHERE seq = ?", (last,))
    shared = number, session, user, other, None
    rows = [(one.seq, *shared, encode(one), author, None, 0) for one in messages.each()]
    db.executemany(INSERT, rows)
    users = [one for one in (user, other) if one is not None]
    places.split([one.seq for one in messages.each()], number, users)
