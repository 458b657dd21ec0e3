"""Choosing how a workspace settles: what can be chosen, what is against the rest, and what a choice leaves behind."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from app.core import ids
from tests.support.api import Api, Holder, refusal
from tests.support.changes import execute
from tests.support.clouds import (
    ASKED,
    MARKETPLACES,
    alibaba,
    alibaba_account,
    bind,
    choose,
    get,
    history,
    huawei_account,
    huawei_tells,
    options,
    refused,
    rows,
    settled,
    workspace,
)
from tests.support.services import ServiceClient, client, feed, staff

pytestmark = pytest.mark.settings(
    **MARKETPLACES, **ASKED, access_token_seconds=10**8, session_idle_days=1000, session_max_days=1000
)
ZH = {"Accept-Language": "zh-CN"}
LEFT_BEHIND = ("settlements", "events", "outbox_messages", "activity")
BINDING = "/v1/account/cloud-accounts/{}/bindings"
MID_MONTH = datetime(2032, 11, 23, 4, tzinfo=UTC)
NEXT_MONTH = datetime(2032, 11, 30, 16, tzinfo=UTC)  # in Shanghai


async def arbitrary(service: ServiceClient, holder: Holder, *, enabled: bool = True) -> None:
    url = f"/accounts/{holder.account_id}/arbitrary-settlement"
    answer = await service.put(url, {"enabled": enabled}, headers=staff())
    assert answer.status_code == 200, answer.text


async def dissolve(service: ServiceClient, workspace_id: str) -> None:
    answer = await service.call("DELETE", f"/workspaces/{workspace_id}")
    assert answer.status_code == 204, answer.text


async def release(api: Api, instance: str = "122000001") -> None:
    answer = await alibaba(api, "releaseInstance", instanceId=instance)
    assert answer.json() == {"success": "true"}, answer.text


async def told(service: ServiceClient, workspace_id: str) -> list[tuple[str, Any]]:
    """Events of the workspace, in their order, each with its cause."""
    events = [one for one in await feed(service) if one["data"].get("workspace_id") == workspace_id]
    return [(one["type"].removeprefix("workspace."), one["data"].get("cause")) for one in events]


# --- What can be chosen ---------------------------------------------------------------------------------------------


async def test_options_are_the_billing_center_and_every_cloud_account_the_newest_first(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    workspace_id = await workspace(service, holder)
    first = await alibaba_account(api, holder, instance="122000001")
    second = await alibaba_account(api, holder, instance="122000002")

    shown = await get(api, holder, f"/workspaces/{workspace_id}/settlement-options")

    assert shown["workspace_id"] == workspace_id
    assert [one["cloud_account_id"] for one in shown["items"]] == [None, second, first]
    assert shown["items"][0] == {
        "method": "billing_center",
        "cloud_account_id": None,
        "provider": None,
        "account_id": None,
        "instance_id": None,
        "status": None,
        "current": True,
        "allowed": True,
        "reasons": [],
    }
    assert shown["items"][2] == {
        "method": "cloud_account",
        "cloud_account_id": first,
        "provider": "alibaba",
        "account_id": "********3456",
        "instance_id": "122000001",
        "status": "active",
        "current": False,
        "allowed": True,
        "reasons": [],
    }


async def test_options_tell_every_reason_in_the_readers_language(api: Api) -> None:
    with time_machine.travel(MID_MONTH, tick=False):
        holder, service = await api.register(), await client(api)
        workspace_id = await workspace(service, holder, site="cn4")
        frozen = await alibaba_account(api, holder)
        await alibaba(api, "expiredInstance", instanceId="122000001")
        current = await huawei_account(api, holder)
        assert (await choose(api, holder, workspace_id, current)).status_code == 200

        url = f"/v1/account/workspaces/{workspace_id}/settlement-options"
        answers = [await api.client.get(url, headers={**holder.auth, **asked}) for asked in ({}, ZH)]

    in_english, in_chinese = (
        {
            one["cloud_account_id"]: [tuple(reason.values()) for reason in one["reasons"]]
            for one in answer.json()["items"]
        }
        for answer in answers
    )
    month = "2032-11-30T16:00:00.000Z"
    assert in_chinese == {
        None: [
            ("stays_until_cloud_account_ends", None, "该工作空间正通过云账号结算，退订或释放该云账号后才能变更。"),
            ("changed_this_month", month, "该工作空间本月已变更过结算方式，每月仅可变更一次。"),
        ],
        frozen: [
            ("cloud_account_not_active", None, "该云账号在云厂商处未处于生效状态。"),
            ("cloud_of_another_site", None, "该工作空间所在站点不属于此云厂商。"),
            ("stays_until_cloud_account_ends", None, "该工作空间正通过云账号结算，退订或释放该云账号后才能变更。"),
            ("changed_this_month", month, "该工作空间本月已变更过结算方式，每月仅可变更一次。"),
        ],
        current: [],
    }
    assert [text for *_, text in in_english[None]] == [
        "The workspace settles by a cloud account until that has been unsubscribed or released.",
        "The settlement of the workspace was changed this month already; once a month is allowed.",
    ]
    assert [one["allowed"] for one in answers[0].json()["items"]] == [False, True, False]
    assert [one["current"] for one in answers[0].json()["items"]] == [False, True, False]


async def test_a_site_on_a_cloud_without_a_marketplace_settles_by_the_billing_center_alone(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    workspace_id = await workspace(service, holder, site="id1")
    cloud_account = await alibaba_account(api, holder)

    assert await options(api, holder, workspace_id) == {None: [], cloud_account: ["cloud_of_another_site"]}


async def test_a_dissolved_workspace_has_no_options_left_and_settles_no_more(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    workspace_id = await workspace(service, holder)
    cloud_account = await alibaba_account(api, holder)
    await dissolve(service, workspace_id)

    assert await options(api, holder, workspace_id) == {
        None: ["workspace_dissolved"],
        cloud_account: ["workspace_dissolved"],
    }
    assert refused(await choose(api, holder, workspace_id, None)) == {workspace_id: ["workspace_dissolved"]}


async def test_what_belongs_to_somebody_else_is_not_there(api: Api) -> None:
    holder, other, service = await api.register(), await api.register(), await client(api)
    own, foreign = await workspace(service, holder), await workspace(service, other)
    foreign_account = await alibaba_account(api, other)
    own_account = await alibaba_account(api, holder, instance="122000002")

    for answer in (
        await choose(api, holder, foreign, own_account),
        await choose(api, holder, own, foreign_account),
        await choose(api, holder, own, ids.show(ids.CLOUD_ACCOUNT, ids.new())),
        await bind(api, holder, foreign_account, own),
        await api.client.get(f"/v1/account/workspaces/{foreign}/settlement-options", headers=holder.auth),
        await api.client.get(f"/v1/account/workspaces/{foreign}/settlement-history", headers=holder.auth),
    ):
        assert refusal(answer) == (404, "not_found")
    assert [one["cause"] for one in await history(api, other, foreign)] == ["created"]


# --- A choice -------------------------------------------------------------------------------------------------------


async def test_a_choice_holds_at_once_and_is_told_once(api: Api) -> None:
    with time_machine.travel(MID_MONTH, tick=False) as clock:
        holder, service = await api.register(), await client(api)
        workspace_id = await workspace(service, holder)
        cloud_account = await alibaba_account(api, holder)
        clock.shift(60)

        answer = await choose(api, holder, workspace_id, cloud_account)

        assert answer.json() == {
            "workspace_id": workspace_id,
            "method": "cloud_account",
            "cloud_account_id": cloud_account,
            "effective_from": "2032-11-23T04:01:00.000Z",
        }
        assert await settled(api, holder, workspace_id) == {
            "id": workspace_id,
            "name": "Production",
            "site": "cn1",
            "method": "cloud_account",
            "cloud_account_id": cloud_account,
            "provider": "alibaba",
            "effective_from": "2032-11-23T04:01:00.000Z",
            "lock_ends_at": None,
        }
        (event,) = [one for one in await feed(service) if one["type"] == "workspace.settlement_changed"]
        assert (event["subject"], event["data"]) == (
            holder.account_id,
            {
                "account_id": holder.account_id,
                "workspace_id": workspace_id,
                "method": "cloud_account",
                "cloud_account_id": cloud_account,
                "effective_from": "2032-11-23T04:01:00.000Z",
                "cause": "chosen",
            },
        )
        line = (await get(api, holder, "/activity"))["items"][0]
        members = ("action", "actor", "session_id", "old_value", "new_value")
        assert tuple(line[name] for name in members) == (
            "workspace.settlement_changed",
            "holder",
            holder.session_id,
            f"{workspace_id} billing_center",
            f"{workspace_id} {cloud_account}",
        )
        (bound,) = (await get(api, holder, f"/cloud-accounts/{cloud_account}"))["workspaces"]
        assert bound["id"] == workspace_id


async def test_what_is_so_already_stays_so_changes_nothing_and_does_not_count_for_the_month(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    workspace_id = await workspace(service, holder)
    cloud_account = await alibaba_account(api, holder)
    for way in (None, cloud_account):
        before = await rows(api, *LEFT_BEHIND)
        first = await choose(api, holder, workspace_id, way)
        after = await rows(api, *LEFT_BEHIND)
        assert (before == after) is (way is None)

        again = await choose(api, holder, workspace_id, way)

        assert (again.status_code, again.json()) == (200, first.json())
        if way is not None:
            assert (await bind(api, holder, way, workspace_id)).status_code == 200
        assert await rows(api, *LEFT_BEHIND) == after


async def test_the_same_month_twice_is_refused_with_the_instant_at_which_it_ends(api: Api) -> None:
    """The cloud account has ended, so that nothing but the month is against it; the second is in the same place."""
    with time_machine.travel(MID_MONTH, tick=False) as clock:
        holder, service = await api.register(), await client(api)
        workspace_id = await workspace(service, holder)
        ended, other = [await alibaba_account(api, holder, instance=f"12200000{n}") for n in (1, 2)]
        assert (await choose(api, holder, workspace_id, ended)).status_code == 200
        clock.shift(60)
        await release(api)

        clock.move_to(NEXT_MONTH - timedelta(milliseconds=1))
        answer = await choose(api, holder, workspace_id, other)
        assert refused(answer) == {workspace_id: ["changed_this_month"]}
        assert answer.json()["refusals"][0]["reasons"][0]["until"] == "2032-11-30T16:00:00.000Z"
        assert (await choose(api, holder, workspace_id, None)).status_code == 200  # as it is

        clock.move_to(NEXT_MONTH)
        assert (await choose(api, holder, workspace_id, other)).status_code == 200


@pytest.mark.parametrize(
    ("zone", "begins"),
    [("Pacific/Pago_Pago", "2032-12-01T11:00:00.000Z"), ("Pacific/Kiritimati", "2032-11-30T10:00:00.000Z")],
)
async def test_the_month_is_that_of_the_accounts_time_zone(api: Api, zone: str, begins: str) -> None:
    with time_machine.travel(MID_MONTH, tick=False) as clock:
        holder, service = await api.register(), await client(api)
        await execute(api, "UPDATE accounts SET time_zone = :zone", zone=zone)
        workspace_id = await workspace(service, holder)
        cloud_account = await alibaba_account(api, holder)
        assert (await choose(api, holder, workspace_id, cloud_account)).status_code == 200
        await release(api)
        other = await alibaba_account(api, holder, instance="122000002")

        clock.move_to(datetime.fromisoformat(begins) - timedelta(milliseconds=1))
        shown = (await get(api, holder, f"/workspaces/{workspace_id}/settlement-options"))["items"][1]
        assert [(one["code"], one["until"]) for one in shown["reasons"]] == [("changed_this_month", begins)]

        clock.move_to(datetime.fromisoformat(begins))
        assert (await choose(api, holder, workspace_id, other)).status_code == 200


async def test_an_active_cloud_account_keeps_its_workspaces_even_from_another_of_the_same_provider(api: Api) -> None:
    with time_machine.travel(MID_MONTH, tick=False) as clock:
        holder, service = await api.register(), await client(api)
        workspace_id = await workspace(service, holder)
        current, other = [await alibaba_account(api, holder, instance=f"12200000{n}") for n in (1, 2)]
        assert (await choose(api, holder, workspace_id, current)).status_code == 200
        await arbitrary(service, holder)
        clock.move_to(NEXT_MONTH)

        for way in (None, other):
            assert refused(await choose(api, holder, workspace_id, way)) == {
                workspace_id: ["stays_until_cloud_account_ends"]
            }


# --- Several at once ------------------------------------------------------------------------------------------------


async def test_workspaces_of_several_sites_are_bound_at_once_in_the_order_asked_each_once(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    cloud_account = await alibaba_account(api, holder)
    asked = [await workspace(service, holder, site=site) for site in ("cn6", "cn1", "cn1")]

    answer = await bind(api, holder, cloud_account, asked[2], asked[0], asked[2], asked[1])

    assert [one["id"] for one in answer.json()["bindings"]] == [asked[2], asked[0], asked[1]]
    assert {one["cloud_account_id"] for one in answer.json()["bindings"]} == {cloud_account}
    for workspace_id in asked:
        assert await told(service, workspace_id) == [("settlement_changed", "chosen")]
    shown = await get(api, holder, f"/cloud-accounts/{cloud_account}")
    assert sorted(one["id"] for one in shown["workspaces"]) == sorted(asked)


async def test_all_are_bound_or_none_and_each_that_cannot_be_is_explained(api: Api) -> None:
    holder, other, service = await api.register(), await api.register(), await client(api)
    cloud_account = await alibaba_account(api, holder)
    fine, dissolved = await workspace(service, holder), await workspace(service, holder)
    await dissolve(service, dissolved)
    elsewhere, foreign = await workspace(service, holder, site="us1"), await workspace(service, other)
    before = await rows(api, *LEFT_BEHIND)
    body = {"workspace_ids": [foreign, fine, elsewhere, "wksp_nobodys", dissolved]}

    answer = await api.client.post(BINDING.format(cloud_account), json=body, headers={**holder.auth, **ZH})

    assert refused(answer) == {
        foreign: ["workspace_unknown"],
        elsewhere: ["cloud_of_another_site"],
        "wksp_nobodys": ["workspace_unknown"],
        dissolved: ["workspace_dissolved"],
    }
    assert answer.json()["title"] == "无法变更结算方式"
    assert [one["reasons"][0]["text"] for one in answer.json()["refusals"]] == [
        "该账号下没有此工作空间。",
        "该工作空间所在站点不属于此云厂商。",
        "该账号下没有此工作空间。",
        "该工作空间已解散。",
    ]
    assert await rows(api, *LEFT_BEHIND) == before


async def test_a_cloud_account_that_is_not_active_takes_no_workspaces(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    workspace_id = await workspace(service, holder, site="cn4")
    cloud_account = await huawei_account(api, holder)

    await huawei_tells(api, "updateInstanceStatus", status="FREEZE")
    assert refused(await bind(api, holder, cloud_account, workspace_id)) == {workspace_id: ["cloud_account_not_active"]}
    await huawei_tells(api, "releaseInstance")
    assert refused(await bind(api, holder, cloud_account, workspace_id)) == {workspace_id: ["cloud_account_not_active"]}


async def test_of_what_is_bound_already_and_what_is_not_only_the_latter_changes(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    cloud_account = await alibaba_account(api, holder)
    bound, free = await workspace(service, holder), await workspace(service, holder)
    assert (await bind(api, holder, cloud_account, bound)).status_code == 200

    assert (await bind(api, holder, cloud_account, bound, free)).status_code == 200

    for workspace_id in (bound, free):
        assert [one["cause"] for one in await history(api, holder, workspace_id)] == ["created", "chosen"]
        assert await told(service, workspace_id) == [("settlement_changed", "chosen")]


# --- Arbitrary settlement -------------------------------------------------------------------------------------------


async def test_staff_may_let_an_account_settle_any_site_by_any_cloud(api: Api) -> None:
    holder, other, service = await api.register(), await api.register(), await client(api)
    cloud_account = await alibaba_account(api, holder)
    on_aws, on_tencent = [await workspace(service, holder, site=site) for site in ("us1", "id1")]
    foreign = await alibaba_account(api, other, instance="122000002")
    elsewhere = await workspace(service, other, site="us1")

    await arbitrary(service, holder)

    assert await options(api, holder, on_aws) == {None: [], cloud_account: []}
    assert (await bind(api, holder, cloud_account, on_aws, on_tencent)).status_code == 200
    assert await options(api, other, elsewhere) == {None: [], foreign: ["cloud_of_another_site"]}


async def test_what_was_bound_stays_bound_when_staff_switch_it_off(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    cloud_account = await alibaba_account(api, holder)
    bound, free = [await workspace(service, holder, site="us1") for _ in range(2)]
    await arbitrary(service, holder)
    assert (await bind(api, holder, cloud_account, bound)).status_code == 200

    await arbitrary(service, holder, enabled=False)

    assert (await settled(api, holder, bound))["cloud_account_id"] == cloud_account
    assert (await options(api, holder, bound))[cloud_account] == []
    assert (await options(api, holder, free))[cloud_account] == ["cloud_of_another_site"]
