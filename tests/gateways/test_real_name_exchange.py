"""The way to either provider and back: whatever goes wrong on it is an outcome, and nothing private is left on it."""

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import respx

from app.gateways.real_name.alibaba import AlibabaRealName
from app.gateways.real_name.base import Claim, Kind, Outcome, Provider, Verdict
from app.gateways.real_name.exchange import joined, national
from app.gateways.real_name.tencent import TencentRealName

PERSON = Claim(kind=Kind.INDIVIDUAL, name="张三", number="11010519491231002X", phone="+8613800138000")
ENTERPRISE = Claim(
    kind=Kind.ENTERPRISE,
    name="观测未来（上海）",
    number="91350100M000100Y43",
    legal_name="李雷",
    legal_number="440524188001010014",
)
PRIVATE = [
    *("张三", "11010519491231002X", "13800138000"),
    *("观测未来", "91350100M000100Y43", "李雷", "440524188001010014", "%E6%9D%8E%E9%9B%B7"),
    *("SecretExample", "Dd1r4id"),
]
# One that both providers take for a match of a person and of an enterprise.
MATCHED = {
    "Code": "200",
    "ResultObject": {"BizCode": "1"},
    "Response": {"Result": "0", "StatusCode": 0, "VerifyResult": 1, "OperatingStatus": "1"},
}
MISMATCHED = {
    "Code": "200",
    "ResultObject": {"BizCode": "2"},
    "Response": {"Result": "-4", "StatusCode": 0, "VerifyResult": 0, "OperatingStatus": "1"},
}

Maker = Callable[..., Provider]


def alibaba(url: str = "https://provider.example.com", timeout: int = 5) -> Provider:
    return AlibabaRealName(
        key_id="LTAIEXAMPLE",
        key_secret="SecretExample",
        auth_code="Dd1r4id",
        timeout=timeout,
        person_endpoint=url,
        company_endpoint=url,
    )


def tencent(url: str = "https://provider.example.com", timeout: int = 5) -> Provider:
    return TencentRealName(
        secret_id="AKIDEXAMPLE",
        secret_key="SecretExample",
        timeout=timeout,
        person_endpoint=url,
        company_endpoint=url,
    )


@pytest.fixture(params=[alibaba, tencent], ids=["alibaba", "tencent"])
def maker(request: pytest.FixtureRequest) -> Maker:
    made: Maker = request.param
    return made


@pytest.fixture
async def provider(maker: Maker) -> AsyncIterator[Provider]:
    made = maker()
    yield made
    await made.close()


@asynccontextmanager
async def serving(*parts: bytes, stay: bool = False) -> AsyncIterator[str]:
    """A server that answers with these bytes and hangs up, or stays silent from then on; its URL."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            if stay:
                await over.wait()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        over.set()
        server.close()


def spoken(answer: object) -> bytes:
    body = json.dumps(answer).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n"


async def test_an_answer_over_the_wire_is_read(maker: Maker) -> None:
    async with serving(spoken(MATCHED)) as url:
        provider = maker(url)
        assert (await provider.verify("rnca_1", PERSON)).outcome is Outcome.MATCHED
        await provider.close()


@respx.mock
@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (httpx.ConnectError("refused"), "connect"),
        (httpx.ConnectTimeout("slow"), "timeout"),
        (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.PoolTimeout("busy"), "timeout"),
        (httpx.RemoteProtocolError("garbage"), "network"),
        (httpx.ReadError("reset"), "network"),
        (httpx.ProxyError("proxy"), "network"),
        (RuntimeError("张三"), "network"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("claim", [PERSON, ENTERPRISE], ids=["person", "enterprise"])
async def test_what_goes_wrong_on_the_way_is_unavailable(
    provider: Provider, claim: Claim, error: Exception, detail: str
) -> None:
    respx.route().mock(side_effect=error)
    assert await provider.verify("rnca_1", claim) == Verdict(Outcome.UNAVAILABLE, detail=detail)


@pytest.mark.parametrize("parts", [[], [HEAD, b'{"Code": "200",']], ids=["no answer", "half an answer"])
async def test_silence_is_given_up_when_its_time_is_over(maker: Maker, parts: list[bytes]) -> None:
    async with serving(*parts, stay=True) as url:
        provider = maker(url, timeout=1)
        assert await provider.verify("rnca_1", PERSON) == Verdict(Outcome.UNAVAILABLE, detail="timeout")
        await provider.close()


@pytest.mark.parametrize(
    "parts",
    [[], [b"SSH-2.0-OpenSSH_9.6\r\n"], [HEAD, json.dumps(MATCHED).encode()]],
    ids=["hangs up", "no HTTP", "cut short"],
)
async def test_a_broken_answer_is_unavailable(maker: Maker, parts: list[bytes]) -> None:
    async with serving(*parts) as url:
        provider = maker(url)
        assert await provider.verify("rnca_1", PERSON) == Verdict(Outcome.UNAVAILABLE, detail="network")
        await provider.close()


async def test_a_provider_that_was_closed_is_unavailable(maker: Maker) -> None:
    provider = maker()
    await provider.close()
    assert (await provider.verify("rnca_1", PERSON)).outcome is Outcome.UNAVAILABLE


@respx.mock
async def test_who_stops_waiting_is_told_no_verdict(provider: Provider) -> None:
    """A worker that is shut down in the middle of a call has learnt nothing, not "unavailable"."""
    asked = asyncio.Event()

    async def silent(request: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    respx.route().mock(side_effect=silent)
    call = asyncio.create_task(provider.verify("rnca_1", PERSON))
    await asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


@respx.mock
@pytest.mark.parametrize("status", [201, 204, 304, 500, 502, 503, 504])
@pytest.mark.parametrize("body", [MATCHED, MISMATCHED], ids=["matched", "mismatched"])
async def test_another_status_is_unavailable_whatever_the_body_says(
    provider: Provider, status: int, body: dict[str, Any]
) -> None:
    respx.route().respond(status, json=body)
    assert await provider.verify("rnca_1", PERSON) == Verdict(Outcome.UNAVAILABLE, detail=f"http_{status}")


@respx.mock
async def test_too_many_requests_is_limited(provider: Provider) -> None:
    respx.route().respond(429, text="slow down")
    assert await provider.verify("rnca_1", PERSON) == Verdict(Outcome.LIMITED, detail="http_429")


@respx.mock
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["https://elsewhere.example.com/", "/other", "http://["])
async def test_no_redirect_is_followed(provider: Provider, status: int, location: str) -> None:
    route = respx.route().respond(status, json=MATCHED, headers={"location": location})
    assert (await provider.verify("rnca_1", PERSON)).outcome is Outcome.UNAVAILABLE
    assert route.call_count == 1


@respx.mock
@pytest.mark.parametrize(("status", "detail"), [(200, "unreadable"), (400, "http_400"), (403, "http_403")])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><title>Sign in</title>",
        b"null",
        b'"OK"',
        b'["200"]',
        json.dumps(MATCHED).encode()[:-1],
        json.dumps(MATCHED).encode() + b"{}",
        b'{"Code": ' + b"1" * 5000 + b"}",
        b"[" * 20_000,
        b"\xff\xfe\x00",
        gzip.compress(json.dumps(MATCHED).encode(), mtime=0),
    ],
    ids=lambda body: repr(body[:24]),
)
@pytest.mark.parametrize("claim", [PERSON, ENTERPRISE], ids=["person", "enterprise"])
async def test_garbage_is_unavailable(
    provider: Provider, *, claim: Claim, status: int, detail: str, body: bytes
) -> None:
    respx.route().respond(status, content=body)
    assert await provider.verify("rnca_1", claim) == Verdict(Outcome.UNAVAILABLE, detail=detail)


@respx.mock
@pytest.mark.parametrize(
    ("size", "outcome"), [(60_000, Outcome.MATCHED), (70_000, Outcome.UNAVAILABLE), (5_000_000, Outcome.UNAVAILABLE)]
)
async def test_an_answer_is_read_up_to_64_kib(provider: Provider, size: int, outcome: Outcome) -> None:
    respx.route().respond(200, json={**MATCHED, "Pad": "x" * size})
    told = await provider.verify("rnca_1", PERSON)
    assert told.outcome is outcome
    assert (told.detail == "too_long") == (outcome is Outcome.UNAVAILABLE)


@pytest.mark.parametrize("claim", [PERSON, ENTERPRISE], ids=["person", "enterprise"])
@pytest.mark.parametrize("answer", ["echo", "nothing"])
async def test_no_name_number_phone_or_secret_comes_into_log_or_verdict(
    maker: Maker, claim: Claim, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")
    caplog.set_level(logging.DEBUG, logger="httpcore")
    everything = " ".join(PRIVATE)
    error = {"Code": "InvalidParameterValue", "Message": everything}
    echo = {"Code": "401", "Message": everything, "Response": {"Error": error, "Description": everything}}
    async with serving(*([spoken(echo)] if answer == "echo" else [])) as url:
        provider = maker(url)
        told = await provider.verify("rnca_1", claim)
        await provider.close()

    assert told.outcome is (Outcome.INVALID if answer == "echo" else Outcome.UNAVAILABLE)
    for private in PRIVATE:
        assert private not in caplog.text
        assert private not in repr(told)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("李雷", "李雷"),
        ("李雷、韩梅梅", "李雷、韩梅梅"),
        (" 李雷 , 韩梅梅；Jim Green;", "李雷、韩梅梅、Jim Green"),
        ("买买提·艾力，、李雷", "买买提·艾力、李雷"),
    ],
)
def test_several_legal_persons_are_joined_as_the_registers_do(written: str, sent: str) -> None:
    assert joined(written) == sent


def test_a_phone_goes_out_without_its_country() -> None:
    assert national("+8613800138000") == "13800138000"
