"""What the client makes of typed lines and of what it is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.client.state import State
from selchat.errors import Refusal
from selchat.model import commands, events
from selchat.model.commands import Command
from selchat.model.events import AnyEvent, Event

AT = "2026-01-31T12:03:04.567Z"

HARMFUL = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    chr(code) for code in (*range(0x2028, 0x202F), *range(0x2066, 0x206A))
}
NASTY = "".join(sorted(HARMFUL)) + "\x1b[2J\x1b]0;owned\x07\u202eterces\r\nadmin: hello"


def assert_clean(lines: list[str]) -> None:
    for line in lines:
        assert not HARMFUL & set(line), f"{line!r} could act on a terminal"


def any_event() -> st.SearchStrategy[Event]:
    """Events of all kinds that go over the wire, with whatever in them."""
    return st.one_of([st.from_type(kind) for kind in AnyEvent.__args__])


def welcome(user: str = "alice", *, line_limit: int = 1_000, rooms: tuple[str, ...] = ()) -> Event:
    return events.Welcome(user, "token", 1, "log", "1", line_limit, list(rooms))


def state(*, auto_join: bool = True, **fields: Any) -> State:
    """A state that is logged in."""
    state = State(auto_join=auto_join)
    state.told(welcome(**fields))
    return state


def ask(state: State, line: str) -> list[dict[str, Any]]:
    """What a typed line asks, as JSON without the ids."""
    asked = []
    for command in state.typed(line):
        members = msgspec.to_builtins(command)
        assert members.pop("id")
        asked.append(members)
    return asked


def heard(state: State, event: Event) -> list[str]:
    """The lines that tell the user of an event."""
    return state.told(event).lines


def answer(state: State, command: Command, seq: int | None = 7) -> list[str]:
    """Have it done."""
    return state.told(events.Ok(command.id, seq, AT if seq else None)).lines


def refuse(state: State, command: Command, text: str = "no: ask for less") -> list[str]:
    return state.told(events.Error(command.id, "refused", text)).lines


# From lines to commands


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("/join dev", {"type": "join", "room": "dev"}),
        ("/join #dev", {"type": "join", "room": "#dev"}),
        ("/leave dev", {"type": "leave", "room": "dev"}),
        ("#dev  two  words ", {"type": "post", "to": "#dev", "text": " two  words "}),
        ("@bob hi", {"type": "post", "to": "@bob", "text": "hi"}),
        ("/me #dev waves", {"type": "me", "to": "#dev", "text": "waves"}),
        ("/topic dev", {"type": "topic", "room": "dev"}),
        ("/topic dev what it is", {"type": "topic", "room": "dev", "text": "what it is"}),
        ("/history #dev 3", {"type": "history", "of": "#dev", "limit": 3}),
        ("/who", {"type": "who"}),
        ("/HELP", {"type": "help"}),
        ("quit", {"type": "quit"}),
        (
            '{"type":"post","to":"#dev","text":"a\\nb"}',
            {"type": "post", "to": "#dev", "text": "a\nb"},
        ),
    ],
)
def test_a_typed_line_is_a_command(line: str, asked: dict[str, Any]) -> None:
    assert ask(state(auto_join=False), line) == [asked]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hello", "say to whom: #ROOM MESSAGE or @USER MESSAGE"),
        ("#dev", "type a message behind the name: #dev MESSAGE"),
        ("/jion dev", "did you mean /join ROOM ?"),
        ("/history #dev 0", "/history TARGET [N]"),
        ("{", "this line is not a JSON object"),
        ('{"type":"psot"}', "did you mean 'post'?"),
    ],
)
def test_a_line_that_is_no_command_is_refused_and_counts(line: str, said: str) -> None:
    mine = state()
    with pytest.raises(Refusal) as refusal:
        mine.typed(line)
    assert said in refusal.value.text
    assert (mine.failed, mine.first_failure) == (1, refusal.value.text)
    assert not mine.pending


def test_a_line_that_the_server_would_drop_is_refused_here_with_both_sizes() -> None:
    mine = state(line_limit=512)
    with pytest.raises(Refusal, match=r"that line is \d+ bytes for the server, which takes 512"):
        mine.typed("#dev " + "x" * 500)
    assert (mine.failed, mine.pending) == (1, {})


def test_the_size_that_counts_is_the_one_in_bytes_on_the_wire() -> None:
    longest = state(line_limit=512)
    size = len(msgspec.json.encode(longest.typed("@bob x")[0])) + 1
    assert longest.typed("@bob x" + "é" * ((512 - size) // 2))
    with pytest.raises(Refusal):
        longest.typed("@bob x" + "é" * ((512 - size) // 2 + 1))


def test_a_line_too_long_to_be_kept_is_refused() -> None:
    mine = state()
    with pytest.raises(Refusal, match="send it in pieces"):
        mine.typed(None)
    assert mine.failed == 1


# Entering a room before the first post to it


def test_the_first_post_to_a_room_enters_it_and_only_the_first() -> None:
    mine = state()
    post = {"type": "post", "to": "#dev", "text": "x"}
    assert ask(mine, "#dev x") == [{"type": "join", "room": "dev"}, post]
    assert ask(mine, "#dev x") == [post]
    assert ask(mine, "#DEV x") == [{**post, "to": "#DEV"}]
    assert ask(mine, "#ops x") == [{"type": "join", "room": "ops"}, {**post, "to": "#ops"}]


def test_what_one_does_in_a_room_enters_it_too() -> None:
    assert [each["type"] for each in ask(state(), "/me #dev waves")] == ["join", "me"]


def test_a_room_that_one_is_in_is_not_entered() -> None:
    mine = state(rooms=("Dev",))
    assert len(mine.typed("#dev x")) == 1
    mine.typed("/join #ops")
    assert len(mine.typed("#ops x")) == 1


def test_nothing_is_entered_for_a_user_nor_where_it_is_not_wanted() -> None:
    assert len(state().typed("@bob x")) == 1
    assert len(state(auto_join=False).typed("#dev x")) == 1


def test_a_room_is_entered_again_after_leaving_it_even_before_that_is_answered() -> None:
    mine = state(rooms=("dev",))
    leave = mine.typed("/leave #dev")[0]
    assert [each["type"] for each in ask(mine, "#dev x")] == ["join", "post"]
    answer(mine, leave)
    assert len(mine.typed("#dev x")) == 1


def test_a_room_is_entered_again_after_one_was_taken_out_of_it() -> None:
    mine = state(rooms=("dev", "ops"))
    mine.told(events.Left(5, AT, "dev", "Alice", "lost connection"))
    mine.told(events.Left(6, AT, "ops", "bob", "left"))
    assert len(mine.typed("#dev x")) == 2
    assert len(mine.typed("#ops x")) == 1


def test_a_room_that_could_not_be_entered_is_tried_again() -> None:
    mine = state()
    join, post = mine.typed("#dev x")
    refuse(mine, join)
    refuse(mine, post)
    assert len(mine.typed("#dev x")) == 2


def test_an_over_long_first_post_does_not_enter_the_room() -> None:
    mine = state(line_limit=512)
    with pytest.raises(Refusal):
        mine.typed("#dev " + "x" * 600)
    assert not mine.pending, "nothing was sent, so nothing is waited for"
    assert len(mine.typed("#dev x")) == 2


# What is pending, and what failed


def test_what_was_asked_is_pending_until_it_is_answered() -> None:
    mine = state()
    join, post = mine.typed("#dev x")
    assert list(mine.pending.values()) == [join, post]
    assert mine.unanswered == 1, "it was one line"
    answer(mine, join)
    assert list(mine.pending) == [post.id]
    answer(mine, post)
    assert (mine.pending, mine.unanswered, mine.failed) == ({}, 0, 0)


def test_an_answer_of_any_kind_ends_the_wait() -> None:
    mine = state()
    answers: dict[str, Event] = {
        "/help": events.Help("~1", []),
        "/who": events.Users("~2", None, []),
        "/rooms": events.Rooms("~3", []),
        "/history @bob": events.History("~4", "@bob", [], more=False),
        "/topic dev": events.Room("~5", "dev"),
        '{"type":"ping"}': events.Pong("~6"),
    }
    for line, told in answers.items():
        mine.typed(line)
        assert mine.pending, line
        mine.told(told)
        assert not mine.pending, line


def test_what_others_say_and_answers_to_nothing_end_no_wait() -> None:
    mine = state()
    mine.typed("@bob x")
    mine.told(events.Message(2, AT, "#dev", "bob", "hi"))
    mine.told(events.Ok("another", 3, AT))
    mine.told(events.Ok())
    assert len(mine.pending) == 1


def test_a_pong_is_not_waited_for_as_nothing_answers_it() -> None:
    mine = state()
    assert len(mine.typed('{"type":"pong"}')) == 1
    assert not mine.pending


def test_quitting_is_waited_for_but_is_no_line_that_could_be_lost() -> None:
    mine = state()
    command = mine.quit()
    assert isinstance(command, commands.Quit)
    assert (list(mine.pending), mine.unanswered) == ([command.id], 0)
    assert answer(mine, command, None) == ["* bye"]
    assert not mine.pending


def test_the_end_of_the_session_can_be_asked_whatever_the_limit() -> None:
    assert isinstance(state(line_limit=0).quit(), commands.Quit)


def test_failures_are_counted_and_the_first_is_kept() -> None:
    mine = state()
    first, second = mine.typed("@bob x") + mine.typed("@bob y")
    assert refuse(mine, first, "there is no user bob here") == ["! there is no user bob here"]
    refuse(mine, second, "still not")
    assert (mine.failed, mine.first_failure) == (2, "there is no user bob here")


def test_a_line_that_fails_with_the_room_it_is_for_is_one_failure() -> None:
    mine = state()
    join, post = mine.typed("#dev x")
    refuse(mine, join, "the room is closed")
    refuse(mine, post, "you are not in #dev")
    assert (mine.failed, mine.first_failure) == (1, "the room is closed")


def test_a_refused_join_that_was_typed_is_a_failure() -> None:
    mine = state()
    refuse(mine, mine.typed("/join dev")[0])
    assert mine.failed == 1


def test_an_error_that_answers_nothing_is_a_failure() -> None:
    mine = state()
    assert heard(mine, events.Error(None, "taken-over", "your session goes on elsewhere")) == [
        "! your session goes on elsewhere"
    ]
    assert mine.failed == 1


# Ids


def test_every_command_has_an_id_of_its_own() -> None:
    mine = state()
    ids = [command.id for line in ("#dev x", "#dev x", "/help") for command in mine.typed(line)]
    assert len(set(ids)) == 4
    assert None not in ids


def test_a_program_keeps_its_own_id_also_where_a_room_is_entered_for_it() -> None:
    mine = state()
    for number in range(1, 5):
        line = f'{{"type":"post","id":"{number}","to":"#room{number}","text":"x"}}'
        join, post = mine.typed(line)
        assert post.id == str(number)
        assert join.id not in set(map(str, range(10)))


def test_a_post_that_a_program_repeats_keeps_its_id_so_that_it_is_posted_once() -> None:
    mine = state(rooms=("dev",))
    line = '{"type":"post","id":"a","to":"#dev","text":"x"}'
    assert mine.typed(line) == mine.typed(line)
    assert list(mine.pending) == ["a"]


# What the user sees


def test_a_done_command_is_confirmed_where_its_sender_sees_nothing_else() -> None:
    mine = state()
    said = [
        answer(mine, mine.typed(line)[-1])
        for line in ("/join dev", "#dev x", "/topic dev y", "/leave dev", "/away tea", "/away")
    ]
    assert said == [
        ["* you joined #dev"],
        [],
        ["* you set the topic of #dev"],
        ["* you left #dev"],
        ["* you are away: tea"],
        ["* you are back"],
    ]
    assert answer(mine, mine.typed("/join dev")[0], None) == ["* you are in #dev already"]


def test_messages_of_others_and_of_ones_own_other_session_differ() -> None:
    mine = state()
    assert heard(mine, events.Message(2, AT, "#dev", "bob", "a\nb")) == [
        "[#dev] bob: a",
        "[#dev] bob: b",
    ]
    assert heard(mine, events.Message(3, AT, "@alice", "bob", "hi")) == ["[@bob] hi"]
    assert heard(mine, events.Message(4, AT, "@bob", "alice", "hi")) == ["* you to @bob: hi"]
    assert heard(mine, events.Message(5, AT, "#dev", "ALICE", "hi")) == ["* you to #dev: hi"]


def test_after_a_change_of_name_messages_under_the_new_one_are_ones_own() -> None:
    mine = state()
    nick = mine.typed("/nick Anna")[0]
    assert mine.user == "alice", "not before it is done"
    assert answer(mine, nick) == ["* you are now Anna"]
    assert mine.user == "Anna"
    assert heard(mine, events.Message(5, AT, "#dev", "anna", "hi")) == ["* you to #dev: hi"]
    assert heard(mine, events.Message(6, AT, "#dev", "alice", "hi")) == ["[#dev] alice: hi"]


def test_a_name_that_was_refused_is_not_taken() -> None:
    mine = state()
    refuse(mine, mine.typed("/nick bob")[0])
    assert mine.user == "alice"


# Hostile servers: what comes over the wire is not clean because ours would be


HOSTILE: list[Event] = [
    welcome(NASTY),
    events.Message(2, NASTY, "#" + NASTY, NASTY, NASTY),
    events.Message(2, AT, "@alice", NASTY, NASTY, action=True),
    events.Message(2, AT, "@bob", "alice", NASTY),
    events.Joined(2, AT, NASTY, NASTY),
    events.Left(2, AT, NASTY, NASTY, "left"),
    events.Left(2, AT, NASTY, "alice", "quit"),
    events.Topic(2, AT, NASTY, NASTY, NASTY),
    events.Topic(2, AT, NASTY, NASTY, ""),
    events.Renamed(2, AT, NASTY, NASTY, NASTY),
    events.Error(None, NASTY, NASTY),
    events.Notice(NASTY, NASTY),
    events.Room(None, NASTY, NASTY, 3),
    events.Room(None, NASTY),
    events.Rooms(None, [events.Room(None, NASTY, NASTY, 1)], 2),
    events.Users(None, NASTY, [events.User(NASTY, NASTY), events.User(NASTY)], 1),
    events.Help(None, [events.Usage(NASTY, NASTY)]),
    events.History(
        None,
        "#" + NASTY,
        [
            events.Message(2, NASTY, "#" + NASTY, NASTY, NASTY),
            events.Joined(2, NASTY, NASTY, NASTY),
        ],
        more=True,
    ),
    events.History(None, "@" + NASTY, [], more=False),
    events.Found(None, NASTY, [events.Message(2, NASTY, "@" + NASTY, NASTY, NASTY)], more=True),
    events.Found(None, NASTY, [], more=False),
]


@pytest.mark.parametrize("event", HOSTILE, ids=lambda event: type(event).__name__)
def test_whatever_the_server_says_its_lines_are_clean(event: Event) -> None:
    lines = heard(state(), event)
    assert lines
    assert_clean(lines)


@pytest.mark.parametrize("event", HOSTILE, ids=lambda event: type(event).__name__)
def test_no_line_that_a_server_says_can_pass_for_another_kind_of_line(event: Event) -> None:
    assert all(line.startswith(("[#", "[@", "* ", "! ")) for line in heard(state(), event))


def test_the_confirmation_of_what_a_program_typed_is_clean() -> None:
    mine = state()
    for kind, field in (("join", "room"), ("leave", "room"), ("nick", "name"), ("away", "text")):
        line = msgspec.json.encode({"type": kind, field: NASTY}).decode()
        lines = answer(mine, mine.typed(line)[0])
        assert lines
        assert_clean(lines)


def test_the_first_failure_is_kept_as_one_clean_line() -> None:
    mine = state()
    mine.told(events.Error(None, "x", NASTY))
    assert mine.first_failure
    assert_clean([mine.first_failure])


def test_what_names_no_conversation_is_not_shown() -> None:
    nobody = events.Message(2, AT, "", "bob", "hi")
    assert heard(state(), nobody) == []
    assert heard(state(), events.History(None, "", [], more=False)) == []
    assert heard(state(), events.History(None, "#dev", [nobody], more=False)) == []
    assert heard(state(), events.Found(None, "hi", [nobody], more=False)) == []


@given(st.lists(any_event(), max_size=5), st.booleans())
def test_any_events_give_clean_lines(told: list[Event], known: bool) -> None:
    mine = state() if known else State(auto_join=True)
    for event in told:
        assert_clean(heard(mine, event))


@given(st.lists(st.text(min_size=1) | st.sampled_from(["#dev x", "/leave dev", "/join #dev"])))
def test_any_lines_give_commands_that_fit_or_the_one_refusal(lines: list[str]) -> None:
    mine = state(line_limit=512)
    refused = 0
    for line in lines:
        try:
            asked = mine.typed(line)
        except Refusal as refusal:
            refused += 1
            assert_clean([mine.first_failure])
            assert refusal.text
        else:
            assert all(len(msgspec.json.encode(command)) < 512 for command in asked)
    assert mine.failed == refused
