"""The text tongue: what people type, and the lines that they read, as the design promises them."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from selchat.model import commands, events
from selchat.model.commands import Command
from selchat.model.events import Error, Event
from selchat.wire.rendering import confirm, render
from selchat.wire.text import Text, first, parse
from tests.unit.ways import asked, pieces

LIMIT = 1_000
AT = "2026-01-31T12:03:59.123Z"

TYPED: list[tuple[str, Command]] = [
    ("#dev hi", commands.Post(to="#dev", text="hi")),
    ("@bob hi there", commands.Post(to="@bob", text="hi there")),
    ("#dev  two  spaces ", commands.Post(to="#dev", text=" two  spaces ")),
    ("#dev /help", commands.Post(to="#dev", text="/help")),
    ("#日本語 こんにちは", commands.Post(to="#日本語", text="こんにちは")),
    ("/join dev", commands.Join(room="dev")),
    ("/join #dev", commands.Join(room="#dev")),
    ("/JOIN  dev ", commands.Join(room="dev")),
    ("/leave dev", commands.Leave(room="dev")),
    ("/me #dev waves  at you", commands.Me(to="#dev", text="waves  at you")),
    ("/me @bob   waves ", commands.Me(to="@bob", text="waves")),
    ("/rooms", commands.Rooms()),
    ("/who", commands.Who()),
    ("/who dev", commands.Who(room="dev")),
    ("/topic dev", commands.Topic(room="dev")),
    ("/topic dev  what we do ", commands.Topic(room="dev", text="what we do")),
    ("/topic dev null", commands.Topic(room="dev", text="null")),
    ("/away", commands.Away()),
    ("/away ", commands.Away()),
    ("/away at tea", commands.Away(text="at tea")),
    ("/nick rob", commands.Nick(name="rob")),
    ("/history #dev", commands.History(of="#dev")),
    ("/history @bob 20", commands.History(of="@bob", limit=20)),
    ("/history #dev 99999999999", commands.History(of="#dev", limit=99_999_999_999)),
    ("/search red tea", commands.Search(text="red tea")),
    ("/search  red   tea ", commands.Search(text="red tea")),
    ("/search tea in #dev", commands.Search(text="tea", of="#dev")),
    ("/search tea WITH @bob", commands.Search(text="tea", of="@bob")),
    ("/search tea from @bob in #dev", commands.Search(text="tea", by="bob", of="#dev")),
    (
        "/search tea after 2026-01-01 before 2026-02-01",
        commands.Search(text="tea", after="2026-01-01", before="2026-02-01"),
    ),
    # Words to look for, where nothing fitting follows, or no other word is there.
    ("/search in #dev", commands.Search(text="in #dev")),
    ("/search tea in dev", commands.Search(text="tea in dev")),
    ("/search tea with #dev", commands.Search(text="tea with #dev")),
    ("/search tea from bob", commands.Search(text="tea from bob")),
    ("/search tea before noon", commands.Search(text="tea before noon")),
    ("/search tea in #dev please", commands.Search(text="tea in #dev please")),
    ("/search tea in #ops in #dev", commands.Search(text="tea in #ops", of="#dev")),
    ("/help", commands.Help()),
    ("quit", commands.Quit()),
    (" QUIT ", commands.Quit()),
    ("/quit", commands.Quit()),
]

WRONG: list[tuple[str, str, str]] = [
    ("hello everybody", "no-command", "#ROOM MESSAGE or @USER MESSAGE"),
    ("jion", "no-command", "did you mean /join ROOM ?"),
    ("quti", "no-command", "did you mean quit ?"),
    ("help", "no-command", "did you mean /help ?"),
    ("x" * 900, "no-command", "#ROOM MESSAGE or @USER MESSAGE"),
    ("#", "usage", "#NAME MESSAGE"),
    ("@", "usage", "@NAME MESSAGE"),
    ("# hi", "usage", "#NAME MESSAGE"),
    ("@ hi", "usage", "@NAME MESSAGE"),
    ("#dev", "usage", "#dev MESSAGE"),
    ("#dev ", "usage", "#dev MESSAGE"),
    ("#dev   ", "usage", "#dev MESSAGE"),
    ("@bob", "usage", "@bob MESSAGE"),
    ("#" + "x" * 900, "usage", "#" + "x" * 32 + " MESSAGE"),
    ("/", "no-command", "/help"),
    ("/ join dev", "no-command", "/help"),
    ("/jion dev", "no-command", "did you mean /join ROOM ?"),
    ("/xyzzy", "no-command", "there is no /xyzzy"),
    ("/" + "x" * 900, "no-command", "there is no /" + "x" * 64 + " ("),
    ("/hello", "no-command", "/help"),  # what only programs say
    ("/post #dev hi", "no-command", "/help"),
    ("/ping", "no-command", "/help"),
    ("/join", "usage", "/join ROOM"),
    ("/join dev ops", "usage", "/join ROOM"),
    ("/rooms all", "usage", "/rooms"),
    ("/nick", "usage", "/nick NAME"),
    ("/me #dev", "usage", "/me TARGET TEXT"),
    ("/topic", "usage", "/topic ROOM [TEXT]"),
    ("/history", "usage", "/history TARGET [N]"),
    ("/search", "usage", "/search WORDS [in #ROOM|with @USER]"),
    ("/history #dev many", "usage", "/history TARGET [N]"),
    ("/history #dev 0", "usage", "/history TARGET [N]"),
    ("/history #dev -1", "usage", "/history TARGET [N]"),
    ("/history #dev true", "usage", "/history TARGET [N]"),
    ("/history #dev 5 6", "usage", "/history TARGET [N]"),
]


def receive(cut: list[bytes], limit: int = LIMIT, named: bool = True) -> list[Command | Error]:
    tongue = Text(limit)
    if named:
        tongue.welcomed()
    return [item for piece in cut for item in asked(tongue, piece)]


@pytest.mark.parametrize(("line", "command"), TYPED)
def test_a_line_asks_for_a_command(line: str, command: Command) -> None:
    assert parse(line) == command
    for end in (b"\n", b"\r\n"):
        for way, cut in pieces(line.encode() + end, behind=b"/rooms\n/roo"):
            extra = [commands.Rooms()] if way == "with more behind it" else []
            assert receive(cut) == [command, *extra], way


@pytest.mark.parametrize(("line", "code", "said"), WRONG, ids=lambda value: str(value)[:30])
def test_a_mistake_gets_one_line_that_says_what_to_type(line: str, code: str, said: str) -> None:
    for way, cut in pieces(line.encode() + b"\n", behind=b"/rooms\n/roo"):
        error, *rest = receive(cut)
        assert isinstance(error, Error), way
        assert error.code == code
        assert said in error.text
        assert len(error.text) < 200
        assert rest == ([commands.Rooms()] if way == "with more behind it" else [])
        assert render(error) == [f"! {error.text}"]


def test_the_first_line_is_the_name_whatever_it_looks_like() -> None:
    for line, name in (
        ("alice", "alice"),
        (" alice ", "alice"),
        ("/join dev", "/join dev"),
        ("#dev hi", "#dev hi"),
        ("日本語", "日本語"),
    ):
        assert first(line) == commands.Hello(user=name)
        for way, cut in pieces(line.encode() + b"\r\n", behind=b"bob\nq"):
            extra = [commands.Hello(user="bob")] if way == "with more behind it" else []
            assert receive(cut, named=False) == [commands.Hello(user=name), *extra], way


@pytest.mark.parametrize("line", ["quit", "QUIT", "/quit", " quit "])
def test_one_can_quit_without_a_name(line: str) -> None:
    assert first(line) == commands.Quit()


def test_behind_the_name_that_is_taken_lines_are_commands_in_the_same_piece() -> None:
    tongue = Text(LIMIT)
    found: list[Command | Error] = []
    for item in asked(tongue, b"no name\nalice\n/join dev\n#dev hi\n"):
        found.append(item)
        if isinstance(item, commands.Hello) and item.user == "alice":
            tongue.welcomed()
    assert found == [
        commands.Hello(user="no name"),
        commands.Hello(user="alice"),
        commands.Join(room="dev"),
        commands.Post(to="#dev", text="hi"),
    ]


def test_empty_lines_are_ignored_before_and_after_the_name() -> None:
    for named in (False, True):
        assert receive([b"\n\r\n   \n\t\n"], named=named) == []


def test_invalid_utf8_is_read_as_replacement_characters() -> None:
    for bad in (b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xe2\x82", b"\xff\xfb\x01"):
        for way, cut in pieces(b"#dev a" + bad + b"b\n", behind=b"\xe9\nx"):
            post = receive(cut)[0]
            assert post == commands.Post(to="#dev", text=f"a{bad.decode(errors='replace')}b"), way


def test_a_line_over_the_limit_is_one_error_and_the_next_is_read() -> None:
    for named in (False, True):
        for way, cut in pieces(b"#dev " + b"x" * LIMIT + b"\nquit\n"):
            error, *rest = receive(cut, named=named)
            assert isinstance(error, Error), way
            assert error.code == "line-too-long"
            assert f"{LIMIT} bytes" in error.text
            assert rest == [commands.Quit()], way


def test_an_unterminated_last_line_is_dropped() -> None:
    assert receive([b"#dev hi\n#dev bye"]) == [commands.Post(to="#dev", text="hi")]


# What the server writes


def message(
    text: str, to: str = "#room", action: bool = False, author: str = "alice", **more: bool
) -> events.Message:
    return events.Message(1, AT, to, author, text, action, **more)  # type: ignore[arg-type]


RENDERED: list[tuple[Event, list[str]]] = [
    (message("text"), ["[#room] alice: text"]),
    (message("text", "@bob"), ["[@alice] text"]),
    (message("one\ntwo"), ["[#room] alice: one", "[#room] alice: two"]),
    (message("one\n\ntwo", "@bob"), ["[@alice] one", "[@alice] ", "[@alice] two"]),
    (message("waves", action=True), ["[#room] * alice waves"]),
    (message("waves", "@bob", action=True), ["[@alice] * alice waves"]),
    (events.Joined(1, AT, "room", "bob"), ["* bob joined #room"]),
    (events.Left(1, AT, "room", "bob", "left"), ["* bob left #room"]),
    (events.Left(1, AT, "room", "bob", "quit"), ["* bob left #room (quit)"]),
    (
        events.Left(1, AT, "room", "bob", "lost connection"),
        ["* bob left #room (lost connection)"],
    ),
    (
        events.Left(1, AT, "room", "bob", "kicked", "alice", "spam"),
        ["* bob left #room (kicked by alice: spam)"],
    ),
    (events.Left(1, AT, "room", "bob", "banned", "alice"), ["* bob left #room (banned by alice)"]),
    (message("text", edited=True), ["[#room] alice: text (edited)"]),
    (message("", deleted=True), ["[#room] alice: (deleted)"]),
    (events.Ranked(1, AT, "room", "bob", "owner", "al"), ["* al made bob an owner of #room"]),
    (events.Ranked(1, AT, "room", "bob", "member", "al"), ["* al made bob a mere member of #room"]),
    (events.Muted(1, AT, "room", "bob", True, "al"), ["* bob may not speak in #room (al)"]),
    (events.Muted(1, AT, "room", "bob", False, "al"), ["* bob may speak in #room again (al)"]),
    (events.Banned(1, AT, "room", "bob", True, "al"), ["* bob is banned from #room (al)"]),
    (events.Banned(1, AT, "room", "bob", False, "al"), ["* bob may enter #room again (al)"]),
    (events.Invited(1, AT, "room", "bob", "al"), ["* al invites bob to #room: /join room"]),
    (
        events.Private(1, AT, "room", True, "al"),
        ["* al made #room private: one needs an /invite"],
    ),
    (events.Private(1, AT, "room", False, "al"), ["* al made #room open to all"]),
    (
        events.Edited(2, AT, "#room", 1, "bob", "new\ntext"),
        ["* bob changed a message in #room: new", "* text"],
    ),
    (events.Edited(2, AT, "@al", 1, "bob", "new"), ["* bob changed a message: new"]),
    (events.Deleted(2, AT, "#room", 1, "bob", "bob"), ["* bob deleted a message in #room"]),
    (
        events.Deleted(2, AT, "#room", 1, "al", "bob"),
        ["* al deleted a message of bob in #room"],
    ),
    (events.Challenge("r=x", "1"), []),
    (events.Remembered("1", "token"), []),
    (
        events.Sessions(
            "1",
            [
                events.Session(4, True, AT, own=True, device=True),
                events.Session(9, True, AT),
                events.Session(2, False, AT, device=True),
            ],
        ),
        [
            f"* 4: this session, remembered, since {AT[:10]} {AT[11:16]}Z",
            f"* 9: a session, since {AT[:10]} {AT[11:16]}Z",
            f"* 2: not connected, remembered, since {AT[:10]} {AT[11:16]}Z",
            "* /sessions N ends number N",
        ],
    ),
    (events.Topic(1, AT, "room", "bob", "tea"), ["* bob set the topic of #room: tea"]),
    (events.Topic(1, AT, "room", "bob", ""), ["* bob cleared the topic of #room"]),
    (events.Renamed(1, AT, "room", "bob", "rob"), ["* bob is now rob in #room"]),
    (events.Renamed(1, AT, None, "bob", "rob"), ["* bob is now rob"]),
    (
        events.Welcome("alice", None, 1, "l", "0", 65_536, []),
        ["* welcome alice: /join ROOM enters a room, /help lists the commands, quit leaves"],
    ),
    (Error(None, "x", "what was wrong"), ["! what was wrong"]),
    (Error(None, "x", "what\nwas\x1b wrong"), ["! what was␛ wrong"]),
    (events.Notice("x", "the server\nis stopping"), ["* the server is stopping"]),
    (events.Room(None, "room", "tea", 2), ["* the topic of #room: tea"]),
    (events.Room(None, "room", "", 2), ["* #room has no topic: /topic room TEXT sets one"]),
    (events.Rooms(None, []), ["* there is no room yet: /join ROOM makes one"]),
    (
        events.Rooms(None, [events.Room(None, "a", "tea", 2), events.Room(None, "b", "", 1)], 3),
        ["* #a (2): tea", "* #b (1)", "* and 3 more"],
    ),
    (events.Users(None, "room", []), ["* nobody is in #room"]),
    (
        events.Users(None, None, [events.User("al"), events.User("bo", "tea")], 7),
        ["* here: al, bo (away: tea)", "* and 7 more"],
    ),
    (
        events.Help(None, [events.Usage("/help", "list"), events.Usage("quit", "leave")]),
        ["* /help                 list", "* quit                  leave"],
    ),
    (events.History(None, "#room", [], more=False), ["* nothing was said in #room yet"]),
    (
        events.History(
            None,
            "#room",
            [
                message("hi"),
                message("one\ntwo"),
                message("waves", action=True),
                events.Joined(1, AT, "room", "bob"),
                events.Topic(1, AT, "room", "bob", "tea"),
            ],
            more=True,
        ),
        [
            "* [2026-01-31 12:03Z] [#room] alice: hi",
            "* [2026-01-31 12:03Z] [#room] alice: one",
            "* [2026-01-31 12:03Z] [#room] alice: two",
            "* [2026-01-31 12:03Z] [#room] * alice waves",
            "* [2026-01-31 12:03Z] bob joined #room",
            "* [2026-01-31 12:03Z] bob set the topic of #room: tea",
        ],
    ),
    (
        events.History(
            None,
            "@bob",
            [message("hi", "@bob"), events.Message(2, AT, "@alice", "bob", "ho")],
            more=False,
            mine=[1],
        ),
        ["* [2026-01-31 12:03Z] you to @bob: hi", "* [2026-01-31 12:03Z] [@bob] ho"],
    ),
    (
        events.Found(
            None, "tea red", [message("Red tea\nno", "#dev"), message("tea?", "@bob")], more=True
        ),
        [
            "* [2026-01-31 12:03Z] [#dev] alice: *Red* *tea*",
            "* [2026-01-31 12:03Z] [#dev] alice: no",
            "* [2026-01-31 12:03Z] alice to @bob: *tea*?",
            "* and there is more: narrow it with in, with, from, before",
        ],
    ),
    (
        events.Found(None, "a.c [x", [message("abc a.c [x")], more=False),
        ["* [2026-01-31 12:03Z] [#room] alice: abc *a.c* *[x*"],
    ),
    (events.Found(None, "coffee", [], more=False), ["* nothing was found for: coffee"]),
    # For programs only.
    (events.Ok("1", 2), []),
    (events.Ping(), []),
    (events.Pong("1"), []),
]

OWN: list[tuple[Event, list[str]]] = [
    (message("text", "@bob"), ["* you to @bob: text"]),
    (message("one\ntwo", "@bob"), ["* you to @bob: one", "* you to @bob: two"]),
    (message("text", "#room"), ["* you to #room: text"]),
    (message("waves", "#room", action=True), ["* you to #room: * alice waves"]),
]

LINE = re.compile(r"\[#|\[@|\* |! ")


@pytest.mark.parametrize(("event", "lines"), RENDERED, ids=lambda value: str(value)[:40])
def test_an_event_is_told_in_these_lines(event: Event, lines: list[str]) -> None:
    assert render(event) == lines
    assert Text.encode(event).decode() == "".join(f"{line}\n" for line in lines)
    assert all(LINE.match(line) for line in lines)
    if not isinstance(event, events.Ok):
        assert Text.answer(commands.Help(), event) == Text.encode(event)


@pytest.mark.parametrize(("event", "lines"), OWN, ids=lambda value: str(value)[:40])
def test_what_one_said_from_another_session(event: Event, lines: list[str]) -> None:
    assert render(event, own=True) == lines
    assert Text.encode(event, own=True).decode() == "".join(f"{line}\n" for line in lines)
    assert all(LINE.match(line) for line in lines)


CONFIRMED: list[tuple[Command, events.Ok, list[str]]] = [
    (commands.Join(room="room"), events.Ok(seq=1), ["* you joined #room"]),
    (commands.Join(room="#room"), events.Ok(seq=1), ["* you joined #room"]),
    (commands.Join(room="room"), events.Ok(), ["* you are in #room already"]),
    (commands.Leave(room="#room"), events.Ok(seq=1), ["* you left #room"]),
    (commands.Topic(room="room", text="t"), events.Ok(seq=1), ["* you set the topic of #room"]),
    (commands.Nick(name="rob"), events.Ok(seq=1), ["* you are now rob"]),
    (commands.Away(text="tea"), events.Ok(), ["* you are away: tea"]),
    (commands.Away(text="a\nb\x1b"), events.Ok(), ["* you are away: a b␛"]),
    (commands.Away(), events.Ok(), ["* you are back"]),
    (commands.Quit(), events.Ok(), ["* bye"]),
    (commands.Kick(room="#room", user="@bob"), events.Ok(seq=1), ["* you put bob out of #room"]),
    (commands.Mute(room="room", user="bob"), events.Ok(), ["* bob may not speak in #room"]),
    (commands.MuteRoom(room="#room"), events.Ok(), ["* you hear nothing of #room any more"]),
    (commands.Edit(to="#room", text="a"), events.Ok(seq=1), ["* you changed it to: a"]),
    (commands.Edit(to="#room", text="a\nb"), events.Ok(seq=1), ["* you changed it to: a …"]),
    (commands.Delete(to="#room"), events.Ok(seq=1), ["* the message is deleted"]),
    (commands.Delete(to="#room"), events.Ok(), ["* the message was deleted before"]),
    (commands.Post(to="#room", text="hi"), events.Ok(seq=1), []),  # its sender sees it anyway
    (commands.Me(to="#room", text="hi"), events.Ok(seq=1), []),
]


@pytest.mark.parametrize(("command", "ok", "lines"), CONFIRMED, ids=lambda value: str(value)[:30])
def test_what_is_done_is_confirmed(command: Command, ok: events.Ok, lines: list[str]) -> None:
    assert confirm(command, ok) == lines
    assert Text.answer(command, ok).decode() == "".join(f"{line}\n" for line in lines)


def test_many_names_are_told_in_lines_that_fit() -> None:
    users = [events.User(f"user{number:027}") for number in range(100)]
    lines = render(events.Users(None, "room", users))
    assert all(line.startswith("* in #room: ") for line in lines)
    assert all(len(line) <= 320 for line in lines)
    told = [name for line in lines for name in line.removeprefix("* in #room: ").split(", ")]
    assert told == [user.user for user in users]


def test_a_line_is_no_command_in_the_sessions_that_it_is_told_to() -> None:
    """What a bot reads as an event cannot be made by what somebody says."""
    for text in ("[#room] bob: x", "* bob left #room", "! error", "#room x"):
        for line in render(message(text)):
            assert line.startswith("[#room] alice: ")
    for line in render(message("a\n* bob left #room\n[#room] bob: hi")):
        assert line.startswith("[#room] alice: ")


def test_every_kind_of_event_has_its_lines() -> None:
    rendered = {type(event) for event, _ in RENDERED}
    assert rendered == set(get_args(events.AnyEvent))
