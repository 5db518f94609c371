"""A log that an older version wrote is brought up to date, and nothing of it is lost.

tests/corpus/store/version-N.sql is a log as version N of the tables held it. Once a version is
released, its file is never changed. A new version gets one of its own:

    python -m tests.unit.test_upgrade
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from selchat.store import Query
from selchat.store.database import FILE
from selchat.store.schema import APPLICATION_ID, MIGRATIONS
from selchat.store.sqlite import SqliteLog
from tests.unit.bad_disk import DiskStage

CORPUS = Path(__file__).resolve().parents[1] / "corpus" / "store"
VERSIONS = sorted(CORPUS.glob("version-*.sql"), key=lambda path: int(path.stem[8:]))

TEXTS = ["hello from long ago", "two\nlines ☃", "waves", "just between us", "after the snapshot"]

TOGETHER = ["one of two", "two of two"]
"""Said together, which since version 4 is one row."""


def write(folder: Path) -> None:
    """A small log with something of each kind, and a snapshot in the middle."""
    stage = DiskStage(folder, snapshot_entries=1)
    stage.enter("alice", json=("carol", "dora"))
    stage.say("carol", {"type": "post", "id": "1", "to": "#dev", "text": TEXTS[0]})
    stage.say("carol", {"type": "post", "id": "2", "to": "#dev", "text": TEXTS[1]})
    stage.say("dora", {"type": "topic", "room": "dev", "text": "fish"})
    stage.settle()
    stage.advance(1)
    assert stage.log.snapshot() is not None
    stage.say("alice", f"/me #dev {TEXTS[2]}", "/join Straße", "/nick Alicia")
    stage.say("dora", {"type": "post", "id": "1", "to": "@carol", "text": TEXTS[3]})
    stage.settle()
    stage.say("dora", {"type": "leave", "room": "dev"}, {"type": "quit"})
    stage.settle()
    stage.say("carol", {"type": "post", "id": "3", "to": "#dev", "text": TEXTS[4]})
    stage.say("alice", *(f"#dev {text}" for text in TOGETHER))
    stage.settle()
    stage.kill()


def dump(folder: Path) -> Iterator[str]:
    """The log as SQL. The index for search is left out: it fills itself again."""
    db = sqlite3.connect(folder / FILE)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    yield f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {version};"
    for name, sql in tables(db):
        yield f"{sql};"
        if name == "search" or not sql.startswith("CREATE TABLE"):
            continue
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({name})")]
        quoted = " || ', ' || ".join(f"quote({column})" for column in columns)
        for (row,) in db.execute(f"SELECT {quoted} FROM {name} ORDER BY 1"):
            values = re.sub(r"X'([0-9A-F]*)'", _readable, row)
            yield f"INSERT INTO {name} VALUES ({values});"
    yield "UPDATE meta SET value = '0' WHERE key = 'indexed';"
    db.close()


def _readable(match: re.Match[str]) -> str:
    """A blob that holds text, so that the file can be read."""
    text = bytes.fromhex(match[1]).decode().replace("'", "''")
    return f"CAST('{text}' AS BLOB)"


def tables(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """What was created, but for the tables that SQLite made itself."""
    return db.execute(
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'search_%'"
        " ORDER BY type DESC, name"
    ).fetchall()


@pytest.fixture(params=VERSIONS, ids=lambda path: path.stem)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data folder as that version left it."""
    db = sqlite3.connect(tmp_path / FILE)
    db.executescript(request.param.read_text(encoding="utf-8"))
    db.close()
    return tmp_path


@pytest.fixture
def texts(request: pytest.FixtureRequest) -> list[str]:
    """What was said in that folder."""
    version = int(request.node.callspec.params["folder"].stem[8:])
    return TEXTS + TOGETHER if version >= 4 else TEXTS


def test_each_version_has_its_file() -> None:
    assert [path.stem for path in VERSIONS] == [
        f"version-{number}" for number in range(1, len(MIGRATIONS) + 1)
    ]


def test_a_version_is_what_its_migrations_make(tmp_path: Path) -> None:
    """Who changes the tables adds a migration; a released one stays as it is."""
    for number, path in enumerate(VERSIONS, 1):
        written = sqlite3.connect(":memory:")
        written.executescript(path.read_text(encoding="utf-8"))
        made = sqlite3.connect(":memory:")
        for script in MIGRATIONS[:number]:
            made.executescript(script)
        assert tables(written) == tables(made)
        written.close()
        made.close()


def test_all_that_was_said_is_there(folder: Path, texts: list[str]) -> None:
    log = SqliteLog(folder)
    said = [entry.fact.text for entry in log.entries() if hasattr(entry.fact, "text")]
    assert [text for text in said if text != "fish"] == texts
    assert log.newest == len(list(log.entries()))
    found = log.search(Query(("between",), (), 3, None, 0, log.newest + 1, 10))
    assert [entry.fact.text for entry in found if hasattr(entry.fact, "text")] == [TEXTS[3]]
    log.close()
    db = sqlite3.connect(folder / FILE)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.close()
    assert version == len(MIGRATIONS)


def test_sessions_and_rooms_go_on(folder: Path, texts: list[str]) -> None:
    stage = DiskStage(folder)
    stage.say("bob", "bob", "/topic dev", "/who")
    assert [line for line in stage.get("bob") if "welcome" not in line] == [
        "* the topic of #dev: fish",
        "* here: carol, bob",
    ]
    hello = {"type": "hello", "user": "carol", "token": "token-1", "after": 7, "log": "log"}
    again = {"type": "post", "id": "3", "to": "#dev", "text": TEXTS[4]}
    stage.say("carol", hello, again)
    events = [json.loads(line) for line in stage.get("carol")]
    assert events[0]["rooms"] == ["dev"]
    assert [event["text"] for event in events if event["type"] == "message"] == texts[1:]
    assert events[-1]["type"] == "ok"
    assert events[-1]["seq"] == next(e["seq"] for e in events if e.get("text") == TEXTS[4])
    stage.expect_no_difference()
    stage.close()


if __name__ == "__main__":
    with TemporaryDirectory() as made:
        write(Path(made))
        target = CORPUS / f"version-{len(MIGRATIONS)}.sql"
        target.parent.mkdir(exist_ok=True)
        target.write_text("\n".join(dump(Path(made))) + "\n", encoding="utf-8")
        print(f"{target} is written", file=sys.stderr)
