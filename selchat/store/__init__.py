"""The contract of a log: entries in `seq` order, found again by conversation and by person.

What is appended is readable at once, and durable after `commit`; nobody may be told of an entry
before that. Any question can raise `StoreError` where the log cannot be read. One conformance
suite (tests/unit/test_store.py) holds for every implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from selchat.model.entries import Entry
from selchat.store.stats import Stats


class Query(NamedTuple):
    """Which messages are searched for: all conditions must hold."""

    words: tuple[str, ...]
    """Words that all occur, whatever their case."""
    conversations: tuple[str, ...]
    """One of these, or, with `user`, in that user's personal stream."""
    user: int | None
    author: str | None
    """The key (model/names.py) of the name under which it was said."""
    above: int
    below: int
    """The `seq` is between these two."""
    limit: int
    only: int | None = None
    """Only what stands in the personal stream of that user, where it is not None."""


class Log(Protocol):
    """An ordered, append-only log."""

    id: str
    """A random name made with the log: another one after it was replaced."""

    secret: bytes
    """Made with the log too, and known to nobody else."""

    stats: Stats
    """How its commits went."""

    @property
    def newest(self) -> int:
        """The `seq` of the last entry appended; 0 where there is none."""

    def append(self, entry: Entry) -> None:
        """Add an entry whose `seq` is above `newest`. It becomes durable with `commit`.

        With a correction (`Edited`, `Deleted`) the message that it is about is another one from
        then on: its former text is nowhere any more, in no answer and no index, nor in the
        corrections before (model/entries.py).
        """

    def commit(self) -> None:
        """Make all that was appended durable.

        Raises `StoreError`; then none of it is, and the log is as it was after the last commit.
        """

    def probe(self) -> bool:
        """Whether a commit would succeed now, found out by trying."""

    def conversation(self, name: str, after: int, limit: int) -> list[Entry]:
        """The first `limit` entries of a conversation above `after`, oldest first.

        Raises `Trimmed` where entries above `after` were forgotten, with the last of them.
        """

    def before(self, name: str, before: int | None, limit: int) -> list[Entry]:
        """The last `limit` entries of a conversation below `before` (None: of all), oldest first.

        Fewer where older ones were forgotten.
        """

    def personal(self, user: int, after: int, limit: int) -> list[Entry]:
        """The first `limit` entries of a user's personal stream above `after`, oldest first.

        Raises `Trimmed` as `conversation` does.
        """

    def find_post(self, session: int, post_id: str) -> Entry | None:
        """The entry of the post to which that session gave that id; None if there is none.

        It is remembered until the session is `Gone` for good: where the entry was forgotten
        before that, `Trimmed` is raised with its `seq`.
        """

    def search(self, query: Query) -> list[Entry]:
        """The newest messages for which `query` holds, newest first. Any words are a query."""

    def seq_at(self, at: str) -> int:
        """The `seq` of the first entry that happened at `at` (as in facts) or later; one above
        the newest where none did.
        """

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """All entries above `after`, oldest first."""

    def snapshot(self) -> tuple[int, bytes] | None:
        """The last state that was saved, and the `seq` of the last entry in it."""

    def save_snapshot(self, state: bytes) -> None:
        """Save the state after the newest entry. To be called when all is committed."""

    def tidy(self, idle: bool) -> bool:
        """Do a small part of what upkeep there is, and say whether there is more.

        `idle` says that nobody is waiting. To be called when all is committed.
        """

    def trim(self, before: int, keep: int, alive: Callable[[int], bool]) -> Iterator[int]:
        """Forget what is old, a small step at a time; each gives how many entries it forgot.

        Of each conversation the entries below the `seq` `before` go, and all but the newest
        `keep` (0: whatever there is). What is above the last snapshot stays. `alive` says whether
        a user may still read its personal stream. Each step is to be asked for when all is
        committed, and is durable by itself. Raises `StoreError`.
        """

    def close(self) -> None:
        """Commit nothing more and give back what is held."""
