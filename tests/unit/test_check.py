"""The check finds each kind of damage, and none in a log that is sound."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from selchat.errors import StartError, StoreError
from selchat.hub.replay import Replay
from selchat.hub.snapshot import dump
from selchat.hub.state import State
from selchat.model import events
from selchat.model.entries import Entry
from selchat.store.backup import backup
from selchat.store.check import Findings, check, count
from selchat.store.database import FILE
from selchat.store.sqlite import SqliteLog

AT = "2026-01-31T12:00:00.123Z"


def written() -> list[Entry]:
    """alice (1) and bob (2) meet in #dev, talk there and to each other; bob leaves for good."""
    facts: list[tuple[events.AnyFact, str, tuple[int, ...], int, str | None]] = [
        (events.Opened(1, AT, "alice", "f00"), "", (), 1, None),
        (events.Opened(2, AT, "bob", "f01"), "", (), 2, None),
        (events.Joined(3, AT, "dev", "alice"), "#dev", (1,), 1, None),
        (events.Joined(4, AT, "dev", "bob"), "#dev", (2,), 2, None),
        (events.Message(5, AT, "#dev", "alice", "hello, wörld\n☃ 𠀀"), "#dev", (), 1, "a"),
        (events.Message(6, AT, "@bob", "alice", "psst"), "@1:2", (1, 2), 1, "b"),
        (events.Message(7, AT, "#dev", "bob", "abc\u0301 abc"), "#dev", (), 2, "a"),
        (events.Topic(8, AT, "dev", "alice", "work"), "#dev", (), 1, None),
        (events.Left(9, AT, "dev", "bob", "quit"), "#dev", (2,), 2, None),
        (events.Gone(10, AT, for_good=True), "", (), 2, None),
        (events.Message(11, AT, "#dev", "alice", "gone?"), "#dev", (), 1, "c"),
    ]
    return [Entry(*fact) for fact in facts]


def fill(folder: Path, saved_at: int = 8) -> None:
    """A log with those entries, with an index, and a snapshot after one of them."""
    log = SqliteLog(folder)
    state = State()
    for entry in written():
        log.append(entry)
        state.apply(entry)
        log.commit()
        if entry.seq == saved_at:
            log.save_snapshot(dump(state))
    while log.tidy(idle=True):
        pass
    log.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path)
    return tmp_path


def look(folder: Path) -> Findings:
    return check(folder, lambda saved, whole: Replay(saved, whole=whole))


def damage(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def problems(folder: Path) -> str:
    return "\n".join(look(folder).problems)


def test_a_sound_log_is_sound(folder: Path) -> None:
    found = look(folder)
    assert found.problems == found.notes == []
    assert (found.entries, found.newest) == (11, 11)
    assert count(folder) == 11


@pytest.mark.parametrize("saved_at", [0, 1, 10, 11])
def test_wherever_the_state_was_saved(tmp_path: Path, saved_at: int) -> None:
    fill(tmp_path, saved_at)
    assert look(tmp_path).problems == []


def test_an_empty_log_is_sound(tmp_path: Path) -> None:
    SqliteLog(tmp_path).close()
    assert look(tmp_path).problems == []


def test_a_log_in_use_is_sound_and_is_not_changed(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    for entry in written():
        log.append(entry)
    log.commit()
    before = {file.name: file.read_bytes() for file in tmp_path.glob("log.sqlite3*")}
    assert look(tmp_path).problems == []
    after = {file.name: file.read_bytes() for file in tmp_path.glob("log.sqlite3*")}
    shared = FILE + "-shm"  # the index of the write-ahead log notes who reads
    assert before.pop(shared)
    assert after.pop(shared)
    assert before == after
    log.close()


def test_a_log_that_was_trimmed_is_sound(tmp_path: Path) -> None:
    fill(tmp_path)
    log = SqliteLog(tmp_path)
    assert sum(log.trim(7, 0, lambda user: user == 1)) == 6
    log.close()
    found = look(tmp_path)
    assert found.problems == []
    assert "old entries were forgotten" in found.notes[0]


def test_where_there_is_no_log_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="there is no log in"):
        look(tmp_path)
    assert list(tmp_path.iterdir()) == []


DAMAGES = {
    "an entry is gone": (["DELETE FROM entry WHERE seq = 6"], "it holds entry 6, which is no"),
    "a join is gone": (["DELETE FROM entry WHERE seq = 4"], "entry 9 fits none of those"),
    "a post is gone": (["DELETE FROM entry WHERE seq = 5"], "'a' is of entry 5, which is not"),
    "it was given another seq": (
        ["UPDATE entry SET seq = 12 WHERE seq = 11"],
        "entry 12 says that it is entry 11",
    ),
    "an index is gone": (["DROP INDEX entry_by_corrected"], "entry_by_corrected is missing"),
    "a place is gone": (
        ["DELETE FROM place WHERE key = -2 AND seq = 6"],
        "entry 6 is not found where it belongs",
    ),
    "a place is of nothing": (
        ["INSERT INTO place VALUES (-3, 6)"],
        "entry 6 is found where it does not belong",
    ),
    "places are ahead": (
        ["UPDATE meta SET value = '99' WHERE key = 'filed'"],
        "they should be filed up to 99",
    ),
    "a table is gone": (["DROP TABLE trimmed"], "trimmed is missing"),
    "something is there besides": (["CREATE TABLE other (a)"], "other is not as this selchat"),
    "a fact is no JSON": (["UPDATE entry SET fact = x'7b' WHERE seq = 3"], "entry 3 cannot be"),
    "a fact is no fact": (
        ["UPDATE entry SET fact = CAST('{\"type\":\"nothing\"}' AS BLOB) WHERE seq = 3"],
        "entry 3 cannot be read",
    ),
    "a conversation is gone": (
        ["DELETE FROM conversation WHERE name = '@1:2'"],
        "which is not there",
    ),
    "it should be forgotten": (
        ["UPDATE conversation SET trimmed = 5 WHERE name = '#dev'"],
        "entry 3 of '#dev' is there, though",
    ),
    "a post's id is forgotten": (
        ["DELETE FROM post WHERE id = 'c'"],
        "the id of entry 11 is not remembered",
    ),
    "a post's id is of another entry": (
        ["UPDATE post SET seq = 7 WHERE id = 'c'"],
        "entry 7 is not post 'c' of session 1",
    ),
    "the saved state is another": (
        ["UPDATE snapshot SET state = CAST(replace(state, 'work', 'play') AS BLOB)"],
        "the state that was saved after entry 8 is not",
    ),
    "the saved state is none": (
        ["UPDATE snapshot SET state = x'00'"],
        "the saved state cannot be read",
    ),
    "the saved state is of the future": (
        ["UPDATE snapshot SET seq = 99"],
        "it was saved after entry 99",
    ),
    "the index lacks a message": (
        ["INSERT INTO search (search) VALUES ('delete-all')"],
        "entry 5 is not found by its words",
    ),
    "the index has other words": (
        ["UPDATE entry SET fact = CAST(replace(fact, 'psst', 'boo') AS BLOB) WHERE seq = 6"],
        "entry 6 is not found by its words",
    ),
    "the index has what is no message": (
        ["INSERT INTO search (rowid, place, author, text) VALUES (3, 'c1', 'n00', 'x')"],
        "it holds entry 3, which is no message",
    ),
    "the index is ahead": (
        ["UPDATE meta SET value = '99' WHERE key = 'indexed'"],
        "it should hold entries up to 99",
    ),
    "it is of another version": (["PRAGMA user_version = 99"], "version 99, and this selchat"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found(folder: Path, name: str) -> None:
    statements, said = DAMAGES[name]
    damage(folder, *statements)
    assert said in problems(folder)


def _no_database(data: bytes) -> bytes:
    return b"not a database" * 1_000


def _torn(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _scribbled(data: bytes) -> bytes:
    """The pages of the tables and indices, all but the first, are something else."""
    return data[:4_096] + b"\x55" * (len(data) - 4_096)


@pytest.mark.parametrize("spoil", [_no_database, _torn, _scribbled])
def test_a_file_that_is_broken_is_found(folder: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = folder / FILE
    path.write_bytes(spoil(path.read_bytes()))
    assert problems(folder)


def test_an_index_that_disagrees_with_its_table_is_found(folder: Path) -> None:
    path = folder / FILE
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_conversation_1'"
        ).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    start = (page - 1) * size
    cells = int.from_bytes(data[start + 3 : start + 5], "big")
    data[start + 3 : start + 5] = (cells - 1).to_bytes(2, "big")  # it forgets its last row
    path.write_bytes(data)
    assert "file: " in problems(folder)


def test_of_much_damage_some_is_shown_and_the_rest_is_counted(folder: Path) -> None:
    for number in range(100, 150):
        damage(folder, f"INSERT INTO post VALUES (1, 'lost-{number}', 6)")
    found = look(folder).problems
    assert len(found) == 11
    assert found[-1] == "posts: 40 more"


# Copies


def test_a_backup_is_sound_whole_and_a_log_of_its_own(folder: Path, tmp_path: Path) -> None:
    copy, restored = tmp_path / "copy", tmp_path / "restored"
    log = SqliteLog(folder)
    size = backup(folder, copy)
    old = log.id
    log.close()
    assert copy.stat().st_size == size
    assert copy.stat().st_mode & 0o777 == 0o600
    ids = {old}
    for _ in range(2):  # the same copy put to use again is another log again
        restored.mkdir()
        (restored / FILE).write_bytes(copy.read_bytes())
        log = SqliteLog(restored)
        assert list(log.entries()) == written()
        ids.add(log.id)
        log.close()
        assert look(restored).problems == []
        for file in restored.iterdir():
            file.unlink()
        restored.rmdir()
    assert len(ids) == 3


def test_a_backup_of_a_broken_log_is_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / FILE
    path.write_bytes(_scribbled(path.read_bytes()))
    with pytest.raises(StoreError, match="damaged"):
        backup(folder, tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))


def test_a_backup_replaces_a_file_only_when_told_so(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_text("dear")
    with pytest.raises(StoreError, match="--force"):
        backup(folder, copy)
    assert copy.read_text() == "dear"
    backup(folder, copy, force=True)
    assert copy.read_bytes().startswith(b"SQLite")
    assert copy.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", [FILE, f"{FILE}-wal", "lock", "control", "."])
def test_a_backup_never_replaces_what_the_server_uses(folder: Path, name: str) -> None:
    before = (folder / FILE).read_bytes()
    with pytest.raises(StoreError, match="no backup to"):
        backup(folder, folder / name, force=True)
    assert (folder / FILE).read_bytes() == before


def test_a_backup_into_no_folder_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        backup(folder, tmp_path / "none" / "copy")
    with pytest.raises(StoreError, match="unable to open"):
        backup(tmp_path / "none", tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))
