"""A copy of the log that a server can start from, made while another one writes to it.

SQLite's backup API copies in one read transaction, so the copy is the log as it was at one moment,
and who writes waits for nothing. To be called from a process of its own, which it holds up.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from selchat.errors import StoreError
from selchat.store.database import FILE, reader, why


def backup(folder: Path, target: Path, *, force: bool = False) -> int:
    """Copy the log of that data folder to the file `target`; return its size in bytes.

    `target` has mode 0600 and is there only once it is whole. `force` replaces one that is there.
    Raises `StoreError`, and then `target` is what it was.
    """
    _check(folder, target, force=force)
    try:
        fd, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.")  # mode 0600
    except OSError as error:
        raise _failed(target, error.strerror) from None
    try:
        _copy(folder / FILE, name)
        os.fsync(fd)
        _check(folder, target, force=force)
        size = os.fstat(fd).st_size
        Path(name).replace(target)
        _sync(target.parent)
    except sqlite3.Error as error:
        raise _failed(target, _reason(error)) from error
    except OSError as error:
        raise _failed(target, error.strerror) from error
    finally:
        os.close(fd)
        for leftover in (name, f"{name}-journal", f"{name}-wal", f"{name}-shm"):
            with suppress(OSError):
                Path(leftover).unlink()
    return size


def _check(folder: Path, target: Path, *, force: bool) -> None:
    if target.is_dir():
        raise _failed(target, "that is a folder: name a file")
    own = target.name == "lock" or target.name.startswith((FILE, "control"))
    with suppress(OSError):
        if own and target.parent.samefile(folder):
            raise _failed(target, "that is the log itself: name another file")
    if not force and os.path.lexists(target):
        raise _failed(target, "it is there already: name another file, or add --force")


def _copy(source: Path, name: str) -> None:
    with (
        closing(reader(source)) as log,
        closing(sqlite3.connect(name, isolation_level=None)) as copy,
    ):
        log.backup(copy)
        # One file and nothing beside it; a server makes it a write-ahead log again.
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()
        # What goes on from a copy is another log, and each time it is put to use another one: a
        # server gives an id where there is none, and clients see that theirs is gone.
        copy.execute("DELETE FROM meta WHERE key = 'id'")
        # Words of what was deleted stand in the index until its parts are merged, and on pages
        # that are free: neither goes along.
        copy.execute("INSERT INTO search (search) VALUES ('optimize')")
        copy.execute("VACUUM")
        (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(f"the log is damaged: {found}")


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _reason(error: sqlite3.Error) -> str:
    return (
        "the disk is full"
        if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"
        else why(error)
    )


def _failed(target: Path, reason: str | None) -> StoreError:
    return StoreError(f"no backup to {target}: {reason}")
