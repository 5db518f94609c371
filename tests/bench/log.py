"""What durability costs: posts a second and the wait for an acknowledgement; start and history.

    python -m tests.bench.log --runs 5

First, clients that each have some posts under way wait for their acknowledgements, over a log
synced at each commit (full), one that is not (normal) and one in memory, in turn. Then a log of a
million entries: how long the server takes to start on it, and to answer for the last 50 messages
of a room.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from selchat.hub.hub import Hub
from selchat.hub.snapshot import dump
from selchat.model import events
from selchat.model.entries import Entry, room
from selchat.operators import StillWorld
from selchat.settings import ServerSettings
from selchat.store import search
from selchat.store.database import FILE
from selchat.store.places import Places
from selchat.store.sqlite import SqliteLog
from tests.bench.load import Client, Deadline, interleaved, medians, percentile, serve
from tests.e2e.harness import PATIENCE, SERVER, LineReader, environment

WAYS = {
    "full": ("--durability", "full"),
    "normal": ("--durability", "normal"),
    "memory": ("--store", "memory"),
}
LOADS = ((1, 1), (10, 1), (100, 1), (10, 20))
"""Clients, and posts that each has under way."""

TEXT = "x" * 100
ROOMS = 100
SNAPSHOT = 50_000
"""Entries above the last snapshot, the most that the default settings leave."""

_TOGETHER = 20_000
"""Entries written at a time where a log is made."""

AT = "2026-01-31T12:00:00.123Z"


class Poster(Client):
    """Posts, waits for the acknowledgement, and posts again."""

    def post(self, number: int) -> None:
        self.sent[number] = time.perf_counter()
        line = {"type": "post", "id": str(number), "to": f"#{self.room}", "text": TEXT}
        self.write(json.dumps(line).encode() + b"\n")

    room = ""
    sent: dict[int, float]
    waits: list[float]
    next = 0

    def begin(self, room: str, ahead: int) -> None:
        self.room, self.sent, self.waits = room, {}, []
        for _ in range(ahead):
            self.go_on()

    def go_on(self) -> None:
        self.post(self.next)
        self.next += 1

    def hear(self) -> None:
        now = time.perf_counter()
        for line in self.read():
            event = json.loads(line)
            if event["type"] == "ok":
                self.waits.append(now - self.sent.pop(int(event["id"])))
                self.go_on()
            elif event["type"] == "error":
                raise AssertionError(event)


def acknowledgements(way: str, clients: int, ahead: int, seconds: float) -> list[float]:
    """Posts a second, and the median and the 99th percentile of the wait in milliseconds."""
    with serve(*WAYS[way]) as server, selectors.DefaultSelector() as selector:
        # Each in a room of its own: what is measured is the log, not the fan-out.
        posters = [Poster(server, f"c{n}", f"r{n}") for n in range(clients)]
        for number, poster in enumerate(posters):
            selector.register(poster.socket, selectors.EVENT_READ, poster)
            poster.begin(f"r{number}", ahead)
        start = time.perf_counter()
        warm = start + seconds / 5
        end = start + seconds
        while (now := time.perf_counter()) < end:
            if now < warm:
                for poster in posters:
                    poster.waits.clear()
            for key, _ in selector.select(PATIENCE):
                key.data.hear()
        waits = [wait for poster in posters for wait in poster.waits]
        for poster in posters:
            poster.close()
    return [
        len(waits) / (end - warm),
        percentile(waits, 50) * 1000,
        percentile(waits, 99) * 1000,
    ]


class _World(StillWorld):
    """A hub's world in which time stands still."""

    def now(self) -> int:
        return 0


def build(folder: Path, entries: int) -> None:
    """Make a log: some people in each of a hundred rooms, and messages."""
    log = SqliteLog(folder, full=False)
    try:
        last = entries - SNAPSHOT
        for number, entry in enumerate(_entries(entries), 1):
            log.append(entry)
            if number % _TOGETHER == 0 or number == last:
                log.commit()
                log.tidy(idle=False)
            if number == last:
                hub = Hub(log, ServerSettings(), _World())
                hub.restore()
                log.save_snapshot(dump(hub.state))
        log.commit()
    finally:
        log.close()
    # In larger steps than a server takes, which has others to look after.
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        while search.index(db, _TOGETHER):
            pass
        db.execute("INSERT INTO search (search) VALUES ('optimize')")
        places = Places(db)
        while places.file():
            pass


def _entries(count: int) -> Iterator[Entry]:
    chance = random.Random(1)
    people = 1_000
    for seq in range(1, people + 1):
        yield Entry(events.Opened(seq, AT, f"user{seq}", f"{seq:064x}"), "", (), seq)
    seq = people
    for user in range(1, people + 1):
        seq += 1
        name = f"room{user % ROOMS}"
        yield Entry(events.Joined(seq, AT, name, f"user{user}"), room(name), (user,), user)
    while seq < count:
        seq += 1
        user = chance.randrange(1, people + 1)
        name = f"room{user % ROOMS}"
        text = " ".join(chance.choices(_WORDS, k=12))
        fact = events.Message(seq, AT, f"#{name}", f"user{user}", text)
        yield Entry(fact, room(name), (), user, f"p{seq}")


_WORDS = [f"{one}{other}" for one in ("ba", "de", "fi", "go", "lu") for other in "bcdfghklmnprst"]


def start_up(folder: Path) -> float:
    """Seconds from the call of the command until it accepts connections; it is killed then."""
    start = time.perf_counter()
    process = subprocess.Popen(
        (*SERVER, "--host", "127.0.0.1", "--port", "0", "--data", str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    assert process.stdout is not None
    LineReader(process.stdout.fileno()).next()
    seconds = time.perf_counter() - start
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return seconds


def last_50(folder: Path, run: int, questions: int) -> list[float]:
    """Milliseconds until the last 50 messages of a room are there: median and p99."""
    waits = []
    chance = random.Random(2)
    with serve(data=folder) as server:
        rooms = [f"room{n}" for n in range(ROOMS)]
        client = Client(server, f"reader{run}", *rooms)
        client.socket.setblocking(True)
        deadline = Deadline()
        for _ in range(questions):
            deadline.check()
            name = chance.choice(rooms)
            start = time.perf_counter()
            answer = client.ask(f'{{"type":"history","id":"h","of":"#{name}","limit":50}}')
            waits.append(time.perf_counter() - start)
            assert len(json.loads(answer)["entries"]) == 50
        client.close()
    return [percentile(waits, 50) * 1000, percentile(waits, 99) * 1000]


def main() -> None:
    parser = argparse.ArgumentParser(description="What durability costs.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run")
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the large log")
    options = parser.parse_args()

    print(f"medians of {options.runs} interleaved runs of {options.seconds:g} s")
    print("| clients | posts under way each | log | acknowledged/s | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|")
    for clients, ahead in LOADS:

        def measure(way: str, clients: int = clients, ahead: int = ahead) -> list[float]:
            return acknowledgements(way, clients, ahead, options.seconds)

        for way, runs in interleaved(list(WAYS), options.runs, measure).items():
            rate, median, worst = medians(runs)
            print(
                f"| {clients} | {ahead} | {way} | {rate:,.0f} | {median:.2f} | {worst:.2f} |",
                flush=True,
            )

    with tempfile.TemporaryDirectory(prefix="selchat-bench-") as made:
        empty, large = Path(made) / "empty", Path(made) / "large"
        build(large, options.entries)
        size = sum(path.stat().st_size for path in large.iterdir()) / 2**20
        print(f"\na log of {options.entries:,} entries in {ROOMS} rooms, {size:.0f} MiB")
        starts: dict[str, list[float]] = {"empty": [], "large": []}
        for _ in range(max(3, options.runs)):
            starts["empty"].append(start_up(empty))
            starts["large"].append(start_up(large))
        for name, seconds in starts.items():
            print(f"start, {name}: {statistics.median(seconds):.2f} s", flush=True)
        pages = [last_50(large, run, 1_000) for run in range(max(3, options.runs))]
        median, worst = medians(pages)
        print(f"the last 50 messages of a room: p50 {median:.2f} ms, p99 {worst:.2f} ms")


if __name__ == "__main__":
    main()
