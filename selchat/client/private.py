"""Files of a user's that nobody else may read, one for each server and user.

A file is always whole: what is written takes the place of what was there, or does not.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import platformdirs

from selchat.model import names

_LONGEST = 200
"""Bytes in a file's name; most systems take 255."""


def folder(name: str) -> Path:
    """A folder for the state of programs of this system's user; `make` makes it."""
    return platformdirs.user_state_path("selchat") / name


def make(folder: Path) -> None:
    """Make a folder, mode 0700, if there is none. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def file(host: str, port: int, user: str) -> str:
    """The file's name for a user of a server. However these are spelled, it names one file."""
    # quote() leaves no comma, and a name that holds any letter can be a long file name.
    place = f"{quote(host, safe='')},{port},{quote(names.key(user), safe='')}"
    if len(place) > _LONGEST:
        place = hashlib.sha256(place.encode()).hexdigest()
    return f"{place}.json"


def write(path: Path, data: bytes) -> None:
    """Write a file, mode 0600, in place of the one that is there. Raises OSError."""
    # Of a name that no other process takes: two may write the same file at once.
    draft = path.with_suffix(f".{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as out:
            out.write(data)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
