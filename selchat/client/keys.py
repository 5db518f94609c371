"""What a terminal sends, as keys: bytes in, in any pieces, `Key`s out. Pure.

A terminal sends text as UTF-8, most special keys as control characters or as sequences that begin
with ESC (ECMA-48; the xterm and the Linux console manuals list them), and a paste between two
such sequences ("bracketed paste"), so that pasted text is never taken for keys. ESC is a key as
well: what comes behind it, or that nothing does for a moment, tells which it was.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple


class Key(NamedTuple):
    """One key press; or `text`, a run of characters; or `paste`, with what was pasted.

    Other names are such as `ctrl-a`, `alt-b`, `left`, `ctrl-left`, `enter`, and `unknown` for a
    sequence that means nothing here.
    """

    name: str
    text: str = ""


ESCAPE_DELAY = 0.05
"""Seconds after which an ESC that nothing followed was the key. A sequence comes in one piece
nearly always; a slow line may split it, but rarely for longer than this."""

PASTE_DELAY = 3.0
"""Seconds without a byte after which a paste is taken to be over, although its end is missing."""

_LONGEST_PASTE = 2**20
"""Characters of a paste; the rest of a longer one becomes a paste of its own."""

_PASTE_START, _PASTE_END = "\x1b[200~", "\x1b[201~"

_SEQUENCE = re.compile(
    r"\x1b\[\[[A-E]"  # F1 to F5 of the Linux console, whose form no standard knows
    r"|\x1b\[[0-?]{0,32}[ -/]{0,4}[@-Z\\-~]"  # a control sequence, ECMA-48 section 5.4
    r"|\x1bO[0-9;]{0,4}[A-Za-z]"  # keypad and cursor keys in application mode
    r"|\x1b[^\x1b\[O]",  # Alt and a character
    re.DOTALL,
)
_UNFINISHED = re.compile(r"\x1b(?:\[\[?|\[[0-?]{0,32}[ -/]{0,4}|O[0-9;]{0,4})?\Z")
_BROKEN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?")

_NAMES = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x08": "backspace",
    "\x7f": "backspace",
    "\x1b": "escape",
}

_FINAL = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "Z": "shift-tab",
}
_NUMBER = {"1": "home", "3": "delete", "4": "end", "5": "page-up", "6": "page-down"} | {
    "7": "home",
    "8": "end",
}
_MODIFIER = {"2": "shift-", "3": "alt-", "5": "ctrl-", "9": "alt-"}
_RXVT = {"a": "ctrl-up", "b": "ctrl-down", "c": "ctrl-right", "d": "ctrl-left"}


class Keys:
    """A decoder. Feed it what was read; it keeps what is not complete yet."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._pasting = False

    def feed(self, data: bytes) -> list[Key]:
        """Return the keys that `data` completes. Invalid UTF-8 becomes U+FFFD."""
        return self._take(self._decode(data))

    @property
    def patience(self) -> float | None:
        """How many seconds of silence make `flush` right; None if nothing is kept."""
        if self._pasting:
            return PASTE_DELAY
        return ESCAPE_DELAY if self._rest else None

    def flush(self) -> list[Key]:
        """Return what is kept as the keys that it is when nothing follows."""
        keys = self._take(self._decode(b"", final=True))
        if self._pasting:
            keys.append(Key("paste", self._rest))
        elif self._rest:
            keys.append(Key("escape" if self._rest == "\x1b" else "unknown"))
        self._rest, self._pasting = "", False
        return keys

    def _take(self, text: str) -> list[Key]:
        rest = self._rest + text
        keys: list[Key] = []
        while rest:
            if self._pasting:
                pasted, mark, behind = rest.partition(_PASTE_END)
                if not mark and len(rest) <= _LONGEST_PASTE:
                    break
                self._pasting, rest = not mark, behind
                if pasted:
                    keys.append(Key("paste", pasted))
            elif rest[0] == "\x1b":
                match = _SEQUENCE.match(rest)
                if match is None and _UNFINISHED.match(rest):
                    break
                size = match.end() if match else len(_BROKEN.match(rest)[0])  # type: ignore[index]
                sequence, rest = rest[:size], rest[size:]
                self._pasting = sequence == _PASTE_START
                if not self._pasting:
                    keys.append(Key(_named(sequence)))
            elif _is_control(rest[0]):
                keys.append(Key(_control(rest[0])))
                rest = rest[1:]
            else:
                end = next((i for i, c in enumerate(rest) if _is_control(c)), len(rest))
                keys.append(Key("text", rest[:end]))
                rest = rest[end:]
        self._rest = rest
        return keys


def _is_control(character: str) -> bool:
    return character < " " or character == "\x7f"


def _control(character: str) -> str:
    return _NAMES.get(character) or f"ctrl-{chr(ord(character) + 64).lower()}"


def _named(sequence: str) -> str:
    """The key of a whole sequence."""
    body = sequence[1:]
    if not body:
        return "escape"
    if len(body) == 1:
        if body in _NAMES or not _is_control(body):
            return f"alt-{_NAMES.get(body, body.lower())}"
        return "unknown"
    final = body[-1]
    first, _, modifier = body[1:-1].partition(";")
    if body[0] == "O":
        key = _RXVT.get(final) or _FINAL.get(final)
    else:
        key = _NUMBER.get(first) if final == "~" else _FINAL.get(final)
    if key is None or first == "[":
        return "unknown"
    if not modifier:
        return key
    return _MODIFIER[modifier] + key if modifier in _MODIFIER else "unknown"
