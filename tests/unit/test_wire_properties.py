"""Whatever the bytes, however cut: commands or the one error. Whatever the event: clean lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from selchat.errors import Refusal
from selchat.model import commands, events, names
from selchat.model.clean import clean, clean_line, plain
from selchat.model.commands import Command
from selchat.model.entries import TOGETHER
from selchat.model.events import Error, Event
from selchat.wire import Tongue
from selchat.wire.framing import TOO_LONG, Lines
from selchat.wire.jsonl import Jsonl, encode_command, parse
from selchat.wire.rendering import render
from selchat.wire.sniff import LONGEST, Refused, sniff
from selchat.wire.text import Text
from selchat.wire.text import parse as parse_text
from tests.unit.ways import asked

T = TypeVar("T")

FRAGMENTS = [
    b"\n",
    b"\n",
    b"\r\n",
    b"\r",
    b" ",
    b"#dev hi",
    b"@bob ",
    b"/join dev",
    b"/history #d 9",
    b"/topic x y",
    b"/me ",
    b"/search a in #d",
    b"quit",
    b"alice",
    b'{"type":"post","to":"#d","text":"hi"}',
    b'{"type":"hello","user":"a"}',
    b'{"type":"post","to":"#d","text":"a\xffb"}\n',
    b'{"type":"zz","id":"1"}',
    b'{"type":"help","id":',
    b'"id":"1"',
    b"{",
    b"}",
    b"[" * 300,
    b'"',
    b"\\ud800",
    b"\\u0000",
    b"1e999",
    b"9" * 40,
    b"\x00",
    b"\x1b[2J",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc2\x9b",
    "\u202e".encode(),
    "😀".encode(),
    b"x" * 120,
    b"GET / ",
    b"NICK ",
    b"\x16\x03",
]
INPUT = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=12)), max_size=30).map(
    b"".join
)
CUTS = st.lists(st.integers(1, 40), max_size=40)


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """`data` in pieces of `sizes`, and what is left over."""
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


def in_three_ways(data: bytes, sizes: list[int], run: Callable[[Iterator[bytes]], T]) -> T:
    """What `run` gives for `data`, which must be the same whole, in bytes and in any pieces."""
    whole = run(iter([data]))
    assert run(data[place : place + 1] for place in range(len(data))) == whole
    assert run(cut(data, sizes)) == whole
    return whole


# Bytes in


@given(INPUT, CUTS, st.integers(1, 150))
@example(b"abcd\r\n", [5], 4)
@example(b"abcdef\r", [], 4)
@example(b"abcd\rx\n", [5], 4)
@example(b"abcde\nab\n", [5, 1], 4)
def test_framing_gives_the_lines_whatever_the_pieces(
    data: bytes, sizes: list[int], limit: int
) -> None:
    def run(pieces: Iterator[bytes]) -> list[bytes | None]:
        framing, found = Lines(limit), []
        for piece in pieces:
            found += framing.feed(piece)
            rest = framing._rest
            assert len(rest) <= limit or (len(rest) == limit + 1 and rest.endswith(b"\r"))
            assert b"\n" not in rest
        return found

    # The definition: a line ends with LF, or CR LF.
    *complete, rest = data.split(b"\n")
    lines: list[bytes | None] = [line.removesuffix(b"\r") for line in complete]
    lines = [line if line is None or len(line) <= limit else TOO_LONG for line in lines]
    if len(rest.removesuffix(b"\r")) > limit:
        lines.append(TOO_LONG)
    assert in_three_ways(data, sizes, run) == lines


@given(INPUT, CUTS)
def test_what_is_sniffed_does_not_depend_on_the_pieces(data: bytes, sizes: list[int]) -> None:
    def run(pieces: Iterator[bytes]) -> type[Tongue] | Refused | None:
        seen = b""
        for piece in pieces:
            seen += piece
            if (found := sniff(seen)) is not None:
                return found
        return None

    found = in_three_ways(data, sizes, run)
    assert found is not None or len(data) < LONGEST
    assert found in {Text, Jsonl, None} or isinstance(found, Refused)


@pytest.mark.parametrize("tongue", [Text, Jsonl])
@settings(max_examples=300)
@given(data=INPUT, sizes=CUTS, limit=st.sampled_from([20, 100, 1_000]))
def test_any_bytes_are_commands_or_errors_whatever_the_pieces(
    tongue: type[Tongue], data: bytes, sizes: list[int], limit: int
) -> None:
    def run(pieces: Iterator[bytes]) -> list[Command | Error]:
        peer, found = tongue(limit), []
        for piece in pieces:
            for item in asked(peer, piece):
                found.append(item)
                if isinstance(item, commands.Hello):
                    peer.welcomed()
        return found

    found = in_three_ways(data, sizes, run)
    assert len(found) <= data.count(b"\n") + 1
    for item in found:
        assert isinstance(item, commands.ALL) or type(item) is Error
        if isinstance(item, Error):
            assert item.code
            assert 0 < len(item.text) <= 300
            assert len(tongue.encode(item)) <= 2_000


@given(st.binary())
def test_any_line_of_json_is_a_command_or_an_error(line: bytes) -> None:
    found = parse(line)
    assert isinstance(found, Error | commands.Command)


JSON: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
MEMBERS = [*commands.Hello.__struct_fields__, *commands.History.__struct_fields__, "room", "to"]


@given(
    st.sampled_from([commands.name(command) for command in commands.ALL]),
    st.dictionaries(st.sampled_from([*MEMBERS, "text", "name", "other"]), JSON),
)
def test_any_object_is_its_command_or_an_error(kind: str, members: dict[str, object]) -> None:
    found = parse(msgspec.json.encode({"type": kind, **members}))
    if isinstance(found, Error):
        assert found.code in {"bad-command", "bad-json"}
        identity = members.get("id")
        if found.code == "bad-command" and isinstance(identity, str) and len(identity) <= 64:
            assert found.id == identity
    else:
        assert commands.name(type(found)) == kind


@given(st.text(min_size=1))
def test_any_typed_line_is_a_command_or_an_error(line: str) -> None:
    found = parse_text(line)
    assert isinstance(found, Error | commands.Command)
    if isinstance(found, Error):
        check_lines("".join(f"{told}\n" for told in render(found)))


# Events out

#: What does something on a terminal or a page, in a line, or in JSON; halves of pairs.
HOSTILE = ["\n", "\n", "\n* ", "\r", "\t", "\x1b[2J", "\x00", "\x7f", "\x85", "\x9b1m", "\u202e"]
HOSTILE += ["\u2066", "\u2069", "\u2028", "\u200d", "\ud800", "\udfff", '"', "\\", "[#", ": ", "ab"]
CHARACTERS = st.characters() | st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])
ANY = st.lists(st.sampled_from(HOSTILE) | CHARACTERS, max_size=12).map("".join)
TEXT = ANY.map(clean)
LINE = ANY.map(clean_line)


def name_or_none(text: str) -> str | None:
    try:
        return names.user(text)
    except Refusal:
        return None


NAME = (
    st.text(st.characters(categories=["L", "M", "Nd"], include_characters="-_."), min_size=1)
    .map(name_or_none)
    .filter(lambda name: name is not None)
    .map(str)
)
SEQ = st.integers(0, 2**63 - 1)
AT = st.datetimes().map(lambda time: time.isoformat(timespec="milliseconds") + "Z")
ID = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=64)
TARGET = st.builds(lambda mark, name: mark + name, st.sampled_from("#@"), NAME)
REASON = st.sampled_from(["left", "quit", "lost connection"])

MESSAGE = st.builds(events.Message, SEQ, AT, TARGET, NAME, TEXT, st.booleans(), ID)
FACT = st.one_of(
    MESSAGE,
    st.builds(events.Joined, SEQ, AT, NAME, NAME),
    st.builds(events.Left, SEQ, AT, NAME, NAME, REASON),
    st.builds(events.Topic, SEQ, AT, NAME, NAME, LINE),
    st.builds(events.Renamed, SEQ, AT, st.none() | NAME, NAME, NAME),
)
ROOM = st.builds(events.Room, ID, NAME, LINE, st.integers(0, 10**6))
USER = st.builds(events.User, NAME, st.none() | LINE)
COUNT = st.integers(0, 1_000)
EVENT = st.one_of(
    FACT,
    MESSAGE,
    st.builds(
        events.Welcome, NAME, st.none() | LINE, SEQ, LINE, LINE, SEQ, st.lists(NAME, max_size=3)
    ),
    st.builds(events.Ok, ID, st.none() | SEQ, st.none() | AT),
    st.builds(Error, ID, st.just("code"), TEXT),
    st.builds(events.History, ID, TARGET, st.lists(FACT, max_size=5), st.booleans()),
    st.builds(
        events.Found,
        ID,
        LINE.filter(str.split),
        st.lists(MESSAGE, max_size=3),
        st.booleans(),
    ),
    ROOM,
    st.builds(events.Rooms, ID, st.lists(ROOM, max_size=4), COUNT),
    st.builds(events.Users, ID, st.none() | NAME, st.lists(USER, max_size=40), COUNT),
    st.builds(events.Help, ID, st.lists(st.builds(events.Usage, LINE, LINE), max_size=3)),
    st.builds(events.Notice, st.just("code"), TEXT),
    st.builds(events.Ping),
    st.builds(events.Pong, ID),
)

START = re.compile(r"\[#|\[@|\* |! ")
HARMFUL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def check_lines(text: str) -> None:
    """Promise 6, and the promise of how each line begins."""
    assert not HARMFUL.search(text)
    assert text == "" or text.endswith("\n")
    for line in text.split("\n")[:-1]:
        assert START.match(line)


@settings(max_examples=300)
@given(EVENT, st.booleans())
def test_any_event_is_harmless_lines_of_text(event: Event, own: bool) -> None:
    assume(isinstance(event, events.Message) or not own)
    check_lines(Text.encode(event, own).decode())
    assert Text.encode(event, own).decode() == "".join(f"{x}\n" for x in render(event, own))


@given(st.builds(Error, ID, ANY, ANY) | st.builds(events.Notice, ANY, ANY))
def test_what_is_said_by_the_server_is_one_line_whatever_it_quotes(event: Event) -> None:
    text = Text.encode(event).decode()
    check_lines(text)
    assert text.count("\n") == 1


@settings(max_examples=300)
@given(EVENT)
def test_any_event_is_one_line_of_json_that_is_that_event(event: Event) -> None:
    line = Jsonl.encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert msgspec.json.decode(line, type=events.AnyEvent) == event
    assert not re.search(rb"[\x00-\x09\x0b-\x1f]", line)


COMMAND = st.one_of(
    st.builds(commands.Hello, user=NAME, id=ID, token=st.none() | TEXT, after=st.none() | SEQ),
    st.builds(commands.Join, room=NAME, id=ID),
    st.builds(commands.Join, room=NAME.map("#{}".format), id=ID),
    st.builds(commands.Leave, room=NAME, id=ID),
    st.builds(commands.Post, to=TARGET, text=TEXT, id=ID),
    st.builds(commands.Me, to=TARGET, text=TEXT, id=ID),
    st.builds(commands.Topic, room=NAME, text=st.none() | LINE, id=ID),
    st.builds(commands.Away, text=st.none() | TEXT, id=ID),
    st.builds(commands.Nick, name=NAME, id=ID),
    st.builds(commands.Who, room=st.none() | NAME, id=ID),
    st.builds(commands.History, of=TARGET, limit=st.none() | st.integers(1, 99), id=ID),
    st.builds(commands.Search, text=TEXT, of=st.none() | TARGET, by=st.none() | NAME, id=ID),
    st.builds(commands.Quit, id=ID),
)


@given(COMMAND, EVENT)
def test_any_answer_is_harmless_lines_of_text(command: Command, event: Event) -> None:
    check_lines(Text.answer(command, event).decode())
    check_lines(Text.answer(command, events.Ok(seq=1)).decode())
    check_lines(Text.answer(command, events.Ok()).decode())


@given(COMMAND)
def test_any_command_is_read_as_it_was_sent(command: Command) -> None:
    line = encode_command(command)
    assert line.count(b"\n") == 1
    assert list(Jsonl(10**6).receive(line)) == [command]


TYPED = [
    b"#dev hi\n",
    b"#dev hi\n",
    "#dev привет\n".encode(),
    b"#dev  two  spaces \n",
    b"#dev \n",
    b"#dev   \n",
    b"#dev\n",
    b"#devil hi\n",
    b"#dev a\tb\x1b[2Jc\x7f\n",
    b"#dev return\r\n",
    b"#dev in\rside\n",
    b"#dev \xff\n",
    b"#dev \xe2\x80\xa8\n",
    b" #dev hi\n",
    b"\n",
    b"@bob hi\n",
    b"/who\n",
    b"#dev unfinished",
    b"#dev " + b"x" * 300 + b"\n",
]


def said(tongue: Text, data: bytes) -> list[Command | Error]:
    """What comes of it, one by one. Where it says that a text is plain, that is so."""
    found: list[Command | Error] = []
    for item in tongue.receive(data):
        if isinstance(item, commands.Posts):
            found += item.each()
            assert 0 < len(item.texts) <= TOGETHER
            assert not item.plain or all(map(plain, item.texts))
        else:
            found.append(item)
    return found


@given(
    chunks=st.lists(st.lists(st.sampled_from(TYPED), max_size=25).map(b"".join), max_size=4),
    limit=st.sampled_from([64, 4_096]),
)
def test_lines_that_come_together_are_what_they_are_line_by_line(
    chunks: list[bytes], limit: int
) -> None:
    together, apart = Text(limit), Text(limit)
    for tongue in (together, apart):
        list(tongue.receive(b"alice\n"))
        tongue.welcomed()
    for data in chunks:
        pieces = re.findall(rb"[^\n]*\n|[^\n]+", data)
        assert said(together, data) == [item for piece in pieces for item in said(apart, piece)]


def test_many_lines_to_one_place_are_taken_ten_at_a_time() -> None:
    tongue = Text(4_096)
    tongue.welcomed()
    list(tongue.receive(b"#dev first\n"))
    items = list(tongue.receive(b"".join(b"#dev %d\n" % number for number in range(25))))
    assert all(isinstance(item, commands.Posts) and item.plain for item in items)
    assert [len(item.texts) for item in items if isinstance(item, commands.Posts)] == [10, 10, 5]
