"""Accounts on the real server: over TLS and in plaintext, for clients, scripts and operators."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from selchat import scram
from tests.e2e.conftest import Start
from tests.e2e.harness import Json, ServerProcess, run_server, until
from tests.e2e.test_tls import TlsJson

PASSWORD = "correct-horse"
SECRET = "battery-staple"

ASKED = "* alice is registered: type its password as the next line"


def verifier(password: str) -> dict[str, Any]:
    made = scram.make(password, scram.ITERATIONS_LEAST)
    plain: dict[str, Any] = json.loads(msgspec.json.encode(made))
    return plain


def binding(client: TlsJson) -> bytes:
    found = scram.binding(client.tls.getpeercert(binary_form=True) or b"")
    assert found is not None
    return found


def prove(client: Json, user: str, password: str, bound: bytes | None = None) -> dict[str, Any]:
    """Log in with a password; the welcome or the error."""
    exchange = scram.Client(user, password, bound)
    first = exchange.first()
    assert first.startswith("p=tls-server-end-point,," if bound else "n,,")
    client.say("hello", user=user, version=1, auth=first)
    client.say("auth", data=exchange.final(client.event(type="challenge")["data"]))
    answer = client.event()
    if answer["type"] == "welcome":
        assert exchange.verify(answer["proof"])
    return answer


def tls(server: ServerProcess) -> TlsJson:
    return server._connect(TlsJson, None, None)


def admin(folder: Path, *words: str) -> list[str]:
    result = run_server("admin", *words, "--data", str(folder))
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def modes(folder: Path) -> dict[str, int]:
    return {one.name: stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()}


def test_an_account_from_openssl_from_nc_and_from_a_client(
    server: ServerProcess, tmp_path: Path
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl here")
    where = f"127.0.0.1:{server.port}"
    alice = server.program(openssl, "s_client", "-quiet", "-connect", where)
    alice.send("alice", f"/register {PASSWORD}", "/join dev")
    alice.seek("* welcome alice: …")
    alice.expect(
        "* your name is registered: from now on it takes your password", "* you joined #dev"
    )
    again = server.program(openssl, "s_client", "-quiet", "-connect", where)
    again.send("alice", "wrong-horse", PASSWORD, "/who dev")
    again.seek(ASKED)
    again.expect("! that is not the password of alice: …", "* welcome alice: …")
    again.expect("* you are in #dev", "* in #dev: alice (owner)")
    again.send("#dev from the second")
    alice.expect("[#dev] alice: from the second")
    again.send("quit")
    again.seek("* bye")
    assert again.wait() == 0
    # In plaintext on the server's own machine, and as a client over TLS.
    nc = server.connect()
    nc.send("alice", PASSWORD)
    nc.expect(ASKED, "* welcome alice: …", "* you are in #dev")
    client = tls(server)
    welcome = prove(client, "alice", PASSWORD, binding(client))
    assert (welcome["user"], welcome["rooms"]) == ("alice", ["dev"])
    client.do("post", to="#dev", text="from the client")
    nc.expect("[#dev] alice: from the client")
    alice.expect("[#dev] alice: from the client")
    for secret in (PASSWORD, "wrong-horse"):
        assert secret not in server.stderr()
        assert secret.encode() not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    folder = tmp_path / "data-1"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(modes(folder).values()) == {0o600}
    for path in folder.iterdir():
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path.name


def test_a_man_in_the_middle_cannot_pass_a_log_in_on(server: ServerProcess) -> None:
    alice = tls(server)
    alice.login("alice")
    alice.do("register", verifier=verifier(PASSWORD))
    client = tls(server)
    # The client saw the certificate of somebody else.
    assert prove(client, "alice", PASSWORD, b"x" * 32)["code"] == "wrong-credential"
    # It could bind, and was made to believe that the server cannot (RFC 5802, section 6).
    exchange = scram.Client("alice", PASSWORD, None)
    first = exchange.first().replace("n,,", "y,,", 1)
    client.say("hello", user="alice", version=1, auth=first)
    assert client.event(type="error")["code"] == "wrong-credential"
    plain = server.new_json()
    plain.say("hello", user="alice", version=1, auth="p=tls-server-end-point,,n=alice,r=abcdef")
    assert plain.event(type="error")["code"] == "bad-credential"
    client = tls(server)
    assert prove(client, "alice", PASSWORD)["type"] == "welcome"


def test_a_device_and_the_password_survive_kill_9(start: Start, tmp_path: Path) -> None:
    server = start("--host", "127.0.0.1")
    server.ready()
    alice = server.json("alice", "dev")
    alice.do("register", verifier=verifier(PASSWORD))
    alice.say("remember", id="r")
    token = alice.event(type="remembered", id="r")["device"]
    server.signal(signal.SIGKILL)
    server.expect_exit(-signal.SIGKILL)
    data = str(tmp_path / "data-1")
    server = start("--host", "127.0.0.1", "--data", data)
    server.ready()
    client = server.new_json()
    client.say("hello", user="alice", version=1, device=token)
    assert client.event(type="welcome", account=True)["rooms"] == ["dev"]
    client.do("leave", room="dev")
    other = server.new_json()
    assert prove(other, "alice", PASSWORD)["rooms"] == []
    for path in (tmp_path / "data-1").iterdir():
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path.name


def test_the_operator_makes_admins_with_a_server_and_without(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "data-1"
    server = start("--host", "127.0.0.1", "--registration", "invite")
    server.ready()
    result = run_server("invite", "--uses", "2", "--data", str(folder))
    assert (result.returncode, result.stderr) == (0, "")
    (word,) = result.stdout.splitlines()
    alice = server.json("alice")
    alice.say("register", id="r", verifier=verifier(PASSWORD))
    assert alice.event(type="error", id="r")["code"] == "invitation-required"
    alice.do("register", verifier=verifier(PASSWORD), invitation=word)
    assert admin(folder) == ["there are no admins"]
    assert admin(folder, "add", "alice") == ["alice"]
    alice.say("announce", id="a", text="hello")
    alice.event(type="notice", code="announcement", text="alice to all: hello")
    alice.event(type="ok", id="a")
    for words in (("add", "nobody"), ("add",)):
        result = run_server("admin", *words, "--data", str(folder))
        assert (result.returncode, result.stdout) == (1 if len(words) > 1 else 2, "")
        assert len(result.stderr.splitlines()) == 1
    server.signal()
    server.expect_exit()
    # Nobody runs: the log itself is changed.
    assert admin(folder, "list") == ["alice"]
    assert admin(folder, "remove", "alice") == ["there are no admins"]
    result = run_server("invite", "--data", str(folder))
    (second,) = result.stdout.splitlines()
    data = ("--data", str(folder))
    server = start("--host", "127.0.0.1", "--registration", "invite", *data)
    server.ready()
    bob = server.json("bob")
    bob.do("register", verifier=verifier(SECRET), invitation=second)
    alice = server.new_json()
    assert prove(alice, "alice", PASSWORD)["type"] == "welcome"
    alice.say("announce", id="a", text="hello")
    assert alice.event(type="error", id="a")["code"] == "not-allowed"
    lines = [json.loads(line) for line in (folder / "audit.log").read_text("utf-8").splitlines()]
    assert [f"{line['who']} {line['what']} {line.get('whom', '')}".strip() for line in lines] == [
        "(operator) invite",
        "alice register",
        "(operator) admin add alice",
        "alice announce",
        "(operator) admin remove alice",
        "(operator) invite",
        "bob register",
    ]
    assert set(modes(folder).values()) == {0o600}
    for secret in (word, second, PASSWORD, SECRET):
        for path in folder.iterdir():
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), path.name


def test_the_audit_log_begins_anew_when_it_was_moved_away(start: Start, tmp_path: Path) -> None:
    server = start("--host", "127.0.0.1")
    server.ready()
    alice = server.json("alice", "dev")
    bob = server.text("bob", "dev")
    alice.event(type="joined")
    alice.do("kick", room="dev", user="bob")
    bob.expect("* bob left #dev (kicked by alice)")
    path = tmp_path / "data-1" / "audit.log"
    path.rename(tmp_path / "old")
    server.signal(signal.SIGHUP)
    until(lambda: server.said("certificate was read again"), "SIGHUP is done")
    alice.do("ban", room="dev", user="bob")
    assert "kick" in (tmp_path / "old").read_text("utf-8")
    assert '"what":"ban"' in path.read_text("utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "data-1"
    log = tmp_path / "server.log"
    before = os.umask(0)
    try:
        server = ServerProcess(log, "--data", str(folder), "--host", "127.0.0.1")
    finally:
        os.umask(before)
    try:
        server.ready()
        alice = server.json("alice", "dev")
        alice.do("register", verifier=verifier(PASSWORD))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert set(modes(folder).values()) == {0o600}
        assert "audit.log" in modes(folder)
    finally:
        server.finish()


def test_plaintext_from_another_machine_is_no_place_for_passwords(
    start: Start, tmp_path: Path
) -> None:
    """Whoever is not on this machine: another address of it stands for that."""
    import ifaddr

    others = [
        ip.ip
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
        if isinstance(ip.ip, str) and not ip.ip.startswith("127.")
    ]
    if not others:
        pytest.skip("this machine has no address besides the loopback")
    server = start("--host", str(others[0]))
    server.ready()
    bob = server.text("bob")
    bob.send(f"/register {PASSWORD}")
    bob.expect("! passwords are taken over TLS only: connect with it")
    alice = tls(server)
    alice.login("alice")
    alice.do("register", verifier=verifier(PASSWORD))
    eve = server.connect()
    eve.send("alice")
    eve.expect("! alice is registered, and its password is taken over TLS only: …")
    eve.send("eve")
    eve.expect("* welcome eve: …")
