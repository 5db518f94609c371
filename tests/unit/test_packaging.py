"""What pyproject.toml says fits the tree."""

from __future__ import annotations

import tomllib
from pathlib import Path

import selchat
from selchat import bootstrap, cli

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_every_package_is_installed() -> None:
    packages = {
        ".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "selchat").rglob("*.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages
    for package in packages:
        assert (ROOT / package.replace(".", "/") / "__init__.py").is_file(), package


def test_the_shims_look_for_the_dependencies_that_are_declared() -> None:
    declared = [dependency.partition(">")[0] for dependency in PROJECT["project"]["dependencies"]]
    assert list(bootstrap.DEPENDENCIES) == declared


def test_the_shims_want_the_python_that_is_declared() -> None:
    oldest = ".".join(map(str, bootstrap.OLDEST))
    assert PROJECT["project"]["requires-python"] == f">={oldest}"


def test_the_commands_that_are_declared_exist() -> None:
    for target in PROJECT["project"]["scripts"].values():
        module, _, function = target.partition(":")
        assert module == cli.__name__
        assert callable(getattr(cli, function))


def test_the_version_is_a_version() -> None:
    assert all(part.isdigit() for part in selchat.__version__.split("."))
