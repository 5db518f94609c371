"""The second half of a tick: what the hub has to tell becomes bytes for each reader.

Neighbours in the order of the log that go to the same audience are one *run*: encoded once per
tongue, joined once, and the same bytes object is queued for every reader. Only who wrote one of
its messages, or is answered in between, gets pieces of its own.

A reader with more than the soft limit waiting is given nothing more from memory. It falls behind
(`Connection.catchup`), and what it missed is read from the log, a page a tick, when it reads again.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any, cast

from selchat.connection import LEAST, Connection
from selchat.errors import Trimmed
from selchat.hub.catchup import Catchup
from selchat.hub.hub import Answer, Hub, Resumed, Told
from selchat.hub.messages import PAGE_TEXT, weight
from selchat.hub.state import Peer, Session
from selchat.model import events
from selchat.model.commands import Command, Posts
from selchat.pace import Share
from selchat.wire import Tongue

log = logging.getLogger(__name__)

TICK = 1_000
"""What all connections together may ask for in a tick, in costs of the dispatcher's table, while
nobody waits for a turn. It came together, so it is done in the order in which it came, with one
commit; and it makes no more answers than one connection may have waiting."""

CROWDED = 20
"""What they may while somebody waits. So many messages take less than a millisecond, and for some
such ticks who asks for little waits, however many ask for much."""

_ALONE = 200
"""What one who waits alone may, and few share: fewer and larger commits do more."""

_QUICK = 0.001
"""Seconds that a commit may take while `CROWDED` is what it is."""

_SLOWEST = 3.0
"""Times as much as that, at most, on a slow disk."""

_LOOKED_AT = 50
"""Connections that are looked at to find out whether few wait or many."""

_PAGE = 100
"""What a page for a reader that is behind takes from `TICK`."""


class Delivery:
    """Tells connections what stands in `hub.out`, after the commit and never before.

    `wake` makes the loop tick again at once.
    """

    def __init__(self, hub: Hub, wake: Callable[[], None]) -> None:
        self._hub = hub
        self._wake = wake
        self._hungry: OrderedDict[Connection, None] = OrderedDict()  # what can be given more
        self._failed: dict[Connection, Exception] = {}  # what cannot go on, and why
        self._seq = hub.log.newest  # of the last entry told
        self.tick, self.crowded = TICK, CROWDED
        self.share = Share(TICK)
        self._page = hub.settings.page

    def feed_later(self, connection: Connection) -> None:
        """Go on with that connection in the next tick: there is room, or it has more to ask."""
        if not self._hungry:
            self._wake()
        self._hungry[connection] = None

    def deliver(self) -> None:
        """Tell what there is to tell."""
        out, self._hub.out = self._hub.out, []
        run: _Run | None = None
        for item, after in pairwise((*out, None)):
            if isinstance(item, Told):
                more = (
                    isinstance(after, Told) and after.peers is item.peers and after.own is item.own
                )
                if run is None and not more:
                    self._tell(item)
                else:
                    run = run or _Run(item.peers, item.own)
                    run.tell(item)
                    self._seq = item.entry.fact.seq
                    # However much comes in a tick, a reader is given only so much beyond its limit.
                    if not more or run.weight > PAGE_TEXT:
                        run.give(self)
                        run = None
            elif isinstance(item, Answer):
                connection = cast(Connection, item.peer)
                if line := _answer(connection, item):
                    _give_answer(connection, self._seq, line)
            elif isinstance(item, Resumed):
                self._resume(cast(Connection, item.peer), item)
            elif item is not None:
                _finish(cast(Connection, item.peer))
        # Where there is something to tell, others wait: who reads on does not take half the time.
        self._page = max(1, self._hub.settings.page // 2) if out else self._hub.settings.page
        self._feed()

    def _tell(self, item: Told) -> None:
        """Tell of an entry that no other goes with, as most are told."""
        fact, but, command = item.entry.fact, item.but, item.command
        self._seq = fact.seq
        chunks: dict[type[Tongue], bytes] = {}
        kind: type[Tongue] | None = None
        chunk = b""
        peers: Any = item.peers  # all of them are connections
        for connection in peers:
            if connection in but or connection.tongue is None:
                continue
            tongue = type(connection.tongue)
            if tongue is not kind:
                kind = tongue
                if tongue not in chunks:
                    chunks[tongue] = _encode(tongue, fact, item.own)
                chunk = chunks[tongue]
            stream = connection.stream
            if connection.catchup is None and not stream.full:
                stream.write(chunk)
            else:
                _give(self, connection, fact.first, chunk)
        if command is not None and type(command) is not Posts and item.asker is not None:
            asker = cast(Connection, item.asker)
            if line := _stored(asker, command, fact):
                _give_answer(asker, fact.seq, line)

    def fall_behind(self, connection: Connection, cursor: int) -> None:
        """From now on give that connection what comes after `cursor` from the log."""
        if connection.session is not None:
            self._begin(connection, connection.session, cursor, 0)

    def _resume(self, connection: Connection, item: Resumed) -> None:
        if connection.session is item.session:  # else it was taken over at once
            self._begin(connection, item.session, item.after, item.newest, item.direct)
            self.feed_later(connection)

    def _begin(
        self,
        connection: Connection,
        session: Session,
        cursor: int,
        resumed: int,
        direct: bool = False,
    ) -> None:
        try:
            connection.catchup = Catchup(self._hub.log, session, cursor, resumed, direct)
        except Trimmed as error:
            self._failed[connection] = error
            return
        connection.answers = deque()
        connection.listen()

    def _feed(self) -> None:
        """One page, or a share of the commands, for each connection that is ready for it.

        All pages come before any command: what a command orders, or the end of a connection, is
        committed and told in the next tick, so in this one no page may hold it. Whoever is not
        reached is first in the next tick.
        """
        share = self.share
        share.left = self.tick
        # Who only reads on waits for nobody's commands. Of so many, the first few tell enough.
        first = islice(self._hungry, _LOOKED_AT)
        if waiting := sum(connection.catchup is None for connection in first):
            share.left = max(self._crowded(), _ALONE // waiting)
        present = self._feed_pages()
        for turn in range(len(present)):
            if turn and share.left <= 0:
                break  # one at least, or pages could keep all from getting on
            share.among = len(present)
            connection = present.popleft()
            if connection.closing:
                continue  # another's command took its session over
            try:
                connection.work(turn=True)
            except Exception as error:  # noqa: BLE001  (it is told below)
                self._failed[connection] = error
        share.among = 1
        for connection in reversed(present):
            self._hungry[connection] = None
            self._hungry.move_to_end(connection, last=False)
        if self._hungry:
            self._wake()
        failed, self._failed = self._failed, {}
        for connection, reason in failed.items():
            _end(connection, reason)

    def _crowded(self) -> int:
        """What may be asked for in a tick while somebody waits. Where a commit takes long it is as
        much more, or most of the time would be spent with waiting for the disk.
        """
        slow = self._hub.log.stats.usual / _QUICK
        return int(self.crowded * min(max(1.0, slow), _SLOWEST))

    def _feed_pages(self) -> deque[Connection]:
        """A page for each that is in the past, as far as there is time; give who is not, or was."""
        present: deque[Connection] = deque()
        left = self._crowded()
        for _ in range(len(self._hungry)):
            connection, _ = self._hungry.popitem(last=False)
            if connection.stream.full:
                continue  # it will say so when it is drained
            if connection.catchup is None:
                present.append(connection)
                left -= LEAST
            else:
                self.share.left -= _PAGE
                left -= _PAGE
                try:
                    if self._feed_page(connection, connection.catchup):
                        present.append(connection)
                except Exception as error:  # noqa: BLE001
                    self._failed[connection] = error
            if left <= 0:
                break
        return present

    def _feed_page(self, connection: Connection, catchup: Catchup) -> bool:
        """Give a page of what was missed; True if the present is reached."""
        tongue, answers = connection.tongue, connection.answers
        if tongue is None or answers is None or connection.session is None:
            return True
        page, caught_up = catchup.page(self._page)
        write = connection.stream.write
        for fact, own in page:
            while answers and answers[0][0] < fact.seq:
                write(answers.popleft()[1])
            write(_encode(tongue, fact, own))
        if caught_up:
            for _, line in answers:
                write(line)
            connection.catchup = connection.answers = None
        elif not connection.stream.full:
            self.feed_later(connection)
        return caught_up


class _Run:
    """Entries for the same peers, one behind the other, and what their senders are answered."""

    __slots__ = ("_apart", "facts", "own", "peers", "weight")

    def __init__(self, peers: tuple[Peer, ...], own: bool) -> None:
        self.peers = peers
        self.own = own
        self.weight = 0
        self.facts: list[events.Fact] = []
        # For who does not get exactly what all get: from where to where it gets nothing, and what
        # it gets there, behind which `seq`.
        self._apart: dict[Connection, list[tuple[int, int, int, bytes]]] = {}

    def tell(self, item: Told) -> None:
        facts, apart = self.facts, self._apart
        fact, place = item.entry.fact, len(facts)
        facts.append(fact)
        self.weight += weight(fact)
        for connection in cast("tuple[Connection, ...]", item.but):
            apart.setdefault(connection, []).append((place, place + 1, 0, b""))
        if item.command is not None and item.asker is not None:
            asker = cast("Connection", item.asker)
            if line := _stored(asker, item.command, fact):
                place += 1
                apart.setdefault(asker, []).append((place, place, fact.seq, line))

    def give(self, delivery: Delivery) -> None:
        """Queue it for everybody."""
        facts, apart = self.facts, self._apart
        if facts:
            first = facts[0].first
            lines: dict[type[Tongue], list[bytes]] = {}
            chunks: dict[type[Tongue], bytes] = {}
            for connection in cast("tuple[Connection, ...]", self.peers):
                if connection.tongue is None:
                    continue
                tongue = type(connection.tongue)
                chunk = chunks.get(tongue)
                if chunk is None:
                    lines[tongue] = encoded = _encoded(tongue, facts, self.own)
                    chunk = chunks[tongue] = b"".join(encoded)
                if connection in apart:
                    self._give_apart(delivery, connection, apart.pop(connection), lines[tongue])
                elif connection.catchup is None and not connection.stream.full:
                    connection.stream.write(chunk)
                else:
                    _give(delivery, connection, first, chunk)
        for connection, places in apart.items():
            for _, _, seq, line in places:
                if line:
                    _give_answer(connection, seq, line)

    def _give_apart(
        self,
        delivery: Delivery,
        connection: Connection,
        places: list[tuple[int, int, int, bytes]],
        lines: list[bytes],
    ) -> None:
        start = 0
        for place, end, seq, line in places:
            if start < place:
                self._give_slice(delivery, connection, lines, start, place)
            start = end
            if line:
                _give_answer(connection, seq, line)
        if start < len(lines):
            self._give_slice(delivery, connection, lines, start, len(lines))

    def _give_slice(
        self, delivery: Delivery, connection: Connection, lines: list[bytes], start: int, end: int
    ) -> None:
        first = self.facts[start].first
        _give(delivery, connection, first, b"".join(lines[start:end]))


def _give(delivery: Delivery, connection: Connection, first: int, chunk: bytes) -> None:
    """Queue live entries, the first of which has the `seq` `first`."""
    if connection.catchup is not None:
        return
    if connection.stream.full:
        delivery.fall_behind(connection, first - 1)
    else:
        connection.stream.write(chunk)


def _give_answer(connection: Connection, seq: int, line: bytes) -> None:
    if connection.answers is not None:
        connection.answers.append((seq, line))
    else:
        connection.stream.write(line)


def _encoded(tongue: type[Tongue], facts: list[events.Fact], own: bool) -> list[bytes]:
    encode = tongue.encode
    try:
        return [encode(fact, own) for fact in facts]
    except Exception:  # noqa: BLE001  (one that fails takes no other with it, and is logged)
        return [_encode(tongue, fact, own) for fact in facts]


def _encode(tongue: type[Tongue] | Tongue, event: events.Event, own: bool = False) -> bytes:
    try:
        return tongue.encode(event, own)
    except Exception:
        # Not what it says: that can be a secret.
        log.exception("an event of the kind %s could not be told", type(event).__name__)
        return b""


def _stored(connection: Connection, command: Command | Posts, fact: events.Fact) -> bytes:
    """What who posted it is told: nothing where several at once are no more than lines of text."""
    if type(command) is Posts or connection.tongue is None:
        return b""
    return connection.tongue.posted(command.id, fact)


def _answer(connection: Connection, item: Answer) -> bytes:
    tongue = connection.tongue
    if tongue is None:
        return b""
    if item.command is None:
        return _encode(tongue, item.event)
    try:
        return tongue.answer(item.command, item.event)
    except Exception:
        log.exception("%s could not be answered", type(item.command).__name__)
        return b""


def _finish(connection: Connection) -> None:
    """End a connection: what it is still to be answered goes out, what it missed does not."""
    if connection.answers is not None:
        for _, line in connection.answers:
            connection.stream.write(line)
        connection.catchup = connection.answers = None
    connection.stream.finish()


def _end(connection: Connection, error: Exception) -> None:
    """End a connection that cannot go on: better a clear end than a gap."""
    if isinstance(error, Trimmed):
        connection.lose("fell-behind", "you read too slowly, and what you missed is no longer kept")
    else:
        log.error("%r failed and is closed", connection.stream, exc_info=error)
        connection.stream.crashed(error)
