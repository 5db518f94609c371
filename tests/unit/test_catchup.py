"""Whatever happens, each session is told exactly what the fine print says, once and in order.

The machine does at random what people do: come, talk, rename themselves, read slowly, lose their
connection, come back. A model without log, buffers or catch-up says what each connection is to be
sent from its first line on. What it was sent must at any time be the beginning of that, and all
of it where its reader has read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import selchat
from selchat.stream import Stream
from tests.unit.playbook import Stage

GRACE = 120.0

Fact = dict[str, Any]


@dataclass
class Told:
    """An entry that concerns a session: what it is told live, and what in a resume."""

    seq: int
    live: Fact | None
    again: Fact | None


@dataclass(eq=False)
class Person:
    """A user with one session: in JSON, or, if `bare`, in text."""

    name: str
    bare: bool
    names: tuple[str, str]
    alive: bool = False  # has a session
    online: bool = False
    client: str | None = None  # the connection that it has now
    token: str = ""
    deadline: tuple[float, int] = (0.0, 0)  # the end of its grace, and who was lost first
    rooms: dict[str, None] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    last_post: tuple[dict[str, Any], int, str] | None = None  # the post, its seq and time
    # Of the connection it has now:
    expected: list[str] = field(default_factory=list)
    got: list[str] = field(default_factory=list)
    seen: int = 0  # the last seq that the client knows of


def as_text(fact: Fact) -> str:
    match fact["type"]:
        case "message" if fact["to"][0] == "#":
            return f"[{fact['to']}] {fact['from']}: {fact['text']}"
        case "message":
            return f"[@{fact['from']}] {fact['text']}"
        case "joined":
            return f"* {fact['user']} joined #{fact['room']}"
        case "left":
            why = "" if fact["reason"] == "left" else f" ({fact['reason']})"
            return f"* {fact['user']} left #{fact['room']}{why}"
        case "topic":
            return f"* {fact['user']} set the topic of #{fact['room']}: {fact['text']}"
        case "renamed":
            return f"* {fact['user']} is now {fact['name']} in #{fact['room']}"
    raise AssertionError(fact)


def canonical(line: str) -> str:
    """The order of an object's members is not what this is about."""
    return json.dumps(json.loads(line), sort_keys=True) if line[0] == "{" else line


people = st.integers(0, 4)
rooms = st.sampled_from(["x", "y"])
texts = st.sampled_from(["hi", "x" * 90, "y" * 290])
acts = st.one_of(
    st.tuples(st.just("join"), rooms),
    st.tuples(st.just("leave"), rooms),
    st.tuples(st.just("post"), rooms, texts),
    st.tuples(st.just("post"), rooms, texts),
    st.tuples(st.just("post"), rooms, texts),
    st.tuples(st.just("direct"), people, texts),
    st.tuples(st.just("topic"), rooms, texts),
    st.tuples(st.just("nick")),
    st.tuples(st.just("ask")),
    st.tuples(st.just("repeat")),
)


class Chat(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(
            soft_limit=600,
            hard_limit=10**9,
            write_budget=300,
            page=3,
            grace=GRACE,
            ping_after=1e9,
            login_timeout=1e9,
        )
        # What came together is done in the order in which it came, however much it is.
        self.in_one_tick()
        self.people = [
            Person(name, name in ("tim", "una"), (name, name + "-2"))
            for name in ("ann", "ben", "cat", "tim", "una")
        ]
        self.seq = 0
        self.members: dict[str, dict[Person, None]] = {"x": {}, "y": {}}
        self.topics: dict[str, str] = {}
        self.connections = 0
        self.losses = 0
        self.posts = 0

    def in_one_tick(self) -> None:
        """However much is asked in a tick, nothing of it waits for the next."""
        self.stage.server.delivery.tick = self.stage.server.delivery.crowded = 10**9

    # The model

    def happens(
        self,
        fact: Fact,
        by: Person | None,
        concerned: list[Person],
        post_id: str | None = None,
    ) -> Fact:
        self.seq += 1
        fact = {"seq": self.seq, "at": self.stage.world.stamp()} | fact
        for person in concerned:
            to_self = fact["type"] == "message" and fact["to"] == "@" + person.name
            live = fact if person is not by or to_self else None
            again: Fact | None = fact
            if person is by:
                again = None
                if fact["type"] == "message":
                    again = fact if post_id is None else fact | {"id": post_id}
            person.told.append(Told(self.seq, live, again))
            if live is not None:
                self.expect(person, live)
        return fact

    def expect(self, person: Person, line: Fact | str) -> None:
        if person.client is not None:
            if isinstance(line, dict):
                line = as_text(line) if person.bare else json.dumps(line, sort_keys=True)
            person.expected.append(line)

    def answer(self, person: Person, words: str | None, **event: Any) -> None:
        if not person.bare:
            self.expect(person, event)
        elif words is not None:
            self.expect(person, words)

    def goes(self, person: Person, reason: str, by: Person | None) -> None:
        for room in list(person.rooms):
            del self.members[room][person], person.rooms[room]
            fact = {"type": "left", "room": room, "user": person.name, "reason": reason}
            self.happens(fact, by, [*self.members[room], *([person] if by is None else [])])
        self.seq += 1
        person.online = False

    # What clients do

    def does(self, person: Person, act: tuple[Any, ...]) -> None:
        """Say it, and tell the model."""
        kind, *arguments = act
        getattr(self, "do_" + kind)(person, *arguments)

    def do_join(self, person: Person, room: str) -> None:
        self.says(person, f"/join {room}", {"type": "join", "room": room})
        if room in person.rooms:
            self.answer(person, f"* you are in #{room} already", type="ok")
            return
        self.members[room][person] = person.rooms[room] = None
        fact = {"type": "joined", "room": room, "user": person.name}
        self.done(person, f"* you joined #{room}", fact, room)
        if person.bare and room in self.topics:
            self.expect(person, f"* the topic of #{room}: {self.topics[room]}")

    def do_leave(self, person: Person, room: str) -> None:
        self.says(person, f"/leave {room}", {"type": "leave", "room": room})
        if self.is_in(person, room):
            fact = {"type": "left", "room": room, "user": person.name, "reason": "left"}
            self.done(person, f"* you left #{room}", fact, room)
            del self.members[room][person], person.rooms[room]

    def do_topic(self, person: Person, room: str, text: str) -> None:
        command = {"type": "topic", "room": room, "text": text}
        self.says(person, f"/topic {room} {text}", command)
        if self.is_in(person, room):
            self.topics[room] = text
            fact = {"type": "topic", "room": room, "user": person.name, "text": text}
            self.done(person, f"* you set the topic of #{room}", fact, room)

    def do_post(self, person: Person, room: str, text: str) -> None:
        post = self.post("#" + room, text)
        self.says(person, f"#{room} {text}", post)
        if self.is_in(person, room, post["id"]):
            self.posted(person, post, list(self.members[room]))

    def do_direct(self, person: Person, other: int, text: str) -> None:
        user = self.people[other]
        if user.online:
            post = self.post("@" + user.name, text)
            self.says(person, f"@{user.name} {text}", post)
            self.posted(person, post, list({person: None, user: None}))

    def do_repeat(self, person: Person) -> None:
        if person.last_post is not None:
            post, seq, at = person.last_post
            self.says(person, "", post)
            self.answer(person, None, type="ok", id=post["id"], seq=seq, at=at)

    def do_ask(self, person: Person) -> None:
        self.says(person, "hm?", {"type": "ping"})
        words = "! say to whom: #ROOM MESSAGE or @USER MESSAGE (/help lists the commands)"
        self.answer(person, words, type="pong")

    def do_nick(self, person: Person) -> None:
        old = person.name
        person.name = person.names[person.names[0] == old]
        self.says(person, f"/nick {person.name}", {"type": "nick", "name": person.name})
        if not person.rooms:
            self.seq += 1
        for room in person.rooms:
            fact = {"type": "renamed", "room": room, "user": old, "name": person.name}
            self.happens(fact, person, list(self.members[room]))
        at = self.stage.world.stamp()
        self.answer(person, f"* you are now {person.name}", type="ok", seq=self.seq, at=at)

    def says(self, person: Person, line: str, command: dict[str, Any]) -> None:
        assert person.client is not None
        self.stage.say(person.client, line if person.bare else command)

    def is_in(self, person: Person, room: str, post_id: str | None = None) -> bool:
        if room in person.rooms:
            return True
        text = f"you are not in #{room}: type /join {room} first"
        event = {"type": "error", "code": "not-a-member", "text": text}
        self.answer(person, f"! {text}", **event | ({"id": post_id} if post_id else {}))
        return False

    def done(self, person: Person, words: str, fact: Fact, room: str) -> None:
        fact = self.happens(fact, person, list(self.members[room]))
        self.answer(person, words, type="ok", seq=fact["seq"], at=fact["at"])

    def post(self, to: str, text: str) -> dict[str, Any]:
        self.posts += 1
        return {"type": "post", "id": str(self.posts), "to": to, "text": text}

    def posted(self, person: Person, post: dict[str, Any], concerned: list[Person]) -> None:
        message = {"type": "message", "to": post["to"], "from": person.name, "text": post["text"]}
        fact = self.happens(message, person, concerned, None if person.bare else post["id"])
        self.answer(person, None, type="ok", id=post["id"], seq=fact["seq"], at=fact["at"])
        if not person.bare:
            person.last_post = (post, fact["seq"], fact["at"])

    def connects(self, person: Person, hello: dict[str, Any]) -> None:
        self.connections += 1
        person.client = f"connection {self.connections}"
        person.expected, person.got = [], []
        self.stage.say(person.client, person.name if person.bare else hello)
        words = (
            f"* welcome {person.name}: /join ROOM enters a room, /help lists the commands, "
            "quit leaves"
        )
        self.answer(
            person,
            words,
            type="welcome",
            user=person.name,
            token=person.token,
            seq=self.seq,
            log="log",
            version=selchat.__version__,
            line_limit=65_536,
            rooms=list(person.rooms),
        )

    def may_speak(self, person: Person) -> bool:
        """Whether what it says is read at once."""
        if person.client is None:
            return False
        stream = cast(Stream, self.stage.connection(person.client).stream)
        return not (stream.full or stream.held)

    # The rules

    @initialize()
    def begin(self) -> None:
        for person in self.people:
            self.comes(person)
            for room in "xy":
                self.does(person, ("join", room))
                self.stage.settle()

    def comes(self, person: Person) -> None:
        self.seq += 1
        person.alive = person.online = True
        person.told = []
        person.last_post = None
        if not person.bare:
            person.token = f"token-{self.stage.world.secrets + 1}"
        self.connects(person, {"type": "hello", "user": person.name})
        person.seen = self.seq
        self.stage.settle()

    @rule(
        doing=st.dictionaries(people, st.lists(acts, min_size=1, max_size=6), min_size=1),
    )
    def they_talk(self, doing: dict[int, list[tuple[Any, ...]]]) -> None:
        """All of it arrives in one tick."""
        speakers = [self.people[number] for number in doing]
        speakers = [person for person in speakers if self.may_speak(person)]
        for person in speakers:
            for act in doing[self.people.index(person)]:
                self.does(person, act)
        self.stage.settle()

    @rule(number=people, room=st.integers(0, 500))
    def reads_slowly(self, number: int, room: int) -> None:
        person = self.people[number]
        if person.client is not None:
            sock = self.stage.clients[person.client]
            sock.room = room if sock.room is None else sock.room + room
        self.stage.settle()

    @rule(number=people)
    def reads_on(self, number: int) -> None:
        person = self.people[number]
        if person.client is not None:
            self.stage.clients[person.client].room = None
        self.stage.settle()

    @rule(number=people, broken=st.booleans())
    def goes_away(self, number: int, broken: bool) -> None:
        person = self.people[number]
        if person.client is None:
            return
        broken = broken or not self.may_speak(person)
        self.stage.clients[person.client].end("reset" if broken else "end")
        self.stage.settle()
        self.look()
        person.client = None
        if person.bare:
            self.goes(person, "lost connection" if broken else "quit", person)
            person.alive = False
        else:
            self.losses += 1
            person.deadline = (self.stage.world.time + GRACE, self.losses)

    @rule(number=people)
    def comes_back(self, number: int) -> None:
        """Also while it is there: then the new connection takes the session over."""
        person = self.people[number]
        if not person.alive:
            self.comes(person)
        elif not person.bare:
            self.look()
            old, expected = person.client, person.expected
            after = person.seen
            if not person.online:
                self.seq += 1
                person.online = True
            hello = {"type": "hello", "user": person.name, "token": person.token}
            self.connects(person, hello | {"after": after, "log": "log"})
            for told in person.told:
                if told.seq > after and told.again is not None:
                    self.expect(person, told.again)
            self.stage.settle()
            if old is not None and self.stage.clients[old].room is None:
                assert "taken-over" in self.stage.clients[old].lines()[-2], expected

    @rule(seconds=st.sampled_from([1.0, GRACE - 1, GRACE]))
    @precondition(lambda self: any(p.alive and p.client is None for p in self.people))
    def time_passes(self, seconds: float) -> None:
        end = self.stage.world.time + seconds
        waiting = [p for p in self.people if p.alive and p.online and p.client is None]
        start = self.stage.world.time
        for person in sorted(waiting, key=lambda person: person.deadline):
            if person.deadline[0] <= end:
                self.stage.world.time = person.deadline[0]  # for the stamp
                self.goes(person, "lost connection", None)
        self.stage.world.time = start
        self.stage.advance(seconds)

    # What must be so

    def look(self) -> None:
        for person in self.people:
            if person.client is None:
                continue
            for line in self.stage.clients[person.client].lines():
                if line == "<end>":
                    continue
                person.got.append(canonical(line))
                if line[0] == "{":
                    event = json.loads(line)
                    if event["type"] != "welcome":
                        person.seen = max(person.seen, event.get("seq", 0))

    @invariant()
    def each_got_what_it_should(self) -> None:
        self.look()
        assert self.stage.log.newest == self.seq
        for person in self.people:
            if person.client is not None:
                assert person.got == person.expected[: len(person.got)], person.name
                if self.stage.clients[person.client].room is None:
                    assert len(person.got) == len(person.expected), person.name

    def teardown(self) -> None:
        for number in range(len(self.people)):
            self.reads_on(number)
        self.each_got_what_it_should()
        for name, room in self.stage.hub.state.rooms.items():
            assert [user.name for user in room.members] == [p.name for p in self.members[name]]


TestChat = Chat.TestCase
TestChat.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
