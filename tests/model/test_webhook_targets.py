"""What is on the internet and what is not."""

from __future__ import annotations

import pytest

from aiohttp_jobs.model.webhook_targets import is_plainly_private, is_public

PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
    "fc00::1", "fd00::1",
    "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2606:4700::1%eth0", "not an address", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_these_are_not_on_the_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_these_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST.", "a.localhost", "printer.local", "metadata.google.internal", "127.0.0.1",
        "127.0.0.1.", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0", "::1",
        "::ffff:7f00:1",
    ],
)  # fmt: skip
def test_these_names_are_private_in_any_spelling(host: str) -> None:
    assert is_plainly_private(host)


@pytest.mark.parametrize("host", ["example.org", "1.1.1.1", "2606:4700::1111", "local", "internal.example"])
def test_these_names_may_be_public(host: str) -> None:
    assert not is_plainly_private(host)
