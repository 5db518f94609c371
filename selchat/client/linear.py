r"""Linear mode: nothing moves. For screen readers, logs, and terminals that cannot do more. Pure.

What is written stays as it is: no sequences, no returns, no steps back. A character typed is
written; one taken back is written between `\` and `/`, as on a printing terminal; a line that has
become another one (history, completion, undo) is written again on a line of its own.
docs/accessibility.md says what is promised.
"""

from __future__ import annotations

from selchat.client.window import View
from selchat.model.clean import clean


class Linear:
    """What was written of the line that is being typed, and what is to be written next."""

    def __init__(self, echo: bool) -> None:
        """Without `echo` what is typed is not written: something else shows it already."""
        self._echo = echo
        self._shown = ""
        self._open = False  # whether the last line has no end yet
        self._cleared = False

    def update(self, printed: list[str], view: View) -> str:
        """Print lines, each on its own; then what is new in the typed line."""
        out = ""
        if printed:
            out = self.erased() + "".join(f"{line}\n" for line in printed)
        text = clean(view.text)
        if not self._echo or (text == self._shown and not self._cleared):
            return out
        shown, self._shown, self._cleared = self._shown, text, False
        if text.startswith(shown):
            out += text[len(shown) :]
        elif shown.startswith(text):
            out += "\\" + shown[len(text) :] + "/"
        else:
            out += ("\n" if self._open else "") + text
        self._open = self._open or bool(out)
        return out

    def submitted(self, view: View) -> str:
        """Write what is missing of the line, and end it."""
        return self.update([], view) + self.erased()

    def cleared(self) -> str:
        """Say the line again."""
        out = self.erased()
        self._cleared = True
        return out

    def erased(self) -> str:
        """End the line, if one is open."""
        out = "\n" if self._open else ""
        self._shown, self._open = "", False
        return out

    def resized(self, columns: int, rows: int) -> None:
        """It does not matter here."""
