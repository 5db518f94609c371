"""The client in line mode on a terminal: a line to type in, and what comes scrolls by above it.

Keys are taken as they come, what is to be seen is written once at the end of each tick: however
many messages came in it, the line is drawn once.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

from selchat.client import bindings, history
from selchat.client.buffer import Request
from selchat.client.complete import complete
from selchat.client.editor import Editor
from selchat.client.front import ASK_NAME, OVER, STDIN, Front
from selchat.client.keys import Key, Keys
from selchat.client.output import Output
from selchat.client.secret import Secret, confidential
from selchat.client.state import Heard, State
from selchat.client.window import View
from selchat.errors import Refusal
from selchat.loop import READ, Loop, Timer
from selchat.model import commands, events
from selchat.model.clean import clean_line
from selchat.model.events import Error, Event
from selchat.settings import ClientOptions
from selchat.wire.rendering import render

_ASK_ABOVE = 5
"""Lines of a message above which the user is asked whether all of it is meant."""

_ON_ITS_WAY = 3
"""Messages that are shown as on their way; of more, only how many."""

_WINDOW = 100
"""Commands on their way at a time."""

_HELP = [
    events.Usage("/kick bob", "ROOM or TARGET left out, in any command: the current one is meant"),
    events.Usage("/to TARGET", "talk to #ROOM or @USER: plain text goes there from now on"),
    events.Usage("//TEXT", "say something that begins with a slash"),
    events.Usage("/keys", "list the keys"),
]


class Line(Front):
    """The handler of the terminal, and the reader of a link."""

    way_out = " (Esc: another name)"

    def __init__(self, options: ClientOptions, loop: Loop) -> None:
        """Resolves the host's name, which can take a while. Raises `StartError`."""
        super().__init__(
            options,
            loop,
            State(auto_join=False, curious=True, prefix=f"~{token_hex(4)}-"),
            person=True,
        )
        self._output = Output(options, loop, self._view, self._vanished)
        self._history: Path | None = history.file() if options.history else None
        self._editor = Editor(history.load(self._history) if self._history else [])
        self._keys = Keys()
        self._timer: Timer | None = None  # for an ESC that may be the start of a sequence
        self._typed: deque[str] = deque()  # what was submitted and waits for its turn
        self._question = ""  # a message that is sent if the user says so
        self._secret: Secret | None = None  # what is asked for and not shown
        self._listing = False  # whether another Tab lists what fits
        self._told_target = ""
        self._reading = False

    def run(self) -> int:
        """Talk until the end; give the terminal back, whatever the end is."""
        try:
            self.loop.on_signal(signal.SIGWINCH, self._output.resized)
            self.loop.on_signal(signal.SIGCONT, self._output.come_back)
            self.loop.on_signal(signal.SIGTSTP, self._suspend)
            self._output.enter()
            self._read(True)
            return super().run()
        finally:
            self._output.leave()

    # As a front end

    def show(self, event: Event, heard: Heard) -> None:
        """Print what the server said, and the user's own messages when they are acknowledged."""
        if isinstance(event, Error) and event.code in OVER:
            return  # it is the last line, after the terminal was given back
        lines = list(heard.lines)
        if isinstance(event, events.Help):
            lines += render(events.Help(None, _HELP))
        if heard.refused is not None:
            lines.append(f"* not sent (Up brings it back): {clean_line(heard.refused.text)}")
        at = getattr(event, "at", None)
        self._output.add(lines, at, heard.alert)
        if heard.sent is not None and not self._output.linear:
            self._output.add(self._own(heard.sent), at, mark=self._output.acked)

    def go_on(self) -> None:
        """Send what was submitted, as far as the server keeps up."""
        self._tell_target()
        while self._typed and len(self.state.pending) < _WINDOW and not self.full:
            if not self.state.user or self.quitting:
                return
            self._send(self._typed.popleft())

    def waiting(self) -> int:
        """Lines that were submitted and not sent."""
        return len(self._typed)

    def say(self, *lines: str) -> None:
        """Print them like what the server says."""
        self._output.tell(*lines)

    def ask_name(self, error: Error) -> None:
        """Make the prompt ask for it."""
        self._output.tell(*render(error))
        if self._output.linear:
            self._output.tell(f"* {ASK_NAME}")

    def ask_secret(self, prompt: str, then: Callable[[str | None], None]) -> None:
        """Have the user type something that is shown nowhere and kept nowhere; then go on with the
        line that was being typed. `then` gets it, or None if the user does not want to (Esc,
        Ctrl-C, Ctrl-D) or something else is asked for before. Not called where the client ends.
        """
        before, self._secret = self._secret, Secret(prompt, then)
        self._output.signals(False)
        if self._output.linear:
            self._output.tell(f"* {prompt}")
        if before is not None:
            before.cancel()

    def interrupt(self, why: str) -> None:
        """Keep the line that was not sent for the next time, and say why it ends."""
        self._secret = None
        self._output.signals(True)  # another Ctrl-C ends it at once
        self._note(self._editor.text)
        self._editor.load("")
        self._typed.clear()
        self._read(False)
        self._output.tell(f"* leaving: {why}")

    def welcomed(self) -> None:
        """Enter the rooms of the profile, and turn to whom the user wants to talk to."""
        super().welcomed()
        to = self.options.to
        if to:
            self.ask(lambda: self.state.join(to) if to[0] == "#" else self.state.said(f"/to {to}"))

    # From the terminal

    def ready(self, mask: int) -> None:  # noqa: ARG002  (a Handler)
        """Something was typed."""
        data = self._output.read()
        if not data:
            self._vanished()
            return
        self._press(self._keys.feed(data))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        patience = self._keys.patience
        if patience is not None:
            self._timer = self.loop.call_later(patience, lambda: self._press(self._keys.flush()))

    def _press(self, keys: list[Key]) -> None:
        for key in keys:
            if self._secret is not None:
                self._type_secret(self._secret, key)
                continue
            if self._question:
                self._answer(key)
                continue
            if self.checking:  # what is typed now may be one more try at the password
                self._output.ring()
                continue
            listing, self._listing = self._listing, False
            match bindings.press(self._editor, key, self._output.linear):
                case Request.SUBMIT:
                    self._submit()
                case Request.COMPLETE:
                    self._complete(listing)
                case Request.END:
                    self._read(False)
                    self.quit()
                case Request.REDRAW:
                    self._output.clear()
                case Request.RING if not self._output.linear:
                    self._output.ring()
        self.go_on()

    def _type_secret(self, secret: Secret, key: Key) -> None:
        match secret.press(key):
            case Request.SUBMIT | Request.END:
                self._secret = None
                self._output.signals(True)
                secret.close()  # which may ask for another
            case Request.RING:
                self._output.ring()

    def _submit(self) -> None:
        line = self._editor.text
        if not self.name:
            self._output.submitted()
            self._editor.load("")
            self.name = clean_line(line).strip()
            if self.name:
                self.say_hello()
        elif line.count("\n") >= _ASK_ABOVE:
            self._question = line
            if self._output.linear:
                self._output.tell(f"* {self._asked()} type y or n")
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
            self._output.ring()
            return
        self._question = ""

    def _accept(self) -> None:
        """Take the line out of the editor, to be sent."""
        line = self._editor.text
        self._note(line)
        self._output.submitted()
        self._typed.append(self._editor.submit(remember=not confidential(line)))

    def _note(self, line: str) -> None:
        """Keep a line, to come back to it, unless there can be a password in it."""
        if confidential(line):
            return
        if line.strip() and self.name and self._history and self._editor.history[-1:] != [line]:
            history.add(self._history, line)
        self._editor.remember(line)

    def _complete(self, listing: bool) -> None:
        editor = self._editor
        found = complete(editor.text, editor.cursor, self.state.known())
        if found.choices and found.text != editor.text[found.start : editor.cursor]:
            editor.replace(found.start, found.text)
        elif listing and found.choices:
            self._output.tell("* " + ", ".join(found.choices))
        else:
            self._output.ring()
        self._listing = len(found.choices) > 1

    # Sending

    def _send(self, line: str) -> None:
        try:
            if line.strip().lower() == "/keys":
                width = max(len(keys) for keys, _ in bindings.table())
                self._output.tell(
                    *(f"* {keys:<{width}}  {help_}" for keys, help_ in bindings.table())
                )
            elif not self.account.command(line.strip()):
                self.send(self.state.said(line))
        except Refusal as refusal:
            self._output.tell(f"! {refusal.text}")
        self._tell_target()

    def _tell_target(self) -> None:
        """Where there is no prompt: say where plain text goes, if that has changed."""
        target = self.state.talk.target
        if self._output.linear and self.state.user and target != self._told_target:
            self._told_target = target
            if target:
                self._output.tell(f"* plain text goes to {target} now")

    # Signals

    def _suspend(self) -> None:
        self._output.step_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        # Here it stands still, until it is continued.
        self.loop.on_signal(signal.SIGTSTP, self._suspend)
        self._output.come_back()

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

    def _own(self, sent: commands.Post | commands.Me) -> list[str]:
        """An own message as the others see it; a direct one as in the text tongue. Clean: the
        names in it are what the server said.
        """
        message = events.Message(
            0, "", sent.to, self.state.user, sent.text, isinstance(sent, commands.Me)
        )
        return [clean_line(line) for line in render(message, own=sent.to[:1] == "@")]

    def _view(self) -> View:
        if self.quitting:
            return View("", "", 0)
        editor = self._editor
        posts = [
            command
            for command in self.state.pending.values()
            if isinstance(command, commands.Post | commands.Me)
        ]
        above = [f"{self._output.on_way} {self._own(post)[0]}" for post in posts[:_ON_ITS_WAY]]
        if len(posts) > _ON_ITS_WAY:
            above.append(f"{self._output.on_way} and {len(posts) - _ON_ITS_WAY} more")
        if self._secret is not None:
            return View(self._secret.prompt, "", 0, tuple(above))
        if self.checking:
            return View("the password is being checked ", "", 0, tuple(above))
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


def run(options: ClientOptions) -> int:
    """Run the client in line mode; return the exit code. Raises `StartError`."""
    return Line(options, Loop()).run()
