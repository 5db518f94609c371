"""The file that the log is in: how it is opened, and what its errors mean to a person."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

FILE = "log.sqlite3"
WAL = FILE + "-wal"

CHECKPOINT = 4 * 2**20
"""Bytes of write-ahead log at which a checkpoint is made, in 2 to 4 ms: each page that is read is
looked for there. It syncs twice, which is little after so many commits."""

_CACHE = 4_096
"""KiB of pages that SQLite keeps. The system keeps them too, so this saves calls, not reading; and
it counts against what the server may take."""

_BUSY = 0.2
"""Seconds to wait for another program that writes to the file, which none should: all wait."""

DAMAGED = "the log is damaged: stop the server and restore a backup"


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, or make it."""
    # SQLite gives the files beside it the mode of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return sqlite3.connect(path, isolation_level=None, cached_statements=256, timeout=_BUSY)


def configure(db: sqlite3.Connection, synchronous: str) -> None:
    """Make it a write-ahead log that is checkpointed only when it is told to be."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(synchronous)
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute(f"PRAGMA journal_size_limit = {CHECKPOINT}")  # so that its size says what is due
    db.execute("PRAGMA secure_delete = ON")  # what was deleted is not to be found in the file
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(f"PRAGMA cache_size = -{_CACHE}")


def reader(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, for another process than the one that holds the log.

    Raises sqlite3.Error where there is no such file.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=60)


def why(error: Exception) -> str:
    """One line for a person: what is wrong with the disk or the file, and what helps."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return "the disk is full: free some space"
    if name.startswith("SQLITE_READONLY"):
        return "the log may not be written: check its owner, its mode and its file system"
    if name.startswith("SQLITE_CORRUPT") or name == "SQLITE_NOTADB":
        return DAMAGED
    if name.startswith("SQLITE_IOERR"):
        return f"the disk reports an error ({error}): check it"
    if name.startswith("SQLITE_BUSY"):
        return "another program holds the log: end it"
    return str(error)
