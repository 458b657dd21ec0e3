"""A cloud that nobody had thought of is one module and a line of wiring: all the rest takes it like the others."""

import ast
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from app.api.wiring.marketplaces import marketplaces
from app.core import reference
from app.core.clock import now
from app.core.config import Settings
from app.core.scopes import Scope
from app.gateways.marketplaces.base import Marketplace
from app.models.cloud_accounts import Effect
from tests.support import fifth_cloud
from tests.support.api import Api, Holder, empty, frozen, refusal, running
from tests.support.clouds import (
    MARKETPLACES,
    accept,
    alibaba_account,
    bind,
    choose,
    claim_of,
    get,
    history,
    options,
    refused,
    settled,
    typed,
    workspace,
)
from tests.support.fifth_cloud import API, NimbusMarketplace
from tests.support.services import ServiceClient, client, feed, spread, staff

APP = Path(__file__).parents[2] / "app"
CUSTOMER = "900142009001"


@dataclass
class Nimbus:
    """The service with the fifth cloud plugged in, and that cloud's side of the wire."""

    api: Api
    market: NimbusMarketplace

    async def says(
        self, event: str, subscription: str = "sub-1", *, after: float = 0, **members: Any
    ) -> httpx.Response:
        """`after` so many seconds from now it happened, by the cloud's word."""
        said = fifth_cloud.message(event, subscription, at=now() + timedelta(seconds=after), **members)
        return await self.sends(said)

    async def sends(self, said: dict[str, Any]) -> httpx.Response:
        headers, content = fifth_cloud.signed(said, at=now())
        return await self.api.client.post("/marketplace/nimbus", content=content, headers=headers)

    async def sold(self, subscription: str = "sub-1", **members: Any) -> None:
        answer = await self.says("bought", subscription, customer=CUSTOMER, plan="gold", **members)
        assert answer.json() == {"ok": True, "status": "active"}, answer.text

    async def lands(self, subscription: str = "sub-1") -> httpx.Response:
        query = fifth_cloud.link(subscription, at=now())
        return await self.api.client.get("/marketplace/nimbus/landing", params=query)

    async def account(self, holder: Holder, subscription: str = "sub-1") -> str:
        """Bought and claimed; the cloud account's id."""
        await self.sold(subscription)
        taken = await accept(self.api, holder, claim_of(await self.lands(subscription)))
        assert taken.status_code == 200, taken.text
        return str(taken.json()["cloud_account_id"])


@asynccontextmanager
async def plugged_in(url: str, **settings: Any) -> AsyncIterator[Nimbus]:
    """What adding it takes: its module among the others, and its sites."""
    usual, sites, market = marketplaces, reference.sites(), NimbusMarketplace()

    def with_nimbus(settings: Settings) -> dict[str, Marketplace]:
        return {**usual(settings), market.name: market}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "sites", lambda: {**sites, "nb1": "nimbus"})
        async with AsyncExitStack() as stack:
            with pytest.MonkeyPatch.context() as wiring:  # only while it is built
                wiring.setattr("app.api.wiring.gateways.marketplaces", with_nimbus)
                api = await stack.enter_async_context(running(url, **MARKETPLACES, **settings))
            yield Nimbus(api, market)


@pytest.fixture(scope="module")
async def _plugged_in(database_url: str) -> AsyncIterator[Nimbus]:
    async with plugged_in(database_url) as made:
        yield made


@pytest.fixture
async def nimbus(_plugged_in: Nimbus) -> AsyncIterator[Nimbus]:
    await empty(_plugged_in.api)
    _plugged_in.api.notifier.sent.clear()
    known = dict(_plugged_in.market.words)
    yield _plugged_in
    _plugged_in.market.words = known


async def kept(desk: ServiceClient, **wanted: Any) -> list[dict[str, Any]]:
    """Messages, the oldest first."""
    answer = await desk.get("/marketplace/notices", **wanted)
    assert answer.status_code == 200, answer.text
    return list(reversed(answer.json()["items"]))


async def cloud_account(nimbus: Nimbus, holder: Holder) -> dict[str, Any]:
    (only,) = (await get(nimbus.api, holder, "/cloud-accounts"))["items"]
    return dict(only)


# --- The journey ----------------------------------------------------------------------------------------------------


async def test_a_purchase_is_landed_claimed_bound_frozen_resumed_ended_and_bought_again(nimbus: Nimbus) -> None:
    api = nimbus.api
    holder, service = await api.register(), await client(api)
    home = await workspace(service, holder, site="nb1")

    with frozen() as clock:
        await nimbus.sold()
        token = claim_of(await nimbus.lands())
        shown = (await api.client.get(f"/v1/marketplace-claims/{token}")).json()
        assert (shown["provider"], shown["account_id"], shown["status"]) == ("nimbus", "********9001", "active")
        taken = await accept(api, holder, token)
        account = taken.json()["cloud_account_id"]
        assert (await bind(api, holder, account, home)).status_code == 200

        clock.shift(60)
        assert (await nimbus.says("unpaid")).json()["status"] == "frozen"
        assert (await settled(api, holder, home))["lock_ends_at"] is not None
        clock.shift(60)
        assert (await nimbus.says("paid")).json()["status"] == "active"
        assert (await settled(api, holder, home))["cloud_account_id"] == account
        clock.shift(60)
        assert (await nimbus.says("resized")).json()["status"] == "active"
        assert (await nimbus.says("cancelled")).json()["status"] == "ended"
        assert (await settled(api, holder, home))["lock_ends_at"] is not None
        clock.shift(60)
        await nimbus.account(holder, "sub-2")
        added = await api.messages(holder.email, "cloud_account_added")

    chain = [(one["cause"], one["method"]) for one in await history(api, holder, home)]
    assert chain == [
        ("created", "billing_center"),
        ("chosen", "cloud_account"),
        ("locked", "cloud_account"),
        ("resumed", "cloud_account"),
        ("locked", "cloud_account"),
        ("resubscribed", "billing_center"),
    ]
    await spread(api)
    told = [one["type"].removeprefix("com.guance.") for one in await feed(service)]
    assert [kind for kind in told if "cloud_account" in kind or "workspace" in kind] == [
        "cloud_account.activated",
        "workspace.settlement_changed",
        "cloud_account.frozen",
        "workspace.lock_requested",
        "cloud_account.unfrozen",
        "workspace.unlock_requested",
        "cloud_account.closed",
        "workspace.lock_requested",
        "cloud_account.activated",
        "workspace.settlement_changed",
        "workspace.unlock_requested",
    ]
    assert [one.params["provider"] for one in added] == ["nimbus", "nimbus"]


async def test_its_cloud_accounts_pay_for_its_own_sites_and_for_others_once_staff_allows_it(nimbus: Nimbus) -> None:
    api = nimbus.api
    holder, service = await api.register(), await client(api)
    elsewhere = await workspace(service, holder, site="cn1")
    home = await workspace(service, holder, site="nb1")
    ours = await nimbus.account(holder)
    theirs = await alibaba_account(api, holder)

    assert await options(api, holder, home) == {None: [], theirs: ["cloud_of_another_site"], ours: []}
    assert refused(await bind(api, holder, ours, elsewhere)) == {elsewhere: ["cloud_of_another_site"]}
    path = f"/accounts/{holder.account_id}/arbitrary-settlement"
    assert (await service.put(path, {"enabled": True}, headers=staff())).status_code == 200
    assert (await choose(api, holder, elsewhere, ours)).status_code == 200
    assert (await settled(api, holder, elsewhere))["cloud_account_id"] == ours


async def test_what_becomes_of_its_workspaces_is_a_setting(database_url: str) -> None:
    policies = {"nimbus": "fall_back"}
    async with plugged_in(database_url, cloud_end_policies=policies) as nimbus:
        await empty(nimbus.api)
        holder, service = await nimbus.api.register(), await client(nimbus.api)
        home = await workspace(service, holder, site="nb1")
        assert (await bind(nimbus.api, holder, await nimbus.account(holder), home)).status_code == 200

        await nimbus.says("cancelled", after=1)

        shown = await settled(nimbus.api, holder, home)
        assert (shown["method"], shown["lock_ends_at"]) == ("billing_center", None)


# --- Typed ----------------------------------------------------------------------------------------------------------


async def test_a_holder_may_type_what_was_bought(nimbus: Nimbus) -> None:
    holder = await nimbus.api.register()
    await nimbus.sold()

    wrong = await typed(nimbus.api, holder, provider="nimbus", number="900142009002", instance="sub-1")
    right = await typed(nimbus.api, holder, provider="nimbus", number=CUSTOMER, instance="sub-1")

    assert refusal(wrong) == (409, "cloud_account_unproven")
    assert right.status_code == 201
    assert await cloud_account(nimbus, holder) == right.json()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (httpx.Response(200, json={"customer": CUSTOMER, "state": "active", "plan": "gold"}), (201, None)),
        (httpx.Response(200, json={"customer": "900142009002", "state": "active", "plan": "gold"}), (409, "unproven")),
        (httpx.Response(200, json={"customer": CUSTOMER, "state": "cancelled", "plan": "gold"}), (409, "ended")),
        (httpx.Response(404), (409, "unproven")),
        (httpx.Response(500, json={}), (503, "unavailable")),
        (httpx.Response(200, text="<html>"), (503, "unavailable")),
    ],
    ids=["known", "somebody-elses", "ended", "not-known", "broken", "unreadable"],
)
async def test_for_what_no_message_told_of_the_cloud_itself_is_asked(
    nimbus: Nimbus, said: httpx.Response, expected: tuple[int, str | None]
) -> None:
    holder = await nimbus.api.register()
    with respx.mock(assert_all_called=False) as cloud:
        cloud.get(f"{API}/subscriptions/sub-7").mock(return_value=said)
        answer = await typed(nimbus.api, holder, provider="nimbus", number=CUSTOMER, instance="sub-7")

    assert answer.status_code == expected[0], answer.text
    assert answer.json().get("code", "").endswith(expected[1] or "")
    assert (answer.status_code == 201) == bool((await get(nimbus.api, holder, "/cloud-accounts"))["items"])


async def test_a_buyer_whom_the_message_did_not_name_is_asked_for_until_the_cloud_tells(nimbus: Nimbus) -> None:
    holder = await nimbus.api.register()
    said = {"customer": CUSTOMER, "state": "active", "plan": "gold"}
    with frozen() as clock, respx.mock(assert_all_called=False) as cloud:
        route = cloud.get(f"{API}/subscriptions/sub-1").mock(
            side_effect=[httpx.ConnectError("away"), httpx.Response(200, json=said)]
        )
        assert (await nimbus.says("bought")).json() == {"ok": True, "status": "active"}
        taken = await accept(nimbus.api, holder, claim_of(await nimbus.lands()))
        assert taken.status_code == 200
        assert (await cloud_account(nimbus, holder))["account_id"] is None
        clock.shift(61)
        assert await nimbus.api.container.marketplace_worker.catch_up() == 1
        assert await nimbus.api.container.marketplace_worker.catch_up() == 0
        shown = await get(nimbus.api, holder, f"/cloud-accounts/{taken.json()['cloud_account_id']}")

    assert shown["account_id"] == "********9001"
    assert route.call_count == 2


# --- Out of order, again, forged ------------------------------------------------------------------------------------


async def test_messages_that_come_before_the_purchase_wait_for_it_and_count_by_their_own_times(nimbus: Nimbus) -> None:
    desk = await client(nimbus.api, Scope.STAFF_MARKETPLACE)

    assert (await nimbus.says("paid", after=-10)).json() == {"ok": True, "status": None}
    await nimbus.says("unpaid", after=-20)
    assert [one["state"] for one in await kept(desk)] == ["waiting", "waiting"]
    await nimbus.sold(after=-30)

    assert {one["state"] for one in await kept(desk)} == {"applied"}
    assert (await nimbus.says("resized")).json()["status"] == "active"
    assert (await nimbus.says("unpaid", after=-15)).json()["status"] == "active"  # before it was paid
    assert (await nimbus.says("unpaid", after=-5)).json()["status"] == "frozen"


async def test_a_message_for_a_subscription_that_nobody_knows_waits_and_lands_nowhere(nimbus: Nimbus) -> None:
    desk = await client(nimbus.api, Scope.STAFF_MARKETPLACE)

    await nimbus.says("cancelled", "sub-9")
    answer = await nimbus.lands("sub-9")

    assert [(one["type"], one["state"]) for one in await kept(desk)] == [("cancelled", "waiting")]
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


async def test_the_same_message_again_is_counted_and_does_nothing(nimbus: Nimbus) -> None:
    desk = await client(nimbus.api, Scope.STAFF_MARKETPLACE)
    await nimbus.sold()
    said = fifth_cloud.message("cancelled", "sub-1", at=now() + timedelta(seconds=1))

    answers = [await nimbus.sends(said) for _ in range(3)]

    assert [answer.json() for answer in answers] == [{"ok": True, "status": "ended"}] * 3
    assert [(one["type"], one["repeats"]) for one in await kept(desk)] == [("bought", 0), ("cancelled", 2)]


async def test_a_link_lands_once_and_within_its_minute(nimbus: Nimbus) -> None:
    await nimbus.sold()
    with frozen() as clock:
        query = fifth_cloud.link("sub-1", at=now())
        first, again = [await nimbus.api.client.get("/marketplace/nimbus/landing", params=query) for _ in range(2)]
        clock.shift(61)
        late = await nimbus.api.client.get("/marketplace/nimbus/landing", params=query)
        fresh = await nimbus.lands()

    assert [one.status_code for one in (first, again, late, fresh)] == [303, 410, 401, 303]
    assert claim_of(first) != claim_of(fresh)


async def test_what_nimbus_did_not_sign_is_refused_and_nothing_of_it_is_kept(nimbus: Nimbus) -> None:
    desk = await client(nimbus.api, Scope.STAFF_MARKETPLACE)
    headers, content = fifth_cloud.signed(fifth_cloud.message("bought", "sub-1", at=now()), at=now())
    forged = [
        ({}, content),
        (headers, content + b" "),
        (headers | {"x-nimbus-time": "1"}, content),
        fifth_cloud.signed(fifth_cloud.message("bought", "sub-1", at=now()), at=now() - timedelta(minutes=2)),
    ]

    answers = [await nimbus.api.client.post("/marketplace/nimbus", content=body, headers=head) for head, body in forged]

    assert [(one.status_code, one.json()) for one in answers] == [(401, {"ok": False})] * 4
    assert (await nimbus.sends({"event": "bought"})).status_code == 400
    assert await kept(desk) == []


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/landing"), ("POST", "/other")])
async def test_places_that_its_module_does_not_serve_are_not_there(nimbus: Nimbus, method: str, path: str) -> None:
    answer = await nimbus.api.client.request(method, f"/marketplace/nimbus{path}")

    assert refusal(answer) == (404, "not_found")


# --- Staff ----------------------------------------------------------------------------------------------------------


async def test_a_word_that_a_later_version_understands_is_applied_by_staff_and_stands_in_the_trail(
    nimbus: Nimbus,
) -> None:
    holder, desk = await nimbus.api.register(), await client(nimbus.api)
    account = await nimbus.account(holder)
    assert (await nimbus.says("hibernated", after=1)).json() == {"ok": True, "status": None}
    (odd,) = await kept(desk, state="ignored")
    path = f"/marketplace/notices/{odd['id']}/apply"

    too_early = await desk.post(path, headers=staff())
    before = await cloud_account(nimbus, holder)
    nimbus.market.words["hibernated"] = Effect.FROZEN
    done, again = [await desk.post(path, headers=staff("li.lei", "Nimbus has a new word")) for _ in range(2)]
    after = await cloud_account(nimbus, holder)

    assert (too_early.json()["state"], too_early.json()["effect"]) == ("ignored", "unknown")
    assert (done.json()["state"], done.json()["effect"]) == ("applied", "frozen")
    assert (done.json()["cloud_account_id"], done.json()["id"]) == (account, odd["id"])
    assert (before["status"], after["status"]) == ("active", "frozen")
    assert again.json() == done.json()
    trail = (await desk.get(f"/accounts/{holder.account_id}/activity")).json()["items"]
    (line,) = [one for one in trail if one["action"] == "cloud_notice.reapplied"]
    assert (line["actor"], line["actor_name"], line["reason"]) == ("staff", "li.lei", "Nimbus has a new word")
    assert line["new_value"] == f"{account} {odd['id']}"


async def test_messages_of_a_provider_that_was_switched_off_stay_as_they_are(nimbus: Nimbus) -> None:
    """Its module is gone; what it sold is not."""
    holder, desk = await nimbus.api.register(), await client(nimbus.api)
    account = await nimbus.account(holder)
    await nimbus.says("cancelled", "sub-9")
    (waiting,) = await kept(desk, state="waiting")

    async with running(nimbus.api.settings.database_url.get_secret_value()) as without:
        desk.api = without
        applied = await desk.post(f"/marketplace/notices/{waiting['id']}/apply", headers=staff())
        called = await without.client.post("/marketplace/nimbus", content=b"{}")
        await without.container.marketplace_worker.catch_up()
        shown = await get(without, holder, f"/cloud-accounts/{account}")
        still = await kept(desk, provider="nimbus", state="waiting")

    assert refusal(applied) == (409, "notice_unreadable")
    assert called.status_code == 404
    assert shown["status"] == "active"
    assert still == [waiting]


async def test_what_is_secret_in_a_message_is_kept_nowhere(nimbus: Nimbus) -> None:
    desk = await client(nimbus.api, Scope.STAFF_MARKETPLACE)
    await nimbus.sold()

    (one,) = await kept(desk)

    assert one["body"].keys() == {"id", "event", "subscription", "customer", "plan", "at"}


# --- Why it works ---------------------------------------------------------------------------------------------------


def test_nothing_but_modules_of_providers_wiring_and_settings_knows_a_provider_by_its_name() -> None:
    """Else the sixth would need more than its module."""
    folders = ("services", "repositories", "models", "workers", "api", "notifiers", "core")
    excused = {"api/wiring/marketplaces.py", "api/wiring/gateways.py", "core/config.py"}
    found = [
        f"{path.relative_to(APP)}:{node.lineno}"
        for folder in folders
        for path in (APP / folder).rglob("*.py")
        if str(path.relative_to(APP)) not in excused
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in {"alibaba", "aws", "huawei"}
    ]

    assert [one for one in found if "schemas" not in one] == []  # there they are examples
