"""Whether the saved state is the one that the entries make: for `selchat-server check`."""

from __future__ import annotations

from selchat.errors import StoreError
from selchat.hub.snapshot import dump, load
from selchat.hub.state import State
from selchat.model.entries import Entry


class Replay:
    """Applies entries as a start would, from the first one where the log has it still.

    `problems` are lines for a person.
    """

    def __init__(self, saved: tuple[int, bytes] | None, *, whole: bool) -> None:
        """`saved` is the last snapshot; `whole` says that no entry was ever forgotten."""
        self.problems: list[str] = []
        self._saved = saved
        self._state: State | None = State()
        self._begin = 0
        if saved is not None and not whole:
            self._begin, data = saved
            self._saved = None  # there is nothing to compare it with
            self._state = self._load(data)

    def apply(self, entry: Entry) -> None:
        """Take the next entry, in the order of the log."""
        if self._saved is not None and entry.seq > self._saved[0]:
            self._compare()
        if self._state is None or entry.seq <= self._begin:
            return
        try:
            self._state.apply(entry)
        except LookupError:
            self.problems.append(f"entry {entry.seq} fits none of those before it")
            self._state = None

    def end(self) -> None:
        """There are no more entries."""
        if self._saved is not None:
            self._compare()

    def alive(self, session: int) -> bool:
        """Whether a session is remembered at the end; False where that cannot be told."""
        return self._state is not None and session in self._state.sessions

    def _compare(self) -> None:
        assert self._saved is not None
        (seq, data), self._saved = self._saved, None
        saved = self._load(data)
        if saved is not None and self._state is not None and dump(saved) != dump(self._state):
            self.problems.append(
                f"the state that was saved after entry {seq} is not the one that the entries make"
            )

    def _load(self, data: bytes) -> State | None:
        try:
            return load(data)
        except (StoreError, LookupError):
            self.problems.append("the saved state cannot be read")
            return None
