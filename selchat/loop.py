"""The event loop: descriptors, timers and signals, all waiting in one `select()`.

One return of `select()` is a *tick*: every ready descriptor's handler is called, timers that are
due run, then the end-of-tick hooks in the order in which they were added. Hazards, and what is
done about them:

- A handler called earlier in the same tick may close a later one's descriptor, and a new socket
  may get its number at once. What is called is therefore the *handler* that was registered,
  never whatever a number stands for now, and it must ignore a call after its own end.
- A descriptor that is closed while registered stays in epoll's set where a duplicate of it lives
  (epoll(7), "Questions and answers"): unregister first, always.
- epoll refuses regular files and /dev/null (EPERM). They never block, so they count as readable
  in every tick.
- A Python signal handler runs between two instructions of whatever is going on. Only a byte is
  written to a socket then; the callback runs as part of a tick.
"""

from __future__ import annotations

import heapq
import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

log = logging.getLogger(__name__)


class Handler(Protocol):
    """What is registered for a descriptor."""

    def ready(self, mask: int) -> None:
        """The descriptor is ready for `mask` (READ, WRITE); called too when it has failed."""

    def crashed(self, error: Exception) -> None:
        """`ready` raised `error`, which the loop has logged: end, and harm nobody else."""


class Timer:
    """One call in the future. It belongs to the object that made it, which must cancel it."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never call; harmless if it was called or cancelled already."""
        # The heap keeps the empty shell until its time comes or shells are the majority.
        self.callback = None


class Loop:
    """A selector, a heap of timers, and what to do at the end of each tick.

    `clock` gives seconds that only grow; tests pass one of their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._selector = selectors.DefaultSelector()
        self._always: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._timers_made = 0
        self._hooks: list[Callable[[], None]] = []
        self._running = False
        self._signals: _Signals | None = None

    # Descriptors

    def register(self, fd: int, mask: int, handler: Handler) -> None:
        """Call `handler.ready` when `fd` is ready for `mask`. KeyError if it is registered."""
        if fd in self._always:
            raise KeyError(f"descriptor {fd} is already registered")
        try:
            self._selector.register(fd, mask, handler)
        except PermissionError:
            self._always[fd] = handler

    def modify(self, fd: int, mask: int, handler: Handler) -> None:
        """Wait for `mask` from now on. KeyError if `fd` is not registered."""
        if fd not in self._always:
            self._selector.modify(fd, mask, handler)

    def unregister(self, fd: int) -> None:
        """Forget `fd`; to be called before it is closed. KeyError if it is not registered."""
        if self._always.pop(fd, None) is None:
            self._selector.unregister(fd)

    # Timers, signals and hooks

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` once, `delay` seconds from now or a little later."""
        timer = Timer(self.clock() + delay, callback)
        self._timers_made += 1  # breaks ties, so that two timers are never compared
        heapq.heappush(self._timers, (timer.when, self._timers_made, timer))
        if self._timers_made % 1024 == 0:
            self._drop_cancelled()
        return timer

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        """Call `callback` in a tick after the signal `number` came. Main thread only."""
        if self._signals is None:
            self._signals = _Signals(self)
        self._signals.add(number, callback)

    def on_tick_end(self, hook: Callable[[], None]) -> None:
        """Call `hook` at the end of each tick, after the hooks that were added before it."""
        self._hooks.append(hook)

    # Running

    def run(self) -> None:
        """Tick until `stop` is called."""
        self._running = True
        while self._running:
            self.tick()

    def stop(self) -> None:
        """Make `run` return at the end of the tick."""
        self._running = False

    def tick(self, longest: float | None = None) -> None:
        """Wait until something is ready or due, but at most `longest` seconds; then handle it.

        An exception from a handler, a timer or a hook is logged with its traceback; a handler is
        then told that it crashed. None of them ends the loop.
        """
        for key, mask in self._selector.select(self._patience(longest)):
            handler: Handler = key.data
            try:
                handler.ready(mask)
            except Exception as error:  # noqa: BLE001  (it is logged)
                self._crashed(handler, error)
        for handler in tuple(self._always.values()):
            self._call(handler, READ)
        if self._timers:
            self._run_timers()
        for hook in self._hooks:
            try:
                hook()
            except Exception:
                log.exception("the end of the tick failed")

    def close(self) -> None:
        """Give the selector and the signals back. What is registered stays open."""
        if self._signals is not None:
            self._signals.close()
            self._signals = None
        self._selector.close()
        self._timers.clear()

    def _patience(self, longest: float | None) -> float | None:
        if self._always:
            return 0
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if self._timers:
            due = max(0.0, self._timers[0][0] - self.clock())
            return due if longest is None else min(due, longest)
        return longest

    def _call(self, handler: Handler, mask: int) -> None:
        try:
            handler.ready(mask)
        except Exception as error:  # noqa: BLE001
            self._crashed(handler, error)

    def _crashed(self, handler: Handler, error: Exception) -> None:
        log.error("%r failed and is closed", handler, exc_info=error)
        try:
            handler.crashed(error)
        except Exception:
            log.exception("%r failed again when it was told so", handler)

    def _run_timers(self) -> None:
        now = self.clock()
        due = []  # only these: a callback that asks for 'at once' waits for the next tick
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers)[2])
        for timer in due:
            callback, timer.callback = timer.callback, None
            if callback is not None:
                try:
                    callback()
                except Exception:
                    log.exception("a timer failed")

    def _drop_cancelled(self) -> None:
        live = [item for item in self._timers if item[2].callback is not None]
        if len(live) < len(self._timers) // 2:
            heapq.heapify(live)
            self._timers = live


class _Signals:
    """Signals as bytes on a socket that the loop reads (signal.set_wakeup_fd)."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._previous: dict[int, signal._HANDLER] = {}
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        loop.register(self._reader.fileno(), READ, self)

    def add(self, number: int, callback: Callable[[], None]) -> None:
        self._callbacks[number] = callback
        # A Python handler must be there for the byte to be written; the work is done in `ready`.
        previous = signal.signal(number, lambda *_: None)
        self._previous.setdefault(number, previous)

    def ready(self, mask: int) -> None:  # noqa: ARG002  (a Handler)
        numbers = b""
        with suppress(BlockingIOError):
            while chunk := self._reader.recv(512):
                numbers += chunk
        for number in numbers:
            if number in self._callbacks:
                self._callbacks[number]()

    def crashed(self, error: Exception) -> None:
        """A callback failed. The loop has logged it, and signals are wanted still."""

    def close(self) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        signal.set_wakeup_fd(self._previous_fd)
        self._loop.unregister(self._reader.fileno())
        self._reader.close()
        self._writer.close()
