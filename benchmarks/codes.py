"""Codes to be entered: asked for by the service's own route, delivered by its own worker, read from the mail."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import httpx

from app.core import ids
from app.core.clock import now
from app.core.crypto import digest
from benchmarks import servers
from benchmarks.floors.digests import mac
from benchmarks.seed import address, email
from benchmarks.world import World

_AT_ONCE = 16
_PATIENCE = 120  # seconds for all messages to arrive
_CODE = "493027"


def sent(world: World, count: int) -> list[tuple[str, str]]:
    """Challenges of the service with their codes, of so many accounts. Raises RuntimeError when messages get lost."""
    numbers = world.fresh(count)
    challenges = asyncio.run(_ask(world, numbers))
    with servers.worker(world.folder, world.environment):
        deadline = time.monotonic() + _PATIENCE
        while not all(email(number) in world.sink.codes for number in numbers):
            if time.monotonic() > deadline:
                raise RuntimeError(f"codes did not arrive\n{world.refusals()}")
            time.sleep(0.05)
    return [(challenge, world.sink.codes[email(number)]) for challenge, number in zip(challenges, numbers, strict=True)]


def written(world: World, count: int) -> list[tuple[str, str]]:
    """Challenges of the floor, put into the database."""
    return asyncio.run(_write(world, world.others(count)))


async def _ask(world: World, numbers: list[int]) -> list[str]:
    """The ids of the challenges. What earlier windows left undelivered is dropped."""
    connection = await asyncpg.connect(world.database)
    await connection.execute("DELETE FROM outbox_messages WHERE state = 'queued'")
    await connection.close()
    gate = asyncio.Semaphore(_AT_ONCE)
    async with httpx.AsyncClient(base_url=world.servers["service"].base, timeout=30) as client:

        async def one(number: int) -> str:
            async with gate:
                answer = await client.post(
                    "/v1/login-codes",
                    json={"identifier": email(number)},
                    headers={"X-Forwarded-For": address(number)},
                )
            return str(answer.raise_for_status().json()["challenge_id"])

        return list(await asyncio.gather(*map(one, numbers)))


async def _write(world: World, numbers: list[int]) -> list[tuple[str, str]]:
    at, challenges = now(), [ids.new() for _ in numbers]
    ends = at + timedelta(minutes=10), at + timedelta(minutes=30)
    rows: list[tuple[Any, ...]] = [
        (
            *(one, "login", "open", digest(one.bytes), world.seeded.accounts[number], "email", email(number)),
            *(mac(one, _CODE), at, *ends, 0, 0, 1, at),
        )
        for one, number in zip(challenges, numbers, strict=True)
    ]
    columns = "id purpose lane slot account_id channel target code_mac code_sent_at code_expires_at expires_at"
    connection = await asyncpg.connect(world.database)
    try:
        names = [*columns.split(), "code_tries", "tries", "sends", "created_at"]
        await connection.copy_records_to_table("challenges", columns=names, records=rows)
    finally:
        await connection.close()
    return [(str(one), _CODE) for one in challenges]
