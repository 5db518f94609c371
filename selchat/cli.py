"""The two commands: arguments in, an exit code out, and every mistake told in one line.

Exit codes: 0 it ended in good order, 1 it failed, 2 it was called wrongly (flags, environment,
config file). What does the work is imported only once the arguments are right, so that `--help`
and mistakes answer at once.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selchat.errors import Refusal, SelchatError, UsageError
from selchat.model import names
from selchat.settings import ClientOptions, ServerSettings, documentation
from selchat.sources import CONFIG_VARIABLE, USER_VARIABLE, load, shown, unknown_variables

if TYPE_CHECKING:
    from selchat.client import profiles

FAILED = 1
WRONG_USAGE = 2


def server_main(arguments: Sequence[str] | None = None) -> int:
    """Run selchat-server with `arguments` (sys.argv unless given); return its exit code."""
    return _command("selchat-server", _server, arguments)


def client_main(arguments: Sequence[str] | None = None) -> int:
    """Run selchat-client with `arguments` (sys.argv unless given); return its exit code."""
    return _command("selchat-client", _client, arguments)


def _command(
    program: str,
    body: Callable[[Sequence[str] | None], int],
    arguments: Sequence[str] | None,
) -> int:
    try:
        return body(arguments)
    except UsageError as error:
        _say(program, str(error))
        return WRONG_USAGE
    except SelchatError as error:
        _say(program, str(error))
        return FAILED
    except KeyboardInterrupt:
        return FAILED  # before a loop ran that could stop in good order


def _server(arguments: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    given = _settings_only(words)
    if given is None:
        from selchat.arguments import operator_command, operator_parser, server_parser

        name = operator_command(words)
        parser = server_parser() if name is None else operator_parser(name)
        given = vars(parser.parse_all(words))
        if name is not None:
            from selchat import operate

            own = {key: given.pop(key) for key in operate.Asked._fields if key in given}
            return operate.run(name, _server_settings(given), operate.Asked(**own))
    settings = _server_settings(given)
    for line in unknown_variables(os.environ):
        _say("selchat-server", line)
    gc.disable()  # Loading makes next to no garbage; looking for it was a tenth of a start.
    try:
        from selchat import server

        return server.run(settings)  # which enables it again
    finally:
        gc.enable()


def _settings_only(words: list[str]) -> dict[str, Any] | None:
    """What the parser would make of the words, where they are nothing but settings and values.

    None where anything else is among them, or is wrong. So the usual start makes no parser.
    """
    names_of = {"--config": "config"} | {row.flag: row.name for row in documentation()}
    given: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        flag, together, value = word.partition("=")
        if not together:
            value = next(rest, "-")
            if value.startswith("-"):
                return None
        if flag not in names_of:
            return None
        given[names_of[flag]] = value
    return given


def _server_settings(given: dict[str, Any]) -> ServerSettings:
    config = given.pop("config", None)
    return _settings(config, {name: text for name, text in given.items() if text is not None})


def _settings(config: str | None, flags: dict[str, str]) -> ServerSettings:
    source, path = "--config", config
    if config is None:
        source, path = CONFIG_VARIABLE, os.environ.get(CONFIG_VARIABLE) or None
    if path is None:
        return load(environ=os.environ, flags=flags)
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"{source}: cannot read {shown(path)}: {why}; it takes a TOML file"
        ) from None
    return load(toml=(path, content), environ=os.environ, flags=flags)


def _client(arguments: Sequence[str] | None) -> int:
    from selchat.arguments import client_parser, parse_address
    from selchat.client import profiles

    given = client_parser().parse_all(arguments)

    named = _profile(given.config, given.address)
    profile = named or profiles.Profile()
    host, port = profile.host, profile.port
    if named is None and given.address is not None:
        host, port = parse_address(given.address)
    if given.user == "":
        raise UsageError("--user: the name is empty; type one such as --user alice")
    user = given.user or os.environ.get(USER_VARIABLE) or profile.user
    if not user and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("nobody to ask for a name, as this is no terminal; type --user NAME")
    to, *message = given.to or [""]
    if given.to is not None:
        _check_target(to)
    options = ClientOptions(
        host=host,
        port=port,
        user=user,
        json=given.json,
        tls=not given.no_tls,
        fingerprint=given.fingerprint,
        rooms=() if to else tuple(profile.rooms),
        bell=profile.bell and not given.no_bell,
        color=profile.color and not given.no_color,
        linear=profile.linear or given.linear,
        history=profile.history,
        patience=given.patience,
        to=to,
        message=" ".join(message) if message else None,
        password_file=given.password_file or profile.password_file,
        join_password_file=given.join_password_file or profile.join_password_file,
    )

    from selchat.client import plain

    return plain.run(options)


def _profile(config: str | None, name: str | None) -> profiles.Profile | None:
    """The profile of that name, or the default one for None; None if there is none."""
    # Late, as all that only one of the commands needs: a server starts without it.
    from platformdirs import user_config_path

    from selchat.client import profiles

    path = Path(config) if config is not None else user_config_path("selchat") / "client.toml"
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        if config is None:
            return None
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"--config: cannot read {shown(config)}: {why}; it takes a TOML file"
        ) from None
    return profiles.load(str(path), content).get(profiles.DEFAULT if name is None else name)


def _check_target(to: str) -> None:
    try:
        if to[:1] == "#":
            names.room(to)
        elif to[:1] == "@":
            names.user(to[1:])
        else:
            raise UsageError(f"--to: {shown(to)} is no target; type '#ROOM' or '@USER', in quotes")
    except Refusal as refusal:
        raise UsageError(f"--to: {shown(to)}: {refusal.text}") from None


def _say(program: str, text: str) -> None:
    """One line on standard error, whatever was in the text."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    print(f"{program}: {line}", file=sys.stderr)
