"""The contract that every tongue (wire protocol) keeps.

A tongue is a plain object for one connection. Bytes go in, commands come out; events go in, bytes
come out. It never does I/O and it never raises, whatever the bytes: what cannot be understood
comes out as an `Error` event, to be given back to the peer. What it holds back is bounded by
`limit`. A new tongue is one file here, and one row of the table in sniff.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

from selchat.model.commands import Command, Posts
from selchat.model.events import Error, Event, Fact


class Tongue(Protocol):
    """One connection's side of a wire protocol."""

    bare: ClassVar[bool]
    """Whether its sessions end with the connection (no token brings them back)."""

    pinged: ClassVar[bool]
    """Whether an idle peer can be asked for a sign of life."""

    def __init__(self, limit: int) -> None:
        """A peer that nothing is known of; `limit` is the longest line in bytes."""

    def receive(self, data: bytes) -> Iterator[Command | Posts | Error]:
        """Give what `data` completes, one at a time; of neighbouring posts it may make one.

        It is lazy on purpose: what a line means can depend on what became of the one before
        (`welcomed`). To be exhausted before the next call.
        """

    def welcomed(self) -> None:
        """The peer is logged in."""

    def expect_secret(self, secret: bool) -> None:
        """Whether the next line is a password, where a line does not say itself what it is."""

    @staticmethod
    def posted(post_id: str | None, fact: Fact) -> bytes:
        """What who said something is told when it is stored, as `fact`; may be empty."""

    @staticmethod
    def encode(event: Event, own: bool = False) -> bytes:
        """What every reader of this tongue is sent for `event`; may be empty.

        `own` is for what the reader said itself, from another session.
        """

    @staticmethod
    def answer(command: Command, event: Event) -> bytes:
        """What the one who sent `command` is sent for the answer `event`; may be empty."""
