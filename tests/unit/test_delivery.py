"""Slow readers: what they miss they get from the log, in order, once, and nobody else notices."""

from __future__ import annotations

import json
from typing import Any

import pytest

from selchat.hub.catchup import Catchup, Item
from selchat.model import events
from selchat.wire.jsonl import Jsonl
from selchat.wire.text import Text
from tests.unit.playbook import Stage

HARD = 4_194_304


def seqs(lines: list[str]) -> list[int]:
    return [json.loads(line).get("seq", 0) for line in lines]


def slow_stage(**settings: Any) -> Stage:
    """alice talks in #dev, bob (text) and carol (JSON) do not read; the log is at 6."""
    stage = Stage(soft_limit=1_000, page=7, **settings)
    stage.enter("alice", "bob", json=("carol",))
    stage.clients["bob"].room = stage.clients["carol"].room = 0
    return stage


def talk(stage: Stage, start: int, end: int) -> None:
    """alice says the numbers, one in a tick."""
    for number in range(start, end):
        stage.say("alice", f"#dev {number}")
        stage.settle()


def test_a_slow_reader_gets_all_in_order_when_it_reads_and_then_is_live_again() -> None:
    stage = slow_stage()
    stage.enter("dave")
    talk(stage, 0, 200)
    assert stage.get("dave") == [f"[#dev] alice: {n}" for n in range(200)]
    for name in ("bob", "carol"):
        assert stage.connection(name).catchup is not None
        assert stage.connection(name).stream.waiting < 1_200
        stage.clients[name].room = None
    assert stage.get("bob") == ["* dave joined #dev"] + [f"[#dev] alice: {n}" for n in range(200)]
    assert seqs(stage.get("carol")) == list(range(8, 209))
    talk(stage, 200, 203)
    assert stage.get("bob") == [f"[#dev] alice: {n}" for n in range(200, 203)]
    assert seqs(stage.get("carol")) == list(range(209, 212))
    assert stage.connection("bob").catchup is stage.connection("carol").catchup is None


def test_a_reader_that_drips_gets_all_too_while_the_others_go_on_talking() -> None:
    stage = slow_stage()
    lines: list[str] = []
    for number in range(150):
        talk(stage, number, number + 1)
        stage.clients["bob"].room = 25
        lines += stage.get("bob")
        assert stage.connection("bob").stream.waiting < 1_200
    stage.clients["bob"].room = None
    lines += stage.get("bob")
    assert lines == [f"[#dev] alice: {n}" for n in range(150)]


def test_answers_to_a_slow_reader_keep_their_places() -> None:
    stage = slow_stage()
    talk(stage, 0, 2)
    stage.say("carol", {"type": "ping", "id": "1"})
    talk(stage, 2, 5)
    # In one tick she falls behind, and is answered after that.
    stage.say("alice", "#dev " + "x" * 900, "@bob y", "#dev z")
    stage.say("carol", {"type": "ping", "id": "2"}, {"type": "post", "to": "#dev", "text": "mine"})
    stage.settle()
    assert stage.connection("carol").answers
    stage.say("carol", {"type": "ping", "id": "3"})
    talk(stage, 5, 30)
    assert stage.clients["carol"].unread  # who does not read is not read
    stage.clients["carol"].room = None
    told = [json.loads(line) for line in stage.get("carol")]
    places = [line["id"] if line["type"] == "pong" else line["seq"] for line in told]
    assert places == [7, 8, "1", 9, 10, 11, 12, 14, "2", 15, *range(16, 41), "3"]


def test_who_misses_what_the_log_has_forgotten_is_told_so_and_closed() -> None:
    stage = slow_stage(memory_entries=50)
    stage.enter("dave")
    talk(stage, 0, 300)
    stage.get("dave")
    # All that was sent to them before is what a client reads before its end.
    stage.clients["bob"].room = stage.clients["carol"].room = None
    last_but_one, last = stage.get("bob")[-2:]
    assert last_but_one == "! you read too slowly, and what you missed is no longer kept"
    assert last == "<end>"
    error, end = stage.get("carol")[-2:]
    assert json.loads(error) == {
        "type": "error",
        "code": "fell-behind",
        "text": "you read too slowly, and what you missed is no longer kept",
    }
    assert end == "<end>"
    # For the others they are those whose connection was lost; a token brings one back.
    assert stage.get("dave") == ["* bob left #dev (lost connection)"]
    stage.say("carol2", {"type": "hello", "user": "carol", "token": "token-1"})
    assert json.loads(stage.get("carol2")[0])["type"] == "welcome"


def test_who_falls_behind_what_is_forgotten_in_the_same_tick() -> None:
    stage = Stage(soft_limit=500, memory_entries=20)
    stage.enter("alice", "bob", json=("carol",))
    stage.clients["bob"].room = 0
    talk(stage, 0, 40)
    stage.say("alice", *(f"#dev {n}" for n in range(40, 100)))
    stage.settle()
    stage.clients["bob"].room = None
    assert stage.get("bob")[-2:] == [
        "! you read too slowly, and what you missed is no longer kept",
        "<end>",
    ]
    assert json.loads(stage.get("carol")[-1])["reason"] == "lost connection"


def test_a_page_holds_nothing_that_is_not_committed_and_told() -> None:
    stage = Stage(soft_limit=2_000, page=5_000)
    stage.enter("alice", json=("carol",))
    carol = stage.clients["carol"]
    carol.room = 0
    committed: list[int] = []
    commit, send = stage.log.commit, carol.send

    def noted_commit() -> None:
        committed.append(stage.log.newest)
        commit()

    def checked_send(data: bytes | memoryview) -> int:
        sent = send(data)
        for line in bytes(carol.taken).split(b"\n")[:-1]:
            assert json.loads(line)["seq"] <= committed[-1]
        return sent

    stage.log.commit = noted_commit  # type: ignore[method-assign]
    carol.send = checked_send  # type: ignore[method-assign]
    stage.say("alice", *(f"#dev {n}" for n in range(4_000)))
    stage.tick()
    stage.tick()
    assert stage.connection("carol").catchup is not None
    carol.room = None
    # In the next tick a thousand posts of alice are worked off, and carol is fed.
    found = seqs(stage.get("carol"))
    assert found == list(range(5, 4_005))


WIDE = "𠀀" * 32


def wide_room() -> Stage:
    """A room and a member whose names are long in bytes, and a text client that is in it."""
    stage = Stage()
    stage.say("wide", {"type": "hello", "user": WIDE}, {"type": "join", "room": WIDE})
    stage.settle()
    stage.say("bob", "bob", f"/join {WIDE}")
    stage.get("bob")
    return stage


def most_waiting(stage: Stage, name: str) -> int:
    """Settle; the most bytes that waited at the end of a tick, for a reader that reads all."""
    most = 0
    while stage.tick():
        most = max(most, stage.connection(name).stream.waiting)
    return most


LINES = {"type": "post", "to": "#" + WIDE, "text": "a\n" * 199 + "a"}


def test_much_that_comes_in_one_tick_throws_no_reader_out() -> None:
    stage = wide_room()
    for _ in range(3):
        stage.say("wide", *[LINES] * 150)
        assert most_waiting(stage, "bob") < HARD // 3
    assert len(stage.get("bob")) == 3 * 150 * 200


def test_no_page_is_more_than_may_wait_for_a_reader() -> None:
    stage = wide_room()
    stage.clients["bob"].room = 0
    stage.say("wide", *[LINES] * 200)
    stage.settle()
    stage.clients["bob"].room = None
    assert most_waiting(stage, "bob") < HARD // 3
    assert len(stage.get("bob")) == 200 * 200


@pytest.mark.parametrize("question", [f"/history #{WIDE} 200", "/who", "/rooms"])
def test_who_asks_much_at_once_is_answered_slowly_and_not_thrown_out(question: str) -> None:
    stage = wide_room()
    stage.say("wide", *[LINES] * 200)
    for number in range(500):
        name = WIDE[:29] + f"{number:03}"
        stage.say(name, {"type": "hello", "user": name}, {"type": "join", "room": name})
        stage.say(name, {"type": "topic", "room": name, "text": "𠀀" * 300})
        stage.say(name, {"type": "away", "text": "𠀀" * 200})
    stage.settle()
    stage.get("bob")
    stage.say("bob", question)
    one = len(stage.get("bob"))
    assert one > 100
    stage.say("bob", *[question] * 40)
    assert most_waiting(stage, "bob") < HARD
    assert len(stage.get("bob")) == 40 * one


def test_a_chunk_full_of_commands_is_worked_off_over_ticks_in_its_order() -> None:
    stage = Stage()
    stage.enter("alice", json=("carol",))
    stage.say("carol", *({"type": "post", "to": "#dev", "text": str(n)} for n in range(1_500)))
    stage.say("carol", *({"type": "history", "id": str(n), "of": "#dev"} for n in range(60)))
    stage.say("carol", {"type": "ping", "id": "last"})
    heard: list[int] = []
    while stage.tick():
        heard.append(len(stage.clients["alice"].lines()))
        # Others are served in between.
        stage.say("alice", "/topic dev") if len(heard) == 1 else None
    assert sum(heard) == 1_500 + 1
    assert len([number for number in heard if number]) >= 2
    assert max(heard) <= 1_001
    answers = [json.loads(line) for line in stage.get("carol")]
    assert [answer["seq"] for answer in answers[:1_500]] == list(range(5, 1_505))
    assert [answer["id"] for answer in answers[1_500:]] == [*map(str, range(60)), "last"]


def test_the_end_of_input_waits_until_all_before_it_is_done() -> None:
    stage = Stage()
    stage.enter("alice", json=("carol",))
    stage.say("alice", *(f"#dev {n}" for n in range(3_000)), "/topic dev done")
    stage.clients["alice"].end()
    *messages, topic, left = map(json.loads, stage.get("carol"))
    assert [message["text"] for message in messages] == [str(n) for n in range(3_000)]
    assert (topic["text"], left["reason"]) == ("done", "quit")
    assert stage.get("alice") == ["* you set the topic of #dev", "<end>"]


def test_an_event_is_encoded_once_for_all_readers_of_a_tongue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    stage.enter("alice", *"abcdef", json=tuple("uvwxyz"))
    encoded: list[type] = []
    for tongue in (Jsonl, Text):
        real = tongue.encode

        def counted(
            event: events.Event,
            own: bool = False,
            real: Any = real,
            tongue: type = tongue,
        ) -> bytes:
            encoded.append(tongue)
            result: bytes = real(event, own)
            return result

        monkeypatch.setattr(tongue, "encode", staticmethod(counted))
    stage.say("alice", "#dev one", "#dev two")
    stage.settle()
    assert [stage.get(name) for name in "abcdef"] == [
        ["[#dev] alice: one", "[#dev] alice: two"]
    ] * 6
    assert [len(stage.get(name)) for name in "uvwxyz"] == [2] * 6
    assert sorted(encoded, key=str) == [Jsonl, Text]


def test_what_cannot_be_encoded_is_missing_for_that_tongue_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    stage.enter("alice", "bob", json=("carol",))

    def fails(event: events.Event, own: bool = False) -> bytes:
        raise ValueError("no words")

    with monkeypatch.context() as patch:
        patch.setattr(Text, "encode", staticmethod(fails))
        stage.say("alice", "#dev one")
        while stage.tick():
            pass
        assert any("could not be told" in text for text in stage.take_errors())
        assert seqs(stage.get("carol")) == [7]
    stage.say("alice", "#dev two")
    assert stage.get("bob") == ["[#dev] alice: two"]


def test_a_failure_in_a_catch_up_ends_that_connection_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = slow_stage()
    talk(stage, 0, 100)
    real = Catchup.page
    broken = stage.connection("bob").catchup

    def page(self: Catchup, limit: int) -> tuple[list[Item], bool]:
        if self is broken:
            raise ValueError("no such page")
        return real(self, limit)

    monkeypatch.setattr(Catchup, "page", page)
    stage.clients["bob"].room = stage.clients["carol"].room = None
    while stage.tick():
        pass
    assert any("no such page" in text for text in stage.take_errors())
    assert stage.get("bob")[-1] == "<cut>"
    assert seqs(stage.get("carol")) == list(range(7, 108))
    assert stage.get("alice") == ["* bob left #dev (lost connection)"]


def test_a_reader_that_is_behind_can_be_stopped_with_the_server() -> None:
    stage = slow_stage()
    talk(stage, 0, 100)
    stage.server.loop.call_later(0, stage.server.stop)
    stage.settle()
    stage.clients["bob"].room = stage.clients["carol"].room = None
    assert stage.get("bob")[-2:] == ["* the server is stopping", "<end>"]
    assert json.loads(stage.get("carol")[-2])["code"] == "server-stopping"
