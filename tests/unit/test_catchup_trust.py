"""As in test_catchup.py, with accounts of several sessions, blocks, muted rooms, corrections.

A model says what each session is to be told, whoever reads slowly, is cut off and comes back: live
and later it is the same, but that a message has the text that it had when it was read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import selchat
from selchat import scram
from selchat.hub.sessions import hashed
from selchat.hub.snapshot import dump
from selchat.hub.state import State
from selchat.model import events
from selchat.stream import Stream
from tests.unit.bad_disk import DiskStage
from tests.unit.playbook import Stage

GRACE = 120.0
SETTINGS: dict[str, Any] = {
    "soft_limit": 600,
    "hard_limit": 10**9,
    "write_budget": 300,
    "page": 3,
    "grace": GRACE,
    "ping_after": 1e9,
    "login_timeout": 1e9,
}
LOOKED_THROUGH = 200

Fact = dict[str, Any]
Forms = Callable[[], list[str]]


class Said:
    """A message, and all that it became."""

    def __init__(self, fact: Fact, user: User) -> None:
        self.versions = [fact]
        self.user = user
        self.edits: list[Edit] = []

    def edit(self, text: str) -> None:
        self._change({"text": text, "edited": True})

    def delete(self) -> None:
        self._change({"text": "", "deleted": True})

    def _change(self, change: Fact) -> None:
        self.versions.append(self.versions[-1] | change)
        for one in self.edits:
            one.overtaken = True

    @property
    def deleted(self) -> bool:
        return "deleted" in self.versions[-1]


class Edit:
    """An edit, of which nobody needs to know once there is another."""

    def __init__(self, fact: Fact) -> None:
        self.fact = fact
        self.overtaken = False


Happened = Fact | Said | Edit


@dataclass
class Told:
    """Something that concerns a session: `own` says that its user said it; `post_id` is what the
    session called it, if it is its own post, which is told in a resume alone."""

    seq: int
    what: Happened
    own: bool
    mine: bool
    post_id: str | None


@dataclass
class Line:
    """What a connection is to be sent; one of `forms` at the time when it is read."""

    forms: Forms
    optional: Callable[[], bool]


@dataclass(eq=False)
class User:
    name: str
    account: bool
    device: str = ""
    rooms: dict[str, None] = field(default_factory=dict)
    silenced: set[str] = field(default_factory=set)
    blocked: set[User] = field(default_factory=set)
    sessions: list[Session] = field(default_factory=list)
    seen: int = 0  # the newest entry when the last connection of its sessions was lost
    direct: list[tuple[int, Said]] = field(default_factory=list)  # what others said to it alone

    @property
    def online(self) -> bool:
        return any(one.alive and one.online for one in self.sessions)

    @property
    def there(self) -> bool:
        """Whether it can be written to."""
        return self.account or self.online


@dataclass(eq=False)
class Session:
    user: User
    bare: bool
    alive: bool = False
    online: bool = False
    client: str | None = None
    token: str = ""
    deadline: tuple[float, int] = (0.0, 0)
    told: list[Told] = field(default_factory=list)
    expected: list[Line] = field(default_factory=list)
    got: list[str] = field(default_factory=list)
    heard: int = 0


def as_text(fact: Fact, own: bool) -> str:
    match fact["type"]:
        case "message":
            text = "(deleted)" if "deleted" in fact else fact["text"]
            text += " (edited)" if "edited" in fact and "deleted" not in fact else ""
            if fact["to"][0] == "#":
                return f"[{fact['to']}] {fact['from']}: {text}"
            return f"* you to {fact['to']}: {text}" if own else f"[@{fact['from']}] {text}"
        case "joined":
            return f"* {fact['user']} joined #{fact['room']}"
        case "left":
            by = f" by {fact['by']}" if "by" in fact else ""
            why = "" if fact["reason"] == "left" else f" ({fact['reason']}{by})"
            return f"* {fact['user']} left #{fact['room']}{why}"
        case "edited":
            return f"* {fact['from']} changed a message in {fact['to']}: {fact['text']}"
        case "deleted":
            return f"* {fact['user']} deleted a message in {fact['to']}"
    raise AssertionError(fact)


numbers = st.integers(0, 7)
rooms = st.sampled_from(["x", "y"])
texts = st.sampled_from(["hi", "x" * 90, "y" * 290])
users = st.integers(0, 3)
acts = st.one_of(
    st.tuples(st.just("join"), rooms),
    st.tuples(st.just("leave"), rooms),
    st.tuples(st.just("post"), rooms, texts),
    st.tuples(st.just("post"), rooms, texts),
    st.tuples(st.just("direct"), users, texts),
    st.tuples(st.just("edit"), rooms, texts),
    st.tuples(st.just("delete"), rooms),
    st.tuples(st.just("kick"), rooms, users),
    st.tuples(st.just("block"), users),
    st.tuples(st.just("silence"), rooms),
)


class Trust(RuleBasedStateMachine):
    """alice, who owns both rooms, and bob have accounts and three sessions each; carol and tim are
    guests."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = self.make_stage(0.0, 0)
        alice, bob = User("alice", True), User("bob", True)
        carol, tim = User("carol", False), User("tim", False)
        self.users = [alice, bob, carol, tim]
        for user in self.users:
            kinds = (False, False, True) if user.account else (user is tim,)
            user.sessions = [Session(user, bare) for bare in kinds]
        self.sessions = [session for user in self.users for session in user.sessions]
        self.members: dict[str, dict[User, None]] = {"x": {}, "y": {}}
        self.conversation: dict[str, list[Happened]] = {"x": [], "y": []}
        self.seq = 0
        self.connections = self.losses = self.posts = 0

    def make_stage(self, time: float, secrets: int) -> Stage:
        assert (time, secrets) == (0.0, 0)
        stage = Stage(**SETTINGS)
        stage.server.delivery.tick = stage.server.delivery.crowded = 10**9
        return stage

    # The model

    def happens(
        self,
        fact: Fact,
        by: Session | None,
        concerned: list[User],
        named: User | None = None,
        room: str | None = None,
        post_id: str | None = None,
    ) -> Happened:
        """Something that those are told; `named` is whom it is about, who hears it in any case."""
        self.seq += 1
        fact = {"seq": self.seq, "at": self.stage.world.stamp()} | fact
        author = by.user if by is not None else None
        what: Happened = fact
        if fact["type"] == "message":
            assert author is not None
            what = Said(fact, author)
        elif fact["type"] == "edited":
            what = Edit(fact)
        if room is not None:
            self.conversation[room].append(what)
        speech = fact["type"] in ("message", "edited", "deleted")
        for user in dict.fromkeys([*concerned, *([named] if named is not None else [])]):
            deaf = room in user.silenced or (speech and author in user.blocked)
            if room is not None and user is not named and deaf:
                continue
            for session in user.sessions:
                if session.alive:
                    itself = what is not fact and fact.get("to") == "@" + user.name
                    own = speech and user is author and room is None and not itself
                    mine = session is by and not itself
                    told = Told(self.seq, what, own, mine, post_id if session is by else None)
                    session.told.append(told)
                    if not mine:
                        self.expect(session, told)
        return what

    def expect(self, session: Session, told: Told, again: bool = False) -> None:
        what, bare, own = told.what, session.bare, told.own
        extra = {"id": told.post_id} if again and told.post_id is not None else {}

        def line(fact: Fact) -> str:
            return as_text(fact, own) if bare else json.dumps(fact | extra, sort_keys=True)

        def forms() -> list[str]:
            if isinstance(what, Said):
                return [line(version) for version in what.versions[start:]]
            return [line(what.fact if isinstance(what, Edit) else what)]

        start = len(what.versions) - 1 if isinstance(what, Said) else 0
        optional = (lambda: what.overtaken) if isinstance(what, Edit) else (lambda: False)
        if session.client is not None:
            session.expected.append(Line(forms, optional))

    def answer(self, session: Session, words: str | None, **event: Any) -> None:
        line = words if session.bare else json.dumps(event, sort_keys=True)
        if session.client is not None and line is not None:
            session.expected.append(Line(lambda: [line], lambda: False))

    def done(self, session: Session, words: str | None, what: Happened | None, **more: Any) -> None:
        place = {}
        if what is not None:
            first = what.versions[0] if isinstance(what, Said) else what
            first = first.fact if isinstance(first, Edit) else first
            place = {"seq": first["seq"], "at": first["at"]}
        self.answer(session, words, type="ok", **place, **more)

    def changed(self, session: Session, words: str) -> None:
        """Done, by an entry of which nobody is told."""
        self.seq += 1
        at = self.stage.world.stamp()
        self.answer(session, words, type="ok", seq=self.seq, at=at)

    def goes(self, session: Session, reason: str, by: Session | None) -> None:
        """It goes offline."""
        user = session.user
        if not user.account:
            for room in list(user.rooms):
                del self.members[room][user], user.rooms[room]
                fact = {"type": "left", "room": room, "user": user.name, "reason": reason}
                concerned = list(self.members[room])
                self.happens(fact, by, concerned, user if by is None else None, room)
        self.seq += 1
        session.online = False

    def ends(self, session: Session) -> None:
        """It is over for good."""
        session.alive = False
        user = session.user
        if not user.account:
            for other in self.users:
                other.blocked.discard(user)
            user.blocked.clear()
            user.silenced.clear()

    # What clients do

    def says(self, session: Session, line: str, command: Fact) -> None:
        assert session.client is not None
        self.stage.say(session.client, line if session.bare else command)

    def is_in(self, session: Session, room: str, **more: Any) -> bool:
        if room in session.user.rooms:
            return True
        text = f"you are not in #{room}: type /join {room} first"
        self.answer(session, f"! {text}", type="error", code="not-a-member", text=text, **more)
        return False

    def do_join(self, session: Session, room: str) -> None:
        user = session.user
        self.says(session, f"/join {room}", {"type": "join", "room": room})
        if room in user.rooms:
            self.answer(session, f"* you are in #{room} already", type="ok")
            return
        if room in user.silenced:
            self.seq += 1
            user.silenced.remove(room)
        fact: Fact = {"type": "joined", "room": room, "user": user.name}
        if not self.conversation[room]:
            fact["owner"] = True
        self.members[room][user] = user.rooms[room] = None
        what = self.happens(fact, session, list(self.members[room]), user, room)
        self.done(session, f"* you joined #{room}", what)

    def do_leave(self, session: Session, room: str) -> None:
        user = session.user
        self.says(session, f"/leave {room}", {"type": "leave", "room": room})
        if self.is_in(session, room):
            fact = {"type": "left", "room": room, "user": user.name, "reason": "left"}
            what = self.happens(fact, session, list(self.members[room]), user, room)
            self.done(session, f"* you left #{room}", what)
            del self.members[room][user], user.rooms[room]

    def do_post(self, session: Session, room: str, text: str) -> None:
        post = self.post("#" + room, text)
        self.says(session, f"#{room} {text}", post)
        if self.is_in(session, room, id=post["id"]):
            self.posted(session, post, list(self.members[room]), room)

    def do_direct(self, session: Session, number: int, text: str) -> None:
        user, author = self.users[number], session.user
        if not user.there or (not user.account and author in user.blocked):
            return
        post = self.post("@" + user.name, text)
        self.says(session, f"@{user.name} {text}", post)
        told = [author] if author in user.blocked else list(dict.fromkeys([author, user]))
        said = self.posted(session, post, told, None)
        if user in told and user is not author:
            user.direct.append((self.seq, said))

    def post(self, to: str, text: str) -> Fact:
        self.posts += 1
        return {"type": "post", "id": str(self.posts), "to": to, "text": text}

    def posted(self, session: Session, post: Fact, concerned: list[User], room: str | None) -> Said:
        name = session.user.name
        fact = {"type": "message", "to": post["to"], "from": name, "text": post["text"]}
        post_id = None if session.bare else post["id"]
        what = self.happens(fact, session, concerned, None, room, post_id)
        self.done(session, None, what, id=post["id"])
        return cast(Said, what)

    def last(self, session: Session, room: str) -> Said | None:
        for what in reversed(self.conversation[room][-LOOKED_THROUGH:]):
            if isinstance(what, Said) and what.user is session.user and not what.deleted:
                return what
        text = f"there is no such message in #{room}: /history #{room}"
        self.answer(session, f"! {text}", type="error", code="no-such-message", text=text)
        return None

    def do_edit(self, session: Session, room: str, text: str) -> None:
        self.posts += 1
        text += str(self.posts)  # so that it can be told which of several edits was told
        command = {"type": "edit", "to": "#" + room, "text": text}
        self.says(session, f"/edit #{room} {text}", command)
        if self.is_in(session, room) and (said := self.last(session, room)) is not None:
            of, name = said.versions[0]["seq"], session.user.name
            fact = {"type": "edited", "to": "#" + room, "of": of, "from": name, "text": text}
            said.edit(text)
            what = self.happens(fact, session, list(self.members[room]), None, room)
            said.edits.append(cast(Edit, what))
            self.done(session, f"* you changed it to: {text}", what)

    def do_delete(self, session: Session, room: str) -> None:
        self.says(session, f"/delete #{room}", {"type": "delete", "to": "#" + room})
        if self.is_in(session, room) and (said := self.last(session, room)) is not None:
            of, name = said.versions[0]["seq"], session.user.name
            fact = {"type": "deleted", "to": "#" + room, "of": of, "user": name, "author": name}
            said.delete()
            what = self.happens(fact, session, list(self.members[room]), None, room)
            self.done(session, "* the message is deleted", what)

    def do_kick(self, session: Session, room: str, number: int) -> None:
        actor, user = session.user, self.users[number]
        if actor.name != "alice" or user is actor:
            return
        if room not in actor.rooms or room not in user.rooms:
            return
        command = {"type": "kick", "room": room, "user": user.name}
        self.says(session, f"/kick {room} {user.name}", command)
        fact = {"type": "left", "room": room, "user": user.name, "reason": "kicked", "by": "alice"}
        what = self.happens(fact, session, list(self.members[room]), user, room)
        self.done(session, f"* you put {user.name} out of #{room}", what)
        del self.members[room][user], user.rooms[room]

    def do_block(self, session: Session, number: int) -> None:
        """Block somebody, or hear it again."""
        user, other = session.user, self.users[number]
        if user is other:
            return
        if other in user.blocked:
            user.blocked.remove(other)
            self.says(session, f"/unblock {other.name}", {"type": "unblock", "user": other.name})
            self.changed(session, f"* you hear {other.name} again")
        elif other.there:
            user.blocked.add(other)
            self.says(session, f"/block {other.name}", {"type": "block", "user": other.name})
            self.changed(session, f"* you hear nothing of {other.name} any more")

    def do_silence(self, session: Session, room: str) -> None:
        user = session.user
        if room not in user.rooms:
            return
        if room in user.silenced:
            user.silenced.remove(room)
            self.says(session, f"/unmute-room {room}", {"type": "unmute-room", "room": room})
            self.changed(session, f"* you hear #{room} again")
        else:
            user.silenced.add(room)
            self.says(session, f"/mute-room {room}", {"type": "mute-room", "room": room})
            self.changed(session, f"* you hear nothing of #{room} any more")

    def may_speak(self, session: Session) -> bool:
        """Whether what it says is read at once."""
        if session.client is None:
            return False
        stream = cast(Stream, self.stage.connection(session.client).stream)
        return not (stream.full or stream.held)

    # Coming and going

    def connects(self, session: Session, *lines: str | Fact) -> None:
        self.connections += 1
        session.client = f"connection {self.connections}"
        session.expected, session.got = [], []
        self.stage.say(session.client, *lines)

    def welcome(self, session: Session) -> None:
        user = session.user
        if session.bare:
            name = user.name
            if user.account:
                words = f"* {name} is registered: type its password as the next line"
                self.answer(session, words)
            words = f"* welcome {name}: /join ROOM enters a room, /help lists the commands, "
            self.answer(session, words + "quit leaves")
            if user.rooms:
                self.answer(session, f"* you are in {', '.join('#' + one for one in user.rooms)}")
            return
        self.answer(
            session,
            None,
            type="welcome",
            user=user.name,
            token=session.token,
            seq=self.seq,
            log="log",
            version=selchat.__version__,
            line_limit=65_536,
            rooms=list(user.rooms),
            **({"account": True} if user.account else {}),
        )

    def comes(self, session: Session) -> None:
        user = session.user
        waited = [] if any(one.client is not None for one in user.sessions) else user.direct
        self.seq += 1
        session.alive = session.online = True
        session.told = []
        session.heard = self.seq
        if session.bare:
            self.connects(session, user.name, *(["password"] if user.account else []))
        else:
            session.token = f"token-{self.stage.world.secrets + 1}"
            hello = {"type": "hello", "user": user.name}
            self.connects(session, hello | ({"device": user.device} if user.account else {}))
        self.welcome(session)
        for seq, said in waited:
            if seq > user.seen and user.account:
                self.expect(session, Told(seq, said, False, False, None))
        user.direct = []
        self.stage.settle()

    @initialize()
    def begin(self) -> None:
        salt = b"salt of sixteen."
        salted = scram.salted(b"password", salt, 1)  # which takes no time
        verifier = scram.from_salted(salted, salt, 1)
        hub = self.stage.hub
        for user in self.users:
            if user.account:
                name = "first " + user.name
                self.stage.say(name, {"type": "hello", "user": user.name})
                self.stage.settle()
                first = hub.state.names[user.name].sessions[0]
                hub.order(events.Registered, verifier, 0, by=first)
                self.stage.say(name, {"type": "remember"}, {"type": "quit"})
                user.device = json.loads(self.stage.get(name)[1])["device"]
        self.seq = user.seen = hub.log.newest
        for user in self.users:
            user.seen = self.seq
        for session in self.sessions:
            self.comes(session)
            for room in "xy":
                self.do_join(session, room)
                self.stage.settle()

    @rule(doing=st.dictionaries(numbers, st.lists(acts, min_size=1, max_size=6), min_size=1))
    def they_talk(self, doing: dict[int, list[tuple[Any, ...]]]) -> None:
        """All of it arrives in one tick."""
        speakers = [self.sessions[number] for number in doing]
        able = [session for session in speakers if self.may_speak(session)]
        for session in able:
            for kind, *arguments in doing[self.sessions.index(session)]:
                getattr(self, "do_" + kind)(session, *arguments)
        self.stage.settle()

    @rule(number=numbers, room=st.integers(0, 500))
    def reads_slowly(self, number: int, room: int) -> None:
        session = self.sessions[number]
        if session.client is not None:
            sock = self.stage.clients[session.client]
            sock.room = room if sock.room is None else sock.room + room
        self.stage.settle()

    @rule(number=numbers)
    def reads_on(self, number: int) -> None:
        session = self.sessions[number]
        if session.client is not None:
            self.stage.clients[session.client].room = None
        self.stage.settle()

    @rule(number=numbers, broken=st.booleans())
    def goes_away(self, number: int, broken: bool) -> None:
        session = self.sessions[number]
        if session.client is None:
            return
        broken = broken or not self.may_speak(session)
        self.stage.clients[session.client].end("reset" if broken else "end")
        self.stage.settle()
        self.look()
        session.client = None
        session.user.seen = self.seq
        if session.bare:
            self.goes(session, "lost connection" if broken else "quit", session)
            self.ends(session)
        else:
            self.losses += 1
            session.deadline = (self.stage.world.time + GRACE, self.losses)

    @rule(number=numbers)
    def quits(self, number: int) -> None:
        session = self.sessions[number]
        if session.bare or not self.may_speak(session):
            return
        assert session.client is not None
        self.says(session, "", {"type": "quit"})
        self.stage.settle()
        self.look()
        session.client = None
        self.goes(session, "quit", session)
        session.user.seen = self.seq
        self.ends(session)

    @rule(number=numbers)
    def comes_back(self, number: int) -> None:
        """Also while it is there: then the new connection takes the session over."""
        session = self.sessions[number]
        if not session.alive:
            self.comes(session)
        elif not session.bare:
            self.look()
            after = session.heard
            if not session.online:
                self.seq += 1
                session.online = True
            hello = {"type": "hello", "user": session.user.name, "token": session.token}
            self.connects(session, hello | {"after": after, "log": "log"})
            session.user.direct = []
            self.welcome(session)
            for told in session.told:
                what = told.what
                again = isinstance(what, Said) if told.mine else True
                if told.seq > after and again and not (isinstance(what, Edit) and what.overtaken):
                    self.expect(session, told, again=True)
            self.stage.settle()

    @rule(seconds=st.sampled_from([1.0, GRACE - 1, GRACE]))
    def time_passes(self, seconds: float) -> None:
        start = self.stage.world.time
        waiting = [one for one in self.sessions if one.alive and one.online and not one.client]
        for session in sorted(waiting, key=lambda session: session.deadline):
            if session.deadline[0] <= start + seconds:
                self.stage.world.time = session.deadline[0]  # for the stamp
                self.goes(session, "lost connection", None)
        self.stage.world.time = start
        self.stage.advance(seconds)

    # What must be so

    def look(self) -> None:
        for session in self.sessions:
            if session.client is None:
                continue
            for line in self.stage.clients[session.client].lines():
                if line == "<end>":
                    continue
                if line[0] != "{":
                    session.got.append(line)
                    continue
                event = json.loads(line)
                session.got.append(json.dumps(event, sort_keys=True))
                if event["type"] != "welcome":
                    session.heard = max(session.heard, event.get("seq", 0))

    @invariant()
    def each_got_what_it_should(self) -> None:
        self.look()
        assert self.stage.log.newest == self.seq
        for session in self.sessions:
            if session.client is not None:
                left = self.unread(session)
                if self.stage.clients[session.client].room is None:
                    assert left == [], session.user.name

    def unread(self, session: Session) -> list[list[str]]:
        """What a session is to be sent still, after what it got, which is what it should."""
        expected = iter(session.expected)
        for number, line in enumerate(session.got):
            for wanted in expected:
                if line in wanted.forms():
                    break
                assert wanted.optional(), (session.user.name, session.got[number:], wanted.forms())
            else:
                raise AssertionError(f"{session.user.name} got {line}, and nothing was to come")
        return [wanted.forms() for wanted in expected if not wanted.optional()]

    @invariant()
    def all_know_who_is_where(self) -> None:
        for name, room in self.stage.hub.state.rooms.items():
            assert [user.name for user in room.members] == [u.name for u in self.members[name]]

    def teardown(self) -> None:
        for number in range(len(self.sessions)):
            self.reads_on(number)
        self.each_got_what_it_should()


class TrustWithRestarts(Trust):
    """And the server is killed, or stopped, and started."""

    def __init__(self) -> None:
        self.folder = TemporaryDirectory()
        super().__init__()

    def make_stage(self, time: float, secrets: int) -> DiskStage:
        more: dict[str, Any] = {"snapshot_entries": 7}
        folder = Path(self.folder.name)
        stage = DiskStage(folder, time=time, secrets=secrets, **SETTINGS | more)
        stage.server.delivery.tick = stage.server.delivery.crowded = 10**9
        return stage

    @rule(orderly=st.booleans(), unread=st.sets(numbers))
    def the_server_restarts(self, orderly: bool, unread: set[int]) -> None:
        """What it had sent, and those of `unread` have not read, is lost with the connection."""
        for number in unread:
            self.sessions[number].client = None
        self.look()
        began = sorted(self.sessions, key=self.began)
        stage = cast(DiskStage, self.stage)
        if orderly:
            stage.stop()
            stage.take_errors()
        else:
            stage.kill()
        self.stage = self.make_stage(stage.world.time, stage.world.secrets)
        for session in began:
            if session.alive:
                if session.client is not None or session.online:
                    session.user.seen = self.seq
                session.client = None
        for session in began:
            if session.alive and session.bare:
                self.goes(session, "lost connection", session)
                self.ends(session)
        for session in began:
            if session.alive and session.online:
                self.losses += 1
                session.deadline = (self.stage.world.time + GRACE, self.losses)
        self.stage.connect("who ticks")  # the ends of those sessions are committed
        self.stage.settle()

    def began(self, session: Session) -> int:
        """Where a session stands in the order in which they began."""
        for place, one in enumerate(self.stage.hub.state.sessions.values()):
            token = one.token is None if session.bare else one.token == hashed(session.token)
            if one.user.name == session.user.name and token:
                return place
        return -1

    @invariant()
    def nothing_in_memory_differs_from_the_log(self) -> None:
        if self.seq:
            cast(DiskStage, self.stage).expect_no_difference()
            state = State()
            for entry in self.stage.log.entries():
                state.apply(entry)
            assert dump(state) == dump(self.stage.hub.state)

    def teardown(self) -> None:
        super().teardown()
        cast(DiskStage, self.stage).close()
        self.folder.cleanup()


TestTrust = Trust.TestCase
TestTrust.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestTrustWithRestarts = TrustWithRestarts.TestCase
TestTrustWithRestarts.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)
