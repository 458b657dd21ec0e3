"""What marketplaces sent, as staff sees it: every message, whatever became of it, and what applying it again does."""

import logging
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from app.core import ids
from app.core.scopes import Scope
from app.models.cloud_accounts import CloudNotice
from tests.support.api import Api, Holder, refusal, running
from tests.support.clouds import (
    ALIBABA_KEY,
    EVENTS_SECRET,
    HUAWEI_KEY,
    MARKETPLACES,
    alibaba,
    alibaba_account,
    alibaba_bought,
    alibaba_token,
    aws_event,
    aws_sends,
    bind,
    get,
    huawei,
    settled,
    workspace,
)
from tests.support.services import ServiceClient, client, staff

pytestmark = pytest.mark.settings(**MARKETPLACES)
Json = dict[str, Any]
PATH = "/marketplace/notices"
UNKNOWN = "cldn_0193b5c27d3e7a41b4d2c9f1e8a60b57"


async def listed(desk: ServiceClient, **wanted: Any) -> list[Json]:
    """One page, the newest first."""
    answer = await desk.get(PATH, **wanted)
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


async def apply(desk: ServiceClient, notice: str, **headers: Any) -> httpx.Response:
    return await desk.post(f"{PATH}/{notice}/apply", headers={**staff(), **headers})


async def trail(desk: ServiceClient, holder: Holder) -> list[Json]:
    """What staff had applied again."""
    answer = await desk.get(f"/accounts/{holder.account_id}/activity", limit=100)
    return [one for one in answer.json()["items"] if one["action"] == "cloud_notice.reapplied"]


async def frozen_twice(api: Api) -> None:
    """Frozen and paid again; then the same words as the first time, which nobody can confirm."""
    await alibaba(api, "expiredInstance", instanceId="122000001")
    await alibaba(api, "renewInstance", instanceId="122000001", orderId="2", expiredOn="2030-01-01 00:00:00")
    await alibaba(api, "expiredInstance", instanceId="122000001")


async def one_of_each(api: Api) -> Json:
    """A message in every state that a caller can bring about; by state, the type of it."""
    await alibaba_bought(api)
    await frozen_twice(api)
    await alibaba(api, "releaseInstance", instanceId="999")
    await alibaba(api, "reticulateSplines", instanceId="122000001")
    await aws_sends(api, aws_event("License Updated - Manufacturer", licence="1" * 32, agreement="agmt-1"))
    # A second instance of the same order, by another buyer's account: it cannot be both.
    other = {"aliUid": "6543210987654321", "orderBizId": "122000002", "orderId": "order122000001"}
    answer = await alibaba(api, "createInstance", **other, productCode="cmgj00053362", skuId="x", trial="false")
    assert answer.json() == {"instanceId": "0"}
    return {"waiting": "releaseInstance", "ignored": "reticulateSplines", "doubtful": "expiredInstance"} | {
        "ambiguous": "createInstance"
    }


# --- Looking --------------------------------------------------------------------------------------------------------


async def test_each_message_is_shown_with_what_it_said_what_it_means_and_what_became_of_it(api: Api) -> None:
    holder, desk = await api.register(), await client(api, Scope.STAFF_MARKETPLACE)
    account = await alibaba_account(api, holder)
    await alibaba_bought(api)

    (one,) = await listed(desk)

    assert one["id"].startswith("cldn_")
    assert (one["provider"], one["channel"], one["type"]) == ("alibaba", "", "createInstance")
    assert (one["effect"], one["state"], one["cloud_account_id"], one["repeats"]) == (
        "activated",
        "applied",
        account,
        1,
    )
    assert one["body"]["aliUid"] == "1234567890123456"
    assert one["event_at"] <= one["created_at"] <= one["applied_at"]


async def test_messages_are_found_by_provider_state_and_cloud_account_and_by_all_of_them_at_once(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    expected = await one_of_each(api)
    account = await alibaba_account(api, holder, instance="122000009")

    for state, kind in expected.items():
        assert [(one["type"], one["state"]) for one in await listed(desk, state=state)] == [(kind, state)]
    assert {one["provider"] for one in await listed(desk, provider="aws")} == {"aws"}
    assert await listed(desk, provider="huawei") == []
    (bought,) = await listed(desk, cloud_account_id=account)
    assert bought["body"]["orderBizId"] == "122000009"
    assert await listed(desk, cloud_account_id=account, provider="aws") == []
    assert await listed(desk, cloud_account_id=account, state="applied", provider="alibaba") == [bought]
    assert await listed(desk, cloud_account_id="clda_0193b5c27d3e7a41b4d2c9f1e8a60b57") == []


async def test_pages_follow_one_another_newest_first_and_none_is_left_out_or_comes_twice(api: Api) -> None:
    desk = await client(api, Scope.STAFF_MARKETPLACE)
    for number in range(7):
        await alibaba_bought(api, instance=f"12200000{number}")
        await alibaba(api, "releaseInstance", instanceId=f"999{number}")

    seen: list[Json] = []
    cursor: str | None = None
    for expected in (3, 3, 1):
        wanted = {"state": "applied", "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await desk.get(PATH, **wanted)).json()
        assert len(page["items"]) == expected
        seen, cursor = seen + page["items"], page["next_cursor"]

    assert cursor is None
    assert [one["body"]["orderBizId"] for one in seen] == [f"12200000{number}" for number in reversed(range(7))]


@pytest.mark.parametrize(
    "wanted", [{"state": "lost"}, {"provider": "ALIBABA"}, {"provider": ""}, {"since": "2026-01-01"}], ids=str
)
async def test_a_wish_that_makes_no_sense_is_refused_rather_than_left_aside(api: Api, wanted: Json) -> None:
    desk = await client(api, Scope.STAFF_MARKETPLACE)

    answer = await desk.get(PATH, **wanted)

    assert refusal(answer) == (422, "validation_failed")
    assert refusal(await desk.get(PATH, cloud_account_id="1")) == (404, "not_found")  # no id can be so


async def test_no_secret_and_no_way_to_reach_the_buyer_is_in_any_body(api: Api) -> None:
    desk = await client(api, Scope.STAFF_MARKETPLACE)
    person = {"email": "li.lei@buyer.example", "mobile": "13800138000", "phone": "01088886666"}
    bought = {"aliUid": "1", "orderBizId": "77", "orderId": "7", "productCode": "p", "skuId": "s", "trial": "false"}
    await alibaba(api, "createInstance", **bought, **person)
    order: Json = {"orderId": "CS1", "orderLineId": "CS1-1", "businessId": "biz-1"}
    await huawei(api, "newInstance", **order, email="li.lei@buyer.example", mobilePhone="13800138000")
    await aws_sends(api, aws_event("License Updated - Manufacturer", licence="1" * 32, agreement="agmt-1"))

    answer = await desk.get(PATH)

    assert {one["provider"] for one in answer.json()["items"]} == {"alibaba", "aws", "huawei"}
    secrets = (ALIBABA_KEY, HUAWEI_KEY, EVENTS_SECRET, *person.values())
    token = alibaba_token({"action": "createInstance", **bought, **person})
    assert [one for one in (*secrets, token, "signature", "authorization") if one in answer.text] == []


# --- Who may --------------------------------------------------------------------------------------------------------


async def test_only_staff_of_marketplaces_may_look_and_apply(api: Api) -> None:
    others = await client(api, *(scope for scope in Scope if scope is not Scope.STAFF_MARKETPLACE))

    for answer in (await others.get(PATH), await apply(others, UNKNOWN)):
        assert refusal(answer) == (403, "insufficient_scope")
        assert answer.json()["scope"] == "staff:marketplace"


@pytest.mark.parametrize("left_out", ["X-Actor", "X-Reason"])
async def test_nothing_is_applied_without_who_and_why(api: Api, left_out: str) -> None:
    desk = await client(api, Scope.STAFF_MARKETPLACE)
    await alibaba(api, "releaseInstance", instanceId="999")
    (one,) = await listed(desk)
    headers = {name: value for name, value in staff().items() if name != left_out}

    answer = await desk.post(f"{PATH}/{one['id']}/apply", headers=headers)

    assert refusal(answer) == (422, "validation_failed")
    assert left_out.lower() in answer.text.lower()
    assert (await desk.get(PATH)).status_code == 200  # looking needs neither


async def test_a_message_that_there_is_not_is_not_found(api: Api) -> None:
    desk = await client(api, Scope.STAFF_MARKETPLACE)

    assert refusal(await apply(desk, UNKNOWN)) == (404, "not_found")


# --- Applying again -------------------------------------------------------------------------------------------------


async def test_applying_what_was_applied_changes_nothing_and_is_written_in_no_trail(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    account = await alibaba_account(api, holder)
    await alibaba(api, "expiredInstance", instanceId="122000001")
    before = (
        await listed(desk),
        await get(api, holder, f"/cloud-accounts/{account}"),
        await get(api, holder, "/activity"),
    )
    told = len(await api.deliver())

    answers = [await apply(desk, one["id"]) for one in before[0] for _ in range(2)]

    assert [answer.json() for answer in answers] == [one for one in before[0] for _ in range(2)]
    after = (
        await listed(desk),
        await get(api, holder, f"/cloud-accounts/{account}"),
        await get(api, holder, "/activity"),
    )
    assert after == before
    assert len(await api.deliver()) == told


async def test_a_doubtful_message_is_news_by_staffs_word_and_stands_in_the_accounts_trail(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    account = await alibaba_account(api, holder)
    home = await workspace(desk, holder)
    assert (await bind(api, holder, account, home)).status_code == 200
    await frozen_twice(api)
    (doubtful,) = await listed(desk, state="doubtful")
    assert (await get(api, holder, f"/cloud-accounts/{account}"))["status"] == "active"

    applied = await apply(desk, doubtful["id"])

    assert (applied.json()["state"], applied.json()["cloud_account_id"]) == ("applied", account)
    assert (await get(api, holder, f"/cloud-accounts/{account}"))["status"] == "frozen"
    assert (await settled(api, holder, home))["method"] == "billing_center"
    (line,) = await trail(desk, holder)
    assert (line["actor"], line["actor_name"], line["reason"]) == ("staff", "han.meimei", "Ticket 4711")
    assert (line["new_value"], line["client"] is not None) == (f"{account} {doubtful['id']}", True)
    mine = (await get(api, holder, "/activity"))["items"]
    assert "cloud_notice.reapplied" in [one["action"] for one in mine]


async def test_a_message_that_waits_waits_on_and_is_applied_once_its_subscription_is_known(api: Api) -> None:
    desk = await client(api, Scope.STAFF_MARKETPLACE)
    await alibaba(api, "expiredInstance", instanceId="122000001")
    (waiting,) = await listed(desk)

    still = await apply(desk, waiting["id"])
    await alibaba_bought(api)
    done = await apply(desk, waiting["id"])

    assert (still.json()["state"], still.json()["cloud_account_id"]) == ("waiting", None)
    assert done.json()["state"] == "applied"
    assert done.json()["cloud_account_id"] is not None


async def test_what_is_ambiguous_stays_so_however_often_it_is_applied(api: Api) -> None:
    desk = await client(api, Scope.STAFF_MARKETPLACE)
    await one_of_each(api)
    (one,) = await listed(desk, state="ambiguous")

    answer = await apply(desk, one["id"])

    assert answer.status_code == 200
    assert answer.json() == one


async def test_of_a_purchase_that_nobody_has_claimed_the_log_tells_who_applied_its_message_and_why(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    desk = await client(api, Scope.STAFF_MARKETPLACE)
    await alibaba_bought(api)
    await frozen_twice(api)
    (doubtful,) = await listed(desk, state="doubtful")

    with caplog.at_level(logging.INFO):
        assert (await apply(desk, doubtful["id"])).json()["state"] == "applied"

    lines: list[Any] = [one.msg for one in caplog.records if "marketplace_reapplied" in str(one.msg)]
    assert [(one["actor"], one["reason"], one["notice"]) for one in lines] == [
        ("han.meimei", "Ticket 4711", doubtful["id"])
    ]


async def test_under_one_idempotency_key_it_is_applied_once_and_answered_alike(api: Api) -> None:
    holder, desk = await api.register(), await client(api)
    await alibaba_account(api, holder)
    await frozen_twice(api)
    (doubtful,) = await listed(desk, state="doubtful")

    first, again = [await apply(desk, doubtful["id"], **{"Idempotency-Key": "once"}) for _ in range(2)]

    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(await trail(desk, holder)) == 1


@pytest.mark.parametrize("body", [{}, {"action": "expired & more"}, {"action": 7, "instanceId": "122000001"}], ids=str)
async def test_what_cannot_be_read_any_more_is_refused_and_stays_as_it_is(api: Api, body: Json) -> None:
    desk = await client(api, Scope.STAFF_MARKETPLACE)
    await alibaba(api, "expiredInstance", instanceId="122000001")
    (one,) = await listed(desk)
    async with api.container.engine.begin() as connection:
        its = CloudNotice.id == ids.read(ids.CLOUD_NOTICE, one["id"])
        await connection.execute(update(CloudNotice).where(its).values(body=body))

    assert refusal(await apply(desk, one["id"])) == (409, "notice_unreadable")
    assert await listed(desk) == [one | {"body": body}]


async def test_the_messages_of_a_provider_that_is_switched_off_are_shown_and_not_applied(api: Api) -> None:
    desk = await client(api, Scope.STAFF_MARKETPLACE)
    await alibaba(api, "expiredInstance", instanceId="122000001")
    (one,) = await listed(desk)

    async with running(api.settings.database_url.get_secret_value()) as without:
        desk.api = without
        assert refusal(await apply(desk, one["id"])) == (409, "notice_unreadable")
        assert await listed(desk) == [one]
