"""A durable log in one SQLite file: write-ahead log, one transaction a tick.

Hazards, and what is done about them:

- What is appended within a tick is written when the tick commits, or earlier where a question
  needs to see it; either way in one transaction, which a failure undoes as a whole.
- A checkpoint moves pages from the write-ahead log into the file, and can take long. Automatic
  ones happen inside somebody's commit, so they are off; `tidy` makes small ones in idle moments.
- `synchronous=FULL` syncs the write-ahead log at each commit. Without it a power cut can take
  acknowledged entries; the death of the process alone cannot (https://sqlite.org/pragma.html).
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from selchat.errors import StartError, StoreError, Trimmed
from selchat.model.entries import CORRECTIONS, Correction, Entry, corrected, overtaken
from selchat.model.events import Gone, Message, Messages
from selchat.store import Query, search
from selchat.store.database import CHECKPOINT, DAMAGED, FILE, WAL, configure, connect, why
from selchat.store.folder import Held
from selchat.store.places import Places, mine
from selchat.store.rows import ALL, BEYOND, INSERT, ONE, decode, encode, entries, split, to_row
from selchat.store.schema import migrate
from selchat.store.stats import Stats
from selchat.store.trim import trim

_NAMES = 50_000
"""Conversations whose number is remembered; asking for one costs some microseconds."""

_PAGE = 1_000
"""Entries read at a time where all are read."""

_INDEX = 50
"""Entries taken into the index for search at a time: 1 or 2 ms, with its merging. When so many are
not in it, they are taken without an idle moment."""

_INDEX_NOW = 200
"""Entries taken into it before an answer, at most, so that what was just said is found."""

_FILE = 10_000
"""Entries whose places are not filed at which that is begun without an idle moment."""

_BEHIND, _FAR_BEHIND = 10_000, 100_000
"""Entries not in it between which it waits for an idle moment: more are said than it could keep up
with, and each takes twice as long as all else that is done for it."""

_ROW = "SELECT seq, conversation, user, other, fact FROM entry WHERE seq = ?"
_CORRECTED_BEFORE = """
SELECT seq, fact FROM entry WHERE corrects = ? AND seq < ? ORDER BY seq DESC LIMIT 1
"""
_POST = "SELECT seq FROM post WHERE session = ? AND id = ?"


class SqliteLog:
    """A `Log` in a folder, which it holds as long as it is open."""

    def __init__(self, folder: Path, *, full: bool = True) -> None:
        """Open or create it; `full` says whether a commit survives a power cut.

        Raises `StartError` where the folder is held by another process or cannot be used.
        """
        self._held = Held(folder)
        self._path = folder / FILE
        self.stats = Stats()
        self._synchronous = f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}"
        self._pending: list[Entry] = []
        self._pending_posts: dict[tuple[int, str], Entry] = {}
        self._correcting = False  # whether there is a correction among what is pending
        self._written = 0  # how many of the pending ones are in the open transaction
        self._spoilt: sqlite3.Error | None = None  # why that transaction can only be undone
        self._folded = False  # whether the last step of `tidy` was a checkpoint
        self._numbers: dict[str, int] = {}
        with ExitStack() as undo:
            undo.callback(self._held.release)
            try:
                self._db = connect(self._path)
                undo.callback(self._db.close)
                configure(self._db, self._synchronous)
                migrate(self._db)
                search.prepare(self._db)
                self.id = self._kept("id", 8)
                self.secret = bytes.fromhex(self._kept("secret", 32))
                newest = self._db.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()
                self._places = Places(self._db)
            except (sqlite3.Error, OSError) as error:
                raise StartError(f"the log {self._path} cannot be used: {why(error)}") from error
            undo.pop_all()
        self.newest: int = newest[0]
        self._committed = self.newest

    # Writing

    def append(self, entry: Entry) -> None:
        """Add an entry. ValueError if its `seq` is not above all others."""
        seq = entry.fact.seq
        if seq <= self.newest:
            raise ValueError(f"entry {seq} comes after entry {self.newest}")
        self.newest = seq
        self._pending.append(entry)
        if entry.post_id is not None:
            self._pending_posts[entry.session, entry.post_id] = entry
        elif isinstance(entry.fact, Correction):
            self._correcting = True

    def commit(self) -> None:
        """See `Log`. After a `StoreError`, `newest` is what it was before the tick."""
        if not self._pending:
            return
        start = perf_counter()
        try:
            self._write()
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise StoreError(why(error)) from error
        self.stats.committed(perf_counter() - start, self.newest - self._committed)
        self._committed = self.newest
        if self._correcting:
            self._places.committed()
        self._forget_pending()

    def probe(self) -> bool:
        """Whether it can be written: tries it."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._put("probe", secrets.token_hex(4_096))
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._rollback()
            return False
        return True

    def _write(self) -> None:
        """Put what is pending into the open transaction."""
        if self._spoilt is not None:
            raise self._spoilt
        new = self._pending[self._written :]
        if not new:
            return
        try:
            if not self._written:
                self._db.execute("BEGIN IMMEDIATE")
            self._insert(new)
        except sqlite3.Error as error:
            self._spoilt = error  # a part of it may be in the transaction
            raise
        self._written = len(self._pending)

    def _insert(self, new: list[Entry]) -> None:
        rows, posts, gone, corrections = [], [], [], []
        numbers = self._numbers
        for entry in new:
            fact, post_id = entry.fact, entry.post_id
            number = numbers.get(entry.conversation)
            if number is None:
                number = self._number(entry.conversation)
            rows.append(to_row(entry, number))
            if post_id is not None:
                posts.append((entry.session, post_id, fact.seq))
            elif type(fact) is Messages:
                continue
            elif type(fact) is Gone:
                if fact.for_good:
                    gone.append((entry.session,))
            elif isinstance(fact, CORRECTIONS):
                corrections.append(fact)
        execute = self._db.executemany
        execute(INSERT, rows)
        self._places.add(rows)
        if posts:
            execute("INSERT INTO post VALUES (?, ?, ?)", posts)
        if gone:  # nobody can repeat a post of theirs any more
            execute("DELETE FROM post WHERE session = ?", gone)
        for correction in corrections:
            self._correct(correction)

    def _correct(self, correction: Correction) -> None:
        """Put another message in the place of the one that a correction is about, everywhere."""
        split(self._db, self._places, correction.of)
        place = correction.of, correction.seq
        before = self._db.execute(_CORRECTED_BEFORE, place).fetchone()
        if before is not None:
            old = encode(overtaken(decode(before[1])))
            self._db.execute("UPDATE entry SET fact = ? WHERE seq = ?", (old, before[0]))
        row = self._db.execute(_ROW, (correction.of,)).fetchone()
        message = decode(row[-1]) if row is not None else None
        if not isinstance(message, Message):
            return  # forgotten meanwhile
        fact = encode(corrected(message, correction))
        search.replace(self._db, row, fact)
        self._db.execute("UPDATE entry SET fact = ? WHERE seq = ?", (fact, correction.of))

    def _number(self, name: str) -> int:
        """The number of a conversation; it is given one if it has none."""
        # Mostly it is a new one that is not remembered.
        made = self._db.execute("INSERT OR IGNORE INTO conversation (name) VALUES (?)", (name,))
        number = made.lastrowid
        if not made.rowcount or number is None:
            find = "SELECT id FROM conversation WHERE name = ?"
            number = self._db.execute(find, (name,)).fetchone()[0]
        if len(self._numbers) >= _NAMES:
            self._numbers.clear()
        self._numbers[name] = number
        return number

    def _undo(self) -> None:
        self._rollback()
        self.stats.failed += 1
        self.newest = self._committed
        self._places.undo(self._committed)
        self._numbers.clear()  # some may have been given in the tick that failed
        self._forget_pending()

    def _rollback(self) -> None:
        # After some errors SQLite has rolled back by itself.
        with suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _forget_pending(self) -> None:
        self._pending.clear()
        self._pending_posts.clear()
        self._correcting = False
        self._written = 0
        self._spoilt = None

    # Reading

    def conversation(self, name: str, after: int, limit: int) -> list[Entry]:
        """See `Log`."""
        found = self._ask("SELECT id, trimmed FROM conversation WHERE name = ? AND id > 0", (name,))
        if not found:
            return []
        number, trimmed = found[0]
        if after < trimmed:
            raise Trimmed(f"{name} begins after entry {trimmed}", trimmed)
        return self._found(lambda places: places.after(number, after, limit), after, limit)

    def before(self, name: str, before: int | None, limit: int) -> list[Entry]:
        """See `Log`."""
        found = self._ask("SELECT id FROM conversation WHERE name = ? AND id > 0", (name,))
        if not found:
            return []
        number = found[0][0]
        end = self.newest + 1 if before is None else min(before, self.newest + 1)

        def find(places: Places) -> list[int]:
            return places.before(number, end + BEYOND, limit + BEYOND)

        return self._found(find, end, limit, back=True)[::-1]

    def personal(self, user: int, after: int, limit: int) -> list[Entry]:
        """See `Log`."""
        found = self._ask("SELECT seq FROM trimmed WHERE user = ?", (user,))
        if found and after < found[0][0]:
            raise Trimmed(f"what concerns user {user} begins after {found[0][0]}", found[0][0])
        return self._found(lambda places: places.after(mine(user), after, limit), after, limit)

    def find_post(self, session: int, post_id: str) -> Entry | None:
        """See `Log`."""
        new = self._correcting  # nothing that is pending has to be written for all other posts
        pending = self._pending_posts.get((session, post_id))
        if pending is not None and not new:
            return pending
        seqs = self._ask(_POST, (session, post_id), see_pending=new)
        if not seqs:
            return None
        found = self._one(seqs[0][0], see_pending=new)
        if not found:
            raise Trimmed(f"entry {seqs[0][0]} was forgotten", seqs[0][0])
        return found[0]

    def search(self, query: Query) -> list[Entry]:
        """See `Log`."""
        try:
            self._write()
            self._index()
            found = search.find(self._db, query)
        except sqlite3.Error as error:
            raise self._unread(error) from error
        return [entry for seq in found for entry in self._one(seq)]

    def seq_at(self, at: str) -> int:
        """See `Log`."""
        low, high = 0, self.newest + 1  # `at` grows with `seq`, so halving finds it
        while low < high:
            middle = (low + high) // 2
            found = self._entries(middle, 1)
            if found and found[0].fact.at < at:
                low = found[0].seq + 1
            else:
                high = middle
        found = self._entries(low, 1)
        return found[0].seq if found else self.newest + 1

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """See `Log`."""
        while page := self._entries(after, _PAGE):
            yield from page
            after = page[-1].seq

    def _one(self, seq: int, *, see_pending: bool = True) -> list[Entry]:
        """The entry with that `seq`, if it is there."""
        found = self._entries(seq - 1, 1, see_pending=see_pending)
        return [one for one in found if one.seq == seq]

    def _entries(self, after: int, limit: int, *, see_pending: bool = True) -> list[Entry]:
        """The first `limit` entries above `after`, of all."""
        with self._reading(see_pending), closing(self._db.execute(ALL, (after, limit))) as rows:
            return _until(limit, (one for one in entries(rows) if one.seq > after))

    def _found(
        self, find: Callable[[Places], list[int]], place: int, limit: int, *, back: bool = False
    ) -> list[Entry]:
        """The first `limit` entries above `place`, or the last below it (`back`), of those in the
        rows that `find` gives.
        """
        with self._reading():
            rows = (self._db.execute(ONE, (seq,)).fetchone() for seq in find(self._places))
            each = entries(rows, back=back)
            return _until(
                limit, (one for one in each if (one.seq < place if back else one.seq > place))
            )

    @contextmanager
    def _reading(self, see_pending: bool = True) -> Iterator[None]:
        """Read, with what is pending unless nothing of it matters. Raises `StoreError`."""
        try:
            if see_pending:
                self._write()
            yield
        except sqlite3.Error as error:
            raise self._unread(error) from error
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise StoreError(f"{DAMAGED} ({error})") from error

    def _ask(
        self, sql: str, values: tuple[int | str, ...], see_pending: bool = True
    ) -> list[tuple[Any, ...]]:
        with self._reading(see_pending):
            return self._db.execute(sql, values).fetchall()

    def _unread(self, error: sqlite3.Error) -> StoreError:
        """What to raise where a question failed."""
        if self._written and not self._db.in_transaction:
            # SQLite undoes the open transaction after some errors, those of a SELECT too
            # (https://sqlite.org/lang_transaction.html, section 3.1).
            self._spoilt = error
        return StoreError(why(error))

    def _index(self) -> None:
        """Take what was said just now into the index; where that fails, search finds the rest."""
        try:
            search.index(self._db, _INDEX_NOW)
        except sqlite3.Error as error:
            if self._written:
                self._spoilt = error  # a part of it may be in the transaction
                raise

    # Upkeep

    def snapshot(self) -> tuple[int, bytes] | None:
        """See `Log`."""
        found = self._ask("SELECT seq, state FROM snapshot ORDER BY seq DESC LIMIT 1", ())
        return found[0] if found else None

    def save_snapshot(self, state: bytes) -> None:
        """See `Log`."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM snapshot")
            self._db.execute("INSERT INTO snapshot VALUES (?, ?)", (self.newest, state))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            raise StoreError(why(error)) from error

    def tidy(self, idle: bool) -> bool:
        """See `Log`: takes entries into the index, or the write-ahead log into the file."""
        enough = 0 if idle else _INDEX
        try:
            size = self._path.with_name(WAL).stat().st_size
            self._folded = size > CHECKPOINT and not self._folded
            if self._folded:
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                return True  # that is enough for once
            filing = self._file(idle)
            left = search.unindexed(self._db)
            if not idle and (left <= enough or _BEHIND < left < _FAR_BEHIND):
                return filing
            return self._index_step() > enough or filing
        except (sqlite3.Error, OSError) as error:
            raise StoreError(why(error)) from error

    def _file(self, idle: bool) -> bool:
        """See to the places for a moment, if there is enough to do; whether there is more."""
        places = self._places
        if not (places.filing or places.unfiled >= _FILE or (idle and places.unfiled)):
            return False
        with self._unsynced():
            return places.file() and (idle or places.filing)

    def _index_step(self) -> int:
        """See to the index for a moment; how much is left to do."""
        with self._unsynced():
            self._db.execute("BEGIN IMMEDIATE")
            left = search.index(self._db, _INDEX)
            left += search.merge(self._db)
            self._db.execute("COMMIT")
        return left

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        """Change what is made of the entries, and made again after a power cut took it."""
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self._rollback()  # nothing, where all went well
            self._db.execute(self._synchronous)

    def trim(self, before: int, keep: int, alive: Callable[[int], bool]) -> Iterator[int]:
        """See `Log`."""
        try:
            yield from trim(self._db, self._places, before, keep, alive)
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise StoreError(why(error)) from error

    def close(self) -> None:
        """See `Log`. What is pending is not committed."""
        self._rollback()
        with suppress(sqlite3.Error):
            self._db.close()
        self._held.release()

    def _kept(self, key: str, size: int) -> str:
        """A random value that is made once and kept, `size` bytes in hexadecimal."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if found is not None:
            return str(found[0])
        value = secrets.token_hex(size)
        self._put(key, value)
        return value

    def _put(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def _until(limit: int, found: Iterator[Entry]) -> list[Entry]:
    return list(islice(found, limit))
