"""The text tongue: lines as a person types and reads them, for nc, telnet and scripts.

`parse` turns a typed line into a command, `render` an event into the lines that tell it; the
client in line mode uses the same two. Every line that is written begins with `[#`, `[@`, `* ` or
`! `, so that a script can tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import msgspec

from selchat.model import commands, events, names
from selchat.model.clean import controls
from selchat.model.commands import Command, Posts
from selchat.model.entries import TOGETHER
from selchat.model.events import Error, Event, Fact, Message, Messages
from selchat.wire.framing import Lines
from selchat.wire.rendering import confirm, render

_HELP = "/help lists the commands"

_MARKS = b"#@"
_END = "\n"


class Text:
    """One connection that speaks lines of text (a `Tongue`)."""

    __slots__ = ("_aim", "_limit", "_lines", "_named", "_secret")
    bare: ClassVar[bool] = True
    pinged: ClassVar[bool] = False

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines = Lines(limit)
        self._aim = ""  # what the last post began with, its target and a space
        self._named = False
        self._secret = False

    def receive(self, data: bytes) -> Iterator[Command | Posts | Error]:
        """Give a command or an error for each line, but for neighbouring posts; a line is a name
        until one is taken, or the password that was asked for.
        """
        aim = self._aim
        if not aim or self._secret or not self._lines.whole(data):
            return self._receive(data)
        # Mostly all of it goes where the last post went: then it takes a few steps for all lines.
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return self._receive(data)
        texts = text[len(aim) : -1].split("\n" + aim)
        # Each line ends with the one control that is in it.
        same = text.startswith(aim) and controls(data) == len(texts)
        if not same or not all(map(str.strip, texts)):
            return self._receive(data)
        to, clear = aim[:-1], len(text) if text.isascii() else 0
        if len(texts) <= TOGETHER:
            return iter((Posts(to, texts, clear),))
        starts = range(0, len(texts), TOGETHER)
        return iter([Posts(to, texts[start : start + TOGETHER], clear) for start in starts])

    def _receive(self, data: bytes) -> Iterator[Command | Posts | Error]:
        posts: Posts | None = None
        for line in self._lines.feed(data):
            if line and line[0] in _MARKS and self._named and not self._secret:
                to, _, said = line.decode("utf-8", "replace").partition(" ")
                if said and len(to) > 1 and not said.isspace():
                    if posts is not None and posts.to == to and len(posts.texts) < TOGETHER:
                        posts.texts.append(said)
                        continue
                    if posts is not None:
                        yield posts
                    posts = Posts(to, [said])
                    self._aim = to + " "
                    continue
            if posts is not None:
                yield posts
                posts = None
            if line is None:
                yield Error(
                    code="line-too-long",
                    text=f"a line has at most {self._limit} bytes: that one was dropped, "
                    "send it in pieces",
                )
                continue
            text = line.decode("utf-8", "replace")
            if not text or text.isspace():
                continue
            if self._secret:
                yield commands.Secret(text=text)
            elif not self._named:
                yield first(text)
            else:
                yield parse(text)
        if posts is not None:
            yield posts

    def welcomed(self) -> None:
        """From now on a line is a command."""
        self._named = True
        self._secret = False

    def expect_secret(self, secret: bool) -> None:
        """See `Tongue`."""
        self._secret = secret

    @staticmethod
    def posted(post_id: str | None, fact: Fact) -> bytes:  # noqa: ARG004
        """Nothing: its sender sees what was typed."""
        return b""

    @staticmethod
    def encode(event: Event, own: bool = False) -> bytes:
        """Return the lines that tell `event`."""
        # What is told most, without the detour.
        if type(event) is Messages:
            if own:
                head = f"* you to {event.to}: "
            else:
                head = (
                    f"[{event.to}] {event.from_}: " if event.to[:1] == "#" else f"[@{event.from_}] "
                )
            return f"{head}{f'{_END}{head}'.join(event.texts)}\n".encode()
        if type(event) is Message and not (own or event.action or event.edited or event.deleted):
            to, text = event.to, event.text
            if "\n" not in text:
                if to[:1] == "#":
                    return f"[{to}] {event.from_}: {text}\n".encode()
                return f"[@{event.from_}] {text}\n".encode()
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
