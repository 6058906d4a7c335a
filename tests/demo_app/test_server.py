"""The socket that the demo listens on, and the address it prints for it."""

from __future__ import annotations

import socket

import pytest

from demo_app.server import address_of, listen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_port_0_picks_a_free_port_that_accepts_connections(host: str) -> None:
    with listen(host, 0) as listening:
        port = listening.getsockname()[1]
        assert port > 0
        assert address_of(listening).endswith(f":{port}")
        socket.create_connection(listening.getsockname()[:2], timeout=5).close()


def test_an_ipv6_address_is_put_in_brackets() -> None:
    try:
        listening = listen("::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listening:
        assert address_of(listening) == f"http://[::1]:{listening.getsockname()[1]}"


def test_a_wildcard_is_shown_as_an_address_that_works_in_a_browser() -> None:
    with listen("0.0.0.0", 0) as listening:
        assert address_of(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"
