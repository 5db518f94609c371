"""The state as bytes, so that a start need not apply the whole log again."""

from __future__ import annotations

import msgspec

from selchat.errors import StoreError
from selchat.hub.state import Room, Session, State, User
from selchat.model import names


class _User(msgspec.Struct, array_like=True):
    id: int
    name: str
    online: bool
    rooms: list[str]  # keys, in the order in which the user entered them


class _Session(msgspec.Struct, array_like=True):
    id: int
    user: int
    token: str | None


class _Room(msgspec.Struct, array_like=True):
    key: str
    name: str
    topic: str
    members: list[int]


class _Saved(msgspec.Struct):
    users: list[_User]
    sessions: list[_Session]
    rooms: list[_Room]


def dump(state: State) -> bytes:
    """The state as bytes; connections are no part of it."""
    return msgspec.json.encode(
        _Saved(
            [_User(u.id, u.name, u.online, list(u.rooms)) for u in state.users.values()],
            [_Session(one.id, one.user.id, one.token) for one in state.sessions.values()],
            [
                _Room(room.key, room.name, room.topic, [user.id for user in room.members])
                for room in state.rooms.values()
            ],
        )
    )


def load(data: bytes) -> State:
    """The state that `dump` was given. Raises `StoreError` if `data` is something else."""
    try:
        saved = msgspec.json.decode(data, type=_Saved)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the saved state is damaged ({error}): restore a backup") from error
    state = State()
    for user in saved.users:
        made = state.users[user.id] = User(user.id, user.name)
        made.online = user.online
        if user.online:
            state.names[names.key(user.name)] = made
    for one in saved.sessions:
        user_of = state.users[one.user]
        session = state.sessions[one.id] = Session(one.id, user_of, one.token)
        user_of.sessions.append(session)
        if one.token is not None:
            state.tokens[one.token] = session
    for room in saved.rooms:
        known = state.rooms[room.key] = Room(room.key, room.name)
        known.topic = room.topic
        for identity in room.members:
            known.members[state.users[identity]] = None
    for user in saved.users:
        state.users[user.id].rooms = {key: state.rooms[key] for key in user.rooms}
    return state
