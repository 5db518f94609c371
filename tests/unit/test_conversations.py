"""The conversations: where plain text goes, who is known, what is new."""

from __future__ import annotations

import pytest

from selchat.client.state import State, mentions
from selchat.errors import Refusal
from selchat.model import commands, events
from selchat.model.commands import Command

AT = "2026-01-31T12:00:00.123Z"


@pytest.fixture
def state() -> State:
    state = State(auto_join=False, curious=True)
    state.told(events.Welcome("alice", "t", 0, "l", "1", 65_536, []))
    return state


def ok(state: State, asked: list[Command], seq: int = 1) -> None:
    for command in asked:
        state.told(events.Ok(command.id, seq, AT))


def join(state: State, *rooms: str) -> None:
    for room in rooms:
        ok(state, state.said(f"/join {room}"))


def message(to: str, sender: str, text: str = "hi") -> events.Message:
    return events.Message(5, AT, to, sender, text)


def posted(asked: list[Command]) -> tuple[str, str]:
    (command,) = asked
    assert isinstance(command, commands.Post)
    return command.to, command.text


def test_plain_text_goes_to_the_room_that_was_joined_or_written_to_last(state: State) -> None:
    with pytest.raises(Refusal, match="/join ROOM first"):
        state.said("hello")
    join(state, "dev", "ops")
    assert posted(state.said("hello")) == ("#ops", "hello")
    state.said("#dev hi")
    assert posted(state.said("several\nlines")) == ("#dev", "several\nlines")
    state.said("@bob psst")
    assert state.talk.target == "#dev"
    state.said("/to @bob")
    assert posted(state.said("psst")) == ("@bob", "psst")
    state.said("/to OPS")
    assert posted(state.said("{}")) == ("#ops", "{}")


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("//etc", "/etc"),
        ("///", "//"),
        ("# heading", "# heading"),
        ("@ five", "@ five"),
        ("//", "/"),
    ],
)
def test_what_looks_like_a_command_can_be_said(state: State, typed: str, text: str) -> None:
    join(state, "dev")
    assert posted(state.said(typed)) == ("#dev", text)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/to", "type it like this: /to TARGET"),
        ("/to a b", "type it like this: /to TARGET"),
        ("/to #nowhere", "you are not in #nowhere: /join nowhere enters it"),
        ("/to @a b", "type it like this: /to TARGET"),
        ("/to @!", "a name is made of"),
        ("/kes", "there is no /kes: did you mean /keys ?"),
        ("/jion dev", "did you mean /join ROOM ?"),
        ("#dev", "type a message behind the name"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(state: State, typed: str, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        state.said(typed)
    assert said in caught.value.text
    assert (state.pending, state.talk.target) == ({}, "")


def test_a_join_that_is_refused_leads_back(state: State) -> None:
    join(state, "dev")
    (asked,) = state.said("/join other")
    assert state.talk.target == "#other"
    state.told(events.Error(asked.id, "no", "no"))
    assert state.talk.target == "#dev"


def test_leaving_the_current_room_leads_to_the_one_entered_before(state: State) -> None:
    join(state, "dev", "ops", "web")
    ok(state, state.said("/leave web"))
    assert state.talk.target == "#ops"
    state.told(events.Left(9, AT, "ops", "alice", "left"))
    assert state.talk.target == "#dev"
    ok(state, state.said("/leave dev"))
    assert state.talk.target == ""


def test_messages_are_unread_until_one_turns_to_them(state: State) -> None:
    join(state, "dev", "ops")
    state.told(message("#dev", "bob"))
    state.told(message("#ops", "bob"))
    state.told(message("@alice", "carol"))
    unread = {one.name: one.unread for one in state.talk.all.values()}
    assert unread == {"#dev": 1, "#ops": 0, "@carol": 1}
    state.said("/to #dev")
    assert state.talk.all["#dev"].unread == 0
    assert [one.text for one in state.talk.all["#dev"].messages] == ["hi"]


def test_who_spoke_last_is_the_likeliest_and_members_are_asked_for(state: State) -> None:
    ok(state, state.said("/join dev"))
    who = next(one for one in state.questions() if isinstance(one, commands.Who))
    assert state.questions() == []
    members = [events.User("alice"), events.User("bob"), events.User("Carol")]
    assert state.told(events.Users(who.id, "Dev", members)).lines == []
    assert state.talk.target == "#Dev"  # as it is written by who made it
    assert state.known().users == ["bob", "Carol"]
    state.told(message("#dev", "Carol"))
    state.told(events.Joined(6, AT, "dev", "dave"))
    assert state.known().users == ["Carol", "bob", "dave"]
    state.told(events.Renamed(7, AT, "dev", "Carol", "carla"))
    state.told(events.Left(8, AT, "dev", "bob", "quit"))
    assert state.known().users == ["carla", "dave"]


def test_an_alert_is_for_direct_messages_and_for_the_own_name(state: State) -> None:
    join(state, "dev")
    assert state.told(message("@alice", "bob")).alert
    assert state.told(message("#dev", "bob", "well, Alice?")).alert
    assert not state.told(message("#dev", "bob", "malice")).alert
    assert not state.told(message("#dev", "alice", "alice")).alert


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("ann", True),
        ("ANN!", True),
        ("(ann)", True),
        ("ann's", True),
        ("anna", False),
        ("joann", False),
        ("ann-marie", False),
        ("", False),
    ],
)
def test_a_mention_is_the_name_as_a_word(said: str, meant: bool) -> None:
    assert mentions(said, "Ann") is meant


def test_a_server_that_makes_no_sense_does_no_harm(state: State) -> None:
    join(state, "dev")
    for event in (
        message("", "bob"),
        message("#", "bob"),
        message("dev", "bob"),
        events.History(None, "", [], False),
        events.History(None, "#dev", [message("", "")], False),
    ):
        assert state.told(event).lines == []
    assert list(state.talk.all) == ["#dev"]


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("/history", commands.History(of="#dev")),
        ("/history 50", commands.History(of="#dev", limit=50)),
        ("/history @bob 5", commands.History(of="@bob", limit=5)),
        ("/me waves", commands.Me(to="#dev", text="waves")),
        ("/me #dev waves", commands.Me(to="#dev", text="waves")),
        ("/topic", commands.Topic(room="#dev")),
        ("/topic dev all about it", commands.Topic(room="dev", text="all about it")),
        ("/leave", commands.Leave(room="#dev")),
    ],
)
def test_a_command_that_does_not_say_where_means_the_current_conversation(
    state: State, typed: str, asked: Command
) -> None:
    with pytest.raises(Refusal):
        state.said(typed.split(maxsplit=1)[0])
    join(state, "dev")
    state.questions()
    (command,) = state.said(typed)
    asked.id = command.id
    assert command == asked


def test_who_alone_is_still_everybody(state: State) -> None:
    join(state, "dev")
    (command,) = state.said("/who")
    assert command == commands.Who(id=command.id)
