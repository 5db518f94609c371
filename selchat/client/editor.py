"""The line editor: a text that is edited, with the lines that were typed before it. Pure.

An editor is changed only by the methods of it and of its buffer, which bindings.py gives to keys.
"""

from __future__ import annotations

from selchat.client.buffer import Buffer, Place, Request


class Search:
    """A search backwards through the history, while it lasts."""

    def __init__(self, before: Place, at: int) -> None:
        self.query = ""
        self.failed = False
        self.before = before
        self.at = at


class Editor(Buffer):
    """A buffer with a history: the oldest line first. It is added to only by `submit` and
    `remember`.
    """

    def __init__(self, history: list[str] | None = None) -> None:
        super().__init__()
        self.history = history if history is not None else []
        self.search: Search | None = None
        self._line: int | None = None  # place in the history; None in the new line
        self._new = ""  # the new line, while another one is shown

    def load(self, text: str) -> None:
        """Put `text` in the place of the line, as a new line."""
        self._line = None
        self._become(text, len(text))

    def submit(self, remember: bool = True) -> str:
        """Return the line, take it into the history unless told, and begin a new one."""
        line = self.text
        if remember:
            self.remember(line)
        self.text, self.cursor, self._line, self._new = "", 0, None, ""
        self._undo.clear()
        return line

    def remember(self, line: str) -> None:
        """Take a line into the history, once if it is repeated."""
        if line.strip() and self.history[-1:] != [line]:
            self.history.append(line)

    # History

    def older(self) -> Request | None:
        """Show the line before in the history; in a message of several lines, go up."""
        if "\n" in self.text[: self.cursor]:
            self.vertical(up=True)
            return None
        at = len(self.history) if self._line is None else min(self._line, len(self.history))
        return self._show(at - 1)

    def newer(self) -> Request | None:
        """Show the next line of the history; in a message of several lines, go down."""
        if "\n" in self.text[self.cursor :]:
            self.vertical(up=False)
            return None
        return Request.RING if self._line is None else self._show(self._line + 1)

    def search_older(self) -> None:
        """Search the history for what is typed next; again: further back."""
        if self.search is None:
            self.search = Search(Place(self.text, self.cursor), len(self.history))
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
            found = Place(self.text, self.cursor)
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
                self.cursor = self.outside(min(place, len(self.text)), self.text)
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
