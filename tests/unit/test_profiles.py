"""Profiles: a file of them in, or one line that says what is wrong with it."""

from __future__ import annotations

import pytest

from selchat.client import profiles
from selchat.client.profiles import Profile
from selchat.errors import UsageError


def test_a_file_of_profiles() -> None:
    content = '[work]\nhost = "::1"\nport = 1\nuser = "ann"\nrooms = ["dev", "#ops"]\nbell = false'
    assert profiles.load("f", f"\ufeff{content}\n[empty]".encode()) == {
        "work": Profile(host="::1", port=1, user="ann", rooms=["dev", "#ops"], bell=False),
        "empty": Profile(),
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[a", "f: not TOML: "),
        (b"\xff", "f: byte 0 is not UTF-8"),
        (b'host = "h"', "f: host stands outside a profile; a profile begins with  [NAME]"),
        (b"[a]\nhsot = 1", "f: a: 'hsot' is no setting; did you mean host?"),
        (b"[a]\nqq = 1", "f: a: 'qq' is no setting; there are host, port, user, "),
        (b"[a]\nport = 0", "f: a: port: Expected `int` >= 1"),
        (b'[a]\nport = "9000"', "f: a: port: Expected `int`, got `str`"),
        (b"[a]\nrooms = [1]", "f: a: rooms: Expected `str`, got `int`"),
        (b'[a]\nrooms = ["a b"]', "f: a: a room's name is made of letters"),
        (b'[a]\nuser = "quit"', "f: a: the name quit means something else here"),
        (b'[a]\nhost = "a b"', "f: a: host: 'a b' is no host"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(content: bytes, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        profiles.load("f", content)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_every_setting_is_documented() -> None:
    rows = profiles.documentation()
    assert [key for key, _, _ in rows] == list(Profile.__struct_fields__)
    assert all(default and text.endswith(".") for _, default, text in rows)
