"""The two commands: arguments in, an exit code out, and every mistake told in one line.

Exit codes: 0 it ended in good order, 1 it failed, 2 it was called wrongly (flags, environment,
config file). What does the work is imported only once the arguments are right, so that `--help`
and mistakes answer at once.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from ipaddress import AddressValueError, IPv6Address
from pathlib import Path
from typing import NoReturn

from selchat import __version__
from selchat.errors import SelchatError, UsageError
from selchat.settings import DEFAULT_PORT, ClientOptions, ServerSettings, documentation
from selchat.sources import (
    CONFIG_VARIABLE,
    USER_VARIABLE,
    is_host,
    load,
    shown,
    unknown_variables,
)

FAILED = 1
WRONG_USAGE = 2

_ADDRESS = re.compile(r"(?:\[(?P<ip>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>.*))?", re.DOTALL)

_SERVER_EPILOG = f"""\
where settings come from, the later wins:
  defaults < the TOML file (--config) < environment < flags
  The setting of --line-limit is  line_limit = N  in the file and SELCHAT_LINE_LIMIT
  in the environment, and so on for all. {CONFIG_VARIABLE} names the file as --config does.

exit codes:
  0  stopped in good order (SIGTERM, SIGINT)
  1  it failed, for example because the port is in use
  2  wrong usage: flags, environment or config file
"""

_CLIENT_EPILOG = f"""\
what to type, then:
  /join ROOM       create or join a room
  #ROOM MESSAGE    say something to all in a room
  @USER MESSAGE    say something to one user
  /help            list all commands
  quit             leave

environment:
  {USER_VARIABLE}     the name to use where --user is not given

From a pipe or a file, every line is sent as if it was typed:
  uptime | sed 's/^/#ops /' | selchat-client --user cron

exit codes:
  0  done; everything that was sent has been acknowledged
  1  it failed: no connection, or something was refused
  2  wrong usage
"""


def server_main(arguments: Sequence[str] | None = None) -> int:
    """Run selchat-server with `arguments` (sys.argv unless given); return its exit code."""
    return _command("selchat-server", _server, arguments)


def client_main(arguments: Sequence[str] | None = None) -> int:
    """Run selchat-client with `arguments` (sys.argv unless given); return its exit code."""
    return _command("selchat-client", _client, arguments)


def parse_address(text: str) -> tuple[str, int]:
    """`HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or a bare IPv6 address, as host and port.

    The port is 1 to 65535, DEFAULT_PORT where none is given. Raises UsageError.
    """
    if _is_ipv6(text):
        return text, DEFAULT_PORT
    match = _ADDRESS.fullmatch(text)
    if match is None or not (
        _is_ipv6(match["ip"]) if match["ip"] else is_host(match["name"] or "")
    ):
        raise UsageError(f"{shown(text)} is no address; type HOST, HOST:PORT or [IPV6]:PORT")
    port = match["port"]
    if port is None:
        return match["ip"] or match["name"], DEFAULT_PORT
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65_535:
        raise UsageError(f"{shown(port)} is no port; it takes a whole number from 1 to 65535")
    return match["ip"] or match["name"], int(port)


class _Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; try {self.prog} --help")

    def parse_all(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Parse; for what is not known, raise UsageError with the nearest flag."""
        options, unknown = self.parse_known_args(arguments)
        if unknown:
            word = unknown[0].partition("=")[0]
            near = get_close_matches(word, self._option_string_actions, n=1)
            hint = f"did you mean {near[0]}?" if near else f"try {self.prog} --help"
            raise UsageError(f"{shown(word)} is not known; {hint}")
        return options


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
    parser = _parser("selchat-server", "A chat server: one loop, many protocols on one port.")
    parser.usage = "%(prog)s [--host HOST] [--port N] [--data DIR] [--config FILE] [more below]"
    parser.epilog = _SERVER_EPILOG
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings (default: none)")
    for row in documentation():
        text = f"{row.description} Takes {row.takes} (default: {row.default})"
        parser.add_argument(row.flag, metavar=row.placeholder, help=text.replace("%", "%%"))
    given = vars(parser.parse_all(arguments))
    settings = _settings(given.pop("config"), {k: v for k, v in given.items() if v is not None})
    for line in unknown_variables(os.environ):
        _say("selchat-server", line)

    from selchat import server

    return server.run(settings)


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
    parser = _parser("selchat-client", "Chat from the terminal, or from a script.")
    parser.epilog = _CLIENT_EPILOG
    parser.add_argument(
        "address",
        metavar="HOST[:PORT]",
        nargs="?",
        default="localhost",
        help="where the server is; IPv6 as ::1 or [::1]:9000 (default: localhost:9000)",
    )
    parser.add_argument("--user", metavar="NAME", help="your name (default: asked on a terminal)")
    parser.add_argument("--plain", action="store_true", help="line mode, the only one for now")
    parser.add_argument("--json", action="store_true", help="print events as JSON lines, for bots")
    given = parser.parse_all(arguments)
    host, port = parse_address(given.address)
    user: str | None = given.user if given.user is not None else os.environ.get(USER_VARIABLE)
    if given.user == "":
        raise UsageError("--user: the name is empty; type one such as --user alice")
    if not user and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("nobody to ask for a name, as this is no terminal; type --user NAME")

    from selchat.client import plain

    return plain.run(ClientOptions(host=host, port=port, user=user or None, json=given.json))


def _parser(program: str, description: str) -> _Parser:
    parser = _Parser(
        prog=program,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    return parser


def _say(program: str, text: str) -> None:
    """One line on standard error, whatever was in the text."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    print(f"{program}: {line}", file=sys.stderr)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
