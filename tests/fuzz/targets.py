"""What a fuzzer does with bytes: one function a target, which fails where a promise is broken.

The same functions run in the unit tests, on every input in tests/corpus/ and on what hypothesis
finds; tests/fuzz/run.py lets atheris look for new ways through the code. A target takes any bytes,
reads from them what to do, and keeps nothing from one call to the next.
"""

from __future__ import annotations

import os
import pty
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from selchat.certificate import Tls
from selchat.client.keeper import Keeper
from selchat.client.line import Line
from selchat.client.state import State
from selchat.errors import Refusal
from selchat.loop import Loop
from selchat.model import commands, names
from selchat.model.clean import clean, clean_line
from selchat.model.commands import Command
from selchat.model.events import AnyEvent, Error, Event
from selchat.settings import ClientOptions
from selchat.wire import Tongue
from selchat.wire.jsonl import Jsonl, encode_command
from selchat.wire.sniff import LONGEST, Refused, sniff
from selchat.wire.text import Text
from tests.authority import trusting_nobody
from tests.unit.playbook import Stage
from tests.unit.playbook import _errors as logged
from tests.unit.test_stream import ROOMY, World
from tests.unit.test_tls import Meeting, Peer
from tests.unit.ways import asked

HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LIMIT = 1_000

#: What the client itself writes to a terminal, and may: colours, bracketed paste, cursor up and
#: down, erase below, clear, return, bell.
_OWN = re.compile(r"\x1b\[\?2004[hl]|\x1b\[[0-9]*m|\x1b\[\d*[AB]|\x1b\[J|\x1b\[H\x1b\[2J|\r|\a")

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(AnyEvent)


def harmless(text: str) -> None:
    """Promise 6: nothing in it acts on a terminal."""
    found = HARMFUL.search(text)
    assert found is None, f"{found[0]!r} in {text!r}"


def cut(data: bytes) -> tuple[list[bytes], bytes]:
    """Data cut into pieces, at places that its first bytes say; and all of it."""
    count = data[0] % 8 if data else 0
    sizes, data = data[1 : 1 + count], data[1 + count :]
    pieces, rest = [], data
    for size in sizes:
        pieces.append(rest[: size + 1])
        rest = rest[size + 1 :]
    return [*pieces, rest], data


# Words


def words(data: bytes) -> None:
    """Clean text is clean and stays so, and so do names and skeletons. After an odd first byte the
    text is UTF-16, where halves of pairs can be alone.
    """
    text = data[1:].decode(errors="replace")
    if data[:1] and data[0] % 2:
        text = data[1 : 1 + len(data[1:]) // 2 * 2].decode("utf-16-le", "surrogatepass")
    cleaned = clean(text)
    harmless(cleaned)
    assert clean(cleaned) == cleaned
    assert "\n" not in clean_line(text)
    half = text[: len(text) // 2]
    assert cleaned.startswith(clean(half))
    assert names.skeleton(names.skeleton(text)) == names.skeleton(text)
    assert names.skeleton(names.key(text)) == names.skeleton(text)
    for check in (names.user, names.room):
        try:
            name = check(text)
        except Refusal as refusal:
            harmless(refusal.text)
        else:
            harmless(name)
            assert check(name) == name


# The wire


def sniffer(data: bytes) -> None:
    """What a connection speaks does not depend on the pieces."""

    def first(pieces: list[bytes]) -> type[Tongue] | Refused | None:
        seen = b""
        for piece in pieces:
            seen += piece
            if (found := sniff(seen)) is not None:
                return found
        return None

    pieces, whole = cut(data)
    found = first([whole])
    assert first(pieces) == found
    assert found is not None or len(whole) < LONGEST


def tongue(kind: type[Tongue], data: bytes) -> None:
    """Bytes give commands and errors, the same however they are cut."""

    def run(pieces: list[bytes]) -> list[Command | Error]:
        peer, found = kind(LIMIT), []
        for piece in pieces:
            for item in asked(peer, piece):
                found.append(item)
                if isinstance(item, commands.Hello):
                    peer.welcomed()
        return found

    pieces, whole = cut(data)
    found = run([whole])
    assert run(pieces) == found
    for item in found:
        if isinstance(item, Error):
            harmless(Text.encode(item).decode())
            assert Jsonl.encode(item).count(b"\n") == 1
        else:
            again = list(Jsonl(10**6).receive(encode_command(item)))
            assert again == [item]


def text(data: bytes) -> None:
    """The text tongue."""
    tongue(Text, data)


def jsonl(data: bytes) -> None:
    """The JSON tongue."""
    tongue(Jsonl, data)


# The server


def server(data: bytes) -> None:
    """A whole server, with two connections that say what they like; somebody watches.

    A connection's turn ends with 0xFF. The next says what follows.
    """
    stage = Stage(tls="off")
    stage.enter("watcher", json=("program",))
    for number, piece in enumerate(data.split(b"\xff")):
        peer = f"peer-{number % 2}"
        if peer in stage.clients and stage.clients[peer]._closed:
            del stage.clients[peer]
        stage.connect(peer).say(piece)
        stage.settle()  # which fails if the server logged an error
    for line in stage.get("watcher"):
        harmless(line)
        assert line.startswith(("[#", "[@", "* ", "! ")), line
    for line in stage.get("program"):
        event = _decoder.decode(line)
        for told in Text.encode(event).decode().split("\n"):
            harmless(told)
    for other in ("watcher", "program"):
        assert not stage.clients[other]._closed, "who did nothing is still there"


# TLS

SERVER = Tls(None, None, None).context


def tls(ours: ssl.SSLContext, theirs: ssl.SSLContext, data: bytes) -> None:
    """Records, true ones and others: the first byte says how many true flights come before, the
    second in what pieces the rest comes; a third is exclusive-ored into a true flight.
    """
    flights, size, twist = data[:3].ljust(3, b"\0")
    tail = data[3:]
    with ExitStack() as stack:
        world = World(stack, ROOMY)
        meeting = Meeting(world, ours=ours, theirs=theirs)
        peer = meeting.peer
        for _ in range(flights % 4):
            _flight(peer)
        good = bytearray()
        if twist:
            with suppress(ssl.SSLError):
                peer.object.do_handshake()
            good += peer.encrypted()
            if good:
                good[int.from_bytes(tail[:2], "big") % len(good)] ^= twist
        with suppress(OSError):
            peer.send(bytes(good) + tail, size + 1 if size else 100_000)
        with suppress(OSError):
            peer.socket.shutdown(socket.SHUT_WR)
        world.tick(3)
        assert meeting.owner.calls.count("ended") <= 1
        assert not meeting.owner.data, "nobody said anything"
        meeting.tls.finish()
        meeting.over()


def _flight(peer: Peer) -> None:
    """One true flight of the handshake, and what is said to it."""
    with suppress(ssl.SSLError):
        peer.object.do_handshake()
    peer.send(peer.encrypted())
    peer._take()


def tls_server(data: bytes) -> None:
    """What a client can send to the server's side."""
    tls(SERVER, trusting_nobody(), data)


def tls_client(data: bytes) -> None:
    """What a server can send to the client's side."""
    tls(trusting_nobody(), SERVER, data)


# The client


def state(data: bytes) -> None:
    """A server that says any events, to a user who answers in between."""
    mine = State(auto_join=bool(data[:1] > b"\x40"), curious=bool(data[:1] > b"\x80"))
    for line in data[1:].split(b"\n"):
        if line[:1] not in (b"{", b""):
            with suppress(Refusal):
                mine.said(line.decode(errors="replace"))
            continue
        try:
            event = _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        heard = mine.told(event)
        for shown in heard.lines:
            harmless(shown)
            assert "\n" not in shown
            assert shown.startswith(("[#", "[@", "* ", "! "))
        mine.questions()
        mine.again()
    harmless(mine.first_failure)
    msgspec.json.encode(mine.hello("alice"))


def client(data: bytes) -> None:
    """The client on a terminal: a server that sends anything, a user who types.

    0xFF says that what follows, up to the next one, is typed. Nothing but what the client itself
    wants may reach the terminal.
    """
    options = data[0] if data else 0
    logged.texts.clear()
    with _terminal() as (keyboard, screen), ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        loop = Loop(lambda: 1_000.0)
        stack.callback(loop.close)
        line = Line(
            ClientOptions(
                host="127.0.0.1",
                port=listener.getsockname()[1],
                user="alice",
                json=False,
                tls=False,
                linear=bool(options & 1),
                color=bool(options & 2),
                rooms=("dev",) if options & 4 else (),
                history=False,
                patience=0.0,
            ),
            loop,
        )
        stack.callback(line._link.close)
        line._keeper = Keeper(Path(os.devnull), "", 0, "")  # where nothing can be kept
        line._output.enter()
        stack.callback(line._output.leave)
        line._read(True)
        stack.callback(line._read, False)
        loop.tick(1.0)
        peer, _ = listener.accept()
        peer.settimeout(0)
        stack.callback(peer.close)
        identity = b'"' + line.state._prefix.encode()  # which the server has read
        for number, piece in enumerate(data[1:].replace(b'"~', identity).split(b"\xff")):
            with suppress(OSError):
                if number % 2:
                    os.write(keyboard, piece)
                else:
                    peer.sendall(piece)
            for _ in range(3):
                loop.tick(0)
        peer.close()
        for _ in range(3):
            loop.tick(0)
        assert not logged.texts, "\n".join(logged.texts)
        harmless(line._failure or "")
        shown = os.pread(screen, 2**26, 0).decode()
        harmless(_OWN.sub("", shown))


@contextmanager
def _terminal() -> Iterator[tuple[int, int]]:
    """A terminal in the place of standard input and output: where one types, and what is shown.

    What is shown goes to memory, so that no output can wait for somebody to read it.
    """
    keyboard, terminal = pty.openpty()
    os.set_blocking(keyboard, False)
    screen = os.memfd_create("screen")
    kept = [os.dup(descriptor) for descriptor in (0, 1)]
    os.dup2(terminal, 0)
    os.dup2(screen, 1)
    try:
        yield keyboard, screen
    finally:
        for descriptor, was in enumerate(kept):
            os.dup2(was, descriptor)
        for descriptor in (keyboard, terminal, screen, *kept):
            os.close(descriptor)


TARGETS: dict[str, Callable[[bytes], None]] = {
    run.__name__: run
    for run in (words, sniffer, text, jsonl, server, tls_server, tls_client, state, client)
}
