"""How a line that is being edited looks in a window: text and cursor in, rows out. Pure.

Terminals do not agree on how wide some signs are (joined emoji, flags, marks that make a sign
wide). So a sign is given the room of all its characters side by side, the most that it can take;
and the cursor is not told as a number of columns, but as the text that stands before it.
"""

from __future__ import annotations

from typing import NamedTuple

from wcwidth import iter_graphemes, wcswidth, wcwidth

from selchat.model.clean import clean, clean_line


class Screen(NamedTuple):
    """Rows, of which each fits the width; the cursor is in row `row`, behind the text `before`."""

    rows: list[str]
    row: int
    before: str


def width(text: str) -> int:
    """The columns that `text` takes at most. No controls in it."""
    if text.isascii():
        return len(text)
    return max(sum(max(0, wcwidth(character)) for character in text), wcswidth(text))


def fit(text: str, columns: int) -> str:
    """The start of `text` that fits `columns`, with an ellipsis if that is not all."""
    if width(text) <= columns:
        return text
    kept, room = "", columns - 1
    for sign in iter_graphemes(text):
        room -= width(sign)
        if room < 0:
            break
        kept += sign
    return kept + "…"


def lay_out(prompt: str, text: str, cursor: int, columns: int, height: int) -> Screen:
    """Break `prompt` and `text` into rows of at most `columns`; show `height` of them.

    The cursor (in characters of `text`) is in one of them. Controls are made visible.
    """
    columns, height = max(columns, 2), max(height, 1)
    rows = [fit(clean_line(prompt), max(1, columns // 2))]
    taken = width(rows[0])
    row, before = 0, rows[0]
    place = 0
    for sign in [*_signs(text), ""]:
        shown = "" if sign == "\n" else clean(sign)
        need = width(shown)
        if need > columns:
            shown, need = "\ufffd", 1
        if taken + need > columns:
            rows.append("")
            taken = 0
        if place == cursor:
            row, before = len(rows) - 1, rows[-1]
        if sign == "\n":
            rows.append("")
            taken = 0
        rows[-1] += shown
        taken += need
        place += len(sign)
    first = max(0, min(row - height // 2, len(rows) - height))
    return Screen(rows[first : first + height], row - first, before)


def _signs(text: str) -> list[str]:
    return list(text) if text.isascii() else list(iter_graphemes(text))
