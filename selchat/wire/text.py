"""The text tongue: lines as a person types and reads them, for nc, telnet and scripts.

`parse` turns a typed line into a command, `render` an event into the lines that tell it; the
client in line mode uses the same two. Every line that is written begins with `[#`, `[@`, `* ` or
`! `, so that a script can tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import ClassVar

import msgspec

from selchat.model import commands, events, names
from selchat.model.clean import clean_line
from selchat.model.commands import Command
from selchat.model.events import Error, Event, Message
from selchat.wire.framing import Lines

_HELP = "/help lists the commands"
_USAGE_WIDTH = 20  # characters of a command in the help, where it is no longer
_LIST_WIDTH = 300  # characters of a line that lists names


class Text:
    """One connection that speaks lines of text (a `Tongue`)."""

    __slots__ = ("_limit", "_lines", "_named")
    bare: ClassVar[bool] = True
    pinged: ClassVar[bool] = False

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines = Lines(limit)
        self._named = False

    def receive(self, data: bytes) -> Iterator[Command | Error]:
        """Give a command or an error for each line; a line is a name until one is taken."""
        for line in self._lines.feed(data):
            if line is None:
                yield Error(
                    code="line-too-long",
                    text=f"a line has at most {self._limit} bytes: that one was dropped, "
                    "send it in pieces",
                )
                continue
            text = line.decode(errors="replace")
            if not text or text.isspace():
                continue
            yield parse(text) if self._named else first(text)

    def welcomed(self) -> None:
        """From now on a line is a command."""
        self._named = True

    @staticmethod
    def encode(event: Event, own: bool = False) -> bytes:
        """Return the lines that tell `event`."""
        if type(event) is Message and not own and not event.action and "\n" not in event.text:
            to = event.to if event.to[:1] == "#" else f"@{event.from_}"
            sender = f"{event.from_}: " if event.to[:1] == "#" else ""
            return f"[{to}] {sender}{event.text}\n".encode()
        return _lines(render(event, own))

    @staticmethod
    def answer(command: Command, event: Event) -> bytes:
        """Return the lines that answer `command`: nothing for what was simply said."""
        if isinstance(event, events.Ok):
            return _lines(confirm(command, event))
        return _lines(render(event))


def _lines(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


# From a typed line to a command


def first(text: str) -> Command:
    """What the first line asks: it is the name, or `quit`."""
    name = text.strip(" ")  # only spaces: a control character makes it no name
    return commands.Quit() if name.lower() in ("quit", "/quit") else commands.Hello(user=name)


def parse(text: str) -> Command | Error:
    """The command that a typed line asks for; an error if it is none. `text` is not empty."""
    if text[0] in "#@":
        to, _, said = text.partition(" ")
        if len(to) == 1 or not said or said.isspace():
            name = to[: names.LONGEST + 1] if len(to) > 1 else to + "NAME"
            return Error(code="usage", text=f"type a message behind the name: {name} MESSAGE")
        return commands.Post(to=to, text=said)
    if text[0] == "/":
        return _slash(text)
    word = text.strip()
    if word.lower() == "quit":
        return commands.Quit()
    meant = names.closest(word.lower(), commands.TYPED) if len(word) <= names.LONGEST else None
    if meant:
        usage = commands.usage(commands.TYPED[meant])[0]
        return Error(
            code="no-command", text=f"that is no command: did you mean {usage} ? ({_HELP})"
        )
    return Error(
        code="no-command",
        text=f"say to whom: #ROOM MESSAGE or @USER MESSAGE ({_HELP})",
    )


def _slash(text: str) -> Command | Error:
    word, _, rest = text[1:].partition(" ")
    command = commands.TYPED.get(word.lower())
    if command is None or command.words is None:
        meant = names.closest(word.lower()[:64], commands.TYPED)
        hint = f": did you mean {commands.usage(commands.TYPED[meant])[0]} ?" if meant else ""
        return Error(code="no-command", text=f"there is no /{word[:64]}{hint} ({_HELP})")
    takes_rest = command.words[-1:] == ("text",)
    values = [word for word in rest.split(" ") if word]
    if takes_rest and len(values) > len(command.words):
        # The text as it was typed, behind the words before it.
        before = len(command.words) - 1
        values[before:] = [_behind(rest, before)]
    usage = commands.usage(command)[0]
    if len(values) <= len(command.words):
        given = dict(zip(command.words, values, strict=False))
        if command is commands.Search and values:
            given = _search(values[0])
        try:
            return msgspec.convert(given, command, strict=False)
        except msgspec.ValidationError:
            pass
    return Error(code="usage", text=f"type it like this: {usage}")


def _behind(text: str, words: int) -> str:
    """What stands behind the first words of a text, without the spaces around it."""
    for _ in range(words):
        text = text.lstrip(" ").partition(" ")[2]
    return text.strip(" ")


_NARROW = {"in": "of", "with": "of", "from": "by", "before": "before", "after": "after"}


def _search(text: str) -> dict[str, str]:
    """The fields of a search: `WORDS [in #ROOM|with @USER] [from @USER] [before|after DATE]`.

    Only at its end do these words narrow the search; elsewhere they are words to look for, and so
    they are where a room or a user would have to follow and does not.
    """
    words, given = text.split(), dict[str, str]()
    while len(words) > 2 and (field := _NARROW.get(words[-2].lower())) and field not in given:
        value = words[-1]
        if field == "of" and value[0] != ("#" if words[-2].lower() == "in" else "@"):
            break
        if field == "by" and value[0] != "@":
            break
        if field in ("before", "after") and not value[0].isdigit():
            break
        given[field] = value.removeprefix("@") if field == "by" else value
        del words[-2:]
    given["text"] = " ".join(words)
    return given


# From an event to lines


def render(event: Event, own: bool = False) -> list[str]:
    """The lines, without their ends, that tell a reader of `event`; may be none.

    `own` is for what the reader said itself, from another session.
    """
    lines = _RENDER.get(type(event))
    return lines(event, own) if lines else []


def confirm(command: Command, ok: events.Ok) -> list[str]:
    """The lines that say that `command` was done; none where its sender sees it anyway."""
    match command:
        case commands.Join(room=room):
            name = room.removeprefix("#")
            return [
                f"* you joined #{name}" if ok.seq is not None else f"* you are in #{name} already"
            ]
        case commands.Leave(room=room):
            return [f"* you left #{room.removeprefix('#')}"]
        case commands.Topic(room=room):
            return [f"* you set the topic of #{room.removeprefix('#')}"]
        case commands.Nick(name=name):
            return [f"* you are now {name}"]
        case commands.Away(text=text):
            return [f"* you are away: {clean_line(text)}" if text else "* you are back"]
        case commands.Quit():
            return ["* bye"]
    return []


def _message(event: Message, own: bool) -> list[str]:
    text = event.text.split("\n")
    mark = f"* {event.from_} " if event.action else ""
    if own:
        mark = mark if event.action else ""
        return [f"* you to {event.to}: {mark}{line}" for line in text]
    if event.to[:1] == "#":
        start = f"[{event.to}] {mark or event.from_ + ': '}"
    else:
        start = f"[@{event.from_}] {mark}"
    return [start + line for line in text]


def _history(page: events.History, own: bool) -> list[str]:  # noqa: ARG001
    lines = []
    for entry in page.entries:
        stamp = f"* [{entry.at[:10]} {entry.at[11:16]}Z] "
        mine = entry.seq in page.mine
        lines += [stamp + line.removeprefix("* ") for line in render(entry, mine)]
    return lines or [f"* nothing was said in {page.of} yet"]


def _found(event: events.Found, own: bool) -> list[str]:  # noqa: ARG001
    if not event.entries:
        return [f"* nothing was found for: {clean_line(event.text)}"]
    words = "|".join(re.escape(word) for word in sorted(event.text.split(), key=len, reverse=True))
    lines = []
    for entry in event.entries:
        stamp = f"* [{entry.at[:10]} {entry.at[11:16]}Z] "
        where = (
            f"[{entry.to}] {entry.from_}" if entry.to[:1] == "#" else f"{entry.from_} to {entry.to}"
        )
        for line in entry.text.split("\n"):
            marked = re.sub(words, r"*\g<0>*", line, flags=re.IGNORECASE)
            lines.append(f"{stamp}{where}: {marked}")
    return lines + (["* and there is more: narrow it with in, with, from, before"] * event.more)


def _room(event: events.Room, own: bool) -> list[str]:  # noqa: ARG001
    if event.topic:
        return [f"* the topic of #{event.room}: {event.topic}"]
    return [f"* #{event.room} has no topic: /topic {event.room} TEXT sets one"]


def _rooms(event: events.Rooms, own: bool) -> list[str]:  # noqa: ARG001
    if not event.rooms:
        return ["* there is no room yet: /join ROOM makes one"]
    lines = []
    for room in event.rooms:
        topic = f": {room.topic}" if room.topic else ""
        lines.append(f"* #{room.room} ({room.members}){topic}")
    return lines + ([f"* and {event.omitted} more"] if event.omitted else [])


def _users(event: events.Users, own: bool) -> list[str]:  # noqa: ARG001
    where = f"in #{event.room}" if event.room else "here"
    lines, line = [], ""
    for user in event.users:
        name = user.user if user.away is None else f"{user.user} (away: {user.away})"
        if line and len(line) + len(name) > _LIST_WIDTH:
            lines.append(line)
            line = ""
        line += f", {name}" if line else f"* {where}: {name}"
    lines.append(line or f"* nobody is {where}")
    return lines + ([f"* and {event.omitted} more"] if event.omitted else [])


def _help(event: events.Help, own: bool) -> list[str]:  # noqa: ARG001
    return [f"* {line.usage:<{_USAGE_WIDTH}}  {line.help}" for line in event.commands]


def _left(event: events.Left, own: bool) -> list[str]:  # noqa: ARG001
    why = "" if event.reason == events.LEFT else f" ({event.reason})"
    return [f"* {event.user} left #{event.room}{why}"]


def _topic(event: events.Topic, own: bool) -> list[str]:  # noqa: ARG001
    if event.text:
        return [f"* {event.user} set the topic of #{event.room}: {event.text}"]
    return [f"* {event.user} cleared the topic of #{event.room}"]


def _renamed(event: events.Renamed, own: bool) -> list[str]:  # noqa: ARG001
    where = f" in #{event.room}" if event.room else ""
    return [f"* {event.user} is now {event.name}{where}"]


_RENDER: dict[type[Event], Callable[..., list[str]]] = {
    Message: _message,
    events.Joined: lambda event, _: [f"* {event.user} joined #{event.room}"],
    events.Left: _left,
    events.Topic: _topic,
    events.Renamed: _renamed,
    events.Welcome: lambda event, _: [
        f"* welcome {event.user}: /join ROOM enters a room, /help lists the commands, quit leaves"
    ],
    events.Error: lambda event, _: [f"! {clean_line(event.text)}"],
    events.History: _history,
    events.Found: _found,
    events.Room: _room,
    events.Rooms: _rooms,
    events.Users: _users,
    events.Help: _help,
    events.Notice: lambda event, _: [f"* {clean_line(event.text)}"],
}
