"""Claims: a purchase brought from a marketplace becomes one account's, once, and whoever comes too late is told so."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.support.api import Api, Holder, frozen, refusal, renewed
from tests.support.aws_marketplace import Purchase, lands, metering, sends
from tests.support.clouds import (
    MARKETPLACES,
    accept,
    alibaba,
    alibaba_account,
    alibaba_bought,
    alibaba_lands,
    bind,
    claim_of,
    get,
    history,
    refused,
    settled,
    typed,
    workspace,
)
from tests.support.services import client, feed, spread, staff

pytestmark = pytest.mark.settings(**MARKETPLACES)
locking: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES, cloud_end_policies={"alibaba": "lock"})


async def brought(api: Api, *, instance: str = "122000001") -> str:
    """Bought, and the buyer sent on to the frontend: the claim."""
    await alibaba_bought(api, instance=instance)
    return claim_of(await alibaba_lands(api, instance))


async def landed_again(api: Api, *, later: int = 1) -> str:
    """Another link of the same purchase: each has a time of its own."""
    return claim_of(await alibaba_lands(api, "122000001", skew=timedelta(seconds=later)))


async def view(api: Api, token: str) -> httpx.Response:
    return await api.client.get(f"/v1/marketplace-claims/{token}")


async def owned(api: Api, holder: Holder) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await get(api, holder, "/cloud-accounts"))["items"]
    return items


async def told(api: Api) -> list[str]:
    """The types of all events about cloud accounts."""
    await spread(api)
    kinds = [one["type"].removeprefix("com.guance.") for one in await feed(await client(api))]
    return [kind for kind in kinds if kind.startswith("cloud_account.")]


# --- Looking --------------------------------------------------------------------------------------------------------


async def test_a_claim_shows_what_was_bought_without_a_login_and_the_number_masked(api: Api) -> None:
    with frozen():
        token = await brought(api)
        shown = await view(api, token)

    assert shown.status_code == 200
    body = shown.json()
    assert body.keys() == {"provider", "account_id", "status", "expires_at"}
    assert (body["provider"], body["account_id"], body["status"]) == ("alibaba", "********3456", "active")
    assert shown.headers["Cache-Control"] == "no-store"
    assert "122000001" not in shown.text


@pytest.mark.parametrize(
    "token", ["x" * 43, "A-_" * 14 + "A", "0" * 20, "z" * 200], ids=["x", "mixed", "short", "long"]
)
async def test_a_token_that_nobody_was_given_is_gone(api: Api, token: str) -> None:
    holder = await api.register()

    assert refusal(await view(api, token)) == (410, "claim_gone")
    assert refusal(await accept(api, holder, token)) == (410, "claim_gone")


@pytest.mark.parametrize("token", ["short", "z" * 201, "%00" * 20, "not a token at all, is it", "é" * 20])
async def test_what_is_no_token_is_refused_before_anything_is_looked_up(api: Api, token: str) -> None:
    holder = await api.register()

    for answer in (await view(api, token), await accept(api, holder, token)):
        assert refusal(answer) == (422, "validation_failed")


# --- Taking ---------------------------------------------------------------------------------------------------------


async def test_a_holder_takes_it_and_is_told_once_by_message_event_and_trail(api: Api) -> None:
    holder, token = await api.register(), await brought(api)

    taken = await accept(api, holder, token)

    (mine,) = await owned(api, holder)
    assert taken.json() == {"account_id": holder.account_id, "cloud_account_id": mine["id"]}
    assert (mine["status"], mine["account_id"], mine["instance_id"]) == ("active", "********3456", "122000001")
    (message,) = await api.messages(holder.email, "cloud_account_added")
    assert message.params == {"username": holder.username, "provider": "alibaba", "number": "********3456"}
    assert await told(api) == ["cloud_account.activated"]
    trail = (await get(api, holder, "/activity"))["items"]
    added = [one for one in trail if one["action"] == "cloud_account.added"]
    assert [(one["new_value"], one["session_id"]) for one in added] == [(mine["id"], holder.session_id)]


async def test_taking_it_again_is_answered_alike_and_told_to_nobody(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    other_session = await api.log_in(holder)

    answers = [await accept(api, one, token) for one in (holder, holder, other_session)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert len(await api.messages(holder.email, "cloud_account_added")) == 1
    assert await told(api) == ["cloud_account.activated"]


async def test_what_one_account_took_no_other_gets_by_the_same_claim(api: Api) -> None:
    first, second, token = await api.register(), await api.register(), await brought(api)
    await accept(api, first, token)

    assert refusal(await accept(api, second, token)) == (410, "claim_gone")
    assert refusal(await view(api, token)) == (410, "claim_gone")
    assert await owned(api, second) == []
    assert await api.messages(second.email, "cloud_account_added") == []


async def test_a_purchase_that_belongs_to_another_account_stays_there_however_often_somebody_lands(api: Api) -> None:
    first, second = await api.register(), await api.register()
    await alibaba_account(api, first)

    token = await landed_again(api)

    assert (await view(api, token)).status_code == 200
    assert refusal(await accept(api, second, token)) == (409, "cloud_account_taken")
    assert (await accept(api, first, token)).status_code == 200
    assert [len(await owned(api, one)) for one in (first, second)] == [1, 0]


async def test_taking_it_uses_up_every_other_claim_to_the_same_purchase_and_none_to_another(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    first = await brought(api)
    second = await landed_again(api)
    elsewhere = await brought(api, instance="122000002")

    await accept(api, holder, second)

    assert refusal(await view(api, first)) == (410, "claim_gone")
    assert refusal(await accept(api, other, first)) == (410, "claim_gone")
    assert (await accept(api, holder, first)).json()["cloud_account_id"] == (await owned(api, holder))[0]["id"]
    assert (await accept(api, other, elsewhere)).status_code == 200


async def test_typing_what_was_bought_uses_up_its_claims_too(api: Api) -> None:
    holder, other, token = await api.register(), await api.register(), await brought(api)

    assert (await typed(api, holder, instance="122000001")).status_code == 201

    assert refusal(await view(api, token)) == (410, "claim_gone")
    assert refusal(await accept(api, other, token)) == (410, "claim_gone")


async def test_who_lost_the_claim_lands_again(api: Api) -> None:
    holder, lost = await api.register(), await brought(api)

    found = await landed_again(api)

    assert found != lost
    assert (await accept(api, holder, found)).status_code == 200


async def test_a_customer_without_an_account_registers_and_takes_it(api: Api) -> None:
    token = await brought(api)

    holder = await api.register(password=None)

    assert (await accept(api, holder, token)).status_code == 200
    assert [one["status"] for one in await owned(api, holder)] == ["active"]


@pytest.mark.settings(**MARKETPLACES, marketplace_claim_hours=2)
async def test_a_claim_is_good_for_the_hours_that_the_setting_says_to_the_second(api: Api) -> None:
    holder, owner = await api.register(), await api.register()
    with frozen() as clock:
        token = await brought(api)
        ends = (await view(api, token)).json()["expires_at"]
        other = await brought(api, instance="122000002")
        assert (await accept(api, owner, other)).status_code == 200
        clock.shift(2 * 3600 - 1)
        holder, owner = await renewed(api, holder), await renewed(api, owner)
        assert (await view(api, token)).status_code == 200
        assert (await accept(api, owner, other)).status_code == 200
        clock.shift(1)
        late = [await view(api, token), await accept(api, holder, token), await accept(api, owner, other)]
        assert [refusal(answer) for answer in late] == [(410, "claim_gone")] * 3
        assert await owned(api, holder) == []
        moment = (await view(api, await landed_again(api))).json()["expires_at"]

    assert ends < moment


# --- Who may not ----------------------------------------------------------------------------------------------------


async def test_without_a_login_nothing_is_taken(api: Api) -> None:
    token = await brought(api)

    answer = await api.client.post(f"/v1/marketplace-claims/{token}/accept")

    assert refusal(answer) == (401, "unauthenticated")
    assert (await view(api, token)).status_code == 200


async def test_an_ended_session_takes_nothing(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    await api.client.delete("/v1/sessions/current", headers=holder.auth)

    assert refusal(await accept(api, holder, token)) == (401, "session_ended")
    assert refusal(await accept(api, holder, "x" * 43)) == (401, "session_ended")  # nor does it learn anything
    assert (await view(api, token)).status_code == 200


async def test_a_suspended_account_takes_nothing(api: Api) -> None:
    holder, token, desk = await api.register(), await brought(api), await client(api)
    body = {"status": "suspended"}
    assert (await desk.put(f"/accounts/{holder.account_id}/status", body, headers=staff())).status_code == 200

    assert refusal(await accept(api, holder, token)) == (401, "session_ended")
    assert (await view(api, token)).status_code == 200


async def test_a_closed_account_takes_nothing_and_what_it_had_is_nobody_elses(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    await accept(api, holder, await brought(api))
    token = await brought(api, instance="122000002")
    assert (await api.client.post("/v1/account/closure", headers=holder.auth)).status_code == 204

    assert refusal(await accept(api, holder, token)) == (401, "session_ended")
    assert refusal(await accept(api, other, await landed_again(api))) == (409, "cloud_account_taken")
    assert (await accept(api, other, token)).status_code == 200


# --- What was bought ------------------------------------------------------------------------------------------------


async def test_what_has_ended_can_still_be_taken_and_pays_for_nothing(api: Api) -> None:
    """It is the buyer's; whoever subscribes again may get the same one back."""
    holder, service = await api.register(), await client(api)
    token = await brought(api)
    await alibaba(api, "releaseInstance", instanceId="122000001", isRefund="false")

    assert (await view(api, token)).json()["status"] == "ended"
    taken = await accept(api, holder, token)

    assert [one["status"] for one in await owned(api, holder)] == ["ended"]
    assert await told(api) == ["cloud_account.closed"]
    home = await workspace(service, holder)
    answer = await bind(api, holder, taken.json()["cloud_account_id"], home)
    assert refused(answer) == {home: ["cloud_account_not_active"]}


async def test_a_frozen_one_is_taken_frozen_and_works_when_it_is_paid(api: Api) -> None:
    holder, token = await api.register(), await brought(api)
    await alibaba(api, "expiredInstance", instanceId="122000001")

    await accept(api, holder, token)
    before = [one["status"] for one in await owned(api, holder)]
    await alibaba(api, "renewInstance", instanceId="122000001", orderId="2", expiredOn="2030-01-01 00:00:00")

    assert before == ["frozen"]
    assert [one["status"] for one in await owned(api, holder)] == ["active"]
    assert await told(api) == ["cloud_account.frozen", "cloud_account.unfrozen"]


async def test_what_has_not_begun_yet_can_be_taken_and_is_told_of_when_it_begins(api: Api) -> None:
    """On AWS the buyer may come before AWS's word that the licence holds."""
    holder, purchase = await api.register(), Purchase()
    with metering() as aws:
        aws.knows("registration-token", purchase.resolved)
        token = claim_of(await lands(api, "registration-token"))

    assert (await view(api, token)).json()["status"] == "pending"
    await accept(api, holder, token)
    assert [one["status"] for one in await owned(api, holder)] == ["pending"]
    assert await told(api) == []
    await sends(api, purchase.updated())
    assert [one["status"] for one in await owned(api, holder)] == ["active"]
    assert await told(api) == ["cloud_account.activated"]
    assert len(await api.messages(holder.email, "cloud_account_added")) == 1


@locking
async def test_taking_a_new_subscription_of_the_same_buyer_unlocks_what_the_old_one_had_locked(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    home, other = [await workspace(service, holder, name=name) for name in ("Home", "Other")]
    first = await alibaba_account(api, holder)
    assert (await bind(api, holder, first, home, other)).status_code == 200
    await alibaba(api, "releaseInstance", instanceId="122000001", isRefund="false")
    assert (await settled(api, holder, home))["lock_ends_at"] is not None
    token = await brought(api, instance="122000002")
    assert (await settled(api, holder, home))["lock_ends_at"] is not None  # whose it is, nobody knows yet

    await accept(api, holder, token)

    for one in (home, other):
        shown = await settled(api, holder, one)
        assert (shown["method"], shown["lock_ends_at"]) == ("billing_center", None)
        assert [record["cause"] for record in await history(api, holder, one)][-1] == "resubscribed"


@locking
async def test_somebody_elses_subscription_unlocks_nothing(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    home = await workspace(service, holder)
    assert (await bind(api, holder, await alibaba_account(api, holder), home)).status_code == 200
    await alibaba(api, "releaseInstance", instanceId="122000001", isRefund="false")
    await alibaba_bought(api, uid="6543210987654321", instance="122000002")

    await accept(api, holder, claim_of(await alibaba_lands(api, "122000002")))

    assert (await settled(api, holder, home))["lock_ends_at"] is not None
