"""What the admins of a server do, and its operator; and the log of it."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from selchat.audit import Audit
from selchat.control import Question
from selchat.errors import Refusal, SelchatError
from selchat.operators import Admins, Invited, carry_out, operators
from selchat.settings import ServerSettings
from tests.unit.bad_disk import DiskStage
from tests.unit.playbook import Stage
from tests.unit.registered import account, asked, done, log_in, prove, refused, told, verifier


@pytest.fixture
def stage() -> Stage:
    """root, an admin, in no room; in #dev alice, an account, in JSON, and bob, a guest, in text."""
    stage = Stage(first_admin=True, ping_after=1e9)
    account(stage, "root", room=None)
    account(stage, "alice")
    stage.enter("bob")
    return stage


ADMINS: dict[str, dict[str, Any]] = {
    "kill": {"user": "bob"},
    "announce": {"text": "hi"},
    "ban-address": {"network": "192.0.2.0/24"},
    "unban-address": {"network": "192.0.2.0/24"},
}


@pytest.mark.parametrize("kind", ADMINS)
def test_that_is_for_admins(stage: Stage, kind: str) -> None:
    newest = stage.log.newest
    assert refused(stage, "alice", kind, **ADMINS[kind]) == "not-allowed"
    stage.enter(json=("carol",), room=None)
    assert refused(stage, "carol", kind, **ADMINS[kind]) == "not-allowed"
    assert stage.log.newest == newest + 1


def test_killing_a_guest_is_told_to_it_and_to_its_rooms(stage: Stage) -> None:
    done(stage, "root", "join", room="dev")
    told(stage, "alice")
    seq = stage.log.newest
    stage.play(f"""
        root >> {{"type":"kill","id":"k","user":"bob","text":"spam"}}
        root << {{"type":"left","seq":{seq + 1},"at":"NOW","room":"dev","user":"bob",
             .. "reason":"removed","by":"root","why":"spam"}}
        root << {{"type":"ok","id":"k"}}
        alice << {{"type":"left","seq":{seq + 1},"at":"NOW","room":"dev","user":"bob",
              .. "reason":"removed","by":"root","why":"spam"}}
        bob << * root joined #dev
        bob << ! you were removed by root: spam
        bob <| end
    """)


def test_killing_an_account_ends_all_its_sessions(stage: Stage) -> None:
    log_in(stage, "alice2", "alice")
    log_in(stage, "alice3", "alice")
    stage.clients["alice3"].end("reset")
    stage.settle()
    done(stage, "root", "kill", user="@ALICE")
    for client in ("alice", "alice2"):
        error, over = told(stage, client)
        assert (error["code"], error["text"]) == ("removed", "you were removed by root")
        assert over == {"over": "<end>"}
    assert stage.get("bob") == []  # it is a member still
    assert not stage.hub.state.accounts["alice"].sessions
    assert log_in(stage, "again", "alice")["rooms"] == ["dev"]


def test_admins_are_not_killed_and_nobody_is_twice(stage: Stage) -> None:
    assert refused(stage, "root", "kill", user="root") == "not-allowed"
    operators(stage.hub, stage.server.commit)["admin"](Question("admin", "alice", True))
    assert refused(stage, "root", "kill", user="alice") == "not-allowed"
    assert refused(stage, "root", "kill", user="nobody") == "no-such-user"
    assert refused(stage, "root", "kill", user="bob", text="x" * 201) == "too-long"


def test_an_announcement_reaches_everybody_and_cannot_act_on_a_terminal(stage: Stage) -> None:
    stage.enter("eve", room=None)
    text = "restart\u001b[2J in\n5 minutes"
    stage.say("root", {"type": "announce", "text": text})
    line = "root to all: restart␛[2J in 5 minutes"
    assert stage.get("bob") == stage.get("eve") == [f"* {line}"]
    assert told(stage, "alice") == [{"type": "notice", "code": "announcement", "text": line}]
    notice, answer = told(stage, "root")
    assert (notice["type"], answer["type"]) == ("notice", "ok")
    assert refused(stage, "root", "announce", text=" ") == "empty"
    assert refused(stage, "root", "announce", text="x" * 2_001) == "too-long"


# Addresses


def test_who_comes_from_a_banned_network_is_closed_and_who_is_there_too(stage: Stage) -> None:
    stage.address = "192.0.2.7"
    stage.enter("eve", json=("mallory",))
    stage.address = "192.0.3.1"
    stage.enter("frank")
    done(stage, "root", "ban-address", network="192.0.2.9/24")
    gone = "connections from your address are not wanted here"
    assert stage.get("eve")[-2:] == [f"! {gone}", "<end>"]
    assert told(stage, "mallory")[-2:] == [
        {"type": "error", "code": "removed", "text": gone},
        {"over": "<end>"},
    ]
    assert "* eve left #dev (removed by root)" in stage.get("bob")
    stage.address = "192.0.2.200"
    stage.connect("eve2")
    assert stage.get("eve2") == ["<cut>"]
    code = refused(stage, "root", "unban-address", network="192.0.3.0/24")
    assert code == "not-banned"
    done(stage, "root", "unban-address", network="192.0.2.0/24")
    stage.say("eve3", "eve")
    assert stage.get("eve3")[0].startswith("* welcome eve")


def test_a_ban_of_an_address_can_end_by_itself(stage: Stage) -> None:
    done(stage, "root", "ban-address", network="2001:db8::/32", hours=0.5)
    done(stage, "root", "ban-address", network="192.0.2.1", hours=1)
    stage.address = "2001:db8::1"
    stage.connect("eve")
    assert stage.get("eve") == ["<cut>"]
    stage.advance(1_801)
    stage.say("eve2", "eve")
    assert stage.get("eve2")[0].startswith("* welcome eve")
    stage.address = "192.0.2.1"
    stage.connect("mallory")
    assert stage.get("mallory") == ["<cut>"]


@pytest.mark.parametrize(
    ("network", "code"),
    [
        ("", "bad-address"),
        ("everybody", "bad-address"),
        ("192.0.2.0/33", "bad-address"),
        ("1" * 60_000, "bad-address"),
        ("127.0.0.1", "not-allowed"),
        ("::1", "not-allowed"),
        ("0.0.0.0/0", "not-allowed"),
        ("::/0", "not-allowed"),
    ],
)
def test_an_admin_cannot_shut_itself_out_or_this_machine(
    stage: Stage, network: str, code: str
) -> None:
    assert refused(stage, "root", "ban-address", network=network) == code


def test_an_admin_from_elsewhere_cannot_shut_itself_out() -> None:
    stage = Stage(first_admin=True)
    account(stage, "root", room=None)
    session = stage.hub.state.accounts["root"].sessions[0]
    assert session.peer is not None
    stage.connection("root").address = "192.0.2.7"
    assert refused(stage, "root", "ban-address", network="192.0.2.0/24") == "not-allowed"


@pytest.mark.parametrize("hours", [0, -1, 1e7, "x"])
def test_hours_have_limits(stage: Stage, hours: object) -> None:
    code = refused(stage, "root", "ban-address", network="192.0.2.1", hours=hours)
    assert code == "bad-command"


def test_bans_of_addresses_are_limited_and_those_that_ended_make_place() -> None:
    stage = Stage(first_admin=True, bans_per_room=2, ping_after=1e9)
    account(stage, "root", room=None)
    done(stage, "root", "ban-address", network="192.0.2.1", hours=1)
    done(stage, "root", "ban-address", network="192.0.2.2")
    assert refused(stage, "root", "ban-address", network="192.0.2.3") == "too-many"
    stage.advance(3_601)
    done(stage, "root", "ban-address", network="192.0.2.3")


# The operator


def asking(stage: Stage) -> Callable[..., msgspec.Struct]:
    answers = operators(stage.hub, stage.server.commit)

    def ask(kind: str, *words: Any) -> msgspec.Struct:
        return answers[kind](Question(kind, *words))

    return ask


def test_the_operator_makes_admins_of_accounts_only(stage: Stage) -> None:
    ask = asking(stage)
    assert ask("admin") == Admins(["root"])
    assert ask("admin", "@Alice", True) == Admins(["root", "alice"])
    done(stage, "alice", "announce", text="hi")
    assert ask("admin", "alice", False) == Admins(["root"])
    assert refused(stage, "alice", "announce", text="hi") == "not-allowed"
    for name in ("bob", "nobody", ""):
        with pytest.raises(Refusal, match=r"is no account.*known: root, alice"):
            ask("admin", name, True)


def test_without_a_server_the_log_is_changed_itself(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    settings = ServerSettings(data=str(folder))
    with pytest.raises(SelchatError, match="there is no log"):
        carry_out(folder, settings, Question("admin"), Admins)
    stage = DiskStage(folder, registration="invite")
    stage.enter(json=("alice",))
    stage.kill()
    invited = carry_out(folder, settings, Question("invite"), Invited)
    stage = DiskStage(folder, registration="invite", secrets=9)
    stage.enter(json=("bob",))
    done(stage, "bob", "register", verifier=verifier(), invitation=invited.word)
    stage.expect_no_difference()
    stage.kill()
    assert carry_out(folder, settings, Question("admin", "bob", True), Admins).names == ["bob"]
    stage = DiskStage(folder, secrets=19)
    stage.expect_no_difference()
    log_in(stage, "bob", "bob")
    done(stage, "bob", "announce", text="hi")
    stage.close()


def test_what_the_operator_asks_while_the_disk_fails_is_not_done(tmp_path: Path) -> None:
    stage = DiskStage(tmp_path / "data")
    account(stage, "alice")
    stage.disk.fail("COMMIT")
    with pytest.raises(Refusal, match="could not be stored"):
        asking(stage)("admin", "alice", True)
    with pytest.raises(Refusal, match="could not be stored"):
        asking(stage)("invite")
    stage.disk.heal()
    stage.advance(1.1)
    assert asking(stage)("admin") == Admins([])
    stage.expect_no_difference()
    stage.close()


def test_who_is_removed_while_the_disk_fails_is_told_no_lie(tmp_path: Path) -> None:
    stage = DiskStage(tmp_path / "data", first_admin=True)
    account(stage, "root")
    stage.enter("bob", json=("carol",))
    stage.disk.fail("COMMIT")
    assert refused(stage, "root", "kill", user="bob") == "not-stored"
    assert refused(stage, "root", "kill", user="carol") == "not-stored"
    assert "removed" not in "".join(stage.get("bob"))
    stage.disk.heal()
    stage.advance(1.1)
    stage.expect_no_difference()
    stage.close()


# The audit log


def lines(path: Path) -> list[str]:
    """What stands in the audit log, without the times."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        assert one.pop("at").endswith("Z")
        found.append(" ".join(one.values()))
    return found


def noting(folder: Path, **settings: Any) -> DiskStage:
    """A stage whose audit log is on the disk, as that of a server is."""
    stage = DiskStage(folder, **settings)
    stage.server._audit = Audit(folder)
    return stage


def test_what_was_done_to_whom_stands_in_the_audit_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / "data"
    stage = noting(folder, first_admin=True)
    account(stage, "root", "alice", password="a long password")
    stage.enter("bob", "carol")
    prove(stage, "eve", "alice", "a wrong password")
    done(stage, "root", "op", room="dev", user="alice")
    done(stage, "root", "private", room="dev", on="on")
    done(stage, "alice", "mute", room="dev", user="bob")
    done(stage, "alice", "unmute", room="dev", user="bob")
    done(stage, "alice", "post", to="#dev", text="rude words")
    done(stage, "root", "delete", to="#dev", user="alice")
    done(stage, "alice", "ban", room="DEV", user="@Carol", text="rude")
    done(stage, "alice", "unban", room="dev", user="carol")
    done(stage, "alice", "kick", room="dev", user="bob", text="loud")
    done(stage, "root", "deop", room="dev", user="alice")
    done(stage, "root", "ban-address", network="192.0.2.1", hours=2)
    done(stage, "root", "unban-address", network="192.0.2.1")
    done(stage, "root", "announce", text="bye")
    done(stage, "root", "kill", user="bob", text="at last")
    assert refused(stage, "alice", "kick", room="dev", user="root") == "not-allowed"
    path = folder / "audit.log"
    assert lines(path) == [
        "root register",
        "(first_admin) admin add root",
        "alice register",
        "(127.0.0.1) wrong password alice",
        "root op alice #dev moderator",
        "root private #dev on",
        "alice mute bob #dev",
        "alice unmute bob #dev",
        "root delete alice #dev 16",
        "alice ban carol #dev rude",
        "alice unban carol #dev",
        "alice kick bob #dev loud",
        "root deop alice #dev",
        "root ban-address 192.0.2.1/32 2.0",
        "root unban-address 192.0.2.1/32",
        "root announce bye",
        "root kill bob at last",
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    data = path.read_text(encoding="utf-8") + "".join(r.getMessage() for r in caplog.records)
    assert "rude words" not in data
    assert "password" not in data.replace("wrong password", "")
    stage.close()


def test_nothing_stands_there_that_was_not_stored(tmp_path: Path) -> None:
    stage = noting(tmp_path / "data")
    account(stage, "alice")
    stage.enter("bob")
    stage.disk.fail("COMMIT")
    assert refused(stage, "alice", "kick", room="dev", user="bob") == "not-stored"
    assert lines(tmp_path / "data" / "audit.log") == ["alice register"]
    stage.close()


def test_a_long_reason_of_an_audit_line_is_one_line(tmp_path: Path) -> None:
    stage = noting(tmp_path / "data")
    account(stage, "alice")
    stage.enter("bob")
    done(stage, "alice", "kick", room="dev", user="bob", text='x","who":"root\n{"at":')
    assert len(lines(tmp_path / "data" / "audit.log")) == 2
    stage.close()


def test_a_stranger_cannot_write_much_into_it(tmp_path: Path) -> None:
    stage = noting(tmp_path / "data", name_attempts=1_000)
    for number in range(5):
        name = f"{'x' * 50_000}{number}"
        assert asked(stage, "eve", "hello", user=name, auth="n,,n=*,r=a")["type"] == "error"
        assert asked(stage, "eve", "auth", data="c=biws,r=a,p=a")["type"] == "error"
    path = tmp_path / "data" / "audit.log"
    assert not path.exists() or path.stat().st_size < 10_000
    stage.close()
