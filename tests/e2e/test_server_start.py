"""Starting and stopping: what an operator and a service manager rely on."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from itertools import accumulate
from pathlib import Path

import pytest

from selchat.arguments import parse_address
from tests.e2e.conftest import Start
from tests.e2e.harness import HINT, PATIENCE, SERVER, ServerProcess, environment, run_server, until

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


# The ready line


def test_the_ready_line_is_the_only_one_and_names_host_and_port(start: Start) -> None:
    server = start("--host", "127.0.0.1")
    line = server.ready()
    assert line == f"selchat-server listening on 127.0.0.1:{server.port}\n"
    server.text("alice").close()  # it does accept connections
    server.signal()
    server.expect_exit()
    assert server.stdout.read() == b""


@needs_ipv6
def test_an_ipv6_address_stands_in_brackets(start: Start) -> None:
    server = start("--host", "::1")
    assert server.ready() == f"selchat-server listening on [::1]:{server.port}\n"
    server.text("alice")


@needs_ipv6
def test_by_default_ipv4_and_ipv6_share_one_port(start: Start) -> None:
    server = start()
    assert server.ready() == f"selchat-server listening on [::]:{server.port}\n"
    server.text("four", host="127.0.0.1")
    server.text("six", host="::1")


def test_a_host_name_is_looked_up(start: Start) -> None:
    server = start("--host", "localhost")
    assert server.ready() == f"selchat-server listening on localhost:{server.port}\n"
    server.text("alice")


def test_port_0_is_another_free_port_for_each(serve: Start) -> None:
    assert serve().port != serve().port


# Hints


def test_the_hint_is_the_client_command_for_this_server(server: ServerProcess) -> None:
    server.text("alice")  # after which all hints are there
    assert HINT.findall(server.stderr()) == [("127.0.0.1", str(server.port))]


def test_the_hints_name_the_addresses_at_which_others_reach_it(start: Start) -> None:
    server = start()
    server.ready()
    server.text("alice")  # after which all hints are there
    hints = HINT.findall(server.stderr())
    assert hints
    assert {port for _, port in hints} == {str(server.port)}
    # A machine without a network has nothing better than its own name for itself.
    assert [host for host, _ in hints] == ["localhost"] or not any(
        host.startswith(("127.", "169.254.", "[::1]", "[fe80:", "0.0.0.0", "[::]"))
        for host, _ in hints
    )


def test_each_hint_works_as_it_is_typed(start: Start) -> None:
    server = start()
    server.ready()
    server.text("alice")  # after which all hints are there
    for number, hint in enumerate(HINT.findall(server.stderr())):
        host, port = parse_address(":".join(hint))
        assert port == server.port
        server.text(f"guest{number}", host=host if host != "localhost" else None)


# What cannot be


def lines(result: subprocess.CompletedProcess[str]) -> list[str]:
    """What it said on standard error, having said nothing on standard output."""
    assert result.stdout == ""
    return result.stderr.splitlines()


def test_a_port_in_use_is_one_clear_line_and_exit_code_1(server: ServerProcess) -> None:
    result = run_server("--host", "127.0.0.1", "--port", str(server.port))
    assert result.returncode == 1
    (line,) = lines(result)
    assert line.startswith("selchat-server: ")
    assert f"port {server.port} is in use" in line
    assert "--port" in line


def test_a_port_in_use_on_one_address_is_in_use_for_all(server: ServerProcess) -> None:
    result = run_server("--port", str(server.port))
    assert result.returncode == 1
    (line,) = lines(result)
    assert f"port {server.port} is in use" in line


def test_an_address_of_another_machine_is_exit_code_1() -> None:
    result = run_server("--host", "192.0.2.77", "--port", "0")  # RFC 5737: nobody's
    assert result.returncode == 1
    (line,) = lines(result)
    assert "192.0.2.77" in line
    assert "--host" in line


def test_a_host_that_does_not_exist_is_exit_code_1() -> None:
    result = run_server("--host", "no-such-host.invalid", "--port", "0")  # RFC 2606
    assert result.returncode == 1
    (line,) = lines(result)
    assert "no-such-host.invalid" in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("port = ", "not TOML"),
        ("prot = 9000\n", "did you mean port"),
        ('port = "9000"\n', "port"),
        ("port = 70000\n", "65535"),
        ("soft_limit = 4096\nhard_limit = 4096\n", "greater than soft_limit"),
    ],
)
def test_a_wrong_config_file_is_exit_code_2(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "selchat.toml").write_text(content, encoding="utf-8")
    result = run_server("--config", "selchat.toml", cwd=tmp_path)
    assert result.returncode == 2
    (line,) = lines(result)
    assert "selchat.toml: " in line
    assert words in line


def test_a_missing_config_file_is_exit_code_2(tmp_path: Path) -> None:
    result = run_server("--config", "none.toml", cwd=tmp_path)
    assert result.returncode == 2
    (line,) = lines(result)
    assert "none.toml" in line


def test_a_config_file_that_cannot_be_read_is_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()  # which root cannot read as a file either
    result = run_server(SELCHAT_CONFIG="folder.toml", cwd=tmp_path)
    assert result.returncode == 2
    (line,) = lines(result)
    assert "SELCHAT_CONFIG" in line
    assert "folder.toml" in line


@pytest.mark.parametrize(
    "flags", [("--prot", "1"), ("--port", "http"), ("--port",), ("9000",), ("--linger", "-1")]
)
def test_wrong_flags_are_exit_code_2(flags: tuple[str, ...]) -> None:
    result = run_server(*flags)
    assert result.returncode == 2
    (line,) = lines(result)
    assert line.startswith("selchat-server: ")
    assert flags[0] in line


# Stopping


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_it_and_everybody_is_told(server: ServerProcess, number: int) -> None:
    alice, bob = server.text("alice", "dev"), server.json("bob")
    silent = server.connect()
    server.signal(number)
    alice.expect("* the server is stopping")
    alice.expect_end()
    bob.event(type="notice", code="server-stopping", text="the server is stopping")
    bob.expect_end()
    silent.expect_end()
    for client in (alice, bob, silent):
        client.close()
    server.expect_exit()


def test_a_signal_right_behind_the_ready_line_stops_it_in_good_order(start: Start) -> None:
    server = start("--host", "127.0.0.1")
    server.ready()
    server.signal(signal.SIGTERM)
    server.expect_exit()


def test_what_was_asked_before_the_stop_is_done_and_answered(server: ServerProcess) -> None:
    alice, bob = server.json("alice", "dev"), server.text("bob", "dev")
    alice.event(type="joined", user="bob")
    posts = 400
    asked = '{"type":"post","id":"%d","to":"#dev","text":"word %d"}'
    alice.send(*(asked % (number, number) for number in range(posts)))
    alice.arrived()
    server.signal()
    for number in range(posts):
        alice.event(type="ok", id=str(number))
    alice.event(type="notice", code="server-stopping")
    alice.expect_end()
    bob.expect(*(f"[#dev] alice: word {number}" for number in range(posts)))
    bob.expect("* the server is stopping")
    bob.expect_end()
    alice.close()
    bob.close()
    server.expect_exit()


def test_nobody_is_accepted_while_it_stops(serve: Start) -> None:
    server = serve("--linger", "60", "--stop-timeout", "60")
    alice = server.text("alice")
    server.signal()
    alice.expect("* the server is stopping")
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    alice.close()
    server.expect_exit()


def test_a_second_signal_ends_it_at_once(serve: Start) -> None:
    server = serve("--linger", "600", "--stop-timeout", "600")
    alice = server.text("alice")
    server.signal(signal.SIGINT)
    alice.expect("* the server is stopping")  # and she does not close her side
    server.signal(signal.SIGINT)
    server.expect_exit(1)


def test_a_stuck_reader_cannot_hold_up_the_stop(serve: Start) -> None:
    server = serve("--stop-timeout", "0.5", "--linger", "600")
    alice = server.json("alice", "dev")
    server.text("stuck", "dev", receive_buffer=4096)
    alice.event(type="joined", user="stuck")
    for _ in range(200):
        alice.do("post", to="#dev", text="x" * 50_000)
    alice.close()
    server.signal()
    server.expect_exit(patience=10)


# Its own output


def test_it_lives_on_when_nobody_reads_the_ready_line(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            (*SERVER, "--host", "127.0.0.1", "--port", "0", "--data", str(tmp_path / "data")),
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=stderr,
            env=environment(),
        )
    os.close(writer)
    try:
        hints = until(lambda: HINT.findall(log.read_text(encoding="utf-8")), "the hint")
        with socket.create_connection(("127.0.0.1", int(hints[0][1])), PATIENCE) as sock:
            sock.sendall(b"alice\n")
            assert sock.recv(100).startswith(b"* welcome alice")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    assert not re.search("Traceback|Exception", log.read_text(encoding="utf-8"))


def test_without_standard_error_the_ready_line_is_still_alone(tmp_path: Path) -> None:
    flags = ("--host", "127.0.0.1", "--port", "0", "--data", str(tmp_path))
    process = subprocess.Popen(
        ("sh", "-c", 'exec "$@" 2>&-', "sh", *SERVER, *flags),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    try:
        ready = process.stdout.readline().decode()
        port = int(ready.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(b"alice\nquit\n")
            with sock.makefile() as answers:
                assert answers.readlines()[1:] == ["* bye\n"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert process.stdout.read() == b""
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# What a start loads


NOT_AT_START = (
    *("argparse", "asyncio", "concurrent", "difflib", "gettext", "multiprocessing", "shutil"),
    *("subprocess", "tempfile", "tomllib"),
    *("cryptography", "ifaddr", "platformdirs", "scramp", "wcwidth"),
    *("selchat.arguments", "selchat.client", "selchat.operate", "selchat.store.memory"),
)
"""Modules that take long to load, and that few starts or only the first of some kind need."""


def loaded(server: ServerProcess) -> set[str]:
    """The modules that a server loaded, from its first line on, with the packages they are in."""
    server.ready()
    server.signal()
    server.expect_exit()
    named = re.findall(r"^import time:[ \d|]*\|\s*([\w.]+)$", server.stderr(), re.MULTILINE)
    ours = named[named.index("selchat") :]  # what stands before, the environment loads
    return {part for name in ours for part in accumulate(name.split("."), "{}.{}".format)}


def test_a_start_loads_nothing_that_it_has_no_use_for(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    flags = ("--host", "127.0.0.1", "--data", str(tmp_path / "data"))
    first = loaded(start(*flags))
    assert "selchat.server" in first
    assert first.intersection(NOT_AT_START) == {"cryptography"}  # it makes the certificate, once
    assert loaded(start(*flags)).isdisjoint(NOT_AT_START)


def test_what_a_start_needs_it_loads(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    config = tmp_path / "chat.toml"
    config.write_text('store = "memory"\ntls = "off"\n')
    rare = loaded(start("--host", "127.0.0.1", "--config", str(config))) & set(NOT_AT_START)
    assert rare == {"tomllib", "selchat.store.memory"}
