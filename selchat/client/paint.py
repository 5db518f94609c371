"""Colours for lines of the text tongue: the same name always has the same one. Pure.

Only what the client itself wrote around a name decides; text that imitates a line can at most get
a colour. The sequences are of ECMA-48 section 8.3.117 (SGR), in the sixteen colours that follow
the user's own scheme.
"""

from __future__ import annotations

import re
from zlib import crc32

from selchat.model import names

_COLORS = (32, 33, 34, 35, 36, 92, 93, 94, 95, 96)  # red is for errors
_RESET = "\x1b[0m"
_FAINT, _BOLD, _RED = 2, 1, 31

_LINE = re.compile(
    r"(?P<when>\* \[\d{4}-\d\d-\d\d \d\d:\d\dZ\] )?"
    r"(?:(?P<room>\[#[^\]\s]+\] )(?P<star>\* )?(?P<who>[^\s:]+)(?P<rest>.*)"
    r"|\[@(?P<user>[^\]\s]+)\] (?P<said>.*))",
    re.DOTALL,
)
_FACT = re.compile(r"\* (?P<who>\S+) (?P<rest>(?:joined|left|is now|set|cleared) .*)", re.DOTALL)


class Paint:
    """Colours, or none of them."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def faint(self, text: str) -> str:
        """Of less weight than the rest."""
        return self._sgr(_FAINT, text)

    def name(self, name: str) -> str:
        """A user's name, in its colour."""
        return self._sgr(_COLORS[crc32(names.key(name).encode()) % len(_COLORS)], name)

    def line(self, line: str, alert: bool = False) -> str:
        """A line of the text tongue; with `alert` it is meant for the user."""
        if not self._on:
            return line
        if line.startswith("! "):
            return self._sgr(_RED, line)
        match = _LINE.fullmatch(line)
        if match is not None:
            when = self.faint(match["when"] or "")
            if match["user"] is not None:
                mark, end = self._sgr(_BOLD, "[@"), self._sgr(_BOLD, "]")
                return f"{when}{mark}{self.name(match['user'])}{end} {match['said']}"
            room = self._sgr(_BOLD if alert else _FAINT, match["room"])
            return f"{when}{room}{match['star'] or ''}{self.name(match['who'])}{match['rest']}"
        match = _FACT.fullmatch(line)
        if match is not None:
            return f"{self.faint('* ')}{self.name(match['who'])} {self.faint(match['rest'])}"
        return line

    def _sgr(self, code: int, text: str) -> str:
        return f"\x1b[{code}m{text}{_RESET}" if self._on and text else text
