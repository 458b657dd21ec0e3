"""Claims on two instances and one PostgreSQL, all at once: one account gets the purchase, and is told of it once."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.races import Call, Replicas, assert_documented, post, send, tally
from tests.support.api import Api, Holder, running
from tests.support.clouds import (
    MARKETPLACES,
    alibaba_bought,
    alibaba_lands,
    alibaba_token,
    bind,
    claim_of,
    get,
    history,
    workspace,
)
from tests.support.services import client, feed, spread

pytestmark = pytest.mark.settings(
    **MARKETPLACES, cloud_end_policies={"alibaba": "lock"}, daily_sends_per_target=1000, daily_tries=1000
)

ROUNDS = 12
MANY = 8
NUMBER = "1234567890123456"
OWNERS = "SELECT count(DISTINCT account_id) FROM cloud_accounts WHERE account_id IS NOT NULL"
ADDED = "SELECT count(*) FROM activity WHERE action = 'cloud_account.added'"
MESSAGES = "SELECT count(*) FROM outbox_messages WHERE template = 'cloud_account_added'"
OPEN = "SELECT count(*) FROM marketplace_claims WHERE used_at IS NULL"
ACCEPT = "post /v1/marketplace-claims/{token}/accept"
WITH_CODE = "post /v1/marketplace-claims/{token}/accept-with-code"


@pytest.fixture
async def replicas(request: pytest.FixtureRequest, pg_api: Api, postgres_database: str) -> AsyncIterator[Replicas]:
    marker = request.node.get_closest_marker("settings")
    async with running(postgres_database, **(marker.kwargs if marker else {})) as second:
        yield Replicas(pg_api, second)


def accepts(holder: Holder, token: str) -> Call:
    return send("POST", f"/v1/marketplace-claims/{token}/accept", holder)


def types(holder: Holder, instance: str) -> Call:
    body = {"provider": "alibaba", "account_id": NUMBER, "instance_id": instance}
    return post("/v1/account/cloud-accounts", body, holder)


def tells(action: str, **members: str) -> Call:
    """Alibaba Cloud, signed."""
    given = {"action": action, **members}
    return lambda caller: caller.get("/marketplace/alibaba", params={**given, "token": alibaba_token(given)})


async def brought(api: Api, number: int) -> tuple[str, str]:
    """Another purchase for each number: the instance and a claim to it."""
    instance = await alibaba_bought(api, instance=f"122{number:06}")
    return instance, claim_of(await alibaba_lands(api, instance))


async def code_for(api: Api, holder: Holder, token: str) -> dict[str, str]:
    """A code was asked for and has come: what is entered."""
    asked = await api.client.post(f"/v1/marketplace-claims/{token}/account-codes", json={"username": holder.username})
    return {"challenge_id": asked.json()["challenge_id"], "code": await api.code(holder.email)}


def enters(token: str, body: dict[str, str]) -> Call:
    return post(f"/v1/marketplace-claims/{token}/accept-with-code", {**body})


async def told(replicas: Replicas) -> list[tuple[str, str]]:
    """Each event about a cloud account: its type, and which one."""
    await spread(replicas.first)
    events = await feed(await client(replicas.first))
    return [
        (one["type"].rpartition(".")[2], one["data"]["cloud_account_id"])
        for one in events
        if ".cloud_account." in f".{one['type']}"
    ]


# --- One purchase ---------------------------------------------------------------------------------------------------


async def test_of_many_accounts_with_one_claim_exactly_one_gets_the_purchase(replicas: Replicas) -> None:
    api = replicas.first
    holders = [await api.register() for _ in range(MANY)]
    for number in range(ROUNDS):
        _, token = await brought(api, number)

        answers = await replicas.at_once(accepts(holder, token) for holder in holders)

        assert tally(answers) == {"200": 1, "claim_gone": MANY - 1}
        assert_documented(api, ACCEPT, answers)
    assert await replicas.scalar(ADDED) == await replicas.scalar(MESSAGES) == ROUNDS
    assert await replicas.scalar(OPEN) == 0
    events = await told(replicas)
    assert {kind for kind, _ in events} == {"activated"}
    assert len({which for _, which in events}) == len(events) == ROUNDS


async def test_of_many_accounts_with_a_claim_each_to_one_purchase_exactly_one_gets_it(replicas: Replicas) -> None:
    api = replicas.first
    holders = [await api.register() for _ in range(MANY)]
    for number in range(ROUNDS):
        instance, _ = await brought(api, number)
        links = [await alibaba_lands(api, instance, skew=timedelta(seconds=one + 1)) for one in range(MANY)]
        tokens = [claim_of(link) for link in links]

        answers = await replicas.at_once(accepts(*each) for each in zip(holders, tokens, strict=True))

        assert tally(answers)["200"] == 1
        assert set(tally(answers)) <= {"200", "claim_gone", "cloud_account_taken"}
        assert_documented(api, ACCEPT, answers)
    assert await replicas.scalar(ADDED) == len(await told(replicas)) == ROUNDS


async def test_one_account_that_takes_it_many_times_at_once_gets_one_answer_and_is_told_once(
    replicas: Replicas,
) -> None:
    api, holder = replicas.first, await replicas.first.register()
    for number in range(ROUNDS):
        _, token = await brought(api, number)

        answers = await replicas.at_once([accepts(holder, token)] * MANY)

        assert tally(answers) == {"200": MANY}
        assert len({answer.text for answer in answers}) == 1
    assert await replicas.scalar(ADDED) == await replicas.scalar(MESSAGES) == len(await told(replicas)) == ROUNDS


async def test_a_login_a_code_and_typing_at_once_get_it_for_one_of_three_accounts(replicas: Replicas) -> None:
    api = replicas.first
    holders = [await api.register() for _ in range(3)]
    for number in range(ROUNDS):
        instance, token = await brought(api, number)
        body = await code_for(api, holders[1], token)

        answers = await replicas.at_once([accepts(holders[0], token), enters(token, body), types(holders[2], instance)])

        outcomes = tally(answers)
        assert outcomes["200"] + outcomes["201"] == 1, outcomes
        assert set(outcomes) <= {"200", "201", "claim_gone", "cloud_account_taken"}
        assert await replicas.scalar(ADDED) == number + 1
    assert len(await told(replicas)) == ROUNDS


async def test_one_code_entered_many_times_at_once_takes_one_purchase(replicas: Replicas) -> None:
    """With the claims of several purchases: the code is good for one."""
    api, holder = replicas.first, await replicas.first.register()
    for number in range(0, ROUNDS * 4, 4):
        tokens = [(await brought(api, number + one))[1] for one in range(4)]
        body = await code_for(api, holder, tokens[0])

        answers = await replicas.at_once(enters(token, body) for token in tokens)

        assert tally(answers) == {"200": 1, "code_used": 3}
        assert_documented(api, WITH_CODE, answers)
    assert await replicas.scalar(ADDED) == ROUNDS


# --- While something else happens -----------------------------------------------------------------------------------


async def test_a_claim_and_the_end_of_the_subscription_at_once_leave_it_ended_and_said_so_in_order(
    replicas: Replicas,
) -> None:
    api, holder = replicas.first, await replicas.first.register()
    for number in range(ROUNDS):
        instance, token = await brought(api, number)

        answers = await replicas.at_once(
            [accepts(holder, token), tells("releaseInstance", instanceId=instance, isRefund="false")]
        )

        assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
        assert answers[1].json() == {"success": "true"}
    events = await told(replicas)
    items = (await get(api, holder, "/cloud-accounts", limit=100))["items"]
    assert [one["status"] for one in items] == ["ended"] * ROUNDS
    for one in items:
        assert [kind for kind, which in events if which == one["id"]] in (["closed"], ["activated", "closed"])


async def test_a_new_subscription_claimed_while_the_old_one_ends_undoes_the_lock_or_comes_before_it(
    replicas: Replicas,
) -> None:
    """What locks after the claim is undone by its holder: the new subscription has unlocked all that there was."""
    api, holder = replicas.first, await replicas.first.register()
    service = await client(api)
    for number in range(0, ROUNDS * 2, 2):
        home = await workspace(service, holder)
        old, token = await brought(api, number)
        taken = await accepts(holder, token)(api.client)
        assert (await bind(api, holder, taken.json()["cloud_account_id"], home)).status_code == 200
        _, token = await brought(api, number + 1)

        answers = await replicas.at_once(
            [accepts(holder, token), tells("releaseInstance", instanceId=old, isRefund="false")]
        )

        assert [answer.status_code for answer in answers] == [200, 200]
        causes = [one["cause"] for one in await history(api, holder, home)]
        assert causes in (["created", "chosen", "locked", "resubscribed"], ["created", "chosen", "locked"])


async def test_a_claim_and_the_end_of_every_session_at_once_are_in_order(replicas: Replicas) -> None:
    """Taken before the session ended, or not at all."""
    api = replicas.first
    for number in range(ROUNDS):
        holder = await api.register()
        _, token = await brought(api, number)
        before = await replicas.scalar(ADDED)

        taken, ended = await replicas.at_once([accepts(holder, token), send("DELETE", "/v1/sessions/current", holder)])

        assert ended.status_code == 204
        assert tally([taken]) in ({"200": 1}, {"session_ended": 1})
        assert await replicas.scalar(ADDED) == int(str(before)) + taken.is_success
