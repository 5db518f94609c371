"""The data folder: made with the right modes, and held by one process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from selchat.errors import StartError


def data_folder(setting: str | None) -> Path:
    """Where a server keeps its data: what the setting `data` says, else a folder of the user's."""
    if setting:
        return Path(setting)
    import platformdirs  # late: most servers are told

    return platformdirs.user_data_path("selchat")


class Held:
    """The lock on a data folder. It ends with the process, however that ends."""

    def __init__(self, folder: Path) -> None:
        """Make the folder (mode 0700) if there is none, and take its lock.

        Raises `StartError`, which says who holds it, or why it cannot be had.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(
                f"the data folder {folder} cannot be used ({error.strerror}): "
                "choose another with --data"
            ) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._fd, 32).decode(errors="replace").strip()
            os.close(self._fd)
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise StartError(
                f"the data folder {folder} is held by {who}: "
                "stop that one, or choose another folder with --data"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have it; again does nothing, as the descriptor may be another's by then."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
