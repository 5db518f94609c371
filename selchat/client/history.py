"""The lines that were typed, kept in a file from one run to the next: one JSON string a line."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec
import platformdirs

_KEPT = 1_000
"""Lines that are kept; the file is cut to these when it has twice as many."""


def file() -> Path:
    """Where the lines are kept: in the user's folder for the state of programs."""
    return platformdirs.user_state_path("selchat") / "history"


def load(path: Path) -> list[str]:
    """The lines, oldest first; none where there is no file, or where it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError:
        return []
    lines: list[str] = []
    for row in content.split(b"\n"):
        with suppress(ValueError):
            lines.append(msgspec.json.decode(row, type=str))
    if len(lines) > 2 * _KEPT:
        with suppress(OSError):
            cut = path.with_name(f"{path.name}.{os.getpid()}")
            _write(cut, lines[-_KEPT:], os.O_EXCL)
            cut.replace(path)
    return lines[-_KEPT:]


def add(path: Path, line: str) -> None:
    """Add a line. A file that cannot be written is no reason to disturb a chat."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(path, [line], os.O_APPEND)


def _write(path: Path, lines: list[str], how: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
