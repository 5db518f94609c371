"""Bytes of a terminal as keys: whole, byte by byte, and with more behind them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.client.keys import Key, Keys

TABLE = {
    b"a": [Key("text", "a")],
    "grüße 日本".encode(): [Key("text", "grüße 日本")],
    b"\r": [Key("enter")],
    b"\n": [Key("enter")],
    b"\t": [Key("tab")],
    b"\x7f": [Key("backspace")],
    b"\x08": [Key("backspace")],
    b"\x01": [Key("ctrl-a")],
    b"\x1f": [Key("ctrl-_")],
    b"\x00": [Key("ctrl-@")],
    b"\x1b[A": [Key("up")],
    b"\x1bOB": [Key("down")],
    b"\x1b[H": [Key("home")],
    b"\x1b[4~": [Key("end")],
    b"\x1bOF": [Key("end")],
    b"\x1b[3~": [Key("delete")],
    b"\x1b[1;5C": [Key("ctrl-right")],
    b"\x1b[1;3D": [Key("alt-left")],
    b"\x1bOd": [Key("ctrl-left")],
    b"\x1b[Z": [Key("shift-tab")],
    b"\x1bb": [Key("alt-b")],
    b"\x1bB": [Key("alt-b")],
    b"\x1b\r": [Key("alt-enter")],
    b"\x1b\x7f": [Key("alt-backspace")],
    b"\x1b[99;7u": [Key("unknown")],
    b"\x1b[[A": [Key("unknown")],
    b"\x1b[200~one\rtwo \x1b[A\x03\x1b[201~": [Key("paste", "one\rtwo \x1b[A\x03")],
    b"\x1b[200~\x1b[201~": [],
}


def joined(keys: list[Key]) -> list[Key]:
    """With neighbouring text in one piece, as it depends on the reads."""
    result: list[Key] = []
    for key in keys:
        if result and key.name == result[-1].name == "text":
            result.append(Key("text", result.pop().text + key.text))
        else:
            result.append(key)
    return result


@pytest.mark.parametrize("data", TABLE)
def test_a_key_whole_in_bytes_and_with_more_behind(data: bytes) -> None:
    keys = Keys()
    assert keys.feed(data) == TABLE[data]
    assert keys.patience is None
    single = [key for byte in data for key in keys.feed(bytes([byte]))]
    assert joined(single) == TABLE[data]
    assert joined(keys.feed(data + b"\x1b[Dx")) == joined(
        [*TABLE[data], Key("left"), Key("text", "x")]
    )


def test_an_escape_alone_is_known_by_the_silence_after_it() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert (keys.patience or 0) > 0
    assert keys.flush() == [Key("escape")]
    assert keys.feed(b"[A") == [Key("text", "[A")]


def test_a_paste_that_never_ends_is_given_after_a_while() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b[200~abc") == []
    assert (keys.patience or 0) > 1
    assert keys.flush() == [Key("paste", "abc")]
    assert keys.feed(b"d") == [Key("text", "d")]


def test_a_paste_without_end_takes_bounded_memory() -> None:
    keys = Keys()
    pasted = keys.feed(b"\x1b[200~")
    for _ in range(40):
        pasted += keys.feed(b"x" * 65_536)
    assert [key.name for key in pasted] == ["paste"] * len(pasted)
    assert 40 * 65_536 - sum(len(key.text) for key in pasted) <= 2**20 + 65_536


def test_invalid_utf_8_becomes_a_mark() -> None:
    keys = Keys()
    assert keys.feed(b"a\xff\xc3") + keys.flush() == [Key("text", "a\ufffd"), Key("text", "\ufffd")]


pieces = st.lists(
    st.sampled_from(list(TABLE)) | st.binary(max_size=6) | st.sampled_from([b"\x1b", b"\x1b["])
)


@given(pieces, st.data())
def test_any_bytes_give_the_same_keys_in_any_pieces(
    parts: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(parts)
    one, other = Keys(), Keys()
    expected = one.feed(whole) + one.flush()
    found: list[Key] = []
    while whole:
        size = data.draw(st.integers(1, len(whole)))
        found += other.feed(whole[:size])
        whole = whole[size:]
    assert joined(found + other.flush()) == joined(expected)
    for key in expected:
        assert key.name == "paste" or not any(c < " " or c == "\x7f" for c in key.text)
