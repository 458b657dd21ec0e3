"""Cloud accounts as a test needs them: workspaces, marketplaces that call as the real ones do, and what settles."""

import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import respx
from sqlalchemy import func, select

from app.core import ids
from app.core.clock import now
from app.core.database import METADATA
from tests.support.api import Api, Holder
from tests.support.services import ServiceClient

ALIBABA_KEY = "isvkey"
ALIBABA_APP = {  # what Alibaba's console is told of a new instance, by the settings of tests
    "frontEndUrl": "http://127.0.0.1:5173/",
    "authUrl": "http://127.0.0.1:8000/marketplace/alibaba",
}
HUAWEI_KEY = "11111111-2222-3333-4444-555555555555"
EVENTS_SECRET = "events-secret-of-32-characters-or-more"
AWS_PRODUCT = "n0123EXAMPLE"
# For `@pytest.mark.settings(**MARKETPLACES)`: every marketplace is on, none of them can be asked anything.
MARKETPLACES: dict[str, Any] = {
    "alibaba_marketplace_key": ALIBABA_KEY,
    "huawei_marketplace_key": HUAWEI_KEY,
    "aws_events_secret": EVENTS_SECRET,
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "aws_products": [AWS_PRODUCT],
}


# Workspaces and how they settle


async def workspace(service: ServiceClient, holder: Holder, *, site: str = "cn1", name: str = "Production") -> str:
    """A new workspace that the holder's account pays for; its id."""
    workspace_id = f"wksp_{ids.new().hex[-20:]}"
    body = {"account_id": holder.account_id, "site": site, "name": name}
    answer = await service.put(f"/workspaces/{workspace_id}", body)
    assert answer.status_code == 201, answer.text
    return workspace_id


async def choose(api: Api, holder: Holder, workspace_id: str, cloud_account: str | None) -> httpx.Response:
    """Settle it by the cloud account, or by the Billing Center (None)."""
    body = {"method": "cloud_account", "cloud_account_id": cloud_account} if cloud_account else None
    return await api.client.put(
        f"/v1/account/workspaces/{workspace_id}/settlement",
        json=body or {"method": "billing_center"},
        headers=holder.auth,
    )


async def bind(api: Api, holder: Holder, cloud_account: str, *workspace_ids: str) -> httpx.Response:
    """All of them or none."""
    return await api.client.post(
        f"/v1/account/cloud-accounts/{cloud_account}/bindings",
        json={"workspace_ids": workspace_ids},
        headers=holder.auth,
    )


async def get(api: Api, holder: Holder, path: str, **params: Any) -> dict[str, Any]:
    """What stands behind `/v1/account`."""
    answer = await api.client.get(f"/v1/account{path}", params=params, headers=holder.auth)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def settled(api: Api, holder: Holder, workspace_id: str) -> dict[str, Any]:
    """The workspace as its holder sees it now."""
    items = (await get(api, holder, "/workspaces", limit=100))["items"]
    found: dict[str, Any] = next(one for one in items if one["id"] == workspace_id)
    return found


async def options(api: Api, holder: Holder, workspace_id: str) -> dict[str | None, list[str]]:
    """For each cloud account (None: the Billing Center) the codes of all that is against it."""
    items = (await get(api, holder, f"/workspaces/{workspace_id}/settlement-options"))["items"]
    return {one["cloud_account_id"]: [reason["code"] for reason in one["reasons"]] for one in items}


async def history(api: Api, holder: Holder, workspace_id: str) -> list[dict[str, Any]]:
    """The oldest first."""
    items = (await get(api, holder, f"/workspaces/{workspace_id}/settlement-history", limit=100))["items"]
    return list(reversed(items))


def refused(answer: httpx.Response) -> dict[str, list[str]]:
    """The codes of all that is against each workspace of a refused call."""
    assert answer.status_code == 409, answer.text
    assert answer.json()["code"] == "settlement_refused"
    return {one["workspace_id"]: [reason["code"] for reason in one["reasons"]] for one in answer.json()["refusals"]}


async def paid_by(service: ServiceClient, workspace_id: str, at: datetime | None = None) -> dict[str, Any]:
    """What the settlement service is told."""
    answer = await service.get(
        f"/workspaces/{workspace_id}/settlement", **({"at": at.isoformat()} if at is not None else {})
    )
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


# Alibaba Cloud


def alibaba_token(params: dict[str, str], key: str = ALIBABA_KEY) -> str:
    """As its page on the security of the SPI says."""
    text = "&".join(f"{name}={params[name]}" for name in sorted(params))
    return hashlib.md5(f"{text}&key={key}".encode()).hexdigest()  # noqa: S324 - the provider's choice


async def alibaba(api: Api, action: str, **params: str) -> httpx.Response:
    """A signed call of the SPI."""
    given = {"action": action, **params}
    return await api.client.get("/marketplace/alibaba", params={**given, "token": alibaba_token(given)})


async def alibaba_bought(api: Api, *, uid: str = "1234567890123456", instance: str = "122000001") -> str:
    """Somebody has subscribed; the instance."""
    answer = await alibaba(
        api,
        "createInstance",
        aliUid=uid,
        orderBizId=instance,
        orderId=f"order{instance}",
        productCode="cmgj00053362",
        skuId="cmgj00053362-postpay",
        trial="false",
    )
    assert answer.json()["instanceId"] == instance, answer.text
    return instance


async def typed(
    api: Api, holder: Holder, *, provider: str = "alibaba", number: str = "1234567890123456", instance: str
) -> httpx.Response:
    """A holder types what was bought."""
    body = {"provider": provider, "account_id": number, "instance_id": instance}
    return await api.client.post("/v1/account/cloud-accounts", json=body, headers=holder.auth)


async def alibaba_account(api: Api, holder: Holder, *, instance: str = "122000001") -> str:
    """A subscription that is active and the holder's; the cloud account's id."""
    await alibaba_bought(api, instance=instance)
    answer = await typed(api, holder, instance=instance)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


# Huawei Cloud


async def huawei(api: Api, activity: str, *, at: datetime | None = None, **members: Any) -> httpx.Response:
    """A signed call of KooGallery V2; each with a nonce of its own."""
    moment = str(int((at or now()).timestamp() * 1000))
    nonce = (ids.new().hex + ids.new().hex).upper()
    body = {"activity": activity, **members}
    payload = json.dumps({name: body[name] for name in sorted(body)}, ensure_ascii=False, separators=(",", ":"))
    inner = _hmac(HUAWEI_KEY, payload)
    query = {"signature": _hmac(HUAWEI_KEY, HUAWEI_KEY + nonce + moment + inner), "timestamp": moment, "nonce": nonce}
    headers = {"content-type": "application/json"}
    return await api.client.post("/marketplace/huawei", params=query, content=payload.encode(), headers=headers)


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


# AWS


def aws_event(
    detail_type: str,
    *,
    licence: str | None = None,
    agreement: str | None = None,
    account: str = "123456789012",
    product: str | None = AWS_PRODUCT,
    at: datetime | None = None,
    event_id: str | None = None,
    **members: Any,
) -> dict[str, Any]:
    """An event of EventBridge; `members` go into `detail.agreement`. `licence` is 32 hex digits."""
    detail: dict[str, Any] = {"acceptor": {"accountId": account}, "agreement": {"id": agreement, **members}}
    if licence is not None:
        detail["license"] = {"arn": f"arn:aws:license-manager::294406891311:license:l-{licence}"}
        detail["product"] = {"code": product, "id": "prod-example"}
    return {
        "version": "0",
        "id": event_id or str(ids.new()),
        "detail-type": detail_type,
        "source": "aws.agreement-marketplace",
        "account": "294406891311",
        "time": (at or now()).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "us-east-1",
        "resources": [],
        "detail": detail,
    }


async def aws_sends(api: Api, event: dict[str, Any], secret: str = EVENTS_SECRET) -> httpx.Response:
    """As an API destination does."""
    return await api.client.post("/marketplace/aws/events", json=event, headers={"authorization": f"Bearer {secret}"})


# Claims


def claim_of(answer: httpx.Response) -> str:
    """The token in the address that a customer was sent on to."""
    assert answer.status_code == 303, answer.text
    assert urlsplit(answer.headers["location"]).path == "/marketplace"
    return str(httpx.QueryParams(urlsplit(answer.headers["location"]).query)["claim"])


async def alibaba_lands(api: Api, instance: str, *, skew: timedelta = timedelta()) -> httpx.Response:
    """The buyer clicks "log in" in Alibaba Cloud's console: signed, with the time of China."""
    moment = (now() + skew + timedelta(hours=8)).strftime("%Y-%m-%d %H:%M:%S")
    return await alibaba(api, "verify", instanceId=instance, timeStamp=moment)


async def accept(api: Api, holder: Holder, token: str) -> httpx.Response:
    return await api.client.post(f"/v1/marketplace-claims/{token}/accept", headers=holder.auth)


# What providers answer when they are asked (for tests with `@respx.mock`), and what lies in the database

HUAWEI_BUYER = "459bbbec25d24749b2eb83be37b602a8"
HUAWEI_ORDER = "CS2211181819B4LVS"
HUAWEI_INSTANCE = "87b94795-0603-4e24-8ae5-69420d60e3c8"
ASKED: dict[str, Any] = {  # with it, Alibaba Cloud and Huawei Cloud can be asked
    "aliyun_access_key_id": "LTAIEXAMPLE",
    "aliyun_access_key_secret": "SecretExample",
    "huawei_access_key_id": "AKEXAMPLE",
    "huawei_secret_access_key": "SKEXAMPLE",
}


def alibaba_says(
    status: str = "OPENED", *, uid: str = "1234567890123456", instance: str = "122000001"
) -> tuple[respx.Route, respx.Route]:
    """The questions about the instance and about its order."""
    first = {"RequestId": "1", "OrderId": f"order{instance}", "ProductCode": "cmgj00053362", "Status": status}
    second = {"OrderId": f"order{instance}", "AliUid": int(uid), "OrderStatus": "NORMAL", "InstanceIds": [instance]}
    asked = [
        respx.post(host="market.aliyuncs.com", headers={"x-acs-action": f"Describe{what}ForIsv"})
        for what in ("Instance", "Order")
    ]
    return asked[0].respond(json=first), asked[1].respond(json=second)


def huawei_says(*, order: str = HUAWEI_ORDER, buyer: str = HUAWEI_BUYER) -> respx.Route:
    """The question about an order, which has one line."""
    line = {"orderLineId": f"{order}-000001", "productInfo": [{"productId": "OFFI846204237451911168"}]}
    info = {"orderId": order, "orderLine": [line], "buyerInfo": {"customerId": buyer, "customerName": "mock_user_01"}}
    route = respx.get(host="mkt.myhuaweicloud.com", params={"orderId": order})
    return route.respond(json={"resultCode": "MKT.0000", "resultMsg": "Success", "orderInfo": info})


async def huawei_buys(
    api: Api, *, order: str = HUAWEI_ORDER, business: str = HUAWEI_INSTANCE, **members: Any
) -> httpx.Response:
    """Somebody has subscribed."""
    line = f"{order}-000001"
    return await huawei(api, "newInstance", orderId=order, orderLineId=line, businessId=business, **members)


async def rows(api: Api, *tables: str) -> dict[str, int]:
    """How many each table has."""
    async with api.container.engine.connect() as connection:
        counted = [await connection.scalar(select(func.count()).select_from(METADATA.tables[one])) for one in tables]
    return {table: int(count or 0) for table, count in zip(tables, counted, strict=True)}


# Many subscriptions on Huawei Cloud, told apart by a number (for tests with `@pytest.mark.settings(**ASKED)`)


def huawei_instance(number: int) -> str:
    return f"87b94795-0603-4e24-8ae5-{number:012}"


async def huawei_account(api: Api, holder: Holder, number: int = 1, *, buyer: str = HUAWEI_BUYER) -> str:
    """A subscription that is active and the holder's; the cloud account's id. The order tells who bought it."""
    order = f"CS2211181819{number:05}"
    with respx.mock:
        huawei_says(order=order, buyer=buyer)
        assert (await huawei_buys(api, order=order, business=huawei_instance(number))).status_code == 200
    answer = await typed(api, holder, provider="huawei", number=buyer, instance=huawei_instance(number))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def huawei_tells(api: Api, activity: str, number: int = 1, **members: Any) -> None:
    """Of one of them: `updateInstanceStatus` with FREEZE or UNFREEZE as its `status`, `releaseInstance`, …"""
    answer = await huawei(api, activity, instanceId=huawei_instance(number), **members)
    assert answer.json()["resultCode"] == "000000", answer.text
