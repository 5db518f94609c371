"""Books on who did how much lately, for limits per address: of bounded size, the clock passed in.

A book that is full forgets who was written into it longest ago. So it cannot be used to fill the
memory; to make it forget, somebody needs as many addresses as it has places.
"""

from __future__ import annotations

from typing import Final, TypeVar

_PLACES: Final = 10_000

K = TypeVar("K")
V = TypeVar("V")

FIRST_DELAY: Final = 1.0
"""Seconds after a first failure. A person who mistyped hardly notices."""

LONGEST_DELAY: Final = 60.0
"""Seconds after many: some 1,400 guesses a day, and no lock-out."""

FORGOTTEN_AFTER: Final = 3_600.0
"""Seconds without a failure after which all is forgiven."""


class Quota:
    """At most `number` times in `window` seconds for each key, counted from a key's first time."""

    def __init__(self, number: int, window: float, places: int = _PLACES) -> None:
        self._number = number
        self._window = window
        self._places = places
        self._book: dict[str, tuple[float, int]] = {}  # since when, how often

    def __len__(self) -> int:
        return len(self._book)

    def allow(self, key: str, now: float) -> bool:
        """Whether it may be done once more; then it counts as done."""
        since, count = self._book.get(key, (now, 0))
        if now - since >= self._window:
            since, count = now, 0
        if count >= self._number:
            return False
        _write(self._book, key, (since, count + 1), self._places)
        return True

    def wait(self, key: str, now: float) -> float:
        """Seconds until `allow` says yes; 0 if it would now."""
        since, count = self._book.get(key, (now, 0))
        return max(0.0, since + self._window - now) if count >= self._number else 0.0


class Delays:
    """How long one has to wait after failures, for each pair of an address and an account.

    One second, doubled with each further failure, at most a minute. As it is a pair, strangers
    cannot lock out an account's owner, who comes from another address.
    """

    def __init__(self, places: int = _PLACES) -> None:
        self._places = places
        self._book: dict[tuple[str, str], tuple[float, int]] = {}  # the last one, how many

    def __len__(self) -> int:
        return len(self._book)

    def failed(self, address: str, account: str, now: float) -> float:
        """It failed; the seconds until the next attempt may be looked at."""
        key = address, account
        count = self._count(key, now) + 1
        _write(self._book, key, (now, count), self._places)
        return _delay(count)

    def succeeded(self, address: str, account: str) -> None:
        """It was right: forget what was wrong before."""
        self._book.pop((address, account), None)

    def wait(self, address: str, account: str, now: float) -> float:
        """Seconds until an attempt may be looked at; 0 if it may now."""
        key = address, account
        count = self._count(key, now)
        if not count:
            return 0.0
        return max(0.0, self._book[key][0] + _delay(count) - now)

    def _count(self, key: tuple[str, str], now: float) -> int:
        last, count = self._book.get(key, (now, 0))
        return count if now - last < FORGOTTEN_AFTER else 0


def _delay(count: int) -> float:
    # Beyond ten doublings it is the longest anyway, and a power must not grow without bound.
    return min(FIRST_DELAY * 2.0 ** min(count - 1, 10), LONGEST_DELAY)


def _write(book: dict[K, V], key: K, value: V, places: int) -> None:
    """Write a key behind all others, and forget the first ones where there are too many."""
    book.pop(key, None)
    book[key] = value
    while len(book) > places:
        del book[next(iter(book))]
