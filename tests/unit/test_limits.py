"""Limits at the server's edge, as those who meet them see them, and as nobody else does."""

from __future__ import annotations

import json
import ssl
from contextlib import suppress
from typing import Any

import pytest

import selchat.gate
from selchat.connection import LEAST
from selchat.delivery import CROWDED, TICK
from tests.authority import trusting_nobody
from tests.unit.playbook import Stage
from tests.unit.test_encryption import Inside

FAR = "192.0.2.7"


def client_hello() -> bytes:
    """How a TLS client begins."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        trusting_nobody().wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


HELLO = client_hello()


def far(**settings: Any) -> Stage:
    """A stage whose clients come from elsewhere."""
    stage = Stage(**settings)
    stage.address = FAR
    return stage


def numbers(lines: list[str], author: str) -> list[int]:
    """The numbers that an author said, as they came."""
    start = f"[#dev] {author}: "
    return [int(line.removeprefix(start)) for line in lines if line.startswith(start)]


# Rates


def flood(stage: Stage, name: str, count: int) -> None:
    stage.say(name, *(f"#dev {number}" for number in range(count)))


@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_a_flood_comes_at_its_rate_and_none_of_it_is_lost(rate: float) -> None:
    stage = far(rate=rate, rate_burst=50.0)
    stage.enter("alice", "bob")
    flood(stage, "alice", 150)
    at_once = numbers(stage.get("bob"), "alice")
    assert 30 <= len(at_once) <= 50
    came = list(at_once)
    stage.advance(20 / rate)
    some = numbers(stage.get("bob"), "alice")
    assert 15 <= len(some) <= 22
    came += some
    stage.advance(150 / rate)
    came += numbers(stage.get("bob"), "alice")
    assert came == list(range(150))
    assert stage.clients["alice"].lines() == []  # she is not told, nor sent away


def test_others_are_served_beside_a_flood() -> None:
    stage = far(rate=1.0, rate_burst=20.0)
    stage.enter("alice", "bob", "carol")
    flood(stage, "alice", 100)
    stage.settle()
    stage.say("bob", "#dev and I?")
    assert "[#dev] bob: and I?" in stage.get("carol")


def test_who_rests_is_not_read() -> None:
    stage = far(rate=1.0, rate_burst=10.0, read_size=1024)
    stage.enter("alice", "bob")
    flood(stage, "alice", 5_000)
    stage.settle()
    unread = stage.clients["alice"].unread
    assert unread > 40_000
    stage.advance(5)
    assert stage.clients["alice"].unread == unread  # a chunk is not done in 5 s


def test_bytes_have_a_rate_too() -> None:
    stage = far(rate_bytes=1000, rate_burst_bytes=4000, read_size=1000)
    stage.enter("alice", "bob")
    stage.say("alice", *(f"#dev {number:0200}" for number in range(100)))
    came = numbers(stage.get("bob"), "alice")
    assert 15 <= len(came) <= 25
    stage.advance(4)
    some = numbers(stage.get("bob"), "alice")
    assert 10 <= len(some) <= 25
    came += some
    stage.advance(30)
    assert came + numbers(stage.get("bob"), "alice") == list(range(100))


def test_history_and_posts_share_one_bucket() -> None:
    stage = far(rate=100.0, rate_burst=400.0)
    stage.enter("alice")
    stage.say("alice", *["/history #dev"] * 5, "#dev done", "/who dev")
    assert sum("nothing" in line for line in stage.get("alice")) <= 3
    stage.advance(20)
    assert stage.get("alice")[-1] == "* in #dev: alice (owner)"


def test_the_end_of_input_waits_until_all_before_it_is_done() -> None:
    stage = far(rate=1.0, rate_burst=10.0)
    stage.enter("alice", "bob")
    flood(stage, "alice", 30)
    stage.clients["alice"].end()
    lines = stage.get("bob")
    assert len(numbers(lines, "alice")) < 12
    assert not any("left" in line for line in lines)
    stage.advance(40)
    lines += stage.get("bob")
    assert numbers(lines, "alice") == list(range(30))
    assert "left" in lines[-1]


def test_inside_tls_it_is_the_same() -> None:
    stage = far(rate=1.0, rate_burst=20.0)
    stage.enter("bob")
    alice = Inside(stage, "alice")
    alice.say("alice", "/join dev")
    alice.say(*(f"#dev {number}" for number in range(60)))
    came = numbers(stage.get("bob"), "alice")
    assert 10 <= len(came) <= 20
    stage.advance(60)
    assert came + numbers(stage.get("bob"), "alice") == list(range(60))


def test_who_is_exempt_has_no_rate() -> None:
    stage = Stage(rate=1.0, rate_burst=1.0, rate_bytes=512, rate_burst_bytes=512)
    stage.enter("alice", "bob")
    flood(stage, "alice", 2_000)
    assert numbers(stage.get("bob"), "alice") == list(range(2_000))


def test_nobody_is_exempt_where_the_setting_says_so() -> None:
    stage = Stage(limits_exempt="none", rate=1.0, rate_burst=20.0)
    stage.enter("alice", "bob")
    flood(stage, "alice", 100)
    assert len(numbers(stage.get("bob"), "alice")) <= 20


def test_who_says_nothing_has_no_bucket_and_who_rests_no_more_than_one_timer() -> None:
    stage = far(rate=1.0, rate_burst=10.0)
    stage.enter("alice", "bob")
    stage.connect("silent")
    assert stage.connection("silent")._pace is None
    flood(stage, "alice", 100)
    stage.settle()
    stage.say("bob", "#dev hi")
    stage.settle()
    assert stage.connection("bob")._rest is None
    rest = stage.connection("alice")._rest
    assert rest is not None
    stage.advance(1)
    stage.connection("alice").stream.abort("gone")
    stage.settle()
    stage.advance(1)
    live = [item for item in stage.server.loop._timers if item[2].callback is not None]
    assert len(live) == 1  # for the log-in of the silent one


def test_whom_we_do_not_read_is_not_taken_for_gone() -> None:
    stage = far(rate=1.0, rate_burst=10.0, ping_after=5.0, ping_timeout=5.0)
    stage.enter("bob", json=("alice",))
    posts = [{"type": "post", "to": "#dev", "text": str(number)} for number in range(60)]
    stage.say("alice", *posts)
    stage.advance(50)
    assert numbers(stage.get("bob"), "alice")[:50] == list(range(50))
    said = [json.loads(line)["type"] for line in stage.clients["alice"].lines()]
    assert "error" not in said


def test_a_reader_that_is_behind_and_over_its_rate_gets_all_in_order() -> None:
    stage = far(rate=5.0, rate_burst=20.0, soft_limit=4096, hard_limit=1_000_000)
    stage.enter("alice", "bob")
    stage.address = "127.0.0.1"
    stage.enter("writer")
    stage.clients["alice"].room = 0
    flood(stage, "alice", 60)
    for start in range(0, 400, 50):
        stage.say("writer", *(f"#dev {n} {'x' * 100}" for n in range(start, start + 50)))
        stage.settle()
    stage.advance(3)
    assert stage.connection("alice").catchup is not None
    stage.clients["alice"].room = None
    stage.advance(30)
    heard = stage.get("alice")
    said = [int(line.split()[2]) for line in heard if line.startswith("[#dev] writer: ")]
    assert said == list(range(400))
    assert numbers(stage.get("bob"), "alice") == list(range(60))
    stage.say("alice", "/who dev")
    assert stage.get("alice")[-1] == "* in #dev: alice (owner), bob, writer"


def test_a_tick_is_shared_by_those_who_flood() -> None:
    stage = Stage()
    names = [f"u{n}" for n in range(40)]
    stage.enter(*names, "bob")
    for name in names:
        flood(stage, name, 1000)
    stage.say("bob", "#dev here")
    before = stage.log.newest
    steps = []
    while stage.tick():
        steps.append(stage.log.newest - before)
        before = stage.log.newest
    # The first tick finds nobody waiting; each who was just read may always do a little.
    assert max(steps) <= TICK + CROWDED + 41 * LEAST
    assert max(steps[2:25]) <= 2 * CROWDED
    heard = stage.get("bob")
    for name in names:
        assert numbers(heard, name) == list(range(1000))


def test_who_asks_for_little_waits_for_no_flood() -> None:
    stage = Stage()
    names = [f"u{n}" for n in range(40)]
    stage.enter(*names, "bob", "carol")
    for name in names:
        flood(stage, name, 1000)
    stage.tick()
    stage.tick()
    stage.say("bob", "#dev here")
    stage.tick()
    stage.tick()
    assert "[#dev] bob: here" in stage.clients["carol"].lines()
    stage.settle()


# Connections


def test_too_many_from_an_address_are_told_so_and_the_old_ones_go_on() -> None:
    stage = far(connections_per_address=2)
    stage.enter("alice", json=("bob",))
    stage.say("carol", "carol", "/join dev")
    said, end = stage.get("carol")
    assert said.startswith("! there are too many connections from your address (2): ")
    assert end == "<end>"
    stage.say("dave", {"type": "hello", "user": "dave"})
    said, end = stage.get("dave")
    assert json.loads(said)["code"] == "too-many-connections"
    assert end == "<end>"
    eve = Inside(stage, "eve")
    eve.say('{"type":"hello","user":"eve","version":1}')
    assert json.loads(eve.lines()[0])["code"] == "too-many-connections"
    stage.address = "192.0.2.8"
    stage.enter("frank")
    stage.address = FAR
    stage.say("alice", "#dev still here")
    assert "[#dev] alice: still here" in stage.get("frank")
    stage.clients["alice"].end()
    stage.advance(5)
    stage.say("grace", "grace")
    assert stage.get("grace")[0].startswith("* welcome grace")
    assert not {user.name for user in stage.hub.state.users.values()} & {"carol", "dave", "eve"}


def test_who_is_exempt_has_no_limit_per_address() -> None:
    stage = Stage(connections_per_address=1)
    stage.enter("alice", "bob", "carol")
    assert len(stage.server._connections) == 3


def test_a_full_server_says_so_even_to_this_machine() -> None:
    stage = Stage(connections=2)
    stage.enter("alice", "bob")
    stage.say("carol", "carol")
    assert stage.get("carol") == ["! the server is full: try again later", "<end>"]
    stage.say("alice", "#dev hi")
    assert stage.get("bob") == ["[#dev] alice: hi"]
    stage.clients["alice"].end()
    stage.settle()
    stage.say("dave", "dave")
    assert stage.get("dave")[0].startswith("* welcome dave")


def test_who_is_refused_and_silent_is_told_in_text_after_a_moment() -> None:
    stage = Stage(connections=1)
    stage.enter("alice")
    stage.connect("nc")
    inside = Inside(stage, "inside")
    assert stage.get("nc") == []
    stage.advance(6)
    assert stage.get("nc") == ["! the server is full: try again later", "<end>"]
    inside._exchange()
    assert inside.lines() == ["! the server is full: try again later"]
    stage.advance(3)
    assert len(stage.server._connections) == 1


def test_who_is_refused_cannot_stay_by_dribbling() -> None:
    stage = Stage(connections=1)
    stage.enter("alice")
    for name, start in (("http", b"G"), ("tls", b"\x16\x03\x01")):
        stage.connect(name).say(start)
    stage.advance(9)
    assert stage.get("http") == ["<end>"]
    assert stage.get("tls") == ["<end>"]
    assert len(stage.server._connections) == 1


def test_beyond_a_few_they_are_closed_without_a_word() -> None:
    stage = far(connections=1)
    stage.enter("alice")
    names = [f"c{n}" for n in range(20)]
    for name in names:
        stage.connect(name)
    stage.settle()
    assert len(stage.server._connections) == 5
    assert [stage.get(name) for name in names[4:]] == [["<cut>"]] * 16


def test_over_its_memory_the_server_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(memory_limit=1 << 30)
    stage.enter("alice", "bob")
    monkeypatch.setattr(selchat.gate, "resident", lambda: (1 << 30) + 1)
    stage.advance(1)
    stage.say("carol", "carol")
    assert stage.get("carol")[0].startswith("! the server is full")
    stage.say("alice", "#dev hi")
    assert stage.get("bob") == ["[#dev] alice: hi"]
    monkeypatch.setattr(selchat.gate, "resident", lambda: 1 << 30)
    stage.advance(1)
    stage.say("dave", "dave")
    assert stage.get("dave")[0].startswith("* welcome dave")


# Handshakes


def test_what_does_not_say_enough_in_time_is_closed_but_a_silent_person_has_a_minute() -> None:
    stage = Stage()
    stage.connect("person")
    stage.connect("half").say(b"GE")
    stage.advance(9)
    assert stage.get("half") == []
    stage.advance(2)
    assert stage.get("half") == ["<end>"]
    stage.advance(40)
    stage.say("person", "alice")
    assert stage.get("person")[0].startswith("* welcome alice")


def test_a_handshake_beyond_those_at_a_time_waits_for_its_turn() -> None:
    stage = Stage(tls_handshakes=2)
    for name in ("a", "b"):
        stage.connect(name).say(HELLO)
        stage.settle()
    alice = Inside(stage, "alice")
    assert not alice._object.version()
    stage.clients["a"].end("reset")
    stage.settle()
    for _ in range(4):
        alice.shake()
    alice.say("alice", "/join dev")
    assert alice.lines()[-1] == "* you joined #dev"


def test_who_waits_for_its_turn_waits_no_longer_than_its_time() -> None:
    stage = Stage(tls_handshakes=1, handshake_timeout=10.0)
    stage.connect("a").say(HELLO)
    stage.settle()
    stage.advance(5)
    stage.connect("b").say(HELLO)
    stage.advance(4)
    stage.connect("c").say(HELLO)
    stage.advance(9)  # a's time is over, and b's
    assert len(stage.server._connections) == 1  # c, whose turn it is at last
    stage.advance(10)
    assert not stage.server._connections
    alice = Inside(stage, "alice")
    alice.say("alice")
    assert alice.lines()[0].startswith("* welcome alice")


def test_who_sends_its_hello_byte_by_byte_takes_nobody_s_turn() -> None:
    stage = Stage(tls_handshakes=1)
    for number in range(20):
        stage.connect(f"slow{number}").say(HELLO[:-1])
    stage.settle()
    alice = Inside(stage, "alice")
    alice.say("alice")
    assert alice.lines()[0].startswith("* welcome alice")
    stage.clients["slow7"].say(HELLO[-1:])
    stage.settle()
    assert stage.clients["slow7"].taken[:1] == b"\x16"  # its turn has come


def test_plaintext_does_not_wait_for_handshakes() -> None:
    stage = Stage(tls_handshakes=1)
    stage.enter("alice", "bob")
    for name in ("a", "b", "c"):
        stage.connect(name).say(HELLO)
    stage.settle()
    stage.say("alice", "#dev hi")
    assert stage.get("bob") == ["[#dev] alice: hi"]


def test_a_stop_ends_those_who_wait_for_their_turn() -> None:
    stage = Stage(tls_handshakes=1)
    for name in ("a", "b"):
        stage.connect(name).say(HELLO)
    stage.settle()
    stage.server.loop.call_later(0, stage.server.stop)
    stage.advance(4)
    assert not stage.server._connections


# Reading


def test_of_many_who_flood_at_once_only_little_is_read_and_nobody_is_left_out() -> None:
    stage = Stage()
    names = [f"u{n}" for n in range(20)]
    stage.enter(*names, "bob")
    for name in names:
        stage.clients[name].say(b"#dev " + b"x" * 60_000 + b"\n")
    stage.say("bob", "#dev here")
    stage.tick()
    left = [stage.clients[name].unread for name in names]
    assert left.count(0) == 2
    assert all(unread in (0, 60_006 - 4_096) for unread in left)
    assert stage.clients["bob"].unread == 0
    stage.settle()
    assert all(stage.clients[name].unread == 0 for name in names)
