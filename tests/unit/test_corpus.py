"""The corpus: connections as they came, good and bad, beside what they must give.

tests/corpus/README.md tells the form of the files, and how to add one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from selchat.model import commands, events
from selchat.model.commands import Command
from selchat.wire import Tongue
from selchat.wire.jsonl import Jsonl, encode_command
from selchat.wire.sniff import Refused, sniff
from selchat.wire.text import Text
from tests.unit.ways import asked, pieces

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
LIMIT = 16_384
NAMES: dict[type[Tongue], str] = {Text: "text", Jsonl: "json"}
CASES = sorted(path.relative_to(CORPUS).with_suffix("") for path in CORPUS.glob("*/*.in"))


def run(cut: Iterable[bytes]) -> Iterator[str]:
    """What a connection gives, in the lines of an `.out` file."""
    seen, tongue = b"", None
    for piece in cut:
        data = piece
        if tongue is None:
            seen = data = seen + piece
            kind = sniff(seen)
            if kind is None:
                continue
            if isinstance(kind, Refused):
                yield f"refused {kind.name}"
                yield repr(kind.goodbye)
                return
            yield NAMES[kind]
            tongue = kind(LIMIT)
        for item in asked(tongue, data):
            yield line(item)
            if isinstance(item, commands.Hello):
                tongue.welcomed()
    if tongue is None:
        yield "unclear"


def line(item: Command | events.Error) -> str:
    made = Jsonl.encode(item) if isinstance(item, events.Error) else encode_command(item)
    text = made.decode().removesuffix("\n")
    # What cannot be seen is written as an escape, so that one can review an `.out` file.
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def behind(data: bytes) -> tuple[bytes, list[str]]:
    """More that can come behind a whole connection, and what that gives."""
    if not data.endswith(b"\n"):
        return b"", []
    if data.startswith(b"{"):
        return b'{"type":"ping","id":"behind"}\n{', [line(commands.Ping(id="behind"))]
    return b"quit\n#de", [line(commands.Quit())]  # which needs no name


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_connection_gives_what_it_must(case: Path) -> None:
    data = (CORPUS / case).with_suffix(".in").read_bytes()
    expected = (CORPUS / case).with_suffix(".out").read_text("utf-8").split("\n")[:-1]
    more, gives = behind(data)
    for way, cut in pieces(data, more):
        found = list(run(cut))
        if way == "with more behind it" and not expected[0].startswith("refused"):
            assert found == expected + gives, way
        else:
            assert found == expected, way


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_it_must_give_is_well_formed(case: Path) -> None:
    kind, *lines = (CORPUS / case).with_suffix(".out").read_text("utf-8").split("\n")[:-1]
    assert kind.split(" ")[0] == case.parent.name or kind == "unclear"
    for told in lines if kind in NAMES.values() else []:
        item = msgspec.json.decode(told)
        assert item["type"] == "error" or item["type"] in map(commands.name, commands.ALL)


def test_no_file_is_forgotten() -> None:
    ins = {path.with_suffix("") for path in CORPUS.glob("*/*.in")}
    outs = {path.with_suffix("") for path in CORPUS.glob("*/*.out")}
    assert ins == outs
    assert {path.parent.name for path in ins} == {"text", "json", "refused"}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        source = (CORPUS / name).with_suffix(".in")
        source.with_suffix(".out").write_text("".join(f"{x}\n" for x in run([source.read_bytes()])))
