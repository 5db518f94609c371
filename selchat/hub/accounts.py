"""Accounts: a name with a password, its sessions, and the clients that are remembered.

The server never needs the password itself: a client makes a verifier of it (SCRAM). Only from who
types text it takes the password, and then over TLS or on this machine alone.
"""

from __future__ import annotations

from secrets import token_bytes
from typing import TYPE_CHECKING

from selchat import scram
from selchat.addresses import place
from selchat.errors import Refusal
from selchat.hub import sessions
from selchat.hub.hub import Hub
from selchat.hub.login import check_password, later, prove
from selchat.hub.state import Account, Peer, Session, User
from selchat.model import commands, events
from selchat.model.commands import Command

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST = "(first_admin)"
"""Who acts in the audit log where that setting does."""


def register(hub: Hub, session: Session, command: commands.Register) -> None:
    """Make the name of the session's user an account."""
    user, peer = session.user, _peer(session)
    if user.account is not None:
        raise Refusal("already-registered", f"{user.name} is registered already: /passwd changes")
    _safe(peer)
    invitation = _invitation(hub, command.invitation)
    settings = hub.settings
    if len(hub.state.accounts) >= settings.accounts:
        raise Refusal("full", "this server takes no more accounts: ask its operator")
    now = hub.world.now() / 1000
    if not peer.exempt and hub.registrations.wait(place(peer.address), now):
        raise Refusal("too-many", "too many accounts were registered from your address: wait")

    def with_verifier(verifier: scram.Verifier) -> None:
        if not peer.exempt and not hub.registrations.allow(place(peer.address), now):
            raise Refusal("too-many", "too many accounts were registered from your address: wait")
        if invitation and invitation not in hub.state.invitations:
            raise Refusal("invitation-required", "that invitation was used by somebody else")
        first = not hub.state.accounts
        entry = hub.order(events.Registered, verifier, invitation, by=session)
        hub.note(user.name, "register")
        if first and settings.first_admin:
            hub.order(events.Admin, user.id, True, FIRST)
            hub.note(FIRST, "admin add", user.name)
        hub.done(session, command, entry)

    _verifier(hub, peer, command, command.verifier, command.password, with_verifier)


def _invitation(hub: Hub, word: str | None) -> int:
    """The number of the invitation that is used; 0 where none is needed. Refusals."""
    registration = hub.settings.registration
    if registration == "closed":
        raise Refusal("registration-closed", "nobody can register here: ask the operator")
    if registration == "open":
        return 0
    if not word:
        raise Refusal(
            "invitation-required",
            "it takes an invitation of the operator's: /register PASSWORD INVITATION",
        )
    hashed = sessions.hashed(word)
    for number, one in hub.state.invitations.items():
        if one.word == hashed and one.until > hub.time():
            return number
    raise Refusal(
        "invitation-required", "that invitation is not, or no more, good: ask for another"
    )


def passwd(hub: Hub, session: Session, command: commands.Passwd) -> None:
    """Take another password. Other sessions end, and no client is remembered any more."""
    user, peer = session.user, _peer(session)
    _account(user)
    _safe(peer)

    def proved() -> None:
        _verifier(hub, peer, command, command.verifier, command.new, with_verifier)

    def with_verifier(verifier: scram.Verifier) -> None:
        entry = hub.order(events.Changed, user.id, verifier, by=session)
        hub.note(user.name, "passwd")
        for other in tuple(user.sessions):
            if other is not session:
                _end(hub, other, "your password was changed from another session")
        hub.done(session, command, entry)

    if command.proof is not None:
        prove(hub, peer, user.name, command.proof)
        proved()
    elif command.old is None or not peer.bare:
        raise Refusal("usage", "type it like this: /passwd OLD NEW")
    else:
        check_password(hub, peer, command, user, command.old, proved)


def _verifier(
    hub: Hub,
    peer: Peer,
    command: Command,
    given: scram.Verifier | None,
    password: str | None,
    then: Callable[[scram.Verifier], None],
) -> None:
    """Go on with the verifier that a client made, or that is made of what was typed."""
    if given is not None:
        scram.check(given)
        then(given)
    elif password is None or not peer.bare:
        name = "passwd OLD NEW" if isinstance(command, commands.Passwd) else "register PASSWORD"
        raise Refusal("usage", f"type it like this: /{name}")
    else:
        salt = token_bytes(scram.SALT)
        what = scram.prepared(password, new=True), salt, scram.ITERATIONS
        later(
            hub,
            peer,
            command,
            what,
            lambda salted: then(scram.from_salted(salted, salt, scram.ITERATIONS)),
        )


def remember(hub: Hub, session: Session, command: commands.Remember) -> None:
    """Give this client a token to log in with from now on."""
    user, peer = session.user, _peer(session)
    account = _account(user)
    if peer.bare:
        raise Refusal("usage", "there is nothing to remember for who types text")
    if session.device:
        hub.order(events.Revoked, user.id, session.device, by=session)
    if len(account.devices) >= hub.settings.sessions_per_account:
        oldest = min(account.devices, key=lambda number: account.devices[number].used)
        hub.order(events.Revoked, user.id, oldest, by=session)
    token = hub.world.secret()
    hub.order(events.Device, sessions.hashed(token), by=session)
    hub.answer(session.peer, events.Remembered(command.id, token), command)


def logout(hub: Hub, session: Session, command: commands.Logout) -> None:
    """End the session, and forget the device that it came with."""
    peer = session.peer
    hub.expect_storing()
    _revoke(hub, session.user, session.device)
    sessions.end(hub, session, events.QUIT)
    if peer is not None:
        hub.answer(peer, events.Ok(command.id), command)
        hub.close(peer)


def list_(hub: Hub, session: Session, command: commands.Sessions) -> None:
    """List the sessions and devices of the asker, or end one of them."""
    if command.end is not None:
        _end_number(hub, session, command.end)
        hub.done(session, command)
        return
    user = session.user
    found = [
        events.Session(one.id, one.peer is not None, one.since, one is session, bool(one.device))
        for one in user.sessions
    ]
    used = {one.device for one in user.sessions}
    devices = user.account.devices if user.account is not None else {}
    found += [
        events.Session(number, False, device.used, device=True)
        for number, device in devices.items()
        if number not in used
    ]
    hub.answer(session.peer, events.Sessions(command.id, found), command)


def _end_number(hub: Hub, session: Session, number: int) -> None:
    user = session.user
    if number == session.id:
        raise Refusal("not-allowed", "that is this session: /logout ends it")
    hub.expect_storing()
    for other in user.sessions:
        if other.id == number:
            _revoke(hub, user, other.device)
            _end(hub, other, "it was ended from another session")
            return
    if user.account is None or number not in user.account.devices:
        raise Refusal("no-such-session", "you have no session of that number: /sessions lists them")
    _revoke(hub, user, number)


def _revoke(hub: Hub, user: User, device: int) -> None:
    if device:
        hub.order(events.Revoked, user.id, device)


def _end(hub: Hub, session: Session, why: str) -> None:
    peer = session.peer
    sessions.end(hub, session, events.QUIT)
    if peer is not None:
        hub.answer(peer, events.Error(code="session-ended", text=f"this session is over: {why}"))
        hub.close(peer)


def _peer(session: Session) -> Peer:
    assert session.peer is not None  # it has just asked for something
    return session.peer


def _safe(peer: Peer) -> None:
    if not peer.safe:
        raise Refusal("tls-required", "passwords are taken over TLS only: connect with it")


def _account(user: User) -> Account:
    if user.account is None:
        raise Refusal("account-required", f"{user.name} is not registered: /register PASSWORD")
    return user.account
