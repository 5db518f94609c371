"""The terminal itself: its mode, its size, its bytes. Whatever happens, it is given back as it was.

In *cbreak* mode (termios(3)) keys come one by one and nothing is echoed; Ctrl-C and Ctrl-Z are
still signals. Two hazards:

- The mode belongs to the terminal, not to this process: it must be put back before every end and
  before a stop (Ctrl-Z), and taken again when the shell continues the process.
- Standard input and output are one open file, so O_NONBLOCK would be set for both and for the
  shell that comes after: they stay blocking, and are read only when `select()` said so.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
from contextlib import suppress
from typing import Any

from selchat.errors import StartError

_IN, _OUT = 0, 1
_IFLAG, _OFLAG, _LFLAG, _CC = 0, 1, 3, 6
_PASTE_ON, _PASTE_OFF = "\x1b[?2004h", "\x1b[?2004l"
_SIZE = (80, 24)  # of a terminal that does not know its own


class Terminal:
    """Standard input and output, when both are one terminal.

    `gone` is set when it does not answer any more.
    """

    def __init__(self, bracketed: bool) -> None:
        """`bracketed` asks the terminal to mark what is pasted."""
        self.gone = False
        self.echoes = True
        """Whether the terminal showed what is typed, before `enter`."""
        self._bracketed = bracketed
        self._signals = True
        self._saved: list[Any] | None = None
        self._encoding = sys.stdout.encoding or "utf-8"

    def enter(self) -> None:
        """Take the terminal, or take it again after a stop."""
        self._take()
        if self._bracketed and not self.gone:
            self.write(_PASTE_ON)

    def signals(self, wanted: bool) -> None:
        """Say whether Ctrl-C and Ctrl-Z are signals, as they are unless told, or keys."""
        self._signals = wanted
        if self._saved is not None:
            self._take()

    def _take(self) -> None:
        try:
            mode = termios.tcgetattr(_IN)
            if self._saved is None:
                self._saved = [*mode[:_CC], list(mode[_CC])]
                self.echoes = bool(mode[_LFLAG] & termios.ECHO)
            mode[_IFLAG] |= termios.ICRNL
            mode[_OFLAG] |= termios.OPOST | termios.ONLCR
            # IEXTEN would keep some control keys for itself (Ctrl-V, on BSD also Ctrl-Y).
            mode[_LFLAG] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
            if self._signals:
                mode[_LFLAG] |= termios.ISIG
            else:
                mode[_LFLAG] &= ~termios.ISIG
            mode[_CC][termios.VMIN], mode[_CC][termios.VTIME] = 1, 0
            termios.tcsetattr(_IN, termios.TCSANOW, mode)
            os.set_blocking(_OUT, True)  # some program before this one may have left it otherwise
        except (termios.error, OSError):
            self.gone = True

    def leave(self) -> None:
        """Give the terminal back. Harmless if it was given back, or is gone."""
        if self._saved is None:
            return
        if self._bracketed:
            self.write(_PASTE_OFF)
        # Not TCSADRAIN: it would wait for output that Ctrl-S holds up.
        with suppress(termios.error, OSError):
            termios.tcsetattr(_IN, termios.TCSANOW, self._saved)
        self._saved = None

    def size(self) -> tuple[int, int]:
        """Its columns and rows."""
        try:
            columns, rows = os.get_terminal_size(_OUT)
        except OSError:
            return _SIZE
        return columns or _SIZE[0], rows or _SIZE[1]

    def can_show(self, text: str) -> bool:
        """Whether the terminal's encoding has all of `text`."""
        try:
            text.encode(self._encoding)
        except UnicodeEncodeError:
            return False
        return True

    def read(self) -> bytes:
        """What was typed; empty when the terminal is gone."""
        try:
            data = os.read(_IN, 65_536)
        except OSError:
            data = b""
        self.gone = self.gone or not data
        return data

    def write(self, text: str) -> bool:
        """Write all of `text`; say whether the terminal is there still.

        What its encoding does not have becomes a question mark.
        """
        data = text.encode(self._encoding, "replace")
        while data and not self.gone:
            try:
                data = data[os.write(_OUT, data) :]
            except OSError:
                self.gone = True
        return not self.gone


class _Interrupted(BaseException):
    """A signal came that ends the program. No mistake: nothing in between may catch it."""

    def __init__(self, number: int) -> None:
        self.number = number


def ask_password(prompt: str) -> str:
    """Ask for a password at the terminal of this process, before a loop runs. Nothing is shown of
    it, and the terminal is as it was afterwards, also when a signal ends the program.

    Standard input and output are left alone: they may be pipes. Raises `StartError` where there
    is no terminal, or the user gives no password (Ctrl-D).
    """
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        raise StartError(
            "a password is needed and there is no terminal to type it at: "
            "start selchat-client in one"
        ) from None
    handlers: dict[int, Any] = {}
    before = None
    try:
        before = termios.tcgetattr(fd)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            handlers[number] = signal.signal(number, _interrupt)
        # A stop would leave the shell with a terminal that shows nothing.
        handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        mode = [*before]
        mode[_IFLAG] |= termios.ICRNL
        mode[_LFLAG] |= termios.ICANON | termios.ISIG
        mode[_LFLAG] &= ~termios.ECHO
        termios.tcsetattr(fd, termios.TCSANOW, mode)
        password = ""
        while not password:
            password = _line(fd, prompt)
        return password
    except _Interrupted as interrupted:
        came = interrupted.number
    except (termios.error, OSError):
        raise StartError("the terminal is gone") from None
    finally:
        if before is not None:
            with suppress(termios.error):
                termios.tcsetattr(fd, termios.TCSANOW, before)
        for ours, handler in handlers.items():
            signal.signal(ours, signal.SIG_DFL if handler is None else handler)
        os.close(fd)
    os.kill(os.getpid(), came)  # it does now what it would have done
    raise StartError("interrupted")


def _interrupt(number: int, _: object) -> None:
    raise _Interrupted(number)


def _line(fd: int, prompt: str) -> str:
    """Ask, and read a line that the terminal does not show."""
    os.write(fd, prompt.encode())
    typed = b""
    try:
        while not typed.endswith(b"\n"):
            more = os.read(fd, 4_096)
            if not more:
                raise StartError("no password was given")
            typed += more
    finally:
        os.write(fd, b"\n")  # that was not shown either
    return typed.decode(errors="replace").rstrip("\r\n")
