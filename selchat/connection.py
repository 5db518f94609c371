"""One connection: its stream, the tongue that it speaks, and the session that it carries.

It finds out the tongue, has commands carried out as they come and as fast as limits allow, ends
what does not log in in time and what gives no sign of life, and holds back what its reader is not
ready for (delivery.py).
"""

from __future__ import annotations

import logging
import socket
import sys
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Protocol

from selchat.certificate import Tls
from selchat.gate import Gate, Handshakes, Refusal
from selchat.hub.catchup import Catchup
from selchat.hub.dispatch import cost as cost_of
from selchat.hub.dispatch import dispatch, dispatch_posts
from selchat.hub.hub import Hub
from selchat.hub.sessions import lost
from selchat.hub.state import Session
from selchat.loop import Loop, Timer
from selchat.model import events
from selchat.model.commands import Command, Posts
from selchat.pace import Pace, Rates, Share
from selchat.scram import binding
from selchat.settings import ServerSettings
from selchat.stream import Stream, Streams
from selchat.tls import TlsStream, greeted
from selchat.wire import Tongue
from selchat.wire.sniff import TLS, Refused, sniff
from selchat.wire.text import Text

log = logging.getLogger(__name__)

_REFUSED_TIMEOUT = 5.0
"""Seconds that are waited for what a connection speaks, to tell it that it may not come in."""

LEAST = 10
"""What each session may ask for in a tick, in the costs of the dispatcher's table, even if nothing
is left of what all may: who says something does not wait in the queue. Log-ins, and what costs
more, do."""

_ANY = 1_000_000

_DEBT = 200
"""When so much more was used in a tick than all may use, what costs more than `LEAST` waits."""

_ERROR = 5
"""What an error takes from a sender's allowance: it is looked for what may have been meant."""

_NEW, _QUEUED, _SHAKING, _KNOWN = range(4)
"""How far a connection is: it has to say what it speaks, outside of TLS or inside; it waits for its
turn in TLS handshakes; it is in one; what it speaks is known."""


class House(Protocol):
    """What a connection uses of the server that it belongs to."""

    settings: ServerSettings
    loop: Loop
    streams: Streams
    hub: Hub
    tls: Tls | None
    gate: Gate
    handshakes: Handshakes
    rates: Rates
    share: Share

    def feed_later(self, connection: Connection) -> None:
        """Go on with it in the next tick: there is room, or it has more to ask."""

    def forget(self, connection: Connection) -> None:
        """It is closed."""


class Connection:
    """The owner of a `Stream`, and a `Peer` of the hub.

    While `catchup` is set, the reader is in the past: it is given entries from the log, not live
    ones, and `answers` holds, with the `seq` behind which each belongs, what it is to be answered
    on the way.

    `address` is the peer's; `exempt` says that limits per address, and rates, are not for it.
    `unwanted` is why it may not come in, and it is there only to be told so.
    """

    __slots__ = (
        "_alive",
        "_certificate",
        "_commands",
        "_house",
        "_hurry",
        "_pace",
        "_paused",
        "_phase",
        "_pinged",
        "_refused",
        "_rest",
        "_seen",
        "_timer",
        "address",
        "answers",
        "catchup",
        "closing",
        "exempt",
        "login",
        "session",
        "stream",
        "tongue",
        "unwanted",
    )

    def __init__(
        self,
        house: House,
        sock: socket.socket,
        address: str,
        exempt: bool,
        unwanted: Refusal | None = None,
    ) -> None:
        self._house = house
        self.address = sys.intern(address)
        self.exempt = exempt
        self.unwanted = unwanted
        self.login: object | None = None
        self._alive = True
        self._certificate = b""  # that of the server on this connection, in DER form
        self._hurry: Timer | None = None  # until it is known what it speaks
        self._pace: Pace | None = None  # once it has asked for something
        self._paused = False  # while a password is being computed
        self._phase = _NEW
        self._rest: Timer | None = None  # while it is over its rates
        self._commands: Iterator[Command | Posts | events.Error] | None = None
        self._pinged = False
        self._refused = 0
        self._seen = b""
        self.answers: deque[tuple[int, bytes]] | None = None
        self.catchup: Catchup | None = None
        self.closing = False
        self.session: Session | None = None
        self.tongue: Tongue | None = None
        self._timer: Timer | None = house.loop.call_later(
            house.settings.login_timeout if unwanted is None else _REFUSED_TIMEOUT, self._too_slow
        )
        self.stream: Stream | TlsStream = Stream(house.streams, sock, self)

    @property
    def bare(self) -> bool:
        """Whether its session ends with it."""
        return self.tongue is None or self.tongue.bare

    @property
    def near(self) -> bool:
        """Whether the peer is on this machine."""
        return self.address == "::1" or self.address.startswith("127.")

    @property
    def secured(self) -> bool:
        """Whether it is inside TLS."""
        return isinstance(self.stream, TlsStream)

    @property
    def safe(self) -> bool:
        """Whether nobody on the way can read what it says."""
        return self.near or self.secured

    @property
    def binding(self) -> bytes | None:
        """What binds a log-in to this TLS connection."""
        return binding(self._certificate) if self._certificate else None

    # From the hub

    def pause(self) -> None:
        """Carry out no further command until `go_on`."""
        self._paused = True

    def go_on(self) -> None:
        """What it waited for is there."""
        self._paused = False
        if not self.closing:
            self._log_in()
            self._house.feed_later(self)

    def expect_secret(self, secret: bool) -> None:
        """Whether the next line is a password."""
        if self.tongue is not None:
            self.tongue.expect_secret(secret)

    def login_refused(self) -> None:
        """A log-in was refused: too many, and the connection ends."""
        self._refused += 1
        if self._refused > self._house.settings.name_attempts and not self.closing:
            self._last_words("too-many-attempts", "too many log-ins were refused: connect again")

    # From the stream

    def received(self, data: bytes) -> None:
        """Bytes came: have what they ask carried out."""
        self._alive = True
        if self.closing:
            return
        if self.tongue is None:
            self._find_out(self._seen + data)
            return
        commands = self.tongue.receive(data) if self.exempt else self._ask(self.tongue, data)
        if self._rest is None and not self._paused:
            if self._carry_out(commands, False) and not self.stream.held:
                return  # it is read on, as nearly always
        else:
            self._commands = commands
        self.listen()

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
        self._in_no_hurry()
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        self._house.handshakes.end(self)
        self._house.forget(self)
        if self.session is not None:
            log.debug("%s lost the connection: %s", self.session.user.name, reason)
            lost(self._house.hub, self, events.LOST)

    # What it speaks

    def _find_out(self, data: bytes) -> None:
        kind = sniff(data)
        wants_tls = kind is TLS and self._house.tls is not None and not self.secured
        if kind is None or (wants_tls and not greeted(data)):
            self._wait_for_more(data)
            return
        if wants_tls:
            self._wait_for_more(data)
            if self._house.handshakes.begin(self):
                self.shake_hands()
            else:
                self._phase = _QUEUED
                self.listen()
            return
        self._seen = b""
        self._in_no_hurry()
        self._phase = _KNOWN
        if isinstance(kind, Refused):
            self._refuse(kind)
            return
        self.tongue = kind(self._house.settings.line_limit)
        if self.unwanted is not None:
            self._stop_timer()
            self._last_words(*self.unwanted)
        elif self._house.settings.tls == "required" and not self.safe:
            self._want_tls()
        else:
            self._commands = self._ask(self.tongue, data)
            self.work()

    def _wait_for_more(self, data: bytes) -> None:
        self._seen = data
        if self._hurry is None:
            seconds = self._house.settings.handshake_timeout
            self._hurry = self._house.loop.call_later(seconds, self._too_slow)

    def shake_hands(self) -> None:
        """Begin the TLS handshake that the peer wants: it is its turn."""
        if self.closing or self._house.tls is None or not isinstance(self.stream, Stream):
            return
        self._phase = _SHAKING
        data, self._seen = self._seen, b""
        self._certificate = self._house.tls.certificate
        self.stream = TlsStream(self.stream, self, self._house.tls.context, secured=self._secured)
        self.stream.received(data)
        self.listen()

    def _secured(self) -> None:
        self._house.handshakes.end(self)
        self._in_no_hurry()
        self._phase = _NEW

    def _in_no_hurry(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None

    # What was asked

    def work(self, turn: bool = False) -> None:
        """Carry out what came, as far as this tick and the rates allow; then read on, or not.

        With its `turn` it gets on, by one command at least, whatever that costs.
        """
        free = self._rest is None and not self._paused
        if self._commands is not None and not self.closing and free:
            self._carry_out(self._commands, turn)
        self.listen()

    def listen(self) -> None:
        """Read the peer, unless there is a reason not to. These are all:"""
        held = (
            self.catchup is not None  # what it asks would be answered in the past
            or self._commands is not None  # it asked for more than is allowed in a tick,
            or self._rest is not None  # or for more than its rates allow
            or self._paused  # a password is being computed
            or self._phase == _QUEUED  # others shake hands first
        )
        if held is not self.stream.held:
            self.stream.hold(held)

    def _ask(self, tongue: Tongue, data: bytes) -> Iterator[Command | Posts | events.Error]:
        if not self.exempt:
            if self._pace is None:
                self._pace = Pace(self._house.rates, self._house.loop.clock())
            self._pace.take_bytes(len(data))
        return tongue.receive(data)

    def _carry_out(self, commands: Iterator[Command | Posts | events.Error], turn: bool) -> bool:
        """Do what may be done now; True if that was all, and it may ask for more at once."""
        house = self._house
        hub, share = house.hub, house.share
        allowed, dearest = share.left // share.among, _ANY
        if allowed < LEAST or self._pace is not None:
            allowed, dearest = self._limited(allowed, turn)
        used = 0
        self._commands = None
        for item in commands:
            cost = len(item.texts) if isinstance(item, Posts) else _cost(item)
            if cost > dearest:
                self._commands = chain((item,), commands)
                break
            if isinstance(item, Posts):
                dispatch_posts(hub, self, item)
            elif isinstance(item, events.Error):
                hub.answer(self, item)
            else:
                dispatch(hub, self, item)
                if self._refused >= 0:
                    self._log_in()
            used += cost
            if self.closing:
                return False
            if used >= allowed or self._paused:
                self._commands = commands
                break
        share.left -= used
        if self._pace is not None:
            self._pay(self._pace, used)
        if self._commands is None and self._rest is None:
            return True
        if self._rest is None and not self._paused:
            house.feed_later(self)
        return False

    def _limited(self, allowed: int, turn: bool) -> tuple[int, int]:
        """What it may use up now, of what the tick and its rates leave; and what one command of it
        may cost. The last one may overdraw either.
        """
        house, pace = self._house, self._pace
        dearest = _ANY
        if not turn and allowed <= 0:
            dearest = 0 if self.session is None else LEAST if allowed <= -_DEBT else _ANY
        allowed = max(allowed, LEAST)
        if pace is not None:
            # At least one, as whoever is in debt would not be here.
            allowed = min(allowed, int(pace.left(house.rates, house.loop.clock())) + 1)
        return allowed, dearest

    def _pay(self, pace: Pace, used: int) -> None:
        """Rest, where that was more than its rates allow."""
        house = self._house
        if rest := pace.spend(house.rates, used):
            self._rest = house.loop.call_later(rest, self._rested)

    def _rested(self) -> None:
        self._rest = None
        self._house.feed_later(self)

    def _log_in(self) -> None:
        """After a command before the log-in: see whether it was one."""
        settings = self._house.settings
        if self._refused >= 0 and self.session is not None and self.tongue is not None:
            self._refused = -1
            self.tongue.welcomed()
            self._stop_timer()
            if self.tongue.pinged:
                self._timer = self._house.loop.call_later(settings.ping_after, self._look_alive)

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
        self._in_no_hurry()
        if self.unwanted is not None and self._phase == _NEW and not self._seen:
            self.tongue = Text(self._house.settings.line_limit)  # the others speak first
            self._last_words(*self.unwanted)
        elif self.tongue is None:
            self.closing = True
            self._stop_timer()
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
        if self._alive or self.stream.waiting or self.stream.held:
            # Who has unread output is slow, not gone, and would read the ping too late; and whom
            # we do not read cannot answer it.
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


def _cost(item: Command | events.Error) -> int:
    """What it takes from a sender's allowance."""
    return _ERROR if isinstance(item, events.Error) else cost_of(item) or 1
