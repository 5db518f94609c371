"""How long a server takes from its call until it accepts connections.

    python -m tests.bench.start --runs 15 [--data FOLDER]

A first start makes log, key and certificate; others find them. Usually Python finds its modules
compiled, too, as pip installs them and the first start from a checkout leaves them; where it may
not (a checkout that is not to be written to, PYTHONDONTWRITEBYTECODE), each start compiles them.
With --data, the start on the log there is measured, and the server killed, so that it stays so.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.load import interleaved, medians
from tests.e2e.harness import ROOT, LineReader, environment


def start_up(root: Path, data: Path, compiled: bool, end: signal.Signals) -> list[float]:
    """Milliseconds until the ready line of the server in `root`: in all, and of CPU."""
    command = (sys.executable, str(root / "bin" / "selchat-server"))
    began = time.perf_counter()
    process = subprocess.Popen(
        (*command, "--host", "127.0.0.1", "--port", "0", "--data", str(data)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(PYTHONDONTWRITEBYTECODE="" if compiled else "1"),
    )
    assert process.stdout is not None
    try:
        line = LineReader(process.stdout.fileno()).next()
        wall = time.perf_counter() - began
        assert line.startswith(b"selchat-server listening on "), line
        # Nanoseconds, where the times in `stat` are hundredths of a second.
        cpu = int(Path(f"/proc/{process.pid}/schedstat").read_text("ascii").split()[0])
    finally:
        process.send_signal(end)
        process.wait()
        process.stdout.close()
    return [wall * 1e3, cpu / 1e6]


def measure(runs: int, data: Path | None = None) -> dict[str, list[float]]:
    """Of each kind of start, the medians of its milliseconds, in all and of CPU."""
    with tempfile.TemporaryDirectory(prefix="selchat-bench-") as made:
        roots = {compiled: Path(made) / f"compiled-{compiled}" for compiled in (True, False)}
        for compiled, root in roots.items():
            for part in ("bin", "selchat"):
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / part, root / part, ignore=ignored)
            start_up(root, root / "again", compiled, signal.SIGTERM)
        number = 0

        def once(way: str) -> list[float]:
            nonlocal number
            number += 1
            compiled = "not compiled" not in way
            root = roots[compiled]
            if data is not None:
                return start_up(root, data, compiled, signal.SIGKILL)
            folder = root / (f"first-{number}" if "first" in way else "again")
            return start_up(root, folder, compiled, signal.SIGTERM)

        kinds = ("first", "again") if data is None else (f"on {data}",)
        ways = [f"{kind}{more}" for more in ("", ", not compiled") for kind in kinds]
        return {way: medians(found) for way, found in interleaved(ways, runs, once).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="How long a server takes to start.")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--data", type=Path, help="a data folder; the log in it is kept")
    options = parser.parse_args()
    print(f"medians of {options.runs} interleaved starts")
    print("| start | ms | ms of CPU |")
    print("|---|---|---|")
    for way, (wall, cpu) in measure(options.runs, options.data).items():
        print(f"| {way} | {wall:.0f} | {cpu:.0f} |")


if __name__ == "__main__":
    main()
