"""Servers compared on the same work, in turn: the tables and charts of docs/performance.md.

    tox -e bench -- [--runs 5] [SCENARIO ...]       or   python -m tests.bench.compare …

Runs go A B C, A B C, …, each with a fresh server on a CPU of its own, where there are two; a table
shows medians, and ratios to the first. ngIRCd and InspIRCd take part where they are installed
(without their throttles). The clients are Python too: where the server is not busy, they were the
limit, and the CPU for each delivery is the figure that counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import chart
from tests.bench.contestants import CONTESTANTS, Contestant, Running, installed, running
from tests.bench.load import percentile
from tests.bench.swarm import Swarm

Figures = dict[str, float]

_WARM_UP = 0.5


class Work(NamedTuple):
    """A scenario: who is there, and how much is under way. `rate` 0 is as fast as it goes."""

    rooms: int = 0
    members: int = 0
    writers: int = 1
    pairs: int = 0
    idle: int = 0
    window: int = 8
    rate: float = 0.0
    size: int = 100


SCENARIOS = {
    "fanout": Work(rooms=1, members=200, writers=20),
    "fanout1000": Work(rooms=1, members=1_000, writers=10),
    "rooms": Work(rooms=100, members=10),
    "dm": Work(pairs=500, window=4),
    "latency": Work(rooms=50, members=10, rate=1_000),
    "idle": Work(idle=5_000),
}

_ALL = ("selchat", "selchat, memory", "InspIRCd", "ngIRCd", "asyncio streams", "threads")
_TONGUES = ("selchat", "selchat, JSON", "selchat, TLS", "selchat, JSON and text")

SERIES: dict[str, tuple[str, Sequence[str], Mapping[float, Work]]] = {
    "members": (
        "members of the room",
        ("selchat", "InspIRCd", "asyncio streams"),
        {n: Work(rooms=1, members=n, writers=2) for n in (10, 30, 100, 300, 1_000)},
    ),
    "connections": (
        "connections, in rooms of ten",
        ("selchat", "InspIRCd", "asyncio streams"),
        {n: Work(rooms=n // 10, members=10) for n in (100, 300, 1_000, 3_000)},
    ),
    "size": (
        "bytes of a message",
        ("selchat", "selchat, JSON", "selchat, TLS"),
        {n: Work(rooms=1, members=100, writers=4, size=n) for n in (32, 128, 512, 2_048, 16_384)},
    ),
}
"""Cost against growth: what grows, for whom, and the work at each size."""


def measure(
    contestant: Contestant, work: Work, seconds: float, *, check: bool = False, pin: bool = True
) -> Figures:
    """One run. AssertionError where something was lost, repeated or out of order."""
    cpus = sorted(os.sched_getaffinity(0)) if pin and hasattr(os, "sched_getaffinity") else []
    apart = len(cpus) > 1
    with running(contestant, cpus[0] if apart else None) as server:
        if apart:
            os.sched_setaffinity(0, cpus[1:])
        swarm = Swarm(server.port, contestant.proto, contestant.batch)
        try:
            if work.idle:
                return _idle(swarm, server, work.idle)
            if work.pairs:
                swarm.pairs(work.pairs)
            else:
                swarm.rooms(work.rooms, work.members, work.writers)
            if work.rate:
                waits = swarm.pace(work.rate, seconds, work.size)
                return {
                    "p50 µs": percentile(waits, 50) * 1e6,
                    "p99 µs": percentile(waits, 99) * 1e6,
                }
            return _flood(swarm, server, work, seconds, check)
        finally:
            swarm.close()
            if apart:
                os.sched_setaffinity(0, cpus)


def _flood(swarm: Swarm, server: Running, work: Work, seconds: float, check: bool) -> Figures:
    marks: list[float | None] = []
    told = swarm.flood(
        work.window,
        min(_WARM_UP, seconds),
        seconds,
        work.size,
        lambda: marks.append(server.cpu()),
        check,
    )
    before, after = marks
    figures = {"deliveries/s": told / seconds}
    if before is not None and after is not None:
        figures = {"CPU µs/delivery": (after - before) / max(told, 1) * 1e6, **figures}
    return figures


def _idle(swarm: Swarm, server: Running, count: int) -> Figures:
    swarm.connect(10)  # what is made for the first one is not of each
    cpu, memory = server.cpu(), server.memory()
    swarm.connect(count)
    now, full = server.cpu(), server.memory()
    if cpu is None or now is None or memory is None or full is None:
        return {}
    return {"KiB each": (full - memory) / count / 1024, "CPU µs/log-in": (now - cpu) / count * 1e6}


def interleaved(
    names: Sequence[str], runs: int, once: Callable[[str], Figures]
) -> dict[str, Figures]:
    """The medians for each name, of runs that take turns."""
    found: dict[str, list[Figures]] = {name: [] for name in names}
    for turn in range(runs):
        for name in names:
            print(f"  run {turn + 1} of {runs}: {name}", file=sys.stderr, flush=True)
            found[name].append(once(name))
    return {
        name: {key: statistics.median(run[key] for run in each) for key in each[0]}
        for name, each in found.items()
    }


def table(results: Mapping[str, Figures]) -> str:
    """Medians, and the ratio of the first figure to the first server's, in Markdown."""
    keys = list(next(iter(results.values())))
    lines = ["| server | " + " | ".join(f"{key} | ratio" for key in keys) + " |"]
    lines.append("|---" * (1 + 2 * len(keys)) + "|")
    first = next(iter(results.values()))
    for name, figures in results.items():
        cells = [
            f"{figures[key]:,.{0 if figures[key] >= 100 else 3}f} | "
            f"{figures[key] / (first[key] or 1):.2f}"
            for key in keys
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _present(names: Sequence[str]) -> list[str]:
    return [name for name in names if installed(CONTESTANTS[name])]


def _scenario(name: str, names: Sequence[str], options: argparse.Namespace) -> None:
    work = SCENARIOS[name]
    results = interleaved(
        _present(names), options.runs, lambda one: measure(CONTESTANTS[one], work, options.seconds)
    )
    print(f"\n## {name}\n\n{table(results)}\n", flush=True)
    key = next(iter(next(iter(results.values()))))
    _save(options.charts, name, chart.bars(name, key, {one: f[key] for one, f in results.items()}))


def _series(name: str, options: argparse.Namespace) -> None:
    below, names, works = SERIES[name]
    lines: dict[str, list[tuple[float, float]]] = {one: [] for one in _present(names)}
    for at, work in works.items():

        def once(one: str, work: Work = work) -> Figures:
            return measure(CONTESTANTS[one], work, options.seconds)

        for one, figures in interleaved(list(lines), options.runs, once).items():
            lines[one].append((at, figures["CPU µs/delivery"]))
    print(f"\n## {name}\n\n{json.dumps(lines)}\n", flush=True)
    _save(options.charts, name, chart.curves(name, "CPU µs/delivery", below, lines))


def _save(folder: Path | None, name: str, svg: str) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")


def main() -> None:
    """Run what is named, or the scenarios."""
    what = [*SCENARIOS, "tongues", *SERIES]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"of: {', '.join(what)}")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--charts", type=Path, help="folder to write SVG files to")
    options = parser.parse_args()
    for name in options.scenario or SCENARIOS:
        if name == "tongues":
            SCENARIOS["tongues"] = SCENARIOS["fanout"]
            _scenario(name, _TONGUES, options)
        elif name in SERIES:
            _series(name, options)
        elif name in SCENARIOS:
            _scenario(name, _ALL, options)
        else:
            parser.error(f"{name} is none of: {', '.join(what)}")


if __name__ == "__main__":
    main()
