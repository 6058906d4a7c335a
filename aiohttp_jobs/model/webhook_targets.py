"""Which network addresses a webhook may be sent to. Pure.

A user writes a webhook's address, and the server connects to it. By default it must not reach what only the
server can reach (server-side request forgery).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

from yarl import URL

Ports = Collection[int] | Literal["any"]

# Written out, because what `ipaddress` takes for global differs between versions of Python, and because it
# follows the registries in what has its own meaning but may be routed.
_SPECIAL_V4 = tuple(
    map(
        IPv4Network,
        (
            # https://www.iana.org/assignments/iana-ipv4-special-registry
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # has 100.100.100.200, Alibaba's metadata
            "127.0.0.0/8",
            "169.254.0.0/16",  # has 169.254.169.254, the metadata of most clouds
            "172.16.0.0/12",
            "192.0.0.0/24",  # has 192.0.0.192, Oracle's metadata
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            # Look public, and lead to what only a cloud's machines can reach.
            "168.63.129.16/32",  # Azure's host
            "161.26.0.0/16",  # IBM Cloud's services
            "166.8.0.0/14",
        ),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    map(
        IPv6Network,
        (
            # https://www.iana.org/assignments/iana-ipv6-special-registry, as far as it lies in 2000::/3
            "2001::/23",  # Teredo, benchmarking, AMT, AS112, ORCHID, drones
            "2001:db8::/32",
            "2002::/16",  # 6to4: any IPv4 address
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
_NAMED = re.compile(r"(?P<host>\[[^\[\]]+\]|[^:\[\]/?#@\s]+)(?::(?P<port>[0-9]{1,5}))?")

PRIVATE = "must be on the internet; this server does not send webhooks to private addresses"


def is_public(text: str) -> bool:
    """Whether the IP address `text` (with or without a zone) is public.

    Not public are all of IANA's special-purpose registries, multicast, reserved addresses, cloud metadata
    services, and IPv6 forms that contain such an IPv4 address (mapped, NAT64) or may contain any (6to4,
    Teredo, ISATAP, IPv4-compatible).
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)
    return _is_public_v6(address)


def _is_public_v4(address: IPv4Address) -> bool:
    return address.is_global and not any(address in network for network in _SPECIAL_V4)


def _is_public_v6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _is_public_v4(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public_v4(IPv4Address(int(address) & 0xFFFFFFFF))
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP or address not in _GLOBAL_V6:
        return False
    return address.is_global and not any(address in network for network in _SPECIAL_V6)


def is_plainly_private(host: str) -> bool:
    """Whether `host`, as written in a URL, is recognizably private without a DNS query."""
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


def allowed_host(text: str) -> tuple[str, int | None]:
    """Parse an entry of the allow-list: the host, and the port, ``None`` for any.

    `text` is a name or an address as in a URL, alone or with ``:<port>``; an IPv6 address with a port is in
    brackets. Raises ``ValueError`` for anything else.
    """
    bare = text.strip("[]")
    if ":" in bare and "]:" not in bare:
        try:
            return str(IPv6Address(bare)), None
        except ValueError:
            pass
    found = _NAMED.fullmatch(text)
    if found is None or int(found["port"] or 1) not in range(1, 65536):
        raise ValueError(f"{text!r} is no host: write 'hooks.internal', '10.0.0.5' or 'hooks.internal:8080'")
    return _plain(found["host"].strip("[]")), int(found["port"]) if found["port"] else None


@dataclass(frozen=True, slots=True)
class WebhookTargets:
    """The targets that a host's settings allow; see ``JobsConfig.webhook_*``."""

    allow_private: bool
    hosts: Collection[str]
    ports: Ports

    def may_be_private(self, url: URL) -> bool:
        """Whether `url` may resolve to a private address."""
        return self.allow_private or self._is_named(url)

    def fault(self, url: URL) -> str | None:
        """What is recognizably wrong with `url` without a DNS query, as the end of a sentence."""
        if self._is_named(url):
            return None
        host = url.host or ""
        if "%" in host and ":" not in host:
            return "must have its host written plainly, without percent signs"
        if not self.allow_private and is_plainly_private(host):
            return PRIVATE
        return self.port_fault(url)

    def port_fault(self, url: URL) -> str | None:
        """What is wrong with the port of `url`, as the end of a sentence."""
        if self._is_named(url) or self.ports == "any" or url.port in self.ports:
            return None
        if not self.ports:
            return "must go to one of the hosts that an administrator allows (webhook_allowed_hosts)"
        names = " or ".join(map(str, sorted(self.ports)))
        return f"must go to port {names}; this server sends webhooks to no other ({url.port} is asked for)"

    def _is_named(self, url: URL) -> bool:
        host = _plain(url.host or "")
        allowed = set(map(allowed_host, self.hosts))
        return (host, None) in allowed or (host, url.port) in allowed


def _plain(host: str) -> str:
    """`host` in the one spelling by which hosts are compared."""
    name = host.lower().rstrip(".")
    try:
        return str(ip_address(name))
    except ValueError:
        return name
