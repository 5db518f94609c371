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
        self._text = ""  # the line as it was written last
        self._open = False  # whether that is the last thing written, without its end
        self._again = False

    def update(self, printed: list[str], view: View) -> str:
        """Print lines, each on its own; then what is new in the typed line.

        A line that was broken off by others is written again when it changes, not before.
        """
        out = ""
        if printed:
            out = self._end() + "".join(f"{line}\n" for line in printed)
        text, old = clean(view.text), self._text
        if not self._echo or (text == old and not self._again):
            return out
        self._text, self._again = text, False
        if not self._open:
            out += text
        elif text.startswith(old):
            out += text[len(old) :]
        elif old.startswith(text):
            out += "\\" + old[len(text) :] + "/"
        else:
            out += "\n" + text
        self._open = self._open or bool(text)
        return out

    def submitted(self, view: View) -> str:
        """Write what is missing of the line, and end it."""
        return self.update([], view) + self.erased()

    def cleared(self) -> str:
        """Say the line again."""
        self._again = True
        return self._end()

    def erased(self) -> str:
        """End the line, if one is open."""
        self._text = ""
        return self._end()

    def _end(self) -> str:
        out, self._open = "\n" if self._open else "", False
        return out

    def resized(self, columns: int, rows: int) -> None:
        """It does not matter here."""
