"""Slow readers: what they miss they get from the log, in order, once, and nobody else notices."""

from __future__ import annotations

import json

from tests.unit.playbook import Stage

def test_two_that_go_on_in_the_same_tick() -> None:
    stage = Stage(soft_limit=2_000, page=5_000)
    stage.enter("alice", json=("bob",))
    stage.clients["bob"].room = 0
    stage.say("alice", *(f"#dev {n}" for n in range(4_000)))
    stage.tick()
    stage.tick()
    assert stage.connection("bob").catchup is not None
    stage.clients["bob"].room = None
    # In one tick, alice's next thousand is worked off and bob is fed.
    seqs = [json.loads(line)["seq"] for line in stage.get("bob")]
    assert seqs == list(range(seqs[0], seqs[0] + 4_000))


def test_lost_in_flush_told_at_once() -> None:
    stage = Stage()
    stage.enter("alice", "bob")
    stage.play("""
        bob >| reset
        alice << * bob left #dev (lost connection)
    """)

def test_broken_when_written() -> None:
    stage = Stage()
    stage.enter("alice", "bob", "carol")
    real = stage.clients["bob"].send
    def broken(data: bytes | memoryview) -> int:
        raise BrokenPipeError(32, "Broken pipe")
    stage.clients["bob"].send = broken
    stage.play("""
        alice >> #dev hi
        carol << [#dev] alice: hi
        carol << * bob left #dev (lost connection)
        alice << * bob left #dev (lost connection)
    """)

def test_amplify() -> None:
    stage = Stage()
    name = "𠀀" * 32
    stage.say(name, {"type": "hello", "user": name}, {"type": "join", "room": name})
    stage.settle()
    stage.say("bob", "bob", f"/join {name}")
    stage.get("bob")
    stage.say(name, *[{"type": "post", "to": "#" + name, "text": "a\n" * 199}] * 200)
    lines = stage.get("bob")
    print(len(lines), lines[-1])
    assert len(lines) == 200*200

def test_amplify_history() -> None:
    stage = Stage()
    name = "𠀀" * 32
    stage.say(name, {"type": "hello", "user": name}, {"type": "join", "room": name})
    stage.settle()
    stage.say(name, *[{"type": "post", "to": "#" + name, "text": "a\n" * 199}] * 200)
    stage.settle()
    stage.say("bob", "bob", f"/join {name}")
    stage.get("bob")
    stage.say("bob", *[f"/history #{name} 200"] * 100)
    lines = stage.get("bob")
    print(len(lines), lines[-1])
    assert lines[-1] != "<end>"
