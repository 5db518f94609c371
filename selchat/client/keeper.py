"""What a client keeps on disk, so that a session outlives the client: the token that brings it
back, where it was, and what was typed and is not acknowledged.

One file for each server and user, mode 0600: who has the token is the user. A second client with
the same server and user finds the file locked, keeps nothing, and opens a session of its own.
"""

from __future__ import annotations

import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from selchat.client import private
from selchat.model.commands import AnyCommand

log = logging.getLogger(__name__)


def sessions_folder() -> Path:
    """Where the sessions of this system's user are kept."""
    return private.folder("sessions")


class Kept(msgspec.Struct):
    """A session as it is kept. `pending` is in the order in which it was asked."""

    user: str
    token: str
    log: str
    after: int
    rooms: list[str]
    pending: list[AnyCommand]


_decoder = msgspec.json.Decoder(Kept)


class Keeper:
    """The place of one user's session with one server."""

    def __init__(self, folder: Path, host: str, port: int, user: str) -> None:
        """`folder` is made, mode 0700, if there is none. Where it cannot be, nothing is kept."""
        self._path = folder / private.file(host, port, user)
        self._fd: int | None = None
        try:
            private.make(folder)
            lock = self._path.with_suffix(".lock")
            self._fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()

    @property
    def holds(self) -> bool:
        """Whether anything is kept: False where another client does, or the folder is no use."""
        return self._fd is not None

    def load(self) -> Kept | None:
        """What was kept by the last client; None if nothing, or nothing that makes sense."""
        if self._fd is None:
            return None
        try:
            return _decoder.decode(self._path.read_bytes())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def save(self, kept: Kept) -> None:
        """Keep it in place of what was kept. A disk that does not take it is no reason to end."""
        if self._fd is None:
            return
        try:
            private.write(self._path, msgspec.json.encode(kept))
        except OSError as error:
            log.debug("the session is not kept: %s", error)

    def forget(self) -> None:
        """The session is over: keep nothing."""
        if self._fd is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let another client have the place."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
