"""What the worker does by the clock, and what operators do on the command line."""

from datetime import timedelta
from uuid import UUID

import time_machine

from app.core.clock import now
from app.core.scopes import Scope
from app.models.events import EventType
from tests.catalogue import Call, case
from tests.support.api import Api
from tests.support.changes import NEW_EMAIL, PHONE
from tests.support.clouds import huawei
from tests.support.real_names import enterprise, submitted
from tests.support.receivers import happen
from tests.support.services import client


def _client_id(shown: str) -> UUID:
    return UUID(shown.removeprefix("clnt_"))


def _later(call: Call, after: timedelta) -> Call:
    async def travelled() -> object:
        with time_machine.travel(now() + after):
            return await call()

    return travelled


@case("worker: a message is delivered")
async def _(api: Api) -> Call:
    holder = await api.register()
    await api.deliver()
    await api.client.post("/v1/login-codes", json={"identifier": holder.username})
    return api.outbox().deliver_due


@case("worker: events get their positions and deliveries")
async def _(api: Api) -> Call:
    await (await client(api)).post("/webhook-endpoints", {"url": "http://127.0.0.1:9/", "event_types": []})
    await happen(api, EventType.ACCOUNT_CREATED)
    return api.container.webhook_worker.spread


@case("worker: an event is sent to an endpoint that refuses")
async def _(api: Api) -> Call:
    await (await client(api)).post("/webhook-endpoints", {"url": "http://127.0.0.1:9/", "event_types": []})
    await happen(api, EventType.ACCOUNT_CREATED)
    await api.container.webhook_worker.spread()

    async def deliver() -> object:
        taken = await api.container.webhook_worker.deliver_due()
        await api.container.webhook_worker.settled()
        return taken

    return deliver


@case("worker: a provider is asked about a submission")
async def _(api: Api) -> Call:
    await submitted(api, await api.register(), enterprise())
    return api.container.real_name_worker.ask_due


@case("worker: what marketplaces sent is caught up with")
async def _(api: Api) -> Call:
    await huawei(api, "updateInstanceStatus", instanceId="87b94795-0603-4e24-8ae5-69420d60e3c8", status="FREEZE")
    return api.container.marketplace_worker.catch_up


@case("worker: a change that waited takes effect")
async def _(api: Api) -> Call:
    holder = await api.register(phone=PHONE)
    change = (await api.start(holder, "email", "other")).json()["id"]
    await api.step(holder, change, "verify-current", {"code": await api.code(PHONE)})
    await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
    await api.step(holder, change, "confirm", {"code": await api.code(NEW_EMAIL)})
    return _later(api.container.runner.upkeep.apply_due_changes, timedelta(hours=73))


@case("worker: what is over is forgotten")
async def _(api: Api) -> Call:
    holder = await api.register()
    await api.client.post("/v1/account/closure", headers=holder.auth)
    await api.deliver()
    return _later(api.container.runner.upkeep.forget, timedelta(days=200))


@case("worker: the backlog is measured", writes=False)
async def _(api: Api) -> Call:
    return api.container.runner.upkeep.measure


@case("clients create")
async def _(api: Api) -> Call:
    return lambda: api.container.clients.create(name="invoices", scopes=[Scope.ACCOUNTS_READ])


@case("clients rotate")
async def _(api: Api) -> Call:
    made = await client(api)
    return lambda: api.container.clients.rotate(client_id=_client_id(made.client_id))


@case("clients allow")
async def _(api: Api) -> Call:
    made = await client(api)
    return lambda: api.container.clients.allow(client_id=_client_id(made.client_id), scopes=[Scope.ACCOUNTS_READ])


@case("clients disable")
async def _(api: Api) -> Call:
    made = await client(api)
    return lambda: api.container.clients.disable(client_id=_client_id(made.client_id))


@case("clients enable")
async def _(api: Api) -> Call:
    made = _client_id((await client(api)).client_id)
    await api.container.clients.disable(client_id=made)
    return lambda: api.container.clients.enable(client_id=made)


@case("clients revoke")
async def _(api: Api) -> Call:
    made = await api.container.clients.create(name="invoices", scopes=[Scope.ACCOUNTS_READ])
    return lambda: api.container.clients.revoke(client_id=made.client_id, secret_id=made.secret_id)


@case("clients list", writes=False)
async def _(api: Api) -> Call:
    return api.container.clients.all


@case("keys rotate")
async def _(api: Api) -> Call:
    return api.container.keys.rotate


@case("keys list", writes=False)
async def _(api: Api) -> Call:
    return api.container.keys.all


@case("keys rotate-data")
async def _(api: Api) -> Call:
    return api.container.data_keys.rotate


@case("keys rotate-data: sealing anew")
async def _(api: Api) -> Call:
    await submitted(api, await api.register(), enterprise())
    await api.container.data_keys.rotate()
    return api.container.data_keys.reseal


@case("keys list-data", writes=False)
async def _(api: Api) -> Call:
    return api.container.data_keys.all
