"""Sessions over time: grace, resume, takeover, and what ends with the connection."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.playbook import Stage

GRACE = 120.0
DAY = 86_400.0


@pytest.fixture
def stage() -> Stage:
    """alice in text, carol in JSON, both in #dev; the log is at 4."""
    stage = Stage()
    stage.enter("alice", json=("carol",))
    return stage


def resume(after: int | None, user: str = "carol", **more: Any) -> dict[str, Any]:
    question = {"type": "hello", "user": user, "token": "token-1", "log": "log"} | more
    return question if after is None else question | {"after": after}


def told(stage: Stage, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) if line[0] == "{" else {"over": line} for line in stage.get(name)]


def refused(stage: Stage, name: str, question: dict[str, Any]) -> str:
    """The code of the error that is the whole answer."""
    stage.say(name, question)
    (error,) = told(stage, name)
    assert error["type"] == "error", error
    return str(error["code"])


# Grace and resume


@pytest.mark.parametrize("how", ["end", "reset"])
def test_in_the_grace_nobody_notices_and_nothing_is_missed(stage: Stage, how: str) -> None:
    stage.clients["carol"].end(how)
    stage.advance(GRACE - 1)
    assert stage.get("carol") == (["<end>"] if how == "end" else [])
    assert stage.get("alice") == []
    stage.play("""
        alice >> #dev one
        alice >> @carol two
        alice >> /who dev
        alice << * in #dev: alice (owner), carol
        carol2 >> {"type":"hello","id":"h","user":"carol","token":"token-1","after":4,"log":"log"}
        carol2 >> {"type":"post","id":"1","to":"#dev","text":"back"}
        carol2 << {"type":"welcome","user":"carol","token":"token-1","seq":6,"log":"log",
               .. "version":"VERSION","line_limit":65536,"rooms":["dev"]}
        carol2 << {"type":"message","seq":5,"at":"2026-01-31T12:01:59.123Z","to":"#dev",
               .. "from":"alice","text":"one"}
        carol2 << {"type":"message","seq":6,"at":"2026-01-31T12:01:59.123Z","to":"@carol",
               .. "from":"alice","text":"two"}
        carol2 << {"type":"ok","id":"1","seq":7,"at":"2026-01-31T12:01:59.123Z"}
        alice << [#dev] carol: back
        alice >> #dev three
        carol2 << {"type":"message","seq":8,"at":"NOW","to":"#dev","from":"alice","text":"three"}
    """)


def test_after_the_grace_the_others_are_told_and_the_name_is_free(stage: Stage) -> None:
    stage.clients["carol"].end("reset")
    stage.advance(GRACE)
    stage.play("""
        alice << * carol left #dev (lost connection)
        alice >> /who
        alice << * here: alice
        alice >> @carol hi
        alice << ! there is no user carol here: /who lists who is here
        bob >> carol
        bob << * welcome carol: /join ROOM enters a room, /help lists the commands, quit leaves
    """)


def test_the_grace_begins_anew_with_each_loss(stage: Stage) -> None:
    for number in range(3):
        name = f"carol{number or ''}"
        stage.clients[name].end("reset")
        stage.advance(GRACE - 1)
        stage.say(f"carol{number + 1}", resume(4))
        stage.settle()
    stage.advance(GRACE)
    assert "* carol left #dev (lost connection)" not in stage.get("alice")


def test_a_session_comes_back_long_after_with_what_was_said_until_it_left(stage: Stage) -> None:
    stage.clients["carol"].end("reset")
    stage.say("alice", "#dev one")
    stage.advance(GRACE)
    stage.say("alice", "#dev after it left")
    stage.advance(DAY - GRACE - 1)
    stage.say("carol2", resume(4))
    welcome, message, left = told(stage, "carol2")
    assert (welcome["type"], welcome["user"], welcome["rooms"]) == ("welcome", "carol", [])
    assert (message["seq"], message["text"]) == (5, "one")
    assert (left["type"], left["user"], left["reason"]) == ("left", "carol", "lost connection")
    # It is online again, and can come back again with what it now knows.
    stage.say("alice", "@carol you are back")
    (message,) = told(stage, "carol2")
    assert message["text"] == "you are back"
    stage.clients["carol2"].end("reset")
    stage.settle()
    stage.say("carol3", resume(message["seq"]))
    assert [event["type"] for event in told(stage, "carol3")] == ["welcome"]


def test_who_comes_back_later_takes_another_name_if_its_own_was_taken(stage: Stage) -> None:
    stage.clients["carol"].end("reset")
    stage.advance(GRACE)
    stage.say("thief", "CAROL")
    stage.settle()
    assert refused(stage, "carol2", resume(4)) == "name-in-use"
    assert refused(stage, "carol2", resume(4, user="you")) == "bad-name"
    stage.say("carol2", resume(4, user="Caro"))
    assert told(stage, "carol2")[0]["user"] == "Caro"
    stage.say("alice", "@Caro hi")
    assert told(stage, "carol2")[-1]["text"] == "hi"


def test_in_the_grace_the_name_is_taken_and_comes_back_whatever_the_hello_says(
    stage: Stage,
) -> None:
    stage.clients["carol"].end("reset")
    stage.say("thief", "carol")
    assert stage.get("thief") == ["! the name carol is in use: choose another"]
    stage.say("carol2", resume(4, user="somebody"))
    assert told(stage, "carol2")[0]["user"] == "carol"


def test_a_token_is_valid_for_its_lifetime_after_the_last_contact(stage: Stage) -> None:
    stage.clients["carol"].end("reset")
    stage.advance(DAY - 1)
    stage.say("carol2", resume(4))
    assert told(stage, "carol2")[0]["type"] == "welcome"
    stage.clients["carol2"].end("reset")
    stage.advance(DAY)
    assert refused(stage, "carol3", resume(4)) == "session-expired"
    # The connection waits for a fresh hello.
    stage.say("carol3", {"type": "hello", "user": "carol"})
    (welcome,) = told(stage, "carol3")
    assert welcome["token"] == "token-2"


def test_after_a_quit_the_token_is_worth_nothing(stage: Stage) -> None:
    stage.say("carol", {"type": "quit"})
    assert [event.get("type") for event in told(stage, "carol")] == ["ok", None]
    assert refused(stage, "carol2", resume(4)) == "session-expired"
    assert refused(stage, "carol2", resume(4, token="")) == "session-expired"


def test_a_log_that_is_not_the_one_seen_before(stage: Stage) -> None:
    stage.clients["carol"].end("reset")
    assert refused(stage, "carol2", resume(4, log="another")) == "log-changed"
    assert refused(stage, "carol2", resume(5)) == "log-changed"
    stage.say("carol2", resume(4))
    assert told(stage, "carol2")[0]["type"] == "welcome"


def test_without_after_nothing_is_given_back(stage: Stage) -> None:
    stage.clients["carol"].end("reset")
    stage.say("alice", "#dev missed")
    stage.settle()
    stage.say("carol2", resume(None))
    assert [event["type"] for event in told(stage, "carol2")] == ["welcome"]


def test_what_was_missed_and_is_no_longer_kept() -> None:
    stage = Stage(memory_entries=4)
    stage.enter("alice", json=("carol",))
    stage.clients["carol"].end("reset")
    stage.say("alice", "#dev 5", "#dev 6", "#dev 7", "#dev 8", "#dev 9")
    stage.settle()
    assert next(stage.log.entries()).seq == 6
    assert refused(stage, "carol2", resume(4)) == "session-expired"
    stage.say("carol2", resume(5))
    assert [event["seq"] for event in told(stage, "carol2")[1:]] == [6, 7, 8, 9]


# What is given back


def test_own_posts_come_back_with_their_id_where_the_ok_may_be_lost(stage: Stage) -> None:
    stage.clients["carol"].room = 0  # what is sent to her from now on is lost
    stage.say("carol", {"type": "post", "id": "1", "to": "#dev", "text": "mine"})
    stage.say("carol", {"type": "post", "to": "#dev", "text": "without"})
    stage.say("carol", {"type": "post", "id": "2", "to": "@carol", "text": "to me"})
    stage.say("carol", {"type": "topic", "room": "dev", "text": "no post"})
    stage.say("carol", {"type": "nick", "name": "Caro"})
    stage.settle()
    stage.clients["carol"].end("reset")
    stage.say("carol2", resume(4))
    welcome, *missed = told(stage, "carol2")
    assert welcome["user"] == "Caro"
    assert [(e["type"], e["seq"], e["text"], e.get("id")) for e in missed] == [
        ("message", 5, "mine", "1"),
        ("message", 6, "without", None),
        ("message", 7, "to me", "2"),
    ]
    # What it repeats is not posted again, what it posts now is answered and not told to it.
    stage.say("carol2", {"type": "post", "id": "1", "to": "#dev", "text": "mine"})
    stage.say("carol2", {"type": "post", "id": "3", "to": "#dev", "text": "new"})
    assert [(e["type"], e["id"], e["seq"]) for e in told(stage, "carol2")] == [
        ("ok", "1", 5),
        ("ok", "3", 10),
    ]


def test_a_post_in_the_segment_of_the_hello_is_answered_and_not_given_back(stage: Stage) -> None:
    stage.clients["carol"].end("reset")
    stage.say("alice", "#dev missed")
    stage.settle()
    stage.say("carol2", resume(4))
    stage.say("carol2", {"type": "post", "id": "1", "to": "#dev", "text": "new"})
    stage.say("alice", "#dev live")
    assert [(e["type"], e.get("seq")) for e in told(stage, "carol2")] == [
        ("welcome", 5),
        ("message", 5),
        ("ok", 6),
        ("message", 7),
    ]


def test_only_what_was_said_between_join_and_leave_comes(stage: Stage) -> None:
    stage.enter("bob", room="ops")
    stage.play("""
        alice >> /join ops
        alice << * you joined #ops
        bob << * alice joined #ops
    """)
    stage.say("carol", {"type": "join", "room": "ops"})
    stage.settle()
    stage.say("bob", "#ops in both")
    stage.settle()
    stage.say("carol", {"type": "leave", "room": "dev"})
    stage.settle()
    stage.say("alice", "#dev unheard", "#ops heard")
    stage.settle()
    stage.say("carol", {"type": "leave", "room": "ops"}, {"type": "join", "room": "dev"})
    stage.settle()
    stage.say("alice", "#dev heard", "#ops unheard", "@bob private", "@carol private")
    stage.settle()
    live = told(stage, "carol")
    stage.clients["carol"].end("reset")
    stage.settle()
    stage.say("carol2", resume(4))
    welcome, *missed = told(stage, "carol2")
    assert welcome["rooms"] == ["dev"]
    assert [event["text"] for event in missed] == ["in both", "heard", "heard", "private"]
    assert missed == [event for event in live if event["type"] != "ok"]


def test_every_resume_point_gives_what_is_above_it(stage: Stage) -> None:
    stage.say("alice", *(f"#dev {n}" for n in range(5, 15)))
    stage.settle()
    for number, after in enumerate(range(4, 15)):
        stage.say(f"carol{number}", resume(after))
        _, *missed = told(stage, f"carol{number}")
        assert [event["seq"] for event in missed] == list(range(after + 1, 15))


def test_a_long_absence_is_given_back_in_pages() -> None:
    stage = Stage(page=7, soft_limit=1_000)
    stage.enter("alice", json=("carol",))
    stage.clients["carol"].end("reset")
    stage.say("alice", *(f"#dev {n}" for n in range(100)))
    stage.settle()
    stage.say("carol2", resume(4), {"type": "ping", "id": "1"})
    welcome, *missed, pong = told(stage, "carol2")
    assert (welcome["type"], pong["type"]) == ("welcome", "pong")
    assert [event["text"] for event in missed] == [str(n) for n in range(100)]


def test_who_is_given_back_much_is_not_read_until_that_is_done() -> None:
    stage = Stage(page=7)
    stage.enter("alice", json=("carol",))
    stage.clients["carol"].end("reset")
    stage.say("alice", *(f"#dev {n}" for n in range(100)))
    stage.settle()
    stage.connect("carol2")
    stage.say("carol2", resume(4))
    stage.tick()
    stage.say("carol2", {"type": "ping", "id": "1"})
    while stage.connection("carol2").catchup is not None:
        assert stage.clients["carol2"].unread
        assert stage.tick()
    assert told(stage, "carol2")[-1] == {"type": "pong", "id": "1"}


def test_a_direct_message_waits_for_who_is_in_its_grace(stage: Stage) -> None:
    stage.clients["carol"].end("reset")
    stage.play("""
        alice >> @carol are you there?
        -- 60 s
        carol2 >> {"type":"hello","user":"carol","token":"token-1","after":4}
        carol2 << {"type":"welcome","user":"carol","token":"token-1","seq":5,"log":"log",
               .. "version":"VERSION","line_limit":65536,"rooms":["dev"]}
        carol2 << {"type":"message","seq":5,"at":"2026-01-31T12:00:00.123Z","to":"@carol",
               .. "from":"alice","text":"are you there?"}
    """)


def test_what_happened_to_others_meanwhile_comes_too(stage: Stage) -> None:
    stage.clients["carol"].end("reset")
    stage.enter("bob")
    stage.say("alice", "/nick Al", "/topic dev T", "/me #dev waves", "/leave dev")
    stage.say("bob", "quit")
    stage.settle()
    stage.say("carol2", resume(4))
    assert [(e["type"], e.get("user") or e["from"]) for e in told(stage, "carol2")[1:]] == [
        ("joined", "bob"),
        ("renamed", "alice"),
        ("topic", "Al"),
        ("message", "Al"),
        ("left", "Al"),
        ("left", "bob"),
    ]


# Takeover


def test_a_second_connection_takes_the_session_over(stage: Stage) -> None:
    stage.play("""
        alice >> #dev one
        carol << {"type":"message","seq":5,"at":"NOW","to":"#dev","from":"alice","text":"one"}
        carol2 >> {"type":"hello","user":"carol","token":"token-1","after":4,"log":"log"}
        carol2 << {"type":"welcome","user":"carol","token":"token-1","seq":5,"log":"log",
               .. "version":"VERSION","line_limit":65536,"rooms":["dev"]}
        carol2 << {"type":"message","seq":5,"at":"NOW","to":"#dev","from":"alice","text":"one"}
        carol << {"type":"error","code":"taken-over","text":"your session goes on elsewhere"}
        carol <| end
        alice >> #dev two
        carol2 << {"type":"message","seq":6,"at":"NOW","to":"#dev","from":"alice","text":"two"}
        carol >| reset
        -- 3 s
        alice >> /who dev
        alice << * in #dev: alice (owner), carol
    """)
    stage.advance(GRACE)
    assert stage.get("alice") == []
    assert "joined" not in str(stage.get("carol2"))


def test_a_takeover_in_one_tick_with_posts_loses_and_doubles_nothing(stage: Stage) -> None:
    stage.say("alice", "#dev before")
    stage.connect("carol2")
    stage.say("carol2", resume(4))
    stage.say("alice", "@carol between")
    stage.connect("carol3")
    stage.say("carol3", resume(4))
    stage.say("alice", "#dev after")
    texts = [event.get("text") for event in told(stage, "carol3")]
    assert texts == [None, "before", "between", "after"]
    assert told(stage, "carol2")[-1] == {"over": "<end>"}
    assert told(stage, "carol")[-1] == {"over": "<end>"}


def test_what_the_old_connection_sent_and_was_not_read_is_dropped(stage: Stage) -> None:
    posts = [{"type": "post", "to": "#dev", "text": str(n)} for n in range(1_500)]
    stage.say("carol", *posts)
    stage.tick()  # a part of it is carried out, the rest waits for the next tick
    stage.say("carol", {"type": "hello", "user": "ghost"})
    stage.say("carol2", resume(4))
    stage.settle()
    done = stage.log.newest - 4
    assert len(stage.get("alice")) == done
    assert "taken-over" in stage.get("carol")[-2]
    assert "ghost" not in {user.name for user in stage.hub.state.names.values()}


def test_what_is_left_of_a_long_chunk_is_dropped_even_in_the_tick_of_the_takeover(
    stage: Stage,
) -> None:
    stage.connect("carol2")
    stage.say("carol2", *[{"type": "ping"}] * 1_200, resume(4))
    stage.say("carol", *[{"type": "ping"}] * 1_000, {"type": "hello", "user": "ghost"})
    stage.tick()
    stage.settle()
    assert "taken-over" in stage.get("carol")[-2]
    assert stage.log.newest == 4


# Bare sessions


@pytest.mark.parametrize(("how", "reason"), [("end", "quit"), ("reset", "lost connection")])
def test_a_bare_session_ends_with_its_connection(stage: Stage, how: str, reason: str) -> None:
    stage.clients["alice"].end(how)
    (left,) = told(stage, "carol")
    assert (left["type"], left["user"], left["reason"]) == ("left", "alice", reason)
    stage.say("again", "alice", "/join dev")
    assert stage.get("again")[0].startswith("* welcome alice")


def test_a_text_client_that_breaks_while_it_is_written_to_is_missed_at_once(stage: Stage) -> None:
    stage.enter("bob", "dave")
    stage.clients["bob"].broken = True
    stage.play("""
        alice >> #dev hi
        dave << [#dev] alice: hi
        dave << * bob left #dev (lost connection)
        alice << * bob left #dev (lost connection)
        carol << {"type":"message","seq":9,"at":"NOW","to":"#dev","from":"alice","text":"hi"}
        carol << {"type":"left","seq":10,"at":"NOW","room":"dev","user":"bob",
              .. "reason":"lost connection"}
    """)


def test_nothing_is_left_of_those_who_are_gone(stage: Stage) -> None:
    stage.clients["alice"].end("reset")
    stage.clients["carol"].end("reset")
    stage.settle()
    stage.advance(GRACE)
    stage.advance(DAY)
    state = stage.hub.state
    left = (state.users, state.names, state.sessions, state.tokens, state.rooms)
    assert left == ({}, {}, {}, {}, {})
