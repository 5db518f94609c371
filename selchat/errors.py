"""The errors of selchat, as one tree.

    SelchatError
    ├── UsageError        wrong flags, environment or config file: exit code 2
    ├── StartError        it cannot start or go on (port in use, no such host): exit code 1
    │   └── NoServer      a command is for a running server, and there is none
    ├── StoreError        the log could not commit or read
    │   └── Trimmed       what was asked for is older than what the log still holds
    └── Refusal           a command is refused; its sender is told why and what to do

Every text is one line for a person: what happened, why, and what to type next.
"""

from __future__ import annotations


class SelchatError(Exception):
    """The root: whatever selchat raises on purpose is one of these."""


class UsageError(SelchatError):
    """The command line, the environment or the config file is wrong (exit code 2)."""


class StartError(SelchatError):
    """The command was right, but the machine does not allow it (exit code 1)."""


class NoServer(StartError):
    """No server runs on that data folder."""


class StoreError(SelchatError):
    """The log could not commit what it was given, or not read what it was asked for."""


class Trimmed(StoreError):
    """What was asked for is no longer in the log, up to the entry `seq`."""

    def __init__(self, text: str, seq: int) -> None:
        super().__init__(text)
        self.seq = seq


class Refusal(SelchatError):
    """A command that is not carried out.

    `code` is one of the error codes of docs/protocol.md (lower case, words joined by
    hyphens), made for programs; `text` is the line for a person.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
