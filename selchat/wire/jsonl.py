"""The JSON tongue: one object (RFC 8259) a line.

What a client may send and gets is described in docs/protocol.md; the classes of model/commands.py
and model/events.py are its schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from selchat.model import commands, names
from selchat.model.clean import clean_line
from selchat.model.commands import AnyCommand, Command
from selchat.model.events import Error, Event, Fact, Messages, Ok
from selchat.wire.framing import Lines

_decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(AnyCommand)
_encoder = msgspec.json.Encoder()
_encode, _encode_lines = _encoder.encode, _encoder.encode_lines
_NAMES = tuple(map(commands.name, commands.ALL))
_LONGEST_WHY = 200  # characters of an explanation


class Jsonl:
    """One connection that speaks JSON lines (a `Tongue`)."""

    __slots__ = ("_limit", "_lines")
    bare: ClassVar[bool] = False
    pinged: ClassVar[bool] = True

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines = Lines(limit)

    def receive(self, data: bytes) -> Iterator[Command | Error]:
        """Give a command, or the one error, for each line that `data` completes."""
        for line in self._lines.feed(data):
            if line is None:
                yield too_long(self._limit)
            elif line and not line.isspace():
                yield parse(line)

    def welcomed(self) -> None:
        """Nothing changes: a line says itself what it is."""

    def expect_secret(self, secret: bool) -> None:
        """Nothing changes."""

    @staticmethod
    def posted(post_id: str | None, fact: Fact) -> bytes:
        """Return the `ok` of a post."""
        return _encode(Ok(post_id, fact.seq, fact.at)) + b"\n"

    @staticmethod
    def encode(event: Event, own: bool = False) -> bytes:  # noqa: ARG004  (the same for all)
        """Return `event` as a line, or as several."""
        if type(event) is Messages:
            return _encode_lines(event.each())
        return _encode(event) + b"\n"

    @staticmethod
    def answer(command: Command, event: Event) -> bytes:  # noqa: ARG004  (the id says which)
        """Return `event` as a line."""
        return _encode(event) + b"\n"


def parse(line: bytes) -> Command | Error:
    """Decode one line (without its end). Invalid UTF-8 is read as U+FFFD; never raises."""
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError as error:
        return _invalid(line, str(error))
    except UnicodeDecodeError:
        # The replacement is valid UTF-8, so this recursion ends.
        return parse(line.decode(errors="replace").encode())
    except (msgspec.DecodeError, RecursionError) as error:
        return Error(code="bad-json", text=f"this line is not a JSON object: {error}")


def encode_command(command: Command) -> bytes:
    """Return `command` as a line, the way a client sends it."""
    return _encode(command) + b"\n"


def too_long(limit: int) -> Error:
    """The answer to a line that was over the limit and was dropped."""
    return Error(
        code="line-too-long", text=f"a line has at most {limit} bytes; that one was dropped"
    )


def _invalid(line: bytes, why: str) -> Error:
    """The error for valid JSON that is no command, with its `id` where that can be told."""
    try:
        value: Any = msgspec.json.decode(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return Error(code="bad-json", text='a line is one JSON object, such as {"type":"help"}')
    given = value.get("id")
    identity = given if isinstance(given, str) and len(given) <= 64 else None
    kind = value.get("type")
    if isinstance(kind, str) and kind not in _NAMES:
        meant = names.closest(kind[:64], _NAMES)
        hint = f"did you mean {meant!r}?" if meant else "docs/protocol.md lists the types"
        return Error(identity, "unknown-command", f"there is no such command type: {hint}")
    # Of a repeated member `why` may quote another one than `value` holds, as long as the line is.
    return Error(identity, "bad-command", clean_line(why[:_LONGEST_WHY]))
