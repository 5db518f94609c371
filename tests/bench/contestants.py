"""The servers that are compared, and how each is started, measured and ended."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BEFORE = Path(os.environ.get("SELCHAT_BENCH_BEFORE", "/nowhere"))
"""The checkout of another version, to be compared with this one."""

_START = 20.0
"""Seconds until a server accepts, at most."""

_NGIRCD = """
[Global]
Name = bench.test
Info = bench
Listen = 127.0.0.1
Ports = {port}
MotdPhrase = hello
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxPenaltyTime = 0
PingTimeout = 600
[Options]
DNS = no
Ident = no
PAM = no
"""

_INSPIRCD = """
<server name="bench.test" description="bench" network="bench">
<admin name="bench" nick="bench" email="bench@bench.test">
<bind address="127.0.0.1" port="{port}" type="clients">
<power diepass="no{port}" restartpass="no{port}">
<connect allow="*" pingfreq="10m" hardsendq="512M" softsendq="256M" recvq="16M" fakelag="no"
 threshold="1000000000" commandrate="1000000000" localmax="100000" globalmax="100000"
 limit="100000" maxchans="100000" resolvehostnames="no" useident="no" maxconnwarn="no">
<performance netbuffersize="65534" somaxconn="4096" softlimit="100000" clonesonconnect="no">
<pid file="{folder}/pid">
"""


class Contestant(NamedTuple):
    """A server: what its peers speak, and its command in a folder and on a port."""

    proto: str  # as for a Swarm
    command: Callable[[Path, int], list[str]]
    needs: str = ""  # a program that must be installed
    batch: int = 512  # how many log-ins may be under way
    root: Path = ROOT  # where it is imported from


def _selchat(*flags: str, root: Path = ROOT) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(port), "--data", str(folder / "data")]
        return [sys.executable, str(root / "bin" / "selchat-server"), *where, *flags]

    return command


def _plain(name: str) -> Callable[[Path, int], list[str]]:
    return lambda _, port: [sys.executable, str(HERE / "peers" / name), str(port)]


def _irc(program: str, config: str, *flags: str) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        file = folder / "config"
        file.write_text(config.format(port=port, folder=folder), encoding="utf-8")
        words = [flag.format(file=file) for flag in flags]
        if os.getuid() == 0:
            if program == "inspircd":
                words.append("--runasroot")
            with suppress(KeyError):  # ngIRCd gives root's rights away
                os.chown(file, pwd.getpwnam("nobody").pw_uid, -1)
        return [program, *words]

    return command


CONTESTANTS = {
    "selchat": Contestant("text", _selchat()),
    "selchat, memory": Contestant("text", _selchat("--store", "memory")),
    "before": Contestant("text", _selchat(root=BEFORE), root=BEFORE),
    "before, memory": Contestant("text", _selchat("--store", "memory", root=BEFORE), root=BEFORE),
    "selchat, JSON": Contestant("json", _selchat()),
    "selchat, TLS": Contestant("tls text", _selchat()),
    "selchat, JSON in TLS": Contestant("tls json", _selchat()),
    "selchat, mixed": Contestant("text+json+tls text+tls json", _selchat()),
    "selchat, mixed, memory": Contestant(
        "text+json+tls text+tls json", _selchat("--store", "memory")
    ),
    "InspIRCd": Contestant(
        "irc",
        _irc("inspircd", _INSPIRCD, "--nofork", "--nolog", "--config={file}"),
        "inspircd",
        1_000,
    ),
    "ngIRCd": Contestant(
        "irc", _irc("ngircd", _NGIRCD, "--nodaemon", "--config", "{file}"), "ngircd", 8
    ),
    "asyncio streams": Contestant("text", _plain("streams.py")),
    "threads": Contestant("text", _plain("threads.py")),
}


def installed(contestant: Contestant) -> bool:
    """Whether it can be started here."""
    there = not contestant.needs or shutil.which(contestant.needs) is not None
    return there and contestant.root.is_dir()


class Running(NamedTuple):
    """A server that accepts connections."""

    port: int
    pid: int

    def cpu(self) -> float | None:
        """Seconds of CPU that it has used; None where that cannot be told."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        except OSError:
            return None
        ticks = os.sysconf("SC_CLK_TCK")
        return (int(fields[11]) + int(fields[12])) / ticks

    def memory(self) -> int | None:
        """Bytes that it has in memory; None where that cannot be told."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1]
        except OSError:
            return None
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def peak(self) -> dict[str, float]:
        """The most that it ever had in memory, as a figure; nothing where that cannot be told."""
        try:
            said = Path(f"/proc/{self.pid}/status").read_text("ascii")
        except OSError:
            return {}
        return {"peak MiB": int(said.partition("VmHWM:")[2].split()[0]) / 1024}


@contextmanager
def apart(contestant: Contestant, folder: Path | None = None) -> Iterator[Running]:
    """It runs on a CPU of its own, where there are two, and this process on the others."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cpus) < 2:
        with running(contestant, folder=folder) as server:
            yield server
        return
    with running(contestant, cpus[0], folder) as server:
        os.sched_setaffinity(0, cpus[1:])
        try:
            yield server
        finally:
            os.sched_setaffinity(0, cpus)


@contextmanager
def running(
    contestant: Contestant, cpu: int | None = None, folder: Path | None = None
) -> Iterator[Running]:
    """Start it in that folder or a new one, on one CPU if that is given; end it afterwards."""
    with ExitStack() as stack:
        if folder is None:
            made = tempfile.TemporaryDirectory(prefix="selchat-bench-")
            folder = Path(stack.enter_context(made))
        folder.chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with (folder / "log").open("wb") as said:
            server = subprocess.Popen(
                contestant.command(folder, port),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={**os.environ, "PYTHONPATH": str(contestant.root), "PYTHONUNBUFFERED": "1"},
            )
        try:
            if cpu is not None and hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(server.pid, {cpu})
            _wait(server, port, folder / "log")
            yield Running(port, server.pid)
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, said: Path) -> None:
    end = time.monotonic() + _START
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                text = said.read_text("utf-8", "replace")[-500:]
                raise RuntimeError(f"{server.args!r} did not start: {text}") from None
            time.sleep(0.02)
        else:
            return
