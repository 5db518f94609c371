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
    counts the ones that were refused, `first_failure` says what became of the first.
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
        self._asked = 0

    def typed(self, line: str) -> list[Command]:
        """The commands that a typed line asks, ready to be sent, and pending from now on.

        A line that begins with `{` is a command in the JSON tongue, for programs. Raises
        `Refusal` where the line is no command.
        """
        command = jsonl.parse(line.encode()) if line.startswith("{") else text.parse(line)
        if isinstance(command, Error):
            raise self._fail(Refusal(command.code, command.text))
        asked: list[Command] = []
        if self._auto_join and isinstance(command, commands.Post | commands.Me):
            room = command.to.removeprefix("#")
            if room != command.to and names.key(room) not in self._rooms:
                asked.append(self._ask(commands.Join(room=room)))
        asked.append(self._ask(command))
        return asked

    def quit(self) -> Command:
        """The command that ends the session."""
        return self._ask(commands.Quit())

    def told(self, event: Event) -> list[str]:
        """Take note of what the server says; return the lines that tell its user of it.

        They are clean, whatever the server sent.
        """
        return [clean_line(line) for line in self._told(event)]

    def _ask(self, command: Command) -> Command:
        if command.id is None or command.id in self.pending:
            self._asked += 1
            command.id = str(self._asked)
        size = len(jsonl.encode_command(command))
        if size > self.line_limit:
            raise self._fail(
                Refusal(
                    "line-too-long",
                    f"that is {size} bytes for the server, which takes {self.line_limit}: "
                    "send it in pieces",
                )
            )
        if isinstance(command, commands.Join):
            self._rooms.add(names.key(command.room.removeprefix("#")))
        self.pending[command.id] = command
        return command

    def _told(self, event: Event) -> list[str]:
        identity = getattr(event, "id", None)
        command = self.pending.pop(identity, None) if isinstance(identity, str) else None
        match event:
            case events.Welcome():
                self.user = event.user
                self.line_limit = event.line_limit
                self._rooms = {names.key(room) for room in event.rooms}
            case events.Ok() if command is not None:
                self._done(command)
                return text.confirm(command, event)
            case Error() if command is not None:
                self._fail(Refusal(event.code, event.text))
                if isinstance(command, commands.Join):
                    self._rooms.discard(names.key(command.room.removeprefix("#")))
            case events.Left() if names.key(event.user) == names.key(self.user):
                self._rooms.discard(names.key(event.room))
            case events.Message():
                return text.render(event, own=names.key(event.from_) == names.key(self.user))
        return text.render(event)

    def _done(self, command: Command) -> None:
        match command:
            case commands.Leave(room=room):
                self._rooms.discard(names.key(room.removeprefix("#")))
            case commands.Nick(name=name):
                self.user = name

    def _fail(self, refusal: Refusal) -> Refusal:
        self.failed += 1
        self.first_failure = self.first_failure or clean_line(refusal.text)
        return refusal
