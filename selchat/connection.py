"""One connection: its stream, the tongue that it speaks, and the session that it carries.

It finds out the tongue, has commands carried out as they come, ends what does not log in in time
and what gives no sign of life, and holds back what its reader is not ready for (delivery.py).
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from selchat.certificate import Tls
from selchat.hub.catchup import Catchup
from selchat.hub.dispatch import TABLE, dispatch
from selchat.hub.hub import Hub
from selchat.hub.sessions import lost
from selchat.hub.state import Session
from selchat.loop import Loop, Timer
from selchat.model import events
from selchat.model.commands import Command, Hello
from selchat.settings import ServerSettings
from selchat.stream import Stream, Streams
from selchat.tls import TlsStream
from selchat.wire import Tongue
from selchat.wire.sniff import TLS, Refused, sniff

log = logging.getLogger(__name__)

_ALLOWANCE = 1_000
"""What one connection may ask for in a tick, in the costs of the dispatcher's table. The rest of
what it sent waits for the next tick, so that a chunk full of questions neither keeps the others
waiting nor makes more answers than a connection may have waiting."""


class House(Protocol):
    """What a connection uses of the server that it belongs to."""

    settings: ServerSettings
    loop: Loop
    streams: Streams
    hub: Hub
    tls: Tls | None

    def feed_later(self, connection: Connection) -> None:
        """Go on with it in the next tick: there is room, or it has more to ask."""

    def forget(self, connection: Connection) -> None:
        """It is closed."""


class Connection:
    """The owner of a `Stream`, and a `Peer` of the hub.

    While `catchup` is set, the reader is in the past: it is given entries from the log, not live
    ones, and `answers` holds, with the `seq` behind which each belongs, what it is to be answered
    on the way.
    """

    __slots__ = (
        "_alive",
        "_commands",
        "_house",
        "_near",
        "_pinged",
        "_refused",
        "_seen",
        "_timer",
        "answers",
        "catchup",
        "closing",
        "session",
        "stream",
        "tongue",
    )

    def __init__(self, house: House, sock: socket.socket, near: bool) -> None:
        """`near` says that the peer is on this machine."""
        self._house = house
        self._near = near
        self._alive = True
        self._commands: Iterator[Command | events.Error] | None = None
        self._pinged = False
        self._refused = 0
        self._seen = b""
        self.answers: deque[tuple[int, bytes]] | None = None
        self.catchup: Catchup | None = None
        self.closing = False
        self.session: Session | None = None
        self.tongue: Tongue | None = None
        self._timer: Timer | None = house.loop.call_later(
            house.settings.login_timeout, self._too_slow
        )
        self.stream: Stream | TlsStream = Stream(house.streams, sock, self)

    @property
    def bare(self) -> bool:
        """Whether its session ends with it."""
        return self.tongue is None or self.tongue.bare

    # From the stream

    def received(self, data: bytes) -> None:
        """Bytes came: have what they ask carried out."""
        self._alive = True
        if self.closing:
            return
        if self.tongue is None:
            data = self._seen + data
            kind = sniff(data)
            if kind is None:
                self._seen = data
                return
            self._seen = b""
            tls = self._house.tls
            if kind is TLS and tls is not None and isinstance(self.stream, Stream):
                self.stream = TlsStream(self.stream, self, tls.context)
                self.stream.received(data)
                return
            if isinstance(kind, Refused):
                self._refuse(kind)
                return
            self.tongue = kind(self._house.settings.line_limit)
            if (
                self._house.settings.tls == "required"
                and not self._near
                and isinstance(self.stream, Stream)
            ):
                self._want_tls()
                return
        self._commands = self.tongue.receive(data)
        self.work()

    def ended(self) -> None:
        """The peer has said all it will, and it is done: end the connection."""
        if not self.closing:
            said = self.bare and not (isinstance(self.stream, TlsStream) and self.stream.cut)
            lost(self._house.hub, self, events.QUIT if said else events.LOST)
            self._house.hub.close(self)

    def drained(self) -> None:
        """There is room for more: go on where the reader was."""
        self._house.feed_later(self)

    def closed(self, reason: str | None) -> None:
        """The connection is gone."""
        self.closing = True
        self._commands = None
        self._stop_timer()
        self._house.forget(self)
        if self.session is not None:
            log.debug("%s lost the connection: %s", self.session.user.name, reason)
            lost(self._house.hub, self, events.LOST)

    # What was asked

    def work(self) -> None:
        """Carry out what came, until the allowance of this tick is used up."""
        closing = self.closing
        if self._commands is None or closing:
            return
        hub = self._house.hub
        allowance = _ALLOWANCE
        for item in self._commands:
            if isinstance(item, events.Error):
                hub.answer(self, item)
                allowance -= 1
            else:
                dispatch(hub, self, item)
                allowance -= TABLE[type(item)].cost
                if self._refused >= 0:
                    self._log_in(item)
            if self.closing:
                break
            if allowance <= 0:
                self.stream.hold(True)
                self._house.feed_later(self)
                return
        self._commands = None

    def _log_in(self, command: Command) -> None:
        """After a command before the log-in: see whether it was one."""
        settings = self._house.settings
        if self.session is not None and self.tongue is not None:
            self._refused = -1
            self.tongue.welcomed()
            self._stop_timer()
            if self.tongue.pinged:
                self._timer = self._house.loop.call_later(settings.ping_after, self._look_alive)
        elif isinstance(command, Hello):
            self._refused += 1
            if self._refused > settings.name_attempts:
                self._last_words(
                    "too-many-attempts", "too many log-ins were refused: connect again"
                )

    # What is wrong

    def _refuse(self, kind: Refused) -> None:
        log.info("a connection that speaks %s was refused", kind.name)
        self.closing = True
        self._stop_timer()
        self.stream.write(kind.goodbye)
        self.stream.finish()

    def _want_tls(self) -> None:
        self._stop_timer()
        self._last_words(
            "tls-required",
            "this server wants TLS: use selchat-client, "
            "or openssl s_client -quiet -connect HOST:PORT",
        )

    def _too_slow(self) -> None:
        if self.tongue is None:
            self.closing = True
            self.stream.finish()
        else:
            seconds = self._house.settings.login_timeout
            self._last_words(
                "login-timeout", f"no log-in within {seconds:g} seconds: connect again"
            )

    def _look_alive(self) -> None:
        """Once in a while: ping a peer that was silent, end it if that was no use."""
        settings = self._house.settings
        delay = settings.ping_after
        if self._alive or self.stream.waiting or self.catchup is not None:
            # Who has unread output is slow, not gone, and would read the ping too late.
            self._alive = self._pinged = False
        elif self._pinged:
            self.lose("ping-timeout", "no sign of life: connect again")
            return
        else:
            self._pinged = True
            self._house.hub.answer(self, events.Ping())
            delay = settings.ping_timeout
        self._timer = self._house.loop.call_later(delay, self._look_alive)

    def lose(self, code: str, text: str) -> None:
        """End the connection, and tell its peer why: for its session it is a lost one."""
        if not self.closing:
            lost(self._house.hub, self, events.LOST)
            self._last_words(code, text)

    def _last_words(self, code: str, text: str) -> None:
        hub = self._house.hub
        hub.answer(self, events.Error(code=code, text=text))
        hub.close(self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
