"""How long commits take: a slow disk stalls everybody, so the operator must see it."""

from __future__ import annotations

from collections import deque

_KEPT = 1_000
_SLOW = 0.1
"""Seconds above which a commit is slow: a pause that people notice."""

_WEIGHT = 0.05
"""Of the last commit in `usual`."""


class Stats:
    """Figures of the commits since the start."""

    def __init__(self) -> None:
        self.commits = 0
        self.entries = 0
        self.slow = 0
        self.failed = 0
        self.usual = 0.0
        """Seconds that a commit has taken lately, on average: a single slow one is little in it."""
        self._seconds: deque[float] = deque(maxlen=_KEPT)

    def committed(self, seconds: float, entries: int) -> bool:
        """Note a commit; True if it was slow."""
        self.commits += 1
        self.entries += entries
        self._seconds.append(seconds)
        self.usual += (min(seconds, _SLOW) - self.usual) * _WEIGHT
        slow = seconds > _SLOW
        self.slow += slow
        return slow

    def percentile(self, percent: int) -> float:
        """Seconds in which that many percent of the last thousand commits were done; 0 if none."""
        ordered = sorted(self._seconds)
        return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] if ordered else 0.0
