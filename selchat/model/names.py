"""The one rule for the names of users and rooms.

A name has 1 to 32 letters and digits of any script, `-`, `_` and `.`, at least one of them a
letter or a digit. It is kept in Unicode normalization form NFKC, so that `ａｌｉｃｅ` (full width)
is `alice`; two names are the same if their keys are: NFKC and case folding (UAX #15; Unicode
3.13, D145). Vowel signs and other combining marks count as part of the letter that they follow,
as in RFC 8264 section 9.1 ("LetterDigits"): Hindi or Thai could not be written without them. More
than two on one letter are refused, because they climb over the lines above. So are letters that
nobody sees, and letters of scripts that are not written together; and what a name looks like is its
`skeleton` (lookalikes.py).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from selchat.errors import Refusal
from selchat.model.lookalikes import look, scripts_mixed

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 32
"""Characters in a name: what fits a column of a terminal beside the text."""

RESERVED = frozenset({"quit", "you"})
"""Names that would imitate something: the command `quit`, and `you` in '* you joined #room'."""

_MARKS_ON_A_LETTER = 2

_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\U00016fe4").union(
    map(chr, range(0xFE00, 0xFE10)), map(chr, range(0xE0100, 0xE01F0))
)
"""Letters and marks that show nothing (Default_Ignorable_Code_Point): joiners, fillers of Hangul,
variation selectors. A name with one would look like the name without it."""

_PLAIN = re.compile(rf"(?=[-_.]*[0-9A-Za-z])[-_.0-9A-Za-z]{{1,{LONGEST}}}", re.ASCII)
"""Names in ASCII, all of which are good: what is looked at further is in another script."""

_LONGEST_INPUT = 4 * LONGEST
"""Characters of a text above which it is not normalized: it can be no name, and the work grows
with the square of the length (combining marks are sorted)."""


def key(name: str) -> str:
    """The form under which a name is looked up: equal for names that are the same.

    Takes any string, also one that is no name (its key then finds nothing).
    """
    return _key(name) if len(name) <= _LONGEST_INPUT else name


@lru_cache(maxsize=16_384)
def _key(name: str) -> str:
    if name.isascii():
        return name.lower()
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded)


def skeleton(name: str) -> str:
    """What a name looks like: different names whose skeletons are equal look the same.

    The same for all names with the same key; that key itself for a name in ASCII, which is thought
    to look like no other one (lookalikes.py says why). Not for display. Takes any string.
    """
    own = key(name)
    return own if own.isascii() or len(own) > _LONGEST_INPUT else _look(own)


_look = lru_cache(maxsize=16_384)(look)


def user(text: str) -> str:
    """Check a user's name; return it in the form to keep. Raises `Refusal` `bad-name`."""
    name = _checked(text, "a name")
    if key(name) in RESERVED:
        raise Refusal("bad-name", f"the name {name} means something else here: choose another")
    return name


def room(text: str) -> str:
    """Check a room's name, with or without its `#`; return it without, in the form to keep.

    Raises `Refusal` `bad-name`.
    """
    return _checked(text.removeprefix("#"), "a room's name")


def closest(text: str, known: Iterable[str]) -> str | None:
    """The known word that `text` was probably meant to be, for a 'did you mean'; None if none."""
    from difflib import get_close_matches  # late: only for mistakes

    found = get_close_matches(text, known, n=1, cutoff=0.7)
    return found[0] if found else None


def _checked(text: str, what: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    # A longer text may still normalize to a valid name, but only a short one is worth the work.
    name = unicodedata.normalize("NFKC", text) if len(text) <= _LONGEST_INPUT else text
    if not 1 <= len(name) <= LONGEST:
        raise Refusal("bad-name", f"{what} has 1 to {LONGEST} characters: choose another")
    marks = 0
    for character in name:
        category = unicodedata.category(character)
        if character in _UNSEEN:
            break
        if category[0] == "M" and category != "Me" and marks < _MARKS_ON_A_LETTER:
            marks += 1
        elif category[0] == "L" or category == "Nd":
            marks = 0
        elif character in "-_.":
            marks = _MARKS_ON_A_LETTER  # nothing to put a mark on
        else:
            break
    else:
        if unicodedata.category(name[0])[0] != "M" and any(map(str.isalnum, name)):
            if not name.isascii() and scripts_mixed(name):
                raise Refusal(
                    "bad-name",
                    f"{what} is written in one script, or would look like another: choose another",
                )
            return name
    raise Refusal(
        "bad-name", f"{what} is made of letters, digits, '-', '_' and '.' only: choose another"
    )
