"""What the two commands take: flags, help texts, and what is typed turned into values.

Apart from cli.py, because argparse and a parser of sixty flags were a tenth of a server's start.
With nothing but settings among its arguments it starts without.
"""

from __future__ import annotations

import argparse
import re
from argparse import ArgumentTypeError
from collections.abc import Sequence
from difflib import get_close_matches
from ipaddress import AddressValueError, IPv6Address
from typing import NoReturn

from selchat import __version__
from selchat.errors import UsageError
from selchat.settings import DEFAULT_PORT, documentation
from selchat.sources import CONFIG_VARIABLE, USER_VARIABLE, is_host, shown

_ADDRESS = re.compile(r"(?:\[(?P<ip>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>.*))?", re.DOTALL)

_SERVER_EPILOG = f"""\
commands for the operator, each with --help:
  selchat-server status          how the running server is doing
  selchat-server backup FILE     copy the log, while the server runs or without one
  selchat-server check           check that the log is sound
  selchat-server admin           list, add or remove those who see to the server
  selchat-server invite          make an invitation to register with

where settings come from, the later wins:
  defaults < the TOML file (--config) < environment < flags
  The setting of --line-limit is  line_limit = N  in the file and SELCHAT_LINE_LIMIT
  in the environment, and so on for all. {CONFIG_VARIABLE} names the file as --config does.

exit codes:
  0  stopped in good order (SIGTERM, SIGINT)
  1  it failed, for example because the port is in use
  2  wrong usage: flags, environment or config file
"""

_OPERATOR = {
    "status": ("How the running server is doing.", "[--json]"),
    "backup": ("Copy the log to FILE, while the server runs or without one.", "FILE [--force]"),
    "check": ("Check that the log is sound, while the server runs or without one.", ""),
    "admin": ("List, add or remove the admins of the server.", "[list|add NAME|remove NAME]"),
    "invite": ("Make an invitation, with which an account can be registered.", "[--uses N]"),
}
_ALONE = {"-h", "--help", "--version", "--json", "--force"}
"""Flags that take no value."""

_OPERATOR_EPILOG = """\
  --data, --config and the environment say which server is meant, as they do when it starts.

exit codes:
  0  done; for check: the log is sound
  1  it failed, for example because no server runs; for check: the log is not sound
  2  wrong usage: flags, environment or config file
"""

_CLIENT_EPILOG = f"""\
what to type, then:
  /join ROOM       create or join a room
  #ROOM MESSAGE    say something to all in a room
  @USER MESSAGE    say something to one user
  /help            list all commands
  quit             leave

  Plain text goes to the room that you joined or wrote to last; /to TARGET changes that.
  /keys lists the keys of the line editor.

profiles:
  In ~/.config/selchat/client.toml, or where the system keeps settings (or --config FILE):
      [work]
      host = "chat.example.org"
      user = "alice"
      rooms = ["dev", "ops"]
  so that  selchat-client work  is all there is to type. The profile [default] counts
  where nothing is named. A flag wins over a profile.

environment:
  {USER_VARIABLE}     the name to use where --user is not given
  NO_COLOR         if it is set, there are no colours

From a pipe or a file, every line is sent as if it was typed; with --to, as what is said there:
  uptime | sed 's/^/#ops /' | selchat-client --user cron
  uptime | selchat-client --user cron --to '#ops'
  selchat-client --user cron --to '#ops' the disk is full

exit codes:
  0  done; everything that was sent has been acknowledged
  1  it failed: no connection, or something was refused
  2  wrong usage
"""


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


def server_parser() -> _Parser:
    """What selchat-server takes."""
    parser = _parser("selchat-server", "A chat server: one loop, many protocols on one port.")
    parser.usage = "%(prog)s [--host HOST] [--port N] [--data DIR] [--config FILE] [more below]"
    parser.epilog = _SERVER_EPILOG
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings (default: none)")
    for row in documentation():
        text = f"{row.description} Takes {row.takes} (default: {row.default})"
        parser.add_argument(row.flag, metavar=row.placeholder, help=text.replace("%", "%%"))
    return parser


def operator_parser(name: str) -> _Parser:
    """What the command of that name takes: flags of its own, and those of the server."""
    text, usage = _OPERATOR[name]
    parser = _parser(f"selchat-server {name}", text)
    parser.usage = f"%(prog)s {usage} [--data DIR] [--config FILE]"
    parser.epilog = _OPERATOR_EPILOG
    if name == "status":
        parser.add_argument("--json", action="store_true", help="print one JSON object")
    if name == "backup":
        parser.add_argument("file", metavar="FILE", help="where the copy is to be")
        parser.add_argument("--force", action="store_true", help="replace FILE if it is there")
    if name == "admin":
        parser.add_argument(
            "action",
            choices=("list", "add", "remove"),
            nargs="?",
            default="list",
            help="what to do",
        )
        parser.add_argument("user", metavar="NAME", nargs="?", default="", help="the account")
    if name == "invite":
        parser.add_argument(
            "--uses", metavar="N", type=_uses, default=1, help="how many accounts (default: 1)"
        )
        parser.add_argument(
            "--days", metavar="DAYS", type=_days, default=7.0, help="for how long (default: 7)"
        )
    parser.add_argument("--config", metavar="FILE", help="the server's TOML file with settings")
    for row in documentation():
        text = "the server's data folder, where it is not its default or in the TOML file"
        text = text if row.name == "data" else argparse.SUPPRESS
        parser.add_argument(row.flag, metavar=row.placeholder, help=text)
    return parser


def operator_command(words: list[str]) -> str | None:
    """Take the name of an operator's command out of the words, if there is one among them."""
    is_value = False
    for place, word in enumerate(words):
        if is_value:
            is_value = False
        elif word.startswith("-"):
            is_value = "=" not in word and word not in _ALONE
        else:
            return words.pop(place) if word in _OPERATOR else None
    return None


def client_parser() -> _Parser:
    """What selchat-client takes."""
    parser = _parser("selchat-client", "Chat from the terminal, or from a script.")
    parser.usage = "%(prog)s [HOST[:PORT]|PROFILE] [--user NAME] [--to TARGET [MESSAGE ...]]"
    parser.usage += " [more below]"
    parser.epilog = _CLIENT_EPILOG
    parser.add_argument(
        "address",
        metavar="HOST[:PORT]|PROFILE",
        nargs="?",
        help="where the server is, IPv6 as ::1 or [::1]:9000, or the name of a profile "
        "(default: the profile 'default', or localhost:9000)",
    )
    parser.add_argument("--user", metavar="NAME", help="your name (default: asked on a terminal)")
    parser.add_argument(
        "--to",
        metavar=("TARGET", "MESSAGE"),
        nargs="+",
        help="talk to TARGET, '#ROOM' or '@USER', in quotes; say the MESSAGE and end",
    )
    parser.add_argument("--plain", action="store_true", help="line mode, the only one for now")
    parser.add_argument(
        "--linear",
        action="store_true",
        help="nothing moves on the terminal: for screen readers and logs (default where TERM=dumb)",
    )
    parser.add_argument("--no-color", action="store_true", help="no colours")
    parser.add_argument("--no-bell", action="store_true", help="ring for nothing")
    parser.add_argument("--json", action="store_true", help="print events as JSON lines, for bots")
    encryption = parser.add_mutually_exclusive_group()
    encryption.add_argument(
        "--fingerprint",
        metavar="SHA256:…",
        type=_fingerprint,
        help="the server's certificate has this fingerprint, now and from now on",
    )
    encryption.add_argument(
        "--no-tls", action="store_true", help="no encryption: for a server that has none"
    )
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=_seconds,
        help="how long to try to reach a server that was lost "
        "(default: for ever on a terminal, 60 off a terminal)",
    )
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="the first line of FILE is the password of your account (default: asked, once)",
    )
    parser.add_argument(
        "--join-password-file",
        metavar="FILE",
        help="the first line of FILE is the password of the server, where it has one",
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with profiles")
    return parser


def _fingerprint(text: str) -> str:
    if not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", text):
        raise ArgumentTypeError(
            f"{shown(text)} is none; it is SHA256: and 43 letters, digits, + and /"
        )
    return text


def _uses(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1_000_000:
        raise ValueError
    return number


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= 3_650:
        raise ValueError
    return days


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError
    return seconds


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


def _parser(program: str, description: str) -> _Parser:
    parser = _Parser(
        prog=program,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{program} {__version__}")
    return parser


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
