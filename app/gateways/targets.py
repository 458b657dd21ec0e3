"""Where a webhook may go: what keeps an endpoint's owner from reaching into our network (server-side request forgery).

OWASP SSRF Prevention Cheat Sheet. The name is resolved here, every address of it is looked at, and the request goes to
the address that was looked at: a name that resolves otherwise a moment later (DNS rebinding) changes nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_RESOLVING = 5.0  # seconds
# Forms of IPv6 that carry an IPv4 address to a translator: RFC 6052, 8215, 3056, 4380, and the deprecated ::/96.
_TRANSLATED = [
    ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
]


class TargetRefused(Exception):
    """The URL must not be called; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Target:
    """A URL and the addresses that it may be called at now."""

    url: httpx.URL
    addresses: tuple[Address, ...]


class Targets:
    """Public addresses by https, and whatever lies in the `allowed` networks, there by http as well."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = tuple(allowed)

    async def resolve(self, text: str) -> Target:
        """Raises TargetRefused: invalid_url, https_required, unresolvable_host, forbidden_address."""
        url = _read(text)
        addresses = await _addresses(url)
        trusted = all(self._is_allowed(address) for address in addresses)
        if not trusted and not all(self._is_allowed(address) or _is_public(address) for address in addresses):
            raise TargetRefused("forbidden_address")
        if url.scheme != "https" and not trusted:
            raise TargetRefused("https_required")
        return Target(url, addresses)

    def _is_allowed(self, address: Address) -> bool:
        return any(address in network for network in self._allowed)


def _read(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        raise TargetRefused("invalid_url") from None
    if url.port is not None and not 0 < url.port < 65_536:
        raise TargetRefused("invalid_url")
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.fragment:
        raise TargetRefused("invalid_url")
    return url


async def _addresses(url: httpx.URL) -> tuple[Address, ...]:
    """Every address of the host, however it is written: a number is an address to the resolver too."""
    loop = asyncio.get_running_loop()
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_RESOLVING):
            found = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        raise TargetRefused("unresolvable_host") from None
    # A scope (`fe80::1%eth0`) is only a link-local one's.
    return tuple(dict.fromkeys(_unwrapped(str(where[0]).partition("%")[0]) for *_, where in found))


def _unwrapped(text: str) -> Address:
    """`::ffff:127.0.0.1` is 127.0.0.1."""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_public(address: Address) -> bool:
    """Neither loopback, private, link-local (metadata services), shared, reserved nor multicast."""
    translated = isinstance(address, ipaddress.IPv6Address) and any(address in network for network in _TRANSLATED)
    return address.is_global and not address.is_multicast and not translated
