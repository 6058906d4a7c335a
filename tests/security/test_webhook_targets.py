"""The door: webhooks, by which a user has the server connect to an address of the user's choice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from yarl import URL

from aiohttp_jobs import JobsConfig
from aiohttp_jobs.notify.channel import DeliveryError
from aiohttp_jobs.notify.webhook import REFUSED, WebhookChannel

from ..conftest import Host
from ..notify.support import Names, Receiver, make_notice, webhook

Make = Callable[..., JobsConfig]
StartHost = Callable[..., Awaitable[Host]]

METADATA = {
    "most clouds": "169.254.169.254",
    "AWS over IPv6": "fd00:ec2::254",
    "AWS containers": "169.254.170.2",
    "Google over IPv6": "fd20:ce::254",
    "Oracle": "192.0.0.192",
    "Oracle over IPv6": "fd00:c1::a9fe:a9fe",
    "Azure": "168.63.129.16",
    "Alibaba": "100.100.100.200",
    "IBM services": "161.26.0.10",
    "IBM service endpoints": "166.9.1.1",
}
SPECIAL = [
    # https://www.iana.org/assignments/iana-ipv4-special-registry, and its other end of each range
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.0",
    "127.255.255.255", "169.254.0.0", "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0",
    "192.0.0.8", "192.0.0.9", "192.0.0.10", "192.0.0.170", "192.0.0.255", "192.0.2.0", "192.31.196.1",
    "192.52.193.1", "192.88.99.0", "192.88.99.1", "192.88.99.255", "192.168.0.0", "192.168.255.255",
    "192.175.48.6", "198.18.0.0", "198.19.255.255", "198.51.100.255", "203.0.113.0", "224.0.0.0",
    "233.252.0.1", "239.255.255.255", "240.0.0.0", "255.255.255.255",
    # https://www.iana.org/assignments/iana-ipv6-special-registry
    "::", "::1", "::7f00:1", "::1.1.1.1", "::ffff:0.0.0.0", "::ffff:192.0.0.192", "::ffff:168.63.129.16",
    "::ffff:0:1.1.1.1", "64:ff9b::", "64:ff9b::192.0.0.192", "64:ff9b::10.0.0.1", "64:ff9b:1::1.1.1.1",
    "64:ff9b:1:ffff::1", "100::1", "100:0:0:1::1", "2001::1", "2001::ffff:1.1.1.1", "2001:1::1", "2001:2::1",
    "2001:3::1", "2001:4:112::1", "2001:10::1", "2001:20::1", "2001:30::1", "2001:1ff::1", "2001:db8::1",
    "2002::1", "2002:a00:1::1", "2002:101:101::1", "2620:4f:8000::1", "3fff::1", "3fff:fff::1", "4000::1",
    "5f00::1", "fc00::1", "fdff::1", "fe80::1", "febf::1", "fec0::1", "feff::1", "ff02::1", "ff0e::1",
    # an IPv4 address inside one of a public prefix
    "2a00:1450::5efe:10.0.0.1", "2a00:1450::200:5efe:10.0.0.1",
]  # fmt: skip
SPELLINGS = {
    "http://127.0.0.1/": "plain",
    "http://127.1/": "short",
    "http://2130706433/": "decimal",
    "http://0x7f000001/": "hexadecimal",
    "http://0X7F.0x0.0.1/": "mixed",
    "http://017700000001/": "octal",
    "http://0177.0.0.01/": "octal parts",
    "http://127.0.0.1./": "a dot behind",
    "http://LOCALHOST/": "a name",
    "http://localhost./": "a name with a dot behind",
    "http://a.b.localhost/": "below that name",
    "http://metadata.google.internal/": "a cloud's own name",
    "http://printer.LOCAL./": "multicast DNS",
    "http://3221225664/": "Oracle's metadata, decimal",
    "http://0xa83f8110/": "Azure's host, hexadecimal",
    "http://[::1]/": "IPv6",
    "http://[0:0:0:0:0:0:0:1]/": "IPv6 written out",
    "http://[::ffff:7f00:1]/": "mapped",
    "http://[::127.0.0.1]/": "compatible",
    "http://[64:ff9b::7f00:1]/": "NAT64",
    "http://[2002:7f00:1::]/": "6to4",
    "http://[fe80::1%25eth0]/": "a zone",
    "http://[FEC0::1]/": "site-local, in capitals",
    "http://%31%32%37.0.0.1/": "percent signs",
}
OTHER_PORTS = [22, 25, 6379, 8080, 65535]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.start()
    yield receiver
    await receiver.stop()


async def failure(config: JobsConfig, url: str, *addresses: str) -> DeliveryError:
    """Why a webhook to `url`, whose host has `addresses`, is not delivered."""
    channel = WebhookChannel(config, Names(*addresses) if addresses else None)
    await channel.open()
    try:
        with pytest.raises(DeliveryError) as caught:
            await channel.send(make_notice(webhook(url)))
    finally:
        await channel.close()
    return caught.value


@pytest.mark.parametrize("address", [*METADATA.values(), *SPECIAL])
async def test_a_name_of_ones_own_does_not_lead_into_the_servers_network(
    make_config: Make, address: str
) -> None:
    error = await failure(make_config(), "http://hook.example.org/latest/meta-data/", address)
    assert (str(error), error.is_final) == (REFUSED, True)


@pytest.mark.parametrize("address", [*METADATA.values(), *SPECIAL])
async def test_an_address_of_the_servers_network_is_refused_when_it_is_submitted(
    make_config: Make, address: str
) -> None:
    host = f"[{address}]" if ":" in address else address
    url = webhook(f"http://{host}/latest/meta-data/").url
    assert make_config().webhook_targets.fault(URL(url)) is not None


async def test_nobody_submits_a_job_that_would_tell_the_servers_own_network(host: Host) -> None:
    alice = host.caller("task_manager")
    urls = [*SPELLINGS, *(f"http://example.org:{port}/" for port in OTHER_PORTS)]
    urls += [f"https://[2606:4700::1111]:{port}/" for port in OTHER_PORTS]
    urls += ["http://192.0.0.192/opc/v2/", "http://168.63.129.16/machine?comp=goalstate"]
    for url in urls:
        body = {
            "jobName": "hook",
            "command": "true",
            "executionMode": "BackgroundJob",
            "notify": [{"channel": "webhook", "url": url}],
        }
        answer = await alice.request("POST", "/jobs/submit", json=body)
        assert (answer.status, answer.body["code"]) == (422, "invalid_fields"), url
        assert answer.body["details"][0]["field"] == "notify.0.url", answer.body
    assert await alice.results() == []


@pytest.mark.parametrize("port", OTHER_PORTS)
async def test_nobody_looks_for_open_ports_of_other_hosts(make_config: Make, port: int) -> None:
    for scheme in ("http", "https"):
        error = await failure(make_config(), f"{scheme}://example.org:{port}/", "1.1.1.1")
        assert error.is_final
        assert "must go to port 80 or 443" in str(error)


async def test_allowing_private_addresses_does_not_open_every_port_of_them(
    receiver: Receiver, make_config: Make
) -> None:
    error = await failure(make_config(webhook_allow_private=True), receiver.url)
    assert error.is_final
    assert receiver.requests == []


async def test_a_host_that_is_allowed_with_its_port_is_allowed_on_no_other(
    receiver: Receiver, make_config: Make
) -> None:
    config = make_config(webhook_allowed_hosts=[f"127.0.0.1:{receiver.port}"])
    channel = WebhookChannel(config)
    await channel.open()
    await channel.send(make_notice(webhook(receiver.url)))
    assert len(receiver.requests) == 1
    for port in (receiver.port ^ 1, 80):
        assert (await failure(config, f"http://127.0.0.1:{port}/hook")).is_final
    await channel.close()
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("allowed", "url", "is_allowed"),
    [
        ("hooks.internal", "http://hooks.internal:8080/", True),
        ("Hooks.Internal.", "http://hooks.internal/", True),
        ("hooks.internal:8080", "http://HOOKS.internal.:8080/", True),
        ("hooks.internal:8080", "http://hooks.internal/", False),
        ("hooks.internal:8080", "http://x.hooks.internal:8080/", False),
        ("hooks.internal:80", "http://hooks.internal/", True),
        ("fd00::5", "http://[fd00:0::5]:8080/", True),
        ("[fd00::5]", "http://[fd00::5]:8080/", True),
        ("[fd00::5]:8080", "http://[fd00::5]:8080/", True),
        ("[fd00::5]:8080", "http://[fd00::5]:8081/", False),
        ("10.0.0.5", "http://10.0.0.50/", False),
    ],
)
def test_what_is_allowed_is_that_host_and_nothing_like_it(
    make_config: Make, allowed: str, url: str, is_allowed: bool
) -> None:
    targets = make_config(webhook_allowed_hosts=[allowed]).webhook_targets
    assert (targets.fault(URL(url)) is None) is is_allowed


@pytest.mark.parametrize(
    "allowed", ["http://hooks.internal", "a/b", "", "a:b", "a:0", "a:70000", "u@a", "[a"]
)
def test_an_allowance_that_would_allow_nothing_is_refused_at_the_start(
    make_config: Make, allowed: str
) -> None:
    with pytest.raises(ValueError, match="is no host"):
        make_config(webhook_allowed_hosts=[allowed])


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"])
def test_webhooks_to_the_internet_go_on_as_before(make_config: Make, address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    targets = make_config().webhook_targets
    for url in (f"https://{host}/", f"http://{host}/", f"https://{host}:443/", f"https://{host}:80/"):
        assert targets.fault(URL(url)) is None


def test_a_setting_opens_other_ports(make_config: Make) -> None:
    url = URL("https://example.org:8443/")
    assert make_config().webhook_targets.fault(url)
    assert make_config(webhook_allowed_ports=[443, 8443]).webhook_targets.fault(url) is None
    environment = {"AIOHTTP_JOBS_WEBHOOK_ALLOWED_PORTS": "any"}
    config = JobsConfig.from_environment(environment, data_dir="unused")
    assert config.webhook_targets.fault(url) is None
