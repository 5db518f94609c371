"""Networks from settings, and what counts as one place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selchat.addresses import Networks, place


@pytest.mark.parametrize(
    ("text", "address", "inside"),
    [
        ("127.0.0.0/8, ::1", "127.0.0.1", True),
        ("127.0.0.0/8, ::1", "127.200.3.4", True),
        ("127.0.0.0/8, ::1", "::1", True),
        ("127.0.0.0/8, ::1", "128.0.0.1", False),
        ("127.0.0.0/8, ::1", "::2", False),
        ("127.0.0.0/8, ::1", "::ffff:127.0.0.1", True),
        ("10.1.2.3/8", "10.9.9.9", True),  # as people write it, with the host's own bits
        ("2001:db8::/32", "2001:db8:1::1", True),
        ("2001:db8::/32", "192.0.2.1", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("0.0.0.0/0", "192.0.2.1", True),
        ("none", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("127.0.0.1", "no address", False),
    ],
)
def test_an_address_is_in_the_networks_or_not(text: str, address: str, inside: bool) -> None:
    networks = Networks(text)
    assert (address in networks) is inside
    assert (address in networks) is inside  # from what it remembers, too


@pytest.mark.parametrize("text", ["localhost", "127.0.0.1,", "10.0.0.0/33", "::1/129", "1", "a b"])
def test_what_is_no_network_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^{text.rstrip(',') if ',' not in text else ''}$"):
        Networks(text)


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::5", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::5", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (":::", ":::"),
    ],
)
def test_a_place_is_an_address_or_a_site(address: str, where: str) -> None:
    assert place(address) == where


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_all_addresses_of_a_site_are_one_place(ip: object, host: int) -> None:
    first = int(ip) >> 64 << 64  # type: ignore[call-overload]
    if first >> 32 == 0:
        return  # where the mapped ones are
    address = type(ip)(first | host)  # type: ignore[call-arg]
    assert place(str(address)) == place(str(ip))
