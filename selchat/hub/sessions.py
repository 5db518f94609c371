"""Sessions: log-in, resume, lost connections, and what users say of themselves."""

from __future__ import annotations

import hashlib

import selchat
from selchat.errors import Refusal, Trimmed
from selchat.hub.catchup import Catchup
from selchat.hub.hub import Hub, Resumed
from selchat.hub.state import Peer, Session, User
from selchat.model import commands, events
from selchat.model.clean import clean_line


def open_guest(hub: Hub, peer: Peer, hello: commands.Hello, command: commands.Command) -> None:
    """Begin a session of a new guest; `command` is answered."""
    name = hub.free_name(hello.user)
    token = None if peer.bare else hub.world.secret()
    entry = hub.order(events.Opened, name, token and hashed(token))
    session = hub.state.sessions[entry.seq]
    session.attach(peer)
    _welcome(hub, session, token, command)


def open_account(
    hub: Hub,
    peer: Peer,
    user: User,
    hello: commands.Hello,
    command: commands.Command,
    *,
    device: int = 0,
    proof: str | None = None,
) -> None:
    """Begin a session of an account that has shown who it is; `command` is answered.

    If none of its sessions has a connection, it is given what was said to it alone meanwhile.
    """
    account = user.account
    assert account is not None
    _make_place(hub, user)
    token = None if peer.bare else hub.world.secret()
    away = 0 if user.peers() else max(account.left, *(one.seen for one in user.sessions), 0)
    entry = hub.order(events.Opened, user.name, token and hashed(token), user.id, device)
    session = hub.state.sessions[entry.seq]
    session.attach(peer)
    hello.user = user.name
    _welcome(hub, session, token, command, proof)
    if away:
        hub.out.append(Resumed(peer, session, away, entry.seq, direct=True))


def _make_place(hub: Hub, user: User) -> None:
    """See that an account may have one more session: those that nobody uses go first."""
    while len(user.sessions) >= hub.settings.sessions_per_account:
        idle = next((one for one in user.sessions if one.peer is None), None)
        if idle is None:
            raise Refusal(
                "too-many-sessions",
                f"you have {len(user.sessions)} sessions: /sessions N ends one of them",
            )
        end(hub, idle, events.LOST)


def resume(hub: Hub, peer: Peer, command: commands.Hello, token: str) -> None:
    """Come back to the session with that token."""
    session = hub.state.tokens.get(hashed(token))
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
    user = session.user
    if not session.present:
        name = hub.free_name(command.user) if user.account is None else user.name
        hub.order(events.Returned, name, by=session)
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


def _welcome(
    hub: Hub,
    session: Session,
    token: str | None,
    command: commands.Command,
    proof: str | None = None,
) -> None:
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
        account=user.account is not None,
        proof=proof,
    )
    hub.answer(session.peer, welcome, command)


def quit_(hub: Hub, peer: Peer, command: commands.Quit) -> None:
    """End the session, if there is one, and the connection."""
    if peer.session is not None:
        end(hub, peer.session, events.QUIT)
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
        end(hub, session, reason)
    else:
        session.attach(None)
        session.seen = hub.log.newest
        _wait(hub, session)


def settle(hub: Hub) -> None:
    """After a start, or when the log can be written again: see to the sessions without connection.

    Bare ones are over; the grace and the life of tokens start anew.
    """
    for session in tuple(hub.state.sessions.values()):
        if session.peer is None and session.timer is None:
            if session.present and not session.seen:
                session.seen = hub.log.newest
            if session.token is None:
                end(hub, session, events.LOST)
            else:
                _wait(hub, session)


def _wait(hub: Hub, session: Session) -> None:
    """Give a token session without connection the time that it has."""
    if session.present:
        delay, then = hub.settings.grace, _grace_over
    else:
        delay, then = max(0.0, hub.settings.token_lifetime - hub.settings.grace), _token_over
    session.timer = hub.world.call_later(delay, lambda: then(hub, session))


def _grace_over(hub: Hub, session: Session) -> None:
    session.timer = None
    end(hub, session, events.LOST, for_good=False)
    if not session.present:
        _wait(hub, session)


def _token_over(hub: Hub, session: Session) -> None:
    session.timer = None
    if hub.failing is None:
        hub.order(events.Gone, True, by=session)


def end(
    hub: Hub,
    session: Session,
    reason: str,
    for_good: bool = True,
    by: Session | None = None,
    text: str = "",
) -> None:
    """End a session, or with `for_good` False only its presence. A guest leaves its rooms.

    `by` is the session that makes it end, if another one does.
    """
    seen = session.seen if session.peer is None else 0
    session.attach(None)
    if session.timer is not None:
        session.timer.cancel()
        session.timer = None
    if hub.failing is not None:
        return  # `settle` will end it, when that can be stored
    user = session.user
    if user.account is None and session.present:
        # Who was taken out of its rooms by the server is told so when it comes back, so this is
        # then nobody's own doing; nor is it where an admin asked for something else, who is to
        # be told as well.
        cause = session if for_good and by is None else None
        name = by.user.name if by is not None else None
        for room in tuple(user.rooms.values()):
            hub.order_in(room, events.Left, user.name, reason, name, text, by=cause, user=user)
    hub.order(events.Gone, for_good, seen, by=session)


def nick(hub: Hub, session: Session, command: commands.Nick) -> None:
    """Take another name."""
    user = session.user
    name = hub.free_name(command.name, user)
    command.name = name
    old, entry = user.name, None
    if name != old:
        for room in tuple(user.rooms.values()):
            entry = hub.order_in(room, events.Renamed, old, name, by=session, user=user)
        if entry is None:  # in no room: only its other sessions are told
            entry = hub.order(events.Renamed, None, old, name, users=(user.id,), by=session)
            hub.tell(entry, user.peers(), session.peer)
    hub.done(session, command, entry)


def away(hub: Hub, session: Session, command: commands.Away) -> None:
    """Be away, or back: shown by `/who`, and to who writes a direct message."""
    reason = clean_line(command.text).strip() if command.text else ""
    if len(reason) > 200:
        raise Refusal("too-long", "a reason has at most 200 characters: say it shorter")
    session.user.away = command.text = reason or None
    hub.done(session, command)


def hashed(token: str) -> str:
    """What is kept of a token: as it cannot be guessed, a plain hash is enough."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
