"""THE TABLE: each command, what does it, who may, what it costs, and its help.

Arity and types are no column: they are the command's class (model/commands.py), checked where a
line is decoded, and `usage` reads them from there. The columns are checked in one place,
`dispatch`; `/help`, the README and docs/protocol.md are made from the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from selchat.errors import Refusal, StoreError
from selchat.hub import messages, rooms, search, sessions
from selchat.hub.hub import Hub, not_stored
from selchat.hub.state import Peer
from selchat.model import commands, events
from selchat.model.commands import Command


class Row(NamedTuple):
    """One command's policy."""

    handler: Callable[[Hub, Any, Any], None]
    """Called with the hub, the session (or the peer, without log-in) and the command."""
    login: bool
    """Whether only a session may use it."""
    cost: int
    """What it takes from a sender's allowance, in messages."""
    help: str
    """What it does, for the one who types it; empty for what only programs say."""


def help_(hub: Hub, peer: Peer, command: commands.Help) -> None:
    """List the commands that can be typed, from this table."""
    hub.answer(peer, events.Help(command.id, typed()), command)


def ping(hub: Hub, peer: Peer, command: commands.Ping) -> None:
    """Show that the server is there."""
    hub.answer(peer, events.Pong(command.id), command)


def pong(hub: Hub, peer: Peer, command: commands.Pong) -> None:
    """A sign of life: that it came is all."""


TABLE: dict[type[Command], Row] = {
    commands.Hello: Row(sessions.hello, False, 5, ""),
    commands.Join: Row(rooms.join, True, 2, "enter a room; it is made if there is none"),
    commands.Leave: Row(rooms.leave, True, 2, "leave a room"),
    commands.Post: Row(messages.post, True, 1, "say something to a room, or to one user"),
    commands.Me: Row(messages.post, True, 1, "say what you do: /me #dev waves"),
    commands.Rooms: Row(rooms.rooms, True, 200, "list the rooms"),
    commands.Who: Row(rooms.who, True, 200, "list who is in a room, or everybody"),
    commands.Topic: Row(rooms.topic, True, 2, "show or set what a room is about"),
    commands.Away: Row(sessions.away, True, 1, "be away, or back without TEXT"),
    commands.Nick: Row(sessions.nick, True, 5, "take another name"),
    commands.History: Row(
        messages.history, True, 200, "show the last N things said in #ROOM or with @USER"
    ),
    commands.Search: Row(search.search, True, 200, "find what was said where you can read"),
    commands.Help: Row(help_, False, 1, "list the commands"),
    commands.Quit: Row(sessions.quit_, False, 0, "leave the chat"),
    commands.Ping: Row(ping, False, 1, ""),
    commands.Pong: Row(pong, False, 0, ""),
}


def dispatch(hub: Hub, peer: Peer, command: Command) -> None:
    """Carry out a command, or tell its sender why not."""
    row = TABLE[type(command)]
    try:
        if hub.stale and (row.login or type(command) is commands.Hello):
            raise not_stored(hub.failing or "")
        if not row.login:
            row.handler(hub, peer, command)
        elif peer.session is not None:
            row.handler(hub, peer.session, command)
        else:
            raise Refusal("not-logged-in", "say who you are first: hello")
    except Refusal as refusal:
        hub.answer(peer, events.Error(command.id, refusal.code, refusal.text), command)
    except StoreError as error:
        text = f"the log could not be read ({error}): try again later"
        hub.answer(peer, events.Error(command.id, "not-stored", text), command)


def typed() -> list[events.Usage]:
    """How each command is typed, and what it does, in the order of the table."""
    return [
        events.Usage(usage, row.help)
        for command, row in TABLE.items()
        for usage in commands.usage(command)
    ]
