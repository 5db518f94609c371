"""Retention: what is old leaves the log, in steps that are too small to hold anybody up.

Of each conversation the oldest entries go, never one between others, so that one number says what
is gone (`conversation.trimmed`). Whose personal stream lost something is noted as well
(`trimmed`), since who resumes from before that has missed it and must be told so. The ids of posts
stay as long as their session is remembered: a post that is repeated late is not posted again.

What is above the last snapshot stays, because a start applies it to that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

from selchat.store import search

_STEP = 200
"""Entries forgotten at a time: about 5 ms, most of it for the index of search."""

_WALK = 5_000
"""Entries gone over at a time to find where those to keep begin: about 2 ms."""

_VISIT = 50
"""What a look at a conversation costs, in entries gone over."""

_LOOK = 200
"""Conversations asked for at a time."""

_TOP = 2**63 - 1

_CONVERSATIONS = "SELECT id FROM conversation WHERE id > ? ORDER BY id LIMIT ?"
_OLDEST = """
SELECT seq, conversation, user, other, fact FROM entry
WHERE conversation = ? AND seq <= ? ORDER BY seq LIMIT ?
"""
_NEWEST = """
SELECT count(*), min(seq) FROM
(SELECT seq FROM entry WHERE conversation = ? AND seq < ? ORDER BY seq DESC LIMIT ?)
"""
_NOTE = """
INSERT INTO trimmed VALUES (?, ?) ON CONFLICT (user) DO UPDATE SET seq = max(seq, excluded.seq)
"""


def trim(
    db: sqlite3.Connection, before: int, keep: int, alive: Callable[[int], bool]
) -> Iterator[int]:
    """As `Log.trim`. Each step is a transaction of its own. Raises sqlite3.Error."""
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM snapshot").fetchone()
    number, walked = -1, 0
    while numbers := [row[0] for row in db.execute(_CONVERSATIONS, (number, _LOOK))]:
        for number in numbers:
            end, place, left = before - 1, _TOP, keep
            walked += _VISIT
            while left:
                most = min(left, _WALK)
                found, lowest = db.execute(_NEWEST, (number, place, most)).fetchone()
                walked += found
                if found < most:
                    break
                place, left = lowest, left - found
                if walked >= _WALK:
                    walked = 0
                    yield 0
            if keep and not left:
                end = max(end, place - 1)
            while rows := db.execute(_OLDEST, (number, min(end, last), _STEP)).fetchall():
                _forget(db, rows, alive)
                yield len(rows)
            if walked >= _WALK:
                walked = 0
                yield 0
    noted = [row[0] for row in db.execute("SELECT user FROM trimmed")]
    dead = [(user,) for user in noted if not alive(user)]
    if dead:  # nobody reads their streams any more
        _transact(db, lambda: db.executemany("DELETE FROM trimmed WHERE user = ?", dead))


def _forget(db: sqlite3.Connection, rows: list[search.Row], alive: Callable[[int], bool]) -> None:
    """Forget the oldest entries of a conversation."""
    end, number, *_ = rows[-1]
    concerned = [
        (user, seq)
        for seq, _, one, other, _ in rows
        for user in (one, other)
        if user is not None and alive(user)
    ]

    def change() -> None:
        search.forget(db, rows)
        db.executemany(_NOTE, concerned)
        db.execute("DELETE FROM entry WHERE conversation = ? AND seq <= ?", (number, end))
        db.execute("UPDATE conversation SET trimmed = ? WHERE id = ?", (end, number))

    _transact(db, change)


def _transact(db: sqlite3.Connection, change: Callable[[], object]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        change()
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
