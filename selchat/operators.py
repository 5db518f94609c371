"""What an operator does to the people of a server: admins and invitations.

The running server is asked for it; without one, the same is done to the log itself, which is then
held for as long.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from selchat.audit import Audit
from selchat.control import Question, ask
from selchat.errors import NoServer, StartError
from selchat.hub import admin
from selchat.hub.hub import Hub, not_stored
from selchat.hub.state import Cancellable
from selchat.settings import ServerSettings
from selchat.store.database import FILE
from selchat.store.sqlite import SqliteLog

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)


class Admins(msgspec.Struct, tag_field="type", tag="admins"):
    """Who sees to the server."""

    names: list[str]


class Invited(msgspec.Struct, tag_field="type", tag="invited"):
    """The word with which an account can be registered."""

    word: str


def operators(
    hub: Hub, commit: Callable[[], None]
) -> Mapping[str, Callable[[Question], msgspec.Struct]]:
    """What a server answers on its control socket; `commit` makes durable what was applied."""

    def admins(question: Question) -> Admins:
        if question.on is not None:
            _changed(hub, commit, lambda: admin.make_admin(hub, question.name, bool(question.on)))
        return Admins(admin.admins(hub))

    def invite(question: Question) -> Invited:
        word = _changed(hub, commit, lambda: admin.invitation(hub, question.uses, question.days))
        return Invited(word)

    return {"admin": admins, "invite": invite}


def _changed(hub: Hub, commit: Callable[[], None], change: Callable[[], T]) -> T:
    """What `change` gives, once it is committed. Raises `SelchatError`."""
    if hub.stale:
        raise not_stored(hub.failing or "")
    result = change()
    commit()
    if hub.failing is not None:
        raise not_stored(hub.failing)
    return result


def carry_out(folder: Path, settings: ServerSettings, question: Question, kind: type[S]) -> S:
    """Ask the server on that data folder, or do it here where none runs. Raises `SelchatError`."""
    try:
        return ask(folder, question, kind)
    except NoServer:
        if not (folder / FILE).exists():
            raise StartError(
                f"there is no log in {folder}: name a server's folder with --data"
            ) from None
    with _alone(folder, settings) as (hub, commit):
        answer = operators(hub, commit)[question.type](question)
    assert isinstance(answer, kind)
    return answer


@contextmanager
def _alone(folder: Path, settings: ServerSettings) -> Iterator[tuple[Hub, Callable[[], None]]]:
    """A hub without a server, for one change to the log."""
    log = SqliteLog(folder, full=True)
    audit = Audit(folder)
    try:
        hub = Hub(log, settings, StillWorld())
        hub.restore()

        def commit() -> None:
            log.commit()
            audit.write(hub.take_notes())

        yield hub, commit
    finally:
        audit.close()
        log.close()


class StillWorld:
    """Time and chance, and nothing happens later: the world of a hub without a loop."""

    def now(self) -> int:
        """Milliseconds since 1970 (UTC)."""
        return time.time_ns() // 1_000_000

    def secret(self) -> str:
        """A new word that nobody can guess."""
        return secrets.token_urlsafe(24)

    def call_later(self, *_: object) -> Cancellable:
        """There is no later. Raises `StartError`."""
        raise StartError("that takes a server that runs: start it first")

    def derive(self, *_: object) -> Cancellable:
        """There is no later. Raises `StartError`."""
        raise StartError("that takes a server that runs: start it first")
