"""Peers that break off, do not read, flood, talk nonsense or say nothing: they hurt only
themselves.
"""

from __future__ import annotations

import http.client
import json
import random
import ssl
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Start
from tests.e2e.harness import PATIENCE, Json, ServerProcess, Text, until

MIB = 2**20
SMALL = 4096
"""A receive buffer that is soon full; the kernel makes it a little larger."""

BIG = "x" * 20_000
"""A message of which few are more than what waits in sockets and in the server."""


def say_much(author: Json, room: str, numbers: range) -> None:
    """Post big numbered messages, at most ten unanswered at a time."""
    for start in range(0, len(numbers), 10):
        batch = numbers[start : start + 10]
        for number in batch:
            author.say("post", to=f"#{room}", text=f"{number} {BIG}")
        for _ in batch:
            author.event(type="ok")


# The end of a connection


def test_what_was_asked_before_the_end_of_input_is_done_and_answered(
    server: ServerProcess,
) -> None:
    bob = server.text("bob", "dev")
    alice = server.connect()
    said = [f"#dev {number}" for number in range(2000)]  # more than is done in one tick
    alice.send("alice", "/join dev", *said, "/topic dev", "nonsense")
    alice.half_close()
    alice.expect("* welcome alice: …", "* you joined #dev", "* #dev has no topic: …", "! say …")
    alice.expect_end()
    bob.expect("* alice joined #dev", *(f"[#dev] alice: {number}" for number in range(2000)))
    bob.expect("* alice left #dev (quit)")


def test_an_unterminated_last_line_is_dropped(server: ServerProcess) -> None:
    bob = server.text("bob", "dev")
    alice = server.text("alice", "dev")
    alice.send_bytes(b"#dev a whole line\n#dev half a li")
    alice.half_close()
    alice.expect_end()
    bob.expect("* alice joined #dev", "[#dev] alice: a whole line", "* alice left #dev (quit)")


def test_the_end_of_input_of_a_text_client_is_a_quit(server: ServerProcess) -> None:
    bob = server.text("bob", "dev")
    server.text("alice", "dev").close()
    bob.expect("* alice joined #dev", "* alice left #dev (quit)")
    server.text("alice")  # the name is free


def test_a_reset_is_a_lost_connection(server: ServerProcess) -> None:
    bob = server.text("bob", "dev")
    server.text("alice", "dev").reset()
    bob.expect("* alice joined #dev", "* alice left #dev (lost connection)")
    server.text("alice")


@pytest.mark.parametrize("way", ["end", "reset"])
def test_a_lost_json_client_is_told_of_after_the_grace(serve: Start, way: str) -> None:
    server = serve("--grace", "0.3")
    bob = server.text("bob", "dev")
    alice = server.json("alice", "dev")
    bob.expect("* alice joined #dev")
    lost = time.monotonic()
    if way == "end":
        alice.close()
    else:
        alice.reset()
    bob.expect("* alice left #dev (lost connection)")
    assert time.monotonic() - lost >= 0.3


def test_within_the_grace_name_and_rooms_are_kept(server: ServerProcess) -> None:
    bob, alice = server.text("bob", "dev"), server.json("alice", "dev")
    bob.expect("* alice joined #dev")
    before = server.descriptors()
    alice.reset()
    until(lambda: server.descriptors() == before - 1, "the server has seen it")
    bob.quiet()  # and the others are not told
    thief = server.connect()
    thief.send("alice")
    thief.expect("! the name alice is in use: …")


def test_a_session_is_resumed_over_a_new_connection(server: ServerProcess) -> None:
    bob, alice = server.text("bob", "dev"), server.json("alice", "dev")
    bob.expect("* alice joined #dev")
    bob.send("#dev before")
    seen = alice.event(type="message", text="before")["seq"]
    alice.close()
    bob.send("#dev missed 1", "#dev missed 2", "@alice missed 3")
    bob.quiet()
    again = server.new_json()
    welcome = again.login("alice", token=alice.token, after=seen, log=alice.log)
    assert welcome["rooms"] == ["dev"]
    for number, to in enumerate(("#dev", "#dev", "@alice"), 1):
        again.event(type="message", to=to, text=f"missed {number}")
    bob.send("#dev after")
    again.event(type="message", text="after")
    again.quiet()
    bob.quiet()  # nobody noticed


def test_a_repeated_post_is_not_posted_again(server: ServerProcess) -> None:
    bob, alice = server.text("bob", "dev"), server.json("alice", "dev")
    first = alice.do("post", to="#dev", text="once")
    alice.reset()
    again = server.new_json()
    again.login("alice", token=alice.token, after=first["seq"], log=alice.log)
    again.say("post", id=first["id"], to="#dev", text="once")
    assert again.event(type="ok", id=first["id"])["seq"] == first["seq"]
    bob.expect("* alice joined #dev", "[#dev] alice: once")
    bob.quiet()


def test_a_session_is_taken_over_by_its_second_connection(server: ServerProcess) -> None:
    bob, old = server.text("bob", "dev"), server.json("alice", "dev")
    new = server.new_json()
    new.login("alice", token=old.token, after=old.seq, log=old.log)
    old.event(type="error", code="taken-over")
    old.expect_end()
    new.do("post", to="#dev", text="from the new one")
    bob.expect("* alice joined #dev", "[#dev] alice: from the new one")
    bob.quiet()


# Readers that do not read


def hear_all(reader: Text | Json, numbers: range) -> None:
    """Exactly those of say_much come next, in their order."""
    for number in numbers:
        line = reader.line()
        if isinstance(reader, Json):
            line = json.loads(line)["text"]
        else:
            line = line.removeprefix("[#dev] alice: ")
        assert line == f"{number} {BIG}", f"{number} was to come, and {line[:60]} came"


@pytest.mark.parametrize("tongue", ["text", "json"])
def test_a_stuck_reader_gets_all_in_order_and_once_when_it_reads_again(
    server: ServerProcess, tongue: str
) -> None:
    alice = server.json("alice", "dev")
    connect = server.text if tongue == "text" else server.json
    stuck = connect("stuck", "dev", receive_buffer=SMALL)
    bob, carol = server.text("bob", "talk"), server.text("carol", "talk")
    bob.expect("* carol joined #talk")
    alice.event(type="joined", user="stuck")
    for start in range(0, 500, 50):  # 10 MB in all
        say_much(alice, "dev", range(start, start + 50))
        bob.send(f"#talk {start}")
        carol.expect(f"[#talk] bob: {start}")
    hear_all(stuck, range(250))  # and meanwhile it goes on
    say_much(alice, "dev", range(500, 550))
    stuck.send("/topic dev" if tongue == "text" else '{"type":"ping"}')
    hear_all(stuck, range(250, 550))
    stuck.expect("* #dev has no topic: …" if tongue == "text" else '{"type":"pong"}')
    stuck.quiet()
    assert stuck.socket.fileno() >= 0


def test_a_stuck_reader_that_writes_is_answered_when_it_reads(server: ServerProcess) -> None:
    """What it asks while it is in the past is done; nothing of it is lost or out of order."""
    alice = server.json("alice", "dev")
    stuck = server.json("stuck", "dev", receive_buffer=SMALL)
    alice.event(type="joined", user="stuck")
    say_much(alice, "dev", range(200))
    for number in range(100):
        stuck.say("post", id=str(number), to="#dev", text=f"stuck {number}")
    hear_all(stuck, range(200))
    for number in range(100):
        stuck.event(type="ok", id=str(number))
        alice.event(type="message", text=f"stuck {number}")
    stuck.quiet()
    alice.quiet()


def test_catching_up_beside_a_flood_gives_nothing_twice(serve: Start) -> None:
    """A reader reaches the present again and again while more is asked than one tick does."""
    server = serve("--page", "10000", "--soft-limit", "32768")
    reader = server.json("reader", "d", receive_buffer=SMALL)
    alice = server.text("alice", "d")
    reader.event(type="joined", user="alice")
    posts = 40_000
    alice.send(*["#d x"] * posts)
    seqs = [reader.event(type="message")["seq"] for _ in range(posts)]
    assert seqs == list(range(seqs[0], seqs[0] + posts))
    reader.quiet()
    alice.quiet()


def test_a_resume_in_the_middle_of_a_flood_gives_each_entry_once(server: ServerProcess) -> None:
    alice, reader = server.json("alice", "dev"), server.json("reader", "dev")
    alice.event(type="joined", user="reader")
    token, log = reader.token, reader.log
    heard: list[dict[str, object]] = []
    for round_ in range(8):
        say_much(alice, "dev", range(round_ * 40, round_ * 40 + 40))
        heard += [reader.event(type="message") for _ in range(23)]
        reader.reset()
        reader = server.new_json()
        reader.login("reader", token=token, after=heard[-1]["seq"], log=log)
    while len(heard) < 320:
        heard.append(reader.event(type="message"))
    reader.quiet()
    assert [str(event["text"]).split()[0] for event in heard] == [str(n) for n in range(320)]


def test_stuck_readers_cost_bounded_memory(server: ServerProcess) -> None:
    alice = server.json("alice", "dev")
    server.text("stuck1", "dev", receive_buffer=SMALL)
    server.json("stuck2", "dev", receive_buffer=SMALL)
    for name in ("stuck1", "stuck2"):
        alice.event(type="joined", user=name)
    say_much(alice, "dev", range(400))
    before = server.memory()
    say_much(alice, "dev", range(400, 3400))  # 60 MB for each of them
    assert server.memory() - before < 12 * MIB


def test_who_missed_more_than_is_kept_is_told_so(serve: Start) -> None:
    server = serve("--store", "memory", "--memory-entries", "200")
    alice = server.json("alice", "dev")
    text = server.text("text", "dev", receive_buffer=SMALL)
    stuck = server.json("json", "dev", receive_buffer=SMALL)
    for name in ("text", "json"):
        alice.event(type="joined", user=name)
    say_much(alice, "dev", range(1000))
    text.expect("* json joined #dev")
    lines = text.seek("! you read too slowly, …")
    assert [line.split()[2] for line in lines] == [str(number) for number in range(len(lines))]
    text.expect_end()
    number = 0
    while (event := stuck.event())["type"] == "message":
        assert event["text"] == f"{number} {BIG}"
        number += 1
    assert event["code"] == "fell-behind"
    stuck.expect_end()


def test_who_writes_and_never_reads_is_slowed_down_and_loses_nothing(
    server: ServerProcess,
) -> None:
    """Answers that nobody reads fill the buffers; then the writer is not read either."""
    alice = server.text("alice")
    writer = server.text("writer", receive_buffer=SMALL)
    before = server.memory()
    mistake = b"x" * 1000 + b"\n"
    sent = tries = 0
    writer.socket.setblocking(False)
    while tries < 50:
        try:
            sent += writer.socket.send(mistake[sent % len(mistake) :] + mistake * 10)
            tries = 0
        except BlockingIOError:
            tries += 1
            alice.quiet()  # a tick or more, in which it could have been read
    assert server.memory() - before < 8 * MIB
    writer.expect(*["! say to whom: …"] * (sent // len(mistake)))
    alice.quiet()


def test_a_reader_over_the_hard_limit_is_closed_and_the_others_are_told(serve: Start) -> None:
    server = serve("--soft-limit", "4096", "--hard-limit", "65536", "--log-level", "debug")
    alice = server.json("alice", "dev")
    stuck = server.text("stuck", "dev", receive_buffer=SMALL)
    alice.event(type="joined", user="stuck")
    stuck.send(*["/help"] * 20_000)
    alice.event(type="left", user="stuck", reason="lost connection")
    assert server.said("stuck lost the connection: .* waiting") == 1


# Nobody there


def test_who_says_nothing_is_closed_after_the_login_timeout(serve: Start) -> None:
    server = serve("--login-timeout", "0.3")
    alice = server.text("alice")
    silent, unclear, text, json = (server.connect() for _ in range(4))
    unclear.send_bytes(b"GE")
    text.send_bytes(b"bo")
    json.send_bytes(b'{"type":')
    silent.expect_end()
    unclear.expect_end()
    text.expect("! no log-in within 0.3 seconds: …")
    text.expect_end()
    json.expect('{"type":"error","code":"login-timeout"}')
    json.expect_end()
    alice.quiet()  # she is logged in


def test_an_idle_json_client_is_pinged_and_lost_without_a_pong(serve: Start) -> None:
    server = serve("--ping-after", "0.2", "--ping-timeout", "1", "--grace", "0.1")
    watcher = server.text("watcher", "dev")
    alive, dead = server.json("alive", "dev"), server.json("dead", "dev")
    watcher.expect("* alive joined #dev", "* dead joined #dev")
    alive.event(type="joined", user="dead")
    types: list[str] = []
    while types.count("left") == 0 or types[-1] != "ping":
        types.append(alive.event()["type"])
        if types[-1] == "ping":
            alive.say("pong")
    assert types.count("ping") >= 2
    assert set(types) == {"ping", "left"}
    dead.event(type="ping")
    dead.event(type="error", code="ping-timeout")
    dead.expect_end()
    watcher.expect("* dead left #dev (lost connection)")
    watcher.quiet()  # text clients are not pinged


def test_a_reader_with_unread_output_is_not_pinged(serve: Start) -> None:
    server = serve("--ping-after", "1", "--ping-timeout", "0.1", "--grace", "0.1")
    alice = server.text("alice", "dev")
    stuck = server.json("stuck", "dev", receive_buffer=SMALL)
    said = [f"{number} " + "x" * 50_000 for number in range(100)]
    alice.send(*(f"#dev {text}" for text in said))  # 5 MB, well before the first ping
    alice.expect("* stuck joined #dev")
    # One who comes only now is pinged and lost; the stuck one stays.
    silent = server.json("silent")
    silent.event(type="ping")
    silent.event(type="error", code="ping-timeout")
    alice.send("/who dev")
    alice.expect("* in #dev: alice (owner), stuck")
    for text in said:
        stuck.event(type="message", text=text)


# Too many


def test_out_of_descriptors_it_pauses_says_so_once_and_goes_on(serve: Start) -> None:
    server = serve("--ping-after", "0.5", "--ping-timeout", "1")
    alice, bob = server.text("alice", "dev"), server.json("bob", "dev")
    alice.expect("* bob joined #dev")
    server.limit_descriptors(40)
    silent = [server.connect() for _ in range(40)]
    late = server.connect()
    late.send("late")
    until(lambda: server.said("no new connections are accepted"), "it says that it is full")
    assert server.descriptors() == 40

    # No busy loop: between two pings it does next to nothing.
    bob.event(type="ping")
    bob.say("pong")
    cpu, clock = server.cpu(), time.monotonic()
    bob.event(type="ping")
    bob.say("pong")
    assert server.cpu() - cpu < 0.15 * (time.monotonic() - clock)

    bob.say("post", to="#dev", text="we talk on")
    alice.expect("[#dev] bob: we talk on")
    assert server.said("no new connections are accepted") == 1
    for connection in silent:
        connection.close()
    late.expect("* welcome late: …")
    until(lambda: server.said("new connections are accepted"), "it says that it goes on")
    server.text("another")


def test_500_connections_that_open_and_close_at_once_leave_nothing(
    server: ServerProcess,
) -> None:
    alice, bob = server.text("alice", "dev"), server.text("bob", "dev")
    alice.expect("* bob joined #dev")
    before = server.descriptors()
    for number in range(500):
        wire = server.connect()
        if number % 3 == 1:
            wire.send(f"guest{number}", "/join lobby")
        if number % 2:
            wire.reset()
        else:
            wire.close()
        if number % 100 == 0:
            alice.send(f"#dev {number}")
            bob.expect(f"[#dev] alice: {number}")
    until(lambda: server.descriptors() == before, "all their descriptors are given back")
    alice.send("/rooms", "/who")
    alice.expect("* #dev (2)", "* here: alice, bob")


# Nonsense


def refusals() -> Iterator[tuple[str, bytes, bytes]]:
    page = (
        b"This is a selchat server, and it does not speak HTTP: use selchat-client, or type to "
        b"it with nc: the first line is your name.\n"
    )
    head = (
        b"HTTP/1.1 501 Not Implemented\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(page)
    )
    irc = (
        b"ERROR :this server does not speak IRC: use selchat-client, or type to it with nc: "
        b"the first line is your name\r\n"
    )
    yield "tls", b"\x16\x03\x01\x02\x00\x01", b"\x15\x03\x01\x00\x02\x02\x28"
    for method in (b"GET", b"POST", b"PUT", b"OPTIONS", b"DELETE"):
        yield method.decode(), method + b" / HTTP/1.1\r\n", head + page
    yield "HEAD", b"HEAD / HTTP/1.1\r\n", head
    for command in (b"CAP LS 302", b"nick alice", b"User alice 0 * :Alice", b"PASS secret"):
        yield command[:4].decode(), command + b"\r\n", irc


@pytest.mark.parametrize(
    ("said", "answer"), [pytest.param(said, answer, id=name) for name, said, answer in refusals()]
)
def test_other_protocols_are_refused_completely(serve: Start, said: bytes, answer: bytes) -> None:
    """With much more behind, which the server must not answer with a reset."""
    server = serve("--tls", "off")
    wire = server.connect()
    wire.send_bytes(said)
    wire.send_bytes(b"and a long request behind it\r\n" * 30_000)
    wire.arrived()
    assert wire.rest() == answer
    wire.close()


def test_a_tls_client_is_told_that_there_is_no_tls(serve: Start) -> None:
    server = serve("--tls", "off")
    wire = server.connect()
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
        context.wrap_socket(wire.socket, server_hostname="localhost")


def test_an_http_client_gets_a_page(server: ServerProcess) -> None:
    client = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
    try:
        client.request("POST", "/", body=b"x" * 200_000)
        response = client.getresponse()
        assert response.status == 501
        assert b"does not speak HTTP" in response.read()
    finally:
        client.close()


def test_garbage_is_answered_with_errors_and_hurts_nobody(server: ServerProcess) -> None:
    alice, bob = server.text("alice", "dev"), server.text("bob", "dev")
    alice.expect("* bob joined #dev")
    noise = random.Random(2).randbytes(300_000)
    for start in (b"", b"{", b"\x16", b"carol\n", b'{"type":"hello","user":"dave"}\n'):
        wire = server.connect()
        try:
            wire.send_bytes(start + noise)
            wire.half_close()
            answers = wire.rest()
        except ConnectionError:  # refused long ago, with most of it still to come
            answers = b""
        for line in answers.splitlines():
            assert line.startswith((b"! ", b"* ", b'{"', b"\x15"))
        wire.close()
        alice.send("#dev undisturbed")
        bob.expect("[#dev] alice: undisturbed")


def test_an_over_long_line_is_one_error_and_the_connection_goes_on(server: ServerProcess) -> None:
    alice = server.text("alice", "dev")
    alice.send("#dev " + "x" * 65_536, "/topic dev")
    alice.expect("! a line has at most 65536 bytes: …", "* #dev has no topic: …")
    bot = server.json("bot", "dev")
    bot.send(json.dumps({"type": "post", "to": "#dev", "text": "x" * 65_536}))
    bot.event(type="error", code="line-too-long")
    bot.do("post", to="#dev", text="x" * 60_000)
    alice.expect("* bot joined #dev", "[#dev] bot: " + "x" * 60_000)


def test_an_endless_line_is_one_error_and_costs_no_memory(server: ServerProcess) -> None:
    alice, bob = server.text("alice", "dev"), server.text("bob", "dev")
    alice.expect("* bob joined #dev")
    before = server.memory()
    alice.send_bytes(b"x" * MIB)
    alice.expect("! a line has at most 65536 bytes: …")  # as soon as it is known
    for number in range(30):
        alice.send_bytes(b"x" * MIB)
        bob.send(f"#dev {number}")
        alice.expect(f"[#dev] bob: {number}")
    assert server.memory() - before < 8 * MIB
    alice.send("")
    alice.quiet()


def test_text_of_any_bytes_reaches_others_harmless(server: ServerProcess) -> None:
    alice, bob = server.text("alice", "dev"), server.text("bob", "dev")
    bob.send_bytes(b"#dev \x1b[31mred\x07 \xff\xfe \xe2\x80\xae end\n")
    alice.expect("* bob joined #dev", "[#dev] bob: ␛[31mred␇ \ufffd\ufffd \ufffd end")
