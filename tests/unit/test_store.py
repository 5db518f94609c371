"""One suite for every `Log` (selchat/store), and what is particular to the one in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from selchat.errors import Trimmed
from selchat.model import events
from selchat.model.entries import TOGETHER, Correction, Entry, pair, room
from selchat.model.events import AnyFact
from selchat.scram import Verifier
from selchat.store import Log, Query
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


AT = "2026-01-31T12:00:00.123Z"


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
        events.Registered(11, at, Verifier(b"salt", b"\x00stored", b"\xffserver", 4_096), 3),
        events.Changed(12, at, 1, Verifier(b"salt", b"stored", b"server", 4_096)),
        events.Device(13, at, "f00"),
        events.Revoked(14, at, 1, 13),
        events.Admin(15, at, 1, True, "operator"),
        events.Blocked(16, at, 1, 2, True),
        events.Silenced(17, at, 1, "dev", False),
        events.Excluded(18, at, "192.0.2.0/24", "", True, "alice"),
        events.Invitation(19, at, "f00", 2, at),
        events.Withdrawn(20, at, 19),
        events.Ranked(21, at, "dev", "bob", "moderator", "alice"),
        events.Muted(22, at, "dev", "bob", True, "alice"),
        events.Banned(23, at, "dev", "bob", True, "alice"),
        events.Invited(24, at, "dev", "bob", "alice"),
        events.Private(25, at, "dev", True, "alice"),
        events.Opened(26, at, "alice", "f00", 1, 13),
        events.Gone(27, at, True, 26),
        events.Joined(28, at, "dev", "alice", True),
        events.Left(29, at, "dev", "bob", "kicked", "alice", "why"),
    ]
    others = {*Correction.__args__, events.Messages}  # see below
    assert {type(fact) for fact in facts} == set(AnyFact.__args__) - others
    written = [Entry(fact, "#dev", (1, 2), 1, str(fact.seq), author=fact.seq % 3) for fact in facts]
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


# Several messages in one entry

Step = tuple[int, str, tuple[int, ...], int, int]

together: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.integers(1, 5),
        st.sampled_from(["#a", "#b", "@1:2"]),
        st.sampled_from([(), (1,), (1, 2)]),
        st.integers(1, 3),
        st.integers(1, TOGETHER),
    ),
    max_size=30,
)


def pack(steps: list[Step]) -> tuple[list[Entry], list[Entry]]:
    """Entries of one or more messages, and the same one by one. The texts are a word each."""
    packed: list[Entry] = []
    last = 0
    for gap, conversation, users, session, count in steps:
        last += gap + count - 1
        texts = [f"word{seq}" for seq in range(last - count + 1, last + 1)]
        fact: AnyFact
        if count == 1:
            fact = events.Message(last, AT, "#dev", "alice", texts[0])
        else:
            fact = events.Messages(last, AT, "#dev", "alice", texts)
        packed.append(Entry(fact, conversation, users, session, None, 9))
    return packed, [one for entry in packed for one in entry.each()]


def test_each_of_several_messages_has_its_own_place() -> None:
    _, each = pack([(3, "#a", (1,), 7, 3), (1, "#a", (), 7, 1)])
    assert [(one.seq, one.first) for one in each] == [(3, 3), (4, 4), (5, 5), (6, 6)]
    text = events.Message(4, AT, "#dev", "alice", "word4")
    assert each[1] == Entry(text, "#a", (1,), 7, None, 9)


def compare(log: Log, plain: list[Entry], seq: int, limit: int) -> None:
    """See that a log answers as a list of single entries would."""
    assert list(log.entries(seq)) == [one for one in plain if one.seq > seq]
    for name in ("#a", "#b", "@1:2"):
        of = [one for one in plain if one.conversation == name]
        assert log.conversation(name, seq, limit) == [one for one in of if one.seq > seq][:limit]
        assert log.before(name, seq, limit) == [one for one in of if one.seq < seq][-limit:]
        assert log.before(name, None, limit) == of[-limit:]
    own = [one for one in plain if 1 in one.users and one.seq > seq]
    assert log.personal(1, seq, limit) == own[:limit]


@given(steps=together, seq=st.integers(0, 200), limit=st.integers(1, 70), commits=st.booleans())
@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
def test_several_in_one_entry_read_as_they_would_one_by_one(
    kind: str, steps: list[Step], seq: int, limit: int, commits: bool
) -> None:
    packed, plain = pack(steps)
    with IMPLEMENTATIONS[kind]() as log:
        for one in packed:
            log.append(one)
            if commits:
                log.commit()
        assert log.newest == (plain[-1].seq if plain else 0)
        compare(log, plain, seq, limit)
        first = plain[0].seq if plain else log.newest + 1
        assert (log.seq_at(AT), log.seq_at("2027")) == (first, log.newest + 1)
        for one in plain[:: max(1, len(plain) // 5)]:
            query = Query((f"word{one.seq}",), (one.conversation,), None, None, 0, 1_000, 10)
            assert log.search(query) == [one]


@given(
    steps=together,
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=5),
    seq=st.integers(0, 200),
    searching=st.booleans(),
)
@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
def test_one_of_several_can_be_corrected(
    kind: str, steps: list[Step], changes: list[tuple[bool, int]], seq: int, searching: bool
) -> None:
    packed, plain = pack(steps)
    with IMPLEMENTATIONS[kind]() as log:
        fill(log, *packed)
        for which in range(len(plain)) if searching else ():  # what is found is in the index
            word = f"word{plain[which].seq}"
            log.search(Query((word,), ("#a", "#b", "@1:2"), None, None, 0, 1_000, 10))
        said = len(plain)
        done: set[int] = set()
        for delete, which in changes if said else ():
            place = which % said
            old, last = plain[place], log.newest + 1
            if place in done:
                continue
            done.add(place)
            assert isinstance(old.fact, events.Message)
            text = "" if delete else "other"
            fact = structs.replace(old.fact, text=text, deleted=delete, edited=not delete)
            plain[place] = structs.replace(old, fact=fact)
            plain.append(deleted(last, old.seq) if delete else edited(last, old.seq, text))
            fill(log, plain[-1])
            query = Query((f"word{old.seq}",), (old.conversation,), None, None, 0, 1_000, 10)
            assert log.search(query) == []
        compare(log, plain, seq, 1_000)


@given(capacity=st.integers(1, 25), steps=together, seq=st.integers(0, 200))
def test_memory_holds_the_newest_of_them(capacity: int, steps: list[Step], seq: int) -> None:
    packed, plain = pack(steps)
    log = MemoryLog(capacity)
    for one in packed:
        log.append(one)
        log.commit()
    forgotten = plain[:-capacity]
    assert log.trimmed == (forgotten[-1].seq if forgotten else 0)
    compare(log, plain[-capacity:], max(seq, log.trimmed), 70)


@given(steps=together, before=st.integers(0, 200), keep=st.integers(0, 12))
@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
def test_of_several_only_the_old_are_forgotten(
    kind: str, steps: list[Step], before: int, keep: int
) -> None:
    packed, plain = pack(steps)
    with IMPLEMENTATIONS[kind]() as log:
        fill(log, *packed)
        log.save_snapshot(b"{}")
        gone = sum(log.trim(before, keep, lambda _: True))
        left: list[Entry] = []
        for name in ("#a", "#b", "@1:2"):
            of = [one for one in plain if one.conversation == name]
            left += [one for one in (of[-keep:] if keep else of) if one.seq >= before]
        assert list(log.entries()) == sorted(left, key=lambda one: one.seq)
        assert gone == len(plain) - len(left)


# Corrections


def said(seq: int, text: str, post_id: str | None = None, author: int = 1) -> Entry:
    fact = events.Message(seq, AT, "#dev", "alice", text)
    return Entry(fact, "#dev", (author,), 7, post_id, author)


def edited(seq: int, of: int, text: str) -> Entry:
    return Entry(events.Edited(seq, AT, "#dev", of, "alice", text), "#dev", (1,), 7, None, 1)


def deleted(seq: int, of: int) -> Entry:
    return Entry(events.Deleted(seq, AT, "#dev", of, "bob", "alice"), "#dev", (1,), 7, None, 1)


def everywhere(log: Log, seq: int) -> list[Entry]:
    """An entry as each question gives it."""
    return [
        *(one for one in log.entries() if one.seq == seq),
        *log.conversation("#dev", seq - 1, 1),
        *log.before("#dev", seq + 1, 1),
        *log.personal(1, seq - 1, 1),
    ]


def found(log: Log, word: str) -> list[int]:
    return seqs(log.search(Query((word,), ("#dev",), None, None, 0, log.newest + 1, 10)))


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("committed", [False, True])
def test_a_message_that_was_edited_is_another_one_in_every_answer(
    log: Log, committed: bool, indexed: bool
) -> None:
    log.append(said(1, "first text", "a"))
    if committed:
        log.commit()
    if indexed:
        assert found(log, "first") == [1]
    log.append(edited(2, 1, "second text"))
    for _ in range(2):
        found_post = log.find_post(7, "a")
        assert found_post is not None
        for one in (*everywhere(log, 1), found_post):
            fact = one.fact
            assert isinstance(fact, events.Message)
            assert (fact.text, fact.edited, fact.deleted) == ("second text", True, False)
            assert (one.author, one.session, one.post_id) == (1, 7, "a")
        assert found(log, "first") == []
        assert found(log, "second") == [1]
        log.commit()


def test_of_a_deleted_message_its_place_is_left(log: Log) -> None:
    fill(log, said(1, "the text"), said(2, "other text"))
    assert found(log, "text") == [2, 1]
    fill(log, deleted(3, 1))
    for one in everywhere(log, 1):
        fact = one.fact
        assert isinstance(fact, events.Message)
        assert (fact.text, fact.deleted) == ("", True)
    assert found(log, "text") == [2]
    assert seqs(log.conversation("#dev", 0, 10)) == [1, 2, 3]


def test_what_an_edit_said_goes_with_the_next_correction(log: Log) -> None:
    fill(log, said(1, "one"), edited(2, 1, "two"))
    (entry,) = everywhere(log, 2)[:1]
    assert entry == edited(2, 1, "two")
    fill(log, edited(3, 1, "three"))
    assert everywhere(log, 2) == [edited(2, 1, "")] * 4
    log.append(edited(4, 1, "four"))
    log.append(deleted(5, 1))
    log.commit()
    texts = [
        one.fact.text
        for one in log.entries()
        if not isinstance(one.fact, events.Deleted)
        if isinstance(one.fact, events.Message | events.Edited)
    ]
    assert texts == ["", "", "", ""]


def test_a_correction_of_what_is_not_there_or_no_message_changes_nothing(log: Log) -> None:
    joined = Entry(events.Joined(1, AT, "dev", "alice"), "#dev", (1,), 7, None, 1)
    fill(log, joined, edited(2, 1, "x"), deleted(4, 3), edited(5, 99, "y"), edited(6, 6, "z"))
    assert everywhere(log, 1) == [joined] * 4
    assert log.newest == 6


def test_who_wrote_an_entry_is_known_apart_from_the_session(log: Log) -> None:
    written = [
        Entry(events.Message(seq, AT, "#dev", "alice", "x"), "#dev", (), session, None, author)
        for seq, (session, author) in enumerate([(1, 1), (5, 1), (9, 0), (0, 0)], 1)
    ]
    fill(log, *written)
    assert list(log.entries()) == written


corrections = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "edit", "edit", "delete"]),
        st.integers(0, 8),  # which message, of those that there are
        st.sampled_from(["red", "green", "blue"]),
        st.booleans(),  # commit behind it
    ),
    max_size=25,
)


@given(steps=corrections, searching=st.booleans())
@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
def test_corrections_are_what_a_plain_list_would_make_of_them(
    kind: str, steps: list[tuple[str, int, str, bool]], searching: bool
) -> None:
    with IMPLEMENTATIONS[kind]() as log:
        plain: list[Entry] = []
        messages: list[int] = []
        for seq, (what, which, text, commit) in enumerate(steps, 1):
            if what == "say" or not messages:
                messages.append(seq)
                plain.append(said(seq, text, str(seq)))
                log.append(said(seq, text, str(seq)))
            else:
                of = messages[which % len(messages)]
                entry = edited(seq, of, text) if what == "edit" else deleted(seq, of)
                fact = plain[of - 1].fact
                assert isinstance(fact, events.Message)
                for number, one in enumerate(plain):
                    if isinstance(one.fact, events.Edited) and one.fact.of == of:
                        plain[number] = edited(one.seq, of, "")
                gone = what == "delete"
                changed = structs.replace(
                    fact,
                    text="" if gone else text,
                    edited=fact.edited or not gone,
                    deleted=fact.deleted or gone,
                )
                plain[of - 1] = structs.replace(plain[of - 1], fact=changed)
                plain.append(entry)
                log.append(entry)
            if searching:
                found(log, text)
            if commit:
                log.commit()
        assert list(log.entries()) == plain
        assert log.conversation("#dev", 0, 100) == plain
        assert log.before("#dev", None, 100) == plain
        assert log.personal(1, 0, 100) == plain
        for of in messages:
            assert log.find_post(7, str(of)) == plain[of - 1]
        for word in ("red", "green", "blue"):
            there = [
                one.seq
                for one in plain[::-1]
                if isinstance(one.fact, events.Message)
                and word == one.fact.text
                and not one.fact.deleted
            ]
            assert found(log, word) == there[:10]


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
