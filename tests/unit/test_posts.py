"""Posts that come together have the same effect as posts that come one by one."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from selchat.hub.state import Aim, Session
from selchat.model.entries import Entry
from tests.unit.playbook import Stage

LINES = {
    "plain": ["#dev one", "#dev two", "#dev three"],
    "to several": ["#dev one", "@bob two", "@bob three", "#dev four", "#dev five"],
    "more than are handled at once": [f"#dev {number}" for number in range(25)],
    "controls": ["#dev one", "#dev \x1b[31mred", "#dev two\x07", "#dev three\u202e"],
    "towers": ["#dev one", "#dev z" + "\u0301" * 40, "#dev two"],
    "other scripts": ["#dev привет", "#dev 你好", "#dev ☃", "#dev \U0001f468‍\U0001f469‍\U0001f466"],
    "too long": ["#dev one", "#dev " + "x" * 60, "#dev two"],
    "nothing said": ["#dev one", "#dev  ", "#dev", "# x", "#dev two"],
    "nowhere": ["#nowhere one", "#nowhere two", "@nobody three", "@nobody four"],
    "to oneself": ["@alice one", "@alice two"],
    "to who is away": ["@carol one", "@carol two"],
    "to who has blocked one": ["@dora one", "@dora two", "#dev three", "#dev four"],
    "something between": ["#dev one", "/topic dev", "#dev two", "/leave dev", "#dev three"],
    "muted": ["#quiet one", "#quiet two"],
    "an end": ["#dev one", "#dev two", "quit", "#dev three"],
}


def told(lines: list[str], together: bool, **settings: Any) -> list[object]:
    """What everybody gets, and what stands in the log."""
    stage = Stage(**settings)
    stage.enter("bob", "alice", "carol", "dora", json=("eve",))
    stage.enter("owner", room="quiet")
    stage.say("alice", "/join quiet", "#quiet let it be known", "#dev where I speak")
    stage.settle()
    stage.say("owner", "/mute quiet alice")
    stage.say("carol", "/away at lunch")
    stage.say("dora", "/block alice")
    stage.settle()
    for name in stage.clients:
        stage.get(name)
    newest = stage.log.newest
    for line in lines:
        stage.say("alice", line)
        if not together:
            stage.settle()
    found: list[object] = [(name, stage.get(name)) for name in stage.clients]
    seqs = count(newest + 1)
    for entry in stage.log.entries(newest):
        assert entry.seq == next(seqs)
        found.append(entry)
    return found


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
@pytest.mark.parametrize("settings", [{}, {"message_size": 50}, {"guests": False}])
def test_together_and_one_by_one_are_the_same(lines: list[str], settings: dict[str, Any]) -> None:
    assert told(lines, True, **settings) == told(lines, False, **settings)


def test_neighbours_are_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared above is not only the slow way with itself."""
    stage = Stage()
    stage.enter("alice", "bob")
    said: list[int] = []
    say_all = stage.hub.say_all

    def counting(by: Session, aim: Aim, texts: list[str]) -> Entry:
        said.append(len(texts))
        return say_all(by, aim, texts)

    monkeypatch.setattr(stage.hub, "say_all", counting)
    stage.say("alice", "#dev zero")
    stage.settle()
    stage.say("alice", *LINES["plain"], *LINES["other scripts"])
    stage.settle()
    assert said == [7]
