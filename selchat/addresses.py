"""Addresses of peers: networks that are named in settings, and what counts as one place."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

NOBODY = "none"
"""As the setting of networks: there is none."""

_SITE = 64
"""Bits of an IPv6 address that tell one customer from another (RFC 6177): one line has at least a
/64, which is 2^64 addresses."""


class Networks:
    """Addresses and networks; `address in networks` is cheap for one that was asked for lately."""

    def __init__(self, text: str) -> None:
        """`text` is a list separated by commas, or `none`. Raises ValueError, with the part of
        it that is neither an address nor a network.
        """
        self._networks = [] if text.strip() in ("", NOBODY) else _parsed(text)
        self._found = lru_cache(maxsize=256)(self._find)

    def __contains__(self, address: str) -> bool:
        return self._found(address)

    def _find(self, address: str) -> bool:
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address):
            ip = ip.ipv4_mapped or ip
        return any(ip in network for network in self._networks)


def place(address: str) -> str:
    """What counts as one peer in limits per address: an IPv4 address, or a /64 of IPv6."""
    if ":" not in address:
        return address
    try:
        ip = IPv6Address(address)
    except ValueError:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(IPv6Network((ip.packed, _SITE), strict=False))


def _parsed(text: str) -> list[IPv4Network | IPv6Network]:
    networks = []
    for part in text.split(","):
        try:
            networks.append(ip_network(part.strip(), strict=False))
        except ValueError:
            raise ValueError(part.strip()) from None
    return networks
