"""What the admins of the server do, and its operator: keep people out, let them in, tell all."""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from selchat.errors import Refusal
from selchat.hub import sessions
from selchat.hub.hub import Hub, is_admin, rfc3339
from selchat.hub.roles import reason
from selchat.hub.state import Peer, Session, User
from selchat.model import commands, events, names
from selchat.model.clean import clean_line

_TEXT = 2_000
"""Characters of an announcement."""

OPERATOR = "(operator)"
"""Who acts in the audit log where the server's own user does, at its machine.
In parentheses, as no name is."""


def kill(hub: Hub, session: Session, command: commands.Kill) -> None:
    """End the sessions of a user."""
    user = hub.user(command.user)
    if user is session.user or is_admin(user):
        raise Refusal("not-allowed", f"{user.name} is an admin: the operator can change that")
    command.user, command.text = user.name, reason(command.text)
    hub.expect_storing()
    remove(hub, session, user, command.text)
    hub.done(session, command)


def remove(hub: Hub, session: Session, user: User, text: str) -> None:
    """End all sessions of a user, and tell it why."""
    why = f"you were removed by {session.user.name}" + (f": {text}" if text else "")
    for other in tuple(user.sessions):
        peer = other.peer
        sessions.end(hub, other, events.KILLED, by=session, text=text)
        if peer is not None:
            _goodbye(hub, peer, why)


def _goodbye(hub: Hub, peer: Peer, why: str) -> None:
    hub.answer(peer, events.Error(code="removed", text=why))
    hub.close(peer)


def announce(hub: Hub, session: Session, command: commands.Announce) -> None:
    """Say something to everybody who is there."""
    text = clean_line(command.text).strip()
    if not text:
        raise Refusal("empty", "type the text: /announce TEXT")
    if len(text) > _TEXT:
        raise Refusal("too-long", f"an announcement has at most {_TEXT} characters: say it shorter")
    command.text = text
    notice = events.Notice("announcement", f"{session.user.name} to all: {text}")
    for other in hub.state.sessions.values():
        hub.answer(other.peer, notice)
    hub.done(session, command)


def ban_address(hub: Hub, session: Session, command: commands.BanAddress) -> None:
    """Let nobody connect from a network, for some hours or for ever; who is there has to go."""
    network = _network(command.network)
    own = session.peer.address if session.peer is not None else ""
    if any(_in(one, network) for one in (own, "127.0.0.1", "::1")) or network.is_loopback:
        raise Refusal("not-allowed", f"{network} is where you are, or this machine: choose another")
    if len(hub.state.exclusions) >= hub.settings.bans_per_room:
        _drop_expired(hub)
    if len(hub.state.exclusions) >= hub.settings.bans_per_room:
        raise Refusal("too-many", "too many addresses are banned: /unban-address one first")
    until = ""
    if command.hours is not None:
        until = rfc3339(datetime.fromisoformat(hub.time()) + timedelta(hours=command.hours))
    command.network = str(network)
    by = session.user.name
    entry = hub.order(events.Excluded, str(network), until, True, by, by=session)
    for other in tuple(hub.state.sessions.values()):
        peer = other.peer
        if peer is not None and _in(peer.address, network):
            sessions.end(hub, other, events.KILLED, by=session)
            _goodbye(hub, peer, "connections from your address are not wanted here")
    hub.done(session, command, entry)


def unban_address(hub: Hub, session: Session, command: commands.UnbanAddress) -> None:
    """Let a network connect again."""
    network = str(_network(command.network))
    if network not in hub.state.exclusions:
        shown = ", ".join(list(hub.state.exclusions)[:10]) or "none"
        raise Refusal("not-banned", f"{network} is not banned: {shown}")
    command.network = network
    entry = hub.order(events.Excluded, network, "", False, session.user.name, by=session)
    hub.done(session, command, entry)


def excluded(hub: Hub, address: str) -> bool:
    """Whether nobody may connect from that address."""
    exclusions = hub.state.exclusions
    if not exclusions or not address:
        return False
    now = hub.time()
    return any(
        _in(address, one.network) and (not one.until or one.until > now)
        for one in exclusions.values()
    )


def _drop_expired(hub: Hub) -> None:
    now = hub.time()
    for network, one in tuple(hub.state.exclusions.items()):
        if one.until and one.until <= now:
            hub.order(events.Excluded, network, "", False, OPERATOR)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        raise Refusal(
            "bad-address", "name an address or a network, such as 192.0.2.7 or 192.0.2.0/24"
        ) from None


def _in(address: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        return ip_address(address.partition("%")[0]) in network
    except ValueError:
        return False


# For the operator, at the server's own machine


def make_admin(hub: Hub, name: str, on: bool) -> User:
    """Let an account see to the whole server, or no more. Refusal `no-such-user`."""
    user = hub.state.accounts.get(names.key(name.removeprefix("@")))
    if user is None or user.account is None:
        known = ", ".join(one.name for one in list(hub.state.accounts.values())[:10])
        raise Refusal(
            "no-such-user",
            f"{name} is no account: it has to /register first"
            + (f" (known: {known})" * bool(known)),
        )
    if user.account.admin is not on:
        hub.order(events.Admin, user.id, on, OPERATOR)
        hub.note(OPERATOR, "admin add" if on else "admin remove", user.name)
    return user


def admins(hub: Hub) -> list[str]:
    """The names of the admins."""
    return [user.name for user in hub.state.accounts.values() if is_admin(user)]


def invitation(hub: Hub, uses: int, days: float) -> str:
    """Make an invitation: the word that lets so many accounts be registered in that time."""
    now = hub.time()
    for number, one in tuple(hub.state.invitations.items()):
        if one.until <= now:
            hub.order(events.Withdrawn, number)
    if len(hub.state.invitations) >= hub.settings.bans_per_room:
        raise Refusal("too-many", "there are too many invitations that nobody used yet")
    word = hub.world.secret()
    until = rfc3339(datetime.fromisoformat(now) + timedelta(days=days))
    hub.order(events.Invitation, sessions.hashed(word), uses, until)
    hub.note(OPERATOR, "invite", text=f"{uses} until {until}")
    return word
