"""Where entries are found: by their conversation, and by the users whom they concern.

A table in the order of what is asked for says so. In a busy moment each entry would go to another
page of it, and a commit has to write whole pages. So it is filled later, some thousand entries at a
time, of which many go to the same page (`file`); until then memory knows the places of what is not
filed, and after a start it learns them from the entries.

What is asked of the table ends at the entry that meta's `filed` names: what is above it there was
filed by a round that is not over, or never came to its end, and is in memory as well.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

_SLICE = 1_000
"""Places filed at a time, at most: one millisecond."""

_SLICES = 20
"""Where so many times more is waiting, a slice is larger: it has to keep pace."""

_PAGES = 200
"""Conversations and users for whom places are filed at a time, at most: each is another page."""

_TAIL = """
SELECT seq, conversation, session, user, other FROM entry WHERE seq > ? ORDER BY seq
"""
_FILED = "SELECT value FROM meta WHERE key = 'filed'"
_INSERT = "INSERT OR IGNORE INTO place VALUES (?, ?)"
_AFTER = "SELECT seq FROM place WHERE key = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
_BEFORE = "SELECT seq FROM place WHERE key = ? AND seq < ? AND seq <= ? ORDER BY seq DESC LIMIT ?"


class Places:
    """The places of a log's entries. A key is the number of a conversation, or that of `mine`.

    `filed` is the last entry whose places are in the table; of those above, `unfiled` in number,
    `newest` is the last. Any question can raise sqlite3.Error.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._tail: dict[int, list[int]] = defaultdict(list)
        self._split: list[tuple[int, list[int]]] = []  # since the last commit
        self._round: Iterator[tuple[int, list[int]]] | None = None
        self._until = self._taken = 0  # up to where the round files, and how many entries
        self.filed = self.newest = int(db.execute(_FILED).fetchone()[0])
        self.unfiled = 0
        self.add(db.execute(_TAIL, (self.filed,)).fetchall())

    def add(self, rows: list[tuple[Any, ...]]) -> None:
        """There are new rows of entries, above all others (rows.py)."""
        tail = self._tail
        for row in rows:
            seq, user, other = row[0], row[3], row[4]
            tail[row[1]].append(seq)
            if user is not None:
                tail[-user].append(seq)
                if other is not None:
                    tail[-other].append(seq)
        if rows:
            self.newest = rows[-1][0]
            self.unfiled += len(rows)

    def split(self, seqs: list[int], conversation: int, users: Iterable[int]) -> None:
        """The entry with the last of these seqs is several now, as part of the open transaction."""
        last = seqs[-1]
        for key in (conversation, *map(mine, users)):
            if last <= self.filed:
                self._db.executemany(_INSERT, [(key, seq) for seq in seqs])
            else:
                place = bisect_left(self._tail[key], last)
                self._tail[key][place : place + 1] = seqs
                self._split.append((key, seqs))
        self._round = None  # it may be over this one already

    def committed(self) -> None:
        """What was added and split is so for good."""
        self._split.clear()

    def undo(self, seq: int) -> None:
        """What was added above `seq`, and split since the last commit, is not so after all."""
        for key, seqs in reversed(self._split):
            place = bisect_left(self._tail[key], seqs[0])
            self._tail[key][place : place + len(seqs)] = seqs[-1:]
        for seqs in self._tail.values():
            del seqs[bisect_right(seqs, seq) :]
        self._split.clear()
        self.newest = seq
        self._round = None

    # Questions

    def after(self, key: int, after: int, limit: int) -> list[int]:
        """The first `limit` seqs above `after` there, in their order."""
        found: list[int] = []
        if after < self.filed:
            rows = self._db.execute(_AFTER, (key, after, self.filed, limit))
            found = [seq for (seq,) in rows]
        tail = self._tail.get(key)
        if tail and len(found) < limit:
            start = bisect_right(tail, after)
            found += tail[start : start + limit - len(found)]
        return found

    def before(self, key: int, before: int, limit: int) -> list[int]:
        """The last `limit` seqs below `before` there, the last one first."""
        tail = self._tail.get(key, [])
        end = bisect_left(tail, before)
        found = tail[max(0, end - limit) : end][::-1]
        if len(found) < limit:
            rows = self._db.execute(_BEFORE, (key, before, self.filed, limit - len(found)))
            found += [seq for (seq,) in rows]
        return found

    # Filing

    @property
    def filing(self) -> bool:
        """Whether a round is under way."""
        return self._round is not None

    def file(self) -> bool:
        """File a slice, in a transaction of its own; whether there is more to file. A round takes
        in what is there when it begins, all of it committed.
        """
        if self._round is None:
            self._round = self._groups(self.newest)
            self._until, self._taken = self.newest, self.unfiled
        self._db.execute("BEGIN IMMEDIATE")
        try:
            done = self._file_slice(self._round, max(_SLICE, self.unfiled // _SLICES))
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._round = None
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        if done:
            self._round = None
            self._forget(self._until)
        return self.filed < self.newest

    def _file_slice(self, groups: Iterator[tuple[int, list[int]]], left: int) -> bool:
        for pages, (key, seqs) in enumerate(groups, 1):
            self._db.executemany(_INSERT, [(key, seq) for seq in seqs])
            left -= len(seqs)
            if left <= 0 or pages == _PAGES:
                return False
        self._db.execute("UPDATE meta SET value = ? WHERE key = 'filed'", (str(self._until),))
        return True

    def _groups(self, until: int) -> Iterator[tuple[int, list[int]]]:
        """What is to be filed, for one key at a time, in the order of the table."""
        for key in sorted(self._tail):
            seqs = self._tail[key]
            rest = iter(seqs[: bisect_right(seqs, until)])
            while part := list(islice(rest, _SLICE)):
                yield key, part

    def _forget(self, until: int) -> None:
        """All up to there is filed."""
        self.filed = until
        # What was undone was counted as well.
        self.unfiled = self.unfiled - self._taken if until < self.newest else 0
        tail, self._tail = self._tail, defaultdict(list)
        for key, seqs in tail.items():
            if seqs and seqs[-1] > until:
                self._tail[key] = seqs[bisect_right(seqs, until) :]


def mine(user: int) -> int:
    """The key of a user's personal stream."""
    return -user
