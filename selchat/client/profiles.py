"""Profiles: what is always the same about one server and user, under a name, in a TOML file.

Nothing here reads the file: its bytes come in. A wrong one is a `UsageError` of one line.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import fields

from selchat.errors import Refusal, UsageError
from selchat.model import names
from selchat.settings import DEFAULT_PORT
from selchat.sources import is_host, parse_toml, shown

DEFAULT = "default"
"""The profile that counts where neither an address nor a profile is named."""


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of a profile."""

    host: Annotated[str, Meta(description="Where the server is: a name or an address.")] = (
        "localhost"
    )
    port: Annotated[int, Meta(ge=1, le=65_535, description="Its TCP port.")] = DEFAULT_PORT
    user: Annotated[str | None, Meta(description="Your name there; asked unless it is set.")] = None
    rooms: Annotated[list[str], Meta(description="Rooms to join at the start.")] = []
    bell: Annotated[
        bool, Meta(description="Ring the bell for direct messages and for your name.")
    ] = True
    color: Annotated[
        bool, Meta(description="Colours, unless NO_COLOR is set or the terminal has none.")
    ] = True
    linear: Annotated[bool, Meta(description="Linear mode, for screen readers and logs.")] = False
    history: Annotated[
        bool, Meta(description="Keep the lines that you type from one run to the next.")
    ] = True
    password_file: Annotated[
        str | None,
        Meta(description="File whose first line is your password; it is asked unless it is set."),
    ] = None
    join_password_file: Annotated[
        str | None, Meta(description="The same for the password of the server.")
    ] = None


def load(path: str, content: bytes) -> dict[str, Profile]:
    """The profiles of a file, by name. `path` is for the errors."""
    tables = parse_toml(path, content, "a profile begins with  [NAME]")
    return {name: _profile(f"{path}: {name}", table) for name, table in tables.items()}


def documentation() -> list[tuple[str, str, str]]:
    """Each setting of a profile: its key, its default in TOML, what it is."""
    rows = []
    for field in fields(Profile):
        value = [] if field.name == "rooms" else field.default
        default = "not set" if value is None else msgspec.json.encode(value).decode()
        (meta,) = field.type.__metadata__
        rows.append((field.name, default, str(meta.description)))
    return rows


def _profile(where: str, table: object) -> Profile:
    if not isinstance(table, dict):
        raise UsageError(f"{where} stands outside a profile; a profile begins with  [NAME]")
    known = [field.name for field in fields(Profile)]
    for key in table:
        if key not in known:
            meant = names.closest(key, known)
            hint = f"did you mean {meant}?" if meant else f"there are {', '.join(known)}"
            raise UsageError(f"{where}: {shown(key)} is no setting; {hint}")
    try:
        profile = convert(table, Profile)
    except ValidationError as error:
        why, _, at = str(error).partition(" - at `$.")
        key = at.partition("`")[0].partition("[")[0]
        raise UsageError(f"{where}: {key}: {why}") from None
    if not is_host(profile.host):
        raise UsageError(f"{where}: host: {shown(profile.host)} is no host; type a name or address")
    try:
        for room in profile.rooms:
            names.room(room)
        if profile.user is not None:
            names.user(profile.user)
    except Refusal as refusal:
        raise UsageError(f"{where}: {refusal.text}") from None
    return profile
