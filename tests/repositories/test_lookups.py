"""Look-ups of other services with a read replica: how old they may be, and what never is.

The replica here is a copy of the database made at some moment: one that lags, and never catches up.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from app.core import migrations
from app.core.database import async_url, open_engine
from app.repositories import direct
from app.repositories.lookups import FEW
from tests.races import create_database
from tests.support.api import Api, Holder, running, statements
from tests.support.clouds import MARKETPLACES, alibaba_account, bind, workspace
from tests.support.services import ServiceClient, client, staff


@dataclass
class Copied:
    """The service with a replica that has stood still since it began."""

    api: Api
    service: ServiceClient
    holder: Holder
    workspace_id: str
    server: str
    replica: str

    async def account(self) -> httpx.Response:
        return await self.service.get(f"/accounts/{self.holder.account_id}")

    async def settlement(self) -> httpx.Response:
        return await self.service.get(f"/workspaces/{self.workspace_id}/settlement")

    async def company(self) -> str:
        return str((await self.account()).json()["company_name"])

    async def renamed(self) -> None:
        headers = {**self.holder.auth, "If-Match": "*"}
        answer = await self.api.client.patch("/v1/account/profile", json={"company_name": "Renamed"}, headers=headers)
        assert answer.status_code == 200, answer.text


@pytest.fixture
async def copied(postgres_url: str) -> AsyncIterator[Copied]:
    primary = await create_database(postgres_url)
    await asyncio.to_thread(migrations.upgrade, primary)
    async with running(primary) as first:
        service, holder = await client(first), await first.register()
        workspace_id = await workspace(service, holder)
    name = async_url(primary).database
    await _administer(postgres_url, "DROP DATABASE IF EXISTS replica", f"CREATE DATABASE replica TEMPLATE {name}")
    replica = primary.replace(str(name), "replica")
    async with running(primary, database_read_url=replica, **MARKETPLACES) as api:
        api._names = 100  # those below are taken
        yield Copied(api, replace(service, api=api), holder, workspace_id, postgres_url, replica)


async def _administer(server: str, *sql: str) -> None:
    engine = open_engine(server).execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for one in sql:
            await connection.execute(text(one))
    await engine.dispose()


async def test_what_is_looked_up_is_as_old_as_the_replica(copied: Copied) -> None:
    await copied.renamed()
    by_name = await copied.service.get("/accounts", username=copied.holder.username)
    by_ids = await copied.service.post("/accounts/lookup", {"ids": [copied.holder.account_id]})

    assert await copied.company() == "Northwind Trading"
    assert by_name.json()["company_name"] == "Northwind Trading"
    assert by_ids.json()["items"][0]["account"]["company_name"] == "Northwind Trading"


async def test_how_a_workspace_settles_is_as_old_too(copied: Copied) -> None:
    account = await alibaba_account(copied.api, copied.holder)
    assert (await bind(copied.api, copied.holder, account, copied.workspace_id)).status_code == 200
    many = await copied.service.post("/settlements/lookup", {"workspace_ids": [copied.workspace_id]})

    assert (await copied.settlement()).json()["method"] == "billing_center"
    assert many.json()["items"][0]["settlement"]["method"] == "billing_center"


async def test_what_the_replica_does_not_have_yet_is_asked_of_the_primary(copied: Copied) -> None:
    later = await copied.api.register()
    made = await workspace(copied.service, later)
    both = [copied.holder.account_id, later.account_id]

    found = (await copied.service.post("/accounts/lookup", {"ids": both})).json()["items"]
    assert [one["id"] for one in found] == both
    assert (await copied.service.get(f"/accounts/{later.account_id}")).status_code == 200
    assert (await copied.service.get("/accounts", username=later.username)).status_code == 200
    assert (await copied.service.get(f"/workspaces/{made}/settlement")).status_code == 200


async def test_a_client_that_was_disabled_is_refused_at_once(copied: Copied) -> None:
    await copied.api.container.clients.disable(client_id=UUID(copied.service.client_id.removeprefix("clnt_")))
    for answer in (await copied.account(), await copied.settlement()):
        assert (answer.status_code, answer.json()["code"]) == (401, "client_disabled")


async def test_a_client_that_the_replica_does_not_know_yet_is_served(copied: Copied) -> None:
    fresh = await client(copied.api)
    assert (await fresh.get(f"/accounts/{copied.holder.account_id}")).status_code == 200


async def test_holders_staff_the_gate_and_the_feed_are_never_old(copied: Copied) -> None:
    await copied.renamed()
    profile = await copied.api.client.get("/v1/account/profile", headers=copied.holder.auth)
    trail = await copied.service.get(f"/accounts/{copied.holder.account_id}/activity")
    body = {"status": "suspended"}
    await copied.service.put(f"/accounts/{copied.holder.account_id}/status", body, headers=staff())
    gate = await copied.service.get(f"/accounts/{copied.holder.account_id}/invoicing")
    events = await copied.service.get("/events")

    assert profile.json()["company_name"] == "Renamed"
    assert trail.json()["items"][0]["action"] == "profile.edited"
    assert gate.json()["reason"] == "account_suspended"
    assert "account.suspended" in [one["type"] for one in events.json()["items"]]


async def test_a_replica_that_is_away_costs_one_attempt_and_the_primary_answers(copied: Copied) -> None:
    await copied.renamed()
    assert await copied.company() == "Northwind Trading"
    await _administer(copied.server, "ALTER DATABASE replica WITH ALLOW_CONNECTIONS false")
    await _administer(copied.server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'replica'")

    assert await copied.company() == "Renamed"
    with statements(copied.api) as sent:
        assert await copied.company() == "Renamed"
    assert len(sent) == 1  # for some seconds it is not asked


async def test_a_replica_behind_the_schema_of_this_code_is_passed_over(copied: Copied) -> None:
    await copied.renamed()
    await _administer(copied.replica, "ALTER TABLE accounts RENAME COLUMN company_name TO of_old")
    assert await copied.company() == "Renamed"


@pytest.mark.parametrize(("ids", "at_once"), [(FEW, 6), (FEW + 1, 2)])
async def test_of_wide_lookups_two_are_read_at_once(
    pg_api: Api, monkeypatch: pytest.MonkeyPatch, ids: int, at_once: int
) -> None:
    """Their rows lie about in memory until they are answered."""
    service, running_now, most = await client(pg_api), 0, 0

    async def slow(*arguments: Any) -> direct.Rows:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0.05)
        running_now -= 1
        return await send(*arguments)

    send = direct.send
    monkeypatch.setattr(direct, "send", slow)
    asked = [f"acnt_{number:032x}" for number in range(ids)]
    await asyncio.gather(*(service.post("/accounts/lookup", {"ids": asked}) for _ in range(6)))

    assert most == at_once
