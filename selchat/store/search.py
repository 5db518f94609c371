"""Full-text search over the log: an FTS5 index that is filled in batches.

Where a message was said and by whom stand in the index as words, so that one index question finds
what is in the right place, however much there is elsewhere. The index keeps no text: that is in
the entries. What people type is quoted word by word, so none of it is FTS5 syntax
(https://sqlite.org/fts5.html, section 3.1).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import cast

import msgspec

from selchat.model.events import Message, Messages
from selchat.model.names import key
from selchat.store import Query

Row = tuple[int, int, int | None, int | None, bytes]
"""Of an entry: `seq`, conversation, users, fact."""

_SAID = (b'{"type":"message"', b'{"type":"messages"')
_fact: msgspec.json.Decoder[Message | Messages] = msgspec.json.Decoder(Message | Messages)

_NEW = """
SELECT seq, conversation, user, other, fact, more FROM entry WHERE seq > ? ORDER BY seq LIMIT ?
"""
_INSERT = "INSERT INTO search (rowid, place, author, text) VALUES (?, ?, ?, ?)"
_MATCH = """
SELECT rowid FROM search WHERE search MATCH ? AND rowid > ? AND rowid < ?
ORDER BY rowid DESC LIMIT ?
"""

_CHANGES = "SELECT total_changes()"
_MERGE = 4
"""Pages of the index that are merged at a time, in about a millisecond."""


def index(db: sqlite3.Connection, most: int) -> int:
    """Take `most` entries more into the index; return how many are left for another time.

    Part of the open transaction, or one of its own where there is none. Raises sqlite3.Error.
    """
    done, newest = reach(db)
    if done >= newest:
        return 0
    rows: list[Row] = []
    # Row by row: an entry of several messages is in the index as a whole, or not at all.
    with closing(db.execute(_NEW, (done, most))) as found:
        for *row, more in found:
            rows.append(cast(Row, row))
            most -= 1 + more
            if most <= 0:
                break
    until = rows[-1][0]
    alone = not db.in_transaction
    if alone:
        db.execute("BEGIN IMMEDIATE")
    try:
        db.executemany(_INSERT, _words(rows))
        db.execute("UPDATE meta SET value = ? WHERE key = 'indexed'", (str(until),))
        if alone:
            db.execute("COMMIT")
    except sqlite3.Error:
        if alone and db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return newest - until


def prepare(db: sqlite3.Connection) -> None:
    """Leave the merging of the index to `merge`. Raises sqlite3.Error.

    FTS5 would do it by itself, in the middle of an insert now and then, for 15 ms and longer.
    """
    found = db.execute("SELECT v FROM search_config WHERE k = 'automerge'").fetchone()
    if found != (0,):
        db.execute("INSERT INTO search (search, rank) VALUES ('automerge', 0)")


def merge(db: sqlite3.Connection) -> bool:
    """Merge some of the parts that the index is in; whether there was anything to merge.

    It keeps pace with `index` if it is called as often (fts5.html, section 6.9). Raises
    sqlite3.Error.
    """
    (before,) = db.execute(_CHANGES).fetchone()
    db.execute("INSERT INTO search (search, rank) VALUES ('merge', ?)", (_MERGE,))
    (after,) = db.execute(_CHANGES).fetchone()
    return bool(after - before > 1)


_HOLDS = "SELECT count(*) FROM search WHERE search MATCH ? AND rowid = ?"
STRAY = """
SELECT id FROM search_docsize
WHERE id > ? AND NOT EXISTS (
    SELECT 1 FROM entry WHERE seq = (SELECT min(seq) FROM entry WHERE seq >= id)
    AND seq - more <= id AND CAST(substr(fact, 1, 16) AS TEXT) = '{"type":"message'
) ORDER BY id LIMIT ?
"""
"""What is in the index and is no message: above an id, and how many at most."""


def forget(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Take entries out of the index, as part of the open transaction. Raises sqlite3.Error.

    `rows` are their `seq`, conversation, users and fact.
    """
    done, _ = reach(db)
    # An index without text has to be told what to forget (fts5.html, section 6.2).
    delete = "INSERT INTO search (search, rowid, place, author, text) VALUES ('delete', ?, ?, ?, ?)"
    db.executemany(delete, _words(row for row in rows if row[0] <= done))


def replace(db: sqlite3.Connection, row: Row, fact: bytes) -> None:
    """Let an entry be found by another fact than it has, as `forget`."""
    done, _ = reach(db)
    if row[0] <= done:
        forget(db, [row])
        db.executemany(_INSERT, _words([(*row[:4], fact)]))


def unindexed(db: sqlite3.Connection) -> int:
    """How many entries are not in the index yet, counting gaps."""
    done, newest = reach(db)
    return newest - done


def find(db: sqlite3.Connection, query: Query) -> list[int]:
    """The `seq`s of the newest messages that match, newest first. Raises sqlite3.Error."""
    words = " AND ".join(_quoted(word) for word in query.words)
    places = [] if query.user is None else [_user(query.user)]
    for name in query.conversations:
        number = db.execute("SELECT id FROM conversation WHERE name = ?", (name,)).fetchone()
        if number is not None:
            places.append(_place(number[0]))
    if not words or not places:
        return []
    match = f"text : ({words}) AND place : ({' OR '.join(places)})"
    if query.only is not None:
        match += f" AND place : {_user(query.only)}"
    if query.author is not None:
        match += f" AND author : {_author(query.author)}"
    return [row[0] for row in db.execute(_MATCH, (match, query.above, query.below, query.limit))]


def _words(rows: Iterable[Row]) -> list[tuple[int, str, str, str]]:
    """What the index holds of those entries: of messages only."""
    words = []
    for _, conversation, user, other, fact in rows:
        if fact.startswith(_SAID):
            said = _fact.decode(fact)
            place = _place(conversation) + "".join(f" {_user(one)}" for one in (user, other) if one)
            author = _author(key(said.from_))
            each = said.each() if isinstance(said, Messages) else [said]
            words += [(one.seq, place, author, one.text) for one in each if not one.deleted]
    return words


def holds(db: sqlite3.Connection, row: Row) -> bool:
    """Whether an entry is found by where, by whom and what was said, if it is a message."""
    for seq, place, author, text in _words([row]):
        # Only words of which there is no doubt that the index takes them for words.
        words = re.findall(r"(?:(?<=\s)|^)[a-z0-9]+(?=\s|$)", text, re.ASCII | re.IGNORECASE)[:5]
        parts = [f"place : {place.split()[0]}", f"author : {author}"]
        parts += [f"text : {_quoted(word)}" for word in words]
        if not db.execute(_HOLDS, (" AND ".join(parts), seq)).fetchone()[0]:
            return False
    return True


def reach(db: sqlite3.Connection) -> tuple[int, int]:
    """The `seq` up to which entries are in the index, and the newest."""
    done = db.execute("SELECT value FROM meta WHERE key = 'indexed'").fetchone()[0]
    newest = db.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0]
    return int(done), newest


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def _place(conversation: int) -> str:
    return f"c{conversation}"


def _user(identity: int) -> str:
    return f"u{identity}"


def _author(name: str) -> str:
    # One word for the index, whatever the name is made of.
    return "n" + name.encode().hex()
