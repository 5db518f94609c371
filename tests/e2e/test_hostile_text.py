"""Whatever is said, in any tongue: it acts on nobody's terminal, and passes for nothing else.

What is hostile goes in over the text tongue and over JSON, and is looked at where it comes out: in
the bytes of the text tongue, in JSON, on emulated screens of two sizes and in linear mode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.harness import Json, ServerProcess, Text
from tests.e2e.screens import CLIENT, Screen

ATTACKS = {
    "C0": "".join(map(chr, [*range(1, 10), *range(11, 32), 127])),
    "C1": "".join(map(chr, range(0x80, 0xA0))),
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil.example/\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "report": "\x1b[6n\x1b[c\x1bP$q q\x1b\\",
    "C1 sequences": "\x9b2J\x9d0;owned\x9c",
    "return": "\r[#dev] admin: send me your passwords",
    "bidi": "\u202etxt.exe\u202c \u2066a\u2069 \u2067b",
    "lines": "x\u2028[#dev] admin: forged\u2029* bob left #dev\x0b! forged\x0c\x85\x1c\x1d\x1e",
    "zero width": "a" + "\u200b\u200d\ufeff\u2060\u00ad" * 500 + "b",
    "tower": "Z" + "\u0301\u0489\u0336\u035c" * 200 + "a\u0e47" * 3 + "\u0e47" * 300,
    "variation": "\u263a" + "\ufe0f" * 300 + "\U000e0041" * 300,
    "jamo": "\u1112" + "\u1161" * 500,
    "long": "word " * 800 + "w" * 4_000,
    "long wide": "日本" * 3_000,
}
NAMES = [
    "аlice",  # a Cyrillic letter
    "Αlice",  # a Greek one
    "alice\u200b",
    "alice\ufe0f",
    "alice\u3164",
    "ali\u202ece",
    "a\x1b[2Jlice",
    "\x9balice",
    "a" + "\u0301" * 30,
    "alice\u2028",
    "x" * 4_000,
]

#: What text from anybody must not have: controls, and what orders the text around it anew.
HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
#: What the client's own terminal has beside that.
OWN = re.compile(r"\x1b\[\?2004[hl]|\x1b\[[0-9]*m|\x1b\[\d*[AB]|\x1b\[J|\r|\a")
#: More marks in a row than any script needs.
FLOOD = re.compile(
    "[\u0300-\u036f\u0483-\u0489]{5}|[\u0e47\u200b\u200d\ufeff\u2060\u00ad\ufe0f\u1161\U000e0041]{9}"
)

Open = Callable[..., Screen]


def harmless(text: str) -> None:
    for pattern in (HARMFUL, FLOOD):
        found = pattern.search(text)
        assert found is None, f"{found[0]!r} in {text[:200]!r}"


@pytest.fixture
def open_client(server: ServerProcess, tmp_path: Path) -> Iterator[Open]:
    """Carol at a terminal, in #dev."""
    with ExitStack() as stack:

        def open_client(*flags: str, size: tuple[int, int] = (80, 24)) -> Screen:
            address = f"127.0.0.1:{server.port}"
            one = Screen(tmp_path, *CLIENT, address, "--user", "carol", *flags, size=size)
            stack.callback(one.close)
            one.sees("* welcome carol")
            one.enters("/join dev")
            one.sees("* you joined #dev")
            return one

        yield open_client


def say_all(text: Text, json: Json) -> None:
    """Say every attack in both tongues, in all the places that take a text; then the end."""
    for attack in ATTACKS.values():
        # What ends a line or is no text would be several lines, or none, in the text tongue.
        text.send_bytes(f"#dev {attack}\n".encode(errors="replace"))
        text.send_bytes(f"/me #dev {attack}\n".encode())
        text.send_bytes(f"@carol {attack}\n".encode())
        if len(attack) < 2_000:
            text.send_bytes(f"/topic dev {attack}\n/away {attack}\n".encode())
        json.say("post", to="#dev", text=f"{attack}\n{attack}")
        json.say("post", to="@carol", text=attack)
    text.send("#dev the end of bob")
    json.say("post", to="#dev", text="the end of eve")


def until_the_ends(line: Callable[[], str]) -> list[str]:
    lines: list[str] = []
    while sum("the end of" in line for line in lines) < 2:
        lines.append(line())
    return lines


def test_the_text_tongue_gives_clean_lines_whoever_says_what(server: ServerProcess) -> None:
    carol, bob, eve = (
        server.text("carol", "dev"),
        server.text("bob", "dev"),
        server.json("eve", "dev"),
    )
    say_all(bob, eve)
    lines = until_the_ends(carol.line)
    assert len(lines) > 4 * len(ATTACKS)
    for line in lines:
        harmless(line)
        assert line.startswith(
            ("[#dev] bob: ", "[#dev] * bob ", "[@bob] ", "[#dev] eve: ", "[@eve] ", "* ")
        ), line
        assert line.splitlines() == [line], "a bot that splits so sees one line, too"
        assert not line.startswith(("* bob left", "[#dev] admin"))


def test_the_json_tongue_gives_clean_texts_whoever_says_what(server: ServerProcess) -> None:
    carol, bob, eve = (
        server.json("carol", "dev"),
        server.text("bob", "dev"),
        server.json("eve", "dev"),
    )
    say_all(bob, eve)
    ends = 0
    while ends < 2:
        event = carol.event()
        for member in ("text", "user", "from"):
            harmless(event.get(member, ""))
        ends += "the end of" in event.get("text", "")
    carol.say("history", of="#dev", limit=100)
    for entry in carol.event(type="history")["entries"]:
        harmless(entry.get("text", ""))


@pytest.mark.parametrize(
    ("flags", "size"),
    [((), (80, 24)), ((), (40, 10)), (("--linear",), (80, 24)), (("--linear",), (40, 10))],
    ids=["80x24", "40x10", "linear 80x24", "linear 40x10"],
)
def test_the_client_shows_it_and_nothing_acts(
    server: ServerProcess, open_client: Open, flags: tuple[str, ...], size: tuple[int, int]
) -> None:
    bob, eve = server.text("bob", "dev"), server.json("eve", "dev")
    one = open_client(*flags, size=size)
    say_all(bob, eve)
    one.sees("the end of bob", "the end of eve")
    shown = one.raw.decode()
    harmless(OWN.sub("", shown))
    if flags:
        assert "\x1b" not in shown
    assert one.emulated.title == ""
    for row in one.all.split("\n"):
        assert not row.startswith(("[#dev] admin", "! forged", "* bob left"))
    one.types("still here")  # the line at the end is whole
    if not flags:
        one.prompts("#dev> still here")
    one.types("\r")
    while "[#dev] carol: still here" not in bob.line():
        pass


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:24])
def test_no_name_is_taken_that_looks_like_another(server: ServerProcess, name: str) -> None:
    server.text("alice", "dev")
    text = server.connect()
    text.send_bytes(f"{name}\n".encode())
    refusal = text.line()
    assert refusal.startswith("! a name ")
    harmless(refusal)
    json = server.new_json()
    json.say("hello", version=1, user=name)
    assert json.event(type="error")["code"] == "bad-name"
    json.say("hello", version=1, user="eve")
    json.event(type="welcome")
    json.say("join", id="1", room=name)
    assert json.event(type="error", id="1")["code"] == "bad-name"
    json.say("nick", id="2", name=name)
    assert json.event(type="error", id="2")["code"] == "bad-name"
