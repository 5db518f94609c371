"""What every front end does: say who one is, send what was asked, show what comes, and end."""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from datetime import datetime

from selchat.client.link import Link, resolve
from selchat.client.state import Heard, State
from selchat.errors import StartError
from selchat.loop import Loop
from selchat.model import commands, events
from selchat.model.clean import clean_line
from selchat.model.commands import Command
from selchat.model.events import Event
from selchat.settings import ClientOptions

ASK_NAME = "Username: "
STDIN = 0

_PATIENCE = 2.0
"""Seconds that a client which is told to end waits for the server's goodbye."""

_WHY = {
    signal.SIGINT: "interrupted (Ctrl-C)",
    signal.SIGTERM: "told to end (SIGTERM)",
    signal.SIGHUP: "the terminal is gone (SIGHUP)",
}


class Front(ABC):
    """One run of a client: the reader of a link, with a state, for one user."""

    def __init__(self, options: ClientOptions, loop: Loop, state: State, person: bool) -> None:
        """`person` says that somebody sits there. Resolves the host's name, which can take a
        while; raises `StartError`.
        """
        self.options = options
        self.loop = loop
        self.state = state
        self.person = person
        self.name = options.user or ""
        self.quitting = False
        self.interrupted = False
        self._failure: str | None = None
        self._link = Link(loop, resolve(options.host, options.port), self)

    def run(self) -> int:
        """Talk until the user, the input, the server or a signal ends it; the exit code.

        Raises `StartError` where it did not end well.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.loop.on_signal(number, lambda why=_WHY[number]: self._signalled(why))  # type: ignore[misc]
        self.loop.run()
        self._link.close()
        self.loop.close()
        if self._failure is not None:
            raise StartError(self._failure)
        return 0

    # What each front end does in its way

    @abstractmethod
    def show(self, event: Event, heard: Heard) -> None:
        """Show what the server said."""

    @abstractmethod
    def go_on(self) -> None:
        """Send what waits to be sent, as far as the server keeps up."""

    @abstractmethod
    def waiting(self) -> int:
        """How many lines wait to be sent."""

    def unread(self) -> bool:
        """Whether there may be more input that was not even read, though it was to be sent."""
        return False

    @abstractmethod
    def ask_name(self, error: events.Error) -> None:
        """Ask the user for another name, because of `error`, and `say_hello`."""

    @abstractmethod
    def interrupt(self, why: str) -> None:
        """Throw away what waits, and take no more input: the client is told to end."""

    def welcomed(self) -> None:
        """The session has begun: enter the rooms of the profile."""
        for room in self.options.rooms:
            self.send(self.state.join(room))

    # From the link

    def connected(self) -> None:
        """The server is reached."""
        self.say_hello()

    def told(self, event: Event) -> None:
        """The server says something: show it, and go on with what waited for it."""
        if not self.state.user and isinstance(event, events.Error):
            self._not_welcomed(event)
            return
        self.show(event, self.state.told(event))
        if isinstance(event, events.Welcome):
            self.welcomed()
        self.send(self.state.questions())
        self.go_on()

    def drained(self) -> None:
        """There is room to send more."""
        self.go_on()

    def ended(self, reason: str | None) -> None:
        """The connection is over."""
        where = f"{self.options.host} port {self.options.port}"
        open_ends = self.state.unanswered + self.waiting()
        if not self.state.user and reason is not None:
            self.fail(f"cannot reach {where} ({reason}): is selchat-server running there?")
        elif not self.quitting or self.state.pending or self.waiting():
            why = reason or "closed by the server"
            lines = "1 line" if open_ends == 1 else f"{open_ends} lines"
            lost = f"; {lines} may not have arrived" if open_ends else ""
            lost += ", and the input was not read to its end" if self.unread() else ""
            self.fail(f"the connection to {where} was lost ({why}){lost}")
        elif self.interrupted and not self.person:
            self.fail("interrupted before the end of the input")
        elif self.state.failed and not self.person:
            count, first = self.state.failed, self.state.first_failure
            self.fail(f"refused: {first}" if count == 1 else f"{count} refused, first: {first}")
        self.loop.stop()

    def crashed(self, error: Exception) -> None:
        """A mistake in this client: end, so that it is seen."""
        self.fail(f"an error in selchat-client itself: {error!r}")
        self.loop.stop()

    # For the front ends

    @property
    def full(self) -> bool:
        """Whether nothing more should be sent until `drained`."""
        return self._link.full

    def say_hello(self) -> None:
        """Log in as `name`."""
        self._link.send(commands.Hello(user=self.name))

    def send(self, asked: list[Command]) -> None:
        """Send commands of the state."""
        for command in asked:
            self._link.send(command)
            self.quitting = self.quitting or isinstance(command, commands.Quit)

    def quit(self) -> None:
        """End in good order."""
        self.quitting = True
        if self.state.user:
            self.send([self.state.quit()])
        else:
            self.fail("no name was given")
            self.loop.stop()

    def fail(self, why: str) -> None:
        """End with exit code 1 and this line; the first reason counts."""
        self._failure = self._failure or why

    def _not_welcomed(self, error: events.Error) -> None:
        """The log-in did not succeed: ask for another name, where there is somebody to ask."""
        if self.person and error.code in ("bad-name", "name-in-use"):
            self.name = ""
            self.ask_name(error)
        elif self._failure is None:
            hint = " with --user" if error.code in ("bad-name", "name-in-use") else ""
            self.fail(clean_line(error.text) + hint)
            self.loop.stop()

    def _signalled(self, why: str) -> None:
        if self.interrupted or not self.state.user:
            self.fail("interrupted")
            self.loop.stop()
            return
        self.interrupted = True
        self.interrupt(why)
        if not self.quitting:
            self.quit()
        self.loop.call_later(_PATIENCE, lambda: self.ended("no answer"))


def read_name() -> str:
    """Ask for a name, with the terminal's own line editing. Raises `StartError` without one."""
    os.write(1, ASK_NAME.encode())
    name = ""
    while not name:
        typed = os.read(STDIN, 4_096)  # of a terminal: a line
        if not typed:
            raise StartError("no name was given")
        name = typed.decode(errors="replace").strip()
    return name


def clock(at: object) -> str:
    """`HH:MM ` in local time, of an event's `at` or, where that is none, of now."""
    now = datetime.now().astimezone()
    try:
        moment = datetime.fromisoformat(at).astimezone() if isinstance(at, str) else now
    except (ValueError, OverflowError):
        moment = now
    return moment.strftime("%H:%M ")
