"""Cloud accounts, how workspaces settle, and what marketplaces send."""

from tests.catalogue import Call, case, request
from tests.catalogue.services import call
from tests.support.api import Api
from tests.support.clouds import (
    alibaba,
    alibaba_account,
    alibaba_bought,
    alibaba_lands,
    aws_event,
    aws_sends,
    claim_of,
    huawei_buys,
    workspace,
)
from tests.support.services import client, staff

_CLOUD = "/v1/account/cloud-accounts"
_INSTANCE = "122000001"
_BOUGHT = {"aliUid": "1234567890123456", "orderBizId": _INSTANCE, "orderId": "order1", "productCode": "cmgj00053362"}


@case(f"POST {_CLOUD}")
async def _(api: Api) -> Call:
    holder = await api.register()
    instance = await alibaba_bought(api)
    body = {"provider": "alibaba", "account_id": "1234567890123456", "instance_id": instance}
    return request(api, "POST", _CLOUD, json=body, headers=holder.auth)


@case(f"GET {_CLOUD}/{{id}}")
async def _(api: Api) -> Call:
    holder = await api.register()
    return request(api, "GET", f"{_CLOUD}/{await alibaba_account(api, holder)}", headers=holder.auth)


@case(f"POST {_CLOUD}/{{id}}/bindings")
async def _(api: Api) -> Call:
    holder = await api.register()
    body = {"workspace_ids": [await workspace(await client(api), holder)]}
    return request(
        api, "POST", f"{_CLOUD}/{await alibaba_account(api, holder)}/bindings", json=body, headers=holder.auth
    )


@case("GET /v1/account/workspaces/{id}/settlement-options")
async def _(api: Api) -> Call:
    holder = await api.register()
    url = f"/v1/account/workspaces/{await workspace(await client(api), holder)}/settlement-options"
    return request(api, "GET", url, headers=holder.auth)


@case("GET /v1/account/workspaces/{id}/settlement-history")
async def _(api: Api) -> Call:
    holder = await api.register()
    url = f"/v1/account/workspaces/{await workspace(await client(api), holder)}/settlement-history"
    return request(api, "GET", url, headers=holder.auth)


@case("PUT /v1/account/workspaces/{id}/settlement")
async def _(api: Api) -> Call:
    holder = await api.register()
    url = f"/v1/account/workspaces/{await workspace(await client(api), holder)}/settlement"
    body = {"method": "cloud_account", "cloud_account_id": await alibaba_account(api, holder)}
    return request(api, "PUT", url, json=body, headers=holder.auth)


async def _claimed(api: Api) -> str:
    return claim_of(await alibaba_lands(api, await alibaba_bought(api)))


@case("GET /v1/marketplace-claims/{token}")
async def _(api: Api) -> Call:
    return request(api, "GET", f"/v1/marketplace-claims/{await _claimed(api)}")


@case("POST /v1/marketplace-claims/{token}/accept")
async def _(api: Api) -> Call:
    holder = await api.register()
    return request(api, "POST", f"/v1/marketplace-claims/{await _claimed(api)}/accept", headers=holder.auth)


@case("POST /v1/marketplace-claims/{token}/account-codes")
async def _(api: Api) -> Call:
    holder = await api.register()
    url = f"/v1/marketplace-claims/{await _claimed(api)}/account-codes"
    return request(api, "POST", url, json={"username": holder.username})


@case("POST /v1/marketplace-claims/{token}/accept-with-code")
async def _(api: Api) -> Call:
    holder, token = await api.register(), await _claimed(api)
    url = f"/v1/marketplace-claims/{token}"
    asked = await api.client.post(f"{url}/account-codes", json={"username": holder.username})
    body = {"challenge_id": asked.json()["challenge_id"], "code": await api.code(holder.email)}
    return request(api, "POST", f"{url}/accept-with-code", json=body)


@case("GET /internal/v1/marketplace/notices")
async def _(api: Api) -> Call:
    return call(await client(api), "GET", "/marketplace/notices", params={"state": "waiting"})


@case("POST /internal/v1/marketplace/notices/{id}/apply")
async def _(api: Api) -> Call:
    service = await client(api)
    await alibaba_account(api, await api.register())
    notice = (await service.get("/marketplace/notices")).json()["items"][0]["id"]
    return call(service, "POST", f"/marketplace/notices/{notice}/apply", headers=staff())


@case("GET /marketplace/{provider}: a purchase", writes=True)
async def _(api: Api) -> Call:
    return lambda: alibaba(api, "createInstance", **_BOUGHT)


@case("GET /marketplace/{provider}: the end of one that settles a workspace", writes=True)
async def _(api: Api) -> Call:
    holder = await api.register()
    bound = {"workspace_ids": [await workspace(await client(api), holder)]}
    account = await alibaba_account(api, holder)
    await api.client.post(f"{_CLOUD}/{account}/bindings", json=bound, headers=holder.auth)
    return lambda: alibaba(api, "releaseInstance", instanceId=_INSTANCE)


@case("GET /marketplace/{provider}: a buyer lands", writes=True)
async def _(api: Api) -> Call:
    instance = await alibaba_bought(api)
    return lambda: alibaba_lands(api, instance)


@case("POST /marketplace/{provider}: a purchase")
async def _(api: Api) -> Call:
    return lambda: huawei_buys(api)


@case("POST /marketplace/{provider}/{channel:path}: a purchase")
async def _(api: Api) -> Call:
    kind = "Purchase Agreement Created - Proposer"
    event = aws_event(kind, agreement="agmt-1", event_id="3b1d6a3e-0000-4000-8000-000000000001", status="ACTIVE")
    return lambda: aws_sends(api, event)
