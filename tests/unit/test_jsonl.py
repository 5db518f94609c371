"""The JSON tongue: the contract of the design, literally, and one clear error for all the rest."""

from __future__ import annotations

import time

import msgspec
import pytest

from selchat.model import commands, events
from selchat.model.commands import Command
from selchat.model.events import Error, Event
from selchat.wire.jsonl import Jsonl, encode_command, parse, too_long
from tests.unit.ways import pieces

LIMIT = 65_536
BIG = 2**63 - 1

# A line and the command that it asks for.
GOOD: list[tuple[str, Command]] = [
    ('{"type":"hello","version":1,"user":"alice"}', commands.Hello(user="alice")),
    (
        '{"type":"hello","version":1,"user":"alice","token":"t","after":41,"log":"l"}',
        commands.Hello(user="alice", token="t", after=41, log="l"),
    ),
    ('{"type":"hello","user":"alice","version":7}', commands.Hello(user="alice", version=7)),
    ('{"type":"join","id":"1","room":"dev"}', commands.Join(id="1", room="dev")),
    ('{"type":"leave","room":"dev"}', commands.Leave(room="dev")),
    (
        '{"type":"post","id":"2","to":"#dev","text":"hi"}',
        commands.Post(id="2", to="#dev", text="hi"),
    ),
    ('{"type":"post","to":"@bob","text":"a\\nb"}', commands.Post(to="@bob", text="a\nb")),
    ('{"type":"me","to":"#dev","text":"waves"}', commands.Me(to="#dev", text="waves")),
    ('{"type":"rooms"}', commands.Rooms()),
    ('{"type":"who"}', commands.Who()),
    ('{"type":"who","room":"dev"}', commands.Who(room="dev")),
    ('{"type":"topic","room":"dev"}', commands.Topic(room="dev")),
    ('{"type":"topic","room":"dev","text":""}', commands.Topic(room="dev", text="")),
    ('{"type":"away","text":"tea"}', commands.Away(text="tea")),
    ('{"type":"nick","name":"bob"}', commands.Nick(name="bob")),
    (
        '{"type":"history","id":"3","of":"#dev","before":43,"limit":50}',
        commands.History(id="3", of="#dev", before=43, limit=50),
    ),
    ('{"type":"history","of":"#dev"}', commands.History(of="#dev")),
    # Capped silently, however much it asks for.
    (f'{{"type":"history","of":"#d","limit":{BIG}}}', commands.History(of="#d", limit=BIG)),
    (f'{{"type":"history","of":"#d","after":{BIG}}}', commands.History(of="#d", after=BIG)),
    (
        '{"type":"search","text":"tea","of":"#d","by":"b","before":"2026","below":9,"limit":5}',
        commands.Search(text="tea", of="#d", by="b", before="2026", below=9, limit=5),
    ),
    ('{"type":"help"}', commands.Help()),
    ('{"type":"quit"}', commands.Quit()),
    ('{"type":"ping","id":"p"}', commands.Ping(id="p")),
    ('{"type":"pong"}', commands.Pong()),
    # Any order, any space, any escape, and members that nobody knows yet.
    (' { "text" : "hi" , "to" : "#d" , "type" : "post" } ', commands.Post(to="#d", text="hi")),
    ('{"\\u0074ype":"h\\u0065lp"}', commands.Help()),
    ('{"type":"help","later":{"a":[1,2,{"b":null}]}}', commands.Help()),
    ('{"type":"help","id":null}', commands.Help()),
    ('{"type":"post","to":"#d","text":"\\ud83d\\ude00 é"}', commands.Post(to="#d", text="😀 é")),
    # Of a repeated member the last one counts (RFC 8259, section 4, leaves it open).
    ('{"type":"help","id":"a","id":"b"}', commands.Help(id="b")),
]

# A line, and the code and the id of its error.
BAD: list[tuple[str | bytes, str, str | None]] = [
    ("x", "bad-json", None),
    ("{", "bad-json", None),
    ("}", "bad-json", None),
    ("{}x", "bad-json", None),
    ("nul", "bad-json", None),
    ("null", "bad-json", None),
    ("7", "bad-json", None),
    ('"help"', "bad-json", None),
    ("[]", "bad-json", None),
    ('[{"type":"help"}]', "bad-json", None),
    ('{"type":"help"', "bad-json", None),
    ('{"type":"help",}', "bad-json", None),
    ("{'type':'help'}", "bad-json", None),
    ('{type:"help"}', "bad-json", None),
    ('{"type":"help"} {"type":"help"}', "bad-json", None),
    ('{"type":"help","x":NaN}', "bad-json", None),
    ('{"type":"help"}\x00', "bad-json", None),
    ('{"type":"post","to":"#d","text":"a\x00b"}', "bad-json", None),
    ('{"type":"post","to":"#d","text":"a\x1bb"}', "bad-json", None),
    ('{"type":"post","to":"#d","text":"\\ud800"}', "bad-json", None),
    ('{"type":"post","to":"#d","text":"\\udc00 and more text"}', "bad-json", None),
    ('{"type":"post","to":"#d","text":"\\q"}', "bad-json", None),
    ("\ufeff{}", "bad-json", None),
    (b"\xff\xfe{\x00}\x00", "bad-json", None),
    ("[" * 60_000, "bad-json", None),
    ('{"a":' * 12_000, "bad-json", None),
    ('{"type":"help","x":' + "[" * 30_000 + "]" * 30_000 + "}", "bad-json", None),
    ("9" * 60_000, "bad-json", None),
    ('{"type":"history","of":"#d","limit":1e400}', "bad-json", None),
    ("{}", "bad-command", None),
    ('{"id":"7"}', "bad-command", "7"),
    ('{"type":null,"id":"7"}', "bad-command", "7"),
    ('{"type":5,"id":"7"}', "bad-command", "7"),
    ('{"type":"join","id":"7"}', "bad-command", "7"),
    ('{"type":"join","id":"7","room":null}', "bad-command", "7"),
    ('{"type":"join","id":"7","room":5}', "bad-command", "7"),
    ('{"type":"join","id":"7","room":["dev"]}', "bad-command", "7"),
    (b'{"type":"join","id":"7","room":5,"x":"\xff"}', "bad-command", "7"),
    ('{"type":"hello","id":"7","user":"a","after":-1}', "bad-command", "7"),
    ('{"type":"hello","id":"7","user":"a","after":1.5}', "bad-command", "7"),
    ('{"type":"hello","id":"7","user":"a","after":"1"}', "bad-command", "7"),
    (f'{{"type":"hello","id":"7","user":"a","after":{2**63}}}', "bad-command", "7"),
    (f'{{"type":"hello","id":"7","user":"a","after":{10**30}}}', "bad-command", "7"),
    ('{"type":"history","id":"7","of":"#d","limit":0}', "bad-command", "7"),
    ('{"type":"history","id":"7","of":"#d","limit":true}', "bad-command", "7"),
    ('{"type":"help","id":7}', "bad-command", None),
    ('{"type":"help","id":"' + "x" * 65 + '"}', "bad-command", None),
    ('{"type":"nothing","id":"7"}', "unknown-command", "7"),
    ('{"type":"HELP","id":"7"}', "unknown-command", "7"),
    ('{"type":"","id":"7"}', "unknown-command", "7"),
    ('{"type":"message","id":"7"}', "unknown-command", "7"),  # an event is no command
    ('{"type":"opened","id":"7"}', "unknown-command", "7"),
    ('{"type":"' + "x" * 60_000 + '","id":"7"}', "unknown-command", "7"),
]


def bytes_of(line: str | bytes) -> bytes:
    return line if isinstance(line, bytes) else line.encode()


def receive(cut: list[bytes], limit: int = LIMIT) -> list[Command | Error]:
    tongue = Jsonl(limit)
    return [item for piece in cut for item in tongue.receive(piece)]


BEHIND = b'{"type":"ping","id":"behind"}\n{"type":"pi'


@pytest.mark.parametrize(("line", "command"), GOOD, ids=lambda value: str(value)[:50])
def test_a_line_asks_for_a_command(line: str, command: Command) -> None:
    for end in (b"\n", b"\r\n"):
        for way, cut in pieces(line.encode() + end, behind=BEHIND):
            extra = [commands.Ping(id="behind")] if way == "with more behind it" else []
            assert receive(cut) == [command, *extra], way


@pytest.mark.parametrize(("line", "code", "identity"), BAD, ids=lambda value: str(value)[:50])
def test_anything_else_is_one_error(line: str | bytes, code: str, identity: str | None) -> None:
    data = bytes_of(line) + b"\n"
    for way, cut in pieces(data, behind=BEHIND):
        error, *rest = receive(cut)
        assert isinstance(error, Error), way
        assert (error.code, error.id) == (code, identity), way
        assert rest == ([commands.Ping(id="behind")] if way == "with more behind it" else []), way
        # One line for a person, which is no copy of what came.
        assert error.text.isprintable()
        assert 10 < len(error.text) <= 200


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"type":"joim"}', "did you mean 'join'?"),
        ('{"type":"xyzzy"}', "docs/protocol.md"),
        ('{"type":"join"}', "missing required field `room`"),
        ('{"type":"history","of":"#d","limit":"1"}', "`$.limit`"),
        ("[]", 'such as {"type":"help"}'),
        ('{"type"', "not a JSON object"),
        ('{"type":"\\u001b[31m","type":"post"}', "␛[31m"),
    ],
)
def test_the_error_says_what_is_wrong(line: str, said: str) -> None:
    error = parse(line.encode())
    assert isinstance(error, Error)
    assert said in error.text


def test_invalid_utf8_is_read_as_replacement_characters() -> None:
    for bad in (b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5", b"\xe2\x82"):
        command = parse(b'{"type":"post","to":"#d","text":"a' + bad + b'b"}')
        assert isinstance(command, commands.Post)
        assert command.text == "a" + bad.decode(errors="replace") + "b"


def test_empty_lines_are_ignored() -> None:
    assert receive([b"\n\r\n  \n\t\n"]) == []


def test_an_unfinished_line_is_nothing() -> None:
    assert receive([b'{"type":"quit"}']) == []


def test_a_line_over_the_limit_is_one_error_and_the_next_is_read() -> None:
    data = b'{"type":"post","to":"#d","text":"' + b"x" * 200 + b'"}\n{"type":"quit"}\n'
    for way, cut in pieces(data):
        error, *rest = receive(cut, limit=100)
        assert error == too_long(100), way
        assert rest == [commands.Quit()], way
    assert too_long(100).code == "line-too-long"
    assert "100 bytes" in too_long(100).text


def test_a_hostile_line_costs_no_more_than_a_moment() -> None:
    before = time.process_time()
    for line, _, _ in BAD:
        parse(bytes_of(line))
    assert time.process_time() - before < 0.5


# What the server says

AT = "2026-01-31T12:00:00.123Z"

TOLD: list[tuple[Event, str]] = [
    (
        events.Welcome(
            user="alice", token="t", seq=41, log="l", version="0", line_limit=65_536, rooms=["dev"]
        ),
        (
            '{"type":"welcome","user":"alice","token":"t","seq":41,"log":"l","version":"0",'
            '"line_limit":65536,"rooms":["dev"]}'
        ),
    ),
    (events.Ok("1", 42), '{"type":"ok","id":"1","seq":42}'),
    (events.Ok("2", 43, AT), f'{{"type":"ok","id":"2","seq":43,"at":"{AT}"}}'),
    (events.Ok("2"), '{"type":"ok","id":"2"}'),
    (events.Ok(), '{"type":"ok"}'),
    (
        events.Message(43, AT, "#dev", "alice", "hi"),
        f'{{"type":"message","seq":43,"at":"{AT}","to":"#dev","from":"alice","text":"hi"}}',
    ),
    (
        events.Message(43, AT, "#dev", "alice", "waves", action=True, id="2"),
        (
            f'{{"type":"message","seq":43,"at":"{AT}","to":"#dev","from":"alice","text":"waves",'
            '"action":true,"id":"2"}'
        ),
    ),
    (
        events.History("3", "#dev", [events.Joined(44, AT, "dev", "bob")], more=True),
        (
            '{"type":"history","id":"3","of":"#dev","entries":'
            f'[{{"type":"joined","seq":44,"at":"{AT}","room":"dev","user":"bob"}}],"more":true}}'
        ),
    ),
    (
        events.Found("3", "hi", [events.Message(43, AT, "#dev", "alice", "hi")], more=False),
        (
            '{"type":"found","id":"3","text":"hi","entries":'
            f'[{{"type":"message","seq":43,"at":"{AT}","to":"#dev","from":"alice","text":"hi"}}],'
            '"more":false}'
        ),
    ),
    (
        Error("4", "not-a-member", "join it"),
        '{"type":"error","id":"4","code":"not-a-member","text":"join it"}',
    ),
    (
        events.Joined(44, AT, "dev", "bob"),
        f'{{"type":"joined","seq":44,"at":"{AT}","room":"dev","user":"bob"}}',
    ),
    (
        events.Left(44, AT, "dev", "bob", "lost connection"),
        (
            f'{{"type":"left","seq":44,"at":"{AT}","room":"dev","user":"bob",'
            '"reason":"lost connection"}'
        ),
    ),
    (
        events.Topic(44, AT, "dev", "bob", ""),
        f'{{"type":"topic","seq":44,"at":"{AT}","room":"dev","user":"bob","text":""}}',
    ),
    (
        events.Renamed(44, AT, None, "bob", "rob"),
        f'{{"type":"renamed","seq":44,"at":"{AT}","room":null,"user":"bob","name":"rob"}}',
    ),
    (
        events.Rooms("5", [events.Room(room="dev", topic="t", members=2)]),
        '{"type":"rooms","id":"5","rooms":[{"type":"room","room":"dev","topic":"t","members":2}]}',
    ),
    (
        events.Users("6", "dev", [events.User("bob"), events.User("al", "tea")], omitted=3),
        (
            '{"type":"users","id":"6","room":"dev","users":[{"user":"bob"},'
            '{"user":"al","away":"tea"}],"omitted":3}'
        ),
    ),
    (
        events.Help("7", [events.Usage("quit", "leave")]),
        '{"type":"help","id":"7","commands":[{"usage":"quit","help":"leave"}]}',
    ),
    (
        events.Notice("server-stopping", "the server is stopping"),
        '{"type":"notice","code":"server-stopping","text":"the server is stopping"}',
    ),
    (events.Ping(), '{"type":"ping"}'),
    (events.Pong("8"), '{"type":"pong","id":"8"}'),
]


@pytest.mark.parametrize(("event", "line"), TOLD, ids=lambda value: str(value)[:40])
def test_an_event_is_this_line(event: Event, line: str) -> None:
    assert Jsonl.encode(event) == line.encode() + b"\n"
    assert Jsonl.encode(event, own=True) == Jsonl.encode(event)
    assert Jsonl.answer(commands.Help(), event) == Jsonl.encode(event)
    assert msgspec.json.decode(line, type=events.AnyEvent) == event


def test_a_message_of_several_lines_is_one_line() -> None:
    line = Jsonl.encode(events.Message(1, AT, "#dev", "alice", 'a\nb"\\'))
    assert line.count(b"\n") == 1
    assert b'"a\\nb\\"\\\\"' in line


@pytest.mark.parametrize(("line", "command"), GOOD, ids=lambda value: str(value)[:50])
def test_a_command_is_sent_as_it_is_read(line: str, command: Command) -> None:
    sent = encode_command(command)
    assert sent.endswith(b"\n")
    assert sent.count(b"\n") == 1
    assert parse(sent[:-1]) == command
