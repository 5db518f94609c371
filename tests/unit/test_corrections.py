"""Messages are edited and deleted, and what they said is then nowhere to be found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from selchat.hub.replay import Replay
from selchat.store.backup import backup
from selchat.store.check import check
from tests.unit.bad_disk import DiskStage
from tests.unit.playbook import Stage
from tests.unit.registered import account, asked, done, log_in, refused, told

NOWHERE = 2**63 - 1


@pytest.fixture
def stage() -> Stage:
    """alice, an account and the owner of #dev, and carol, a guest, in JSON; bob in text."""
    stage = Stage(join_history=20)
    account(stage, "alice")
    stage.enter("bob", json=("carol",))
    return stage


def say(stage: Stage, client: str, text: str, to: str = "#dev", **more: Any) -> int:
    """Post something; its seq. Nobody looks."""
    seq = done(stage, client, "post", to=to, text=text, **more)["seq"]
    for other in stage.clients.values():
        other.lines()
    return int(seq)


def texts(page: dict[str, Any]) -> list[str]:
    return [one["text"] for one in page["entries"] if one["type"] == "message"]


def history(stage: Stage, client: str, of: str = "#dev") -> list[dict[str, Any]]:
    page = asked(stage, client, "history", of=of)
    return [one for one in page["entries"] if one["type"] == "message"]


# Deleting


def test_a_deleted_message_is_told_and_a_tombstone_stays(stage: Stage) -> None:
    seq = say(stage, "alice", "a secret")
    stage.play(f"""
        alice >> {{"type":"delete","id":"d","to":"#dev"}}
        alice << {{"type":"ok","id":"d","seq":{seq + 1},"at":"NOW"}}
        carol << {{"type":"deleted","seq":{seq + 1},"at":"NOW","to":"#dev","of":{seq},
            .. "user":"alice","author":"alice"}}
        bob << * alice deleted a message in #dev
        bob >> /history #dev 3
        bob << * [2026-01-31 12:00Z] carol joined #dev
        bob << * [2026-01-31 12:00Z] [#dev] alice: (deleted)
        bob << * [2026-01-31 12:00Z] alice deleted a message in #dev
        bob >> /search secret
        bob << * nothing was found for: secret
        dave >> dave
        dave >> /join dev
        dave << * welcome dave: /join ROOM enters a room, /help lists the commands, quit leaves
        dave << * you joined #dev
        alice << {{"type":"joined","seq":{seq + 3},"at":"NOW","room":"dev","user":"dave"}}
        carol << {{"type":"joined","seq":{seq + 3},"at":"NOW","room":"dev","user":"dave"}}
        bob << * dave joined #dev
    """)
    (tombstone,) = history(stage, "carol")
    assert tombstone.items() >= {"seq": seq, "text": "", "deleted": True, "from": "alice"}.items()


def test_deleting_twice_is_done_once(stage: Stage) -> None:
    seq = say(stage, "carol", "one")
    done(stage, "carol", "delete", to="#dev", seq=seq)
    assert "seq" not in done(stage, "carol", "delete", to="#dev", seq=seq)
    stage.say("bob", "/delete #dev")
    assert stage.get("bob")[-1] == "! there is no such message in #dev: /history #dev"


def test_moderators_delete_what_others_said(stage: Stage) -> None:
    mine, seq = say(stage, "alice", "mine"), say(stage, "carol", "rude")
    stage.say("bob", "/delete #dev carol")
    assert stage.get("bob") == [
        "! that takes its author, or a moderator of the room: ask one of them"
    ]
    assert refused(stage, "carol", "delete", to="#dev", seq=mine) == "not-allowed"
    done(stage, "alice", "delete", to="#dev", user="carol")
    (event,) = told(stage, "carol")
    assert event["type"] == "deleted"
    assert (event["of"], event["user"], event["author"]) == (seq, "alice", "carol")
    assert stage.get("bob") == ["* alice deleted a message of carol in #dev"]
    done(stage, "alice", "op", room="dev", user="bob")
    say(stage, "carol", "rude again")
    stage.say("bob", "/delete #dev @carol")
    assert stage.get("bob")[-1] == "* the message is deleted"


def test_what_is_not_there_cannot_be_corrected(stage: Stage) -> None:
    joined = stage.log.newest
    other = done(stage, "alice", "join", room="ops")["seq"]
    for seq in (0, joined, other, NOWHERE, 99):
        for kind, fields in (("delete", {}), ("edit", {"text": "x"})):
            code = refused(stage, "alice", kind, to="#dev", seq=seq, **fields)
            assert code == "no-such-message", (kind, seq)
    assert refused(stage, "carol", "delete", to="#ops") == "not-a-member"
    assert refused(stage, "carol", "delete", to="@nobody") == "no-such-user"
    assert refused(stage, "carol", "edit", to="dev", text="x") == "bad-target"
    assert refused(stage, "carol", "edit", to="#dev", text=" ") == "empty"


def test_who_left_a_room_cannot_correct_there_and_who_is_muted_neither(stage: Stage) -> None:
    seq = say(stage, "carol", "one")
    done(stage, "alice", "mute", room="dev", user="carol")
    assert refused(stage, "carol", "edit", to="#dev", text="two") == "muted"
    done(stage, "carol", "leave", room="dev")
    assert refused(stage, "carol", "delete", to="#dev", seq=seq) == "not-a-member"


# Editing


def test_an_edit_is_told_and_the_message_is_another_one(stage: Stage) -> None:
    seq = say(stage, "carol", "hello wrold", id="p")
    stage.play(f"""
        carol >> {{"type":"edit","id":"e","to":"#dev","seq":{seq},"text":"hello\\nworld"}}
        carol << {{"type":"ok","id":"e","seq":{seq + 1},"at":"NOW"}}
        alice << {{"type":"edited","seq":{seq + 1},"at":"NOW","to":"#dev","of":{seq},
            .. "from":"carol","text":"hello\\nworld"}}
        bob << * carol changed a message in #dev: hello
        bob << * world
        bob >> /search world
        bob << * [2026-01-31 12:00Z] [#dev] carol: hello
        bob << * [2026-01-31 12:00Z] [#dev] carol: *world*
        bob >> /search wrold
        bob << * nothing was found for: wrold
        carol >> {{"type":"post","id":"p","to":"#dev","text":"hello wrold"}}
        carol << {{"type":"ok","id":"p","seq":{seq},"at":"NOW"}}
    """)
    (message,) = history(stage, "alice")
    assert message.items() >= {"seq": seq, "text": "hello\nworld", "edited": True}.items()
    assert refused(stage, "carol", "post", id="p", to="#ops", text="hello wrold") == "id-reused"


def test_a_post_repeated_after_it_was_deleted_does_not_come_back(stage: Stage) -> None:
    seq = say(stage, "carol", "hello", id="p")
    done(stage, "carol", "delete", to="#dev", seq=seq)
    assert done(stage, "carol", "post", id="p", to="#dev", text="hello")["seq"] == seq
    assert [one["text"] for one in history(stage, "alice")] == [""]


def test_only_its_author_edits_a_message(stage: Stage) -> None:
    seq = say(stage, "carol", "mine")
    assert refused(stage, "alice", "edit", to="#dev", seq=seq, text="yours") == "not-allowed"
    done(stage, "carol", "delete", to="#dev", seq=seq)
    assert refused(stage, "carol", "edit", to="#dev", seq=seq, text="x") == "no-such-message"


def test_in_text_it_is_the_last_message_that_is_meant(stage: Stage) -> None:
    stage.say("bob", "#dev one", "#dev two", "/edit #dev 2  2", "/delete #dev", "/edit #dev 1")
    assert stage.get("bob") == [
        "* you changed it to: 2  2",
        "* the message is deleted",
        "* you changed it to: 1",
    ]
    assert [one["text"] for one in history(stage, "alice")] == ["1", ""]


def test_a_name_that_somebody_else_has_now_gives_no_rights(stage: Stage) -> None:
    seq = say(stage, "carol", "mine")
    done(stage, "carol", "nick", name="caro")
    stage.say("eve", {"type": "hello", "user": "carol"}, {"type": "join", "room": "dev"})
    told(stage, "eve")
    assert refused(stage, "eve", "edit", to="#dev", seq=seq, text="x") == "not-allowed"
    assert refused(stage, "eve", "delete", to="#dev", seq=seq) == "not-allowed"
    assert refused(stage, "eve", "delete", to="#dev") == "no-such-message"
    done(stage, "carol", "delete", to="#dev")


def test_an_account_corrects_what_it_said_in_another_session(stage: Stage) -> None:
    seq = say(stage, "alice", "hello wrold")
    log_in(stage, "alice2", "alice")
    done(stage, "alice2", "edit", to="#dev", seq=seq, text="hello world")
    (edited,) = told(stage, "alice")
    assert (edited["type"], edited["of"], edited["text"]) == ("edited", seq, "hello world")


def test_direct_messages_are_corrected_by_their_author_alone(stage: Stage) -> None:
    seq = say(stage, "carol", "hello wrold", to="@alice")
    assert refused(stage, "alice", "delete", to="@carol", user="carol") == "not-allowed"
    done(stage, "carol", "edit", to="@alice", text="hello world")
    done(stage, "carol", "delete", to="@alice", seq=seq)
    edited, deleted = told(stage, "alice")[-2:]
    assert (edited["type"], edited["to"], edited["of"]) == ("edited", "@alice", seq)
    assert (deleted["type"], deleted["to"], deleted["of"]) == ("deleted", "@alice", seq)
    assert stage.get("bob") == []
    assert [one["text"] for one in history(stage, "alice", "@carol")] == [""]


# What is left of it


def resume(stage: Stage, name: str, after: int) -> list[dict[str, Any]]:
    """carol comes back, and is told what she missed."""
    token = "token-2"
    stage.say(name, {"type": "hello", "user": "carol", "token": token, "after": after})
    return [one for one in told(stage, name) if one["type"] != "welcome"]


def test_who_catches_up_gets_the_text_of_now_and_no_other(stage: Stage) -> None:
    seq = say(stage, "alice", "first")
    stage.clients["carol"].end("reset")
    stage.settle()
    kept = say(stage, "alice", "draft 1")
    done(stage, "alice", "edit", to="#dev", seq=kept, text="draft 2")
    done(stage, "alice", "edit", to="#dev", seq=kept, text="fair copy")
    done(stage, "alice", "edit", to="#dev", seq=seq, text="second")
    done(stage, "alice", "delete", to="#dev", seq=seq)
    missed = resume(stage, "carol2", seq)
    assert [(one["type"], one.get("of"), one.get("text")) for one in missed] == [
        ("message", None, "fair copy"),
        ("edited", kept, "fair copy"),
        ("deleted", seq, None),
    ]
    assert "first" not in str(resume(stage, "carol3", seq - 1))
    page = asked(stage, "alice", "history", of="#dev")
    for gone in ("first", "second", "draft"):
        assert gone not in str(page)


@pytest.mark.parametrize("restart", [False, True])
def test_a_backup_holds_no_trace_of_what_was_taken_back(tmp_path: Path, restart: bool) -> None:
    folder, target = tmp_path / "data", tmp_path / "backup"
    stage = DiskStage(folder, snapshot_entries=1)
    account(stage, "alice", "bob")
    deleted = say(stage, "alice", "unspeakable words")
    edited = say(stage, "alice", "embarrassing words")
    both = say(stage, "bob", "regrettable words", to="@alice")
    asked(stage, "alice", "search", text="words")  # so that they are in the index
    stage.advance(10)
    done(stage, "alice", "delete", to="#dev", seq=deleted)
    done(stage, "alice", "edit", to="#dev", seq=edited, text="clumsy words")
    done(stage, "alice", "edit", to="#dev", seq=edited, text="polite words")
    done(stage, "bob", "edit", to="@alice", seq=both, text="foolish words")
    done(stage, "bob", "delete", to="@alice", seq=both)
    gone = ("unspeakable", "embarrassing", "clumsy", "regrettable", "foolish")
    for word in gone:
        assert asked(stage, "alice", "search", text=word)["entries"] == []
    found = asked(stage, "alice", "search", text="words")["entries"]
    assert [one["text"] for one in found] == ["polite words"]
    stage.expect_no_difference()
    if restart:
        stage.stop()
        stage = DiskStage(folder)
    backup(folder, target)
    data = target.read_bytes()
    assert b"polite words" in data
    assert [word for word in gone if word.encode() in data] == []
    found_problems = check(folder, lambda saved, whole: Replay(saved, whole=whole)).problems
    assert found_problems == []
    stage.close()


def test_a_correction_that_is_not_stored_did_not_happen(tmp_path: Path) -> None:
    stage = DiskStage(tmp_path / "data")
    account(stage, "alice")
    stage.enter("bob")
    seq = say(stage, "alice", "one")
    done(stage, "alice", "edit", to="#dev", seq=seq, text="two")
    stage.get("bob")
    stage.disk.fail("COMMIT")
    assert refused(stage, "alice", "delete", to="#dev", seq=seq) == "not-stored"
    assert stage.get("bob") == []
    stage.disk.heal()
    stage.advance(1.1)
    assert [one["text"] for one in history(stage, "alice")] == ["two"]
    found = asked(stage, "alice", "search", text="two")["entries"]
    assert [one["seq"] for one in found] == [seq]
    stage.expect_no_difference()
    stage.close()
