"""Cloud accounts as their holder sees them: typed pairs that are proven or not, guesses, retries, lists and pages."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
import respx

from tests.support.api import Api, Holder, frozen, refusal
from tests.support.clouds import (
    ASKED,
    HUAWEI_BUYER,
    HUAWEI_INSTANCE,
    MARKETPLACES,
    alibaba,
    alibaba_account,
    alibaba_bought,
    alibaba_says,
    bind,
    get,
    huawei_buys,
    huawei_says,
    rows,
    typed,
    workspace,
)
from tests.support.services import client, feed

PATH = "/v1/account/cloud-accounts"
INSTANCE = "122000001"
TAKEN = ("cloud_accounts", "events", "outbox_messages", "activity")
unasked: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES)
asked: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES, **ASKED)
few: pytest.MarkDecorator = pytest.mark.settings(**MARKETPLACES, access_token_seconds=10**8)


def alike(answer: httpx.Response) -> dict[str, Any]:
    """What does not differ between two answers that say the same."""
    assert answer.headers["content-type"] == "application/problem+json"
    return {name: value for name, value in answer.json().items() if name != "trace_id"} | {"": answer.status_code}


# Typed pairs


@unasked
async def test_a_typed_pair_is_the_holders_with_its_number_masked(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    await alibaba_bought(api)

    answer = await typed(api, holder, instance=INSTANCE)

    assert answer.status_code == 201, answer.text
    own = answer.json()
    assert own["id"].startswith("clda_")
    assert {name: own[name] for name in ("provider", "account_id", "instance_id", "status", "workspaces")} == {
        "provider": "alibaba",
        "account_id": "********3456",
        "instance_id": INSTANCE,
        "status": "active",
        "workspaces": [],
    }
    assert own["claimed_at"] >= own["since"]
    assert await get(api, holder, f"/cloud-accounts/{own['id']}") == own
    (message,) = await api.messages(holder.email, "cloud_account_added")
    assert message.params["number"] == "********3456"
    told = (await feed(service))[-1]
    assert (told["type"], told["data"]["cloud_account_id"]) == ("cloud_account.activated", own["id"])
    assert "1234567890123456" not in str(told)


@unasked
async def test_the_same_pair_again_changes_nothing(api: Api) -> None:
    holder = await api.register()
    cloud_account = await alibaba_account(api, holder)
    before = await rows(api, *TAKEN)
    again = await typed(api, holder, instance=INSTANCE)
    assert (again.status_code, again.json()["id"]) == (201, cloud_account)
    assert await rows(api, *TAKEN) == before


@asked
@respx.mock
@pytest.mark.parametrize("provider", ["alibaba", "huawei"])
async def test_an_unknown_instance_and_a_wrong_number_are_answered_alike(api: Api, provider: str) -> None:
    holder = await api.register()
    respx.post(host="market.aliyuncs.com").respond(404, json={"Code": "InstanceNotFound"})
    huawei_says()
    await alibaba_bought(api)
    await huawei_buys(api)
    instance, number = {"alibaba": (INSTANCE, "1234567890123456"), "huawei": (HUAWEI_INSTANCE, HUAWEI_BUYER)}[provider]

    wrong = await typed(api, holder, provider=provider, number="9" * len(number), instance=instance)
    unknown = await typed(api, holder, provider=provider, number=number, instance="never-bought")

    assert alike(wrong) == alike(unknown)
    assert refusal(wrong) == (409, "cloud_account_unproven")
    assert (await typed(api, holder, provider=provider, number=number, instance=instance)).status_code == 201


@unasked
@pytest.mark.parametrize("provider", ["alibaba", "huawei"])
async def test_where_nobody_can_be_asked_what_no_message_told_of_is_unproven(api: Api, provider: str) -> None:
    holder = await api.register()
    assert refusal(await typed(api, holder, provider=provider, instance="1")) == (409, "cloud_account_unproven")


@unasked
async def test_a_pair_that_another_account_has_is_taken(api: Api) -> None:
    first, second = await api.register(), await api.register()
    cloud_account = await alibaba_account(api, first)
    before = await rows(api, *TAKEN)
    assert refusal(await typed(api, second, instance=INSTANCE)) == (409, "cloud_account_taken")
    assert await rows(api, *TAKEN) == before
    assert (await get(api, second, "/cloud-accounts"))["items"] == []
    answer = await api.client.get(f"{PATH}/{cloud_account}", headers=second.auth)
    assert refusal(answer) == (404, "not_found")
    assert refusal(await bind(api, second, cloud_account, "wksp_any")) == (404, "not_found")


@unasked
async def test_what_has_ended_cannot_be_added(api: Api) -> None:
    holder = await api.register()
    await alibaba_bought(api)
    await alibaba(api, "releaseInstance", instanceId=INSTANCE, isRefund="false")
    assert refusal(await typed(api, holder, instance=INSTANCE)) == (409, "cloud_account_ended")
    assert refusal(await typed(api, holder, number="9" * 16, instance=INSTANCE)) == (409, "cloud_account_unproven")


@unasked
async def test_what_is_frozen_can_be_added_and_pays_when_it_is_active_again(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    await alibaba_bought(api)
    await alibaba(api, "expiredInstance", instanceId=INSTANCE)
    own = (await typed(api, holder, instance=INSTANCE)).json()
    assert own["status"] == "frozen"
    assert (await feed(service))[-1]["type"] == "cloud_account.frozen"
    one = await workspace(service, holder)
    assert (await bind(api, holder, own["id"], one)).status_code == 409
    await alibaba(api, "renewInstance", instanceId=INSTANCE, orderId="2")
    assert (await bind(api, holder, own["id"], one)).status_code == 200


@unasked
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"provider": "aws"}, "/provider"),
        ({"provider": "tencent"}, "/provider"),
        ({"account_id": ""}, "/account_id"),
        ({"account_id": "1 2"}, "/account_id"),
        ({"instance_id": "x" * 65}, "/instance_id"),
        ({"instance_id": None}, "/instance_id"),
        ({"status": "active"}, "/status"),
    ],
)
async def test_what_cannot_be_a_pair_is_invalid_and_costs_nothing(api: Api, body: dict[str, Any], pointer: str) -> None:
    holder = await api.register()
    given = {"provider": "alibaba", "account_id": "1", "instance_id": "1"} | body
    answer = await api.client.post(PATH, json=given, headers=holder.auth)
    assert answer.status_code == 422, answer.text
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
    assert (await rows(api, "cloud_accounts"))["cloud_accounts"] == 0


# Proven by the provider


@asked
@respx.mock
@pytest.mark.parametrize(("word", "status"), [("OPENED", "active"), ("EXPIRED", "frozen"), ("OPENING", "pending")])
async def test_a_pair_that_no_message_told_of_is_proven_by_two_questions(api: Api, word: str, status: str) -> None:
    holder = await api.register()
    instance, order = alibaba_says(word)

    own = await typed(api, holder, instance=INSTANCE)

    assert (own.status_code, own.json()["status"]) == (201, status)
    assert instance.calls.last.request.url.params["InstanceId"] == INSTANCE
    assert order.calls.last.request.url.params["OrderId"] == f"order{INSTANCE}"
    await alibaba_bought(api)  # the message comes after all: it is the same one
    (only,) = (await get(api, holder, "/cloud-accounts"))["items"]
    assert (only["id"], only["status"]) == (own.json()["id"], "active")
    assert (instance.call_count, order.call_count) == (1, 1)


@asked
@respx.mock
async def test_a_pair_of_which_the_provider_names_another_buyer_is_unproven(api: Api) -> None:
    holder, buyer = await api.register(), await api.register()
    alibaba_says(uid="6543210987654321")
    for _ in range(2):
        assert refusal(await typed(api, holder, instance=INSTANCE)) == (409, "cloud_account_unproven")
    assert (await get(api, holder, "/cloud-accounts"))["items"] == []
    own = await typed(api, buyer, number="6543210987654321", instance=INSTANCE)
    assert (own.status_code, own.json()["account_id"]) == (201, "********4321")


@asked
@respx.mock
async def test_a_pair_that_has_ended_by_the_providers_word_cannot_be_added(api: Api) -> None:
    holder = await api.register()
    alibaba_says("CLOSED")
    assert refusal(await typed(api, holder, instance=INSTANCE)) == (409, "cloud_account_ended")


@asked
@respx.mock
async def test_while_the_provider_is_silent_nothing_is_proven_and_it_may_be_tried_again(api: Api) -> None:
    holder = await api.register()
    instance, _ = alibaba_says()
    answering = instance.return_value
    instance.mock(side_effect=httpx.ReadTimeout)

    silent = await typed(api, holder, instance=INSTANCE)

    assert refusal(silent) == (503, "marketplace_unavailable")
    assert int(silent.headers["retry-after"]) > 0
    assert (await rows(api, "cloud_accounts"))["cloud_accounts"] == 0
    instance.mock(return_value=answering, side_effect=None)
    assert (await typed(api, holder, instance=INSTANCE)).status_code == 201


# Guessing


@few
async def test_twenty_wrong_guesses_a_day_are_enough_and_right_ones_cost_nothing(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    with frozen() as clock:
        await alibaba_bought(api)
        for _ in range(19):
            assert (await typed(api, holder, number="9", instance=INSTANCE)).status_code == 409
            assert (await typed(api, holder, instance=INSTANCE)).status_code == 201
        assert (await typed(api, holder, number="9", instance=INSTANCE)).status_code == 409

        for number in ("9", "1234567890123456"):  # now a right one is as good as a wrong one
            answer = await typed(api, holder, number=number, instance=INSTANCE)
            assert refusal(answer) == (429, "too_many_tries")

        wait = int(answer.headers["retry-after"])
        assert 3600 < wait <= 86_400
        assert answer.headers["ratelimit-policy"].startswith('"typed-instances";q=20;w=86400')
        assert (await typed(api, other, number="9", instance=INSTANCE)).status_code == 409
        clock.shift(timedelta(seconds=wait))
        assert (await typed(api, holder, instance=INSTANCE)).status_code == 201


# Retries, lists and pages


@unasked
async def test_a_retry_with_its_key_gets_the_same_answer(api: Api) -> None:
    holder = await api.register()
    await alibaba_bought(api)
    headers = {**holder.auth, "Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
    body = {"provider": "alibaba", "account_id": "1234567890123456", "instance_id": INSTANCE}

    first = await api.client.post(PATH, json=body, headers=headers)
    await alibaba(api, "expiredInstance", instanceId=INSTANCE)
    again = await api.client.post(PATH, json=body, headers=headers)
    another = await api.client.post(PATH, json={**body, "instance_id": "2"}, headers=headers)

    assert (first.status_code, first.json()["status"]) == (201, "active")
    assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (201, first.content, "true")
    assert another.status_code == 422


@unasked
async def test_cloud_accounts_are_listed_newest_first_with_their_workspaces_in_pages(api: Api) -> None:
    holder, other, service = await api.register(), await api.register(), await client(api)
    own = [await alibaba_account(api, holder, instance=f"12200000{number}") for number in range(5)]
    await alibaba_account(api, other, instance="122000009")
    some = sorted([await workspace(service, holder, name=name) for name in ("Staging", "Production", "Test")])
    assert (await bind(api, holder, own[1], *some)).status_code == 200
    dissolved = await service.call("DELETE", f"/workspaces/{some.pop()}")
    assert dissolved.is_success, dissolved.text

    pages, cursor = [], None
    while True:
        page = await get(api, holder, "/cloud-accounts", limit=2, **({"cursor": cursor} if cursor else {}))
        pages.append(page["items"])
        if (cursor := page["next_cursor"]) is None:
            break

    assert [[one["id"] for one in items] for items in pages] == [own[:2:-1], own[2:0:-1], own[:1]]
    bound = {one["id"]: [each["id"] for each in one["workspaces"]] for items in pages for one in items}
    assert bound == {one: some if one == own[1] else [] for one in own}
    assert (await get(api, holder, f"/cloud-accounts/{own[1]}"))["workspaces"] == pages[1][1]["workspaces"]


@unasked
async def test_only_who_is_logged_in_sees_or_adds_cloud_accounts(api: Api) -> None:
    holder = await api.register()
    cloud_account = await alibaba_account(api, holder)
    nobody = Holder("", "", "wrong", "", "", "", None)
    await api.client.delete("/v1/sessions/current", headers=holder.auth)
    for who in (nobody, holder):
        for url in (PATH, f"{PATH}/{cloud_account}"):
            assert (await api.client.get(url, headers=who.auth)).status_code == 401
        assert (await typed(api, who, instance=INSTANCE)).status_code == 401


@unasked
async def test_the_buyers_number_stands_in_no_event_no_trail_and_no_message(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    bound = await workspace(service, holder)
    cloud_account = await alibaba_account(api, holder)
    assert (await bind(api, holder, cloud_account, bound)).status_code == 200
    assert (await alibaba(api, "expiredInstance", instanceId="122000001")).json() == {"success": "true"}

    events = await feed(service)
    assert {"cloud_account.activated", "cloud_account.frozen"} <= {one["type"] for one in events}
    told = [json.dumps(one["data"]) for one in events]
    told += [json.dumps(one) for one in (await get(api, holder, "/activity", limit=100))["items"]]
    told += [json.dumps(dict(one.params)) for one in await api.deliver()]
    assert not [one for one in told if "1234567890123456" in one]
