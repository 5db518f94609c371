"""The line that is being edited: its text, its cursor, and what a key does to them. Pure.

An editor is changed only by the methods below, which bindings.py gives to keys. Positions are
counted in characters; the cursor never stands inside what is one sign on the screen (a letter
with its marks, a joined emoji: a grapheme cluster, UAX #29).
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


class _Place(NamedTuple):
    text: str
    cursor: int


class Search:
    """A search backwards through the history, while it lasts."""

    def __init__(self, before: _Place, at: int) -> None:
        self.query = ""
        self.failed = False
        self.before = before
        self.at = at


class Editor:
    """A line of text with a cursor, a kill ring, undo, and a history.

    `history` is the oldest line first; the editor adds to it only by `submit`.
    """

    def __init__(self, history: list[str] | None = None) -> None:
        self.text = ""
        self.cursor = 0
        self.history = history if history is not None else []
        self.search: Search | None = None
        self._undo: list[_Place] = []
        self._kills: list[str] = []
        self._last = ""  # what the key before did: kills in a row are one, so is typing for undo
        self._now = ""
        self._yanked: tuple[int, int] | None = None
        self._line: int | None = None  # place in the history; None in the new line
        self._new = ""  # the new line, while another one is shown

    # Before and after each key

    def begin(self) -> None:
        """Start the next key: what belongs together for undo and the kill ring is told by it."""
        self._last, self._now = self._now, ""

    def load(self, text: str) -> None:
        """Put `text` in the place of the line, as a new line."""
        self._line = None
        self._become(text, len(text))

    def submit(self) -> str:
        """Return the line, take it into the history, and begin a new one."""
        line = self.text
        self.remember(line)
        self.text, self.cursor, self._line, self._new = "", 0, None, ""
        self._undo.clear()
        return line

    def remember(self, line: str) -> None:
        """Take a line into the history, once if it is repeated."""
        if line.strip() and self.history[-1:] != [line]:
            self.history.append(line)

    # Writing

    def insert(self, text: str) -> None:
        """Put `text` where the cursor is; line ends of any kind are newlines."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")[: LONGEST - len(self.text)]
        if text:
            self._save("insert" if len(text) == 1 and not text.isspace() else "")
            whole = self.text[: self.cursor] + text + self.text[self.cursor :]
            self.text, self.cursor = whole, self._outside(self.cursor + len(text), whole)

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

    # History

    def older(self) -> Request | None:
        """Show the line before in the history; in a message of several lines, go up."""
        if "\n" in self.text[: self.cursor]:
            self._vertical(up=True)
            return None
        at = len(self.history) if self._line is None else min(self._line, len(self.history))
        return self._show(at - 1)

    def newer(self) -> Request | None:
        """Show the next line of the history; in a message of several lines, go down."""
        if "\n" in self.text[self.cursor :]:
            self._vertical(up=False)
            return None
        return Request.RING if self._line is None else self._show(self._line + 1)

    def search_older(self) -> None:
        """Search the history for what is typed next; again: further back."""
        if self.search is None:
            self.search = Search(_Place(self.text, self.cursor), len(self.history))
        else:
            self._find(self.search.at - 1)

    def search_type(self, text: str) -> None:
        """Add to what is searched."""
        assert self.search is not None
        self.search.query += text
        self._find(min(self.search.at, len(self.history) - 1))

    def search_shorten(self) -> None:
        """Take a character off what is searched, and search again from the newest line."""
        assert self.search is not None
        self.search.query = self.search.query[:-1]
        self.search.at = len(self.history)
        if self.search.query:
            self._find(len(self.history) - 1)
        else:
            self.text, self.cursor = self.search.before
            self.search.failed = False

    def search_end(self, keep: bool) -> None:
        """Go on with the line that was found, or with the one that was there before."""
        if self.search is not None:
            before, self.search = self.search.before, None
            found = _Place(self.text, self.cursor)
            self.text, self.cursor = before
            if keep and found != before:
                self._become(*found)
            self._settle()

    def _find(self, at: int) -> None:
        assert self.search is not None
        wanted = self.search.query.casefold()
        while wanted and at >= 0:
            place = self.history[at].casefold().find(wanted)
            if place >= 0:
                self.text, self.search.at, self.search.failed = self.history[at], at, False
                self.cursor = self._outside(min(place, len(self.text)), self.text)
                return
            at -= 1
        self.search.failed = bool(wanted)

    def _show(self, at: int) -> Request | None:
        if at < 0 or at > len(self.history):
            return Request.RING
        if self._line is None:
            self._new = self.text
        self._line = at if at < len(self.history) else None
        text = self._new if self._line is None else self.history[at]
        self.text, self.cursor = text, len(text)
        self._undo.clear()
        return None

    def _vertical(self, up: bool) -> None:
        start = self.text.rfind("\n", 0, self.cursor) + 1
        column = self.cursor - start
        if up:
            line = self.text.rfind("\n", 0, start - 1) + 1
        else:
            line = self.text.index("\n", self.cursor) + 1
        end = self.text.find("\n", line)
        length = (end if end >= 0 else len(self.text)) - line
        self.cursor = self._outside(line + min(column, length), self.text)

    # Inside

    def _become(self, text: str, cursor: int) -> None:
        self._save("")
        self.text = text[:LONGEST]
        self.cursor = self._outside(min(cursor, len(self.text)), self.text)

    def _save(self, kind: str) -> None:
        """Note the line as it is, unless the change goes on with the one before."""
        if not kind or kind != self._last or not self._undo:
            self._undo.append(_Place(self.text, self.cursor))
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
        self.cursor = self._outside(self.cursor, self.text)

    def _word_start(self) -> int:
        starts = [match.start() for match in _WORD.finditer(self.text, 0, self.cursor)]
        return self._outside(starts[-1] if starts else 0, self.text)

    def _word_end(self) -> int:
        match = _WORD.search(self.text, self.cursor)
        return self._outside(match.end() if match else len(self.text), self.text)

    def _before(self, cursor: int) -> int:
        if self.text.isascii():
            return max(0, cursor - 1)
        return max((edge for edge in _edges(self.text) if edge < cursor), default=0)

    def _after(self, cursor: int) -> int:
        if self.text.isascii():
            return min(len(self.text), cursor + 1)
        return next((edge for edge in _edges(self.text) if edge > cursor), len(self.text))

    @staticmethod
    def _outside(cursor: int, text: str) -> int:
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
