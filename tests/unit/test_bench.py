"""The benchmarks run, and notice a server that does it wrong."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench import chart, history, logsize, memory, start, storm
from tests.bench.compare import main, table
from tests.bench.contestants import CONTESTANTS
from tests.bench.swarm import Swarm
from tests.bench.work import GROWTH, WORKS, Work, measure

SMALL = {
    "room": Work(rooms=1, members=6, writers=2),
    "many rooms": Work(rooms=6, members=2, each=3, window=1),
    "among others": Work(rooms=2, members=2, idle=3, silent=101, bursts=True, size=16),
    "pairs": Work(pairs=3, window=4),
    "pace": Work(rooms=2, members=3, rate=200),
    "idle": Work(idle=20),
}


@pytest.fixture(autouse=True)
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing gets a processor of its own: other tests are running."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("selchat, memory", kind) for kind in SMALL),
        *(("asyncio streams", kind) for kind in ("room", "many rooms", "idle")),
        *(("threads", kind) for kind in ("pairs", "pace")),
    ],
)
def test_each_kind_of_work_is_measured(name: str, kind: str) -> None:
    figures = measure(CONTESTANTS[name], SMALL[kind], 0.1, check=True)
    assert figures
    assert all(figure >= 0 for figure in figures.values())
    assert name in table({name: figures})


@pytest.mark.parametrize("name", ["selchat", "selchat, mixed"])
def test_each_tongue_is_measured(name: str) -> None:
    figures = measure(CONTESTANTS[name], SMALL["room"], 0.1, check=True)
    assert figures["deliveries/s"] > 0


def test_starts_are_measured(tmp_path: Path) -> None:
    found = start.measure(1)
    assert list(found) == ["first", "again", "first, not compiled", "again, not compiled"]
    assert all(wall > 0 and cpu > 0 for wall, cpu in found.values())
    assert len(start.measure(1, tmp_path)) == 2
    assert list(tmp_path.glob("*.sqlite3"))


def test_history_beside_busy_rooms_is_measured() -> None:
    figures = history.measure("rooms and history", 0.2, askers=3, rooms=2, rate=100.0, kept=120)
    assert figures["p99 ms"] >= figures["p50 ms"] > 0
    assert figures["page p99 ms"] >= figures["page p50 ms"] > 0


@pytest.mark.parametrize("row", ["the pair alone", "all resume"])
def test_a_storm_is_measured(row: str) -> None:
    figures = storm.measure(row, 0.1, sessions=120)
    assert figures["pair p99 ms"] > 0
    assert ("each/s" in figures) is (row != "the pair alone")


_WELCOME = {"type": "welcome", "user": "u0", "seq": 30}
_MISSED = [
    {"type": "message", "seq": 12 + number, "text": text} for number, text in enumerate(storm.TEXTS)
]


@pytest.mark.parametrize(
    "missed",
    [
        _MISSED[:-1],
        [*_MISSED, _MISSED[-1]],
        [_MISSED[1], _MISSED[0], *_MISSED[2:]],
        [{"type": "left", "seq": 11}, *_MISSED],
    ],
    ids=["lost", "doubled", "out of order", "seen before"],
)
def test_a_resume_that_goes_wrong_is_noticed(missed: list[dict[str, object]]) -> None:
    seat = storm.Seat(0)
    seat.seq = 11
    storm.check(seat, "\n".join(map(json.dumps, [_WELCOME, *_MISSED])).encode())
    with pytest.raises(AssertionError, match="u0: "):
        storm.check(seat, "\n".join(map(json.dumps, [_WELCOME, *missed])).encode())


def test_what_comes_twice_after_all_is_there_is_heard() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        swarm = Swarm(door.getsockname()[1], "json")
        visit = storm.Visit(swarm.port, storm.Seat(0))
        peer = door.accept()[0]
        swarm.add(visit)
        visit.ask([], b"^", 1)
        for said in b"one^\n", b"one^\n":
            peer.sendall(said)
            swarm.settle()
            assert visit.due <= 0
        assert b"".join(visit.heard) == b"one^\none^\n"
        swarm.close()
        peer.close()


def test_memory_is_measured() -> None:
    figures = memory.measure("selchat, JSON", 0.1, connections=20, rooms=100, stuck=2)
    assert 200 < figures["KiB waiting/stuck reader"] < 1_024


def test_a_large_log_is_measured() -> None:
    figures = logsize.measure(10_000, 0.1)
    assert figures["start ms"] > 0
    assert figures["page p50 ms"] > 0


def test_tables_and_charts_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = ("threads", "asyncio streams")
    monkeypatch.setitem(WORKS, "rooms", (servers, Work(rooms=1, members=2)))
    monkeypatch.setitem(GROWTH, "members", GROWTH["members"]._replace(rows=servers))
    asked = ["--runs=1", "--seconds=0.2", "--sizes=2,4", f"--charts={tmp_path}"]
    main([*asked, "rooms", "members"])
    told = capsys.readouterr().out
    assert f"    tox -e bench -- {' '.join(asked)} members\n" in told
    assert "| server | CPU µs/delivery | ratio | deliveries/s | ratio | peak MiB | ratio |" in told
    assert "### asyncio streams\n\n| members of the room | CPU µs/delivery | ratio |" in told
    for name, shapes in ("rooms", "rect"), ("members", "polyline"):
        drawn = ET.fromstring((tmp_path / f"{name}.svg").read_text("utf-8"))
        assert len(drawn.findall(f"{{*}}{shapes}")) == 2


def test_what_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["everything"])
    assert "everything is none of: fanout, " in capsys.readouterr().err


def test_a_table_has_a_ratio_to_the_first_of_a_kind() -> None:
    told = table({"a": {"x": 2.0}, "b": {"x": 3.0, "y": 1_000.0}, "c": {"y": 500.0}})
    assert told.splitlines()[2:] == [
        "| a | 2.000 | 1.00 | – | – |",
        "| b | 3.000 | 1.50 | 1,000 | 1.00 |",
        "| c | – | – | 500 | 0.50 |",
    ]


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
    svg = chart.curves("growth", "µs", "members", {"a": [(0, 0.5), (9, 2)], "b": [(1, 1)], "c": []})
    assert len(ET.fromstring(svg).findall("{*}polyline")) == 2
