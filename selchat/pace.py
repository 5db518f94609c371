"""How fast one connection may ask: two token buckets, of commands and of bytes.

A bucket may be overdrawn once: what was begun is done, and paid for by waiting. So a command that
costs more than there is left, or than the bucket ever holds, is not refused but followed by a rest.
"""

from __future__ import annotations

from typing import NamedTuple

_SLICE = 0.1
"""Seconds' worth of rate that a rest saves beyond the debt, so that whoever floods is looked after
ten times a second, not at each command."""


class Share:
    """What all connections together may still use in this tick, in the same units; of that, while
    several wait for their turn, each may use one part of so many (`among`).
    """

    __slots__ = ("among", "left")

    def __init__(self, left: int) -> None:
        self.left = left
        self.among = 1


class Rates(NamedTuple):
    """What a connection may spend. Units are the costs of the dispatcher's table."""

    units: float
    """In a second."""
    burst: float
    """At once."""
    bytes: float
    burst_bytes: float


class Pace:
    """What is left to one connection. Full at first; `now` only grows."""

    __slots__ = ("_at", "_bytes", "_units")

    def __init__(self, rates: Rates, now: float) -> None:
        self._units = rates.burst
        self._bytes = rates.burst_bytes
        self._at = now

    def left(self, rates: Rates, now: float) -> float:
        """The units that may be spent now; 0 or less in debt."""
        passed = now - self._at
        if passed > 0:
            self._at = now
            self._units = min(rates.burst, self._units + passed * rates.units)
            self._bytes = min(rates.burst_bytes, self._bytes + passed * rates.bytes)
        return self._units

    def take_bytes(self, size: int) -> None:
        """So many bytes were read."""
        self._bytes -= size

    def spend(self, rates: Rates, units: float) -> float:
        """So many units were used, since `left` was asked; the seconds to rest, 0 for none."""
        self._units -= units
        rest = 0.0
        if self._units <= 0:
            rest = -self._units / rates.units + _SLICE
        if self._bytes <= 0:
            rest = max(rest, -self._bytes / rates.bytes + _SLICE)
        return rest
