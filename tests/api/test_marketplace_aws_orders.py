"""AWS sends at least once and in no order, and we may fail meanwhile: the same cloud account comes of it."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import permutations
from typing import Any

import httpx
import pytest

from tests.support.api import Api, Holder, frozen, refusal
from tests.support.aws_marketplace import (
    AWS,
    Metering,
    Purchase,
    Stored,
    Topic,
    failing,
    lands,
    metering,
    sends,
    sns,
    stored,
)
from tests.support.clouds import AWS_PRODUCT, accept, aws_sends, bind, claim_of, get, history, settled, workspace
from tests.support.services import ServiceClient, client, feed

pytestmark = pytest.mark.settings(**AWS)

# As one real purchase went: within two minutes, the buyer's browser in the middle.
CAPTURED = ("created", "updated", "lands", "ended", "deprovisioned")
APPLIED = (
    "License Deprovisioned",
    "License Updated",
    "Purchase Agreement Created",
    "Purchase Agreement Ended",
    "ResolveCustomer",
)
ORDERS = list(permutations(CAPTURED))


@pytest.fixture
def aws(caplog: pytest.LogCaptureFixture) -> Iterator[Metering]:
    caplog.set_level(logging.WARNING)  # thousands of lines that nobody reads take their time
    with metering() as fake:
        yield fake


def buyer(number: int) -> str:
    return f"{700_000_000_000 + number}"


class Played:
    """A purchase whose messages come one by one, by their names."""

    def __init__(self, api: Api, aws: Metering, number: int) -> None:
        self.api, self.purchase = api, Purchase(account=buyer(number))
        self.token, self.claim = f"token-{number}", ""
        aws.knows(self.token, self.purchase.resolved)

    async def comes(self, name: str) -> httpx.Response:
        if name == "lands":
            return await lands(self.api, self.token)
        return await aws_sends(self.api, getattr(self.purchase, name)())

    async def step(self, name: str) -> None:
        answer = await self.comes(name)
        if name == "lands":
            self.claim = claim_of(answer)
        else:
            assert (answer.status_code, answer.json()) == (200, {}), answer.text

    async def accepted_by(self, holder: Holder) -> None:
        answer = await accept(self.api, holder, self.claim)
        assert answer.status_code == 200, answer.text


async def assert_all_ended_alike(api: Api, played: Sequence[Played], holder: Holder | None = None) -> None:
    """Each is one cloud account with all five messages."""
    found = await stored(api, [one.purchase.account for one in played])
    for purchase in (one.purchase for one in played):
        [it] = found[purchase.account]
        keys = {f"license:l-{purchase.licence}", f"instance:{purchase.arn}", f"agreement:{purchase.agreement}"}
        assert it == Stored(
            id=it.id,
            owner=holder.account_id if holder else None,
            status="ended",
            since=purchase.at + timedelta(seconds=126),
            keys=frozenset({*keys, f"buyer:{purchase.account}/{AWS_PRODUCT}"}),
            notices=APPLIED,
        )


# The purchase that was captured


@pytest.mark.parametrize("landing", range(5))
async def test_the_captured_purchase_ends_alike_in_every_order_and_can_still_be_taken(
    api: Api, aws: Metering, landing: int
) -> None:
    holder = await api.register()
    orders = [order for order in ORDERS if order.index("lands") == landing]
    played = [Played(api, aws, number) for number in range(len(orders))]
    for one, order in zip(played, orders, strict=True):
        for name in order:
            await one.step(name)
    await assert_all_ended_alike(api, played)
    for one in played:
        await one.accepted_by(holder)
    await assert_all_ended_alike(api, played, holder)


@pytest.mark.parametrize("landing", [0, 2])
async def test_the_captured_purchase_ends_alike_in_every_order_when_it_is_taken_at_once(
    api: Api, aws: Metering, landing: int
) -> None:
    holder = await api.register()
    orders = [order for order in ORDERS if order.index("lands") == landing]
    played = [Played(api, aws, number) for number in range(len(orders))]
    for one, order in zip(played, orders, strict=True):
        for name in order:
            await one.step(name)
            if name == "lands":
                await one.accepted_by(holder)
    await assert_all_ended_alike(api, played, holder)


async def test_each_message_twice_is_as_each_once(api: Api, aws: Metering) -> None:
    holder, service = await api.register(), await client(api)
    played = [Played(api, aws, number) for number in range(12)]
    for number, (one, order) in enumerate(zip(played, ORDERS[::10], strict=True)):
        doubled = [*order, *order] if number % 2 else [name for name in order for _ in range(2)]
        for name in doubled:
            await one.step(name)
        await one.accepted_by(holder)
    await assert_all_ended_alike(api, played, holder)
    shown = (await service.get("/marketplace/notices", limit=100)).json()["items"]
    assert [(one["state"], one["repeats"]) for one in shown] == [("applied", 1)] * 60


async def test_all_messages_at_the_same_time_are_as_one_after_the_other(api: Api, aws: Metering) -> None:
    played = [Played(api, aws, number) for number in range(8)]
    for number, one in enumerate(played):
        order = ORDERS[number * 17]
        answers = await asyncio.gather(*(one.comes(name) for name in order))
        for name, answer in zip(order, answers, strict=True):
            if answer.status_code == 503:  # of so many at once one may be told to come again
                await one.step(name)
            else:
                assert answer.status_code == (303 if name == "lands" else 200), answer.text
    while await api.container.marketplace_worker.catch_up():
        pass
    await assert_all_ended_alike(api, played)


async def test_an_agreement_is_known_by_its_licence_when_the_landing_does_not_name_it(api: Api, aws: Metering) -> None:
    played = [Played(api, aws, number) for number in range(10)]
    for one, order in zip(played, ORDERS[5::12], strict=True):
        aws.knows(one.token, {**one.purchase.resolved, "Metadata": None})
        for name in order:
            await one.step(name)
    await assert_all_ended_alike(api, played)


async def test_a_licence_whose_arn_is_written_in_another_way_is_the_same(api: Api, aws: Metering) -> None:
    orders = list(permutations(("created", "updated", "lands", "deprovisioned")))[::2]
    played = [Played(api, aws, number) for number in range(len(orders))]
    for one, order in zip(played, orders, strict=True):
        other = f"aws:license-manager:us-east-1:294406891311:license:l-{one.purchase.licence}"
        for name in order:
            if name in ("updated", "deprovisioned"):
                event = getattr(one.purchase, name)()
                event["detail"]["license"]["arn"] = other
                await sends(api, event)
            else:
                await one.step(name)
    found = await stored(api, [one.purchase.account for one in played])
    assert {(len(those), those[0].status, len(those[0].notices)) for those in found.values()} == {(1, "ended", 4)}


# The older kind: a customer and a product, no licence


OLDER = ("subscribe-success", "unsubscribe-pending", "unsubscribe-success", "lands")


@pytest.mark.parametrize("licensed", [False, True])
async def test_older_messages_around_a_landing_end_alike_in_every_order(
    api: Api, aws: Metering, *, licensed: bool
) -> None:
    topic, orders = Topic(aws.router), list(permutations(OLDER))[:: 2 if licensed else 1]
    purchases = [Purchase(account=buyer(number), customer=f"X{number:02}EXAMPLE") for number in range(len(orders))]
    for purchase, order in zip(purchases, orders, strict=True):
        known = purchase.resolved if licensed else {**purchase.resolved, "LicenseArn": None, "Metadata": None}
        aws.knows(f"token-{purchase.customer}", known)
        for name in order:
            if name == "lands":
                claim_of(await lands(api, f"token-{purchase.customer}"))
                continue
            at = f"{purchase.at + timedelta(minutes=OLDER.index(name)):%Y-%m-%dT%H:%M:%S}.000Z"
            answer = await sns(api, topic.notification(purchase.said(name), Timestamp=at))
            assert answer.status_code == 200, answer.text
    found = await stored(api, [one.account for one in purchases])
    for purchase in purchases:
        [it] = found[purchase.account]
        assert (it.status, it.since) == ("ended", purchase.at + timedelta(minutes=2))
        assert it.notices == ("ResolveCustomer", *sorted(OLDER[:3]))
        by_name = {
            f"{kind}:{name}/{AWS_PRODUCT}"
            for kind, name in (("customer", purchase.customer), ("buyer", purchase.account))
        }
        instance = purchase.arn if licensed else f"{purchase.customer}/{AWS_PRODUCT}"
        licence = {f"license:l-{purchase.licence}", f"agreement:{purchase.agreement}"} if licensed else set()
        assert it.keys == {*by_name, *licence, f"instance:{instance}"}


async def test_a_purchase_told_on_both_channels_is_one_cloud_account(api: Api, aws: Metering) -> None:
    topic, older = Topic(aws.router), {"subscribe-success": 60, "unsubscribe-success": 127}
    orders = list(permutations((*CAPTURED, *older)))[::457]
    played = [Played(api, aws, number) for number in range(len(orders))]
    for number, (one, order) in enumerate(zip(played, orders, strict=True)):
        customer = f"X{number:02}EXAMPLE"
        aws.knows(one.token, {**one.purchase.resolved, "CustomerIdentifier": customer})
        for name in order:
            if name in older:
                said = {"action": name, "customer-identifier": customer, "product-code": AWS_PRODUCT}
                at = f"{one.purchase.at + timedelta(seconds=older[name]):%Y-%m-%dT%H:%M:%S}.000Z"
                assert (await sns(api, topic.notification(said, Timestamp=at))).status_code == 200
            else:
                await one.step(name)
    found = await stored(api, [one.purchase.account for one in played])
    assert {(len(those), those[0].status, len(those[0].notices)) for those in found.values()} == {(1, "ended", 7)}


async def test_an_older_subscription_learns_its_licence_later(api: Api, aws: Metering) -> None:
    topic, purchase = Topic(aws.router), Purchase(customer="X01EXAMPLE")
    aws.knows("token", {**purchase.resolved, "LicenseArn": None, "Metadata": None})
    claim_of(await lands(api, "token"))
    assert (await sns(api, topic.notification(purchase.said("subscribe-success")))).status_code == 200
    await sends(api, purchase.updated())
    [it] = (await stored(api, [purchase.account]))[purchase.account]
    assert {f"license:l-{purchase.licence}", f"customer:X01EXAMPLE/{AWS_PRODUCT}"} <= it.keys
    await sends(api, purchase.deprovisioned(after=700))
    assert [one.status for one in (await stored(api, [purchase.account]))[purchase.account]] == ["ended"]


# Renewals


def renewal(
    old: Purchase, *, replaces: bool = False, licensed: float = 60
) -> tuple[Purchase, dict[str, dict[str, Any]]]:
    """The agreement after it, and what AWS says of the change, in the natural order; the old one ends at 65 seconds."""
    new = Purchase(account=old.account, at=old.at + timedelta(minutes=5))
    intent, status = ("REPLACE", "REPLACED") if replaces else ("RENEW", "RENEWED")
    return new, {
        "created": new.created(intent=intent, previousAgreementId=old.agreement),
        "updated": new.updated(after=licensed),
        "ended": old.ended(status, after=362),
        "deprovisioned": old.deprovisioned(after=365),
    }


async def subscribed(
    service: ServiceClient, aws: Metering, holder: Holder, number: int, *sites: str
) -> tuple[Purchase, str, list[str]]:
    """An active subscription of the holder, and workspaces that settle by it."""
    api = service.api
    played = Played(api, aws, number)
    for name in ("created", "updated", "lands"):
        await played.step(name)
    taken = await accept(api, holder, played.claim)
    cloud_account = str(taken.json()["cloud_account_id"])
    bound = [await workspace(service, holder, site=site) for site in sites]
    if bound:
        assert (await bind(api, holder, cloud_account, *bound)).status_code == 200
    return played.purchase, cloud_account, bound


@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize(
    ("order", "licensed"),
    [
        (("created", "updated", "ended", "deprovisioned"), 60),
        (
            ("created", "updated", "deprovisioned", "ended"),
            60,
        ),  # unexplained yet, but held by the new one
        (("created", "ended", "deprovisioned", "updated"), 90),  # known to be one, but not held yet
    ],
    ids=["natural", "end-unexplained", "licence-late"],
)
async def test_a_renewal_never_locks_what_settles_by_it(
    api: Api, aws: Metering, *, replaces: bool, order: Sequence[str], licensed: float
) -> None:
    holder, service = await api.register(), await client(api)
    old, cloud_account, bound = await subscribed(service, aws, holder, 1, "us1", "eu1")
    before = [await history(api, holder, one) for one in bound]
    new, told = renewal(old, replaces=replaces, licensed=licensed)
    for event in (told[name] for name in order):
        await sends(api, event)
        [it] = (await get(api, holder, "/cloud-accounts"))["items"]
        assert (it["id"], it["status"], len(it["workspaces"])) == (cloud_account, "active", 2)
        assert [await history(api, holder, one) for one in bound] == before
    # Only the end of the agreement that came after it is an end.
    await sends(api, new.ended(after=100), new.deprovisioned(after=110))
    [it] = (await get(api, holder, "/cloud-accounts"))["items"]
    assert (it["id"], it["status"]) == (cloud_account, "ended")
    assert all(one["lock_ends_at"] for one in it["workspaces"])


async def test_a_renewal_in_any_order_goes_on_as_one_active_cloud_account(api: Api, aws: Metering) -> None:
    holder, service = await api.register(), await client(api)
    orders = list(permutations(("created", "updated", "ended", "deprovisioned")))
    kept: dict[str, tuple[Purchase, Purchase, str, str]] = {}
    for number, order in enumerate(orders):
        old, cloud_account, [bound] = await subscribed(service, aws, holder, number, "ap1")
        new, told = renewal(old)
        for name in order:
            await sends(api, told[name])
        kept[old.account] = (old, new, cloud_account, bound)
    found = await stored(api, kept)
    now = {one["id"]: one for one in (await get(api, holder, "/workspaces", limit=100))["items"]}
    for account, (old, new, cloud_account, bound) in kept.items():
        [it] = found[account]
        assert (it.id, it.owner, it.status) == (cloud_account, holder.account_id, "active")
        assert it.since == old.at + timedelta(seconds=61)
        assert len(it.notices) == 7
        assert {f"license:l-{new.licence}", f"agreement:{new.agreement}", f"agreement:{old.agreement}"} <= it.keys
        assert (now[bound]["cloud_account_id"], now[bound]["lock_ends_at"]) == (cloud_account, None)


async def test_a_renewal_that_looked_new_leads_its_buyer_to_the_same_cloud_account(api: Api, aws: Metering) -> None:
    holder, stranger, service = await api.register(), await api.register(), await client(api)
    old, cloud_account, _ = await subscribed(service, aws, holder, 1)
    new, told = renewal(old)
    aws.knows("again", new.resolved)
    await sends(api, told["updated"])
    claims = [claim_of(await lands(api, "again"))]
    assert len((await stored(api, [old.account]))[old.account]) == 2
    await sends(api, told["created"])
    claims.append(claim_of(await lands(api, "again")))
    [it] = (await stored(api, [old.account]))[old.account]
    assert (it.id, it.status) == (cloud_account, "active")
    for claim in claims:
        assert refusal(await accept(api, stranger, claim)) == (409, "cloud_account_taken")
    assert (await accept(api, holder, claims[0])).json()["cloud_account_id"] == cloud_account


async def test_two_renewals_told_backwards_are_one_cloud_account(api: Api, aws: Metering) -> None:
    holder, service = await api.register(), await client(api)
    first, cloud_account, _ = await subscribed(service, aws, holder, 1)
    second, told = renewal(first)
    third, then = renewal(second)
    await sends(api, *reversed([*told.values(), *then.values()]))
    [it] = (await stored(api, [first.account]))[first.account]
    assert (it.id, it.status, len(it.notices)) == (cloud_account, "active", 11)
    await sends(api, third.deprovisioned())
    [it] = (await stored(api, [first.account]))[first.account]
    assert it.status == "ended"


# Failing in the middle: what came is kept, and applied once


@pytest.mark.parametrize("then", ["repeat", "worker"])
@pytest.mark.parametrize("table", ["settlements", "events", "outbox_messages"])
async def test_an_end_that_could_not_be_applied_is_applied_once_later(
    api: Api, aws: Metering, table: str, then: str
) -> None:
    holder, service = await api.register(), await client(api)
    purchase, cloud_account, [bound] = await subscribed(service, aws, holder, 1, "us1")
    before = [await stored(api, [purchase.account]), await settled(api, holder, bound), await feed(service)]
    with frozen() as clock:
        async with failing(api, table):
            for _ in range(2):
                answer = await aws_sends(api, purchase.deprovisioned())
                assert (answer.status_code, answer.json()) == (503, {})
            await service.renew()
            [kept] = (await service.get("/marketplace/notices", state="received")).json()["items"]
            assert (kept["type"], kept["repeats"]) == ("License Deprovisioned", 1)
            assert kept["cloud_account_id"] is None
            after = [await stored(api, [purchase.account]), await settled(api, holder, bound), await feed(service)]
            assert after == before
        if then == "repeat":
            await sends(api, purchase.deprovisioned())
        else:
            assert await api.container.marketplace_worker.catch_up() == 1  # its subscription is known
        clock.shift(timedelta(seconds=31))
        assert await api.container.marketplace_worker.catch_up() == 0
        assert len(await api.messages(holder.email, "workspaces_locked")) == 1
    await sends(api, purchase.deprovisioned())
    [it] = (await stored(api, [purchase.account]))[purchase.account]
    assert (it.id, it.status, it.notices.count("License Deprovisioned")) == (cloud_account, "ended", 1)
    assert [one["cause"] for one in await history(api, holder, bound)] == ["created", "chosen", "locked"]
    new = [one["type"] for one in (await feed(service))[len(before[2]) :]]
    assert [name.rpartition(".")[2] for name in new] == ["closed", "lock_requested"]


async def test_a_purchase_that_could_not_be_opened_is_opened_by_the_worker(api: Api, aws: Metering) -> None:
    service, purchase = await client(api), Purchase()
    with frozen() as clock:
        async with failing(api, "cloud_accounts"):
            assert (await aws_sends(api, purchase.updated())).status_code == 503
            assert await api.container.marketplace_worker.catch_up() == 0  # somebody may be about to apply it
        await sends(api, purchase.created())
        clock.shift(timedelta(seconds=31))
        while await api.container.marketplace_worker.catch_up():
            pass
    [it] = (await stored(api, [purchase.account]))[purchase.account]
    assert (it.status, it.notices) == ("active", ("License Updated", "Purchase Agreement Created"))
    await service.renew()
    await sends(api, purchase.updated())
    shown = (await service.get("/marketplace/notices")).json()["items"]
    assert {one["type"]: (one["state"], one["repeats"]) for one in shown} == {
        "License Updated": ("applied", 1),
        "Purchase Agreement Created": ("applied", 0),
    }


async def test_a_customer_whose_landing_failed_reloads(api: Api, aws: Metering) -> None:
    purchase = Purchase()
    aws.knows("token", purchase.resolved)
    for table in ("cloud_notices", "cloud_accounts", "cloud_account_keys", "marketplace_claims"):
        async with failing(api, table):
            answer = await lands(api, "token")
            assert (answer.status_code, "Please try again" in answer.text) == (503, True), table
            assert purchase.licence not in answer.text
    claim_of(await lands(api, "token"))
    [it] = (await stored(api, [purchase.account]))[purchase.account]
    assert it.notices == ("ResolveCustomer",)


async def test_what_could_not_even_be_kept_comes_again(api: Api, aws: Metering) -> None:
    topic, purchase, service = Topic(aws.router), Purchase(customer="X01"), await client(api)
    aws.knows("token", {**purchase.resolved, "LicenseArn": None, "Metadata": None})
    claim_of(await lands(api, "token"))
    envelope = topic.notification(purchase.said("subscribe-success"))
    for table in ("cloud_notices", "cloud_notice_keys"):
        async with failing(api, table):
            assert (await sns(api, envelope)).status_code == 503
    assert (await sns(api, envelope)).status_code == 200
    shown = (await service.get("/marketplace/notices")).json()["items"]
    assert [(one["type"], one["state"], one["repeats"]) for one in shown] == [
        ("subscribe-success", "applied", 0),
        ("ResolveCustomer", "applied", 0),
    ]


async def test_a_message_that_always_fails_holds_up_no_other(api: Api, aws: Metering) -> None:
    bad, good = Purchase(account=buyer(6)), Purchase(account=buyer(1))
    with frozen() as clock:
        async with failing(api, "cloud_accounts"):
            for purchase in (bad, good):
                assert (await aws_sends(api, purchase.updated())).status_code == 503
        clock.shift(timedelta(seconds=31))
        async with failing(api, "cloud_account_keys", when=f"NEW.key LIKE '%{bad.licence}'"):
            await api.container.marketplace_worker.catch_up()
            found = await stored(api, [bad.account, good.account])
            assert [len(those) for those in found.values()] == [0, 1]
        while await api.container.marketplace_worker.catch_up():
            pass
    found = await stored(api, [bad.account, good.account])
    assert [[it.status for it in those] for those in found.values()] == [["active"], ["active"]]
