"""When the log's upkeep is done: in idle moments, and not while people talk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.bad_disk import DiskStage


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
