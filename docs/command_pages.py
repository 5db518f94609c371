"""Manual pages and completion scripts of the commands, from what `--help` is made of.

They are installed where `man`, bash, zsh and fish look for them, below the prefix that pip
installs to (`share/man/man1`, `share/bash-completion/completions`, and so on).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

from selchat import arguments
from selchat.settings import documentation

COMMAND = "python docs/generate.py"
PROGRAMS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "selchat-server": arguments.server_parser,
    "selchat-client": arguments.client_parser,
}
SEE_ALSO = {"selchat-server": "selchat-client", "selchat-client": "selchat-server"}


def man(program: str) -> str:
    """Give the manual page of a command, in the macros that man has."""
    parser = PROGRAMS[program]()
    usage = parser.format_usage().removeprefix("usage: ").strip().removesuffix(" [more below]")
    lines = [
        f'.\\" Made from --help by `{COMMAND}`: change it there.',
        f'.TH {program.upper()} 1 "" selchat "User Commands"',
        ".SH NAME",
        _roff(f"{program} - {_lower(parser.description or '')}".rstrip(".")),
        ".SH SYNOPSIS",
        _roff(re.sub(r"\s+", " ", usage)),
        ".SH OPTIONS",
    ]
    for action in _actions(parser):
        lines += [".TP", _roff(_form(action)), _roff(_help(action))]
    lines += [".SH NOTES", ".nf", *map(_roff, (parser.epilog or "").strip().split("\n")), ".fi"]
    lines += [".SH SEE ALSO", f".BR {SEE_ALSO[program].replace('-', chr(92) + '-')} (1)"]
    return "\n".join(lines) + "\n"


def bash(program: str) -> str:
    """The completion of a command for bash, which finds it by the name of the file."""
    actions = _actions(PROGRAMS[program]())
    flags = " ".join(flag for action in actions for flag in action.option_strings)
    cases = [
        f"        {'|'.join(action.option_strings)}) {_bash_values(action)}; return ;;"
        for action in actions
        if action.option_strings and action.nargs != 0
    ]
    function = "_" + program.replace("-", "_")
    parts = [
        f"# Made from --help by `{COMMAND}`: change it there.",
        f"{function}() {{",
        '    local word="${COMP_WORDS[COMP_CWORD]}"',
        "    COMPREPLY=()",
        '    case "${COMP_WORDS[COMP_CWORD-1]}" in',
        *cases,
        "    esac",
        f'    COMPREPLY=($(compgen -W "{flags}" -- "$word"))',
        "}",
        f"complete -F {function} {program}",
    ]
    return "\n".join(parts) + "\n"


def zsh() -> str:
    """The completion of both commands for zsh."""
    parts = [f"#compdef {' '.join(PROGRAMS)}", f"# Made from --help by `{COMMAND}`."]
    parts.append('case "$service" in')
    for program, make in PROGRAMS.items():
        parts.append(f"{program})")
        parts.append("    _arguments \\")
        for action in _actions(make()):
            text = _quoted(_short(_help(action)))
            for flag in action.option_strings:
                value = (
                    "" if action.nargs == 0 else f":{_placeholder(action)}:{_zsh_values(action)}"
                )
                parts.append(f"        '{flag}[{text}]{value}' \\")
            if not action.option_strings:
                parts.append(f"        '::{_quoted(_placeholder(action))}:_hosts' \\")
        parts[-1] = parts[-1].removesuffix(" \\")
        parts.append("    ;;")
    return "\n".join([*parts, "esac"]) + "\n"


def fish(program: str) -> str:
    """The completion of a command for fish."""
    parts = [f"# Made from --help by `{COMMAND}`: change it there.", f"complete -c {program} -f"]
    for action in _actions(PROGRAMS[program]()):
        for flag in action.option_strings:
            form = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
            values = "" if action.nargs == 0 else _fish_values(action)
            text = _short(_help(action)).replace("\\", "\\\\").replace("'", "\\'")
            parts.append(f"complete -c {program} {form}{values} -d '{text}'")
    return "\n".join(parts) + "\n"


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001  (argparse has no other way to ask)


def _form(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else _placeholder(action)
    if not action.option_strings:
        return value
    return ", ".join(f"{flag} {value}".rstrip() for flag in action.option_strings)


def _placeholder(action: argparse.Action) -> str:
    if isinstance(action.metavar, tuple):
        first, *rest = action.metavar
        return " ".join([first, *(f"[{word} ...]" for word in rest)])
    return action.metavar or action.dest


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def _short(text: str) -> str:
    """Its first sentence."""
    return re.split(r"[.;:] |\.$| \(", text, maxsplit=1)[0]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _roff(line: str) -> str:
    """A line of text for man(7): no escapes, no requests."""
    line = line.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "\\&" + line if line[:1] == "." else line


def _quoted(text: str) -> str:
    """Inside single quotes, in the brackets of _arguments."""
    text = re.sub(r"([\[\]:\\])", r"\\\1", text)
    return text.replace("'", "'\\''")


def _takes_file(action: argparse.Action) -> bool:
    return action.metavar in ("FILE", "DIR") or str(action.metavar).endswith("_FILE")


def _choices(action: argparse.Action) -> list[str]:
    """The values of a setting that takes one of a few."""
    for row in documentation():
        if row.flag in action.option_strings and row.takes.startswith("one of "):
            return row.takes.removeprefix("one of ").split(", ")
    return []


def _bash_values(action: argparse.Action) -> str:
    if _takes_file(action):
        return 'COMPREPLY=($(compgen -f -- "$word"))'
    if choices := _choices(action):
        return f'COMPREPLY=($(compgen -W "{" ".join(choices)}" -- "$word"))'
    return ":"


def _zsh_values(action: argparse.Action) -> str:
    if _takes_file(action):
        return "_files"
    choices = _choices(action)
    return f"({' '.join(choices)})" if choices else ""


def _fish_values(action: argparse.Action) -> str:
    if _takes_file(action):
        return " -r -F"
    choices = _choices(action)
    return f" -x -a '{' '.join(choices)}'" if choices else " -x"
