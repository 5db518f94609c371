"""Look for inputs that break a target, guided by what code they reach (atheris, libFuzzer).

    tox -e fuzz                              every target for 20 seconds
    tox -e fuzz -- --seconds 600 client tls_server
    python -m tests.fuzz.run --seconds 60 server

Each target runs in a process of its own. It starts from tests/corpus/ and from what earlier runs
found worth keeping (`--kept`, a folder). An input that breaks it is written to tests/corpus/fuzz/,
where tests/unit/test_fuzz_targets.py will try it from then on: mend the code, and give the file a
name that says what it is.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
NAMES = (
    "words",
    "sniffer",
    "text",
    "jsonl",
    "server",
    "tls_server",
    "tls_client",
    "state",
    "client",
)


def main() -> int:
    """Run targets, one after the other; the exit code is 1 if one was broken."""
    parser = argparse.ArgumentParser(description="Fuzz the targets of tests/fuzz/targets.py.")
    parser.add_argument("targets", nargs="*", choices=[[], *NAMES], metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (20)")
    parser.add_argument("--kept", type=Path, help="folder for inputs that reach more code")
    options = parser.parse_args()
    broken = False
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.targets or NAMES:
            kept = (options.kept or Path(scratch)) / name
            broken |= not run(name, options.seconds, kept)
    return int(broken)


def run(name: str, seconds: int, kept: Path) -> bool:
    """Run one target in a process of its own; say what came of it, and whether it held."""
    kept.mkdir(parents=True, exist_ok=True)
    found = CORPUS / "fuzz" / name
    found.mkdir(parents=True, exist_ok=True)
    for place, seed in enumerate(seeds(name)):
        (kept / f"seed-{place}").write_bytes(seed)
    flags = [f"-max_total_time={seconds}", f"-artifact_prefix={found}/", "-max_len=4096"]
    flags += [str(kept), str(found), "-print_final_stats=1", "-rss_limit_mb=1024", "-timeout=20"]
    command = [sys.executable, "-m", "tests.fuzz.run", "--inside", name, *flags]
    with tempfile.TemporaryDirectory() as home:
        environ = {**os.environ, "HOME": home, "TERM": "xterm"}
        environ |= {f"XDG_{kind}_HOME": home for kind in ("STATE", "DATA", "CONFIG")}
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    told = done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")
    counts = re.search(r"number_of_executed_units:\s*(\d+)", told)
    reached = re.findall(r"cov: (\d+)", told)
    print(
        f"{name}: {counts[1] if counts else '?'} executions, "
        f"{reached[-1] if reached else '?'} places reached, "
        f"{'held' if done.returncode == 0 else 'BROKEN'}",
        flush=True,
    )
    if done.returncode:
        print(told[-4_000:], flush=True)
    return done.returncode == 0


def inside(target: str, flags: list[str]) -> None:
    """Be the process of one target, with the flags and folders of libFuzzer. Does not return."""
    import atheris

    with atheris.instrument_imports(include=["selchat"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *flags], TARGETS[target])
    atheris.Fuzz()


def seeds(name: str) -> list[bytes]:
    """What to begin with: the corpus, in the form that a target takes."""
    told = b"\n".join(msgspec.json.encode(event) for event in EVENTS)
    if name == "state":
        return [b"\x90" + told, b"\x50" + told + b"\n/join dev\n#dev hi\n@bob hi\n" + told]
    if name == "client":
        typed = b"\xff/join dev\rhi\r@b\t\r/me waves\r\xff"
        return [bytes([n]) + told[: told.index(b"\n") + 1] + typed + told + b"\n" for n in range(8)]
    sent = [path.read_bytes()[:4_096] for path in sorted(CORPUS.glob("*/*.in"))]
    if name == "server":
        log_in = b'{"type":"hello","user":"bob"}\n{"type":"join","room":"dev"}\n'
        return [b"alice\n/join dev\n" + one + b"\xff" + log_in + one for one in sent] + sent
    if name.startswith("tls"):
        return [
            bytes([flights, size, twist, 0, 9]) for flights in range(4) for size, twist in TWISTS
        ]
    return [b"\x02\x03\x10" + one for one in sent]


TWISTS = ((0, 0), (0, 1), (3, 0x80))
ENTRY = {"seq": 3, "at": "2026-01-31T12:03:04.567Z"}
MESSAGE = {"type": "message", **ENTRY, "to": "#dev", "from": "bob", "text": "hi"}
EVENTS: list[dict[str, object]] = [
    {"type": "welcome", "user": "alice", "token": "t", "seq": 1, "log": "l", "version": "1"}
    | {"line_limit": 65_536, "rooms": ["dev"]},
    MESSAGE,
    MESSAGE | {"to": "@alice", "action": True},
    MESSAGE | {"from": "alice", "id": "~1"},
    *({"type": "ok", "id": f"~{number}", "seq": 9 + number} for number in range(1, 6)),
    {"type": "error", "id": "~6", "code": "not-a-member", "text": "no"},
    {"type": "joined", **ENTRY, "room": "dev", "user": "alice"},
    {"type": "left", **ENTRY, "room": "dev", "user": "alice", "reason": "quit"},
    {"type": "topic", **ENTRY, "room": "dev", "user": "bob", "text": "new"},
    {"type": "renamed", **ENTRY, "room": "dev", "user": "bob", "name": "rob"},
    {"type": "room", "id": "~2", "room": "dev", "topic": "old", "members": 2},
    {
        "type": "rooms",
        "id": None,
        "rooms": [{"room": "dev", "topic": "t", "members": 2}],
        "omitted": 1,
    },
    {"type": "users", "id": "~1", "room": "dev", "users": [{"user": "bob", "away": "lunch"}]},
    {"type": "help", "id": None, "commands": [{"usage": "/join ROOM", "help": "enters"}]},
    {"type": "history", "id": "~3", "of": "#dev", "entries": [MESSAGE], "more": True},
    {"type": "found", "id": "~4", "text": "hi", "entries": [MESSAGE], "more": True},
    {"type": "notice", "code": "stopping", "text": "bye"},
    {"type": "error", "code": "session-expired", "text": "too old"},
    {"type": "ping"},
    {"type": "pong", "id": "~9"},
]

if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2], sys.argv[3:])
    sys.exit(main())
