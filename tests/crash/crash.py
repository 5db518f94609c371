"""Kill a server with SIGKILL again and again while people talk, then look for what it broke.

    python -m tests.crash.crash --kills 1000 --seed 1

Clients that speak JSON post to rooms and to each other, with ids. They are cut off by chance, and
all of them with each kill; they come back with token, `after` and `log`, and repeat what was not
acknowledged. Talking goes on until after the last kill. What must hold at the end:

- every acknowledged post is in the history, once, with the `seq` of its `ok`;
- every other post is there at most once;
- every member got every entry of the history that concerns it, once, in the order of the history,
  and nothing else;
- no session was lost, and nobody was told that anybody left.

Nobody waits for a fixed time: what is waited for is a condition with a deadline.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.harness import PATIENCE, READY, SERVER, LineReader, environment

ROOMS = ("dev", "ops", "fun")
NAMES = ("ann", "ben", "cleo", "dan", "eve")
AHEAD = 4
"""Posts that a client has under way at most."""

CUT = 0.01
"""How likely it is that a client loses its connection after a line that it got."""

TICK = 0.02
"""Seconds to wait for something before looking at the clock again."""


class Violation(AssertionError):
    """A promise was broken."""


class Kept(NamedTuple):
    """How a run went."""

    kills: int
    posts: int
    entries: int
    resumes: int
    repeated: int
    """Posts that were sent again after a resume."""
    stored_unacknowledged: int
    """Of these, how many had been stored the first time."""


class ServerUnderFire:
    """A server process that is started again on the same data."""

    def __init__(self, folder: Path, command: Sequence[str], chance: random.Random) -> None:
        self.command = (
            *command,
            *("--host", "127.0.0.1", "--port", "0", "--data", str(folder / "data")),
            # Snapshots often, and readers that fall behind soon: more ways to go wrong.
            *("--snapshot-entries", "300", "--soft-limit", "4096", "--log-level", "warning"),
        )
        self.said = folder / "server.log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._chance = chance

    def start(self) -> None:
        with self.said.open("ab") as stderr:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment(),
            )
        assert self._process.stdout is not None
        line = LineReader(self._process.stdout.fileno()).next().decode()
        match = READY.fullmatch(line)
        if match is None:
            raise Violation(f"it does not start again: {line!r}\n{self.said.read_text()}")
        self.port = int(match[2])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._end()

    def terminate(self) -> None:
        """Ask it to stop in good order."""
        assert self._process is not None
        self.port = 0
        self._process.terminate()

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            if self._process.returncode:
                raise Violation(f"it ended with {self._process.returncode}")
            self._end()
        return self._process is None

    def _end(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        self.port = 0

    def start_and_kill(self) -> None:
        """Kill it while it starts."""
        with self.said.open("ab") as stderr:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment(),
            )
        with suppress(subprocess.TimeoutExpired):
            process.wait(self._chance.uniform(0.05, 0.4))
        process.kill()
        process.wait(PATIENCE)


class Client:
    """Someone who talks, and remembers all that it sent and was told."""

    def __init__(self, name: str, peers: Sequence[str], chance: random.Random) -> None:
        self.name = name
        self.token: str | None = None
        self.log = ""
        self.after = 0
        self.under_way: dict[str, dict[str, str]] = {}  # posts not acknowledged, by id
        self.texts: dict[str, str] = {}  # all posts, by id
        self.acknowledged: dict[str, int] = {}
        self.told: list[dict[str, Any]] = []
        self.pages: list[dict[str, Any]] = []
        self.joined: set[str] = set()
        self.talking = False
        self.resumes = self.repeated = 0
        self.pong = False
        self.ready = False
        self.socket: socket.socket | None = None
        self._targets = [f"#{room}" for room in ROOMS] + [f"@{peer}" for peer in peers]
        self._chance = chance
        self._unread = b""
        self._unsent = bytearray()

    # The connection

    def connect(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setblocking(False)
        self._unread = b""
        self._unsent.clear()
        self.ready = False
        hello: dict[str, object] = {"type": "hello", "user": self.name}
        if self.token is not None:
            self.resumes += 1
            hello |= {"token": self.token, "after": self.after, "log": self.log}
        self.say(hello)

    def cut(self) -> None:
        """Lose the connection, at times in a way that the server notices late."""
        if self.socket is not None:
            if self._chance.random() < 0.5:
                linger = struct.pack("ii", 1, 0)
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.socket.close()
            self.socket = None
        self.ready = False

    def say(self, line: dict[str, Any]) -> None:
        self._unsent += json.dumps(line).encode() + b"\n"

    def flush(self) -> None:
        if self.socket is not None and self._unsent:
            try:
                # In pieces, so that lines are torn by cuts and kills.
                size = self._chance.choice((len(self._unsent), 1 + len(self._unsent) // 2))
                sent = self.socket.send(self._unsent[:size])
            except BlockingIOError:
                return
            except OSError:
                self.cut()
                return
            del self._unsent[:sent]

    def receive(self) -> bool:
        """Read what there is; False when the connection is over."""
        assert self.socket is not None
        try:
            data = self.socket.recv(self._chance.choice((512, 65_536)))
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.cut()
            return False
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))
            if self.talking and self._chance.random() < CUT:
                self.cut()
                return False
        return True

    # What is said and heard

    def talk(self) -> None:
        """Post something, if not too much is under way."""
        if not (self.ready and self.talking):
            return
        while len(self.under_way) < AHEAD and self._chance.random() < 0.7:
            identity = f"{self.name}-{len(self.texts)}"
            post = {
                "type": "post",
                "id": identity,
                "to": self._chance.choice(self._targets),
                "text": identity + "." * self._chance.randrange(200),
            }
            self.texts[identity] = post["text"]
            self.under_way[identity] = post
            self.say(post)

    def _hear(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "message":
            self._told(event)
        elif kind == "ok":
            self._done(event)
        elif kind == "welcome":
            self._welcomed(event)
        elif kind == "history":
            self.pages.append(event)
        elif kind == "pong":
            self.pong = True
        elif kind == "joined" and not self.talking:
            self.after = event["seq"]
        elif kind == "error" and event["code"] == "taken-over":
            pass  # on the connection that was given up
        elif kind not in ("ping", "notice"):
            raise Violation(f"{self.name} was told {event}")

    def _told(self, event: dict[str, Any]) -> None:
        if event["seq"] <= self.after:
            raise Violation(f"{self.name}, who was at {self.after}, was told {event}")
        self.after = event["seq"]
        if event["from"] == self.name:
            self._acknowledge(event.pop("id"), event["seq"])
        self.told.append(event)

    def _done(self, event: dict[str, Any]) -> None:
        identity, seq = event["id"], event.get("seq")
        if identity.startswith("join "):
            self.joined.add(identity)
        elif seq is None:
            raise Violation(f"{self.name}: an acknowledgement without seq: {event}")
        else:
            self._acknowledge(identity, seq)
        self.after = max(self.after, seq or 0)

    def _acknowledge(self, identity: str, seq: int) -> None:
        if self.acknowledged.setdefault(identity, seq) != seq:
            raise Violation(f"{identity} is {self.acknowledged[identity]}, and now it is {seq}")
        self.under_way.pop(identity, None)

    def _welcomed(self, event: dict[str, Any]) -> None:
        if self.token is not None and set(event["rooms"]) != set(ROOMS):
            raise Violation(f"{self.name} came back and is in {event['rooms']}")
        if event["user"] != self.name or event["seq"] < self.after:
            raise Violation(f"{self.name}, who was at {self.after}, was told {event}")
        if self.token is None:
            self.after = event["seq"]
        self.token, self.log = event["token"], event["log"]
        self.ready = True
        for post in self.under_way.values():
            self.repeated += 1
            self.say(post)


class Trial:
    """One server and its clients, from the first join to the last look at the history."""

    def __init__(self, folder: Path, command: Sequence[str], seed: int) -> None:
        self.chance = random.Random(seed)
        self.server = ServerUnderFire(folder, command, self.chance)
        self.clients = [
            Client(name, [peer for peer in NAMES if peer != name], self.chance) for name in NAMES
        ]
        self.kills = 0

    def run(self, kills: int, progress: bool = False) -> Kept:
        """Raises `Violation` when something is not as promised."""
        try:
            self.server.start()
            self._enter()
            while self.kills < kills:
                self._talk_a_while()
                self._interrupt()
                if progress and self.kills % 50 == 0:
                    posts = sum(len(client.acknowledged) for client in self.clients)
                    print(f"{self.kills} kills, {posts} posts acknowledged", flush=True)
            self._talk_a_while(20)
            self._come_to_rest()
            return self._check()
        finally:
            self.server.kill()
            for client in self.clients:
                client.cut()

    def _enter(self) -> None:
        for client in self.clients:
            client.connect(self.server.port)
            for room in ROOMS:
                client.say({"type": "join", "id": f"join {room}", "room": room})
        self._until(
            lambda: all(len(client.joined) == len(ROOMS) for client in self.clients), "all joined"
        )
        self._barrier()
        for client in self.clients:
            client.talking = True

    def _talk_a_while(self, least: int = 0) -> None:
        """Go on for some milliseconds, and until some posts were acknowledged."""
        wanted = least or self.chance.choice((0, 1, 10, 40))
        before = sum(len(client.acknowledged) for client in self.clients)
        end = time.monotonic() + self.chance.choice((0.0, 0.01, 0.05, 0.2))
        self._until(
            lambda: (
                time.monotonic() >= end
                and sum(len(client.acknowledged) for client in self.clients) >= before + wanted
            ),
            f"{wanted} posts are acknowledged",
        )

    def _interrupt(self) -> None:
        if self.chance.random() < 0.1:
            self.server.terminate()  # in good order, for once
            self._until(self.server.ended, "it stops")
        else:
            self.server.kill()
            self.kills += 1
        if self.chance.random() < 0.05:
            self.server.start_and_kill()
            self.kills += 1
        for client in self.clients:
            # Some read what was on its way to them, some lose it.
            while client.socket is not None and self.chance.random() < 0.9 and client.receive():
                pass
            client.cut()
        self.server.start()

    def _come_to_rest(self) -> None:
        for client in self.clients:
            client.talking = False
        self._until(
            lambda: all(client.ready and not client.under_way for client in self.clients),
            "everything is acknowledged",
        )
        self._barrier()

    def _barrier(self) -> None:
        """Wait until everybody has got what was told so far: answers come behind it."""
        for client in self.clients:
            client.pong = False
            client.say({"type": "ping", "id": "pong"})
        self._until(lambda: all(client.pong for client in self.clients), "all are answered")

    def _until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise Violation(f"in {PATIENCE:g} s it did not happen: {what}")
            self._turn()

    def _turn(self) -> None:
        """Let everybody read, talk and write once."""
        with selectors.DefaultSelector() as selector:
            for client in self.clients:
                if client.socket is None and self.server.port:
                    client.connect(self.server.port)
                client.talk()
                client.flush()
                if client.socket is not None:
                    selector.register(client.socket, selectors.EVENT_READ, client)
            for key, _ in selector.select(TICK):
                key.data.receive()

    # The history

    def _check(self) -> Kept:
        histories = {f"#{room}": self._history(self.clients[0], f"#{room}") for room in ROOMS}
        for one in self.clients:
            for other in self.clients:
                if one.name < other.name:
                    pair = self._history(one, f"@{other.name}")
                    if pair != self._history(other, f"@{one.name}"):
                        raise Violation(f"{one.name} and {other.name} read different pasts")
                    histories[f"{one.name} {other.name}"] = pair
        everything = sorted(
            (entry for history in histories.values() for entry in history), key=lambda e: e["seq"]
        )
        if len({entry["seq"] for entry in everything}) != len(everything):
            raise Violation("a seq stands in the history twice")
        self._check_posts(everything)
        for client in self.clients:
            _check_told(client, everything)
        acknowledged = sum(len(client.acknowledged) for client in self.clients)
        sent = sum(len(client.texts) for client in self.clients)
        if acknowledged != sent:
            raise Violation(f"{sent} were posted and {acknowledged} acknowledged in the end")
        return Kept(
            self.kills,
            sent,
            len(everything),
            sum(client.resumes for client in self.clients),
            sum(client.repeated for client in self.clients),
            sum(entry["from"] == c.name for c in self.clients for entry in c.told),
        )

    def _check_posts(self, everything: list[dict[str, Any]]) -> None:
        seqs: dict[str, int] = {}
        for text, count in Counter(entry["text"] for entry in everything).items():
            if count > 1:
                raise Violation(f"{text.rstrip('.')} is in the history {count} times")
        for entry in everything:
            seqs[entry["text"].rstrip(".")] = entry["seq"]
        for client in self.clients:
            for identity, seq in client.acknowledged.items():
                if seqs.get(identity) != seq:
                    raise Violation(
                        f"{identity} was acknowledged as {seq}, and the history has it as "
                        f"{seqs.get(identity)}"
                    )

    def _history(self, client: Client, of: str) -> list[dict[str, Any]]:
        """All that was said there, page by page."""
        found: list[dict[str, Any]] = []
        before: dict[str, int] = {}
        while True:
            client.pages.clear()
            client.say({"type": "history", "id": "history", "of": of, **before})
            self._until(lambda: client.pages, "a page of history comes")
            page = client.pages[0]
            found[:0] = [entry for entry in page["entries"] if entry["type"] == "message"]
            if not page["more"]:
                return found
            before = {"before": page["entries"][0]["seq"]}


def _check_told(client: Client, everything: list[dict[str, Any]]) -> None:
    """That it was told what concerns it, once, in order, and nothing else; its own posts by
    their acknowledgement or, in a resume, as an entry.
    """
    due = [entry for entry in everything if _concerns(client, entry)]
    told = [entry for entry in client.told if entry["from"] != client.name]
    if told != due:
        missing = [entry for entry in due if entry not in told]
        more = [entry for entry in told if entry not in due]
        raise Violation(
            f"{client.name} was told {len(told)} entries and not {len(due)}: "
            f"missing {missing[:5]}, more {more[:5]}"
        )
    own = {entry["seq"]: entry for entry in everything if entry["from"] == client.name}
    if any(own.get(entry["seq"]) != entry for entry in client.told if entry["from"] == client.name):
        raise Violation(f"{client.name} was given posts of its own that it did not make")


def _concerns(client: Client, entry: dict[str, Any]) -> bool:
    to: str = entry["to"]
    return entry["from"] != client.name and (to[0] == "#" or to == f"@{client.name}")


def run(kills: int, seed: int, command: Sequence[str] = SERVER, *, progress: bool = False) -> Kept:
    """One trial in a folder of its own. Raises `Violation` when something is not as promised."""
    with tempfile.TemporaryDirectory(prefix="selchat-crash-") as folder:
        trial = Trial(Path(folder), command, seed)
        kept = trial.run(kills, progress)
        said = trial.server.said.read_text()
        if "Traceback" in said or "ERROR" in said:
            raise Violation(f"the server logged errors:\n{said}")
        return kept


def _figures(kept: Kept) -> Iterator[str]:
    yield f"{kept.kills} kills, {kept.resumes} resumes"
    yield f"{kept.posts} posts, each acknowledged and in the history once ({kept.entries} entries)"
    yield (
        f"{kept.repeated} were sent again after a resume; of all, {kept.stored_unacknowledged} "
        "had been stored without their acknowledgement arriving"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Kill a server again and again.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None, help="of all chance (default: random)")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}", flush=True)
    try:
        kept = run(options.kills, seed, progress=True)
    except Violation as violation:
        print(f"BROKEN: {violation}")
        return 1
    print("\n".join(_figures(kept)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
