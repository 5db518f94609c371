"""Bytes into lines.

A line ends with LF; a CR before it belongs to the line end too. A line over the limit is dropped
as it comes, up to its LF, and reported once: at no time is more than the limit, and a CR, kept.
"""

from __future__ import annotations

TOO_LONG = None
"""Stands in the place of a line that was over the limit."""


class Lines:
    """Splits a stream of bytes into lines of at most `limit` bytes, their ends not counted."""

    __slots__ = ("_dropping", "_limit", "_rest")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._dropping = False

    def whole(self, data: bytes) -> bool:
        """Whether `data` is whole lines within the limit, behind whole lines: then there is no need
        to feed it.
        """
        clear = not self._rest and not self._dropping
        return clear and data[-1:] == b"\n" and len(data) <= self._limit

    def feed(self, data: bytes) -> list[bytes | None]:
        """Return the lines that `data` completes, `TOO_LONG` for each that was over the limit.

        An over-long line is reported as soon as it is known to be one, not when it ends.
        """
        *lines, rest = (self._rest + data).split(b"\n")
        limit = self._limit
        if len(data) + len(self._rest) <= limit and not self._dropping:
            self._rest = rest
            if b"\r" not in data:  # a CR in what was kept ends no line, but where one ends at once
                if lines and lines[0].endswith(b"\r"):
                    lines[0] = lines[0][:-1]
                return lines  # type: ignore[return-value]
            return [line[:-1] if line.endswith(b"\r") else line for line in lines]
        if self._dropping and lines:
            del lines[0]
            self._dropping = False
        found: list[bytes | None] = []
        for line in lines:
            bare = line[:-1] if line.endswith(b"\r") else line
            found.append(bare if len(bare) <= limit else TOO_LONG)
        if self._dropping:
            rest = b""
        elif len(rest) > limit and not (len(rest) == limit + 1 and rest.endswith(b"\r")):
            found.append(TOO_LONG)
            self._dropping = True
            rest = b""
        self._rest = rest
        return found
