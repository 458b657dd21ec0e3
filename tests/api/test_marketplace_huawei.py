"""Huawei Cloud's KooGallery through the whole service: buying, freezing, the end, and all that the order tells."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import respx

from app.core import sdk_hmac
from app.core.clock import now
from tests.support.api import Api, Holder, frozen, refusal
from tests.support.clouds import (
    ASKED,
    HUAWEI_BUYER,
    HUAWEI_INSTANCE,
    HUAWEI_ORDER,
    MARKETPLACES,
    bind,
    get,
    history,
    huawei,
    huawei_buys,
    huawei_says,
    paid_by,
    rows,
    settled,
    typed,
    workspace,
)
from tests.support.services import ServiceClient, client, feed

DONE = {"resultCode": "000000", "resultMsg": "success"}
CREATED = {**DONE, "instanceId": HUAWEI_INSTANCE}
STATE = ("cloud_accounts", "cloud_account_keys", "settlements", "events", "outbox_messages", "activity")
asked: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES, **ASKED, access_token_seconds=10**8)
impatient: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES, **ASKED, marketplace_timeout_seconds=0.2)


async def says(api: Api, activity: str, *, at: datetime | None = None, **members: Any) -> dict[str, Any]:
    """A call about the instance, and the answer."""
    answer = await huawei(api, activity, at=at, **{"instanceId": HUAWEI_INSTANCE, **members})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def switched(api: Api, status: str, at: datetime | None = None) -> dict[str, Any]:
    return await says(api, "updateInstanceStatus", status=status, at=at)


async def types(api: Api, holder: Holder, number: str = HUAWEI_BUYER) -> httpx.Response:
    return await typed(api, holder, provider="huawei", number=number, instance=HUAWEI_INSTANCE)


async def status(api: Api, holder: Holder) -> str:
    (only,) = (await get(api, holder, "/cloud-accounts"))["items"]
    return str(only["status"])


async def bound(api: Api, holder: Holder, service: ServiceClient, *sites: str) -> list[str]:
    """It was bought, typed, and pays for a workspace on each site."""
    huawei_says()
    assert (await huawei_buys(api)).json() == CREATED
    own = await types(api, holder)
    assert own.status_code == 201, own.text
    workspaces = [await workspace(service, holder, site=site) for site in sites]
    assert (await bind(api, holder, own.json()["id"], *workspaces)).status_code == 200
    return workspaces


# From buying to the end


@asked
@respx.mock
async def test_the_buyer_is_learnt_from_the_order_by_a_signed_question(api: Api) -> None:
    holder = await api.register()
    order = huawei_says()

    assert (await huawei_buys(api)).json() == CREATED

    request = order.calls.last.request
    query = {"orderId": HUAWEI_ORDER, "orderLineId": f"{HUAWEI_ORDER}-000001"}
    assert dict(request.url.params) == query
    call = sdk_hmac.Call(
        host="mkt.myhuaweicloud.com",
        path="/api/mkp-openapi-public/global/v1/order/query",
        query=query,
        headers={"content-type": "application/json"},
    )
    signed_at = datetime.strptime(request.headers["x-sdk-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs(now() - signed_at) < timedelta(minutes=1)
    expected = sdk_hmac.sign(call, key_id="AKEXAMPLE", secret="SKEXAMPLE", at=signed_at)["authorization"]
    assert request.headers["authorization"] == expected
    own = await types(api, holder)
    assert (own.status_code, own.json()["account_id"], own.json()["status"]) == (201, "********02a8", "active")
    assert order.call_count == 1


@asked
@respx.mock
async def test_freezing_locks_every_workspace_and_unfreezing_brings_them_back(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    workspaces = await bound(api, holder, service, "cn4", "za1")

    assert await switched(api, "FREEZE") == DONE

    assert await status(api, holder) == "frozen"
    for one in workspaces:
        locked = await settled(api, holder, one)
        assert locked["method"] == "cloud_account"
        left = datetime.fromisoformat(locked["lock_ends_at"]) - now()
        assert timedelta(days=13, hours=23) < left <= timedelta(days=14)
        assert (await paid_by(service, one))["locked"] is True
    (message,) = await api.messages(holder.email, "workspaces_locked")
    assert message.params["provider"] == "huawei"

    assert await switched(api, "UNFREEZE") == DONE

    assert await status(api, holder) == "active"
    for one in workspaces:
        assert [span["cause"] for span in await history(api, holder, one)] == ["created", "chosen", "locked", "resumed"]
        assert (await paid_by(service, one))["cloud_account"]["account_id"] == HUAWEI_BUYER
    told = [event["type"] for event in await feed(service)]
    assert told.count("workspace.lock_requested") == told.count("workspace.unlock_requested") == 2
    assert told.count("cloud_account.frozen") == told.count("cloud_account.unfrozen") == 1


@asked
@respx.mock
async def test_what_was_released_has_ended_and_a_frozen_one_is_not_locked_twice(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    (one,) = await bound(api, holder, service, "cn4")
    await switched(api, "FREEZE")
    lock = (await settled(api, holder, one))["lock_ends_at"]

    assert await says(api, "releaseInstance") == DONE

    assert await status(api, holder) == "ended"
    assert (await settled(api, holder, one))["lock_ends_at"] == lock
    before = await rows(api, *STATE)
    for _ in range(2):
        assert await says(api, "releaseInstance") == DONE
        assert await switched(api, "UNFREEZE") == DONE
        assert (await huawei_buys(api, business="another")).json() == CREATED
    assert await status(api, holder) == "ended"
    assert await rows(api, *STATE) == before


@asked
@respx.mock
async def test_what_is_released_while_it_pays_locks_its_workspaces(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    (one,) = await bound(api, holder, service, "za1")
    assert await says(api, "releaseInstance", orderId=HUAWEI_ORDER, orderLineId=f"{HUAWEI_ORDER}-000001") == DONE
    assert await status(api, holder) == "ended"
    assert (await settled(api, holder, one))["lock_ends_at"] is not None


@asked
@respx.mock
async def test_an_order_has_one_instance_whatever_the_repeats_call_it(api: Api) -> None:
    huawei_says()
    assert (await huawei_buys(api)).json() == CREATED
    before = await rows(api, "cloud_notices", *STATE)
    for number in range(3):
        assert (await huawei_buys(api, business=f"again-{number}")).json() == CREATED
    assert await rows(api, "cloud_notices", *STATE) == before
    assert (await huawei_buys(api, order="CS2", business="second")).json()["instanceId"] == "second"


@asked
@respx.mock
@pytest.mark.parametrize("first", ["UNFREEZE", "releaseInstance"])
async def test_a_freeze_that_comes_after_what_ended_it_changes_nothing(api: Api, first: str) -> None:
    holder, service = await api.register(), await client(api)
    with frozen() as clock:
        (one,) = await bound(api, holder, service, "cn4")
        clock.shift(timedelta(minutes=1))
        await (switched(api, first) if first == "UNFREEZE" else says(api, first))
        before, was = await rows(api, *STATE), await settled(api, holder, one)
        late = now() - timedelta(seconds=20)

        assert await switched(api, "FREEZE", at=late) == DONE

        assert await rows(api, *STATE) == before
        assert await settled(api, holder, one) == was
        assert await status(api, holder) == ("active" if first == "UNFREEZE" else "ended")


# While the order cannot be asked for


@asked
@respx.mock
@pytest.mark.parametrize("down", [httpx.Response(503), httpx.ConnectTimeout, httpx.Response(200, json={})])
async def test_a_purchase_counts_although_its_order_cannot_be_read_and_the_worker_asks_again(
    api: Api, down: Any
) -> None:
    holder, order = await api.register(), huawei_says()
    with frozen() as clock:
        answering = order.return_value
        order.mock(**({"return_value": down} if isinstance(down, httpx.Response) else {"side_effect": down}))
        assert (await huawei_buys(api)).json() == CREATED
        assert refusal(await types(api, holder)) == (503, "marketplace_unavailable")
        order.mock(return_value=answering, side_effect=None)
        assert await api.container.marketplace_worker.catch_up() == 0  # not yet

        clock.shift(timedelta(hours=1))
        assert await api.container.marketplace_worker.catch_up() == 1
        asked = order.call_count
        assert (await types(api, holder)).status_code == 201

        clock.shift(timedelta(days=1))
        assert await api.container.marketplace_worker.catch_up() == 0
    assert order.call_count == asked  # who bought it never changes


@asked
@respx.mock
async def test_questions_about_an_order_that_stays_silent_become_rare(api: Api) -> None:
    order = huawei_says().respond(503)
    with frozen() as clock:
        await huawei_buys(api)
        for _ in range(24 * 6):
            clock.shift(timedelta(minutes=10))
            await api.container.marketplace_worker.catch_up()
    assert 5 < order.call_count < 10


@impatient
@respx.mock
async def test_a_purchase_is_answered_in_time_while_its_order_hangs(api: Api) -> None:
    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return httpx.Response(200)

    huawei_says().mock(side_effect=hang)
    async with asyncio.timeout(4.5):  # Huawei waits for five
        assert (await huawei_buys(api)).json() == CREATED
