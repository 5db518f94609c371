"""What an operator does: status, backup, restore, check; and what is where on the disk."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.e2e.harness import PATIENCE, SERVER, Json, ServerProcess, environment, run_server, until

Result = subprocess.CompletedProcess[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder, not made yet."""
    return tmp_path / "chat"


def operate(folder: Path, *words: str) -> Result:
    return run_server(*words, "--data", str(folder))


def done(result: Result) -> list[str]:
    """It went well; what it said."""
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def failed(result: Result, code: int = 1) -> str:
    """It failed, with one line."""
    assert (result.returncode, result.stdout) == (code, ""), result
    (line,) = result.stderr.splitlines()
    assert line.startswith("selchat-server: ")
    return line


def status(folder: Path) -> dict[str, Any]:
    (line,) = done(operate(folder, "status", "--json"))
    found: dict[str, Any] = json.loads(line)
    return found


def chat(client: Json, first: int, end: int) -> None:
    """Post these numbers, and wait until they are acknowledged."""
    posts = [
        json.dumps({"type": "post", "id": f"p{n}", "to": "#dev", "text": f"word {n}"})
        for n in range(first, end)
    ]
    client.send(*posts)
    for number in range(first, end):
        client.event(type="ok", id=f"p{number}")


def history(client: Json) -> list[str]:
    """All that was said in #dev."""
    texts: list[str] = []
    after, more = 0, True
    while more:
        client.say("history", id="h", of="#dev", after=after)
        page = client.event(type="history", id="h")
        texts += [entry["text"] for entry in page["entries"] if entry["type"] == "message"]
        after, more = page["entries"][-1]["seq"], page["more"]
    return texts


def words(first: int, end: int) -> list[str]:
    return [f"word {number}" for number in range(first, end)]


def kill(server: ServerProcess) -> None:
    server.signal(signal.SIGKILL)
    server.expect_exit(-signal.SIGKILL)


# Status


def test_status_counts_what_there_is(serve: Start, folder: Path) -> None:
    server = serve("--data", str(folder))
    alice = server.json("alice", "dev")
    server.text("bob", "dev", "ops")
    alice.event(type="joined", user="bob")
    server.connect()
    chat(alice, 0, 10)
    until(lambda: "new" in status(folder)["connections"], "all are counted")
    found = status(folder)
    assert found["connections"] == {"jsonl": 1, "text": 1, "new": 1}
    assert (found["users"], found["sessions"], found["rooms"]) == (2, 2, 2)
    assert found["entries"] == found["newest"] == 15
    assert found["pid"] == server.pid
    assert found["commits"]["entries"] == 15
    assert found["commits"]["failed"] == 0
    assert 0 < found["commits"]["p50"] <= found["commits"]["p99"]
    assert found["backlog"] == {"waiting": 0, "behind": 0}
    assert found["disk"]["failing"] is None
    assert found["disk"]["folder"] == str(folder)
    assert found["disk"]["log"] + found["disk"]["write_ahead"] > 4_096
    assert found["disk"]["free"] > 0
    assert found["memory"] > 2**20
    assert found["uptime"] > 0


def test_status_is_told_in_lines_to_people(serve: Start, folder: Path) -> None:
    server = serve("--data", str(folder))
    server.text("alice", "dev")
    said = done(operate(folder, "status"))
    assert [line.split()[0] for line in said] == [
        *("server", "connections", "people", "log", "commits", "backlog", "disk"),
    ]
    assert f"process {server.pid}" in said[0]
    assert "1 text" in said[1]
    assert "1 online, 1 session, 1 room" in said[2]


def test_status_shows_readers_that_are_behind(serve: Start, folder: Path) -> None:
    server = serve("--data", str(folder))
    alice = server.json("alice", "dev")
    server.text("stuck", "dev", receive_buffer=4_096)
    alice.event(type="joined", user="stuck")

    def behind() -> bool:
        for _ in range(20):
            alice.do("post", to="#dev", text="x" * 50_000)
        return bool(status(folder)["backlog"]["behind"])

    until(behind, "the stuck reader is behind")
    backlog = status(folder)["backlog"]
    assert backlog["behind"] == 1
    assert backlog["waiting"] > 100_000


@pytest.mark.parametrize("command", ["status", "check", "backup"])
def test_without_a_server_or_a_log_it_is_one_clear_line(folder: Path, command: str) -> None:
    more = [str(folder.parent / "copy")] if command == "backup" else []
    line = failed(operate(folder, command, *more))
    assert str(folder) in line
    assert "--data" in line
    assert not folder.exists()


def test_a_killed_server_is_not_taken_for_a_running_one(serve: Start, folder: Path) -> None:
    server = serve("--data", str(folder))
    kill(server)
    assert (folder / "control").is_socket()
    assert "no server runs on the data folder" in failed(operate(folder, "status"))
    again = serve("--data", str(folder))
    assert status(folder)["pid"] == again.pid
    again.signal()
    again.expect_exit()
    assert not (folder / "control").exists()


# The folder


def test_nobody_else_can_read_what_the_server_keeps(serve: Start, folder: Path) -> None:
    umask = os.umask(0)
    try:
        server = serve("--data", str(folder))
    finally:
        os.umask(umask)
    server.json("alice", "dev")
    modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
    assert modes.keys() >= {"control", "lock", "log.sqlite3", "log.sqlite3-wal"}
    assert set(modes.values()) == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_second_server_is_told_who_holds_the_folder(serve: Start, folder: Path) -> None:
    server = serve("--data", str(folder))
    line = failed(run_server("--port", "0", "--host", "127.0.0.1", "--data", str(folder)))
    assert f"process {server.pid}" in line
    assert "--data" in line
    assert status(folder)["pid"] == server.pid  # the second one left the socket alone


def test_a_folder_with_a_long_path_serves_as_well(serve: Start, tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 100) / ("b" * 100) / ("ü" * 50)
    server = serve("--data", str(folder))
    server.json("alice", "dev")
    assert status(folder)["pid"] == server.pid
    done(operate(folder, "backup", str(tmp_path / "copy")))
    server.signal()
    server.expect_exit()
    assert not (folder / "control").exists()
    assert "no server runs" in failed(operate(folder, "status"))


# Backup


def restore(copy: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "log.sqlite3").write_bytes(copy.read_bytes())


def test_a_backup_is_made_while_people_talk(serve: Start, folder: Path, tmp_path: Path) -> None:
    server = serve("--data", str(folder))
    alice = server.json("alice", "dev")
    chat(alice, 0, 2_000)
    copy = tmp_path / "copy"
    count = 2_000
    with subprocess.Popen(
        (*SERVER, "backup", str(copy), "--data", str(folder)), env=environment()
    ) as process:
        while process.poll() is None:
            chat(alice, count, count + 20)
            count += 20
        assert process.returncode == 0
    assert count > 2_020
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.glob("copy*")] == ["copy"]

    restored = tmp_path / "restored"
    restore(copy, restored)
    there = serve("--data", str(restored))
    bob = there.json("bob", "dev")
    said = history(bob)
    assert len(said) >= 2_000
    assert said == words(0, len(said))
    done(operate(restored, "check"))
    # It is another log by now: who was in the first one is told so.
    carol = there.new_json()
    carol.say("hello", user="alice", version=1, token=alice.token, after=5, log=alice.log)
    carol.event(type="error", code="log-changed")

    chat(alice, count, count + 1)
    alice.say("ping", id="end")
    alice.event(type="pong", id="end")
    assert history(alice) == words(0, count + 1)


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_a_backup_without_a_server(serve: Start, folder: Path, tmp_path: Path, end: str) -> None:
    server = serve("--data", str(folder))
    chat(server.json("alice", "dev"), 0, 50)
    if end == "killed":
        kill(server)
    else:
        server.signal()
        server.expect_exit()
    (line,) = done(operate(folder, "backup", str(tmp_path / "copy")))
    assert line == f"{tmp_path / 'copy'}: {(tmp_path / 'copy').stat().st_size} bytes"
    restored = tmp_path / "restored"
    restore(tmp_path / "copy", restored)
    assert history(serve("--data", str(restored)).json("bob", "dev")) == words(0, 50)
    assert history(serve("--data", str(folder)).json("bob", "dev")) == words(0, 50)


def test_a_backup_overwrites_only_by_force(serve: Start, folder: Path, tmp_path: Path) -> None:
    serve("--data", str(folder))
    copy = tmp_path / "copy"
    copy.write_text("dear")
    assert "--force" in failed(operate(folder, "backup", str(copy)))
    assert copy.read_text() == "dear"
    done(operate(folder, "backup", "--force", str(copy)))
    assert copy.read_bytes().startswith(b"SQLite format 3")


def test_a_backup_never_overwrites_the_log(serve: Start, folder: Path) -> None:
    alice = serve("--data", str(folder)).json("alice", "dev")
    line = failed(operate(folder, "backup", "--force", str(folder / "log.sqlite3")))
    assert "the log itself" in line
    chat(alice, 0, 3)
    done(operate(folder, "check"))


def test_a_backup_to_nowhere_is_one_clear_line(serve: Start, folder: Path) -> None:
    serve("--data", str(folder))
    for target in (folder.parent / "none" / "copy", folder.parent):
        assert str(target) in failed(operate(folder, "backup", str(target)))


def test_a_disk_that_is_full_leaves_nothing_behind(
    serve: Start, folder: Path, tmp_path: Path
) -> None:
    server = serve("--data", str(folder))
    chat(server.json("alice", "dev"), 0, 2_000)
    copy = tmp_path / "copy"
    result = subprocess.run(
        (*SERVER, "backup", str(copy), "--data", str(folder)),
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        env=environment(),
        # As near to a full disk as a process can have it for itself.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536)),
    )
    assert f"no backup to {copy}: the disk" in failed(result)
    assert not list(tmp_path.glob("copy*"))


# Check


def test_check_finds_a_log_sound_while_people_talk(serve: Start, folder: Path) -> None:
    alice = serve("--data", str(folder)).json("alice", "dev")
    count = 0
    with subprocess.Popen(
        (*SERVER, "check", "--data", str(folder)),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=environment(),
    ) as process:
        while process.poll() is None:
            chat(alice, count, count + 20)
            count += 20
        assert process.stdout is not None
        assert process.stdout.read().splitlines()[-1] == "the log is sound"
        assert process.returncode == 0
    assert count > 20


DAMAGES = {
    "DELETE FROM entry WHERE seq = 2": "state: the state that was saved",
    "UPDATE entry SET fact = x'00' WHERE seq = 4": "entries: entry 4 cannot be read",
    "DROP INDEX entry_by_corrected": "tables: entry_by_corrected is missing",
    "UPDATE post SET seq = seq + 1": "posts: ",
    "DELETE FROM conversation WHERE id = 1": "which is not there",
    "UPDATE snapshot SET state = x'00'": "state: the saved state cannot be read",
    "INSERT INTO search (search) VALUES ('delete-all')": "search: entry 3 is not found",
    "DROP TABLE post": "tables: post is missing",
}


def _sql(statement: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(statement)

    return damage


def _scribble(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:4_096] + b"\x55" * (len(data) - 4_096))


@pytest.mark.parametrize(
    ("damage", "said"),
    [*((_sql(statement), said) for statement, said in DAMAGES.items()), (_scribble, "file: ")],
    ids=[*DAMAGES, "scribbled over"],
)
def test_check_finds_what_was_damaged(
    serve: Start, folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    server = serve("--data", str(folder))
    alice = server.json("alice", "dev")
    chat(alice, 0, 20)
    alice.say("search", id="s", text="word")  # by which all is in the index
    alice.event(type="found", id="s")
    server.signal()
    alice.event(type="notice")
    alice.close()
    server.expect_exit()
    assert done(operate(folder, "check"))[-1] == "the log is sound"
    damage(folder / "log.sqlite3")
    result = operate(folder, "check")
    assert (result.returncode, result.stderr) == (1, "")
    assert said in result.stdout
    assert result.stdout.splitlines()[-1].startswith("the log is NOT sound")


# Retention


def test_what_is_old_is_forgotten_and_the_log_stays_sound(serve: Start, folder: Path) -> None:
    server = serve("--data", str(folder))
    alice = server.json("alice", "dev")
    chat(alice, 0, 1_200)
    kill(server)
    server = serve("--data", str(folder), "--retention-entries", "5")
    until(lambda: status(folder)["entries"] < 20, "old entries are forgotten")
    bob = server.json("bob", "dev")
    assert history(bob) == words(1_195, 1_200)
    said = done(operate(folder, "check"))
    assert "old entries were forgotten" in said[1]
    again = server.new_json()
    again.say("hello", user="alice", version=1, token=alice.token, after=alice.seq, log=alice.log)
    again.event(type="error", code="session-expired")
    again.say("hello", user="alice", version=1, token=alice.token, after=1_202, log=alice.log)
    again.event(type="welcome", user="alice")
    again.say("post", id="p3", to="#dev", text="word 3")
    again.seek('{"type":"ok","id":"p3","seq":6}')


# Usage


def test_the_flags_may_stand_on_either_side(serve: Start, folder: Path, tmp_path: Path) -> None:
    server = serve("--data", str(folder))
    config = tmp_path / "chat.toml"
    config.write_text(f'data = "{folder}"\nport = 0\n')
    pid = f"process {server.pid}"
    for line in (
        ("--data", str(folder), "status"),
        ("status", f"--data={folder}"),
        ("--config", str(config), "status"),
        ("status", "--config", str(config), "--log-level", "debug"),
    ):
        assert pid in done(run_server(*line))[0]
    assert pid in done(run_server("status", SELCHAT_DATA=str(folder)))[0]
    assert pid in done(run_server("status", SELCHAT_CONFIG=str(config)))[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("backup",), "FILE"),
        (("backup", "a", "b"), "'b' is not known"),
        (("status", "now"), "'now' is not known"),
        (("check", "--force"), "'--force' is not known"),
        (("status", "--jsn"), "did you mean --json?"),
        (("--data", "status", "statsu"), "'statsu' is not known"),
        (("status", "--port", "many"), "--port: 'many' is not allowed"),
    ],
)
def test_wrong_usage_is_exit_code_2(words: tuple[str, ...], said: str) -> None:
    assert said in failed(run_server(*words), 2)


@pytest.mark.parametrize("command", ["status", "backup", "check"])
def test_each_command_says_how_it_is_used(command: str) -> None:
    said = "\n".join(done(run_server(command, "--help")))
    assert f"selchat-server {command}" in said
    for text in ("--data DIR", "--config FILE", "exit codes:"):
        assert text in said
    assert f"selchat-server {command}" in "\n".join(done(run_server("--help")))
