"""A server process on PostgreSQL with production's hashing, and accounts that nobody has called about yet."""

import asyncio
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from sqlalchemy import insert, text

from app.core import ids, migrations
from app.core.config import Settings
from app.core.database import open_engine
from app.core.passwords import PasswordHasher
from app.models.accounts import Account
from tests.races import create_database
from tests.races.processes import free_port, is_ready, process

_PLENTY = "1000000"
# Every call is a first one; what is measured is never a refusal for calling often.
_OPEN = {
    "GUANCE_ANONYMOUS_REQUESTS_PER_MINUTE": _PLENTY,
    "GUANCE_HOURLY_SENDS_PER_IP": _PLENTY,
    "GUANCE_HOURLY_SMS_PER_IP": _PLENTY,
    "GUANCE_DAILY_SMS_PER_DIAL_CODE": _PLENTY,
    "GUANCE_LOGIN_FAILURE_SECONDS": "0",  # what it would hide is looked at
    "GUANCE_WORKER_IN_SERVER": "false",
    "GUANCE_LOG_LEVEL": "WARNING",
}


def new_name() -> str:
    """All of one form and length, so that nothing but having an account tells two names apart."""
    return f"t{secrets.token_hex(8)}"


@contextmanager
def served(postgres_url: str, folder: Path, names: list[str], **environment: str) -> Iterator[str]:
    """The address of a server on a new database, where each of `names` has an account (mail: name@example.com)."""
    database = asyncio.run(create_database(postgres_url))
    migrations.upgrade(database)
    asyncio.run(_fill(database, names))
    port = free_port()
    mine = {name: value for name, value in os.environ.items() if not name.upper().startswith("GUANCE_")}
    variables = {
        **mine,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "GUANCE_DATABASE_URL": database,
        "GUANCE_DEV_MESSAGES_FILE": str(folder / "messages.jsonl"),
        **_OPEN,
        **environment,
    }
    base = f"http://127.0.0.1:{port}"
    with process(folder, variables, "serve", "--port", str(port)) as server:
        deadline = time.monotonic() + 60
        while not is_ready(base):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not start")
            time.sleep(0.05)
        yield base


async def _fill(database: str, names: list[str]) -> None:
    """One hash for all: what it says does not matter, since every guess is wrong. Statistics are those of a table in
    use."""
    defaults = Settings()
    hasher = PasswordHasher(
        memory_kib=defaults.argon2_memory_kib,
        time=defaults.argon2_time,
        parallelism=defaults.argon2_parallelism,
        threads=1,
        queue=1,
    )
    hashed = await hasher.hash(secrets.token_hex(16))
    hasher.close()
    engine = open_engine(database)
    async with engine.begin() as connection:
        await connection.execute(insert(Account), [_row(name, hashed) for name in names])
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))
    await engine.dispose()


def _row(name: str, hashed: str) -> dict[str, object]:
    return {
        "id": ids.new(),
        "username": name,
        "username_key": name,
        "email": f"{name}@example.com",
        "email_key": f"{name}@example.com",
        "company_name": "Northwind Trading",
        "password_hash": hashed,
        "time_zone": "Asia/Shanghai",
    }


def client(base: str) -> httpx.Client:
    return httpx.Client(base_url=base, timeout=30)
