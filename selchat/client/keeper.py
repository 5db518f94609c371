"""What a client keeps on disk, so that a session outlives the client: the token that brings it
back, where it was, and what was typed and is not acknowledged.

One file for each server and user, mode 0600: who has the token is the user. A second client with
the same server and user finds the file locked, keeps nothing, and opens a session of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import msgspec
import platformdirs

from selchat.model import names
from selchat.model.commands import AnyCommand

_LONGEST = 200
"""Bytes in a file's name; most systems take 255."""

log = logging.getLogger(__name__)


def sessions_folder() -> Path:
    """Where the sessions of this system's user are kept."""
    return platformdirs.user_state_path("selchat") / "sessions"


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
        # quote() leaves no comma, and a name that holds any letter can be a long file name.
        place = f"{quote(host, safe='')},{port},{quote(names.key(user), safe='')}"
        if len(place) > _LONGEST:
            place = hashlib.sha256(place.encode()).hexdigest()
        self._path = folder / f"{place}.json"
        self._fd: int | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        draft = self._path.with_suffix(".new")
        try:
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(kept))
            draft.replace(self._path)
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
