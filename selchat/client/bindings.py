"""THE TABLE of keys: which key does what, in which words.

The editor is driven by these rows, `/keys` shows them, and the table in docs/client.md is made
from them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from selchat.client.buffer import Request
from selchat.client.editor import Editor
from selchat.client.keys import Key


class Binding(NamedTuple):
    """One thing that keys do."""

    keys: tuple[str, ...]
    """Names as keys.py gives them."""
    does: Callable[[Editor], Request | None]
    help: str
    linear: bool = True
    """Whether it is there in linear mode, where there is no cursor to be moved."""


def _ask(request: Request) -> Callable[[Editor], Request | None]:
    return lambda _: request


BINDINGS = (
    Binding(("enter",), _ask(Request.SUBMIT), "send the line"),
    Binding(("alt-enter",), Editor.newline, "begin another line of the same message"),
    Binding(
        ("tab",),
        _ask(Request.COMPLETE),
        "complete a command, room, user or :emoji:; again: list what fits",
    ),
    Binding(("left", "ctrl-b"), Editor.left, "one character left", linear=False),
    Binding(("right", "ctrl-f"), Editor.right, "one character right", linear=False),
    Binding(("home", "ctrl-a"), Editor.start, "to the start of the line", linear=False),
    Binding(("end", "ctrl-e"), Editor.end, "to the end of the line", linear=False),
    Binding(("ctrl-left", "alt-left", "alt-b"), Editor.word_left, "one word left", linear=False),
    Binding(
        ("ctrl-right", "alt-right", "alt-f"), Editor.word_right, "one word right", linear=False
    ),
    Binding(("backspace",), Editor.backspace, "delete the character before the cursor"),
    Binding(("delete",), Editor.delete, "delete the character under the cursor", linear=False),
    Binding(("ctrl-d",), Editor.delete_or_end, "the same; in an empty line: leave the chat"),
    Binding(("ctrl-w",), Editor.kill_spaced_left, "cut back to the last space"),
    Binding(("alt-backspace",), Editor.kill_word_left, "cut the word before the cursor"),
    Binding(("alt-d",), Editor.kill_word_right, "cut the word behind the cursor", linear=False),
    Binding(("ctrl-u",), Editor.kill_to_start, "cut to the start of the line"),
    Binding(("ctrl-k",), Editor.kill_to_end, "cut to the end of the line", linear=False),
    Binding(("ctrl-y",), Editor.yank, "put back what was cut last"),
    Binding(("alt-y",), Editor.yank_older, "right behind that: what was cut before it"),
    Binding(("ctrl-t",), Editor.transpose, "swap two characters", linear=False),
    Binding(("ctrl-_",), Editor.undo, "undo"),
    Binding(("up", "ctrl-p"), Editor.older, "the line before in the history"),
    Binding(("down", "ctrl-n"), Editor.newer, "the next line of the history"),
    Binding(("ctrl-r",), Editor.search_older, "search the history; again: further back"),
    Binding(("ctrl-l",), _ask(Request.REDRAW), "clear the screen; in linear mode: say the line"),
)

SIGNALS = (
    (("ctrl-c",), "leave the chat; what was typed is kept in the history"),
    (("ctrl-z",), "suspend the client; `fg` in the shell goes on with it"),
)
"""Keys that the terminal itself turns into signals."""

_SEARCH = {
    "ctrl-r": Editor.search_older,
    "backspace": Editor.search_shorten,
}

_TABLE = {key: binding for binding in BINDINGS for key in binding.keys}


def press(editor: Editor, key: Key, linear: bool = False) -> Request | None:
    """Do what `key` does; return what the editor asks for, if anything."""
    editor.begin()
    if editor.search is not None:
        if key.name == "text":
            editor.search_type(key.text)
            return None
        if key.name in _SEARCH:
            _SEARCH[key.name](editor)
            return Request.RING if editor.search.failed else None
        cancel = key.name in ("escape", "ctrl-g")
        editor.search_end(keep=not cancel)
        if cancel:
            return None
    if key.name == "text":
        editor.insert(key.text)
    elif key.name == "paste":
        editor.paste(key.text)
    else:
        binding = _TABLE.get(key.name)
        if binding is None or (linear and not binding.linear):
            return Request.RING
        return binding.does(editor)
    return None


def table() -> list[tuple[str, str]]:
    """Each thing that keys do: the keys as people write them, and the words."""
    rows = [(binding.keys, binding.help) for binding in BINDINGS]
    return [(", ".join(map(_written, keys)), help_) for keys, help_ in (*rows, *SIGNALS)]


def _written(key: str) -> str:
    """`ctrl-a` as `Ctrl-A`."""
    return "-".join(part.capitalize() for part in key.split("-"))
