"""One seeded database and all that runs on it: what operations draw their requests from."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import httpx

from app.api.wiring import Container, build
from app.core import ids
from app.core.clock import now
from app.core.config import Settings
from app.core.scopes import Scope
from app.core.tokens import Tokens
from benchmarks import servers
from benchmarks.seed import PASSWORD, Seed, Seeded
from benchmarks.servers import Server
from benchmarks.sink import Sink, sink

FLOORS = ("a", "b", "core")
_HASHES = 8  # different ones: nobody's answer comes out of a cache
_TOKEN_LIFE = 4 * 3600  # seconds, of the holders' tokens: they outlast the run
_RENEW_AFTER = 240  # seconds
_REFUSED = re.compile(r'"status": ?[45]|"level": ?"(warning|error)"|Error')
_LINES = 20
_READERS = 2000  # accounts that read, in turn; each of the others does something once


@dataclass
class World:
    """`database` is a URL, `environment` that of the service; `servers` by name: the service and the floors."""

    folder: Path
    database: str
    environment: dict[str, str]
    client: tuple[str, str]
    tokens: Tokens
    seeded: Seeded
    sink: Sink
    servers: dict[str, Server] = field(default_factory=dict)
    service_token: str = ""
    cursors: list[str] = field(default_factory=list)
    _used: int = 0
    _turn: int = 0
    _renewed: float = 0.0

    @property
    def readers(self) -> range:
        return range(min(_READERS, self.seeded.size // 2))

    def fresh(self, count: int) -> list[int]:
        """Accounts that did nothing yet. Raises RuntimeError when there are no more."""
        first = len(self.readers) + self._used
        self._used += count
        if first + count > self.seeded.size:
            raise RuntimeError("too few accounts for so many rounds: seed more")
        return list(range(first, first + count))

    def others(self, count: int) -> list[int]:
        """Accounts in turn, all of them: for the floors, which let each of them do something again and again."""
        first = self._turn
        self._turn += count
        return [at % self.seeded.size for at in range(first, first + count)]

    def token(self, number: int) -> str:
        """An access token of the account's seeded session."""
        account, session = self.seeded.accounts[number], self.seeded.sessions[number]
        return self.tokens.sign(account_id=account, session_id=session, auth_time=now())

    def shown(self, number: int) -> str:
        return ids.show(ids.ACCOUNT, self.seeded.accounts[number])

    def renew(self) -> None:
        """Another token of the service client, when the one in use is old: it lives ten minutes."""
        if self.service_token and time.monotonic() - self._renewed < _RENEW_AFTER:
            return
        data = {"grant_type": "client_credentials"}
        answer = httpx.post(f"{self.servers['service'].base}/oauth/token", data=data, auth=self.client)
        self.service_token = str(answer.raise_for_status().json()["access_token"])
        self._renewed = time.monotonic()

    def read_feed(self, pages: int) -> None:
        """Note where the first pages of the feed end."""
        url, headers = f"{self.servers['service'].base}/internal/v1/events", self._service_auth
        after: dict[str, str] = {}
        for _ in range(pages):
            answer = httpx.get(url, params={"limit": "100", **after}, headers=headers)
            after = {"after": answer.raise_for_status().json()["next_cursor"]}
            self.cursors.append(after["after"])

    def refusals(self) -> str:
        """The last lines of the logs that tell of an answer which was none."""
        lines = [line for log in self.folder.glob("*.log") for line in log.read_text().splitlines()]
        told = [line for line in lines if _REFUSED.search(line)]
        return "\n".join(told[-_LINES:])

    @property
    def _service_auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.service_token}"}


@contextmanager
def world(folder: Path, database: str, *, accounts: int, workers: int, **changes: str) -> Iterator[World]:
    """Seed the empty, migrated database and start everything. `changes` are settings that differ from production's."""
    with ExitStack() as stack:
        mails = stack.enter_context(sink())
        environment = _environment(database, mails.port) | changes
        servers.command(environment, "keys", "rotate", "--now")
        client = _client(environment)
        tokens, seeded = asyncio.run(_fill(database, environment, accounts))
        made = World(folder, database, environment, client, tokens, seeded, mails)
        made.servers["service"] = stack.enter_context(servers.service(folder, environment, workers=workers))
        made.servers["single"] = stack.enter_context(servers.service(folder, environment, workers=1))
        for name in FLOORS:
            running = servers.floor(name, folder, _floor_environment(made), workers=workers)
            made.servers[name] = stack.enter_context(running)
        made.renew()
        made.read_feed(min(50, seeded.size // 100 or 1))
        yield made


def _environment(database: str, smtp: int) -> dict[str, str]:
    """As production runs it: limits, hashing and checks at their defaults. Messages are delivered between windows."""
    return {
        "GUANCE_ENVIRONMENT": "production",
        "GUANCE_SECRET_KEY": "of-the-benchmark-and-of-nothing-else-0123456789",
        "GUANCE_DATABASE_URL": database,
        "GUANCE_ISSUER": "https://account.example.com",
        "GUANCE_SPA_URL": "https://billing.example.com",
        "GUANCE_EMAIL_NOTIFIER": "smtp",
        "GUANCE_SMTP_URL": f"smtp://127.0.0.1:{smtp}",
        "GUANCE_SMS_NOTIFIER": "http",
        "GUANCE_SMS_HTTP_URL": "http://127.0.0.1:9/unused",
        "GUANCE_REAL_NAME_PROVIDERS": "{}",
        "GUANCE_BILLING": "http",
        "GUANCE_BILLING_URL": "http://127.0.0.1:9/unused",
        "GUANCE_WORKER_IN_SERVER": "false",
    }


def _floor_environment(made: World) -> dict[str, str]:
    settings = _settings(made.environment)
    hashing = settings.argon2_memory_kib, settings.argon2_time, settings.argon2_parallelism
    return {
        "FLOOR_ARGON2": ",".join(map(str, hashing)),
        "FLOOR_DATABASE_URL": made.database,
        "FLOOR_KEY": json.dumps(made.tokens.jwks()[0]),
        "FLOOR_ISSUER": settings.issuer,
        "FLOOR_AUDIENCE": settings.audience,
    }


def _client(environment: dict[str, str]) -> tuple[str, str]:
    """A service client that may do all that is measured: id and secret."""
    scopes = (Scope.ACCOUNTS_READ, Scope.ACCOUNTS_CONTACTS, Scope.SETTLEMENTS, Scope.EVENTS, Scope.INVOICING)
    options = [word for scope in scopes for word in ("--scope", str(scope))]
    said = servers.command(environment, "clients", "create", "--name", "bench", *options)
    members = dict(line.split(": ") for line in said.splitlines())
    return members["client_id"], members["client_secret"]


async def _fill(database: str, environment: dict[str, str], accounts: int) -> tuple[Tokens, Seeded]:
    container = build(_settings(environment))
    try:
        await container.keys.reload()
        await container.data_keys.ensure()
        seed = Seed(accounts, await _hashes(container), container.invoicing.box)
        connection = await asyncpg.connect(database)
        try:
            return container.tokens, await seed.write(connection)
        finally:
            await connection.close()
    finally:
        await container.close()


async def _hashes(container: Container) -> list[str]:
    return [await container.hasher.hash(PASSWORD) for _ in range(_HASHES)]


def _settings(environment: dict[str, str]) -> Settings:
    """Those of the service, less the life of a token."""
    values: dict[str, Any] = {name.removeprefix("GUANCE_").lower(): text for name, text in environment.items()}
    values |= {"real_name_providers": {}, "access_token_seconds": _TOKEN_LIFE}
    return Settings(**values)
