"""What is older than the operator wants to keep is forgotten, and nobody is misled by that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.errors import StoreError, Trimmed
from selchat.model import events
from selchat.model.entries import Entry
from selchat.store import Log, Query
from selchat.store.memory import MemoryLog
from selchat.store.sqlite import SqliteLog
from tests.unit.bad_disk import BadDisk
from tests.unit.playbook import Stage

KINDS = ("memory", "sqlite")


@pytest.fixture(params=KINDS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    log = make(request.param, tmp_path)
    yield log
    log.close()


def make(kind: str, folder: Path) -> Log:
    return MemoryLog(1_000_000) if kind == "memory" else SqliteLog(folder)


def entry(
    seq: int,
    conversation: str = "#dev",
    users: tuple[int, ...] = (),
    session: int = 1,
    post_id: str | None = None,
) -> Entry:
    fact = events.Message(seq, "2026-01-31T12:00:00.123Z", "#dev", "alice", f"word{seq}")
    return Entry(fact, conversation, users, session, post_id)


def fill(log: Log, *entries: Entry, snapshot: bool = True) -> None:
    for one in entries:
        log.append(one)
    log.commit()
    if snapshot:
        log.save_snapshot(b"{}")


def trim(log: Log, before: int = 0, keep: int = 0, alive: Callable[[int], bool] = bool) -> int:
    """Forget all that is to be forgotten; how many entries that were."""
    return sum(log.trim(before, keep, alive))


def seqs(entries: list[Entry]) -> list[int]:
    return [one.seq for one in entries]


def test_a_commit_that_fails_later_leaves_whole_what_was_divided(tmp_path: Path) -> None:
    """Several messages in one entry came while the places of those before them were filed."""
    log = SqliteLog(tmp_path)
    fill(log, entry(1))
    steps = log.trim(2, 0, bool)
    assert next(steps) == 0
    fact = events.Messages(4, "2026-01-31T12:00:00.123Z", "#dev", "alice", ["a", "b", "c"])
    several = Entry(fact, "#dev", (), 1, None, 1)
    fill(log, several, snapshot=False)
    assert sum(steps) == 1
    disk = BadDisk(log)
    disk.fail("COMMIT")
    log.append(entry(5))
    with pytest.raises(StoreError):
        log.commit()
    disk.heal()
    assert log.conversation("#dev", 1, 10) == several.each()
    log.close()


# What holds for every log


def test_what_is_below_a_seq_goes_and_the_rest_stays(log: Log) -> None:
    fill(log, *(entry(seq) for seq in range(1, 11)), entry(11, "#ops"))
    assert trim(log, before=8) == 7
    assert seqs(log.before("#dev", None, 100)) == [8, 9, 10]
    assert seqs(log.before("#ops", None, 100)) == [11]
    assert seqs(list(log.entries())) == [8, 9, 10, 11]
    assert log.newest == 11
    assert trim(log, before=8) == 0


def test_who_asks_for_what_is_gone_is_told_up_to_where(log: Log) -> None:
    fill(log, *(entry(seq) for seq in range(1, 11)), entry(11, "#ops"))
    trim(log, before=8)
    for after in (0, 6):
        with pytest.raises(Trimmed) as caught:
            log.conversation("#dev", after, 10)
        assert caught.value.seq == 7
    assert seqs(log.conversation("#dev", 7, 10)) == [8, 9, 10]
    assert seqs(log.conversation("#ops", 0, 10)) == [11]
    assert log.conversation("#none", 0, 10) == []


def test_each_conversation_keeps_its_newest(log: Log) -> None:
    fill(log, *(entry(seq, "#ab"[0] + "ab"[seq % 2]) for seq in range(1, 21)), entry(21, "@1:2"))
    assert trim(log, keep=3) == 14
    assert seqs(log.before("#a", None, 100)) == [16, 18, 20]
    assert seqs(log.before("#b", None, 100)) == [15, 17, 19]
    assert seqs(log.before("@1:2", None, 100)) == [21]


def test_what_is_above_the_snapshot_stays_as_a_start_needs_it(log: Log) -> None:
    fill(log, *(entry(seq) for seq in range(1, 6)), snapshot=False)
    assert trim(log, before=100, keep=1) == 0
    log.save_snapshot(b"{}")
    fill(log, *(entry(seq) for seq in range(6, 11)), snapshot=False)
    assert trim(log, before=100) == 5
    assert seqs(list(log.entries())) == [6, 7, 8, 9, 10]


def test_only_whose_own_stream_lost_something_is_told_so(log: Log) -> None:
    fill(log, entry(1, users=(5,)), entry(2, "#ops", (6,)), entry(3, users=(5, 7)), entry(4))
    trim(log, before=2, alive=lambda user: user != 7)
    with pytest.raises(Trimmed) as caught:
        log.personal(5, 0, 10)
    assert caught.value.seq == 1
    assert seqs(log.personal(5, 1, 10)) == [3]
    assert seqs(log.personal(6, 0, 10)) == [2]
    assert seqs(log.personal(7, 0, 10)) == [3]
    trim(log, before=4, alive=lambda user: user != 7)
    with pytest.raises(Trimmed) as caught:
        log.personal(5, 2, 10)
    assert caught.value.seq == 3
    assert log.personal(7, 0, 10) == []  # nobody can ask for that stream any more


def test_a_post_that_is_gone_is_known_to_have_been_there(log: Log) -> None:
    fill(log, entry(1, post_id="a"), entry(2, post_id="b"))
    trim(log, before=2)
    with pytest.raises(Trimmed) as caught:
        log.find_post(1, "a")
    assert caught.value.seq == 1
    found = log.find_post(1, "b")
    assert found is not None
    assert found.seq == 2
    assert log.find_post(1, "c") is None


def test_search_finds_what_is_left(log: Log) -> None:
    fill(log, *(entry(seq) for seq in range(1, 6)))
    words = [Query((f"word{seq}",), ("#dev",), None, None, 0, 100, 10) for seq in range(1, 6)]
    assert [seqs(log.search(query)) for query in words] == [[1], [2], [3], [4], [5]]
    trim(log, before=4)
    assert [seqs(log.search(query)) for query in words] == [[], [], [], [4], [5]]


def test_what_goes_on_between_the_steps_is_kept(log: Log) -> None:
    fill(log, *(entry(seq) for seq in range(1, 1_301)))
    last = log.newest
    for _ in log.trim(1_300, 0, bool):
        last += 1
        fill(log, entry(last, post_id=str(last)), snapshot=False)
    assert seqs(list(log.entries())) == list(range(1_300, last + 1))


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["", "#a", "#b", "@1:2"]),
            st.sampled_from([(), (1,), (1, 2)]),
            st.booleans(),  # a snapshot behind it
        ),
        max_size=40,
    ),
    rounds=st.lists(st.tuples(st.integers(0, 45), st.integers(0, 12)), max_size=3),
)
@pytest.mark.parametrize("kind", KINDS)
def test_it_forgets_as_a_plain_list_would(
    kind: str, steps: list[tuple[str, tuple[int, ...], bool]], rounds: list[tuple[int, int]]
) -> None:
    with TemporaryDirectory() as folder:
        log = make(kind, Path(folder))
        plain: list[Entry] = []
        last = 0
        for seq, (conversation, users, saved) in enumerate(steps, 1):
            plain.append(entry(seq, conversation, users, post_id=str(seq)))
            fill(log, plain[-1], snapshot=saved)
            last = seq if saved else last
        whole = plain
        for before, keep in rounds:
            trim(log, before, keep)
            plain = [
                one
                for one in plain
                if one.seq > last or (one.seq >= before and (not keep or newer(plain, one) < keep))
            ]
        assert list(log.entries()) == plain
        gone = [one for one in whole if one not in plain]
        for user in (1, 2):
            trimmed = max((one.seq for one in gone if user in one.users), default=0)
            own = [one for one in plain if user in one.users and one.seq > trimmed]
            assert log.personal(user, trimmed, 100) == own
            if trimmed:
                with pytest.raises(Trimmed):
                    log.personal(user, trimmed - 1, 100)
        for name in ("#a", "#b", "@1:2"):
            assert log.before(name, None, 100) == [e for e in plain if e.conversation == name]
            trimmed = max((one.seq for one in gone if one.conversation == name), default=0)
            if trimmed:
                with pytest.raises(Trimmed):
                    log.conversation(name, trimmed - 1, 100)
        log.close()


def newer(entries: list[Entry], one: Entry) -> int:
    """How many of its conversation are newer."""
    return sum(e.conversation == one.conversation and e.seq > one.seq for e in entries)


# On disk


def test_it_is_as_it_was_after_a_restart(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    fill(log, *(entry(seq, users=(5,), post_id=str(seq)) for seq in range(1, 11)))
    trim(log, before=8)
    log.close()
    log = SqliteLog(tmp_path)
    with pytest.raises(Trimmed):
        log.conversation("#dev", 6, 9)
    with pytest.raises(Trimmed):
        log.personal(5, 6, 9)
    with pytest.raises(Trimmed):
        log.find_post(1, "7")
    assert seqs(log.personal(5, 7, 9)) == [8, 9, 10]
    log.close()


def test_an_id_goes_with_its_session(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    gone = events.Gone(3, "2026-01-31T12:00:00.123Z", for_good=True)
    fill(log, entry(1, post_id="a"), entry(2))
    trim(log, before=2)
    fill(log, Entry(gone, "", (), 1))
    assert log.find_post(1, "a") is None
    log.close()


def test_a_step_is_small_however_much_there_is_to_forget(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    fill(log, *(entry(seq) for seq in range(1, 5_001)))
    forgotten = list(log.trim(0, 10, bool))
    assert sum(forgotten) == 4_990
    assert max(forgotten) <= 500
    log.close()


# In the server


def patient(**settings: Any) -> Stage:
    """A server that waits for who is away, since a round comes once an hour."""
    return Stage(**settings, ping_after=1e6, grace=1e6, token_lifetime=1e6)


def told(stage: Stage, name: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in stage.get(name)]


def token(stage: Stage, name: str, room: str = "dev") -> str:
    """Log in and enter a room; the token."""
    stage.say(name, {"type": "hello", "user": name}, {"type": "join", "room": room})
    return str(told(stage, name)[0]["token"])


def resume(stage: Stage, name: str, user: str, secret: str, after: int) -> list[dict[str, Any]]:
    hello = {"type": "hello", "user": user, "token": secret, "after": after, "log": "log"}
    stage.say(name, hello)
    return told(stage, name)


def chat(stage: Stage, name: str, count: int, room: str = "dev") -> None:
    for number in range(count):
        stage.say(name, {"type": "post", "id": f"p{number}", "to": f"#{room}", "text": "hi"})
    stage.settle()


def ids(stage: Stage, room: str = "dev") -> list[str | None]:
    return [
        one.post_id
        for one in stage.log.before(f"#{room}", None, 1_000)
        if isinstance(one.fact, events.Message)
    ]


def test_a_room_keeps_its_newest_entries() -> None:
    stage = patient(retention_entries=3)
    token(stage, "alice")
    chat(stage, "alice", 10)
    stage.advance(3_602)
    assert ids(stage) == ["p7", "p8", "p9"]
    chat(stage, "alice", 3)  # the same ids
    stage.advance(3_602)
    assert ids(stage) == ["p7", "p8", "p9"]


def test_without_the_settings_nothing_is_forgotten() -> None:
    stage = Stage()
    token(stage, "alice")
    chat(stage, "alice", 10)
    stage.advance(10_000)
    assert len(ids(stage)) == 10


def test_entries_are_forgotten_when_they_are_too_old() -> None:
    stage = patient(retention_days=0.5)
    token(stage, "alice")
    chat(stage, "alice", 2)
    stage.advance(30_000)
    chat(stage, "alice", 4)
    stage.advance(10_000)
    assert ids(stage) == ["p0", "p1", "p2", "p3"]
    stage.advance(7_000)
    assert ids(stage) == ["p2", "p3"]


def test_a_repeated_post_is_not_posted_twice_when_the_first_is_forgotten() -> None:
    stage = patient(retention_entries=2)
    token(stage, "alice")
    chat(stage, "alice", 1)
    first = told(stage, "alice")[-1]
    chat(stage, "alice", 5)
    stage.advance(3_602)
    assert ids(stage) == ["p3", "p4"]
    told(stage, "alice")
    chat(stage, "alice", 1)
    assert told(stage, "alice") == [{"type": "ok", "id": "p0", "seq": first["seq"]}]
    assert ids(stage) == ["p3", "p4"]


def test_who_missed_what_is_forgotten_has_to_begin_anew() -> None:
    stage = patient(retention_entries=2)
    token(stage, "alice")
    secret = token(stage, "bob")
    seen = stage.log.newest
    stage.clients["bob"].end("reset")
    chat(stage, "alice", 5)
    stage.advance(3_602)
    (answer,) = resume(stage, "bob2", "bob", secret, seen)
    assert answer["code"] == "session-expired"


def test_who_missed_nothing_comes_back_though_others_said_much() -> None:
    stage = patient(retention_entries=2)
    token(stage, "alice")
    secret = token(stage, "bob", "quiet")
    seen = stage.log.newest
    stage.clients["bob"].end("reset")
    chat(stage, "alice", 5)
    stage.advance(3_602)
    assert ids(stage) == ["p3", "p4"]
    (welcome,) = resume(stage, "bob2", "bob", secret, seen)
    assert (welcome["type"], welcome["rooms"]) == ("welcome", ["quiet"])


def test_history_begins_where_the_log_does() -> None:
    stage = patient(retention_entries=2)
    token(stage, "alice")
    chat(stage, "alice", 5)
    stage.advance(3_602)
    told(stage, "alice")
    for question in ({"after": 0}, {}):
        stage.say("alice", {"type": "history", "id": "h", "of": "#dev", **question})
        (page,) = told(stage, "alice")
        assert (len(page["entries"]), page["more"]) == (2, False)
