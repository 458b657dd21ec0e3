"""Connections of the pool, lent at once where one lies there."""

import contextlib
from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util.concurrency import greenlet_spawn

from app.core.database import pool_of


async def lend(engine: AsyncEngine, connect: Callable[[], Connection]) -> Connection:
    """What `connect` takes from the pool of the engine.

    What SQLAlchemy does in a greenlet, it does in a new one each time, for which Python maps memory and gives it back:
    that costs, and waits while a hash has its own mapped (docs/decisions/0029). So it takes one only for a connection
    that has to be opened or waited for, and on SQLite, which is asked to begin.
    """
    if engine.dialect.name == "postgresql" and pool_of(engine).checkedin():
        with contextlib.suppress(MissingGreenlet):  # what lay there was given up, and would be opened anew
            return connect()
    return await greenlet_spawn(connect)
