"""A device token is kept for its owner alone, and is whole or not there."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from selchat.client.devices import Devices

ROOT = Path(__file__).resolve().parents[2]
HERE = ("chat.example.org", 9000, "alice")
TOKEN, OTHER = "t" * 43, "o" * 43


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "devices"


@pytest.fixture
def devices(folder: Path) -> Devices:
    return Devices(folder)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_kept_until_it_is_forgotten(devices: Devices, folder: Path) -> None:
    assert devices.load(*HERE) is None
    devices.save(*HERE, TOKEN)
    assert Devices(folder).load(*HERE) == TOKEN
    devices.save(*HERE, OTHER)
    assert devices.load(*HERE) == OTHER
    devices.forget(*HERE)
    assert devices.load(*HERE) is None
    assert [*folder.iterdir()] == []
    devices.forget(*HERE)


@pytest.mark.parametrize(
    "there",
    [
        ("chat.example.com", 9000, "alice"),
        ("chat.example.org", 9001, "alice"),
        ("chat.example.org", 9000, "bob"),
    ],
)
def test_a_token_goes_to_no_other_server_and_is_of_no_other_user(
    devices: Devices, there: tuple[str, int, str]
) -> None:
    devices.save(*HERE, TOKEN)
    assert devices.load(*there) is None
    devices.save(*there, OTHER)
    assert devices.load(*HERE) == TOKEN
    devices.forget(*there)
    assert devices.load(*HERE) == TOKEN


def test_a_name_finds_its_token_however_it_is_written(devices: Devices) -> None:
    devices.save("chat.example.org", 9000, "Straße", TOKEN)
    assert devices.load("chat.example.org", 9000, "STRASSE") == TOKEN


@pytest.mark.parametrize("user", ["../../alice", "/etc/passwd", "a\x00b", "ж" * 300, ""])
def test_no_name_leads_out_of_the_folder(devices: Devices, folder: Path, user: str) -> None:
    devices.save("chat", 9000, user, TOKEN)
    assert devices.load("chat", 9000, user) == TOKEN
    (file,) = folder.iterdir()
    assert file.parent == folder


def test_nobody_else_reads_it(devices: Devices, folder: Path) -> None:
    mask = os.umask(0)
    try:
        devices.save(*HERE, TOKEN)
    finally:
        os.umask(mask)
    (file,) = folder.iterdir()
    assert (mode(folder), mode(file)) == (0o700, 0o600)
    file.chmod(0o644)
    devices.save(*HERE, OTHER)
    assert mode(file) == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        *(b"", b"\x00" * 40, b"\xff", b"[]", b"null", b'{"token":1}', b'{"token":""}', b"{}"),
        b"[" * 200_000,
    ],
)
def test_a_damaged_file_is_none_and_is_replaced(
    devices: Devices, folder: Path, damage: bytes
) -> None:
    devices.save(*HERE, TOKEN)
    (file,) = folder.iterdir()
    file.write_bytes(damage)
    assert devices.load(*HERE) is None
    devices.save(*HERE, OTHER)
    assert devices.load(*HERE) == OTHER


def test_what_a_later_version_adds_is_no_damage(devices: Devices, folder: Path) -> None:
    devices.save(*HERE, TOKEN)
    (file,) = folder.iterdir()
    data = msgspec.json.decode(file.read_bytes())
    file.write_bytes(msgspec.json.encode({**data, "new": [1]}))
    assert devices.load(*HERE) == TOKEN


def test_a_full_disk_leaves_the_token_that_was_there(devices: Devices, folder: Path) -> None:
    devices.save(*HERE, TOKEN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        devices.save(*HERE, OTHER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert devices.load(*HERE) == TOKEN
    assert len([*folder.iterdir()]) == 1


def test_a_folder_that_cannot_be_made_keeps_nothing_and_disturbs_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    devices = Devices(tmp_path / "file" / "devices")
    devices.save(*HERE, TOKEN)
    assert devices.load(*HERE) is None
    devices.forget(*HERE)


def test_what_cannot_be_forgotten_does_not_disturb(
    devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices.save(*HERE, TOKEN)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(Path, "unlink", fail)
    devices.forget(*HERE)


def test_they_are_kept_in_the_users_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    Devices().save(*HERE, TOKEN)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(found) == 1
    assert found[0].parent.name == "devices"


def test_two_clients_that_save_at_once_leave_one_whole_token(folder: Path) -> None:
    script = (
        "import sys, pathlib\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from selchat.client.devices import Devices\n"
        "devices = Devices(pathlib.Path(sys.argv[1]))\n"
        "for _ in range(300):\n"
        f"    devices.save(*{HERE!r}, sys.argv[2])\n"
        f"    assert devices.load(*{HERE!r}) in {(TOKEN, OTHER * 9)!r}\n"
    )
    clients = [
        subprocess.Popen([sys.executable, "-c", script, str(folder), token])
        for token in (TOKEN, OTHER * 9)
    ]
    assert [client.wait(60) for client in clients] == [0, 0]
    assert Devices(folder).load(*HERE) in (TOKEN, OTHER * 9)
    assert len([*folder.iterdir()]) == 1
