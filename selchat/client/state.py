"""What a client knows: its name, its conversations, and what it asked that is not answered yet.

Pure: lines and events in, commands and lines out. Every front end stands on this.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from selchat.client.complete import LOCAL, Known
from selchat.client.conversations import Conversations
from selchat.errors import Refusal
from selchat.model import commands, events, names
from selchat.model.clean import clean_line
from selchat.model.commands import Command
from selchat.model.events import Error, Event
from selchat.wire import jsonl, text
from selchat.wire.rendering import confirm, render

_ROOMS = 10
"""Rooms of an account of which the news are asked for on logging in."""

_RECENT = 20
"""Entries that are asked for on entering a room: what fits a terminal."""


_ABOUT_A_TARGET = ("history", "me", "edit", "delete")
_ABOUT_A_ROOM = ("leave", "topic", "mute-room", "unmute-room")
_ABOUT_A_MEMBER = ("op", "deop", "kick", "ban", "unban", "mute", "unmute", "invite", "private")
"""Commands that mean the current conversation where they name none; of the last, the first word is
a room if one is in it."""


class Heard(NamedTuple):
    """What became of an event: what to show of it, and how.

    `lines` are in the form of the text tongue, and clean, whatever the server sent.
    """

    lines: list[str]
    alert: bool = False
    """Whether it is meant for the user: a direct message, or one that names the user."""
    sent: commands.Post | commands.Me | None = None
    """The user's own message that is acknowledged by it."""
    refused: commands.Post | commands.Me | None = None
    """The user's own message that is refused by it."""


class State:
    """One user's session as its client sees it.

    `pending` has the unanswered commands by `id`, in the order in which they were asked; `failed`
    counts the lines that were refused, `first_failure` says what became of the first.
    """

    def __init__(self, auto_join: bool, curious: bool = False, prefix: str = "~") -> None:
        """With `auto_join`, the first post to a room enters it. With `curious`, the members of a
        room and what was last said there are asked for, as `questions`, when it is entered.
        `prefix` begins the ids; it must be new where a session goes on in another process.
        """
        self.user = ""
        self.token: str | None = None
        self.log = ""
        self.after = 0
        """The session: what brings it back, in which log, and the last `seq` seen of it."""
        self.line_limit = 0
        self.pending: dict[str, Command] = {}
        self.failed = 0
        self.first_failure = ""
        self.talk = Conversations()
        self._auto_join = auto_join
        self._curious = curious
        self._questions: list[Command] = []
        self._quiet: set[str] = set()  # ids of what nobody typed
        self._entering: set[str] = set()  # ids of what `auto_join` asked
        self._welcomed_at = 0  # the newest `seq` then
        self._known_token: str | None = None  # of the session that was welcomed last
        self._inside: set[str] = set()  # keys of the rooms that the last welcome named
        self._recent: dict[str, int] = {}  # ids of questions whose answer is shown, after when
        self._seen: dict[str, int] = {}  # by room that was lost, up to where it had been shown
        self._repeated: set[str] = set()  # ids of leaves that may have been done before
        self._sent: set[str] = set()  # ids of what may have arrived
        self._prefix = prefix
        self._asked = 0

    @property
    def unanswered(self) -> int:
        """How many typed lines are pending, but for a `quit`."""
        return sum(
            identity not in self._entering | self._quiet and not isinstance(command, commands.Quit)
            for identity, command in self.pending.items()
        )

    # What is typed

    def typed(self, line: str | None) -> list[Command]:
        """The commands that a line of a script asks, ready to be sent, and pending from now on.

        A line that begins with `{` is a command in the JSON tongue, for programs, whose own ids
        do not begin with `~`. None is a line that was too long to be kept. Raises `Refusal` where
        the line is no command.
        """
        if line is None:
            raise self._fail(_too_long("too long"))
        return self._ask_all(jsonl.parse(line.encode()) if line[:1] == "{" else text.parse(line))

    def said(self, line: str) -> list[Command]:
        """The commands that a person's line asks; plain text goes to the current conversation.

        A message of several lines has newlines. Raises `Refusal`.
        """
        if line.startswith("//"):
            return self.posted(line[1:])
        word, _, rest = line.partition(" ")
        if word.lower() == "/to":
            self._turn_to(rest.strip())
            return []
        bare_mark = word in ("#", "@") and bool(self.talk.current)
        plain = line[0] not in "/#@" and line.strip().lower() != "quit"
        if bare_mark or (plain and self.talk.current):
            return self.posted(line)
        if plain:
            command = text.parse(line)
            if isinstance(command, Error):
                hint = "/join ROOM first, or say to whom: #ROOM MESSAGE or @USER MESSAGE"
                meant = names.closest(word.lower(), commands.TYPED)
                raise self._fail(Refusal(command.code, command.text if meant else hint))
        if word[:1] == "/" and word[1:].lower() not in commands.TYPED:
            meant = names.closest(word[1:33].lower(), LOCAL)
            if meant:
                why = f"there is no {word[:33]}: did you mean /{meant} {LOCAL[meant]}"
                raise self._fail(Refusal("no-command", why.rstrip() + " ?"))
        return self._ask_all(text.parse(self._completed(word, rest) or line))

    def _completed(self, word: str, rest: str) -> str | None:
        """A command that leaves out where, with the current conversation in its place."""
        target, command = self.talk.target, word[1:].lower()
        if not target or word[:1] != "/":
            return None
        first = rest.split(maxsplit=1)[0] if rest.strip() else ""
        if command in _ABOUT_A_TARGET and first[:1] not in ("#", "@"):
            return f"{word} {target} {rest}"
        if target[0] != "#":
            return None
        if command in _ABOUT_A_ROOM and not first:
            return f"{word} {target}"
        if command in _ABOUT_A_MEMBER and first[:1] != "#" and not self.talk.entered(first):
            return f"{word} {target} {rest}"
        return None

    def posted(self, said: str, to: str = "") -> list[Command]:
        """The commands that say something, whatever it looks like, to `to` or to the current
        conversation. Raises `Refusal`.
        """
        to = to or self.talk.target
        if not to:
            raise self._fail(Refusal("no-command", "/join ROOM first, or say to whom: /to TARGET"))
        return self._ask_all(commands.Post(to=to, text=said))

    def asked(self, command: Command) -> list[Command]:
        """A command that is made of what was typed, ready to be sent. Raises `Refusal`."""
        return self._ask_all(command)

    def refused(self, code: str, why: str) -> list[Command]:
        """What was typed is not even asked. Raises `Refusal`."""
        raise self._fail(Refusal(code, why))

    def wonder(self, command: Command) -> None:
        """Ask something that nobody typed: it is among the next `questions`."""
        self._questions.append(command)

    def join(self, room: str) -> list[Command]:
        """The command that enters a room; none where one is in it: it becomes the current one."""
        if self.talk.entered(room):
            self.talk.turn_to("#" + room.removeprefix("#"))
            return []
        return self._ask_all(commands.Join(room=room))

    def quit(self) -> Command:
        """The command that ends the session."""
        command = commands.Quit(id=self._new_id())
        self._note(command)
        return command

    def questions(self) -> list[Command]:
        """What the client itself wants to know. Each is given once, and its answer not shown."""
        questions, self._questions = self._questions, []
        for command in questions:
            command.id = command.id or self._new_id()
            self._note(command)
            if command.id not in self._recent:
                self._quiet.add(command.id)
        return questions

    # The session, over several connections

    def hello(self, name: str) -> commands.Hello:
        """The command that begins the session, or comes back to it."""
        if self.token is None:
            return commands.Hello(user=name)
        return commands.Hello(user=name, token=self.token, after=self.after, log=self.log)

    def sent(self, command: Command) -> None:
        """A command is on its way, and may arrive whatever happens to the connection."""
        if command.id is not None:
            self._sent.add(command.id)

    def again(self) -> list[Command]:
        """What is to be sent after the welcome of a further connection: the rooms to enter again,
        and all that is not answered. A post that had arrived is not posted twice.
        """
        for identity, command in tuple(self.pending.items()):
            if isinstance(command, commands.Auth | commands.Passwd):
                del self.pending[identity]  # a proof is for one connection
                self._fail(Refusal("wait", "your password was not changed: type it again"))
        joins: dict[str, Command] = {}
        for room in reversed(self.talk.room_names()):  # the current one last, as it was
            key = names.key(room)
            about = (each for each in self.pending.values() if _room(each) == key)
            if key not in self._inside and not isinstance(next(about, None), commands.Join):
                join = commands.Join(id=self._new_id(), room=room)
                self._entering.add(str(join.id))
                joins[str(join.id)] = join
        self.pending = joins | self.pending  # also where this connection is lost, too
        for identity, command in self.pending.items():
            if isinstance(command, commands.Leave) and identity in self._sent:
                self._repeated.add(identity)
        return list(self.pending.values())

    def expired(self) -> list[commands.Post | commands.Me]:
        """The session is over, a new one begins: return the posts that may or may not have
        arrived. They are pending no more; what was never sent is.
        """
        self.token = None
        gone = [identity for identity in self.pending if identity in self._sent]
        for noted in (self._quiet, self._entering, self._repeated, self._sent):
            noted.difference_update(gone)
        lost = [self.pending.pop(identity) for identity in gone]
        return [command for command in lost if isinstance(command, commands.Post | commands.Me)]

    def forget(self) -> None:
        """Know nothing of the session that was to be gone on with."""
        self.token, self._known_token, self.log, self.after = None, None, "", 0
        self.talk = Conversations()
        self._seen.clear()
        self._inside.clear()

    def restore(
        self, token: str, log: str, after: int, rooms: list[str], pending: list[Command]
    ) -> None:
        """Go on with the session of another process."""
        self.token, self.log, self.after = token, log, after
        self._known_token = token
        for room in rooms:
            self.talk.enter(room)
            self.talk.turn_to("#" + room)
        for command in pending:
            self.pending[str(command.id)] = command
            self.sent(command)

    def known(self) -> Known:
        """The names that can be meant, the likeliest first."""
        own = names.key(self.user)
        users = [user for user in self.talk.users() if names.key(user) != own]
        return Known(rooms=self.talk.room_names(), users=users)

    # What the server says

    def told(self, event: Event) -> Heard:
        """Take note of what the server says; return what its user is to see of it."""
        if not _makes_sense(event):
            return Heard([])
        heard = self._told(event)
        return heard._replace(lines=[clean_line(line) for line in heard.lines])

    def _told(self, event: Event) -> Heard:
        identity = getattr(event, "id", None)
        repeated = identity in self._repeated
        command = self._answered(identity)
        self._see(event)
        own = names.key(getattr(event, "from_", "")) == names.key(self.user)
        self.talk.told(event, own)
        if isinstance(identity, str) and identity in self._quiet:
            self._quiet.discard(identity)
            return Heard([])
        if isinstance(identity, str) and identity in self._recent:
            return Heard(_news(event, self._recent.pop(identity)))
        match event:
            case events.Welcome():
                self._welcomed(event)
            case events.Ok() if command is not None:
                self._entering.discard(str(identity))
                self._done(command, event.seq)
                sent = command if isinstance(command, commands.Post | commands.Me) else None
                return Heard(confirm(command, event), sent=sent)
            case Error(code="not-a-member") if repeated and command is not None:
                return Heard(confirm(command, events.Ok()))  # it was done the first time
            case Error():
                self._refused(event, command)
                refused = command if isinstance(command, commands.Post | commands.Me) else None
                return Heard(render(event), refused=refused)
            case events.Joined() if self._is_me(event.user):
                self.talk.enter(event.room)
            case events.Left() if self._is_me(event.user):
                key = names.key(event.room)
                self._seen[key] = event.seq
                # What is caught up with is older than the welcome, which knew the rooms.
                inside = event.seq <= self._welcomed_at and key in self._inside
                if not inside and not isinstance(self._move(event.room), commands.Join):
                    self.talk.left(event.room)
            case events.Message() if isinstance(command, commands.Post | commands.Me):
                return Heard([], sent=command)  # it had arrived before the connection was lost
            case events.Message():
                alert = not own and (event.to[:1] == "@" or mentions(event.text, self.user))
                return Heard(render(event, own=own), alert)
        return Heard(render(event))

    def _welcomed(self, event: events.Welcome) -> None:
        again = event.token == self._known_token
        self._known_token = event.token
        self.user = event.user
        self.line_limit = event.line_limit
        self._inside = set(map(names.key, event.rooms))
        self._welcomed_at = event.seq
        rooms = [one for one in event.rooms if not isinstance(self._move(one), commands.Leave)]
        self._want_members(rooms)
        if not again:  # of an account, which has rooms before it enters any
            for room in rooms[:_ROOMS]:
                self._want_news(room, event.seq + 1)
            if rooms and not self.talk.current:
                self.talk.turn_to("#" + rooms[-1])

    def _is_me(self, user: str) -> bool:
        return names.key(user) == names.key(self.user)

    def _answered(self, identity: str | None) -> Command | None:
        """Take the command that an event answers off what is pending."""
        if identity is None:
            return None
        self._sent.discard(identity)
        self._repeated.discard(identity)
        return self.pending.pop(identity, None)

    def _see(self, event: Event) -> None:
        """Move the place up to which the session was seen."""
        if isinstance(event, events.Welcome):
            if event.token != self.token:
                seen = self.after if event.log == self.log else 0
                self._seen = {names.key(room): seen for room in self.talk.room_names()}
                self.token, self.log, self.after = event.token, event.log, event.seq
        elif isinstance(event, events.Fact | events.Ok):
            self.after = max(self.after, event.seq or 0)
            # By another session of the user. What is older than the welcome, that knew already.
            if isinstance(event, events.Renamed) and event.seq > self._welcomed_at:
                self.user = event.name if self._is_me(event.user) else self.user

    def _done(self, command: Command, seq: int | None) -> None:
        match command:
            case commands.Join(room=room):
                self._want_members([room])
                if seq is not None:
                    self._want_news(room, seq)
            case commands.Nick(name=name):
                self.user = name

    def _refused(self, error: Error, command: Command | None) -> None:
        self._fail(Refusal(error.code, error.text))
        if isinstance(command, commands.Join):
            self.talk.left(command.room)
            if command.id in self._entering:
                self._entering.discard(command.id)
                self.failed -= 1  # the line that it was for is refused, too, and counts

    def _move(self, room: str) -> Command | None:
        """What is asked last, of entering the room and leaving it."""
        key = names.key(room)
        asked = (c for c in self.pending.values() if isinstance(c, commands.Join | commands.Leave))
        return next((move for move in reversed([*asked]) if _room(move) == key), None)

    def _want_news(self, room: str, before: int) -> None:
        """Ask for a room's topic, and for what was last said there."""
        if self._curious:
            of, identity = "#" + room.removeprefix("#"), self._new_id()
            self._recent[identity] = self._seen.pop(names.key(of[1:]), 0)
            history = commands.History(id=identity, of=of, before=before, limit=_RECENT)
            topic = commands.Topic(id=self._new_id(), room=room)
            self._recent[str(topic.id)] = 0
            self._questions += [topic, history]

    def _want_members(self, rooms: list[str]) -> None:
        for room in rooms:
            self.talk.enter(room)
            if self._curious:
                self._questions.append(commands.Who(room=room))

    # Asking

    def _turn_to(self, target: str) -> None:
        if not target or len(target.split()) != 1:
            raise self._fail(Refusal("usage", "type it like this: /to TARGET (#ROOM or @USER)"))
        if target[0] == "@":
            try:
                name = names.user(target[1:])
            except Refusal as refusal:
                raise self._fail(refusal) from None
            self.talk.turn_to(f"@{name}")
        elif self.talk.entered(target):
            self.talk.turn_to("#" + target.removeprefix("#"))
        else:
            room = clean_line(target.removeprefix("#"))[: names.LONGEST]
            why = f"you are not in #{room}: /join {room} enters it"
            raise self._fail(Refusal("not-a-member", why))

    def _ask_all(self, command: Command | Error) -> list[Command]:
        if isinstance(command, Error):
            raise self._fail(Refusal(command.code, command.text))
        if command.id is None:
            command.id = self._new_id()
        size = len(jsonl.encode_command(command))
        if size > self.line_limit:
            raise self._fail(
                _too_long(f"{size} bytes for the server, which takes {self.line_limit}")
            )
        asked: list[Command] = []
        if isinstance(command, commands.Post | commands.Me):
            room = command.to.removeprefix("#")
            if room != command.to and not self.talk.entered(room):
                if self._auto_join:
                    join = commands.Join(id=self._new_id(), room=room)
                    self._entering.add(str(join.id))
                    asked.append(join)
            elif room != command.to:
                self.talk.turn_to(command.to)
        asked.append(command)
        for each in asked:
            self._note(each)
        return asked

    def _new_id(self) -> str:
        self._asked += 1
        return f"{self._prefix}{self._asked}"

    def _note(self, command: Command) -> None:
        match command:
            case commands.Pong():
                return  # has no answer
            case commands.Join(room=room):
                self.talk.enter(room)
                self.talk.turn_to("#" + room.removeprefix("#"))
            case commands.Leave(room=room):
                self.talk.left(room)  # now, as a post right behind it is to enter it again
        self.pending[str(command.id)] = command

    def _fail(self, refusal: Refusal) -> Refusal:
        self.failed += 1
        self.first_failure = self.first_failure or clean_line(refusal.text)
        return refusal


def _room(command: Command) -> str:
    """The key of the room that a command is about; empty where it is about none."""
    match command:
        case commands.Post(to=name) | commands.Me(to=name) if name[:1] == "#":
            return names.key(name[1:])
        case commands.Join(room=name) | commands.Leave(room=name) | commands.Topic(room=name):
            return names.key(name.removeprefix("#"))
    return ""


def _too_long(how: str) -> Refusal:
    return Refusal("line-too-long", f"that line is {how}: send it in pieces")


def _news(event: Event, seen: int) -> list[str]:
    """What is shown of a room on entering it: its topic, and what was said after `seen`."""
    if isinstance(event, events.History):
        said = [m for m in event.entries if isinstance(m, events.Message) and m.seq > seen]
        return render(events.History(None, event.of, [*said], False)) if said else []
    return render(event) if isinstance(event, events.Room) and event.topic else []


def _makes_sense(event: Event) -> bool:
    """Whether an event has what each of its kind has: the server may be anything."""
    match event:
        case events.Message(to=to):
            return len(to) > 1 and to[0] in "#@"
        case events.History(of=of):
            return len(of) > 1 and of[0] in "#@" and all(map(_makes_sense, event.entries))
        case events.Found(entries=entries):
            return all(map(_makes_sense, entries))
    return True


def mentions(said: str, user: str) -> bool:
    """Whether the name stands in a text, as a word of its own."""
    if not 1 <= len(user) <= names.LONGEST:  # as a server can have it that is none of ours
        return False
    name = re.escape(names.key(user))
    return bool(re.search(rf"(?<![\w-]){name}(?![\w-])", said.casefold()))
