"""The server's certificate is made once, kept safe, and read again when it is told to."""

from __future__ import annotations

import os
import ssl
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from selchat.certificate import CERTIFICATE, KEY, Tls
from selchat.errors import StartError
from selchat.tls import fingerprint
from tests.authority import Authority, Pair, trusting_nobody

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8


def shown(context: ssl.SSLContext, chain: Path | None = None) -> str:
    """The fingerprint of what a client is shown; `chain` says whom it trusts."""
    client = trusting_nobody()
    if chain is not None:
        client.verify_mode = ssl.CERT_REQUIRED
        client.load_verify_locations(chain)
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(here, there), context.wrap_bio(there, here, server_side=True)
    for _ in range(3):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return fingerprint(ends[0].getpeercert(binary_form=True) or b"")


def refused(cert: str | Path, key: str | Path) -> str:
    with pytest.raises(StartError) as caught:
        Tls(None, str(cert), str(key))
    said = str(caught.value)
    assert "\n" not in said
    assert "_ssl.c" not in said
    return said


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Authority(tmp_path).vouch("chat.example.org")


# Of its own


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    first = Tls(tmp_path, None, None)
    files = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert {file.name for file in files} == {KEY, CERTIFICATE}
    second = Tls(tmp_path, None, None)
    assert first.fingerprint == second.fingerprint == shown(second.context)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == files


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Tls(tmp_path, None, None)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_it_lasts(tmp_path: Path) -> None:
    Tls(tmp_path, None, None)
    made = x509.load_pem_x509_certificate((tmp_path / CERTIFICATE).read_bytes())
    assert made.not_valid_before_utc < datetime.now(UTC)
    assert made.not_valid_after_utc > datetime.now(UTC) + timedelta(days=365 * 20)


def test_each_server_has_another(tmp_path: Path) -> None:
    found = {Tls(None, None, None).fingerprint for _ in range(3)}
    assert len(found) == 3


@pytest.mark.parametrize("missing", [KEY, CERTIFICATE])
def test_half_a_pair_is_made_anew(tmp_path: Path, missing: str) -> None:
    before = Tls(tmp_path, None, None).fingerprint
    (tmp_path / missing).unlink()
    after = Tls(tmp_path, None, None)
    assert after.fingerprint == shown(after.context) != before
    assert Tls(tmp_path, None, None).fingerprint == after.fingerprint


@pytest.mark.parametrize("steps", [0, 1])
def test_a_crash_while_it_is_made_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Also where an older pair lost its key."""
    Tls(tmp_path, None, None)
    (tmp_path / KEY).unlink()
    left = steps

    def replace(draft: Path, path: Path) -> Path:
        nonlocal left
        if not left:
            raise SystemExit
        left -= 1
        return draft.rename(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(SystemExit):
            Tls(tmp_path, None, None)
    tls = Tls(tmp_path, None, None)
    assert shown(tls.context) == tls.fingerprint
    assert {file.name for file in tmp_path.iterdir()} == {KEY, CERTIFICATE}


def test_where_it_cannot_be_kept_it_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"no certificate could be made in .*: No such file"):
        Tls(tmp_path / "nowhere", None, None)


def test_without_a_folder_it_is_for_this_run_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tls = Tls(None, None, None)
    before = tls.fingerprint
    tls.load()  # there is nothing to be read again
    assert tls.fingerprint == shown(tls.context) == before
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_and_no_place_for_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(StartError, match="no certificate could be made: No such file"):
        Tls(None, None, None)


# The operator's


def test_a_chain_leads_to_its_authority(tmp_path: Path, pair: Pair) -> None:
    seen = pair.fingerprint
    said = "# an operator's note, in any script: Schlüssel\n"
    pair.cert.write_text(said + pair.cert.read_text(), encoding="utf-8")
    tls = Tls(tmp_path / "unused", str(pair.cert), str(pair.key))
    assert shown(tls.context, tmp_path / "authority.crt") == tls.fingerprint == seen


def test_one_file_can_hold_both(tmp_path: Path, pair: Pair) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(pair.key.read_bytes() + pair.cert.read_bytes())
    assert Tls(None, str(both), str(both)).fingerprint == pair.fingerprint


def test_files_that_are_missing_are_named(tmp_path: Path, pair: Pair) -> None:
    nowhere = tmp_path / "nowhere"
    assert f"{nowhere}: No such file" in refused(nowhere, pair.key)
    assert f"{nowhere}: No such file" in refused(pair.cert, nowhere)
    assert "Is a directory" in refused(tmp_path, pair.key)
    assert "null byte" in refused("a\0b", pair.key)


def test_what_cannot_be_used_is_told_with_its_reason(tmp_path: Path, pair: Pair) -> None:
    other = Authority(tmp_path).vouch("chat.example.org", file="other")
    assert "the key is that of another certificate" in refused(pair.cert, other.key)
    private = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    closed = serialization.BestAvailableEncryption(b"a password")
    other.key.write_bytes(private.private_bytes(PEM, PKCS8, closed))
    assert "the key has a password" in refused(pair.cert, other.key)
    for junk in (b"", b"junk", pair.cert.read_bytes()[:200], b"\xff" * 50):
        other.cert.write_bytes(junk)
        assert str(other.cert) in refused(other.cert, pair.key)
        assert "PEM" in refused(pair.cert, other.cert)
    other.cert.write_bytes(pair.der)
    assert "there is no certificate in PEM form in" in refused(other.cert, pair.key)


# Read again


def test_new_connections_see_what_is_read_again_and_old_ones_go_on(
    tmp_path: Path, pair: Pair
) -> None:
    tls = Tls(None, str(pair.cert), str(pair.key))
    before = tls.context
    Authority(tmp_path).vouch("chat.example.org")  # in the same files
    assert tls.fingerprint != pair.fingerprint
    assert shown(tls.context) == tls.fingerprint
    tls.load()
    assert tls.fingerprint == pair.fingerprint == shown(tls.context) != shown(before)


def test_what_cannot_be_read_again_changes_nothing(pair: Pair) -> None:
    tls = Tls(None, str(pair.cert), str(pair.key))
    before = tls.context, tls.fingerprint
    pair.key.write_text("junk")
    with pytest.raises(StartError):
        tls.load()
    assert (tls.context, tls.fingerprint) == before
