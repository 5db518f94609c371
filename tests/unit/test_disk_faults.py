"""A disk that fails under a running server: nobody is told what is not so, and it recovers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from selchat.errors import StoreError
from selchat.hub.hub import _from_log
from selchat.hub.snapshot import dump
from tests.unit.bad_disk import BROKEN, CORRUPT, FULL, READ_ONLY, DiskStage

WHY = "that could not be stored (the disk is full: free some space): try again later"


MakeStage = Callable[..., DiskStage]


@pytest.fixture
def make_stage(tmp_path: Path) -> Iterator[MakeStage]:
    with ExitStack() as stages:

        def make_stage(**settings: Any) -> DiskStage:
            stage = DiskStage(tmp_path / "data", **settings)
            stages.callback(stage.close)
            return stage

        yield make_stage


@pytest.fixture
def stage(make_stage: MakeStage) -> DiskStage:
    """alice and bob in text, carol in JSON, all in #dev; the log is at 6."""
    stage = make_stage()
    stage.enter("alice", "bob", json=("carol",))
    assert stage.log.newest == 6
    return stage


def post(text: str, identity: str = "p", to: str = "#dev") -> dict[str, str]:
    return {"type": "post", "id": identity, "to": to, "text": text}


def hello(stage: DiskStage, name: str, after: int) -> None:
    """carol comes back, on a connection called `name`."""
    question = {"type": "hello", "user": "carol", "token": "token-1", "log": "log"}
    stage.say(name, question | {"after": after})


def recover(stage: DiskStage) -> None:
    stage.disk.heal()
    stage.advance(1.1)


# What is not stored


def test_nobody_is_told_and_all_who_asked_are_refused(stage: DiskStage) -> None:
    stage.disk.fail_writing()
    stage.play(f"""
        alice >> #dev one
        alice >> @bob two
        bob >> /topic dev three
        carol >> {{"type":"post","id":"p","to":"#dev","text":"four"}}
        carol >> {{"type":"join","id":"j","room":"other"}}
        carol >> {{"type":"ping","id":"q"}}
        alice << ! {WHY}
        alice << ! {WHY}
        bob << ! {WHY}
        carol << {{"type":"error","id":"p","code":"not-stored","text":"{WHY}"}}
        carol << {{"type":"error","id":"j","code":"not-stored","text":"{WHY}"}}
        carol << {{"type":"error","id":"q","code":"not-stored","text":"{WHY}"}}
    """)
    (said,) = stage.said
    assert said == (
        "NOTHING CAN BE STORED: the disk is full: free some space. "
        "Messages are refused until it can"
    )
    stage.expect_no_difference()
    assert stage.log.newest == 6
    assert stage.hub.state.rooms["dev"].topic == ""
    assert "other" not in stage.hub.state.rooms


@pytest.mark.parametrize("error", [FULL, BROKEN, READ_ONLY, CORRUPT])
def test_it_goes_on_by_itself_when_the_disk_does(
    stage: DiskStage, error: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    stage.disk.fail_writing(error)
    stage.say("carol", post("one"))
    (refused,) = stage.get("carol")
    assert json.loads(refused)["code"] == "not-stored"
    stage.advance(30)
    assert len(stage.said) == 1, "it is said once, not once a second"
    recover(stage)
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "messages can be stored again"
    ]
    stage.play("""
        carol >> {"type":"post","id":"p","to":"#dev","text":"one"}
        carol << {"type":"ok","id":"p","seq":7,"at":"NOW"}
        alice << [#dev] carol: one
        bob << [#dev] carol: one
    """)
    stage.expect_no_difference()


def test_what_was_stored_can_be_read_meanwhile(stage: DiskStage) -> None:
    stage.play("""
        alice >> #dev before
        bob << [#dev] alice: before
        carol << {"type":"message","seq":7,"at":"NOW","to":"#dev","from":"alice","text":"before"}
    """)
    stage.advance(1)  # it is taken into the index
    stage.disk.fail_writing()
    stage.say("alice", "#dev lost", "/history #dev")
    stage.get("alice")
    stage.play("""
        bob >> /who dev
        bob << * in #dev: alice (owner), bob, carol
        bob >> /rooms
        bob << * #dev (3)
        carol >> {"type":"history","id":"h","of":"#dev","after":6}
        carol << {"type":"history","id":"h","of":"#dev","entries":[{"type":"message","seq":7,
              .. "at":"2026-01-31T12:00:00.123Z","to":"#dev","from":"alice","text":"before"}],
              .. "more":false}
        carol >> {"type":"search","id":"s","text":"before"}
        carol << {"type":"found","id":"s","text":"before","entries":[{"type":"message","seq":7,
              .. "at":"2026-01-31T12:00:00.123Z","to":"#dev","from":"alice","text":"before"}],
              .. "more":false}
        carol >> {"type":"ping","id":"q"}
        carol << {"type":"pong","id":"q"}
        alice >> #dev again
        alice << ! that could not be stored (the disk is full: free some space): try again later
    """)
    stage.expect_no_difference()


def test_a_question_in_the_tick_that_fails_does_not_hide_it(stage: DiskStage) -> None:
    """A question writes what is pending; where that fails, the tick as a whole has failed."""
    for undoes in (False, True):
        stage.disk.fail("INSERT INTO entry", after=1, undoes=undoes)
        stage.say("alice", "#dev one", "#dev two", "/history #dev", "#dev three", "/who dev")
        stage.tick()
        stage.disk.heal()
        lines = stage.get("alice")
        assert len(lines) == 5
        assert all(line.startswith("! ") for line in lines), lines
        assert stage.get("bob") == []
        assert stage.log.newest == 6
        stage.expect_no_difference()
        recover(stage)


def test_a_post_is_answered_from_the_log_where_it_was_stored_before(stage: DiskStage) -> None:
    stage.say("carol", post("one"))
    ok = stage.get("carol")
    stage.disk.fail_writing()
    stage.say("carol", post("two", "p2"))
    stage.get("carol")
    stage.say("carol", post("one"))
    assert stage.get("carol") == ok


# Who comes and goes meanwhile


def test_who_logs_in_is_refused_and_may_come_again(stage: DiskStage) -> None:
    stage.disk.fail_writing()
    stage.play(f"""
        dave >> dave
        erin >> {{"type":"hello","id":"h","user":"erin"}}
        dave << ! {WHY}
        dave <| end
        erin << {{"type":"error","id":"h","code":"not-stored","text":"{WHY}"}}
        erin <| end
        frank >> frank
        frank << ! {WHY}
    """)
    stage.expect_no_difference()
    recover(stage)
    stage.play("""
        frank >> frank
        frank << * welcome frank: /join ROOM enters a room, /help lists the commands, quit leaves
    """)
    stage.expect_no_difference()


def test_who_leaves_meanwhile_has_left_afterwards(stage: DiskStage) -> None:
    stage.enter("dave", "erin")
    stage.disk.fail_writing()
    stage.say("alice", "#dev one")
    stage.clients["dave"].end("reset")
    stage.settle()
    stage.get("alice")
    stage.say("erin", "quit")
    stage.clients["bob"].end("reset")
    stage.settle()
    assert set(stage.hub.state.names) == {"alice", "bob", "carol", "dave", "erin"}
    for client in stage.clients.values():
        client.lines()
    stage.disk.heal()
    stage.advance(1.1)
    assert sorted(stage.get("alice")) == [
        f"* {name} left #dev (lost connection)" for name in ("bob", "dave", "erin")
    ]
    assert set(stage.hub.state.names) == {"alice", "carol"}
    stage.expect_no_difference()
    stage.say("dave again", "dave")
    assert stage.get("dave again")[0].startswith("* welcome dave")


def test_a_session_with_a_token_comes_back_meanwhile_and_misses_nothing(stage: DiskStage) -> None:
    stage.say("alice", "#dev one")
    assert len(stage.get("carol")) == 1
    stage.disk.fail_writing()
    stage.say("alice", "#dev two")
    stage.clients["carol"].end("reset")
    stage.settle()
    hello(stage, "carol again", 6)
    welcome, one = map(json.loads, stage.get("carol again"))
    assert welcome["rooms"] == ["dev"]
    assert (one["seq"], one["text"]) == (7, "one")
    stage.say("carol again", post("three"))
    (refused,) = stage.get("carol again")
    assert json.loads(refused)["code"] == "not-stored"
    recover(stage)
    stage.clients["alice"].lines()
    stage.say("carol again", post("three"))
    (ok,) = stage.get("carol again")
    assert json.loads(ok)["seq"] == 8
    assert stage.get("alice") == ["[#dev] carol: three"]
    stage.expect_no_difference()


def test_the_grace_that_ends_meanwhile_starts_anew(stage: DiskStage) -> None:
    stage.clients["carol"].end("reset")
    stage.settle()
    stage.disk.fail_writing()
    stage.say("alice", "#dev one")
    stage.advance(200)
    stage.get("alice")
    assert "carol" in stage.hub.state.names
    recover(stage)
    stage.advance(100)
    assert stage.get("alice") == []
    stage.advance(30)
    assert stage.get("alice") == ["* carol left #dev (lost connection)"]
    stage.expect_no_difference()


def test_who_was_given_a_session_in_the_tick_that_failed_has_none(stage: DiskStage) -> None:
    stage.connect("dave")
    stage.connect("erin")
    stage.disk.fail_writing()
    stage.say("dave", "dave", "/join dev", "#dev hi")
    stage.say("erin", {"type": "hello", "user": "erin"}, post("hi"))
    assert stage.get("dave") == [f"! {WHY}", "<end>"]
    refused, end = stage.get("erin")
    assert json.loads(refused)["code"] == "not-stored"
    assert end == "<end>"
    assert stage.get("bob") == []
    recover(stage)
    assert stage.get("bob") == []
    assert set(stage.hub.state.names) == {"alice", "bob", "carol"}
    stage.expect_no_difference()


def test_a_takeover_in_the_tick_that_failed_ends_both(stage: DiskStage) -> None:
    stage.connect("carol again")
    stage.disk.fail_writing()
    hello(stage, "carol again", 6)
    stage.say("alice", "#dev one")
    old, new = stage.get("carol"), stage.get("carol again")
    assert json.loads(old[0])["code"] == "taken-over"
    assert old[-1] == "<end>"
    assert json.loads(new[0])["code"] == "not-stored"
    assert new[-1] == "<end>"
    recover(stage)
    stage.expect_no_difference()
    hello(stage, "carol third", 6)
    assert json.loads(stage.get("carol third")[0])["type"] == "welcome"


def test_what_nobody_asked_for_is_told_all_the_same(stage: DiskStage) -> None:
    stage.disk.fail_writing()
    stage.say("alice", "#dev one")
    stage.say("carol", "{", {"type": "nonsense"})
    codes = [json.loads(line)["code"] for line in stage.get("carol")]
    assert codes == ["bad-json", "unknown-command"]


# A disk that cannot be read either


def test_while_nothing_can_be_read_nothing_is_told_that_was_not_stored(stage: DiskStage) -> None:
    stage.disk.fail_wholly()
    stage.say("carol", {"type": "join", "id": "1", "room": "new"}, post("one", "2"))
    assert [json.loads(line)["code"] for line in stage.get("carol")] == ["not-stored"] * 2
    assert [line.partition(":")[0] for line in stage.said] == [
        "NOTHING CAN BE STORED",
        "AND NOTHING CAN BE READ",
    ]
    assert stage.hub.stale
    # What was joined in vain is not a room that one is in.
    stage.say("carol", {"type": "join", "id": "3", "room": "new"}, {"type": "who", "id": "4"})
    assert [json.loads(line)["code"] for line in stage.get("carol")] == ["not-stored"] * 2
    stage.say("dave", {"type": "hello", "user": "dave"})
    assert json.loads(stage.get("dave")[0])["code"] == "not-stored"
    stage.say("carol", {"type": "ping", "id": "5"})
    assert json.loads(stage.get("carol")[0])["type"] == "pong"
    assert stage.get("alice") == []
    stage.clients["alice"].end("reset")
    stage.advance(5)

    # Writing comes back first, reading later.
    stage.disk.fail("SELECT fact", error=BROKEN)
    stage.advance(5)
    assert stage.failing()
    recover(stage)
    assert not stage.failing()
    stage.expect_no_difference()
    assert "new" not in stage.hub.state.rooms
    assert set(stage.hub.state.names) == {"bob", "carol"}
    assert stage.get("bob") == ["* alice left #dev (lost connection)"]
    stage.get("carol")
    stage.say("carol", {"type": "join", "id": "6", "room": "new"})
    assert json.loads(stage.get("carol")[0])["seq"] == stage.log.newest


def test_a_snapshot_is_not_made_of_what_was_not_stored(make_stage: MakeStage) -> None:
    stage = make_stage(snapshot_entries=1)
    stage.enter("alice", "bob")
    stage.advance(1)
    saved = stage.log.snapshot()
    assert saved is not None
    stage.say("alice", "#dev one")
    stage.settle()
    stage.disk.fail_wholly()
    stage.say("bob", "/join new")
    stage.advance(5)
    stage.disk.fail("SELECT fact")
    stage.advance(5)
    stage.disk.heal()
    assert stage.log.snapshot() == saved
    stage.advance(5)
    stage.expect_no_difference()


def test_a_failed_snapshot_harms_nobody(make_stage: MakeStage) -> None:
    stage = make_stage(snapshot_entries=1)
    stage.enter("alice", "bob")
    stage.disk.fail("INSERT INTO snapshot", error=FULL)
    stage.advance(1)
    stage.say("alice", "#dev one")
    assert stage.get("bob") == ["[#dev] alice: one"]
    assert any("the log's upkeep failed: the disk is full" in line for line in stage.said)
    stage.disk.heal()
    stage.say("alice", "#dev two")
    stage.advance(1)
    saved = stage.log.snapshot()
    assert saved is not None
    assert saved[0] == stage.log.newest


def test_a_reader_in_the_past_is_closed_where_its_past_cannot_be_read(stage: DiskStage) -> None:
    """Better a clear end than a gap; what it missed it gets when it comes back."""
    stage.say("alice", "#dev one")
    stage.settle()
    stage.clients["carol"].end("reset")
    stage.settle()
    stage.disk.fail("SELECT fact", error=BROKEN)
    hello(stage, "carol again", 6)
    stage.settle()
    stage.disk.heal()
    hello(stage, "carol third", 6)
    lines = stage.get("carol third")
    assert [json.loads(line)["type"] for line in lines] == ["welcome", "message"]


# The start


def test_what_is_restored_is_what_was_there(make_stage: MakeStage) -> None:
    first = make_stage(snapshot_entries=5)
    first.enter("alice", json=("carol", "dora"))
    first.say("carol", {"type": "topic", "room": "dev", "text": "fish"})
    first.advance(1)
    saved = first.log.snapshot()
    assert saved is not None
    first.say("dora", {"type": "nick", "name": "eve"}, {"type": "join", "room": "other"})
    first.settle()
    assert saved[0] < first.log.newest
    before = dump(first.hub.state)
    first.log.close()

    second = make_stage()
    assert dump(_from_log(second.log)) != before, "alice, who spoke text, is gone"
    second.connect("dave")  # the first tick
    assert set(second.hub.state.names) == {"carol", "eve"}
    assert second.hub.state.rooms["dev"].topic == "fish"
    second.expect_no_difference()
    second.log.save_snapshot(b"{}")
    with pytest.raises(StoreError, match="the saved state is damaged"):
        _from_log(second.log)
