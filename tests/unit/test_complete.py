"""What Tab makes of a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.client.complete import Known, complete
from selchat.client.emoji import EMOJI

KNOWN = Known(rooms=["dev", "Design", "ops"], users=["bob", "Bert", "日向"])


@pytest.mark.parametrize(
    ("line", "completed", "choices"),
    [
        ("/jo|", "/join |", 1),
        ("/JO|", "/join |", 1),
        ("/he|", "/help |", 1),
        ("/h|", "/h|", 2),
        ("/to|", "/to|", 2),
        ("/topic d|", "/topic d|", 2),
        ("/topic de|", "/topic de|", 2),
        ("/topic de| rest", "/topic de| rest", 2),
        ("/topic o|", "/topic ops |", 1),
        ("/topic #o|", "/topic #ops |", 1),
        ("/topic ops bo|", "/topic ops bob |", 1),
        ("/me o|", "/me #ops |", 1),
        ("/to 日|", "/to @日向 |", 1),
        ("/to @|", "/to @|", 3),
        ("/kick bo|", "/kick bob |", 1),
        ("/kick o|", "/kick #ops |", 1),
        ("/kick #o|", "/kick #ops |", 1),
        ("/kick d|", "/kick d|", 2),
        ("/kick ops bo|", "/kick ops bob |", 1),
        ("/kick #x bo|", "/kick #x bob |", 1),
        ("/op bob m|", "/op bob moderator |", 1),
        ("/op #ops bob o|", "/op #ops bob owner |", 1),
        ("/private dev o|", "/private dev o|", 2),
        ("/private dev of|", "/private dev off |", 1),
        ("/block bo|", "/block bob |", 1),
        ("/edit o|", "/edit #ops |", 1),
        ("/delete #ops bo|", "/delete #ops bob |", 1),
        ("/mute-room o|", "/mute-room ops |", 1),
        ("/reg|", "/register |", 1),
        ("/history b|", "/history b|", 2),
        ("/away b|", "/away b|", 2),
        ("#|", "#|", 3),
        ("#DES|", "#Design |", 1),
        ("@bo|", "@bob |", 1),
        ("bo|", "bob: |", 1),
        ("hello bo|", "hello bob |", 1),
        ("hello\nbo|", "hello\nbob |", 1),
        ("x|", "x|", 0),
        ("|", "|", 0),
        ("hello |", "hello |", 0),
        ("//bo|", "//bo|", 0),
        (":rocket|", "🚀 |", 1),
        (":heart:|", "❤️ |", 1),
        (":heart|", ":heart|", 2),
        ("hi:taD|", "hi🎉 |", 1),
        (":nothing|", ":nothing|", 0),
        ("http://x|", "http://x|", 0),
    ],
)
def test_what_is_completed(line: str, completed: str, choices: int) -> None:
    cursor = line.index("|")
    text = line.replace("|", "")
    found = complete(text, cursor, KNOWN)
    new = text[: found.start] + found.text + "|" + text[cursor:]
    if not found.choices:
        new = line
    assert (new, len(found.choices)) == (completed, choices)


def test_what_several_have_in_common_is_filled_in() -> None:
    known = Known(rooms=["team-red", "team-green"])
    assert complete("#t", 2, known).text == "#team-"


def test_every_emoji_can_be_completed_by_its_name() -> None:
    for name, sign in EMOJI.items():
        assert complete(f":{name}:", len(name) + 2, KNOWN).text == sign + " "


@given(st.text(max_size=40) | st.sampled_from(["/to ", "#", "@", ":h", "/topic "]), st.data())
def test_any_line_is_completed_in_its_place(line: str, data: st.DataObject) -> None:
    cursor = data.draw(st.integers(0, len(line)))
    found = complete(line, cursor, KNOWN)
    assert 0 <= found.start <= cursor
    assert found.choices or found.text in ("", line[found.start : cursor])
