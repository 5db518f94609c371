"""How the server is doing: what `selchat-server status` shows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from msgspec import Struct

from selchat import __version__
from selchat.connection import Connection
from selchat.gate import resident
from selchat.hub.hub import Hub
from selchat.store.database import FILE, WAL


class Commits(Struct):
    """Those since the start. `p50` and `p99` are seconds in which so many of a hundred of the last
    thousand were done; slow ones took over 0.1 s.
    """

    count: int
    entries: int
    p50: float
    p99: float
    slow: int
    failed: int


class Backlog(Struct):
    """Bytes waiting in memory to be read by clients, and how many clients are so far behind that
    they are fed from the log.
    """

    waiting: int
    behind: int


class Disk(Struct):
    """Sizes in bytes; `failing` says why nothing can be stored, None where all is well."""

    folder: str
    failing: str | None
    free: int
    log: int
    write_ahead: int


class Status(Struct, tag_field="type", tag="status"):
    """What a server says of itself. `uptime` is in seconds, `memory` in bytes that are resident,
    and over `memory_limit` (0: none) nobody new is let in; `connections` are counted by tongue,
    `newest` is a `seq`.

    `entries` is how many the log has. The server leaves it to who asks to count them, since that
    takes longer than a tick may.
    """

    version: str
    pid: int
    uptime: float
    memory: int
    connections: dict[str, int]
    sessions: int
    users: int
    rooms: int
    newest: int
    commits: Commits
    backlog: Backlog
    disk: Disk
    entries: int | None = None
    memory_limit: int = 0


def status(hub: Hub, connections: Collection[Connection], folder: Path, uptime: float) -> Status:
    """The state of a server whose log is in `folder`."""
    state, stats = hub.state, hub.log.stats
    return Status(
        version=__version__,
        pid=os.getpid(),
        uptime=round(uptime, 3),
        memory=resident(),
        connections=dict(Counter(map(_tongue, connections))),
        sessions=len(state.sessions),
        users=len(state.names),
        rooms=len(state.rooms),
        newest=hub.log.newest,
        commits=Commits(
            stats.commits,
            stats.entries,
            stats.percentile(50),
            stats.percentile(99),
            stats.slow,
            stats.failed,
        ),
        backlog=Backlog(
            sum(connection.stream.waiting for connection in connections),
            sum(connection.catchup is not None for connection in connections),
        ),
        disk=Disk(
            str(folder.absolute()),
            hub.failing,
            _free(folder),
            _size(folder / FILE),
            _size(folder / WAL),
        ),
        memory_limit=hub.settings.memory_limit,
    )


def lines(status: Status) -> list[str]:
    """The same for people."""
    tongues = ", ".join(f"{number} {name}" for name, number in sorted(status.connections.items()))
    connections = sum(status.connections.values())
    commits, disk = status.commits, status.disk
    counted = "" if status.entries is None else f"{_count(status.entries, 'entry', 'entries')}, "
    rows = {
        "server": f"selchat {status.version}, process {status.pid}, up {_duration(status.uptime)}, "
        + _memory(status),
        "connections": f"{connections} ({tongues})" if connections else "0",
        "people": f"{status.users} online, {_count(status.sessions, 'session')}, "
        f"{_count(status.rooms, 'room')}",
        "log": f"{counted}the newest is {status.newest}, {_bytes(disk.log)}, "
        f"write-ahead log {_bytes(disk.write_ahead)}",
        "commits": f"{commits.count} with {_count(commits.entries, 'entry', 'entries')}, "
        f"half within {_milliseconds(commits.p50)}, 99 of 100 within "
        f"{_milliseconds(commits.p99)}, {commits.slow} slow, {commits.failed} failed",
        "backlog": f"{_bytes(status.backlog.waiting)} waiting to be read, "
        f"{_count(status.backlog.behind, 'reader')} behind",
        "disk": f"{'NOTHING CAN BE STORED: ' + disk.failing if disk.failing else 'writable'}, "
        f"{_bytes(disk.free)} free in {disk.folder}",
    }
    return [f"{name:<12} {text}" for name, text in rows.items()]


def _tongue(connection: Connection) -> str:
    return "new" if connection.tongue is None else type(connection.tongue).__name__.lower()


def _memory(status: Status) -> str:
    used, limit = _bytes(status.memory), status.memory_limit
    if limit and status.memory > limit:
        return f"{used} of memory, OVER THE LIMIT of {_bytes(limit)}: nobody new is let in"
    return f"{used} of memory" + (f" (limit {_bytes(limit)})" if limit else "")


def _free(folder: Path) -> int:
    try:
        system = os.statvfs(folder)
    except OSError:
        return 0
    return system.f_bavail * system.f_frsize


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _bytes(number: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.3g} {unit}" if unit != "bytes" else f"{number} bytes"
        number /= 1024
    return f"{number:.4g} TiB"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


def _duration(seconds: float) -> str:
    """The two largest units of a time."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    while len(parts) > 1 and not parts[0][0]:
        del parts[0]
    return " ".join(f"{number} {unit}" for number, unit in parts[:2])
