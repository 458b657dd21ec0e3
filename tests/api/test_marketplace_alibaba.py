"""Alibaba Cloud's marketplace through the whole service: buying, arrears, paying, the same words again, the end."""

from typing import Any

import httpx
import pytest
import respx

from app.notifiers.templates import render
from tests.support.api import Api, Holder, refusal
from tests.support.clouds import (
    ASKED,
    MARKETPLACES,
    alibaba,
    alibaba_account,
    alibaba_bought,
    alibaba_says,
    bind,
    get,
    history,
    paid_by,
    rows,
    settled,
    typed,
    workspace,
)
from tests.support.services import ServiceClient, client, feed, staff

INSTANCE = "122000001"
DONE, NOT_DONE = {"success": "true"}, {"success": "false", "message": "not applied"}
# What a change would show in.
STATE = ("cloud_accounts", "cloud_account_keys", "settlements", "events", "outbox_messages", "activity")
unasked: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES)
asked: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES, **ASKED)


async def says(api: Api, action: str, **params: str) -> dict[str, Any]:
    """A call about the instance, and the answer."""
    answer = await alibaba(api, action, instanceId=INSTANCE, **params)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def renews(api: Api, order: str = "2") -> dict[str, Any]:
    return await says(api, "renewInstance", orderId=order, expiredOn="2027-01-01 00:00:00")


async def status(api: Api, holder: Holder) -> str:
    (only,) = (await get(api, holder, "/cloud-accounts"))["items"]
    return str(only["status"])


async def notices(service: ServiceClient, **params: str) -> list[dict[str, Any]]:
    """What is kept, the newest first."""
    answer = await service.get("/marketplace/notices", **params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def once_in_arrears(api: Api, holder: Holder, service: ServiceClient) -> str:
    """The cloud account was frozen and paid again; a workspace that settles by it."""
    cloud_account = await alibaba_account(api, holder)
    assert await says(api, "expiredInstance") == DONE
    assert await renews(api) == DONE
    return await bound(api, holder, service, cloud_account)


async def bound(api: Api, holder: Holder, service: ServiceClient, cloud_account: str) -> str:
    one = await workspace(service, holder)
    assert (await bind(api, holder, cloud_account, one)).status_code == 200
    return one


# From buying to the end


@unasked
async def test_arrears_give_the_workspaces_back_to_the_billing_center_and_its_holder_is_told(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    cloud_account = await alibaba_account(api, holder)
    one = await bound(api, holder, service, cloud_account)
    paid = await paid_by(service, one)
    assert (paid["method"], paid["provider"], paid["cloud_account"]["account_id"]) == (
        "cloud_account",
        "alibaba",
        "1234567890123456",
    )

    assert await says(api, "expiredInstance") == DONE

    assert await status(api, holder) == "frozen"
    assert (await settled(api, holder, one))["method"] == "billing_center"
    assert [span["cause"] for span in await history(api, holder, one)] == ["created", "chosen", "fell_back"]
    (message,) = await api.messages(holder.email, "workspaces_fell_back")
    assert message.params["number"] == "********3456"
    assert "Production" in message.params["workspaces"]
    assert "Alibaba Cloud" in render(message.template, "en", message.params).email
    types = [event["type"] for event in await feed(service)]
    assert types[-4:] == [
        "cloud_account.activated",
        "workspace.settlement_changed",
        "cloud_account.frozen",
        "workspace.settlement_changed",
    ]


@unasked
async def test_what_is_paid_again_is_active_and_takes_no_workspace_back_by_itself(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    one = await bound(api, holder, service, await alibaba_account(api, holder))
    await says(api, "expiredInstance")

    assert await renews(api) == DONE

    assert await status(api, holder) == "active"
    assert (await settled(api, holder, one))["method"] == "billing_center"
    assert (await feed(service))[-1]["type"] == "cloud_account.unfrozen"


@unasked
@pytest.mark.parametrize("frozen_before", [False, True])
async def test_what_was_released_has_ended_for_good(api: Api, frozen_before: bool) -> None:
    holder, service = await api.register(), await client(api)
    one = await bound(api, holder, service, await alibaba_account(api, holder))
    if frozen_before:
        await says(api, "expiredInstance")

    assert await says(api, "releaseInstance", isRefund="false", orderId=f"order{INSTANCE}") == DONE

    assert await status(api, holder) == "ended"
    assert (await settled(api, holder, one))["method"] == "billing_center"
    before = await rows(api, *STATE)
    assert await renews(api, "late") == DONE
    await alibaba_bought(api)  # says the same instance again
    assert await status(api, holder) == "ended"
    assert await rows(api, *STATE) == before


@unasked
async def test_a_purchase_told_of_behind_its_release_has_ended(api: Api) -> None:
    holder = await api.register()
    assert await says(api, "releaseInstance", isRefund="false") == NOT_DONE
    await alibaba_bought(api, instance=INSTANCE)
    assert await says(api, "releaseInstance", isRefund="false") == DONE
    answer = await typed(api, holder, instance=INSTANCE)
    assert refusal(answer) == (409, "cloud_account_ended")


@unasked
async def test_what_comes_before_its_purchase_waits_and_is_then_applied(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    assert await says(api, "upgradeInstance", skuId="bigger") == NOT_DONE
    assert [one["state"] for one in await notices(service)] == ["waiting"]

    await alibaba_account(api, holder)

    assert {(one["type"], one["state"]) for one in await notices(service)} == {
        ("createInstance", "applied"),
        ("upgradeInstance", "applied"),
    }
    assert await says(api, "upgradeInstance", skuId="bigger") == DONE


# The same words again


@asked
@respx.mock
async def test_arrears_in_the_same_words_are_news_when_the_provider_confirms_them(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    one = await once_in_arrears(api, holder, service)
    instance, _ = alibaba_says("EXPIRED")

    assert await says(api, "expiredInstance") == DONE

    assert await status(api, holder) == "frozen"
    assert (await settled(api, holder, one))["method"] == "billing_center"
    request = instance.calls.last.request
    assert request.url.params["InstanceId"] == INSTANCE
    assert request.headers["authorization"].startswith("ACS3-HMAC-SHA256 Credential=LTAIEXAMPLE,")
    assert [one["repeats"] for one in await notices(service, state="applied")] == [0, 0, 0, 0]
    assert await says(api, "expiredInstance") == DONE
    assert instance.call_count == 1  # a repeat is known without asking
    assert await renews(api, "3") == DONE
    assert await status(api, holder) == "active"


@asked
@respx.mock
@pytest.mark.parametrize("told", ["OPENED", "CLOSED", "SOMETHING_NEW"])
async def test_the_same_words_change_nothing_while_the_provider_says_otherwise(api: Api, told: str) -> None:
    """So a signed call that somebody kept is worth nothing after a renewal."""
    holder, service = await api.register(), await client(api)
    one = await once_in_arrears(api, holder, service)
    alibaba_says(told)
    before = await rows(api, *STATE)

    assert [await says(api, "expiredInstance") for _ in range(3)] == [NOT_DONE] * 3

    assert await rows(api, *STATE) == before
    assert await status(api, holder) == "active"
    assert (await settled(api, holder, one))["method"] == "cloud_account"
    (doubtful,) = await notices(service, state="doubtful")
    assert (doubtful["type"], doubtful["repeats"], doubtful["cloud_account_id"]) == ("expiredInstance", 2, None)
    alibaba_says("EXPIRED")  # by now it is so
    assert await says(api, "expiredInstance") == DONE
    assert await status(api, holder) == "frozen"
    assert await notices(service, state="doubtful") == []


@asked
@respx.mock
async def test_paying_in_the_same_words_again_is_confirmed_too(api: Api) -> None:
    holder = await api.register()
    await alibaba_account(api, holder)
    assert [await says(api, "expiredInstance"), await says(api, "resumeInstance")] == [DONE, DONE]
    alibaba_says("EXPIRED")
    assert await says(api, "expiredInstance") == DONE
    assert (await says(api, "resumeInstance"), await status(api, holder)) == (NOT_DONE, "frozen")
    alibaba_says("OPENED")
    assert (await says(api, "resumeInstance"), await status(api, holder)) == (DONE, "active")


@asked
@respx.mock
async def test_while_the_provider_does_not_answer_the_same_words_wait_for_staff(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    await once_in_arrears(api, holder, service)
    instance, _ = alibaba_says()
    instance.mock(side_effect=httpx.ConnectError)
    await asserted_by_staff(api, holder, service)


@unasked
async def test_where_the_provider_cannot_be_asked_the_same_words_wait_for_staff(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    await once_in_arrears(api, holder, service)
    await asserted_by_staff(api, holder, service)


async def asserted_by_staff(api: Api, holder: Holder, service: ServiceClient) -> None:
    """Doubtful and without effect, until staff says that it is news; the worker does not touch it."""
    assert await says(api, "expiredInstance") == NOT_DONE
    (doubtful,) = await notices(service, state="doubtful")
    await api.container.marketplace_worker.catch_up()
    assert await status(api, holder) == "active"
    url = f"/marketplace/notices/{doubtful['id']}/apply"
    assert (await service.post(url)).status_code == 422  # who, and why?

    applied = await service.post(url, headers=staff())

    assert applied.status_code == 200, applied.text
    assert (applied.json()["state"], applied.json()["repeats"]) == ("applied", 0)
    assert await status(api, holder) == "frozen"
    before = await rows(api, *STATE)
    assert (await service.post(url, headers=staff())).json()["state"] == "applied"
    assert await says(api, "expiredInstance") == DONE
    assert await rows(api, *STATE) == before


PARAMS = {
    "renewInstance": {"orderId": "2", "expiredOn": "2027-01-01 00:00:00"},
    "releaseInstance": {"isRefund": "false"},
}


@unasked
@pytest.mark.parametrize(
    ("action", "times"),
    [("createInstance", 120), ("expiredInstance", 120), ("renewInstance", 5), ("releaseInstance", 5)],
)
async def test_a_message_that_comes_120_times_changes_one_row(api: Api, action: str, times: int) -> None:
    holder, service = await api.register(), await client(api)
    await bound(api, holder, service, await alibaba_account(api, holder))
    if action == "renewInstance":
        await says(api, "expiredInstance")

    async def call() -> Any:
        if action == "createInstance":
            return await alibaba_bought(api)
        return await says(api, action, **PARAMS.get(action, {}))

    first, state = await call(), await rows(api, "cloud_notices", *STATE)
    repeats = next(one["repeats"] for one in await notices(service) if one["type"] == action)

    assert [await call() for _ in range(times - 1)] == [first] * (times - 1)

    assert await rows(api, "cloud_notices", *STATE) == state
    (kept,) = [one for one in await notices(service) if one["type"] == action]
    assert (kept["repeats"], kept["state"]) == (repeats + times - 1, "applied")
