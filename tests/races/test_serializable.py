"""The main write paths on a database whose transactions are SERIALIZABLE: its conflicts are real ones."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import text

from app.core import migrations
from app.core.database import async_url, open_engine
from tests.races import Replicas, create_database, post, send, tally
from tests.support.api import running
from tests.support.clouds import MARKETPLACES, alibaba_account, workspace
from tests.support.services import client

_AGAIN = {"try_again"}


@pytest.fixture
async def replicas(postgres_url: str) -> AsyncIterator[Replicas]:
    url = await create_database(postgres_url)
    name = async_url(url).database
    engine = open_engine(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"))
    await engine.dispose()
    await asyncio.to_thread(migrations.upgrade, url)
    async with running(url, **MARKETPLACES) as first, running(url, **MARKETPLACES) as second:
        yield Replicas(first, second)


def only(answers: list[httpx.Response], *expected: str) -> None:
    """Each is as it would be one after the other, or says to come again."""
    assert set(tally(answers)) <= {*expected, *_AGAIN}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)


async def test_transactions_are_serializable(replicas: Replicas) -> None:
    assert await replicas.scalar("SHOW transaction_isolation") == "serializable"


async def test_a_code_that_many_enter_at_once_lets_one_in(replicas: Replicas) -> None:
    api = replicas.first
    holder = await api.register()
    asked = (await api.client.post("/v1/login-codes", json={"identifier": holder.username})).json()
    body = {"method": "code", "challenge_id": asked["challenge_id"], "code": await api.code(holder.email)}
    answers = await replicas.at_once([post("/v1/sessions", body)] * 4)
    only(answers, "201", "code_used", "too_many_tries")
    assert tally(answers)["201"] <= 1
    assert await replicas.scalar("SELECT count(*) FROM sessions") == 1 + tally(answers)["201"]


async def test_a_name_that_many_register_at_once_is_one_account(replicas: Replicas) -> None:
    service = await client(replicas.first)
    body = {"username": "acme", "email": "acme@example.com", "company_name": "Acme", "reference": "r-1"}

    async def make(http: httpx.AsyncClient) -> httpx.Response:
        return await http.post("/internal/v1/accounts", json=body, headers=service.auth)

    only(await replicas.at_once([make] * 6), "201", "200", "username_taken", "reference_taken")
    assert await replicas.scalar("SELECT count(*) FROM accounts") == 1


async def test_a_workspace_that_many_settle_at_once_has_one_chain(replicas: Replicas) -> None:
    api = replicas.first
    holder = await api.register()
    workspace_id = await workspace(await client(api), holder)
    body = {"method": "cloud_account", "cloud_account_id": await alibaba_account(api, holder)}
    url = f"/v1/account/workspaces/{workspace_id}/settlement"
    only(await replicas.at_once([send("PUT", url, holder, body)] * 6), "200", "settlement_refused")
    assert await replicas.scalar("SELECT count(*) FROM settlements") == 2


async def test_a_password_that_many_change_at_once_is_changed_once(replicas: Replicas) -> None:
    holder = await replicas.first.register()
    calls = [
        send(
            "PUT",
            "/v1/account/password",
            holder,
            {"current_password": holder.password, "new_password": f"{n} staples in a row"},
        )
        for n in range(4)
    ]
    answers = await replicas.at_once(calls)
    only(answers, "204", "wrong_password", "credentials_moved", "session_ended", "too_many_tries", "password_changed")
    assert await replicas.scalar("SELECT count(*) FROM activity WHERE action = 'password.changed'") == 1
