"""What stands at the lower end of the window: the line that is edited. Pure: text out.

Everything else scrolls up and away, into the terminal's own memory of lines. The *block* (messages
on their way, then the line) is erased before something is printed and drawn again behind it. Only
five sequences are used, which every terminal knows: return, newline, cursor up and down, erase
below. The cursor is put into a row by writing again what stands before it, so that it is right
even where the terminal's idea of a sign's width differs from ours.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from selchat.client.layout import fit, lay_out
from selchat.model.clean import clean_line

_ERASE_BELOW = "\x1b[J"
_CLEAR = "\x1b[H\x1b[2J"
_FAINT, _PLAIN = "\x1b[2m", "\x1b[0m"


class View(NamedTuple):
    """What is to be seen."""

    prompt: str
    text: str
    cursor: int
    above: tuple[str, ...] = ()
    """What stands above it, a row each."""


class Display(Protocol):
    """What shows lines and a view. All methods return what is to be written."""

    def update(self, printed: list[str], view: View) -> str:
        """Print lines, for good, and then show `view`."""

    def submitted(self, view: View) -> str:
        """The line of this view was sent: what comes next is another one."""

    def cleared(self) -> str:
        """The user wants a clear view."""

    def erased(self) -> str:
        """Nothing of the view is to be seen any more; the cursor is at the start of a line."""

    def resized(self, columns: int, rows: int) -> None:
        """The window has another size, or something else has written to it."""


class Window:
    """The block as it was drawn last, and how to get from there to another one."""

    def __init__(self, columns: int, rows: int, color: bool) -> None:
        self._columns, self._height = columns, rows
        self._color = color
        self._rows: list[str] = []
        self._row = 0
        self._before = ""
        self._unsure = False

    def update(self, printed: list[str], view: View) -> str:
        """Print lines above the block, and bring the block up to date."""
        rows, row, before = self._block(view)
        if printed or self._unsure or not self._rows:
            out = self.erased() + "".join(f"{line}\n" for line in printed)
            out += "\n".join(rows) + _from_end(rows, row, before)
        else:
            out = self._change(rows, row, before)
        self._rows, self._row, self._before, self._unsure = rows, row, before, False
        return out

    def submitted(self, view: View) -> str:  # noqa: ARG002
        """The next update takes the line away."""
        return ""

    def cleared(self) -> str:
        """Clear the screen; the next update draws the block at its top."""
        self._rows = []
        return _CLEAR

    def erased(self) -> str:
        """Take the block away."""
        up, self._rows = self._row, []
        self._row = 0
        return (f"\x1b[{up}A" if up else "") + "\r" + _ERASE_BELOW

    def resized(self, columns: int, rows: int) -> None:
        """Draw all of the block at the next update."""
        self._columns, self._height = columns, rows
        self._row = min(self._row, rows - 1)
        self._unsure = True

    def _block(self, view: View) -> tuple[list[str], int, str]:
        # The last column stays free: what a terminal does behind it differs.
        columns = self._columns - 1
        height = max(1, self._height // 2)
        room = height - 1
        above = [fit(clean_line(line), columns) for line in view.above[-room:] if room]
        screen = lay_out(view.prompt, view.text, view.cursor, columns, height - len(above))
        if self._color:
            above = [_FAINT + line + _PLAIN for line in above]
        return above + screen.rows, len(above) + screen.row, screen.before

    def _change(self, rows: list[str], row: int, before: str) -> str:
        """From the block as it is to another one, with as few bytes as is simple."""
        old = self._rows
        if (rows, row, before) == (old, self._row, self._before):
            return ""
        if rows == old:
            return _move(self._row, row) + "\r" + before
        last = len(old) - 1
        at_end = (self._row, self._before) == (last, old[last])
        if at_end and rows[:last] == old[:last] and rows[last].startswith(old[last]):
            # The usual case, a character typed at the end: nothing but that is written.
            out = "\n".join([rows[last][len(old[last]) :], *rows[last + 1 :]])
        else:
            same = 0
            while same < min(last, len(rows) - 1) and rows[same] == old[same]:
                same += 1
            out = _move(self._row, same) + "\r" + _ERASE_BELOW + "\n".join(rows[same:])
        return out + _from_end(rows, row, before)


def _from_end(rows: list[str], row: int, before: str) -> str:
    """From the end of the last row to the cursor's place."""
    last = len(rows) - 1
    return "" if (row, before) == (last, rows[last]) else _move(last, row) + "\r" + before


def _move(start: int, end: int) -> str:
    if end < start:
        return f"\x1b[{start - end}A"
    return f"\x1b[{end - start}B" if end > start else ""
