"""Single reads: no more at once than the pool has connections, in the order in which they came."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import literal, select, text
from sqlalchemy.exc import MultipleResultsFound, OperationalError

from app.core.database import open_engine
from app.repositories.direct import Fixed, Rows
from app.repositories.one_shot import OneShot
from tests.support.api import Api

_ONE = Fixed(select(literal(1)))


@pytest.fixture
async def reads(tmp_path: Path) -> AsyncIterator[OneShot]:
    engine = open_engine(f"sqlite:///{tmp_path / 'app.db'}", pool_size=1, timeout=0.2)
    yield OneShot(engine)
    await engine.dispose()


async def test_who_comes_first_is_served_first(reads: OneShot) -> None:
    served: list[int] = []

    async def read(number: int) -> None:
        served.append(await reads.scalar(select(literal(number))))

    await reads._turns.acquire()
    waiting = [asyncio.create_task(read(number)) for number in range(3)]
    await asyncio.sleep(0)
    reads._turns.release()
    newcomer = asyncio.create_task(read(3))  # there when the turn is free, and yet not before those who waited

    await asyncio.gather(*waiting, newcomer)
    assert served == [0, 1, 2, 3]


async def test_who_waits_as_long_as_the_pool_does_is_refused(reads: OneShot) -> None:
    await reads._turns.acquire()
    with pytest.raises(TimeoutError):
        await reads.scalar(select(literal(1)))
    reads._turns.release()

    assert await reads.scalar(select(literal(1))) == 1


async def test_a_read_that_fails_gives_its_turn_back(reads: OneShot) -> None:
    for _ in range(3):
        with pytest.raises(OperationalError):
            await reads.execute(text("SELECT nothing"))

    assert await reads.scalar(select(literal(1))) == 1


async def test_a_connection_that_lies_in_the_pool_is_lent_without_a_greenlet(
    pg_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = OneShot(pg_api.container.engine)
    await reads.run(_ONE, {})

    async def none(*_: object) -> None:
        pytest.fail("a greenlet")

    monkeypatch.setattr("app.repositories.lending.greenlet_spawn", none)
    assert (await reads.run(_ONE, {})).scalar() == 1


async def test_one_that_was_given_up_meanwhile_is_opened_anew(pg_api: Api) -> None:
    engine = pg_api.container.engine
    reads = OneShot(engine)
    await reads.run(_ONE, {})
    async with engine.connect() as connection:
        await connection.invalidate()

    for _ in range(2):
        assert (await reads.run(_ONE, {})).scalar() == 1


def test_one_row_is_not_several() -> None:
    with pytest.raises(MultipleResultsFound):
        Rows([(1,), (2,)]).one_or_none()
