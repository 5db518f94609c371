"""The loop calls what is ready and what is due, in order, and survives whatever they do."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from selchat.loop import READ, WRITE, Loop, Timer
from tests.unit.ways import Clock


class Probe:
    """A handler that notes what it is told, and does what the test wants."""

    def __init__(self, action: Callable[[], object] = lambda: None) -> None:
        self.action = action
        self.masks: list[int] = []
        self.errors: list[Exception] = []

    def ready(self, mask: int) -> None:
        self.masks.append(mask)
        self.action()

    def crashed(self, error: Exception) -> None:
        self.errors.append(error)


def fail(text: str) -> None:
    raise ValueError(text)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(clock: Clock) -> Iterator[Loop]:
    loop = Loop(clock)
    yield loop
    loop.close()


@pytest.fixture
def pair() -> Iterator[Callable[[], tuple[socket.socket, socket.socket]]]:
    """Makes connected sockets that are closed when the test is over."""
    with ExitStack() as stack:

        def make() -> tuple[socket.socket, socket.socket]:
            one, other = socket.socketpair()
            stack.enter_context(one)
            stack.enter_context(other)
            return one, other

        yield make


Pair = Callable[[], tuple[socket.socket, socket.socket]]


# Timers


def test_timers_run_when_they_are_due_the_earliest_first(loop: Loop, clock: Clock) -> None:
    ran: list[str] = []
    for name, delay in (("c", 3.0), ("a", 1.0), ("b1", 2.0), ("b2", 2.0)):
        loop.call_later(delay, partial(ran.append, name))
    loop.tick(0)
    assert ran == []
    clock.now += 0.999
    loop.tick(0)
    assert ran == []
    clock.now += 0.001
    loop.tick(0)
    assert ran == ["a"]
    clock.now += 5
    loop.tick(0)
    assert ran == ["a", "b1", "b2", "c"]
    loop.tick(0)
    assert ran == ["a", "b1", "b2", "c"]


def test_equal_timers_run_in_the_order_in_which_they_were_made(loop: Loop, clock: Clock) -> None:
    ran: list[int] = []
    for number in range(100):
        loop.call_later(1, partial(ran.append, number))
    clock.now += 1
    loop.tick(0)
    assert ran == list(range(100))


def test_a_cancelled_timer_never_runs(loop: Loop, clock: Clock) -> None:
    ran: list[str] = []
    timer = loop.call_later(1, partial(ran.append, "cancelled"))
    loop.call_later(1, partial(ran.append, "other"))
    timer.cancel()
    timer.cancel()
    clock.now += 1
    loop.tick(0)
    assert ran == ["other"]


def test_a_timer_can_cancel_one_that_is_due_in_the_same_tick(loop: Loop, clock: Clock) -> None:
    ran: list[str] = []
    timers: list[Timer] = []

    def cancel() -> None:
        timers[-1].cancel()

    timers.append(loop.call_later(1, cancel))
    timers.append(loop.call_later(1, partial(ran.append, "second")))
    clock.now += 1
    loop.tick(0)
    assert ran == []


def test_a_timer_that_ran_can_still_be_cancelled(loop: Loop, clock: Clock) -> None:
    ran: list[str] = []
    timers: list[Timer] = []

    def cancel() -> None:
        timers[0].cancel()

    timers.append(loop.call_later(0, cancel))
    loop.call_later(0, partial(ran.append, "other"))
    loop.tick(0)
    timers[0].cancel()
    assert ran == ["other"]


def test_at_once_from_a_callback_is_the_next_tick(loop: Loop) -> None:
    ran: list[int] = []

    def again() -> None:
        ran.append(len(ran))
        loop.call_later(0, again)

    loop.call_later(0, again)
    for expected in (1, 2, 3):
        loop.tick()  # returns at once: the timer is due
        assert len(ran) == expected


def test_cancelled_timers_do_not_pile_up(loop: Loop, clock: Clock) -> None:
    ran: list[str] = []
    loop.call_later(3600, partial(ran.append, "kept"))
    for _ in range(50_000):
        loop.call_later(1800, partial(ran.append, "cancelled")).cancel()
    assert len(loop._timers) < 3_000
    clock.now += 3600
    loop.tick(0)
    assert ran == ["kept"]
    assert not loop._timers


def test_live_timers_survive_the_clearing_in_order(loop: Loop, clock: Clock) -> None:
    ran: list[int] = []
    for number in range(5_000):
        timer = loop.call_later((number * 7919) % 5_000, partial(ran.append, number))
        if number % 5:
            timer.cancel()
    clock.now += 5_000
    loop.tick(0)
    assert ran == sorted(range(0, 5_000, 5), key=lambda number: (number * 7919) % 5_000)


def test_a_timer_that_fails_is_logged_and_stops_no_other(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    loop.call_later(0, partial(fail, "no luck"))
    loop.call_later(0, partial(ran.append, "next"))
    loop.tick(0)
    assert ran == ["next"]
    assert [str(r.exc_info[1]) for r in caplog.records if r.exc_info] == ["no luck"]


# How long it waits


@pytest.fixture
def waits(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """How long each `select()` was asked to wait; none of them does."""
    asked: list[float | None] = []
    select = loop._selector.select

    def record(timeout: float | None = None) -> object:
        asked.append(timeout)
        return select(0)

    monkeypatch.setattr(loop._selector, "select", record)
    return asked


@pytest.mark.parametrize(
    ("delay", "longest", "waited"),
    [
        (None, None, None),  # nothing but a descriptor can end it
        (None, 5.0, 5.0),
        (None, 0.0, 0.0),
        (2.0, None, 2.0),
        (2.0, 5.0, 2.0),
        (8.0, 5.0, 5.0),
        (0.0, None, 0.0),
        (-1.0, None, 0.0),  # overdue
        (2.0, 0.0, 0.0),
    ],
)
def test_it_waits_for_the_next_timer_but_not_too_long(
    loop: Loop,
    waits: list[float | None],
    delay: float | None,
    longest: float | None,
    waited: float | None,
) -> None:
    if delay is not None:
        loop.call_later(delay, lambda: None)
    loop.tick(longest)
    assert waits == [waited]


def test_a_cancelled_timer_wakes_nobody(loop: Loop, waits: list[float | None]) -> None:
    loop.call_later(1, lambda: None).cancel()
    loop.call_later(9, lambda: None)
    loop.tick()
    assert waits == [9.0]


# Descriptors


def test_a_handler_is_called_for_what_it_waits_for(loop: Loop, pair: Pair) -> None:
    one, other = pair()
    probe = Probe()
    loop.register(one.fileno(), READ, probe)
    loop.tick(0)
    assert probe.masks == []
    other.send(b"x")
    loop.tick(0)
    assert probe.masks == [READ]
    loop.modify(one.fileno(), WRITE, probe)
    loop.tick(0)
    assert probe.masks == [READ, WRITE]
    loop.modify(one.fileno(), READ | WRITE, probe)
    loop.tick(0)
    assert probe.masks == [READ, WRITE, READ | WRITE]
    loop.unregister(one.fileno())
    loop.tick(0)
    assert len(probe.masks) == 3


def test_a_descriptor_is_registered_once(loop: Loop, pair: Pair) -> None:
    fd = pair()[0].fileno()
    loop.register(fd, READ, Probe())
    with pytest.raises(KeyError, match="already registered"):
        loop.register(fd, READ, Probe())
    loop.unregister(fd)
    with pytest.raises(KeyError):
        loop.unregister(fd)
    with pytest.raises(KeyError):
        loop.modify(fd, READ, Probe())


def always_ready(tmp_path: Path, kind: str) -> int:
    if kind == "/dev/null":
        return os.open("/dev/null", os.O_RDONLY)
    path = tmp_path / "input"
    path.write_bytes(b"one\ntwo\n")
    return os.open(path, os.O_RDONLY)


@pytest.mark.parametrize("kind", ["/dev/null", "a regular file"])
def test_files_are_readable_in_every_tick(loop: Loop, tmp_path: Path, kind: str) -> None:
    fd = always_ready(tmp_path, kind)
    try:
        probe = Probe()
        loop.register(fd, READ, probe)
        for _ in range(3):
            loop.tick()  # does not wait
        assert probe.masks == [READ] * 3
        loop.modify(fd, READ, probe)
        with pytest.raises(KeyError, match="already registered"):
            loop.register(fd, READ, probe)
        loop.unregister(fd)
        loop.tick(0)
        assert probe.masks == [READ] * 3
        with pytest.raises(KeyError):
            loop.unregister(fd)
    finally:
        os.close(fd)


def test_a_file_read_to_its_end_can_unregister_itself(loop: Loop, tmp_path: Path) -> None:
    fd = always_ready(tmp_path, "a regular file")
    read: list[bytes] = []

    def read_on() -> None:
        read.append(os.read(fd, 4))
        if not read[-1]:
            loop.unregister(fd)
            loop.stop()

    loop.register(fd, READ, Probe(read_on))
    loop.run()
    os.close(fd)
    assert read == [b"one\n", b"two\n", b""]


def test_files_keep_no_socket_waiting(loop: Loop, tmp_path: Path, pair: Pair) -> None:
    fd = always_ready(tmp_path, "a regular file")
    one, other = pair()
    probe = Probe()
    loop.register(fd, READ, Probe())
    loop.register(one.fileno(), READ, probe)
    other.send(b"x")
    loop.tick()
    assert probe.masks == [READ]
    loop.unregister(fd)
    os.close(fd)


# What handlers do to themselves and to each other


def test_a_handler_that_fails_is_told_so_and_touches_no_other(
    loop: Loop, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Probe(partial(fail, "my fault")), Probe()
    ends: list[str] = []
    for probe in (bad, good):
        one, other = pair()
        loop.register(one.fileno(), READ, probe)
        other.send(b"x")
    loop.on_tick_end(partial(ends.append, "end"))
    loop.tick(0)
    loop.tick(0)
    assert [str(error) for error in bad.errors] == ["my fault"] * 2
    assert good.masks == [READ] * 2
    assert good.errors == []
    assert ends == ["end"] * 2
    record = caplog.records[0]
    assert record.levelno == logging.ERROR
    assert "ValueError: my fault" in caplog.text  # with its traceback
    assert "in fail" in caplog.text


def test_a_handler_that_fails_when_it_is_told_so_ends_nothing_either(
    loop: Loop, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    class Hopeless(Probe):
        def crashed(self, error: Exception) -> None:
            super().crashed(error)
            raise error

    bad, good = Hopeless(partial(fail, "my fault")), Probe()
    for probe in (bad, good):
        one, other = pair()
        loop.register(one.fileno(), READ, probe)
        other.send(b"x")
    loop.tick(0)
    assert len(bad.errors) == 1
    assert good.masks == [READ]
    assert len(caplog.records) == 2


def test_a_handler_can_close_another_that_is_ready_in_the_same_tick(loop: Loop, pair: Pair) -> None:
    closed: list[socket.socket] = []
    called: list[Probe] = []

    def close_the_other(me: int) -> None:
        called.append(probes[me])
        if not closed:
            sock = socks[1 - me]
            loop.unregister(sock.fileno())
            sock.close()
            closed.append(sock)

    socks: list[socket.socket] = []
    probes: list[Probe] = []
    for number in range(2):
        one, other = pair()
        socks.append(one)
        probes.append(Probe(partial(close_the_other, number)))
        loop.register(one.fileno(), READ, probes[-1])
        other.send(b"x")
    loop.tick(0)
    first = called[0]
    # What is left of the tick may call the other, which knows that it is closed. After that: never.
    called.clear()
    loop.tick(0)
    assert called == [first]


def test_a_number_that_is_used_again_does_not_reach_its_new_owner(loop: Loop, pair: Pair) -> None:
    """The first handler closes the second one's descriptor; a new socket gets its number."""
    newcomer = Probe()
    reused: list[bool] = []

    def swap(me: int) -> None:
        if reused:
            return
        old = socks[1 - me]
        number = old.fileno()
        loop.unregister(number)
        old.close()
        fresh, far = pair()
        kept.append(far)
        if fresh.fileno() != number:
            fresh, far = far, fresh
        reused.append(fresh.fileno() == number)
        loop.register(fresh.fileno(), READ, newcomer)

    kept: list[socket.socket] = []
    socks: list[socket.socket] = []
    for place in range(2):
        one, other = pair()
        socks.append(one)
        loop.register(one.fileno(), READ, Probe(partial(swap, place)))
        other.send(b"x")
    loop.tick(0)
    assert reused == [True]
    assert newcomer.masks == []  # the event was another's
    loop.tick(0)
    assert newcomer.masks == []
    kept[0].send(b"x")
    loop.tick(0)
    assert newcomer.masks == [READ]


def test_a_handler_can_register_in_a_tick_what_is_called_in_the_next(
    loop: Loop, pair: Pair
) -> None:
    one, other = pair()
    late, far = pair()
    far.send(b"x")
    newcomer = Probe()

    def register() -> None:
        one.recv(1)
        loop.register(late.fileno(), READ, newcomer)

    loop.register(one.fileno(), READ, Probe(register))
    other.send(b"x")
    loop.tick(0)
    assert newcomer.masks == []
    loop.tick(0)
    assert newcomer.masks == [READ]


def test_what_is_unregistered_before_it_is_closed_leaves_nothing_behind(
    loop: Loop, pair: Pair
) -> None:
    """A duplicate keeps the closed one's socket alive in epoll; the number goes to another."""
    one, other = pair()
    probe = Probe()
    loop.register(one.fileno(), READ, probe)
    duplicate = one.dup()
    loop.unregister(one.fileno())
    one.close()
    other.send(b"x")
    loop.tick(0)
    assert probe.masks == []
    duplicate.close()


# Hooks


def test_hooks_run_in_order_at_the_end_of_each_tick(loop: Loop, pair: Pair) -> None:
    order: list[str] = []
    one, other = pair()
    other.send(b"x")
    loop.on_tick_end(partial(order.append, "commit"))
    loop.on_tick_end(partial(order.append, "flush"))
    loop.call_later(0, partial(order.append, "timer"))
    loop.register(one.fileno(), READ, Probe(partial(order.append, "handler")))
    loop.tick(0)
    assert order == ["handler", "timer", "commit", "flush"]
    order.clear()
    loop.unregister(one.fileno())
    loop.tick(0)
    assert order == ["commit", "flush"]


def test_a_hook_that_fails_is_logged_and_keeps_no_other_from_running(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    loop.on_tick_end(partial(fail, "disk full"))
    loop.on_tick_end(partial(ran.append, "flush"))
    loop.tick(0)
    assert ran == ["flush"]
    assert "ValueError: disk full" in caplog.text


def test_stop_ends_the_run_after_the_tick_is_complete(loop: Loop) -> None:
    order: list[str] = []
    loop.call_later(0, loop.stop)
    loop.call_later(0, partial(order.append, "timer"))
    loop.on_tick_end(partial(order.append, "hook"))
    loop.run()
    assert order == ["timer", "hook"]


# Signals


def test_a_signal_is_handled_in_a_tick(loop: Loop) -> None:
    came: list[str] = []
    loop.on_signal(signal.SIGUSR1, partial(came.append, "one"))
    loop.on_signal(signal.SIGUSR2, partial(came.append, "two"))
    os.kill(os.getpid(), signal.SIGUSR1)
    assert came == []  # not between two instructions of whatever is going on
    loop.tick()  # the signal ends the wait
    assert came == ["one"]
    os.kill(os.getpid(), signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.tick()
    assert came[1:] == ["two", "one"]
    loop.tick(0)
    assert len(came) == 3


def test_a_signal_whose_callback_fails_comes_again(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    loop.on_signal(signal.SIGUSR1, partial(fail, "not ready"))
    for times in (1, 2):
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.tick(0)
        assert len(caplog.records) == times


def test_a_flood_of_signals_is_taken_in_one_tick(loop: Loop) -> None:
    came: list[int] = []
    loop.on_signal(signal.SIGUSR1, partial(came.append, 1))
    for _ in range(2_000):
        os.kill(os.getpid(), signal.SIGUSR1)
    loop.tick()
    assert 1 <= len(came) <= 2_000
    before = len(came)
    loop.tick(0)
    assert len(came) == before


def test_a_closed_loop_gives_the_signals_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    loop = Loop(Clock())
    loop.on_signal(signal.SIGUSR1, lambda: None)
    loop.on_signal(signal.SIGUSR1, lambda: None)
    assert signal.getsignal(signal.SIGUSR1) != before
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) == before
    assert signal.set_wakeup_fd(-1) == -1
