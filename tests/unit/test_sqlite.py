"""The log on disk: what survives, what a failed commit leaves, and files that cannot be used."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from selchat.errors import StartError, StoreError
from selchat.model import events
from selchat.model.entries import Entry
from selchat.store import search
from selchat.store.database import FILE
from selchat.store.schema import MIGRATIONS
from selchat.store.sqlite import SqliteLog
from tests.unit.bad_disk import BROKEN, CORRUPT, FULL, READ_ONLY, UNREADABLE, BadDisk
from tests.unit.test_store import entry, fill, seqs

Open = Callable[..., SqliteLog]

AT = "2026-01-31T12:00:00.123Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def open_log(folder: Path) -> Iterator[Open]:
    """Open the log in a folder (`folder` unless told); it is closed when the test ends."""
    with ExitStack() as logs:

        def open_log(where: Path = folder, *, full: bool = True) -> SqliteLog:
            log = SqliteLog(where, full=full)
            logs.callback(log.close)
            return log

        yield open_log


def crashed(log: SqliteLog, folder: Path, copy: Path) -> Path:
    """What a process that was killed would leave: a copy of the files as they are now."""
    copy.mkdir(mode=0o700)
    for name in (FILE, FILE + "-wal"):
        shutil.copy(folder / name, copy / name)
    return copy


def conversations(folder: Path) -> list[str]:
    with sqlite3.connect(folder / FILE) as db:
        found = [row[0] for row in db.execute("SELECT name FROM conversation ORDER BY name")]
    db.close()
    return found


# What survives


def test_all_is_there_after_closing(open_log: Open) -> None:
    log = open_log()
    written = [entry(seq, users=(seq,), session=7, post_id=str(seq)) for seq in (2, 4, 6)]
    fill(log, *written)
    log.save_snapshot(b"state")
    identity = log.id
    log.close()
    again = open_log()
    assert list(again.entries()) == written
    assert (again.id, again.newest) == (identity, 6)
    assert again.snapshot() == (6, b"state")
    assert again.find_post(7, "4") == written[1]
    with pytest.raises(ValueError, match="entry 6 comes after entry 6"):
        again.append(entry(6))
    fill(again, entry(7))
    assert again.newest == 7


@pytest.mark.parametrize("full", [True, False])
def test_all_that_was_committed_is_there_after_a_crash_and_nothing_else(
    open_log: Open, folder: Path, tmp_path: Path, full: bool
) -> None:
    log = open_log(full=full)
    fill(log, entry(1), entry(2))
    fill(log, entry(3, session=7, post_id="a"))
    log.append(entry(4, conversation="#new", session=7, post_id="b"))
    assert seqs(log.conversation("#new", 0, 10)) == [4]  # it is in the open transaction
    again = open_log(crashed(log, folder, tmp_path / "copy"))
    assert seqs(list(again.entries())) == [1, 2, 3]
    assert again.newest == 3
    assert again.find_post(7, "a") is not None
    assert again.find_post(7, "b") is None
    fill(again, entry(4, conversation="#other"))
    assert seqs(again.conversation("#other", 0, 10)) == [4]


def test_a_torn_write_takes_nothing_with_it(open_log: Open, folder: Path, tmp_path: Path) -> None:
    log = open_log()
    fill(log, entry(1))
    size = (folder / (FILE + "-wal")).stat().st_size
    fill(log, *(entry(seq) for seq in range(2, 60)))
    copy = crashed(log, folder, tmp_path / "copy")
    torn = copy / (FILE + "-wal")
    os.truncate(torn, (size + torn.stat().st_size) // 2)
    again = open_log(copy)
    assert seqs(list(again.entries())) == [1]
    fill(again, entry(2))


def test_the_write_ahead_log_goes_into_the_file_in_idle_moments(
    open_log: Open, folder: Path, tmp_path: Path
) -> None:
    log = open_log(full=False)
    wal = folder / (FILE + "-wal")
    seq = 0
    while wal.stat().st_size < 6 * 2**20:
        fill(log, *(entry(seq + n) for n in range(1, 501)))
        seq += 500
    while log.tidy(idle=True):
        pass
    fill(log, *(entry(seq + n) for n in range(1, 501)))
    assert wal.stat().st_size <= 5 * 2**20, "it is written from its beginning again"
    assert len(list(log.entries())) == seq + 500
    again = open_log(crashed(log, folder, tmp_path / "copy"))
    assert len(list(again.entries())) == seq + 500


def test_the_index_is_filled_and_merged_in_small_steps(open_log: Open, folder: Path) -> None:
    log = open_log(full=False)
    db = log._db
    parts = "SELECT count(DISTINCT segid) FROM search_idx"
    fill(log, *(entry(seq) for seq in range(1, 5_001)))
    steps, left, most = 0, search.unindexed(db), 0
    while left > 50:
        more = log.tidy(idle=False)
        done, left = left - search.unindexed(db), search.unindexed(db)
        assert done in (0, 50)
        assert more is (left > 50)
        most = max(most, *db.execute(parts).fetchone())
        steps += 1
    assert steps < 110, "few were for a checkpoint"
    assert most < 16, "at 16 of a kind FTS5 merges them all at once"
    assert not log.tidy(idle=False), "the rest can wait for an idle moment"
    assert search.unindexed(db) == left
    while log.tidy(idle=True):
        steps += 1
        assert steps < 500
    assert search.unindexed(db) == 0


def places(log: SqliteLog) -> tuple[int, int]:
    """How many places are in the table, and up to which entry that is to be believed."""
    (count,) = log._db.execute("SELECT count(*) FROM place").fetchone()
    (filed,) = log._db.execute("SELECT value FROM meta WHERE key = 'filed'").fetchone()
    return count, int(filed)


def many(first: int, count: int) -> list[Entry]:
    """Direct messages between ten users, each with the next."""
    return [
        entry(seq, f"@{seq % 10}:{seq % 10 + 1}", (seq % 10 + 1, seq % 10 + 2))
        for seq in range(first, first + count)
    ]


def tidy_up(log: SqliteLog) -> None:
    while log.tidy(idle=True):
        pass


def expect_all(log: SqliteLog, written: list[Entry]) -> None:
    for key in range(10):
        name = f"@{key}:{key + 1}"
        of = [one for one in written if one.conversation == name]
        assert log.before(name, None, 10_000) == log.conversation(name, 0, 10_000) == of
        assert log.before(name, 500, 7) == [one for one in of if one.seq < 500][-7:]
        own = [one for one in written if key in one.users]
        assert log.personal(key, 0, 10_000) == own
        assert log.personal(key, 700, 9) == [one for one in own if one.seq > 700][:9]


def test_places_are_filed_in_slices_and_all_is_found_meanwhile(
    open_log: Open, folder: Path, tmp_path: Path
) -> None:
    log = open_log(full=False)
    written = many(1, 1_000)
    fill(log, *written)
    assert places(log) == (0, 0)
    log.tidy(idle=False)
    assert places(log) == (0, 0), "there are too few to begin with while others wait"
    log.tidy(idle=True)
    count, filed = places(log)
    assert (0 < count < 3_000, filed) == (True, 0), "a slice, which is not asked for yet"
    more = many(1_001, 50)
    fill(log, *more)
    written += more
    expect_all(log, written)
    again = open_log(crashed(log, folder, tmp_path / "copy"))
    assert places(again) == (count, 0)
    expect_all(again, written)
    for each in (log, again):
        steps = 0
        while each.tidy(idle=True):
            steps += 1
            expect_all(each, written)
        assert 3 < steps < 100
        assert places(each) == (3_150, 1_050)
        expect_all(each, written)
        more = many(1_051, 5)
        fill(each, *more)
        expect_all(each, written + more)


def test_many_that_are_not_filed_do_not_wait_for_an_idle_moment(open_log: Open) -> None:
    log = open_log(full=False)
    written = many(1, 10_000)
    fill(log, *written)
    steps = 0
    while places(log)[1] == 0:
        log.tidy(idle=False)
        steps += 1
        assert steps < 100
    assert steps > 20
    assert places(log) == (30_000, 10_000)


def test_filing_that_fails_harms_nothing_and_is_done_later(open_log: Open) -> None:
    log = open_log(full=False)
    written = many(1, 1_000)
    fill(log, *written)
    log.tidy(idle=True)
    disk = BadDisk(log)
    for failing in ("INSERT OR IGNORE INTO place", "COMMIT", "UPDATE meta", "BEGIN"):
        disk.fail(failing)
        with pytest.raises(StoreError):
            tidy_up(log)
        disk.heal()
        expect_all(log, written)
        fill(log, *(more := many(len(written) + 1, 10)))
        written += more
    tidy_up(log)
    assert places(log) == (3 * len(written), len(written))
    expect_all(log, written)


def test_what_was_split_in_a_commit_that_failed_is_whole_again(open_log: Open) -> None:
    log = open_log(full=False)
    fact = events.Messages(5, AT, "#dev", "alice", ["one", "two", "three"])
    several = Entry(fact, "#dev", (1, 2), 7, None, 1)
    fill(log, several)
    disk = BadDisk(log)
    disk.fail("COMMIT")
    log.append(Entry(events.Deleted(6, AT, "#dev", 4, "alice", "alice"), "#dev", (1,), 7, None, 1))
    with pytest.raises(StoreError):
        log.commit()
    disk.heal()
    fill(log, entry(6))
    tidy_up(log)
    assert log.conversation("#dev", 0, 10) == [*several.each(), entry(6)]
    assert log.personal(2, 0, 10) == several.each()
    assert places(log) == (4, 6)


def test_an_index_that_merges_by_itself_does_so_no_longer(open_log: Open, folder: Path) -> None:
    open_log().close()
    with closing(sqlite3.connect(folder / FILE)) as db:
        db.execute("INSERT INTO search (search, rank) VALUES ('automerge', 4)")
        db.commit()
    log = open_log()
    config = "SELECT v FROM search_config WHERE k = 'automerge'"
    assert log._db.execute(config).fetchone() == (0,)


def test_the_posts_of_a_session_are_remembered_until_it_is_gone_for_good(
    open_log: Open, folder: Path
) -> None:
    log = open_log()
    fill(log, *(entry(n, session=n, post_id="a") for n in (1, 2, 3)))
    fill(log, Entry(events.Gone(4, AT, for_good=False), "", (), 1))
    fill(log, Entry(events.Gone(5, AT, for_good=True), "", (), 2))
    for _ in range(2):
        assert log.find_post(1, "a") is not None
        assert log.find_post(2, "a") is None
        assert log.find_post(3, "a") is not None
        assert seqs(list(log.entries())) == [1, 2, 3, 4, 5]
        log.close()
        log = open_log()


# A commit that fails


@pytest.fixture
def log(open_log: Open) -> SqliteLog:
    """With entries 1 and 2 in #dev."""
    log = open_log()
    fill(log, entry(1), entry(2, users=(5,), session=5, post_id="old"))
    return log


def expect_only_the_old(log: SqliteLog) -> None:
    assert log.newest == 2
    assert seqs(list(log.entries())) == [1, 2]
    assert seqs(log.conversation("#dev", 0, 10)) == [1, 2]
    assert log.conversation("#new", 0, 10) == []
    assert seqs(log.before("#dev", None, 10)) == [1, 2]
    assert seqs(log.personal(5, 0, 10)) == [2]
    assert log.find_post(5, "new") is None
    assert log.find_post(5, "old") is not None


@pytest.mark.parametrize("asked", [False, True], ids=["", "asked-before"])
@pytest.mark.parametrize("undoes", [False, True], ids=["", "undone-by-sqlite"])
@pytest.mark.parametrize(
    ("failing", "after"),
    [
        ("BEGIN", 0),
        ("INSERT OR IGNORE INTO conversation", 0),
        ("INSERT INTO entry", 0),
        ("INSERT INTO entry", 1),
        ("INSERT INTO post", 0),
        ("DELETE FROM post", 0),
        ("COMMIT", 0),
    ],
)
def test_of_a_commit_that_failed_nothing_is_left(
    log: SqliteLog, folder: Path, failing: str, after: int, undoes: bool, asked: bool
) -> None:
    disk = BadDisk(log)
    disk.fail(failing, after=after, undoes=undoes)
    tick = [
        entry(3, users=(5,), session=5, post_id="new"),
        entry(4, conversation="#new", users=(5,), session=5, post_id="newer"),
        Entry(events.Gone(5, AT, for_good=True), "", (), 5),
    ]
    for one in tick:
        log.append(one)
        if asked:
            with suppress(StoreError):
                log.personal(5, 0, 10)
    with pytest.raises(StoreError, match="the disk reports an error"):
        log.commit()
    assert disk.failed
    disk.heal()
    expect_only_the_old(log)
    log.commit()  # there is nothing left to be tried again
    expect_only_the_old(log)
    assert log.stats.failed == 1
    assert conversations(folder) == ["", "#dev"]

    assert log.probe()
    again = [entry(3, conversation="#other"), *(entry(n, "#new") for n in (4, 5))]
    fill(log, *again)
    assert log.conversation("#new", 0, 10) == again[1:]
    assert log.conversation("#other", 0, 10) == again[:1]
    assert seqs(list(log.entries())) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("question", ["SELECT seq FROM trimmed", "SELECT fact"])
def test_what_sqlite_has_undone_in_a_question_is_not_half_committed(
    log: SqliteLog, question: str
) -> None:
    """An error while reading undoes the open transaction as well."""
    disk = BadDisk(log)
    log.append(entry(3))
    assert seqs(log.conversation("#dev", 0, 10)) == [1, 2, 3]  # it is in the open transaction
    disk.fail(question, error=UNREADABLE)
    with pytest.raises(StoreError):
        log.personal(5, 0, 10)
    disk.heal()
    log.append(entry(4))
    with pytest.raises(StoreError):
        log.commit()
    expect_only_the_old(log)


def test_a_question_that_fails_and_undoes_nothing_harms_nobody(log: SqliteLog) -> None:
    disk = BadDisk(log)
    log.append(entry(3))
    assert seqs(log.personal(5, 0, 10)) == [2]
    disk.fail("SELECT", error=CORRUPT, undoes=False)
    with pytest.raises(StoreError, match="the log is damaged"):
        log.find_post(5, "old")
    disk.heal()
    log.append(entry(4))
    log.commit()
    assert seqs(list(log.entries())) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FULL, "the disk is full: free some space"),
        (BROKEN, "the disk reports an error (disk I/O error): check it"),
        (READ_ONLY, "the log may not be written: check its owner, its mode and its file system"),
        (CORRUPT, "the log is damaged: stop the server and restore a backup"),
    ],
)
def test_what_is_wrong_is_said_for_a_person(
    log: SqliteLog, error: tuple[str, str], text: str
) -> None:
    disk = BadDisk(log)
    disk.fail_writing(error)
    log.append(entry(3))
    with pytest.raises(StoreError) as caught:
        log.commit()
    assert str(caught.value) == text
    assert not log.probe()
    with pytest.raises(StoreError):
        log.save_snapshot(b"state")
    assert seqs(log.conversation("#dev", 0, 10)) == [1, 2]
    disk.heal()
    assert log.probe()
    log.save_snapshot(b"state")
    assert log.snapshot() == (2, b"state")


# Who may use a folder


def test_the_second_is_told_who_holds_the_folder(log: SqliteLog, folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from selchat.store.sqlite import SqliteLog\n"
        "try: SqliteLog(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    second = subprocess.run(
        (sys.executable, "-c", program, str(folder)),
        capture_output=True,
        encoding="utf-8",
        check=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert second.stdout == (
        f"StartError the data folder {folder} is held by process {os.getpid()}: "
        "stop that one, or choose another folder with --data\n"
    )
    fill(log, entry(3))


def test_a_folder_is_free_again_after_the_end(open_log: Open) -> None:
    open_log().close()
    log = open_log()
    with pytest.raises(StartError, match=f"process {os.getpid()}"):
        open_log()
    fill(log, entry(1))
    log.close()
    assert seqs(list(open_log().entries())) == [1]


def test_nobody_else_can_read_what_it_makes(open_log: Open, folder: Path) -> None:
    before = os.umask(0)
    try:
        log = open_log(folder / "deeper")
        fill(log, entry(1))
    finally:
        os.umask(before)
    made = folder / "deeper"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()}
    assert {FILE, FILE + "-wal", FILE + "-shm"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_a_folder_that_is_a_file_is_refused(open_log: Open, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("something")
    with pytest.raises(StartError, match=r"cannot be used \(File exists\): choose another with"):
        open_log()
    with pytest.raises(StartError, match=r"cannot be used \(Not a directory\)"):
        open_log(tmp_path / "data" / "below")


# Files that cannot be used


def damage(folder: Path, sql: str) -> None:
    db = sqlite3.connect(folder / FILE, isolation_level=None)
    db.execute(sql)
    db.close()


def refused(open_log: Open, folder: Path) -> str:
    """Why the log is refused; the file stays as it was, and the folder is free again."""
    before = (folder / FILE).read_bytes()
    with pytest.raises(StartError) as caught:
        open_log()
    assert (folder / FILE).read_bytes() == before
    with pytest.raises(StartError) as again:
        open_log()
    assert str(again.value) == str(caught.value)
    return str(caught.value)


def test_a_log_of_a_newer_version_is_left_alone(open_log: Open, folder: Path) -> None:
    open_log().close()
    newer = len(MIGRATIONS) + 1
    damage(folder, f"PRAGMA user_version = {newer}")
    assert refused(open_log, folder) == (
        f"the log was written by a newer selchat (its version is {newer}, "
        f"this one knows {newer - 1}): start that one"
    )


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"\0" * 8192])
def test_a_file_that_is_no_log_is_left_alone(open_log: Open, folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / FILE).write_bytes(content)
    assert refused(open_log, folder) == (
        f"the log {folder / FILE} cannot be used: the log is damaged: "
        "stop the server and restore a backup"
    )


def test_a_damaged_file_is_refused_or_says_so_where_it_is_read(
    open_log: Open, folder: Path
) -> None:
    log = open_log()
    fill(log, *(entry(seq, users=(5,)) for seq in range(1, 2_001)))
    log.close()
    path = folder / FILE
    content = bytearray(path.read_bytes())
    page = 4096
    for start in range(2 * page, len(content), page):
        content[start : start + page // 2] = b"\xff" * (page // 2)
    path.write_bytes(content)
    with pytest.raises((StartError, StoreError), match="the log is damaged"):
        list(open_log().entries())


def test_a_damaged_entry_is_an_error_of_the_log(open_log: Open, folder: Path) -> None:
    log = open_log()
    fill(log, entry(1), entry(2), entry(3))
    log.close()
    damage(folder, 'UPDATE entry SET fact = \'{"type":"mess\' WHERE seq = 2')
    log = open_log()
    with pytest.raises(StoreError, match="the log is damaged: stop the server and restore"):
        log.conversation("#dev", 0, 10)
    assert seqs(log.conversation("#dev", 2, 10)) == [3]
    fill(log, entry(4))
