"""What is typed and never shown: a password. Pure.

It has nothing of the line editor's but typing and taking back, so that it is in no history, no
undo and nothing that could be put back; and there is no cursor, which would tell its length.
"""

from __future__ import annotations

from collections.abc import Callable

from selchat.client.buffer import Request
from selchat.client.keys import Key
from selchat.model import commands, names

LONGEST = 1_024
"""Characters; what is longer can only be a mistake."""

_CANCEL = ("escape", "ctrl-c", "ctrl-g")

_WITH_PASSWORD = ("register", "passwd")


def confidential(line: str) -> bool:
    """Whether there can be a password in a line, behind a command that is meant to take one."""
    word, *behind = line.split(maxsplit=1) or [""]
    if word[:1] != "/" or not behind:
        return False
    name = word[1:33].lower()
    return name in _WITH_PASSWORD or (
        name not in commands.TYPED and names.closest(name, commands.TYPED) in _WITH_PASSWORD
    )


class Secret:
    """One question for a secret, until it is answered."""

    def __init__(self, prompt: str, then: Callable[[str | None], None]) -> None:
        """`then` is called once: with what was typed, or None if the user does not want to."""
        self.prompt = prompt
        self._then = then
        self._text = ""

    def __repr__(self) -> str:
        return f"<secret {self.prompt!r}>"

    def press(self, key: Key) -> Request | None:
        """Do what `key` does. SUBMIT or END say that the question is over: call `close`."""
        if key.name in ("text", "paste"):
            return self._add(key.text)
        if key.name in _CANCEL or (key.name == "ctrl-d" and not self._text):
            self._text = ""
            return Request.END
        if key.name == "enter" and self._text:
            return Request.SUBMIT
        if key.name == "backspace" and self._text:
            self._text = self._text[:-1]
        elif key.name == "ctrl-u":
            self._text = ""
        else:
            return Request.RING
        return None

    def close(self) -> None:
        """Tell what was typed, or that nothing was; afterwards it is nowhere here."""
        text, self._text = self._text, ""
        self._then(text or None)

    def cancel(self) -> None:
        """Tell that nothing was typed."""
        self._text = ""
        self.close()

    def _add(self, text: str) -> Request | None:
        # A line end behind it was copied with it. One inside says that this is something else.
        text = text.rstrip("\r\n")
        if len(self._text) + len(text) > LONGEST or "\n" in text or "\r" in text:
            return Request.RING
        self._text += text
        return None
