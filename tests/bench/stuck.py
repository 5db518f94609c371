"""A reader that stops reading beside a flood, and reads on when it is over.

    python -m tests.bench.stuck --messages 100000

It must get all of it, once and in order, and the server's memory must not have grown by what it
had not read. tests/e2e/test_stuck_reader.py is the short form.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import NamedTuple

from tests.bench.load import serve
from tests.e2e.harness import Json, ServerProcess, Text

TEXT = "x" * 2_000
"""Behind the number of each message, so that the flood is more than any buffer on its way."""

AHEAD = 100
"""Messages that are under way to the healthy reader at most."""


class Figures(NamedTuple):
    flooded: float
    """Seconds that the flood took."""
    read: float
    """Seconds that the stuck reader then took to read it all."""
    grown: int
    """Bytes by which the server's memory had grown at the end of the flood, and after it."""


def run(server: ServerProcess, tongue: str, messages: int) -> Figures:
    """Raises AssertionError where something is lost, doubled or out of order."""
    writer = server.text("writer", "flood")
    healthy = server.text("healthy", "flood")
    writer.expect("* healthy joined #flood")
    _flood(writer, healthy, 0, messages // 10)  # so that what is kept anyway is there
    stuck: Text | Json
    if tongue == "text":
        stuck = server.text("stuck", "flood", receive_buffer=4096)
    else:
        stuck = server.json("stuck", "flood", receive_buffer=4096)
    for one in (writer, healthy):
        one.expect("* stuck joined #flood")
    before = server.memory()
    start = time.perf_counter()
    _flood(writer, healthy, 0, messages)
    flooded = time.perf_counter()
    most = server.memory()
    last_seq = 0
    for number in range(messages):
        line = stuck.line()
        if tongue == "text":
            assert line == f"[#flood] writer: {number} {TEXT}", line[:100]
        else:
            event = json.loads(line)
            assert event["text"] == f"{number} {TEXT}", line[:100]
            assert event["seq"] > last_seq
            last_seq = event["seq"]
    read = time.perf_counter()
    most = max(most, server.memory())
    # It is live again, and heard nothing twice.
    writer.send("#flood the end")
    healthy.expect("[#flood] writer: the end")
    if isinstance(stuck, Text):
        stuck.expect("[#flood] writer: the end")
    else:
        stuck.event(type="message", text="the end")
    stuck.quiet()
    return Figures(flooded - start, read - flooded, most - before)


def _flood(writer: Text, healthy: Text, start: int, messages: int) -> None:
    for first in range(start, messages, AHEAD):
        numbers = range(first, min(first + AHEAD, messages))
        writer.send(*(f"#flood {number} {TEXT}" for number in numbers))
        for number in numbers:
            line = healthy.line()
            assert line.startswith(f"[#flood] writer: {number} "), line[:100]


def main() -> None:
    parser = argparse.ArgumentParser(description="A stuck reader beside a flood.")
    parser.add_argument("--messages", type=int, default=100_000)
    messages: int = parser.parse_args().messages
    total = messages * len(TEXT) / 2**20
    print(f"{messages} messages of {len(TEXT)} characters, {total:.0f} MiB")
    for tongue in ("text", "json"):
        with serve() as server:
            figures = run(server, tongue, messages)
        print(
            f"{tongue}: all there, once, in order; the flood took {figures.flooded:.1f} s, reading "
            f"it afterwards {figures.read:.1f} s, and the memory grew by "
            f"{figures.grown / 2**20:.1f} MiB"
        )


if __name__ == "__main__":
    main()
