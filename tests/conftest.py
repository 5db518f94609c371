"""What holds for every test.

`SELCHAT_REQUIRE_ALL=1` (.ci/run sets it) turns a test that is skipped because a program is not
installed into a failed one: there, that is a fault of the machine, not a reason to test less. What
a machine cannot have (IPv6, many descriptors) stays a reason.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import TypeVar

import pytest
from hypothesis import settings

REQUIRE_ALL = bool(os.environ.get("SELCHAT_REQUIRE_ALL"))

# A program that is started in the background, without a terminal, is told to ignore some signals,
# and so would be all that it starts. Ours are to be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# No deadline: a busy machine is no bug. In CI the same examples each time, so that a red build
# is red for what was pushed; at a desk new ones each time, which is how new bugs are found.
settings.register_profile("desk", deadline=None, max_examples=100)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True)
settings.load_profile("ci" if REQUIRE_ALL or os.environ.get("CI") else "desk")

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _required((yield))


def _required(report: Report) -> Report:
    missing = report.skipped and "is not installed" in str(report.longrepr)
    if REQUIRE_ALL and missing and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where SELCHAT_REQUIRE_ALL is set: {report.longrepr}"
    return report
