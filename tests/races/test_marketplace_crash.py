"""A database that goes away within a call of a marketplace, a server that dies in one: nothing is lost or doubled."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from sqlalchemy import event, text

from app.core import migrations
from app.core.clock import now
from tests.races import create_database
from tests.races.processes import ROOT, eventually, free_port, is_ready, process
from tests.races.test_database_away import TIMEOUT, Proxy, behind_a_proxy
from tests.races.test_real_name_crash import until, value
from tests.support.api import Api, frozen, running
from tests.support.clouds import (
    ALIBABA_APP,
    ALIBABA_KEY,
    ASKED,
    HUAWEI_BUYER,
    HUAWEI_INSTANCE,
    HUAWEI_KEY,
    MARKETPLACES,
    alibaba,
    alibaba_account,
    alibaba_bought,
    alibaba_lands,
    aws_event,
    aws_sends,
    bind,
    claim_of,
    huawei,
    huawei_buys,
    huawei_says,
    rows,
    typed,
    workspace,
)
from tests.support.services import client, feed

INSTANCE, LICENCE = "122000001", "9d01d15f86334a8894365cd7350556ff"
AWS = "License Updated"
asked: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES, **ASKED)
LEFT = "UPDATE cloud_notices SET created_at = created_at - interval '1 minute'"
SENT = "SELECT count(*) FROM outbox_messages WHERE template IN ('workspaces_fell_back', 'workspaces_locked')"
RECORDS = "SELECT count(*) FROM settlements"
OPEN = "SELECT count(*) FROM cloud_notices WHERE state = 'received'"
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@dataclass(frozen=True)
class Called:
    """A call, how it is answered when it has succeeded and when it has to come again, and what it changes."""

    call: Callable[[Api], Awaitable[httpx.Response]]
    done: tuple[int, Any]
    later: tuple[int, Any]
    status: str
    events: dict[str, int]
    records: int = 0  # of settlement
    sent: int = 0


async def _created(api: Api) -> httpx.Response:
    members = {"aliUid": "1234567890123456", "orderId": "1", "productCode": "c", "skuId": "s", "trial": "false"}
    return await alibaba(api, "createInstance", orderBizId="122000002", **members)


async def _switched(api: Api) -> httpx.Response:
    return await huawei(api, "updateInstanceStatus", instanceId=HUAWEI_INSTANCE, status="FREEZE")


EVENT = aws_event("License Updated - Manufacturer", licence=LICENCE, agreement="agmt-1", at=now())
HUAWEI_LATER = (200, {"resultCode": "000005", "resultMsg": "try again"})
HUAWEI_DONE = {"resultCode": "000000", "resultMsg": "success"}
LOCKED = {"cloud_account.frozen": 1, "workspace.lock_requested": 1}
FELL_BACK = {"cloud_account.frozen": 1, "workspace.settlement_changed": 1}
CALLS = {
    "createInstance": Called(
        _created,
        (200, {"instanceId": "122000002", "appInfo": ALIBABA_APP}),
        (200, {"instanceId": "0"}),
        "122000002 active",
        {},
    ),
    "expiredInstance": Called(
        lambda api: alibaba(api, "expiredInstance", instanceId=INSTANCE),
        (200, {"success": "true"}),
        (503, {"success": "false", "message": "try again"}),
        f"{INSTANCE} frozen",
        FELL_BACK,
        records=1,
        sent=1,
    ),
    "newInstance": Called(
        lambda api: huawei_buys(api, order="CS2", business="second"),
        (200, {**HUAWEI_DONE, "instanceId": "second"}),
        HUAWEI_LATER,
        "second active",
        {},
    ),
    "updateInstanceStatus": Called(
        _switched, (200, HUAWEI_DONE), HUAWEI_LATER, f"{HUAWEI_INSTANCE} frozen", LOCKED, records=1, sent=1
    ),
    AWS: Called(
        lambda api: aws_sends(api, EVENT), (200, None), (503, None), f"{EVENT['detail']['license']['arn']} active", {}
    ),
}


def said(answer: httpx.Response) -> tuple[int, Any]:
    """AWS reads the status alone."""
    return answer.status_code, None if "/aws/" in answer.request.url.path else answer.json()


@dataclass(frozen=True)
class State:
    """All that a call could change twice."""

    statuses: frozenset[str]
    events: Counter[str]
    records: int
    sent: int


async def state(api: Api) -> State:
    events = Counter(one["type"] for one in await feed(await client(api)))
    async with api.container.engine.connect() as connection:
        found = await connection.execute(text("SELECT instance_id, status FROM cloud_accounts"))
        return State(
            frozenset(f"{row.instance_id} {row.status}" for row in found),
            events,
            int(await connection.scalar(text(RECORDS)) or 0),
            int(await connection.scalar(text(SENT)) or 0),
        )


def assert_once(calls: list[Called], before: State, after: State) -> None:
    """Each has happened, and once."""
    assert after.statuses - before.statuses == {called.status for called in calls}
    assert after.events - before.events == sum((Counter(called.events) for called in calls), Counter())
    assert after.records - before.records == sum(called.records for called in calls)
    assert after.sent - before.sent == sum(called.sent for called in calls)


async def buy(api: Api) -> None:
    """A holder has a subscription at either provider, each with a workspace that settles by it."""
    holder, service = await api.register(), await client(api)
    own = [await alibaba_account(api, holder)]
    with respx.mock:
        huawei_says()
        await huawei_buys(api)
    answer = await typed(api, holder, provider="huawei", number=HUAWEI_BUYER, instance=HUAWEI_INSTANCE)
    own.append(answer.json()["id"])
    for site, cloud_account in zip(("cn1", "cn4"), own, strict=True):
        one = await workspace(service, holder, site=site)
        assert (await bind(api, holder, cloud_account, one)).status_code == 200


async def caught_up(api: Api) -> None:
    """The worker has been there, as if what was left had been left long enough."""
    async with api.container.engine.begin() as connection:
        await connection.execute(text(LEFT))
    await api.container.marketplace_worker.catch_up()


# The database


@pytest.fixture
async def proxied(pg_api: Api, postgres_database: str) -> AsyncIterator[tuple[Proxy, Api]]:
    """The service on the database that `pg_api` has, through a proxy; it asks nobody."""
    assert pg_api
    async with (
        behind_a_proxy(postgres_database) as (proxy, url),
        running(url, database_timeout_seconds=TIMEOUT, **MARKETPLACES) as api,
    ):
        yield proxy, api
        proxy.restore()


@contextmanager
def going_away(proxy: Proxy, api: Api, at: str) -> Iterator[None]:
    """The database is gone when this statement is sent; at once without one."""

    def listen(*arguments: Any) -> None:
        if arguments[2].startswith(at):
            proxy.refuse()

    engine = api.container.engine.sync_engine
    event.listen(engine, "before_cursor_execute", listen)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", listen)
        proxy.restore()


@asked
@pytest.mark.parametrize("at", ["", "INSERT INTO cloud_notices", "UPDATE cloud_notices"], ids=["all", "keep", "apply"])
@pytest.mark.parametrize("name", list(CALLS))
async def test_a_call_whose_database_goes_away_comes_again_and_counts_once(
    pg_api: Api, proxied: tuple[Proxy, Api], name: str, at: str
) -> None:
    await buy(pg_api)
    (proxy, api), called, before = proxied, CALLS[name], await state(pg_api)

    with going_away(proxy, api, at):
        assert said(await called.call(api)) == called.later

    kept = await rows(pg_api, "cloud_notices")
    assert await state(pg_api) == before
    assert said(await called.call(api)) == called.done
    assert_once([called], before, await state(pg_api))
    assert said(await called.call(api)) == called.done
    await caught_up(api)
    assert_once([called], before, await state(pg_api))
    if at.startswith("UPDATE"):
        assert kept == {"cloud_notices": 4}


@asked
@pytest.mark.parametrize("name", ["expiredInstance", "newInstance", AWS])
async def test_what_was_kept_when_the_database_went_away_is_applied_without_another_call(
    pg_api: Api, proxied: tuple[Proxy, Api], name: str
) -> None:
    await buy(pg_api)
    (proxy, api), called, before = proxied, CALLS[name], await state(pg_api)
    with going_away(proxy, api, "UPDATE cloud_notices"):
        await called.call(api)
    await caught_up(api)
    assert_once([called], before, await state(pg_api))


@asked
async def test_a_buyer_who_comes_while_the_database_is_away_may_reload(pg_api: Api, proxied: tuple[Proxy, Api]) -> None:
    await alibaba_bought(pg_api)
    proxy, api = proxied
    with frozen():
        with going_away(proxy, api, ""):
            answer = await alibaba_lands(api, INSTANCE)
        assert (answer.status_code, "<h1>Please try again</h1>" in answer.text) == (503, True)
        assert (
            await api.client.get(f"/v1/marketplace-claims/{claim_of(await alibaba_lands(api, INSTANCE))}")
        ).is_success


# The server


@pytest.fixture
async def database(postgres_url: str) -> str:
    """A migrated PostgreSQL database of the test's own: SQLite cannot stop a server within a call."""
    url = await create_database(postgres_url)
    await asyncio.to_thread(migrations.upgrade, url)
    return url


@pytest.mark.parametrize("how", ["repeats", "worker"])
async def test_what_a_killed_server_had_kept_is_applied_once(database: str, tmp_path: Path, how: str) -> None:
    environment = {
        "PYTHONPATH": str(ROOT),
        "GUANCE_DATABASE_URL": database,
        "GUANCE_WORKER_IN_SERVER": "false",
        "GUANCE_DEV_MESSAGES_FILE": str(tmp_path / "messages.jsonl"),
        "GUANCE_OUTBOX_POLL_SECONDS": "0.1",
        "GUANCE_ALIBABA_MARKETPLACE_KEY": ALIBABA_KEY,
        "GUANCE_HUAWEI_MARKETPLACE_KEY": HUAWEI_KEY,
    }
    calls = [called for name, called in CALLS.items() if name != AWS]
    async with running(database, **MARKETPLACES, **ASKED) as asking, running(database, **MARKETPLACES) as api:
        await buy(asking)
        before = await state(api)

        await killed_within(api, calls, environment, tmp_path)

        assert await state(api) == before
        assert await value(api.container.engine, OPEN) == len(calls)
        if how == "worker":
            async with api.container.engine.begin() as connection:
                await connection.execute(text(LEFT))
            with process(tmp_path, environment, "worker"):
                await until(api.container.engine, OPEN.replace("count(*)", "count(*) = 0"))
            assert_once(calls, before, await state(api))
        for called in calls:
            assert said(await called.call(api)) == called.done
        await caught_up(api)
        assert_once(calls, before, await state(api))


async def killed_within(api: Api, calls: list[Called], environment: dict[str, str], folder: Path) -> None:
    """A server that has kept all these messages dies before it has applied one: it waited for a table."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with process(folder, environment, "serve", "--port", str(port)) as server:
        await eventually(lambda: is_ready(base))
        async with api.container.engine.begin() as connection, httpx.AsyncClient(base_url=base) as caller:
            await connection.execute(text("LOCK TABLE cloud_accounts IN SHARE ROW EXCLUSIVE MODE"))
            through = replace(api, client=caller)
            calling = asyncio.gather(*(called.call(through) for called in calls), return_exceptions=True)
            await until(api.container.engine, f"{BLOCKED} HAVING count(*) = {len(calls)}")
            server.kill()
            assert server.wait() == -9
            assert all(isinstance(answer, httpx.TransportError) for answer in await calling)
