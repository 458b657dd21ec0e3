"""Calls of Huawei Cloud's KooGallery: what is genuine, its result codes, tests, questions, and calls out of order."""

import hashlib
import hmac
import json
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.core import ids
from app.core.clock import now
from app.models.cloud_accounts import CloudAccount
from tests.support.api import Api, frozen
from tests.support.clouds import HUAWEI_INSTANCE, HUAWEI_KEY, HUAWEI_ORDER, MARKETPLACES, huawei, huawei_buys, rows
from tests.support.services import ServiceClient, client

TENANT_KEY = "99999999-2222-3333-4444-555555555555"
DONE = {"resultCode": "000000", "resultMsg": "success"}
ORDER = {"orderId": HUAWEI_ORDER, "orderLineId": f"{HUAWEI_ORDER}-000001"}
STATE = (
    "cloud_accounts",
    "cloud_account_keys",
    "marketplace_claims",
    "settlements",
    "events",
    "outbox_messages",
    "activity",
)
OPERATIONS = ("tenantSync", "applicationSync", "authSync", "singleOrgSync", "allOrgSync")
ONE = {"instanceId": HUAWEI_INSTANCE}
# Of each activity a call that makes sense.
CALLS: dict[str, dict[str, str]] = {
    "newInstance": {**ORDER, "businessId": HUAWEI_INSTANCE},
    "refreshInstance": {**ONE, **ORDER, "scene": "RENEWAL", "expireTime": "20270101000000"},
    "updateInstanceStatus": {**ONE, "status": "FREEZE"},
    "releaseInstance": ONE,
    "upgradeInstance": {**ONE, **ORDER},
    "queryInstance": ONE,
}
ABOUT_ONE = ("refreshInstance", "updateInstanceStatus", "releaseInstance", "upgradeInstance")
marketplaces: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES)
with_tenants: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES, huawei_tenant_sync_key=TENANT_KEY)


def code(answer: httpx.Response) -> str:
    """Whatever is answered, the status is 200."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return str(answer.json()["resultCode"])


async def again(api: Api, answer: httpx.Response, *, body: bytes | None = None, **query: str) -> httpx.Response:
    """The call that was answered, once more; with another body or query."""
    sent = answer.request
    content = sent.content if body is None else body
    headers = {"content-type": "application/json"}
    return await api.client.post(sent.url.copy_merge_params(query), content=content, headers=headers)


async def state(api: Api, instance: str = HUAWEI_INSTANCE) -> tuple[str, datetime]:
    """Status, and since when."""
    statement = select(CloudAccount.status, CloudAccount.status_at).where(CloudAccount.instance_id == instance)
    async with api.container.engine.connect() as connection:
        row = (await connection.execute(statement)).one()
    return row[0], row[1]


async def kept(service: ServiceClient, **params: str) -> list[dict[str, Any]]:
    """The newest first."""
    answer = await service.get("/marketplace/notices", **params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


# What is genuine


@marketplaces
async def test_a_call_is_taken_once(api: Api) -> None:
    await huawei_buys(api)
    frozen_call = await huawei(api, **_call("updateInstanceStatus"))
    assert code(frozen_call) == "000000"
    assert code(await huawei(api, **_call("updateInstanceStatus", status="UNFREEZE"))) == "000000"
    before = await rows(api, "cloud_notices", *STATE)

    assert code(await again(api, frozen_call)) == "000001"

    assert (await state(api))[0] == "active"
    assert await rows(api, "cloud_notices", *STATE) == before
    asking = await huawei(api, **_call("queryInstance"))
    assert (code(asking), code(await again(api, asking))) == ("000000", "000001")


@marketplaces
@pytest.mark.parametrize(
    ("seconds", "expected"), [(-61, "000001"), (-59, "000000"), (59, "000000"), (61, "000001"), (86_400, "000001")]
)
async def test_a_call_is_of_now(api: Api, seconds: int, expected: str) -> None:
    with frozen():
        answer = await huawei_buys(api, at=now() + timedelta(seconds=seconds))
    assert code(answer) == expected
    assert (await rows(api, "cloud_notices"))["cloud_notices"] == (expected == "000000")


@marketplaces
@pytest.mark.parametrize("changed", ["body", "nonce", "timestamp", "signature"])
async def test_a_call_that_was_not_signed_so_is_not_authenticated_and_not_kept(api: Api, changed: str) -> None:
    with frozen():
        good = await huawei_buys(api, testFlag="1")
        query = dict(good.request.url.params)
        forged = {
            "nonce": query["nonce"][:-1] + ("0" if query["nonce"][-1] != "0" else "1"),
            "timestamp": str(int(query["timestamp"]) + 1),
            "signature": "0" * 64,
        }
        before = await rows(api, "cloud_notices", "marketplace_nonces")
        body = good.request.content.replace(b'"testFlag":"1"', b'"testFlag":"0"') if changed == "body" else None
        given = {} if changed == "body" else {changed: forged[changed]}
        assert code(await again(api, good, body=body, **given)) == "000001"
    assert await rows(api, "cloud_notices", "marketplace_nonces") == before


def _call(activity: str, **changes: str | None) -> dict[str, Any]:
    """Of the activity; without the members that are None."""
    members = {"activity": activity, **CALLS[activity], **changes}
    return {name: value for name, value in members.items() if value is not None}


# Result codes


@marketplaces
@pytest.mark.parametrize(
    ("activity", "changes"),
    [
        ("newInstance", {"orderId": None}),
        ("newInstance", {"orderLineId": ""}),
        ("newInstance", {"businessId": None}),
        ("newInstance", {"businessId": "x" * 65}),
        ("newInstance", {"testFlag": "2"}),
        ("updateInstanceStatus", {"status": "MELT"}),
        ("updateInstanceStatus", {"instanceId": None}),
        ("refreshInstance", {"scene": "ENCORE"}),
        ("releaseInstance", {"instanceId": "a,b"}),
        ("upgradeInstance", {"orderLineId": None}),
        ("queryInstance", {"instanceId": ""}),
        ("queryInstance", {"instanceId": ",".join(f"i{number}" for number in range(101))}),
    ],
    ids=str,
)
async def test_a_call_that_makes_no_sense_has_a_bad_parameter_and_is_not_kept(
    api: Api, activity: str, changes: dict[str, str | None]
) -> None:
    await huawei_buys(api)
    before = await rows(api, "cloud_notices", "marketplace_nonces", *STATE)
    assert code(await huawei(api, **_call(activity, **changes))) == "000002"
    assert await rows(api, "cloud_notices", "marketplace_nonces", *STATE) == before


@marketplaces
@pytest.mark.parametrize("activity", ABOUT_ONE)
async def test_what_is_said_of_an_unknown_instance_is_kept_until_that_is_known(api: Api, activity: str) -> None:
    service = await client(api)
    with frozen():
        bought_at = now() - timedelta(seconds=30)
        assert code(await huawei(api, **_call(activity))) == "000003"
        assert [(one["type"], one["state"]) for one in await kept(service)] == [(activity, "waiting")]

        assert code(await huawei_buys(api, at=bought_at)) == "000000"

        assert {one["state"] for one in await kept(service)} == {"applied"}
        becomes = {"updateInstanceStatus": "frozen", "releaseInstance": "ended"}.get(activity, "active")
        assert (await state(api))[0] == becomes


@marketplaces
async def test_an_activity_that_nobody_knows_is_kept_acknowledged_and_counted(api: Api) -> None:
    service, counter = await client(api), 'guance_marketplace_unknown_total{provider="huawei"}'

    async def counted() -> float:
        lines = (await api.client.get("/metrics")).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(counter))

    before = await counted()
    assert (await huawei(api, "transferInstance", instanceId=HUAWEI_INSTANCE)).json() == DONE
    assert await counted() == before + 1
    (notice,) = await kept(service)
    assert (notice["type"], notice["effect"], notice["state"]) == ("transferInstance", "unknown", "ignored")
    assert notice["body"]["instanceId"] == HUAWEI_INSTANCE


# Tests and questions


@marketplaces
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
@pytest.mark.parametrize("activity", list(CALLS))
async def test_a_test_is_answered_with_success_and_changes_nothing(api: Api, activity: str, known: bool) -> None:
    if known:
        await huawei_buys(api)
    before = await rows(api, *STATE)
    was = await state(api) if known else None

    answer = await huawei(api, **_call(activity), testFlag="1")

    assert code(answer) == "000000"
    if activity == "newInstance":
        assert answer.json()["instanceId"] == HUAWEI_INSTANCE
    assert await rows(api, *STATE) == before
    assert (await state(api) if known else None) == was


@marketplaces
async def test_instances_that_are_asked_for_are_shown_as_far_as_they_are_known(api: Api) -> None:
    known = [f"known-{number}" for number in range(3)]
    for number, instance in enumerate(known):
        await huawei_buys(api, order=f"CS{number}", business=instance)
    front_end = {"frontEndUrl": str(api.settings.spa_url), "memo": ""}
    every = known + [f"unknown-{number}" for number in range(97)]

    for asked, expected in ((known[:1], known[:1]), (every, known)):
        answer = (await huawei(api, "queryInstance", instanceId=",".join(asked))).json()
        assert answer == {**DONE, "info": [{"instanceId": one, "appInfo": front_end} for one in expected]}

    assert code(await huawei(api, "queryInstance", instanceId="unknown-1,unknown-2")) == "000003"


# Out of order

# (what happened, ten seconds apart from the purchase on; the end; since which of them)
EVENTS: list[tuple[list[tuple[str, dict[str, str]]], str, int]] = [
    ([("updateInstanceStatus", {"status": "FREEZE"}), ("updateInstanceStatus", {"status": "UNFREEZE"})], "active", 2),
    (
        [
            ("updateInstanceStatus", {"status": "FREEZE"}),
            ("refreshInstance", {"scene": "RENEWAL"}),
            ("updateInstanceStatus", {"status": "FREEZE"}),
        ],
        "frozen",
        3,
    ),
    ([("refreshInstance", {"scene": "TRIAL_TO_FORMAL"}), ("releaseInstance", {})], "ended", 2),
    (
        [
            ("updateInstanceStatus", {"status": "FREEZE"}),
            ("releaseInstance", {}),
            ("updateInstanceStatus", {"status": "UNFREEZE"}),
        ],
        "ended",
        2,
    ),
]


@marketplaces
@pytest.mark.parametrize(
    ("events", "expected", "since"), EVENTS, ids=["unfrozen", "frozen again", "released", "too late"]
)
async def test_the_time_of_an_event_counts_and_not_when_it_comes(
    api: Api, events: list[tuple[str, dict[str, str]]], expected: str, since: int
) -> None:
    """Every order of arrival has one end; where there are few, the purchase too comes whenever it likes."""
    ends = set()
    with frozen():
        began = now() - timedelta(seconds=50)
        arrivals = [one for one in permutations(range(len(events) + 1)) if len(events) == 2 or one[0] == 0]
        for number, arrival in enumerate(arrivals):
            order = {"orderId": f"CS{number}", "orderLineId": f"CS{number}-1"}
            about = {"instanceId": f"i{number}", **order}
            calls = [("newInstance", {**order, "businessId": f"i{number}"})]
            calls += [(activity, {**about, **members}) for activity, members in events]
            for one in arrival:
                activity, members = calls[one]
                await huawei(api, activity, at=began + timedelta(seconds=10 * one), **members)
            ends.add(await state(api, f"i{number}"))
    assert ends == {(expected, began + timedelta(seconds=10 * since))}


# Joint operation


async def syncs(api: Api, operation: str, *, key: str = TENANT_KEY, **members: Any) -> httpx.Response:
    body = {"instanceId": HUAWEI_INSTANCE, "tenantId": "68cbc86abc2018ab880d92f36422fa0e", "testFlag": 0, **members}
    payload = json.dumps({name: body[name] for name in sorted(body)}, separators=(",", ":")).encode()
    nonce, moment = ids.new().hex, str(int(now().timestamp() * 1000))
    sign = hmac.new(key.encode(), f"{key}{nonce}{moment}".encode() + payload, hashlib.sha256).hexdigest()
    headers = {"x-sign": sign, "x-timestamp": moment, "x-nonce": nonce, "content-type": "application/json"}
    return await api.client.post(f"/marketplace/huawei/produceAPI/v2/{operation}", content=payload, headers=headers)


@with_tenants
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_tenants_have_a_key_of_their_own(api: Api, operation: str) -> None:
    assert (await syncs(api, operation, flag=1)).json() == DONE
    assert code(await syncs(api, operation, key=HUAWEI_KEY, flag=1)) == "000001"
    assert [one["channel"] for one in await kept(await client(api))] == [f"produceAPI/v2/{operation}"]


@with_tenants
async def test_tenants_come_and_go_without_a_change_of_the_purchase(api: Api) -> None:
    await huawei_buys(api)
    before, was = await rows(api, *STATE), await state(api)
    for flag in (1, 2, 0, 0):
        told: dict[str, Any] = {
            "flag": flag,
            "name": "huaweitest",
            "domainName": "https://example.com",
            "tenantCode": "huawei",
        }
        assert (await syncs(api, "tenantSync", **told)).json() == DONE
    assert (await syncs(api, "tenantSync", instanceId="unknown", flag=0)).json() == DONE
    assert (await rows(api, *STATE), await state(api)) == (before, was)
    assert "huaweitest" not in json.dumps(await kept(await client(api)))


@marketplaces
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_without_their_key_tenants_are_not_served(api: Api, operation: str) -> None:
    assert (await syncs(api, operation, key=HUAWEI_KEY, flag=1)).status_code == 404


@pytest.mark.settings(huawei_tenant_sync_key=TENANT_KEY)
async def test_with_the_key_of_tenants_alone_purchases_are_not_served(api: Api) -> None:
    assert (await huawei_buys(api)).status_code == 404
    assert (await syncs(api, "tenantSync", flag=1)).json() == DONE
