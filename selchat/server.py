"""The server, put together: listener, connections, hub, log, and the order at a tick's end."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from selchat import scram
from selchat.audit import Audit
from selchat.certificate import Tls
from selchat.connection import Connection
from selchat.control import Control, Question
from selchat.delivery import Delivery
from selchat.derive import Deriver
from selchat.errors import StartError
from selchat.gate import SILENT, Gate, Handshakes
from selchat.hub.admin import excluded
from selchat.hub.hub import Hub
from selchat.hub.sessions import settle
from selchat.hub.state import Cancellable
from selchat.loop import Loop
from selchat.model import events
from selchat.operators import StillWorld, operators
from selchat.pace import Rates
from selchat.settings import ServerSettings
from selchat.status import Status, status
from selchat.store import Log
from selchat.store.folder import data_folder
from selchat.store.sqlite import SqliteLog
from selchat.stream import Limits, Listener, Streams, listen
from selchat.upkeep import Upkeep

log = logging.getLogger(__name__)


class _World(StillWorld):
    """Clock, timers, chance and the helper process, for the hub."""

    def __init__(self, loop: Loop, deriver: Deriver) -> None:
        self._loop = loop
        self._deriver = deriver

    def call_later(self, *when: Any) -> Cancellable:
        """Call back in a later tick."""
        return self._loop.call_later(*when)

    def derive(self, *what: Any) -> Cancellable:
        """Have the helper process compute a password."""
        return self._deriver.derive(*what)


class Server:
    """Everything that one server process has. Raises `StartError` where it cannot listen.

    A tick ends in this order, and promise 1 rests on it: commit what was applied, tell it,
    send it.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.loop = Loop()
        self.streams = Streams(
            self.loop,
            Limits(
                read_size=settings.read_size,
                write_budget=settings.write_budget,
                soft=settings.soft_limit,
                hard=settings.hard_limit,
                linger=settings.linger,
            ),
        )
        sockets = _listen(settings)
        with ExitStack() as undone:
            for sock in sockets:
                undone.callback(sock.close)
            self.log = _open_log(settings)
            undone.callback(self.log.close)
            self.tls = _open_tls(settings)
            password = _join_password(settings)
            undone.pop_all()
        self._deriver = Deriver(self.loop)
        self.hub = Hub(self.log, settings, _World(self.loop, self._deriver))
        self.hub.password = password
        self.hub.restore()
        settle(self.hub)
        self.delivery = Delivery(self.hub, self._wake)
        self.share = self.delivery.share
        self._upkeep = Upkeep(self.loop, self.log, self.hub)
        self._audit = Audit(data_folder(settings.data) if settings.store == "disk" else None)
        self.gate = Gate(settings, self._time)
        self.handshakes = Handshakes(settings.tls_handshakes, self._wake)
        self.rates = Rates(
            settings.rate, settings.rate_burst, settings.rate_bytes, settings.rate_burst_bytes
        )
        self._connections: dict[Connection, None] = {}
        self._stopping = False
        self._clean = True
        self.host = _host(settings, sockets)
        self.port: int = sockets[0].getsockname()[1]
        self._listener = Listener(self.streams, sockets, self._accepted, settings.accept_batch)
        self.loop.on_tick_end(self._end_tick)
        self._control = self._open_control() if settings.store == "disk" else None

    def run(self) -> int:
        """Serve until a signal; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.on_signal(number, self._signalled)
        self.loop.on_signal(signal.SIGHUP, self._reload)
        try:
            self.loop.run()
        finally:
            for connection in tuple(self._connections):
                connection.stream.abort(None)
            self._listener.close()
            if self._control is not None:
                self._control.close()
            self._upkeep.close()
            self._audit.close()
            self._deriver.close()
            self.loop.close()
        return 0 if self._clean else 1

    def feed_later(self, connection: Connection) -> None:
        """Go on with that connection in the next tick."""
        self.delivery.feed_later(connection)

    def forget(self, connection: Connection) -> None:
        """That connection is closed."""
        self._connections.pop(connection, None)
        self.gate.leave(connection.address, connection.exempt, connection.unwanted is not None)
        if self._stopping and not self._connections:
            self.loop.stop()

    def stop(self) -> None:
        """Stop in good order: accept nobody, tell everybody, send what is due, and end."""
        self._stopping = True
        self._listener.close()
        for connection in self._connections:
            self.hub.answer(connection, events.Notice("server-stopping", "the server is stopping"))
            self.hub.close(connection)
        self.loop.call_later(self.settings.stop_timeout, self.loop.stop)
        if not self._connections:
            self.loop.stop()

    def _reload(self) -> None:
        """Read the certificate again, and begin a new audit log if the old one was moved away. Who
        is connected stays so.
        """
        self._audit.reopen()
        if self.tls is None:
            return
        try:
            self.tls.load()
        except StartError as error:
            log.error("the certificate stays as it was: %s", error)
        else:
            log.warning("the certificate was read again: %s", self.tls.fingerprint)

    def _open_control(self) -> Control | None:
        folder = data_folder(self.settings.data)
        started = self.loop.clock()

        def report(_: Question) -> Status:
            return status(self.hub, self._connections, folder, self.loop.clock() - started)

        try:
            return Control(
                self.loop, folder, {"status": report, **operators(self.hub, self.commit)}
            )
        except OSError as error:  # people can chat all the same
            log.warning(
                "there is no control socket (%s: %s), so 'selchat-server status' finds no server",
                folder,
                error.strerror or error,
            )
            return None

    def _accepted(self, sock: socket.socket, address: tuple[str, int]) -> None:
        log.debug("connection from %s port %d", *address)
        if excluded(self.hub, address[0]):
            sock.close()  # whoever is banned is worth no more
            return
        exempt = self.gate.exempt(address[0])
        refusal = self.gate.enter(address[0], exempt)
        if refusal is SILENT:
            sock.close()
        else:
            self._connections[Connection(self, sock, address[0], exempt, refusal)] = None

    def commit(self) -> None:
        """Commit what was applied."""
        self._upkeep.commit()
        self._audit.write(self.hub.take_notes())

    def _end_tick(self) -> None:
        self.handshakes.next_tick()
        self.commit()
        self.delivery.deliver()
        self.streams.flush()
        if self.hub.out:
            self._wake()  # what was asked or broke just now is told in the next tick

    def _time(self) -> float:
        return self.loop.clock()

    def _wake(self) -> None:
        self.loop.call_later(0, _nothing)

    def _signalled(self) -> None:
        if self._stopping:
            log.warning("stopped at once, by a second signal")
            self._clean = False
            self.loop.stop()
        else:
            log.info("stopping")
            self.stop()


def run(settings: ServerSettings) -> int:
    """Run a server with those settings until it is told to stop; return the exit code."""
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(message)s",
    )
    server = Server(settings)
    # In the first tick: signals are taken care of by then, so whoever reads the ready line may
    # stop the server at once.
    server.loop.call_later(0, lambda: _announce(server))
    # What there is by now stays: no collection of garbage has to go over it, for 3 ms and longer.
    # None went over it before either (cli.py): there is next to no garbage to be kept with it.
    gc.freeze()
    gc.enable()
    return server.run()


def _announce(server: Server) -> None:
    _say(f"selchat-server listening on {server.host}:{server.port}", sys.stdout)
    for line in hints(server.host, server.port):
        _say(line, sys.stderr)
    if server.tls is not None:
        _say(f"fingerprint of its certificate: {server.tls.fingerprint}", sys.stderr)
    if server.hub.state.accounts:
        scram.load()  # now, and not while somebody waits for a log-in


def _say(line: str, file: TextIO | None) -> None:
    """Print a line, if there is anybody to read it: a server lives on without."""
    if file is None:  # closed before the start; print() would take standard output for it
        return
    try:
        print(line, file=file, flush=True)
    except OSError as error:
        log.warning("%s cannot be written: %s", file.name, error.strerror)
        # What is still in its buffer would fail again when the process ends.
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), file.fileno())


def hints(host: str, port: int) -> list[str]:
    """What to tell the operator: where others reach this server, and what they type."""
    everywhere = host in ("[::]", "0.0.0.0")
    addresses = _outward(ipv6=host == "[::]") if everywhere else [host]
    commands = [f"selchat-client {address}:{port}" for address in addresses or ["localhost"]]
    if len(commands) == 1:
        return [f"others join with:  {commands[0]}"]
    return ["others join with one of:", *(f"    {command}" for command in commands)]


def _outward(ipv6: bool) -> list[str]:
    """The addresses of this machine that others can reach, IPv4 first."""
    # Imported here, because it is not needed where an address is given.
    import ifaddr

    four, six = [], []
    for adapter in ifaddr.get_adapters():
        for address in adapter.ips:
            if isinstance(address.ip, str):
                if not address.ip.startswith(("127.", "169.254.")):
                    four.append(address.ip)
            elif ipv6 and address.ip[0] != "::1" and not address.ip[0].startswith("fe80:"):
                six.append(f"[{address.ip[0]}]")
    return four + six


def _open_log(settings: ServerSettings) -> Log:
    if settings.store == "memory":
        from selchat.store.memory import MemoryLog  # late: seldom needed

        return MemoryLog(settings.memory_entries)
    return SqliteLog(data_folder(settings.data), full=settings.durability == "full")


def _open_tls(settings: ServerSettings) -> Tls | None:
    if settings.tls == "off":
        return None
    folder = data_folder(settings.data) if settings.store == "disk" else None
    return Tls(folder, settings.cert, settings.key)


def _join_password(settings: ServerSettings) -> str | None:
    path = settings.join_password_file
    if path is None:
        return None
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise StartError(f"join_password_file: {path} cannot be read: {why}") from None
    if not lines or not lines[0].strip():
        raise StartError(f"join_password_file: the first line of {path} is empty: write one")
    return lines[0].strip()


def _listen(settings: ServerSettings) -> list[socket.socket]:
    where = settings.host or "this machine"
    try:
        return listen(settings.host, settings.port, settings.backlog, settings.keepalive)
    except socket.gaierror as error:
        raise StartError(
            f"there is no host {where} ({error.strerror}): give --host an address of this machine"
        ) from None
    except PermissionError:
        raise StartError(
            f"port {settings.port} needs more rights: choose one above 1023 with --port"
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        if "in use" in reason:
            raise StartError(
                f"port {settings.port} is in use by another program: "
                "stop that one, or choose another port with --port"
            ) from None
        raise StartError(
            f"cannot listen on {where}, port {settings.port} ({reason}): "
            "give --host an address of this machine, or leave it out for all"
        ) from None


def _host(settings: ServerSettings, sockets: list[socket.socket]) -> str:
    """What the ready line calls the addresses that are listened on."""
    if settings.host is not None:
        return f"[{settings.host}]" if ":" in settings.host else settings.host
    return "[::]" if any(sock.family == socket.AF_INET6 for sock in sockets) else "0.0.0.0"


def _nothing() -> None:
    """A timer's only use can be that the loop ticks."""
