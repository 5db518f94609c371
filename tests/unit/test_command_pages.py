"""Manual pages and completion scripts: all flags are in them, and they work."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from docs import command_pages
from docs.generate import DOCS

PROGRAMS = pytest.mark.parametrize("program", command_pages.PROGRAMS)


@PROGRAMS
def test_every_flag_is_in_every_page(program: str) -> None:
    parser = command_pages.PROGRAMS[program]()
    flags = [flag for flag in parser._option_string_actions if flag.startswith("--")]
    assert len(flags) > 5
    man, bash = command_pages.man(program), command_pages.bash(program).replace('"', " ")
    zsh, fish = command_pages.zsh(), command_pages.fish(program)
    for flag in flags:
        assert flag.replace("-", "\\-") in man
        assert f" {flag} " in bash
        assert f"'{flag}[" in zsh
        assert f" -l {flag[2:]} " in fish


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["selchat-client", "--pl"], {"--plain"}),
        (["selchat-client", "--user", ""], set()),
        (["selchat-server", "--log-level", ""], {"debug", "info", "warning", "error"}),
        (["selchat-server", "--ping"], {"--ping-after", "--ping-timeout"}),
    ],
)
def test_bash_completes(words: list[str], expected: set[str]) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    program = words[0]
    script = (
        f"source '{DOCS}/completions/{program}'\n"
        f"COMP_WORDS=({' '.join(repr(word) for word in words)}) COMP_CWORD={len(words) - 1}\n"
        f"_{program.replace('-', '_')}\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run([bash, "-c", script], capture_output=True, encoding="utf-8", check=True)
    assert (set(done.stdout.split()), done.stderr) == (expected, "")


@PROGRAMS
def test_no_line_of_a_manual_page_is_a_request_by_accident(program: str) -> None:
    known = (".TH ", ".SH ", ".TP", ".nf", ".fi", ".BR ", '.\\"')
    for line in command_pages.man(program).splitlines():
        assert not line.startswith("'")
        assert line.startswith(known) or not line.startswith("."), line
