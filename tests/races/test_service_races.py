"""Services and holders at once, on two instances and one PostgreSQL: no account twice, none closed with a way in."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.main import documents
from tests.races import Call, Replicas, assert_documented, outcome, post, send, tally
from tests.support.api import PASSWORD, Api, Holder, running
from tests.support.services import ServiceClient, client, feed, spread, staff

MANY = 20
ROUNDS = 8
ORDER = {"username": "acme", "email": "li@example.com", "phone": "+8613800138000", "company_name": "Northwind"}
LIVE = "SELECT count(*) FROM sessions WHERE ended_at IS NULL"


@pytest.fixture
async def replicas(request: pytest.FixtureRequest, pg_api: Api, postgres_database: str) -> AsyncIterator[Replicas]:
    marker = request.node.get_closest_marker("settings")
    async with running(postgres_database, **(marker.kwargs if marker else {})) as second:
        yield Replicas(pg_api, second)


def by(service: ServiceClient, method: str, path: str, body: Any = None, **headers: str | bytes) -> Call:
    """A call of the internal surface, from either instance."""
    sent: Any = {**service.auth, **headers}
    return lambda caller: caller.request(method, f"/internal/v1{path}", json=body, headers=sent)


def close(holder: Holder) -> Call:
    return send("POST", "/v1/account/closure", holder)


def log_in(holder: Holder) -> Call:
    return post("/v1/sessions", {"method": "password", "identifier": holder.username, "password": PASSWORD})


def redeem(ticket: str) -> Call:
    return post("/v1/sessions", {"method": "ticket", "ticket": ticket})


def bind(studio: ServiceClient, holder: Holder, workspace: str) -> Call:
    body = {"account_id": holder.account_id, "site": "cn1", "name": "Production"}
    return by(studio, "PUT", f"/workspaces/{workspace}", body)


def assert_internal(operation: str, answers: Sequence[httpx.Response]) -> None:
    """Each answer has a status and a code that the document of the internal surface gives for the operation."""
    method, _, path = operation.partition(" ")
    responses = documents()["internal"]["paths"][path][method]["responses"]
    for answer in answers:
        problem = responses[str(answer.status_code)]["content"].get("application/problem+json", {})
        assert answer.is_success or outcome(answer) in problem["examples"], answer.text


async def ticket_for(studio: ServiceClient, holder: Holder) -> str:
    body = {"account_id": holder.account_id, "workspace_id": "wksp_1", "actor": "li"}
    answer = await studio.post("/login-tickets", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ticket"])


# --- One reference, one account -------------------------------------------------------------------------------------


async def test_of_twenty_orders_under_one_reference_one_makes_the_account_and_all_get_it(replicas: Replicas) -> None:
    api, service = replicas.first, await client(replicas.first)

    answers = await replicas.at_once([by(service, "POST", "/accounts", {**ORDER, "reference": "reg-42"})] * MANY)

    assert tally(answers) == {"201": 1, "200": MANY - 1}
    assert_internal("post /internal/v1/accounts", answers)
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await replicas.scalar("SELECT count(*) FROM accounts") == 1
    assert await replicas.scalar("SELECT count(*) FROM activity") == 1
    await spread(api)
    assert len(await feed(service)) == 1


async def test_an_order_again_while_the_first_is_not_committed_yet_gets_its_account(replicas: Replicas) -> None:
    """The caller's connection broke, and it asks the other instance at once."""
    service = await client(replicas.first)
    order = by(service, "POST", "/accounts", {**ORDER, "reference": "reg-42"})

    first, again = await in_turn(replicas, order, order)

    assert (outcome(first), outcome(again)) == ("201", "200")
    assert again.json() == first.json()


async def test_another_order_under_its_reference_while_the_first_is_not_committed_yet_is_refused(
    replicas: Replicas,
) -> None:
    service = await client(replicas.first)
    order = {**ORDER, "reference": "reg-42"}
    other = {**order, "username": "other", "email": "other@example.com", "phone": None}

    answers = await in_turn(replicas, *(by(service, "POST", "/accounts", one) for one in (order, other)))

    assert [outcome(answer) for answer in answers] == ["201", "reference_taken"]
    assert await replicas.scalar("SELECT count(*) FROM accounts") == 1


async def test_of_twenty_orders_with_other_contents_under_one_reference_one_is_made(replicas: Replicas) -> None:
    service = await client(replicas.first)
    orders = [
        {**ORDER, "username": f"acme{n}", "email": f"li{n}@example.com", "phone": None, "reference": "reg-42"}
        for n in range(MANY)
    ]

    answers = await replicas.at_once(by(service, "POST", "/accounts", order) for order in orders)

    assert tally(answers) == {"201": 1, "reference_taken": MANY - 1}
    assert_internal("post /internal/v1/accounts", answers)
    assert await replicas.scalar("SELECT count(*) FROM accounts") == 1


async def test_of_twenty_orders_without_a_reference_one_is_made_and_the_others_are_told(replicas: Replicas) -> None:
    service = await client(replicas.first)

    answers = await replicas.at_once([by(service, "POST", "/accounts", ORDER)] * MANY)

    told = tally(answers)
    assert told["201"] == 1
    assert set(told) <= {"201", "username_taken", "email_taken", "phone_taken"}
    assert await replicas.scalar("SELECT count(*) FROM accounts") == 1


async def test_of_twenty_clients_that_order_one_account_each_under_its_reference_one_gets_it(
    replicas: Replicas,
) -> None:
    services = [await client(replicas.first) for _ in range(MANY)]

    answers = await replicas.at_once(by(one, "POST", "/accounts", {**ORDER, "reference": "r"}) for one in services)

    assert tally(answers)["201"] == 1
    assert all(answer.status_code in (201, 409) for answer in answers)
    assert await replicas.scalar("SELECT count(*) FROM account_references") == 1


# --- Tickets and workspaces -----------------------------------------------------------------------------------------


async def test_of_twenty_redemptions_of_a_ticket_on_two_instances_one_lets_in(replicas: Replicas) -> None:
    api, studio = replicas.first, await client(replicas.first)
    holder = await api.register()

    answers = await replicas.at_once([redeem(await ticket_for(studio, holder))] * MANY)

    assert tally(answers) == {"201": 1, "invalid_ticket": MANY - 1}
    assert_documented(api, "post /v1/sessions", answers)
    assert await replicas.scalar("SELECT count(*) FROM sessions WHERE method = 'ticket'") == 1


async def test_of_twenty_that_name_a_workspace_first_one_makes_it_known(replicas: Replicas) -> None:
    api, studio = replicas.first, await client(replicas.first)
    holder = await api.register()

    answers = await replicas.at_once([bind(studio, holder, "wksp_1")] * MANY)

    assert tally(answers) == {"201": 1, "200": MANY - 1}
    assert_internal("put /internal/v1/workspaces/{id}", answers)


async def test_of_two_accounts_that_a_new_workspace_is_said_to_belong_to_one_gets_it(replicas: Replicas) -> None:
    api, studio = replicas.first, await client(replicas.first)
    one, other = await api.register(), await api.register()

    answers = await replicas.at_once([bind(studio, one, "wksp_1"), bind(studio, other, "wksp_1")] * 5)

    told = tally(answers)
    assert told == {"201": 1, "200": 4, "workspace_elsewhere": 5}
    assert len({answer.json()["account_id"] for answer in answers if answer.is_success}) == 1


# --- Closing --------------------------------------------------------------------------------------------------------


async def test_an_account_is_never_closed_with_a_bound_workspace(replicas: Replicas) -> None:
    api, studio = replicas.first, await client(replicas.first)
    closed = 0
    for number in range(ROUNDS):
        holder = await api.register()
        binding = [bind(studio, holder, f"wksp_{number}_{n}") for n in range(3)]

        *bound, ended = await replicas.at_once(
            [*binding, close(holder)] if number % 2 else [*binding[:1], close(holder)]
        )

        if ended.is_success:
            closed += 1
            assert tally(bound) == {"account_closed": len(bound)}
        else:
            assert outcome(ended) == "closing_refused"
            assert any(answer.is_success for answer in bound)
    wrong = "SELECT count(*) FROM workspaces w JOIN accounts a ON a.id = w.account_id WHERE a.status = 'closed'"
    assert await replicas.scalar(wrong) == 0
    assert await replicas.scalar("SELECT count(*) FROM accounts WHERE status = 'closed'") == closed


@pytest.mark.parametrize("way", ["password", "ticket"])
async def test_whoever_logs_in_while_the_account_is_closed_is_out_afterwards(replicas: Replicas, way: str) -> None:
    api, studio = replicas.first, await client(replicas.first)
    for _ in range(ROUNDS):
        holder = await api.register()
        logins = [log_in(holder) if way == "password" else redeem(await ticket_for(studio, holder)) for _ in range(3)]

        *entered, ended = await replicas.at_once([*logins, close(holder)])

        assert ended.status_code == 204, ended.text
        assert {outcome(answer) for answer in entered} <= {"201", "invalid_credentials", "invalid_ticket"}
        for answer in entered:
            assert not await _may_act(api, answer)
    assert await replicas.scalar(LIVE) == 0
    assert await replicas.scalar("SELECT count(*) FROM login_tickets") == 0


@pytest.mark.parametrize("way", ["password", "ticket"])
async def test_whoever_logs_in_while_the_account_is_suspended_is_out_even_after_its_restoring(
    replicas: Replicas, way: str
) -> None:
    api, desk = replicas.first, await client(replicas.first)
    for _ in range(ROUNDS):
        holder = await api.register()
        status, who = f"/accounts/{holder.account_id}/status", staff()
        logins = [log_in(holder) if way == "password" else redeem(await ticket_for(desk, holder)) for _ in range(3)]

        *entered, ended = await replicas.at_once([*logins, by(desk, "PUT", status, {"status": "suspended"}, **who)])

        assert ended.status_code == 200, ended.text
        assert {outcome(answer) for answer in entered} <= {
            "201",
            "account_suspended",
            "invalid_credentials",
            "invalid_ticket",
        }
        assert (await desk.put(status, {"status": "active"}, headers=who)).status_code == 200
        for answer in entered:
            assert not await _may_act(api, answer)
    assert await replicas.scalar(LIVE) == 0


async def test_of_twenty_closings_at_once_one_closes_and_tells(replicas: Replicas) -> None:
    api, service = replicas.first, await client(replicas.first)
    holder = await api.register()

    answers = await replicas.at_once([close(holder)] * MANY)

    assert tally(answers) == {"204": 1, "session_ended": MANY - 1}
    assert len(await api.messages(holder.email, "account_closed")) == 1
    await spread(api)
    assert [event["type"] for event in await feed(service)] == ["account.created", "account.closed"]


async def test_of_a_closing_and_a_suspension_at_once_each_is_whole(replicas: Replicas) -> None:
    api, desk = replicas.first, await client(replicas.first)
    for _ in range(ROUNDS):
        holder = await api.register()
        status = f"/accounts/{holder.account_id}/status"
        suspension = by(desk, "PUT", status, {"status": "suspended"}, **staff())

        suspended, ended = await replicas.at_once([suspension, close(holder)])

        first = (outcome(suspended), outcome(ended))
        assert first in {("200", "session_ended"), ("account_closed", "204")}, first
    emptied = "SELECT count(*) FROM accounts WHERE status <> 'closed' AND email = ''"
    assert await replicas.scalar(emptied) == 0


async def test_events_of_one_account_come_in_the_order_of_its_fate(replicas: Replicas) -> None:
    """Suspended and restored by many hands: the feed tells a story that can have happened."""
    api, desk = replicas.first, await client(replicas.first)
    holder = await api.register()
    path, who = f"/accounts/{holder.account_id}/status", staff()
    turns = [by(desk, "PUT", path, {"status": status}, **who) for status in ("suspended", "active")]

    answers = await replicas.at_once(turns * (MANY // 2))

    assert tally(answers) == {"200": MANY}
    await spread(api)
    told = [event["type"] for event in await feed(desk)]
    expected = ["account.created", *(["account.suspended", "account.restored"] * MANY)][: len(told)]
    assert told == expected
    last = await replicas.scalar("SELECT status FROM accounts")
    assert last == ("suspended" if told[-1] == "account.suspended" else "active")


async def _may_act(api: Api, login: httpx.Response) -> bool:
    if not login.is_success:
        return False
    auth = {"Authorization": f"Bearer {login.json()['access_token']}"}
    return (await api.client.get("/v1/account", headers=auth)).is_success


async def test_a_ticket_asked_for_just_before_the_closing_is_gone_with_the_account(replicas: Replicas) -> None:
    api, studio = replicas.first, await client(replicas.first)
    holder = await api.register()
    body = {"account_id": holder.account_id, "workspace_id": "wksp_1", "actor": "li"}

    asked, ended = await in_turn(replicas, by(studio, "POST", "/login-tickets", body), close(holder))

    assert (asked.status_code, ended.status_code) == (201, 204)
    assert await replicas.scalar("SELECT count(*) FROM login_tickets") == 0
    assert outcome(await redeem(asked.json()["ticket"])(api.client)) == "invalid_ticket"


async def test_a_session_that_is_ended_just_before_it_would_close_the_account_closes_nothing(
    replicas: Replicas,
) -> None:
    """Somebody closes the account from a stolen session, and staff, or the holder with a new password, ends it."""
    api, desk = replicas.first, await client(replicas.first)
    holder, other = await api.register(), await api.register()
    by_staff = by(desk, "DELETE", f"/accounts/{holder.account_id}/sessions", **staff())
    body = {"current_password": PASSWORD, "new_password": "another long passphrase"}
    by_holder = send("PUT", "/v1/account/password", await api.log_in(other), body)

    for ending, thief in ((by_staff, holder), (by_holder, other)):
        answers = await in_turn(replicas, ending, close(thief))

        assert [outcome(answer) for answer in answers] == ["204", "session_ended"]
    assert await replicas.scalar("SELECT count(*) FROM accounts WHERE status = 'closed'") == 0


async def in_turn(replicas: Replicas, first: Call, second: Call) -> list[httpx.Response]:
    """Stop both where they write the trail, or earlier, the first one first; then both may go on."""
    async with replicas.first.container.engine.connect() as connection:
        await connection.execute(text("LOCK TABLE activity IN SHARE MODE"))
        running_first = asyncio.ensure_future(first(replicas.first.client))
        await _waiting(connection, 1)
        running_second = asyncio.ensure_future(second(replicas.second.client))
        await _waiting(connection, 2)
        await connection.rollback()
    return list(await asyncio.gather(running_first, running_second))


async def _waiting(connection: AsyncConnection, sessions: int) -> None:
    """Until so many of the database's sessions wait for a lock."""
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(4):
        while (await connection.scalar(text(blocked)) or 0) < sessions:
            await connection.execute(text("SELECT pg_stat_clear_snapshot()"))
