"""The benchmarks run, and notice a server that does it wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest

from tests.bench import chart
from tests.bench.compare import table
from tests.bench.contestants import CONTESTANTS
from tests.bench.swarm import Swarm
from tests.bench.work import Work, measure

SMALL = {
    "room": Work(rooms=1, members=6, writers=2),
    "pairs": Work(pairs=3, window=4),
    "pace": Work(rooms=2, members=3, rate=200),
    "idle": Work(idle=20),
}


@pytest.mark.parametrize("work", SMALL.values(), ids=SMALL)
@pytest.mark.parametrize("name", ["selchat, memory", "asyncio streams", "threads"])
def test_each_kind_of_work_is_measured(name: str, work: Work) -> None:
    figures = measure(CONTESTANTS[name], work, 0.1, check=True)
    assert figures
    assert all(figure >= 0 for figure in figures.values())
    assert name in table({name: figures})


@pytest.mark.parametrize("name", ["selchat", "selchat, JSON", "selchat, TLS"])
def test_each_tongue_is_measured(name: str) -> None:
    figures = measure(CONTESTANTS[name], SMALL["room"], 0.1, check=True)
    assert figures["deliveries/s"] > 0


@pytest.fixture
def liar() -> Iterator[int]:
    """A server of one room, in which each message is said twice."""

    def serve(door: socket.socket) -> None:
        socks = [door.accept()[0] for _ in range(2)]
        for sock in socks:
            assert sock.recv(99)
            sock.sendall(b"* welcome you\n")
        for sock in socks:
            assert sock.recv(99)
            sock.sendall(b"* you joined #r0\n")
        said = socks[0].recv(1 << 16).partition(b"\n")[0]
        socks[1].sendall(b"[#r0] m0: %s\n" % said.partition(b" ")[2] * 2)
        assert not socks[1].recv(99)
        for sock in socks:
            sock.close()

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=serve, args=(door,))
        thread.start()
        yield door.getsockname()[1]
        thread.join(30)


def test_what_is_told_twice_is_noticed(liar: int) -> None:
    swarm = Swarm(liar, "text")
    swarm.rooms(1, 2, 1)
    with pytest.raises(AssertionError, match="m1: 0 after"):
        swarm.flood(1, 0.0, 5.0, 32, lambda: None, check=True)
    swarm.close()


def test_charts_are_xml() -> None:
    svg = chart.bars("fan-out", "µs", {"selchat": 0.1, "<other>": 2_000})
    assert "&lt;other&gt;" in svg
    assert ET.fromstring(svg).tag.endswith("svg")
    svg = chart.curves("growth", "µs", "members", {"a": [(10, 0.5), (1_000, 20)], "b": [(10, 1)]})
    assert len(ET.fromstring(svg).findall("{*}polyline")) == 2
