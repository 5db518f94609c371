"""What the tests of the lower floors share: ways to cut bytes, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator

from selchat.model.commands import Command, Posts
from selchat.model.events import Error
from selchat.wire import Tongue


def pieces(data: bytes, behind: bytes = b"") -> Iterator[tuple[str, list[bytes]]]:
    """The three ways in which `data` can come: whole, byte by byte, and with `behind` behind it.

    What is long comes in pieces of a prime number of bytes, which is quicker and cuts as badly.
    """
    size = 1 if len(data) < 2_000 else 997
    yield "whole", [data]
    yield "byte by byte", [data[place : place + size] for place in range(0, len(data), size)]
    if behind:
        yield "with more behind it", [data + behind]


def asked(tongue: Tongue, data: bytes) -> Iterator[Command | Error]:
    """What a tongue makes of `data`, neighbouring posts one by one."""
    for item in tongue.receive(data):
        yield from item.each() if isinstance(item, Posts) else (item,)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now
