"""Alibaba Cloud's SendSms: the signature against published vectors, and every answer that is known."""

import hashlib
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

import httpx
import pytest
import respx
import time_machine

from app.core import acs3
from app.notifiers.base import Message, PermanentFailure, TemporaryFailure
from app.notifiers.sms_aliyun import AliyunSmsNotifier

ENDPOINT = "https://dysmsapi.aliyuncs.com"
NONCE = "3156853299f313e23d1673dc12e1703d"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
EXAMPLE_KEY = {"key_id": "LTAIEXAMPLE", "secret": "SecretExample"}
TEMPLATES = {"login_code": "SMS_1", "login_code:en": "SMS_2"}

PERMANENT = [
    "isv.BLACK_KEY_CONTROL_LIMIT",
    "isv.COUNTRY_RESTRICTED",
    "isv.DOMESTIC_NUMBER_NOT_SUPPORTED",
    "isv.INVALID_JSON_PARAM",
    "isv.INVALID_PARAMETERS",
    "isv.MOBILE_COUNT_OVER_LIMIT",
    "isv.MOBILE_NUMBER_ILLEGAL",
    "isv.NOT_SUPPORTED_COUNTRY",
    "isv.PARAM_LENGTH_LIMIT",
    "isv.PARAM_NOT_SUPPORT_URL",
    "isv.SMS_SIGNATURE_ILLEGAL",
    "isv.SMS_TEMPLATE_ILLEGAL",
    "isv.TEMPLATE_MISSING_PARAMETERS",
    "isv.TEMPLATE_PARAMS_ILLEGAL",
]
TEMPORARY = [
    "isv.BUSINESS_LIMIT_CONTROL",
    "isv.DAY_LIMIT_CONTROL",
    "isv.MONTH_LIMIT_CONTROL",
    "isv.AMOUNT_NOT_ENOUGH",
    "isv.OUT_OF_SERVICE",
    "isp.SYSTEM_ERROR",
    "isp.RAM_PERMISSION_DENY",
    "Throttling.User",
    "SignatureDoesNotMatch",
    "isv.SOMETHING_NEW",
]


def message(
    *, template: str = "login_code", locale: str = "zh-CN", to: str = "+8613800138000", **params: str
) -> Message:
    return Message(id="mesg_1", channel="sms", to=to, template=template, locale=locale, params=params)


def notifier_at(endpoint: str) -> AliyunSmsNotifier:
    return AliyunSmsNotifier(
        endpoint=endpoint,
        key_id="LTAIEXAMPLE",
        key_secret="SecretExample",
        sign_name="观测云",
        templates=TEMPLATES,
        timeout=5,
    )


@pytest.fixture
async def notifier() -> AsyncIterator[AliyunSmsNotifier]:
    notifier = notifier_at(ENDPOINT)
    yield notifier
    await notifier.close()


def canonical_hash(call: acs3.Call, headers: Mapping[str, str]) -> str:
    signed = {name: value for name, value in headers.items() if name != "authorization"}
    return hashlib.sha256(acs3.canonical_request(call, signed).encode()).hexdigest()


@pytest.mark.parametrize(
    ("call", "key", "at", "canonical", "signature"),
    [
        pytest.param(
            acs3.Call(
                host="ecs.cn-shanghai.aliyuncs.com",
                action="RunInstances",
                version="2014-05-26",
                query={
                    "RegionId": "cn-shanghai",
                    "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
                },
            ),
            {"key_id": "YourAccessKeyId", "secret": "YourAccessKeySecret"},
            datetime(2023, 10, 26, 10, 22, 32, tzinfo=UTC),
            "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259",
            "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0",
            id="the vendor's own example",
        ),
        pytest.param(
            acs3.Call(
                host="cloudauth.aliyuncs.com",
                action="Id2MetaVerify",
                version="2019-03-07",
                body=b"IdentifyNum=11010519491231002X&ParamType=normal&UserName=%E5%BC%A0%E4%B8%89",
                content_type="application/x-www-form-urlencoded",
            ),
            EXAMPLE_KEY,
            NEW_YEAR,
            "de9d80a1cfc2e5e68f5d5cd6035d704f60467ec3510825bff7a1c01330958dcf",
            "a55149e3aa04d7b2f9793f20a5bcc23c8fae8183dc6e97a6eac767912c167ca8",
            id="with a body, as the vendor's SDK signs it",
        ),
        pytest.param(
            acs3.Call(
                host="dysmsapi.aliyuncs.com",
                action="SendSms",
                version="2017-05-25",
                query={
                    "PhoneNumbers": "13800138000",
                    "SignName": "观测云",
                    "TemplateCode": "SMS_123456789",
                    "TemplateParam": '{"code":"123456"}',
                },
            ),
            EXAMPLE_KEY,
            NEW_YEAR,
            "004bd30e08636a1d19c3a8c2f13bad513917eaa1817ce0fa01c54f1b34d0a42e",
            "7d36ed6c93d37d0c073984199963cb2961e7727fa6a87d7c8a5bfc8f060cfdd7",
            id="SendSms, as the vendor's SDK signs it",
        ),
    ],
)
def test_the_signature_equals_the_vectors(
    call: acs3.Call, key: dict[str, str], at: datetime, canonical: str, signature: str
) -> None:
    headers = acs3.sign(call, at=at, nonce=NONCE, **key)
    assert canonical_hash(call, headers) == canonical
    names = ";".join(sorted(headers.keys() - {"authorization"}))
    assert headers["authorization"] == (
        f"ACS3-HMAC-SHA256 Credential={key['key_id']},SignedHeaders={names},Signature={signature}"
    )


def test_a_query_is_encoded_after_rfc_3986() -> None:
    assert acs3.canonical_query({"b": "a b*~/+", "a": "é"}) == "a=%C3%A9&b=a%20b%2A~%2F%2B"


@respx.mock
async def test_a_message_is_a_signed_call_of_send_sms(notifier: AliyunSmsNotifier) -> None:
    route = respx.post(host="dysmsapi.aliyuncs.com").respond(200, json={"Code": "OK", "BizId": "1"})
    with time_machine.travel(NEW_YEAR, tick=False):
        await notifier.send(message(code="482913", target="+86*******8000"))
    request = route.calls.last.request
    assert request.url.path == "/"
    assert request.content == b""
    query = {
        "PhoneNumbers": "8613800138000",
        "SignName": "观测云",
        "TemplateCode": "SMS_1",
        "TemplateParam": '{"code":"482913","target":"+86*******8000"}',
        "OutId": "mesg_1",
    }
    assert dict(request.url.params) == query
    assert request.url.query.decode() == acs3.canonical_query(query)
    expected = acs3.sign(
        acs3.Call(host="dysmsapi.aliyuncs.com", action="SendSms", version="2017-05-25", query=query),
        at=NEW_YEAR,
        nonce=request.headers["x-acs-signature-nonce"],
        **EXAMPLE_KEY,
    )
    assert {name: request.headers[name] for name in expected} == expected
    assert request.headers["x-acs-date"] == "2026-01-01T00:00:00Z"


@respx.mock
async def test_every_attempt_has_a_nonce_of_its_own_and_the_same_out_id(notifier: AliyunSmsNotifier) -> None:
    route = respx.post(host="dysmsapi.aliyuncs.com").respond(200, json={"Code": "OK"})
    await notifier.send(message())
    await notifier.send(message())
    requests = [call.request for call in route.calls]
    assert len({request.headers["x-acs-signature-nonce"] for request in requests}) == 2
    assert {request.url.params["OutId"] for request in requests} == {"mesg_1"}
    assert all(re.fullmatch("[0-9a-f]{32}", request.headers["x-acs-signature-nonce"]) for request in requests)


@respx.mock
async def test_another_endpoint_is_signed_by_its_own_name() -> None:
    route = respx.post(host="sms.example.com", port=8443).respond(200, json={"Code": "OK"})
    notifier = notifier_at("https://sms.example.com:8443/")
    await notifier.send(message(to="+6591234567"))
    await notifier.close()
    request = route.calls.last.request
    assert request.headers["host"] == "sms.example.com:8443"
    assert request.url.params["PhoneNumbers"] == "6591234567"


@respx.mock
async def test_a_template_of_the_language_goes_before_the_general_one(notifier: AliyunSmsNotifier) -> None:
    route = respx.post(host="dysmsapi.aliyuncs.com").respond(200, json={"Code": "OK"})
    await notifier.send(message(locale="en"))
    assert route.calls.last.request.url.params["TemplateCode"] == "SMS_2"
    await notifier.send(message(locale="zh-CN"))
    assert route.calls.last.request.url.params["TemplateCode"] == "SMS_1"


@respx.mock
async def test_a_message_without_a_template_is_permanent_and_nothing_is_sent(
    notifier: AliyunSmsNotifier,
) -> None:
    route = respx.post(host="dysmsapi.aliyuncs.com").respond(200, json={"Code": "OK"})
    with pytest.raises(PermanentFailure, match=r"^no_template$"):
        await notifier.send(message(template="password_changed"))
    assert not route.called


@respx.mock
async def test_params_that_are_none_are_left_out(notifier: AliyunSmsNotifier) -> None:
    route = respx.post(host="dysmsapi.aliyuncs.com").respond(200, json={"Code": "OK"})
    params = json.loads('{"code": "482913", "link": null, "username": "李雷"}')
    await notifier.send(message(**params))
    sent = route.calls.last.request.url.params["TemplateParam"]
    assert json.loads(sent) == {"code": "482913", "username": "李雷"}


@respx.mock
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("code", PERMANENT)
async def test_a_fault_of_number_template_signature_or_parameters_is_permanent(
    notifier: AliyunSmsNotifier, code: str, status: int
) -> None:
    respx.post(host="dysmsapi.aliyuncs.com").respond(status, json={"Code": code, "Message": "13800138000"})
    with pytest.raises(PermanentFailure) as failure:
        await notifier.send(message())
    assert failure.value.reason == code
    assert str(failure.value) == code


@respx.mock
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("code", TEMPORARY)
async def test_flow_control_the_account_and_unknown_codes_are_temporary(
    notifier: AliyunSmsNotifier, code: str, status: int
) -> None:
    respx.post(host="dysmsapi.aliyuncs.com").respond(status, json={"Code": code, "Message": "13800138000"})
    with pytest.raises(TemporaryFailure) as failure:
        await notifier.send(message())
    assert failure.value.reason == code


@respx.mock
@pytest.mark.parametrize("code", ["ServiceUnavailable", "isv.MOBILE_NUMBER_ILLEGAL", "OK"])
async def test_5xx_is_temporary_whatever_the_body_says(notifier: AliyunSmsNotifier, code: str) -> None:
    respx.post(host="dysmsapi.aliyuncs.com").respond(503, json={"Code": code})
    with pytest.raises(TemporaryFailure):
        await notifier.send(message())


@respx.mock
@pytest.mark.parametrize(
    ("status", "reason"), [(200, "unreadable"), (302, "http_302"), (403, "http_403"), (502, "http_502")]
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Bad gateway</body></html>",
        b"null",
        b'["OK"]',
        b'{"Code": 1}',
        b'{"Code": "number 13800138000 is bad"}',
        b"\xff\xfe\x00",
    ],
)
async def test_garbage_is_temporary_and_does_not_become_a_reason(
    notifier: AliyunSmsNotifier, status: int, reason: str, body: bytes
) -> None:
    respx.post(host="dysmsapi.aliyuncs.com").respond(status, content=body)
    with pytest.raises(TemporaryFailure) as failure:
        await notifier.send(message())
    assert failure.value.reason == reason


@respx.mock
@pytest.mark.parametrize(
    ("error", "reason"), [(httpx.ConnectError("no route"), "connect"), (httpx.ReadTimeout("slow"), "timeout")]
)
async def test_network_errors_are_temporary_and_carry_no_request(
    notifier: AliyunSmsNotifier, error: httpx.HTTPError, reason: str
) -> None:
    respx.post(host="dysmsapi.aliyuncs.com").mock(side_effect=error)
    with pytest.raises(TemporaryFailure) as failure:
        await notifier.send(message())
    assert failure.value.reason == reason
    assert failure.value.__context__ is None


@respx.mock
async def test_neither_the_number_nor_the_code_is_logged(
    notifier: AliyunSmsNotifier, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")
    respx.post(host="dysmsapi.aliyuncs.com").respond(200, json={"Code": "OK"})
    await notifier.send(message(code="482913"))
    assert "13800138000" not in caplog.text
    assert "482913" not in caplog.text
