"""The lower end of the window, on emulated terminals: what is on the screen is what was meant."""

from __future__ import annotations

import re

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selchat.client.linear import Linear
from selchat.client.window import View, Window
from tests.unit.test_editor import SIGNS

SIZES = [(80, 24), (40, 10), (12, 4), (2, 2)]
#: pyte forgets what stands behind a character that has no width and is no combining mark.
signs = st.sampled_from([sign for sign in SIGNS if not {"\u200d", "\ufe0f"} & set(sign)])
texts = st.lists(signs, max_size=60).map("".join)
views = st.builds(
    lambda prompt, before, after, above: View(prompt, before + after, len(before), above),
    st.sampled_from(["> ", "#dev> ", "(search) 日本: "]),
    texts.map(lambda text: text + "x"),  # so that nothing behind it joins it
    st.lists(st.sampled_from("ab 日"), max_size=60).map("".join),
    st.lists(st.sampled_from(["… one", "… 日本語" * 20]), max_size=3).map(tuple),
)


class Emulated:
    """An emulated terminal."""

    def __init__(self, columns: int, rows: int) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self.screen.set_mode(pyte.modes.LNM)  # as the kernel does with newlines (ONLCR)
        self.stream = pyte.Stream(self.screen)

    def rows(self) -> list[str]:
        """All rows down to the cursor's or the last one written, with those scrolled away."""
        scrolled = [
            "".join(line[x].data for x in range(self.screen.columns)).rstrip()
            for line in self.screen.history.top
        ]
        return scrolled + [row.rstrip() for row in self.screen.display]


@pytest.mark.parametrize("size", SIZES)
@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(["x", "日本", "y" * 50]), max_size=2), views), max_size=6
    )
)
def test_drawing_step_by_step_shows_what_drawing_at_once_shows(
    size: tuple[int, int], steps: list[tuple[list[str], View]]
) -> None:
    terminal, window = Emulated(*size), Window(*size, color=False)
    printed: list[str] = []
    for lines, view in steps:
        terminal.stream.feed(window.update(lines, view))
        printed += lines
        fresh = Emulated(*size)
        fresh.stream.feed(Window(*size, color=False).update(printed, view))
        assert tail(terminal) == tail(fresh)
        # A row that scrolled away while the block was taller leaves the cursor further up.
        assert terminal.screen.cursor.x == fresh.screen.cursor.x


def tail(terminal: Emulated) -> list[str]:
    """What is on the screen up to the cursor's row and below, without the empty rows."""
    rows = terminal.rows()
    while rows and not rows[-1]:
        rows.pop()
    return [row for row in rows if row][-terminal.screen.lines // 2 :]


def test_a_character_typed_at_the_end_is_all_that_is_written() -> None:
    window = Window(80, 24, color=True)
    window.update([], View("> ", "hell", 4))
    assert window.update([], View("> ", "hello", 5)) == "o"
    assert window.update([], View("> ", "hello", 5)) == ""


def test_only_the_sequences_that_every_terminal_knows_are_used() -> None:
    window = Window(40, 10, color=False)
    out = ""
    for cursor in range(100):
        out += window.update(["line"], View("> ", "日本 " * 60, cursor * 1, ("… on its way",)))
    assert set(re.findall(r"\x1b\[[0-9;]*(.)", out)) <= set("AJB")
    assert set(re.findall(r"[\x00-\x1f\x7f]", out)) <= set("\x1b\r\n")


def test_hostile_text_in_the_line_and_the_prompt_cannot_act() -> None:
    window = Window(80, 24, color=False)
    bad = "\x1b[2J\x07\x9b31m\u202e\x00"
    out = window.update([], View(bad, bad, 0, (bad,)))
    assert not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", out.replace("\x1b[J", "").replace("\r", "")
    )


# Linear mode

line_views = st.builds(lambda text: View("> ", text, len(text)), texts)


@given(st.lists(st.tuples(st.lists(st.sampled_from(["said", "more"]), max_size=2), line_views)))
def test_linear_mode_writes_nothing_that_moves(steps: list[tuple[list[str], View]]) -> None:
    linear = Linear(echo=True)
    out = "".join(linear.update(lines, view) for lines, view in steps) + linear.erased()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)
    said = [line for lines, _ in steps for line in lines]
    assert [line for line in out.split("\n") if line in ("said", "more")] == said


def test_linear_mode_says_each_change_once() -> None:
    linear = Linear(echo=True)
    out = [
        linear.update([], View("", text, len(text))) for text in ("h", "he", "h", "ha", "", "other")
    ]
    assert out == ["h", "e", "\\e/", "a", "\\ha/", "other"]
    assert linear.update([], View("", "history", 7)) == "\nhistory"
    assert linear.update(["news"], View("", "history", 7)) == "\nnews\n"
    assert linear.update(["more"], View("", "history", 7)) == "more\n"
    assert linear.update([], View("", "history!", 8)) == "history!"
    assert linear.submitted(View("", "history!!", 9)) == "!\n"
    assert linear.update(["news"], View("", "", 0)) == "news\n"


def test_linear_mode_echoes_nothing_where_something_else_does() -> None:
    linear = Linear(echo=False)
    assert linear.update(["news"], View("", "typed", 5)) == "news\n"
    assert linear.submitted(View("", "typed", 5)) == ""
