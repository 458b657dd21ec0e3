"""The operator's own gateway for text messages."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
import respx

from app.core.config import Settings
from app.notifiers import build
from app.notifiers.base import Message, PermanentFailure, TemporaryFailure
from app.notifiers.log import LogNotifier
from app.notifiers.sms_aliyun import AliyunSmsNotifier
from app.notifiers.sms_http import HttpSmsNotifier
from app.notifiers.smtp import SmtpNotifier

URL = "https://sms.example.com/send?key=secret-key"
MESSAGE = Message(
    id="mesg_1",
    channel="sms",
    to="+8613800138000",
    template="login_code",
    locale="zh-CN",
    params={"code": "482913", "minutes": "10", "target": "+86*******8000"},
)


@pytest.fixture
async def notifier() -> AsyncIterator[HttpSmsNotifier]:
    notifier = HttpSmsNotifier(URL, timeout=5)
    yield notifier
    await notifier.close()


@respx.mock
async def test_the_gateway_gets_one_post_with_the_whole_message(notifier: HttpSmsNotifier) -> None:
    route = respx.post(URL).respond(202)
    await notifier.send(MESSAGE)
    assert route.call_count == 1
    request = route.calls.last.request
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content) == {
        "id": "mesg_1",
        "to": "+8613800138000",
        "template": "login_code",
        "locale": "zh-CN",
        "params": {"code": "482913", "minutes": "10", "target": "+86*******8000"},
    }


@respx.mock
@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_2xx_is_accepted(notifier: HttpSmsNotifier, status: int) -> None:
    respx.post(URL).respond(status)
    await notifier.send(MESSAGE)


@respx.mock
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 499])
async def test_4xx_is_permanent(notifier: HttpSmsNotifier, status: int) -> None:
    respx.post(URL).respond(status, text="number +8613800138000 refused")
    with pytest.raises(PermanentFailure) as failure:
        await notifier.send(MESSAGE)
    assert failure.value.reason == f"http_{status}"


@respx.mock
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_gateway_that_is_busy_or_broken_is_temporary(notifier: HttpSmsNotifier, status: int) -> None:
    respx.post(URL).respond(status)
    with pytest.raises(TemporaryFailure) as failure:
        await notifier.send(MESSAGE)
    assert failure.value.reason == f"http_{status}"


@respx.mock
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(notifier: HttpSmsNotifier, status: int) -> None:
    elsewhere = respx.route(host="elsewhere.example.com").respond(200)
    respx.post(URL).respond(status, headers={"location": "https://elsewhere.example.com/"})
    with pytest.raises(TemporaryFailure, match=rf"^http_{status}$"):
        await notifier.send(MESSAGE)
    assert not elsewhere.called


@respx.mock
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ConnectError("no route"), "connect"),
        (httpx.ConnectTimeout("slow"), "timeout"),
        (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.ReadError("reset"), "network"),
        (httpx.RemoteProtocolError("nonsense"), "network"),
    ],
)
async def test_network_errors_are_temporary_and_carry_no_request(
    notifier: HttpSmsNotifier, error: httpx.HTTPError, reason: str
) -> None:
    respx.post(URL).mock(side_effect=error)
    with pytest.raises(TemporaryFailure) as failure:
        await notifier.send(MESSAGE)
    assert failure.value.reason == reason
    assert failure.value.__cause__ is None
    assert failure.value.__context__ is None


class _Endless(httpx.AsyncByteStream):
    """A body without end, which counts what was taken from it."""

    def __init__(self) -> None:
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.taken += 1024
            yield b"x" * 1024


class _Broken(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x"
        raise httpx.ReadError("reset")


class _Stalled(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        await asyncio.sleep(60)
        yield b"x"


@respx.mock
async def test_a_long_answer_is_not_read_to_its_end(notifier: HttpSmsNotifier) -> None:
    body = _Endless()
    respx.post(URL).mock(return_value=httpx.Response(200, stream=body))
    await notifier.send(MESSAGE)
    assert body.taken <= 32 * 1024


@respx.mock
async def test_an_accepted_message_stays_accepted_when_the_body_breaks_off(notifier: HttpSmsNotifier) -> None:
    respx.post(URL).mock(return_value=httpx.Response(200, stream=_Broken()))
    await notifier.send(MESSAGE)


@respx.mock
async def test_an_accepted_message_stays_accepted_when_the_body_stalls() -> None:
    notifier = HttpSmsNotifier(URL, timeout=1)
    respx.post(URL).mock(return_value=httpx.Response(200, stream=_Stalled()))
    await notifier.send(MESSAGE)
    await notifier.close()


@respx.mock
async def test_neither_the_url_nor_the_code_is_logged(
    notifier: HttpSmsNotifier, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")
    respx.post(URL).respond(200)
    await notifier.send(MESSAGE)
    assert "secret-key" not in caplog.text
    assert "482913" not in caplog.text


async def test_development_writes_both_channels_to_the_file() -> None:
    built = build(Settings())
    assert {channel: type(notifier) for channel, notifier in built.items()} == {
        "email": LogNotifier,
        "sms": LogNotifier,
    }


@pytest.mark.parametrize(("sms", "kind"), [("http", HttpSmsNotifier), ("aliyun", AliyunSmsNotifier)])
async def test_the_settings_choose_the_notifiers(sms: str, kind: type) -> None:
    settings = Settings.model_validate(
        {
            "email_notifier": "smtp",
            "smtp_url": "smtp://mail.example.com",
            "sms_notifier": sms,
            "sms_http_url": URL,
            "aliyun_access_key_id": "LTAIEXAMPLE",
            "aliyun_access_key_secret": "SecretExample",
            "aliyun_sms_sign_name": "观测云",
            "aliyun_sms_templates": {"login_code": "SMS_1"},
        }
    )
    built = build(settings)
    assert type(built["email"]) is SmtpNotifier
    assert type(built["sms"]) is kind
    for notifier in built.values():
        await notifier.close()
