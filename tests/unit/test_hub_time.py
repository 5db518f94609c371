"""`at` agrees with `seq`, whatever the clock does."""

from __future__ import annotations

from collections.abc import Callable

from selchat.hub.hub import Hub, stamp
from selchat.hub.state import Cancellable
from selchat.model import events
from selchat.settings import ServerSettings
from selchat.store.memory import MemoryLog

NOON = 1_769_860_800_000


class Clock:
    """A world that is a clock."""

    def __init__(self, time: int) -> None:
        self.time = time

    def now(self) -> int:
        return self.time

    def call_later(self, delay: float, callback: Callable[[], None]) -> Cancellable:
        raise AssertionError

    def secret(self) -> str:
        raise AssertionError

    def derive(self, *_: object) -> Cancellable:
        raise AssertionError


def opened(hub: Hub) -> str:
    return hub.order(events.Opened, f"user{hub.log.newest + 1}", None).fact.at


def test_a_clock_that_is_set_back_does_not_set_entries_back() -> None:
    log, world = MemoryLog(100), Clock(NOON)
    hub = Hub(log, ServerSettings(), world)
    assert opened(hub) == stamp(NOON) == "2026-01-31T12:00:00.000Z"
    world.time -= 5_000
    assert opened(hub) == stamp(NOON)
    world.time += 5_001
    assert opened(hub) == stamp(NOON + 1)


def test_not_even_over_a_restart() -> None:
    log = MemoryLog(100)
    opened(Hub(log, ServerSettings(), Clock(NOON)))
    hub = Hub(log, ServerSettings(), Clock(NOON - 60_000))
    hub.restore()
    assert opened(hub) == stamp(NOON)
