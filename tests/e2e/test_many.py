"""2,000 idle people and a reader who never reads, and two who talk and notice nothing."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Start
from tests.e2e.harness import Json, ServerProcess, Text

IDLE = 2000
NEEDED = IDLE + 200
"""Descriptors for them, in this process and in the server's, with those of pytest and tox."""

BATCH = 100


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Raise this process's soft limit as far as needed; the server inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (-1, resource.RLIM_INFINITY) and hard < NEEDED:
        pytest.skip(f"at most {hard} descriptors are allowed here (ulimit -Hn)")
    if soft < NEEDED:
        resource.setrlimit(resource.RLIMIT_NOFILE, (NEEDED, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def talk(alice: Text, bob: Json, text: str) -> None:
    """A message there and one back."""
    alice.send(f"#talk {text}")
    bob.event(type="message", text=text)
    bob.do("post", to="#talk", text=f"re: {text}")
    alice.expect(f"[#talk] bob: re: {text}")


def log_in_many(server: ServerProcess, start: int) -> None:
    """A batch of them: connected at once, every other one with JSON, and logged in."""
    names = [f"idle{number}" for number in range(start, start + BATCH)]
    wires = [server.connect() for _ in names]
    for name, wire in zip(names, wires, strict=True):
        wire.send(name if name[-1] in "02468" else f'{{"type":"hello","user":"{name}"}}')
    for name, wire in zip(names, wires, strict=True):
        wire.expect(
            f"* welcome {name}: …"
            if name[-1] in "02468"
            else f'{{"type":"welcome","user":"{name}"}}'
        )


@pytest.mark.usefixtures("many_descriptors")
def test_two_people_talk_beside_2000_idle_ones_and_a_stuck_one(serve: Start) -> None:
    server = serve()
    alice, bob = server.text("alice", "talk"), server.json("bob", "talk")
    alice.expect("* bob joined #talk")
    server.text("stuck", "talk", receive_buffer=4096)
    alice.expect("* stuck joined #talk")
    bob.event(type="joined", user="stuck")
    filler = "x" * 30_000
    for start in range(0, IDLE, BATCH):
        log_in_many(server, start)
        for number in range(5):
            talk(alice, bob, f"{start + number} {filler}")  # 6 MB in all, for the stuck one
    assert server.descriptors() > IDLE
    for number in range(100):
        talk(alice, bob, str(number))
    alice.send("/who talk")
    alice.expect("* in #talk: alice (owner), bob, stuck")
    bob.quiet()
