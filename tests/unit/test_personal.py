"""Personal protection: what one does not want to hear is not told, now or later, by any way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.bad_disk import DiskStage
from tests.unit.playbook import Stage
from tests.unit.registered import account, asked, done, log_in, prove, refused, told


@pytest.fixture
def stage() -> Stage:
    """In #dev: alice, an account, and carol, a guest, in JSON; bob and tim, guests, in text.

    alice blocks bob.
    """
    stage = Stage(join_history=20)
    account(stage, "alice")
    stage.enter("bob", "tim", json=("carol",))
    done(stage, "alice", "block", user="bob")
    return stage


def texts(answer: dict[str, Any]) -> list[str]:
    return [one["text"] for one in answer["entries"] if one["type"] == "message"]


def back(stage: Stage, name: str, after: int, token: str = "token-1") -> list[dict[str, Any]]:
    """alice comes back; what she missed."""
    stage.say(name, {"type": "hello", "user": "alice", "token": token, "after": after})
    _, *missed = told(stage, name)
    return missed


# Blocking


def test_what_the_blocked_say_is_not_told(stage: Stage) -> None:
    log_in(stage, "alice2", "alice")
    stage.say("bob", "#dev hello", "/me #dev waves", "/edit #dev 1", "/delete #dev", "@alice hey")
    stage.settle()
    assert len(stage.get("tim")) == 4
    assert told(stage, "alice") == told(stage, "alice2") == []
    stage.say("tim", "#dev me too")
    (heard,) = told(stage, "alice")
    assert heard["text"] == "me too"


def test_nor_later_in_any_form(stage: Stage) -> None:
    seq = stage.log.newest
    stage.clients["alice"].end("reset")
    stage.settle()
    stage.say("bob", "#dev from bob", "@alice from bob", "/edit #dev edited by bob")
    stage.say("tim", "#dev from tim", "@alice from tim")
    stage.settle()
    assert [one["text"] for one in back(stage, "alice2", seq)] == ["from tim", "from tim"]
    assert texts(asked(stage, "alice2", "history", of="#dev")) == ["from tim"]
    assert asked(stage, "alice2", "history", of="@bob")["entries"] == []
    assert texts(asked(stage, "alice2", "search", text="from")) == ["from tim", "from tim"]
    assert asked(stage, "alice2", "search", text="bob")["entries"] == []
    stage.say("quiet", "alice", "correct horse", "/leave dev", "/join dev")
    assert "bob" not in "".join(stage.get("quiet"))


def test_who_was_away_is_given_no_direct_message_of_the_blocked(stage: Stage) -> None:
    stage.say("alice", {"type": "quit"})
    stage.settle()
    stage.say("bob", "@alice from bob")
    stage.say("tim", "@alice from tim")
    stage.settle()
    heard = prove(stage, "alice2", "alice")[1:]
    assert [one["text"] for one in heard] == ["from tim"]


def test_a_slow_reader_is_told_the_same() -> None:
    stage = Stage(soft_limit=600, page=3)
    account(stage, "alice")
    stage.enter("bob", "tim")
    done(stage, "alice", "block", user="bob")
    stage.clients["alice"].room = 0
    for number in range(30):
        stage.say("bob", f"#dev from bob {number}")
        stage.say("tim", f"#dev from tim {number}")
        stage.settle()
    assert stage.connection("alice").catchup is not None
    stage.clients["alice"].room = None
    assert [one["text"] for one in told(stage, "alice")] == [f"from tim {n}" for n in range(30)]


def test_what_was_said_before_a_block_and_after_it_is_told_as_it_was_live(stage: Stage) -> None:
    seq = stage.log.newest
    done(stage, "alice", "unblock", user="bob")
    stage.say("bob", "#dev one", "@alice one")
    stage.settle()
    done(stage, "alice", "block", user="bob")
    stage.say("bob", "#dev two", "@alice two")
    stage.settle()
    done(stage, "alice", "unblock", user="BOB")
    stage.say("bob", "#dev three", "@alice three")
    live = [one["text"] for one in told(stage, "alice")]
    missed = [one["text"] for one in back(stage, "alice2", seq)]
    assert missed == ["one", "one", "three", "three"]
    assert live == ["three", "three"]
    # Direct messages that were not told stay untold, in history too.
    assert texts(asked(stage, "alice2", "history", of="@bob")) == ["one", "three"]
    assert texts(asked(stage, "alice2", "history", of="#dev")) == ["one", "two", "three"]


def test_to_the_blocked_the_blocker_looks_offline(stage: Stage) -> None:
    done(stage, "alice", "away", text="lunch")
    stage.play("""
        bob >> /who
        bob >> /who dev
        bob >> @alice hello
        bob >> /invite dev alice
        bob << * here: bob, tim, carol
        bob << * in #dev: bob, tim, carol, alice (owner, offline)
        bob << ! alice is in #dev already
        tim >> /who
        tim >> /who dev
        tim << * here: alice (away: lunch), bob, tim, carol
        tim << * in #dev: alice (owner, away: lunch), bob, tim, carol
    """)
    answer = asked(stage, "alice", "who")
    assert [one["user"] for one in answer["users"]] == ["alice", "bob", "tim", "carol"]


def test_to_the_blocked_all_is_as_if_the_blocker_was_away(stage: Stage) -> None:
    """An answer to somebody who is offline, and one to somebody who blocks, are the same."""
    account(stage, "dave")
    stage.say("dave", {"type": "quit"})
    stage.settle()
    stage.say("eve", {"type": "hello", "user": "eve"})
    stage.settle()
    done(stage, "alice", "block", user="eve")
    done(stage, "alice", "away", text="lunch")
    told(stage, "eve")
    for kind, fields in {
        "post": {"to": "@{}", "text": "hi", "id": "{}"},
        "history": {"of": "@{}"},
        "search": {"text": "hi", "of": "@{}"},
        "edit": {"to": "@{}", "text": "ho"},
        "delete": {"to": "@{}"},
    }.items():
        answers = []
        for name in ("alice", "dave"):
            given = {key: value.format(name) for key, value in fields.items()}
            stage.say("eve", {"type": kind, **given})
            (answer,) = told(stage, "eve")
            text = str(answer).replace(name, "NAME")
            answers.append("".join(c for c in text if not c.isdigit()))
        assert answers[0] == answers[1], kind
    assert told(stage, "alice") == []


def test_a_guest_that_blocks_is_not_there_for_the_blocked(stage: Stage) -> None:
    done(stage, "carol", "block", user="bob")
    stage.play("""
        bob >> @carol hello
        bob >> @nobody hello
        bob >> /who
        bob << ! there is no user carol here: /who lists who is here
        bob << ! there is no user nobody here: /who lists who is here
        bob << * here: bob, tim
    """)
    assert told(stage, "carol") == []


def test_the_blocked_cannot_reach_the_blocker_with_an_invitation(stage: Stage) -> None:
    seq = stage.log.newest
    stage.say("bob", "/join insult", "/invite insult alice")
    assert stage.get("bob")[-1] == "* alice is invited to #insult"
    assert told(stage, "alice") == []
    assert back(stage, "alice2", seq) == []


def test_what_others_do_to_the_blocked_and_what_moderators_do_is_told(stage: Stage) -> None:
    done(stage, "alice", "op", room="dev", user="bob")
    done(stage, "alice", "op", room="dev", user="carol")
    stage.say("bob", "/kick dev tim")
    stage.settle()
    assert [(one["type"], one["user"]) for one in told(stage, "alice")] == [("left", "tim")]
    done(stage, "carol", "block", user="alice")
    done(stage, "alice", "kick", room="dev", user="carol")
    assert [(one["type"], one["user"]) for one in told(stage, "carol")] == [("left", "carol")]


def test_blocks_are_listed_refused_and_limited() -> None:
    stage = Stage(blocks_per_user=1)
    account(stage, "alice")
    stage.enter("bob", "carol")
    assert asked(stage, "alice", "block", id="l") == {
        "type": "notice",
        "code": "blocked",
        "text": "you block nobody",
        "id": "l",
    }
    assert refused(stage, "alice", "unblock", user="bob") == "not-blocked"
    assert refused(stage, "alice", "block", user="alice") == "not-allowed"
    assert refused(stage, "alice", "block", user="nobody") == "no-such-user"
    done(stage, "alice", "block", user="@Bob")
    assert asked(stage, "alice", "block")["text"] == "you block bob"
    assert refused(stage, "alice", "block", user="carol") == "too-many"
    done(stage, "alice", "unblock", user="bob")
    done(stage, "alice", "block", user="carol")


def test_a_page_without_anything_to_hear_leads_on_all_the_same() -> None:
    """However much the blocked say: a question costs only so much, and what is before is found."""
    stage = Stage(page=5, name_attempts=100)
    account(stage, "alice")
    stage.enter("bob", "tim")
    stage.say("tim", "#dev from tim in the word")
    stage.settle()
    stage.say("bob", *(f"#dev the word from bob {n}" for n in range(100)))
    stage.settle()
    done(stage, "alice", "block", user="bob")
    told(stage, "alice")
    questions: list[tuple[str, dict[str, Any], str]] = [
        ("history", {"of": "#dev"}, "before"),
        ("search", {"text": "word", "limit": 5}, "below"),
    ]
    for kind, asked_for, key in questions:
        found: list[str] = []
        more = True
        while more:
            page = asked(stage, "alice", kind, **asked_for)
            found += texts(page)
            assert page["entries"] or not page["more"]
            more = page["more"]
            if more:
                asked_for[key] = min(one["seq"] for one in page["entries"])
        assert [text for text in found if text] == ["from tim in the word"]


# Rooms that one does not follow


def test_a_muted_room_is_silent_live_and_later(stage: Stage) -> None:
    done(stage, "alice", "join", room="ops")
    stage.say("tim", "/join ops")
    stage.settle()
    told(stage, "alice")
    seq = stage.log.newest
    done(stage, "alice", "mute-room", room="dev")
    log_in(stage, "alice2", "alice")
    stage.say("tim", "#dev unheard", "/topic dev unheard", "#ops heard")
    stage.settle()
    live = [one["text"] for one in told(stage, "alice")]
    done(stage, "alice", "unmute-room", room="dev")
    stage.say("tim", "#dev heard again")
    live += [one["text"] for one in told(stage, "alice")]
    assert live == ["heard", "heard again"]
    assert [one["text"] for one in told(stage, "alice2")] == live
    assert [one["text"] for one in back(stage, "alice3", seq)] == live
    # It is a member all the time, and can look.
    assert "unheard" in texts(asked(stage, "alice3", "history", of="#dev"))


def test_in_a_muted_room_one_still_hears_what_concerns_oneself(stage: Stage) -> None:
    seq = stage.log.newest
    done(stage, "carol", "mute-room", room="dev")
    done(stage, "alice", "op", room="dev", user="tim")
    done(stage, "alice", "mute", room="dev", user="carol")
    done(stage, "alice", "kick", room="dev", user="carol")
    live = told(stage, "carol")
    assert [one["type"] for one in live] == ["muted", "left"]
    hello = {"type": "hello", "user": "carol", "token": "token-2", "after": seq}
    stage.say("carol2", hello)
    assert told(stage, "carol2")[1:] == live


def test_who_enters_a_room_again_hears_it(stage: Stage) -> None:
    done(stage, "carol", "mute-room", room="dev")
    done(stage, "carol", "leave", room="dev")
    done(stage, "carol", "join", room="dev")
    stage.say("tim", "#dev hello")
    assert [one["text"] for one in told(stage, "carol")] == ["hello"]


def test_rooms_that_are_muted_are_refused_and_repeated(stage: Stage) -> None:
    assert refused(stage, "carol", "mute-room", room="ops") == "not-a-member"
    assert refused(stage, "carol", "unmute-room", room="ops") == "not-a-member"
    assert "seq" in done(stage, "carol", "mute-room", room="#DEV")
    assert "seq" not in done(stage, "carol", "mute-room", room="dev")
    assert "seq" in done(stage, "carol", "unmute-room", room="dev")
    assert "seq" not in done(stage, "carol", "unmute-room", room="dev")
    stage.say("tim", "/mute-room dev", "/unmute-room dev")
    assert stage.get("tim") == [
        "* you hear nothing of #dev any more",
        "* you hear #dev again",
    ]


def test_muting_rooms_and_leaving_them_fills_no_memory() -> None:
    stage = Stage(rooms_per_user=3)
    stage.enter(json=("carol",), room=None)
    for number in range(20):
        done(stage, "carol", "join", room=f"r{number}")
        done(stage, "carol", "mute-room", room=f"r{number}")
        done(stage, "carol", "leave", room=f"r{number}")
    assert len(stage.hub.state.names["carol"].silenced) <= 3


# Restarts


def test_blocks_and_muted_rooms_survive_restarts(tmp_path: Path) -> None:
    stage = DiskStage(tmp_path / "data", snapshot_entries=2)
    account(stage, "alice", "dave")
    stage.enter(json=("carol",))
    done(stage, "alice", "block", user="dave")
    done(stage, "alice", "block", user="carol")
    done(stage, "dave", "mute-room", room="dev")
    for kill in (True, False):
        stage.expect_no_difference()
        if kill:
            stage.kill()
        else:
            stage.stop()
        stage = DiskStage(tmp_path / "data", snapshot_entries=2, secrets=9 + kill)
        stage.expect_no_difference()
        log_in(stage, "alice", "alice")
        log_in(stage, "dave", "dave")
        done(stage, "dave", "post", to="#dev", text="hi")
        done(stage, "alice", "post", to="#dev", text="hi")
        assert told(stage, "alice") == []
        assert told(stage, "dave") == []
    stage.close()
