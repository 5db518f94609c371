"""The control socket: what it answers, who may ask, and what it leaves behind."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from selchat.control import FILE, Control, Question, ask
from selchat.errors import NoServer, StartError, StoreError
from selchat.loop import Loop
from selchat.settings import ServerSettings
from selchat.status import Backlog, Commits, Disk, Status, lines
from tests.unit.playbook import Stage
from tests.unit.ways import Clock


class Answer(msgspec.Struct, tag_field="type", tag="status"):
    number: int


class House:
    """A control socket on a loop, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.loop = Loop(self.clock)
        self.asked = 0
        answers: dict[str, Callable[[Question], msgspec.Struct]] = {
            "status": self._answer,
            "trouble": self._fail,
        }
        self.control = Control(self.loop, folder, answers)
        self.path = folder / FILE

    def _answer(self, question: Question) -> Answer:
        self.asked += 1
        return Answer(self.asked)

    def _fail(self, question: Question) -> Answer:
        raise StoreError("the log could not be read")

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(str(self.path))
        sock.setblocking(False)
        return sock

    def say(self, data: bytes, end: bool = True) -> bytes:
        """Send that, and give all that comes until the end."""
        with self.connect() as sock:
            sock.sendall(data)
            if end:
                sock.shutdown(socket.SHUT_WR)
            return self.rest(sock)

    def rest(self, sock: socket.socket) -> bytes:
        said = b""
        for _ in range(1_000):
            self.loop.tick(0.01)
            try:
                while data := sock.recv(65_536):
                    said += data
                return said
            except BlockingIOError:
                pass
        raise AssertionError(f"no end came after {said!r}")

    def close(self) -> None:
        self.control.close()
        self.loop.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with closing(House(tmp_path)) as house:
        yield house


def parsed(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def test_each_line_is_answered_by_a_line(house: House) -> None:
    assert parsed(house.say(b'{"type":"status"}\n{"type":"status","more":[1]}\n')) == [
        {"type": "status", "number": 1},
        {"type": "status", "number": 2},
    ]


def test_a_failure_is_an_answer_too(house: House) -> None:
    assert parsed(house.say(b'{"type":"trouble"}\n')) == [
        {"type": "error", "text": "the log could not be read"}
    ]


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"type":1}', b'{"type":"sta\\u0000tus"}', b"x" * 10_000],
)
def test_whatever_else_comes_is_one_clear_error(house: House, line: bytes) -> None:
    first, second = parsed(house.say(line + b'\n{"type":"status"}\n'))
    assert first["type"] == "error"
    assert first["text"].isprintable()
    assert second == {"type": "status", "number": 1}


def test_what_is_unknown_is_told_with_what_is_known(house: House) -> None:
    (answer,) = parsed(house.say(b'{"type":"stauts"}\n'))
    assert answer["text"] == "'stauts' cannot be asked for; this server knows status, trouble"


def test_who_says_nothing_is_let_go(house: House) -> None:
    with house.connect() as sock:
        house.loop.tick(0.01)
        assert len(house.control.peers) == 1
        house.clock.now += 11
        assert house.rest(sock) == b""
    assert not house.control.peers


def test_only_the_user_of_the_server_can_open_it(house: House) -> None:
    assert house.path.stat().st_mode & 0o777 == 0o600


def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as old:
        old.bind(str(tmp_path / FILE))
    with closing(House(tmp_path)) as house:
        assert parsed(house.say(b'{"type":"status"}\n'))


def test_it_is_gone_with_the_server(tmp_path: Path) -> None:
    house = House(tmp_path)
    with house.connect() as sock:
        house.loop.tick(0.01)
        house.control.close()
        assert sock.recv(100) == b""
    assert list(tmp_path.iterdir()) == []
    house.loop.close()


def test_where_no_socket_can_be_it_says_why(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(OSError, match=FILE):
        House(tmp_path)


# Asking


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none", tmp_path / ("long" * 40)):
        with pytest.raises(NoServer, match="no server runs on the data folder"):
            ask(folder, Question("status"), Answer)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as old:
        old.bind(str(tmp_path / FILE))
    with pytest.raises(NoServer):
        ask(tmp_path, Question("status"), Answer)


def test_a_server_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stuck:
        stuck.bind(str(tmp_path / FILE))
        stuck.listen()
        with pytest.raises(StartError, match="cannot be asked"):
            ask(tmp_path, Question("status"), Answer, patience=0.05)


# What it tells


def test_the_status_is_that_of_the_server(tmp_path: Path) -> None:
    from selchat.status import status

    stage = Stage()
    stage.enter("alice", "bob", json=("carol",))
    stage.connect("silent")
    found = status(stage.hub, stage.server._connections, tmp_path, 1.5)
    assert found.connections == {"text": 2, "jsonl": 1, "new": 1}
    assert (found.users, found.sessions, found.rooms) == (3, 3, 1)
    assert found.newest == stage.log.newest
    assert found.backlog == Backlog(0, 0)
    assert found.disk.failing is None
    assert found.disk.free > 0
    assert found.memory > 2**20
    assert msgspec.json.decode(msgspec.json.encode(found), type=Status) == found


def test_people_are_told_in_lines() -> None:
    status = Status(
        version="1.2.3",
        pid=99,
        uptime=93_784.5,
        memory=35 * 2**20,
        connections={"text": 2, "jsonl": 1},
        sessions=4,
        users=3,
        rooms=1,
        newest=12_350,
        commits=Commits(500, 345, 0.000_2, 0.003, 2, 1),
        backlog=Backlog(3_000, 1),
        disk=Disk("/srv/chat", None, 12 * 2**30, 5 * 2**20, 100),
        entries=12_345,
    )
    commits = "500 with 345 entries, half within 0.2 ms, 99 of 100 within 3 ms, 2 slow, 1 failed"
    assert lines(status) == [
        "server       selchat 1.2.3, process 99, up 1 d 2 h, 35 MiB of memory",
        "connections  3 (1 jsonl, 2 text)",
        "people       3 online, 4 sessions, 1 room",
        "log          12345 entries, the newest is 12350, 5 MiB, write-ahead log 100 bytes",
        f"commits      {commits}",
        "backlog      2.93 KiB waiting to be read, 1 reader behind",
        "disk         writable, 12 GiB free in /srv/chat",
    ]
    status.memory_limit = 2**30
    assert lines(status)[0].endswith("35 MiB of memory (limit 1 GiB)")
    status.memory = 2**30 + 2**29
    assert lines(status)[0].endswith(
        "1.5 GiB of memory, OVER THE LIMIT of 1 GiB: nobody new is let in"
    )
    status.disk.failing = "the disk is full"
    status.connections.clear()
    assert lines(status)[1] == "connections  0"
    assert lines(status)[-1].startswith("disk         NOTHING CAN BE STORED: the disk is full, ")


def test_a_server_in_memory_has_no_folder_and_no_socket(tmp_path: Path) -> None:
    stage = Stage(data=str(tmp_path / "data"))
    assert stage.server.settings == ServerSettings(
        store="memory", join_history=0, data=str(tmp_path / "data")
    )
    assert list(tmp_path.iterdir()) == []
