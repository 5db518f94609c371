"""A disk that fails when it is told to, below the log: between SqliteLog and its database.

`DiskStage` is a server on such a disk, which can be killed and started again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import selchat.server
from selchat.derive import Deriver
from selchat.hub.hub import _from_log
from selchat.hub.snapshot import dump
from selchat.loop import Loop
from selchat.store.sqlite import SqliteLog
from tests.unit.playbook import Asleep, Stage, World

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
        log._db = log._places._db = cast(sqlite3.Connection, self)

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


class DiskStage(Stage):
    """A stage whose log is in a folder, on a disk that can fail (`disk`).

    One that is to go on where another was starts at its `time`, and with its number of `secrets`.
    """

    def __init__(
        self, folder: Path, *, time: float = 0.0, secrets: int = 0, **settings: Any
    ) -> None:
        def world(loop: Loop, _: Deriver) -> World:
            world = World(loop)
            world.time = time
            return world

        with (
            patch.object(selchat.server, "_open_log", return_value=SqliteLog(folder, full=False)),
            patch.object(selchat.server, "_World", world),
        ):
            super().__init__(**settings)
        self.world.time, self.world.secrets = time, secrets
        self.disk = BadDisk(cast(SqliteLog, self.log))
        self.said: list[str] = []

    def settle(self) -> None:
        """As in a Stage, but errors are what is to come: they are kept in `said`."""
        try:
            super().settle()
        except AssertionError as error:
            if "the server logged errors" not in str(error):
                raise
            text = str(error)
            assert "Traceback" not in text, text
            self.said += text.splitlines()[1:]

    def close(self) -> None:
        """End it without a word to anybody."""
        self.server._upkeep.close()
        self.server.loop.close()

    def stop(self) -> None:
        """Stop it in good order."""
        self.server.stop()
        with patch.object(Loop, "on_signal"), suppress(Asleep):
            self.server.run()

    def kill(self) -> None:
        """What is not committed is lost."""
        self.log.close()
        self.server.loop.close()

    def failing(self) -> bool:
        return self.hub.failing is not None

    def expect_no_difference(self) -> None:
        """Nothing in memory differs from the log, from all of it and from the snapshot on."""
        self.settle()
        assert not self.hub.stale
        assert dump(self.hub.state) == dump(_from_log(self.log))
        for connection in self.server._connections:
            session = connection.session
            if session is not None:
                assert self.hub.state.sessions[session.id] is session
                assert session.peer is connection
