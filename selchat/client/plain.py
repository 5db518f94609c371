"""The client in line mode: what is typed goes out, what comes is printed as in the text tongue.

On a terminal there is a prompt, and the time before each line. Off a terminal (a pipe, a file,
/dev/null) it joins a room before the first post to it, waits for every answer after the end of
its input, and fails if a line did.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from datetime import datetime

import msgspec

from selchat.client.link import Link, resolve
from selchat.client.state import State
from selchat.errors import Refusal, StartError
from selchat.loop import READ, Loop
from selchat.model import commands, events
from selchat.model.clean import clean_line
from selchat.model.events import Event
from selchat.settings import ClientOptions
from selchat.wire import text
from selchat.wire.framing import Lines

_WINDOW = 1_000
"""Commands on their way at a time. More of a long input is not read until answers come."""

_LONGEST = 2**20
"""Bytes in a line of input. The server says what it takes; this only bounds what is kept."""

_PATIENCE = 2.0
"""Seconds that a client which is told to end waits for the server's goodbye."""

_PROMPT = "> "
_ASK_NAME = "Username: "
_STDIN = 0


class Plain:
    """One run of the client: the handler of standard input, and the reader of a link."""

    def __init__(self, options: ClientOptions, loop: Loop) -> None:
        """Resolves the host's name, which can take a while. Raises `StartError`."""
        self._options = options
        self._loop = loop
        self._interactive = os.isatty(_STDIN)
        self._screen = sys.stdout.isatty()
        self._name = options.user or ""
        self._state = State(auto_join=not self._interactive)
        self._lines = Lines(_LONGEST)
        self._typed: deque[str | None] = deque()  # lines that wait; None: one too long to keep
        self._reading = False
        self._input_over = False
        self._quitting = False
        self._interrupted = False
        self._failure: str | None = None
        self._link = Link(loop, resolve(options.host, options.port), self)

    def run(self) -> int:
        """Talk until the user, the input, the server or a signal ends it; the exit code.

        Raises `StartError` where it did not end well.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._loop.on_signal(number, self._signalled)
        self._loop.run()
        self._link.close()
        self._loop.close()
        if self._failure is not None:
            raise StartError(self._failure)
        return 0

    # From the link

    def connected(self) -> None:
        """The server is reached."""
        self._say_hello()

    def told(self, event: Event) -> None:
        """The server says something: show it, and go on with what waited for it."""
        if not self._state.user and isinstance(event, events.Error):
            self._refused(event)
            return
        lines = self._state.told(event)
        if self._options.json:
            lines = [clean_line(msgspec.json.encode(event).decode())]
        self._show(lines, event)
        if isinstance(event, events.Welcome):
            self._read_input(True)
        self._go_on()

    def drained(self) -> None:
        """There is room to send more."""
        self._go_on()

    def ended(self, reason: str | None) -> None:
        """The connection is over."""
        where = f"{self._options.host} port {self._options.port}"
        open_ends = self._state.unanswered + len(self._typed)
        unread = not self._input_over and not self._interactive and not self._interrupted
        if not self._state.user and reason is not None:
            self._fail(f"cannot reach {where} ({reason}): is selchat-server running there?")
        elif not self._quitting or self._state.pending:
            why = reason or "closed by the server"
            lines = "1 line" if open_ends == 1 else f"{open_ends} lines"
            lost = f"; {lines} may not have arrived" if open_ends else ""
            lost += ", and the input was not read to its end" if unread else ""
            self._fail(f"the connection to {where} was lost ({why}){lost}")
        elif self._interrupted and not self._interactive:
            self._fail("interrupted before the end of the input")
        elif self._state.failed and not self._interactive:
            count, first = self._state.failed, self._state.first_failure
            self._fail(f"refused: {first}" if count == 1 else f"{count} refused, first: {first}")
        self._loop.stop()

    # From standard input

    def ready(self, mask: int) -> None:  # noqa: ARG002  (a Handler)
        """Something was typed."""
        try:
            data = os.read(_STDIN, 65_536)
        except BlockingIOError:
            return  # another program has made the pipe non-blocking, and emptied it
        except OSError:
            data = b""  # the terminal is gone
        if not data:
            self._input_over = True
            self._read_input(False)
            data = b"\n"  # a last line without its end is a line
        for line in self._lines.feed(data):
            typed = line.decode(errors="replace") if line is not None else None
            if typed is None or (typed and not typed.isspace()):
                self._typed.append(typed)
        if not self._typed and not self._input_over:
            self._prompt()
        self._go_on()

    def crashed(self, error: Exception) -> None:
        """A mistake in this client: end, so that it is seen."""
        self._fail(f"an error in selchat-client itself: {error!r}")
        self._loop.stop()

    # Inside

    def _say_hello(self) -> None:
        self._link.send(commands.Hello(user=self._name))

    def _refused(self, error: events.Error) -> None:
        """The log-in did not succeed: ask for another name, where there is somebody to ask."""
        if self._interactive and error.code in ("bad-name", "name-in-use"):
            self._name = ""
            self._show(text.render(error), error)
            self._read_input(True)
        elif self._failure is None:
            hint = " with --user" if error.code in ("bad-name", "name-in-use") else ""
            self._fail(clean_line(error.text) + hint)
            self._loop.stop()

    def _go_on(self) -> None:
        """Send what was typed, as far as the server keeps up; at the end of all of it, quit."""
        while self._typed and len(self._state.pending) < _WINDOW and not self._link.full:
            if self._quitting:
                self._typed.clear()
            elif not self._name:
                self._name = (self._typed.popleft() or "").strip()
                self._say_hello()
                return
            elif not self._state.user:
                return  # the welcome will go on
            else:
                self._type(self._typed.popleft())
        if not self._input_over:
            self._read_input(not self._typed)
        elif not self._typed and not self._state.pending and not self._quitting:
            self._quit()

    def _type(self, line: str | None) -> None:
        try:
            asked = self._state.typed(line)
        except Refusal as refusal:
            error = events.Error(code=refusal.code, text=refusal.text)
            if self._options.json:
                self._show([clean_line(msgspec.json.encode(error).decode())], error)
            else:
                self._show([clean_line(line) for line in text.render(error)], error)
            return
        for command in asked:
            self._link.send(command)
            self._quitting = self._quitting or isinstance(command, commands.Quit)
        self._prompt()

    def _quit(self) -> None:
        self._quitting = True
        if self._state.user:
            self._link.send(self._state.quit())
        else:
            self._fail("no name was given")
            self._loop.stop()

    def _signalled(self) -> None:
        if self._interrupted or not self._state.user:
            self._fail("interrupted")
            self._loop.stop()
            return
        self._interrupted = True
        self._typed.clear()
        self._read_input(False)
        if not self._quitting:
            self._quit()
        self._loop.call_later(_PATIENCE, lambda: self.ended("no answer"))

    def _read_input(self, reading: bool) -> None:
        if reading is not self._reading and not (reading and self._input_over):
            self._reading = reading
            if reading:
                self._loop.register(_STDIN, READ, self)
            else:
                self._loop.unregister(_STDIN)

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why

    # The screen

    def _show(self, lines: list[str], event: Event) -> None:
        if not lines:
            return
        stamp = ""
        if self._screen and not self._options.json:
            at = getattr(event, "at", None)
            stamp = _clock(at if isinstance(at, str) else None)
        start = "\r\x1b[K" if self._prompting else ""
        self._print(start + "".join(f"{stamp}{line}\n" for line in lines))
        self._prompt()

    def _prompt(self) -> None:
        if self._prompting and not self._quitting:
            self._print("\r" + (_PROMPT if self._name else _ASK_NAME))

    @property
    def _prompting(self) -> bool:
        return self._interactive and self._screen and not self._options.json

    def _print(self, what: str) -> None:
        try:
            sys.stdout.write(what)
            sys.stdout.flush()
        except OSError:
            # Nobody reads it any more (`| head`). What Python would still flush goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._fail("nobody reads what is printed")
            self._loop.stop()


def run(options: ClientOptions) -> int:
    """Run the client in line mode; return the exit code. Raises `StartError`."""
    _open_what_is_closed()
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a text stream
    if options.user is None:
        sys.stdout.write(_ASK_NAME)
        sys.stdout.flush()
        name = ""
        while not name:
            typed = os.read(_STDIN, 4_096)  # of a terminal: a line
            if not typed:
                raise StartError("no name was given")
            name = typed.decode(errors="replace").strip()
        options = msgspec.structs.replace(options, user=name)
    return Plain(options, Loop()).run()


def _open_what_is_closed() -> None:
    """Let standard streams that are closed (`<&-`) be /dev/null, or a socket gets their number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115


def _clock(at: str | None) -> str:
    """`HH:MM ` in local time, of an event's `at` or of now."""
    try:
        moment = datetime.fromisoformat(at).astimezone() if at else datetime.now().astimezone()
    except (ValueError, OverflowError):
        moment = datetime.now().astimezone()
    return moment.strftime("%H:%M ")
