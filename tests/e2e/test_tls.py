"""Encryption on the one port: what users, bots, openssl and operators get of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from selchat.tls import fingerprint
from tests.authority import Authority, trusting_nobody
from tests.e2e.conftest import Start
from tests.e2e.harness import (
    PATIENCE,
    Json,
    LineReader,
    Program,
    ServerProcess,
    Text,
    Wire,
    run_server,
    until,
)
from tests.e2e.screens import CLIENT, Screen
from tests.e2e.test_client_pipe import Running, run, went_well, why

ALERT = b"\x15\x03\x01\x00\x02\x02\x28"


class TlsReader(LineReader):
    """Lines from inside TLS. What was decrypted is never left where poll() does not see it."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        super().__init__(sock.fileno())
        self._socket = sock

    def _read(self) -> None:
        data = self._socket.recv(1 << 20)
        while data and self._socket.pending():
            data += self._socket.recv(1 << 20)
        if not data:
            self._ended = True
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines.extend(line + b"\n" for line in lines)


class Inside(Wire):
    """A raw connection with TLS."""

    def __init__(self, host: str, port: int, receive_buffer: int | None = None) -> None:
        super().__init__(host, port, receive_buffer)
        self.tls = trusting_nobody().wrap_socket(
            self.socket, server_hostname=host, suppress_ragged_eofs=False
        )
        self.socket = self.tls
        self._reader = TlsReader(self.tls)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.tls.getpeercert(binary_form=True) or b"")

    def half_close(self) -> None:
        """The end of TCP, without that of TLS."""
        socket.socket.shutdown(self.tls, socket.SHUT_WR)


class TlsText(Inside, Text):
    """Text inside TLS."""


class TlsJson(Inside, Json):
    """JSON inside TLS."""


def text(server: ServerProcess, name: str, *rooms: str) -> TlsText:
    client = server._connect(TlsText, None, None)
    client.login(name)
    for room in rooms:
        client.join(room)
    return client


def new_json(server: ServerProcess) -> TlsJson:
    return server._connect(TlsJson, None, None)


def bare_json(server: ServerProcess, name: str, *rooms: str) -> TlsJson:
    client = new_json(server)
    client.login(name)
    for room in rooms:
        client.join(room)
    return client


# Raw sockets


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_any_tongue_is_spoken_inside(server: ServerProcess, version: ssl.TLSVersion) -> None:
    alice, bob = text(server, "alice", "dev"), bare_json(server, "bob", "dev")
    carol, dave = server.text("carol", "dev"), server.json("dave", "dev")
    alice.seek("* dave joined #dev")
    bob.seek('{"type":"joined","user":"dave"}')
    carol.seek("* dave joined #dev")
    alice.send("#dev from inside")
    for one in (bob, dave):
        one.event(type="message", text="from inside", **{"from": "alice"})
    carol.expect("[#dev] alice: from inside")
    bob.do("post", to="#dev", text="and back")
    alice.expect("[#dev] bob: and back")
    carol.expect("[#dev] bob: and back")
    dave.event(type="message", text="and back")
    carol.send("@bob not encrypted on my side")
    bob.event(type="message", to="@bob", text="not encrypted on my side")


def test_a_session_goes_on_from_a_connection_to_the_next(server: ServerProcess) -> None:
    bob, alice = bare_json(server, "bob", "dev"), text(server, "alice", "dev")
    seq = bob.event(type="joined", user="alice")["seq"]
    bob.reset()
    alice.send("#dev while you were away")
    alice.quiet()
    again = new_json(server)
    again.say("hello", user="bob", version=1, token=bob.token, log=bob.log, after=seq)
    again.event(type="welcome")
    again.event(type="message", text="while you were away")
    plain = server.new_json()  # nothing ties a session to its encryption
    plain.say("hello", user="bob", version=1, token=bob.token, log=bob.log, after=seq)
    plain.event(type="welcome")
    plain.event(type="message", text="while you were away")
    again.event(type="error", code="taken-over")
    again.expect_end()


def test_a_message_of_any_size_comes_whole(server: ServerProcess) -> None:
    alice, bob = bare_json(server, "alice", "dev"), text(server, "bob", "dev")
    alice.event(type="joined")
    said = "x" * 60_000
    alice.do("post", to="#dev", text=said)
    assert bob.line() == f"[#dev] alice: {said}"


def test_what_came_before_the_end_is_done(server: ServerProcess) -> None:
    """A script that says all, and the end of TLS, at once: more than is done in one tick."""
    watcher = server.text("watcher", "dev")
    script = text(server, "script", "dev")
    watcher.expect("* script joined #dev")
    count = 1_500
    data = "".join(f"#dev {n}\n" for n in range(count)).encode()
    before, behind = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = trusting_nobody().wrap_bio(before, behind)
    raw = server.connect()
    while True:
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            raw.send_bytes(behind.read())
            before.write(raw.socket.recv(65_536))
        else:
            break
    session.write(b"bulk\n/join dev\n" + data)
    with pytest.raises(ssl.SSLWantReadError):
        session.unwrap()
    raw.send_bytes(behind.read())
    raw.half_close()
    watcher.expect("* bulk joined #dev")
    for n in range(count):
        watcher.expect(f"[#dev] bulk: {n}")
    watcher.expect("* bulk left #dev (quit)")
    script.close()


def test_an_end_that_is_not_said_is_a_lost_connection(server: ServerProcess) -> None:
    """Without close_notify anybody on the way may have cut it (RFC 8446, section 6.1)."""
    watcher = server.text("watcher", "dev")
    said, cut = text(server, "said", "dev"), text(server, "cut", "dev")
    watcher.seek("* cut joined #dev")
    said.expect("* cut joined #dev")
    said.tls.unwrap()
    watcher.expect("* said left #dev (quit)")
    cut.half_close()
    watcher.expect("* cut left #dev (lost connection)")


def test_no_tls_inside_tls(server: ServerProcess) -> None:
    outer = server._connect(Inside, None, None)
    outer.send_bytes(b"\x16\x03\x01\x00\x05hello")
    assert outer.tls.recv(100) == ALERT
    assert outer.tls.recv(100) == b""


def test_http_inside_is_answered_as_outside(server: ServerProcess) -> None:
    browser = server._connect(Inside, None, None)
    browser.send_bytes(b"GET / HTTP/1.1\r\n\r\n")
    assert browser.line().startswith("HTTP/1.1 501 ")


def test_a_handshake_that_takes_too_long_is_ended(serve: Start) -> None:
    server = serve("--login-timeout", "0.3")
    silent = server.connect()
    silent.send_bytes(b"\x16\x03\x01\x02\x00\x01")  # the start of a ClientHello
    silent.expect_end()
    inside = server._connect(Inside, None, None)  # shakes hands, and then says nothing
    assert inside.tls.recv(100) == b""
    until(lambda: server.descriptors() < 20, "all are closed")


def test_handshakes_that_fail_harm_nobody(server: ServerProcess) -> None:
    alice = text(server, "alice")
    for junk in (b"\x16", b"\x16" + b"\xff" * 70_000, b"\x16\x03\x01\x00\x05hello"):
        one = server.connect()
        try:
            one.send_bytes(junk)
            one.half_close()
            assert one.rest()[:1] in (b"", b"\x15")
        except (BrokenPipeError, ConnectionResetError):
            continue  # it had heard enough
    for _ in range(20):
        server.connect().reset()
    alice.quiet()


def test_a_reader_that_stops_is_fed_from_the_log(serve: Start) -> None:
    """What waits for it would be many times the hard limit."""
    server = serve("--soft-limit", "20000", "--hard-limit", "300000")
    writer, healthy = server.text("writer", "flood"), server.text("healthy", "flood")
    writer.expect("* healthy joined #flood")
    stuck = server._connect(TlsJson, None, 4_096)
    stuck.login("stuck")
    stuck.join("flood")
    filler = "x" * 2_000
    count = 4_000
    for first in range(0, count, 100):
        writer.send(*(f"#flood {n} {filler}" for n in range(first, first + 100)))
        while healthy.line() != f"[#flood] writer: {first + 99} {filler}":
            pass
    seq = 0
    for n in range(count):
        event = json.loads(stuck.line())
        assert event["text"] == f"{n} {filler}"
        assert event["seq"] > seq
        seq = event["seq"]
    writer.send("#flood the end")
    stuck.event(type="message", text="the end")
    stuck.quiet()


# openssl


@pytest.fixture
def openssl() -> str:
    found = shutil.which("openssl")
    if found is None:
        pytest.skip("openssl is not installed")
    return found


S_client = Callable[..., Program]


@pytest.fixture
def s_client(openssl: str, server: ServerProcess) -> S_client:
    def connect(*flags: str) -> Program:
        where = f"127.0.0.1:{server.port}"
        return server.program(openssl, "s_client", "-connect", where, *flags)

    return connect


@pytest.mark.parametrize(
    "flags", [("-quiet",), (), ("-quiet", "-tls1_2"), ("-quiet", "-crlf", "-servername", "a.b")]
)
def test_openssl_is_a_client(
    server: ServerProcess, s_client: S_client, flags: tuple[str, ...]
) -> None:
    bob = server.text("bob", "dev")
    alice = s_client(*flags)
    alice.send("alice", "/join dev")
    alice.seek("* welcome alice: …")
    alice.expect("* you joined #dev")
    bob.expect("* alice joined #dev")
    bob.send("#dev hi")
    alice.expect("[#dev] bob: hi")
    alice.send("#dev hi to you")
    bob.expect("[#dev] alice: hi to you")
    alice.send("quit")
    alice.expect("* bye")
    assert alice.wait() == 0
    bob.expect("* alice left #dev (quit)")


def test_new_keys_in_the_middle_are_taken(server: ServerProcess, s_client: S_client) -> None:
    """A line that begins with K is a command of openssl's: both sides change their keys."""
    alice = s_client("-tls1_3")
    alice.send("alice", "/join dev")
    alice.seek("* you joined #dev")
    bob = server.text("bob", "dev")
    alice.expect("* bob joined #dev")
    for _ in range(3):
        alice.send("K")
        alice.seek("KEYUPDATE")
        alice.send("#dev with new keys")
        bob.expect("[#dev] alice: with new keys")
        bob.send("#dev I see")
        alice.seek("[#dev] bob: I see")


def test_nobody_shakes_hands_again(server: ServerProcess, s_client: S_client) -> None:
    """A handshake costs the server much, and a peer that asks for one nothing."""
    bob = server.text("bob")
    alice = s_client("-tls1_2")
    alice.send("alice")
    alice.seek("* welcome alice: …")
    alice.send("R")
    alice.seek("…no renegotiation…")
    bob.quiet()


# The operator


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_the_server_says_its_fingerprint_and_keeps_its_key(start: Start, tmp_path: Path) -> None:
    server = start("--host", "127.0.0.1")
    server.ready()
    seen = text(server, "alice").fingerprint
    until(
        lambda: server.said(f"fingerprint of its certificate: {seen}".replace("+", r"\+")), "said"
    )
    for name in ("tls.key", "tls.crt"):
        assert (tmp_path / "data-1" / name).stat().st_mode & 0o777 == 0o600


def test_new_certificates_are_read_on_sighup_and_nobody_is_dropped(
    serve: Start, authority: Authority
) -> None:
    pair = authority.vouch("127.0.0.1")
    server = serve(*pair.flags)
    alice, bob = text(server, "alice", "dev"), server.text("bob", "dev")
    alice.expect("* bob joined #dev")
    assert alice.fingerprint == pair.fingerprint
    authority.vouch("127.0.0.1")  # in the same files
    server.signal(signal.SIGHUP)
    until(lambda: server.said("the certificate was read again: SHA256:"), "read again")
    carol = text(server, "carol", "dev")
    assert carol.fingerprint == pair.fingerprint != alice.fingerprint
    for one in (alice, bob):
        one.expect("* carol joined #dev")
    alice.send("#dev still here")
    bob.expect("[#dev] alice: still here")
    carol.expect("[#dev] alice: still here")


def test_a_certificate_that_cannot_be_read_again_changes_nothing(
    serve: Start, authority: Authority
) -> None:
    pair = authority.vouch("127.0.0.1")
    server = serve(*pair.flags)
    pair.key.write_text("junk")
    server.expected_errors.append("the certificate stays as it was: the certificate ")
    server.signal(signal.SIGHUP)
    until(lambda: server.said("stays as it was"), "told")
    assert text(server, "alice").fingerprint == pair.fingerprint


def test_sighup_does_no_harm_where_there_is_nothing_to_read(serve: Start) -> None:
    for flags in (("--tls", "off"), ("--store", "memory")):
        server = serve(*flags)
        bob = server.text("bob")
        server.signal(signal.SIGHUP)
        bob.quiet()


def test_a_server_that_cannot_use_its_certificate_does_not_start(
    tmp_path: Path, authority: Authority
) -> None:
    pair = authority.vouch("127.0.0.1")
    pair.key.unlink()
    done = run_server("--data", str(tmp_path / "data"), "--port", "0", *pair.flags)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"{pair.key}: No such file or directory" in done.stderr
    done = run_server("--cert", str(pair.cert))
    assert done.returncode == 2
    assert "cert and key belong together" in done.stderr


def test_required_lets_only_this_machine_do_without(serve: Start, start: Start) -> None:
    server = start("--tls", "required")
    server.ready()
    text(server, "alice", "dev")
    server.text("bob", "dev", host="127.0.0.1")
    server.text("carol", "dev", host="127.1.2.3")
    if socket.has_ipv6 and has_ipv6():
        server.text("dave", "dev", host="::1")
        server.text("erin", "dev", host="::ffff:127.0.0.1")  # IPv4, in another way of writing


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_off_is_off(serve: Start) -> None:
    server = serve("--tls", "off")
    wire = server.connect()
    wire.send_bytes(b"\x16\x03\x01\x02\x00")
    assert wire.rest() == ALERT
    assert "fingerprint" not in server.stderr()
    said = why(run(f"127.0.0.1:{server.port}", "--user", "cron"))
    assert "TLS failed" in said
    assert "--no-tls" in said
    went_well(run(f"127.0.0.1:{server.port}", "--user", "cron", "--no-tls", stdin=b"/join dev\n"))


# The client, off a terminal


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Where a client keeps what it has seen."""
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "SSL_CERT_FILE": os.devnull}


def seen_by(server: ServerProcess) -> str:
    return server._connect(Inside, None, None).fingerprint


def talk(where: str, home: dict[str, str], *flags: str) -> str:
    """Log in and leave: empty if it went well, else why not."""
    done = run(where, "--user", "cron", *flags, stdin=b"/join dev\n", **home)
    if done.returncode == 0:
        went_well(done)
        return ""
    assert done.stdout == ""
    return why(done)


def test_on_this_machine_a_changed_certificate_is_refused_until_it_is_accepted(
    serve: Start, home: dict[str, str]
) -> None:
    first = serve()
    where = f"127.0.0.1:{first.port}"
    assert talk(where, home) == talk(where, home) == ""
    first.signal()
    first.expect_exit()
    second = serve("--port", str(first.port))  # another data folder, and so another certificate
    said = talk(where, home)
    assert talk(where, home) == said
    assert "not the one that was seen before" in said
    assert "listening in" in said
    command = said.rpartition("type  ")[2].split()
    assert command == ["selchat-client", where, "--fingerprint", seen_by(second)]
    assert talk(where, home, *command[2:]) == talk(where, home) == ""


def test_elsewhere_an_unknown_server_is_not_talked_to(start: Start, home: dict[str, str]) -> None:
    """0.0.0.0 leads to this machine, and is none of its loopback addresses."""
    server = start()
    server.ready()
    wheres = [f"0.0.0.0:{server.port}"]
    if has_ipv6():
        wheres.append(f"[::]:{server.port}")
    for where in wheres:
        said = talk(where, home)
        assert f"the server {where} is not known yet" in said
        command = said.rpartition("type  ")[2].split()
        assert command == ["selchat-client", where, "--fingerprint", seen_by(server)]
        assert talk(where, home, *command[2:]) == talk(where, home) == ""
        assert "not the one" in talk(where, home, "--fingerprint", "SHA256:" + "A" * 43)


def test_who_is_vouched_for_needs_no_pin(
    start: Start, authority: Authority, home: dict[str, str]
) -> None:
    server = start(*authority.vouch("0.0.0.0").flags)
    server.ready()
    where = f"0.0.0.0:{server.port}"
    home["SSL_CERT_FILE"] = str(authority.root)
    assert talk(where, home) == ""
    authority.vouch("0.0.0.0")  # a new one, as after some months
    server.signal(signal.SIGHUP)
    until(lambda: server.said("was read again"), "read again")
    assert talk(where, home) == ""
    home["SSL_CERT_FILE"] = os.devnull
    assert "is not known yet" in talk(where, home)


def test_nothing_is_ever_said_in_the_open(home: dict[str, str]) -> None:
    """Whoever answers in plaintext hears no name and no word."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        listener.settimeout(PATIENCE)
        port = listener.getsockname()[1]
        client = Running(port, Path(home["XDG_STATE_HOME"] + ".log"), "--patience", "0")
        stack.callback(client.close)
        heard = b""
        client.send("#dev secret")
        for _ in range(2):  # it looks at the certificate first, where it knows none
            peer = stack.enter_context(listener.accept()[0])
            peer.settimeout(PATIENCE)
            heard += peer.recv(65_536)
            peer.sendall(b'{"type":"welcome","user":"cron","token":"t","seq":1,"log":"l"}\n')
            with suppress(ConnectionResetError):  # it ends by itself, and may not read the rest
                while data := peer.recv(65_536):
                    heard += data
        assert "TLS failed: wrong version number" in client.why()
    assert b"cron" not in heard
    assert b"secret" not in heard


def test_a_client_that_comes_back_looks_again(serve: Start, tmp_path: Path) -> None:
    first = serve()
    client = Running(first.port, tmp_path / "client.log", "--json")
    with ExitStack() as stack:
        stack.callback(client.close)
        client.expect('{"type":"welcome"}')
        first.signal(signal.SIGKILL)
        first.expect_exit(-signal.SIGKILL)
        serve("--port", str(first.port))  # another one, at the same place
        assert client.process.wait(PATIENCE) == 1
    said = (tmp_path / "client.log").read_text()
    assert "the connection was lost" in said
    assert "not the one that was seen before" in said


# The client, on a terminal


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Callable[..., Screen]]:
    with ExitStack() as stack:

        def screen(*arguments: str) -> Screen:
            one = Screen(tmp_path, *CLIENT, *arguments, size=(200, 24), SSL_CERT_FILE=os.devnull)
            stack.callback(one.close)
            return one

        yield screen


def test_elsewhere_a_person_is_asked_once(start: Start, screen: Callable[..., Screen]) -> None:
    server = start()
    server.ready()
    arguments = (f"0.0.0.0:{server.port}", "--user", "alice")
    for answer in ("no", "y", "", "yes please"):
        one = screen(*arguments)
        one.sees(f"0.0.0.0:{server.port} is not known yet. Its fingerprint is {seen_by(server)}")
        one.prompts("Is that the one that its operator tells you? (yes or no) ")
        one.enters(answer)
        one.ends(1)
        assert f"type  selchat-client {arguments[0]} --fingerprint SHA256:" in one.all
        assert "welcome" not in one.all
    for question in (True, False):
        one = screen(*arguments)
        if question:
            one.prompts("Is that the one that its operator tells you? (yes or no) ")
            one.enters("yes")
        one.sees("* welcome alice")
        one.enters("quit")
        assert ("not known yet" in one.ends(0)) is question


def test_ctrl_c_while_a_server_says_nothing(screen: Callable[..., Screen]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        one = screen(f"127.0.0.1:{listener.getsockname()[1]}", "--user", "alice")
        with listener.accept()[0] as peer:
            assert peer.recv(1) == b"\x16"
            one.types("\x03")
            one.ends(1)
            assert "Warning" not in one.all


def test_ctrl_c_at_the_question(start: Start, screen: Callable[..., Screen]) -> None:
    server = start()
    server.ready()
    one = screen(f"0.0.0.0:{server.port}", "--user", "alice")
    one.prompts("Is that the one that its operator tells you? (yes or no) ")
    one.types("\x03")
    one.ends(1)
    assert "Warning" not in one.all
