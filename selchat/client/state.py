"""What a client knows: its name, its rooms, and what it asked that is not answered yet. Pure."""

from __future__ import annotations

from selchat.errors import Refusal
from selchat.model import commands, events, names
from selchat.model.clean import clean_line
from selchat.model.commands import Command
from selchat.model.events import Error, Event
from selchat.wire import jsonl, text


class State:
    """One user's session as its client sees it.

    `pending` has the unanswered commands by `id`, in the order in which they were asked; `failed`
    counts the lines that were refused, `first_failure` says what became of the first.
    """

    def __init__(self, auto_join: bool) -> None:
        """With `auto_join`, the first post to a room enters it."""
        self.user = ""
        self.line_limit = 0
        self.pending: dict[str, Command] = {}
        self.failed = 0
        self.first_failure = ""
        self._auto_join = auto_join
        self._rooms: set[str] = set()  # by key; entered, or asked to be
        self._entering: set[str] = set()  # the ids of what `auto_join` asked
        self._asked = 0

    @property
    def unanswered(self) -> int:
        """How many typed lines are pending, but for a `quit`."""
        return sum(
            identity not in self._entering and not isinstance(command, commands.Quit)
            for identity, command in self.pending.items()
        )

    def typed(self, line: str | None) -> list[Command]:
        """The commands that a typed line asks, ready to be sent, and pending from now on.

        A line that begins with `{` is a command in the JSON tongue, for programs, whose own ids
        do not begin with `~`. None is a line that was too long to be kept. Raises `Refusal` where
        the line is no command.
        """
        if line is None:
            raise self._fail(_too_long("too long"))
        command = jsonl.parse(line.encode()) if line.startswith("{") else text.parse(line)
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
        if self._auto_join and isinstance(command, commands.Post | commands.Me):
            room = command.to.removeprefix("#")
            if room != command.to and names.key(room) not in self._rooms:
                join = commands.Join(id=self._new_id(), room=room)
                self._entering.add(str(join.id))
                asked.append(join)
        asked.append(command)
        for each in asked:
            self._note(each)
        return asked

    def quit(self) -> Command:
        """The command that ends the session."""
        command = commands.Quit(id=self._new_id())
        self._note(command)
        return command

    def told(self, event: Event) -> list[str]:
        """Take note of what the server says; return the lines that tell its user of it.

        They are clean, whatever the server sent.
        """
        return [] if _names_nobody(event) else [clean_line(line) for line in self._told(event)]

    def _new_id(self) -> str:
        self._asked += 1
        return f"~{self._asked}"

    def _note(self, command: Command) -> None:
        match command:
            case commands.Pong():
                return  # has no answer
            case commands.Join(room=room):
                self._rooms.add(names.key(room.removeprefix("#")))
            case commands.Leave(room=room):
                self._rooms.discard(names.key(room.removeprefix("#")))
        self.pending[str(command.id)] = command

    def _told(self, event: Event) -> list[str]:
        identity = getattr(event, "id", None)
        command = self.pending.pop(identity, None) if isinstance(identity, str) else None
        match event:
            case events.Welcome():
                self.user = event.user
                self.line_limit = event.line_limit
                self._rooms = {names.key(room) for room in event.rooms}
            case events.Ok() if command is not None:
                self._entering.discard(str(identity))
                if isinstance(command, commands.Nick):
                    self.user = command.name
                return text.confirm(command, event)
            case Error():
                self._refused(event, command)
            case events.Left() if names.key(event.user) == names.key(self.user):
                self._rooms.discard(names.key(event.room))
            case events.Message():
                return text.render(event, own=names.key(event.from_) == names.key(self.user))
        return text.render(event)

    def _refused(self, error: Error, command: Command | None) -> None:
        self._fail(Refusal(error.code, error.text))
        if isinstance(command, commands.Join):
            self._rooms.discard(names.key(command.room.removeprefix("#")))
            if command.id in self._entering:
                self._entering.discard(command.id)
                self.failed -= 1  # the line that it was for is refused, too, and counts

    def _fail(self, refusal: Refusal) -> Refusal:
        self.failed += 1
        self.first_failure = self.first_failure or clean_line(refusal.text)
        return refusal


def _names_nobody(event: Event) -> bool:
    """Whether it lacks the conversation that it is about, which no selchat server leaves out."""
    if isinstance(event, events.History):
        return not event.of or any(map(_names_nobody, event.entries))
    return isinstance(event, events.Message) and not event.to


def _too_long(how: str) -> Refusal:
    return Refusal("line-too-long", f"that line is {how}: send it in pieces")
