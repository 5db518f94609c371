"""Passwords are computed in a helper process, so that nobody waits for them but who asked.

PBKDF2 with 600,000 rounds takes some 120 ms, in which the loop would do nothing else. One process
(pbkdf2.py) is started when the first is needed, and computes them in order; it is talked to over a
socket on the loop. Hazards, and what is done about them:

- It may end at any time. What it was about is told to be lost (None); for the next it is started
  again, but not at once where it ended without any answer: it would end again, without end.
- It may not answer. After some time it is ended.
- Signals that end the server must not end it first: it has a session of its own, out of reach of
  Ctrl-C, and ignores those that are sent to all processes of a service.
- The server may be killed: then its socket ends, which ends it.
- A process that ended stays in the system's table until somebody asks how. So somebody asks.
"""

from __future__ import annotations

import logging
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from selchat.loop import READ, Loop, Timer

if TYPE_CHECKING:
    import subprocess

log = logging.getLogger(__name__)

WAITING_MOST = 100
"""Who would have to wait behind so many is told at once that it was too much: some 12 s."""

_PROGRAM = Path(__file__).with_name("pbkdf2.py")
_SIZE = 32

_PATIENCE = 30.0
"""Seconds for one answer. Nothing that is asked takes more than one, on a machine that is idle."""

_IDLE = 300.0
"""Seconds without anything to do after which the process is ended, and its memory given back."""

_AGAIN = 5.0
"""Seconds after a start that came to nothing in which there is no other."""

_LOOK = 0.05
"""Seconds between two looks at whether a process that was killed is gone."""


class Request:
    """A derivation that was asked for. Who asked may be gone before the answer, and cancels it."""

    __slots__ = ("asked", "then")

    def __init__(self, asked: bytes, then: Callable[[bytes | None], None]) -> None:
        self.asked = asked
        self.then: Callable[[bytes | None], None] | None = then

    def cancel(self) -> None:
        """Never call `then`; harmless if it was called already."""
        self.then = None

    def answer(self, derived: bytes | None) -> None:
        """Call `then`, once."""
        then, self.then = self.then, None
        if then is not None:
            then(derived)


class Deriver:
    """The helper process, and who waits for it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: deque[Request] = deque()
        self._now: Request | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._answer = b""
        self._answered = False  # whether this process ever did
        self._not_before = -1.0
        self._timer: Timer | None = None  # for the answer, or for the end of being idle
        self._ended: list[subprocess.Popen[bytes]] = []
        self._closed = False

    def __repr__(self) -> str:
        pid = self._process.pid if self._process is not None else None
        return f"<helper process {pid}, {len(self._waiting)} waiting>"

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        return self._process.pid if self._process is not None else None

    def derive(
        self,
        password: bytes,
        salt: bytes,
        iterations: int,
        then: Callable[[bytes | None], None],
    ) -> Request:
        """Call `then`, in a later tick or later in this one, with PBKDF2-HMAC-SHA-256 of these.

        With None where it could not be computed: too many wait, or the process ended. Password and
        salt have at most 65,535 bytes; of rounds there are 1 to 2**31 - 1.
        """
        head = struct.pack(">IHH", iterations, len(password), len(salt))
        request = Request(head + password + salt, then)
        if len(self._waiting) >= WAITING_MOST:
            self._waiting = deque(other for other in self._waiting if other.then is not None)
        if self._closed or len(self._waiting) >= WAITING_MOST:
            self._tell(request, None)
        else:
            self._waiting.append(request)
            self._go_on()
        return request

    def close(self) -> None:
        """End it, at once. Who waits still is told nothing."""
        self._closed = True
        self._waiting.clear()
        self._now = None
        self._end()
        for process in self._ended:
            process.wait()
        self._ended.clear()

    # For the loop

    def ready(self, mask: int) -> None:  # noqa: ARG002  (a Handler)
        """It answers, or has ended."""
        if self._socket is None:
            return
        try:
            data = self._socket.recv(_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        self._answer += data
        if not data or self._now is None:
            self._lost("ended")
        elif len(self._answer) == _SIZE:
            self._answered = True
            self._tell(self._now, self._answer)
            self._now, self._answer = None, b""
            self._go_on()

    def crashed(self, error: Exception) -> None:  # noqa: ARG002  (logged by the loop)
        """A mistake in here: begin anew."""
        self._lost("was not understood")

    # Inside

    def _tell(self, request: Request, derived: bytes | None) -> None:
        self._loop.call_later(0, partial(request.answer, derived))

    def _go_on(self) -> None:
        """Hand over the next request, if nothing is under way."""
        if self._now is not None:
            return
        self._wait(None)
        while self._waiting and self._waiting[0].then is None:
            self._waiting.popleft()
        if not self._waiting:
            self._wait(_IDLE, self._end)
            return
        if self._socket is None and not self._start():
            self._refuse_all()
            return
        assert self._socket is not None
        self._now = self._waiting.popleft()
        self._wait(_PATIENCE, partial(self._lost, "did not answer"))
        try:
            # Nothing else is on its way, so that the kernel has room for all of it.
            sent = self._socket.send(self._now.asked)
        except OSError:
            sent = 0
        if sent < len(self._now.asked):
            self._lost("does not listen")

    def _start(self) -> bool:
        import subprocess  # late, as the process itself: most servers need none for long

        if self._loop.clock() < self._not_before:
            return False
        here, there = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-S", str(_PROGRAM)],
                stdin=there.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            here.close()
            log.error("no password can be checked: %s", error)
            self._not_before = self._loop.clock() + _AGAIN
            return False
        finally:
            there.close()
        here.setblocking(False)
        self._socket = here
        self._answer, self._answered = b"", False
        self._loop.register(here.fileno(), READ, self)
        return True

    def _lost(self, why: str) -> None:
        """The process is of no use any more."""
        log.warning("the helper process for passwords %s", why)
        answered = self._answered
        self._end()
        if self._now is not None:
            self._tell(self._now, None)
            self._now = None
        if not answered:
            self._not_before = self._loop.clock() + _AGAIN
        self._go_on()

    def _refuse_all(self) -> None:
        while self._waiting:
            self._tell(self._waiting.popleft(), None)

    def _end(self) -> None:
        self._wait(None)
        if self._socket is not None:
            self._loop.unregister(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._ended.append(self._process)
            self._process = None
            if not self._closed:
                self._reap()

    def _reap(self) -> None:
        self._ended = [process for process in self._ended if process.poll() is None]
        if self._ended:
            self._loop.call_later(_LOOK, self._reap)

    def _wait(self, delay: float | None, then: Callable[[], None] = lambda: None) -> None:
        """Have one thing happen later, instead of what was to happen."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay, then) if delay is not None else None
