"""What every front end does: say who one is, send what was asked, show what comes, and end."""

from __future__ import annotations

import math
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from random import uniform

from selchat.client.account import Account
from selchat.client.devices import Devices
from selchat.client.keeper import Keeper, Kept, sessions_folder
from selchat.client.link import Link, resolve
from selchat.client.login import Login
from selchat.client.state import Heard, State
from selchat.client.trust import is_local, settle
from selchat.errors import Refusal, StartError
from selchat.loop import Loop, Timer
from selchat.model import commands, events
from selchat.model.clean import clean_line
from selchat.model.commands import Command
from selchat.model.events import Event
from selchat.settings import ClientOptions

ASK_NAME = "Username: "
STDIN = 0

_PATIENCE = 2.0
"""Seconds that a client which is told to end waits for the server's goodbye."""

_PATIENCE_OF_SCRIPTS = 60.0
"""Seconds in which a client without a person tries to reach a lost server, unless told others."""

_SAVE = 0.2
"""Seconds in which changes of the session are gathered before they are written to disk."""

OVER = ("taken-over", "session-ended", "removed")
"""Codes of errors that say that the session is over, and not to come back to."""

_WHY = {
    signal.SIGINT: "interrupted (Ctrl-C)",
    signal.SIGTERM: "told to end (SIGTERM)",
    signal.SIGHUP: "the terminal is gone (SIGHUP)",
}


class Front(ABC):
    """One run of a client: the reader of a link, with a state, for one user."""

    way_out = ""
    """What the user is told of how to give no password, where that can be done."""

    def __init__(self, options: ClientOptions, loop: Loop, state: State, person: bool) -> None:
        """`person` says that somebody sits there. Resolves the host's name, which can take a
        while; raises `StartError`.
        """
        self.options = options
        self.loop = loop
        self.state = state
        self.person = person
        self.name = readable(options.user or "")
        self.quitting = False
        self.interrupted = False
        self.online = False
        """Whether there is a session with a connection."""
        self._failure: str | None = None
        self._keeper: Keeper | None = None
        self._kept: Kept | None = None  # what stands on disk
        self._saving: Timer | None = None
        self._lost_at: float | None = None
        self._tries = 0
        self._unsure = 0  # lines that may have arrived, in a session that is no more
        self._done = False  # the server has agreed to the end
        password, join_password = map(
            secret_of, (options.password_file, options.join_password_file)
        )
        loop.on_tick_end(self._keep_later)
        addresses = resolve(options.host, options.port)
        trust = settle(options, addresses, person)
        self._link = Link(loop, addresses, self, trust)
        safe = trust is not None or is_local(addresses)
        login = Login(options.host, options.port, Devices(), self._link.binding, safe)
        login.join_password = join_password
        self.account = Account(self, login, password)

    def run(self) -> int:
        """Talk until the user, the input, the server or a signal ends it; the exit code.

        Raises `StartError` where it did not end well.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.loop.on_signal(number, lambda why=_WHY[number]: self._signalled(why))  # type: ignore[misc]
        self.loop.run()
        self._link.close()
        self.loop.close()
        if self._keeper is not None:
            if self._done:
                self._keeper.forget()
            else:
                self._keep()
            self._keeper.close()
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
    def say(self, *lines: str) -> None:
        """Show lines of the client's own, for who sits there."""

    @abstractmethod
    def ask_name(self, error: events.Error) -> None:
        """Ask the user for another name, because of `error`, and `say_hello`."""

    @abstractmethod
    def ask_secret(self, prompt: str, then: Callable[[str | None], None]) -> None:
        """Ask the user for something that is shown nowhere; `then` gets it, None for no answer."""

    @abstractmethod
    def interrupt(self, why: str) -> None:
        """Throw away what waits, and take no more input: the client is told to end."""

    def welcomed(self) -> None:
        """The session has begun: enter the rooms of the profile."""
        for room in self.options.rooms:
            if not self.state.talk.entered(room):  # of a session that goes on
                self.ask(partial(self.state.join, room))

    # From the link

    def connected(self) -> None:
        """The server is reached."""
        if self.name:  # else it is being asked for
            self.say_hello()

    def told(self, event: Event) -> None:
        """The server says something: show it, and go on with what waited for it."""
        if not self.online and isinstance(event, events.Error | events.Challenge):
            self._not_welcomed(event)
            return
        if isinstance(event, events.Welcome) and not self.account.welcomed(event):
            return
        first = not self.state.user
        asked = self.state.pending.get(str(getattr(event, "id", None)))
        heard = self.state.told(event)
        if isinstance(event, events.Welcome):
            self.online = True
            self._tries = 0
            if first:
                self.show(event, heard)
            else:
                self.say("* the connection is back")
            if self._lost_at is not None:
                self._lost_at = None
                self.send(self.state.again())
            if first:
                self.welcomed()
        else:
            self.show(event, heard)
        if self.online:
            self.name = self.state.user or self.name  # it may have changed
        if isinstance(event, events.Error) and event.code in OVER:
            self.fail(clean_line(event.text))
        self.account.told(event, asked)
        self.send(self.state.questions())
        self.go_on()

    def drained(self) -> None:
        """There is room to send more."""
        self.go_on()

    def ended(self, reason: str | None) -> None:
        """The connection is over, or could not be made: try again, or end."""
        if self.online and self.quitting and not self.state.pending:
            self._done = True
        self.online = False
        if self.account.asking or self._try_again(reason):
            return
        where = f"{self.options.host} port {self.options.port}"
        open_ends = self.state.unanswered + self._unsure + self.waiting()
        if not self.state.user and reason is not None:
            self.fail(f"cannot reach {where} ({reason}): is selchat-server running there?")
        elif not self.quitting or self.state.pending or self.waiting():
            why = reason or "closed by the server"
            lost = f"; {_lines(open_ends)} may not have arrived" if open_ends else ""
            lost += ", and the input was not read to its end" if self.unread() else ""
            self.fail(f"the connection to {where} was lost ({why}){lost}")
        elif self.interrupted and not self.person:
            self.fail("interrupted before the end of the input")
        elif self._unsure and not self.person:
            self.fail(f"the session was lost; {_lines(self._unsure)} may not have arrived")
        elif self.state.failed and not self.person:
            count, first = self.state.failed, self.state.first_failure
            self.fail(f"refused: {first}" if count == 1 else f"{count} refused, first: {first}")
        self.loop.stop()

    def objected(self, why: str) -> None:
        """The server is not the right one, or none at all."""
        self.fail(f"{self.options.host} port {self.options.port}: {why}")
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
        """Log in as `name`, or come back to the session that this user has."""
        if self.person and self._keeper is None:
            self._keeper = Keeper(
                sessions_folder(), self.options.host, self.options.port, self.name
            )
            kept = self._keeper.load()
            if kept is not None:
                self.state.restore(kept.token, kept.log, kept.after, kept.rooms, [*kept.pending])
                self._lost_at = self.loop.clock()  # by the client before this one
        hello = self.account.hello(self.state.hello(self.name))
        if hello is not None:
            self._link.send(hello)

    @property
    def checking(self) -> bool:
        """Whether the server is looking at a password that the user has typed."""
        return self.account.checking and self._link.reached and not self.online

    def another_name(self, error: events.Error) -> None:
        """Have the user take another name, and be nobody until then: what was kept of the one
        before is of another user.
        """
        self.name = ""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        self._lost_at = self._kept = None
        self.state.forget()
        self.ask_name(error)

    def hello_again(self) -> None:
        """Say hello with what was asked for, which may have taken too long."""
        if self._link.reached:
            self.say_hello()
        else:
            self._link.connect()

    def tell(self, command: Command) -> None:
        """Send what is part of the log-in, and no command of the user's."""
        self._link.send(command)

    def send(self, asked: list[Command]) -> None:
        """Send commands of the state."""
        for command in asked:
            self.quitting = self.quitting or isinstance(command, commands.Quit | commands.Logout)
            if self.online:  # else it waits among what is pending, for the next welcome
                self._link.send(command)
                self.state.sent(command)
            elif isinstance(command, commands.Quit | commands.Logout) and not self._goes_on():
                del self.state.pending[str(command.id)]  # there will be none
        if self.quitting and not self.online and not self._goes_on():
            self.ended("not connected")

    def ask(self, what: Callable[[], list[Command]]) -> None:
        """Send what nobody typed; where it cannot be asked of this server, say why."""
        try:
            self.send(what())
        except Refusal as refusal:
            self.say(f"! {refusal.text}")

    def quit(self) -> None:
        """End in good order."""
        self.quitting = True
        if self.state.user:
            self.send([self.state.quit()] if self.online else [])
        else:
            self.fail("no name was given")
            self.loop.stop()

    def fail(self, why: str) -> None:
        """End with exit code 1 and this line; the first reason counts."""
        self._failure = self._failure or why

    def _not_welcomed(self, error: events.Error | events.Challenge) -> None:
        """The log-in did not succeed, or not yet: see what can be done about it."""
        if self.account.not_welcomed(error) or isinstance(error, events.Challenge):
            return
        if error.code in ("session-expired", "log-changed"):
            before = self.state.unanswered
            for post in self.state.expired():
                self.say(f"* unsure whether it was sent: {post.to} {clean_line(post.text)}")
            self._unsure += before - self.state.unanswered
            self._lost_at = self._lost_at or self.loop.clock()  # the rooms are to be entered again
            self.say_hello()
        elif error.code in ("not-stored", "login-timeout") and self.state.user:
            return  # the connection ends now, and is tried again
        elif self.person and error.code in ("bad-name", "name-in-use"):
            self.name = ""
            if self._lost_at is None and self._keeper is not None:
                self._keeper.close()  # nothing was kept, and another user has another place
                self._keeper = None
            self.ask_name(error)
        elif self._failure is None:
            hint = " with --user" if error.code in ("bad-name", "name-in-use") else ""
            self.fail(clean_line(error.text) + hint)
            self.loop.stop()

    def _try_again(self, reason: str | None) -> bool:
        """After a connection was lost: see to the next, if there is to be one."""
        if self._failure is not None or not self.state.user or not self._goes_on():
            return False
        now = self.loop.clock()
        patience = self.options.patience
        if patience is None:
            patience = math.inf if self.person else _PATIENCE_OF_SCRIPTS
        left = patience - (now - (now if self._lost_at is None else self._lost_at))
        if left <= 0:
            return False
        if self._lost_at is None:
            self._lost_at = now
            self.say(
                f"* the connection was lost ({reason or 'closed by the server'}): trying again"
            )
        # From half a second up to a quarter of a minute, and not all clients at the same moment.
        delay = min(15.0, 0.5 * 2 ** min(self._tries, 10)) * uniform(0.5, 1.0)  # noqa: S311
        self._tries += 1
        self.loop.call_later(min(delay, left), self._link.connect)
        return True

    def _goes_on(self) -> bool:
        """Whether the session is worth a further connection, if this one is lost."""
        if self.quitting and not self.person and not self.interrupted:
            return self.state.unanswered > 0  # a script has said all, and the end, at once
        return not self.quitting

    def _keep_later(self) -> None:
        """At the end of a tick: have the session kept, if it is another than the one on disk."""
        if self._keeper is not None and self._saving is None:
            now = self._now()
            if now is not None and now != self._kept:
                self._saving = self.loop.call_later(_SAVE, self._keep)

    def _keep(self) -> None:
        self._saving = None
        now = self._now()
        if self._keeper is not None and now is not None:
            self._keeper.save(now)
            self._kept = now

    def _now(self) -> Kept | None:
        state = self.state
        if state.token is None:
            return None
        rooms = state.talk.room_names()[::-1]
        posts = [c for c in state.pending.values() if isinstance(c, commands.Post | commands.Me)]
        return Kept(state.user, state.token, state.log, state.after, rooms, [*posts])

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


def readable(argument: str) -> str:
    """An argument of the command line, which can hold bytes that are no text (PEP 383)."""
    return argument.encode(errors="replace").decode()


def secret_of(path: str | None) -> str | None:
    """The first line of a file. Raises `StartError`."""
    if path is None:
        return None
    try:
        with Path(path).expanduser().open(encoding="utf-8") as file:  # `~` of a profile
            secret = file.readline().rstrip("\r\n")
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or (
            "it is not UTF-8" if isinstance(error, ValueError) else "there is no such home folder"
        )
        raise StartError(f"the password file {readable(path)} cannot be read: {why}") from None
    if not secret:
        raise StartError(f"the password file {readable(path)} has an empty first line")
    return secret


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


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
