"""Whether a log is sound: what stands in its tables is what the server would have put there.

It reads a page at a time, each in a transaction of its own, so that it needs little memory and may
run beside a server: what that adds or forgets meanwhile is no damage.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from selchat.errors import StartError
from selchat.model.entries import Correction, Entry
from selchat.model.events import AnyFact, Message, Messages
from selchat.store import search
from selchat.store.database import FILE, reader, why
from selchat.store.rows import decode
from selchat.store.schema import MIGRATIONS, migrate

_PAGE = 1_000
"""Rows read at a time."""

_SHOWN = 10
"""Problems of one kind that are told; the rest are counted."""

_LOOKED_UP = 2_000
"""Messages that are searched for by their words; that all of them are in the index is checked
besides."""

_ENTRIES = """
SELECT seq, conversation, session, user, other, post_id, fact, author, corrects, more,
    name, trimmed,
    post_id IS NULL OR EXISTS (
        SELECT 1 FROM post AS p WHERE p.session = e.session AND p.id = post_id AND p.seq = e.seq
    ),
    EXISTS (SELECT 1 FROM place WHERE key = conversation AND seq = e.seq)
        AND (user IS NULL OR EXISTS (SELECT 1 FROM place WHERE key = -user AND seq = e.seq))
        AND (other IS NULL OR EXISTS (SELECT 1 FROM place WHERE key = -other AND seq = e.seq)),
    (SELECT count(*) FROM search_docsize WHERE id BETWEEN e.seq - more AND e.seq)
FROM entry AS e LEFT JOIN conversation AS c ON c.id = conversation
WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?
"""
_PLACES = """
SELECT key, place.seq,
    entry.seq IS NULL OR key NOT IN (conversation, -ifnull(user, 0), -ifnull(other, 0))
FROM place LEFT JOIN entry USING (seq)
WHERE (key, place.seq) > (?, ?) ORDER BY key, place.seq LIMIT ?
"""
_POSTS = """
SELECT p.session, p.id, p.seq, e.seq, p.session = e.session AND p.id IS e.post_id FROM post AS p
LEFT JOIN entry AS e ON e.seq = p.seq
WHERE (p.session, p.id) > (?, ?) ORDER BY p.session, p.id LIMIT ?
"""


class Replay(Protocol):
    """What makes the state of the entries (hub/replay.py, which is above this floor)."""

    problems: list[str]

    def apply(self, entry: Entry) -> None:
        """Take the next entry."""

    def end(self) -> None:
        """There are no more entries."""

    def alive(self, session: int) -> bool:
        """Whether a session is remembered at the end."""


MakeReplay = Callable[[tuple[int, bytes] | None, bool], Replay]
"""Given the last snapshot, and whether no entry was ever forgotten."""


class Findings:
    """What a check found: `problems` and `notes` are lines for a person."""

    def __init__(self) -> None:
        self.entries = 0
        self.newest = 0
        self.notes: list[str] = []
        self._kinds: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    @property
    def problems(self) -> list[str]:
        """All that was found, and how many more of a kind there are."""
        lines = []
        for kind, texts in self._kinds.items():
            lines += texts
            if self._counts[kind] > len(texts):
                lines.append(f"{kind}: {self._counts[kind] - len(texts)} more")
        return lines

    def add(self, kind: str, text: str) -> None:
        """Note a problem."""
        texts = self._kinds.setdefault(kind, [])
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if len(texts) < _SHOWN:
            texts.append(f"{kind}: {text}")

    @contextmanager
    def reading(self, kind: str) -> Iterator[None]:
        """What cannot be read is a problem like others."""
        try:
            yield
        except sqlite3.Error as error:
            self.add(kind, f"cannot be read: {error}")


def count(folder: Path) -> int | None:
    """How many entries a log has; None where that cannot be told."""
    try:
        with closing(reader(folder / FILE)) as db:
            number: int = db.execute("SELECT count(*) FROM entry").fetchone()[0]
            return number
    except sqlite3.Error:
        return None


def check(folder: Path, make_replay: MakeReplay) -> Findings:
    """Check the log of a data folder. Raises `StartError` where there is none."""
    path = folder / FILE
    if not path.exists():
        raise StartError(f"there is no log in {folder}: name a server's folder with --data")
    found = Findings()
    try:
        with closing(reader(path)) as db:
            _check(db, found, make_replay)
    except sqlite3.Error as error:
        found.add("file", why(error))
    return found


def _check(db: sqlite3.Connection, found: Findings, make_replay: MakeReplay) -> None:
    with found.reading("file"):
        for (line,) in db.execute(f"PRAGMA integrity_check({_SHOWN})"):
            if line != "ok":
                found.add("file", line)
    if not _tables(db, found):
        return
    trimmed = _trimmed(db)
    saved = db.execute("SELECT seq, state FROM snapshot ORDER BY seq DESC LIMIT 1").fetchone()
    replay = make_replay(saved, not trimmed)
    with found.reading("entries"):
        found.newest = db.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0]
        if saved is not None and saved[0] > found.newest > trimmed:
            found.add("state", f"it was saved after entry {saved[0]}, which is not there")
        _entries(db, found, replay)
    with found.reading("places"):
        _places(db, found)
    with found.reading("posts"):
        _posts(db, found)
    with found.reading("search"):
        _index(db, found)
    if _trimmed(db) != trimmed:
        found.notes.append("the server forgot old entries meanwhile: the state was not checked")
        return
    if trimmed:
        found.notes.append("old entries were forgotten: the saved state was not compared with them")
    for problem in replay.problems:
        found.add("state", problem)


def _tables(db: sqlite3.Connection, found: Findings) -> bool:
    """Whether the tables are those of this version, so that there is a use in reading them."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != len(MIGRATIONS):
        found.add(
            "tables", f"version {version}, and this selchat knows {len(MIGRATIONS)}: start it"
        )
        return False
    schema = "SELECT name, sql, type FROM sqlite_schema"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        migrate(model)
        wanted = {row[0]: row for row in model.execute(schema)}
    there = {row[0]: row for row in db.execute(schema)}
    for name in sorted(wanted.keys() | there.keys()):
        if name not in there:
            found.add("tables", f"{name} is missing")
        elif there[name] != wanted.get(name):
            found.add("tables", f"{name} is not as this selchat makes it")
    return all(name in there for name, _, kind in wanted.values() if kind == "table")


def _trimmed(db: sqlite3.Connection) -> int:
    """The highest `seq` that was forgotten."""
    number: int = db.execute("SELECT coalesce(max(trimmed), 0) FROM conversation").fetchone()[0]
    return number


def _pages(db: sqlite3.Connection, sql: str, start: tuple[Any, ...], *more: int) -> Iterator[Any]:
    """Pages of rows that begin with their key; a page and what is asked meanwhile are one view."""
    while True:
        db.execute("BEGIN")
        try:
            page = db.execute(sql, (*start, *more, _PAGE)).fetchall()
            yield page
        finally:
            db.execute("COMMIT")
        if not page:
            return
        start = page[-1][: len(start)]


def _entries(db: sqlite3.Connection, found: Findings, replay: Replay) -> None:
    indexed, filed = search.reach(db)[0], _filed(db)
    stride = max(1, indexed // _LOOKED_UP)
    forgotten_ids: dict[int, int] = {}  # by session: a post whose id is not remembered
    for page in _pages(db, _ENTRIES, (0,), found.newest):
        for row in page:
            seq, conversation, session, user, other, post_id, data, author, corrects = row[:9]
            more, *joined = row[9:]
            found.entries += 1 + more
            _joined(found, row)
            if not joined[-3]:
                forgotten_ids.setdefault(session, seq)
            if seq <= filed and not joined[-2]:
                found.add("places", f"entry {seq} is not found where it belongs")
            fact = _fact(found, seq, data)
            if fact is None:
                continue
            if corrects != (fact.of if isinstance(fact, Correction) else None):
                found.add("corrections", f"entry {seq} is not the correction of {corrects}")
            if more != (len(fact.texts) - 1 if isinstance(fact, Messages) else 0):
                found.add("entries", f"entry {seq} is not {1 + more} messages")
            said = isinstance(fact, Messages) or (isinstance(fact, Message) and not fact.deleted)
            if seq <= indexed and said:
                words = (seq, conversation, user, other, data)
                if joined[-1] != 1 + more or (seq % stride == 0 and not search.holds(db, words)):
                    found.add("search", f"entry {seq} is not found by its words")
            users = tuple(one for one in (user, other) if one is not None)
            replay.apply(
                Entry(
                    fact,
                    joined[0] or "",
                    users,
                    session,
                    post_id,
                    session if author is None else author,
                )
            )
    replay.end()
    for session, seq in forgotten_ids.items():
        if replay.alive(session):
            found.add("posts", f"the id of entry {seq} is not remembered for session {session}")


def _joined(found: Findings, row: tuple[Any, ...]) -> None:
    """Check that what an entry refers to is there."""
    seq, conversation, name, trimmed = row[0], row[1], row[10], row[11]
    if name is None:
        found.add("entries", f"entry {seq} is in conversation {conversation}, which is not there")
    elif seq <= trimmed:
        found.add(
            "entries", f"entry {seq} of {name!r} is there, though it is forgotten up to {trimmed}"
        )


def _fact(found: Findings, seq: int, data: bytes) -> AnyFact | None:
    """The fact of an entry, if it can be read and is the right one."""
    try:
        fact = decode(data)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        found.add("entries", f"entry {seq} cannot be read: {error}")
        return None
    if fact.seq != seq:
        found.add("entries", f"entry {seq} says that it is entry {fact.seq}")
        return None
    return fact


def _filed(db: sqlite3.Connection) -> int:
    """The entry up to which places are filed."""
    return int(db.execute("SELECT value FROM meta WHERE key = 'filed'").fetchone()[0])


def _places(db: sqlite3.Connection, found: Findings) -> None:
    filed, (_, newest) = _filed(db), search.reach(db)
    if filed > newest:
        found.add("places", f"they should be filed up to {filed}, and the last is {newest}")
    for page in _pages(db, _PLACES, (-(2**63), 0)):
        for _, seq, stray in page:
            if stray and seq <= filed:
                found.add("places", f"entry {seq} is found where it does not belong")


def _posts(db: sqlite3.Connection, found: Findings) -> None:
    for page in _pages(db, _POSTS, (-1, "")):
        trimmed = _trimmed(db)
        for session, post_id, seq, there, right in page:
            if there is None and seq > trimmed:
                found.add("posts", f"id {post_id!r} is of entry {seq}, which is not there")
            elif there is not None and not right:
                found.add("posts", f"entry {seq} is not post {post_id!r} of session {session}")


def _index(db: sqlite3.Connection, found: Findings) -> None:
    indexed, newest = search.reach(db)
    if indexed > newest:
        found.add("search", f"it should hold entries up to {indexed}, and the last is {newest}")
    for page in _pages(db, search.STRAY, (0,)):
        for seq, *_ in page:
            found.add("search", f"it holds entry {seq}, which is no message")
