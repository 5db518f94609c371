"""A log in memory: ordered and complete while the process lives, gone with it.

It holds a bounded number of entries. The oldest are forgotten first, so `trimmed` grows.
"""

from __future__ import annotations

import re
import secrets
from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import attrgetter

from msgspec import structs

from selchat.errors import Trimmed
from selchat.model.entries import CORRECTIONS, Correction, Entry, corrected, overtaken
from selchat.model.events import AnyFact, Message, Messages
from selchat.model.names import key
from selchat.store import Query
from selchat.store.stats import Stats

_seq = attrgetter("seq")


_Strand = list[Entry]
"""The entries of a conversation, named by it, or of a user's personal stream, named by its id; and
before them some that are forgotten.
"""

_SWEPT = 20
"""Into so many parts the capacity is divided: when so much was forgotten, strands are cut."""


class MemoryLog:
    """A `Log` of at most `capacity` entries."""

    def __init__(self, capacity: int) -> None:
        self.id = secrets.token_hex(8)
        self.secret = secrets.token_bytes(32)
        self.newest = 0
        self._trimmed = 0
        self.stats = Stats()
        self._capacity = capacity
        self._new: list[Entry] = []
        # The first of these may be several messages, of which those up to `_trimmed` are forgotten.
        self._entries: deque[Entry] = deque()
        self._count = 0  # of the messages and other entries that are
        self._strands: defaultdict[str | int, _Strand] = defaultdict(list)
        self._dead: list[Entry] = []  # forgotten, and in strands still
        self._posts: dict[tuple[int, str], Entry] = {}
        self._corrected: dict[int, int] = {}  # by message: the last correction of it
        self._late: dict[tuple[int, str], int] = {}  # the posts that `trim` took
        self._gone: dict[str | int, int] = {}  # by strand: up to where `trim` took entries
        self._snapshot: tuple[int, bytes] | None = None

    @property
    def trimmed(self) -> int:
        """The last entry that was forgotten to make room."""
        self._file()
        return self._trimmed

    def append(self, entry: Entry) -> None:
        """Add an entry. ValueError if its `seq` is not above all others."""
        seq = entry.fact.seq
        if seq <= self.newest:
            raise ValueError(f"entry {seq} comes after entry {self.newest}")
        self.newest = seq
        self._new.append(entry)

    def _file(self) -> None:
        """Put what was appended where it is found: with the commit, or before a question."""
        new, self._new = self._new, []
        strands = self._strands
        self._entries.extend(new)
        for entry in new:
            strands[entry.conversation].append(entry)
            for user in entry.users:
                strands[user].append(entry)
            fact = entry.fact
            if type(fact) is Messages:
                self._count += len(fact.texts)
                continue
            self._count += 1
            if entry.post_id is not None:
                self._posts[entry.session, entry.post_id] = entry
            elif isinstance(fact, CORRECTIONS):
                self._correct(fact)
        if self._count > self._capacity:
            self._forget_oldest(self._count - self._capacity)

    def _correct(self, correction: Correction) -> None:
        before = self._corrected.get(correction.of)
        if before is not None:
            self._change(before, overtaken)
        self._corrected[correction.of] = correction.seq
        self._change(
            correction.of,
            lambda fact: corrected(fact, correction) if isinstance(fact, Message) else fact,
        )

    def _change(self, seq: int, change: Callable[[AnyFact], AnyFact]) -> None:
        """Put another fact in the place of one."""
        place = bisect_left(self._entries, seq, key=_seq)
        if place == len(self._entries) or self._entries[place].first > seq:
            return  # forgotten meanwhile
        old = self._entries[place]
        each = old.each()
        at = seq - old.first
        new = each[at] = structs.replace(each[at], fact=change(each[at].fact))
        self._replace(place, each)
        if old.post_id is not None:
            self._posts[old.session, old.post_id] = new

    def _replace(self, place: int, new: list[Entry]) -> None:
        """Put these in the place of the entry that is there."""
        old = self._entries[place]
        del self._entries[place]
        for entry in reversed(new):
            self._entries.insert(place, entry)
        for name in _strands(old):
            strand = self._strands[name]
            start = bisect_left(strand, old.seq, key=_seq)
            strand[start : start + 1] = new

    def commit(self) -> None:
        """Nothing is more durable here than having been appended."""
        self._file()

    def probe(self) -> bool:
        """See `Log`."""
        return True

    def conversation(self, name: str, after: int, limit: int) -> list[Entry]:
        """See `Log`."""
        return self._after(name, after, limit)

    def before(self, name: str, before: int | None, limit: int) -> list[Entry]:
        """See `Log`."""
        self._file()
        strand = self._strands.get(name, []) if name else []
        end = len(strand)
        if before is not None:
            end = bisect_left(strand, before, key=_seq) + 1
        found = [
            entry
            for entry in _each(strand[max(0, end - limit - 1) : end])
            if self._trimmed < entry.seq and (before is None or entry.seq < before)
        ]
        return found[max(0, len(found) - limit) :]

    def personal(self, user: int, after: int, limit: int) -> list[Entry]:
        """See `Log`."""
        return self._after(user, after, limit)

    def find_post(self, session: int, post_id: str) -> Entry | None:
        """See `Log`."""
        self._file()
        if (seq := self._late.get((session, post_id))) is not None:
            raise Trimmed(f"entry {seq} was forgotten", seq)
        return self._posts.get((session, post_id))

    def search(self, query: Query) -> list[Entry]:
        """See `Log`. It looks at all entries, of which there are not many."""
        self._file()
        words = {word for text in query.words for word in _words(text)}
        found: list[Entry] = []
        if not words:
            return found
        newest = (one for entry in reversed(self._entries) for one in reversed(entry.each()))
        for entry in newest:
            fact = entry.fact
            if entry.seq <= max(query.above, self._trimmed) or len(found) >= query.limit:
                break
            if (
                isinstance(fact, Message)
                and not fact.deleted
                and entry.seq < query.below
                and (query.only is None or query.only in entry.users)
                and (entry.conversation in query.conversations or query.user in entry.users)
                and query.author in (None, key(fact.from_))
                and words <= set(_words(fact.text))
            ):
                found.append(entry)
        return found

    def seq_at(self, at: str) -> int:
        """See `Log`."""
        self._file()
        place = bisect_left(self._entries, at, key=lambda entry: entry.fact.at)
        if place == len(self._entries):
            return self.newest + 1
        return max(self._entries[place].first, self._trimmed + 1)

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """See `Log`."""
        self._file()
        after = max(after, self._trimmed)
        start = bisect_right(self._entries, after, key=_seq)
        return (one for one in _each(islice(self._entries, start, None)) if one.seq > after)

    def snapshot(self) -> tuple[int, bytes] | None:
        """See `Log`."""
        return self._snapshot

    def save_snapshot(self, state: bytes) -> None:
        """See `Log`."""
        self._snapshot = (self.newest, state)

    def tidy(self, idle: bool) -> bool:  # noqa: ARG002  (a Log)
        """There is no upkeep."""
        return False

    def trim(self, before: int, keep: int, alive: Callable[[int], bool]) -> Iterator[int]:
        """See `Log`. Each step sees to one conversation."""
        last = self._snapshot[0] if self._snapshot is not None else 0
        self._cut_strands()
        self._cut_head()
        for name in [name for name in self._strands if isinstance(name, str)]:
            for entry in _crossed(self._strands.get(name, []), before, keep):
                self._replace(bisect_left(self._entries, entry.seq, key=_seq), entry.each())
            if old := _oldest(self._strands.get(name, []), before, keep, last):
                self._forget(old)
                yield sum(map(_size, old))
                self._cut_strands()
                self._cut_head()
        self._gone = {
            name: seq
            for name, seq in self._gone.items()
            if seq > self._trimmed and (isinstance(name, str) or alive(name))
        }

    def close(self) -> None:
        """Nothing is held."""

    def _after(self, name: str | int, after: int, limit: int) -> list[Entry]:
        self._file()
        trimmed = max(self._trimmed, self._gone.get(name, 0))
        if after < trimmed:
            raise Trimmed(f"{name} begins after entry {trimmed}", trimmed)
        strand = self._strands.get(name, []) if name != "" else []
        start = bisect_right(strand, after, key=_seq)
        found = (one for one in _each(strand[start : start + limit]) if one.seq > after)
        return list(islice(found, limit))

    def _forget(self, old: list[Entry]) -> None:
        seqs = {entry.seq for entry in old}
        self._entries = deque(one for one in self._entries if one.seq not in seqs)
        self._count -= sum(map(_size, old))
        for name in {name for entry in old for name in _strands(entry)}:
            self._strands[name] = [one for one in self._strands[name] if one.seq not in seqs]
            if not self._strands[name]:
                del self._strands[name]
        for entry in old:
            self._forget_correction(entry)
            for name in _strands(entry):
                self._gone[name] = max(entry.seq, self._gone.get(name, 0))
            if entry.post_id is not None:
                del self._posts[entry.session, entry.post_id]
                self._late[entry.session, entry.post_id] = entry.seq
        while len(self._late) > self._capacity:
            del self._late[next(iter(self._late))]

    def _forget_correction(self, entry: Entry) -> None:
        fact = entry.fact
        if isinstance(fact, Correction) and self._corrected.get(fact.of) == entry.seq:
            del self._corrected[fact.of]

    def _forget_oldest(self, over: int) -> None:
        """Forget so many messages, or other entries."""
        entries, dead = self._entries, self._dead
        self._count -= over
        while over > 0:
            entry = entries[0]
            start = max(self._trimmed, entry.first - 1)
            size = entry.seq - start
            if size > over:
                self._trimmed = start + over
                return
            entries.popleft()
            dead.append(entry)
            self._trimmed = max(self._trimmed, entry.seq)
            over -= max(0, size)
            if entry.post_id is not None:
                del self._posts[entry.session, entry.post_id]
            elif isinstance(entry.fact, CORRECTIONS):
                self._forget_correction(entry)
        if len(dead) * _SWEPT > self._capacity:
            self._cut_strands()

    def _cut_strands(self) -> None:
        """Take what is forgotten out of its strands: many at once, since most share them."""
        dead, self._dead = self._dead, []
        for name in {name for entry in dead for name in _strands(entry)}:
            strand = self._strands[name]
            del strand[: bisect_right(strand, self._trimmed, key=_seq)]
            if not strand:
                del self._strands[name]

    def _cut_head(self) -> None:
        """Take what is forgotten of the first entry out of it."""
        if self._entries and self._entries[0].first <= self._trimmed:
            head = self._entries[0]
            self._replace(0, [one for one in head.each() if one.seq > self._trimmed])


def _size(entry: Entry) -> int:
    fact = entry.fact
    return len(fact.texts) if type(fact) is Messages else 1


def _each(entries: Iterable[Entry]) -> Iterator[Entry]:
    return (one for entry in entries for one in entry.each())


def _crossed(strand: _Strand, before: int, keep: int) -> list[Entry]:
    """What is to be divided before `_oldest` can say which go and which stay."""
    found = strand[bisect_left(strand, before, key=_seq) :][:1]
    start, over = _newest(strand, keep)
    if over and strand[start] not in found:
        found.append(strand[start])
    return [entry for entry in found if entry.first < entry.seq]


def _oldest(strand: _Strand, before: int, keep: int, last: int) -> list[Entry]:
    """Those below `before`, and all but the newest `keep` (0: of all); none above `last`."""
    cut = bisect_left(strand, before, key=_seq)
    if keep:
        cut = max(cut, _newest(strand, keep)[0])
    return strand[: min(cut, bisect_right(strand, last, key=_seq))]


def _newest(live: list[Entry], keep: int) -> tuple[int, int]:
    """Where the newest `keep` begin, and how many more than those there are from there on."""
    start, left = len(live), keep
    while start and left > 0:
        start -= 1
        left -= _size(live[start])
    return start, max(0, -left)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _strands(entry: Entry) -> tuple[str | int, ...]:
    return (entry.conversation, *entry.users)
