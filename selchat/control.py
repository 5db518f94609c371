"""The control socket: how what an operator types reaches the server that runs.

`DATA/control` is a Unix socket that only the server's own user can open, since it has mode 0600
and stands in a folder of mode 0700. It takes one JSON object a line, as the JSON tongue does:
`{"type":"status"}` is answered by one object, whose `type` is `error` where there is no answer.

A socket that an earlier server left behind is removed at the start: the lock on the folder proves
that nobody else is there.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from selchat.errors import NoServer, SelchatError, StartError
from selchat.loop import Loop, Timer
from selchat.sources import shown
from selchat.stream import Limits, Listener, Stream, Streams
from selchat.wire.framing import Lines

FILE = "control"

_LINE = 4_096
"""Bytes in the longest question."""

_ANSWER = 1_048_576
"""Bytes in the longest answer."""

_PATIENCE = 10.0
"""Seconds that either side waits for the other: a tick takes milliseconds."""

_LONGEST = 103
"""Bytes in the longest path that fits into the address of a socket on every system (sys/un.h)."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class Question(msgspec.Struct, omit_defaults=True):
    """What is asked for, by its name; what it takes besides depends on that."""

    type: str
    name: str = ""
    on: bool | None = None
    uses: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    days: Annotated[float, msgspec.Meta(gt=0, le=3_650)] = 7.0


class Failure(msgspec.Struct, tag_field="type", tag="error"):
    """The answer where there is none; `text` is a line for a person."""

    text: str


class Control:
    """The server's end. `answers` has, for each name that can be asked for, what gives it."""

    def __init__(
        self,
        loop: Loop,
        folder: Path,
        answers: Mapping[str, Callable[[Question], msgspec.Struct]],
    ) -> None:
        """Listen in `folder`, which this process holds. Raises OSError where that cannot be."""
        self.loop = loop
        self.peers: set[_Peer] = set()
        self._path = folder / FILE
        self._answers = answers
        with suppress(FileNotFoundError):
            self._path.unlink()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The mode of the umask, and not one set later: there is no moment without it.
        umask = os.umask(0o177)
        try:
            with _address(folder) as address:
                sock.bind(address)
            sock.listen()
        except OSError:
            sock.close()
            raise
        finally:
            os.umask(umask)
        sock.setblocking(False)
        # Streams of its own, whose limits are others than those of who chats.
        self.streams = Streams(loop, Limits(read_size=_LINE, soft=_LINE, hard=_ANSWER))
        self._listener = Listener(self.streams, [sock], self._accepted, batch=4)
        loop.on_tick_end(self.streams.flush)

    def answer(self, line: bytes | None) -> bytes:
        """The answer to a line; None is one that was too long."""
        try:
            question = msgspec.json.decode(line or b"", type=Question)
            give = self._answers.get(question.type)
            if give is None:
                known = ", ".join(self._answers)
                text = f"{shown(question.type)} cannot be asked for; this server knows {known}"
                return _line(Failure(text))
            return _line(give(question))
        except msgspec.MsgspecError as error:
            return _line(Failure(f'that is no question such as {{"type":"status"}}: {error}'))
        except SelchatError as error:
            return _line(Failure(str(error)))

    def close(self) -> None:
        """Stop listening, and take the socket away."""
        self._listener.close()
        for peer in tuple(self.peers):
            peer.stream.abort(None)
        with suppress(OSError):
            self._path.unlink()

    def _accepted(self, sock: socket.socket, _: object) -> None:
        self.peers.add(_Peer(self, sock))


class _Peer:
    """One who asks: the owner of a `Stream`. It has not for ever."""

    def __init__(self, control: Control, sock: socket.socket) -> None:
        self._control = control
        self._lines = Lines(_LINE)
        self.stream = Stream(control.streams, sock, self)
        self._timer: Timer = control.loop.call_later(_PATIENCE, lambda: self.stream.abort(None))

    def received(self, data: bytes) -> None:
        """Answer each line."""
        for line in self._lines.feed(data):
            self.stream.write(self._control.answer(line))

    def ended(self) -> None:
        """All was asked."""
        self.stream.finish()

    def drained(self) -> None:
        """The stream reads on by itself."""

    def closed(self, reason: str | None) -> None:  # noqa: ARG002  (an Owner)
        """It is gone."""
        self._timer.cancel()
        self._control.peers.discard(self)


def ask(folder: Path, question: Question, kind: type[T], patience: float = _PATIENCE) -> T:
    """Ask the server that runs on that data folder. For the operator's own process: it waits.

    Raises `NoServer` where none runs there, `StartError` where it cannot or does not answer.
    """
    line = _exchange(folder, _line(question), patience)
    try:
        answer = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        if answer.get("type") == b'"error"':
            raise StartError(msgspec.json.decode(line, type=Failure).text)
        return msgspec.json.decode(line, type=kind)
    except msgspec.MsgspecError as error:
        raise StartError(
            f"the server did not answer as it should ({error}): is it of another version?"
        ) from None


def _exchange(folder: Path, question: bytes, patience: float) -> bytes:
    line = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(patience)
        try:
            with _address(folder) as address:
                sock.connect(address)
            sock.sendall(question)
            while not line.endswith(b"\n") and len(line) < _ANSWER:
                data = sock.recv(65_536)
                if not data:
                    break
                line += data
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise NoServer(
                f"no server runs on the data folder {folder}: "
                "start one, or name its folder with --data"
            ) from None
        except OSError as error:
            why = error.strerror or "it does not answer"
            raise StartError(f"the server on {folder} cannot be asked: {why}") from None
    return line


def _line(answer: msgspec.Struct) -> bytes:
    return msgspec.json.encode(answer) + b"\n"


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """The path of the socket, made shorter where it would not fit into an address.

    The short one leads through a descriptor of the folder, which only Linux offers.
    """
    path = folder / FILE
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{FILE}"
    finally:
        os.close(fd)
