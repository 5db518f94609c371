"""The line editor: whatever is pressed, the cursor stays in the line and the screen shows it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import iter_graphemes

from docs import generate
from selchat.client import bindings
from selchat.client.bindings import BINDINGS, press
from selchat.client.buffer import LONGEST, Request
from selchat.client.editor import Editor
from selchat.client.keys import Key
from selchat.client.layout import fit, lay_out, width
from selchat.model.clean import clean

SIGNS = [
    "a",
    "b",
    "Z",
    "9",
    " ",
    "_",
    "日",
    "é",
    "e\u0301",
    "👨‍👩‍👧",
    "❤️",
    "🇫🇷",
    "👍🏽",
    "नि",
    "\u0301",
    "\u200d",
]
NAMES = sorted({key for binding in BINDINGS for key in binding.keys} | {"escape", "ctrl-g", "f1"})

texts = st.lists(st.sampled_from(SIGNS) | st.characters(codec="utf-8"), max_size=12).map("".join)
keys = st.one_of(
    st.sampled_from(NAMES).map(Key),
    texts.filter(bool).map(lambda text: Key("text", text)),
    st.lists(texts, max_size=4).map(lambda lines: Key("paste", "\r".join(lines))),
)


def type_(editor: Editor, *pressed: str) -> Editor:
    """Press keys: a name in `<…>`, or text."""
    for word in pressed:
        name = re.fullmatch("<(.*)>", word)
        press(editor, Key(name[1]) if name else Key("text", word))
    return editor


def seen(editor: Editor) -> str:
    """The line with `|` where the cursor is."""
    return editor.text[: editor.cursor] + "|" + editor.text[editor.cursor :]


# Any keys


@given(st.lists(keys, max_size=25), st.lists(texts, max_size=4))
def test_whatever_is_pressed_the_cursor_stays_in_the_line(
    pressed: list[Key], history: list[str]
) -> None:
    editor = Editor(history)
    for key in pressed:
        if press(editor, key) is Request.SUBMIT:
            editor.submit()
        edges = [0]
        for sign in iter_graphemes(editor.text):
            edges.append(edges[-1] + len(sign))
        assert editor.cursor in edges
        assert "\r" not in editor.text


@given(texts | st.lists(texts).map("\n".join), st.data(), texts, st.integers(2, 30))
def test_the_screen_shows_the_line_and_the_cursor(
    text: str, data: st.DataObject, prompt: str, columns: int
) -> None:
    editor = Editor()
    editor.insert(text)
    for _ in range(data.draw(st.integers(0, 20))):
        editor.left()
    whole = lay_out(prompt, editor.text, editor.cursor, columns, 10**6)
    assert all(width(row) <= columns for row in whole.rows)
    start = fit(clean(prompt.replace("\n", " ")), max(1, columns // 2))
    shown = "".join(whole.rows)
    assert shown.startswith(start)
    if columns > 20:  # else a sign may be wider than the window
        assert shown == start + clean(editor.text).replace("\n", "")
        before = "".join(whole.rows[: whole.row]) + whole.before
        assert before == start + clean(editor.text[: editor.cursor]).replace("\n", "")
    assert whole.rows[whole.row].startswith(whole.before)
    height = data.draw(st.integers(1, 5))
    part = lay_out(prompt, editor.text, editor.cursor, columns, height)
    assert len(part.rows) == min(height, len(whole.rows))
    assert part.rows[part.row] == whole.rows[whole.row]
    assert part.before == whole.before


@given(st.lists(keys.filter(lambda key: key.name in ("text", "paste", "ctrl-w", "ctrl-t"))))
def test_undo_goes_back_to_the_empty_line(pressed: list[Key]) -> None:
    editor = Editor()
    for key in pressed:
        press(editor, key)
    for _ in range(200):
        press(editor, Key("ctrl-_"))
    assert len(pressed) > 150 or editor.text == ""


def test_a_line_has_a_longest_length() -> None:
    editor = type_(Editor(), "x" * LONGEST, "y")
    assert len(editor.text) == LONGEST
    press(editor, Key("paste", "z" * LONGEST))
    assert editor.text == "x" * LONGEST


# Each key


@pytest.mark.parametrize(
    ("pressed", "result"),
    [
        (["hello", "<left>", "<ctrl-b>", "X"], "helX|lo"),
        (["hello", "<home>", "<right>", "<ctrl-f>"], "he|llo"),
        (["hello", "<ctrl-a>", "<ctrl-e>"], "hello|"),
        (["e\u0301日", "<left>", "<left>", "x"], "x|e\u0301日"),
        (["a👨‍👩‍👧b", "<left>", "<backspace>"], "a|b"),
        (["a👨‍👩‍👧b", "<home>", "<right>", "<delete>"], "a|b"),
        (["one two", "<alt-b>"], "one |two"),
        (["one two", "<ctrl-left>", "<ctrl-left>", "<ctrl-right>"], "one| two"),
        (["one two", "<ctrl-w>"], "one |"),
        (["one two ", "<ctrl-w>", "<ctrl-w>"], "|"),
        (["a-b c-d", "<ctrl-w>"], "a-b |"),
        (["a-b c-d", "<alt-backspace>"], "a-b c-|"),
        (["one two", "<home>", "<alt-d>"], "| two"),
        (["one two", "<alt-b>", "<ctrl-k>"], "one |"),
        (["one two", "<alt-b>", "<ctrl-u>"], "|two"),
        (["one two", "<ctrl-u>", "<ctrl-y>", "<ctrl-y>"], "one twoone two|"),
        (["one two", "<ctrl-w>", "<ctrl-w>", "<ctrl-y>"], "one two|"),
        (["one two", "<ctrl-w>", "x", "<ctrl-u>", "<ctrl-y>", "<alt-y>"], "two|"),
        (["ab", "<ctrl-t>"], "ba|"),
        (["日本x", "<left>", "<ctrl-t>"], "日x本|"),
        (["one", " ", "two", "<ctrl-_>", "<ctrl-_>"], "one|"),
        (["h", "i", "<ctrl-u>", "<ctrl-_>"], "hi|"),
        (["h", "i", "<ctrl-_>"], "|"),
        (["a", "<alt-enter>", "b"], "a\nb|"),
        (["ab", "<alt-enter>", "cd", "<up>", "X"], "abX|\ncd"),
        (["ab", "<alt-enter>", "cd", "<ctrl-a>", "<left>", "<down>"], "ab\ncd|"),
        (["ab", "<alt-enter>", "cd", "<ctrl-u>"], "ab\n|"),
        (["hello", "<ctrl-d>"], "hello|"),
        (["hello", "<home>", "<ctrl-d>"], "|ello"),
    ],
)
def test_each_key_does_what_the_table_says(pressed: list[str], result: str) -> None:
    assert seen(type_(Editor(), *pressed)) == result


def test_ctrl_d_in_an_empty_line_is_the_end() -> None:
    assert press(Editor(), Key("ctrl-d")) is Request.END


@pytest.mark.parametrize("key", ["left", "backspace", "ctrl-y", "alt-y", "ctrl-_", "up", "down"])
def test_what_does_nothing_changes_nothing(key: str) -> None:
    editor = type_(Editor(), f"<{key}>")
    assert seen(editor) == "|"


def test_the_history_is_walked_and_the_new_line_is_kept() -> None:
    editor = Editor(["first", "second"])
    assert seen(type_(editor, "new", "<up>")) == "second|"
    assert seen(type_(editor, "<ctrl-p>", "<up>")) == "first|"
    assert seen(type_(editor, "<down>", "<ctrl-n>")) == "new|"


def test_a_submitted_line_is_in_the_history_once() -> None:
    editor = Editor()
    for line in ("one", "one", "two", "  "):
        type_(editor, line)
        assert editor.submit() == line
    assert editor.history == ["one", "two"]


def test_a_search_finds_further_back_and_can_be_left() -> None:
    editor = Editor(["the fox", "the dog", "a fox"])
    type_(editor, "new", "<ctrl-r>", "fox")
    assert editor.text == "a fox"
    assert type_(editor, "<ctrl-r>").text == "the fox"
    assert press(editor, Key("ctrl-r")) is Request.RING
    assert editor.text == "the fox"
    assert seen(type_(editor, "<escape>")) == "new|"
    type_(editor, "<ctrl-r>", "do", "x")
    assert editor.search is not None
    assert editor.search.failed
    type_(editor, "<backspace>")
    assert editor.text == "the dog"
    assert press(editor, Key("enter")) is Request.SUBMIT
    assert editor.submit() == "the dog"


def test_pasted_lines_are_one_line_with_newlines() -> None:
    editor = Editor()
    press(editor, Key("paste", "one\r\ntwo\rthree\n\tfour\n\n"))
    assert seen(editor) == "one\ntwo\nthree\n    four|"


# The table


def test_no_key_is_bound_twice() -> None:
    bound = [key for binding in BINDINGS for key in binding.keys]
    assert len(bound) == len(set(bound))


def test_the_page_has_the_table_of_keys() -> None:
    page = (generate.DOCS / "client.md").read_text("utf-8")
    assert generate.keys() in page, f"type  {generate.COMMAND}"
    for written, help_ in bindings.table():
        assert help_
        assert re.fullmatch(r"(?:[A-Z][a-z]*-)*(?:[A-Z][a-z]*|_)(?:, .*)?", written), written


def test_a_window_may_be_too_narrow_for_a_sign() -> None:
    assert lay_out("", "日a", 2, 1, 5).rows  # two columns at least
    assert fit("日本", 3) == "日…"
    assert fit("日本", 4) == "日本"
