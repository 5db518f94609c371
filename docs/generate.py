"""Write the pages of docs/ that are made from the code, or check that they are up to date.

python docs/generate.py            write them
python docs/generate.py --check    exit 1 and name those that are out of date
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import msgspec  # noqa: E402

from docs import command_pages  # noqa: E402
from selchat.client import bindings, profiles  # noqa: E402
from selchat.hub.dispatch import typed  # noqa: E402
from selchat.model.commands import AnyCommand  # noqa: E402
from selchat.model.events import AnyEvent  # noqa: E402
from selchat.settings import documentation  # noqa: E402
from selchat.sources import CONFIG_VARIABLE  # noqa: E402

DOCS = ROOT / "docs"
COMMAND = "python docs/generate.py"


def configuration() -> str:
    """docs/configuration.md: every server setting, from `selchat/settings.py`."""
    lines = [
        f"<!-- Made from selchat/settings.py by `{COMMAND}`: change it there. -->",
        "",
        "# Configuration of the server",
        "",
        "A setting comes from one of four places; the later wins:",
        "",
        "1. its default;",
        f"2. a TOML file, named by `--config FILE` or `{CONFIG_VARIABLE}`: `line_limit = 65536`;",
        "3. the environment: `SELCHAT_LINE_LIMIT=65536` (an empty variable counts as not set);",
        "4. a flag: `selchat-server --line-limit 65536`.",
        "",
        "So the setting `line_limit` is the flag `--line-limit` and the variable",
        "`SELCHAT_LINE_LIMIT`, and likewise for all. A value that is not allowed stops the server",
        "from starting, with exit code 2 and one line that says where it came from and what it may",
        "be. So does a key that the file should not have; a `SELCHAT_…` variable that sets nothing",
        "is only told of.",
        "",
        "| setting | default | what it is |",
        "|---|---|---|",
    ]
    for row in documentation():
        takes = row.takes[0].upper() + row.takes[1:]
        lines.append(f"| `{row.name}` | {row.default} | {row.description} {takes}. |")
    return "\n".join(lines) + "\n"


def schema() -> str:
    """docs/protocol.schema.json: the JSON tongue, from the classes of `selchat/model/`."""
    (command, event), classes = msgspec.json.schema_components(
        (AnyCommand, AnyEvent), ref_template="#/$defs/{name}"
    )
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The JSON tongue of selchat",
        "description": "Each line from a client is a command, each line from the server an event.",
        "$defs": {"command": command, "event": event, **classes},
    }
    for one in classes.values():
        if "description" in one:  # some Pythons keep the indentation of a docstring
            one["description"] = inspect.cleandoc(one["description"])
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n"


def command_table() -> str:
    """The table of commands in README.md, from the dispatcher's."""
    cells = [(row.usage.replace("|", "\\|"), row.help) for row in typed()]
    rows = [f"| `{usage}` | {help_} |" for usage, help_ in cells]
    return "\n".join(["| type | to |", "|---|---|", *rows]) + "\n"


def keys() -> str:
    """The table of keys in docs/client.md, from the bindings of the line editor."""
    rows = [f"| {keys} | {help_} |" for keys, help_ in bindings.table()]
    return "\n".join(["| key | what it does |", "|---|---|", *rows]) + "\n"


def profile_settings() -> str:
    """The table of profile settings in docs/client.md."""
    rows = [f"| `{key}` | {default} | {text} |" for key, default, text in profiles.documentation()]
    return "\n".join(["| setting | default | what it is |", "|---|---|---|", *rows]) + "\n"


def client() -> str:
    """docs/client.md, with the tables between its marks made anew."""
    page = (DOCS / "client.md").read_text("utf-8")
    for mark, make in (("keys", keys), ("profiles", profile_settings)):
        start, found, rest = page.partition(f"<!-- {mark} -->\n")
        assert found, mark
        page = f"{start}{found}{make()}<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return page


#: Each generated file under docs/, and what makes its text: one row a file.
GENERATED: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "protocol.schema.json": schema,
    "client.md": client,
    "man/selchat-client.1": lambda: command_pages.man("selchat-client"),
    "man/selchat-server.1": lambda: command_pages.man("selchat-server"),
    "completions/selchat-client": lambda: command_pages.bash("selchat-client"),
    "completions/selchat-server": lambda: command_pages.bash("selchat-server"),
    "completions/_selchat": command_pages.zsh,
    "completions/selchat-client.fish": lambda: command_pages.fish("selchat-client"),
    "completions/selchat-server.fish": lambda: command_pages.fish("selchat-server"),
}


def stale(folder: Path = DOCS) -> list[str]:
    """The names of the generated files that are missing in `folder` or differ from the code."""
    return [
        name
        for name, make in GENERATED.items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != make()
    ]


def write(folder: Path = DOCS) -> None:
    """Write every generated file into `folder`."""
    for name, make in GENERATED.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(make(), "utf-8")


def main(arguments: list[str]) -> int:
    """Write, or with `--check` only compare; return the exit code."""
    if arguments not in ([], ["--check"]):
        print(f"docs/generate.py: type  {COMMAND}  or  {COMMAND} --check", file=sys.stderr)
        return 2
    names = stale()
    if not arguments:
        write()
        return 0
    for name in names:
        print(f"docs/{name} is out of date: type  {COMMAND}", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
