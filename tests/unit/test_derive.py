"""Passwords are computed by a real process beside the loop, which nothing can hang or leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import pbkdf2_hmac
from pathlib import Path

import pytest

from selchat import derive
from selchat.derive import WAITING_MOST, Deriver
from selchat.loop import Loop

ROOT = Path(__file__).resolve().parents[2]
PASSWORD, SALT = b"correct horse", b"s" * 16
EXPECTED = pbkdf2_hmac("sha256", PASSWORD, SALT, 10)
LONG = 2**31 - 1
"""Rounds that nobody lives to see the end of."""


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def deriver(loop: Loop) -> Iterator[Deriver]:
    deriver = Deriver(loop)
    yield deriver
    deriver.close()


def until(loop: Loop, done: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "it did not happen"
        loop.tick(0.05)


def runs(pid: int) -> bool:
    """Whether a process is there, and not only its exit code (as a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def pid_of(deriver: Deriver) -> int:
    pid = deriver.pid
    assert pid is not None
    return pid


def test_it_computes_what_the_library_computes(loop: Loop, deriver: Deriver) -> None:
    got: list[bytes | None] = []
    cases = [(PASSWORD, SALT, 10), (b"", b"", 1), ("пароль".encode(), b"\x00" * 64, 4_096)]
    cases.append((b"p" * 1_024, b"\n" * 65, 3))
    for password, salt, rounds in cases:
        deriver.derive(password, salt, rounds, got.append)
    assert got == []  # never at once
    until(loop, lambda: len(got) == len(cases))
    assert got == [pbkdf2_hmac("sha256", *case) for case in cases]


def test_there_is_no_process_before_the_first_need_and_one_then(
    loop: Loop, deriver: Deriver
) -> None:
    assert deriver.pid is None
    got: list[bytes | None] = []
    pids: set[int | None] = set()
    for count in range(3):
        deriver.derive(PASSWORD, SALT, 10, got.append)
        pids.add(deriver.pid)
        until(loop, lambda count=count: len(got) > count)  # type: ignore[misc]
    assert got == [EXPECTED] * 3
    assert len(pids) == 1


def test_the_loop_goes_on_meanwhile(loop: Loop, deriver: Deriver) -> None:
    deriver.derive(PASSWORD, SALT, LONG, lambda _: None)
    ticked: list[int] = []
    loop.call_later(0.01, partial(ticked.append, 1))
    until(loop, lambda: ticked)


def test_who_would_wait_too_long_is_told_at_once_but_not_within_the_call(
    loop: Loop, deriver: Deriver
) -> None:
    got: list[bytes | None] = []
    for _ in range(1 + WAITING_MOST):  # one is under way
        deriver.derive(PASSWORD, SALT, LONG, got.append)
    refused: list[bytes | None] = []
    deriver.derive(PASSWORD, SALT, 10, refused.append)
    assert refused == []
    until(loop, lambda: refused)
    assert (refused, got) == ([None], [])


def test_who_is_gone_takes_no_place_and_is_not_called(loop: Loop, deriver: Deriver) -> None:
    got: list[bytes | None] = []
    first = deriver.derive(PASSWORD, SALT, 100_000, got.append)
    gone = [deriver.derive(PASSWORD, SALT, LONG, got.append) for _ in range(WAITING_MOST)]
    for request in (first, *gone):
        request.cancel()
    deriver.derive(PASSWORD, SALT, 10, got.append)
    until(loop, lambda: got)
    assert got == [EXPECTED]


def test_killed_in_the_middle_it_says_so_and_the_next_is_computed_by_another(
    loop: Loop, deriver: Deriver, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[bytes | None] = []
    deriver.derive(PASSWORD, SALT, 10, got.append)
    until(loop, lambda: got)
    deriver.derive(PASSWORD, SALT, LONG, got.append)
    deriver.derive(PASSWORD, SALT, 10, got.append)
    pid = pid_of(deriver)
    os.kill(pid, signal.SIGKILL)
    until(loop, lambda: len(got) == 3)
    assert got == [EXPECTED, None, EXPECTED]
    assert pid_of(deriver) != pid
    assert "helper process" in caplog.text
    # The one that was killed is asked for, and gone from the system's table.
    until(loop, lambda: not deriver._ended)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_killed_with_nothing_to_do_it_is_started_again(loop: Loop, deriver: Deriver) -> None:
    got: list[bytes | None] = []
    deriver.derive(PASSWORD, SALT, 10, got.append)
    until(loop, lambda: got)
    os.kill(pid_of(deriver), signal.SIGKILL)
    until(loop, lambda: deriver.pid is None)
    deriver.derive(PASSWORD, SALT, 10, got.append)
    until(loop, lambda: len(got) == 2)
    assert got == [EXPECTED, EXPECTED]


def test_signals_that_are_meant_for_the_server_do_not_end_it(loop: Loop, deriver: Deriver) -> None:
    got: list[bytes | None] = []
    deriver.derive(PASSWORD, SALT, 10, got.append)
    until(loop, lambda: got)
    pid = pid_of(deriver)
    assert os.getsid(pid) != os.getsid(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    deriver.derive(PASSWORD, SALT, 10, got.append)
    until(loop, lambda: len(got) == 2)
    assert got == [EXPECTED, EXPECTED]
    assert deriver.pid == pid


def test_a_process_that_cannot_live_is_not_started_over_and_over(
    loop: Loop, deriver: Deriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = tmp_path / "starts"
    dies = tmp_path / "dies.py"
    dies.write_text(f"open({str(starts)!r}, 'a').write('x')")
    monkeypatch.setattr(derive, "_PROGRAM", dies)
    got: list[bytes | None] = []
    for _ in range(20):
        deriver.derive(PASSWORD, SALT, 10, got.append)
    until(loop, lambda: len(got) == 20)
    assert got == [None] * 20
    deriver.derive(PASSWORD, SALT, 10, got.append)
    until(loop, lambda: len(got) == 21)
    assert starts.read_text() == "x"


def test_what_cannot_be_started_at_all_is_told(
    loop: Loop, deriver: Deriver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    got: list[bytes | None] = []
    deriver.derive(PASSWORD, SALT, 10, got.append)
    until(loop, lambda: got)
    assert got == [None]
    assert "no password can be checked" in caplog.text


def test_one_that_does_not_answer_is_ended(
    loop: Loop, deriver: Deriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derive, "_PATIENCE", 0.05)
    got: list[bytes | None] = []
    deriver.derive(PASSWORD, SALT, LONG, got.append)
    pid = pid_of(deriver)
    until(loop, lambda: got)
    assert got == [None]
    until(loop, lambda: not runs(pid))


def test_with_nothing_to_do_for_long_it_is_ended_and_started_when_needed(
    loop: Loop, deriver: Deriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derive, "_IDLE", 0.05)
    got: list[bytes | None] = []
    deriver.derive(PASSWORD, SALT, 10, got.append)
    pid = pid_of(deriver)
    until(loop, lambda: got and deriver.pid is None)
    until(loop, lambda: not runs(pid))
    deriver.derive(PASSWORD, SALT, 10, got.append)
    until(loop, lambda: len(got) == 2)
    assert got == [EXPECTED, EXPECTED]


def test_one_who_fails_on_the_answer_does_not_harm_the_next(loop: Loop, deriver: Deriver) -> None:
    got: list[bytes | None] = []

    def fail(derived: bytes | None) -> None:
        raise ValueError(str(derived))

    deriver.derive(PASSWORD, SALT, 10, fail)
    deriver.derive(PASSWORD, SALT, 10, got.append)
    until(loop, lambda: got)
    assert got == [EXPECTED]


def test_closing_ends_it_at_once_and_tells_nobody(loop: Loop, deriver: Deriver) -> None:
    got: list[bytes | None] = []
    for _ in range(3):
        deriver.derive(PASSWORD, SALT, LONG, got.append)
    pid = pid_of(deriver)
    deriver.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)  # not even a zombie
    loop.tick(0)
    assert got == []
    deriver.derive(PASSWORD, SALT, 10, got.append)
    until(loop, lambda: got)
    assert (got, deriver.pid) == ([None], None)


def test_the_password_is_not_to_be_seen_from_outside(loop: Loop, deriver: Deriver) -> None:
    got: list[bytes | None] = []
    deriver.derive(b"hunter2hunter2", SALT, 10, got.append)
    until(loop, lambda: got)  # so that it runs
    deriver.derive(b"hunter2hunter2", SALT, LONG, got.append)
    seen = b"".join(
        Path(f"/proc/{pid_of(deriver)}/{file}").read_bytes() for file in ("cmdline", "environ")
    )
    assert b"pbkdf2.py" in seen
    assert b"hunter2" not in seen


SERVER = f"""\
import sys
sys.path.insert(0, {str(ROOT)!r})
from selchat.derive import Deriver
from selchat.loop import Loop
loop = Loop()
deriver = Deriver(loop)
def more(derived):
    deriver.derive(b"password", b"s" * 16, 100_000, more)
    print(deriver.pid, flush=True)
deriver.derive(b"password", b"s" * 16, 1, more)
loop.run()
"""


def test_a_server_that_is_killed_leaves_no_process_behind(loop: Loop) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert runs(pid)
        server.kill()
        server.wait()
        until(loop, lambda: not runs(pid))
