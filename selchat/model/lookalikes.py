"""Names that look like others: what a name looks like, and whose letters go together.

After UTS #39 (Unicode Security Mechanisms) in spirit: section 4 (skeletons) with a table of our
own, section 5.2 ("highly restrictive") with scripts told from the names of characters, since the
standard library has neither table.

The table has the letters of living scripts that a terminal's font draws like a letter of ASCII, in
either case, because a name may be written in either: `ВОВА` is `BOBA` to the eye. Where capital and
small look like different letters (`Ν` and `ν`), what is more alike counts, the capital. Letters of
scripts that nobody writes any more are left out: few fonts have them.

What is ASCII is not confused with what is ASCII, so that the skeleton of such a name is its key:
`1` and `l`, `0` and `O`, `rn` and `m` are told apart by every font made for terminals, people have
both `bern` and `bem` for names, and who writes in ASCII can be asked for another name by no rule
that would not hit many more who mean no harm.
"""

from __future__ import annotations

import re
import unicodedata

_LETTERS = {
    # Latin itself (IPA, small capitals), Greek, Cyrillic, Armenian, Georgian, Cherokee, Coptic,
    # Lisu, Canadian, Tifinagh; in the form that case folding gives.
    "a": "ɑᴀαаᎪⲁꓮᗅ",
    "b": "ƅʙꞵβвьᏴᏏⲃꓐᗷᑲᖯ",
    "c": "ᴄсᏟⲥꓚᑕ",
    "d": "ᴅԁᎠᏧꓓꓒᗞᗪᑯ",
    "e": "ᴇꬲεеҽᎬⲉꓰⴹ",
    "f": "ꞙꬵẝϝքꓝꜰᖴ",
    "g": "ɡƍɢԍցᏀᏳꓖ",
    "h": "ʜһнηհᎻᏂⲏꓧᕼ",
    "i": "ıɩɪιіꙇᎥⲓꓲ",
    "j": "ȷʝᴊϳјյᎫꓙᒍ",
    "k": "ᴋκкᏦⲕꓗ",
    "l": "ǀʟӏᏞⳑꓡᒪⵏ",
    "m": "ᴍμмϻᎷⲙꓟᗰ",
    "n": "ɴνոռⲛꓠ",
    "o": "ᴏᴑꬽοσоօჿⲟꓳⵔ",
    "p": "ᴘƿρрᏢⲣꓑᑭ",
    "q": "ԛգզⵕ",
    "r": "ʀꭇꭈгᴦᎡᏒⲅꓣᖇ",
    "s": "ꜱѕտᏚᏕꓢ",
    "t": "ᴛτтᎢⲧꓔ",
    "u": "ᴜʋꭎꭒսꓴᑌ",
    "v": "ᴠѵᏙꓦⴸᐯ",
    "w": "ᴡɯԝѡաᎳᏔꓪ",
    "x": "ꭓχхⲭꓫⵝᕁᕽ",
    "y": "ʏɣᶌỿꭚγυуүყᎩᎽⲩꓬ",
    "z": "ᴢζᏃⲍꓜ",
    "2": "ƨϩꙅꝛᒿ",
    "3": "ȝɜʒꝫзӡⳍ",
    "4": "Ꮞ",
    "5": "ƽ",
    "6": "бᏮⳓ",
    "8": "ȣ",
    "9": "ꝯⳋ",
    "_": "ˍ",
    ".": "ꓸ",
    # Apostrophes that are letters.
    "ʼ": "ʹʻʽʾʿˈˊˋꞌ",
    # Kana, and the characters of Han that they came from.
    "ヘ": "へ",
    "リ": "り",
    "イ": "亻",
    "エ": "工",
    "オ": "才",
    "カ": "力",
    "タ": "夕",
    "ト": "卜",
    "ニ": "二",
    "ノ": "丿",
    "ハ": "八",
    "ム": "厶",
    "ロ": "口囗",
    "ー": "一ᅳ",
    "丨": "ᅵ",
    # Marks: caron, inverted breve, cedilla and other hooks, Greek tilde, strokes.
    "\u0302": "\u0311",
    "\u0303": "\u0342",
    "\u0304": "\u0305",
    "\u0306": "\u030c",
    "\u0307": "\u0358",
    "\u0313": "\u0315",
    "\u0326": "\u0321\u0327\u0339",
    "\u0328": "\u0322",
    "\u0331": "\u0320",
    "\u0335": "\u0336",
    "\u0338": "\u0337",
}
_LOOKS = {ord(source): look for look, sources in _LETTERS.items() for source in sources}

#: What has a dot already shows no other.
_DOTTED = re.compile("(?<=[ij])\u0307+")

#: First words of characters' names that say nothing of a script, or that it is used with several.
_ANY_SCRIPT = frozenset(
    {"CARON", "COMBINING", "DIGIT", "KATAKANA-HIRAGANA", "MASU", "MODIFIER", "MUSICAL"}
    | {"VARIATION", "VEDIC", "VERTICAL"}
)
_SAME_SCRIPT = {
    "ARABIC-INDIC": "ARABIC",
    "CJK": "HAN",
    "EXTENDED": "ARABIC",  # the other Arabic-Indic digits
    "HENTAIGANA": "HIRAGANA",
    "IDEOGRAPHIC": "HAN",
    "ROMAN": "LATIN",
    "TURNED": "LATIN",
    "VIETNAMESE": "HAN",
}
#: Who uses digits and marks of another script, too (the property Script_Extensions, in short).
_BORROWERS = {
    "ARABIC": {"ARABIC", "SYRIAC", "THAANA", "HANIFI", "YEZIDI"},
    "BENGALI": {"BENGALI", "CHAKMA", "SYLOTI"},
    "DEVANAGARI": {"DEVANAGARI", "DOGRA", "KAITHI", "MAHAJANI"},
    "MYANMAR": {"MYANMAR", "CHAKMA", "TAI"},
}
#: What people write together (UTS #39, section 5.2): Japanese, Chinese and Korean, with Latin.
_TOGETHER = (
    {"LATIN", "HAN", "HIRAGANA", "KATAKANA"},
    {"LATIN", "HAN", "BOPOMOFO"},
    {"LATIN", "HAN", "HANGUL"},
)


def look(key: str) -> str:
    """What the name with this key looks like: names that give the same look the same."""
    shown = unicodedata.normalize("NFD", key).translate(_LOOKS)
    return _DOTTED.sub("", shown)


def scripts_mixed(name: str) -> bool:
    """Whether a name has letters of scripts that no language is written in together."""
    possible: list[set[str]] = [set(each) for each in _TOGETHER]
    alone: set[str] | None = None  # the scripts in which alone all of it can be
    for character in name:
        written = _scripts(character)
        if written is None:
            continue
        alone = written if alone is None else alone & written
        possible = [each for each in possible if each & written]
        if not alone and not possible:
            return True
    return False


def _scripts(character: str) -> set[str] | None:
    """The scripts that a letter, mark or digit is used in; None where it is used in all."""
    if character.isascii():
        return {"LATIN"} if character.isalpha() else None
    word = unicodedata.name(character, "").partition(" ")[0]
    if word in _ANY_SCRIPT:
        return None
    script = _SAME_SCRIPT.get(word, word)
    if script in _BORROWERS and not character.isalpha():
        return _BORROWERS[script]
    return {script}
