"""Which network addresses a webhook may reach: pure decisions.

A webhook's address is written by a user, and connected to from where the server stands. Unless told
otherwise it must not reach what only the server can reach.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_GLOBAL_V6 = IPv6Network("2000::/3")
_6TO4 = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Whether the IP address `text` (with or without a zone) is one on the internet.

    Not: loopback, private, link-local, carrier-grade NAT, multicast, unspecified, reserved and
    documentation addresses, and IPv6 forms that carry such an IPv4 address (mapped, NAT64) or may
    (6to4, Teredo, IPv4-compatible).
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)
    return _is_public_v6(address)


def _is_public_v4(address: IPv4Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved


def _is_public_v6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _is_public_v4(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public_v4(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _GLOBAL_V6 and address not in _6TO4 and address.is_global


def is_plainly_private(host: str) -> bool:
    """Whether `host`, as written in a URL, is seen to be private without asking a name server."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        # The decimal, hexadecimal and short forms that resolvers take: 2130706433, 0x7f.1, 127.1.
        return not is_public(socket.inet_ntoa(socket.inet_aton(name)))
    except (OSError, UnicodeError):
        pass
    try:
        ip_address(name)
    except ValueError:
        return False
    return not is_public(name)
