"""The billing service: only its plain word counts; anything else is "cannot tell", never "owes nothing"."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import respx

from app.gateways.billing import CannotTell, HttpBilling, NoBilling, Standing

URL = "https://billing.example.com/v1/"
ACCOUNT = "acnt_0193b5c27d3e7a41b4d2c9f1e8a60b57"
ADDRESS = f"https://billing.example.com/v1/accounts/{ACCOUNT}/standing"
CLEAR = {"arrears": False, "unsettled_bills": False}


@pytest.fixture
async def billing() -> AsyncIterator[HttpBilling]:
    made = HttpBilling(URL, token="s3cret", timeout=5)
    yield made
    await made.close()


@asynccontextmanager
async def serving(*parts: bytes, pause: float = 0) -> AsyncIterator[str]:
    """A server that sends these bytes, whatever it is asked, and waits before each part; its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            for part in parts:
                await asyncio.sleep(pause)
                writer.write(part)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def asked(url: str) -> Standing:
    billing = HttpBilling(url, token=None, timeout=1)
    try:
        return await billing.standing(ACCOUNT)
    finally:
        await billing.close()


@respx.mock
@pytest.mark.parametrize("arrears", [True, False])
@pytest.mark.parametrize("unsettled", [True, False])
async def test_its_word_is_taken(billing: HttpBilling, arrears: bool, unsettled: bool) -> None:
    told = {"arrears": arrears, "unsettled_bills": unsettled, "currency": "CNY"}
    respx.get(ADDRESS).respond(200, json=told)

    assert await billing.standing(ACCOUNT) == Standing(arrears=arrears, unsettled_bills=unsettled)


@respx.mock
async def test_it_is_asked_once_with_the_token_and_for_an_answer_as_it_is(billing: HttpBilling) -> None:
    route = respx.get(ADDRESS).respond(200, json=CLEAR)

    await billing.standing(ACCOUNT)

    (call,) = route.calls
    assert call.request.headers["Authorization"] == "Bearer s3cret"
    assert call.request.headers["Accept-Encoding"] == "identity"


@respx.mock
@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.PoolTimeout("busy"),
        httpx.RemoteProtocolError("garbage"),
        httpx.ReadError("reset"),
        httpx.ProxyError("proxy"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_nobody_can_tell_when_it_cannot_be_reached(billing: HttpBilling, error: Exception) -> None:
    respx.get(ADDRESS).mock(side_effect=error)

    with pytest.raises(CannotTell):
        await billing.standing(ACCOUNT)


@respx.mock
@pytest.mark.parametrize("status", [201, 202, 204, 206, 301, 302, 307, 400, 401, 403, 404, 410, 429, 500, 502, 503])
async def test_nobody_can_tell_by_another_status_whatever_the_body_says(billing: HttpBilling, status: int) -> None:
    respx.get(ADDRESS).respond(status, json=CLEAR, headers={"Location": "https://elsewhere.example.com/"})

    with pytest.raises(CannotTell):
        await billing.standing(ACCOUNT)


@respx.mock
@pytest.mark.parametrize("location", ["https://elsewhere.example.com/clear", "/clear", "http://[", "", "ftp://x"])
async def test_no_redirect_is_followed(billing: HttpBilling, location: str) -> None:
    respx.get(ADDRESS).respond(302, headers={"Location": location})
    elsewhere = respx.route().respond(200, json=CLEAR)

    with pytest.raises(CannotTell):
        await billing.standing(ACCOUNT)
    assert not elsewhere.called


@respx.mock
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"false",
        b'"arrears"',
        b"{}",
        b"<!doctype html><title>Sign in</title>",
        b'{"arrears": false}',
        b'{"unsettled_bills": false}',
        b'{"arrears": "false", "unsettled_bills": false}',
        b'{"arrears": 0, "unsettled_bills": 0}',
        b'{"arrears": null, "unsettled_bills": null}',
        b'{"arrears": [], "unsettled_bills": {}}',
        b'{"arrears": false, "unsettled_bills": false',
        b'{"arrears": false, "unsettled_bills": false} {}',
        b'{"Arrears": false, "Unsettled_Bills": false}',
        b'[{"arrears": false, "unsettled_bills": false}]',
        b'{"data": {"arrears": false, "unsettled_bills": false}}',
        b'\xff\xfe{"arrears": false, "unsettled_bills": false}',
        b'{"arrears": false, "unsettled_bills": false}'.decode().encode("utf-16"),
        gzip.compress(b'{"arrears": false, "unsettled_bills": false}', mtime=0),
        b'{"arrears": false, "unsettled_bills": false, "pad": "' + b"x" * 70_000 + b'"}',
        b"[" * 10_000,
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_nobody_can_tell_by_a_body_of_another_form(billing: HttpBilling, body: bytes) -> None:
    respx.get(ADDRESS).respond(200, content=body, headers={"Content-Type": "application/json"})

    with pytest.raises(CannotTell):
        await billing.standing(ACCOUNT)


@respx.mock
async def test_a_packed_answer_that_was_not_asked_for_is_not_unpacked(billing: HttpBilling) -> None:
    """A few bytes of it could become gigabytes of ours."""
    packed = gzip.compress(b'{"arrears": false, "unsettled_bills": false}')
    respx.get(ADDRESS).respond(200, content=packed, headers={"Content-Encoding": "gzip"})

    with pytest.raises(CannotTell):
        await billing.standing(ACCOUNT)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 44\r\n\r\n"


async def test_an_answer_over_the_wire_is_read() -> None:
    async with serving(HEAD, b'{"arrears": true, "unsettled_bills": false} ') as url:
        assert await asked(url) == Standing(arrears=True, unsettled_bills=False)


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD, b'{"arrears": false, "unsettled_bills": false}'[:20]],
        [b""],
        [b"SSH-2.0-OpenSSH_9.6\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
    ],
    ids=["cut short", "hangs up", "no HTTP", "wrong length", "wrong chunk"],
)
async def test_nobody_can_tell_by_a_broken_answer(parts: list[bytes]) -> None:
    async with serving(*parts) as url:
        with pytest.raises(CannotTell):
            await asked(url)


async def test_an_answer_that_trickles_is_given_up_when_its_time_is_over() -> None:
    """Each byte comes within the time; all of them do not."""
    async with serving(HEAD, *(bytes([letter]) for letter in b'{"arrears": false, '), pause=0.3) as url:
        began = asyncio.get_running_loop().time()
        with pytest.raises(CannotTell):
            await asked(url)
    assert asyncio.get_running_loop().time() - began < 2.5


async def test_neither_account_nor_token_come_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="app")
    caplog.set_level(logging.INFO)
    async with serving(HEAD, b'{"arrears": true, "unsettled_bills": false} ') as url:
        billing = HttpBilling(url, token="s3cret", timeout=1)
        await billing.standing(ACCOUNT)
        await billing.close()

    assert ACCOUNT not in caplog.text and "s3cret" not in caplog.text


async def test_without_a_billing_service_nothing_is_owed() -> None:
    billing: Any = NoBilling()

    assert await billing.standing(ACCOUNT) == Standing(arrears=False, unsettled_bills=False)
    await billing.close()
