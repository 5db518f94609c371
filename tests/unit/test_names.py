"""The one rule for names: letters and digits of any script, `-`, `_` and `.`, 1 to 32 of them."""

from __future__ import annotations

import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.errors import Refusal
from selchat.model import names

GOOD = [
    "a",
    "7",
    "alice",
    "Alice",
    "a.b-c_d",
    "-x",
    "x-",
    ".x",
    "_x_",
    "x" * 32,
    "Ünal",
    "日本語",
    "Ольга",
    "עדן",
    "مريم",
    "हिन्दी",  # vowel signs are part of a letter
    "ไทย",
    "x\u0302\u0323",  # two marks that compose with nothing
    "٣٤",  # digits of any script
    "you2",
    "quitter",
]

BAD = [
    "",
    " ",
    "a b",
    "a\tb",
    "a\n",
    "\na",
    "a\x00",
    "a\x1b[31m",
    "a\x7f",
    "a\x85",
    "a\x9b",
    "a\u202e",
    "a\u2066",
    "a\u200b",  # invisible
    "a\u200d",
    "a\u200c",
    "a\ufeff",
    "a\u00ad",
    "a\ud800",
    "a\u2028b",
    "#a",
    "##a",
    "@a",
    "/a",
    "!a",
    "*a",
    "[a]",
    "a:",
    "a,b",
    "a'b",
    "a+b",
    "a\\b",
    "{a}",
    "-",
    "...",
    "-_.",
    "x" * 33,
    "é" * 33,
    "ﷺ" * 2,  # 18 characters each, with spaces, after NFKC
    "ﬃ" * 11,  # 33 letters after NFKC
    "x" * 100_000,
    "😀",
    "a😀",
    "½",  # a fraction slash, after NFKC
    "\u0301a",  # a mark on nothing
    "-\u0301a",
    "a\u0320\u0320\u0320",  # a tower of marks
    "a\u20dd",  # an enclosing mark
    "Ⅳ-\u20dd",
    "\u3164 ",
    "a\u00a0b",
    "\ue000",  # private use
    "a\u0378",  # not assigned
]

SAME = [
    ("alice", "ALICE"),
    ("alice", "ａｌｉｃｅ"),  # full width
    ("Straße", "STRASSE"),
    ("é", "e\u0301"),
    ("ﬁn", "fin"),
    ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
    ("K", "\N{KELVIN SIGN}"),
    ("x①", "x1"),
]


@pytest.mark.parametrize("text", GOOD, ids=ascii)
def test_a_good_name_is_kept(text: str) -> None:
    assert names.user(text) == unicodedata.normalize("NFKC", text)
    assert names.room(text) == names.user(text)
    assert names.room("#" + text) == names.user(text)


@pytest.mark.parametrize("text", BAD, ids=lambda text: ascii(text)[:20])
def test_a_bad_name_is_refused_and_not_changed_into_a_good_one(text: str) -> None:
    for check in (names.user, names.room):
        if check is names.room and text == "#a":
            continue
        with pytest.raises(Refusal) as caught:
            check(text)
        assert caught.value.code == "bad-name"
        assert len(caught.value.text) < 100
        assert caught.value.text.isprintable()


def test_no_single_character_but_letters_digits_and_three_marks_is_allowed() -> None:
    allowed = set()
    for code in range(sys.maxunicode + 1):
        try:
            names.user("a" + chr(code))
        except Refusal:
            continue
        allowed.add(chr(code))
    assert {"-", "_", "."} <= allowed
    for character in allowed - {"-", "_", "."}:
        for part in unicodedata.normalize("NFKC", "a" + character):
            category = unicodedata.category(part)
            assert category[0] in "LM" or category == "Nd" or part in "-_.", ascii(character)


@pytest.mark.parametrize("text", ["quit", "QUIT", "ｑｕｉｔ", "you", "You"])
def test_a_user_is_not_called_what_means_something_else(text: str) -> None:
    with pytest.raises(Refusal, match="means something else here"):
        names.user(text)
    assert names.room(text)  # a room is never without its mark


@pytest.mark.parametrize(("one", "other"), SAME)
def test_names_that_look_the_same_are_the_same(one: str, other: str) -> None:
    assert names.key(one) == names.key(other)


def test_other_names_are_others() -> None:
    keys = [names.key(name) for name in ("alice", "alicia", "al.ice", "al-ice", "alice_", "álice")]
    assert len(set(keys)) == len(keys)


@given(st.text())
def test_a_name_that_is_kept_stays_as_it_is(text: str) -> None:
    try:
        name = names.user(text)
    except Refusal:
        return
    assert names.user(name) == name
    assert names.key(name) == names.key(text)
    assert names.key(names.key(name)) == names.key(name)
    assert 1 <= len(name) <= names.LONGEST


LETTERS = st.characters(categories=["L", "M", "Nd"])


@given(st.text(LETTERS, min_size=1, max_size=40))
def test_whatever_the_letters_keys_do_not_change_again(text: str) -> None:
    assert names.key(names.key(text)) == names.key(text)
    try:
        name = names.user(text)
    except Refusal:
        return
    assert names.user(name) == name


@pytest.mark.parametrize("mark", ["\u0301\u0327", "\u0327\u0301", "ﷺ", "x", "Ａ"])
def test_a_key_of_anything_is_found_quickly_and_kept_nowhere(mark: str) -> None:
    """Names come from the wire: a long one must not cost what a line of it can hold."""
    before = time.process_time()
    for number in range(20):
        assert names.key(f"{number}{mark * 20_000}")
    assert time.process_time() - before < 0.5
    with pytest.raises(Refusal):
        names.user(mark * 20_000)


def test_no_long_text_has_the_key_of_a_name() -> None:
    long = "x" * 32 + "\u200b" * 200
    assert names.key(long) != names.key("x" * 32)
    longest = max(len(names.key("ΐ" * 32)), len(names.key("ẖ" * 32)), len(names.key("ŉ" * 32)))
    assert longest <= 4 * names.LONGEST


@pytest.mark.parametrize(
    ("text", "known", "meant"),
    [
        ("jion", ["join", "leave"], "join"),
        ("alcie", ["alice", "bob"], "alice"),
        ("xyzzy", ["join", "leave"], None),
        ("", ["join"], None),
        ("join", [], None),
    ],
)
def test_the_closest_is_what_was_probably_meant(
    text: str, known: list[str], meant: str | None
) -> None:
    assert names.closest(text, known) == meant
