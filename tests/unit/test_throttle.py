"""Books of who did how much lately."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from selchat.hub.throttle import FORGOTTEN_AFTER, LONGEST_DELAY, Delays, Quota


def test_a_quota_allows_so_many_in_a_window_and_then_anew() -> None:
    quota = Quota(3, window=3600.0)
    assert [quota.allow("a", now) for now in (0.0, 10.0, 20.0, 30.0, 3599.0)] == [True] * 3 + [
        False
    ] * 2
    assert quota.wait("a", 600.0) == 3000.0
    assert quota.wait("a", 3600.0) == 0.0
    assert [quota.allow("a", 3600.0 + n) for n in range(4)] == [True] * 3 + [False]


def test_each_key_has_its_own_quota() -> None:
    quota = Quota(1, window=60.0)
    assert quota.allow("a", 0.0)
    assert quota.allow("b", 0.0)
    assert not quota.allow("a", 0.0)
    assert quota.wait("c", 0.0) == 0.0


def test_asking_for_the_wait_counts_for_nothing() -> None:
    quota = Quota(1, window=60.0)
    for _ in range(5):
        assert quota.wait("a", 0.0) == 0.0
    assert quota.allow("a", 0.0)


def test_a_full_book_forgets_the_oldest() -> None:
    quota = Quota(1, window=60.0, places=3)
    for key in "abcd":
        assert quota.allow(key, 0.0)
    assert len(quota) == 3
    assert not quota.allow("d", 1.0)
    assert quota.allow("a", 1.0)


def test_delays_double_from_a_second_to_a_minute() -> None:
    delays = Delays()
    waits, now = [], 0.0
    for _ in range(9):
        waits.append(delays.failed("192.0.2.1", "alice", now))
        assert delays.wait("192.0.2.1", "alice", now) == waits[-1]
        now += waits[-1]
        assert delays.wait("192.0.2.1", "alice", now) == 0.0
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_the_owner_elsewhere_and_other_accounts_do_not_wait() -> None:
    delays = Delays()
    for _ in range(20):
        delays.failed("192.0.2.1", "alice", 0.0)
    assert delays.wait("192.0.2.2", "alice", 0.0) == 0.0
    assert delays.wait("192.0.2.1", "bob", 0.0) == 0.0


def test_success_and_an_hour_forgive() -> None:
    delays = Delays()
    for _ in range(5):
        delays.failed("a", "alice", 0.0)
        delays.failed("b", "alice", 0.0)
    delays.succeeded("a", "alice")
    delays.succeeded("nobody", "alice")
    assert delays.wait("a", "alice", 0.0) == 0.0
    assert delays.failed("a", "alice", 0.0) == 1.0
    assert delays.failed("b", "alice", FORGOTTEN_AFTER - 1) == 32.0
    assert delays.failed("b", "alice", 2 * FORGOTTEN_AFTER) == 1.0


@given(st.lists(st.tuples(st.text(max_size=2), st.text(max_size=2), st.floats(0, 100))))
def test_no_book_grows_beyond_its_places_and_no_delay_beyond_the_longest(
    failures: list[tuple[str, str, float]],
) -> None:
    delays, now = Delays(places=5), 0.0
    for address, account, passed in failures:
        now += passed
        assert 1.0 <= delays.failed(address, account, now) <= LONGEST_DELAY
        assert len(delays) <= 5
