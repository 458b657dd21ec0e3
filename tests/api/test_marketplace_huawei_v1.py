"""Huawei Cloud's KooGallery by its deprecated access V1.0, through the whole service: from buying to the end."""

import hashlib
import hmac
import logging
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import structlog

from app.core.clock import now
from app.core.config import Settings
from app.core.logging import configure
from tests.support.api import Api, Holder, frozen
from tests.support.aws_marketplace import failing
from tests.support.clouds import (
    HUAWEI_BUYER,
    HUAWEI_INSTANCE,
    HUAWEI_KEY,
    HUAWEI_ORDER,
    MARKETPLACES,
    bind,
    get,
    huawei,
    paid_by,
    rows,
    settled,
    typed,
    workspace,
)
from tests.support.services import client

PEOPLE = {
    "customerName": "hw_demo & Co",
    "userName": "lilei_the_buyer",
    "mobilePhone": "ABCDEFGHIJKLMNOPcKkmnDcOYbuPMU/f7uyvAQ==",
    "email": "ABCDEFGHIJKLMNOPu7FKKCUH+yumuK82XWUZxcSquixIwiXHLwHCWiLt/Dc=",
}
NEW: dict[str, Any] = {
    "businessId": HUAWEI_INSTANCE,
    "customerId": HUAWEI_BUYER,
    "orderId": HUAWEI_ORDER,
    "productId": "00301-666688-0--0",
    "chargingMode": "0",
    **PEOPLE,
}
DONE = {"resultCode": "000000", "resultMsg": "success"}
CREATED = {**DONE, "instanceId": HUAWEI_INSTANCE}
STATE = ("cloud_notices", "cloud_accounts", "cloud_account_keys", "settlements", "events", "marketplace_nonces")
served: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES, huawei_marketplace_v1=True)
not_served: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES)


def signature(key: str, text: bytes) -> str:
    return b64encode(hmac.new(key.encode(), text, hashlib.sha256).digest()).decode()


async def calls(api: Api, activity: str, *, late: timedelta = timedelta(), **params: Any) -> httpx.Response:
    """A signed call of KooGallery V1.0."""
    stamp = (now() - late).strftime("%Y%m%d%H%M%S%f")[:17]
    given = {"activity": activity, **params, "timeStamp": stamp}
    text = "&".join(f"{name}={given[name]}" for name in sorted(given))
    return await api.client.get(
        "/marketplace/huawei", params={**given, "authToken": signature(HUAWEI_KEY + stamp, text.encode())}
    )


def said(answer: httpx.Response) -> dict[str, Any]:
    """What was answered: always with 200, and signed to the byte."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    sign = f'sign_type="HMAC-SHA256", signature="{signature(HUAWEI_KEY, answer.content)}"'
    assert answer.headers["body-sign"] == sign
    found: dict[str, Any] = answer.json()
    return found


async def says(api: Api, activity: str, **params: Any) -> dict[str, Any]:
    return said(await calls(api, activity, instanceId=HUAWEI_INSTANCE, **params))


async def status(api: Api, holder: Holder) -> str:
    (only,) = (await get(api, holder, "/cloud-accounts"))["items"]
    return str(only["status"])


@served
async def test_from_buying_to_the_end(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    with frozen() as clock:
        assert said(await calls(api, "newInstance", **NEW)) == CREATED
        own = await typed(api, holder, provider="huawei", number=HUAWEI_BUYER, instance=HUAWEI_INSTANCE)
        assert (own.status_code, own.json()["account_id"], own.json()["status"]) == (201, "********02a8", "active")
        one = await workspace(service, holder, site="cn4")
        assert (await bind(api, holder, own.json()["id"], one)).status_code == 200
        assert (await paid_by(service, one))["cloud_account"]["account_id"] == HUAWEI_BUYER

        for step, (activity, params, then) in enumerate(
            [
                ("upgrade", {"orderId": "CS2", "skuCode": "s", "productId": "P2"}, "active"),
                ("expireInstance", {}, "frozen"),
                ("refreshInstance", {"orderId": "CS3", "expireTime": "20300101000000"}, "active"),
                ("instanceStatus", {"instanceStatus": "FREEZE"}, "frozen"),
                ("instanceStatus", {"instanceStatus": "NORMAL"}, "active"),
                ("expireInstance", {}, "frozen"),
                ("releaseInstance", {}, "ended"),
                ("refreshInstance", {"orderId": "CS4", "expireTime": "20300101000000"}, "ended"),
            ]
        ):
            clock.shift(timedelta(seconds=1))
            assert await says(api, activity, **params) == DONE, step
            assert await status(api, holder) == then, step
            assert ((await settled(api, holder, one))["lock_ends_at"] is None) == (then == "active"), step


@served
async def test_a_purchase_made_again_is_the_same_and_another_product_of_the_order_is_not(api: Api) -> None:
    with frozen() as clock:
        assert said(await calls(api, "newInstance", **NEW)) == CREATED
        for number in range(2):
            clock.shift(timedelta(minutes=3))
            assert said(await calls(api, "newInstance", **{**NEW, "businessId": f"again-{number}"})) == CREATED
        other = {**NEW, "businessId": "second", "productId": "P2"}
        assert said(await calls(api, "newInstance", **other)) == {**DONE, "instanceId": "second"}
    assert await rows(api, "cloud_accounts", "cloud_notices") == {"cloud_accounts": 2, "cloud_notices": 2}


@served
async def test_both_accesses_speak_of_the_same_instance(api: Api) -> None:
    said(await calls(api, "newInstance", **NEW))
    moved = await huawei(api, "updateInstanceStatus", instanceId=HUAWEI_INSTANCE, status="FREEZE")
    assert moved.json() == DONE
    assert "body-sign" not in moved.headers
    asked = await says(api, "queryInstance")
    assert [one["instanceId"] for one in asked["info"]] == [HUAWEI_INSTANCE]
    assert await rows(api, "cloud_accounts") == {"cloud_accounts": 1}


@served
async def test_a_test_and_what_nobody_knows_are_acknowledged_and_change_nothing(api: Api) -> None:
    assert said(await calls(api, "newInstance", **NEW, testFlag="1")) == CREATED
    assert await says(api, "releaseInstance", testFlag="1") == DONE
    assert await says(api, "getLicense") == DONE
    assert await rows(api, "cloud_accounts", "cloud_notices") == {"cloud_accounts": 0, "cloud_notices": 3}
    kept = (await (await client(api)).get("/marketplace/notices")).json()["items"]
    assert {(one["channel"], one["type"], one["effect"]) for one in kept} == {
        ("v1", "newInstance", "none"),
        ("v1", "releaseInstance", "none"),
        ("v1", "getLicense", "unknown"),
    }


@served
async def test_a_message_that_came_before_its_purchase_is_applied_after_it(api: Api) -> None:
    with frozen() as clock:
        assert (await says(api, "expireInstance"))["resultCode"] == "000003"
        clock.shift(timedelta(seconds=5))
        assert said(await calls(api, "newInstance", **NEW, late=timedelta(seconds=10))) == CREATED
        holder = await api.register()
        await typed(api, holder, provider="huawei", number=HUAWEI_BUYER, instance=HUAWEI_INSTANCE)
        assert await status(api, holder) == "frozen"


@served
async def test_refusals_are_signed_and_nothing_is_kept(api: Api) -> None:
    with frozen():
        good = await calls(api, "newInstance", **NEW)
        before = await rows(api, *STATE)
        url = good.request.url

        assert said(await api.client.get(url))["resultCode"] == "000001"  # once only
        assert said(await api.client.get(url.copy_set_param("orderId", "CS2")))["resultCode"] == "000001"
        assert said(await api.client.get(url.copy_add_param("orderId", HUAWEI_ORDER)))["resultCode"] == "000002"
        assert said(await api.client.get(url.copy_remove_param("timeStamp")))["resultCode"] == "000002"
        assert said(await calls(api, "newInstance", late=timedelta(seconds=61)))["resultCode"] == "000001"
        assert (await says(api, "instanceStatus", instanceStatus="OTHER"))["resultCode"] == "000002"

        assert await rows(api, *STATE) == before


@served
@pytest.mark.parametrize("table", ["cloud_notices", "cloud_accounts"])
async def test_a_fault_of_ours_is_answered_with_a_signature_too_so_that_it_calls_again(api: Api, table: str) -> None:
    async with failing(api, table):
        assert said(await calls(api, "newInstance", **NEW)) == {"resultCode": "000005", "resultMsg": "try again"}
    assert said(await calls(api, "newInstance", **NEW)) == CREATED


@not_served
async def test_it_has_to_be_switched_on(api: Api) -> None:
    assert (await calls(api, "newInstance", **NEW)).status_code == 404
    assert await rows(api, "cloud_notices") == {"cloud_notices": 0}


def test_switched_on_it_needs_its_key() -> None:
    with pytest.raises(ValueError, match="GUANCE_HUAWEI_MARKETPLACE_V1 needs GUANCE_HUAWEI_MARKETPLACE_KEY"):
        Settings(huawei_marketplace_v1=True)


@pytest.fixture(params=["INFO", "DEBUG"])
def logged(request: pytest.FixtureRequest) -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure(request.param)
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers = before
    root.setLevel(level)


@served
@pytest.mark.usefixtures("logged")
async def test_neither_people_nor_tokens_are_kept_or_logged(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    good = await calls(api, "newInstance", **NEW)
    await api.client.get(good.request.url)
    await says(api, "releaseInstance", **PEOPLE)
    written = "".join(capfd.readouterr())
    assert "marketplace_notice" in written
    kept = (await (await client(api)).get("/marketplace/notices")).text
    assert '"customerId"' in kept
    secrets = {*PEOPLE.values(), good.request.url.params["authToken"]}
    for text in (written, kept):
        assert not [one for one in secrets if one in text or str(httpx.QueryParams(x=one))[2:] in text]
