"""Text made harmless, once, where a command enters the hub.

Control characters could drive another's terminal, and bidirectional controls could make a line
show something that it does not say (CVE-2021-42574). Both are replaced by visible marks: C0 by
the Unicode control pictures, DEL by U+2421, C1 (0x80 to 0x9F) and the bidirectional embeddings,
overrides and isolates (U+202A to U+202E, U+2066 to U+2069) by U+FFFD. So are the separators of
lines and paragraphs (U+2028, U+2029): a program that splits with them would see a line that nobody
sent. Newline stays, and so do the joiners that emoji and several scripts need (U+200C, U+200D).

What takes no room of its own is bounded: no script puts more than eight marks, joiners and the
like on one letter (a stack of Tibetan), and none more than four of the marks that go on any letter
(UTS #39, section 5.4). What is over that, a tower of marks over the lines above or a flood of what
nobody sees, is cut and becomes one U+FFFD.
"""

from __future__ import annotations

import re
from unicodedata import category

_MARKS = (
    {code: 0x2400 + code for code in range(0x20) if code != ord("\n")}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
    | dict.fromkeys(range(0x2028, 0x202F), 0xFFFD)
    | dict.fromkeys(range(0x2066, 0x206A), 0xFFFD)
    # Half of a UTF-16 pair: JSON can spell one, UTF-8 cannot (RFC 3629, section 3).
    | dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)
)
_HARMFUL = re.compile("[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_CONTROLS = bytes((*range(0x20), 0x7F))

_ON_A_LETTER = 8
_TOWER = 4

_ON_ANY_LETTER = frozenset(
    chr(code)
    for first, last in (
        *((0x300, 0x36F), (0x483, 0x489), (0x1AB0, 0x1AFF)),
        *((0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F)),
    )
    for code in range(first, last + 1)
)
"""The marks that towers are built of (the blocks named Combining …, and Cyrillic ones)."""

_JAMO = "\u1160-\u11ff\ud7b0-\ud7ff"
"""Vowels and finals of Hangul: they stand in the room of the consonant before them."""

_FILLERS = "\u115f\u3164\uffa0"
"""Letters of Hangul that show nothing."""

_SIGNS = (
    "\\x00-\xac\xae-\u02ff\u2010-\u2027\u2030-\u205e\u20a0-\u20cf\u2100-\u2cee\u2e00-\u3029"
    "\u3030-\u303f\ufe10-\ufe1f\ufe30-\ufe6f\uff00-\uff9f\ufffc\ufffd\U0001f000-\U0001faff"
)
"""Punctuation, symbols and emoji: they are often written in rows, and all take room."""

_RUN = re.compile(rf"[^\w{_SIGNS}]{{{_TOWER + 1},}}")
_RUN_OF_HANGUL = re.compile(rf"[\W{_JAMO}{_FILLERS}]{{{_TOWER + 1},}}")
"""What may be too much: marks and joiners are no word characters."""

_HANGUL = re.compile(f"[{_JAMO}{_FILLERS}]")
_NO_ROOM = frozenset({"Mn", "Mc", "Me", "Cf"})


def clean(text: str) -> str:
    """Return `text` with everything that could act on a terminal or a page made visible.

    What is clean already stays as it is, and what is added behind a text changes nothing before it.
    """
    # isprintable() is one pass in C, true for nearly every message; so are the searches.
    if not text.isprintable() and _HARMFUL.search(text):
        text = text.translate(_MARKS)
    if text.isascii():
        return text
    return (_RUN_OF_HANGUL if _HANGUL.search(text) else _RUN).sub(_cut, text)


def plain(text: str) -> bool:
    """Whether a text is as plain as most are: nothing of it has to be cleaned, and it is one line.

    Others may be clean too: that takes longer to find out.
    """
    return text.isascii() and text.isprintable()


def controls(data: bytes) -> int:
    """How many control characters of ASCII are in UTF-8. ASCII without any is `plain`."""
    return len(data) - len(data.translate(None, _CONTROLS))


def clean_line(text: str) -> str:
    """Like `clean`, for what must stay on one line (a topic): newlines become spaces."""
    return clean(text).replace("\n", " ")


def _cut(match: re.Match[str]) -> str:
    """A run with what is too much for one letter replaced by one mark."""
    kept: list[str] = []
    count = tower = 0
    over = False
    for character in match[0]:
        if takes_no_room(character):
            if over:
                continue
            count += 1
            tower += character in _ON_ANY_LETTER
            over = count > _ON_A_LETTER or tower > _TOWER
        else:
            count, tower, over = 0, 0, False
        kept.append("\ufffd" if over else character)
    return "".join(kept)


def takes_no_room(character: str) -> bool:
    """Whether a character stands in the room of the one before it, or is not seen at all."""
    return (
        category(character) in _NO_ROOM
        or "\U000e0000" <= character <= "\U000e0fff"
        or _HANGUL.match(character) is not None
    )
