"""Servers for the end-to-end tests; each is stopped and checked when its test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.harness import ServerProcess

Start = Callable[..., ServerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers with flags of one's own, and on all addresses unless one is among them.

    Each has a data folder of its own. They need not be ready yet.
    """
    with ExitStack() as servers:
        count = 0

        def start(*flags: str) -> ServerProcess:
            nonlocal count
            count += 1
            data = str(tmp_path / f"data-{count}")
            server = ServerProcess(tmp_path / f"server-{count}.log", "--data", data, *flags)
            servers.callback(server.finish)
            return server

        yield start


@pytest.fixture
def serve(start: Start) -> Start:
    """Start servers on a free port of 127.0.0.1, with flags of one's own; they are ready."""

    def serve(*flags: str) -> ServerProcess:
        server = start("--host", "127.0.0.1", *flags)
        server.ready()
        return server

    return serve


@pytest.fixture
def server(serve: Start) -> ServerProcess:
    """A server with default settings, on a free port of 127.0.0.1."""
    return serve()
