"""A disk that fails when it is told to, below the log: between SqliteLog and its database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, cast

from selchat.store.sqlite import SqliteLog

FULL = ("SQLITE_FULL", "database or disk is full")
BROKEN = ("SQLITE_IOERR_WRITE", "disk I/O error")
UNREADABLE = ("SQLITE_IOERR_READ", "disk I/O error")
READ_ONLY = ("SQLITE_READONLY", "attempt to write a readonly database")
CORRUPT = ("SQLITE_CORRUPT", "database disk image is malformed")


class BadDisk:
    """Stands in for the database connection of a log.

    A statement that begins with `failing` fails with `error`; so many of them go well first as
    `after` says. `undoes` says whether the open transaction is undone by that, as SQLite does
    after most errors of the disk. A COMMIT that fails is never carried out.
    """

    def __init__(self, log: SqliteLog) -> None:
        self._db = log._db
        self.failing: tuple[str, ...] = ()
        self.error = BROKEN
        self.undoes = True
        self.after = 0
        self.failed = 0
        log._db = cast(sqlite3.Connection, self)

    def fail(
        self, *failing: str, error: tuple[str, str] = BROKEN, undoes: bool = True, after: int = 0
    ) -> None:
        """From now on, until `heal`."""
        self.failing, self.error, self.undoes, self.after = failing, error, undoes, after

    def fail_writing(self, error: tuple[str, str] = FULL) -> None:
        """Nothing can be written, all can be read."""
        self.fail("INSERT", "UPDATE", "DELETE", "COMMIT", error=error)

    def fail_wholly(self) -> None:
        """Nothing can be written or read."""
        self.fail("", error=UNREADABLE)

    def heal(self) -> None:
        self.failing = ()

    # What a connection has

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def execute(self, sql: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        if sql != "ROLLBACK":
            self._look_at(sql)
        return self._db.execute(sql, tuple(values))

    def executemany(self, sql: str, rows: Iterable[Any]) -> None:
        # Row by row, so that the disk can fail in the middle.
        for row in rows:
            self._look_at(sql)
            self._db.execute(sql, row)

    def close(self) -> None:
        self._db.close()

    def backup(self, *arguments: Any, **named: Any) -> None:
        self._db.backup(*arguments, **named)

    def _look_at(self, sql: str) -> None:
        if not any(sql.lstrip().startswith(start) for start in self.failing):
            return
        if self.after > 0:
            self.after -= 1
            return
        self.failed += 1
        if self.undoes and self._db.in_transaction:
            self._db.execute("ROLLBACK")
        error = sqlite3.OperationalError(self.error[1])
        error.sqlite_errorname = self.error[0]
        raise error
