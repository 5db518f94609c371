"""Nothing that a user types can act on another's terminal or page (promise 6)."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from selchat.model.clean import clean, clean_line

C0 = [chr(code) for code in range(0x20) if chr(code) != "\n"]
C1 = [chr(code) for code in range(0x80, 0xA0)]
BIDI = [chr(code) for code in [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]]
SURROGATES = [chr(code) for code in (0xD800, 0xDBFF, 0xDC00, 0xDFFF)]


@pytest.mark.parametrize("character", C0, ids=ascii)
def test_c0_controls_become_their_pictures(character: str) -> None:
    picture = clean(f"a{character}b")[1:-1]
    assert picture == chr(0x2400 + ord(character))
    assert unicodedata.name(picture).startswith("SYMBOL FOR ")


def test_delete_becomes_its_picture() -> None:
    assert clean("a\x7fb") == "a\N{SYMBOL FOR DELETE}b"


@pytest.mark.parametrize("character", C1 + BIDI + SURROGATES, ids=ascii)
def test_what_has_no_picture_becomes_a_replacement_character(character: str) -> None:
    assert clean(f"a{character}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_everything_else_stays() -> None:
    changed = {c for code in range(sys.maxunicode + 1) if clean(c := chr(code)) != c}
    surrogates = {chr(code) for code in range(0xD800, 0xE000)}
    assert changed == {*C0, "\x7f", *C1, *BIDI, *surrogates}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hi",
        "two\nlines\n",
        "ünïcödé, 日本語, עברית, العربية, हिन्दी, ไทย",
        "👩\u200d👩\u200d👧 🏳️\u200d🌈 ❤️ 👍🏽",  # joined emoji
        "می\u200cخواهم",  # a non-joiner that Persian needs
        "\u200e\u200f",  # marks without a stack; only the pairs can reorder what is around them
        "\ufeff",
        "\N{NO-BREAK SPACE}",
    ],
)
def test_innocent_text_is_left_alone(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x9b2J", "\ufffd2J"),
        ("a\rb", "a␍b"),
        ("\r\n", "␍\n"),
        ("\tx", "␉x"),
        ("\u202egnp.exe\u202c", "\ufffdgnp.exe\ufffd"),
        ("\ud83d\ude00", "\ufffd\ufffd"),
        ("a\x00", "a␀"),
    ],
)
def test_hostile_text_becomes_visible(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    assert clean(cleaned) == cleaned


def test_a_line_stays_one_line() -> None:
    assert clean_line("a\nb\x1b\n\n") == "a b␛  "
    assert clean_line("a\r\nb") == "a␍ b"
