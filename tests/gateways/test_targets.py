"""Where webhooks may go: public addresses and what the operator allows. All else is refused, however it is written."""

import asyncio
import gc
import ipaddress
import socket
import threading
from typing import Any

import pytest

from app.gateways.targets import TargetRefused, Targets
from tests.support.receivers import Names

LOOPBACK = [
    "127.0.0.1",
    "127.255.255.254",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7F.0.0.0x1",
    "017700000001",
    "localhost",
    "LOCALHOST",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::80ff:fffe]",
]
INSIDE = [
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.1.1",
    "0xc0a80101",
    "[fc00::1]",
    "[fd12:3456:789a::1]",
    "[fec0::1]",
    "[64:ff9b::10.0.0.1]",
    "[2002:a00:1::1]",
    "[::ffff:192.168.1.1]",
    "169.254.0.1",
    "[fe80::1]",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.0.171",
    "198.18.0.1",
]
METADATA = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
]
NOBODYS = [
    "0.0.0.0",  # noqa: S104 - nothing is bound
    "0",
    "0.1.2.3",
    "[::]",
    "224.0.0.1",
    "239.255.255.255",
    "[ff02::1]",
    "[ff0e::1]",
    "[::ffff:224.0.0.1]",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "[2001:db8::1]",
    "[100::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[4000::1]",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "[2606:4700:4700::1111]", "[::ffff:8.8.8.8]"]


async def answer(url: str, *allowed: str) -> str:
    """`fine`, or the code of the refusal."""
    try:
        await Targets([ipaddress.ip_network(network) for network in allowed]).resolve(url)
    except TargetRefused as refused:
        return refused.code
    return "fine"


@pytest.mark.parametrize("host", LOOPBACK + INSIDE + METADATA + NOBODYS)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_spelling_of_an_address_that_is_not_public_is_called(scheme: str, host: str) -> None:
    assert await answer(f"{scheme}://{host}/hooks") == "forbidden_address"


@pytest.mark.parametrize("host", PUBLIC)
async def test_a_public_address_is_called_by_https_alone(host: str) -> None:
    assert await answer(f"https://{host}/hooks") == "fine"
    assert await answer(f"https://{host}:8443/hooks?tenant=1") == "fine"
    assert await answer(f"http://{host}/hooks") == "https_required"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "8.8.8.8",
        "//8.8.8.8/hooks",
        "https:///hooks",
        "https://",
        "ftp://8.8.8.8/hooks",
        "file:///etc/passwd",
        "gopher://8.8.8.8/",
        "javascript:alert(1)",
        "https://user@8.8.8.8/",
        "https://user:secret@8.8.8.8/",
        "https://8.8.8.8@127.0.0.1/",
        "https://8.8.8.8\\@127.0.0.1/",
        "https://8.8.8.8/hooks#fragment",
        "https://8.8.8.8:0/",
        "https://8.8.8.8:65536/",
        "https://8.8.8.8:-1/",
        "https://8.8.8.8:port/",
        "https://[::1/",
        "https://0177.0.0.1/",
        "https://8.8.8.8/\r\nHost: 127.0.0.1",
        "https://8.8.8.8/\x00",
    ],
)
async def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    assert await answer(url) == "invalid_url"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..example.com", f"{'a' * 64}.example.com", "999.1.1.1"])
async def test_a_host_that_cannot_be_looked_up_is_refused(host: str) -> None:
    assert await answer(f"https://{host}/") in ("unresolvable_host", "invalid_url")


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["93.184.215.14"], "fine"),
        (["93.184.215.14", "2606:4700:4700::1111"], "fine"),
        (["93.184.215.14", "127.0.0.1"], "forbidden_address"),
        (["10.0.0.1", "93.184.215.14"], "forbidden_address"),
        (["2606:4700:4700::1111", "::1"], "forbidden_address"),
        (["2606:4700:4700::1111", "fe80::1%eth0"], "forbidden_address"),
        (["93.184.215.14", "::ffff:10.0.0.1"], "forbidden_address"),
    ],
)
async def test_one_bad_address_of_a_name_is_enough_to_refuse_it(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], expected: str
) -> None:
    Names(monkeypatch, hooks_example_com=[addresses])

    assert await answer("https://hooks.example.com/") == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://10.1.2.3/", "fine"),
        ("https://10.1.2.3/", "fine"),
        ("http://[::ffff:10.1.2.3]/", "fine"),
        ("http://[fd00::1]:8080/", "fine"),
        ("http://10.2.0.1/", "forbidden_address"),
        ("http://127.0.0.1/", "forbidden_address"),
        ("https://8.8.8.8/", "fine"),
        ("http://8.8.8.8/", "https_required"),
    ],
)
async def test_an_allowed_network_may_be_called_also_by_http_and_no_other(url: str, expected: str) -> None:
    assert await answer(url, "10.1.0.0/16", "fd00::/64") == expected


async def test_a_name_with_an_allowed_and_a_public_address_needs_https(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, hooks_example_com=[["10.1.2.3", "93.184.215.14"]])

    assert await answer("https://hooks.example.com/", "10.1.0.0/16") == "fine"
    assert await answer("http://hooks.example.com/", "10.1.0.0/16") == "https_required"


async def test_the_addresses_are_the_ones_that_were_looked_at_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, hooks_example_com=[["93.184.215.14", "93.184.215.14", "::ffff:93.184.215.14"]])

    target = await Targets([]).resolve("https://hooks.example.com/")

    assert [str(address) for address in target.addresses] == ["93.184.215.14"]
    assert names.asked == ["hooks.example.com"]


async def test_an_international_name_is_looked_up_as_it_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """`straße` and `strasse` are two domains (RFC 5891); the old encoding makes one of them."""
    names = Names(monkeypatch, **{"xn--strae-oqa_example": [["93.184.215.14"]], "straße_example": [["93.184.215.14"]]})

    await Targets([]).resolve("https://xn--strae-oqa.example/")

    assert names.asked == ["xn--strae-oqa.example"]


async def test_a_name_server_that_says_nothing_is_given_up_and_what_it_says_later_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_up, said = threading.Event(), threading.Event()

    def late(*_: object, **__: object) -> None:
        given_up.wait(20)
        said.set()
        raise socket.gaierror

    monkeypatch.setattr("app.gateways.targets._RESOLVING", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", late)
    troubles: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))

    assert await answer("https://hooks.example.com/") == "unresolvable_host"
    given_up.set()
    await asyncio.to_thread(said.wait)
    await asyncio.sleep(0.1)
    gc.collect()
    assert troubles == []


async def test_many_who_ask_for_a_dead_name_keep_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    said, names = threading.Event(), Names(monkeypatch, living_example_com=[["93.184.215.14"]])
    known = socket.getaddrinfo

    def silent(host: str, *rest: Any, **options: Any) -> Any:
        return known(host, *rest, **options) if host in names.known else said.wait(20) or []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    targets = Targets([])
    waiting = [asyncio.create_task(targets.resolve("https://dead.example.com/")) for _ in range(100)]
    try:
        for url in ("https://living.example.com/", "https://8.8.8.8/", "https://134744072/"):
            await asyncio.wait_for(targets.resolve(url), 1)
        assert not any(task.done() for task in waiting)
    finally:
        said.set()
        await asyncio.gather(*waiting, return_exceptions=True)
