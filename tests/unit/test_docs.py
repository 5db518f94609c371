"""The pages of docs/ that are made from the code say what the code says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from docs import generate
from selchat.settings import documentation


def test_the_generated_pages_are_up_to_date() -> None:
    assert generate.stale() == [], f"type  {generate.COMMAND}"


def test_a_page_that_differs_or_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "GENERATED", {"a.md": lambda: "a\n", "b.md": lambda: "b\n"})
    assert generate.stale(tmp_path) == ["a.md", "b.md"]
    generate.write(tmp_path)
    assert generate.stale(tmp_path) == []
    (tmp_path / "b.md").write_text("B\n")
    assert generate.stale(tmp_path) == ["b.md"]


def test_check_exits_with_1_and_names_what_to_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "stale", lambda: ["a.md"])
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err == ("docs/a.md is out of date: type  python docs/generate.py\n")


def test_an_unknown_argument_is_wrong_usage() -> None:
    assert generate.main(["--chekc"]) == 2


def test_every_setting_is_in_the_page() -> None:
    page = generate.configuration()
    for row in documentation():
        assert f"| `{row.name}` | {row.default} | {row.description}" in page


def test_the_readme_and_the_protocol_show_the_dispatchers_table() -> None:
    for page in ("README.md", "docs/protocol.md"):
        assert generate.command_table() in (generate.ROOT / page).read_text("utf-8"), page


def test_every_error_code_is_in_the_protocol() -> None:
    page = (generate.ROOT / "docs/protocol.md").read_text("utf-8")
    codes = {
        str(argument.value)
        for file in (generate.ROOT / "selchat").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("Refusal", "Error")
        for argument in (*node.args[:2], *(k.value for k in node.keywords if k.arg == "code"))
        if isinstance(argument, ast.Constant) and re.fullmatch("[a-z-]+", str(argument.value))
    }
    assert len(codes) > 15
    assert sorted(code for code in codes if f"`{code}`" not in page) == []
