"""Marketplaces that call many times at once, and holders who type and bind meanwhile: one owner, effect and end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest
import respx

from app.core.clock import now
from tests.races import Replicas, assert_documented, outcome, tally
from tests.support.api import Api, Holder, frozen, running
from tests.support.clouds import (
    ASKED,
    HUAWEI_BUYER,
    HUAWEI_INSTANCE,
    MARKETPLACES,
    alibaba,
    alibaba_account,
    alibaba_bought,
    alibaba_lands,
    alibaba_says,
    bind,
    get,
    history,
    huawei,
    huawei_buys,
    huawei_says,
    rows,
    settled,
    typed,
    workspace,
)
from tests.support.services import client, feed

MANY = 20
ROUNDS = 6
INSTANCE = "122000001"
TYPED = "post /v1/account/cloud-accounts"
REPEATS = "SELECT max(repeats) FROM cloud_notices"
unasked: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES)
asked: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES, **ASKED)

T = TypeVar("T")
Asked = Callable[[Api], Awaitable[Any]]


@pytest.fixture
async def replicas(request: pytest.FixtureRequest, pg_api: Api, postgres_database: str) -> AsyncIterator[Replicas]:
    marker = request.node.get_closest_marker("settings")
    async with running(postgres_database, **(marker.kwargs if marker else {})) as second:
        yield Replicas(pg_api, second)


async def at_once(replicas: Replicas, *calls: Callable[[Api], Awaitable[T]]) -> list[T]:
    """Every other one to the second instance; the answers in their order."""
    both = (replicas.first, replicas.second)
    return list(await asyncio.gather(*(call(both[number % 2]) for number, call in enumerate(calls))))


def tells(action: str, instance: str = INSTANCE) -> Asked:
    return lambda api: alibaba(api, action, instanceId=instance)


def types(holder: Holder, **members: str) -> Asked:
    return lambda api: typed(api, holder, **{"instance": INSTANCE, **members})


def binds(holder: Holder, cloud_account: str, workspace_id: str) -> Asked:
    return lambda api: bind(api, holder, cloud_account, workspace_id)


async def told(api: Api) -> Counter[str]:
    """How many events there are of each type, but for accounts."""
    found = await feed(await client(api))
    return Counter(event["type"] for event in found if not event["type"].startswith("account."))


# The same message many times


@unasked
async def test_a_purchase_told_twenty_times_at_once_is_one(replicas: Replicas) -> None:
    answers = await at_once(replicas, *[alibaba_bought] * MANY)
    assert answers == [INSTANCE] * MANY
    assert await rows(replicas.first, "cloud_accounts", "cloud_notices") == {"cloud_accounts": 1, "cloud_notices": 1}
    assert await replicas.scalar(REPEATS) == MANY - 1


@unasked
async def test_arrears_told_twenty_times_at_once_are_one(replicas: Replicas) -> None:
    api = replicas.first
    holder, service = await api.register(), await client(api)
    cloud_account = await alibaba_account(api, holder)
    one = await workspace(service, holder)
    await bind(api, holder, cloud_account, one)

    answers = await at_once(replicas, *[tells("expiredInstance")] * MANY)

    assert [answer.json() for answer in answers] == [{"success": "true"}] * MANY
    assert [span["cause"] for span in await history(api, holder, one)] == ["created", "chosen", "fell_back"]
    assert await told(api) == {
        "cloud_account.activated": 1,
        "workspace.settlement_changed": 2,
        "cloud_account.frozen": 1,
    }
    assert len(await api.messages(holder.email, "workspaces_fell_back")) == 1
    assert await replicas.scalar(REPEATS) == MANY - 1
    assert await rows(api, "cloud_notices") == {"cloud_notices": 2}


@asked
@respx.mock
async def test_a_second_arrears_told_twenty_times_at_once_is_confirmed_and_one(replicas: Replicas) -> None:
    api = replicas.first
    holder = await api.register()
    await alibaba_account(api, holder)
    await alibaba(api, "expiredInstance", instanceId=INSTANCE)
    await alibaba(api, "renewInstance", instanceId=INSTANCE, orderId="2")
    alibaba_says("EXPIRED")

    answers = await at_once(replicas, *[tells("expiredInstance")] * MANY)

    assert [answer.json() for answer in answers] == [{"success": "true"}] * MANY
    assert await told(api) == {
        "cloud_account.activated": 1,
        "cloud_account.frozen": 2,
        "cloud_account.unfrozen": 1,
    }


@asked
@respx.mock
async def test_an_order_told_under_twenty_names_at_once_has_one_instance(replicas: Replicas) -> None:
    huawei_says()

    def bought(number: int) -> Asked:
        return lambda api: huawei_buys(api, business=f"name-{number}")

    answers = await at_once(replicas, *(bought(number) for number in range(MANY)))

    assert {answer.json()["resultCode"] for answer in answers} == {"000000"}
    assert len({answer.json()["instanceId"] for answer in answers}) == 1
    assert await replicas.scalar("SELECT count(*) FROM cloud_accounts WHERE account_number IS NOT NULL") == 1
    assert await rows(replicas.first, "cloud_accounts") == {"cloud_accounts": 1}


@unasked
async def test_a_link_followed_twenty_times_at_once_is_good_once(replicas: Replicas) -> None:
    await alibaba_bought(replicas.first)
    with frozen():
        answers = await at_once(replicas, *[lambda api: alibaba_lands(api, INSTANCE)] * MANY)
    assert Counter(answer.status_code for answer in answers) == {303: 1, 410: MANY - 1}
    assert await rows(replicas.first, "marketplace_claims") == {"marketplace_claims": 1}


# Different messages


@asked
@respx.mock
async def test_freezing_and_unfreezing_at_once_end_as_the_later_one_says(replicas: Replicas) -> None:
    api = replicas.first
    holder, service = await api.register(), await client(api)
    huawei_says()
    await huawei_buys(api, at=now() - timedelta(seconds=50))
    own = (await typed(api, holder, provider="huawei", number=HUAWEI_BUYER, instance=HUAWEI_INSTANCE)).json()["id"]
    one = await workspace(service, holder, site="cn4")
    await bind(api, holder, own, one)
    began = now() - timedelta(seconds=45)

    def switched(second: int) -> Asked:
        status, at = ("FREEZE", "UNFREEZE")[second % 2], began + timedelta(seconds=second)
        return lambda to: huawei(to, "updateInstanceStatus", at=at, instanceId=HUAWEI_INSTANCE, status=status)

    answers = await at_once(replicas, *(switched(second) for second in range(MANY)))

    assert {answer.json()["resultCode"] for answer in answers} == {"000000"}
    shown = await settled(api, holder, one)
    assert (shown["cloud_account_id"], shown["lock_ends_at"]) == (own, None)
    events = await told(api)
    assert events["workspace.lock_requested"] == events["workspace.unlock_requested"]
    assert events["cloud_account.frozen"] == events["cloud_account.unfrozen"]


@unasked
@pytest.mark.parametrize("ends", ["expiredInstance", "releaseInstance"])
async def test_binding_while_the_cloud_account_stops_leaves_no_workspace_with_what_does_not_pay(
    replicas: Replicas, ends: str
) -> None:
    api = replicas.first
    holder, service = await api.register(), await client(api)
    outcomes: Counter[str] = Counter()
    for number in range(ROUNDS):
        instance = f"1220000{number:02}"
        cloud_account = await alibaba_account(api, holder, instance=instance)
        ours = [await workspace(service, holder) for _ in range(2)]

        first, _, second = await at_once(
            replicas,
            binds(holder, cloud_account, ours[0]),
            tells(ends, instance),
            binds(holder, cloud_account, ours[1]),
        )

        outcomes.update(outcome(answer) for answer in (first, second))
        for one in ours:
            assert (await settled(api, holder, one))["method"] == "billing_center"
    assert set(outcomes) <= {"200", "settlement_refused"}


@unasked
async def test_typing_a_pair_while_it_freezes_tells_the_end_of_it(replicas: Replicas) -> None:
    """Whether it was frozen before or after it was taken, the last event is how it stands."""
    api = replicas.first
    for number in range(ROUNDS):
        holder, instance = await api.register(), f"1220000{number:02}"
        await alibaba_bought(api, instance=instance)

        taken, _ = await at_once(
            replicas,
            types(holder, instance=instance),
            tells("expiredInstance", instance),
        )

        assert taken.status_code == 201
        (own,) = (await get(api, holder, "/cloud-accounts"))["items"]
        mine = [event for event in await feed(await client(api)) if event["data"].get("cloud_account_id") == own["id"]]
        assert own["status"] == "frozen"
        assert mine[-1]["type"] == "cloud_account.frozen"


# Holders who type


@unasked
async def test_of_ten_accounts_that_type_a_pair_at_once_one_owns_it(replicas: Replicas) -> None:
    api = replicas.first
    holders = [await api.register() for _ in range(10)]
    await alibaba_bought(api)
    await one_owns(replicas, holders)


@asked
@respx.mock
async def test_of_ten_accounts_that_type_a_pair_that_is_proven_meanwhile_one_owns_it(replicas: Replicas) -> None:
    holders = [await replicas.first.register() for _ in range(10)]
    alibaba_says()
    await one_owns(replicas, holders)


async def one_owns(replicas: Replicas, holders: list[Holder]) -> None:
    answers = await at_once(replicas, *map(types, holders))

    assert tally(answers) == {"201": 1, "cloud_account_taken": len(holders) - 1}
    assert_documented(replicas.first, TYPED, answers)
    assert await rows(replicas.first, "cloud_accounts") == {"cloud_accounts": 1}
    assert await told(replicas.first) == {"cloud_account.activated": 1}
    owner = holders[next(number for number, answer in enumerate(answers) if answer.is_success)]
    assert len((await get(replicas.first, owner, "/cloud-accounts"))["items"]) == 1


@unasked
async def test_an_account_that_types_a_pair_many_times_at_once_has_it_once(replicas: Replicas) -> None:
    holder = await replicas.first.register()
    await alibaba_bought(replicas.first)
    answers = await at_once(replicas, *[types(holder)] * 10)
    assert tally(answers) == {"201": 10}
    assert await told(replicas.first) == {"cloud_account.activated": 1}
    assert len(await replicas.first.messages(holder.email, "cloud_account_added")) == 1


@unasked
async def test_of_forty_guesses_at_once_twenty_are_looked_at(replicas: Replicas) -> None:
    holder = await replicas.first.register()
    await alibaba_bought(replicas.first)
    answers = await at_once(replicas, *[types(holder, number="9")] * (2 * MANY))
    assert tally(answers) == {"cloud_account_unproven": MANY, "too_many_tries": MANY}
    assert_documented(replicas.first, TYPED, answers)
