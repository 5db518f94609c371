"""How much it costs the others that one of them does not read.

    python -m tests.bench.slow_reader --runs 7

One writes to a room as fast as the server takes it, and a number of others read. Three ways in
turn: with no slow reader; with one that never reads; with one that reads again after a third of
the flood, so that it is fed from the log beside what goes on. The figure is how many messages a
second the healthy readers get; what counts is its ratio to that without a slow reader.
"""

from __future__ import annotations

import argparse
import time

from tests.bench.load import Client, Deadline, interleaved, medians, serve, turn

WAYS = ("without", "stuck", "back again")
TEXT = "x" * 100
AHEAD = 1_000
"""Messages under way at most: more than the server does in a tick."""


def measure(way: str, messages: int, readers: int) -> list[float]:
    """Messages a second that each healthy reader got; what the slow one had read in the end."""
    with serve() as server:
        writer = Client(server, "writer", "flood", text=True)
        healthy = [Client(server, f"reader{n}", "flood", text=n % 2 == 0) for n in range(readers)]
        slow = None
        if way != "without":
            slow = Client(server, "slow", "flood", receive_buffer=65_536)
        sent = 0
        deadline = Deadline()
        start = time.perf_counter()
        while True:
            deadline.check()
            got = min(client.messages for client in healthy)
            if got >= messages:
                break
            if writer.write() and sent < messages and sent - got < AHEAD:
                count = min(100, messages - sent)
                lines = (f"#flood {n} {TEXT}\n" for n in range(sent, sent + count))
                writer.write("".join(lines).encode())
                sent += count
                continue  # until as much is under way as may be
            reading = list(healthy)
            if slow is not None and way == "back again" and got > messages // 3:
                reading.append(slow)
            turn(reading, Client.read)
        seconds = time.perf_counter() - start
        for client in (writer, *healthy):
            client.close()
        caught_up = 0.0
        if slow is not None:
            caught_up = float(slow.messages)
            slow.close()
        return [messages / seconds, caught_up]


def main() -> None:
    parser = argparse.ArgumentParser(description="What a slow reader costs the others.")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--readers", type=int, default=5)
    options = parser.parse_args()
    found = interleaved(
        WAYS, options.runs, lambda way: measure(way, options.messages, options.readers)
    )
    print(
        f"{options.messages} messages to {options.readers} healthy readers, "
        f"medians of {options.runs} interleaved runs"
    )
    print("| slow reader | messages/s to each healthy one | ratio | what the slow one had read |")
    print("|---|---|---|---|")
    plain = medians(found["without"])[0]
    for way in WAYS:
        rate, read = medians(found[way])
        print(f"| {way} | {rate:,.0f} | {rate / plain:.2f} | {read:,.0f} |")


if __name__ == "__main__":
    main()
