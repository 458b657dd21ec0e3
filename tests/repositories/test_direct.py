"""Statements that are sent past SQLAlchemy's engine: what they find and how they fail is as if they had not been."""

import asyncio
from datetime import UTC
from uuid import UUID

import pytest
from sqlalchemy import bindparam, func, literal_column, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from app.core import ids
from app.core.clock import now
from app.core.database import open_engine
from app.core.errors import SessionEnded, UsernameTaken
from app.models.activity import Action, Activity, Actor
from app.models.events import Event, EventType
from app.models.outbox import OutboxMessage
from app.models.sessions import Session
from app.repositories import inserts
from app.repositories.base import table
from app.repositories.direct import Fixed
from app.repositories.one_shot import OneShot
from app.repositories.transaction import Transaction
from tests.repositories.test_unit_of_work import account, add, exists, uow_of
from tests.support.api import Api, statements

_SLEEPS = Fixed(select(func.pg_sleep(bindparam("seconds"))))
_MISTAKEN = Fixed(select(literal_column("nothing_of_this_name")))
_LAST = Fixed(select(table(Activity)).order_by(table(Activity).c.id.desc()).limit(1))


def entry(account_id: UUID | None = None) -> Activity:
    return Activity(account_id=account_id, action=Action.LOGIN_FAILED, actor=Actor.UNKNOWN)


def event() -> Event:
    return Event(id=ids.new(), type=EventType.SUSPENDED, subject="acnt_1", data={"what": ["ever", 1]})


async def test_a_row_that_enters_no_session_has_its_defaults_and_its_types(api: Api) -> None:
    account_id, began = ids.new(), now()
    async with uow_of(api)() as work:
        work.activity.add(entry(account_id))
        work.events.add(event())
    async with Transaction(api.container.engine) as transaction:
        found = (await transaction.run(_LAST, {})).one()
        (written,) = await transaction.session.scalars(select(Event))

    assert (found.account_id, found.action, found.actor, found.ip) == (account_id, Action.LOGIN_FAILED, "unknown", None)
    assert began <= found.created_at <= now()
    assert found.created_at.tzinfo is UTC
    assert written.data == {"what": ["ever", 1]}
    assert written.position is None


async def test_rows_of_several_tables_are_one_statement_and_those_of_one_keep_their_order(pg_api: Api) -> None:
    events = [event(), event()]
    with statements(pg_api) as sent:
        async with uow_of(pg_api)() as work:
            work.activity.add(entry())
            for one in events:
                work.events.add(one)
    async with Transaction(pg_api.container.engine) as transaction:
        written = list(await transaction.session.scalars(select(Event.id).order_by(Event.written)))

    assert len(sent) == 2
    assert written == [one.id for one in events]


def test_rows_are_sorted_into_statements_by_their_tables() -> None:
    first, second, trail = event(), event(), entry()

    assert inserts.rounds([first, trail, second], together=True) == [[trail, first], [second]]
    assert inserts.rounds([first, trail, second], together=False) == [[first], [trail], [second]]
    assert inserts.rounds([], together=True) == []


@pytest.mark.parametrize("model", [Activity, Event, OutboxMessage, Session])
def test_every_column_of_a_row_is_written_but_those_that_the_database_numbers(model: inserts.Model) -> None:
    numbered = {column.key for column in table(model).columns if column.identity is not None}

    assert {key for _, key, _ in inserts.columns(model)} == set(table(model).columns.keys()) - numbered


async def test_what_was_new_in_a_session_is_new_again_when_its_transaction_came_to_nothing(api: Api) -> None:
    uow, one = uow_of(api), account()
    with pytest.raises(ZeroDivisionError):
        async with uow() as work:
            work.accounts.add(one)
            await work.accounts.flush()
            raise ZeroDivisionError

    await add(uow, one)

    assert await exists(uow, one.username_key)


async def test_a_violation_at_the_end_of_a_transaction_leaves_nothing_of_it(api: Api) -> None:
    uow = uow_of(api)
    await add(uow, account("acme"))

    with pytest.raises(UsernameTaken):
        async with uow() as work:
            work.accounts.add(account("other"))
            work.accounts.add(account("acme", email="b@example.com", email_key="b@example.com"))
            work.activity.add(entry())

    assert not await exists(uow, "other")
    async with Transaction(api.container.engine) as transaction:
        assert await transaction.run(_LAST, {}) == []


async def test_a_statement_that_is_cancelled_leaves_no_connection_lent_or_busy(pg_api: Api) -> None:
    uow, engine = uow_of(pg_api), pg_api.container.engine

    async def sleep_in_a_transaction() -> None:
        async with Transaction(engine) as transaction:
            await transaction.run(_SLEEPS, {"seconds": 30})

    async def sleep_alone() -> None:
        await OneShot(engine).run(_SLEEPS, {"seconds": 30})

    sleepers = [asyncio.create_task(sleep()) for sleep in (sleep_in_a_transaction, sleep_alone) * 2]
    await asyncio.sleep(0.3)
    for sleeper in sleepers:
        sleeper.cancel()
    await asyncio.gather(*sleepers, return_exceptions=True)

    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await asyncio.gather(*(exists(uow, "anybody") for _ in range(20)))


async def test_a_mistake_in_a_statement_is_told_and_the_connection_is_good_for_the_next(pg_api: Api) -> None:
    with pytest.raises(ProgrammingError):
        await OneShot(pg_api.container.engine).run(_MISTAKEN, {})

    assert not await exists(uow_of(pg_api), "anybody")


@pytest.mark.parametrize(("pooler", "mode"), [("none", "force_generic_plan"), ("pgbouncer", "auto")])
async def test_postgresql_plans_as_it_was_tested_unless_a_pooler_would_have_to_know(
    postgres_database: str, pooler: str, mode: str
) -> None:
    """PgBouncer refuses what it does not know at the start of a connection."""
    engine = open_engine(postgres_database, pooler=pooler)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SHOW plan_cache_mode")) == mode
    await engine.dispose()


async def test_a_connection_that_was_cut_is_given_up_with_the_statement_that_found_out(pg_api: Api) -> None:
    uow, engine = uow_of(pg_api), pg_api.container.engine
    ends_the_others = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    await asyncio.gather(*(exists(uow, "anybody") for _ in range(3)))
    async with engine.connect() as connection:
        await connection.execute(ends_the_others)

    failed = 0
    for _ in range(10):
        try:
            await OneShot(engine).run(_LAST, {})
        except DBAPIError as error:
            assert error.connection_invalidated
            failed += 1

    assert failed <= 3
    assert await OneShot(engine).run(_LAST, {}) == []


async def test_a_session_that_ended_is_told_by_the_direct_way_too(api: Api) -> None:
    holder = await api.register()
    await api.client.delete("/v1/sessions/current", headers=holder.auth)

    answer = await api.client.get("/v1/account/profile", headers=holder.auth)

    assert (answer.status_code, answer.json()["code"]) == (401, SessionEnded.code)


async def test_what_only_reads_takes_no_row_that_nobody_would_write(api: Api) -> None:
    uow = uow_of(api)
    with pytest.raises(TypeError, match="Activity"), uow.rows() as work:
        work.activity.add(entry())
    with pytest.raises(TypeError, match="Activity"):
        async with uow.reading() as work:
            work.activity.add(entry())
