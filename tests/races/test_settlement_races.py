"""Bindings, messages of providers and clocks at once on one PostgreSQL: one chain a workspace, each effect once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.core.clock import now
from app.models.cloud_accounts import CloudAccount
from app.models.settlements import Settlement
from app.models.workspaces import Workspace
from tests.races import Call, Replicas, assert_documented, outcome, send, tally
from tests.races.processes import ROOT, eventually, free_port, is_ready, process
from tests.support.api import Api, Holder, running
from tests.support.clouds import (
    ALIBABA_KEY,
    ASKED,
    HUAWEI_KEY,
    MARKETPLACES,
    alibaba,
    alibaba_account,
    bind,
    choose,
    history,
    huawei,
    huawei_account,
    huawei_instance,
    huawei_tells,
    options,
    paid_by,
    settled,
    workspace,
)
from tests.support.services import ServiceClient, client, feed, spread

ROUNDS = 12
BINDINGS = "/v1/account/cloud-accounts/{id}/bindings"
AHEAD = timedelta(seconds=30)  # what providers' signatures forgive
pytestmark = pytest.mark.settings(**MARKETPLACES, **ASKED, access_token_seconds=10**6)


@pytest.fixture
async def replicas(request: pytest.FixtureRequest, pg_api: Api, postgres_database: str) -> AsyncIterator[Replicas]:
    marker = request.node.get_closest_marker("settings")
    async with running(postgres_database, **(marker.kwargs if marker else {})) as second:
        yield Replicas(pg_api, second)


def binding(holder: Holder, cloud_account: str, *workspaces: str) -> Call:
    body: Any = {"workspace_ids": workspaces}
    return send("POST", BINDINGS.format(id=cloud_account), holder, body)


def choosing(holder: Holder, workspace_id: str, cloud_account: str | None = None) -> Call:
    body = {"method": "cloud_account", "cloud_account_id": cloud_account} if cloud_account else None
    return send(
        "PUT", f"/v1/account/workspaces/{workspace_id}/settlement", holder, body or {"method": "billing_center"}
    )


def huawei_says(api: Api, activity: str, number: int, **members: Any) -> Call:
    """Signed anew for each call."""
    return lambda caller: huawei(Api(api.app, caller), activity, instanceId=huawei_instance(number), **members)


def alibaba_says(api: Api, action: str, instance: str) -> Call:
    return lambda caller: alibaba(Api(api.app, caller), action, instanceId=instance)


async def causes(api: Api, holder: Holder, workspace_id: str) -> list[str]:
    return [one["cause"] for one in await history(api, holder, workspace_id)]


async def told(api: Api, service: ServiceClient, workspace_id: str) -> list[str]:
    """The types of the workspace's events, in their order."""
    await spread(api)
    events = [one for one in await feed(service) if one["data"].get("workspace_id") == workspace_id]
    return [one["type"].removeprefix("workspace.") for one in events]


async def unpaid(api: Api) -> list[str]:
    """Workspaces that settle by a cloud account which is not active, and are not locked."""
    stopped = (
        select(Workspace.id)
        .join(
            Settlement,
            (Settlement.workspace_id == Workspace.id) & (Settlement.effective_from == Workspace.settled_from),
        )
        .join(CloudAccount, CloudAccount.id == Settlement.cloud_account_id)
        .where(CloudAccount.status != "active", Settlement.lock_ends_at.is_(None))
    )
    async with api.container.engine.connect() as connection:
        return list(await connection.scalars(stopped))


async def assert_chained(api: Api) -> None:
    """Of each workspace: one first record, each other behind another, the last one current."""
    async with api.container.engine.connect() as connection:
        records = (await connection.execute(select(Settlement).order_by(Settlement.effective_from))).all()
        current = {row.id: row.settled_from for row in await connection.execute(select(Workspace))}
    for workspace_id, settled_from in current.items():
        mine = [row for row in records if row.workspace_id == workspace_id]
        assert mine[0].follows is None
        assert all(second.follows == first.effective_from for first, second in pairwise(mine))
        assert mine[-1].effective_from == settled_from


# --- One workspace --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accounts", [5, 50])
async def test_of_fifty_bindings_to_different_cloud_accounts_one_is_made(replicas: Replicas, accounts: int) -> None:
    api, service = replicas.first, await client(replicas.first)
    holder = await api.register()
    workspace_id = await workspace(service, holder)
    bought = [await alibaba_account(api, holder, instance=f"1220{number:05}") for number in range(accounts)]

    answers = await replicas.at_once(binding(holder, bought[number % accounts], workspace_id) for number in range(50))

    same = 50 // accounts  # as many as ask for what the first one made so
    assert tally(answers) == {"200": same, "settlement_refused": 50 - same}
    assert_documented(api, f"post {BINDINGS}", answers)
    assert {answer.status_code for answer in answers} == {200, 409}
    (made,) = {one["cloud_account_id"] for answer in answers if answer.is_success for one in answer.json()["bindings"]}
    assert (await settled(api, holder, workspace_id))["cloud_account_id"] == made
    assert await causes(api, holder, workspace_id) == ["created", "chosen"]
    assert await told(api, service, workspace_id) == ["settlement_changed"]
    for answer in answers:
        if not answer.is_success:
            (refusal,) = answer.json()["refusals"]
            assert [one["code"] for one in refusal["reasons"]] == [
                "stays_until_cloud_account_ends",
                "changed_this_month",
            ]


async def test_fifty_identical_bindings_make_one_record_and_all_are_told_so(replicas: Replicas) -> None:
    api, service = replicas.first, await client(replicas.first)
    holder = await api.register()
    workspace_id = await workspace(service, holder)
    cloud_account = await alibaba_account(api, holder)

    answers = await replicas.at_once(
        binding(holder, cloud_account, workspace_id) if number % 3 else choosing(holder, workspace_id, cloud_account)
        for number in range(50)
    )

    assert tally(answers) == {"200": 50}
    assert await causes(api, holder, workspace_id) == ["created", "chosen"]
    assert await told(api, service, workspace_id) == ["settlement_changed"]
    trail = "SELECT count(*) FROM activity WHERE action = 'workspace.settlement_changed'"
    assert await replicas.scalar(trail) == 1


async def test_bindings_of_overlapping_workspaces_are_made_whole_or_not_at_all(replicas: Replicas) -> None:
    api, service = replicas.first, await client(replicas.first)
    holder = await api.register()
    workspaces = [await workspace(service, holder) for _ in range(6)]
    bought = [await alibaba_account(api, holder, instance=f"1220{number:05}") for number in range(6)]

    answers = await replicas.at_once(
        binding(holder, cloud_account, workspaces[number], workspaces[(number + 1) % 6])
        for number, cloud_account in enumerate(bought)
    )

    made = [number for number, answer in enumerate(answers) if answer.is_success]
    assert {outcome(answer) for answer in answers} <= {"200", "settlement_refused"}
    assert 2 <= len(made) <= 3
    expected = {workspaces[(number + more) % 6]: bought[number] for number in made for more in (0, 1)}
    for workspace_id in workspaces:
        assert (await settled(api, holder, workspace_id))["cloud_account_id"] == expected.get(workspace_id)
    assert len(expected) == 2 * len(made)


# --- While the cloud account ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["huawei", "alibaba"])
async def test_no_workspace_is_left_with_a_cloud_account_that_ended_while_it_was_bound(
    replicas: Replicas, provider: str
) -> None:
    api, service = replicas.first, await client(replicas.first)
    holder = await api.register()
    stopped = "locked" if provider == "huawei" else "fell_back"
    for number in range(ROUNDS):
        workspaces = [await workspace(service, holder, site="cn4" if provider == "huawei" else "cn1") for _ in range(4)]
        if provider == "huawei":
            cloud_account = await huawei_account(api, holder, number, buyer=f"{number:032x}")
            release = huawei_says(api, "releaseInstance", number)
        else:
            cloud_account = await alibaba_account(api, holder, instance=f"1220{number:05}")
            release = alibaba_says(api, "releaseInstance", f"1220{number:05}")
        bindings = [binding(holder, cloud_account, one) for one in workspaces]
        at = number % 4  # the release comes in any place

        answers = await replicas.at_once([*bindings[:at], release, release, *bindings[at:]])

        assert await unpaid(api) == []
        bound = [answer for answer in answers if "bindings" in answer.text]
        assert all(
            answer.json()["refusals"][0]["reasons"][0]["code"] == "cloud_account_not_active"
            for answer in answers
            if answer.status_code == 409
        )
        ends = Counter([tuple(await causes(api, holder, one)) for one in workspaces])
        assert ends == Counter({("created", "chosen", stopped): len(bound), ("created",): 4 - len(bound)})
        for workspace_id in workspaces:
            assert len(await told(api, service, workspace_id)) in (0, 2)
    await assert_chained(api)


async def test_freezing_and_unfreezing_at_once_leaves_workspaces_as_the_cloud_account(replicas: Replicas) -> None:
    api, service = replicas.first, await client(replicas.first)
    holder = await api.register()
    workspace_id = await workspace(service, holder, site="cn4")
    cloud_account = await huawei_account(api, holder)
    assert (await bind(api, holder, cloud_account, workspace_id)).status_code == 200

    for _ in range(ROUNDS):
        answers = await replicas.at_once(
            huawei_says(api, "updateInstanceStatus", 1, status=status)
            for status in ("FREEZE", "UNFREEZE", "FREEZE", "UNFREEZE")
        )

        assert {answer.json()["resultCode"] for answer in answers} <= {"000000", "000005"}
        shown = await settled(api, holder, workspace_id)
        status = await replicas.scalar("SELECT status FROM cloud_accounts")
        assert (status, shown["lock_ends_at"] is not None) in {("active", False), ("frozen", True)}
    recorded = await causes(api, holder, workspace_id)
    assert recorded[2::2] == ["locked"] * len(recorded[2::2])
    assert recorded[3::2] == ["resumed"] * len(recorded[3::2])
    asked = ["lock_requested" if cause == "locked" else "unlock_requested" for cause in recorded[2:]]
    assert await told(api, service, workspace_id) == ["settlement_changed", *asked]
    await assert_chained(api)


async def test_a_lock_that_everybody_undoes_at_once_is_undone_once(replicas: Replicas) -> None:
    """The holder chooses the Billing Center, the provider unfreezes, the buyer subscribes anew."""
    api, service = replicas.first, await client(replicas.first)
    holder = await api.register()
    ends: Counter[str] = Counter()
    for number in range(0, 2 * ROUNDS, 2):
        workspace_id = await workspace(service, holder, site="cn4")
        cloud_account = await huawei_account(api, holder, number)
        assert (await bind(api, holder, cloud_account, workspace_id)).status_code == 200
        await huawei_tells(api, "updateInstanceStatus", number, status="FREEZE")

        calls = [choosing(holder, workspace_id)] * 4
        calls.insert(number % 5, huawei_says(api, "updateInstanceStatus", number, status="UNFREEZE"))
        answers, _ = await asyncio.gather(replicas.at_once(calls), huawei_account(replicas.second, holder, number + 1))

        assert {outcome(answer) for answer in answers} <= {"200", "settlement_refused"}
        recorded = await causes(api, holder, workspace_id)
        assert recorded[:3] == ["created", "chosen", "locked"]
        (undone,) = recorded[3:]
        assert (await told(api, service, workspace_id)).count("unlock_requested") == 1
        shown = await settled(api, holder, workspace_id)
        assert (shown["cloud_account_id"], shown["lock_ends_at"]) == (
            cloud_account if undone == "resumed" else None,
            None,
        )
        ends[undone] += 1
        await huawei_tells(api, "releaseInstance", number)
        await huawei_tells(api, "releaseInstance", number + 1)
    assert set(ends) <= {"unlocked", "resumed", "resubscribed"}
    await assert_chained(api)


async def test_a_workspace_that_is_dissolved_while_its_cloud_account_ends_is_told_of_before_or_never(
    replicas: Replicas,
) -> None:
    api, service = replicas.first, await client(replicas.first)
    holder = await api.register()
    for number in range(ROUNDS):
        workspace_id = await workspace(service, holder, site="cn4")
        cloud_account = await huawei_account(api, holder, number, buyer=f"{number:032x}")
        assert (await bind(api, holder, cloud_account, workspace_id)).status_code == 200
        url = f"/internal/v1/workspaces/{workspace_id}"

        def dissolve(caller: httpx.AsyncClient, url: str = url) -> Any:
            return caller.delete(url, headers=service.auth)

        calls: list[Call] = [dissolve, huawei_says(api, "releaseInstance", number)]
        await replicas.at_once(calls if number % 2 else reversed(calls))

        recorded = await history(api, holder, workspace_id)
        assert [one["cause"] for one in recorded] in (["created", "chosen"], ["created", "chosen", "locked"])
        assert all(one["effective_from"] <= one["effective_to"] for one in recorded)
        requested = len(recorded) - 2
        assert (await told(api, service, workspace_id)).count("lock_requested") == requested


# --- Clocks that differ ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def ahead(api: Api, database: str, folder: Path) -> AsyncIterator[Api]:
    """A server in a process of its own, on the same database, whose clock is ahead."""
    seconds = AHEAD.total_seconds()
    (folder / "sitecustomize.py").write_text(
        f"import time, time_machine\ntime_machine.travel(time.time() + {seconds}, tick=True).start()\n"
    )
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": f"{folder}:{ROOT}",
        "GUANCE_DATABASE_URL": database,
        "GUANCE_WORKER_IN_SERVER": "false",
        "GUANCE_DEV_MESSAGES_FILE": str(folder / "messages.jsonl"),
        "GUANCE_ALIBABA_MARKETPLACE_KEY": ALIBABA_KEY,
        "GUANCE_HUAWEI_MARKETPLACE_KEY": HUAWEI_KEY,
    }
    port = free_port()
    with process(folder, environment, "serve", "--port", str(port)):
        base = f"http://127.0.0.1:{port}"
        await eventually(lambda: is_ready(base))
        async with httpx.AsyncClient(base_url=base) as caller:
            yield Api(api.app, caller)


async def test_two_processes_whose_clocks_differ_write_one_chain_and_tell_the_same(
    pg_api: Api, postgres_database: str, tmp_path: Path
) -> None:
    holder, service = await pg_api.register(), await client(pg_api)
    async with ahead(pg_api, postgres_database, tmp_path) as other:
        there = ServiceClient(other, service.client_id, service.secret, service.scopes, service.token)
        workspace_id = await workspace(there, holder, site="cn4")
        (known,) = await history(pg_api, holder, workspace_id)
        assert datetime.fromisoformat(known["effective_from"]) > now() + AHEAD / 2
        cloud_account = await huawei_account(pg_api, holder)
        assert (await choose(pg_api, holder, workspace_id, cloud_account)).status_code == 200

        for number in range(6):
            status = ("FREEZE", "UNFREEZE")[number % 2]
            calls = [huawei_says(api, "updateInstanceStatus", 1, status=status) for api in (pg_api, other)]
            await asyncio.gather(
                calls[0](pg_api.client), calls[1](other.client), choose(other, holder, workspace_id, None)
            )

            assert await paid_by(service, workspace_id) == await paid_by(there, workspace_id)
            assert await settled(pg_api, holder, workspace_id) == await settled(other, holder, workspace_id)
            assert await options(pg_api, holder, workspace_id) == await options(other, holder, workspace_id)
            assert await unpaid(pg_api) == []

        await assert_chained(pg_api)
        recorded = await history(pg_api, holder, workspace_id)
        assert recorded == await history(other, holder, workspace_id)
        starts = [one["effective_from"] for one in recorded]
        assert starts == sorted(set(starts))
        assert [one["effective_to"] for one in recorded] == [*starts[1:], None]
