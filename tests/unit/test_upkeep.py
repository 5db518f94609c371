"""What is done for the log while people talk, and when they are silent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from selchat.store import search
from selchat.store.sqlite import SqliteLog
from tests.unit.bad_disk import DiskStage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[DiskStage]:
    with closing(DiskStage(tmp_path / "data")) as stage:
        stage.enter("alice", "bob")
        stage.advance(5)
        yield stage


def unindexed(stage: DiskStage) -> int:
    return search.unindexed(cast(SqliteLog, stage.log)._db)


def talk(stage: DiskStage, ticks: int, lines: int = 1) -> None:
    """So many lines every twentieth of a second."""
    for _ in range(ticks):
        stage.world.time += 0.05
        stage.say("alice", *["#dev hello"] * lines)
        stage.advance(0)


def test_while_people_talk_no_moment_counts_as_idle(stage: DiskStage) -> None:
    assert unindexed(stage) == 0
    talk(stage, 40)
    assert unindexed(stage) == 40
    assert len(stage.server.loop._timers) < 10
    stage.advance(1)
    assert unindexed(stage) == 0


def test_while_people_talk_much_the_index_keeps_up(stage: DiskStage) -> None:
    for _ in range(20):
        talk(stage, 4, lines=5)
        assert unindexed(stage) <= 100
    stage.say("alice", "#dev newest")
    stage.get("bob")
    stage.say("bob", "/search newest")
    assert stage.get("bob") == ["* [2026-01-31 12:00Z] [#dev] alice: *newest*"]


def test_what_is_behind_is_made_up_for_in_many_small_steps(stage: DiskStage) -> None:
    talk(stage, 1, lines=900)
    assert unindexed(stage) == 900
    before = unindexed(stage)
    while before:
        stage.advance(0.01)
        now = unindexed(stage)
        assert before - now <= 50
        before = now
        assert stage.world.time < 60
    stage.advance(1)
    assert not [1 for when, _, timer in stage.server.loop._timers if timer.callback and when < 15]


def test_a_moment_is_idle_only_when_nobody_talks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = DiskStage(tmp_path)
    stage.enter("alice")
    stage.advance(5)
    moments: list[bool] = []

    def tidy(idle: bool) -> bool:
        moments.append(idle)
        return False

    monkeypatch.setattr(stage.log, "tidy", tidy)
    for _ in range(20):
        # What is said comes in the same tick in which the upkeep is due, too.
        stage.say("alice", "#dev hello")
        stage.world.time += 0.1
        stage.tick()
    assert moments
    assert not any(moments)
    stage.advance(1)
    assert moments[-1]
    count = len(moments)
    stage.advance(60)
    assert len(moments) == count, "there is nothing to do when nothing was said"
    stage.close()
