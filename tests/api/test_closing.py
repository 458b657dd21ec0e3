"""Closing an account: only with a fresh login, and only when everybody who has to be asked says that nothing stands
against it."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import respx

from app.core.clock import now
from tests.support.api import Api, Holder, frozen, may_act, refusal, renewed
from tests.support.changes import NEW_EMAIL, PHONE
from tests.support.services import ServiceClient, client, feed, staff

Json = dict[str, Any]
BILLING = pytest.mark.settings(billing="http", billing_url="https://billing.example.com/v1", billing_token="t")
BOUND, RECENT, ARREARS, UNSETTLED = "bound_workspaces", "recent_credential_change", "arrears", "unsettled_bills"


async def close(api: Api, holder: Holder, **headers: str) -> httpx.Response:
    return await api.client.post("/v1/account/closure", headers=holder.auth | headers)


async def closed(api: Api, holder: Holder) -> None:
    answer = await close(api, holder)
    assert answer.status_code == 204, answer.text


def unmet(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 409, answer.text
    assert answer.json()["code"] == "closing_refused"
    return [(one["condition"], one["state"]) for one in answer.json()["unmet"]]


async def bind(service: ServiceClient, holder: Holder, workspace: str = "wksp_1") -> None:
    body = {"account_id": holder.account_id, "site": "cn1", "name": "Production"}
    assert (await service.put(f"/workspaces/{workspace}", body)).status_code == 201


async def dissolve(service: ServiceClient, workspace: str = "wksp_1") -> None:
    assert (await service.call("DELETE", f"/workspaces/{workspace}")).status_code == 204


async def lose_email(api: Api, holder: Holder) -> datetime:
    """A change by the other credential, which waits; when it takes effect."""
    change = (await api.start(holder, "email", "other")).json()["id"]
    await api.step(holder, change, "verify-current", {"code": await api.code(PHONE)})
    await api.step(holder, change, "new-value", {"value": NEW_EMAIL})
    waiting = await api.step(holder, change, "confirm", {"code": await api.code(NEW_EMAIL)})
    assert waiting.json()["state"] == "waiting", waiting.text
    return datetime.fromisoformat(waiting.json()["effective_at"])


def standing(holder: Holder, **answer: Any) -> respx.Route:
    """What the billing service says of the account."""
    return respx.get(f"https://billing.example.com/v1/accounts/{holder.account_id}/standing").respond(**answer)


def owing(holder: Holder, *, arrears: bool = False, unsettled_bills: bool = False) -> respx.Route:
    return standing(holder, json={"arrears": arrears, "unsettled_bills": unsettled_bills})


# --- A fresh login --------------------------------------------------------------------------------------------------


async def test_closing_needs_a_login_of_the_last_ten_minutes(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        clock.shift(timedelta(seconds=601))
        stale = await renewed(api, holder)  # the session goes on, but nobody has logged in anew

        answer = await close(api, stale)

        assert refusal(answer) == (401, "fresh_login_required")
        challenge = 'Bearer error="insufficient_user_authentication", max_age="600"'
        assert answer.headers["WWW-Authenticate"] == challenge
        assert await may_act(api, stale)
        assert (await close(api, await api.log_in(holder))).status_code == 204


async def test_a_login_of_just_ten_minutes_ago_is_fresh(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        clock.shift(timedelta(seconds=599))

        await closed(api, holder)


async def test_whoever_is_not_logged_in_closes_nothing(api: Api) -> None:
    holder = await api.register()
    service = await client(api)

    assert (await api.client.post("/v1/account/closure")).status_code == 401
    assert (await api.client.post("/v1/account/closure", headers=service.auth)).status_code == 401
    assert await may_act(api, holder)


# --- What stands against it -----------------------------------------------------------------------------------------


async def test_a_workspace_that_is_not_dissolved_stands_against_it(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    await bind(studio, holder, "wksp_1")
    await bind(studio, holder, "wksp_2")
    await dissolve(studio, "wksp_1")

    assert unmet(await close(api, holder)) == [(BOUND, "unmet")]
    assert await may_act(api, holder)
    await dissolve(studio, "wksp_2")
    await closed(api, holder)


async def test_another_account_s_workspace_does_not(api: Api) -> None:
    holder, other, studio = await api.register(), await api.register(), await client(api)
    await bind(studio, other)

    await closed(api, holder)


async def test_a_credential_that_changed_within_a_day_stands_against_it(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        await api.change_email(holder, NEW_EMAIL)
        until = now() + timedelta(hours=24)

        answer = await close(api, holder)

        assert unmet(answer) == [(RECENT, "unmet")]
        assert datetime.fromisoformat(answer.json()["unmet"][0]["until"]) == until
        clock.shift(timedelta(hours=24, seconds=1))
        await closed(api, await api.log_in(holder))


async def test_a_change_that_waits_stands_against_it_until_a_day_after_its_effect(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register(phone=PHONE)
        effective = await lose_email(api, holder)

        answer = await close(api, holder)

        assert unmet(answer) == [(RECENT, "unmet")]
        assert datetime.fromisoformat(answer.json()["unmet"][0]["until"]) >= effective
        clock.move_to(effective + timedelta(seconds=1))
        assert unmet(await close(api, await api.log_in(holder))) == [(RECENT, "unmet")]  # due, and not applied yet
        assert await api.container.waiting.apply_due() == 1
        assert unmet(await close(api, await api.log_in(holder))) == [(RECENT, "unmet")]
        clock.shift(timedelta(hours=24))
        await closed(api, await api.log_in(holder))


async def test_a_phone_that_was_added_replaced_nothing_and_stands_against_nothing(api: Api) -> None:
    await closed(api, await api.register(phone=PHONE))


@BILLING
@respx.mock
@pytest.mark.parametrize(
    ("owed", "expected"),
    [
        ({"arrears": True}, [(ARREARS, "unmet")]),
        ({"unsettled_bills": True}, [(UNSETTLED, "unmet")]),
        ({"arrears": True, "unsettled_bills": True}, [(ARREARS, "unmet"), (UNSETTLED, "unmet")]),
    ],
)
async def test_what_is_owed_stands_against_it(api: Api, owed: dict[str, bool], expected: list[tuple[str, str]]) -> None:
    holder = await api.register()
    owing(holder, **owed)

    assert unmet(await close(api, holder)) == expected
    assert await may_act(api, holder)


@BILLING
@respx.mock
async def test_all_that_stands_against_it_is_told_at_once(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    await bind(studio, holder)
    await api.change_email(holder, NEW_EMAIL)
    owing(holder, arrears=True, unsettled_bills=True)

    answer = await close(api, holder)

    assert unmet(answer) == [(name, "unmet") for name in (BOUND, RECENT, ARREARS, UNSETTLED)]
    assert [one["until"] is not None for one in answer.json()["unmet"]] == [False, True, False, False]


@BILLING
@respx.mock
async def test_an_account_that_owes_nothing_is_closed(api: Api) -> None:
    holder = await api.register()
    asked = owing(holder)

    await closed(api, holder)

    assert asked.call_count == 1
    assert asked.calls[0].request.headers["Authorization"] == "Bearer t"


SILENT: dict[str, Json] = {
    "down": {"side_effect": httpx.ConnectError("refused")},
    "slow": {"side_effect": httpx.ReadTimeout("slow")},
    "500": {"return_value": httpx.Response(500, json={"arrears": False, "unsettled_bills": False})},
    "404": {"return_value": httpx.Response(404)},
    "garbage": {"return_value": httpx.Response(200, content=b"\x00\xff")},
    "HTML": {"return_value": httpx.Response(200, html="<p>Welcome</p>")},
    "redirect": {"return_value": httpx.Response(302, headers={"Location": "https://billing.example.com/ok"})},
    "wrong types": {"return_value": httpx.Response(200, json={"arrears": "false", "unsettled_bills": 0})},
    "half": {"return_value": httpx.Response(200, json={"arrears": False})},
}


@BILLING
@respx.mock
@pytest.mark.parametrize("answer", SILENT.values(), ids=SILENT)
async def test_nobody_can_tell_while_the_billing_service_does_not_and_nothing_is_closed(api: Api, answer: Json) -> None:
    holder = await api.register()
    standing(holder).mock(**answer)

    refused = await close(api, holder)

    assert refusal(refused) == (503, "closing_undecided")
    assert int(refused.headers["Retry-After"]) > 0
    assert await may_act(api, holder)
    assert [event["type"] for event in await feed(await client(api))] == ["account.created"]


@BILLING
@respx.mock
async def test_what_nobody_can_tell_stands_beside_what_is_known_to_be_against_it(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    await bind(studio, holder)
    standing(holder).mock(side_effect=httpx.ConnectError("refused"))

    assert unmet(await close(api, holder)) == [(BOUND, "unmet"), (ARREARS, "unknown"), (UNSETTLED, "unknown")]


@BILLING
@respx.mock
async def test_with_a_stale_login_the_billing_service_is_not_asked(api: Api) -> None:
    with frozen() as clock:
        holder = await api.register()
        asked = owing(holder)
        clock.shift(timedelta(seconds=601))

        await close(api, await renewed(api, holder))

        assert not asked.called


@BILLING
@respx.mock
async def test_a_workspace_bound_while_the_billing_service_is_asked_stands_against_it(api: Api) -> None:
    holder, studio = await api.register(), await client(api)

    async def meanwhile(_: httpx.Request) -> httpx.Response:
        await bind(studio, holder)
        return httpx.Response(200, json={"arrears": False, "unsettled_bills": False})

    standing(holder).mock(side_effect=meanwhile)

    assert unmet(await close(api, holder)) == [(BOUND, "unmet")]


@pytest.mark.settings(billing="http", billing_url="https://billing.example.com/v1/", database_pool_size=1)
@respx.mock
async def test_others_are_served_while_the_billing_service_is_asked(api: Api) -> None:
    """No transaction and no connection is held meanwhile: with a single one, nobody else would get through."""
    holder, seen = await api.register(), []

    async def meanwhile(_: httpx.Request) -> httpx.Response:
        seen.append(await may_act(api, holder))
        return httpx.Response(200, json={"arrears": False, "unsettled_bills": False})

    standing(holder).mock(side_effect=meanwhile)

    await closed(api, holder)

    assert seen == [True]


@BILLING
@respx.mock
async def test_a_holder_who_is_suspended_while_the_billing_service_is_asked_closes_nothing(api: Api) -> None:
    holder, desk = await api.register(), await client(api)

    async def meanwhile(_: httpx.Request) -> httpx.Response:
        await desk.put(f"/accounts/{holder.account_id}/status", {"status": "suspended"}, headers=staff())
        return httpx.Response(200, json={"arrears": False, "unsettled_bills": False})

    standing(holder).mock(side_effect=meanwhile)

    assert refusal(await close(api, holder)) == (401, "session_ended")
    assert (await desk.get(f"/accounts/{holder.account_id}")).json()["status"] == "suspended"
