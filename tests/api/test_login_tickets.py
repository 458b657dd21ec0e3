"""Login tickets: the owner of a workspace comes in from the studio, once, within a minute, and the trail knows who."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

from app.core import ids
from app.core.clock import now
from app.core.crypto import digest
from app.models.sessions import LoginTicket
from tests.support.api import Api, Holder, calling_from, frozen, refusal
from tests.support.changes import shown
from tests.support.services import ServiceClient, client, staff

Json = dict[str, Any]
WORKSPACE, OWNER = "wksp_8f2c1d", "user_5b1e (李雷)"


async def ask(service: ServiceClient, payer: str, **changes: Any) -> httpx.Response:
    body = {"account_id": payer, "workspace_id": WORKSPACE, "actor": OWNER, **changes}
    return await service.post("/login-tickets", body)


async def issued(service: ServiceClient, account_id: str) -> str:
    answer = await ask(service, account_id)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ticket"])


async def redeem(api: Api, ticket: str) -> httpx.Response:
    return await api.client.post("/v1/sessions", json={"method": "ticket", "ticket": ticket})


async def put_workspace(service: ServiceClient, account_id: str) -> None:
    answer = await service.put(f"/workspaces/{WORKSPACE}", {"account_id": account_id, "site": "cn1", "name": "P"})
    assert answer.status_code == 201, answer.text


async def suspend(api: Api, service: ServiceClient, holder: Holder) -> None:
    url = f"/accounts/{holder.account_id}/status"
    assert (await service.put(url, {"status": "suspended"}, headers=staff())).status_code == 200


async def close(api: Api, _: ServiceClient, holder: Holder) -> None:
    assert (await api.client.post("/v1/account/closure", headers=holder.auth)).status_code == 204


async def test_a_ticket_lets_its_owner_in_without_any_credential(api: Api) -> None:
    holder, studio = await api.register(), await client(api)

    answer = await redeem(api, await issued(studio, holder.account_id))

    assert (answer.status_code, answer.json()["account_id"]) == (201, holder.account_id)
    auth = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await api.client.get("/v1/account", headers=auth)).json()["username"] == holder.username
    (session,) = [one for one in (await sessions(api, auth)) if one["current"]]
    assert session["method"] == "ticket"


async def sessions(api: Api, auth: dict[str, str]) -> list[Json]:
    items: list[Json] = (await api.client.get("/v1/sessions", headers=auth)).json()["items"]
    return items


async def test_a_ticket_is_good_once(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    ticket = await issued(studio, holder.account_id)
    await redeem(api, ticket)

    assert refusal(await redeem(api, ticket)) == (401, "invalid_ticket")


async def test_of_twenty_redemptions_at_once_one_lets_in(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    ticket = await issued(studio, holder.account_id)

    answers = await asyncio.gather(*(redeem(api, ticket) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [201] + [401] * 19
    assert len(await sessions(api, holder.auth)) == 2


@pytest.mark.parametrize(
    ("seconds", "status"),
    [
        (59, 201),
        (60, 401),
        pytest.param(4, 201, marks=pytest.mark.settings(login_ticket_seconds=5)),
        pytest.param(5, 401, marks=pytest.mark.settings(login_ticket_seconds=5)),
    ],
)
async def test_a_ticket_is_good_for_a_minute_or_as_long_as_is_set(api: Api, seconds: int, status: int) -> None:
    with frozen() as clock:
        holder, studio = await api.register(), await client(api)
        ticket = await issued(studio, holder.account_id)
        clock.shift(timedelta(seconds=seconds))

        assert (await redeem(api, ticket)).status_code == status


async def test_its_end_is_told(api: Api) -> None:
    with frozen():
        holder, studio = await api.register(), await client(api)

        told = (await ask(studio, holder.account_id)).json()["expires_at"]

        assert told == shown(now() + timedelta(seconds=60))


async def test_only_the_hash_of_a_ticket_is_kept(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    ticket = await issued(studio, holder.account_id)

    async with api.container.engine.connect() as connection:
        (row,) = list(await connection.execute(select(LoginTicket.__table__)))
        everything = [
            str(list(await connection.execute(text(f"SELECT * FROM {table}"))))  # noqa: S608
            for table in ("login_tickets", "activity", "outbox_messages", "events", "idempotent_answers")
        ]

    assert row.ticket_hash == digest(ticket)
    assert not [table for table in everything if ticket in table]


async def test_the_trail_keeps_who_asked_and_who_logged_in_from_where(api: Api) -> None:
    holder, studio = await api.register(), await client(api, name="studio")
    ticket = await issued(studio, holder.account_id)
    async with calling_from(api, "203.0.113.9") as elsewhere:
        session = (await redeem(elsewhere, ticket)).json()["session_id"]

    trail = (await studio.get(f"/accounts/{holder.account_id}/activity")).json()["items"]
    login, asked = trail[0], trail[1]
    assert (asked["action"], asked["actor"], asked["actor_name"]) == ("login_ticket.issued", "service", OWNER)
    assert (asked["client"], asked["new_value"]) == ("studio", WORKSPACE)
    assert (login["action"], login["actor"], login["actor_name"]) == ("session.started", "holder", OWNER)
    assert (login["new_value"], login["session_id"], login["ip"]) == ("ticket", session, "203.0.113.9")
    seen = (await api.client.get("/v1/account/activity", headers=holder.auth)).json()["items"][:2]
    assert [one["actor_name"] for one in seen] == [OWNER, OWNER]


@pytest.mark.parametrize(("ending", "code"), [(suspend, "account_suspended"), (close, "account_closed")])
async def test_no_ticket_is_given_for_an_account_that_may_not_act(
    api: Api, ending: Callable[[Api, ServiceClient, Holder], Awaitable[None]], code: str
) -> None:
    holder, studio = await api.register(), await client(api)
    await ending(api, studio, holder)

    answer = await ask(studio, holder.account_id)

    assert (answer.is_success, answer.json()["code"]) == (False, code)


@pytest.mark.parametrize("ending", [suspend, close])
async def test_a_ticket_given_before_the_account_s_end_lets_nobody_in(
    api: Api, ending: Callable[[Api, ServiceClient, Holder], Awaitable[None]]
) -> None:
    holder, studio = await api.register(), await client(api)
    ticket = await issued(studio, holder.account_id)

    await ending(api, studio, holder)

    assert refusal(await redeem(api, ticket)) == (401, "invalid_ticket")


async def test_a_ticket_given_before_a_suspension_is_void_after_the_restoring_too(api: Api) -> None:
    """Suspending ends every way in that was open; a ticket is one."""
    holder, studio = await api.register(), await client(api)
    ticket = await issued(studio, holder.account_id)
    await suspend(api, studio, holder)
    url = f"/accounts/{holder.account_id}/status"
    assert (await studio.put(url, {"status": "active"}, headers=staff())).status_code == 200

    assert refusal(await redeem(api, ticket)) == (401, "invalid_ticket")


async def test_no_ticket_is_given_for_an_account_that_nobody_has(api: Api) -> None:
    studio = await client(api)

    assert refusal(await ask(studio, ids.show(ids.ACCOUNT, ids.new()))) == (404, "not_found")


async def test_no_ticket_is_given_for_a_workspace_that_another_account_pays_for(api: Api) -> None:
    holder, other, studio = await api.register(), await api.register(), await client(api)
    await put_workspace(studio, other.account_id)

    assert refusal(await ask(studio, holder.account_id)) == (409, "workspace_elsewhere")
    assert (await ask(studio, other.account_id)).status_code == 201


async def test_no_ticket_is_given_for_a_workspace_that_was_dissolved(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    await put_workspace(studio, holder.account_id)
    await studio.call("DELETE", f"/workspaces/{WORKSPACE}")

    assert refusal(await ask(studio, holder.account_id)) == (409, "workspace_dissolved")


@pytest.mark.parametrize(
    "wrong",
    [
        {"account_id": "acnt_1"},
        {"account_id": None},
        {"workspace_id": "8f2c1d"},
        {"workspace_id": "wksp_"},
        {"actor": " "},
        {"actor": "a" * 129},
        {"actor": "li\u202elei"},
        {"life": 3600},
    ],
)
async def test_a_ticket_is_asked_for_in_full(api: Api, wrong: Json) -> None:
    holder, studio = await api.register(), await client(api)

    assert refusal(await ask(studio, holder.account_id, **wrong)) == (422, "validation_failed")


@pytest.mark.parametrize("ticket", ["A" * 43, "A" * 20, "-" * 200])
async def test_a_made_up_ticket_lets_nobody_in(api: Api, ticket: str) -> None:
    assert refusal(await redeem(api, ticket)) == (401, "invalid_ticket")
