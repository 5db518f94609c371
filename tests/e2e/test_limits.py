"""Limits of the real server, for which nobody is exempt here."""

from __future__ import annotations

import json
import select
import socket
import time

from tests.bench import rude
from tests.e2e.conftest import Start
from tests.e2e.harness import Wire, until

NOBODY = ("--limits-exempt", "none")
HELLO = rude.client_hello()


def test_floods_are_slowed_and_nothing_is_lost(serve: Start) -> None:
    server = serve(*NOBODY, "--rate", "500", "--rate-burst", "100")
    reader = server.text("reader", "dev")
    writers = [server.text(f"w{number}", "dev") for number in range(4)]
    for number in range(4):
        reader.expect(f"* w{number} joined #dev")
    start = time.monotonic()
    for writer in writers:
        writer.send(*(f"#dev {number}" for number in range(400)))
        writer.half_close()
    heard: dict[str, list[int]] = {f"w{number}": [] for number in range(4)}
    gone = 0
    while gone < 4:
        line = reader.line()
        if line.startswith("[#dev] "):
            name, _, said = line.removeprefix("[#dev] ").partition(": ")
            heard[name].append(int(said))
        else:
            assert " left " in line
            gone += 1
    took = time.monotonic() - start
    assert all(numbers == list(range(400)) for numbers in heard.values())
    assert took > (400 - 100) / 500 * 0.8


def test_others_talk_beside_a_flood_of_bytes(serve: Start) -> None:
    server = serve(*NOBODY, "--rate-bytes", "20000", "--rate-burst-bytes", "20000")
    alice, bob = server.text("alice", "dev"), server.text("bob", "dev")
    alice.expect("* bob joined #dev")
    flood = server.text("flood", "flood")
    flood.socket.setblocking(False)
    try:
        while flood.socket.send(b"#flood " + b"x" * 50_000 + b"\n"):
            pass
    except BlockingIOError:
        pass  # it is not read any more
    for number in range(20):
        alice.send(f"#dev {number}")
        bob.expect(f"[#dev] alice: {number}")


def test_so_many_connections_from_an_address(serve: Start) -> None:
    server = serve(*NOBODY, "--connections-per-address", "2")
    alice = server.text("alice", "dev")
    server.json("bob", "dev")
    alice.expect("* bob joined #dev")
    third = server.connect()
    third.send("carol")
    third.expect("! there are too many connections from your address (2): …")
    third.expect_end()
    program = server.new_json()
    program.say("hello", user="carol", version=1)
    assert program.event(type="error")["code"] == "too-many-connections"
    program.expect_end()
    elsewhere = socket.create_connection((server.host, server.port), 30, ("127.0.0.2", 0))
    with elsewhere:
        elsewhere.sendall(b"dave\n")
        assert elsewhere.recv(100).startswith(b"* welcome dave")
    alice.quiet()
    alice.close()

    def again() -> bool:
        one = server.connect()
        one.send("erin")
        return one.line().startswith("* welcome erin")

    until(again, "there is room for one more")


def test_a_full_server_says_so_and_goes_on(serve: Start) -> None:
    server = serve("--connections", "2")
    alice, bob = server.text("alice", "dev"), server.text("bob", "dev")
    alice.expect("* bob joined #dev")
    carol = server.connect()
    carol.send("carol")
    assert carol.rest() == b"! the server is full: try again later\n"
    bob.send("#dev still here")
    alice.expect("[#dev] bob: still here")


def test_a_server_without_memory_for_more_says_so_and_goes_on(serve: Start) -> None:
    server = serve("--memory-limit", "1000000")
    one = server.connect()
    one.send('{"type":"hello","user":"alice","version":1}')
    assert json.loads(one.line())["code"] == "full"
    one.expect_end()
    until(lambda: server.said("new connections are refused"), "it is logged")


def test_who_dribbles_is_ended_in_time(serve: Start) -> None:
    server = serve("--handshake-timeout", "0.3")
    silent = server.connect()
    slow = [server.connect() for _ in range(3)]
    for wire, start in zip(slow, (b"\x16\x03\x01", HELLO, b"GE"), strict=True):
        wire.send_bytes(start)
    for wire in slow:
        until(lambda wire=wire: _over(wire), "it is ended")  # type: ignore[misc]
    silent.send("alice")  # a person who takes a while
    silent.expect("* welcome alice: …")


def _over(wire: Wire) -> bool:
    wire.socket.settimeout(0.05)
    try:
        return wire.socket.recv(10_000) == b""
    except TimeoutError:
        return False


def test_handshakes_wait_for_their_turn(serve: Start) -> None:
    server = serve("--tls-handshakes", "1", "--handshake-timeout", "20")
    first, second = server.connect(), server.connect()
    first.send_bytes(HELLO)
    assert first.socket.recv(1) == b"\x16"  # the server's hello: it has its turn
    second.send_bytes(HELLO)
    plain = server.text("plain")
    plain.quiet()
    second.arrived()
    plain.quiet()
    assert not select.select([second.socket], [], [], 0)[0]
    first.reset()
    second.socket.settimeout(30)
    assert second.socket.recv(1) == b"\x16"


def test_the_honest_are_served_beside_the_rude() -> None:
    """A small form of tests/bench/rude.py, without its figures: all is delivered."""
    figures = rude.run(1, 1.0, 0.05)
    assert [len(rounds) for rounds in figures] == [1, 1]
    assert figures[0][0].delivered == figures[1][0].delivered == 450
    assert figures[1][0].memory < rude.MEMORY_LIMIT
