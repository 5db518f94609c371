"""Servers compared on the same work, in turn: the tables and charts of docs/performance.md.

    tox -e bench -- [--runs 5] [NAME ...]       or   python -m tests.bench.compare …

Runs go A B C, A B C, …, each with a fresh server on a CPU of its own, where there are two; a table
shows medians, and ratios to the first. ngIRCd and InspIRCd take part where they are installed
(without their throttles), and so does another version of selchat, if SELCHAT_BENCH_BEFORE names its
checkout. The clients are Python too: where the server is not busy, they were the limit, and the CPU
for each delivery is the figure that counts.
"""

from __future__ import annotations

import argparse
import resource
import shlex
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.bench import chart, history, logsize, memory, storm
from tests.bench.contestants import CONTESTANTS, installed
from tests.bench.work import GROWTH, WORKS, Figures, Growing, Work, measure

MAIN = ("fanout", "fanout1000", "rooms", "dm", "latency", "idle")
"""What is measured where nothing is named."""

_SPARE = 200
"""Descriptors that a process needs besides those of its connections."""


class Comparison(NamedTuple):
    """Ways to be compared, and how to measure one of them."""

    rows: Sequence[str]
    once: Callable[[str], Figures]


class Growth(NamedTuple):
    """Ways to be compared while something grows, and how to measure one of them at a size."""

    below: str
    rows: Sequence[str]
    sizes: Sequence[int]
    once: Callable[[str, int], Figures]
    drawn: Sequence[str] = ("CPU µs/delivery",)
    """Figures on the chart; a line is named for its figure where there are several."""


def comparisons(options: argparse.Namespace) -> dict[str, Comparison]:
    """All that there are, by name."""
    seconds: float = options.seconds

    def load(work: Work, row: str) -> Figures:
        return measure(CONTESTANTS[row], work, seconds)

    found = {
        name: Comparison(_present(rows), partial(load, work))
        for name, (rows, work) in WORKS.items()
    }
    found["history"] = Comparison(
        history.ROWS, lambda row: history.measure(row, seconds, askers=options.askers)
    )
    found["storm"] = Comparison(
        storm.ROWS, lambda row: storm.measure(row, seconds, sessions=options.sessions)
    )
    found["memory"] = Comparison(memory.ROWS, lambda row: memory.measure(row, seconds))
    return found


def growths(options: argparse.Namespace) -> dict[str, Growth]:
    """All that there are, by name."""
    seconds: float = options.seconds

    def chosen(sizes: Sequence[int], more: Sequence[int]) -> Sequence[int]:
        return options.sizes or (*sizes, *(more if options.full else ()))

    def load(growing: Growing, row: str, size: int) -> Figures:
        return measure(CONTESTANTS[row], growing.work(size), seconds)

    found = {
        name: Growth(
            one.below,
            _present(one.rows),
            [size for size in chosen(one.sizes, one.more) if _possible(one.work(size).connections)],
            partial(load, one),
        )
        for name, one in GROWTH.items()
    }
    found["log-size"] = Growth(
        "entries in the log",
        logsize.ROWS,
        chosen(logsize.SIZES, logsize.MORE),
        lambda _, size: logsize.measure(size, seconds),
        logsize.DRAWN,
    )
    return found


def _present(names: Sequence[str]) -> list[str]:
    return [name for name in names if installed(CONTESTANTS[name])]


def _possible(connections: int) -> bool:
    """Whether there are descriptors enough."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most == resource.RLIM_INFINITY or connections + _SPARE <= most


def _sizes(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


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


def table(results: Mapping[str, Figures], head: str = "server") -> str:
    """Medians, and the ratio of each to the first one of its kind, in Markdown."""
    first: Figures = {}
    for figures in results.values():
        first = figures | first
    keys = list(dict.fromkeys(key for figures in results.values() for key in figures))
    lines = [f"| {head} | " + " | ".join(f"{key} | ratio" for key in keys) + " |"]
    lines.append("|---" * (1 + 2 * len(keys)) + "|")
    for name, figures in results.items():
        cells = [
            f"{_rounded(figures[key])} | {figures[key] / (first[key] or 1):.2f}"
            if key in figures
            else "– | –"
            for key in keys
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _rounded(figure: float) -> str:
    return f"{figure:,.{0 if figure >= 100 else 3}f}"


def compare(name: str, comparison: Comparison, options: argparse.Namespace) -> None:
    """Measure, print the table, and draw bars of the first figure."""
    results = interleaved(comparison.rows, options.runs, comparison.once)
    print(f"{_heading(name, options)}\n\n{table(results)}\n", flush=True)
    key = next(iter(results[comparison.rows[0]]))
    _save(options, name, chart.bars(name, key, {one: f[key] for one, f in results.items()}))


def grow(name: str, growth: Growth, options: argparse.Namespace) -> None:
    """Measure at each size, print a table for each way, and draw curves."""

    def measured(size: int) -> dict[str, Figures]:
        return interleaved(growth.rows, options.runs, lambda row: growth.once(row, size))

    at = {size: measured(size) for size in growth.sizes}
    print(_heading(name, options))
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in growth.rows:
        print(f"\n### {row}\n")
        print(table({f"{size:,}": at[size][row] for size in growth.sizes}, growth.below))
        for key in growth.drawn:
            line = row if len(growth.drawn) == 1 else key
            lines[line] = [(size, f[row][key]) for size, f in at.items() if f[row].get(key)]
    print(flush=True)
    _save(options, name, chart.curves(name, ", ".join(growth.drawn), growth.below, lines))


def _heading(name: str, options: argparse.Namespace) -> str:
    command = f"tox -e bench -- {shlex.join([*options.given, name])}"
    return f"\n## {name}\n\n    {command}\n\nMedians of {options.runs} runs in turn."


def _save(options: argparse.Namespace, name: str, svg: str) -> None:
    folder: Path | None = options.charts
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure; see --list")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--charts", type=Path, help="folder to write SVG files to")
    parser.add_argument(
        "--askers", type=int, default=history.ASKERS, help="who ask for pages in history"
    )
    parser.add_argument(
        "--sessions", type=int, default=storm.SESSIONS, help="that come back in storm"
    )
    parser.add_argument(
        "--sizes", type=_sizes, metavar="N,N,…", help="of what grows, instead of the usual ones"
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="the sizes too that take minutes to set up: 10,000 members, 10 million log entries",
    )
    return parser


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is named, or the main loads."""
    words = sys.argv[1:] if words is None else words
    parser = _parser()
    options = parser.parse_intermixed_args(words)
    if options.runs < 1 or not 0 < options.seconds <= 60 or options.sessions < 1:
        parser.error("a run at least, of up to 60 seconds, and a session")
    if "storm" in options.names and not _possible(options.sessions):
        parser.error("each session needs a descriptor: raise ulimit -n, or say --sessions N")
    options.given = [word for word in words if word not in options.names]
    one_by_one, growing = comparisons(options), growths(options)
    names = [*one_by_one, *growing]
    if options.list:
        print("\n".join(names))
        return
    for name in options.names:
        if name not in names:
            parser.error(f"{name} is none of: {', '.join(names)}")
    for name in options.names or MAIN:
        if name in growing:
            grow(name, growing[name], options)
        else:
            compare(name, one_by_one[name], options)


if __name__ == "__main__":
    with suppress(OSError, ValueError):  # as many descriptors as there may be
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    main()
