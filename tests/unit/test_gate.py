"""Who may come in, and whose turn it is to shake hands."""

from __future__ import annotations

from typing import Any

import pytest

import selchat.gate
from selchat.gate import HANDSHAKES_A_TICK, SILENT, Gate, Handshakes, Refusal
from selchat.settings import ServerSettings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def gate(clock: Clock | None = None, **settings: Any) -> Gate:
    return Gate(ServerSettings(**{"memory_limit": 0} | settings), clock or Clock())


def code(refusal: Refusal | None) -> str | None:
    return None if refusal is None else refusal.code


def test_so_many_come_in_from_an_address_and_others_too() -> None:
    door = gate(connections_per_address=2)
    assert [code(door.enter("192.0.2.1", exempt=False)) for _ in range(3)] == [
        None,
        None,
        "too-many-connections",
    ]
    assert door.enter("192.0.2.2", exempt=False) is None
    door.leave("192.0.2.1", exempt=False, refused=True)
    door.leave("192.0.2.1", exempt=False, refused=False)
    assert door.enter("192.0.2.1", exempt=False) is None


def test_a_site_of_ipv6_is_one_address() -> None:
    door = gate(connections_per_address=2)
    assert door.enter("2001:db8::1", exempt=False) is None
    assert door.enter("2001:db8::2", exempt=False) is None
    assert code(door.enter("2001:db8::3", exempt=False)) == "too-many-connections"
    assert door.enter("2001:db8:0:1::3", exempt=False) is None


def test_the_exempt_are_counted_in_all_but_not_by_address() -> None:
    door = gate(connections_per_address=1, connections=3)
    for _ in range(3):
        assert door.enter("127.0.0.1", exempt=True) is None
    assert code(door.enter("127.0.0.1", exempt=True)) == "full"
    assert code(door.enter("192.0.2.1", exempt=False)) == "full"
    door.leave("127.0.0.1", exempt=True, refused=False)
    assert door.enter("192.0.2.1", exempt=False) is None


def test_few_at_a_time_are_told_and_fewer_of_one_address() -> None:
    door = gate(connections=1)
    assert door.enter("192.0.2.1", exempt=False) is None
    from_one = [door.enter("192.0.2.1", exempt=False) for _ in range(6)]
    assert list(map(code, from_one)) == ["full"] * 4 + [""] * 2
    others = [door.enter(f"198.51.100.{n}", exempt=False) for n in range(98)]
    assert list(map(code, others)) == ["full"] * 96 + [""] * 2
    assert others[-1] is SILENT
    door.leave("192.0.2.1", exempt=False, refused=True)
    assert code(door.enter("198.51.100.200", exempt=False)) == "full"


def test_nothing_is_kept_of_who_is_gone() -> None:
    door = gate(connections=2, connections_per_address=1)
    for n in range(50):
        address = f"192.0.2.{n}"
        assert door.enter(address, exempt=False) is None
        assert door.enter(address, exempt=False) not in (None, SILENT)
        door.leave(address, exempt=False, refused=True)
        door.leave(address, exempt=False, refused=False)
    assert not door._per_place
    assert not door._told_per_place
    assert door._inside == door._told == 0


def test_memory_is_looked_at_once_a_second_and_nobody_new_comes_in_over_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used, looks = [50], []

    def resident() -> int:
        looks.append(used[-1])
        return used[-1]

    monkeypatch.setattr(selchat.gate, "resident", resident)
    clock = Clock()
    door = gate(clock, memory_limit=100)
    assert door.enter("192.0.2.1", exempt=False) is None
    used.append(101)
    assert door.enter("192.0.2.2", exempt=False) is None
    assert looks == [50]
    clock.now = 1.0
    assert code(door.enter("192.0.2.3", exempt=False)) == "full"
    used.append(100)
    clock.now = 2.0
    assert door.enter("192.0.2.3", exempt=False) is None
    assert looks == [50, 101, 100]


def test_what_is_really_in_use_is_some_megabytes() -> None:
    assert 2**22 < selchat.gate.resident() < 2**35


def test_that_somebody_is_refused_is_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    door = gate(clock, connections=1)
    door.enter("192.0.2.1", exempt=False)
    for n in range(100):
        door.enter(f"192.0.2.{n}", exempt=False)
    assert len(caplog.records) == 1
    assert "full" in caplog.text
    clock.now = 60.0
    door.enter("192.0.2.77", exempt=False)
    assert len(caplog.records) == 2
    assert "192.0.2.77" in caplog.text


class Shaker:
    def __init__(self, begun: list[str], name: str) -> None:
        self.begun, self.name = begun, name

    def shake_hands(self) -> None:
        self.begun.append(self.name)


def test_so_many_shake_hands_at_a_time_and_the_others_in_order() -> None:
    begun: list[str] = []
    wakes: list[None] = []
    handshakes = Handshakes(2, lambda: wakes.append(None))
    a, b, c, d, e = (Shaker(begun, name) for name in "abcde")
    assert handshakes.begin(a)
    handshakes.next_tick()
    assert handshakes.begin(b)
    assert not handshakes.begin(c)
    assert not handshakes.begin(d)
    assert not handshakes.begin(e)
    handshakes.next_tick()
    assert begun == []
    assert not wakes  # or the loop would spin
    handshakes.end(d)  # it has gone away, waiting
    handshakes.end(a)
    assert wakes
    handshakes.next_tick()
    assert begun == ["c"]
    handshakes.end(b)
    handshakes.next_tick()
    assert begun == ["c", "e"]
    handshakes.end(c)
    handshakes.end(c)
    handshakes.next_tick()
    assert handshakes.begin(a)


def test_few_begin_in_one_tick() -> None:
    begun: list[str] = []
    wakes: list[None] = []
    handshakes = Handshakes(1000, lambda: wakes.append(None))
    shakers = [Shaker(begun, str(n)) for n in range(3 * HANDSHAKES_A_TICK)]
    at_once = [shaker for shaker in shakers if handshakes.begin(shaker)]
    assert at_once == shakers[:HANDSHAKES_A_TICK]
    handshakes.next_tick()
    assert begun == [shaker.name for shaker in shakers[HANDSHAKES_A_TICK : 2 * HANDSHAKES_A_TICK]]
    assert wakes  # there are more
    handshakes.next_tick()
    assert len(begun) == 2 * HANDSHAKES_A_TICK
    handshakes.next_tick()
    assert handshakes.begin(Shaker(begun, "late"))
