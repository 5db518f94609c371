"""What is said to each client, line for line: commands, answers, refusals, and what others see.

playbook.py tells how to read the scripts.
"""

from __future__ import annotations

import json

import pytest

from tests.unit.playbook import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def dev() -> Stage:
    """alice and bob in text, carol in JSON, all in #dev; the log is at 6."""
    stage = Stage()
    stage.enter("alice", "bob", json=("carol",))
    assert stage.log.newest == 6
    return stage


# Logging in


def test_the_first_line_is_the_name_and_before_it_the_server_is_silent(stage: Stage) -> None:
    stage.play("""
        alice >+ al
        -- tick
        alice >+ ice
        -- 59 s
        alice >>
        alice << * welcome alice: /join ROOM enters a room, /help lists the commands, quit leaves
    """)


def test_a_hello_is_answered_by_a_welcome_with_token_log_and_seq(stage: Stage) -> None:
    stage.play("""
        alice >> {"type":"hello","version":1,"user":"alice"}
        alice << {"type":"welcome","user":"alice","token":"token-1","seq":1,"log":"log",
              .. "version":"VERSION","line_limit":65536,"rooms":[]}
        bob >> {"type":"hello","id":"h","user":"bob"}
        bob << {"type":"welcome","user":"bob","token":"token-2","seq":2,"log":"log",
            .. "version":"VERSION","line_limit":65536,"rooms":[]}
    """)


def test_a_name_is_used_by_one_at_a_time_in_whatever_form(stage: Stage) -> None:
    stage.enter("Straße", room=None)
    stage.play("""
        bob >> STRASSE
        bob << ! the name STRASSE is in use: choose another
        bob >> ｓｔｒａße
        bob << ! the name straße is in use: choose another
        bob >> ｂｏｂ
        bob << * welcome bob: /join ROOM enters a room, /help lists the commands, quit leaves
        carol >> {"type":"hello","id":"1","user":"BOB"}
        carol << {"type":"error","id":"1","code":"name-in-use",
              .. "text":"the name BOB is in use: choose another"}
    """)


LONG = "a name has 1 to 32 characters: choose another"
LETTERS = "a name is made of letters, digits, '-', '_' and '.' only: choose another"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a" * 33, LONG),
        ("a b", LETTERS),
        ("#dev", LETTERS),
        ("@bob", LETTERS),
        ("/join", LETTERS),
        ("...", LETTERS),
        ("a\x1b[31m", LETTERS),
        ("a\u202eb", LETTERS),
        ("a\u200db", LETTERS),
        ("you", "the name you means something else here: choose another"),
        ("Ｙou", "the name You means something else here: choose another"),
    ],
)
def test_what_is_no_name_is_refused_and_not_cleaned(stage: Stage, name: str, why: str) -> None:
    stage.say("text", name)
    assert stage.get("text") == [f"! {why}"]
    stage.say("json", {"type": "hello", "user": name})
    (line,) = stage.get("json")
    assert json.loads(line) == {"type": "error", "code": "bad-name", "text": why}
    stage.say("alice", "alice", f"/nick {name.replace(' ', '-?-')}")
    assert stage.get("alice")[1:] == [f"! {why}"]


@pytest.mark.parametrize("name", ["a" * 32, "Ω-1_.", "1", "नमस्ते", "𠀀"])
def test_letters_and_digits_of_any_script_make_a_name(stage: Stage, name: str) -> None:
    stage.say("text", name)
    assert stage.get("text")[0].startswith(f"* welcome {name}: ")


def test_quit_is_no_name_but_a_way_to_go(stage: Stage) -> None:
    stage.play("""
        alice >> quit
        alice << * bye
        alice <| end
        bob >> {"type":"hello","user":"quit"}
        bob << {"type":"error","code":"bad-name",
            .. "text":"the name quit means something else here: choose another"}
        bob >> {"type":"quit","id":"1"}
        bob << {"type":"ok","id":"1"}
        bob <| end
    """)


def test_a_refused_name_may_be_tried_again_three_times(stage: Stage) -> None:
    stage.play("""
        alice >> you
        alice << ! the name you means something else here: choose another
        alice >> you
        alice >> you
        alice << ! the name you means something else here: choose another
        alice << ! the name you means something else here: choose another
        alice >> alice
        alice << * welcome alice: /join ROOM enters a room, /help lists the commands, quit leaves
        bob >> you
        bob >> you
        bob >> you
        bob >> you
        bob >> bob
        bob << ! the name you means something else here: choose another
        bob << ! the name you means something else here: choose another
        bob << ! the name you means something else here: choose another
        bob << ! the name you means something else here: choose another
        bob << ! too many log-ins were refused: connect again
        bob <| end
    """)


def test_who_does_not_log_in_is_told_when_the_time_is_over(stage: Stage) -> None:
    stage.play("""
        alice >> you
        alice << ! the name you means something else here: choose another
        bob >> {"type":"ping"}
        bob << {"type":"pong"}
        carol >+ P
        -- 59.9 s
        -- 0.1 s
        alice << ! no log-in within 60 seconds: connect again
        alice <| end
        bob << {"type":"error","code":"login-timeout",
            .. "text":"no log-in within 60 seconds: connect again"}
        bob <| end
        carol <| end
    """)


def test_once_logged_in_there_is_no_time_limit(dev: Stage) -> None:
    dev.play("""
        -- 59 s
        alice >> #dev hi
        bob << [#dev] alice: hi
        carol << {"type":"message","seq":7,"at":"NOW","to":"#dev","from":"alice","text":"hi"}
        carol >> {"type":"pong"}
        -- 59 s
        alice >> #dev hi
        bob << [#dev] alice: hi
        carol << {"type":"message","seq":8,"at":"NOW","to":"#dev","from":"alice","text":"hi"}
    """)


def test_before_the_hello_only_that_can_be_asked(stage: Stage) -> None:
    stage.play("""
        alice >> {"type":"post","id":"1","to":"#dev","text":"hi"}
        alice << {"type":"error","id":"1","code":"not-logged-in",
              .. "text":"say who you are first: hello"}
        alice >> {"type":"ping","id":"2"}
        alice << {"type":"pong","id":"2"}
        alice >> {"type":"hello","id":"3","version":2,"user":"alice"}
        alice << {"type":"error","id":"3","code":"bad-version",
              .. "text":"version 1 is spoken here, not 2"}
        alice >> {"type":"hello","id":"4"}
        alice << {"type":"error","id":"4","code":"bad-command",
              .. "text":"Object missing required field `user`"}
        alice >> {"type":"hello","id":"5","user":"alice"}
        alice << {"type":"welcome","user":"alice","token":"token-1","seq":1,"log":"log",
              .. "version":"VERSION","line_limit":65536,"rooms":[]}
        alice >> {"type":"hello","id":"6","user":"bob"}
        alice << {"type":"error","id":"6","code":"already-logged-in",
              .. "text":"you are alice already"}
        alice >> {"type":"who","id":"7"}
        alice << {"type":"users","id":"7","room":null,"users":[{"user":"alice"}]}
    """)


def test_lines_that_are_no_commands_are_answered_and_change_nothing(dev: Stage) -> None:
    dev.play("""
        carol >> {"type":"jion","id":"1","room":"dev"}
        carol >> {"type":"post","id":"2","to":"#dev"}
        carol >> 17
        carol >>
        carol << {"type":"error","id":"1","code":"unknown-command",
              .. "text":"there is no such command type: did you mean 'join'?"}
        carol << {"type":"error","id":"2","code":"bad-command",
              .. "text":"Object missing required field `text`"}
        carol << {"type":"error","code":"bad-json",
              .. "text":"a line is one JSON object, such as {\\"type\\":\\"help\\"}"}
        alice >>
        alice >> hello all
        alice << ! say to whom: #ROOM MESSAGE or @USER MESSAGE (/help lists the commands)
        alice >> jion
        alice << ! that is no command: did you mean /join ROOM ? (/help lists the commands)
        alice >> /jion dev
        alice << ! there is no /jion: did you mean /join ROOM ? (/help lists the commands)
        alice >> /join
        alice >> /join a b
        alice >> /history #dev many
        alice >> #dev
        alice >> @
        alice << ! type it like this: /join ROOM
        alice << ! type it like this: /join ROOM
        alice << ! type it like this: /history TARGET [N]
        alice << ! type a message behind the name: #dev MESSAGE
        alice << ! type a message behind the name: @NAME MESSAGE
    """)
    assert dev.log.newest == 6


def test_a_line_over_the_limit_costs_that_line_alone() -> None:
    stage = Stage(line_limit=512)
    stage.enter("alice", json=("carol",))
    stage.say("alice", "#dev " + "x" * 600, "#dev hi")
    stage.say("carol", {"type": "post", "to": "#dev", "text": "x" * 600}, {"type": "pong"})
    assert stage.get("alice") == [
        "! a line has at most 512 bytes: that one was dropped, send it in pieces"
    ]
    message, error = map(json.loads, stage.get("carol"))
    assert message["text"] == "hi"
    assert error["code"] == "line-too-long"
    assert error["text"] == "a line has at most 512 bytes; that one was dropped"


# Rooms


def test_joining_and_leaving_is_seen_by_the_members(stage: Stage) -> None:
    stage.enter("alice", "bob", json=("carol",), room=None)
    stage.play("""
        alice >> /join Dev
        alice << * you joined #Dev
        bob >> /join #DEV
        bob << * you joined #Dev
        alice << * bob joined #Dev
        carol >> {"type":"join","id":"1","room":"dev"}
        carol << {"type":"ok","id":"1","seq":6,"at":"NOW"}
        alice << * carol joined #Dev
        bob << * carol joined #Dev
        bob >> /leave dev
        bob << * you left #Dev
        alice << * bob left #Dev
        carol << {"type":"left","seq":7,"at":"NOW","room":"Dev","user":"bob","reason":"left"}
        carol >> {"type":"leave","id":"2","room":"#dev"}
        carol << {"type":"ok","id":"2","seq":8,"at":"NOW"}
        alice << * carol left #Dev
        alice >> #dev is anybody here?
        alice >> /who dev
        alice << * in #Dev: alice (owner)
    """)


def test_joining_a_room_one_is_in_is_ok_without_a_seq(dev: Stage) -> None:
    dev.play("""
        alice >> /join #DEV
        alice << * you are in #dev already
        carol >> {"type":"join","id":"1","room":"dev"}
        carol << {"type":"ok","id":"1"}
    """)
    assert dev.log.newest == 6


def test_an_empty_room_is_gone_unless_it_has_a_topic(stage: Stage) -> None:
    stage.enter("alice", room=None)
    stage.play("""
        alice >> /join one
        alice >> /join two
        alice >> /topic two Two!
        alice >> /leave one
        alice >> /leave two
        alice << * you joined #one
        alice << * you joined #two
        alice << * you set the topic of #two
        alice << * you left #one
        alice << * you left #two
        alice >> /rooms
        alice << * #two (0): Two!
        alice >> /join One
        alice << * you joined #One
        alice >> /history #one
        alice << * [2026-01-31 12:00Z] alice joined #one
        alice << * [2026-01-31 12:00Z] alice left #one
        alice << * [2026-01-31 12:00Z] alice joined #One
    """)


def test_going_reads_as_it_was(dev: Stage) -> None:
    dev.enter("dave", "erin", json=("frank",))
    dev.play("""
        alice >> quit
        alice << * bye
        alice <| end
        bob << * alice left #dev (quit)
        carol << {"type":"left","seq":13,"at":"NOW","room":"dev","user":"alice","reason":"quit"}
        dave << * alice left #dev (quit)
        erin << * alice left #dev (quit)
        frank << {"type":"left","seq":13,"at":"NOW","room":"dev","user":"alice","reason":"quit"}
        dave >| end
        dave <| end
        bob << * dave left #dev (quit)
        carol << {"type":"left","seq":15,"at":"NOW","room":"dev","user":"dave","reason":"quit"}
        erin << * dave left #dev (quit)
        frank << {"type":"left","seq":15,"at":"NOW","room":"dev","user":"dave","reason":"quit"}
        erin >| reset
        bob << * erin left #dev (lost connection)
        carol << {"type":"left","seq":17,"at":"NOW","room":"dev","user":"erin",
              .. "reason":"lost connection"}
        frank << {"type":"left","seq":17,"at":"NOW","room":"dev","user":"erin",
              .. "reason":"lost connection"}
        frank >> {"type":"quit"}
        frank << {"type":"ok"}
        frank <| end
        bob << * frank left #dev (quit)
        carol << {"type":"left","seq":19,"at":"NOW","room":"dev","user":"frank","reason":"quit"}
    """)


def test_what_was_asked_before_the_end_of_input_is_done_and_answered(dev: Stage) -> None:
    dev.play("""
        alice >> #dev last words
        alice >> /who dev
        alice >+ #dev unfinished
        alice >| end
        alice << * in #dev: alice (owner), bob, carol
        alice <| end
        bob << [#dev] alice: last words
        bob << * alice left #dev (quit)
        carol << {"type":"message","seq":7,"at":"NOW","to":"#dev","from":"alice",
              .. "text":"last words"}
        carol << {"type":"left","seq":8,"at":"NOW","room":"dev","user":"alice","reason":"quit"}
    """)


def test_what_comes_behind_a_quit_is_dropped(dev: Stage) -> None:
    dev.play("""
        alice >> quit
        alice >> #dev one more thing
        alice << * bye
        alice <| end
        bob << * alice left #dev (quit)
        carol << {"type":"left","seq":7,"at":"NOW","room":"dev","user":"alice","reason":"quit"}
    """)


def test_topics(dev: Stage) -> None:
    dev.play("""
        alice >> /topic dev
        alice << * #dev has no topic: /topic dev TEXT sets one
        alice >> /topic #DEV  all about  \u202edevs\x07
        alice << * you set the topic of #dev
        bob << * alice set the topic of #dev: all about  \ufffddevs␇
        carol << {"type":"topic","seq":7,"at":"NOW","room":"dev","user":"alice",
              .. "text":"all about  \ufffddevs␇"}
        carol >> {"type":"topic","id":"1","room":"dev","text":" two\\nlines "}
        carol << {"type":"ok","id":"1","seq":8,"at":"NOW"}
        alice << * carol set the topic of #dev: two lines
        bob << * carol set the topic of #dev: two lines
        carol >> {"type":"topic","id":"2","room":"dev"}
        carol << {"type":"room","id":"2","room":"dev","topic":"two lines","members":3}
        dave >> dave
        dave >> /join dev
        dave << * welcome dave: /join ROOM enters a room, /help lists the commands, quit leaves
        dave << * you joined #dev
        dave << * the topic of #dev: two lines
        alice << * dave joined #dev
        bob << * dave joined #dev
        carol << {"type":"joined","seq":10,"at":"NOW","room":"dev","user":"dave"}
        carol >> {"type":"topic","id":"3","room":"dev","text":""}
        carol << {"type":"ok","id":"3","seq":11,"at":"NOW"}
        alice << * carol cleared the topic of #dev
        bob << * carol cleared the topic of #dev
        dave << * carol cleared the topic of #dev
    """)


def test_rooms_and_people_are_listed(dev: Stage) -> None:
    dev.play("""
        carol >> {"type":"join","room":"ops"}
        carol << {"type":"ok","seq":7,"at":"NOW"}
        alice >> /rooms
        alice >> /who
        alice >> /who OPS
        alice << * #dev (3)
        alice << * #ops (1)
        alice << * here: alice, bob, carol
        alice << * in #ops: carol (owner)
        carol >> {"type":"rooms","id":"1"}
        carol << {"type":"rooms","id":"1","rooms":[
              .. {"type":"room","room":"dev","members":3},{"type":"room","room":"ops","members":1}]}
        carol >> {"type":"who","id":"2","room":"#dev"}
        carol << {"type":"users","id":"2","room":"dev",
              .. "users":[{"user":"alice","role":"owner"},{"user":"bob"},{"user":"carol"}]}
    """)


def test_long_lists_say_what_they_leave_out() -> None:
    stage = Stage(list_limit=2)
    stage.enter("alice", "bob", "carol")
    stage.play("""
        alice >> /join one
        alice >> /join two
        bob >> /join two
        alice << * you joined #one
        alice << * you joined #two
        alice << * bob joined #two
        bob << * you joined #two
        alice >> /who
        alice >> /who dev
        alice >> /rooms
        alice << * here: alice, bob
        alice << * and 1 more
        alice << * in #dev: alice (owner), bob
        alice << * and 1 more
        alice << * #dev (3)
        alice << * #two (2)
        alice << * and 1 more
    """)


def test_a_room_that_one_is_not_in_is_closed(dev: Stage) -> None:
    dev.enter("dave", room="ops")
    dev.play("""
        dave >> #dev hi
        dave >> /me #dev waves
        dave >> /leave dev
        dave >> /topic dev mine
        dave >> /history #dev
        dave << ! you are not in #dev: type /join dev first
        dave << ! you are not in #dev: type /join dev first
        dave << ! you are not in #dev: type /join dev first
        dave << ! you are not in #dev: type /join dev first
        dave << ! you are not in #dev: type /join dev first
        carol >> {"type":"post","id":"1","to":"#ops","text":"hi"}
        carol << {"type":"error","id":"1","code":"not-a-member",
              .. "text":"you are not in #ops: type /join ops first"}
        carol >> {"type":"join","id":"2","room":"no room"}
        carol << {"type":"error","id":"2","code":"bad-name",
              .. "text":"a room's name is made of letters, digits, '-', '_' and '.' only:
              ..  choose another"}
        carol >> {"type":"who","id":"3","room":"op"}
        carol << {"type":"error","id":"3","code":"no-such-room",
              .. "text":"there is no room #op: did you mean ops?"}
        carol >> {"type":"topic","id":"4","room":"zzz"}
        carol << {"type":"error","id":"4","code":"no-such-room",
              .. "text":"there is no room #zzz: /rooms lists them"}
    """)


# Messages


def test_a_message_goes_to_all_but_its_sender(dev: Stage) -> None:
    dev.play("""
        alice >> #dev hello  world
        bob << [#dev] alice: hello  world
        carol << {"type":"message","seq":7,"at":"NOW","to":"#dev","from":"alice",
              .. "text":"hello  world"}
        carol >> {"type":"post","id":"1","to":"#DEV","text":"hi"}
        carol << {"type":"ok","id":"1","seq":8,"at":"NOW"}
        alice << [#dev] carol: hi
        bob << [#dev] carol: hi
        carol >> {"type":"post","to":"#dev","text":"no id"}
        carol << {"type":"ok","seq":9,"at":"NOW"}
        alice << [#dev] carol: no id
        bob << [#dev] carol: no id
    """)


def test_direct_messages(dev: Stage) -> None:
    dev.play("""
        alice >> @BOB psst
        bob << [@alice] psst
        alice >> @carol psst
        carol << {"type":"message","seq":8,"at":"NOW","to":"@carol","from":"alice","text":"psst"}
        carol >> {"type":"post","id":"1","to":"@alice","text":"what?"}
        carol << {"type":"ok","id":"1","seq":9,"at":"NOW"}
        alice << [@carol] what?
        carol >> {"type":"post","id":"2","to":"@carrol","text":"hm"}
        carol << {"type":"error","id":"2","code":"no-such-user",
              .. "text":"there is no user carrol here: did you mean carol?"}
        alice >> @zoe hi
        alice << ! there is no user zoe here: /who lists who is here
        alice >> /history @bob
        alice << * [2026-01-31 12:00Z] you to @bob: psst
        bob >> /history @alice
        bob << * [2026-01-31 12:00Z] [@alice] psst
    """)


def test_whose_words_they_were_is_known_after_a_change_of_names(dev: Stage) -> None:
    dev.play("""
        alice >> @bob psst
        bob << [@alice] psst
        bob >> @alice yes?
        alice << [@bob] yes?
        bob >> /nick robert
        bob << * you are now robert
        alice << * bob is now robert in #dev
        carol << {"type":"renamed","seq":9,"at":"NOW","room":"dev","user":"bob","name":"robert"}
        alice >> /history @robert
        alice << * [2026-01-31 12:00Z] you to @bob: psst
        alice << * [2026-01-31 12:00Z] [@bob] yes?
        bob >> /history @alice
        bob << * [2026-01-31 12:00Z] [@alice] psst
        bob << * [2026-01-31 12:00Z] you to @alice: yes?
    """)


def test_a_word_to_oneself(dev: Stage) -> None:
    dev.play("""
        alice >> @alice note
        alice << [@alice] note
        carol >> {"type":"post","id":"1","to":"@carol","text":"note"}
        carol << {"type":"message","seq":8,"at":"NOW","to":"@carol","from":"carol","text":"note"}
        carol << {"type":"ok","id":"1","seq":8,"at":"NOW"}
    """)


def test_me(dev: Stage) -> None:
    dev.play("""
        alice >> /me #dev waves
        bob << [#dev] * alice waves
        carol << {"type":"message","seq":7,"at":"NOW","to":"#dev","from":"alice","text":"waves",
              .. "action":true}
        carol >> {"type":"me","id":"1","to":"@bob","text":"nods"}
        carol << {"type":"ok","id":"1","seq":8,"at":"NOW"}
        bob << [@carol] * carol nods
        alice >> /me dev waves
        alice << ! name a room or a user: #ROOM or @USER
        alice >> /me #dev
        alice << ! type it like this: /me TARGET TEXT
    """)


@pytest.mark.parametrize("to", ["dev", "", "#", "@", "##dev", "@@bob", "#@bob"])
def test_what_is_no_target_is_refused(dev: Stage, to: str) -> None:
    refused = {
        "type": "error",
        "id": "1",
        "code": "bad-target",
        "text": "name a room or a user: #ROOM or @USER",
    }
    dev.say("carol", {"type": "post", "id": "1", "to": to, "text": "hi"})
    dev.say("carol", {"type": "history", "id": "1", "of": to})
    assert [json.loads(line) for line in dev.get("carol")] == [refused, refused]
    assert dev.log.newest == 6


def test_an_empty_message_is_refused(dev: Stage) -> None:
    dev.play("""
        carol >> {"type":"post","id":"1","to":"#dev","text":""}
        carol << {"type":"error","id":"1","code":"empty",
              .. "text":"that message is empty: type something behind the name"}
        carol >> {"type":"post","id":"1","to":"#dev","text":" \\n\u3000"}
        carol << {"type":"error","id":"1","code":"empty",
              .. "text":"that message is empty: type something behind the name"}
    """)


def test_several_lines_are_told_as_several_lines_in_text() -> None:
    stage = Stage(message_lines=3)
    stage.enter("bob", json=("carol", "dave"))
    stage.play("""
        carol >> {"type":"post","to":"#dev","text":"one\\n[#dev] bob: two\\n"}
        carol << {"type":"ok","seq":7,"at":"NOW"}
        bob << [#dev] carol: one
        bob << [#dev] carol: [#dev] bob: two
        bob << [#dev] carol:\x20
        dave << {"type":"message","seq":7,"at":"NOW","to":"#dev","from":"carol",
             .. "text":"one\\n[#dev] bob: two\\n"}
        carol >> {"type":"me","to":"@bob","text":"one\\ntwo"}
        carol << {"type":"ok","seq":8,"at":"NOW"}
        bob << [@carol] * carol one
        bob << [@carol] * carol two
        carol >> {"type":"post","id":"3","to":"#dev","text":"1\\n2\\n3\\n4"}
        carol << {"type":"error","id":"3","code":"too-many-lines",
              .. "text":"a message has at most 3 lines: send it in pieces"}
    """)


def test_text_is_cleaned_before_anybody_sees_it(dev: Stage) -> None:
    dev.play("""
        alice >> #dev \x1b[2J\x00\x7f\x85\u202e\u2066👩\u200d💻
        bob << [#dev] alice: ␛[2J␀␡\ufffd\ufffd\ufffd👩\u200d💻
        carol << {"type":"message","seq":7,"at":"NOW","to":"#dev","from":"alice",
              .. "text":"␛[2J␀␡\ufffd\ufffd\ufffd👩\u200d💻"}
        carol >> {"type":"post","to":"#dev","text":"\\u001b[0m\\r"}
        carol << {"type":"ok","seq":8,"at":"NOW"}
        alice << [#dev] carol: ␛[0m␍
        bob << [#dev] carol: ␛[0m␍
        bob >> /history #dev 1
        bob << * [2026-01-31 12:00Z] [#dev] carol: ␛[0m␍
    """)


def test_too_long_a_topic_or_reason_is_refused(dev: Stage) -> None:
    dev.say("alice", f"/topic dev {'x' * 301}", f"/topic dev {'x' * 300}")
    dev.say("alice", f"/away {'x' * 201}", f"/away {'x' * 200}")
    assert dev.get("alice") == [
        "! a topic has at most 300 characters: make it shorter",
        "* you set the topic of #dev",
        "! a reason has at most 200 characters: say it shorter",
        f"* you are away: {'x' * 200}",
    ]


# Names and absence


def test_a_new_name_is_told_in_each_room(dev: Stage) -> None:
    dev.play("""
        alice >> /nick Alicia
        alice << * you are now Alicia
        bob << * alice is now Alicia in #dev
        carol << {"type":"renamed","seq":7,"at":"NOW","room":"dev","user":"alice","name":"Alicia"}
        alice >> #dev me again
        bob << [#dev] Alicia: me again
        carol << {"type":"message","seq":8,"at":"NOW","to":"#dev","from":"Alicia",
              .. "text":"me again"}
        bob >> @alice hi
        bob << ! there is no user alice here: did you mean Alicia?
        bob >> /nick ALICIA
        bob << ! the name ALICIA is in use: choose another
        bob >> /nick you
        bob << ! the name you means something else here: choose another
        bob >> /nick quit
        bob << ! the name quit means something else here: choose another
        bob >> /nick alice
        bob << * you are now alice
        alice << * bob is now alice in #dev
        carol << {"type":"renamed","seq":9,"at":"NOW","room":"dev","user":"bob","name":"alice"}
        carol >> {"type":"nick","id":"1","name":"carol"}
        carol << {"type":"ok","id":"1"}
        carol >> {"type":"nick","id":"2","name":"CAROL"}
        carol << {"type":"ok","id":"2","seq":10,"at":"NOW"}
        alice << * carol is now CAROL in #dev
        bob << * carol is now CAROL in #dev
    """)


def test_a_new_name_in_several_rooms_and_in_none(stage: Stage) -> None:
    stage.enter("alice", "bob", json=("carol", "dave"), room=None)
    stage.play("""
        carol >> {"type":"join","room":"a"}
        carol >> {"type":"join","room":"b"}
        dave >> {"type":"join","room":"a"}
        dave >> {"type":"join","room":"b"}
        carol << {"type":"ok","seq":5,"at":"NOW"}
        carol << {"type":"ok","seq":6,"at":"NOW"}
        carol << {"type":"joined","seq":7,"at":"NOW","room":"a","user":"dave"}
        carol << {"type":"joined","seq":8,"at":"NOW","room":"b","user":"dave"}
        dave << {"type":"ok","seq":7,"at":"NOW"}
        dave << {"type":"ok","seq":8,"at":"NOW"}
        carol >> {"type":"nick","id":"1","name":"Caro"}
        carol << {"type":"ok","id":"1","seq":10,"at":"NOW"}
        dave << {"type":"renamed","seq":9,"at":"NOW","room":"a","user":"carol","name":"Caro"}
        dave << {"type":"renamed","seq":10,"at":"NOW","room":"b","user":"carol","name":"Caro"}
        alice >> /nick Alan
        alice << * you are now Alan
        bob >> @alan hi
        alice << [@bob] hi
    """)
    assert stage.log.newest == 12


def test_who_is_away_says_so(dev: Stage) -> None:
    dev.play("""
        alice >> /away lunch,\x1b back at 1
        alice << * you are away: lunch,␛ back at 1
        bob >> /who dev
        bob << * in #dev: alice (owner, away: lunch,␛ back at 1), bob, carol
        carol >> {"type":"post","id":"1","to":"@alice","text":"hi"}
        carol << {"type":"ok","id":"1","seq":7,"at":"NOW"}
        carol << {"type":"notice","code":"away","text":"alice is away: lunch,␛ back at 1"}
        alice << [@carol] hi
        bob >> @alice hi
        bob << * alice is away: lunch,␛ back at 1
        alice << [@bob] hi
        carol >> {"type":"who","id":"2","room":"dev"}
        carol << {"type":"users","id":"2","room":"dev","users":[
              .. {"user":"alice","away":"lunch,␛ back at 1","role":"owner"},
              .. {"user":"bob"},{"user":"carol"}]}
        alice >> @alice note
        alice << [@alice] note
        alice >> /away
        alice << * you are back
        bob >> @alice hi
        alice << [@bob] hi
        carol >> {"type":"away","id":"3","text":"out"}
        carol << {"type":"ok","id":"3"}
        carol >> {"type":"away","id":"4"}
        carol << {"type":"ok","id":"4"}
        bob >> /who
        bob << * here: alice, bob, carol
    """)


def test_help_lists_what_can_be_typed(dev: Stage) -> None:
    dev.say("alice", "/help")
    lines = dev.get("alice")
    assert lines[0].split("  ")[0] == "* /join ROOM"
    assert lines[0].endswith("  enter a room; it is made if there is none")
    typed = [line.removeprefix("* ").split("  ")[0] for line in lines]
    assert {
        "/join ROOM",
        "/leave ROOM",
        "#ROOM MESSAGE",
        "@USER MESSAGE",
        "/me TARGET TEXT",
        "/rooms",
        "/who [ROOM]",
        "/topic ROOM [TEXT]",
        "/away [TEXT]",
        "/nick NAME",
        "/history TARGET [N]",
        "/help",
        "quit",
    } <= set(typed)
    dev.say("carol", {"type": "help", "id": "1"})
    (line,) = map(json.loads, dev.get("carol"))
    assert (line["type"], line["id"]) == ("help", "1")
    assert [row["usage"] for row in line["commands"]] == typed


# Order


def test_a_join_and_a_post_behind_it_in_one_segment(stage: Stage) -> None:
    stage.enter("bob")
    stage.play("""
        carol >> {"type":"hello","user":"carol"}
        carol >> {"type":"join","id":"1","room":"dev"}
        carol >> {"type":"post","id":"2","to":"#dev","text":"hi"}
        carol >> {"type":"leave","id":"3","room":"dev"}
        carol >> {"type":"post","id":"4","to":"#dev","text":"late"}
        carol << {"type":"welcome","user":"carol","token":"token-1","seq":3,"log":"log",
              .. "version":"VERSION","line_limit":65536,"rooms":[]}
        carol << {"type":"ok","id":"1","seq":4,"at":"NOW"}
        carol << {"type":"ok","id":"2","seq":5,"at":"NOW"}
        carol << {"type":"ok","id":"3","seq":6,"at":"NOW"}
        carol << {"type":"error","id":"4","code":"not-a-member",
              .. "text":"you are not in #dev: type /join dev first"}
        bob << * carol joined #dev
        bob << [#dev] carol: hi
        bob << * carol left #dev
        dave >> dave
        dave >> /join dev
        dave >> #dev hi
        dave << * welcome dave: /join ROOM enters a room, /help lists the commands, quit leaves
        dave << * you joined #dev
        bob << * dave joined #dev
        bob << [#dev] dave: hi
    """)


def test_all_see_one_order_and_an_ok_stands_where_its_post_does(stage: Stage) -> None:
    stage.enter("alice", "bob", json=("carol", "dave"))
    stage.play("""
        carol >> {"type":"post","id":"1","to":"#dev","text":"c1"}
        carol >> {"type":"rooms","id":"2"}
        carol >> {"type":"post","id":"3","to":"#dev","text":"c2"}
        alice >> #dev a1
        alice >> /who dev
        alice >> #dev a2
        dave >> {"type":"post","id":"1","to":"@carol","text":"d1"}
        dave >> {"type":"post","id":"2","to":"#dev","text":"d2"}
        bob >> #dev b1
        carol << {"type":"ok","id":"1","seq":9,"at":"NOW"}
        carol << {"type":"rooms","id":"2","rooms":[{"type":"room","room":"dev","members":4}]}
        carol << {"type":"ok","id":"3","seq":10,"at":"NOW"}
        carol << {"type":"message","seq":11,"at":"NOW","to":"#dev","from":"alice","text":"a1"}
        carol << {"type":"message","seq":12,"at":"NOW","to":"#dev","from":"alice","text":"a2"}
        carol << {"type":"message","seq":13,"at":"NOW","to":"@carol","from":"dave","text":"d1"}
        carol << {"type":"message","seq":14,"at":"NOW","to":"#dev","from":"dave","text":"d2"}
        carol << {"type":"message","seq":15,"at":"NOW","to":"#dev","from":"bob","text":"b1"}
        dave << {"type":"message","seq":9,"at":"NOW","to":"#dev","from":"carol","text":"c1"}
        dave << {"type":"message","seq":10,"at":"NOW","to":"#dev","from":"carol","text":"c2"}
        dave << {"type":"message","seq":11,"at":"NOW","to":"#dev","from":"alice","text":"a1"}
        dave << {"type":"message","seq":12,"at":"NOW","to":"#dev","from":"alice","text":"a2"}
        dave << {"type":"ok","id":"1","seq":13,"at":"NOW"}
        dave << {"type":"ok","id":"2","seq":14,"at":"NOW"}
        dave << {"type":"message","seq":15,"at":"NOW","to":"#dev","from":"bob","text":"b1"}
        alice << [#dev] carol: c1
        alice << [#dev] carol: c2
        alice << * in #dev: alice (owner), bob, carol, dave
        alice << [#dev] dave: d2
        alice << [#dev] bob: b1
        bob << [#dev] carol: c1
        bob << [#dev] carol: c2
        bob << [#dev] alice: a1
        bob << [#dev] alice: a2
        bob << [#dev] dave: d2
    """)


def test_an_answer_stands_among_what_came_before_and_after_its_question(stage: Stage) -> None:
    stage.enter("alice", json=("carol",))
    stage.play("""
        alice >> #dev one
        -- tick
        carol >> {"type":"ping","id":"1"}
        alice >> #dev two
        carol << {"type":"message","seq":5,"at":"NOW","to":"#dev","from":"alice","text":"one"}
        carol << {"type":"pong","id":"1"}
        carol << {"type":"message","seq":6,"at":"NOW","to":"#dev","from":"alice","text":"two"}
    """)


def test_one_tick_with_several_rooms_keeps_the_order_over_all(stage: Stage) -> None:
    stage.enter("alice", json=("carol",), room="a")
    stage.play("""
        alice >> /join b
        carol >> {"type":"join","room":"b"}
        alice << * you joined #b
        alice << * carol joined #b
        carol << {"type":"ok","seq":6,"at":"NOW"}
        alice >> #a 1
        alice >> #b 2
        alice >> #a 3
        alice >> @carol 4
        alice >> #b 5
        carol << {"type":"message","seq":7,"at":"NOW","to":"#a","from":"alice","text":"1"}
        carol << {"type":"message","seq":8,"at":"NOW","to":"#b","from":"alice","text":"2"}
        carol << {"type":"message","seq":9,"at":"NOW","to":"#a","from":"alice","text":"3"}
        carol << {"type":"message","seq":10,"at":"NOW","to":"@carol","from":"alice","text":"4"}
        carol << {"type":"message","seq":11,"at":"NOW","to":"#b","from":"alice","text":"5"}
    """)


def test_time_never_goes_back_even_if_the_clock_does(stage: Stage) -> None:
    stage.enter("alice", json=("carol",))
    stage.world.time = -3600.0
    stage.say("alice", "#dev hi")
    (line,) = map(json.loads, stage.get("carol"))
    assert line["at"] == "2026-01-31T12:00:00.123Z"


# The id of a post


def test_a_repeated_post_is_answered_with_the_first_seq_and_not_posted(dev: Stage) -> None:
    dev.play("""
        carol >> {"type":"post","id":"1","to":"#dev","text":"hi\\u001b"}
        carol << {"type":"ok","id":"1","seq":7,"at":"NOW"}
        alice << [#dev] carol: hi␛
        bob << [#dev] carol: hi␛
        carol >> {"type":"post","id":"1","to":"#DEV","text":"hi\\u001b"}
        carol >> {"type":"post","id":"2","to":"#dev","text":"hi\\u001b"}
        carol << {"type":"ok","id":"1","seq":7,"at":"NOW"}
        carol << {"type":"ok","id":"2","seq":8,"at":"NOW"}
        alice << [#dev] carol: hi␛
        bob << [#dev] carol: hi␛
        carol >> {"type":"leave","room":"dev"}
        carol << {"type":"ok","seq":9,"at":"NOW"}
        alice << * carol left #dev
        bob << * carol left #dev
        carol >> {"type":"post","id":"1","to":"#dev","text":"hi\\u001b"}
        carol << {"type":"ok","id":"1","seq":7,"at":"NOW"}
    """)


@pytest.mark.parametrize(
    "change",
    [{"text": "ho"}, {"to": "#ops"}, {"to": "@bob"}, {"type": "me"}, {"text": "hi "}],
)
def test_an_id_that_stands_for_another_post_is_refused(dev: Stage, change: dict[str, str]) -> None:
    post = {"type": "post", "id": "1", "to": "#dev", "text": "hi"}
    dev.say("carol", {"type": "join", "room": "ops"}, post, post | change)
    *_, ok, refused = map(json.loads, dev.get("carol"))
    assert ok["seq"] == 8
    assert refused == {
        "type": "error",
        "id": "1",
        "code": "id-reused",
        "text": "that id was used for another post: take a new one",
    }
    assert dev.log.newest == 8


def test_ids_are_each_sessions_own(dev: Stage) -> None:
    dev.enter(json=("dave",))
    dev.play("""
        carol >> {"type":"post","id":"1","to":"@alice","text":"c"}
        dave >> {"type":"post","id":"1","to":"@alice","text":"d"}
        carol << {"type":"ok","id":"1","seq":9,"at":"NOW"}
        dave << {"type":"ok","id":"1","seq":10,"at":"NOW"}
        alice << [@carol] c
        alice << [@dave] d
    """)


def test_an_id_is_at_most_64_characters(dev: Stage) -> None:
    dev.say("carol", {"type": "ping", "id": "x" * 64}, {"type": "ping", "id": "x" * 65})
    pong, refused = map(json.loads, dev.get("carol"))
    assert pong == {"type": "pong", "id": "x" * 64}
    assert refused["code"] == "bad-command"


# History


def pages(stage: Stage, name: str, **question: object) -> tuple[list[int], bool]:
    stage.say(name, {"type": "history", "id": "h", "of": "#dev"} | question)
    (line,) = map(json.loads, stage.get(name))
    assert line["type"] == "history", line
    return [entry["seq"] for entry in line["entries"]], line["more"]


def test_history_is_paged_in_both_directions() -> None:
    stage = Stage(page=4)
    stage.enter("alice", json=("carol",))  # the log is at 4: 2 and 4 are joins in #dev
    stage.say("alice", *(f"#dev {n}" for n in range(5, 11)))
    stage.get("carol")
    questions: list[tuple[dict[str, int], tuple[list[int], bool]]] = [
        ({}, ([7, 8, 9, 10], True)),
        ({"limit": 2}, ([9, 10], True)),
        ({"limit": 1000}, ([7, 8, 9, 10], True)),
        ({"before": 7}, ([2, 4, 5, 6], False)),
        ({"before": 6, "limit": 2}, ([4, 5], True)),
        ({"before": 2}, ([], False)),
        ({"before": 0}, ([], False)),
        ({"after": 0}, ([2, 4, 5, 6], True)),
        ({"after": 6}, ([7, 8, 9, 10], False)),
        ({"after": 5, "limit": 3}, ([6, 7, 8], True)),
        ({"after": 10}, ([], False)),
        ({"after": 2**63 - 1}, ([], False)),
        ({"after": 2, "before": 6}, ([4, 5], False)),
        ({"after": 2, "before": 9}, ([4, 5, 6, 7], True)),
        ({"after": 8, "before": 3}, ([], False)),
    ]
    for question, answer in questions:
        assert pages(stage, "carol", **question) == answer, question


def test_history_shows_what_was_said_as_it_was_said(dev: Stage) -> None:
    dev.play("""
        alice >> #dev one
        alice >> /me #dev waves
        alice >> /topic dev new
        alice >> /topic dev newer
        alice << * you set the topic of #dev
        alice << * you set the topic of #dev
        bob << [#dev] alice: one
        bob << [#dev] * alice waves
        bob << * alice set the topic of #dev: new
        bob << * alice set the topic of #dev: newer
        carol << {"type":"message","seq":7,"at":"NOW","to":"#dev","from":"alice","text":"one"}
        carol << {"type":"message","seq":8,"at":"NOW","to":"#dev","from":"alice","text":"waves",
              .. "action":true}
        carol << {"type":"topic","seq":9,"at":"NOW","room":"dev","user":"alice","text":"new"}
        carol << {"type":"topic","seq":10,"at":"NOW","room":"dev","user":"alice","text":"newer"}
        carol >> {"type":"history","id":"1","of":"#DEV","limit":3}
        carol << {"type":"history","id":"1","of":"#dev","entries":[
              .. {"type":"message","seq":8,"at":"NOW","to":"#dev","from":"alice","text":"waves",
              .. "action":true},
              .. {"type":"topic","seq":9,"at":"NOW","room":"dev","user":"alice","text":"new"},
              .. {"type":"topic","seq":10,"at":"NOW","room":"dev","user":"alice","text":"newer"}],
              .. "more":true}
        bob >> /history #dev 4
        bob << * [2026-01-31 12:00Z] [#dev] alice: one
        bob << * [2026-01-31 12:00Z] [#dev] * alice waves
        bob << * [2026-01-31 12:00Z] alice set the topic of #dev: new
        bob << * [2026-01-31 12:00Z] alice set the topic of #dev: newer
        bob >> /history @carol
        bob << * nothing was said in @carol yet
        bob >> /history #dev 0
        bob << ! type it like this: /history TARGET [N]
    """)


def test_history_is_read_from_before_the_join_too(dev: Stage) -> None:
    dev.play("""
        dave >> dave
        dave >> /join dev
        dave << * welcome dave: /join ROOM enters a room, /help lists the commands, quit leaves
        dave << * you joined #dev
        alice << * dave joined #dev
        bob << * dave joined #dev
        carol << {"type":"joined","seq":8,"at":"NOW","room":"dev","user":"dave"}
        dave >> /history #dev
        dave << * [2026-01-31 12:00Z] alice joined #dev
        dave << * [2026-01-31 12:00Z] bob joined #dev
        dave << * [2026-01-31 12:00Z] carol joined #dev
        dave << * [2026-01-31 12:00Z] dave joined #dev
    """)


@pytest.mark.parametrize("direction", ["before", "after"])
@pytest.mark.parametrize("length", [10, 50_000, 60_000, 200_000])
def test_a_page_ends_early_with_long_texts_but_is_never_empty(length: int, direction: str) -> None:
    stage = Stage(line_limit=1_000_000, read_size=1_000_000)
    stage.enter(json=("carol",))
    post = {"type": "post", "to": "#dev", "text": "x" * length}
    for _ in range(7):
        stage.say("carol", post)
        stage.settle()
    assert stage.log.newest == 9
    stage.get("carol")
    found: list[int] = []
    question = {direction: 0 if direction == "after" else 10}
    more = True
    while more:
        seqs, more = pages(stage, "carol", **question)
        assert seqs
        assert len(seqs) == 1 or sum(seq > 2 for seq in seqs) * length < 131_072
        found = seqs + found if direction == "before" else found + seqs
        question = {direction: seqs[0] if direction == "before" else seqs[-1]}
    assert found == list(range(2, 10))


def test_history_in_memory_begins_where_the_log_does() -> None:
    stage = Stage(memory_entries=3)
    stage.enter("alice", json=("carol",))
    stage.say("alice", "#dev 5", "#dev 6", "#dev 7", "#dev 8")
    stage.get("carol")
    assert pages(stage, "carol") == ([6, 7, 8], False)
    assert pages(stage, "carol", after=1) == ([6, 7, 8], False)
    assert pages(stage, "carol", after=1, limit=2) == ([6, 7], True)
    assert pages(stage, "carol", before=7) == ([6], False)


# The connection


def test_other_protocols_are_refused_in_their_own_syntax(stage: Stage) -> None:
    stage.play("""
        irc >> NICK alice
        irc << ERROR :this server does not speak IRC: use selchat-client, or type to it with nc:
            ..  the first line is your name\r
        irc <| end
    """)
    stage.say("web", "GET / HTTP/1.1")
    assert stage.get("web")[0] == "HTTP/1.1 501 Not Implemented\r"


def test_a_silent_json_client_is_pinged_and_then_lost(dev: Stage) -> None:
    dev.play("""
        -- 60 s
        -- 60 s
        carol << {"type":"ping"}
        carol >> {"type":"pong"}
        -- 60 s
        -- 60 s
        carol << {"type":"ping"}
        -- 59 s
        -- 1 s
        carol << {"type":"error","code":"ping-timeout","text":"no sign of life: connect again"}
        carol <| end
        -- 119 s
        -- 1 s
        alice << * carol left #dev (lost connection)
        bob << * carol left #dev (lost connection)
    """)


def test_the_end_of_the_server_is_told_to_all(dev: Stage) -> None:
    dev.server.loop.call_later(0, dev.server.stop)
    dev.play("""
        alice << * the server is stopping
        alice <| end
        bob << * the server is stopping
        bob <| end
        carol << {"type":"notice","code":"server-stopping","text":"the server is stopping"}
        carol <| end
    """)


def test_who_joins_in_text_is_shown_the_last_that_was_said() -> None:
    stage = Stage(join_history=2)
    stage.enter("alice")
    stage.play("""
        alice >> #dev one
        alice >> #dev two
        alice >> #dev three
        bob >> bob
        bob >> /join dev
        alice << * bob joined #dev
        bob << * welcome bob: /join ROOM enters a room, /help lists the commands, quit leaves
        bob << * you joined #dev
        bob << * [2026-01-31 12:00Z] [#dev] alice: two
        bob << * [2026-01-31 12:00Z] [#dev] alice: three
        carol >> {"type":"hello","user":"carol"}
        carol >> {"type":"join","id":"1","room":"dev"}
        carol << {"type":"welcome","user":"carol","token":"token-1","seq":8,"log":"log",
              .. "version":"VERSION","line_limit":65536,"rooms":[]}
        carol << {"type":"ok","id":"1","seq":9,"at":"NOW"}
        alice << * carol joined #dev
        bob << * carol joined #dev
    """)
