"""Where settings come from: defaults < TOML file < environment (`SELCHAT_…`) < flags.

Nothing here reads a file, the environment or the command line: bytes and mappings come in. A wrong
one is a `UsageError` of one line that says which source, what is wrong there and what it takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import ValidationError, convert

from selchat.addresses import Networks
from selchat.errors import UsageError
from selchat.model import names
from selchat.settings import VARIABLE_PREFIX, ServerSettings, SettingRow, documentation

CONFIG_VARIABLE: Final = "SELCHAT_CONFIG"
USER_VARIABLE: Final = "SELCHAT_USER"
OTHER_VARIABLES: Final = (CONFIG_VARIABLE, USER_VARIABLE, "SELCHAT_REQUIRE_ALL")
"""Ours, but no server settings: these get no warning."""

_SHOWN: Final = 60
_HOST: Final = re.compile(r"[^\s\x00-\x1f\x7f\[\]/@]{1,253}")


def load(
    *,
    toml: tuple[str, bytes] | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> ServerSettings:
    """Put the settings together: defaults < `toml` < `environ` < `flags`.

    `toml` is a file's name (for errors) and its content; `flags` maps names of settings to what
    was typed. An empty variable counts as not set. Raises UsageError for the first thing wrong.
    """
    rows = {row.name: row for row in documentation()}
    values: dict[str, object] = {}
    sources: dict[str, str] = {}

    def take(name: str, value: object, source: str, *, text: bool) -> None:
        values[name] = _converted(value, rows[name], source, text=text)
        sources[name] = source

    if toml is not None:
        for name, value in _table(*toml, rows).items():
            take(name, _one_text(name, value), f"{toml[0]}: {name}", text=False)
    for name, row in rows.items():
        if value := (environ or {}).get(row.variable):
            take(name, value, row.variable, text=True)
    for name, value in (flags or {}).items():
        take(name, value, rows[name].flag, text=True)
    settings = convert(values, ServerSettings)
    _check_pairs(settings, sources)
    return settings


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """One line of warning for each `SELCHAT_…` variable that sets nothing."""
    known = [row.variable for row in documentation()] + list(OTHER_VARIABLES)
    return [
        f"{shown(name)} sets nothing; {did_you_mean(name, known)}"
        for name in sorted(environ)
        if name.startswith(VARIABLE_PREFIX) and name not in known
    ]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest of `known` as a question, or where to find them all."""
    nearest = names.closest(word, known)
    return f"did you mean {nearest}?" if nearest else "selchat-server --help lists the settings"


def is_host(text: str) -> bool:
    """Whether `text` can be looked up at all: its characters and lengths (RFC 1035, RFC 3490)."""
    if not _HOST.fullmatch(text):
        return False
    try:
        text.encode("idna")  # what getaddrinfo would do, and raise UnicodeError from
    except UnicodeError:
        return False
    return True


def is_networks(text: str) -> bool:
    """Whether `text` is a list of addresses and networks, or says that there is none."""
    try:
        Networks(text)
    except ValueError:
        return False
    return True


def shown(value: object) -> str:
    """`value` in quotes, escaped and shortened, for a line of error."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 2]}…{text[-1]}"


def parse_toml(path: str, content: bytes, example: str) -> dict[str, object]:
    """What a TOML file says. `path` and `example`, what a right line is like, are for the errors.

    Raises `UsageError`.
    """
    import tomllib  # late: most servers have no such file

    try:
        # utf-8-sig: some editors put a byte order mark first, which TOML does not know.
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML: {error}; {example}") from None


def _table(path: str, content: bytes, known: Iterable[str]) -> dict[str, object]:
    table = parse_toml(path, content, "a line is such as  port = 9000")
    for key in table:
        if key not in known:
            raise UsageError(f"{path}: {shown(key)} is no setting; {did_you_mean(key, known)}")
    return table


def _converted(value: object, row: SettingRow, source: str, *, text: bool) -> object:
    """`value` as the setting's type; `text` says that numbers are to be read from text."""
    if _fits(value, row, text=text):
        return convert(value, row.type, strict=not text)
    hint = ", without quotes" if not text and _fits(value, row, text=True) else ""
    raise UsageError(f"{source}: {shown(value)} is not allowed; it takes {row.takes}{hint}")


def _one_text(name: str, value: object) -> object:
    """A list of networks as the text that other sources have: TOML has lists."""
    if name == "limits_exempt" and isinstance(value, list):
        return ", ".join(map(str, value))
    return value


def _fits(value: object, row: SettingRow, *, text: bool) -> bool:
    try:
        result = convert(value, row.type, strict=not text)
    except ValidationError:
        return False
    if row.name == "host":
        return is_host(str(result))
    if row.name == "limits_exempt":
        return is_networks(str(result))
    return row.name != "data" or (result != "" and "\0" not in str(result))


def _check_pairs(settings: ServerSettings, sources: Mapping[str, str]) -> None:
    """Settings that only make sense together; the source named is one that was set."""
    if settings.hard_limit <= settings.soft_limit:
        raise UsageError(
            f"{sources.get('hard_limit') or sources['soft_limit']}: hard_limit "
            f"({settings.hard_limit}) must be greater than soft_limit ({settings.soft_limit})"
        )
    if (settings.cert is None) != (settings.key is None):
        raise UsageError(
            f"{sources.get('cert') or sources['key']}: cert and key belong together: set both"
        )
    if settings.token_lifetime < settings.grace:
        raise UsageError(
            f"{sources.get('token_lifetime') or sources['grace']}: token_lifetime "
            f"({settings.token_lifetime:.10g}) must not be less than grace ({settings.grace:.10g})"
        )
