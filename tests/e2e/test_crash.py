"""The crash test in short; tests/crash/crash.py is the long one."""

from __future__ import annotations

import sys

import pytest

from tests.crash.broken import KINDS
from tests.crash.crash import Violation, run
from tests.e2e.harness import ROOT

BROKEN = (sys.executable, "-W", "error", str(ROOT / "tests" / "crash" / "broken.py"))


def test_no_post_is_lost_or_doubled_however_often_the_server_is_killed() -> None:
    kept = run(kills=6, seed=1)
    assert kept.kills >= 6
    assert kept.posts > 20
    assert kept.resumes >= 6 * 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_breaks_a_promise_is_found_out(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Such as one that acknowledges some milliseconds before it commits."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(Violation):
        run(kills=8, seed=1, command=(*BROKEN, kind))
