"""Who may do what in a room: roles, bans, muting, private rooms, and who is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.bad_disk import DiskStage
from tests.unit.playbook import Stage
from tests.unit.registered import account, asked, done, log_in, prove, refused, told, verifier


@pytest.fixture
def stage() -> Stage:
    """In #dev: alice, an account and its owner, and carol, a guest, in JSON; bob, in text."""
    stage = Stage()
    account(stage, "alice")
    stage.enter("bob", json=("carol",))
    return stage


def quiet(stage: Stage) -> None:
    for client in stage.clients.values():
        client.lines()


def members(stage: Stage, room: str = "dev") -> list[str]:
    return [user.name for user in stage.hub.state.rooms[room].members]


def heard(stage: Stage, client: str) -> list[tuple[str, ...]]:
    """The facts that a client was told, without place and time."""
    return [
        tuple(f"{key}={value}" for key, value in one.items() if key not in ("seq", "at"))
        for one in told(stage, client)
    ]


# Roles


def test_who_makes_a_room_owns_it_and_says_who_is_what(stage: Stage) -> None:
    seq = stage.log.newest
    stage.play(f"""
        alice >> {{"type":"op","id":"o","room":"dev","user":"bob"}}
        alice << {{"type":"ok","id":"o","seq":{seq + 1},"at":"NOW"}}
        bob << * alice made bob a moderator of #dev
        carol << {{"type":"ranked","seq":{seq + 1},"at":"NOW","room":"dev","user":"bob",
              .. "role":"moderator","by":"alice"}}
        bob >> /who dev
        bob << * in #dev: alice (owner), bob (moderator), carol
        alice >> {{"type":"op","id":"o","room":"dev","user":"bob","role":"owner"}}
        alice << {{"type":"ok","id":"o","seq":{seq + 2},"at":"NOW"}}
        bob << * alice made bob an owner of #dev
        carol << {{"type":"ranked","seq":{seq + 2},"at":"NOW","room":"dev","user":"bob",
              .. "role":"owner","by":"alice"}}
        bob >> /deop dev alice
        bob << * alice is a mere member of #dev now
        alice << {{"type":"ranked","seq":{seq + 3},"at":"NOW","room":"dev","user":"alice",
              .. "role":"member","by":"bob"}}
        carol << {{"type":"ranked","seq":{seq + 3},"at":"NOW","room":"dev","user":"alice",
              .. "role":"member","by":"bob"}}
        bob >> /op dev carol moderator
        bob >> /op dev carol king
        bob >> /deop dev bob
        bob << * carol is a moderator of #dev now
        bob << ! type it like this: /op ROOM USER [moderator|owner]
        bob << ! #dev would have no owner: /op dev NAME owner first
        alice << {{"type":"ranked","seq":{seq + 4},"at":"NOW","room":"dev","user":"carol",
              .. "role":"moderator","by":"bob"}}
        carol << {{"type":"ranked","seq":{seq + 4},"at":"NOW","room":"dev","user":"carol",
              .. "role":"moderator","by":"bob"}}
    """)


COMMANDS: dict[str, dict[str, Any]] = {
    "kick": {"user": "bob"},
    "ban": {"user": "bob"},
    "unban": {"user": "bob"},
    "mute": {"user": "bob"},
    "unmute": {"user": "bob"},
    "private": {"on": "on"},
    "op": {"user": "bob"},
    "deop": {"user": "alice"},
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_mere_members_and_strangers_may_none_of_it(stage: Stage, kind: str) -> None:
    newest = stage.log.newest
    fields = COMMANDS[kind] | {"room": "dev"}
    stage.say("carol", {"type": kind, **fields})
    (answer,) = told(stage, "carol")
    assert answer["code"] == "not-allowed"
    assert answer["text"].endswith(": ask alice")
    stage.enter(json=("eve",), room=None)
    assert refused(stage, "eve", kind, **fields) == "not-a-member"
    assert refused(stage, "eve", kind, **fields | {"room": "none"}) == "not-a-member"
    assert stage.log.newest == newest + 1


@pytest.mark.parametrize("kind", ["private", "op", "deop"])
def test_moderators_may_not_do_what_owners_may(stage: Stage, kind: str) -> None:
    done(stage, "alice", "op", room="dev", user="carol")
    assert refused(stage, "carol", kind, **COMMANDS[kind] | {"room": "dev"}) == "not-allowed"


@pytest.mark.parametrize("kind", ["kick", "ban", "mute"])
def test_moderators_may_do_nothing_to_each_other_or_to_owners(stage: Stage, kind: str) -> None:
    done(stage, "alice", "op", room="dev", user="bob")
    done(stage, "alice", "op", room="dev", user="carol")
    for user in ("alice", "bob", "@BOB"):
        assert refused(stage, "carol", kind, room="dev", user=user) == "not-allowed"
    done(stage, "alice", kind, room="dev", user="bob")


def test_a_role_of_a_guest_ends_when_it_leaves_that_of_an_account_stays(stage: Stage) -> None:
    done(stage, "alice", "op", room="dev", user="bob", role="owner")
    done(stage, "alice", "leave", room="dev")
    stage.say("bob", "/leave dev", "/join dev")
    done(stage, "alice", "join", room="dev")
    stage.say("bob", "/who dev")
    assert stage.get("bob")[-1] == "* in #dev: carol, bob, alice (owner)"


def test_a_guest_that_registers_keeps_its_role() -> None:
    stage = Stage()
    stage.enter("bob", json=("alice",))
    stage.say("bob", "/op dev alice owner")
    stage.settle()
    told(stage, "alice")
    account_of = stage.hub.state.names["alice"]
    done(stage, "alice", "register", verifier=verifier())
    done(stage, "alice", "leave", room="dev")
    done(stage, "alice", "join", room="dev")
    assert stage.hub.state.rooms["dev"].role(account_of) == "owner"


# Kicking


def test_who_is_kicked_and_the_others_are_told_by_whom_and_why(stage: Stage) -> None:
    seq = stage.log.newest
    stage.play(f"""
        alice >> {{"type":"kick","id":"k","room":"dev","user":"@Bob","text":"too\\u001b loud"}}
        alice << {{"type":"ok","id":"k","seq":{seq + 1},"at":"NOW"}}
        bob << * bob left #dev (kicked by alice: too␛ loud)
        carol << {{"type":"left","seq":{seq + 1},"at":"NOW","room":"dev","user":"bob",
              .. "reason":"kicked","by":"alice","why":"too␛ loud"}}
        bob >> #dev hello
        bob << ! you are not in #dev: type /join dev first
        bob >> /join dev
        bob << * you joined #dev
        alice << {{"type":"joined","seq":{seq + 2},"at":"NOW","room":"dev","user":"bob"}}
        carol << {{"type":"joined","seq":{seq + 2},"at":"NOW","room":"dev","user":"bob"}}
    """)
    assert refused(stage, "alice", "kick", room="dev", user="alice") == "not-allowed"
    assert refused(stage, "alice", "kick", room="dev", user="eve") == "no-such-user"
    assert refused(stage, "alice", "kick", room="dev", user="bob", text="x" * 201) == "too-long"
    stage.enter(json=("eve",), room=None)
    assert refused(stage, "alice", "kick", room="dev", user="eve") == "not-a-member"


def test_an_account_that_is_away_is_kicked_too(stage: Stage) -> None:
    account(stage, "dave")
    stage.say("dave", {"type": "quit"})
    stage.settle()
    done(stage, "alice", "kick", room="dev", user="dave")
    assert stage.get("bob")[-1] == "* dave left #dev (kicked by alice)"
    assert log_in(stage, "dave2", "dave")["rooms"] == []


def test_who_missed_its_kick_is_told_when_it_comes_back(stage: Stage) -> None:
    seq = stage.log.newest
    stage.clients["carol"].end("reset")
    stage.settle()
    stage.say("bob", "#dev before")
    done(stage, "alice", "kick", room="dev", user="carol", text="bye")
    stage.say("bob", "#dev after")
    stage.say("carol2", {"type": "hello", "user": "carol", "token": "token-2", "after": seq})
    welcome, said, left = told(stage, "carol2")
    assert welcome["rooms"] == []
    assert said["text"] == "before"
    assert (left["user"], left["reason"], left["by"], left["why"]) == (
        "carol",
        "kicked",
        "alice",
        "bye",
    )


# Bans


def test_a_banned_account_stays_out_whatever_its_name(stage: Stage) -> None:
    account(stage, "dave")
    quiet(stage)
    done(stage, "alice", "ban", room="dev", user="dave", text="spam")
    assert heard(stage, "carol") == [
        ("type=banned", "room=dev", "user=dave", "on=True", "by=alice"),
        ("type=left", "room=dev", "user=dave", "reason=banned", "by=alice", "why=spam"),
    ]
    assert stage.get("bob") == [
        "* dave is banned from #dev (alice)",
        "* dave left #dev (banned by alice: spam)",
    ]
    assert [one["type"] for one in told(stage, "dave")] == ["banned", "left"]
    assert refused(stage, "dave", "join", room="dev") == "banned"
    done(stage, "dave", "nick", name="mallory")
    assert refused(stage, "dave", "join", room="dev") == "banned"
    log_in(stage, "dave2", "mallory")
    assert refused(stage, "dave2", "join", room="dev") == "banned"
    assert refused(stage, "alice", "invite", room="dev", user="mallory") == "banned"
    # Who takes the name now is somebody else.
    stage.enter(json=("dave3",), room=None)
    done(stage, "dave3", "nick", name="dave")
    done(stage, "dave3", "join", room="dev")
    # It is found by the name that it had, and by the one that it has.
    done(stage, "alice", "unban", room="dev", user="mallory")
    done(stage, "dave", "join", room="dev")
    assert refused(stage, "alice", "unban", room="dev", user="mallory") == "not-banned"


def test_a_ban_is_taken_back_by_the_name_that_was_banned(stage: Stage) -> None:
    account(stage, "dave")
    done(stage, "alice", "ban", room="dev", user="dave")
    done(stage, "dave", "nick", name="mallory")
    stage.say("dave", {"type": "quit"})
    done(stage, "alice", "unban", room="dev", user="dave")
    assert not stage.hub.state.rooms["dev"].bans


def test_of_a_guest_the_name_is_banned(stage: Stage) -> None:
    done(stage, "alice", "ban", room="dev", user="bob")
    assert stage.get("bob") == [
        "* bob is banned from #dev (alice)",
        "* bob left #dev (banned by alice)",
    ]
    stage.say("bob", "/join dev", "quit")
    assert stage.get("bob")[0] == "! you are banned from #dev: its moderators can change that"
    stage.say("bob2", "Bob", "/join dev")
    assert stage.get("bob2")[-1] == "! you are banned from #dev: its moderators can change that"
    done(stage, "alice", "unban", room="dev", user="BOB")
    stage.say("bob2", "/join dev")
    assert stage.get("bob2")[-1] == "* you joined #dev"


def test_who_is_not_there_can_be_banned_and_bans_are_limited() -> None:
    stage = Stage(bans_per_room=2)
    account(stage, "alice")
    stage.enter("bob")
    done(stage, "alice", "ban", room="dev", user="eve")
    assert stage.get("bob") == ["* eve is banned from #dev (alice)"]
    done(stage, "alice", "ban", room="dev", user="mallory")
    assert refused(stage, "alice", "ban", room="dev", user="bob") == "too-many"
    assert refused(stage, "alice", "ban", room="dev", user="x y") == "bad-name"
    assert refused(stage, "alice", "ban", room="dev", user="") == "bad-name"
    answer = asked(stage, "alice", "unban", room="dev", user="nobody")
    assert answer["text"] == "that name is not banned from #dev: eve, mallory is"
    stage.say("eve", "eve", "/join dev")
    assert stage.get("eve")[-1] == "! you are banned from #dev: its moderators can change that"


# Muting


def test_who_is_muted_says_nothing_there_and_talks_elsewhere(stage: Stage) -> None:
    done(stage, "alice", "mute", room="dev", user="bob")
    assert stage.get("bob") == ["* bob may not speak in #dev (alice)"]
    assert heard(stage, "carol") == [("type=muted", "room=dev", "user=bob", "on=True", "by=alice")]
    refusal = "! you may not speak in #dev: ask one of its moderators"
    stage.say("bob", "#dev hi", "/me #dev waves", "/topic dev x", "@carol hi", "/history #dev 1")
    assert stage.get("bob") == [
        refusal,
        refusal,
        refusal,
        "* [2026-01-31 12:00Z] bob may not speak in #dev (alice)",
    ]
    assert [one["text"] for one in told(stage, "carol")] == ["hi"]
    stage.say("bob", "/leave dev", "/join dev", "#dev hi", "/who dev")
    assert refusal in stage.get("bob")
    assert "seq" not in done(stage, "alice", "mute", room="dev", user="bob")
    done(stage, "alice", "unmute", room="dev", user="bob")
    stage.say("bob", "#dev hi")
    assert stage.get("bob") == ["* bob may speak in #dev again (alice)"]
    assert told(stage, "carol")[-1]["text"] == "hi"
    assert "seq" not in done(stage, "alice", "unmute", room="dev", user="bob")
    assert refused(stage, "alice", "mute", room="dev", user="eve") == "no-such-user"


# Private rooms


def test_a_private_room_is_for_who_is_invited(stage: Stage) -> None:
    stage.enter("eve", "mallory", room=None)
    stage.play("""
        eve >> /topic dev
        eve << * #dev has no topic: /topic dev TEXT sets one
    """)
    done(stage, "alice", "private", room="dev", on="on")
    assert stage.get("bob") == ["* alice made #dev private: one needs an /invite"]
    assert heard(stage, "carol") == [("type=private", "room=dev", "on=True", "by=alice")]
    assert "seq" not in done(stage, "alice", "private", room="dev", on="on")
    stage.play("""
        eve >> /rooms
        eve >> /who dev
        eve >> /topic dev
        eve >> /history #dev
        eve >> #dev hello
        eve >> /search x in #dev
        eve >> /join dev
        eve << * there is no room yet: /join ROOM makes one
        eve << ! there is no room #dev: /rooms lists them
        eve << ! there is no room #dev: /rooms lists them
        eve << ! you are not in #dev: type /join dev first
        eve << ! you are not in #dev: type /join dev first
        eve << ! you are not in #dev: type /join dev first
        eve << ! #dev is private: ask one of its moderators for an /invite
        bob >> /rooms
        bob >> /invite dev eve
        bob << * #dev (3)
        bob << ! #dev is private: ask alice to invite somebody
    """)
    done(stage, "alice", "invite", room="dev", user="eve")
    assert heard(stage, "carol") == [("type=invited", "room=dev", "user=eve", "by=alice")]
    assert stage.get("bob") == ["* alice invites eve to #dev: /join dev"]
    assert stage.get("eve") == ["* alice invites eve to #dev: /join dev"]
    assert stage.get("mallory") == []


def test_an_invitation_is_used_up_by_entering(stage: Stage) -> None:
    stage.enter("eve", room=None)
    done(stage, "alice", "private", room="dev", on="on")
    done(stage, "alice", "invite", room="dev", user="eve")
    stage.get("eve")
    stage.say("eve", "/rooms", "/who dev", "/join dev", "/leave dev", "/join dev")
    assert stage.get("eve") == [
        "* #dev (3)",
        "! #dev is private: /join dev first",
        "* you joined #dev",
        "* you left #dev",
        "! #dev is private: ask one of its moderators for an /invite",
    ]
    assert refused(stage, "alice", "invite", room="dev", user="bob") == "already-there"
    assert refused(stage, "alice", "invite", room="dev", user="x") == "no-such-user"
    done(stage, "alice", "invite", room="dev", user="eve")
    assert "seq" not in done(stage, "alice", "invite", room="dev", user="eve")
    done(stage, "alice", "private", room="dev", on="off")
    stage.enter("frank")
    assert "frank" in members(stage)


def test_its_owner_and_moderators_come_back_to_a_private_room(stage: Stage) -> None:
    account(stage, "dave")
    done(stage, "alice", "op", room="dev", user="dave")
    done(stage, "alice", "private", room="dev", on="on")
    for name in ("alice", "dave"):
        done(stage, name, "leave", room="dev")
        done(stage, name, "join", room="dev")


def test_a_private_room_that_is_empty_is_nobody_elses(stage: Stage) -> None:
    """Else its history would be for whoever takes the name."""
    stage.enter("dan", room="club")
    stage.say("dan", "/private club on", "#club secret", "quit")
    stage.settle()
    assert refused(stage, "carol", "join", room="club") == "invitation-required"


def test_any_member_may_invite_to_a_room_that_is_open(stage: Stage) -> None:
    stage.enter("eve", room=None)
    stage.say("bob", "/invite dev eve")
    assert stage.get("bob") == ["* eve is invited to #dev"]
    assert stage.get("eve") == ["* bob invites eve to #dev: /join dev"]
    assert refused(stage, "carol", "invite", room="ops", user="eve") == "not-a-member"


def test_a_full_room_and_too_many_rooms_are_refused() -> None:
    stage = Stage(members_per_room=1, rooms_per_user=2, rooms=3)
    account(stage, "alice")
    stage.enter(json=("bob",), room=None)
    assert refused(stage, "bob", "join", room="dev") == "room-full"
    done(stage, "alice", "join", room="two")
    assert refused(stage, "alice", "join", room="three") == "too-many-rooms"
    done(stage, "alice", "leave", room="two")
    assert refused(stage, "alice", "join", room="three") == "too-many-rooms"  # it owns two
    done(stage, "bob", "join", room="three")
    assert refused(stage, "bob", "join", room="four") == "too-many-rooms"
    done(stage, "bob", "leave", room="three")
    done(stage, "bob", "join", room="four")


# Admins


def test_an_admin_may_in_every_room_what_its_owners_may() -> None:
    stage = Stage(first_admin=True)
    account(stage, "root", room=None)
    stage.enter("alice", "bob", json=("carol",))
    stage.say("alice", "/private dev on")
    quiet(stage)
    done(stage, "root", "mute", room="dev", user="alice")
    done(stage, "root", "kick", room="dev", user="bob")
    done(stage, "root", "op", room="dev", user="carol", role="owner")
    done(stage, "root", "deop", room="dev", user="alice")
    assert asked(stage, "root", "who", room="dev")["room"] == "dev"
    done(stage, "root", "join", room="dev")
    done(stage, "carol", "ban", room="dev", user="root")  # which is of no use
    done(stage, "root", "join", room="dev")


# Restarts


def test_roles_bans_and_all_else_survive_restarts(tmp_path: Path) -> None:
    stage = DiskStage(tmp_path / "data", snapshot_entries=2)
    account(stage, "alice", "dave", "erin", room="dev")
    stage.enter(json=("carol",))
    done(stage, "alice", "op", room="dev", user="dave")
    done(stage, "alice", "mute", room="dev", user="carol")
    done(stage, "alice", "ban", room="dev", user="erin")
    done(stage, "alice", "ban", room="dev", user="nobody")
    done(stage, "alice", "private", room="dev", on="on")
    stage.enter("eve", room=None)
    done(stage, "alice", "invite", room="dev", user="eve")
    for kill in (True, False):
        stage.expect_no_difference()
        before = stage.hub.state.rooms["dev"]
        stage.kill() if kill else stage.stop()
        stage = DiskStage(tmp_path / "data", snapshot_entries=2, secrets=9)
        stage.expect_no_difference()
        room = stage.hub.state.rooms["dev"]
        assert {u.name: role for u, role in room.roles.items()} == {
            "alice": "owner",
            "dave": "moderator",
        }
        assert (room.private, room.bans) == (before.private, before.bans)
        assert {u.name for u in room.muted} == {"carol"}
        log_in(stage, "erin", "erin")
        assert refused(stage, "erin", "join", room="dev") == "banned"
    assert prove(stage, "dave", "dave")[0]["rooms"] == ["dev"]
    stage.close()
