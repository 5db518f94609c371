"""Events as lines that people read, in the form of the text tongue.

Every line begins with `[#`, `[@`, `* ` or `! `, so that a script can tell them apart. The client
shows the same lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from selchat.model import commands, events
from selchat.model.clean import clean_line
from selchat.model.commands import Command
from selchat.model.events import Event, Message

_USAGE_WIDTH = 20  # characters of a command in the help, where it is no longer
_LIST_WIDTH = 300  # characters of a line that lists names


def render(event: Event, own: bool = False) -> list[str]:
    """The lines, without their ends, that tell a reader of `event`; may be none.

    `own` is for what the reader said itself, from another session.
    """
    lines = _RENDER.get(type(event))
    return lines(event, own) if lines else []


def confirm(command: Command, ok: events.Ok) -> list[str]:
    """The lines that say that `command` was done; none where its sender sees it anyway."""
    say = _CONFIRM.get(type(command))
    return [f"* {say(command, ok)}"] if say else []


def _joined(command: commands.Join, ok: events.Ok) -> str:
    name = command.room.removeprefix("#")
    return f"you joined #{name}" if ok.seq is not None else f"you are in #{name} already"


def _away(command: commands.Away, _: events.Ok) -> str:
    return f"you are away: {clean_line(command.text)}" if command.text else "you are back"


def _of(command: Any) -> str:
    """The room that a command is about."""
    return "#" + str(command.room).removeprefix("#")


def _who(command: Any) -> str:
    """The user that a command is about."""
    return str(command.user).removeprefix("@")


def _edit(command: commands.Edit, _: events.Ok) -> str:
    first, *more = command.text.split("\n")
    return f"you changed it to: {clean_line(first)}{' …' if more else ''}"


_CONFIRM: dict[type[Command], Callable[[Any, events.Ok], str]] = {
    commands.Join: _joined,
    commands.Leave: lambda it, _: f"you left {_of(it)}",
    commands.Topic: lambda it, _: f"you set the topic of {_of(it)}",
    commands.Nick: lambda it, _: f"you are now {it.name}",
    commands.Away: _away,
    commands.Quit: lambda *_: "bye",
    commands.Logout: lambda *_: "bye",
    commands.Register: lambda *_: "your name is registered: from now on it takes your password",
    commands.Passwd: lambda *_: "your password is changed, and your other sessions are over",
    commands.Sessions: lambda it, _: f"number {it.end} is ended",
    commands.Delete: lambda _, ok: (
        "the message is deleted" if ok.seq else "the message was deleted before"
    ),
    commands.Edit: _edit,
    commands.Op: lambda it, _: f"{_who(it)} is {_a(it.role)} of {_of(it)} now",
    commands.Deop: lambda it, _: f"{_who(it)} is a mere member of {_of(it)} now",
    commands.Kick: lambda it, _: f"you put {_who(it)} out of {_of(it)}",
    commands.Ban: lambda it, _: f"{_who(it)} is banned from {_of(it)}",
    commands.Unban: lambda it, _: f"{_who(it)} may enter {_of(it)} again",
    commands.Mute: lambda it, _: f"{_who(it)} may not speak in {_of(it)}",
    commands.Unmute: lambda it, _: f"{_who(it)} may speak in {_of(it)} again",
    commands.Invite: lambda it, _: f"{_who(it)} is invited to {_of(it)}",
    commands.Private: lambda it, _: f"{_of(it)} is {_open(it.on == 'on')}",
    commands.Block: lambda it, _: f"you hear nothing of {_who(it)} any more",
    commands.Unblock: lambda it, _: f"you hear {_who(it)} again",
    commands.MuteRoom: lambda it, _: f"you hear nothing of {_of(it)} any more",
    commands.UnmuteRoom: lambda it, _: f"you hear {_of(it)} again",
    commands.Kill: lambda it, _: f"{_who(it)} is removed",
    commands.BanAddress: lambda it, _: f"nobody can connect from {it.network}",
    commands.UnbanAddress: lambda it, _: f"{it.network} can connect again",
}


def _a(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"


def _open(private: bool) -> str:
    return "private: one needs an /invite" if private else "open to all"


def _message(event: Message, own: bool) -> list[str]:
    text = ["(deleted)"] if event.deleted else event.text.split("\n")
    if event.edited and not event.deleted:
        text[-1] += " (edited)"
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
        name = user.user + _standing(user)
        if line and len(line) + len(name) > _LIST_WIDTH:
            lines.append(line)
            line = ""
        line += f", {name}" if line else f"* {where}: {name}"
    lines.append(line or f"* nobody is {where}")
    return lines + ([f"* and {event.omitted} more"] if event.omitted else [])


def _standing(user: events.User) -> str:
    parts: list[str] = [user.role] if user.role != events.MEMBER else []
    parts += ["muted"] * user.muted + ["offline"] * (not user.online)
    parts += [f"away: {user.away}"] if user.away is not None else []
    return f" ({', '.join(parts)})" if parts else ""


def _sessions(event: events.Sessions, own: bool) -> list[str]:  # noqa: ARG001
    lines = []
    for one in event.sessions:
        what = "this session" if one.own else "a session" if one.online else "not connected"
        device = ", remembered" * one.device
        since = f"{one.since[:10]} {one.since[11:16]}Z"
        lines.append(f"* {one.number}: {what}{device}, since {since}")
    return [*lines, "* /sessions N ends number N"]


def _help(event: events.Help, own: bool) -> list[str]:  # noqa: ARG001
    return [f"* {line.usage:<{_USAGE_WIDTH}}  {line.help}" for line in event.commands]


def _left(event: events.Left, own: bool) -> list[str]:  # noqa: ARG001
    why = "" if event.reason == events.LEFT else f" ({event.reason}{_by(event)})"
    return [f"* {event.user} left #{event.room}{why}"]


def _by(event: events.Left) -> str:
    by = f" by {event.by}" if event.by else ""
    return by + (f": {event.why}" if event.why else "")


def _ranked(event: events.Ranked, own: bool) -> list[str]:  # noqa: ARG001
    role = "a mere member" if event.role == events.MEMBER else _a(event.role)
    return [f"* {event.by} made {event.user} {role} of #{event.room}"]


def _muted(event: events.Muted, own: bool) -> list[str]:  # noqa: ARG001
    again = "" if event.on else " again"
    may = "may not" if event.on else "may"
    return [f"* {event.user} {may} speak in #{event.room}{again} ({event.by})"]


def _banned(event: events.Banned, own: bool) -> list[str]:  # noqa: ARG001
    what = f"is banned from #{event.room}" if event.on else f"may enter #{event.room} again"
    return [f"* {event.user} {what} ({event.by})"]


def _edited(event: events.Edited, own: bool) -> list[str]:  # noqa: ARG001
    first, *more = event.text.split("\n")
    where = f" in {event.to}" if event.to[:1] == "#" else ""
    return [f"* {event.from_} changed a message{where}: {first}", *(f"* {line}" for line in more)]


def _deleted(event: events.Deleted, own: bool) -> list[str]:  # noqa: ARG001
    whose = "a message" if event.user == event.author else f"a message of {event.author}"
    where = f" in {event.to}" if event.to[:1] == "#" else ""
    return [f"* {event.user} deleted {whose}{where}"]


def _welcome(event: events.Welcome, own: bool) -> list[str]:  # noqa: ARG001
    lines = [
        f"* welcome {event.user}: /join ROOM enters a room, /help lists the commands, quit leaves"
    ]
    if event.rooms:
        lines.append(f"* you are in {', '.join('#' + room for room in event.rooms)}")
    return lines


def _wanted(event: events.Wanted, own: bool) -> list[str]:  # noqa: ARG001
    if event.what == "server":
        return ["* this server has a password: type it as the next line"]
    return [f"* {event.user} is registered: type its password as the next line"]


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
    events.Ranked: _ranked,
    events.Muted: _muted,
    events.Banned: _banned,
    events.Invited: lambda event, _: [
        f"* {event.by} invites {event.user} to #{event.room}: /join {event.room}"
    ],
    events.Private: lambda event, _: [f"* {event.by} made #{event.room} {_open(event.on)}"],
    events.Edited: _edited,
    events.Deleted: _deleted,
    events.Welcome: _welcome,
    events.Wanted: _wanted,
    events.Sessions: _sessions,
    events.Error: lambda event, _: [f"! {clean_line(event.text)}"],
    events.History: _history,
    events.Found: _found,
    events.Room: _room,
    events.Rooms: _rooms,
    events.Users: _users,
    events.Help: _help,
    events.Notice: lambda event, _: [f"* {clean_line(event.text)}"],
}
