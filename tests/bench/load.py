"""What the benchmarks share: a server of one's own, and clients that cost little to drive."""

from __future__ import annotations

import json
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.harness import PATIENCE, ServerProcess


@contextmanager
def serve(*flags: str, data: Path | None = None) -> Iterator[ServerProcess]:
    """A server on a data folder, a new one unless it is given."""
    with tempfile.TemporaryDirectory(prefix="selchat-bench-") as made:
        folder = Path(made)
        server = ServerProcess(
            folder / "server.log",
            *("--host", "127.0.0.1", "--data", str(data or folder / "data"), *flags),
        )
        try:
            server.ready()
            yield server
        finally:
            server.finish()


class Client:
    """A connection that is logged in; it counts the messages of writer, and decodes none."""

    def __init__(
        self,
        server: ServerProcess,
        name: str,
        *rooms: str,
        text: bool = False,
        receive_buffer: int | None = None,
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:  # before connecting, as it bounds the window for good
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((server.host, server.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.messages = 0
        self._rest = b""
        self._unsent = b""
        if text:
            self.ask(name)
            for room in rooms:
                self.ask(f"/join {room}")
        else:
            self.ask_json("hello", user=name)
            for room in rooms:
                self.ask_json("join", room=room, id=room)
        self.socket.setblocking(False)

    def ask(self, line: str) -> bytes:
        """Send a line, and wait for a line."""
        self.socket.sendall(line.encode() + b"\n")
        while b"\n" not in self._rest:
            data = self.socket.recv(1 << 18)
            assert data, "the connection ended"
            self._rest += data
        line_, _, self._rest = self._rest.partition(b"\n")
        return line_

    def ask_json(self, kind: str, **fields: object) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.ask(json.dumps({"type": kind, **fields})))
        assert answer["type"] != "error", answer
        return answer

    def read(self) -> list[bytes]:
        """The lines that came."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return []
        assert data, "the connection ended"
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.messages += sum(b"writer: " in line or b'"from":"writer"' in line for line in lines)
        return lines

    def write(self, data: bytes = b"") -> bool:
        """Send that, or what is left of it; True when all of it is sent."""
        self._unsent += data
        try:
            sent = self.socket.send(self._unsent) if self._unsent else 0
        except BlockingIOError:
            return False
        self._unsent = self._unsent[sent:]
        return not self._unsent

    def close(self) -> None:
        self.socket.close()


def turn(clients: Sequence[Client], each: Callable[[Client], object]) -> None:
    """Call `each` for those that can be read, until nobody has anything more at the moment."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
        for key, _ in selector.select(PATIENCE):
            each(key.data)


class Deadline:
    """What is waited for comes in time, or the benchmark is broken."""

    def __init__(self, seconds: float = 300.0) -> None:
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        assert time.monotonic() < self._end, "it takes too long"


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def interleaved(
    ways: Sequence[str], runs: int, measure: Callable[[str], list[float]]
) -> dict[str, list[list[float]]]:
    """Measure each way in turn, `runs` times, so that what disturbs one disturbs all."""
    found: dict[str, list[list[float]]] = {way: [] for way in ways}
    for _ in range(runs):
        for way in ways:
            found[way].append(measure(way))
    return found


def medians(runs: Sequence[Sequence[float]]) -> list[float]:
    """The median of each figure over the runs."""
    return [statistics.median(figures) for figures in zip(*runs, strict=True)]
