"""A client on a pseudo terminal, whose screen is emulated: what a user would see.

Nothing sleeps: whatever is waited for is a condition on the screen, with a deadline.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pexpect
import pyte

from tests.e2e.harness import PATIENCE, ROOT, environment, until

CLIENT = (sys.executable, "-W", "error", str(ROOT / "bin" / "selchat-client"))


class Screen:
    """A program on a terminal of its own."""

    def __init__(
        self, home: Path, *command: str, size: tuple[int, int] = (80, 24), **environ: str
    ) -> None:
        columns, rows = size
        self.home = home
        defaults = {
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_DATA_HOME": str(home / "data"),
        }
        self.child = pexpect.spawn(
            command[0],
            list(command[1:]),
            timeout=PATIENCE,
            dimensions=(rows, columns),
            env=environment(**(defaults | environ)),
        )
        self.child.delaybeforesend = None
        self.raw = b""
        self.emulated = pyte.HistoryScreen(columns, rows, history=5_000, ratio=1)
        self._stream = pyte.ByteStream(self.emulated)

    # What is seen

    def read(self, wait: float = 0.01) -> bool:
        """Take what was written; False at its end."""
        ready, _, _ = select.select([self.child.child_fd], [], [], wait)
        if not ready:
            return True
        try:
            data = os.read(self.child.child_fd, 65_536)
        except OSError:
            data = b""
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    @property
    def rows(self) -> list[str]:
        """The rows of the screen."""
        return [row.rstrip() for row in self.emulated.display]

    @property
    def all(self) -> str:
        """The rows that scrolled away, and those of the screen."""
        columns = range(self.emulated.columns)
        away = ["".join(row[x].data for x in columns) for row in self.emulated.history.top]
        return "\n".join(row.rstrip() for row in [*away, *self.rows])

    @property
    def line(self) -> str:
        """The row of the cursor, up to the cursor."""
        cursor = self.emulated.cursor
        row = self.emulated.buffer[cursor.y]
        return "".join(row[x].data for x in range(cursor.x))

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Read until something is so."""

        def so() -> bool:
            self.read(0)
            return bool(condition())

        try:
            until(so, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n" + "\n".join(self.rows)) from None

    def sees(self, *texts: str) -> None:
        """All of these are somewhere, on the screen or scrolled away."""
        for text in texts:
            self.until(partial(self._shows, text), f"{text!r} is seen")

    def _shows(self, text: str) -> bool:
        return text in self.all

    def prompts(self, text: str) -> None:
        """The cursor stands behind just that."""
        self.until(lambda: self.line == text, f"the line is {text!r} and not {self.line!r}")

    def shows_at_the_end(self, text: str) -> None:
        """The screen ends with that, over as many rows as it takes."""
        self.until(lambda: "".join(self.rows).endswith(text), f"the screen ends with {text!r}")

    # What is done

    def types(self, text: str) -> None:
        """Press keys."""
        data = text.encode()
        while data:
            data = data[os.write(self.child.child_fd, data) :]

    def enters(self, line: str) -> None:
        """Type a line, with Enter."""
        self.types(line + "\r")

    def pastes(self, text: str) -> None:
        """Paste, as a terminal that marks it does."""
        data = f"\x1b[200~{text}\x1b[201~".encode()
        while data:  # the terminal's queue has a limit: the client reads in between
            data = data[os.write(self.child.child_fd, data[:1_000]) :]
            self.read(0)

    def resizes(self, columns: int, rows: int) -> None:
        """Change the window's size; rows above scroll away where it gets too low, as in xterm."""
        emulated = self.emulated
        x, y = emulated.cursor.x, emulated.cursor.y
        while y >= rows:
            emulated.cursor.y = emulated.lines - 1
            emulated.index()
            y -= 1
        for row in range(rows, emulated.lines):
            emulated.buffer.pop(row, None)
        emulated.lines = min(rows, emulated.lines)
        emulated.resize(rows, columns)
        emulated.cursor.x, emulated.cursor.y = min(x, columns - 1), y
        self.child.setwinsize(rows, columns)

    def signal(self, number: int) -> None:
        os.kill(self.child.pid, number)

    def mode(self) -> list[Any]:
        """The terminal's mode."""
        return termios.tcgetattr(self.child.child_fd)

    def ends(self, code: int) -> str:
        """It ends with that exit code; what was seen until then."""
        self.until(lambda: not self.read(0), "it ends")
        self.child.wait()
        assert (self.child.exitstatus, self.child.signalstatus) == (code, None), self.all
        assert b"Traceback" not in self.raw
        return self.all

    def close(self) -> None:
        if self.child.isalive():
            self.child.kill(signal.SIGKILL)
        self.child.close(force=True)
