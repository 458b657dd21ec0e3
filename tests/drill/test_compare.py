"""The drill sees what it is there to see: a write that was lost, one that was done twice, one that is another."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.core import ids
from drill.compare import Findings, compare
from drill.ledger import Kind, Ledger
from tests.support.api import Api, Holder
from tests.support.changes import execute


class Database:
    """The database of the service under test, asked as the drill asks its servers."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def query(self, statement: str) -> list[Any]:
        async with self._api.container.engine.connect() as connection:
            rows = await connection.exec_driver_sql(statement)
            return [Row(zip(rows.keys(), row, strict=True)) for row in rows]


class Row(dict[str, Any]):
    """By name, and by place as well."""

    def __missing__(self, place: Any) -> Any:
        return list(self.values())[place]


@pytest.fixture
async def holder(pg_api: Api) -> AsyncIterator[Holder]:
    yield await pg_api.register()


def told(holder: Holder) -> Ledger:
    ledger = Ledger()
    ledger.acknowledge(Kind.ACCOUNT, holder.username, holder.account_id)
    ledger.acknowledge(Kind.SESSION, holder.account_id, holder.session_id)
    return ledger


async def found(api: Api, ledger: Ledger) -> Findings:
    return await compare(ledger, Database(api))


async def test_what_was_acknowledged_and_is_there_is_clean(pg_api: Api, holder: Holder) -> None:
    assert (await found(pg_api, told(holder))).clean


async def test_a_write_that_is_not_there_is_lost(pg_api: Api, holder: Holder) -> None:
    ledger = told(holder)
    ledger.acknowledge(Kind.PROFILE, holder.account_id, "Person 1")
    ledger.acknowledge(Kind.SESSION, holder.account_id, ids.show(ids.SESSION, ids.new()))
    lost = (await found(pg_api, ledger)).lost
    assert sum(one.startswith("profile edit") for one in lost) == 2  # no event of it, and another value
    assert sum(one.startswith("session") for one in lost) == 2  # one of two, and not by its id


async def test_a_write_that_was_done_twice_is_doubled(pg_api: Api, holder: Holder) -> None:
    ledger = told(holder)
    await pg_api.log_in(holder)
    doubled = (await found(pg_api, ledger)).doubled
    assert [one.split(" of ")[0] for one in doubled] == ["session"]


async def test_a_login_that_was_repeated_after_a_lost_answer_may_have_made_two(pg_api: Api, holder: Holder) -> None:
    ledger = told(holder)
    again = await pg_api.log_in(holder)
    ledger.acknowledge(Kind.SESSION, holder.account_id, again.session_id, spare=1)
    await pg_api.log_in(holder)
    assert (await found(pg_api, ledger)).clean


async def test_an_older_value_than_the_last_acknowledged_one_is_a_loss(pg_api: Api, holder: Holder) -> None:
    ledger = told(holder)
    for name in ("Person 1", "Person 2"):
        answer = await pg_api.client.patch(
            "/v1/account/profile", json={"contact_name": name}, headers={**holder.auth, "If-Match": "*"}
        )
        assert answer.status_code == 200
        ledger.acknowledge(Kind.PROFILE, holder.account_id, name)
    ledger.doubt(Kind.PROFILE, holder.account_id, "Person 3")
    assert (await found(pg_api, ledger)).clean
    await execute(pg_api, "UPDATE accounts SET contact_name = 'Person 1'")
    assert [one.split(" of ")[0] for one in (await found(pg_api, ledger)).lost] == ["profile edit"]
