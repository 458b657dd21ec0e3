"""Where a webhook may go: what keeps an endpoint's owner from reaching into our network (server-side request forgery).

OWASP SSRF Prevention Cheat Sheet. The name is resolved here, every address of it is looked at, and the request goes to
the address that was looked at: a name that resolves otherwise a moment later (DNS rebinding) changes nothing.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_RESOLVING = 5.0  # seconds
_LOOKUPS = 16  # threads; a name server that says nothing keeps one for each of its names
_IPV6 = ipaddress.IPv6Network("2000::/3")  # what is given out as public at all (IANA)
# Not public, whatever this Python's list of 2020 or so says: IANA's special-purpose registries, the forms of IPv6 that
# carry an IPv4 address to a translator (RFC 3056, 4380), and Azure's address of the machine's own host.
_SPECIAL = [
    ipaddress.ip_network(text)
    for text in (
        *("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
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
        # Look-ups block threads: their own ones, and one for each name, so that a dead name delays no other.
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="lookup")
        self._asked: dict[str, asyncio.Future[tuple[Address, ...]]] = {}

    async def resolve(self, text: str) -> Target:
        """Raises TargetRefused: invalid_url, https_required, unresolvable_host, forbidden_address."""
        url = _read(text)
        addresses = await self._addresses(url)
        trusted = all(self._is_allowed(address) for address in addresses)
        if not trusted and not all(self._is_allowed(address) or _is_public(address) for address in addresses):
            raise TargetRefused("forbidden_address")
        if url.scheme != "https" and not trusted:
            raise TargetRefused("https_required")
        return Target(url, addresses)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _is_allowed(self, address: Address) -> bool:
        return any(address in network for network in self._allowed)

    async def _addresses(self, url: httpx.URL) -> tuple[Address, ...]:
        """Every address of the host, however it is written: a number is an address to the resolver too."""
        host = host_of(url)
        if number := _numeric(host):
            return (number,)
        try:
            async with asyncio.timeout(_RESOLVING):
                return await asyncio.shield(self._look_up(host))
        except (OSError, UnicodeError, TimeoutError):
            raise TargetRefused("unresolvable_host") from None

    def _look_up(self, host: str) -> "asyncio.Future[tuple[Address, ...]]":
        if host not in self._asked:
            asked = asyncio.get_running_loop().run_in_executor(self._threads, _resolve, host)
            self._asked[host] = asked
            asked.add_done_callback(partial(self._answered, host))
        return self._asked[host]

    def _answered(self, host: str, asked: "asyncio.Future[tuple[Address, ...]]") -> None:
        self._asked.pop(host, None)
        if not asked.cancelled():
            asked.exception()  # looked at: who asked may have given up by now


def host_of(url: httpx.URL) -> str:
    """As it stands in the DNS: decoded, some names would be encoded to others."""
    return url.raw_host.decode("ascii")


def _resolve(host: str) -> tuple[Address, ...]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(_unwrapped(str(where[0])) for *_, where in found))


def _numeric(host: str) -> Address | None:
    """The address that the host is: `127.0.0.1`, `::1`, and what resolvers take for one (`127.1`, `0x7f000001`)."""
    with contextlib.suppress(ValueError):
        return _unwrapped(host)
    with contextlib.suppress(OSError, ValueError):
        return ipaddress.IPv4Address(socket.inet_aton(host))
    return None


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


def _unwrapped(text: str) -> Address:
    """`::ffff:127.0.0.1` is 127.0.0.1. A scope (`fe80::1%eth0`) is only a link-local one's. Raises ValueError."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_public(address: Address) -> bool:
    """Neither loopback, private, link-local (metadata services), shared, reserved nor multicast."""
    given_out = isinstance(address, ipaddress.IPv4Address) or address in _IPV6
    special = any(address in network for network in _SPECIAL)
    return given_out and not special and address.is_global and not address.is_multicast
