"""What other services of Guance, and staff, do."""

from typing import Any

from app.models.events import EventType
from tests.catalogue import Call, case, request
from tests.support.api import Api
from tests.support.clouds import workspace
from tests.support.real_names import ask, decided, enterprise, submitted
from tests.support.receivers import happen
from tests.support.services import ServiceClient, client, spread, staff

_HOOKS = {"url": "http://127.0.0.1:9/hooks", "event_types": ["account.created"]}


def call(service: ServiceClient, method: str, path: str, **options: Any) -> Call:
    headers: dict[Any, Any] = {**service.auth, **options.pop("headers", {})}
    return request(service.api, method, f"/internal/v1{path}", headers=headers, **options)


@case("POST /oauth/token")
async def _(api: Api) -> Call:
    service = await client(api)
    body = {"grant_type": "client_credentials"}
    return request(api, "POST", "/oauth/token", data=body, auth=(service.client_id, service.secret))


@case("POST /internal/v1/accounts")
async def _(api: Api) -> Call:
    name = api.name()
    body = {"username": name, "email": f"{name}@example.com", "company_name": "Acme", "reference": "r-1"}
    return call(await client(api), "POST", "/accounts", json=body)


@case("GET /internal/v1/accounts")
async def _(api: Api) -> Call:
    holder = await api.register()
    return call(await client(api), "GET", "/accounts", params={"username": holder.username})


@case("GET /internal/v1/accounts/{id}")
async def _(api: Api) -> Call:
    holder = await api.register()
    return call(await client(api), "GET", f"/accounts/{holder.account_id}")


@case("POST /internal/v1/accounts/lookup", writes=False)
async def _(api: Api) -> Call:
    holder = await api.register()
    return call(await client(api), "POST", "/accounts/lookup", json={"ids": [holder.account_id]})


@case("PUT /internal/v1/accounts/{id}/status")
async def _(api: Api) -> Call:
    holder = await api.register()
    url = f"/accounts/{holder.account_id}/status"
    return call(await client(api), "PUT", url, json={"status": "suspended"}, headers=staff())


@case("PUT /internal/v1/accounts/{id}/arbitrary-settlement")
async def _(api: Api) -> Call:
    holder = await api.register()
    url = f"/accounts/{holder.account_id}/arbitrary-settlement"
    return call(await client(api), "PUT", url, json={"enabled": True}, headers=staff())


@case("DELETE /internal/v1/accounts/{id}/sessions")
async def _(api: Api) -> Call:
    holder = await api.register()
    return call(await client(api), "DELETE", f"/accounts/{holder.account_id}/sessions", headers=staff())


@case("GET /internal/v1/accounts/{id}/activity")
async def _(api: Api) -> Call:
    holder = await api.register()
    return call(await client(api), "GET", f"/accounts/{holder.account_id}/activity")


@case("GET /internal/v1/accounts/{id}/invoicing")
async def _(api: Api) -> Call:
    holder = await api.register()
    await decided(api, holder, enterprise())
    return call(await client(api), "GET", f"/accounts/{holder.account_id}/invoicing")


@case("GET /internal/v1/real-name/submissions")
async def _(api: Api) -> Call:
    return call(await client(api), "GET", "/real-name/submissions", params={"status": "pending"})


@case("POST /internal/v1/real-name/submissions/{id}/decision")
async def _(api: Api) -> Call:
    submission = await submitted(api, await api.register(), enterprise("Acme Pte. Ltd.", "201912345K", country="SG"))
    await ask(api)
    url = f"/real-name/submissions/{submission}/decision"
    body = {"decision": "reject", "reason": "unclear_document"}
    return call(await client(api), "POST", url, json=body, headers=staff())


@case("POST /internal/v1/login-tickets")
async def _(api: Api) -> Call:
    service, holder = await client(api), await api.register()
    body = {"account_id": holder.account_id, "workspace_id": await workspace(service, holder), "actor": "user_1"}
    return call(service, "POST", "/login-tickets", json=body)


@case("POST /v1/sessions by ticket")
async def _(api: Api) -> Call:
    service, holder = await client(api), await api.register()
    body = {"account_id": holder.account_id, "workspace_id": await workspace(service, holder), "actor": "user_1"}
    ticket = (await service.post("/login-tickets", body)).json()["ticket"]
    return request(api, "POST", "/v1/sessions", json={"method": "ticket", "ticket": ticket})


@case("PUT /internal/v1/workspaces/{id}")
async def _(api: Api) -> Call:
    holder = await api.register()
    body = {"account_id": holder.account_id, "site": "cn1", "name": "Production"}
    return call(await client(api), "PUT", "/workspaces/wksp_1", json=body)


@case("DELETE /internal/v1/workspaces/{id}")
async def _(api: Api) -> Call:
    service = await client(api)
    return call(service, "DELETE", f"/workspaces/{await workspace(service, await api.register())}")


@case("GET /internal/v1/workspaces/{id}/settlement")
async def _(api: Api) -> Call:
    service = await client(api)
    return call(service, "GET", f"/workspaces/{await workspace(service, await api.register())}/settlement")


@case("POST /internal/v1/settlements/lookup", writes=False)
async def _(api: Api) -> Call:
    service = await client(api)
    asked = [await workspace(service, await api.register())]
    return call(service, "POST", "/settlements/lookup", json={"workspace_ids": asked})


@case("GET /internal/v1/events")
async def _(api: Api) -> Call:
    await happen(api, EventType.ACCOUNT_CREATED)
    await spread(api)
    return call(await client(api), "GET", "/events")


@case("GET /internal/v1/events with something new")
async def _(api: Api) -> Call:
    await happen(api, EventType.ACCOUNT_CREATED)
    return call(await client(api), "GET", "/events")


@case("POST /internal/v1/webhook-endpoints")
async def _(api: Api) -> Call:
    return call(await client(api), "POST", "/webhook-endpoints", json=_HOOKS)


@case("GET /internal/v1/webhook-endpoints")
async def _(api: Api) -> Call:
    return call(await client(api), "GET", "/webhook-endpoints")


def _of_endpoint(method: str, step: str = "", body: dict[str, Any] | None = None) -> None:
    @case(f"{method} /internal/v1/webhook-endpoints/{{id}}{step}")
    async def _(api: Api) -> Call:
        service = await client(api)
        endpoint = (await service.post("/webhook-endpoints", _HOOKS)).json()["id"]
        return call(service, method, f"/webhook-endpoints/{endpoint}{step}", **({"json": body} if body else {}))


_of_endpoint("GET")
_of_endpoint("GET", "/attempts")
_of_endpoint("PUT", "", {**_HOOKS, "event_types": ["account.closed"]})
_of_endpoint("PUT", "/status", {"status": "paused"})
_of_endpoint("POST", "/secret")
_of_endpoint("DELETE")


@case("POST /internal/v1/webhook-endpoints/{id}/redeliveries")
async def _(api: Api) -> Call:
    service = await client(api)
    endpoint = (await service.post("/webhook-endpoints", _HOOKS)).json()["id"]
    await happen(api, EventType.ACCOUNT_CREATED)
    await spread(api)
    event = (await service.get("/events")).json()["items"][-1]["id"]
    return call(service, "POST", f"/webhook-endpoints/{endpoint}/redeliveries", json={"event_id": event})
