"""A command's class is its syntax: what a person types follows from its fields."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from msgspec.structs import fields

from selchat.model import commands

USAGE = {
    "hello": (),
    "auth": (),
    "secret": (),
    "remember": (),
    "join": ("/join ROOM",),
    "leave": ("/leave ROOM",),
    "post": ("#ROOM MESSAGE", "@USER MESSAGE"),
    "me": ("/me TARGET TEXT",),
    "rooms": ("/rooms",),
    "who": ("/who [ROOM]",),
    "topic": ("/topic ROOM [TEXT]",),
    "away": ("/away [TEXT]",),
    "nick": ("/nick NAME",),
    "history": ("/history TARGET [N]",),
    "search": ("/search WORDS [in #ROOM|with @USER] [from @USER] [before|after DATE]",),
    "edit": ("/edit TARGET TEXT",),
    "delete": ("/delete TARGET [USER]",),
    "register": ("/register [PASSWORD] [INVITATION]",),
    "passwd": ("/passwd [OLD] [NEW]",),
    "sessions": ("/sessions [N]",),
    "logout": ("/logout",),
    "block": ("/block [USER]",),
    "unblock": ("/unblock USER",),
    "mute-room": ("/mute-room ROOM",),
    "unmute-room": ("/unmute-room ROOM",),
    "invite": ("/invite ROOM USER",),
    "kick": ("/kick ROOM USER [TEXT]",),
    "ban": ("/ban ROOM USER [TEXT]",),
    "unban": ("/unban ROOM USER",),
    "mute": ("/mute ROOM USER",),
    "unmute": ("/unmute ROOM USER",),
    "private": ("/private ROOM on|off",),
    "op": ("/op ROOM USER [moderator|owner]",),
    "deop": ("/deop ROOM USER",),
    "kill": ("/kill USER [TEXT]",),
    "announce": ("/announce TEXT",),
    "ban-address": ("/ban-address NETWORK [HOURS]",),
    "unban-address": ("/unban-address NETWORK",),
    "help": ("/help",),
    "quit": ("quit",),
    "ping": (),
    "pong": (),
}


def test_the_usage_is_what_people_are_told() -> None:
    assert {commands.name(command): commands.usage(command) for command in commands.ALL} == USAGE


def test_all_are_all() -> None:
    subclasses = {c for c in commands.Command.__subclasses__() if c.__module__ == commands.__name__}
    assert set(commands.ALL) == subclasses
    # All but a line that was asked for as a password: in JSON no password is sent.
    assert {*get_args(commands.AnyCommand), commands.Secret} == set(commands.ALL)


def test_what_is_typed_after_a_slash() -> None:
    typed = {name for name, usage in USAGE.items() if usage and usage[0][0] != "#"}
    assert set(commands.TYPED) == typed


@pytest.mark.parametrize("command", commands.ALL, ids=commands.name)
def test_the_words_that_are_typed_are_fields(command: type[commands.Command]) -> None:
    known = {field.name: field for field in fields(command)}
    assert set(command.words or ()) <= set(known)
    required = [word for word in command.words or () if known[word].required]
    # What may be left out comes last, or a line could not be told apart.
    assert list((command.words or ())[: len(required)]) == required
    if command.words is not None:
        assert {name for name, field in known.items() if field.required} <= set(command.words)
    assert "text" not in (command.words or ())[:-1]  # it takes the rest of the line


@pytest.mark.parametrize("command", commands.ALL, ids=commands.name)
def test_every_command_may_have_an_id_of_64_characters(command: type[commands.Command]) -> None:
    values = {field.name: "x" for field in fields(command) if field.required}
    if command is commands.Private:
        values["on"] = "off"
    assert msgspec.convert({**values, "type": commands.name(command)}, command).id is None
    given = {**values, "type": commands.name(command), "id": "ä" * 64}
    assert msgspec.convert(given, command).id == "ä" * 64
    with pytest.raises(msgspec.ValidationError, match="length <= 64"):
        msgspec.convert({**given, "id": "x" * 65}, command)
