"""When a cloud account stops: its workspaces fall back or are locked, and all the ways out of a lock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from tests.support.api import Api, Holder
from tests.support.aws_marketplace import Purchase, lands, metering, sends
from tests.support.clouds import (
    ASKED,
    MARKETPLACES,
    accept,
    alibaba,
    alibaba_account,
    bind,
    choose,
    claim_of,
    get,
    history,
    huawei_account,
    huawei_tells,
    options,
    paid_by,
    refused,
    rows,
    settled,
    workspace,
)
from tests.support.services import ServiceClient, client, feed

SETTINGS: dict[str, Any] = {
    **MARKETPLACES,
    **ASKED,
    "access_token_seconds": 10**8,
    "session_idle_days": 1000,
    "session_max_days": 1000,
}
pytestmark = pytest.mark.settings(**SETTINGS)
BEGIN = datetime(2032, 11, 2, 4, tzinfo=UTC)
COUNTDOWN = timedelta(days=14)
INSTANCE = "122000001"
LEFT_BEHIND = ("settlements", "events", "outbox_messages", "activity")
BUYER, OTHER_BUYER = "459bbbec25d24749b2eb83be37b602a8", "0123456789abcdef0123456789abcdef"


def shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def told(service: ServiceClient) -> list[tuple[str, ...]]:
    """What the feed says of cloud accounts and workspaces, in its order: type, workspace, and cause."""
    return [
        (
            one["type"].partition(".")[2],
            *(one["data"][name] for name in ("workspace_id", "cause") if name in one["data"]),
        )
        for one in await feed(service)
        if one["type"].startswith(("cloud_account.", "workspace."))
    ]


async def causes(api: Api, holder: Holder, workspace_id: str) -> list[str]:
    return [one["cause"] for one in await history(api, holder, workspace_id)]


async def trail(api: Api, holder: Holder) -> list[tuple[str, str, str | None]]:
    """The newest first: what happened to workspaces, by whom, and what is so now."""
    items = (await get(api, holder, "/activity", limit=100))["items"]
    return [(one["action"], one["actor"], one["new_value"]) for one in items if one["action"].startswith("workspace.")]


async def stops(api: Api, provider: str) -> None:
    if provider == "alibaba":
        await alibaba(api, "releaseInstance", instanceId=INSTANCE)
    else:
        await huawei_tells(api, "releaseInstance")


async def locked(
    api: Api, service: ServiceClient, *, freeze: bool = False, sites: tuple[str, ...] = ("cn4",)
) -> tuple[Holder, str, list[str]]:
    """A holder, the cloud account, and its workspaces, which it locked a minute after they were bound."""
    holder = await api.register()
    workspaces = [await workspace(service, holder, site=site) for site in sites]
    cloud_account = await huawei_account(api, holder)
    assert (await bind(api, holder, cloud_account, *workspaces)).status_code == 200
    if freeze:
        await huawei_tells(api, "updateInstanceStatus", status="FREEZE")
    else:
        await huawei_tells(api, "releaseInstance")
    return holder, cloud_account, workspaces


# --- Falling back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "event"), [("releaseInstance", "closed"), ("expiredInstance", "frozen")])
async def test_workspaces_of_alibaba_cloud_fall_back_to_the_billing_center_once(
    api: Api, action: str, event: str
) -> None:
    holder, service = await api.register(), await client(api)
    first, second = sorted([await workspace(service, holder, name=name) for name in ("Production", "Staging")])
    cloud_account = await alibaba_account(api, holder)
    await bind(api, holder, cloud_account, first, second)

    for _ in range(3):  # the provider says everything more than once
        await alibaba(api, action, instanceId=INSTANCE)

    for workspace_id in (first, second):
        now = await settled(api, holder, workspace_id)
        assert (now["method"], now["cloud_account_id"], now["lock_ends_at"]) == ("billing_center", None, None)
        assert await causes(api, holder, workspace_id) == ["created", "chosen", "fell_back"]
    assert (await told(service))[3:] == [
        (event,),
        ("settlement_changed", first, "fell_back"),
        ("settlement_changed", second, "fell_back"),
    ]
    assert (await trail(api, holder))[:2] == [
        ("workspace.settlement_changed", "system", f"{one} billing_center") for one in (second, first)
    ]
    (message,) = await api.messages(holder.email, "workspaces_fell_back")
    names = message.params["workspaces"]
    assert sorted(names.split(", ")) == ["Production", "Staging"]
    assert message.params == {
        "username": holder.username,
        "provider": "alibaba",
        "number": "********3456",
        "workspaces": names,
    }


async def test_unfreezing_does_not_take_back_what_has_fallen_back(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    workspace_id = await workspace(service, holder)
    await bind(api, holder, await alibaba_account(api, holder), workspace_id)

    await alibaba(api, "expiredInstance", instanceId=INSTANCE)
    await alibaba(api, "renewInstance", instanceId=INSTANCE, orderId="2", expiredOn="2033-01-01 00:00:00")

    assert (await told(service))[-1] == ("unfrozen",)
    assert await causes(api, holder, workspace_id) == ["created", "chosen", "fell_back"]


# --- Locking --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freeze", [False, True], ids=["released", "frozen"])
async def test_workspaces_of_huawei_cloud_are_locked_with_a_countdown_of_14_days(api: Api, freeze: bool) -> None:
    with time_machine.travel(BEGIN, tick=False) as clock:
        service = await client(api)
        holder, cloud_account, workspaces = await locked(api, service, freeze=freeze, sites=("cn4", "za1"))
        ends = shown(BEGIN + COUNTDOWN)
        clock.shift(60)
        for _ in range(2):  # again, with signatures of their own
            if freeze:
                await huawei_tells(api, "updateInstanceStatus", status="FREEZE")
            else:
                await huawei_tells(api, "releaseInstance")
        first, second = sorted(workspaces)

        for workspace_id in workspaces:
            now = await settled(api, holder, workspace_id)
            assert (now["method"], now["cloud_account_id"], now["lock_ends_at"]) == (
                "cloud_account",
                cloud_account,
                ends,
            )
            paid = await paid_by(service, workspace_id)
            assert (paid["locked"], paid["cloud_account"]["id"]) == (True, cloud_account)
            assert await causes(api, holder, workspace_id) == ["created", "chosen", "locked"]
        assert (await told(service))[3:] == [
            ("frozen" if freeze else "closed",),
            ("lock_requested", first),
            ("lock_requested", second),
        ]
        event = (await feed(service))[-1]
        assert event["data"] == {
            "account_id": holder.account_id,
            "workspace_id": second,
            "cloud_account_id": cloud_account,
            "lock_ends_at": ends,
        }
        assert (await trail(api, holder))[:2] == [("workspace.locked", "system", one) for one in (second, first)]
        (message,) = await api.messages(holder.email, "workspaces_locked")
        assert (message.params["until"], message.params["provider"]) == ("2032-11-16 04:00 UTC", "huawei")
        assert message.params["workspaces"] == "Production, Production"


async def test_a_message_names_ten_workspaces_and_counts_the_rest(api: Api) -> None:
    service = await client(api)
    holder, _, _ = await locked(api, service, sites=("cn4",) * 12)

    (message,) = await api.messages(holder.email, "workspaces_locked")
    assert message.params["workspaces"] == ", ".join(["Production"] * 10) + " (+2)"
    assert len([one for one in await told(service) if one[0] == "lock_requested"]) == 12


async def test_an_end_after_a_freeze_gives_no_new_countdown(api: Api) -> None:
    with time_machine.travel(BEGIN, tick=False) as clock:
        service = await client(api)
        holder, _, (workspace_id,) = await locked(api, service, freeze=True)
        before = await rows(api, "settlements", "outbox_messages")
        clock.shift(timedelta(days=3))

        await huawei_tells(api, "releaseInstance")

        assert (await settled(api, holder, workspace_id))["lock_ends_at"] == shown(BEGIN + COUNTDOWN)
        assert await rows(api, "settlements", "outbox_messages") == before
        assert (await told(service))[-1] == ("closed",)


async def test_dissolved_workspaces_are_left_alone_and_nobody_is_told_of_them(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    gone = [await workspace(service, holder, site=site) for site in ("cn1", "cn4")]
    await bind(api, holder, await alibaba_account(api, holder), gone[0])
    await bind(api, holder, await huawei_account(api, holder), gone[1])
    for workspace_id in gone:
        await service.call("DELETE", f"/workspaces/{workspace_id}")
    before = await rows(api, "settlements", "outbox_messages")

    for provider in ("alibaba", "huawei"):
        await stops(api, provider)

    assert await rows(api, "settlements", "outbox_messages") == before
    assert [one[0] for one in await told(service)][-2:] == ["closed", "closed"]


# --- The policy is data ---------------------------------------------------------------------------------------------


@pytest.mark.settings(**SETTINGS, cloud_end_policies={"alibaba": "lock", "huawei": "fall_back"}, lock_days=3)
async def test_what_becomes_of_workspaces_is_set_for_each_provider_and_so_is_the_countdown(api: Api) -> None:
    with time_machine.travel(BEGIN, tick=False):
        holder, service = await api.register(), await client(api)
        on_alibaba, on_huawei = [await workspace(service, holder, site=site) for site in ("cn1", "cn4")]
        await bind(api, holder, await alibaba_account(api, holder), on_alibaba)
        await bind(api, holder, await huawei_account(api, holder), on_huawei)

        for provider in ("alibaba", "huawei"):
            await stops(api, provider)

        assert (await settled(api, holder, on_alibaba))["lock_ends_at"] == shown(BEGIN + timedelta(days=3))
        assert await causes(api, holder, on_huawei) == ["created", "chosen", "fell_back"]


@pytest.mark.settings(**SETTINGS, cloud_end_policies={})
async def test_a_provider_without_a_policy_locks(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    workspace_id = await workspace(service, holder)
    await bind(api, holder, await alibaba_account(api, holder), workspace_id)

    await stops(api, "alibaba")

    assert await causes(api, holder, workspace_id) == ["created", "chosen", "locked"]


# --- Out of a lock --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freeze", [False, True], ids=["released", "frozen"])
async def test_choosing_the_billing_center_unlocks_at_once_though_the_month_is_used_up(api: Api, freeze: bool) -> None:
    with time_machine.travel(BEGIN, tick=False) as clock:
        service = await client(api)
        holder, cloud_account, (workspace_id,) = await locked(api, service, freeze=freeze)
        clock.shift(60)
        assert await options(api, holder, workspace_id) == {None: [], cloud_account: ["cloud_account_not_active"]}

        assert (await choose(api, holder, workspace_id, None)).status_code == 200

        now = await settled(api, holder, workspace_id)
        assert (now["method"], now["lock_ends_at"]) == ("billing_center", None)
        assert await causes(api, holder, workspace_id) == ["created", "chosen", "locked", "unlocked"]
        assert (await told(service))[-3:] == [
            ("lock_requested", workspace_id),
            ("settlement_changed", workspace_id, "unlocked"),
            ("unlock_requested", workspace_id),
        ]
        assert (await trail(api, holder))[0] == ("workspace.unlocked", "holder", f"{workspace_id} billing_center")
        before = await rows(api, *LEFT_BEHIND)
        assert (await choose(api, holder, workspace_id, None)).status_code == 200
        await huawei_tells(api, "releaseInstance")
        assert (await rows(api, "settlements"))["settlements"] == before["settlements"]


async def test_binding_another_active_cloud_account_unlocks_at_once(api: Api) -> None:
    service = await client(api)
    holder, _, workspaces = await locked(api, service, sites=("cn4", "za1"))
    other = await huawei_account(api, holder, 2, buyer=OTHER_BUYER)
    assert [(await settled(api, holder, one))["lock_ends_at"] is None for one in workspaces] == [False, False]

    assert (await bind(api, holder, other, *workspaces)).status_code == 200

    for workspace_id in workspaces:
        now = await settled(api, holder, workspace_id)
        assert (now["cloud_account_id"], now["lock_ends_at"]) == (other, None)
        events = [one for one in await told(service) if workspace_id in one]
        assert events[-2:] == [("settlement_changed", workspace_id, "unlocked"), ("unlock_requested", workspace_id)]


async def test_a_cloud_account_of_another_cloud_does_not_unlock(api: Api) -> None:
    service = await client(api)
    holder, _, (workspace_id,) = await locked(api, service)
    other = await alibaba_account(api, holder)

    assert refused(await bind(api, holder, other, workspace_id)) == {workspace_id: ["cloud_of_another_site"]}


async def test_unlocking_does_not_count_for_the_month_and_does_not_give_it_back(api: Api) -> None:
    with time_machine.travel(BEGIN, tick=False) as clock:
        service = await client(api)
        holder, _, (workspace_id,) = await locked(api, service)
        other = await huawei_account(api, holder, 2, buyer=OTHER_BUYER)
        clock.shift(60)
        assert (await choose(api, holder, workspace_id, None)).status_code == 200
        assert refused(await choose(api, holder, workspace_id, other)) == {workspace_id: ["changed_this_month"]}

        second, _, (in_october,) = await _locked_in_the_next_month(api, service, clock)
        another = await huawei_account(api, second, 4, buyer=OTHER_BUYER)
        assert (await choose(api, second, in_october, None)).status_code == 200
        clock.shift(60)
        assert (await choose(api, second, in_october, another)).status_code == 200


async def _locked_in_the_next_month(
    api: Api, service: ServiceClient, clock: time_machine.Traveller
) -> tuple[Holder, str, list[str]]:
    """Bound in one month, locked in the next."""
    holder = await api.register()
    workspace_id = await workspace(service, holder, site="cn4")
    cloud_account = await huawei_account(api, holder, 3)
    assert (await bind(api, holder, cloud_account, workspace_id)).status_code == 200
    clock.shift(timedelta(days=30))
    await huawei_tells(api, "releaseInstance", 3)
    return holder, cloud_account, [workspace_id]


async def test_subscribing_again_unlocks_to_the_billing_center(api: Api) -> None:
    """The default after unlocking: a new subscription takes no workspaces by itself."""
    service = await client(api)
    holder, _, workspaces = await locked(api, service, sites=("cn4", "za1"))

    new = await huawei_account(api, holder, 2)

    for workspace_id in workspaces:
        now = await settled(api, holder, workspace_id)
        assert (now["method"], now["lock_ends_at"]) == ("billing_center", None)
        assert await causes(api, holder, workspace_id) == ["created", "chosen", "locked", "resubscribed"]
        events = [one for one in await told(service) if workspace_id in one]
        assert events[-2:] == [("settlement_changed", workspace_id, "resubscribed"), ("unlock_requested", workspace_id)]
    assert (await get(api, holder, f"/cloud-accounts/{new}"))["workspaces"] == []
    assert (await trail(api, holder))[0][:2] == ("workspace.unlocked", "system")


async def test_a_subscription_of_another_buyer_or_account_unlocks_nothing(api: Api) -> None:
    service = await client(api)
    holder, _, (workspace_id,) = await locked(api, service)
    other = await api.register()

    await huawei_account(api, holder, 2, buyer=OTHER_BUYER)
    await huawei_account(api, other, 3)

    assert await causes(api, holder, workspace_id) == ["created", "chosen", "locked"]


async def test_unfreezing_resumes_what_it_had_locked_and_the_cloud_account_pays_again(api: Api) -> None:
    service = await client(api)
    holder, cloud_account, (first, second) = await locked(api, service, freeze=True, sites=("cn4", "za1"))
    assert (await choose(api, holder, second, None)).status_code == 200

    for _ in range(2):
        await huawei_tells(api, "updateInstanceStatus", status="UNFREEZE")

    now = await settled(api, holder, first)
    assert (now["cloud_account_id"], now["lock_ends_at"]) == (cloud_account, None)
    assert await causes(api, holder, first) == ["created", "chosen", "locked", "resumed"]
    assert await causes(api, holder, second) == ["created", "chosen", "locked", "unlocked"]  # its holder chose
    assert (await told(service))[-2:] == [("unfrozen",), ("unlock_requested", first)]  # the method is the same
    assert refused(await choose(api, holder, first, None))[first][0] == "stays_until_cloud_account_ends"
    assert (await trail(api, holder))[0] == ("workspace.unlocked", "system", f"{first} {cloud_account}")


async def test_each_freeze_begins_a_countdown_of_its_own(api: Api) -> None:
    with time_machine.travel(BEGIN, tick=False) as clock:
        service = await client(api)
        holder, _, (workspace_id,) = await locked(api, service, freeze=True)
        for _ in range(2):
            clock.shift(timedelta(days=13))
            await huawei_tells(api, "updateInstanceStatus", status="UNFREEZE")
            clock.shift(60)
            await huawei_tells(api, "updateInstanceStatus", status="FREEZE")

            frozen_at = datetime.now(UTC)
            assert (await settled(api, holder, workspace_id))["lock_ends_at"] == shown(frozen_at + COUNTDOWN)
        assert await causes(api, holder, workspace_id) == ["created", "chosen", *["locked", "resumed"] * 2, "locked"]


@pytest.mark.parametrize("too_late", [False, True], ids=["the last millisecond", "the end"])
@pytest.mark.parametrize("way", ["billing center", "another", "subscribing again", "unfreezing"])
async def test_a_lock_is_undone_until_its_countdown_is_over_and_never_after(api: Api, way: str, too_late: bool) -> None:
    with time_machine.travel(BEGIN, tick=False) as clock:
        service = await client(api)
        holder, cloud_account, (workspace_id,) = await locked(api, service, freeze=True)
        other = await huawei_account(api, holder, 2, buyer=OTHER_BUYER)
        clock.move_to(BEGIN + COUNTDOWN - (timedelta() if too_late else timedelta(milliseconds=1)))

        if way in ("billing center", "another"):
            answer = await choose(api, holder, workspace_id, other if way == "another" else None)
            assert answer.status_code == (409 if too_late else 200)
            if too_late:
                assert refused(answer) == {workspace_id: ["lock_is_over"]}
        elif way == "unfreezing":
            await huawei_tells(api, "updateInstanceStatus", status="UNFREEZE")
        else:
            await huawei_account(api, holder, 3)

        assert ((await settled(api, holder, workspace_id))["lock_ends_at"] is not None) is too_late
        if too_late:
            assert (await causes(api, holder, workspace_id))[-1] == "locked"
            assert not [one for one in await told(service) if one[0] == "unlock_requested"]
            found = await options(api, holder, workspace_id)
            assert all("lock_is_over" in reasons for reasons in found.values())
            assert set(found) >= {None, cloud_account, other}


async def test_a_countdown_that_is_over_does_not_begin_anew(api: Api) -> None:
    """The cloud account is paid for again, too late, and stops once more."""
    with time_machine.travel(BEGIN, tick=False) as clock:
        service = await client(api)
        holder, _, (workspace_id,) = await locked(api, service, freeze=True)
        clock.move_to(BEGIN + COUNTDOWN)
        await huawei_tells(api, "updateInstanceStatus", status="UNFREEZE")

        await huawei_tells(api, "releaseInstance")

        assert (await settled(api, holder, workspace_id))["lock_ends_at"] == shown(BEGIN + COUNTDOWN)
        assert await causes(api, holder, workspace_id) == ["created", "chosen", "locked"]
        assert [one for one in await told(service) if one[0] == "lock_requested"] == [("lock_requested", workspace_id)]
        assert len(await api.messages(holder.email, "workspaces_locked")) == 1


# --- AWS ------------------------------------------------------------------------------------------------------------


async def aws_account(api: Api, holder: Holder, purchase: Purchase) -> str:
    """Bought on AWS's marketplace and taken by the holder; active once AWS has said so."""
    with metering() as aws:
        aws.knows("token", purchase.resolved)
        landed = await lands(api, "token")
        taken = await accept(api, holder, claim_of(landed))
    return str(taken.json()["cloud_account_id"])


def renewal(purchase: Purchase) -> dict[str, Any]:
    """The agreement behind it is made."""
    return Purchase().created(intent="RENEW", previousAgreementId=purchase.agreement)


async def test_workspaces_of_aws_are_locked_when_the_licence_is_withdrawn(api: Api) -> None:
    holder, service, purchase = await api.register(), await client(api), Purchase()
    await sends(api, purchase.created(), purchase.updated())
    cloud_account = await aws_account(api, holder, purchase)
    workspace_id = await workspace(service, holder, site="us1")
    assert (await bind(api, holder, cloud_account, workspace_id)).status_code == 200

    await sends(api, purchase.ended(), purchase.deprovisioned(), purchase.deprovisioned())

    assert await causes(api, holder, workspace_id) == ["created", "chosen", "locked"]
    assert (await told(service))[-2:] == [("closed",), ("lock_requested", workspace_id)]
    assert len(await api.messages(holder.email, "workspaces_locked")) == 1


async def test_the_end_of_an_agreement_that_turns_out_to_have_been_renewed_is_undone(api: Api) -> None:
    """The end came first; what comes behind it says that the subscription never ended."""
    holder, service, purchase = await api.register(), await client(api), Purchase()
    await sends(api, purchase.created(), purchase.updated())
    cloud_account = await aws_account(api, holder, purchase)
    workspace_id = await workspace(service, holder, site="us1")
    await bind(api, holder, cloud_account, workspace_id)
    await sends(api, purchase.deprovisioned())
    assert (await causes(api, holder, workspace_id))[-1] == "locked"

    await sends(api, purchase.ended("RENEWED"), renewal(purchase))

    assert (await causes(api, holder, workspace_id))[-1] == "resumed"
    assert (await settled(api, holder, workspace_id))["cloud_account_id"] == cloud_account
    assert (await get(api, holder, f"/cloud-accounts/{cloud_account}"))["status"] == "active"


async def test_what_ended_before_it_began_and_turns_out_to_be_renewed_is_pending_again(api: Api) -> None:
    """AWS's word that the licence was granted is late, or lost."""
    holder, purchase = await api.register(), Purchase()
    cloud_account = await aws_account(api, holder, purchase)
    before = (await get(api, holder, f"/cloud-accounts/{cloud_account}"))["status"]
    await sends(api, purchase.deprovisioned())
    assert (await get(api, holder, f"/cloud-accounts/{cloud_account}"))["status"] == "ended"

    await sends(api, renewal(purchase), purchase.ended("RENEWED"))

    assert (await get(api, holder, f"/cloud-accounts/{cloud_account}"))["status"] == before == "pending"
