"""Lines come out as they went in, whatever the pieces, and none makes the server hold more."""

from __future__ import annotations

import pytest

from selchat.wire.framing import TOO_LONG, Lines
from tests.unit.ways import pieces

LIMIT = 4

CASES: list[tuple[bytes, list[bytes | None]]] = [
    (b"", []),
    (b"ab", []),
    (b"\n", [b""]),
    (b"\r\n", [b""]),
    (b"ab\n", [b"ab"]),
    (b"ab\r\n", [b"ab"]),
    (b"ab\ncd\n", [b"ab", b"cd"]),
    (b"ab\r\ncd\nef", [b"ab", b"cd"]),
    (b"\n\n\n", [b"", b"", b""]),
    # Only LF ends a line, and only one CR before it belongs to the end.
    (b"a\rb\n", [b"a\rb"]),
    (b"\ra\n", [b"\ra"]),
    (b"a\r\r\n", [b"a\r"]),
    (b"\r\r\r\n", [b"\r\r"]),
    (b"a\x0b\x0cb\n", [b"a\x0b\x0cb"]),
    (b"\x85\n", [b"\x85"]),
    (b"a\x00b\n", [b"a\x00b"]),
    (b"\xff\xfe\n", [b"\xff\xfe"]),
    # At the limit; the end is not counted.
    (b"abcd\n", [b"abcd"]),
    (b"abcd\r\n", [b"abcd"]),
    (b"abc\r\r\n", [b"abc\r"]),
    # Over it.
    (b"abcde\n", [TOO_LONG]),
    (b"abcde\r\n", [TOO_LONG]),
    (b"abcd\r\r\n", [TOO_LONG]),
    (b"abcd\re\n", [TOO_LONG]),
    (b"abcde", [TOO_LONG]),  # told as soon as it is known
    (b"abcd\re", [TOO_LONG]),
    (b"abcdef\r", [TOO_LONG]),
    (b"abcd\r", []),  # not known yet
    (b"a" * 100 + b"\n", [TOO_LONG]),  # once
    (b"a" * 100, [TOO_LONG]),
    # What follows an over-long line is read again.
    (b"abcde\nab\n", [TOO_LONG, b"ab"]),
    (b"abcde\n\nab\n", [TOO_LONG, b"", b"ab"]),
    (b"abcde\nabcdef\nab\n", [TOO_LONG, TOO_LONG, b"ab"]),
    (b"ab\nabcde\r\nab\r\n", [b"ab", TOO_LONG, b"ab"]),
    (b"abcd\nabcd\nabcde", [b"abcd", b"abcd", TOO_LONG]),
]


@pytest.mark.parametrize(("data", "lines"), CASES)
def test_bytes_become_lines(data: bytes, lines: list[bytes | None]) -> None:
    for way, cut in pieces(data, behind=b"\nzz\ny" if not data.endswith(b"\n") else b"zz\ny"):
        framing = Lines(LIMIT)
        found = [line for piece in cut for line in framing.feed(piece)]
        if way == "with more behind it":
            assert found[: len(lines)] == lines
            assert found[-1] == b"zz"
        else:
            assert found == lines, way


def test_what_is_held_back_is_never_more_than_the_limit() -> None:
    framing = Lines(1_000)
    for _ in range(1_000):
        framing.feed(b"x" * 999)
        assert len(framing._rest) <= 1_000
    assert framing.feed(b"\nok\n") == [b"ok"]


def test_an_endless_line_of_any_size_is_reported_once() -> None:
    framing = Lines(LIMIT)
    found = [line for _ in range(1_000) for line in framing.feed(b"x" * 1_000)]
    assert found == [TOO_LONG]


def test_two_framings_share_nothing() -> None:
    one, other = Lines(LIMIT), Lines(LIMIT)
    one.feed(b"ab")
    assert other.feed(b"c\n") == [b"c"]
    assert one.feed(b"\n") == [b"ab"]
