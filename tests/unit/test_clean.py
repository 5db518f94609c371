"""Nothing that a user types can act on another's terminal or page (promise 6)."""

from __future__ import annotations

import sys
import typing
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from selchat.model import clean as cleaning
from selchat.model.clean import clean, clean_line, takes_no_room

C0 = [chr(code) for code in range(0x20) if chr(code) != "\n"]
C1 = [chr(code) for code in range(0x80, 0xA0)]
SEPARATORS = ["\u2028", "\u2029"]
BIDI = [chr(code) for code in [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]]
SURROGATES = [chr(code) for code in (0xD800, 0xDBFF, 0xDC00, 0xDFFF)]


@pytest.mark.parametrize("character", C0, ids=ascii)
def test_c0_controls_become_their_pictures(character: str) -> None:
    picture = clean(f"a{character}b")[1:-1]
    assert picture == chr(0x2400 + ord(character))
    assert unicodedata.name(picture).startswith("SYMBOL FOR ")


def test_delete_becomes_its_picture() -> None:
    assert clean("a\x7fb") == "a\N{SYMBOL FOR DELETE}b"


@pytest.mark.parametrize("character", C1 + SEPARATORS + BIDI + SURROGATES, ids=ascii)
def test_what_has_no_picture_becomes_a_replacement_character(character: str) -> None:
    assert clean(f"a{character}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_everything_else_stays() -> None:
    changed = {c for code in range(sys.maxunicode + 1) if clean(c := chr(code)) != c}
    surrogates = {chr(code) for code in range(0xD800, 0xE000)}
    assert changed == {*C0, "\x7f", *C1, *SEPARATORS, *BIDI, *surrogates}


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
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # Scotland
        "ཧྐྵྨླྺྼྻྃ",  # the tallest stack of Tibetan that is in use
        "בְּרֵאשִׁ֖ית",  # points and an accent
        "ကျွန်ုပ်တို့",
        "ที่นี่ น้ำ",
        "Việt Nam " + unicodedata.normalize("NFD", "Việt Nam"),
        unicodedata.normalize("NFD", "한국어 대한민국 옛말 ᄒᆞᆫ글"),
        "┌──────────┐ ╔══════════╗ ████████ ⠿⠿⠿⠿⠿⠿⠿⠿⠿⠿",
        "。。。。。。。。。。。 ・・・・・・・・・・・ ……………………",
        "🎉" * 20 + "❤️" * 20 + "👨‍👩‍👧‍👦" * 20 + "🇩🇪" * 20,
        "ʕ•ᴥ•ʔ (╯°□°)╯︵ ┻━┻ ¯\\_(ツ)_/¯",
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


# What takes no room

FLOODS = ["\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u200e", "\u034f", "\ufe0f"]
FLOODS += ["\u180e", "\U000e0041", "\U000e0100", "\u1160", "\u11ff", "\u3164", "\u200b\u200d"]
TOWERS = ["\u0301", "\u0489", "\u20dd", "\u0e47", "\u064b", "\u093f", "\u0301\u0323"]


def over(text: str) -> list[str]:
    """The runs in a text that are too long for any script, as the docstring defines them."""
    runs, run = [], ""
    for character in f"{text}x":
        if takes_no_room(character):
            run += character
            continue
        if len(run) > 8 or sum(c in cleaning._ON_ANY_LETTER for c in run) > 4:
            runs.append(run)
        run = ""
    return runs


@pytest.mark.parametrize("flood", FLOODS + TOWERS, ids=ascii)
@pytest.mark.parametrize("count", [10, 5_000])
def test_a_flood_or_a_tower_is_cut_and_marked_once(flood: str, count: int) -> None:
    cleaned = clean(f"a{flood * count}b{flood * count}")
    assert over(cleaned) == []
    assert cleaned.count("\ufffd") == 2
    assert len(cleaned) <= 2 * (1 + 8 + 1)
    assert cleaned.startswith("a" + flood)


def test_five_marks_that_go_on_any_letter_are_a_tower() -> None:
    assert clean("a" + "\u0301" * 4 + "b") == "a" + "\u0301" * 4 + "b"
    assert clean("a" + "\u0301" * 5 + "b") == "a" + "\u0301" * 4 + "\ufffdb"
    assert clean("a" + "\u0301\u200b" * 5 + "b").count("\u0301") == 4


def test_all_that_takes_no_room_is_found() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if takes_no_room(character) and character not in {*BIDI, *SEPARATORS}:
            assert clean(character * 9) != character * 9, ascii(character)
        elif clean(character) == character:
            assert clean(character * 9) == character * 9, ascii(character)


PIECES = st.sampled_from(
    [*FLOODS, *TOWERS, *BIDI, *SEPARATORS, "\x1b[2J", "\n", "👩\u200d👧", "ᄒ"]
)
ANY = st.lists(
    st.characters() | st.characters(categories=["Mn", "Mc", "Me", "Cf", "Cc", "So"]) | PIECES
).map("".join)


@given(ANY, st.integers(1, 12))
@example("\u0301\u200b", 9)
@example("\u115f\u0e47", 9)
def test_clean_text_is_clean_and_stays_as_it_is(text: str, times: int) -> None:
    cleaned = clean(text * times)
    assert clean(cleaned) == cleaned
    assert over(cleaned) == []
    assert not set(cleaned) & {*C0, *C1, *BIDI, *SEPARATORS, *SURROGATES}
    assert cleaned.splitlines() == cleaned.removesuffix("\n").split("\n") or not cleaned
    assert clean_line(clean_line(text)) == clean_line(text)


@given(ANY, ANY)
def test_what_is_typed_behind_changes_nothing_before(text: str, more: str) -> None:
    assert clean(text + more).startswith(clean(text))


Form = typing.Literal["NFC", "NFD", "NFKC", "NFKD"]
# Words of many scripts, of which sentences are made.
WORDS = "Grüße naïve Ελληνικά русский украї́нська հայերեն עִבְרִית الْعَرَبِيَّة فارسی‌ها اردو हिन्दी ক্ষুধা"
WORDS += " ਪੰਜਾਬੀ ગુજરાતી தமிழ் తెలుగు ಕನ್ನಡ മലയാളം සිංහල ไทย ລາວ བོད་ཡིག མཁྱེན་རྒྱུད မြန်မာ ქართული አማርኛ"
WORDS += " ខ្មែរ ᏣᎳᎩ ᐃᓄᒃᑎᑐᑦ 中文 日本語 ひらがな カタカナー 한국어"
WORDS += " tiếng Việt 👍🏽 ❤️ 👩‍🚀 1️⃣ ½ … — „“ €"
WORDS += " ᠮᠣᠩᠭᠣᠯ ꦗꦮ ᬩᬮᬶ ᨲᩣᨾ"


@pytest.mark.parametrize("form", typing.get_args(Form))
@given(
    words=st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=30),
    joint=st.sampled_from(["", " ", "\n"]),
)
def test_ordinary_text_of_any_script_is_left_alone(
    form: Form, words: list[str], joint: str
) -> None:
    text = unicodedata.normalize(form, joint.join(words))
    assert clean(text) == text
