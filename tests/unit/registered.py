"""What the tests of accounts share: registering and logging in on a stage, in JSON and in text."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import msgspec

from selchat import scram
from tests.unit.playbook import Stage

PASSWORD = "correct horse"
OTHER = "battery staple"

Event = dict[str, Any]


@cache
def verifier(password: str = PASSWORD) -> Event:
    """What a client makes of a password; with as few rounds as are allowed, for speed."""
    made = scram.make(password, scram.ITERATIONS_LEAST)
    plain: Event = json.loads(msgspec.json.encode(made))
    return plain


def told(stage: Stage, name: str) -> list[Event]:
    """What a client was told in JSON since it was last asked; the end of its connection too."""
    return [json.loads(line) if line[0] == "{" else {"over": line} for line in stage.get(name)]


def asked(stage: Stage, client: str, kind: str, /, **fields: Any) -> Event:
    """Ask for something; what it was answered, which is the last thing that it was told."""
    stage.say(client, {"type": kind, **fields})
    return told(stage, client)[-1]


def refused(stage: Stage, client: str, kind: str, /, **fields: Any) -> str:
    """Ask for something that is refused; the code."""
    answer = asked(stage, client, kind, **fields)
    assert answer["type"] == "error", answer
    assert answer["text"]
    return str(answer["code"])


def done(stage: Stage, client: str, kind: str, /, **fields: Any) -> Event:
    """Ask for something that is done."""
    answer = asked(stage, client, kind, **fields)
    assert answer["type"] == "ok", answer
    return answer


def account(stage: Stage, *names: str, room: str | None = "dev", password: str = PASSWORD) -> None:
    """Let those come in JSON, register, and enter a room; nobody looks."""
    for name in names:
        stage.say(name, {"type": "hello", "user": name})
        stage.say(name, {"type": "register", "verifier": verifier(password)})
        if room is not None:
            stage.say(name, {"type": "join", "room": room})
        stage.settle()
    for client in stage.clients.values():
        client.lines()


def prove(
    stage: Stage, client: str, name: str, password: str = PASSWORD, **hello: Any
) -> list[Event]:
    """Log in with a password by SCRAM; all that was told from the answer to the proof on.

    What the server answers to the first word, where that is no challenge, is all.
    """
    exchange = scram.Client(name, password, None)
    stage.say(client, {"type": "hello", "user": name, "auth": exchange.first()} | hello)
    answer, *more = told(stage, client)
    if answer["type"] != "challenge":
        return [answer, *more]
    assert more == []
    stage.say(client, {"type": "auth", "data": exchange.final(answer["data"])})
    heard = told(stage, client)
    if heard[0]["type"] == "welcome":
        assert exchange.verify(heard[0]["proof"])
    return heard


def log_in(stage: Stage, client: str, name: str, password: str = PASSWORD) -> Event:
    """As `prove`, which goes well; the welcome. What is told besides is not looked at."""
    welcome = prove(stage, client, name, password)[0]
    assert welcome["type"] == "welcome", welcome
    return welcome


def device(stage: Stage, client: str) -> str:
    """Have a client remembered; its token."""
    answer = asked(stage, client, "remember")
    assert answer["type"] == "remembered", answer
    return str(answer["device"])


def by_device(stage: Stage, client: str, name: str, token: str) -> Event:
    """Log in as a client that is remembered; the welcome, or the refusal."""
    stage.say(client, {"type": "hello", "user": name, "device": token})
    return told(stage, client)[0]
