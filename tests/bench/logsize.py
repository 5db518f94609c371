"""What a large log costs: a message, a start, and a page of history.

The logs are those of tests/bench/log.py, made once for all runs; a run has a copy of its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests.bench import work
from tests.bench.contestants import CONTESTANTS
from tests.bench.log import build, last_50, start_up
from tests.bench.work import BUSY, Figures

ROWS = ("selchat",)
SIZES = (0, 10_000, 100_000, 1_000_000)
MORE = (10_000_000,)
DRAWN = ("CPU µs/delivery", "start ms", "page p50 ms")

_PAGES = 300


def measure(entries: int, seconds: float) -> Figures:
    """One run on a log of so many entries."""
    with tempfile.TemporaryDirectory(prefix="selchat-bench-") as made:
        folder = Path(made)
        shutil.copytree(_built(entries), folder / "data")
        if hasattr(os, "sync"):
            os.sync()  # that it was copied is not to be waited for later
        start = start_up(folder / "data")
        page = {"page p50 ms": last_50(folder / "data", 0, _PAGES)[0]} if entries else {}
        cost = work.measure(CONTESTANTS["selchat"], BUSY, seconds, folder=folder)
        return cost | {"start ms": start * 1e3} | page


@cache
def _built(entries: int) -> Path:
    folder = Path(_logs().name) / str(entries)
    folder.mkdir()
    if entries:
        build(folder, entries)
    return folder


@cache
def _logs() -> tempfile.TemporaryDirectory[str]:
    """Where they are, to the end of this process."""
    return tempfile.TemporaryDirectory(prefix="selchat-bench-logs-")
