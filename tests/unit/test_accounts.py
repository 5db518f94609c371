"""Accounts: registering, logging in by all ways, several sessions, and what waits for who is away.

Who may come in, and who may not, is looked at from the outside: what is said on a connection, and
what is answered there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selchat import scram
from selchat.hub.admin import invitation
from selchat.hub.replay import Replay
from selchat.store.check import check
from tests.unit.bad_disk import DiskStage
from tests.unit.playbook import Stage
from tests.unit.registered import (
    OTHER,
    PASSWORD,
    account,
    asked,
    by_device,
    device,
    done,
    log_in,
    prove,
    refused,
    told,
    verifier,
)

GRACE = 120.0
DAY = 86_400.0
ASKED = "* alice is registered: type its password as the next line"
WRONG = "! that is not the password of alice: type it again, or connect anew to take another name"


@pytest.fixture
def stage() -> Stage:
    """alice, who is registered, in JSON and in #dev; bob, a guest, in text there."""
    stage = Stage()
    account(stage, "alice")
    stage.enter("bob")
    return stage


def leave(stage: Stage, name: str = "alice") -> None:
    """End a session for good."""
    assert told_end(stage, name, {"type": "quit"})


def told_end(stage: Stage, name: str, command: dict[str, Any]) -> bool:
    stage.say(name, command)
    return stage.get(name)[-1] == "<end>"


# Registering


def test_a_guest_makes_its_name_an_account_and_keeps_id_rooms_and_roles() -> None:
    stage = Stage()
    stage.enter(json=("alice",))
    before = stage.hub.state.names["alice"]
    stage.play(f"""
        alice >> {json.dumps({"type": "register", "id": "r", "verifier": verifier()})}
        alice << {{"type":"ok","id":"r","seq":3,"at":"NOW"}}
        alice >> {{"type":"who","id":"w","room":"dev"}}
        alice << {{"type":"users","id":"w","room":"dev",
              .. "users":[{{"user":"alice","role":"owner"}}]}}
    """)
    assert stage.hub.state.accounts == {"alice": before}


def test_registering_in_text_and_the_password_as_the_next_line() -> None:
    stage = Stage()
    stage.play(f"""
        alice >> alice
        alice >> /register {PASSWORD}
        alice << * welcome alice: /join ROOM enters a room, /help lists the commands, quit leaves
        alice << ! a password has at least 8 characters: add some
        alice >> /register
        alice << ! type it like this: /register PASSWORD
        alice >> /register correcthorse
        alice >> /join dev
        alice << * your name is registered: from now on it takes your password
        alice << * you joined #dev
        alice >> /register again-and-again
        alice << ! alice is registered already: /passwd changes
        alice >> quit
        alice << * bye
        alice <| end
        other >> alice
        other << {ASKED}
        other >> /join dev
        other >> correcthorse
        other >> /who dev
        other << {WRONG}
        other << * welcome alice: /join ROOM enters a room, /help lists the commands, quit leaves
        other << * you are in #dev
        other << * in #dev: alice (owner)
    """)


@pytest.mark.parametrize(
    "change",
    [
        {"iterations": 99_999},
        {"iterations": 1_000_001},
        {"salt": "c2hvcnQ="},
        {"stored_key": "c2hvcnQ="},
        {"server_key": "c2hvcnQ="},
    ],
)
def test_a_verifier_that_is_too_weak_is_refused(change: dict[str, Any]) -> None:
    stage = Stage()
    stage.enter(json=("alice",))
    given = verifier() | change
    assert refused(stage, "alice", "register", verifier=given) == "bad-credential"
    assert not stage.hub.state.accounts


def test_json_gives_no_password_and_text_no_verifier() -> None:
    stage = Stage()
    stage.enter(json=("alice",))
    assert refused(stage, "alice", "register", password=PASSWORD) == "usage"
    assert refused(stage, "alice", "register") == "usage"


def test_passwords_are_not_taken_in_plaintext_from_elsewhere() -> None:
    stage = Stage()
    account(stage, "alice")
    stage.address = "192.0.2.7"
    stage.enter("bob", json=("carol",))
    assert refused(stage, "carol", "register", verifier=verifier()) == "tls-required"
    stage.play(f"""
        bob >> /register correcthorse
        bob << ! passwords are taken over TLS only: connect with it
        eve >> alice
        eve << ! alice is registered, and its password is taken over TLS only: use selchat-client or
            .. {" "}openssl s_client, or choose another name
        eve >> {PASSWORD.replace(" ", "-")}
        eve << * welcome correct-horse: /join ROOM enters a room, /help lists the commands, quit
            .. {" "}leaves
    """)


def test_nobody_registers_where_that_is_closed() -> None:
    stage = Stage(registration="closed")
    stage.enter(json=("alice",))
    assert refused(stage, "alice", "register", verifier=verifier()) == "registration-closed"


def test_an_invitation_lets_as_many_register_as_it_says_in_its_time() -> None:
    stage = Stage(registration="invite", ping_after=1e9)
    word = invitation(stage.hub, 2, 7.0)
    stage.enter(json=("alice", "bob", "carol"))
    for wrong in (None, "", "guess"):
        code = refused(stage, "alice", "register", verifier=verifier(), invitation=wrong)
        assert code == "invitation-required"
    done(stage, "alice", "register", verifier=verifier(), invitation=word)
    done(stage, "bob", "register", verifier=verifier(), invitation=word)
    code = refused(stage, "carol", "register", verifier=verifier(), invitation=word)
    assert code == "invitation-required"
    late = invitation(stage.hub, 1, 7.0)
    stage.advance(7 * DAY + 1)
    code = refused(stage, "carol", "register", verifier=verifier(), invitation=late)
    assert code == "invitation-required"


def test_two_cannot_use_the_last_invitation_at_once() -> None:
    stage = Stage(registration="invite")
    word = invitation(stage.hub, 1, 7.0)
    stage.enter("alice", "bob", room=None)
    stage.say("alice", f"/register correcthorse {word}")
    stage.say("bob", f"/register correcthorse {word}")
    stage.settle()
    assert len(stage.hub.state.accounts) == 1
    said = [*stage.get("alice"), *stage.get("bob")]
    assert "! that invitation was used by somebody else" in said


def test_the_first_account_is_an_admin_where_that_is_asked_for() -> None:
    for first_admin in (False, True):
        stage = Stage(first_admin=first_admin)
        account(stage, "alice", "bob")
        answers = [asked(stage, name, "announce", text="hi")["type"] for name in ("alice", "bob")]
        assert answers == ["ok" if first_admin else "error", "error"]


def test_accounts_per_address_and_in_all_are_limited() -> None:
    stage = Stage(registrations_per_address=1, limits_exempt="none", accounts=2, ping_after=1e9)
    stage.enter(json=("alice", "bob", "dave"))
    done(stage, "alice", "register", verifier=verifier())
    assert refused(stage, "bob", "register", verifier=verifier()) == "too-many"
    stage.address = "127.0.0.2"
    stage.enter(json=("carol",))
    done(stage, "carol", "register", verifier=verifier())
    stage.advance(3_601)
    assert refused(stage, "dave", "register", verifier=verifier()) == "full"


def test_a_network_of_ipv6_is_one_address_for_registrations_and_wrong_passwords() -> None:
    stage = Stage(registrations_per_address=1, limits_exempt="none")
    stage.address = "::1"
    account(stage, "alice", room=None)
    book = stage.hub.registrations
    assert book.wait("::/64", stage.world.now() / 1000) > 0
    prove(stage, "eve", "alice", OTHER)
    assert stage.hub.delays.wait("::/64", "alice", stage.world.now() / 1000) > 0


def test_a_name_is_kept_while_its_owner_is_away(stage: Stage) -> None:
    leave(stage)
    for name in ("alice", "Alice", "ＡＬＩＣＥ"):
        stage.say(f"eve {name}", {"type": "hello", "user": name})
        assert [e["code"] for e in told(stage, f"eve {name}")] == ["registered"]
    stage.say("bob", "/nick alice")
    assert stage.get("bob") == ["! the name alice is in use: choose another"]


def test_an_account_can_be_renamed_and_its_old_name_is_free(stage: Stage) -> None:
    done(stage, "alice", "nick", name="Alicia")
    leave(stage)
    assert prove(stage, "alice2", "alice")[-1]["code"] == "wrong-credential"
    assert log_in(stage, "alice3", "ALICIA")["user"] == "Alicia"
    stage.say("eve", "alice")
    assert stage.get("eve")[0].startswith("* welcome alice")


# Logging in


def test_logging_in_by_password_without_sending_it(stage: Stage) -> None:
    leave(stage)
    welcome = log_in(stage, "alice2", "alice")
    assert welcome["account"] is True
    assert welcome["rooms"] == ["dev"]
    assert welcome["proof"].startswith("v=")
    stage.say("bob", "#dev hello")
    (heard,) = told(stage, "alice2")
    assert heard["text"] == "hello"


def test_a_wrong_password_and_an_unknown_name_are_answered_alike(stage: Stage) -> None:
    answers = []
    for number, name in enumerate(("alice", "nobody")):
        client = f"eve{number}"
        exchange = scram.Client(name, OTHER, None, nonce="n" * 24)
        stage.say(client, {"type": "hello", "user": name, "auth": exchange.first()})
        (challenge,) = told(stage, client)
        salt, rounds = challenge["data"].split(",")[1:]
        final = exchange.final(challenge["data"])
        stage.say(client, {"type": "auth", "data": final})
        answers.append((len(salt), told(stage, client)))
        assert rounds in (f"i={scram.ITERATIONS}", f"i={scram.ITERATIONS_LEAST}")
    assert answers[0] == answers[1]
    assert answers[0][1] == [
        {
            "type": "error",
            "code": "wrong-credential",
            "text": "the name or the password is wrong: try again",
        }
    ]


def test_the_salt_of_an_unknown_name_is_always_the_same(stage: Stage) -> None:
    salts = set()
    for client in ("eve1", "eve2"):
        exchange = scram.Client("nobody", OTHER, None)
        stage.say(client, {"type": "hello", "user": "nobody", "auth": exchange.first()})
        salts.add(told(stage, client)[0]["data"].split(",")[1])
    assert len(salts) == 1


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ("", "bad-credential"),
        ("n,,n=bob,r=abc", "wrong-credential"),
        ("p=tls-server-end-point,,n=alice,r=abc", "bad-credential"),
        ("p=tls-unique,,n=alice,r=abc", "bad-credential"),
        ("n,,n=alice,r=" + "x" * 2_000, "bad-credential"),
        ("\ud800", "bad-json"),
    ],
)
def test_what_is_no_first_word_is_refused(stage: Stage, auth: str, code: str) -> None:
    line = json.dumps({"type": "hello", "user": "alice", "auth": auth})
    stage.say("eve", line)
    assert [e["code"] for e in told(stage, "eve")] == [code]


def test_a_last_word_without_a_first_or_twice_is_refused(stage: Stage) -> None:
    assert refused(stage, "eve", "auth", data="c=biws,r=x,p=x") == "not-logged-in"
    exchange = scram.Client("alice", OTHER, None)
    stage.say("eve", {"type": "hello", "user": "alice", "auth": exchange.first()})
    final = exchange.final(told(stage, "eve")[0]["data"])
    assert refused(stage, "eve", "auth", data=final) == "wrong-credential"
    assert refused(stage, "eve", "auth", data=final) == "not-logged-in"


def test_a_hello_in_between_ends_a_login_that_is_under_way(stage: Stage) -> None:
    exchange = scram.Client("alice", PASSWORD, None)
    stage.say("eve", {"type": "hello", "user": "alice", "auth": exchange.first()})
    final = exchange.final(told(stage, "eve")[0]["data"])
    stage.say("eve", {"type": "hello", "user": "eve"}, {"type": "auth", "data": final})
    assert [(e["type"], e.get("code")) for e in told(stage, "eve")] == [
        ("welcome", None),
        ("error", "account-required"),
    ]


def test_so_many_refusals_end_a_connection(stage: Stage) -> None:
    heard = [prove(stage, "eve", "alice", OTHER) for _ in range(4)][-1]
    assert [e.get("code") for e in heard] == ["wrong-credential", "too-many-attempts", None]
    assert heard[-1] == {"over": "<end>"}


def test_in_text_too_and_no_try_is_taken_for_a_command(stage: Stage) -> None:
    stage.play(f"""
        eve >> alice
        eve >> quit
        eve >> /quit
        eve >> /join dev
        eve >> bob
        eve << {ASKED}
        eve << {WRONG}
        eve << {WRONG}
        eve << {WRONG}
        eve << {WRONG}
        eve << ! too many log-ins were refused: connect again
        eve <| end
    """)


@pytest.mark.parametrize("password", ["x" * 300, "\u0000", "pass\u0000word", "\ufeff", "x"])
def test_what_can_be_no_password_is_wrong_like_any_other(stage: Stage, password: str) -> None:
    stage.say("eve", "alice", password)
    assert stage.get("eve") == [ASKED, WRONG]


def test_who_guesses_wrong_waits_longer_each_time_and_the_owner_does_not() -> None:
    stage = Stage(limits_exempt="none", name_attempts=100)
    account(stage, "alice", room=None)
    wrong = {"type": "error", "code": "wrong-credential"}
    stage.address = "127.0.0.6"
    for delay in (1, 2, 4, 8):
        assert prove(stage, "eve", "alice", OTHER)[-1].items() >= wrong.items()
        stage.advance(delay - 0.5)
        (refusal,) = prove(stage, "eve", "alice")
        assert refusal["code"] == "wait"
        assert refusal["text"] == "too many wrong passwords: try again in 1 seconds"
        # From the same address another account is not concerned, nor this one from another.
        assert prove(stage, "eve", "nobody", OTHER)[-1]["code"] in ("wrong-credential", "wait")
        stage.address = "127.0.0.9"
        assert log_in(stage, f"owner{delay}", "alice")
        stage.address = "127.0.0.6"
        stage.advance(0.6)
    assert log_in(stage, "eve", "alice")


def test_the_delay_is_for_text_and_for_the_old_password_too() -> None:
    stage = Stage(limits_exempt="none")
    account(stage, "alice", room=None)
    stage.say("eve", "alice", "wrong-one")
    assert stage.get("eve") == [ASKED, WRONG]
    stage.say("eve", PASSWORD)
    assert stage.get("eve") == ["! too many wrong passwords: try again in 1 seconds"]
    stage.advance(1.1)
    stage.say("eve", PASSWORD)
    assert stage.get("eve")[0].startswith("* welcome alice")
    stage.say("eve", "/passwd wrong-one battery-staple", f"/passwd {OTHER} battery-staple")
    assert stage.get("eve")[1] == "! type it like this: /passwd [OLD] [NEW]"


def test_guesses_that_come_at_once_are_not_all_looked_at() -> None:
    stage = Stage(limits_exempt="none")
    account(stage, "alice", room=None)
    for number in range(5):
        stage.connect(f"eve{number}")
        stage.say(f"eve{number}", "alice")
    stage.settle()
    for number in range(5):
        stage.say(f"eve{number}", PASSWORD if number == 4 else f"guess-{number}")
    stage.settle()
    said = [stage.get(f"eve{number}")[1] for number in range(5)]
    assert said[0] == WRONG
    assert said[1:] == ["! too many wrong passwords: try again in 1 seconds"] * 4


def test_guesses_by_scram_that_come_at_once_are_not_all_looked_at() -> None:
    stage = Stage(limits_exempt="none")
    account(stage, "alice", room=None)
    finals = []
    for number in range(3):
        exchange = scram.Client("alice", PASSWORD if number == 2 else OTHER, None)
        stage.say(f"eve{number}", {"type": "hello", "user": "alice", "auth": exchange.first()})
        finals.append(exchange.final(told(stage, f"eve{number}")[0]["data"]))
    for number, final in enumerate(finals):
        stage.say(f"eve{number}", {"type": "auth", "data": final})
    codes = [told(stage, f"eve{number}")[0].get("code") for number in range(3)]
    assert codes == ["wrong-credential", "wait", "wait"]


def test_a_name_that_can_be_none_is_not_remembered() -> None:
    stage = Stage(limits_exempt="none")
    name = "x" * 60_000
    first = {"type": "hello", "user": name, "auth": "n,,n=*,r=abc"}
    stage.say("eve", first)
    assert [e["code"] for e in told(stage, "eve")] == ["bad-name"]
    assert len(stage.hub.delays) == 0


# The server's password, and servers without guests


def test_guests_need_the_password_of_a_server_that_has_one(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("open sesame\nmore\n", encoding="utf-8")
    stage = Stage(join_password_file=str(path))
    stage.play("""
        alice >> alice
        alice << * this server has a password: type it as the next line
        alice >> /join dev
        alice << ! that is not the password of this server: try again
        alice >> open sesame
        alice << * welcome alice: /join ROOM enters a room, /help lists the commands, quit leaves
        bob >> {"type":"hello","user":"bob"}
        bob << {"type":"error","code":"join-password-required","text":"this server has a password:
            ..  give it, too"}
        bob >> {"type":"hello","user":"bob","join_password":"open sesam"}
        bob << {"type":"error","code":"wrong-credential","text":"that is not the password of this
            ..  server: try again"}
        bob >> {"type":"hello","user":"bob","join_password":"open sesame"}
        bob << {"type":"welcome","user":"bob","token":"token-1","seq":2,"log":"log",
            .. "version":"VERSION","line_limit":65536,"rooms":[]}
    """)


def test_an_account_needs_no_password_of_the_server(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("open sesame", encoding="utf-8")
    stage = Stage(join_password_file=str(path))
    hello = {"type": "hello", "user": "alice", "join_password": "open sesame"}
    stage.say("alice", hello, {"type": "register", "verifier": verifier()})
    assert told(stage, "alice")[-1]["type"] == "ok"
    assert log_in(stage, "alice2", "alice")


def test_the_servers_password_is_not_taken_in_plaintext_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("open sesame", encoding="utf-8")
    stage = Stage(join_password_file=str(path))
    stage.address = "192.0.2.7"
    hello = {"user": "bob", "join_password": "open sesame"}
    assert refused(stage, "bob", "hello", **hello) == "tls-required"
    stage.play("""
        eve >> eve
        eve << ! this server has a password: give it, too
    """)


def test_guests_of_a_server_without_guests_can_register_and_leave() -> None:
    stage = Stage(guests=False)
    stage.say("alice", {"type": "hello", "user": "alice"})
    assert told(stage, "alice")[0]["type"] == "welcome"
    for kind, fields in {
        "join": {"room": "dev"},
        "post": {"to": "@alice", "text": "hi"},
        "who": {},
        "rooms": {},
        "history": {"of": "#dev"},
        "search": {"text": "x"},
        "sessions": {},
        "block": {},
        "remember": {},
    }.items():
        assert refused(stage, "alice", kind, **fields) == "account-required", kind
    done(stage, "alice", "register", verifier=verifier())
    done(stage, "alice", "join", room="dev")
    stage.say("bob", "bob", "quit")
    assert stage.get("bob")[-2:] == ["* bye", "<end>"]


def test_where_nobody_can_register_guests_are_not_let_in_at_all() -> None:
    stage = Stage(guests=False, registration="closed")
    stage.play("""
        bob >> bob
        bob << ! only who has an account may talk here: ask its operator
    """)


# The password changes


def change(stage: Stage, client: str, name: str, old: str, new: str) -> list[dict[str, Any]]:
    """Take another password, in JSON; what the client was told."""
    exchange = scram.Client(name, old, None)
    stage.say(client, {"type": "auth", "data": exchange.first()})
    (challenge,) = told(stage, client)
    if challenge["type"] != "challenge":
        return [challenge]
    proof = exchange.final(challenge["data"])
    stage.say(client, {"type": "passwd", "proof": proof, "verifier": verifier(new)})
    return told(stage, client)


def test_another_password_ends_the_other_sessions_and_forgets_devices(stage: Stage) -> None:
    first = device(stage, "alice")
    log_in(stage, "alice2", "alice")
    second = device(stage, "alice2")
    stage.say("alice3", "alice", PASSWORD, "/who dev")
    assert stage.get("alice3")[-1] == "* in #dev: alice (owner), bob"
    (answer,) = change(stage, "alice", "alice", PASSWORD, OTHER)
    assert answer["type"] == "ok"
    over = "this session is over: your password was changed from another session"
    assert told(stage, "alice2") == [
        {"type": "error", "code": "session-ended", "text": over},
        {"over": "<end>"},
    ]
    assert stage.get("alice3") == ["! " + over, "<end>"]
    assert stage.get("bob") == []  # the account is in its rooms still
    for number, token in enumerate((first, second)):
        assert by_device(stage, f"again{number}", "alice", token)["code"] == "device-unknown"
    assert prove(stage, "again2", "alice")[-1]["code"] == "wrong-credential"
    assert log_in(stage, "again3", "alice", OTHER)


def test_the_old_password_has_to_be_proved_afresh(stage: Stage) -> None:
    (refusal,) = change(stage, "alice", "alice", OTHER, PASSWORD)
    assert refusal["code"] == "wrong-credential"
    made = verifier(OTHER)
    code = refused(stage, "alice", "passwd", proof="c=biws,r=x,p=x", verifier=made)
    assert code == "bad-credential"
    assert refused(stage, "alice", "passwd", verifier=made) == "usage"
    assert refused(stage, "alice", "passwd", old=PASSWORD, verifier=made) == "usage"
    exchange = scram.Client("alice", PASSWORD, None)
    stage.say("alice", {"type": "auth", "data": exchange.first()})
    proof = exchange.final(told(stage, "alice")[0]["data"])
    weak = made | {"iterations": 1}
    assert refused(stage, "alice", "passwd", proof=proof, verifier=weak) == "bad-credential"
    assert refused(stage, "alice", "passwd", proof=proof, verifier=made) == "bad-credential"
    assert log_in(stage, "alice2", "alice")


def test_the_password_in_text(stage: Stage) -> None:
    (answer,) = change(stage, "alice", "alice", PASSWORD, "correct-horse")
    assert answer["type"] == "ok"
    stage.play("""
        tim >> alice
        tim << * alice is registered: type its password as the next line
        tim >> correct-horse
        tim << * welcome alice: /join ROOM enters a room, /help lists the commands, quit leaves
        tim << * you are in #dev
        tim >> /passwd wrong-horse battery-staple
        tim << ! that is not the password of alice: type it again, or connect anew to take another
            ..  name
        tim >> /passwd correct-horse short
        tim << ! a password has at least 8 characters: add some
        tim >> /passwd correct-horse battery-staple
        tim << * your password is changed, and your other sessions are over
        alice << {"type":"error","code":"session-ended","text":"this session is over: your password
            ..  was changed from another session"}
        alice <| end
    """)
    assert log_in(stage, "alice2", "alice", "battery-staple")


def test_a_password_that_was_changed_meanwhile_is_wrong(stage: Stage) -> None:
    stage.connect("tim")
    stage.say("tim", "alice")
    stage.settle()
    exchange = scram.Client("alice", PASSWORD, None)
    stage.say("alice", {"type": "auth", "data": exchange.first()})
    proof = exchange.final(told(stage, "alice")[0]["data"])
    stage.say("tim", PASSWORD)
    stage.tick()
    stage.say("alice", {"type": "passwd", "proof": proof, "verifier": verifier(OTHER)})
    stage.settle()
    said = stage.get("tim")
    assert said == [ASKED, WRONG] or said[-1] == "<end>", said


# Devices and sessions


def test_a_client_that_is_remembered_needs_no_password(stage: Stage) -> None:
    token = device(stage, "alice")
    assert token not in str(stage.hub.state.devices)  # only its hash is kept
    leave(stage)
    welcome = by_device(stage, "alice2", "alice", token)
    assert (welcome["type"], welcome["user"], welcome["rooms"]) == ("welcome", "alice", ["dev"])
    assert "proof" not in welcome
    for name, wrong in (("alice", token + "x"), ("bob", token), ("alice", ""), ("alice", "\x00")):
        assert by_device(stage, f"eve {wrong} {name}", name, wrong)["code"] == "device-unknown"


def test_who_asks_to_be_remembered_again_gets_another_token(stage: Stage) -> None:
    first = device(stage, "alice")
    second = device(stage, "alice")
    assert by_device(stage, "a1", "alice", first)["code"] == "device-unknown"
    assert by_device(stage, "a2", "alice", second)["type"] == "welcome"


def test_a_device_is_forgotten_if_it_is_not_used_for_long() -> None:
    stage = Stage(device_lifetime=2.0, ping_after=1e9)
    account(stage, "alice")
    token = device(stage, "alice")
    stage.advance(2 * DAY - 1)
    assert by_device(stage, "a1", "alice", token)["type"] == "welcome"
    stage.advance(2 * DAY - 1)
    assert by_device(stage, "a2", "alice", token)["type"] == "welcome"
    stage.advance(2 * DAY + 1)
    assert by_device(stage, "a3", "alice", token)["code"] == "device-unknown"


def test_only_so_many_devices_are_remembered_and_the_oldest_goes() -> None:
    stage = Stage(sessions_per_account=2)
    account(stage, "alice")
    tokens = []
    for number in range(3):
        log_in(stage, f"a{number}", "alice")
        tokens.append(device(stage, f"a{number}"))
        told_end(stage, f"a{number}", {"type": "quit"})
        stage.advance(1)
    assert by_device(stage, "b0", "alice", tokens[0])["code"] == "device-unknown"
    assert by_device(stage, "b1", "alice", tokens[1])["type"] == "welcome"


def test_a_guest_and_who_types_text_is_not_remembered(stage: Stage) -> None:
    stage.enter(json=("carol",))
    assert refused(stage, "carol", "remember") == "account-required"
    stage.say("bob", "/remember")
    assert stage.get("bob")[-1].startswith("! there is no /remember")


def test_logout_ends_the_session_and_forgets_its_device(stage: Stage) -> None:
    token = device(stage, "alice")
    log_in(stage, "alice2", "alice")
    assert told_end(stage, "alice", {"type": "logout", "id": "l"})
    assert by_device(stage, "again", "alice", token)["code"] == "device-unknown"
    assert asked(stage, "alice2", "ping")["type"] == "pong"
    stage.say("bob", "/logout")
    assert stage.get("bob") == ["* bye", "<end>"]


def test_sessions_are_listed_and_ended(stage: Stage) -> None:
    token = device(stage, "alice")
    leave(stage)
    log_in(stage, "alice2", "alice")
    own = stage.log.newest
    stage.say("tim", "alice", PASSWORD)
    stage.settle()
    tim = stage.log.newest
    answer = asked(stage, "alice2", "sessions", id="s")
    numbers = {one["number"]: one for one in answer["sessions"]}
    assert numbers[own].items() >= {"online": True, "own": True}.items()
    assert numbers[tim]["online"] is True
    (gone,) = numbers.keys() - {own, tim}
    assert numbers[gone].items() >= {"online": False, "device": True}.items()
    assert asked(stage, "alice2", "sessions", end=tim)["type"] == "ok"
    assert stage.get("tim")[-2:] == [
        "! this session is over: it was ended from another session",
        "<end>",
    ]
    done(stage, "alice2", "sessions", end=gone)
    assert by_device(stage, "again", "alice", token)["code"] == "device-unknown"
    assert refused(stage, "alice2", "sessions", end=own) == "not-allowed"
    for number in (tim, 0, 1, 2**63 - 1):
        assert refused(stage, "alice2", "sessions", end=number) == "no-such-session"


def test_ending_a_session_from_elsewhere_forgets_its_device_too(stage: Stage) -> None:
    token = device(stage, "alice")
    number = stage.hub.state.accounts["alice"].sessions[0].id
    log_in(stage, "alice2", "alice")
    done(stage, "alice2", "sessions", end=number)
    assert by_device(stage, "again", "alice", token)["code"] == "device-unknown"


def test_nobody_ends_the_session_of_another(stage: Stage) -> None:
    number = stage.hub.state.names["bob"].sessions[0].id
    assert refused(stage, "alice", "sessions", end=number) == "no-such-session"
    stage.say("bob", f"/sessions {stage.hub.state.names['alice'].sessions[0].id}")
    assert stage.get("bob") == ["! you have no session of that number: /sessions lists them"]


def test_an_account_has_only_so_many_sessions_and_idle_ones_go_first() -> None:
    stage = Stage(sessions_per_account=2, name_attempts=100)
    account(stage, "alice")
    log_in(stage, "alice2", "alice")
    assert prove(stage, "alice3", "alice")[-1]["code"] == "too-many-sessions"
    stage.clients["alice"].end("reset")
    stage.settle()
    assert log_in(stage, "alice3", "alice")
    assert prove(stage, "alice4", "alice")[-1]["code"] == "too-many-sessions"
    code = refused(stage, "again", "hello", user="alice", token="token-1", after=0)
    assert code == "session-expired"


# Several sessions of one account


def test_each_session_hears_the_same_and_what_the_others_said(stage: Stage) -> None:
    log_in(stage, "alice2", "alice")
    stage.say("tim", "alice", PASSWORD)
    stage.settle()
    told(stage, "alice2")
    stage.get("tim")
    seq = stage.log.newest
    stage.play(f"""
        bob >> #dev to all
        bob >> @alice to you
        alice << {{"type":"message","seq":{seq + 1},"at":"NOW","to":"#dev","from":"bob",
            .. "text":"to all"}}
        alice << {{"type":"message","seq":{seq + 2},"at":"NOW","to":"@alice","from":"bob",
            .. "text":"to you"}}
        alice2 << {{"type":"message","seq":{seq + 1},"at":"NOW","to":"#dev","from":"bob",
            .. "text":"to all"}}
        alice2 << {{"type":"message","seq":{seq + 2},"at":"NOW","to":"@alice","from":"bob",
            .. "text":"to you"}}
        tim << [#dev] bob: to all
        tim << [@bob] to you
        alice >> {{"type":"post","id":"1","to":"#dev","text":"mine"}}
        alice >> {{"type":"post","id":"2","to":"@bob","text":"for you"}}
        alice >> {{"type":"me","id":"3","to":"@bob","text":"waves"}}
        alice << {{"type":"ok","id":"1","seq":{seq + 3},"at":"NOW"}}
        alice << {{"type":"ok","id":"2","seq":{seq + 4},"at":"NOW"}}
        alice << {{"type":"ok","id":"3","seq":{seq + 5},"at":"NOW"}}
        alice2 << {{"type":"message","seq":{seq + 3},"at":"NOW","to":"#dev","from":"alice",
            .. "text":"mine"}}
        alice2 << {{"type":"message","seq":{seq + 4},"at":"NOW","to":"@bob","from":"alice",
            .. "text":"for you"}}
        alice2 << {{"type":"message","seq":{seq + 5},"at":"NOW","to":"@bob","from":"alice",
            .. "text":"waves","action":true}}
        tim << [#dev] alice: mine
        tim << * you to @bob: for you
        tim << * you to @bob: * alice waves
        bob << [#dev] alice: mine
        bob << [@alice] for you
        bob << [@alice] * alice waves
        tim >> @alice a note to myself
        tim << [@alice] a note to myself
        alice << {{"type":"message","seq":{seq + 6},"at":"NOW","to":"@alice","from":"alice",
            .. "text":"a note to myself"}}
        alice2 << {{"type":"message","seq":{seq + 6},"at":"NOW","to":"@alice","from":"alice",
            .. "text":"a note to myself"}}
    """)


def test_joining_and_leaving_is_for_all_sessions(stage: Stage) -> None:
    log_in(stage, "alice2", "alice")
    stage.say("tim", "alice", PASSWORD)
    stage.settle()
    told(stage, "alice2")
    stage.get("tim")
    seq = stage.log.newest
    stage.play(f"""
        tim >> /join ops
        tim << * you joined #ops
        alice << {{"type":"joined","seq":{seq + 1},"at":"NOW","room":"ops","user":"alice",
            .. "owner":true}}
        alice2 << {{"type":"joined","seq":{seq + 1},"at":"NOW","room":"ops","user":"alice",
            .. "owner":true}}
        alice >> {{"type":"post","to":"#ops","text":"here too"}}
        alice << {{"type":"ok","seq":{seq + 2},"at":"NOW"}}
        alice2 << {{"type":"message","seq":{seq + 2},"at":"NOW","to":"#ops","from":"alice",
            .. "text":"here too"}}
        tim << [#ops] alice: here too
        alice2 >> {{"type":"leave","room":"ops"}}
        alice2 << {{"type":"ok","seq":{seq + 3},"at":"NOW"}}
        alice << {{"type":"left","seq":{seq + 3},"at":"NOW","room":"ops","user":"alice",
            .. "reason":"left"}}
        tim << * alice left #ops
        tim >> #ops hello
        tim << ! you are not in #ops: type /join ops first
    """)


def test_another_name_is_told_to_all_sessions_even_in_no_room() -> None:
    stage = Stage()
    account(stage, "alice", room=None)
    log_in(stage, "alice2", "alice")
    stage.say("tim", "alice", PASSWORD)
    stage.settle()
    told(stage, "alice2")
    stage.get("tim")
    seq = stage.log.newest
    stage.play(f"""
        alice >> {{"type":"nick","name":"Alicia"}}
        alice << {{"type":"ok","seq":{seq + 1},"at":"NOW"}}
        alice2 << {{"type":"renamed","seq":{seq + 1},"at":"NOW","room":null,"user":"alice",
            .. "name":"Alicia"}}
        tim << * alice is now Alicia
    """)


def test_going_offline_leaves_no_room_and_quit_ends_one_session(stage: Stage) -> None:
    log_in(stage, "alice2", "alice")
    leave(stage, "alice")
    stage.play("""
        bob >> /who dev
        bob << * in #dev: alice (owner), bob
    """)
    stage.clients["alice2"].end("reset")
    stage.advance(GRACE)
    stage.play("""
        bob >> /who dev
        bob << * in #dev: bob, alice (owner, offline)
        bob >> /who
        bob << * here: bob
        bob >> /topic dev fish
        bob << * you set the topic of #dev
    """)
    assert log_in(stage, "alice3", "alice")["rooms"] == ["dev"]


# What waits for who is away


def test_direct_messages_wait_and_come_once_in_the_live_form(stage: Stage) -> None:
    leave(stage)
    stage.play("""
        bob >> @alice are you there?
        bob >> #dev to all
        bob >> @alice hello?
    """)
    heard = prove(stage, "alice2", "alice")
    assert [e.get("text") for e in heard] == [None, "are you there?", "hello?"]
    assert [e["type"] for e in heard] == ["welcome", "message", "message"]
    stage.say("tim", "alice", PASSWORD)
    assert len(stage.get("tim")) == 3
    leave(stage, "alice2")
    stage.say("tim", "quit")
    stage.settle()
    assert len(prove(stage, "alice3", "alice")) == 1


def test_they_come_in_text_too(stage: Stage) -> None:
    leave(stage)
    stage.say("bob", "@alice one", "@alice two")
    stage.settle()
    stage.say("tim", "alice", PASSWORD)
    assert stage.get("tim")[2:] == ["* you are in #dev", "[@bob] one", "[@bob] two"]


def test_what_was_said_in_the_grace_of_a_lost_session_waits_too(stage: Stage) -> None:
    """Nobody saw it: the connection was lost, and the session did not come back."""
    stage.clients["alice"].end("reset")
    stage.settle()
    stage.say("bob", "@alice in the grace")
    stage.advance(GRACE + 1)
    stage.say("bob", "@alice after it")
    heard = prove(stage, "alice2", "alice")
    assert [e.get("text") for e in heard[1:]] == ["in the grace", "after it"]


def test_a_new_session_beside_a_lost_one_gets_what_that_missed(stage: Stage) -> None:
    stage.clients["alice"].end("reset")
    stage.settle()
    stage.say("bob", "@alice hello?")
    heard = prove(stage, "alice2", "alice")
    assert [e.get("text") for e in heard[1:]] == ["hello?"]


def test_a_session_that_comes_back_gets_what_it_missed_itself(stage: Stage) -> None:
    seq = stage.log.newest
    stage.clients["alice"].end("reset")
    stage.advance(GRACE + 1)
    stage.say("bob", "@alice one")
    assert [e.get("text") for e in prove(stage, "alice2", "alice")[1:]] == ["one"]
    stage.say("again", {"type": "hello", "user": "alice", "token": "token-1", "after": seq})
    assert [e.get("text") for e in told(stage, "again")[1:]] == ["one"]


def test_what_waits_longer_than_things_are_kept_is_skipped() -> None:
    """That must not keep anybody from logging in."""
    stage = Stage(memory_entries=60)
    account(stage, "alice")
    stage.enter("bob")
    leave(stage)
    stage.say("bob", "@alice gone", *(f"#dev {n}" for n in range(80)), "@alice kept")
    stage.settle()
    heard = prove(stage, "alice2", "alice")
    assert [e.get("text") for e in heard[1:]] == ["kept"]
    assert asked(stage, "alice2", "ping")["type"] == "pong"


def test_an_invitation_to_a_room_waits_too(stage: Stage) -> None:
    stage.say("bob", "/join club", "/private club on")
    stage.settle()
    leave(stage)
    stage.say("bob", "/invite club alice")
    assert stage.get("bob")[-1] == "* alice is invited to #club"
    (invited,) = prove(stage, "alice2", "alice")[1:]
    assert (invited["type"], invited["room"], invited["by"]) == ("invited", "club", "bob")


# Secrets


def test_passwords_and_tokens_are_in_no_log(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = device(stage, "alice")
    stage.say("tim", "alice", "wrong-password")
    stage.settle()
    stage.say("tim", PASSWORD, f"/passwd {PASSWORD} x", "/passwd correct-horse next-password")
    stage.settle()
    stage.say("una", "una", "/register unas-password")
    stage.settle()
    prove(stage, "eve", "alice", "scram-password")
    by_device(stage, "alice2", "alice", token)
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert '"what":"wrong password","whom":"alice"' in said
    assert '"who":"una","what":"register"' in said
    secrets = (PASSWORD, token, "next-password", "unas-password", "wrong-", "scram-", "token-")
    assert [secret for secret in secrets if secret in said] == []


def test_who_goes_while_the_password_is_computed_is_missed_by_nobody(stage: Stage) -> None:
    for how in ("end", "reset"):
        stage.connect(how)
        stage.say(how, "alice")
        stage.settle()
        stage.say(how, PASSWORD)
        stage.tick()
        stage.clients[how].end(how)
        stage.settle()
        assert len(stage.hub.state.accounts["alice"].sessions) == 1
        assert stage.get("bob") == []


def test_what_comes_behind_a_password_waits_for_it(stage: Stage) -> None:
    stage.say("tim", "alice", PASSWORD, "#dev in order", "/who dev")
    assert stage.get("tim")[1:] == [
        "* welcome alice: /join ROOM enters a room, /help lists the commands, quit leaves",
        "* you are in #dev",
        "* in #dev: alice (owner), bob",
    ]
    assert stage.get("bob") == ["[#dev] alice: in order"]


# Restarts, and a disk that fails


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DiskStage]:
    stage = DiskStage(tmp_path / "data", snapshot_entries=3)
    yield stage
    stage.close()


def restarted(stage: DiskStage, folder: Path, *, orderly: bool = False) -> DiskStage:
    stage.expect_no_difference()
    time, secrets = stage.world.time, stage.world.secrets
    if orderly:
        stage.stop()
    else:
        stage.kill()
    again = DiskStage(folder, time=time, secrets=secrets, snapshot_entries=3)
    again.expect_no_difference()
    return again


@pytest.mark.parametrize("orderly", [False, True])
def test_a_restart_keeps_accounts_devices_rooms_and_what_waits(
    tmp_path: Path, orderly: bool
) -> None:
    stage = DiskStage(tmp_path / "data", snapshot_entries=3)
    account(stage, "alice", "carol")
    stage.enter("bob")
    token = device(stage, "alice")
    leave(stage)
    stage.say("bob", "@alice hello?")
    done(stage, "carol", "block", user="alice")
    stage = restarted(stage, tmp_path / "data", orderly=orderly)
    stage.say("eve", {"type": "hello", "user": "alice"})
    assert told(stage, "eve")[0]["code"] == "registered"
    stage.say("alice", {"type": "hello", "user": "alice", "device": token})
    welcome, message = told(stage, "alice")
    assert welcome["rooms"] == ["dev"]
    assert message["text"] == "hello?"
    assert log_in(stage, "alice2", "alice")
    stage = restarted(stage, tmp_path / "data", orderly=not orderly)
    assert len(stage.hub.state.accounts["alice"].sessions) == 2
    found = check(tmp_path / "data", lambda saved, whole: Replay(saved, whole=whole))
    assert found.problems == []
    stage.close()


def test_registering_that_is_not_stored_did_not_happen(disk: DiskStage) -> None:
    disk.enter("tim", json=("alice",))
    disk.disk.fail("COMMIT")
    assert refused(disk, "alice", "register", verifier=verifier()) == "not-stored"
    disk.say("tim", "/register correcthorse")
    assert disk.get("tim")[0].startswith("! that could not be stored")
    disk.disk.heal()
    disk.advance(1.1)
    assert not disk.hub.state.accounts
    disk.expect_no_difference()
    done(disk, "alice", "register", verifier=verifier())


def test_a_log_in_that_is_not_stored_did_not_happen(disk: DiskStage) -> None:
    account(disk, "alice")
    leave(disk)
    disk.disk.fail("COMMIT")
    (refusal, over) = prove(disk, "alice2", "alice")
    assert (refusal["code"], over) == ("not-stored", {"over": "<end>"})
    disk.disk.heal()
    disk.advance(1.1)
    disk.expect_no_difference()
    assert not disk.hub.state.accounts["alice"].sessions
    assert log_in(disk, "alice3", "alice")


def test_a_password_that_is_computed_while_the_disk_fails(disk: DiskStage) -> None:
    account(disk, "alice")
    disk.say("tim", "alice")
    disk.settle()
    disk.disk.fail_writing()
    disk.say("tim", PASSWORD)
    assert disk.get("tim")[1].startswith("! that could not be stored")
    disk.disk.heal()
    disk.advance(1.1)
    disk.expect_no_difference()
    assert len(disk.hub.state.accounts["alice"].sessions) == 1


def test_while_nothing_can_be_stored_no_session_and_no_device_is_ended(disk: DiskStage) -> None:
    account(disk, "alice")
    log_in(disk, "alice2", "alice")
    number = disk.hub.state.accounts["alice"].sessions[0].id
    disk.disk.fail_writing()
    for kind, fields in (("remember", {}), ("logout", {}), ("sessions", {"end": number})):
        assert refused(disk, "alice2", kind, **fields) == "not-stored", kind
    assert told(disk, "alice") == []
    disk.disk.heal()
    disk.advance(1.1)
    assert len(disk.hub.state.accounts["alice"].sessions) == 2
    disk.expect_no_difference()


def test_other_sessions_are_told_nothing_of_a_change_that_is_not_stored(disk: DiskStage) -> None:
    account(disk, "alice")
    log_in(disk, "alice2", "alice")
    exchange = scram.Client("alice", PASSWORD, None)
    disk.say("alice", {"type": "auth", "data": exchange.first()})
    proof = exchange.final(told(disk, "alice")[0]["data"])
    disk.disk.fail("COMMIT")
    disk.say("alice", {"type": "passwd", "proof": proof, "verifier": verifier(OTHER)})
    assert told(disk, "alice")[0]["code"] == "not-stored"
    heard = told(disk, "alice2")
    assert "session-ended" not in str(heard)
    disk.disk.heal()
    disk.advance(1.1)
    disk.expect_no_difference()
    assert log_in(disk, "alice3", "alice")
