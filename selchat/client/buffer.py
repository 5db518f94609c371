"""A text that is edited, and its cursor: what editing keys do to them. Pure.

Positions are counted in characters; the cursor never stands inside what is one sign on the
screen (a letter with its marks, a joined emoji: a grapheme cluster, UAX #29).
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

from wcwidth import iter_graphemes

LONGEST = 2**18
"""Characters in a line: more than any server takes, and few enough to edit without delay."""

_UNDO = 200
_KILLS = 20
_TAB = "    "
_WORD = re.compile(r"\w+")
_SPACED = re.compile(r"\S+\s*\Z")


class Request(Enum):
    """What an editor cannot do itself, and asks of the one who uses it."""

    SUBMIT = auto()
    COMPLETE = auto()
    END = auto()
    REDRAW = auto()
    RING = auto()
    """Nothing was done: let it be heard."""


class Place(NamedTuple):
    """A text and where its cursor was."""

    text: str
    cursor: int


class Buffer:
    """A line of text with a cursor, a kill ring and undo."""

    def __init__(self) -> None:
        self.text = ""
        self.cursor = 0
        self._undo: list[Place] = []
        self._kills: list[str] = []
        self._last = ""  # what the key before did: kills in a row are one, so is typing for undo
        self._now = ""
        self._yanked: tuple[int, int] | None = None

    # Before and after each key

    def begin(self) -> None:
        """Start the next key: what belongs together for undo and the kill ring is told by it."""
        self._last, self._now = self._now, ""

    # Writing

    def insert(self, text: str) -> None:
        """Put `text` where the cursor is; line ends of any kind are newlines."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")[: LONGEST - len(self.text)]
        if text:
            self._save("insert" if len(text) == 1 and not text.isspace() else "")
            whole = self.text[: self.cursor] + text + self.text[self.cursor :]
            self.text, self.cursor = whole, self.outside(self.cursor + len(text), whole)

    def paste(self, text: str) -> None:
        """Put pasted text where the cursor is. Its last line end does not begin another line."""
        text = text.replace("\t", _TAB)
        self.insert(text if self.text[self.cursor :] else text.rstrip("\r\n"))

    def newline(self) -> None:
        """Begin another line of the same message."""
        self.insert("\n")

    def replace(self, start: int, text: str) -> None:
        """Put `text` in the place of what stands between `start` and the cursor."""
        self._become(self.text[:start] + text + self.text[self.cursor :], start + len(text))

    # Moving

    def left(self) -> None:
        """Go one character left."""
        self.cursor = self._before(self.cursor)

    def right(self) -> None:
        """Go one character right."""
        self.cursor = self._after(self.cursor)

    def start(self) -> None:
        """Go to the start of the line."""
        self.cursor = self.text.rfind("\n", 0, self.cursor) + 1

    def end(self) -> None:
        """Go to the end of the line."""
        end = self.text.find("\n", self.cursor)
        self.cursor = len(self.text) if end < 0 else end

    def word_left(self) -> None:
        """Go to the start of the word."""
        self.cursor = self._word_start()

    def word_right(self) -> None:
        """Go to the end of the word."""
        self.cursor = self._word_end()

    def vertical(self, up: bool) -> None:
        """Go to the line above or below of a text of several."""
        start = self.text.rfind("\n", 0, self.cursor) + 1
        column = self.cursor - start
        if up:
            line = self.text.rfind("\n", 0, start - 1) + 1
        else:
            line = self.text.index("\n", self.cursor) + 1
        end = self.text.find("\n", line)
        length = (end if end >= 0 else len(self.text)) - line
        self.cursor = self.outside(line + min(column, length), self.text)

    # Deleting

    def backspace(self) -> Request | None:
        """Delete the character before the cursor."""
        if not self.cursor:
            return Request.RING
        self._save("backspace")
        start = self._before(self.cursor)
        self.text, self.cursor = self.text[:start] + self.text[self.cursor :], start
        self._settle()
        return None

    def delete(self) -> Request | None:
        """Delete the character under the cursor."""
        end = self._after(self.cursor)
        if end == self.cursor:
            return Request.RING
        self._save("delete")
        self.text = self.text[: self.cursor] + self.text[end:]
        self._settle()
        return None

    def delete_or_end(self) -> Request | None:
        """Delete the character under the cursor; in an empty line, leave the chat."""
        return self.delete() if self.text else Request.END

    def kill_to_end(self) -> None:
        """Cut to the end of the line."""
        end = self.text.find("\n", self.cursor)
        end = len(self.text) if end < 0 else end
        self._kill(self.cursor, max(end, self._after(self.cursor)))

    def kill_to_start(self) -> None:
        """Cut to the start of the line."""
        start = self.text.rfind("\n", 0, self.cursor) + 1
        self._kill(min(start, self._before(self.cursor)), self.cursor)

    def kill_word_left(self) -> None:
        """Cut the word before the cursor."""
        self._kill(self._word_start(), self.cursor)

    def kill_spaced_left(self) -> None:
        """Cut back to the last space."""
        match = _SPACED.search(self.text[: self.cursor])
        self._kill(match.start() if match else 0, self.cursor)

    def kill_word_right(self) -> None:
        """Cut the word behind the cursor."""
        self._kill(self.cursor, self._word_end())

    def yank(self) -> Request | None:
        """Put back what was cut last."""
        if not self._kills:
            return Request.RING
        start = self.cursor
        self.insert(self._kills[-1])
        self._yanked, self._now = (start, self.cursor), "yank"
        return None

    def yank_older(self) -> Request | None:
        """Right behind that: what was cut before it instead."""
        if self._last != "yank" or self._yanked is None:
            return Request.RING
        start, end = self._yanked
        self._kills.insert(0, self._kills.pop())
        cut = self._kills[-1]
        self._become(self.text[:start] + cut + self.text[end:], start + len(cut))
        self._yanked, self._now = (start, self.cursor), "yank"
        return None

    def transpose(self) -> Request | None:
        """Swap the two characters around the cursor."""
        middle = self.cursor if self.cursor < len(self.text) else self._before(self.cursor)
        start, end = self._before(middle), self._after(middle)
        one, other = self.text[start:middle], self.text[middle:end]
        if not one or not other:
            return Request.RING
        self._become(self.text[:start] + other + one + self.text[end:], end)
        return None

    def undo(self) -> Request | None:
        """Take back the last change."""
        if not self._undo:
            return Request.RING
        self.text, self.cursor = self._undo.pop()
        return None

    # Inside

    def _become(self, text: str, cursor: int) -> None:
        self._save("")
        self.text = text[:LONGEST]
        self.cursor = self.outside(min(cursor, len(self.text)), self.text)

    def _save(self, kind: str) -> None:
        """Note the line as it is, unless the change goes on with the one before."""
        if not kind or kind != self._last or not self._undo:
            self._undo.append(Place(self.text, self.cursor))
            del self._undo[:-_UNDO]
        self._now = kind

    def _kill(self, start: int, end: int) -> None:
        start, end = max(0, start), min(end, len(self.text))
        cut = self.text[start:end]
        if not cut:
            self._now = self._last if self._last == "kill" else ""
            return
        if self._last == "kill" and self._kills:
            last = self._kills.pop()
            self._kills.append(cut + last if end == self.cursor else last + cut)
        else:
            self._kills.append(cut)
            del self._kills[:-_KILLS]
        self._become(self.text[:start] + self.text[end:], start)
        self._now = "kill"

    def _settle(self) -> None:
        """After what joins two parts: they may have become one sign."""
        self.cursor = self.outside(self.cursor, self.text)

    def _word_start(self) -> int:
        starts = [match.start() for match in _WORD.finditer(self.text, 0, self.cursor)]
        return self.outside(starts[-1] if starts else 0, self.text)

    def _word_end(self) -> int:
        match = _WORD.search(self.text, self.cursor)
        return self.outside(match.end() if match else len(self.text), self.text)

    def _before(self, cursor: int) -> int:
        if self.text.isascii():
            return max(0, cursor - 1)
        return max((edge for edge in _edges(self.text) if edge < cursor), default=0)

    def _after(self, cursor: int) -> int:
        if self.text.isascii():
            return min(len(self.text), cursor + 1)
        return next((edge for edge in _edges(self.text) if edge > cursor), len(self.text))

    @staticmethod
    def outside(cursor: int, text: str) -> int:
        """The first edge of a sign at `cursor` or behind it."""
        if text.isascii():
            return cursor
        return next((edge for edge in _edges(text) if edge >= cursor), len(text))


def _edges(text: str) -> list[int]:
    """Where the signs of `text` begin and end."""
    edges = [0]
    for sign in iter_graphemes(text):
        edges.append(edges[-1] + len(sign))
    return edges
