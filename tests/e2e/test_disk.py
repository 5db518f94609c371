"""A real disk that is full, read-only or damaged, under the real server."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.conftest import Start
from tests.e2e.harness import Json, ServerProcess, run_server, until

FILE = "log.sqlite3"
LOUD = "NOTHING CAN BE STORED"
FILLER = "x" * 60_000


class Disk(Protocol):
    """A way to have a disk without room."""

    def fill(self, server: ServerProcess) -> None:
        """From now on there is no room."""

    def free(self, server: ServerProcess) -> None:
        """There is room again."""


class Limit:
    """RLIMIT_FSIZE: write(2) fails with EFBIG, as Python ignores SIGXFSZ."""

    def __init__(self, folder: Path) -> None:
        self._wal = folder / f"{FILE}-wal"

    def fill(self, server: ServerProcess) -> None:
        self._set(server, self._wal.stat().st_size)

    def free(self, server: ServerProcess) -> None:
        self._set(server, resource.RLIM_INFINITY)

    def _set(self, server: ServerProcess, size: int) -> None:
        hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, hard))


class Small:
    """A file system of a megabyte: write(2) fails with ENOSPC."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / "filler"

    def fill(self, server: ServerProcess) -> None:
        with suppress(OSError), self._filler.open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)

    def free(self, server: ServerProcess) -> None:
        self._filler.unlink()


def mount(folder: Path, options: str) -> bool:
    """Mount a tmpfs; False where this process may not."""
    command = ("mount", "-t", "tmpfs", "-o", options, "selchat-test", str(folder))
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of the first server that the test starts (`start`)."""
    return tmp_path / "data-1"


@pytest.fixture
def small(folder: Path) -> Iterator[Disk]:
    folder.mkdir(mode=0o700)
    if not mount(folder, "size=1m,mode=700"):
        # Not skipped, as this is no fault of the machine: only root may mount.
        yield Limit(folder)
        return
    try:
        yield Small(folder)
    finally:
        subprocess.run(("umount", str(folder)), check=True)


@pytest.fixture
def limit(folder: Path) -> Disk:
    return Limit(folder)


@pytest.fixture(params=["limit", "small"])
def disk(request: pytest.FixtureRequest) -> Disk:
    """Each way to have a disk without room."""
    disk: Disk = request.getfixturevalue(request.param)
    return disk


def fill_up(disk: Disk, server: ServerProcess, carol: Json) -> list[str]:
    """Take the room, and post until nothing can be stored; give the texts that were stored."""
    disk.fill(server)
    stored: list[str] = []
    for number in range(100):
        text = f"{number} {FILLER}"
        carol.say("post", id=f"fill {number}", to="#dev", text=text)
        answer = carol.event(id=f"fill {number}")
        if answer["type"] == "error":
            assert answer["code"] == "not-stored"
            return stored
        stored.append(text)
    raise AssertionError("the disk is not full")


def test_a_full_disk_is_refused_and_got_over(disk: Disk, serve: Start) -> None:
    server = serve()
    server.expected_errors = [LOUD]
    alice, carol = server.text("alice", "dev"), server.json("carol")
    bob, dave = server.text("bob", "dev"), server.json("dave")
    alice.expect("* bob joined #dev")
    carol.do("join", room="dev")
    for text in (alice, bob):
        text.expect("* carol joined #dev")
    carol.do("post", to="#dev", text="before")
    for text in (alice, bob):
        text.expect("[#dev] carol: before")

    stored = fill_up(disk, server, carol)
    until(lambda: server.said(LOUD), "it says so")
    for text in (alice, bob):
        for one in stored:
            text.expect(f"[#dev] carol: {one}")

    # Nobody is told of what was not stored; what was, can be read.
    alice.send("#dev lost", "/who dev")
    alice.expect(
        "! that could not be stored (…): try again later", "* in #dev: alice (owner), bob, carol"
    )
    carol.say("history", id="h", of="#dev", limit=1 + len(stored))
    texts = [entry.get("text") for entry in carol.event(type="history")["entries"]]
    assert texts == ["before", *stored]
    server.connect().send("erin")
    newcomer = server.new_json()
    newcomer.say("hello", user="frank")
    newcomer.event(type="error", code="not-stored")

    # Who comes back meanwhile misses nothing, and who leaves has left afterwards.
    dave.reset()
    again = server.new_json()
    again.login("dave", token=dave.token, after=dave.seq, log=dave.log)
    bob.reset()

    disk.free(server)
    until(lambda: server.said("messages can be stored again"), "it recovers by itself")
    alice.expect("* bob left #dev (lost connection)")
    carol.event(type="left", user="bob")
    carol.do("post", to="#dev", text="after")
    alice.expect("[#dev] carol: after")
    again.quiet()
    newcomer.login("frank")
    alice.send("/who")
    alice.expect("* here: alice, carol, dave, frank")
    assert server.said("Traceback") == 0


def test_after_a_full_disk_a_restart_finds_what_was_acknowledged(
    disk: Disk, folder: Path, serve: Start
) -> None:
    server = serve()
    server.expected_errors = [LOUD]
    carol = server.json("carol", "dev")
    stored = fill_up(disk, server, carol)
    server.signal(9)
    server.expect_exit(-9)
    if isinstance(disk, Small):
        disk.free(server)
    second = serve("--data", str(folder))
    dora = second.json("dora", "dev")
    dora.say("history", id="h", of="#dev", limit=200)
    entries = dora.event(type="history")["entries"]
    assert [entry["text"] for entry in entries if entry["type"] == "message"] == stored


def test_a_server_that_is_stopped_while_the_disk_is_full_stops(limit: Disk, serve: Start) -> None:
    server = serve()
    server.expected_errors = [LOUD]
    carol = server.json("carol", "dev")
    fill_up(limit, server, carol)
    server.signal()
    carol.event(type="notice", code="server-stopping")
    carol.expect_end()
    server.expect_exit(0)


# The start


def test_a_read_only_disk_is_said_at_the_start(folder: Path, serve: Start) -> None:
    serve().finish()
    try:
        read_only = folder
        folder.chmod(0o500)
        (folder / FILE).chmod(0o400)
        (folder / "lock").chmod(0o400)
        if os.geteuid() == 0:  # whom modes do not stop
            read_only = folder.parent / "mounted"
            read_only.mkdir()
            bind = ("mount", "--bind", "-o", "ro", str(folder), str(read_only))
            if subprocess.run(bind, capture_output=True, check=False).returncode:
                return
        result = run_server("--port", "0", "--data", str(read_only))
    finally:
        if read_only is not folder:
            subprocess.run(("umount", str(read_only)), check=False)
        folder.chmod(0o700)
    assert result.returncode == 1
    assert result.stderr.startswith(f"selchat-server: the data folder {read_only} cannot be used")
    assert result.stderr.count("\n") == 1


def test_a_damaged_log_is_said_at_the_start(folder: Path, serve: Start) -> None:
    serve().finish()
    log = folder / FILE
    content = log.read_bytes()
    log.write_bytes(b"this is no log " + content[15:])
    result = run_server("--port", "0", "--data", str(folder))
    assert result.returncode == 1
    assert result.stderr == (
        f"selchat-server: the log {log} cannot be used: "
        "the log is damaged: stop the server and restore a backup\n"
    )


def test_a_log_that_is_damaged_while_it_runs_is_said_and_harms_nobody(
    folder: Path, serve: Start
) -> None:
    server = serve()
    server.expected_errors = [LOUD, "AND NOTHING CAN BE READ", "the log's upkeep failed"]
    alice, carol = server.text("alice", "dev"), server.json("carol", "dev")
    alice.expect("* carol joined #dev")
    for number in range(15):
        carol.do("post", to="#dev", text=f"{number} {FILLER}")
        alice.expect(f"[#dev] carol: {number} {FILLER}")
    for name in (FILE, f"{FILE}-wal"):
        path = folder / name
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
    answers = set()
    for number in range(20):
        carol.say("history", id=f"h{number}", of="#dev", before=number + 5, limit=2)
        answers.add(carol.event(id=f"h{number}")["type"])
        carol.say("post", id=f"p{number}", to="#dev", text="more")
        carol.event(id=f"p{number}")
    assert answers <= {"history", "error"}
    alice.send("#")
    alice.seek("! type a message behind the name: …")
    assert server.said("Traceback") == 0
