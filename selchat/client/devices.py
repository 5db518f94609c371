"""Device tokens: with one the client logs in to an account again without asking for the password.

One file for each server and user, mode 0600: who has the token is the user, until it is revoked.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import msgspec

from selchat.client import private

log = logging.getLogger(__name__)


class _Device(msgspec.Struct):
    """A token as it is kept."""

    token: str


_decoder = msgspec.json.Decoder(_Device)


class Devices:
    """The tokens of this system's user."""

    def __init__(self, folder: Path | None = None) -> None:
        """They are kept in `folder`, or where such things belong."""
        self._folder = private.folder("devices") if folder is None else folder

    def load(self, host: str, port: int, user: str) -> str | None:
        """The token for a user of a server; None if there is none, or none that makes sense."""
        try:
            content = (self._folder / private.file(host, port, user)).read_bytes()
            return _decoder.decode(content).token or None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def save(self, host: str, port: int, user: str, token: str) -> None:
        """Keep a token, in place of the one before. A disk that does not take it is no reason to
        end: the password is asked for again.
        """
        try:
            private.make(self._folder)
            path = self._folder / private.file(host, port, user)
            private.write(path, msgspec.json.encode(_Device(token)))
        except OSError as error:
            log.debug("the device token is not kept: %s", error)

    def forget(self, host: str, port: int, user: str) -> None:
        """Keep none, as it was revoked or the user logged out."""
        with suppress(OSError):
            (self._folder / private.file(host, port, user)).unlink(missing_ok=True)
