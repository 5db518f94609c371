"""Text made harmless, once, where a command enters the hub.

Control characters could drive another's terminal, and bidirectional controls could make a line
show something that it does not say (CVE-2021-42574). Both are replaced by visible marks: C0 by
the Unicode control pictures, DEL by U+2421, C1 (0x80 to 0x9F) and the bidirectional embeddings,
overrides and isolates (U+202A to U+202E, U+2066 to U+2069) by U+FFFD. Newline stays, and so do
the joiners that emoji and several scripts need (U+200C, U+200D).
"""

from __future__ import annotations

_MARKS = (
    {code: 0x2400 + code for code in range(0x20) if code != ord("\n")}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
    | dict.fromkeys(range(0x202A, 0x202F), 0xFFFD)
    | dict.fromkeys(range(0x2066, 0x206A), 0xFFFD)
    # Half of a UTF-16 pair: JSON can spell one, UTF-8 cannot (RFC 3629, section 3).
    | dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)
)


def clean(text: str) -> str:
    """Return `text` with everything that could act on a terminal or a page made visible."""
    # isprintable() is one pass in C and true for nearly every message.
    return text if text.isprintable() else text.translate(_MARKS)


def clean_line(text: str) -> str:
    """Like `clean`, for what must stay on one line (a topic): newlines become spaces."""
    return clean(text).replace("\n", " ")
