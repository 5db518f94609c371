"""Honest people beside the rude: what a message takes to be delivered, with and without them.

    python -m tests.bench.rude --rounds 3 --seconds 10

The rude are a process of their own (`--crowd`), from many addresses of this machine, of which none
is exempt: those who say nothing, those who send a byte a second, those who flood (with messages,
questions and junk, in rooms of their own), those who flood and never read, and those who make the
server begin a TLS handshake and drop it, in a loop. What the server ends is begun anew.

The server has one processor and everybody else another, where there are two, and the rude yield
theirs to the honest, so that it is not their waiting for a processor that is measured. On a machine
that does other work, `--first` puts the server and the honest before that (real-time scheduling,
for root). Linux gives the other work 5 % all the same, 50 ms at a time. The last column tells for
how much of the time the server was ready to run and did not: where that is near 1 %, p99 is about
the machine. Exit code 1: the honest wait more than twice as long, or the server took more memory
than its limit.
"""

from __future__ import annotations

import argparse
import os
import resource
import selectors
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.bench.load import Client, Deadline, medians, percentile, serve
from tests.e2e.harness import ROOT, ServerProcess, until

MEMORY_LIMIT = 512 * 2**20
HONEST, ROOMS = 50, 5
PER_ADDRESS = 50
"""Connections of the rude from one address: fewer than the limit, so that they get in."""

NUMBERS = {"silent": 1000, "dribbling": 1000, "flooding": 100, "deaf": 50, "shaking": 50}


class Figures(NamedTuple):
    """Milliseconds from sending to receiving, and what happened meanwhile."""

    p50: float
    p99: float
    most: float
    delivered: int
    memory: int
    cpu: float
    kept: float
    """The part of the time for which the server could not run, as its processor was taken."""


# The rude


class Rude:
    """One connection, begun anew whenever it ends, from an address that it keeps."""

    first = b""
    reads = True
    receive_buffer: int | None = None

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.crowd = crowd
        self.number = number
        self.source = crowd.address()
        self.socket: socket.socket | None = None
        self.mask = 0

    def begin(self) -> None:
        self.socket = sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self.receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        sock.bind((self.source, 0))
        sock.connect_ex(self.crowd.where)
        self.crowd.begun += 1
        self.mask = selectors.EVENT_READ | selectors.EVENT_WRITE
        self.crowd.selector.register(sock, self.mask, self)

    def ready(self, mask: int) -> None:
        if self.socket is None:
            return
        try:
            if mask & selectors.EVENT_WRITE:
                self.write(self.socket)
            if mask & selectors.EVENT_READ and self.reads and not self.socket.recv(1 << 18):
                self.end()
        except BlockingIOError:
            pass
        except OSError:
            self.end()

    def write(self, sock: socket.socket) -> None:
        """It is connected, and can be written."""
        if self.first:
            sock.send(self.first)
        self.only(selectors.EVENT_READ if self.reads else 0)

    def only(self, mask: int) -> None:
        if mask == self.mask or self.socket is None:
            return
        if not mask:
            self.crowd.selector.unregister(self.socket)
        else:
            self.crowd.selector.modify(self.socket, mask, self)
        self.mask = mask

    def end(self, again: float = 1.0) -> None:
        if self.socket is not None:
            self.only(0)
            self.socket.close()
            self.socket = None
            self.crowd.later(again, self)


class Dribbling(Rude):
    """A byte a second: a name without an end, or a handshake."""

    def dribble(self) -> None:
        if self.socket is not None:
            try:
                self.socket.send(b"\x16" if self.number % 2 else b"x")
            except OSError:
                self.end()


class Flooding(Rude):
    """As much as the server takes."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        super().__init__(crowd, number)
        room = f"rude{number % 10}"
        self.first = f"rude{number}\n/join {room}\n".encode()
        kinds = (f"#{room} all of you listen to me", f"/history {room}", "/search listen", "junk")
        kind = 0 if number % 10 < 7 else number % 10 - 6
        self.flood = f"{kinds[kind]}\n".encode() * 1000
        self.begun = False

    def begin(self) -> None:
        self.begun = False
        super().begin()

    def write(self, sock: socket.socket) -> None:
        sock.send(self.flood if self.begun else self.first)
        # Cut lines are junk, which is rude as well.
        self.begun = True


class Deaf(Flooding):
    """It floods too, and reads nothing."""

    reads = False
    receive_buffer = 4096

    def __init__(self, crowd: Crowd, number: int) -> None:
        super().__init__(crowd, number)
        self.first = self.first.replace(b"rude", b"deaf", 1)


class Shaking(Rude):
    """It has the server begin a handshake, which costs the server much and it nothing."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        super().__init__(crowd, number)
        self.first = crowd.client_hello

    def ready(self, mask: int) -> None:
        if mask & selectors.EVENT_READ:
            self.crowd.shaken += 1
            self.end(again=0)
        else:
            super().ready(mask)


KINDS: dict[str, type[Rude]] = {
    "silent": Rude,
    "dribbling": Dribbling,
    "flooding": Flooding,
    "deaf": Deaf,
    "shaking": Shaking,
}


class Crowd:
    """All the rude, in one loop."""

    def __init__(self, host: str, port: int, scale: float) -> None:
        self.where = host, port
        self.selector = selectors.DefaultSelector()
        self.begun = self.shaken = 0
        self._later: deque[tuple[float, Rude]] = deque()
        self._soon: list[Rude] = []
        self._places = 0
        self.client_hello = client_hello()
        self.people = [
            kind(self, number)
            for name, kind in KINDS.items()
            for number in range(max(1, round(NUMBERS[name] * scale)))
        ]

    def address(self) -> str:
        """Where the next one comes from."""
        number = self._places // PER_ADDRESS
        self._places += 1
        return f"127.66.{number // 250}.{number % 250 + 1}"

    def later(self, delay: float, rude: Rude) -> None:
        """Let it begin anew."""
        if delay:
            self._later.append((time.monotonic() + delay, rude))
        else:
            self._soon.append(rude)

    def run(self, seconds: float) -> None:
        """Be rude for so long."""
        end = time.monotonic() + seconds
        dribbling = [rude for rude in self.people if isinstance(rude, Dribbling)]
        dribbled, turn = time.monotonic(), 0
        coming = deque(self.people)
        while (now := time.monotonic()) < end:
            for _ in range(min(len(coming), 50)):
                coming.popleft().begin()
            soon, self._soon = self._soon, []
            while self._later and self._later[0][0] <= now:
                soon.append(self._later.popleft()[1])
            for rude in soon:
                rude.begin()
            due = int((now - dribbled) * len(dribbling))
            for _ in range(min(due, len(dribbling))):
                dribbling[turn % len(dribbling)].dribble()
                turn += 1
            dribbled += due / len(dribbling)
            for key, mask in self.selector.select(0.01):
                key.data.ready(mask)
        print(f"{self.begun} connections, {self.shaken} handshakes begun", flush=True)


def client_hello() -> bytes:
    """How a TLS client begins."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


@contextmanager
def crowd(server: ServerProcess, seconds: float, scale: float) -> Iterator[None]:
    """The rude, as a process that ends by itself."""
    where = (server.host, str(server.port))
    command = (sys.executable, "-m", "tests.bench.rude", "--crowd", *where)
    process = subprocess.Popen(
        (*command, "--seconds", str(seconds), "--scale", str(scale)), cwd=ROOT
    )
    try:
        yield
    finally:
        assert process.wait(seconds + 60) == 0


# The honest


def talk(server: ServerProcess, people: list[Client], seconds: float) -> Figures:
    """Everybody says something once a second; how long it takes to the others of the room."""
    took: list[float] = []
    memory, cpu, kept = 0, server.cpu(), _kept(server.pid)
    start = time.monotonic()
    expected = said = 0
    deadline = Deadline(seconds + 60)
    with selectors.DefaultSelector() as selector:
        for client in people:
            selector.register(client.socket, selectors.EVENT_READ, client)
        looked = 0.0
        while said < int(seconds * len(people)) or len(took) < expected:
            now = time.monotonic()
            while said < min((now - start), seconds) * len(people):
                # In an order in which neighbours are of different rooms.
                number = said % len(people)
                text = f"#room{number % ROOMS} at {time.perf_counter_ns()}\n"
                people[number].write(text.encode())
                said += 1
                expected += len(people) // ROOMS - 1
            if now > looked + 0.25:
                looked = now
                memory = max(memory, server.memory())
                deadline.check()
            for key, _ in selector.select(0.002):
                lines = key.data.read()
                moment = time.perf_counter_ns()
                took += [
                    (moment - int(line.rpartition(b" ")[2])) / 1e6
                    for line in lines
                    if b" at " in line
                ]
    passed = time.monotonic() - start
    spent, kept = (server.cpu() - cpu) / passed, (_kept(server.pid) - kept) / passed
    p50, p99 = percentile(took, 50), percentile(took, 99)
    return Figures(p50, p99, max(took), len(took), memory, spent, kept)


def _kept(pid: int) -> float:
    """Seconds that a process was ready to run and did not."""
    return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[1]) / 1e9


def run(
    rounds: int, seconds: float, scale: float, *flags: str, first: bool = False
) -> list[list[Figures]]:
    """Without and with the rude in turn, on one server; the figures of each."""
    ours = ("--limits-exempt", "none", "--memory-limit", str(MEMORY_LIMIT))
    found: list[list[Figures]] = [[], []]
    with serve(*ours, *flags) as server, _pinned(server, first):
        people = [
            Client(server, f"honest{number}", f"room{number % ROOMS}", text=True)
            for number in range(HONEST)
        ]
        usual = server.descriptors()
        for _ in range(rounds):
            found[0].append(talk(server, people, seconds))
            with crowd(server, seconds, scale):
                found[1].append(talk(server, people, seconds))
            until(lambda: server.descriptors() <= usual + 5, "all the rude are gone", 60)
        for client in people:
            client.close()
    return found


@contextmanager
def _pinned(server: ServerProcess, first: bool) -> Iterator[None]:
    """The server has a processor for itself, where there are several."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) > 1:
        os.sched_setaffinity(server.pid, processors[:1])
        os.sched_setaffinity(0, processors[1:])
    if first:
        for pid in (0, server.pid):
            os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        if first:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, processors)


def _enough_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sum(NUMBERS.values()) + 500
    most = wanted if hard in (-1, resource.RLIM_INFINITY) else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def main() -> int:
    parser = argparse.ArgumentParser(description="Honest people beside the rude.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--scale", type=float, default=1.0, help="how many of the rude there are")
    parser.add_argument("--first", action="store_true", help="before the machine's other work")
    parser.add_argument("--durability", choices=("full", "normal"), default="full")
    parser.add_argument("--crowd", nargs=2, metavar=("HOST", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    _enough_descriptors()
    if options.crowd is not None:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, 5)
        Crowd(options.crowd[0], int(options.crowd[1]), options.scale).run(options.seconds)
        return 0
    flags = ("--durability", options.durability)
    found = run(options.rounds, options.seconds, options.scale, *flags, first=options.first)
    print("| | p50 ms | p99 ms | longest ms | deliveries | memory MiB | processor | kept from it |")
    print("|---|---|---|---|---|---|---|---|")
    rows = [medians(figures) for figures in found]
    for name, row in zip(("without the rude", "beside the rude"), rows, strict=True):
        p50, p99, most, count, memory, cpu, kept = row
        print(
            f"| {name} | {p50:.2f} | {p99:.2f} | {most:.1f} | {count:.0f} | "
            f"{memory / 2**20:.0f} | {cpu:.0%} | {kept:.1%} |"
        )
    ratio = rows[1][1] / rows[0][1]
    memory = max(figures.memory for figures in found[1])
    print(f"p99 is {ratio:.2f} times what it is without; {memory / 2**20:.0f} MiB at most")
    return int(ratio > 2 or memory > MEMORY_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
