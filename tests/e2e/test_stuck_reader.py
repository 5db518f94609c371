"""A reader that stops reading costs a bounded buffer, and misses nothing when it reads again."""

from __future__ import annotations

import pytest

from tests.bench.stuck import TEXT, run
from tests.e2e.harness import ServerProcess

MESSAGES = 20_000
LIMIT = 20 * 2**20
"""Bytes: SQLite's cache of pages is 16 MiB, what waits for one reader 4 MiB at most."""


@pytest.mark.parametrize("tongue", ["text", "json"])
def test_it_reads_all_of_a_flood_once_and_in_order(server: ServerProcess, tongue: str) -> None:
    assert MESSAGES * len(TEXT) > 1.5 * LIMIT
    figures = run(server, tongue, MESSAGES)
    assert figures.grown < LIMIT
