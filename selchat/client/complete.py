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
    command, argument = line[:start].split()[:1], len(line[:start].split()) - 1
    rooms = [f"#{room}" for room in known.rooms]
    users = [f"@{user}" for user in known.users]
    if command and command[0].startswith("/"):
        kind = _kind(command[0][1:].lower(), argument)
        if kind == "room" and not word.startswith("#"):
            return _pick(start, word, list(known.rooms), " ")
        if kind == "command":
            return _pick(start, word, sorted(commands.TYPED), " ")
        if kind == "target" and word[:1] not in ("#", "@"):
            return _pick(start, word, rooms + users, " ", bare=True)
    if word.startswith("#"):
        return _pick(start, word, rooms, " ")
    if word.startswith("@"):
        return _pick(start, word, users, " ")
    if not word:
        return Completion(start, "", [])
    return _pick(start, word, list(known.users), ": " if first else " ")


def _kind(command: str, argument: int) -> str:
    """What the command takes in that place."""
    if command in LOCAL:
        return "target" if command == "to" and argument == 0 else ""
    known = commands.TYPED.get(command)
    if known is None or known.words is None or argument >= len(known.words):
        return ""
    word = known.words[argument]
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
    """The known words that begin like `word`; with `bare`, whatever mark they begin with."""
    wanted = names.key(word)
    fitting = [
        one
        for one in dict.fromkeys(known)
        if names.key(one[1:] if bare else one).startswith(wanted)
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
