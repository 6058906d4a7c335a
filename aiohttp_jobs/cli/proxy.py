"""The HTTP proxy to use: from the environment, except for loopback addresses and with ``--no-proxy``.

aiohttp's ``trust_env`` is not used: it would also send a password from ``~/.netrc`` in place of the API key,
and send requests to this machine through the proxy.
"""

from __future__ import annotations

import functools
import inspect
import ipaddress
import os
import urllib.request
from collections.abc import Callable
from typing import Annotated, Any

import typer
from yarl import URL

from .printing import fail

NoProxy = Annotated[
    bool,
    typer.Option("--no-proxy", help="Do not use the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names."),
]


def proxy_for(url: str) -> str | None:
    """The address of the proxy for `url`; ``None`` to connect directly."""
    address = URL(url)
    host = address.host or ""
    if _is_loopback(host) or urllib.request.proxy_bypass(f"{host}:{address.port}"):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        fail(f"The proxy {proxy} is not an HTTP proxy. Name one that is, or give --no-proxy.")
    return proxy


def accept_no_proxy(app: typer.Typer) -> None:
    """Add ``--no-proxy`` to every command of `app` that connects to a server."""
    for command in app.registered_commands:
        command.callback = _accepting(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            accept_no_proxy(group.typer_instance)
    if app.registered_callback is not None:
        app.registered_callback.callback = _accepting(app.registered_callback.callback)


def _accepting(callback: Callable[..., Any] | None) -> Callable[..., Any] | None:
    if callback is None or "url" not in inspect.signature(callback).parameters:
        return callback
    signature = inspect.signature(callback, eval_str=True)

    @functools.wraps(callback)
    def accepting(*args: Any, no_proxy: bool = False, **options: Any) -> Any:
        if no_proxy:
            os.environ["no_proxy"] = "*"  # what urllib and every program like it understands
        return callback(*args, **options)

    option = inspect.Parameter("no_proxy", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=NoProxy)
    parameters = [*signature.parameters.values(), option]
    accepting.__annotations__ = {each.name: each.annotation for each in parameters}
    accepting.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # typer reads it
    return accepting


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback or address.is_unspecified
