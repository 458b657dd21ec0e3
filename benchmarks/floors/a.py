"""Floor a: Starlette, asyncpg and orjson: who am I; and the bare password hash, one at a time in each process."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]
import orjson
from argon2 import PasswordHasher
from nacl.bindings import crypto_pwhash_str_verify
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

_MEMORY, _TIME, _LANES = map(int, os.environ["FLOOR_ARGON2"].split(","))
_HASHER = PasswordHasher(memory_cost=_MEMORY, time_cost=_TIME, parallelism=_LANES)
_PASSWORD = "correct horse battery staple"
_TYPED = _PASSWORD.encode()
_KNOWN = _HASHER.hash(_PASSWORD)
_THREAD = ThreadPoolExecutor(1)


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


async def log_in(_: Request) -> Response:
    """Compares a password: what no login can do without."""
    await asyncio.get_running_loop().run_in_executor(_THREAD, _HASHER.verify, _KNOWN, _PASSWORD)
    return Response(status_code=201)


async def log_in_with_libsodium(_: Request) -> Response:
    """The same with what the service compares with."""
    await asyncio.get_running_loop().run_in_executor(_THREAD, crypto_pwhash_str_verify, _KNOWN.encode(), _TYPED)
    return Response(status_code=201)


async def change_password(_: Request) -> Response:
    """Compares the old one, hashes the new one."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(_THREAD, _HASHER.verify, _KNOWN, _PASSWORD)
    await loop.run_in_executor(_THREAD, _HASHER.hash, _PASSWORD)
    return Response(status_code=204)


async def ready(_: Request) -> Response:
    return Response()


app = Starlette(
    routes=[
        Route("/account", who_am_i),
        Route("/log-in", log_in, methods=["POST"]),
        Route("/log-in-with-libsodium", log_in_with_libsodium, methods=["POST"]),
        Route("/change-password", change_password, methods=["POST"]),
        Route("/ready", ready),
    ],
    lifespan=_lifespan,
)
