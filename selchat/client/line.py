"""The client in line mode on a terminal: a line to type in, and what comes scrolls by above it.

Keys are taken as they come, what is to be seen is written once at the end of each tick: however
many messages came in it, the line is drawn once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections import deque
from pathlib import Path
from secrets import token_hex

from selchat.client import bindings, history
from selchat.client.complete import complete
from selchat.client.editor import Editor, Request
from selchat.client.front import ASK_NAME, STDIN, Front, clock
from selchat.client.keys import Key, Keys
from selchat.client.linear import Linear
from selchat.client.paint import Paint
from selchat.client.state import Heard, State
from selchat.client.terminal import Terminal
from selchat.client.window import Display, View, Window
from selchat.errors import Refusal
from selchat.loop import READ, Loop, Timer
from selchat.model import commands, events
from selchat.model.clean import clean, clean_line
from selchat.model.events import Error, Event
from selchat.settings import ClientOptions
from selchat.wire import text

_ASK_ABOVE = 5
"""Lines of a message above which the user is asked whether all of it is meant."""

_ON_ITS_WAY = 3
"""Messages that are shown as on their way; of more, only how many."""

_WINDOW = 100
"""Commands on their way at a time."""

_HOLD = 5.0
"""Seconds after the last key for which lines wait in linear mode, as not to speak in between."""

_HELP = [
    events.Usage("/to TARGET", "talk to #ROOM or @USER: plain text goes there from now on"),
    events.Usage("//TEXT", "say something that begins with a slash"),
    events.Usage("/keys", "list the keys"),
]


class Line(Front):
    """The handler of the terminal, and the reader of a link."""

    def __init__(self, options: ClientOptions, loop: Loop) -> None:
        """Resolves the host's name, which can take a while. Raises `StartError`."""
        super().__init__(
            options,
            loop,
            State(auto_join=False, curious=True, prefix=f"~{token_hex(4)}-"),
            person=True,
        )
        dumb = os.environ.get("TERM", "dumb") in ("dumb", "")
        self._linear = options.linear or dumb
        colors = options.color and not self._linear and not os.environ.get("NO_COLOR")
        self._paint = Paint(colors)
        self._terminal = Terminal(bracketed=not self._linear)
        self._display: Display = Window(*self._terminal.size(), colors)
        self._history: Path | None = history.file() if options.history else None
        self._editor = Editor(history.load(self._history) if self._history else [])
        self._keys = Keys()
        self._timer: Timer | None = None  # for an ESC that may be the start of a sequence
        self._printed: list[str] = []  # what the end of the tick prints
        self._ring = False
        self._typed: deque[str] = deque()  # what was submitted and waits for its turn
        self._question = ""  # a message that is sent if the user says so
        self._listing = False  # whether another Tab lists what fits
        self._last_key = loop.clock() - _HOLD
        self._held: Timer | None = None
        self._reading = False
        self._acked, self._on_way = ("✓", "…") if self._terminal.can_show("✓…") else ("+", "~")
        loop.on_tick_end(self._refresh)

    def run(self) -> int:
        """Talk until the end; give the terminal back, whatever the end is."""
        log = _Log()
        logging.getLogger().addHandler(log)
        try:
            self.loop.on_signal(signal.SIGWINCH, self._resized)
            self.loop.on_signal(signal.SIGCONT, self._resumed)
            self.loop.on_signal(signal.SIGTSTP, self._suspend)
            self._terminal.enter()
            if self._linear:
                self._display = Linear(self._terminal.echoes)
            self._read(True)
            return super().run()
        finally:
            self._refresh()
            self._terminal.write(self._display.erased())
            self._terminal.leave()
            logging.getLogger().removeHandler(log)
            log.tell()
            if self._terminal.gone:
                _nowhere()

    # As a front end

    def show(self, event: Event, heard: Heard) -> None:
        """Print what the server said, and the user's own messages when they are acknowledged."""
        lines = list(heard.lines)
        if isinstance(event, events.Help):
            lines += text.render(events.Help(None, _HELP))
        if heard.refused is not None:
            lines.append(f"* not sent (Up brings it back): {clean_line(heard.refused.text)}")
        stamp = self._paint.faint(clock(getattr(event, "at", None)))
        self._printed += [stamp + self._paint.line(line, heard.alert) for line in lines]
        if heard.sent is not None and not self._linear:
            mark = self._paint.faint(f" {self._acked}")
            said = self._own(heard.sent)
            self._printed += [f"{stamp}{self._paint.line(line)}{mark}" for line in said]
        self._ring = self._ring or (heard.alert and self.options.bell)

    def go_on(self) -> None:
        """Send what was submitted, as far as the server keeps up."""
        while self._typed and len(self.state.pending) < _WINDOW and not self.full:
            if not self.state.user or self.quitting:
                return
            self._send(self._typed.popleft())

    def waiting(self) -> int:
        """Lines that were submitted and not sent."""
        return len(self._typed)

    def say(self, *lines: str) -> None:
        """Print them like what the server says."""
        self._tell(*lines)

    def ask_name(self, error: Error) -> None:
        """Make the prompt ask for it."""
        self._tell(*text.render(error))
        if self._linear:
            self._tell(f"* {ASK_NAME}")

    def interrupt(self, why: str) -> None:
        """Keep the line that was not sent for the next time, and say why it ends."""
        self._remember(self._editor.text)
        self._editor.load("")
        self._typed.clear()
        self._read(False)
        self._tell(f"* leaving: {why}")

    def welcomed(self) -> None:
        """Enter the rooms of the profile, and turn to whom the user wants to talk to."""
        super().welcomed()
        to = self.options.to
        if to:
            self.send(self.state.join(to) if to[0] == "#" else self.state.said(f"/to {to}"))

    # From the terminal

    def ready(self, mask: int) -> None:  # noqa: ARG002  (a Handler)
        """Something was typed."""
        data = self._terminal.read()
        if not data:
            self._vanished()
            return
        self._last_key = self.loop.clock()
        self._press(self._keys.feed(data))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        patience = self._keys.patience
        if patience is not None:
            self._timer = self.loop.call_later(patience, lambda: self._press(self._keys.flush()))

    def _press(self, keys: list[Key]) -> None:
        for key in keys:
            if self._question:
                self._answer(key)
                continue
            listing, self._listing = self._listing, False
            match bindings.press(self._editor, key, self._linear):
                case Request.SUBMIT:
                    self._submit()
                case Request.COMPLETE:
                    self._complete(listing)
                case Request.END:
                    self._read(False)
                    self.quit()
                case Request.REDRAW:
                    self._terminal.write(self._display.cleared())
                case Request.RING:
                    self._ring = self._ring or not self._linear
        self.go_on()

    def _submit(self) -> None:
        line = self._editor.text
        if not self.name:
            self._terminal.write(self._display.submitted(self._view()))
            self._editor.load("")
            self.name = clean_line(line).strip()
            if self.name:
                self.say_hello()
        elif line.count("\n") >= _ASK_ABOVE:
            self._question = line
            if self._linear:
                self._tell(f"* {self._asked()} type y or n")
        elif line.strip():
            self._accept()

    def _asked(self) -> str:
        count = self._question.count("\n") + 1
        return f"send these {count} lines as one message?"

    def _answer(self, key: Key) -> None:
        """Take a key for the answer to the question."""
        word = key.text[:1].lower() if key.name == "text" else key.name
        if word in ("y", "enter"):
            self._accept()
        elif word not in ("n", "escape", "ctrl-g", "backspace"):
            self._ring = True
            return
        self._question = ""

    def _accept(self) -> None:
        """Take the line out of the editor, to be sent."""
        self._remember(self._editor.text)
        self._terminal.write(self._display.submitted(self._view()))
        self._typed.append(self._editor.submit())

    def _remember(self, line: str) -> None:
        if line.strip() and self.name and self._history and self._editor.history[-1:] != [line]:
            history.add(self._history, line)
        self._editor.remember(line)

    def _complete(self, listing: bool) -> None:
        editor = self._editor
        found = complete(editor.text, editor.cursor, self.state.known())
        if found.choices and found.text != editor.text[found.start : editor.cursor]:
            editor.replace(found.start, found.text)
        elif listing and found.choices:
            self._tell("* " + ", ".join(found.choices))
        else:
            self._ring = True
        self._listing = len(found.choices) > 1

    # Sending

    def _send(self, line: str) -> None:
        before = self.state.talk.target
        try:
            if line.strip().lower() == "/keys":
                width = max(len(keys) for keys, _ in bindings.table())
                self._tell(*(f"* {keys:<{width}}  {help_}" for keys, help_ in bindings.table()))
            else:
                self.send(self.state.said(line))
        except Refusal as refusal:
            self._tell(f"! {refusal.text}")
        if self._linear and self.state.talk.target not in ("", before):
            self._tell(f"* plain text goes to {self.state.talk.target} now")

    # Signals

    def _resized(self) -> None:
        self._display.resized(*self._terminal.size())

    def _resumed(self) -> None:
        """The shell continues it: other programs have used the terminal."""
        self._terminal.enter()
        self._resized()

    def _suspend(self) -> None:
        self._terminal.write(self._display.erased())
        self._terminal.leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        # Here it stands still, until it is continued.
        self.loop.on_signal(signal.SIGTSTP, self._suspend)
        self._resumed()

    def _vanished(self) -> None:
        self._read(False)
        self.fail("the terminal is gone")
        if not self.quitting:
            self.interrupted = True
            self.interrupt("the terminal is gone")
            self.quit()

    def _read(self, reading: bool) -> None:
        if reading is not self._reading:
            self._reading = reading
            if reading:
                self.loop.register(STDIN, READ, self)
            else:
                self.loop.unregister(STDIN)

    # Seeing

    def _tell(self, *lines: str) -> None:
        """Print lines of the client's own."""
        stamp = self._paint.faint(clock(None))
        self._printed += [stamp + self._paint.line(clean_line(line)) for line in lines]

    def _own(self, sent: commands.Post | commands.Me) -> list[str]:
        """An own message as the others see it; a direct one as in the text tongue."""
        message = events.Message(
            0, "", sent.to, self.state.user, clean(sent.text), isinstance(sent, commands.Me)
        )
        return text.render(message, own=sent.to[:1] == "@")

    def _view(self) -> View:
        editor = self._editor
        posts = [
            command
            for command in self.state.pending.values()
            if isinstance(command, commands.Post | commands.Me)
        ]
        above = [f"{self._on_way} {self._own(post)[0]}" for post in posts[:_ON_ITS_WAY]]
        if len(posts) > _ON_ITS_WAY:
            above.append(f"{self._on_way} and {len(posts) - _ON_ITS_WAY} more")
        if self._question:
            first, second, *_ = self._question.split("\n")
            return View("y or n: ", "", 0, (f"  {first}", f"  {second}", "  …", self._asked()))
        if editor.search is not None:
            failed = "nothing found" if editor.search.failed else "search"
            prompt = f"({failed}) {editor.search.query}: "
        elif self.name:
            prompt = f"{self.state.talk.target}> "
            if self.state.user and not self.online:
                prompt = f"(waiting) {prompt}"
        else:
            prompt = ASK_NAME
        return View(prompt, editor.text, editor.cursor, tuple(above))

    def _refresh(self) -> None:
        """At the end of a tick: write what is new."""
        if self._terminal.gone:
            self._printed.clear()
            return
        if self._linear and self._printed and self._editor.text and not self.quitting:
            wait = self._last_key + _HOLD - self.loop.clock()
            if wait > 0:
                if self._held is None:
                    self._held = self.loop.call_later(wait, self._unhold)
                return
        printed, self._printed = self._printed, []
        view = View("", "", 0) if self.quitting else self._view()
        out = self._display.update(printed, view) + ("\a" if self._ring else "")
        self._ring = False
        if out and not self._terminal.write(out):
            self.loop.call_later(0, self._vanished)

    def _unhold(self) -> None:
        self._held = None


class _Log(logging.Handler):
    """What the loop logs while the terminal is in use: told when it is given back."""

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


def run(options: ClientOptions) -> int:
    """Run the client in line mode; return the exit code. Raises `StartError`."""
    return Line(options, Loop()).run()
