"""Token buckets: what may be done at once, in the long run, and for how long one rests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.pace import Pace, Rates

RATES = Rates(units=10.0, burst=100.0, bytes=1000.0, burst_bytes=5000.0)


def test_it_begins_with_a_burst_and_no_rest() -> None:
    pace = Pace(RATES, 0.0)
    assert pace.left(RATES, 0.0) == 100.0
    assert pace.spend(RATES, 99.0) == 0.0
    assert pace.left(RATES, 0.0) == 1.0


def test_debt_is_paid_by_a_rest_after_which_a_little_is_there() -> None:
    pace = Pace(RATES, 0.0)
    pace.left(RATES, 0.0)
    rest = pace.spend(RATES, 200.0)
    assert rest == pytest.approx(10.1)
    assert pace.left(RATES, rest) == pytest.approx(1.0)


def test_it_fills_up_to_a_burst_and_no_further() -> None:
    pace = Pace(RATES, 0.0)
    pace.left(RATES, 0.0)
    pace.spend(RATES, 50.0)
    assert pace.left(RATES, 2.0) == 70.0
    assert pace.left(RATES, 1e9) == 100.0


def test_bytes_are_paid_too() -> None:
    pace = Pace(RATES, 0.0)
    pace.take_bytes(6000)
    assert pace.left(RATES, 0.0) == 100.0
    rest = pace.spend(RATES, 0.0)
    assert rest == pytest.approx(1.1)
    pace.left(RATES, rest)
    assert pace.spend(RATES, 1.0) == 0.0


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 300)), min_size=1, max_size=50))
def test_who_rests_as_told_never_gets_more_than_the_rate(steps: list[tuple[float, int]]) -> None:
    pace, now, spent = Pace(RATES, 0.0), 0.0, 0
    for passed, cost in steps:
        now += passed
        assert pace.left(RATES, now) > 0
        rest = pace.spend(RATES, cost)
        spent += cost
        assert spent <= RATES.burst + RATES.units * now + 300
        now += rest
