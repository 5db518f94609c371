"""All that goes to the terminal, once at the end of each tick: lines that stay, and the view."""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable

from selchat.client.front import clock
from selchat.client.linear import Linear
from selchat.client.paint import Paint
from selchat.client.terminal import Terminal
from selchat.client.window import Display, View, Window
from selchat.loop import Loop, Timer
from selchat.model.clean import clean, clean_line
from selchat.settings import ClientOptions

_HOLD = 5.0
"""Seconds after the last key for which lines wait in linear mode, as not to speak in between."""


class Output:
    """A terminal, with what is to be written to it.

    `linear` says that nothing may move there. `on_way` and `acked` are the marks of messages.
    """

    def __init__(
        self, options: ClientOptions, loop: Loop, view: Callable[[], View], gone: Callable[[], None]
    ) -> None:
        """`view` gives what is to be seen below the lines; `gone` is called when the terminal is
        not there any more.
        """
        self._loop, self._view, self._gone = loop, view, gone
        self.linear = options.linear or os.environ.get("TERM", "dumb") in ("dumb", "")
        colors = options.color and not self.linear and not os.environ.get("NO_COLOR")
        self._bell = options.bell
        self._paint = Paint(colors)
        self._terminal = Terminal(bracketed=not self.linear)
        self._display: Display = Window(*self._terminal.size(), colors)
        marks = ("…", "✓") if self._terminal.can_show("✓…") else ("~", "+")
        self.on_way, self.acked = marks
        self._printed: list[str] = []
        self._ringing = False
        self._last_key = loop.clock() - _HOLD
        self._held: Timer | None = None
        self._log = _Log()
        loop.on_tick_end(self.refresh)

    # The terminal

    def enter(self) -> None:
        """Take the terminal. What the loop logs waits until it is given back."""
        logging.getLogger().addHandler(self._log)
        self._terminal.enter()
        if self.linear:
            self._display = Linear(self._terminal.echoes)

    def leave(self) -> None:
        """Give the terminal back, with all that was to be said."""
        self.refresh()
        self.step_back()
        logging.getLogger().removeHandler(self._log)
        self._log.tell()
        if self._terminal.gone:
            _nowhere()

    def step_back(self) -> None:
        """Give the terminal back for a while."""
        self._terminal.write(self._display.erased())
        self._terminal.leave()

    def come_back(self) -> None:
        """Take the terminal again: other programs have used it."""
        self._terminal.enter()
        self.resized()

    def resized(self) -> None:
        """The window has another size."""
        self._display.resized(*self._terminal.size())

    def read(self) -> bytes:
        """What was typed; empty when the terminal is gone."""
        self._last_key = self._loop.clock()
        return self._terminal.read()

    def signals(self, wanted: bool) -> None:
        """Say whether Ctrl-C and Ctrl-Z are signals, as they are unless told, or keys."""
        self._terminal.signals(wanted)

    # What is to be seen

    def add(self, lines: Iterable[str], at: object, alert: bool = False, mark: str = "") -> None:
        """Lines of the text tongue, clean, with the time of an event; `alert` rings the bell."""
        stamp = self._paint.faint(clock(at))
        mark = self._paint.faint(f" {mark}") if mark else ""
        self._printed += [f"{stamp}{self._paint.line(line, alert)}{mark}" for line in lines]
        if alert and self._bell:
            self.ring()

    def tell(self, *lines: str) -> None:
        """Lines of the client's own."""
        self.add(map(clean_line, lines), None)

    def ring(self) -> None:
        """Let the bell be heard."""
        self._ringing = True

    def submitted(self) -> None:
        """The line in the view was sent."""
        self._terminal.write(self._display.submitted(self._view()))

    def clear(self) -> None:
        """The user wants a clear view."""
        self._terminal.write(self._display.cleared())

    def refresh(self) -> None:
        """Write what is new."""
        if self._terminal.gone:
            self._printed.clear()
            return
        view = self._view()
        printed: list[str] = []
        if not self._holds(view):
            printed, self._printed = self._printed, []
        out = self._display.update(printed, view) + ("\a" if self._ringing else "")
        self._ringing = False
        if out and not self._terminal.write(out):
            self._loop.call_later(0, self._gone)

    def _holds(self, view: View) -> bool:
        """Whether the lines have to wait for the user to finish."""
        wait = self._last_key + _HOLD - self._loop.clock()
        if not (self.linear and self._printed and view.text and wait > 0):
            return False
        if self._held is None:
            self._held = self._loop.call_later(wait, self._unhold)
        return True

    def _unhold(self) -> None:
        self._held = None  # the tick that this belongs to ends with a refresh


class _Log(logging.Handler):
    """What is logged while the terminal is in use."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kept: deque[str] = deque(maxlen=100)

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(self.format(record))

    def tell(self) -> None:
        """Write it all to standard error."""
        for entry in self._kept:
            sys.stderr.write(clean(entry) + "\n")


def _nowhere() -> None:
    """Nobody reads it any more: what Python would still flush goes nowhere."""
    for stream in (sys.stdout, sys.stderr):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
