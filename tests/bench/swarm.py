"""Many clients in one process, that write as fast as a window lets them, or at a rate.

What a server lost, repeated or put out of order is an error.
"""

from __future__ import annotations

import random
import selectors
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from tests.bench.member import PATIENCE, Member, message

_QUIET = 0.15
"""Seconds of silence after which all that was said before is there."""

_EACH = 100
"""Rooms that one has for itself, where there are to be rooms in which nobody speaks."""

_PLACES = 10**9
"""In the number of a message, what stands for its writer in its room begins here."""

Seen = dict[Member, dict[int, int]]


class Group:
    """Who reads what is written in some places, each a room or a pair with its writer. So many
    read each message, and the places take turns.
    """

    def __init__(self, places: Sequence[tuple[str, Member]], fan: int) -> None:
        self.places = places
        self.fan = fan
        self.sent = 0
        self.got = 0

    @property
    def missing(self) -> int:
        return self.sent * self.fan - self.got


class Swarm:
    """All clients of a server; `proto` is what they speak in turn, with a + between.

    So many as `batch` says log in or enter rooms at a time.
    """

    def __init__(self, port: int, proto: str, batch: int = 512) -> None:
        self.port = port
        self._protos = proto.split("+")
        self._batch = batch
        self._writing: dict[Member, None] = {}
        self._selector = selectors.DefaultSelector()
        self._readers: dict[Member, Group] = {}
        self.members: list[Member] = []
        self.groups: list[Group] = []

    def close(self) -> None:
        self._selector.close()
        for member in self.members:
            member.socket.close()

    def connect(self, count: int, *, receive_buffer: int | None = None) -> list[Member]:
        """So many more, logged in."""

        def made(number: int) -> Member:
            proto = self._protos[number % len(self._protos)]
            return Member(self.port, f"m{number}", proto, receive_buffer=receive_buffer)

        first = len(self.members)
        numbers = iter(range(first, first + count))
        while batch := [made(number) for number in islice(numbers, self._batch)]:
            self.login(batch)
        return self.members[first:]

    def login(self, members: Sequence[Member]) -> None:
        """Those are here and have a name from now on."""
        for member in members:
            self.add(member)
            member.ask([member.proto.hello(member.name)], member.proto.welcome, 1)
        self.answered(members)

    def add(self, member: Member) -> None:
        """That one is here from now on."""
        self.members.append(member)
        self._selector.register(member.socket, selectors.EVENT_READ, member)

    def deaf(self, member: Member) -> None:
        """That one reads no more."""
        self._selector.unregister(member.socket)

    def enter(self, wishes: Iterable[tuple[Member, Sequence[str]]]) -> None:
        """Have each enter those rooms. What the others are told of it is read meanwhile."""
        left = iter(wishes)
        while batch := list(islice(left, self._batch)):
            for member, rooms in batch:
                member.ask([member.proto.join(room) for room in rooms], member.proto.joined)
            self.answered([member for member, _ in batch])

    def answered(self, members: Iterable[Member]) -> None:
        """All that these have asked for is sent and answered."""
        waiting = {member for member in members if member.due > 0}
        self._writing |= dict.fromkeys(waiting)
        end = time.perf_counter() + PATIENCE
        while waiting:
            self.turn()
            left = {member for member in waiting if member.due > 0}
            if len(left) < len(waiting):
                end = time.perf_counter() + PATIENCE
            assert time.perf_counter() < end, f"{len(left)} got no answer"
            waiting = left

    def rooms(self, rooms: int, size: int, writers: int, each: int = 1) -> None:
        """So many rooms of so many, of whom everybody is in `each`."""
        members = self.connect(rooms * size // each)
        deal = random.Random(1)
        insides: list[list[Member]] = []
        wishes: dict[Member, list[str]] = {member: [] for member in members}
        for _ in range(each):  # everybody is in one of those that are made in a round
            if each > 1:
                deal.shuffle(members)
            for first in range(0, len(members), size):
                inside = members[first : first + size]
                for member in inside:
                    wishes[member].append(f"r{len(insides)}")
                insides.append(inside)
        self.enter(wishes.items())
        places = [
            [(f"#r{number}", writer) for writer in inside[:writers]]
            for number, inside in enumerate(insides)
        ]
        if each == 1:
            for those, inside in zip(places, insides, strict=True):
                self.watch(Group(those, size - 1), inside)
        else:
            self.watch(Group([place for those in places for place in those], size - 1), members)

    def pairs(self, count: int) -> None:
        """So many pairs, of which one writes and one reads."""
        members = self.connect(2 * count)
        for writer, reader in zip(members[::2], members[1::2], strict=True):
            self.watch(Group([(f"@{reader.name}", writer)], 1), [reader])

    def silent_rooms(self, count: int) -> None:
        """So many rooms in which there is one each, who says nothing."""
        members = self.connect(-(-count // _EACH))
        names = [f"s{number}" for number in range(count)]
        self.enter((one, names[n * _EACH : (n + 1) * _EACH]) for n, one in enumerate(members))

    def watch(self, group: Group, readers: Iterable[Member]) -> None:
        """Count what these are told for that group from now on."""
        self.groups.append(group)
        self._readers |= dict.fromkeys(readers, group)

    def settle(self) -> None:
        """Read what is under way, until nothing comes any more."""
        end = time.perf_counter() + PATIENCE
        while self._selector.select(_QUIET):
            self.turn()
            assert time.perf_counter() < end, "it does not become quiet"

    def flood(
        self,
        window: int,
        warm_up: float,
        seconds: float,
        size: int,
        measure: Callable[[], None],
        check: bool,
        bursts: bool = False,
    ) -> int:
        """Keep so many messages of each writer under way; return how many were told within
        `seconds`. `measure` is called at the beginning and the end of these. In `bursts`, all are
        written when the last ones are there.
        """
        seen: Seen | None = {} if check else None
        start = time.perf_counter() + warm_up
        end, counted, done = start + seconds, 0, 0
        stage = 0  # warming up, measuring, draining
        ready = set(self.groups)
        while True:
            now = time.perf_counter()
            if stage == 0 and now >= start:
                measure()
                counted, stage = self.got, 1
            elif stage == 1 and now >= end:
                measure()
                done, stage = self.got - counted, 2
            if stage == 2:
                if not any(group.missing for group in self.groups):
                    return done
                assert now < end + PATIENCE, f"{sum(g.missing for g in self.groups)} are lost"
            else:
                for group in ready:
                    if not (bursts and group.missing):
                        self._fill(group, window, size)
            ready = self.turn(seen)

    def pace(self, rate: float, size: int, more: Callable[[], bool]) -> list[float]:
        """Write so many messages a second while there is to be more, which is asked in each turn;
        return the seconds that each one told was under way, from when it was due.
        """
        waits: list[float] = []
        start = time.perf_counter()
        due, number = start, 0
        end: float | None = None
        while end is None or any(group.missing for group in self.groups):
            now = time.perf_counter()
            if end is None and not more():
                end = now + PATIENCE
            assert end is None or now < end, "some are lost"
            while end is None and due <= now:
                self._say(self.groups[number % len(self.groups)], round(due * 1e6), size)
                number += 1
                due = start + number / rate
            self.turn(None, waits, max(0.0, min(due - now, 0.05)))
        return waits

    @property
    def got(self) -> int:
        return sum(group.got for group in self.groups)

    def _fill(self, group: Group, window: int, size: int) -> None:
        many = len(group.places)
        while group.missing < window * many * group.fan:
            self._say(group, _PLACES * (group.sent % many) + group.sent // many, size)

    def _say(self, group: Group, number: int, size: int) -> None:
        to, writer = group.places[group.sent % len(group.places)]
        writer.unsent += writer.proto.say(to, message(number, size)).encode() + b"\n"
        group.sent += 1
        self._writing[writer] = None

    def send(self, member: Member) -> None:
        """What that one has to say leaves in the next turn."""
        self._writing[member] = None

    def turn(
        self,
        seen: Seen | None = None,
        waits: list[float] | None = None,
        patience: float = 0.05,
    ) -> set[Group]:
        """Send and read once; return the groups in which something came."""
        self._writing = {one: None for one in self._writing if not one.write()}
        groups: set[Group] = set()
        for key, _ in self._selector.select(0.001 if self._writing else patience):
            member: Member = key.data
            data = member.read()
            group = self._readers.get(member)
            if group is None:
                member.hear(data)
                continue
            count = data.count(b"^")
            member.got += count
            group.got += count
            groups.add(group)
            if waits is not None:
                now = time.perf_counter()
                waits += [now - number / 1e6 for number in member.numbers(data)]
            elif seen is not None:
                _check(member, seen.setdefault(member, {}), member.numbers(data))
        return groups


def _check(member: Member, last: dict[int, int], numbers: list[int]) -> None:
    for number in numbers:
        place, count = divmod(number, _PLACES)
        assert count == last.get(place, -1) + 1, f"{member.name}: {count} after {last}"
        last[place] = count
