"""What the floors on SQLAlchemy Core share: who calls, and a connection for the time of a request."""

import os
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, HTTPException, Request
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from benchmarks.floors.tokens import Refused, check

ENGINE = create_async_engine(
    os.environ["FLOOR_DATABASE_URL"].replace("postgresql:", "postgresql+asyncpg:"), pool_size=10, max_overflow=0
)
READING = ENGINE.execution_options(isolation_level="AUTOCOMMIT")


def _caller(request: Request) -> tuple[UUID, UUID]:
    try:
        return check(request.headers.get("authorization"))
    except Refused:
        raise HTTPException(401) from None


async def _transaction() -> AsyncIterator[AsyncConnection]:
    async with ENGINE.begin() as connection:
        yield connection


async def _statement() -> AsyncIterator[AsyncConnection]:
    async with READING.connect() as connection:
        yield connection


Caller = Annotated[tuple[UUID, UUID], Depends(_caller)]  # account and session, or client and secret
Transaction = Annotated[AsyncConnection, Depends(_transaction, scope="function")]
Statement = Annotated[AsyncConnection, Depends(_statement, scope="function")]  # one read: no BEGIN, no COMMIT
