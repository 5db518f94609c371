"""The house keeps its floors: proved from the imports, lazy ones and type-only ones too.

A file may import what is in its own room and in rooms on lower floors, nothing else of selchat;
no two files import each other, however indirectly; and logic mentions nothing that does I/O.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "selchat"


class Room(NamedTuple):
    floor: int
    name: str
    contents: tuple[str, ...]
    """Files, and folders with a `/`, below selchat/."""


ROOMS = (
    Room(5, "commands", ("cli.py", "arguments.py", "bootstrap.py")),
    Room(
        4,
        "server",
        (
            *(
                "server.py",
                "connection.py",
                "delivery.py",
                "upkeep.py",
                "retention.py",
                "certificate.py",
                "gate.py",
                "pace.py",
                "audit.py",
                "operators.py",
            ),
            *("control.py", "status.py", "operate.py"),
        ),
    ),
    Room(4, "client", ("client/",)),
    Room(3, "hub", ("hub/",)),
    Room(2, "wire", ("wire/",)),
    Room(2, "store", ("store/",)),
    Room(
        1,
        "words",
        (
            *("__init__.py", "addresses.py", "errors.py", "settings.py", "sources.py"),
            *("scram.py", "model/"),
        ),
    ),
    Room(0, "machine", ("loop.py", "stream.py", "tls.py", "derive.py", "pbkdf2.py")),
)

#: Nowhere: there is one loop.
OTHER_LOOPS = {"_thread", "asyncio", "concurrent", "socketserver", "threading"}
#: Not in logic: bytes and values in, bytes and values out, the clock passed in.
OUTSIDE = {"os", "select", "selectors", "socket", "sqlite3", "ssl", "subprocess", "time"}
PURE_CLIENT = (
    *(
        "bindings",
        "buffer",
        "complete",
        "conversations",
        "editor",
        "emoji",
        "keys",
        "layout",
        "linear",
    ),
    *("paint", "profiles", "secret", "state", "window"),
)
LOGIC = (
    *("model/", "wire/", "hub/", "addresses.py", "errors.py", "settings.py", "sources.py"),
    "scram.py",
    *(f"client/{name}.py" for name in PURE_CLIENT),
)


class Import(NamedTuple):
    line: int
    module: str
    """Absolute: `selchat.wire.text`, `os.path`."""
    at_import: bool
    """Carried out when the module is loaded (not inside a function)."""


def violations(package: Path) -> list[str]:
    """What breaks the rules in the folder `package`, one line each; empty if it is in order."""
    found: list[str] = []
    graph: dict[str, list[str]] = {}
    for file in sorted(package.rglob("*.py")):
        path = file.relative_to(package).as_posix()
        graph[path] = []
        room = room_of(path)
        if room is None:
            found.append(f"{path}: is on no floor; give it a place in ROOMS")
            continue
        for imported in imports(file, package):
            where = f"{path}:{imported.line}: imports {imported.module}"
            if imported.module.partition(".")[0] != package.name:
                found.extend(f"{where}{why}" for why in wrong_outside(path, imported))
                continue
            target = file_of(imported.module, package)
            if target is None:
                found.append(f"{where}, which does not exist")
                continue
            graph[path].append(target)
            other = room_of(target)
            if other is not None and other != room and other.floor >= room.floor:
                found.append(f"{where}, from floor {room.floor} to {other.name} on {other.floor}")
            if path == "__init__.py" or (path == "bootstrap.py" and imported.at_import):
                found.append(f"{where}, where nothing of selchat is allowed")
    found.extend(f"{' → '.join(cycle)}: import each other" for cycle in cycles(graph))
    return found


def wrong_outside(path: str, imported: Import) -> Iterator[str]:
    top = imported.module.partition(".")[0]
    if top in OTHER_LOOPS:
        yield ", but there is one loop"
    if top in OUTSIDE and path.startswith(LOGIC):
        yield ", but logic does no I/O"
    if path == "bootstrap.py" and top not in sys.stdlib_module_names:
        yield ", which an interpreter without the dependencies has not"


def room_of(path: str) -> Room | None:
    for room in ROOMS:
        for content in room.contents:
            if path == content or (content.endswith("/") and path.startswith(content)):
                return room
    return None


def imports(file: Path, package: Path) -> Iterator[Import]:
    """What a file imports. `from selchat.wire import text` is the module `selchat.wire.text`,
    `from selchat.wire import Tongue` is `selchat.wire`.
    """
    home = [package.name, *file.relative_to(package).parent.parts]
    tree = ast.parse(file.read_text("utf-8"))
    later = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = home[: len(home) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                inside = f"{base}.{alias.name}"
                names.append(inside if file_of(inside, package) else base)
        for name in dict.fromkeys(names):
            yield Import(getattr(node, "lineno", 0), name, node not in later)


def file_of(module: str, package: Path) -> str | None:
    """The path below `package` of a module of it; None if there is none."""
    first, *rest = module.split(".")
    if first != package.name:
        return None
    for candidate in ("/".join(rest) + ".py", "/".join([*rest, "__init__.py"])):
        if (package / candidate).is_file():
            return candidate
    return None


def cycles(graph: dict[str, list[str]]) -> list[list[str]]:
    """Each file that reaches itself, with the way; one line for each cycle found."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(path: str, way: list[str]) -> None:
        if path in way:
            found.append([*way[way.index(path) :], path])
        elif path not in done:
            for target in graph.get(path, []):
                visit(target, [*way, path])
            done.add(path)

    for path in graph:
        visit(path, [])
    return found


def test_the_house_keeps_its_floors() -> None:
    assert violations(PACKAGE) == []


def test_no_place_in_the_table_is_empty() -> None:
    here = [path for room in ROOMS for path in room.contents if not (PACKAGE / path).exists()]
    assert here == []


GOOD = {
    "__init__.py": "__version__ = '1'",
    "loop.py": "import selectors, time",
    "stream.py": "from selchat.loop import Loop",
    "errors.py": "",
    "model/__init__.py": "",
    "model/names.py": "from selchat.errors import Refusal",
    "wire/__init__.py": "from selchat.model import names",
    "wire/text.py": "from selchat.wire import Tongue\nfrom ..model.names import key",
    "store/memory.py": "import sqlite3, os",
    "hub/hub.py": "import selchat.wire.text\nfrom selchat import errors",
    "server.py": "def run():\n    from selchat.hub import hub",
    "client/state.py": "from selchat.wire import text",
    "client/link.py": "import socket\nfrom . import state",
    "cli.py": "from selchat import __version__, server",
    "bootstrap.py": "import os\ndef main():\n    from selchat import cli",
}


def build(root: Path, files: dict[str, str]) -> Path:
    package = root / "selchat"
    for path, text in files.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text)
    return package


def test_a_house_in_order_passes(tmp_path: Path) -> None:
    assert violations(build(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("loop.py", "from selchat import errors", "imports selchat.errors, from floor 0 to words"),
        (
            "loop.py",
            "from selchat import __version__",
            "imports selchat, from floor 0 to words on 1",
        ),
        ("stream.py", "import selchat.server", "imports selchat.server, from floor 0"),
        ("model/names.py", "\n\nfrom selchat.wire import text", "model/names.py:3: imports"),
        ("wire/text.py", "from selchat.store import memory", "from floor 2 to store on 2"),
        ("store/memory.py", "from ..wire.text import x", "from floor 2 to wire on 2"),
        ("hub/hub.py", "def f():\n    import selchat.server", "from floor 3 to server on 4"),
        ("hub/hub.py", "if TYPE_CHECKING:\n    from .. import server", "to server on 4"),
        ("client/link.py", "from selchat import server", "from floor 4 to server on 4"),
        ("server.py", "from selchat.client import link", "from floor 4 to client on 4"),
        ("server.py", "import selchat.cli", "from floor 4 to commands on 5"),
        ("server.py", "import selchat.nowhere", "selchat.nowhere, which does not exist"),
        ("utils.py", "", "utils.py: is on no floor"),
        ("web/page.py", "", "web/page.py: is on no floor"),
        ("__init__.py", "from selchat import errors", "where nothing of selchat is allowed"),
        ("bootstrap.py", "from selchat import cli", "where nothing of selchat is allowed"),
        ("bootstrap.py", "import msgspec", "an interpreter without the dependencies has not"),
        ("model/names.py", "import os.path", "imports os.path, but logic does no I/O"),
        ("model/names.py", "from time import monotonic", "imports time, but logic does no I/O"),
        ("wire/text.py", "def f():\n    import ssl", "imports ssl, but logic does no I/O"),
        ("hub/hub.py", "import sqlite3", "imports sqlite3, but logic does no I/O"),
        ("client/state.py", "import socket", "imports socket, but logic does no I/O"),
        ("settings.py", "import selectors", "imports selectors, but logic does no I/O"),
        ("loop.py", "import asyncio", "imports asyncio, but there is one loop"),
        ("client/link.py", "from threading import Thread", "imports threading, but there is one"),
        ("server.py", "import concurrent.futures", "but there is one loop"),
        ("cli.py", "def f():\n    import socketserver", "imports socketserver, but there is one"),
        ("errors.py", "from .model import names", "model/names.py → errors.py → model"),
        ("wire/__init__.py", "from selchat.wire import text", "wire/text.py → wire/__init__.py"),
        ("loop.py", "import selchat.stream", "loop.py → stream.py → loop.py: import each other"),
        ("stream.py", "from selchat.stream import x", "stream.py → stream.py: import each other"),
    ],
)
def test_a_house_out_of_order_is_told_of(tmp_path: Path, path: str, text: str, said: str) -> None:
    found = violations(build(tmp_path, {**GOOD, path: text}))
    assert any(said in line for line in found), found
