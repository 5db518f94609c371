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


class _Strand:
    """Entries in order, of which the oldest can be forgotten cheaply: a list with a dead head."""

    __slots__ = ("_dead", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._dead = 0

    def replace(self, old: Entry, new: list[Entry]) -> None:
        """Put these in the place of that one."""
        place = bisect_left(self.entries, old.seq, self._dead, key=_seq)
        self.entries[place : place + 1] = new

    def crossed(self, before: int, keep: int) -> list[Entry]:
        """What is to be divided before `oldest` can say which go and which stay."""
        live = self.entries[self._dead :]
        found = live[bisect_left(live, before, key=_seq) :][:1]
        start, over = _newest(live, keep)
        if over and live[start] not in found:
            found.append(live[start])
        return [entry for entry in found if entry.first < entry.seq]

    def oldest(self, before: int, keep: int, last: int) -> list[Entry]:
        """Those below `before`, and all but the newest `keep` (0: of all); none above `last`."""
        live = self.entries[self._dead :]
        cut = bisect_left(live, before, key=_seq)
        if keep:
            cut = max(cut, _newest(live, keep)[0])
        return live[: min(cut, bisect_right(live, last, key=_seq))]

    def forget(self, seqs: set[int]) -> bool:
        """Drop the entries of those `seq`s; True when none is left."""
        self.entries = [one for one in self.entries[self._dead :] if one.seq not in seqs]
        self._dead = 0
        return not self.entries

    def forget_oldest(self) -> bool:
        """Drop the oldest entry; True when none is left."""
        self._dead += 1
        if self._dead * 2 > len(self.entries):
            del self.entries[: self._dead]
            self._dead = 0
        return not self.entries

    def after(self, seq: int, limit: int) -> list[Entry]:
        start = bisect_right(self.entries, seq, self._dead, key=_seq)
        found = _each(self.entries[start : start + limit])
        return [entry for entry in found if entry.seq > seq][:limit]

    def before(self, seq: int | None, limit: int) -> list[Entry]:
        end = len(self.entries)
        if seq is not None:
            end = bisect_left(self.entries, seq, self._dead, key=_seq) + 1
        each = _each(self.entries[max(self._dead, end - limit - 1) : end])
        found = [entry for entry in each if seq is None or entry.seq < seq]
        return found[max(0, len(found) - limit) :]


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
        self._entries: deque[Entry] = deque()
        self._count = 0  # several messages in one entry counted apart
        # By conversation, and by user id.
        self._strands: defaultdict[str | int, _Strand] = defaultdict(_Strand)
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
        fact = entry.fact
        if fact.first <= self.newest:
            raise ValueError(f"entry {fact.first} comes after entry {self.newest}")
        self.newest = fact.seq
        self._new.append(entry)

    def _file(self) -> None:
        """Put what was appended where it is found: with the commit, or before a question."""
        new, self._new = self._new, []
        strands, append = self._strands, self._entries.append
        for entry in new:
            append(entry)
            strands[entry.conversation].entries.append(entry)
            for user in entry.users:
                strands[user].entries.append(entry)
            fact = entry.fact
            if type(fact) is Messages:
                self._count += len(fact.texts)
                continue
            self._count += 1
            if entry.post_id is not None:
                self._posts[entry.session, entry.post_id] = entry
            elif isinstance(fact, CORRECTIONS):
                self._correct(fact)
        while (over := self._count - self._capacity) > 0:
            self._forget_oldest(over)

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
            self._strands[name].replace(old, new)

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
        strand = self._strands.get(name) if name else None
        return strand.before(before, limit) if strand else []

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
            if entry.seq <= query.above or len(found) >= query.limit:
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
        return self._entries[place].first if place < len(self._entries) else self.newest + 1

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """See `Log`."""
        self._file()
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
        for name in [name for name in self._strands if isinstance(name, str)]:
            strand = self._strands.get(name)
            if strand is None:
                continue
            for entry in strand.crossed(before, keep):
                self._replace(bisect_left(self._entries, entry.seq, key=_seq), entry.each())
            if old := strand.oldest(before, keep, last):
                self._forget(old)
                yield sum(map(_size, old))
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
        strand = self._strands.get(name) if name != "" else None
        return strand.after(after, limit) if strand else []

    def _forget(self, old: list[Entry]) -> None:
        seqs = {entry.seq for entry in old}
        self._entries = deque(one for one in self._entries if one.seq not in seqs)
        self._count -= sum(map(_size, old))
        for name in {name for entry in old for name in _strands(entry)}:
            if self._strands[name].forget(seqs):
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
        """Forget the oldest entry; where it is more messages than `over`, so many of them."""
        entry = self._entries[0]
        fact = entry.fact
        if type(fact) is Messages and len(fact.texts) > over:
            rest = structs.replace(entry, fact=structs.replace(fact, texts=fact.texts[over:]))
            self._replace(0, [rest])
            self._trimmed = rest.first - 1
            self._count -= over
            return
        self._entries.popleft()
        self._trimmed = entry.seq
        self._count -= _size(entry)
        self._forget_correction(entry)
        for name in _strands(entry):
            if self._strands[name].forget_oldest():
                del self._strands[name]
        if entry.post_id is not None:
            del self._posts[entry.session, entry.post_id]


def _size(entry: Entry) -> int:
    fact = entry.fact
    return len(fact.texts) if type(fact) is Messages else 1


def _each(entries: Iterable[Entry]) -> Iterator[Entry]:
    return (one for entry in entries for one in entry.each())


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
