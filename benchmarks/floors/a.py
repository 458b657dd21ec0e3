"""Floor a: Starlette, asyncpg and orjson. One route: who am I."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.floors.tokens import Refused, check

_WHO = """
    SELECT a.id, a.username, a.email, a.phone, a.company_name, a.industry, a.region, a.company_description,
           a.contact_name, a.status, a.real_name_status, a.locale, a.time_zone, a.created_at, a.updated_at
    FROM accounts a JOIN sessions s ON s.account_id = a.id
    WHERE s.id = $1 AND a.id = $2 AND s.ended_at IS NULL AND s.expires_at > now() AND a.status = 'active'
"""


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["FLOOR_DATABASE_URL"], min_size=10, max_size=10) as pool:
        app.state.pool = pool
        yield


async def who_am_i(request: Request) -> Response:
    try:
        account, session = check(request.headers.get("authorization"))
    except Refused:
        return Response(status_code=401)
    row = await request.app.state.pool.fetchrow(_WHO, session, account)
    if row is None:
        return Response(status_code=401)
    return Response(orjson.dumps(dict(row), default=str), media_type="application/json")


async def ready(_: Request) -> Response:
    return Response()


app = Starlette(routes=[Route("/account", who_am_i), Route("/ready", ready)], lifespan=_lifespan)
