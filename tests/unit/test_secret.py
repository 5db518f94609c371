"""A password is typed and taken back, and is nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.client.buffer import Request
from selchat.client.keys import Key
from selchat.client.secret import LONGEST, Secret
from tests.unit.test_editor import NAMES


def answer(*keys: Key) -> tuple[list[str | None], list[Request | None]]:
    """What is told when these are pressed and the question is closed where it is over."""
    told: list[str | None] = []
    secret = Secret("Password: ", told.append)
    asked = []
    for key in keys:
        asked.append(secret.press(key))
        if asked[-1] in (Request.SUBMIT, Request.END):
            secret.close()
            break
    return told, asked


def text(typed: str) -> Key:
    return Key("text", typed)


ENTER = Key("enter")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ([text("secret"), ENTER], "secret"),
        ([text("s"), text("ecret"), ENTER], "secret"),
        ([text("secreet"), Key("backspace"), Key("backspace"), text("t"), ENTER], "secret"),
        ([text("other"), Key("ctrl-u"), text("secret"), ENTER], "secret"),
        ([Key("paste", "secret\r\n"), ENTER], "secret"),
        ([Key("paste", "two\rlines"), text("secret"), ENTER], "secret"),
        ([text(" with spaces "), ENTER], " with spaces "),
        ([text("secret"), Key("escape")], None),
        ([text("secret"), Key("ctrl-c")], None),
        ([text("secret"), Key("ctrl-g")], None),
        ([Key("ctrl-d")], None),
        ([ENTER, Key("ctrl-d")], None),
        ([text("secret"), Key("ctrl-d"), ENTER], "secret"),
        ([text("se"), Key("ctrl-d"), Key("ctrl-u"), Key("ctrl-d")], None),
    ],
)
def test_what_is_typed_is_told(keys: list[Key], told: str | None) -> None:
    assert answer(*keys)[0] == [told]


@pytest.mark.parametrize(
    "key",
    [
        *("ctrl-y", "alt-y", "ctrl-_", "up", "down", "ctrl-r", "tab", "left", "ctrl-z", "unknown"),
        *("backspace", "enter"),
    ],
)
def test_nothing_brings_anything_back_or_shows_it(key: str) -> None:
    told, asked = answer(Key(key))
    assert told == []
    assert asked == [Request.RING]


def test_what_is_too_long_is_not_taken() -> None:
    told, asked = answer(text("a" * LONGEST), text("b"), Key("paste", "c" * LONGEST), ENTER)
    assert told == ["a" * LONGEST]
    assert asked == [None, Request.RING, Request.RING, Request.SUBMIT]


@given(
    st.lists(
        st.one_of(
            st.sampled_from([*NAMES, "ctrl-c"]).map(Key),
            st.text(max_size=9).map(text),
            st.text(max_size=9).map(lambda pasted: Key("paste", pasted)),
        ),
        max_size=20,
    )
)
def test_whatever_is_pressed_it_is_told_once_and_does_not_show(keys: list[Key]) -> None:
    told: list[str | None] = []
    secret = Secret("Password: ", told.append)
    for key in [*keys, Key("escape")]:
        if secret.press(key) in (Request.SUBMIT, Request.END):
            secret.close()
            break
        assert repr(secret) == "<secret 'Password: '>"
    assert len(told) == 1
    assert told[0] != ""
    assert secret._text == ""
