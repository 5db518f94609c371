"""A session over several connections, and over several processes of its client.

First `State` alone, then `Front` with a connection in memory and a model of a server, which may
lose anything at any byte; then `Link` against real sockets.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from selchat.client import front as front_module
from selchat.client.front import Front
from selchat.client.keeper import Kept
from selchat.client.link import Address, Link
from selchat.client.state import Heard, State
from selchat.loop import Loop
from selchat.model import commands, events
from selchat.model.commands import AnyCommand, Command
from selchat.model.events import AnyEvent, Event
from selchat.settings import ClientOptions
from selchat.wire.framing import Lines
from selchat.wire.jsonl import encode_command
from tests.unit.test_link import HI, Stage, address, lines
from tests.unit.ways import Clock

AT = "2026-01-31T12:03:04.567Z"
ALL = 1 << 30
"""Bytes: however many there are."""


def welcome(
    *rooms: str, token: str = "t1", log: str = "log-a", seq: int = 10, user: str = "alice"
) -> events.Welcome:
    return events.Welcome(user, token, seq, log, "1", 65_536, list(rooms))


def state(*rooms: str, prefix: str = "~p-", **flags: bool) -> State:
    """A person's state, welcome and in these rooms, the last of which is the current one."""
    mine = State(auto_join=flags.get("auto_join", False), curious=False, prefix=prefix)
    mine.told(welcome())
    for room in rooms:
        (join,) = mine.join(room)
        mine.sent(join)
        mine.told(events.Ok(join.id, 11, AT))
    return mine


def post(mine: State, text: str, *, sent: bool = True) -> Command:
    """Say something, which goes out if `sent`."""
    (command,) = mine.said(text)
    if sent:
        mine.sent(command)
    return command


def texts(asked: list[Command]) -> list[str]:
    """What commands are, in short."""
    short = []
    for command in asked:
        what = getattr(command, "text", None) or getattr(command, "room", "")
        short.append(f"{type(command).__name__.lower()} {what}".strip())
    return short


# Saying hello


def test_the_first_hello_has_no_token() -> None:
    assert State(auto_join=False).hello("alice") == commands.Hello(user="alice")


def test_a_hello_that_comes_back_has_all_that_the_welcome_gave() -> None:
    mine = state()
    assert mine.hello("alice") == commands.Hello(user="alice", token="t1", after=10, log="log-a")


def test_the_hello_after_the_session_expired_has_no_token() -> None:
    mine = state("dev")
    mine.expired()
    assert mine.hello("alice") == commands.Hello(user="alice")
    mine.told(welcome(token="t2", log="log-b", seq=3))
    assert mine.hello("alice") == commands.Hello(user="alice", token="t2", after=3, log="log-b")


def after(mine: State) -> int | None:
    return mine.hello("alice").after


@pytest.mark.parametrize(
    "event",
    [
        events.Message(12, AT, "#dev", "bob", "hi"),
        events.Joined(12, AT, "dev", "bob"),
        events.Left(12, AT, "dev", "bob", "quit"),
        events.Left(12, AT, "dev", "alice", "lost connection"),
        events.Topic(12, AT, "dev", "bob", "x"),
        events.Renamed(12, AT, "dev", "bob", "rob"),
        events.Ok("unknown", 12, AT),
    ],
    ids=lambda event: type(event).__name__,
)
def test_facts_and_oks_move_the_place(event: Event) -> None:
    mine = state("dev")
    mine.told(event)
    assert after(mine) == 12


@pytest.mark.parametrize(
    "event",
    [
        events.Ok("unknown"),
        events.Error(None, "x", "y"),
        events.Notice("x", "y"),
        events.Pong("x"),
        events.History(None, "#dev", [events.Message(99, AT, "#dev", "bob", "hi")], more=False),
        events.Found(None, "hi", [events.Message(99, AT, "#dev", "bob", "hi")], more=False),
        welcome(seq=99),
    ],
    ids=lambda event: type(event).__name__,
)
def test_nothing_else_moves_it(event: Event) -> None:
    """Not even the welcome of a session that goes on: what came since then is still to come."""
    mine = state("dev")
    mine.told(event)
    assert after(mine) == 11


def test_the_place_never_goes_back() -> None:
    mine = state("dev")
    mine.told(events.Message(20, AT, "#dev", "bob", "hi"))
    mine.told(events.Ok("repeated", 12, AT))
    mine.told(events.Message(19, AT, "#dev", "bob", "hi"))
    assert after(mine) == 20


def test_a_new_session_begins_where_the_log_is() -> None:
    mine = state("dev")
    mine.told(events.Message(20, AT, "#dev", "bob", "hi"))
    mine.expired()
    mine.told(welcome(token="t2", log="log-b", seq=2))
    assert after(mine) == 2


# Again


def test_what_is_not_answered_is_asked_again_with_its_id_and_in_order() -> None:
    mine = state("dev")
    asked = [post(mine, "one"), post(mine, "two"), post(mine, "three", sent=False)]
    mine.told(events.Ok(asked[0].id, 12, AT))
    mine.told(welcome("dev"))
    assert mine.again() == asked[1:]
    mine.told(welcome("dev"))
    assert mine.again() == asked[1:], "however often the connection is lost"


def test_rooms_that_one_is_not_in_any_more_are_entered_before_all_else() -> None:
    mine = state("ops", "dev")
    post(mine, "one")
    post(mine, "#ops two")
    mine.told(welcome())
    assert texts(mine.again()) == ["join dev", "join ops", "post one", "post two"]


def test_a_room_that_one_is_still_in_is_not_entered() -> None:
    mine = state("ops", "dev")
    mine.told(welcome("Dev"))
    assert texts(mine.again()) == ["join ops"]


def test_the_current_room_is_the_current_one_again() -> None:
    mine = state("ops", "dev")
    mine.said("/to #ops")
    mine.told(welcome())
    for join in mine.again():
        mine.told(events.Ok(join.id, 12, AT))
    assert mine.talk.target == "#ops"


def test_a_room_from_which_one_was_taken_stays_the_current_one() -> None:
    """The grace was over: that one had left is told after the welcome, before the answers."""
    mine = state("ops", "dev")
    mine.told(welcome())
    asked = mine.again()
    mine.told(events.Left(12, AT, "ops", "alice", "lost connection"))
    mine.told(events.Left(13, AT, "dev", "alice", "lost connection"))
    assert mine.talk.target == "#dev"
    assert texts([post(mine, "typed in between")]) == ["post typed in between"]
    for seq, join in enumerate(asked, 14):
        mine.told(events.Ok(join.id, seq, AT))
    assert mine.talk.target == "#dev"
    assert mine.talk.entered("ops")


def test_a_connection_that_is_lost_while_rooms_are_entered_again() -> None:
    """They come first the next time, too: a post may not be there before its author."""
    mine = state("dev")
    post(mine, "one")
    for _ in range(3):
        mine.told(welcome())
        asked = mine.again()
        assert texts(asked) == ["join dev", "post one"]
        for command in asked:
            mine.sent(command)


def test_a_room_is_entered_where_a_pending_post_left_off_and_not_twice() -> None:
    mine = state(auto_join=True)
    asked = mine.typed("#dev one")
    mine.told(welcome())
    assert mine.again() == asked, "that it is to be entered stands there already"


def test_rooms_that_are_entered_again_are_no_lines_that_somebody_typed() -> None:
    mine = state("ops", "dev")
    mine.told(welcome())
    mine.again()
    assert mine.unanswered == 0
    post(mine, "one")
    assert mine.unanswered == 1


def test_a_room_that_is_being_left_is_left() -> None:
    mine = state("ops", "dev")
    (leave,) = mine.said("/leave dev")
    mine.told(welcome("ops", "dev"))
    assert mine.again() == [leave]
    assert not mine.talk.entered("dev")
    mine.told(events.Ok(leave.id, 12, AT))
    assert (mine.talk.target, mine.talk.entered("dev")) == ("#ops", False)


def test_a_room_that_is_left_and_entered_is_entered() -> None:
    mine = state("dev")
    leave, join = [*mine.said("/leave dev"), *mine.said("/join dev")]
    mine.told(welcome("dev"))
    assert mine.again() == [leave, join]
    assert mine.talk.target == "#dev"


def test_a_leave_that_had_been_done_is_done() -> None:
    mine = state("dev")
    (leave,) = mine.said("/leave dev")
    mine.sent(leave)
    mine.told(welcome())
    assert mine.again() == [leave]
    heard = mine.told(events.Error(leave.id, "not-a-member", "you are not in #dev"))
    assert heard.lines == ["* you left #dev"]
    assert (mine.failed, mine.pending) == (0, {})


def test_a_leave_that_is_refused_is_refused() -> None:
    mine = state("dev")
    (leave,) = mine.said("/leave ops")
    mine.sent(leave)
    assert mine.told(events.Error(leave.id, "not-a-member", "not in")).lines == ["! not in"]
    (leave,) = mine.said("/leave ops")
    mine.told(welcome("dev"))
    mine.again()  # for the first time
    assert mine.told(events.Error(leave.id, "not-a-member", "not in")).lines == ["! not in"]


# What comes after it


def test_an_own_post_that_is_given_back_is_acknowledged_by_that() -> None:
    mine = state("dev")
    one = post(mine, "one")
    mine.told(welcome("dev"))
    heard = mine.told(events.Message(12, AT, "#dev", "alice", "one", id=one.id))
    assert (heard.lines, heard.sent) == ([], one)
    assert mine.pending == {}
    assert after(mine) == 12
    again = mine.told(events.Ok(one.id, 12, AT))
    assert again == Heard([]), "it is not shown a second time"


def test_the_servers_repeated_ok_is_the_acknowledgement() -> None:
    mine = state("dev")
    one, two = post(mine, "one"), post(mine, "two")
    mine.told(welcome("dev"))
    mine.again()
    mine.told(events.Message(15, AT, "#dev", "bob", "later"))
    assert mine.told(events.Ok(one.id, 12, AT)).sent is one
    assert mine.told(events.Ok(two.id, 16, AT)).sent is two
    assert mine.told(events.Ok(two.id, 16, AT)).sent is None, "once"
    assert after(mine) == 16


def test_an_own_post_that_nobody_remembers_is_shown() -> None:
    """A client was killed between sending and keeping it."""
    mine = state("dev")
    heard = mine.told(events.Message(12, AT, "#dev", "alice", "one", id="~other-1"))
    assert heard.lines == ["* you to #dev: one"]


def test_what_others_said_meanwhile_is_shown_and_alerts_as_if_it_came_live() -> None:
    mine = state("dev")
    mine.told(welcome("dev"))
    assert mine.told(events.Message(12, AT, "@alice", "bob", "psst")) == Heard(
        ["[@bob] psst"], alert=True
    )


def test_a_room_that_is_entered_again_shows_only_what_was_missed() -> None:
    mine = State(auto_join=False, curious=True)
    mine.told(welcome())
    (join,) = mine.join("dev")
    mine.told(events.Ok(join.id, 11, AT))
    who, topic, history = mine.questions()
    mine.told(events.Room(topic.id, "dev"))
    old = events.Message(5, AT, "#dev", "bob", "before my time")
    assert mine.told(events.History(history.id, "#dev", [old], more=False)).lines
    mine.told(events.Users(who.id, "dev", []))
    seen = events.Message(12, AT, "#dev", "bob", "seen")
    mine.told(seen)
    mine.told(welcome())
    (join,) = mine.again()
    mine.told(events.Left(14, AT, "dev", "alice", "lost connection"))
    mine.told(events.Ok(join.id, 20, AT))
    *_, history = mine.questions()
    missed = events.Message(17, AT, "#dev", "bob", "missed")
    heard = mine.told(events.History(history.id, "#dev", [old, seen, missed], more=False))
    (line,) = heard.lines
    assert line.endswith("[#dev] bob: missed")


@pytest.mark.parametrize(("log", "shown"), [("log-a", 1), ("log-b", 2)])
def test_after_a_session_expired_what_was_seen_in_this_log_is_not_shown_again(
    log: str, shown: int
) -> None:
    mine = State(auto_join=False, curious=True)
    mine.told(welcome())
    (join,) = mine.join("dev")
    mine.told(events.Ok(join.id, 11, AT))
    mine.questions()
    seen = events.Message(12, AT, "#dev", "bob", "seen")
    mine.told(seen)
    mine.expired()
    mine.told(welcome(token="t2", log=log, seq=15))
    join = mine.again()[0]
    mine.told(events.Ok(join.id, 16, AT))
    history = mine.questions()[-1]
    missed = events.Message(14, AT, "#dev", "bob", "missed")
    heard = mine.told(events.History(history.id, "#dev", [seen, missed], more=False))
    assert len(heard.lines) == shown


# The session expired


def test_only_what_may_have_arrived_is_unsure() -> None:
    mine = state("dev")
    one, two = post(mine, "one"), post(mine, "/me @bob waves")
    three = post(mine, "three", sent=False)
    assert mine.expired() == [one, two]
    assert list(mine.pending.values()) == [three]
    mine.told(welcome(token="t2"))
    assert texts(mine.again()) == ["join dev", "post three"]


def test_what_was_answered_is_not_unsure() -> None:
    mine = state("dev")
    one = post(mine, "one")
    mine.told(events.Ok(one.id, 12, AT))
    assert mine.expired() == []


def test_a_question_that_was_not_answered_is_forgotten_and_its_answer_is_not_awaited() -> None:
    mine = State(auto_join=False, curious=True)
    mine.told(welcome("dev"))
    for command in mine.questions():
        mine.sent(command)
    assert mine.expired() == []
    assert mine.pending == {}


def test_what_is_unsure_is_said_once() -> None:
    mine = state("dev")
    post(mine, "one")
    assert len(mine.expired()) == 1
    assert mine.expired() == []


# In another process


def restored(mine: State, prefix: str = "~q-") -> State:
    """The state of the next process."""
    other = State(auto_join=False, prefix=prefix)
    rooms = mine.talk.room_names()[::-1]
    other.restore(str(mine.token), mine.log, mine.after, rooms, list(mine.pending.values()))
    return other


def test_another_process_goes_on_where_the_first_one_was() -> None:
    mine = state("ops", "dev")
    one, two = post(mine, "one"), post(mine, "two", sent=False)
    other = restored(mine)
    assert other.hello("alice") == mine.hello("alice")
    assert other.talk.target == "#dev"
    other.told(welcome("dev", "ops"))
    assert other.again() == [one, two]
    assert other.told(events.Ok(one.id, 12, AT)).sent == one


def test_ids_of_two_processes_never_meet() -> None:
    mine = state("dev")
    first = [post(mine, "x") for _ in range(3)]
    other = restored(mine)
    other.told(welcome("dev"))
    asked = [*other.again(), *(post(other, "y") for _ in range(3))]
    assert len({command.id for command in asked}) == 6
    assert asked[:3] == first


def test_of_a_session_that_expired_in_between_all_is_unsure() -> None:
    """What the process before it sent, only that one knew."""
    mine = state("dev")
    one, two = post(mine, "one"), post(mine, "two", sent=False)
    other = restored(mine)
    assert other.expired() == [one, two]
    other.told(welcome(token="t2"))
    assert texts(other.again()) == ["join dev"]


# A front, with a connection in memory and a model of a server


class Entry(NamedTuple):
    """A fact in the model's log."""

    fact: events.Fact
    told: str
    """The token of the session that gets it; empty where it concerns nobody here."""
    own: str = ""
    """The token of the session that said it."""
    identity: str = ""
    """The id of what was said."""


class Session:
    def __init__(self, token: str) -> None:
        self.token = token
        self.here = True
        """Whether its user is online, or in its grace."""
        self.ids: dict[str, tuple[int, str]] = {}


class Server:
    """A server with one room, in which Bob always is. Durable is what it has handled.

    What comes in and what goes out is bytes, which the test lets through, or loses.
    """

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.log_id = "log-1"
        self.sessions: dict[str, Session] = {}
        self.inside = False
        self.session: Session | None = None
        self.out = b""
        self.refused: list[events.Error] = []
        self._lines = Lines(1 << 20)
        self._tokens = 0

    # The connection

    def connected(self) -> None:
        self.session, self.out, self._lines = None, b"", Lines(1 << 20)

    def lost(self) -> None:
        self.session, self.out = None, b""

    def receive(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            assert line is not None
            self._do(msgspec.json.decode(line, type=AnyCommand))

    # What happens

    def say(self, text: str) -> None:
        """Bob says something."""
        self._order(events.Message, "#dev", "bob", text, told=self.member())

    def grace_over(self) -> None:
        """A session without a connection: its user goes."""
        for session in self.sessions.values():
            if session is not self.session and session.here:
                session.here = False
                self._leave(session.token)

    def expire(self) -> None:
        """Its token is forgotten."""
        if self.session is None:
            self.grace_over()
            self.sessions.clear()

    def start_afresh(self) -> None:
        """It is started with an empty data folder."""
        if self.session is None:
            self.log, self.inside = [], False
            self.sessions.clear()
            self.log_id += "+"

    def member(self) -> str:
        """The token of the session whose user is in the room."""
        here = [session.token for session in self.sessions.values() if session.here]
        assert len(here) <= 1
        return here[0] if here and self.inside else ""

    def said(self, author: str = "alice") -> list[str]:
        """What stands in the log, in order."""
        facts = (entry.fact for entry in self.log)
        return [f.text for f in facts if isinstance(f, events.Message) and f.from_ == author]

    # Inside

    def _order(self, kind: type[events.Fact], *fields: object, **whom: str) -> events.Fact:
        fact = kind(len(self.log) + 1, AT, *fields)
        entry = Entry(fact, **whom)
        self.log.append(entry)
        if self.session is not None and entry.told == self.session.token:
            self._tell(fact)
        return fact

    def _leave(self, token: str) -> None:
        if self.inside:
            self.inside = False
            self._order(events.Left, "dev", "alice", "lost connection", told=token)

    def _tell(self, event: Event) -> None:
        self.out += lines(event)

    def _ok(self, command: Command, seq: int | None = None) -> None:
        self._tell(events.Ok(command.id, seq, AT if seq else None))

    def _do(self, command: Command) -> None:
        if isinstance(command, commands.Hello):
            self._hello(command)
            return
        session = self.session
        assert session is not None
        match command:
            case commands.Join() if self.inside:
                self._ok(command)
            case commands.Join():
                self.inside = True
                self._ok(command, self._order(events.Joined, "dev", "alice", told="").seq)
            case commands.Post():
                self._post(session, command)
            case commands.Who():
                self._tell(events.Users(command.id, "dev", [events.User("bob")]))
            case commands.Topic(room=room):
                self._tell(events.Room(command.id, room))
            case commands.Topic():
                self._tell(events.Room(command.id, "dev"))
            case commands.History():
                facts = (e.fact for e in self.log[: (command.before or 0) - 1])
                page = [fact for fact in facts if isinstance(fact, events.Message)]
                self._tell(events.History(command.id, command.of, [*page], more=False))
            case commands.Quit():
                self.grace_over()
                self._ok(command)
            case _:
                raise AssertionError(command)

    def _post(self, session: Session, command: commands.Post) -> None:
        identity = str(command.id)
        if identity in session.ids:
            seq, text = session.ids[identity]
            assert text == command.text, "an id is for one post only"
            self._ok(command, seq)
        elif not self.inside:
            error = events.Error(command.id, "not-a-member", "you are not in #dev")
            self.refused.append(error)
            self._tell(error)
        else:
            fields = ("#dev", "alice", command.text)
            whom = {"told": "", "own": session.token, "identity": identity}
            seq = self._order(events.Message, *fields, **whom).seq
            session.ids[identity] = seq, command.text
            self._ok(command, seq)

    def _hello(self, command: commands.Hello) -> None:
        token = command.token
        if token is None:
            self._tokens += 1
            token = f"token-{self._tokens}"
            self.sessions[token] = Session(token)
            self.session = self.sessions[token]
            self._tell(self._welcome(command.user, token))
            return
        session = self.sessions.get(token)
        newest = len(self.log)
        if command.log != self.log_id or (command.after or 0) > newest:
            self._tell(events.Error(None, "log-changed", "this is another log"))
        elif session is None:
            self._tell(events.Error(None, "session-expired", "that session is over"))
        else:
            session.here = True
            self.session = session
            self._tell(self._welcome(command.user, token))
            for entry in self.log[command.after or 0 :]:
                if entry.told == token:
                    self._tell(entry.fact)
                elif entry.own == token:
                    self._tell(msgspec.structs.replace(entry.fact, id=entry.identity))

    def _welcome(self, user: str, token: str) -> events.Welcome:
        rooms = ["dev"] if self.inside else []
        return events.Welcome(user, token, len(self.log), self.log_id, "1", 65_536, rooms)


class Memory:
    """A keeper, as good as a disk."""

    def __init__(self) -> None:
        self.kept: Kept | None = None
        self.places: list[str] = []

    def __call__(self, folder: Path, host: str, port: int, user: str) -> Memory:
        self.places.append(user)
        return self

    def load(self) -> Kept | None:
        return self.kept

    def save(self, kept: Kept) -> None:
        self.kept = msgspec.json.decode(msgspec.json.encode(kept), type=Kept)

    def forget(self) -> None:
        self.kept = None

    def close(self) -> None:
        pass


class FakeLink:
    """Bytes that wait until the test lets them through."""

    full = False

    def __init__(self, loop: Loop, addresses: list[Address], reader: Front, *_: object) -> None:
        self.reader = reader
        self.decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(AnyEvent)
        self.open = self.wants = False
        self.connect()

    def connect(self) -> None:
        assert not self.open
        self.wants = True
        self.out = b""
        self.lines = Lines(1 << 20)

    def send(self, command: Command) -> None:
        if self.open:
            self.out += encode_command(command)

    def close(self) -> None:
        self.open = self.wants = False

    @property
    def reached(self) -> bool:
        return self.open

    def binding(self) -> bytes | None:
        return None

    def receive(self, data: bytes) -> None:
        for line in self.lines.feed(data):
            assert line is not None
            self.reader.told(self.decoder.decode(line))


class Person(Front):
    """A front end that notes what would be seen."""

    _link: FakeLink  # type: ignore[assignment]

    def __init__(self, options: ClientOptions, loop: Loop, mine: State, person: bool) -> None:
        self.live: list[str] = []
        """What others said."""
        self.earlier: list[str] = []
        """What others had said, as a room is entered."""
        self.acknowledged: list[str] = []
        self.unsure: list[str] = []
        self.said: list[str] = []
        self.lines: list[str] = []
        self.typed: list[str] = []
        self.asked: list[str] = []
        self.stopped = False
        super().__init__(options, loop, mine, person)

    @property
    def link(self) -> FakeLink:
        return self._link

    @property
    def failure(self) -> str | None:
        return self._failure

    def show(self, event: Event, heard: Heard) -> None:
        self.lines += heard.lines
        if heard.sent is not None:
            self.acknowledged.append(heard.sent.text)
        elif isinstance(event, events.Message):
            assert event.from_ == "bob", "one's own posts are acknowledged, not shown"
            assert heard.lines
            self.live.append(event.text)
        elif isinstance(event, events.History):
            bobs = (line.partition("bob: ") for line in heard.lines)
            self.earlier += [text for _, mark, text in bobs if mark]

    def go_on(self) -> None:
        while self.typed and self.state.user and not self.quitting:
            self.send(self.state.said(self.typed.pop(0)))

    def waiting(self) -> int:
        return len(self.typed)

    def say(self, *said: str) -> None:
        self.said += said
        unsure = "* unsure whether it was sent: #dev "
        self.unsure += [line.removeprefix(unsure) for line in said if line.startswith(unsure)]

    def ask_name(self, error: events.Error) -> None:
        self.asked.append(error.code)

    def ask_secret(self, prompt: str, then: Callable[[str | None], None]) -> None:
        raise AssertionError("nobody has a password here")

    def interrupt(self, why: str) -> None:
        self.typed.clear()


class OneLoop(Loop):
    """A loop that notes that it was to end."""

    stopped = False

    def stop(self) -> None:
        self.stopped = True


class Play:
    """A person's clients, one after the other, the connection between and the server."""

    def __init__(self, memory: Memory, person: bool, patience: float | None) -> None:
        self.clock = Clock()
        self.loop = OneLoop(self.clock)
        self.server = Server()
        self.memory = memory
        self.typed: list[str] = []
        self._person = person
        self._options = ClientOptions(
            host="h",
            port=1,
            user="alice",
            json=False,
            tls=False,
            rooms=("dev",),
            patience=patience,
        )
        self._screens: list[Person] = []
        self.start()

    def start(self) -> None:
        """Start the next client."""
        mine = State(auto_join=False, curious=True, prefix=f"~{len(self._screens)}-")
        self.loop.close()
        self.loop = OneLoop(self.clock)
        self.me = Person(self._options, self.loop, mine, self._person)
        self._screens.append(self.me)

    # What was seen, in all of them

    @property
    def acknowledged(self) -> list[str]:
        return [text for screen in self._screens for text in screen.acknowledged]

    @property
    def unsure(self) -> list[str]:
        return [text for screen in self._screens for text in screen.unsure]

    @property
    def live(self) -> list[str]:
        return [text for screen in self._screens for text in screen.live]

    @property
    def earlier(self) -> list[str]:
        return [text for screen in self._screens for text in screen.earlier]

    # What happens

    def connect(self) -> None:
        """Let a connection be made, if the client wants one, or will."""
        if not self.me.link.open:
            deadline = self.clock.now + 20.0
            while not self.me.link.wants:
                assert self.clock.now < deadline, "it tries again, and soon enough"
                self.clock.now += 0.5
                self.loop.tick(0)
            self.server.connected()
            self.me.link.open, self.me.link.wants = True, False
            self.me.connected()

    def upward(self, size: int = ALL) -> bool:
        """Let so many bytes through to the server; whether there were any."""
        link = self.me.link
        data, link.out = link.out[:size], link.out[size:]
        if link.open:
            self.server.receive(data)
        return bool(data)

    def downward(self, size: int = ALL) -> bool:
        """Let so many bytes through to the client; whether there were any."""
        data, self.server.out = self.server.out[:size], self.server.out[size:]
        if self.me.link.open:
            self.me.link.receive(data)
        return bool(data)

    def cut(self) -> None:
        """Lose the connection, with all that is on its way."""
        link = self.me.link
        if link.open:
            link.open = False
            self.server.lost()
            welcomed = bool(self.me.state.user)
            self.me.ended("cut")
            if not welcomed:  # it says that it cannot reach the server, and ends: try it again
                self.start()

    def type(self) -> None:
        """Say something, once one is welcome."""
        if self.me.state.user:
            self.typed.append(f"mine {len(self.typed)}")
            self.me.typed.append(self.typed[-1])
            self.me.go_on()

    def kill(self) -> None:
        """Kill the client, but not before it has kept its session, and start another."""
        self.clock.now += 1.0
        self.loop.tick(0)  # the session is seen to be another
        self.clock.now += 1.0
        self.loop.tick(0)
        if self.me.link.open:
            self.me.link.open = False
            self.server.lost()
        self.start()

    def close(self) -> None:
        self.loop.close()

    def heal(self) -> None:
        """Let all come to its end."""
        self.connect()
        while self.upward() or self.downward():
            pass


@contextmanager
def play(person: bool = True, patience: float | None = None) -> Iterator[Play]:
    """A play with a keeper and a link in memory, in which the client is welcome."""
    memory = Memory()
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(front_module, "Link", FakeLink)
        patch.setattr(front_module, "resolve", lambda *_: [])
        patch.setattr(front_module, "Keeper", memory)
        one = Play(memory, person, patience)
        stack.callback(one.close)
        one.heal()
        yield one


class Step(NamedTuple):
    """Something that happens in a play; `size` in bytes where some are let through."""

    what: str
    size: int = 0


def some(*kinds: str) -> st.SearchStrategy[list[Step]]:
    """Steps of these kinds, and of those that every play has."""
    sizes = st.integers(1, 300) | st.just(ALL)
    single = st.sampled_from(["type", "type", "say", "cut", "connect", "connect", *kinds])
    bytes_ = st.builds(Step, st.sampled_from(["up", "down"]), sizes)
    return st.lists(single.map(Step) | bytes_, max_size=60)


CONNECT = [Step("connect"), Step("up", ALL), Step("down", ALL)]


def do(one: Play, step: Step, bobs: list[str]) -> None:
    match step.what:
        case "up":
            one.upward(step.size)
        case "down":
            one.downward(step.size)
        case "say":
            bobs.append(f"bobs {len(bobs)}.")
            one.server.say(bobs[-1])
        case "grace":
            one.server.grace_over()
        case "expire":
            one.server.expire()
        case "afresh":
            one.server.start_afresh()
        case kind:
            action: Callable[[], None] = getattr(one, kind)
            action()


@settings(max_examples=300)
@given(some("grace", "kill"))
@example(steps=[Step("cut"), Step("grace"), Step("type"), *[*CONNECT, Step("cut")] * 2])
@example(steps=[Step("type"), Step("up", ALL), Step("cut"), Step("type"), Step("kill"), *CONNECT])
@example(
    steps=[
        *(Step("cut"), Step("connect"), Step("grace"), Step("up", ALL), Step("down", 118)),
        *(Step("up", ALL), Step("kill")),
    ]
)
def test_however_a_connection_breaks_all_is_said_and_heard_once_and_in_order(
    steps: list[Step],
) -> None:
    bobs: list[str] = []
    with play() as one:
        for step in steps:
            do(one, step, bobs)
        one.heal()
        assert one.server.said() == one.typed, "each post is in the log, once, in order"
        assert one.acknowledged == one.typed, "and was acknowledged, once"
        assert one.server.refused == []
        told = [e.fact.text for e in one.server.log if e.told and hasattr(e.fact, "text")]
        assert one.live == told, "what others said came once, and in order"
        if all(step.what != "kill" for step in steps):  # else the screen is a new one
            assert sorted(one.live + one.earlier) == sorted({*one.live, *one.earlier})
        assert one.me.state.pending == {}
        assert one.me.state.talk.target == "#dev"
        assert (one.me.failure, one.unsure) == (None, [])


@settings(max_examples=300)
@given(some("grace", "expire", "afresh"))
def test_where_a_session_is_lost_for_good_each_post_is_said_or_unsure_and_none_is_said_twice(
    steps: list[Step],
) -> None:
    bobs: list[str] = []
    said: list[str] = []  # in the logs that are no more
    with play() as one:
        for step in steps:
            before = one.server.said()
            do(one, step, bobs)
            if before and not one.server.said():
                said += before
        one.heal()
        said += one.server.said()
        assert said == sorted(set(said), key=one.typed.index), "in order, none twice"
        assert sorted(one.acknowledged + one.unsure) == sorted(one.typed)
        assert set(one.acknowledged) <= set(said)
        assert one.server.refused == []
        assert sorted(one.live + one.earlier) == sorted({*one.live, *one.earlier})
        assert one.me.state.pending == {}
        assert one.me.state.talk.target == "#dev"
        assert one.me.failure is None


# A front, in one situation after the other


def screen(one: Play) -> list[str]:
    """What the client said of itself since it was last asked."""
    said, one.me.said = one.me.said, []
    return said


def attempts(one: Play, patience: float) -> list[float]:
    """Let every attempt fail for so long; the seconds between them."""
    times = [one.clock.now]
    end = one.clock.now + patience
    while one.clock.now < end and not one.loop.stopped:
        one.clock.now += 0.125
        one.loop.tick(0)
        if one.me.link.wants:
            one.me.link.wants = False
            times.append(one.clock.now)
            one.me.ended("Connection refused")
    return [later - earlier for earlier, later in pairwise(times)]


def test_a_welcome_enters_each_room_of_the_profile_once() -> None:
    with play() as one:
        joins = [line for line in one.me.lines if "joined" in line or "already" in line]
        assert joins == ["* you joined #dev"]


def test_a_client_that_is_started_again_does_not_enter_the_rooms_that_it_is_in() -> None:
    with play() as one:
        one.type()
        one.heal()
        one.kill()
        one.heal()
        assert not [line for line in one.me.lines if "already" in line]
        assert one.me.state.talk.target == "#dev"
        one.kill()
        one.server.grace_over()
        one.heal()
        assert one.me.lines.count("* you joined #dev") == 1


def test_a_loss_is_said_once_and_the_return_too() -> None:
    with play() as one:
        one.cut()
        assert screen(one) == ["* the connection was lost (cut): trying again"]
        attempts(one, 100)
        assert screen(one) == []
        one.heal()
        assert screen(one) == ["* the connection is back"]
        one.cut()
        assert len(screen(one)) == 1


def test_a_person_is_waited_for_for_ever_and_less_and_less_often() -> None:
    with play() as one:
        one.cut()
        between = attempts(one, 86_400)
        assert one.me.failure is None
        most = [0.5, 1.0, 2.0, 4.0, 8.0]
        for delay, longest in zip(between, most, strict=False):
            assert longest / 2 <= delay <= longest + 0.25
        assert all(7.5 <= delay <= 15.25 for delay in between[len(most) :])
        assert len(set(between[10:])) > 3, "not all clients come at the same moment"
        one.heal()
        one.cut()
        assert attempts(one, 10)[0] <= 0.75, "after a success it begins with short delays"


def test_a_script_gives_up_after_a_minute() -> None:
    with play(person=False) as one:
        one.cut()
        assert 59 <= sum(attempts(one, 1_000)) <= 61
        assert str(one.me.failure).startswith("the connection to h port 1 was lost (Connection ref")


@pytest.mark.parametrize("person", [True, False])
def test_patience_is_what_one_says_it_is(person: bool) -> None:
    with play(person=person, patience=7.0) as one:
        one.type()
        one.type()
        one.cut()
        assert 6.75 <= sum(attempts(one, 1_000)) <= 7.5, "the last attempt is at its end"
        assert str(one.me.failure).endswith("(Connection refused); 2 lines may not have arrived")


def test_without_patience_nothing_is_tried_nor_said_to_be() -> None:
    with play(patience=0.0) as one:
        one.type()
        one.cut()
        assert screen(one) == []
        assert attempts(one, 100) == []
        assert one.me.failure == (
            "the connection to h port 1 was lost (cut); 1 line may not have arrived"
        )


def test_patience_begins_anew_with_each_loss() -> None:
    with play(patience=7.0) as one:
        for _ in range(3):
            one.cut()
            attempts(one, 5)
            one.heal()
        assert one.me.failure is None


@pytest.mark.parametrize("how", ["quit", "key"])
def test_who_quits_without_a_connection_is_not_kept_waiting_and_can_come_back(how: str) -> None:
    with play() as one:
        one.kill()
        one.heal()
        one.cut()
        if how == "quit":
            one.me.send(one.me.state.said("quit"))
        else:
            one.me.quit()
        assert one.me.failure is None
        assert one.loop.stopped
        one.start()
        one.heal()
        assert len(one.server.sessions) == 1, "or the name would be in use by one's own ghost"


def test_who_quits_with_a_line_in_the_outbox_is_told_and_it_is_sent_the_next_time() -> None:
    with play() as one:
        one.cut()
        one.type()
        one.me.quit()
        assert "; 1 line may not have arrived" in str(one.me.failure)
        one.kill()
        one.heal()
        assert one.server.said() == one.acknowledged == one.typed


def test_a_script_that_says_quit_before_all_has_arrived_is_done_first() -> None:
    with play(person=False) as one:
        one.me.typed = ["one", "two", "quit"]
        one.me.go_on()
        one.cut()
        one.heal()
        one.cut()
        assert one.server.said() == ["one", "two"]
        assert one.me.failure is None
        assert one.me.lines[-1] == "* bye"


def test_a_script_that_says_quit_without_a_connection_is_done_first() -> None:
    with play(person=False) as one:
        one.cut()
        one.me.typed = ["one", "quit"]
        one.me.go_on()
        one.heal()
        one.cut()
        assert (one.server.said(), one.me.failure) == (["one"], None)


def test_a_script_is_told_of_what_is_unsure_by_its_exit_code() -> None:
    with play(person=False) as one:
        one.me.typed = ["one", "two"]
        one.me.go_on()
        one.cut()
        one.server.start_afresh()
        one.me.typed = ["three"]
        one.me.go_on()
        one.heal()
        assert one.unsure == ["one", "two"]
        assert one.server.said() == ["three"]
        one.me.quit()
        one.heal()
        one.cut()
        assert one.me.failure == "the session was lost; 2 lines may not have arrived"


def hello(one: Play) -> commands.Hello:
    """The first thing that is sent on a new connection."""
    one.connect()
    first = one.me.link.out.partition(b"\n")[0]
    return msgspec.json.decode(first, type=commands.Hello)


def test_who_took_another_name_comes_back_with_it() -> None:
    with play() as one:
        (nick,) = one.me.state.said("/nick anna")
        one.me.told(events.Ok(nick.id, 9, AT))
        one.cut()
        assert hello(one).user == "anna"


def told(one: Play, *said: Event) -> None:
    one.server.out = b""
    one.me.link.out = b""
    one.me.link.receive(lines(*said))


IN_USE = events.Error(None, "name-in-use", "the name alice is in use: choose another")


def test_a_name_that_somebody_took_meanwhile_is_asked_for_as_long_as_it_takes() -> None:
    with play() as one:
        token = one.me.state.token
        one.cut()
        one.connect()
        told(one, IN_USE)
        assert one.me.asked == ["name-in-use"]
        told(one, events.Error(None, "login-timeout", "too late"))
        one.cut()
        one.connect()
        assert one.me.link.out == b"", "there is no name to say yet"
        one.me.name = "anna"
        one.me.say_hello()
        said = msgspec.json.decode(one.me.link.out, type=commands.Hello)
        assert (said.user, said.token) == ("anna", token)
        one.heal()
        assert one.me.name == "anna"
        assert one.me.failure is None


def test_a_script_cannot_be_asked() -> None:
    with play(person=False) as one:
        one.cut()
        one.connect()
        told(one, IN_USE)
        assert one.me.failure == "the name alice is in use: choose another with --user"


def test_who_gets_another_name_at_first_has_another_place_for_it() -> None:
    with play() as one:
        one.memory.forget()
        one.start()
        one.memory.places.clear()
        one.connect()
        told(one, IN_USE)
        one.me.name = "anna"
        one.me.say_hello()
        assert one.memory.places == ["alice", "anna"]


def test_a_session_that_goes_on_elsewhere_is_not_fought_for() -> None:
    with play() as one:
        one.me.link.receive(lines(events.Error(None, "taken-over", "it goes on elsewhere")))
        one.cut()
        assert one.me.failure == "it goes on elsewhere"
        assert attempts(one, 100) == []


def test_a_client_that_waits_does_not_wake_up_for_nothing() -> None:
    """In particular not to keep a session that is over."""
    with play() as one:
        one.kill()
        one.heal()
        one.server.expire()
        one.cut()
        one.server.expire()
        one.connect()
        one.upward()
        one.downward()  # expired
        assert one.me.state.token is None
        for _ in range(3):
            one.clock.now += 1
            one.loop.tick(0)
        assert [timer for _, _, timer in one.loop._timers if timer.callback is not None] == []


# The connection itself


def listening(stage: Stage) -> tuple[Link, socket.socket, socket.socket]:
    """A link that is connected, who listens there, and the server's end."""
    listener = stage.listen()
    link = stage.link(address(listener))
    stage.until(lambda: stage.reader.notes, "connected")
    return link, listener, stage.accept(listener)


def reconnect(stage: Stage, link: Link, listener: socket.socket) -> socket.socket:
    """After an end, begin again; the server's end."""
    stage.until(lambda: stage.reader.over, "ended")
    stage.reader.over = False
    stage.reader.notes.clear()
    link.connect()
    stage.until(lambda: stage.reader.notes == ["connected"], "connected")
    return stage.accept(listener)


def timers(stage: Stage) -> int:
    return sum(timer.callback is not None for _, _, timer in stage.loop._timers)


def test_a_link_connects_again_and_nothing_piles_up() -> None:
    with Stage() as stage:
        link, listener, peer = listening(stage)
        hooks, live = len(stage.loop._hooks), timers(stage)
        for number in range(5):
            link.send(commands.Quit(id=str(number)))
            stage.heard(peer, encode_command(commands.Quit(id=str(number))))
            peer.sendall(lines(HI)[:-5])  # half a line, which the next connection knows nothing of
            if number % 2:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            peer = reconnect(stage, link, listener)
            assert (len(stage.loop._hooks), timers(stage)) == (hooks, live)
            peer.sendall(lines(HI))
            stage.until(lambda n=number: len(stage.reader.events) == n + 1, "told")  # type: ignore[misc]


def test_what_waited_to_be_sent_is_not_sent_on_the_next_connection() -> None:
    """The session knows what is to be repeated: half a line would be no command."""
    with Stage() as stage:
        link, listener, peer = listening(stage)
        while link.full is False:
            link.send(commands.Post(to="#dev", text="x" * 10_000))
        for _ in range(5):
            stage.loop.tick(0)
        peer.close()
        stage.until(lambda: stage.reader.over, "ended")
        link.send(commands.Quit())
        peer = reconnect(stage, link, listener)
        link.send(commands.Pong())
        stage.heard(peer, encode_command(commands.Pong()))


def test_a_link_tries_all_addresses_again() -> None:
    with Stage() as stage:
        listener = stage.listen()
        link = stage.link(stage.refusing(), address(listener))
        stage.until(lambda: stage.reader.notes, "connected")
        stage.accept(listener).close()
        reconnect(stage, link, listener)


def pass_time(stage: Stage, seconds: int) -> None:
    """Let time pass, second by second."""
    for _ in range(seconds):
        stage.clock.now += 1
        stage.loop.tick(0)


PING = encode_command(commands.Ping())


def test_a_silent_server_is_asked_and_then_given_up() -> None:
    with Stage() as stage:
        _, _, peer = listening(stage)
        pass_time(stage, 59)
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(1)
        pass_time(stage, 2)
        stage.heard(peer, PING)
        pass_time(stage, 58)
        assert not stage.reader.over
        pass_time(stage, 2)
        stage.ended("connected", "no sign of life")


def test_whatever_it_says_is_a_sign_of_life_and_a_pong_is_nothing_else() -> None:
    with Stage() as stage:
        _, _, peer = listening(stage)
        for said in (events.Pong(), HI, events.Pong(), events.Ping()):
            pass_time(stage, 85)
            peer.sendall(lines(said))
            stage.loop.tick(1)
        pass_time(stage, 85)
        assert not stage.reader.over
        assert stage.reader.events == [HI]


def test_a_server_that_talks_is_not_asked() -> None:
    with Stage() as stage:
        _, _, peer = listening(stage)
        for _ in range(20):
            pass_time(stage, 25)
            peer.sendall(lines(HI))
            stage.loop.tick(1)
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(1)


def test_a_pong_that_was_asked_for_by_name_is_told() -> None:
    with Stage() as stage:
        _, _, peer = listening(stage)
        peer.sendall(lines(events.Pong(), events.Pong("mine")))
        stage.until(lambda: stage.reader.events, "told")
        assert stage.reader.events == [events.Pong("mine")]


def test_a_link_that_has_ended_asks_nobody_any_more() -> None:
    with Stage() as stage:
        link, listener, peer = listening(stage)
        peer.close()
        stage.ended("connected", None)
        assert timers(stage) == 0
        pass_time(stage, 500)
        reconnect(stage, link, listener)
        pass_time(stage, 59)
        assert not stage.reader.over, "the silence before does not count"
        link.close()
        assert timers(stage) == 0
