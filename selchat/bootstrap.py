"""Run a command from a checkout, with whatever Python called it.

Beside the standard library this needs nothing, and its syntax is that of Python 3.6, so that an
old interpreter can still say what to type. In this order: the calling interpreter if it is new
enough and has the dependencies; else `.venv/bin/python` beside bin/; else one line of help.
"""

import importlib.util
import os
import sys

OLDEST = (3, 11)
DEPENDENCIES = ("msgspec", "cryptography", "ifaddr", "platformdirs", "wcwidth", "scramp")

# Set for the interpreter of .venv only, which takes it out again: whatever .venv/bin/python is,
# it is tried once and nobody else ever sees the variable.
_TRIED = "SELCHAT_BOOTSTRAP"


def main(program: str) -> None:
    """Run `program` (selchat-server or selchat-client) and exit with its code; never returns."""
    root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    tried = os.environ.pop(_TRIED, None) is not None
    missing = what_is_missing()
    if not missing:
        _run(program)
    venv = os.path.join(root, ".venv", "bin", "python")
    if not tried and os.access(venv, os.X_OK):
        script = os.path.join(root, "bin", program)
        try:
            os.execve(venv, [venv, script] + sys.argv[1:], dict(os.environ, **{_TRIED: "1"}))
        except OSError:  # a broken .venv counts as none
            pass
    sys.stderr.write("%s: %s: type  %s\n" % (program, missing, _remedy(root)))
    sys.exit(1)


def what_is_missing() -> str:
    """Why this interpreter cannot run selchat, as a clause; empty if it can."""
    if sys.version_info < OLDEST:
        have, need = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST))
        return "this is Python %s and it needs %s or newer" % (have, need)
    for name in DEPENDENCIES:
        if importlib.util.find_spec(name) is None:
            return "%s is not installed" % name
    return ""


def _remedy(root: str) -> str:
    import shlex  # late: hardly ever needed

    python = "python3" if sys.version_info >= OLDEST else "python%d.%d" % OLDEST
    # A .venv of an old Python cannot be upgraded in place.
    clear = " --clear" if sys.version_info < OLDEST and sys.prefix != sys.base_prefix else ""
    return "cd %s && %s -m venv%s .venv && .venv/bin/pip install ." % (
        shlex.quote(root),
        python,
        clear,
    )


def _run(program: str) -> None:
    try:
        from selchat import cli

        commands = {"selchat-server": cli.server_main, "selchat-client": cli.client_main}
        code = commands[program]()
    except KeyboardInterrupt:  # while modules were being loaded
        code = 1
    sys.exit(code)
