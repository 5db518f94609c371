"""What the fuzzer runs holds on the whole corpus, on what broke it once, and on new inputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selchat.model.events import AnyEvent
from tests.fuzz.run import EVENTS, NAMES, seeds
from tests.fuzz.targets import TARGETS
from tests.unit.test_client_state import any_event

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
FOUND = sorted(CORPUS.glob("fuzz/*/*"))
_event: msgspec.json.Decoder[object] = msgspec.json.Decoder(AnyEvent)


@pytest.fixture(autouse=True)
def term(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A terminal that can do what all can."""
    with monkeypatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.delenv("NO_COLOR", raising=False)
        yield


def test_each_target_can_be_run() -> None:
    assert tuple(TARGETS) == NAMES


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_broke_it_once_does_so_no_more(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_every_target_holds_on_the_corpus(name: str) -> None:
    for data in seeds(name):
        TARGETS[name](data)


# Hypothesis on the targets that no other test runs.

#: What does something to a terminal, or takes no room on it.
HOSTILE = ["\x1b[2J", "\x1b]8;;http://x\x07", "\x1b]52;c;eA==\x07", "\x9b31m", "\u202e", "\u2066"]
HOSTILE += [
    "\u2028",
    "\u200b" * 40,
    "\u0301" * 40,
    "x" * 300,
    "\r",
    "\b",
    "\x00",
    "日本",
    "👩\u200d👧",
]
HARSH = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=4), max_size=4).map("".join)


def event_lines() -> st.SearchStrategy[bytes]:
    """Lines of valid events, hostile strings in them; and some that are none."""

    def twisted(event: object, words: list[str]) -> bytes:
        members = msgspec.to_builtins(event)
        for member, word in zip(list(members), words, strict=False):
            if isinstance(members[member], str) and member != "type":
                members[member] += word
        return msgspec.json.encode(members)

    seeded = st.sampled_from([_event.decode(line) for line in seeds("state")[0][1:].split(b"\n")])
    valid = st.builds(twisted, any_event() | seeded, st.lists(HARSH, max_size=6))
    # What is no JSON ends the connection, so there is little of it.
    return st.lists(st.one_of(*[valid] * 9, st.binary(max_size=20)), max_size=8).map(
        lambda lines: b"".join(line + b"\n" for line in lines).replace(b"\xff", b"")
    )


TYPED = st.lists(
    st.sampled_from(
        [b"#dev hi\r", b"/join dev\r", b"hi\r", b"@\t\r", b"#\t", b"\t\t", b"\x1b[A", b"/to @bob\r"]
    )
    | st.binary(max_size=4),
    max_size=6,
).map(lambda keys: b"".join(keys).replace(b"\xff", b""))


@settings(max_examples=100)
@given(
    options=st.integers(0, 7),
    user=HARSH,
    room=HARSH,
    turns=st.lists(st.tuples(event_lines(), TYPED), max_size=4),
)
def test_whatever_a_server_says_the_terminal_is_safe(
    options: int, user: str, room: str, turns: list[tuple[bytes, bytes]]
) -> None:
    """It may give the user any name, and says yes to all that is asked."""
    welcome = EVENTS[0] | {"user": f"alice{user}", "rooms": [f"dev{room}"]}
    yes = b"".join(b'{"type":"ok","id":"~%d","seq":9}\n' % number for number in range(1, 12))
    data = bytes([options]) + msgspec.json.encode(welcome) + b"\n"
    for said, typed in turns:
        data += said + b"\xff#dev hi\r" + typed + b"\xff" + yes
    TARGETS["client"](data)


@settings(max_examples=60)
@given(st.lists(st.tuples(event_lines(), TYPED), max_size=6))
def test_whatever_a_server_says_the_state_gives_clean_lines(
    turns: list[tuple[bytes, bytes]],
) -> None:
    TARGETS["state"](b"\x90" + b"\n".join(part for turn in turns for part in turn))


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(
            st.sampled_from(seeds("server")) | HARSH.map(str.encode) | st.binary(max_size=30)
        ).map(b"".join),
        max_size=5,
    )
)
def test_whatever_clients_say_the_server_goes_on(turns: list[bytes]) -> None:
    TARGETS["server"](b"\xff".join(turns))


@pytest.mark.parametrize("name", ["tls_server", "tls_client"])
@settings(max_examples=60)
@given(
    flights=st.integers(0, 3),
    size=st.sampled_from([0, 1, 20]),
    twist=st.integers(0, 255),
    tail=st.binary(max_size=300)
    | st.builds(b"\x00\x00\x16\x03\x03".__add__, st.binary(max_size=60)),
)
def test_whatever_records_come_there_is_one_end(
    name: str, flights: int, size: int, twist: int, tail: bytes
) -> None:
    TARGETS[name](bytes([flights, size, twist]) + tail)
