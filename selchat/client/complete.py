"""What Tab completes: commands, rooms, users and `:emoji:`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from selchat.client.emoji import EMOJI
from selchat.model import commands, names

LOCAL = {"to": "TARGET", "keys": ""}
"""What the client itself understands, beside the server's commands: with its argument."""

_EMOJI = re.compile(r":[+\w-]+:?\Z")
_CHOICES = {"on": ["on", "off"], "role": ["moderator", "owner"]}
_MOST = 200
"""Choices that are listed at most."""


class Known(NamedTuple):
    """What can be meant: names without their marks, the likeliest first."""

    rooms: Iterable[str] = ()
    users: Iterable[str] = ()


class Completion(NamedTuple):
    """Put `text` in the place of what stands from `start` to the cursor.

    `choices` is what fits, as it is shown; where it is more than one, `text` is what they have in
    common. None fits if it is empty.
    """

    start: int
    text: str
    choices: list[str]


def complete(line: str, cursor: int, known: Known) -> Completion:
    """Complete the word that ends at `cursor`."""
    start = max(line.rfind(space, 0, cursor) for space in " \n") + 1
    word = line[start:cursor]
    match = _EMOJI.search(word)
    if match:
        return _emoji(start + match.start(), match[0])
    first = line[:start].strip() == ""
    if first and word.startswith("/") and not word.startswith("//"):
        words = [f"/{name}" for name in (*commands.TYPED, *LOCAL)]
        return _pick(start, word, sorted(words), " ")
    before = line[:start].split()
    rooms = [f"#{room}" for room in known.rooms]
    users = [f"@{user}" for user in known.users]
    if before and before[0].startswith("/"):
        kind = _kind(before[0][1:].lower(), before[1:], known)
        if kind == "room" and not word.startswith("#"):
            return _pick(start, word, list(known.rooms), " ")
        if kind == "command":
            return _pick(start, word, sorted(commands.TYPED), " ")
        if kind == "target" and word[:1] not in ("#", "@"):
            return _pick(start, word, rooms + users, " ", bare=True)
        if kind == "member" and word[:1] not in ("#", "@"):
            return _pick(start, word, [*known.users, *rooms], " ", bare=True)
        if kind in _CHOICES:
            return _pick(start, word, _CHOICES[kind], " ")
    if word.startswith("#"):
        return _pick(start, word, rooms, " ")
    if word.startswith("@"):
        return _pick(start, word, users, " ")
    if not word:
        return Completion(start, "", [])
    return _pick(start, word, list(known.users), ": " if first else " ")


def _kind(command: str, before: list[str], known: Known) -> str:
    """What the command takes behind the words that stand there."""
    if command in LOCAL:
        return "target" if command == "to" and not before else ""
    taken = commands.TYPED.get(command)
    words = taken.words or () if taken is not None else ()
    if words[:2] == ("room", "user"):  # of which the room may be left out
        if not before:
            return "member"
        if before[0][:1] != "#" and names.key(before[0]) not in map(names.key, known.rooms):
            words = words[1:]
    if len(before) >= len(words):
        return ""
    word = words[len(before)]
    return "target" if word in ("to", "of") else word


def _emoji(start: int, typed: str) -> Completion:
    name = typed.strip(":").lower()
    fitting = sorted(known for known in EMOJI if known.startswith(name))
    if typed.endswith(":") and name in EMOJI:  # else `:heart:` could not be told from others
        fitting = [name]
    if len(fitting) == 1:
        return Completion(start, EMOJI[fitting[0]] + " ", [f":{fitting[0]}:"])
    common = ":" + _common(fitting)
    choices = [f":{known}: {EMOJI[known]}" for known in fitting]
    return Completion(start, common if len(common) > len(typed) else typed, choices[:_MOST])


def _pick(
    start: int, word: str, known: list[str], behind: str, *, bare: bool = False
) -> Completion:
    """The known words that begin like `word`; with `bare`, whatever mark they have before that."""
    wanted = names.key(word)
    fitting = [
        one
        for one in dict.fromkeys(known)
        if names.key(one.lstrip("#@") if bare else one).startswith(wanted)
    ]
    if not fitting:
        return Completion(start, word, [])
    if len(fitting) == 1:
        return Completion(start, fitting[0] + behind, fitting)
    common = _common(fitting)
    return Completion(start, common if len(common) > len(word) else word, fitting[:_MOST])


def _common(words: list[str]) -> str:
    """The longest start that all have."""
    least, greatest = min(words, default=""), max(words, default="")
    same = 0
    while same < len(least) and least[same] == greatest[same]:
        same += 1
    return least[:same]
