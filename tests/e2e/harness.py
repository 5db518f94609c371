"""The real server as a process, and raw sockets that talk to it.

Nothing here sleeps for a fixed time: whatever is waited for is a condition with a deadline, which
is generous, as it is only ever reached by a test that fails.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from selchat.settings import VARIABLE_PREFIX

ROOT = Path(__file__).resolve().parents[2]
SERVER = (sys.executable, "-W", "error", str(ROOT / "bin" / "selchat-server"))
PATIENCE = 30.0
"""Seconds until what is waited for counts as missing."""

READY = re.compile(r"selchat-server listening on (\[.*\]|[^:\[\]]+):(\d+)\n")
HINT = re.compile(r"selchat-client (\S+):(\d+)$", re.MULTILINE)

W = TypeVar("W", bound="Wire")
T = TypeVar("T")


def until(condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Ask again and again until `condition()` is true; give what it gave."""
    deadline = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < deadline, f"in {patience:g} s it did not happen: {what}"
        select.select((), (), (), 0.01)
    return result


class LineReader:
    """Lines as they come from a descriptor, which stays its owner's."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()  # select() ends at descriptor 1023
        self._poll.register(fd, select.POLLIN)
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._ended = False

    def next(self, patience: float = PATIENCE) -> bytes:
        """The next line with its end; what is left without one at the end of input; then b""."""
        deadline = time.monotonic() + patience
        while not self._lines and not self._ended:
            wait = deadline - time.monotonic()
            if wait < 0 or not self._poll.poll(wait * 1000):
                raise AssertionError(f"in {patience:g} s no line came; unfinished: {self._rest!r}")
            self._read()
        if self._lines:
            return self._lines.popleft()
        rest, self._rest = self._rest, b""
        return rest

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 1 << 20)
        except BlockingIOError:
            return
        if not data:
            self._ended = True
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines.extend(line + b"\n" for line in lines)


class Speaker:
    """Whoever talks in lines: a socket or a program."""

    _reader: LineReader

    def send(self, *lines: str) -> None:
        """Send lines, all at once; their ends are added."""
        self.send_bytes("".join(f"{line}\n" for line in lines).encode())

    def send_bytes(self, data: bytes) -> None:
        raise NotImplementedError

    def line(self, patience: float = PATIENCE) -> str:
        """The next line, without its end."""
        line = self._reader.next(patience)
        assert line.endswith(b"\n"), f"the end came instead of a line, after {line!r}"
        return line[:-1].decode()

    def lines(self, count: int) -> list[str]:
        return [self.line() for _ in range(count)]

    def expect(self, *wanted: str) -> None:
        """These lines come next; `…` stands for any text, and JSON may have more members."""
        for want in wanted:
            line = self.line()
            assert fits(line, want), f"{want!r} was to come, and {line!r} came"

    def seek(self, wanted: str) -> list[str]:
        """Read until that line; give those before it."""
        before = []
        while not fits(line := self.line(), wanted):
            before.append(line)
        return before

    def expect_end(self) -> None:
        """Nothing comes any more but the end of input, and no reset."""
        line = self._reader.next()
        assert line == b"", f"the end was to come, and {line!r} came"


def fits(line: str, wanted: str) -> bool:
    """Whether a line is what was wanted."""
    if wanted.startswith("{"):
        if not line.startswith("{"):
            return False
        said = json.loads(line)
        return all(said.get(key) == value for key, value in json.loads(wanted).items())
    pattern = ".*".join(map(re.escape, wanted.split("…")))
    return re.fullmatch(pattern, line) is not None


def play(people: Mapping[str, Speaker], script: str) -> None:
    """Have people say (`name >> line`) and hear (`name << line`, as `Speaker.expect`) in turn.

    `name << end` is the end of what it hears.
    """
    for step in filter(None, map(str.strip, script.splitlines())):
        name, way, line = step.split(" ", 2)
        if way == ">>":
            people[name].send(line)
        elif line == "end":
            people[name].expect_end()
        else:
            heard = people[name].line()
            assert fits(heard, line), f"{step}\n{name} heard: {heard}"


class Wire(Speaker):
    """A raw connection."""

    def __init__(self, host: str, port: int, receive_buffer: int | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:  # before connecting, as it bounds the window for good
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.connect((host, port))
        except OSError:
            self.socket.close()
            raise
        self._reader = LineReader(self.socket.fileno())

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def rest(self) -> bytes:
        """All that comes until the end of input; raises ConnectionResetError for a reset."""
        return b"".join(iter(self._reader.next, b""))

    def arrived(self) -> None:
        """Wait until the other side's kernel has all that was sent."""
        until(lambda: self._unacknowledged() == 0, "the peer's kernel has taken all")

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def _unacknowledged(self) -> int:
        size = fcntl.ioctl(self.socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        return int.from_bytes(size, sys.byteorder)


class Text(Wire):
    """A connection that speaks the text tongue."""

    def login(self, name: str) -> None:
        self.send(name)
        self.expect(f"* welcome {name}: …")

    def join(self, room: str) -> None:
        self.send(f"/join {room}")
        self.expect(f"* you joined #{room}")

    def quiet(self) -> None:
        """Nothing came before the answer to what is asked now."""
        self.send("#")
        self.expect("! type a message behind the name: …")


class Json(Wire):
    """A connection that speaks the JSON tongue. `token`, `log` and `seq` are as for a resume."""

    token = log = ""
    seq = 0
    asked = 0

    def login(self, name: str, **fields: object) -> dict[str, Any]:
        self.say("hello", user=name, version=1, **fields)
        welcome = self.event(type="welcome", user=name)
        self.token, self.log, self.seq = welcome["token"], welcome["log"], welcome["seq"]
        return welcome

    def say(self, kind: str, **fields: object) -> None:
        self.send(json.dumps({"type": kind, **fields}))

    def event(self, **wanted: object) -> dict[str, Any]:
        """The next line; it has at least these members."""
        event: dict[str, Any] = json.loads(self.line())
        for key, value in wanted.items():
            assert event.get(key) == value, f"{wanted} was to come, and {event} came"
        return event

    def do(self, kind: str, **fields: object) -> dict[str, Any]:
        """Ask for something that is done at once."""
        self.asked += 1
        self.say(kind, id=f"n{self.asked}", **fields)
        return self.event(type="ok", id=f"n{self.asked}")

    def join(self, room: str) -> None:
        self.do("join", room=room)

    def quiet(self) -> None:
        """Nothing came before the answer to what is asked now."""
        self.say("ping", id="quiet")
        self.event(type="pong", id="quiet")


class Program(Speaker):
    """A program that talks over its standard input and output."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin, self.process.stdout
        self._reader = LineReader(self._out.fileno())

    def send_bytes(self, data: bytes) -> None:
        self._in.write(data)
        self._in.flush()

    def end_input(self) -> None:
        self._in.close()

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._in.close()
        self._out.close()


class ServerProcess:
    """A running `bin/selchat-server` on a free port, and all who are connected to it."""

    def __init__(self, log: Path, *flags: str) -> None:
        """`log` is the file that its standard error goes to."""
        self._log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                (*SERVER, "--port", "0", *flags),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # Who joins is not shown what was said before, unless a test is about that.
                env=environment(SELCHAT_JOIN_HISTORY="0"),
            )
        assert self.process.stdout is not None
        self.stdout = self.process.stdout
        self.pid = self.process.pid
        self.host, self.port = "", 0
        self.expected_errors: list[str] = []
        """How the errors begin that it is to log, because the test is about them."""
        self._clients: list[Wire | Program] = []
        self._over = False

    def ready(self) -> str:
        """Wait for the ready line, and give it."""
        line = LineReader(self.stdout.fileno()).next().decode()
        match = READY.fullmatch(line)
        assert match is not None, f"no ready line but {line!r}; {self.stderr()}"
        host = match[1].strip("[]")
        self.host = "127.0.0.1" if host in ("::", "0.0.0.0") else host
        self.port = int(match[2])
        return line

    # Clients

    def connect(self, host: str | None = None, receive_buffer: int | None = None) -> Wire:
        return self._connect(Wire, host, receive_buffer)

    def text(
        self,
        name: str,
        *rooms: str,
        host: str | None = None,
        receive_buffer: int | None = None,
    ) -> Text:
        """Someone logged in who speaks text, in those rooms."""
        client = self._connect(Text, host, receive_buffer)
        client.login(name)
        for room in rooms:
            client.join(room)
        return client

    def json(
        self,
        name: str,
        *rooms: str,
        host: str | None = None,
        receive_buffer: int | None = None,
    ) -> Json:
        """Someone logged in who speaks JSON, in those rooms."""
        client = self.new_json(host, receive_buffer)
        client.login(name)
        for room in rooms:
            client.join(room)
        return client

    def new_json(self, host: str | None = None, receive_buffer: int | None = None) -> Json:
        """A connection that has still to say hello."""
        return self._connect(Json, host, receive_buffer)

    def program(self, *command: str) -> Program:
        """Start a program that is ended with the server."""
        program = Program(*command)
        self._clients.append(program)
        return program

    def _connect(self, kind: type[W], host: str | None, receive_buffer: int | None) -> W:
        client = kind(host or self.host, self.port, receive_buffer)
        self._clients.append(client)
        return client

    # The process

    def stderr(self) -> str:
        """What it has written to standard error."""
        return self._log.read_text(encoding="utf-8")

    def said(self, pattern: str) -> int:
        """How many lines of standard error have that in them."""
        return len(re.findall(f"^.*{pattern}.*$", self.stderr(), re.MULTILINE))

    def memory(self) -> int:
        """Its resident memory in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        match = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        assert match is not None
        return int(match[1]) * 1024

    def cpu(self) -> float:
        """Seconds of CPU time that it has used."""
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        """How many it has open."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def limit_descriptors(self, count: int) -> None:
        """Let it have so many, as `ulimit -n` would."""
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (count, count))

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def expect_exit(self, code: int = 0, patience: float = PATIENCE) -> None:
        """It ends, within `patience` seconds and with that exit code."""
        assert self.process.wait(patience) == code, self.stderr()
        self._over = True

    def finish(self) -> None:
        """Let everybody go, stop it, and check that all was well to the end."""
        for client in self._clients:
            client.close()
        try:
            if not self._over:
                self.signal()
                self.expect_exit()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.stdout.close()
        said = self.stderr()
        for expected in self.expected_errors:
            said = said.replace(f" ERROR {expected}", "")
        for word in ("Traceback", "Exception ignored", " ERROR ", "Warning:"):
            assert word not in said, self.stderr()


def environment(**more: str) -> dict[str, str]:
    """This process's, without settings of a server, and with `more`.

    Nobody's own data can be touched: where none is named, there is no place for any.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith(VARIABLE_PREFIX)}
    nowhere = dict.fromkeys(("XDG_DATA_HOME", "XDG_STATE_HOME"), os.devnull)
    return clean | nowhere | more


def run_server(
    *flags: str, cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a server that is to end by itself, with `more` in its environment."""
    return subprocess.run(
        (*SERVER, *flags),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        env=environment(**more),
        cwd=cwd,
    )
