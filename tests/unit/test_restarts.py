"""As in test_catchup.py, and the server is killed, stopped and started, and its disk fails.

The model is the same one: a restart changes nothing for a session with a token but that its grace
starts anew; the others are over. What was asked while the disk failed did not happen.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from selchat.hub.snapshot import dump
from selchat.hub.state import State
from tests.unit.bad_disk import BROKEN, FULL, DiskStage
from tests.unit.test_catchup import GRACE, Chat, Person, people, rooms, texts

SETTINGS: dict[str, Any] = {
    "soft_limit": 600,
    "hard_limit": 10**9,
    "write_budget": 300,
    "page": 3,
    "grace": GRACE,
    "ping_after": 1e9,
    "login_timeout": 1e9,
    "snapshot_entries": 7,
}

WHY = {
    FULL: "the disk is full: free some space",
    BROKEN: "the disk reports an error (disk I/O error): check it",
}

vain = st.one_of(
    st.tuples(st.just("post"), rooms, texts),
    st.tuples(st.just("direct"), people, texts),
    st.tuples(st.just("leave"), rooms),
    st.tuples(st.just("topic"), rooms, texts),
    st.tuples(st.just("nick")),
)


class ChatWithRestarts(Chat):
    def __init__(self) -> None:
        super().__init__()
        self.stage.server.loop.close()
        self.folder = TemporaryDirectory()
        self.stage: DiskStage = DiskStage(Path(self.folder.name), **SETTINGS)
        self.in_one_tick()
        self.sessions: list[Person] = []  # in the order in which they began

    def comes(self, person: Person) -> None:
        self.sessions = [one for one in self.sessions if one is not person] + [person]
        super().comes(person)

    # The server

    @rule(orderly=st.booleans(), unread=st.sets(people))
    def the_server_restarts(self, orderly: bool, unread: set[int]) -> None:
        """What it had sent, and those of `unread` have not read, is lost with the connection."""
        for number in unread:
            self.people[number].client = None
        self.look()
        if orderly:
            self.stage.stop()
            self.stage.take_errors()
        else:
            self.stage.kill()
        self.go_on()

    @rule(doing=st.dictionaries(people, st.lists(vain, min_size=1, max_size=3), min_size=1))
    def the_server_is_killed_in_a_commit(self, doing: dict[int, list[tuple[Any, ...]]]) -> None:
        """All who asked for something in that tick have it to do again."""
        self.look()
        self.stage.disk.fail("COMMIT", error=BROKEN)
        self.ask_in_vain(doing, None)
        self.stage.tick()
        self.stage.kill()
        self.go_on()

    def go_on(self) -> None:
        """Start it again: sessions of the text tongue are over, the others wait."""
        world = self.stage.world
        self.stage = DiskStage(
            Path(self.folder.name), time=world.time, secrets=world.secrets, **SETTINGS
        )
        self.in_one_tick()
        for person in self.people:
            person.client = None
        for person in self.sessions:
            if person.alive and person.bare:
                self.goes(person, "lost connection", person)
                person.alive = False
        self.grace_starts_anew(self.sessions)
        self.stage.connect("who ticks")  # the ends of those sessions are committed
        self.stage.settle()

    def grace_starts_anew(self, waiting: list[Person]) -> None:
        for person in waiting:
            if person.alive and not person.bare and person.online:
                self.losses += 1
                person.deadline = (self.stage.world.time + GRACE, self.losses)

    # The disk

    @rule(
        doing=st.dictionaries(people, st.lists(vain, min_size=1, max_size=3), min_size=1),
        later=st.dictionaries(people, st.lists(vain, min_size=1, max_size=3)),
        error=st.sampled_from([FULL, BROKEN]),
        lost=st.sets(people),
    )
    def the_disk_fails(
        self,
        doing: dict[int, list[tuple[Any, ...]]],
        later: dict[int, list[tuple[Any, ...]]],
        error: tuple[str, str],
        lost: set[int],
    ) -> None:
        """Some ask for something, in the tick that fails and after it, and some are cut off."""
        self.stage.disk.fail_writing(error)
        if not self.ask_in_vain(doing, error):
            self.stage.disk.heal()
            return
        self.stage.settle()
        self.ask_in_vain(later, error)
        self.stage.settle()
        self.look()
        waited = [one for one in self.sessions if one.client is None]
        for number in lost:
            person = self.people[number]
            if person.client is not None:
                self.stage.clients[person.client].end("reset")
                person.client = None
                self.grace_starts_anew([person])
        self.stage.settle()
        self.stage.disk.heal()
        start = self.stage.world.time
        self.stage.world.time += 1.0  # when the server tries again
        for person in self.sessions:
            if person.alive and person.bare and person.client is None:
                self.goes(person, "lost connection", person)
                person.alive = False
        self.grace_starts_anew(waited)
        self.stage.world.time = start
        self.stage.advance(1.0)

    def ask_in_vain(
        self, doing: dict[int, list[tuple[Any, ...]]], error: tuple[str, str] | None
    ) -> bool:
        """Ask for what would be done at any other time; False if nobody can ask."""
        asked = False
        for number, acts in doing.items():
            person = self.people[number]
            if not self.may_speak(person):
                continue
            for kind, *arguments in acts:
                if kind not in {"nick", "direct"} and arguments[0] not in person.rooms:
                    continue
                if kind == "direct" and not self.people[arguments[0]].online:
                    continue
                asked = True
                self.ask(person, kind, arguments, error)
        return asked

    def ask(
        self, person: Person, kind: str, arguments: list[Any], error: tuple[str, str] | None
    ) -> None:
        command: dict[str, Any]
        if kind == "nick":
            name = person.names[person.names[0] == person.name]
            line, command = f"/nick {name}", {"type": "nick", "name": name}
        elif kind == "leave":
            line, command = f"/leave {arguments[0]}", {"type": "leave", "room": arguments[0]}
        elif kind == "topic":
            room, text = arguments
            line, command = f"/topic {room} {text}", {"type": "topic", "room": room, "text": text}
        else:
            where, text = arguments
            to = f"#{where}" if kind == "post" else f"@{self.people[where].name}"
            line, command = f"{to} {text}", self.post(to, text)
        self.says(person, line, command)
        if error is not None:
            words = f"that could not be stored ({WHY[error]}): try again later"
            answer: dict[str, Any] = {"type": "error", "code": "not-stored", "text": words}
            if "id" in command:
                answer["id"] = command["id"]
            self.answer(person, f"! {words}", **answer)

    # What must be so

    @invariant()
    @precondition(lambda self: self.seq > 0)
    def nothing_in_memory_differs_from_the_log(self) -> None:
        self.stage.expect_no_difference()
        state = State()
        for entry in self.stage.log.entries():
            state.apply(entry)
        assert dump(state) == dump(self.stage.hub.state)

    def teardown(self) -> None:
        super().teardown()
        self.stage.close()
        self.folder.cleanup()


TestChatWithRestarts = ChatWithRestarts.TestCase
TestChatWithRestarts.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
del Chat  # its own test is in its own module
