"""Fifty at once, through two instances on one PostgreSQL: one wins, the others are told why, nothing is done twice."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import chain

import httpx
import pytest
import time_machine

from app.core.clock import now
from tests.races import Call, Replicas, assert_documented, outcome, tally
from tests.support.api import PASSWORD, Api, Holder, running

MANY = 50
NEW = "new@example.org"
CHANGES = "/v1/account/credential-changes"


@pytest.fixture
async def replicas(request: pytest.FixtureRequest, pg_api: Api, postgres_database: str) -> AsyncIterator[Replicas]:
    marker = request.node.get_closest_marker("settings")
    async with running(postgres_database, **(marker.kwargs if marker else {})) as second:
        yield Replicas(pg_api, second)


def post(url: str, body: dict[str, str], holder: Holder | None = None) -> Call:
    return lambda client: client.post(url, json=body, headers=holder.auth if holder else None)


def another(code: str, step: int) -> str:
    """A wrong code, a different one for each step."""
    return f"{(int(code) + step) % 1_000_000:06}"


# --- Credential changes ---------------------------------------------------------------------------------------------


async def test_of_fifty_confirmations_with_the_right_code_one_takes_effect(replicas: Replicas) -> None:
    api = replicas.first
    holder = await api.register()
    change = await api.reach_confirm(holder, NEW, proves=holder.email)
    confirm = post(f"{CHANGES}/{change}/confirm", {"code": await api.code(NEW)}, holder)

    answers = await replicas.at_once([confirm] * MANY)

    assert tally(answers)["200"] == 1
    assert_documented(api, f"post {CHANGES}/{{id}}/confirm", answers)
    assert len(await api.messages(holder.email, "credential_changed_old")) == 1
    assert len(await api.messages(NEW, "credential_changed_new")) == 1


async def test_of_five_accounts_that_prove_one_address_at_once_one_gets_it(replicas: Replicas) -> None:
    api, calls, losers = replicas.first, [], []
    for _ in range(5):
        holder = await api.register()
        change = await api.reach_confirm(holder, NEW, proves=holder.email)
        calls.append(post(f"{CHANGES}/{change}/confirm", {"code": await api.code(NEW)}, holder))
        losers.append(lambda client, holder=holder, change=change: client.get(f"{CHANGES}/{change}", headers=holder.auth))

    answers = await replicas.at_once(calls)

    assert tally(answers) == {"200": 1, "email_taken": 4}
    assert await replicas.scalar(f"SELECT count(*) FROM accounts WHERE email_key = '{NEW}'") == 1
    states = sorted(answer.json()["state"] for answer in await replicas.at_once(losers))
    assert states == ["completed"] + ["propose"] * 4
