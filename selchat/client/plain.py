"""The client off a terminal: what comes in goes out, what comes is printed as in the text tongue.

It reads a pipe, a file or /dev/null, joins a room before the first post to it, waits for every
answer after the end of its input, and fails if a line did. A terminal on both sides is the
business of line.py.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from secrets import token_hex

import msgspec

from selchat.client.front import STDIN, Front, clock, read_name, readable
from selchat.client.state import Heard, State
from selchat.client.terminal import ask_password
from selchat.errors import Refusal, StartError
from selchat.loop import READ, Loop
from selchat.model.clean import clean_line
from selchat.model.events import Error, Event
from selchat.settings import ClientOptions
from selchat.wire.framing import Lines
from selchat.wire.rendering import render

_WINDOW = 1_000
"""Commands on their way at a time. More of a long input is not read until answers come."""

_LONGEST = 2**20
"""Bytes in a line of input. The server says what it takes; this only bounds what is kept."""


class Plain(Front):
    """The handler of standard input, and the reader of a link."""

    def __init__(self, options: ClientOptions, loop: Loop) -> None:
        """Resolves the host's name, which can take a while. Raises `StartError`."""
        person = os.isatty(STDIN) and options.message is None
        prefix = f"~{token_hex(4)}-" if person else "~"  # a person's session can be gone on with
        state = State(auto_join=not person or bool(options.to), prefix=prefix)
        super().__init__(options, loop, state, person)
        self._stamped = sys.stdout.isatty() and not options.json
        self._quiet = bool(options.to) and not options.json
        self._lines = Lines(_LONGEST)
        self._typed: deque[str | None] = deque()  # lines that wait; None: one too long to keep
        self._reading = False
        self._input_over = options.message is not None
        if options.message is not None:
            self._typed.append(readable(options.message))

    # As a front end

    def show(self, event: Event, heard: Heard) -> None:
        """Print what the server said."""
        if self.options.json:
            self._print([clean_line(msgspec.json.encode(event).decode())], event)
        elif not self._quiet:
            self._print(heard.lines, event)

    def welcomed(self) -> None:
        """Begin with the input."""
        super().welcomed()
        self._read_input(True)

    def waiting(self) -> int:
        """Lines that were read and not sent."""
        return len(self._typed)

    def unread(self) -> bool:
        """Whether the input goes on."""
        return not self._input_over and not self.person and not self.interrupted

    def say(self, *lines: str) -> None:
        """Say it where it is in nobody's way."""
        if not self._quiet:
            sys.stderr.write("".join(f"selchat-client: {clean_line(line)[2:]}\n" for line in lines))

    def ask_name(self, error: Error) -> None:
        """Take the next line for the name."""
        self._print(render(error), error)
        self._read_input(True)

    def ask_secret(self, prompt: str, then: Callable[[str | None], None]) -> None:
        """Ask at the terminal, and wait."""
        try:
            secret = ask_password(prompt)
        except StartError as error:
            self.fail(str(error))
            self.loop.stop()
        else:
            then(secret)

    def interrupt(self, why: str) -> None:  # noqa: ARG002  (exit code and last line say it)
        """Read no more."""
        self._typed.clear()
        self._read_input(False)

    def go_on(self) -> None:
        """Send what was read, as far as the server keeps up; at the end of all of it, quit."""
        while self._typed and len(self.state.pending) < _WINDOW and not self.full:
            if self.quitting:
                self._typed.clear()
            elif not self.name:
                self.name = (self._typed.popleft() or "").strip()
                self.say_hello()
                return
            elif not self.state.user:
                return  # the welcome will go on
            else:
                self._type(self._typed.popleft())
        if not self._input_over:
            self._read_input(not self._typed)
        elif not self._typed and not self.state.pending and not self.quitting and self.online:
            self.quit()

    # From standard input

    def ready(self, mask: int) -> None:  # noqa: ARG002  (a Handler)
        """Something was typed."""
        try:
            data = os.read(STDIN, 65_536)
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
        self.go_on()

    # Inside

    def _type(self, line: str | None) -> None:
        to = self.options.to
        try:
            if to and line is not None:
                self.send(self.state.posted(line, to))
            elif line is None or not self.account.command(line.strip()):
                self.send(self.state.typed(line))
        except Refusal as refusal:
            error = Error(code=refusal.code, text=refusal.text)
            self.show(error, Heard([clean_line(line) for line in render(error)]))

    def _read_input(self, reading: bool) -> None:
        if reading is not self._reading and not (reading and self._input_over):
            self._reading = reading
            if reading:
                self.loop.register(STDIN, READ, self)
            else:
                self.loop.unregister(STDIN)

    def _print(self, lines: list[str], event: Event) -> None:
        stamp = clock(getattr(event, "at", None)) if self._stamped else ""
        try:
            sys.stdout.write("".join(f"{stamp}{line}\n" for line in lines))
            sys.stdout.flush()
        except OSError:
            # Nobody reads it any more (`| head`). What Python would still flush goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.fail("nobody reads what is printed")
            self.loop.stop()


def run(options: ClientOptions) -> int:
    """Run the client in line mode; return the exit code. Raises `StartError`."""
    _open_what_is_closed()
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a text stream
    if options.user is None:
        options = msgspec.structs.replace(options, user=read_name())
    both = os.isatty(STDIN) and sys.stdout.isatty()
    if both and not options.json and options.message is None:
        from selchat.client import line

        return line.run(options)
    return Plain(options, Loop()).run()


def _open_what_is_closed() -> None:
    """Let standard streams that are closed (`<&-`) be /dev/null, or a socket gets their number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
