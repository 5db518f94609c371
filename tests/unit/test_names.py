"""The one rule for names: letters and digits of any script, `-`, `_` and `.`, 1 to 32 of them."""

from __future__ import annotations

import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.errors import Refusal
from selchat.model import lookalikes, names

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
    # One script each, and what is written together.
    *("Αλέξανδρος", "Հայկ", "თამარ", "አበበ", "ᏣᎳᎩ", "ᐃᓄᒃ", "ދިވެހި", "ܣܘܪܝܬ", "עִבְרִית", "اَحْمَد"),
    *("বাংলা", "ਗੁਰਮੀਤ", "ગુજરાતી", "தமிழ்", "తెలుగు", "ಕನ್ನಡ", "മലയാളം", "සිංහල", "ລາວ", "བོད", "မြန်မာ"),
    *("ខ្មែរ", "ᠮᠣᠩᠭᠣᠯ", "ꦗꦮ", "ᬩᬮᬶ", "ᨲᩣᨾ", "ⴰⵎⴰⵣⵉⵖ", "ߒߞߏ", "𞤀𞤣𞤤𞤢𞤥", "ꆈꌠ", "ꓡꓲꓢꓴ", "ⲕⲏⲙⲉ"),
    *(
        "ハローさん",
        "サーバー",
        "ユーザーABC",
        "東京タワー",
        "山々",
        "ㄅㄆㄇ",
        "abc注音ㄅ",
        "한국사람",
        "서울city",
        "大韓민국",
    ),
    *("alice2", "日本3", "बच्चा२", "سارة٢", "ކިޔެ٢", "Đặng", "Łukasz", "Ŵyn", "Ольга_3", "x-ray.日本"),
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
    # Letters and marks that show nothing: the name would look like the one without.
    *(
        "a\u3164",
        "a\uffa0b",
        "a\u115fb",
        "a\u034fb",
        "a\ufe0f",
        "❤\ufe0f",
        "क\U000e0100",
        "ខ\u17b4",
    ),
    # Scripts that are not written together.
    *(
        "аlice",
        "aliсe",
        "Αlice",
        "pаypal",
        "Ꭺlice",
        "ꓮlice",
        "ОльгаX",
        "ქx",
        "日本й",
        "한국ひ",
        "ㄅひ",
        "αа",
    ),
    *("x٣", "日٣", "רa", "हinग"),
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


LOOK_THE_SAME = [
    ("BOBA", "ВОВА"),
    ("Coca", "Соса"),
    ("paxyc", "рахус"),
    ("ANNA", "ΑΝΝΑ"),
    ("ZOH", "ΖΟΗ"),
    ("AKTE", "ᎪᏦᎢᎬ"),
    ("ALICE", "ᴀʟɪᴄᴇ"),
    ("ALICE", "ꓮꓡꓲꓚꓰ"),
    ("hon", "հօո"),
    ("gina", "ɡınɑ"),
    ("ini", "i\u0307ni\u0307"),
    ("İ", "i"),
    ("ă", "ǎ"),
    ("Ştefan", "Ștefan"),
    ("ʻokina", "ʼokina"),
    ("カニ", "力二"),
    ("へリ", "ヘり"),
    ("べ", "ベ"),
    ("Сара", "Capa"),
    ("зз", "33"),
]


@pytest.mark.parametrize(("one", "other"), LOOK_THE_SAME)
def test_names_that_look_the_same_have_one_skeleton(one: str, other: str) -> None:
    assert names.user(one) != names.user(other)
    assert names.key(one) != names.key(other)
    assert names.skeleton(one) == names.skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bern", "bem"),  # in ASCII, nothing is confused
        ("l0l", "lol"),
        ("I", "l"),
        ("álice", "alice"),
        ("Ünal", "Unal"),
        ("Łukasz", "Lukasz"),
        ("Ольга", "Olga"),
        ("Борис", "Boris"),
        ("Мария", "Марина"),
        ("й", "и"),
        ("日本", "日木"),
        ("は", "ほ"),
        ("ße", "be"),
    ],
)
def test_names_that_look_different_have_different_skeletons(one: str, other: str) -> None:
    assert names.skeleton(one) != names.skeleton(other)


@given(st.text(st.characters(codec="ascii"), max_size=200))
def test_the_skeleton_of_ascii_is_its_key(text: str) -> None:
    assert names.skeleton(text) == names.key(text)


@given(st.text(st.characters(categories=["L", "M", "Nd"])) | st.text())
def test_a_skeleton_belongs_to_a_key_and_does_not_change_again(text: str) -> None:
    skeleton = names.skeleton(text)
    assert names.skeleton(names.key(text)) == skeleton
    assert names.skeleton(skeleton) == skeleton


def test_the_table_of_lookalikes_gives_what_nothing_is_mapped_from() -> None:
    for source, look in lookalikes._LOOKS.items():
        assert names.key(chr(source)) == chr(source), "the table is of keys"
        assert not set(map(ord, look)) & lookalikes._LOOKS.keys()
    listed = "".join(lookalikes._LETTERS.values())
    assert len(listed) == len(set(listed)), "one look each"


def test_who_mixes_scripts_is_told_so() -> None:
    with pytest.raises(Refusal, match="written in one script") as caught:
        names.user("pаypal")
    assert caught.value.code == "bad-name"


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
