"""KooGallery's orders: what is asked, and what the answers mean."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import respx
import time_machine

from app.core import sdk_hmac
from app.gateways.marketplaces.base import CannotTell, Facts, Subscription, instance_key
from app.gateways.marketplaces.huawei import HuaweiMarketplace
from app.gateways.marketplaces.huawei_openapi import HuaweiOpenApi
from app.models.cloud_accounts import CloudStatus

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
HOST = "mkt.myhuaweicloud.com"
CUSTOMER = "459bbbec25d24749b2eb83be37b602a8"
PRODUCT = "OFFI846204237451911168"
ORDER = {
    "orderId": "MOCKONDEMAND",
    "orderType": "NEW",
    "orderLine": [
        {
            "orderLineId": "MOCKONDEMAND-000001",
            "chargingMode": "ON_DEMAND",
            "productInfo": [{"productId": PRODUCT, "skuCode": "0a4d1578", "productName": "MOCK测试商品"}],
        }
    ],
    "buyerInfo": {
        "mobilePhone": "18688888888",
        "email": None,
        "customerId": CUSTOMER,
        "customerName": "mock_user_01",
        "customerRealName": "测试用户1",
    },
}
SAID = {"resultCode": "MKT.0000", "resultMsg": "Success", "orderInfo": ORDER}


def openapi(**changed: Any) -> HuaweiOpenApi:
    given: dict[str, Any] = {"key_id": "AKEXAMPLE", "key_secret": "SKEXAMPLE", "timeout": 5}
    return HuaweiOpenApi(**{**given, **changed})


def subscription(*keys: str) -> Subscription:
    return Subscription("87b94795", None, CloudStatus.ACTIVE, (instance_key("87b94795"), *keys))


@pytest.fixture
async def orders() -> AsyncIterator[HuaweiOpenApi]:
    made = openapi()
    yield made
    await made.close()


@pytest.fixture
async def huawei() -> AsyncIterator[HuaweiMarketplace]:
    made = HuaweiMarketplace(key="key", tenant_key=None, openapi=openapi(), front_end_url="https://example.com/")
    yield made
    await made.close()


async def ask(orders: HuaweiOpenApi) -> Facts:
    return await orders.order("MOCKONDEMAND", "MOCKONDEMAND-000001")


@respx.mock
async def test_an_order_is_asked_for_with_the_signature_of_the_vector(orders: HuaweiOpenApi) -> None:
    route = respx.get(host=HOST).respond(200, json=SAID)
    with time_machine.travel(NEW_YEAR, tick=False):
        assert await ask(orders) == Facts(account_number=CUSTOMER, product=PRODUCT)
    request = route.calls.last.request
    assert str(request.url) == (
        f"https://{HOST}/api/mkp-openapi-public/global/v1/order/query"
        "?orderId=MOCKONDEMAND&orderLineId=MOCKONDEMAND-000001"
    )
    assert request.headers["host"] == HOST
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-sdk-date"] == "20260101T000000Z"
    assert request.headers["authorization"] == (
        "SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=content-type;host;x-sdk-date, "
        "Signature=41b4e1f14ad21c36671f6fc8069e511c74ded1998f77ccaefecb4fe06022911a"
    )


@respx.mock
async def test_what_is_sent_is_what_was_signed_whatever_the_site_and_the_order() -> None:
    route = respx.get(host="mkt-intl.example.com", port=8443).respond(200, json={"resultCode": "MKT.9001"})
    orders = openapi(endpoint="https://mkt-intl.example.com:8443/")
    with time_machine.travel(NEW_YEAR, tick=False):
        await orders.order("CS 1&+~", "CS/1")
    await orders.close()
    request = route.calls.last.request
    expected = sdk_hmac.sign(
        sdk_hmac.Call(
            host="mkt-intl.example.com:8443",
            path="/api/mkp-openapi-public/global/v1/order/query",
            query={"orderId": "CS 1&+~", "orderLineId": "CS/1"},
            headers={"content-type": "application/json"},
        ),
        key_id="AKEXAMPLE",
        secret="SKEXAMPLE",
        at=NEW_YEAR,
    )
    assert {name: request.headers[name] for name in expected} == expected
    assert request.url.query == b"orderId=CS%201%26%2B~&orderLineId=CS%2F1"


@respx.mock
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("code", ["MKT.0100", "MKT.0101", "MKT.0199", "MKT.9001"])
async def test_of_an_order_that_is_not_known_nothing_is_told(orders: HuaweiOpenApi, status: int, code: str) -> None:
    respx.get(host=HOST).respond(status, json={"resultCode": code, "resultMsg": "x", "orderInfo": ORDER})
    assert await ask(orders) == Facts()


@respx.mock
@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b'{"resultCode":"MKT.0150"}', "MKT.0150"),
        (403, b'{"resultCode":"MKT.0154"}', "MKT.0154"),
        (200, b'{"resultCode":"MKT.0250"}', "MKT.0250"),
        (200, b'{"resultCode":"MKT.0999"}', "MKT.0999"),
        (200, b'{"resultCode":"13800138000"}', "unreadable"),
        (200, b'{"resultCode":0}', "unreadable"),
        (200, b"{}", "unreadable"),
        (200, b"[]", "unreadable"),
        (200, b"<html>", "unreadable"),
        (200, b'{"resultCode":"MKT.0000"}', "unreadable"),
        (200, b'{"resultCode":"MKT.0000","orderInfo":{"orderLine":[null,{"orderLineId":"another"}]}}', "unreadable"),
        (400, b'{"resultCode":"MKT.0000"}', "http_400"),
        (401, b'{"error_code":"APIGW.0301"}', "http_401"),
        (500, b'{"resultCode":"MKT.9001"}', "http_500"),
        (503, b"", "http_503"),
        (200, b" " * 70_000, "too_long"),
    ],
)
async def test_other_answers_tell_nothing(orders: HuaweiOpenApi, status: int, body: bytes, why: str) -> None:
    respx.get(host=HOST).respond(status, content=body)
    with pytest.raises(CannotTell) as cannot:
        await ask(orders)
    assert cannot.value.why == why


@respx.mock
@pytest.mark.parametrize(
    ("error", "why"), [(httpx.ReadTimeout, "timeout"), (httpx.ConnectError, "connect"), (httpx.ReadError, "network")]
)
async def test_no_answer_has_a_word(orders: HuaweiOpenApi, error: type[Exception], why: str) -> None:
    respx.get(host=HOST).mock(side_effect=error)
    with pytest.raises(CannotTell) as cannot:
        await ask(orders)
    assert cannot.value.why == why


@respx.mock
@pytest.mark.parametrize("strange", [None, 7, "", "x" * 256, "a\0", ["a"], "\ud800"])
async def test_names_that_cannot_be_kept_are_not_told(orders: HuaweiOpenApi, strange: object) -> None:
    line = {"orderLineId": "MOCKONDEMAND-000001", "productInfo": [{"productId": strange}]}
    said = {**SAID, "orderInfo": {"buyerInfo": {"customerId": strange}, "orderLine": [line]}}
    respx.get(host=HOST).respond(200, content=json.dumps(said))
    assert await ask(orders) == Facts()


@respx.mock
@pytest.mark.parametrize("missing", [{}, {"buyerInfo": "x", "orderLine": [{"orderLineId": "MOCKONDEMAND-000001"}]}])
async def test_an_order_may_say_less(orders: HuaweiOpenApi, missing: dict[str, Any]) -> None:
    respx.get(host=HOST).respond(200, json={**SAID, "orderInfo": missing})
    if missing:
        assert await ask(orders) == Facts()
    else:
        with pytest.raises(CannotTell):
            await ask(orders)


@respx.mock
@pytest.mark.parametrize(
    ("key", "product"),
    [
        ("order:MOCKONDEMAND/MOCKONDEMAND-000001", PRODUCT),
        ("order:MOCKONDEMAND/MOCKONDEMAND-000001/OFFI2", "OFFI2"),  # the other product of the same line
    ],
)
async def test_a_subscription_is_looked_up_by_its_order(huawei: HuaweiMarketplace, key: str, product: str) -> None:
    route = respx.get(host=HOST, params={"orderId": "MOCKONDEMAND", "orderLineId": "MOCKONDEMAND-000001"})
    route.respond(200, json=SAID)
    assert await huawei.look_up(subscription(key)) == Facts(account_number=CUSTOMER, product=product)
    assert route.call_count == 1


async def test_without_an_order_nobody_is_asked(huawei: HuaweiMarketplace) -> None:
    with pytest.raises(CannotTell) as cannot:
        await huawei.look_up(subscription())
    assert cannot.value.why == "no_order"


async def test_without_keys_of_the_open_api_nobody_is_asked() -> None:
    huawei = HuaweiMarketplace(key="key", tenant_key=None, openapi=None, front_end_url="https://example.com/")
    with pytest.raises(CannotTell) as cannot:
        await huawei.look_up(subscription("order:MOCKONDEMAND/MOCKONDEMAND-000001"))
    assert cannot.value.why == "not_configured"
    await huawei.close()
