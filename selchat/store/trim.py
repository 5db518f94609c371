"""Retention: what is old leaves the log, in steps that are too small to hold anybody up.

Of each conversation the oldest entries go, never one between others, so that one number says what
is gone (`conversation.trimmed`). Whose personal stream lost something is noted as well
(`trimmed`), since who resumes from before that has missed it and must be told so. The ids of posts
stay as long as their session is remembered: a post that is repeated late is not posted again.

What is above the last snapshot stays, because a start applies it to that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterator

from selchat.store import search
from selchat.store.places import Places, mine
from selchat.store.rows import split

_STEP = 200
"""Entries forgotten at a time: about 5 ms, most of it for the index of search."""

_WALK = 2_000
"""Entries gone over at a time to find where those to keep begin: about 2 ms."""

_VISIT = 50
"""What a look at a conversation costs, in entries gone over."""

_LOOK = 200
"""Conversations asked for at a time."""

_TOP = 2**63 - 1

_CONVERSATIONS = "SELECT id FROM conversation WHERE id > ? ORDER BY id LIMIT ?"
_OLDEST = """
SELECT seq, entry.conversation, user, other, fact, more FROM place JOIN entry USING (seq)
WHERE key = ? AND seq <= ? ORDER BY seq LIMIT ?
"""
_NEWEST = """
SELECT seq, more FROM place JOIN entry USING (seq)
WHERE key = ? AND seq < ? ORDER BY seq DESC LIMIT ?
"""
_FORGET = """
DELETE FROM entry WHERE seq IN (SELECT seq FROM place WHERE key = ? AND seq <= ?)
"""
_NOTE = """
INSERT INTO trimmed VALUES (?, ?) ON CONFLICT (user) DO UPDATE SET seq = max(seq, excluded.seq)
"""


def trim(
    db: sqlite3.Connection,
    places: Places,
    before: int,
    keep: int,
    alive: Callable[[int], bool],
) -> Iterator[int]:
    """As `Log.trim`. Each step is a transaction of its own. Raises sqlite3.Error."""
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM snapshot").fetchone()
    newest = places.newest
    while places.filed < newest:
        places.file()
        yield 0
    _divide(db, places, before)  # what is below goes, the rest stays
    number, walked = -1, 0
    while numbers := [row[0] for row in db.execute(_CONVERSATIONS, (number, _LOOK))]:
        for number in numbers:
            end = before - 1
            if keep:
                place, cost = yield from _begin_of_newest(db, places, number, keep)
                end = max(end, place - 1)
                walked += cost
            walked += _VISIT
            while rows := db.execute(_OLDEST, (number, min(end, last), _STEP)).fetchall():
                _forget(db, [row[:-1] for row in rows], alive)
                yield sum(1 + row[-1] for row in rows)
            if walked >= _WALK:
                walked = 0
                yield 0
    noted = [row[0] for row in db.execute("SELECT user FROM trimmed")]
    dead = [(user,) for user in noted if not alive(user)]
    if dead:  # nobody reads their streams any more
        _transact(db, lambda: db.executemany("DELETE FROM trimmed WHERE user = ?", dead))


def _begin_of_newest(
    db: sqlite3.Connection, places: Places, number: int, keep: int
) -> Generator[int, None, tuple[int, int]]:
    """The `seq` from which on a conversation has `keep` entries (0: not so many), with a row of
    their own, and how many rows were gone over since the last pause.
    """
    place, left, walked = _TOP, keep, 0
    while True:
        most = min(left, _WALK)
        newest = db.execute(_NEWEST, (number, place, most)).fetchall()
        for seq, more in newest:
            place, left = seq - more, left - 1 - more
            if left <= 0:
                break
        walked += len(newest)
        if left <= 0:
            break
        if len(newest) < most:
            return 0, walked
        walked = 0
        yield 0
    if left < 0:  # that row has more than are to be kept
        place -= left
        _divide(db, places, place)
    return place, walked


def _divide(db: sqlite3.Connection, places: Places, seq: int) -> None:
    """Give the entry with that `seq` a row of its own."""
    try:
        _transact(db, lambda: split(db, places, seq))
    except BaseException:
        places.undo(places.newest)
        raise
    places.committed()


def _forget(db: sqlite3.Connection, rows: list[search.Row], alive: Callable[[int], bool]) -> None:
    """Forget the oldest entries of a conversation."""
    end, number, *_ = rows[-1]
    gone = [(user, seq) for seq, _, *users, _ in rows for user in users if user is not None]
    concerned = [(user, seq) for user, seq in gone if alive(user)]
    places = [(mine(user), seq) for user, seq in gone]

    def change() -> None:
        search.forget(db, rows)
        db.executemany(_NOTE, concerned)
        db.execute(_FORGET, (number, end))
        db.execute("DELETE FROM place WHERE key = ? AND seq <= ?", (number, end))
        db.executemany("DELETE FROM place WHERE key = ? AND seq = ?", places)
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
