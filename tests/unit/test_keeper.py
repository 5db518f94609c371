"""What a client keeps on disk: nobody else reads it, nothing half-written is ever there."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from selchat.client.keeper import Keeper, Kept, sessions_folder
from selchat.model import commands

KEPT = Kept(
    user="alice",
    token="secret",
    log="log",
    after=42,
    rooms=["ops", "dev"],
    pending=[
        commands.Post(id="~a-1", to="#dev", text="Grüße\n👋"),
        commands.Me(id="~a-2", to="@bob", text="waves"),
    ],
)

Keep = Callable[..., Keeper]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sessions"


@pytest.fixture
def keep(folder: Path) -> Iterator[Keep]:
    """Keepers, closed with the test."""
    with ExitStack() as stack:

        def keep(host: str = "chat.example.org", port: int = 9000, user: str = "alice") -> Keeper:
            keeper = Keeper(folder, host, port, user)
            stack.callback(keeper.close)
            return keeper

        yield keep


def again(keep: Keep, keeper: Keeper) -> Keeper:
    """The next client in the same place."""
    keeper.close()
    return keep()


def content(folder: Path) -> dict[str, bytes]:
    """What stands on disk, but for the locks."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.match("*.lock")}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Saving and loading


def test_what_was_saved_is_loaded_by_the_next_client(keep: Keep) -> None:
    keeper = keep()
    assert keeper.load() is None
    keeper.save(KEPT)
    assert again(keep, keeper).load() == KEPT


def test_the_outbox_keeps_its_order_and_its_ids(keep: Keep) -> None:
    posts = [commands.Post(id=f"~a-{n}", to="#dev", text=f"{n}") for n in range(50, 0, -1)]
    keeper = keep()
    keeper.save(msgspec.structs.replace(KEPT, pending=posts))
    loaded = again(keep, keeper).load()
    assert loaded is not None
    assert loaded.pending == posts


def test_the_last_that_was_saved_counts(keep: Keep, folder: Path) -> None:
    keeper = keep()
    keeper.save(KEPT)
    later = msgspec.structs.replace(KEPT, after=43, pending=[])
    keeper.save(later)
    assert keeper.load() == later
    assert len(content(folder)) == 1, "no drafts are left behind"


def test_what_is_forgotten_is_gone(keep: Keep, folder: Path) -> None:
    keeper = keep()
    keeper.save(KEPT)
    keeper.forget()
    assert content(folder) == {}
    assert again(keep, keeper).load() is None


def test_nothing_can_be_forgotten_twice_or_at_all(keep: Keep) -> None:
    keeper = keep()
    keeper.forget()
    keeper.forget()
    keeper.close()
    keeper.close()
    keeper.forget()


def test_the_token_is_for_its_owner_alone(keep: Keep, folder: Path) -> None:
    before = os.umask(0)
    try:
        keep().save(KEPT)
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}


def test_sessions_are_kept_in_the_users_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere/state")
    assert sessions_folder() == Path("/somewhere/state/selchat/sessions")


# A place is one client's at a time


def test_a_second_client_in_the_same_place_holds_nothing(keep: Keep, folder: Path) -> None:
    first, second = keep(), keep()
    assert (first.holds, second.holds) == (True, False)
    first.save(KEPT)
    before = content(folder)
    assert second.load() is None
    second.save(msgspec.structs.replace(KEPT, token="another"))
    second.forget()
    second.close()
    assert content(folder) == before
    assert first.holds
    assert not keep().holds, "the end of the second frees nothing"


def test_the_place_is_free_when_its_client_is_gone(keep: Keep) -> None:
    first = keep()
    first.save(KEPT)
    first.close()
    assert not first.holds
    assert first.load() is None
    second = keep()
    assert second.holds
    assert second.load() == KEPT


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("chat.example.org", 9000, "alice"), ("chat.example.org", 9000, "bob")),
        (("chat.example.org", 9000, "alice"), ("chat.example.net", 9000, "alice")),
        (("chat.example.org", 9000, "alice"), ("chat.example.org", 9001, "alice")),
        (("127.0.0.1", 9000, "alice"), ("127.0.0.2", 9000, "alice")),
        (("chat", 9000, "anna.b"), ("chat", 9000, "anna.c")),
        (("chat", 9000, "alice"), ("chat", 9000, "alice.lock")),
        (("chat", 9000, "alice"), ("chat", 9000, "alice.new")),
        (("chat", 9000, "alice"), ("chat", 9000, "alice.json")),
        (("chat_9000", 1, "b"), ("chat", 9000, "1_b")),
        (("::1", 9000, "alice"), ("__1", 9000, "alice")),
        (("chat", 9000, "a/b"), ("chat", 9000, "a%2Fb")),
        (("chat", 9000, "狐" * 32), ("chat", 9000, "狐" * 31 + "犬")),
    ],
)
def test_different_places_have_nothing_in_common(
    keep: Keep, one: tuple[str, int, str], other: tuple[str, int, str]
) -> None:
    first, second = keep(*one), keep(*other)
    assert first.holds
    assert second.holds
    first.save(KEPT)
    assert second.load() is None
    second.save(msgspec.structs.replace(KEPT, token="another"))
    second.forget()
    assert first.load() == KEPT


@pytest.mark.parametrize(
    "name",
    ["../../outside", "/etc/passwd", "..", ".", "a b", "a\0b", "-rf", "ünï", "日本", "x" * 1_000],
)
def test_no_name_leads_out_of_the_folder(keep: Keep, folder: Path, name: str) -> None:
    for keeper in (keep(user=name), keep(host=name)):
        assert keeper.holds
        keeper.save(KEPT)
        assert keeper.load() == KEPT
    assert [path.name for path in folder.parent.iterdir()] == ["sessions"]
    assert all(path.is_file() for path in folder.iterdir())


def test_two_spellings_of_a_name_are_one_place(keep: Keep) -> None:
    assert keep(user="Alice").holds
    assert not keep(user="ａｌｉｃｅ").holds


# What goes wrong


def place(folder: Path) -> Path:
    """The one file that is kept."""
    (path,) = folder.glob("*.json")
    return path


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\0" * 4_096,
        b"\xff\xfe",
        b'{"user":"\xff"}',
        b"[]",
        b"{}",
        b"null",
        b'{"user":"alice","token":null,"log":"x","after":1,"rooms":[],"pending":[]}',
        b'{"user":"alice","token":"t","log":"x","after":"1","rooms":[],"pending":[]}',
        b'{"user":"alice","token":"t","log":"x","after":1,"rooms":[],"pending":[{}]}',
        b'{"user":"alice","token":"t","log":"x","after":1,"rooms":[],"pending":[{"type":"x"}]}',
        b"[" * 200_000,
    ],
)
def test_a_damaged_or_foreign_file_is_nothing_and_is_replaced(
    keep: Keep, folder: Path, damage: bytes
) -> None:
    keeper = keep()
    keeper.save(KEPT)
    place(folder).write_bytes(damage)
    assert keeper.load() is None
    keeper.save(KEPT)
    assert keeper.load() == KEPT


def test_every_truncated_file_is_nothing(keep: Keep, folder: Path) -> None:
    keeper = keep()
    keeper.save(KEPT)
    whole = place(folder).read_bytes()
    for length in range(len(whole)):
        place(folder).write_bytes(whole[:length])
        assert keeper.load() is None


def test_what_a_later_version_adds_is_no_damage(keep: Keep, folder: Path) -> None:
    keeper = keep()
    keeper.save(KEPT)
    data = msgspec.json.decode(place(folder).read_bytes())
    place(folder).write_bytes(msgspec.json.encode({**data, "new": [1]}))
    assert keeper.load() == KEPT


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "sessions", Path(os.devnull) / "x"):
        keeper = Keeper(folder, "chat", 9000, "alice")
        assert not keeper.holds
        keeper.save(KEPT)
        assert keeper.load() is None
        keeper.forget()
        keeper.close()


def descriptors() -> int:
    """The lowest free number: a descriptor that is not given back takes it."""
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    return lowest


def refuse(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, error: int) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(owner, name, fail)


@pytest.mark.parametrize(("owner", "name"), [(Path, "mkdir"), (os, "open")])
def test_a_folder_that_is_forbidden_keeps_nothing(
    keep: Keep, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    refuse(monkeypatch, owner, name, errno.EACCES)
    keeper = keep()
    assert not keeper.holds
    keeper.save(KEPT)
    assert keeper.load() is None


def test_a_folder_that_cannot_be_locked_keeps_nothing(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, fcntl, "flock", errno.ENOLCK)
    before = descriptors()
    keeper = keep()
    assert not keeper.holds
    keeper.save(KEPT)
    assert keeper.load() is None
    assert descriptors() == before, "the lock's descriptor is given back"


@pytest.mark.parametrize(("owner", "name"), [(os, "open"), (Path, "replace")])
def test_a_disk_that_takes_nothing_more_leaves_what_was_kept(
    keep: Keep, folder: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    keeper = keep()
    keeper.save(KEPT)
    with monkeypatch.context() as broken:
        refuse(broken, owner, name, errno.ENOSPC)
        keeper.save(msgspec.structs.replace(KEPT, after=43))
    assert keeper.load() == KEPT
    keeper.save(msgspec.structs.replace(KEPT, after=44))
    assert again(keep, keeper).load() == msgspec.structs.replace(KEPT, after=44)


def test_a_disk_that_is_full_in_the_middle_leaves_what_was_kept(keep: Keep, folder: Path) -> None:
    keeper = keep()
    keeper.save(KEPT)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        keeper.save(msgspec.structs.replace(KEPT, after=43))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [*content(folder)] == [place(folder).name], "the half is taken away"
    assert keeper.load() == KEPT


def test_what_cannot_be_forgotten_does_not_disturb(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = keep()
    keeper.save(KEPT)
    with monkeypatch.context() as broken:
        refuse(broken, Path, "unlink", errno.EROFS)
        keeper.forget()
    assert keeper.load() == KEPT


def test_a_reader_sees_the_old_or_the_new_and_nothing_else(
    keep: Keep, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is killed at any step of saving leaves one or the other."""
    keeper = keep()
    keeper.save(KEPT)
    later = msgspec.structs.replace(KEPT, after=43)
    seen = []
    replace = Path.replace

    def look(self: Path, target: Path) -> Path:
        seen.append(keeper.load())
        assert self.parent == target.parent, "or it would be no single step"
        assert mode(self) == 0o600
        assert msgspec.json.decode(self.read_bytes(), type=Kept) == later
        done = replace(self, target)
        seen.append(keeper.load())
        return done

    monkeypatch.setattr(Path, "replace", look)
    keeper.save(later)
    assert seen == [KEPT, later]


def test_a_draft_that_was_left_behind_does_not_count(keep: Keep, folder: Path) -> None:
    keeper = keep()
    keeper.save(KEPT)
    draft = place(folder).with_suffix(f".{os.getpid()}.new")
    draft.write_bytes(b"half of someth")
    draft.chmod(0o644)
    keeper = again(keep, keeper)
    assert keeper.load() == KEPT
    keeper.save(msgspec.structs.replace(KEPT, after=43))
    assert [*content(folder)] == [place(folder).name]
    assert mode(place(folder)) == 0o600


def test_the_lock_ends_with_the_process_that_holds_it_however_it_ends(
    keep: Keep, folder: Path
) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from selchat.client.keeper import Keeper, Kept\n"
        "keeper = Keeper(pathlib.Path(sys.argv[1]), 'chat.example.org', 9000, 'alice')\n"
        "keeper.save(Kept('alice', 'secret', 'log', 42, [], []))\n"
        "sys.stdout.write(str(keeper.holds))\n"
        "sys.stdout.flush()\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        (sys.executable, "-c", script, str(folder)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"True"
        assert not keep().holds
        process.kill()
    keeper = keep()
    assert keeper.holds
    assert keeper.load() == Kept("alice", "secret", "log", 42, [], [])
