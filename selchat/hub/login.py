"""Who somebody is: a guest by a name that is free, an account by its password or its device.

    hello ─ token ──────────> the session goes on (sessions.py)
          ─ device ─────────> a session of the account
          ─ auth ─> challenge ─ auth ─> a session of the account: SCRAM, the password stays there
          ─ a name that is registered ─> in text: the next line is its password; else refused
          ─ a name that is free ─> a guest, where the server has a password after that

A password is never checked here: SCRAM takes some microseconds, and what a reader of text types is
computed in another process, for which its connection pauses. Who guesses wrong has to wait, each
time longer; waiting is per address and account, so that nobody can lock an owner out.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from math import ceil
from typing import Literal

from selchat import scram
from selchat.addresses import place
from selchat.errors import Refusal
from selchat.hub import sessions
from selchat.hub.admin import excluded
from selchat.hub.hub import Hub, not_stored
from selchat.hub.state import Peer, User
from selchat.model import commands, events, names
from selchat.model.commands import Command


class Login:
    """A log-in that is under way on a connection: what was said, and what is waited for."""

    __slots__ = ("command", "exchange", "wanted")

    def __init__(
        self,
        command: commands.Hello | None,
        wanted: Literal["password", "server", "proof"],
        exchange: scram.Server | None = None,
    ) -> None:
        self.command = command
        self.wanted = wanted
        self.exchange = exchange


def hello(hub: Hub, peer: Peer, command: commands.Hello) -> None:
    """Begin a session, or come back to one."""
    if peer.session is not None:
        raise Refusal("already-logged-in", f"you are {peer.session.user.name} already")
    peer.login = None
    if command.version != commands.VERSION:
        raise Refusal(
            "bad-version", f"version {commands.VERSION} is spoken here, not {command.version}"
        )
    if excluded(hub, peer.address):
        raise Refusal("banned", "connections from your address are not wanted here")
    if command.token is not None:
        sessions.resume(hub, peer, command, command.token)
    elif command.device is not None:
        _by_device(hub, peer, command, command.device)
    elif command.auth is not None:
        names.user(command.user)  # a refusal for what can be none, before it is remembered
        _challenge(hub, peer, command, command.user, command.auth, command)
    elif (user := hub.state.accounts.get(names.key(command.user))) is not None:
        _want_password(hub, peer, command, user)
    else:
        _guest(hub, peer, command)


def auth(hub: Hub, peer: Peer, command: commands.Auth) -> None:
    """Go on with a log-in by password; or, when logged in, prove to know it (see `passwd`)."""
    if peer.session is not None:
        user = peer.session.user
        if user.account is None:
            raise Refusal("account-required", "you have no password yet: register first")
        _challenge(hub, peer, command, user.name, command.data, None)
        return
    login, peer.login = peer.login, None
    if not isinstance(login, Login) or login.exchange is None or login.command is None:
        raise Refusal("not-logged-in", "say who you are first: hello")
    name = login.command.user
    proof = _proved(hub, peer, name, login.exchange, command.data)
    user = _account(hub, name)
    sessions.open_account(hub, peer, user, login.command, command, proof=proof)


def secret(hub: Hub, peer: Peer, command: commands.Secret) -> None:
    """Take a line for the password that was asked for."""
    login = peer.login
    if not isinstance(login, Login) or login.command is None:
        raise Refusal("not-logged-in", "say who you are first")
    peer.expect_secret(True)  # the next line too, unless this one is right
    if login.wanted == "server":
        _check_join_password(hub, peer, command.text)
        peer.login = None
        peer.expect_secret(False)
        sessions.open_guest(hub, peer, login.command, login.command)
        return
    user = _account(hub, login.command.user)
    hello = login.command

    def right() -> None:
        peer.login = None
        peer.expect_secret(False)
        sessions.open_account(hub, peer, user, hello, hello)

    check_password(hub, peer, command, user, command.text, right)


# Guests


def _guest(hub: Hub, peer: Peer, command: commands.Hello) -> None:
    settings = hub.settings
    if not settings.guests and settings.registration == "closed":
        raise Refusal("account-required", "only who has an account may talk here: ask its operator")
    if hub.password is not None:
        hub.free_name(command.user)
        if command.join_password is not None:
            _check_join_password(hub, peer, command.join_password)
        elif peer.bare and peer.safe:
            peer.login = Login(command, "server")
            peer.expect_secret(True)
            hub.answer(peer, events.Wanted("server"), command)
            return
        else:
            raise Refusal("join-password-required", "this server has a password: give it, too")
    sessions.open_guest(hub, peer, command, command)


def _check_join_password(hub: Hub, peer: Peer, given: str) -> None:
    if not peer.safe:
        raise Refusal("tls-required", "a password is taken over TLS only: connect with it")
    _wait(hub, peer, "")
    if not hmac.compare_digest(given.encode(errors="replace"), (hub.password or "").encode()):
        _failed(hub, peer, "")
        raise Refusal("wrong-credential", "that is not the password of this server: try again")
    hub.delays.succeeded(place(peer.address), "")


# Accounts


def _by_device(hub: Hub, peer: Peer, command: commands.Hello, token: str) -> None:
    if not peer.safe:
        raise Refusal("tls-required", "accounts log in over TLS only: connect with it")
    found = hub.state.devices.get(sessions.hashed(token))
    if found is not None:
        user, number = found
        account = user.account
        assert account is not None
        fresh = _age(hub, account.devices[number].used) < timedelta(
            days=hub.settings.device_lifetime
        )
        if fresh and names.key(command.user) == names.key(user.name):
            sessions.open_account(hub, peer, user, command, command, device=number)
            return
    raise Refusal(
        "device-unknown", "this client is not remembered any more: log in with a password"
    )


def _age(hub: Hub, at: str) -> timedelta:
    return datetime.fromisoformat(hub.time()) - datetime.fromisoformat(at)


def _want_password(hub: Hub, peer: Peer, command: commands.Hello, user: User) -> None:
    if not peer.bare:
        raise Refusal("registered", f"{user.name} is registered: log in with its password")
    if not peer.safe:
        raise Refusal(
            "tls-required",
            f"{user.name} is registered, and its password is taken over TLS only: "
            "use selchat-client or openssl s_client, or choose another name",
        )
    peer.login = Login(command, "password")
    peer.expect_secret(True)
    hub.answer(peer, events.Wanted("password", user.name), command)


def _challenge(
    hub: Hub,
    peer: Peer,
    command: Command,
    name: str,
    data: str,
    hello: commands.Hello | None,
) -> None:
    """Answer the first word of SCRAM. Whether there is such an account shows in nothing."""
    _wait(hub, peer, name)
    user = hub.state.accounts.get(names.key(name))
    verifier = user.account.verifier if user is not None and user.account is not None else None
    exchange = scram.Server(name, verifier, hub.log.secret, peer.binding)
    try:
        answer = exchange.first(data)
    except Refusal as refusal:
        if refusal.code == "wrong-credential":
            _failed(hub, peer, name)
        raise
    peer.login = Login(hello, "proof", exchange)
    hub.answer(peer, events.Challenge(command.id, answer), command)


def prove(hub: Hub, peer: Peer, name: str, data: str) -> None:
    """Whether the last word of SCRAM is right, after `auth` in a session. Refusals."""
    login, peer.login = peer.login, None
    if not isinstance(login, Login) or login.exchange is None or login.command is not None:
        raise Refusal("bad-credential", "ask for a challenge first: auth")
    _proved(hub, peer, name, login.exchange, data)


def _proved(hub: Hub, peer: Peer, name: str, exchange: scram.Server, data: str) -> str:
    _wait(hub, peer, name)  # many exchanges could have been begun at once
    try:
        proof = exchange.final(data)
    except Refusal:
        _failed(hub, peer, name)
        raise
    hub.delays.succeeded(place(peer.address), names.key(name))
    return proof


def check_password(
    hub: Hub, peer: Peer, command: Command, user: User, password: str, right: Callable[[], None]
) -> None:
    """Call `right` in a later tick if that is the password of `user`; else refuse `command`."""
    account = user.account
    assert account is not None
    verifier = account.verifier
    _wait(hub, peer, user.name)
    try:
        prepared = scram.prepared(password)
    except Refusal:  # what cannot be a password is none
        prepared = b""

    def derived(salted: bytes) -> None:
        _wait(hub, peer, user.name)  # many could have been asked for at once
        if not (prepared and scram.fits(verifier, salted)) or account.verifier is not verifier:
            _failed(hub, peer, user.name)
            raise Refusal(
                "wrong-credential",
                f"that is not the password of {user.name}: type it again, "
                "or connect anew to take another name",
            )
        hub.delays.succeeded(place(peer.address), names.key(user.name))
        right()

    later(hub, peer, command, (prepared or b"?", verifier.salt, verifier.iterations), derived)


def later(
    hub: Hub,
    peer: Peer,
    command: Command,
    what: tuple[bytes, bytes, int],
    then: Callable[[bytes], None],
) -> None:
    """Have a password derived, and go on with `then`; the connection pauses until then."""
    session = peer.session

    def derived(salted: bytes | None) -> None:
        try:
            if peer.closing or peer.session is not session:
                return
            if hub.stale:
                raise not_stored(hub.failing or "")
            if salted is None:
                raise Refusal("busy", "too many passwords are being checked: try again soon")
            then(salted)
        except Refusal as refusal:
            refuse(hub, peer, command, refusal)
        finally:
            peer.go_on()

    peer.pause()
    hub.world.derive(*what, derived)


def refuse(hub: Hub, peer: Peer, command: Command, refusal: Refusal) -> None:
    """Tell a connection that its command is not carried out."""
    hub.answer(peer, events.Error(command.id, refusal.code, refusal.text), command)
    if isinstance(command, commands.Hello | commands.Auth | commands.Secret):
        peer.login_refused()


def _account(hub: Hub, name: str) -> User:
    """The account of a name that a log-in has begun with: it may have gone since."""
    user = hub.state.accounts.get(names.key(name))
    if user is None:
        raise Refusal("wrong-credential", "the name or the password is wrong: try again")
    return user


def _wait(hub: Hub, peer: Peer, name: str) -> None:
    """Refuse who has guessed wrong until some time has passed."""
    if peer.exempt:
        return
    wait = hub.delays.wait(place(peer.address), names.key(name), hub.world.now() / 1000)
    if wait > 0:
        raise Refusal("wait", f"too many wrong passwords: try again in {ceil(wait)} seconds")


def _failed(hub: Hub, peer: Peer, name: str) -> None:
    if hub.suspicions.allow(place(peer.address), hub.world.now() / 1000):
        hub.note(peer.address, "wrong password", name)
    if not peer.exempt:
        hub.delays.failed(place(peer.address), names.key(name), hub.world.now() / 1000)
