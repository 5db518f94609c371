"""`--to TARGET`: one message from the arguments, or one for each line of a pipe."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import PATIENCE, ServerProcess, Text, environment
from tests.e2e.screens import CLIENT


@pytest.fixture
def bob(server: ServerProcess) -> Text:
    return server.text("bob", "ops")


def run(
    server: ServerProcess, home: Path, *arguments: str, typed: str | None = None
) -> tuple[int, str, str]:
    """Exit code, standard output, standard error. Without `typed` the input never ends."""
    command = (*CLIENT, f"127.0.0.1:{server.port}", "--user", "cron", *arguments)
    done = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(HOME=str(home), XDG_CONFIG_HOME=str(home)),
    )
    with done:
        try:
            if typed is None:
                done.wait(PATIENCE)
            out, err = done.communicate(typed, PATIENCE)
        finally:
            done.kill()
    return done.returncode, out, err


def test_the_words_behind_it_are_a_message(
    server: ServerProcess, bob: Text, tmp_path: Path
) -> None:
    assert run(server, tmp_path, "--to", "#ops", "the disk", "is full") == (0, "", "")
    bob.expect("* cron joined #ops", "[#ops] cron: the disk is full", "* cron left #ops (quit)")


def test_each_line_of_a_pipe_is_a_message_whatever_it_looks_like(
    server: ServerProcess, bob: Text, tmp_path: Path
) -> None:
    typed = "one\n/join dev\n\n#dev hi\nquit\n{}\nlast"
    assert run(server, tmp_path, "--to", "#ops", typed=typed) == (0, "", "")
    bob.expect("* cron joined #ops")
    for line in typed.replace("\n\n", "\n").split("\n"):
        bob.expect(f"[#ops] cron: {line}")
    bob.expect("* cron left #ops (quit)")


def test_one_user_can_be_told(server: ServerProcess, bob: Text, tmp_path: Path) -> None:
    assert run(server, tmp_path, "--to", "@bob", "psst") == (0, "", "")
    bob.expect("[@cron] psst")


def test_what_is_refused_is_a_failure_with_its_reason(
    server: ServerProcess, tmp_path: Path
) -> None:
    code, out, err = run(server, tmp_path, "--to", "@nobody", "psst")
    assert (code, out) == (1, "")
    assert err.startswith("selchat-client: refused: there is no user nobody here")
    assert err.count("\n") == 1


def test_a_line_that_is_too_long_is_a_failure_and_the_others_are_sent(
    server: ServerProcess, bob: Text, tmp_path: Path
) -> None:
    code, _, err = run(server, tmp_path, "--to", "#ops", typed=f"a\n{'x' * 70_000}\nb\n")
    assert code == 1
    assert "send it in pieces" in err
    bob.expect("* cron joined #ops", "[#ops] cron: a", "[#ops] cron: b")
