"""Sessions: log-in, resume, lost connections, and what users say of themselves."""

from __future__ import annotations

import hashlib

import selchat
from selchat.errors import Refusal, Trimmed
from selchat.hub.catchup import Catchup
from selchat.hub.hub import Hub, Resumed
from selchat.hub.state import Peer, Session
from selchat.model import commands, events
from selchat.model.clean import clean_line


def hello(hub: Hub, peer: Peer, command: commands.Hello) -> None:
    """Begin a session, or come back to one."""
    if peer.session is not None:
        raise Refusal("already-logged-in", f"you are {peer.session.user.name} already")
    if command.version != commands.VERSION:
        raise Refusal(
            "bad-version", f"version {commands.VERSION} is spoken here, not {command.version}"
        )
    if command.token is not None:
        _resume(hub, peer, command, command.token)
        return
    name = hub.free_name(command.user)
    token = None if peer.bare else hub.world.secret()
    entry = hub.order(events.Opened, name, token and _hashed(token), session=hub.log.newest + 1)
    session = hub.state.sessions[entry.seq]
    session.attach(peer)
    _welcome(hub, session, token, command)


def _resume(hub: Hub, peer: Peer, command: commands.Hello, token: str) -> None:
    session = hub.state.tokens.get(_hashed(token))
    if session is None:
        raise Refusal("session-expired", "that session is over: say hello without its token")
    newest = hub.log.newest
    after = newest if command.after is None else command.after
    if command.log not in (None, hub.log.id) or after > newest:
        raise Refusal(
            "log-changed", "this is not the log that you saw before: say hello without a token"
        )
    try:
        Catchup(hub.log, session, after, newest)
    except Trimmed:
        raise Refusal(
            "session-expired", "what you missed is no longer kept: say hello without a token"
        ) from None
    if not session.user.online:
        hub.order(events.Returned, hub.free_name(command.user), session=session.id)
    if session.timer is not None:
        session.timer.cancel()
        session.timer = None
    if session.peer is not None:
        old = session.peer
        hub.answer(old, events.Error(code="taken-over", text="your session goes on elsewhere"))
        hub.close(old)
    session.attach(peer)
    _welcome(hub, session, token, command)
    hub.out.append(Resumed(peer, session, after, hub.log.newest))


def _welcome(hub: Hub, session: Session, token: str | None, command: commands.Hello) -> None:
    user = session.user
    rooms = [room.name for room in user.rooms.values()]
    welcome = events.Welcome(
        user=user.name,
        token=token,
        seq=hub.log.newest,
        log=hub.log.id,
        version=selchat.__version__,
        line_limit=hub.settings.line_limit,
        rooms=rooms,
    )
    hub.answer(session.peer, welcome, command)


def quit_(hub: Hub, peer: Peer, command: commands.Quit) -> None:
    """End the session, if there is one, and the connection."""
    if peer.session is not None:
        _end(hub, peer.session, events.QUIT, for_good=True)
    hub.answer(peer, events.Ok(command.id), command)
    hub.close(peer)


def lost(hub: Hub, peer: Peer, reason: str) -> None:
    """A connection is over: `reason` is events.QUIT after the peer's end of input, else LOST.

    A bare session ends with it; a token session waits for its client to come back, for the grace,
    and after that its token waits on.
    """
    session = peer.session
    if session is None:
        return
    if session.token is None:
        _end(hub, session, reason, for_good=True)
    else:
        session.attach(None)
        _wait(hub, session)


def settle(hub: Hub) -> None:
    """After a start, or when the log can be written again: see to the sessions without connection.

    Bare ones are over; the grace and the life of tokens start anew.
    """
    for session in tuple(hub.state.sessions.values()):
        if session.peer is None and session.timer is None:
            if session.token is None:
                _end(hub, session, events.LOST, for_good=True)
            else:
                _wait(hub, session)


def _wait(hub: Hub, session: Session) -> None:
    """Give a token session without connection the time that it has."""
    if session.user.online:
        delay, then = hub.settings.grace, _grace_over
    else:
        delay, then = max(0.0, hub.settings.token_lifetime - hub.settings.grace), _token_over
    session.timer = hub.world.call_later(delay, lambda: then(hub, session))


def _grace_over(hub: Hub, session: Session) -> None:
    session.timer = None
    _end(hub, session, events.LOST, for_good=False)
    if not session.user.online:
        _wait(hub, session)


def _token_over(hub: Hub, session: Session) -> None:
    session.timer = None
    if hub.failing is None:
        hub.order(events.Gone, True, session=session.id)


def _end(hub: Hub, session: Session, reason: str, for_good: bool) -> None:
    session.attach(None)
    if hub.failing is not None:
        return  # `settle` will end it, when that can be stored
    # Who was taken out of its rooms by the server is told so when it comes back, so this is then
    # nobody's own doing.
    by = session.id if for_good else 0
    user = session.user
    for room in tuple(user.rooms.values()):
        entry = hub.order_in(room, session, events.Left, room.name, user.name, reason, by=by)
        hub.tell(entry, room.audience(), None)
    hub.order(events.Gone, for_good, session=session.id)


def nick(hub: Hub, session: Session, command: commands.Nick) -> None:
    """Take another name."""
    user = session.user
    name = hub.free_name(command.name, user)
    command.name = name
    old, entry = user.name, None
    if name != old:
        for room in tuple(user.rooms.values()):
            entry = hub.order_in(room, session, events.Renamed, room.name, old, name)
            hub.tell(entry, room.audience(), session.peer)
        if entry is None:  # in no room: nobody else is told, but the log must know
            entry = hub.order(events.Renamed, None, old, name, users=(user.id,), session=session.id)
    hub.done(session, command, entry)


def away(hub: Hub, session: Session, command: commands.Away) -> None:
    """Be away, or back: shown by `/who`, and to who writes a direct message."""
    reason = clean_line(command.text).strip() if command.text else ""
    if len(reason) > 200:
        raise Refusal("too-long", "a reason has at most 200 characters: say it shorter")
    session.user.away = command.text = reason or None
    hub.done(session, command)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
