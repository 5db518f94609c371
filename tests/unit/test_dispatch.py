"""The table of commands: it is whole, and it is what decides."""

from __future__ import annotations

import json

import pytest

from selchat.errors import Refusal
from selchat.hub.dispatch import TABLE, Row, cost, typed
from selchat.hub.hub import Hub
from selchat.hub.roles import Who
from selchat.hub.state import Session
from selchat.model import commands
from tests.unit.playbook import Stage


def test_every_command_has_one_row_and_no_row_is_for_nothing() -> None:
    assert set(TABLE) == set(commands.ALL)
    assert len({commands.name(command) for command in TABLE}) == len(TABLE)


def test_every_command_that_can_be_typed_has_help_and_no_other_has() -> None:
    for command, row in TABLE.items():
        assert bool(row.help) == bool(commands.usage(command)), command
    usages = [line.usage for line in typed()]
    assert len(usages) == len(set(usages)) >= 13
    assert all(line.help for line in typed())


def test_what_a_tick_does_for_one_connection_is_bounded_by_costs() -> None:
    """A long answer is an entry of the log times a page, so it costs like many messages."""
    for command in (commands.History(of="#x"), commands.Search(text="x"), commands.Rooms()):
        assert cost(command) >= 100
    assert cost(commands.Who()) >= 50  # a list of names is short beside a page
    free = {command for command, row in TABLE.items() if row.cost == 0}
    assert free == {commands.Quit, commands.Pong}  # neither is answered more than once


def test_who_asks_for_little_pays_for_little() -> None:
    assert cost(commands.History(of="#x", limit=20)) == 20
    assert cost(commands.History(of="#x", limit=1)) == 10
    assert cost(commands.History(of="#x", limit=10**9)) == cost(commands.History(of="#x"))
    assert cost(commands.Search(text="x", limit=30)) == 30


@pytest.mark.parametrize(
    "question",
    [
        {"type": "join", "room": "dev"},
        {"type": "leave", "room": "dev"},
        {"type": "post", "to": "#dev", "text": "x"},
        {"type": "me", "to": "#dev", "text": "x"},
        {"type": "rooms"},
        {"type": "who"},
        {"type": "topic", "room": "dev"},
        {"type": "away"},
        {"type": "nick", "name": "x"},
        {"type": "history", "of": "#dev"},
    ],
)
def test_what_needs_a_log_in_is_refused_before(question: dict[str, str]) -> None:
    stage = Stage()
    stage.say("alice", question | {"id": "1"})
    (answer,) = map(json.loads, stage.get("alice"))
    assert answer == {
        "type": "error",
        "id": "1",
        "code": "not-logged-in",
        "text": "say who you are first: hello",
    }
    assert stage.log.newest == 0


def put(monkeypatch: pytest.MonkeyPatch, row: Row) -> None:
    """Have /rooms do something else."""
    rooms: type[commands.Command] = commands.Rooms
    monkeypatch.setitem(TABLE, rooms, row)


def fails(hub: Hub, session: Session, command: commands.Rooms) -> None:
    raise ZeroDivisionError


def test_a_handler_that_fails_ends_that_connection_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.enter("alice", "bob", json=("carol",))
    put(monkeypatch, Row(fails, Who.USER, 1, "fails"))
    stage.say("bob", "#dev before", "/rooms", "#dev after")
    stage.say("alice", "#dev also in this tick")
    while stage.tick():
        pass
    assert "ZeroDivisionError" in stage.take_errors()[0]
    assert stage.get("bob")[-1] == "<cut>"
    texts = [json.loads(line).get("text") for line in stage.get("carol")]
    assert texts == ["before", None, "also in this tick"]
    assert "* bob left #dev (lost connection)" in stage.get("alice")


def test_one_that_fails_later_in_a_long_chunk_ends_that_connection_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    stage.enter("alice", "bob", json=("carol",))
    put(monkeypatch, Row(fails, Who.USER, 1, "fails"))
    stage.say("bob", *["#dev hi"] * 1_200, "/rooms")
    stage.say("alice", *["#dev hi"] * 2_500, "#dev last")
    while stage.tick():
        pass
    assert "ZeroDivisionError" in stage.take_errors()[0]
    assert stage.get("bob")[-1] == "<cut>"
    lines = [json.loads(line) for line in stage.get("carol")]
    assert sum(line["type"] == "message" for line in lines) == 1_200 + 2_501
    assert lines[-1]["text"] == "last"


def test_a_refusal_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(hub: Hub, session: Session, command: commands.Rooms) -> None:
        raise Refusal("not-today", "come back tomorrow")

    stage = Stage()
    stage.enter("alice", json=("carol",))
    put(monkeypatch, Row(refuses, Who.USER, 1, "refuses"))
    stage.play("""
        alice >> /rooms
        alice << ! come back tomorrow
        carol >> {"type":"rooms","id":"1"}
        carol << {"type":"error","id":"1","code":"not-today","text":"come back tomorrow"}
    """)
