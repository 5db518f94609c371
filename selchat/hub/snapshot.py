"""The state as bytes, so that a start need not apply the whole log again.

What has a default came with a later version: what an earlier one saved can be read still.
"""

from __future__ import annotations

import msgspec

from selchat.errors import StoreError
from selchat.hub.state import Account, Device, Exclusion, Invitation, Room, Session, State, User
from selchat.model import events, names
from selchat.scram import Verifier


class _Account(msgspec.Struct, array_like=True):
    verifier: Verifier
    admin: bool
    left: int
    devices: list[tuple[int, str, str]]  # number, token, last use


class _User(msgspec.Struct, array_like=True):
    id: int
    name: str
    online: bool
    rooms: list[str]  # keys, in the order in which the user entered them
    account: _Account | None = None
    blocked: list[int] = []
    silenced: list[str] = []


class _Session(msgspec.Struct, array_like=True):
    id: int
    user: int
    token: str | None
    present: bool | None = None  # None: as its user, who then had one session
    device: int = 0
    since: str = ""


class _Room(msgspec.Struct, array_like=True):
    key: str
    name: str
    topic: str
    members: list[int]
    private: bool = False
    roles: list[tuple[int, events.Role]] = []
    muted: list[int] = []
    invited: list[int] = []
    bans: list[tuple[int | str, str]] = []


class _Saved(msgspec.Struct):
    users: list[_User]
    sessions: list[_Session]
    rooms: list[_Room]
    exclusions: list[tuple[str, str, str]] = []  # network, until, by
    invitations: list[tuple[int, str, int, str]] = []  # number, word, uses, until


def dump(state: State) -> bytes:
    """The state as bytes; connections are no part of it."""
    return msgspec.json.encode(
        _Saved(
            [_dump_user(user) for user in state.users.values()],
            [
                _Session(one.id, one.user.id, one.token, one.present, one.device, one.since)
                for one in state.sessions.values()
            ],
            [_dump_room(room) for room in state.rooms.values()],
            [(network, one.until, one.by) for network, one in state.exclusions.items()],
            [(number, i.word, i.uses, i.until) for number, i in state.invitations.items()],
        )
    )


def _dump_user(user: User) -> _User:
    account = None
    if user.account is not None:
        devices = [(n, device.token, device.used) for n, device in user.account.devices.items()]
        account = _Account(user.account.verifier, user.account.admin, user.account.left, devices)
    blocked = sorted(other.id for other in user.blocked)
    return _User(
        user.id,
        user.name,
        user.online,
        list(user.rooms),
        account,
        blocked,
        sorted(user.silenced),
    )


def _dump_room(room: Room) -> _Room:
    return _Room(
        room.key,
        room.name,
        room.topic,
        [user.id for user in room.members],
        room.private,
        [(user.id, role) for user, role in room.roles.items()],
        sorted(user.id for user in room.muted),
        sorted(user.id for user in room.invited),
        list(room.bans.items()),
    )


def load(data: bytes) -> State:
    """The state that `dump` was given. Raises `StoreError` if `data` is something else."""
    try:
        saved = msgspec.json.decode(data, type=_Saved)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the saved state is damaged ({error}): restore a backup") from error
    state = State()
    for user in saved.users:
        _load_user(state, user)
    for one in saved.sessions:
        _load_session(state, one)
    for room in saved.rooms:
        _load_room(state, room)
    for user in saved.users:
        made = state.users[user.id]
        made.rooms = {key: state.rooms[key] for key in user.rooms}
        made.blocked = frozenset(state.users[other] for other in user.blocked)
        for other in made.blocked:
            other.blockers |= {made}
    for network, until, by in saved.exclusions:
        state.exclusions[network] = Exclusion(network, until, by)
    for number, word, uses, until in saved.invitations:
        state.invitations[number] = Invitation(word, uses, until)
    return state


def _load_user(state: State, saved: _User) -> None:
    user = state.users[saved.id] = User(saved.id, saved.name)
    user.silenced = frozenset(saved.silenced)
    if saved.account is not None:
        account = user.account = Account(saved.account.verifier)
        account.admin, account.left = saved.account.admin, saved.account.left
        for number, token, used in saved.account.devices:
            account.devices[number] = Device(token, used)
            state.devices[token] = user, number
        state.accounts[names.key(user.name)] = user
    if saved.online:
        state.names[names.key(user.name)] = user
    if saved.online or user.account is not None:
        state.looks[names.skeleton(user.name)] = user


def _load_session(state: State, saved: _Session) -> None:
    user = state.users[saved.user]
    session = state.sessions[saved.id] = Session(saved.id, user, saved.token)
    online = state.names.get(names.key(user.name)) is user
    session.present = online if saved.present is None else saved.present
    session.device, session.since = saved.device, saved.since
    user.sessions.append(session)
    user.present += session.present
    if saved.token is not None:
        state.tokens[saved.token] = session


def _load_room(state: State, saved: _Room) -> None:
    room = state.rooms[saved.key] = Room(saved.key, saved.name)
    room.topic, room.private = saved.topic, saved.private
    for identity in saved.members:
        room.members[state.users[identity]] = None
    room.roles = {state.users[identity]: role for identity, role in saved.roles}
    room.muted = frozenset(state.users[identity] for identity in saved.muted)
    room.invited = frozenset(state.users[identity] for identity in saved.invited)
    room.bans = dict(saved.bans)
    for user in (*room.roles, *room.muted, *room.invited):
        user.noted |= {room}
