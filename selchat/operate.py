"""What an operator does to a server: status, backup, check.

Each runs in a process of its own beside the server, which it asks through the control socket. Where
no server runs, backup and check hold the data folder, so that none starts meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from selchat.control import Question, ask
from selchat.errors import NoServer, StartError, UsageError
from selchat.hub.replay import Replay
from selchat.operators import Admins, Invited, carry_out
from selchat.settings import ServerSettings
from selchat.status import Status, lines
from selchat.store.backup import backup
from selchat.store.check import check, count
from selchat.store.database import FILE
from selchat.store.folder import Held, data_folder


class Asked(NamedTuple):
    """What a command takes besides the settings, as its parser in arguments.py gives it."""

    file: str = ""
    force: bool = False
    json: bool = False
    action: str = ""
    user: str = ""
    uses: int = 1
    days: float = 7.0


def run(name: str, settings: ServerSettings, asked: Asked) -> int:
    """Carry out the command of that name; return its exit code. Raises `SelchatError`."""
    folder = data_folder(settings.data)
    if name == "status":
        return _status(folder, json=asked.json)
    if name == "admin":
        return _admin(folder, settings, asked.action, asked.user)
    if name == "invite":
        question = Question("invite", uses=asked.uses, days=asked.days)
        print(carry_out(folder, settings, question, Invited).word)
        return 0
    with _at_hand(folder):
        if name == "backup":
            return _backup(folder, Path(asked.file), force=asked.force)
        return _check(folder)


def _status(folder: Path, *, json: bool) -> int:
    status = ask(folder, Question("status"), Status)
    status.entries = count(folder)
    print(msgspec.json.encode(status).decode() if json else "\n".join(lines(status)))
    return 0


def _admin(folder: Path, settings: ServerSettings, action: str, user: str) -> int:
    on = {"add": True, "remove": False}.get(action)
    if on is not None and not user:
        raise UsageError(f"admin {action}: name the account, such as admin {action} alice")
    admins = carry_out(folder, settings, Question("admin", user, on), Admins)
    print("\n".join(admins.names) if admins.names else "there are no admins")
    return 0


def _backup(folder: Path, target: Path, *, force: bool) -> int:
    size = backup(folder, target, force=force)
    print(f"{target}: {size} bytes")
    return 0


def _check(folder: Path) -> int:
    found = check(folder, lambda saved, whole: Replay(saved, whole=whole))
    print(f"{found.entries} entries, the newest is {found.newest}")
    problems = found.problems
    for line in (*found.notes, *problems):
        print(line)
    if problems:
        print("the log is NOT sound: restore a backup, and keep this one to look at")
        return 1
    print("the log is sound")
    return 0


@contextmanager
def _at_hand(folder: Path) -> Iterator[None]:
    """See that the log stays where it is: a server holds it and answers, or we hold it."""
    held = None
    try:
        ask(folder, Question("status"), Status)
    except NoServer:
        if not (folder / FILE).exists():
            raise StartError(
                f"there is no log in {folder}: name a server's folder with --data"
            ) from None
        held = Held(folder)
    try:
        yield
    finally:
        if held is not None:
            held.release()
