"""The audit log: who did what to whom, one JSON object a line, in `DATA/audit.log` (mode 0600).

A line is written when what it says is committed, so nothing stands there that did not happen. It is
for the operator, who may move the file away and send SIGHUP, as logrotate does.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from selchat.hub.hub import Noted

FILE = "audit.log"

log = logging.getLogger(__name__)


class Line(msgspec.Struct, omit_defaults=True):
    """One line. `who` is a name, or in parentheses an address or the operator."""

    at: str
    who: str
    what: str
    whom: str = ""
    text: str = ""


class Audit:
    """The file, which is opened when there is something to write."""

    def __init__(self, folder: Path | None) -> None:
        """Without a folder, lines go to the server's own log."""
        self._path = folder / FILE if folder is not None else None
        self._fd = -1

    def write(self, notes: list[Noted]) -> None:
        """Add lines. A disk that does not take them is told of in the server's own log."""
        if not notes:
            return
        lines = [msgspec.json.encode(Line(*note)) for note in notes]
        if self._path is None:
            for line in lines:
                log.info("audit: %s", line.decode())
            return
        try:
            if self._fd < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._fd = os.open(self._path, flags, 0o600)
            os.write(self._fd, b"".join(line + b"\n" for line in lines))
        except OSError as error:
            log.error("the audit log %s cannot be written: %s", self._path, error.strerror)
            for line in lines:
                log.warning("audit: %s", line.decode())

    def reopen(self) -> None:
        """Begin a new file, if the old one was moved away."""
        self.close()

    def close(self) -> None:
        """Give the descriptor back."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
