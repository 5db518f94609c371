"""One suite for every `Log` (selchat/store), and what is particular to the one in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.errors import Trimmed
from selchat.model import events
from selchat.model.entries import Entry, pair, room
from selchat.store import Log
from selchat.store.memory import MemoryLog
from selchat.store.sqlite import SqliteLog

MakeLog = Callable[[], Log]


@contextmanager
def in_memory() -> Iterator[Log]:
    yield MemoryLog(1_000_000)


@contextmanager
def on_disk() -> Iterator[Log]:
    with TemporaryDirectory() as folder:
        log = SqliteLog(Path(folder))
        try:
            yield log
        finally:
            log.close()


IMPLEMENTATIONS = {"memory": in_memory, "sqlite": on_disk}
"""Each makes an empty log that forgets nothing."""


@pytest.fixture(params=IMPLEMENTATIONS)
def make_log(request: pytest.FixtureRequest) -> Iterator[MakeLog]:
    with ExitStack() as logs:
        yield lambda: logs.enter_context(IMPLEMENTATIONS[request.param]())


@pytest.fixture
def log(make_log: MakeLog) -> Log:
    return make_log()


def entry(
    seq: int,
    conversation: str = "#dev",
    users: tuple[int, ...] = (),
    session: int = 1,
    post_id: str | None = None,
) -> Entry:
    fact = events.Message(seq, "2026-01-31T12:00:00.123Z", "#dev", "alice", f"text {seq}")
    return Entry(fact, conversation, users, session, post_id)


def fill(log: Log, *entries: Entry) -> None:
    for one in entries:
        log.append(one)
    log.commit()


def seqs(entries: list[Entry]) -> list[int]:
    return [one.seq for one in entries]


# What holds for every log


def test_an_empty_log_has_nothing(log: Log) -> None:
    assert log.newest == 0
    assert log.conversation("#dev", 0, 10) == []
    assert log.before("#dev", None, 10) == []
    assert log.personal(1, 0, 10) == []
    assert log.find_post(1, "a") is None
    assert list(log.entries()) == []


def test_two_logs_are_told_apart_by_their_ids(make_log: MakeLog) -> None:
    ids = {make_log().id for _ in range(10)}
    assert len(ids) == 10
    assert all(ids)


def test_newest_is_the_last_seq_appended_and_seqs_may_have_gaps(log: Log) -> None:
    log.append(entry(1))
    assert log.newest == 1
    log.append(entry(7))
    assert log.newest == 7
    log.commit()
    assert log.newest == 7
    assert seqs(log.conversation("#dev", 0, 10)) == [1, 7]


def test_what_is_appended_is_readable_before_the_commit(log: Log) -> None:
    log.append(entry(1, users=(5,), session=5, post_id="a"))
    assert seqs(log.conversation("#dev", 0, 10)) == [1]
    assert seqs(log.before("#dev", None, 10)) == [1]
    assert seqs(log.personal(5, 0, 10)) == [1]
    assert seqs(list(log.entries())) == [1]
    found = log.find_post(5, "a")
    assert found is not None
    assert found.seq == 1


def test_a_read_spans_the_committed_and_what_is_not(log: Log) -> None:
    fill(log, entry(1), entry(2))
    log.append(entry(3))
    assert seqs(log.conversation("#dev", 0, 10)) == [1, 2, 3]
    assert seqs(log.conversation("#dev", 1, 1)) == [2]
    assert seqs(log.before("#dev", None, 2)) == [2, 3]
    assert seqs(log.before("#dev", 3, 2)) == [1, 2]
    assert seqs(list(log.entries(1))) == [2, 3]


@pytest.mark.parametrize("seq", [1, 3])
def test_an_entry_that_is_not_above_all_others_is_not_taken(log: Log, seq: int) -> None:
    fill(log, entry(3))
    with pytest.raises(ValueError, match=r"\b3\b"):
        log.append(entry(seq))
    assert seqs(list(log.entries())) == [3]


def test_every_kind_of_fact_comes_back_as_it_was(log: Log) -> None:
    at = "2026-01-31T12:00:00.123Z"
    facts: list[events.AnyFact] = [
        events.Opened(1, at, "alice", "f00"),
        events.Opened(2, at, "bob", None),
        events.Joined(3, at, "dev", "alice"),
        events.Message(4, at, "#dev", "alice", "two\nlines ☃ 𠀀", action=True),
        events.Topic(5, at, "dev", "alice", ""),
        events.Renamed(6, at, "dev", "alice", "Alicia"),
        events.Renamed(7, at, None, "bob", "rob"),
        events.Left(8, at, "dev", "Alicia", "lost connection"),
        events.Gone(9, at, for_good=False),
        events.Returned(10, at, "alice"),
    ]
    written = [Entry(fact, "#dev", (1, 2), 1, str(fact.seq)) for fact in facts]
    fill(log, *written)
    assert list(log.entries()) == written
    assert log.conversation("#dev", 0, 100) == written
    assert log.before("#dev", None, 100) == written
    assert log.personal(2, 0, 100) == written
    assert [log.find_post(1, str(one.seq)) for one in written] == written


def test_an_entry_without_conversation_is_found_by_its_users_alone(log: Log) -> None:
    fill(log, entry(1, conversation="", users=(5,)), entry(2, conversation=""))
    assert seqs(log.personal(5, 0, 10)) == [1]
    assert log.conversation("", 0, 10) == []
    assert log.before("", None, 10) == []
    assert seqs(list(log.entries())) == [1, 2]


def test_conversations_and_people_are_kept_apart(log: Log) -> None:
    fill(
        log,
        entry(1, room("dev")),
        entry(2, room("ops")),
        entry(3, pair(1, 2), users=(1, 2)),
        entry(4, pair(2, 11), users=(2, 11)),
        entry(5, room("dev"), users=(1,)),
        entry(6, room("1"), users=()),
    )
    assert seqs(log.conversation("#dev", 0, 10)) == [1, 5]
    assert seqs(log.conversation("#ops", 0, 10)) == [2]
    assert seqs(log.conversation("#1", 0, 10)) == [6]
    assert seqs(log.conversation(pair(2, 1), 0, 10)) == [3]
    assert seqs(log.personal(1, 0, 10)) == [3, 5]
    assert seqs(log.personal(2, 0, 10)) == [3, 4]
    assert seqs(log.personal(11, 0, 10)) == [4]
    assert log.personal(3, 0, 10) == []


def test_pages_forwards_and_backwards(log: Log) -> None:
    fill(log, *(entry(seq) for seq in range(2, 22, 2)))
    assert seqs(log.conversation("#dev", 0, 3)) == [2, 4, 6]
    assert seqs(log.conversation("#dev", 6, 3)) == [8, 10, 12]
    assert seqs(log.conversation("#dev", 7, 3)) == [8, 10, 12]
    assert seqs(log.conversation("#dev", 18, 3)) == [20]
    assert seqs(log.conversation("#dev", 20, 3)) == []
    assert seqs(log.conversation("#dev", 2**63 - 1, 3)) == []
    assert seqs(log.before("#dev", None, 3)) == [16, 18, 20]
    assert seqs(log.before("#dev", 16, 3)) == [10, 12, 14]
    assert seqs(log.before("#dev", 15, 3)) == [10, 12, 14]
    assert seqs(log.before("#dev", 4, 3)) == [2]
    assert seqs(log.before("#dev", 2, 3)) == []
    assert seqs(log.before("#dev", 0, 3)) == []
    assert seqs(log.before("#dev", 2**63 - 1, 1)) == [20]


def test_a_post_is_found_by_its_session_and_id_together(log: Log) -> None:
    fill(
        log,
        entry(1, session=1, post_id="a"),
        entry(2, session=2, post_id="a"),
        entry(3, session=1, post_id="b"),
        entry(4, session=1, post_id=""),
        entry(5, session=1),
    )
    found = [log.find_post(*key) for key in [(1, "a"), (2, "a"), (1, "b"), (1, "")]]
    assert [one and one.seq for one in found] == [1, 2, 3, 4]
    assert log.find_post(2, "b") is None
    assert log.find_post(3, "a") is None


written = st.lists(
    st.tuples(
        st.integers(1, 3),  # how far above the last seq
        st.sampled_from(["", "#a", "#b", "@1:2"]),
        st.sampled_from([(), (1,), (2,), (1, 2)]),
        st.integers(0, 2),  # session
        st.sampled_from([None, "x", "y"]),
        st.booleans(),  # commit behind it
    ),
    max_size=60,
)


@given(
    steps=written,
    name=st.sampled_from(["#a", "#b", "@1:2", "#none"]),
    user=st.integers(1, 3),
    seq=st.integers(0, 200),
    limit=st.integers(1, 70),
)
@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
def test_it_reads_as_a_plain_list_would(
    kind: str,
    steps: list[tuple[int, str, tuple[int, ...], int, str | None, bool]],
    name: str,
    user: int,
    seq: int,
    limit: int,
) -> None:
    with IMPLEMENTATIONS[kind]() as log:
        plain: list[Entry] = []
        used: set[tuple[int, str | None]] = set()
        last = 0
        for step, conversation, users, session, post_id, commit in steps:
            last += step
            given_id = None if (session, post_id) in used else post_id  # the hub never repeats one
            used.add((session, given_id))
            plain.append(entry(last, conversation, users, session, given_id))
            log.append(plain[-1])
            if commit:
                log.commit()

        of = [one for one in plain if one.conversation == name]
        assert log.newest == last
        assert log.conversation(name, seq, limit) == [one for one in of if one.seq > seq][:limit]
        assert log.before(name, seq, limit) == [one for one in of if one.seq < seq][-limit:]
        assert log.before(name, None, limit) == of[-limit:]
        own = [one for one in plain if user in one.users and one.seq > seq]
        assert log.personal(user, seq, limit) == own[:limit]
        assert list(log.entries(seq)) == [one for one in plain if one.seq > seq]
        for one in plain:
            if one.post_id is not None:
                assert log.find_post(one.session, one.post_id) == one


# The log in memory


def test_memory_forgets_the_oldest_above_its_capacity() -> None:
    log = MemoryLog(3)
    fill(log, *(entry(seq) for seq in (2, 4, 6)))
    assert log.trimmed == 0
    log.append(entry(8))
    assert (log.trimmed, log.newest) == (2, 8)
    assert seqs(list(log.entries())) == [4, 6, 8]
    assert seqs(log.before("#dev", None, 10)) == [4, 6, 8]
    assert seqs(log.before("#dev", 6, 10)) == [4]


def test_memory_says_so_where_something_above_was_forgotten() -> None:
    log = MemoryLog(3)
    fill(log, *(entry(seq, users=(5,)) for seq in (2, 4, 6, 8, 10)))
    assert log.trimmed == 4
    assert seqs(log.conversation("#dev", 4, 10)) == [6, 8, 10]
    assert seqs(log.personal(5, 4, 10)) == [6, 8, 10]
    with pytest.raises(Trimmed):
        log.conversation("#dev", 3, 10)
    with pytest.raises(Trimmed):
        log.personal(5, 3, 10)
    # Nobody knows whether there was something in a conversation that is forgotten whole.
    with pytest.raises(Trimmed):
        log.conversation("#other", 0, 10)


def test_memory_forgets_all_that_led_to_an_entry() -> None:
    log = MemoryLog(2)
    fill(log, entry(1, "#old", users=(5,), session=5, post_id="a"), entry(2), entry(3))
    assert log.find_post(5, "a") is None
    assert log.before("#old", None, 10) == []
    assert log.personal(5, log.trimmed, 10) == []
    fill(log, entry(4, "#old", users=(5,), session=5, post_id="a"))
    assert seqs(log.before("#old", None, 10)) == [4]
    assert seqs(log.personal(5, log.trimmed, 10)) == [4]


@given(capacity=st.integers(1, 8), steps=written, seq=st.integers(0, 200), limit=st.integers(1, 9))
def test_memory_holds_exactly_the_newest(
    capacity: int,
    steps: list[tuple[int, str, tuple[int, ...], int, str | None, bool]],
    seq: int,
    limit: int,
) -> None:
    log = MemoryLog(capacity)
    plain: list[Entry] = []
    last = 0
    for step, conversation, users, session, _, _ in steps:
        last += step
        plain.append(entry(last, conversation, users, session, str(last)))
        log.append(plain[-1])
    held, forgotten = plain[-capacity:], plain[:-capacity]
    assert log.trimmed == (forgotten[-1].seq if forgotten else 0)
    assert list(log.entries()) == held
    for one in plain:
        assert (log.find_post(one.session, str(one.seq)) is not None) == (one in held)
    for name in ("#a", "#b", "@1:2"):
        of = [one for one in held if one.conversation == name]
        assert log.before(name, seq, limit) == [one for one in of if one.seq < seq][-limit:]
        if seq >= log.trimmed:
            assert log.conversation(name, seq, limit) == [e for e in of if e.seq > seq][:limit]
    if seq >= log.trimmed:
        own = [one for one in held if 1 in one.users and one.seq > seq]
        assert log.personal(1, seq, limit) == own[:limit]
