"""What takes memory: connections, rooms, and messages that wait for readers who do not read.

The log is on disk. Before anything is measured a room is busy for a moment, so that what the
server keeps anyway, such as pages of its log, is there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.contestants import CONTESTANTS, ROOT, Running, apart
from tests.bench.member import Member
from tests.bench.swarm import Group, Swarm
from tests.bench.work import Figures, idle

ROWS = ("selchat", "selchat, JSON", "selchat, TLS", "selchat, JSON in TLS")
_CONNECTIONS = 2_000
_ROOMS = 20_000

_STUCK = 20
"""Readers that do not read."""

_MOMENT = 0.5
_MOMENTS = 50
"""The room that they are in is busy for so many seconds at a time, and so often at most, until
all are fed from the log.
"""


def measure(
    row: str,
    seconds: float,
    *,
    connections: int = _CONNECTIONS,
    rooms: int = _ROOMS,
    stuck: int = _STUCK,
) -> Figures:
    """One run; `seconds` are those of the busy moment before."""
    contestant = CONTESTANTS[row]
    with tempfile.TemporaryDirectory(prefix="selchat-bench-") as made:
        folder = Path(made)
        with apart(contestant, folder) as server:
            swarm = Swarm(server.port, contestant.proto)
            try:
                writer, reader = swarm.connect(2)
                swarm.enter([(writer, ["stuck"]), (reader, ["stuck"])])
                room = Group([("#stuck", writer)], 1)
                swarm.watch(room, [reader])
                _busy(swarm, seconds)
                figures = idle(swarm, server, connections)
                figures |= _rooms(swarm, server, rooms)
                figures |= _in_flight(swarm, server, folder, stuck, reader)
                return figures | server.peak()
            finally:
                swarm.close()


def _busy(swarm: Swarm, seconds: float) -> None:
    swarm.flood(100, 0.0, seconds, 100, lambda: None, check=False)


def _rooms(swarm: Swarm, server: Running, count: int) -> Figures:
    swarm.silent_rooms(100)  # what is made for the first ones is not of each
    members = swarm.connect(-(-count // 100))
    before = server.memory()
    swarm.enter((one, [f"q{n}x{k}" for k in range(100)]) for n, one in enumerate(members))
    after = server.memory()
    if before is None or after is None:
        return {}
    return {"bytes/room": (after - before) / (100 * len(members))}


def _in_flight(swarm: Swarm, server: Running, folder: Path, count: int, reader: Member) -> Figures:
    """What waits in the server's memory for readers that do not read. As each has a limit, the
    rest of what is said to them waits in the log. `reader` is another, that reads.
    """
    stuck = swarm.connect(count, receive_buffer=4_096)
    swarm.enter((member, ["stuck"]) for member in stuck)
    for member in stuck:
        swarm.deaf(member)
    before = server.memory()
    backlog = _status(folder)["backlog"]
    for _ in range(_MOMENTS):
        if backlog["behind"] == count:
            break
        _busy(swarm, _MOMENT)
        backlog = _status(folder)["backlog"]
    assert backlog["behind"] == count, f"of {count} stuck readers, {backlog['behind']} are behind"
    after = server.memory()
    if before is None or after is None:
        return {}
    messages = backlog["waiting"] / (reader.bytes / reader.got)
    return {
        "KiB waiting/stuck reader": backlog["waiting"] / count / 1024,
        "KiB/stuck reader": (after - before) / count / 1024,
        "bytes/message in flight": (after - before) / messages,
    }


def _status(folder: Path) -> dict[str, dict[str, int]]:
    """What the server says of itself."""
    command = (sys.executable, str(ROOT / "bin" / "selchat-server"), "status", "--json")
    told = subprocess.run(
        (*command, "--data", str(folder / "data")), check=True, stdout=subprocess.PIPE, timeout=60
    )
    status: dict[str, dict[str, int]] = json.loads(told.stdout)
    return status
