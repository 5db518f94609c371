"""What a message costs, in counts that are the same on every machine: system calls, encodings,
statements, lines of Python and bytes. Times are for tests/bench.
"""

from __future__ import annotations

import sqlite3
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest

import selchat
from selchat.model.events import Event
from selchat.store.sqlite import SqliteLog
from selchat.wire import Tongue
from selchat.wire.jsonl import Jsonl
from selchat.wire.text import Text
from tests.unit.bad_disk import DiskStage
from tests.unit.playbook import Socket, Stage

_HOME = str(Path(selchat.__file__).parent)


def room_of(members: int, *, json: int = 0, **settings: Any) -> Stage:
    """A stage with so many in one room, of whom so many speak JSON, and a text `writer`."""
    stage = Stage(**settings)
    text = [f"t{number}" for number in range(members - json - 1)]
    stage.enter("writer", *text, json=tuple(f"j{number}" for number in range(json)))
    return stage


def write(stage: Stage, count: int, name: str = "writer", to: str = "#dev") -> None:
    """Have so many messages ready to be read at once."""
    stage.connect(name).say(b"".join(b"%s %d\n" % (to.encode(), n) for n in range(count)))


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count the system calls of all sockets, and what each tongue encodes."""
    counts: Counter[str] = Counter()

    def count(owner: type[Socket], name: str) -> None:
        called = getattr(owner, name)

        def counting(sock: Socket, *args: Any) -> Any:
            counts[name] += 1
            return called(sock, *args)

        patch.setattr(owner, name, counting)

    def count_encodings(tongue: type[Tongue]) -> None:
        encode = tongue.encode

        def counting(event: Event, own: bool = False) -> bytes:
            counts[tongue.__name__] += 1
            return encode(event, own)

        patch.setattr(tongue, "encode", staticmethod(counting))

    with monkeypatch.context() as patch:
        count(Socket, "send")
        count(Socket, "recv")
        count_encodings(Text)
        count_encodings(Jsonl)
        yield counts


def lines_run(act: Callable[[], object]) -> int:
    """How many lines of selchat's own Python `act` runs."""
    lines = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if not frame.f_code.co_filename.startswith(_HOME):
            return None
        if event == "line":
            lines += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return lines


def test_a_tick_reads_each_writer_once_and_sends_to_each_reader_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = room_of(30, json=10)
    with counted(monkeypatch) as counts:
        for name in ("writer", "t0", "t1"):
            write(stage, 5, name)
        stage.tick()
    assert counts["recv"] == 3
    assert counts["send"] == 30  # to the writers what the others wrote
    assert len(stage.get("t2")) == 15


def test_what_came_together_is_encoded_once_for_each_tongue_and_for_none_that_nobody_speaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = room_of(30, json=10)
    with counted(monkeypatch) as counts:
        write(stage, 7)
        stage.tick()
    assert (counts["Text"], counts["Jsonl"]) == (1, 1)
    stage = room_of(30)
    with counted(monkeypatch) as counts:
        write(stage, 7)
        stage.tick()
    assert (counts["Text"], counts["Jsonl"]) == (1, 0)


def test_readers_share_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []

    def send(_: Socket, data: bytes) -> int:
        sent.append(data)
        return len(data)

    stage = room_of(40)
    with monkeypatch.context() as patch:
        patch.setattr(Socket, "send", send)
        write(stage, 10)
        stage.tick()
    assert len(sent) == 39
    assert all(data is sent[0] for data in sent)


def test_a_reader_takes_no_memory_for_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred readers more make no copy more of 300 KB."""
    peaks = []
    monkeypatch.setattr(Socket, "send", lambda _, data: len(data))
    for members in (2, 102):
        stage = room_of(members)
        stage.connect("writer").say(b"#dev %s\n" % (b"x" * 1_000) * 300)
        tracemalloc.start()
        stage.tick()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 100 * 1_000


@pytest.mark.parametrize("to", ["#dev", "@t0"])
def test_a_tick_is_one_transaction_and_what_came_together_one_row(tmp_path: Path, to: str) -> None:
    stage = DiskStage(tmp_path)
    stage.enter("writer", "t0", "t1", json=("j0",))
    statements: Counter[str] = Counter()
    db = cast(sqlite3.Connection, cast(Any, cast(SqliteLog, stage.log)._db)._db)
    db.set_trace_callback(lambda sql: statements.update([" ".join(sql.split()[:3])]))
    write(stage, 20, to=to)  # ten at a time
    stage.say("j0", {"type": "post", "to": "#dev", "text": "hi", "id": "1"})
    stage.tick()
    db.set_trace_callback(None)
    posted = {key: statements.pop(key) for key in ("INSERT INTO post", "SELECT seq FROM")}
    assert posted == {"INSERT INTO post": 1, "SELECT seq FROM": 1}  # a post with an id
    first = statements.pop("SELECT id FROM", 0), statements.pop("INSERT OR IGNORE", 0)
    assert max(first) <= 1  # a conversation is looked up, or given a number, once
    assert statements == {"BEGIN IMMEDIATE": 1, "INSERT INTO entry": 3, "COMMIT": 1}
    stage.close()


# Lines of Python: bounds are what it takes now and a quarter more, so that whoever puts something
# on this way sees what it costs.


@pytest.mark.parametrize(
    ("to", "said", "most"),
    [("#dev", "", 0), ("@t0", "", 0), ("#dev", "\x01", 139), ("@t0", "\x01", 139)],
)
def test_a_message_takes_so_many_lines(to: str, said: str, most: int) -> None:
    """None where it comes with others, and so many (with a control in it) looked at for itself."""
    stage = room_of(3)
    write(stage, 1, to=to)
    stage.tick()  # where it goes is known from now on
    write(stage, 1, to=f"{to} {said}")
    one = lines_run(stage.tick)
    write(stage, 9, to=f"{to} {said}")
    nine = lines_run(stage.tick)
    assert (nine - one) / 8 <= most


def test_a_writer_takes_so_many_lines_however_many_its_messages() -> None:
    for count in (1, 9):
        stage = room_of(30)
        taken = []
        for writers in (9, 1, 9):  # the first time is another: where they speak is not known
            for number in range(writers):
                write(stage, count, f"t{number}")
            taken.append(lines_run(stage.tick))
        assert (taken[2] - taken[1]) / 8 <= 210


def test_a_reader_takes_so_many_lines_however_many_the_messages() -> None:
    taken = []
    for count in (1, 9):
        few, many = room_of(10), room_of(110)
        for stage in (few, many):
            write(stage, 1)
            stage.tick()
            write(stage, count)
        taken.append((lines_run(many.tick) - lines_run(few.tick)) / 100)
    assert taken[0] == taken[1] <= 30


def test_who_is_idle_takes_nothing() -> None:
    taken = []
    for idle in (2, 102):
        stage = room_of(3)
        stage.enter(*(f"i{number}" for number in range(idle)), room=None)
        write(stage, 1)
        stage.tick()
        write(stage, 5)
        taken.append(lines_run(stage.tick))
    assert taken[0] == taken[1]


def test_a_log_in_takes_so_many_lines_however_many_are_there() -> None:
    stage = Stage()
    taken = []
    for number in range(102):
        stage.connect(f"c{number}").say(b"user%d\n" % number)
        taken.append(lines_run(stage.settle))
    assert taken[1] == taken[-1] <= 560
