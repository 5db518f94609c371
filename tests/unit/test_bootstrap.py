"""From a checkout the commands run with what there is, or say in one line what to type."""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import cryptography
import ifaddr
import msgspec
import platformdirs
import pytest
import scramp
import wcwidth

ROOT = Path(__file__).resolve().parents[2]
SHIMS = ["selchat-server", "selchat-client"]
CLI = """\
import os, sys
def server_main():
    print("server", *sys.argv[1:])
    print(os.path.dirname(os.path.dirname(sys.executable)))
    print([name for name in os.environ if name.startswith("SELCHAT_")])
    return 7
def client_main():
    print("client", *sys.argv[1:])
    return 0
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment without the dependencies."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose commands only print how they were called; its path needs quoting."""
    root = tmp_path / "a check out"
    (root / "selchat").mkdir(parents=True)
    shutil.copytree(ROOT / "bin", root / "bin")
    for name in ("__init__.py", "bootstrap.py"):
        shutil.copy(ROOT / "selchat" / name, root / "selchat")
    (root / "selchat" / "cli.py").write_text(CLI)
    return root


def with_dependencies(folder: Path) -> Path:
    """Make a virtual environment with the dependencies in `folder`."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    modules = (cryptography, msgspec, ifaddr, platformdirs, wcwidth, scramp)
    homes = {str(Path(str(module.__file__)).parents[1]) for module in modules}
    (packages / "dependencies.pth").write_text("\n".join(homes))
    return folder


def python_script(checkout: Path, text: str) -> None:
    """Put a script where .venv has its Python."""
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(text)
    python.chmod(0o755)


def run(
    *command: Path | str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SELCHAT_", "PYTHON"))}
    return subprocess.run(
        list(map(str, command)),
        env={**clean, **(environ or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def assert_says_what_to_type(done: subprocess.CompletedProcess[str], root: Path) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"selchat-server: msgspec is not installed: type  cd {shlex.quote(str(root))} && "
        "python3 -m venv .venv && .venv/bin/pip install .\n"
    )


def test_an_interpreter_with_the_dependencies_runs_it_whatever_venv_there_is(
    checkout: Path,
) -> None:
    python_script(checkout, "#!/bin/sh\nexit 99\n")
    done = run(sys.executable, checkout / "bin" / "selchat-server", "--port", "0")
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "server --port 0"
    assert done.returncode == 7


@pytest.mark.parametrize("shim", SHIMS)
def test_without_the_dependencies_the_venv_beside_bin_runs_it(
    checkout: Path, bare: Path, shim: str
) -> None:
    with_dependencies(checkout / ".venv")
    done = run(bare / "bin" / "python", checkout / "bin" / shim, "a b", "*")
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == f"{shim.removeprefix('selchat-')} a b *"


def test_the_commands_see_no_trace_of_how_they_were_started(checkout: Path, bare: Path) -> None:
    with_dependencies(checkout / ".venv")
    done = run(bare / "bin" / "python", checkout / "bin" / "selchat-server")
    assert done.stdout.splitlines() == ["server", str(checkout / ".venv"), "[]"]
    assert done.returncode == 7


def test_a_script_runs_by_itself_and_through_a_symbolic_link(checkout: Path, bare: Path) -> None:
    with_dependencies(checkout / ".venv")
    elsewhere = checkout.parent / "chat"
    elsewhere.symlink_to(checkout / "bin" / "selchat-client")
    path = f"{bare / 'bin'}:{os.environ['PATH']}"
    for script in (checkout / "bin" / "selchat-client", elsewhere):
        done = run(script, "x", environ={"PATH": path})
        assert (done.returncode, done.stdout, done.stderr) == (0, "client x\n", "")


def test_without_dependencies_and_venv_it_says_what_to_type(checkout: Path, bare: Path) -> None:
    done = run(bare / "bin" / "python", checkout / "bin" / "selchat-server")
    assert_says_what_to_type(done, checkout)


def test_a_venv_without_the_dependencies_is_tried_once(checkout: Path, bare: Path) -> None:
    venv.create(checkout / ".venv", with_pip=False, symlinks=True)
    done = run(bare / "bin" / "python", checkout / "bin" / "selchat-server")
    assert_says_what_to_type(done, checkout)
    done = run(checkout / ".venv" / "bin" / "python", checkout / "bin" / "selchat-server")
    assert_says_what_to_type(done, checkout)


def test_a_venv_that_leads_back_is_tried_once(checkout: Path, bare: Path) -> None:
    python_script(checkout, f'#!/bin/sh\n"{bare / "bin" / "python"}" "$@"\n')
    done = run(bare / "bin" / "python", checkout / "bin" / "selchat-server")
    assert_says_what_to_type(done, checkout)


def test_a_broken_venv_counts_as_none(checkout: Path, bare: Path) -> None:
    python_script(checkout, "neither a program nor a script\n")
    done = run(bare / "bin" / "python", checkout / "bin" / "selchat-server")
    assert_says_what_to_type(done, checkout)
    (checkout / ".venv" / "bin" / "python").unlink()
    (checkout / ".venv" / "bin" / "python").symlink_to(checkout / "gone")
    done = run(bare / "bin" / "python", checkout / "bin" / "selchat-server")
    assert_says_what_to_type(done, checkout)


def test_an_interrupt_while_modules_are_loaded_leaves_no_traceback(checkout: Path) -> None:
    (checkout / "selchat" / "cli.py").write_text("raise KeyboardInterrupt")
    done = run(sys.executable, checkout / "bin" / "selchat-server")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.mark.parametrize(
    "file",
    ["bin/selchat-server", "bin/selchat-client", "selchat/__init__.py", "selchat/bootstrap.py"],
)
def test_what_an_old_python_reads_it_can_parse(file: str) -> None:
    ast.parse((ROOT / file).read_text("utf-8"), feature_version=(3, 6))


def test_a_python_that_is_too_old_says_so(checkout: Path) -> None:
    pretend = (
        "import runpy, sys; sys.version_info = (3, 6, 15, 'final', 0); "
        f"runpy.run_path({str(checkout / 'bin' / 'selchat-server')!r}, run_name='__main__')"
    )
    done = run(sys.executable, "-c", pretend)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "selchat-server: this is Python 3.6 and it needs 3.11 or newer: type  cd "
    )
    assert "python3.11 -m venv" in done.stderr
    assert done.stderr.count("\n") == 1


def test_old_pythons_that_are_here_say_so_or_use_the_venv(checkout: Path) -> None:
    versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    old = [python for minor in range(6, 11) for python in versions.glob(f"3.{minor}.*/bin/python")]
    for python in old:
        done = run(python, checkout / "bin" / "selchat-server")
        assert done.returncode == 1
        assert "and it needs 3.11 or newer: type  cd " in done.stderr
        assert "&& python3.11 -m venv .venv && .venv/bin/pip install .\n" in done.stderr
        assert done.stderr.count("\n") == 1
    with_dependencies(checkout / ".venv")
    for python in old:
        done = run(python, checkout / "bin" / "selchat-client", "x")
        assert (done.returncode, done.stdout, done.stderr) == (0, "client x\n", "")
