"""The service's own processes, set as in production: replicas, a worker, the commands of a deployment."""

import asyncio
import json
import os
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from drill.processes import ROOT, Process, free_port, python, run, until_open

_SECRET = "the-drill-has-a-secret-of-its-own-of-48-characters"
MARKET_KEY = "the-drill-and-alibaba-share-this"
MARKET_PRODUCT = "cmgj00053362"
_NEXT_MIGRATION = '''"""What a next version may bring: it only adds."""

import sqlalchemy as sa
from alembic import op

revision = "2027_01_01_drill"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("drill_note", sa.String(64), nullable=True))
    op.create_table(
        "drill_notes",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("account_id", sa.Uuid(), sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    )
    with op.get_context().autocommit_block():
        op.create_index("ix_accounts_drill_note", "accounts", ["drill_note"], postgresql_concurrently=True)


def downgrade() -> None:
    op.drop_index("ix_accounts_drill_note", table_name="accounts")
    op.drop_table("drill_notes")
    op.drop_column("accounts", "drill_note")
'''


@dataclass(frozen=True)
class Places:
    """Where the service finds what it needs."""

    pooled: str
    http_port: int
    smtp_port: int


class Service:
    """Makes processes of it, each replica with so many `workers`. `settings` are added to those of production."""

    def __init__(self, places: Places, logs: Path, *, workers: int, settings: Mapping[str, str]) -> None:
        self._places = places
        self._logs = logs
        self._workers, self._settings = workers, settings

    def environment(self, *, database: str | None = None) -> dict[str, str]:
        """Production's; with `database` straight to that server instead of through the pooler."""
        sinks = f"http://127.0.0.1:{self._places.http_port}"
        return {
            "PATH": os.environ.get("PATH", ""),
            "GUANCE_ENVIRONMENT": "production",
            "GUANCE_SECRET_KEY": _SECRET,
            "GUANCE_DATABASE_URL": database or self._places.pooled,
            "GUANCE_DATABASE_POOLER": "none" if database else "pgbouncer",
            "GUANCE_WORKER_IN_SERVER": "false",
            "GUANCE_ISSUER": "https://account.example.com",
            "GUANCE_SPA_URL": "https://billing.example.com",
            "GUANCE_EMAIL_NOTIFIER": "smtp",
            "GUANCE_SMTP_URL": f"smtp://127.0.0.1:{self._places.smtp_port}",
            "GUANCE_SMS_NOTIFIER": "http",
            "GUANCE_SMS_HTTP_URL": f"{sinks}/sms",
            "GUANCE_BILLING": "http",
            "GUANCE_BILLING_URL": sinks,
            "GUANCE_REAL_NAME_PROVIDERS": json.dumps({"enterprise:CN": ["manual"], "individual:CN": ["manual"]}),
            "GUANCE_WEBHOOK_ALLOWED_NETWORKS": '["127.0.0.0/8"]',
            "GUANCE_ALIBABA_MARKETPLACE_KEY": MARKET_KEY,
            "GUANCE_CODE_RESEND_SECONDS": "1",  # a customer of the drill does in a minute what takes others a month
            **self._settings,
        }

    def replica(
        self,
        name: str,
        port: int,
        *,
        tree: Path = ROOT,
        workers: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        command = python("-m", "app", "serve", "--port", str(port), "--workers", str(workers or self._workers))
        return self._process(name, command, tree, environment or {})

    def worker(self, *, tree: Path = ROOT) -> Process:
        metrics = {"GUANCE_METRICS_PORT": str(free_port())}
        return self._process("worker", python("-m", "app", "worker"), tree, metrics)

    async def command(self, *arguments: str, tree: Path = ROOT, database: str | None = None) -> str:
        """`python -m app …` to its end; what it printed."""
        command = python("-m", "app", *arguments)
        return await run(command, environment=self.environment(database=database), cwd=tree)

    async def client(self, name: str, *scopes: str) -> tuple[str, str]:
        """A new service client: its id and its secret."""
        printed = await self.command("clients", "create", "--name", name, *(f"--scope={scope}" for scope in scopes))
        found = re.search(r"client_id: (\S+)\s+client_secret: (\S+)", printed)
        if found is None:
            raise RuntimeError(printed)
        return found[1], found[2]

    def _process(self, name: str, command: list[str], tree: Path, environment: Mapping[str, str]) -> Process:
        return Process(name, command, self._logs / f"{name}.log", {**self.environment(), **environment}, cwd=tree)


def next_version(folder: Path, head: str) -> Path:
    """A copy of this code with one migration more, which adds a column, a table and an index."""
    for name in ("app", "migrations"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "alembic.ini", folder)
    (folder / "migrations" / "versions" / "2027_01_01_drill.py").write_text(_NEXT_MIGRATION.format(head=head))
    return folder


async def is_ready(port: int) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{port}/readyz", timeout=10)).is_success
    except httpx.TransportError:
        return False


async def roll(process: Process, port: int, replacement: Process | None = None) -> None:
    """SIGTERM, wait until it has ended, start it (or what replaces it), wait until it is ready."""
    await process.stop(signal.SIGTERM)
    new = replacement or process
    await new.start()
    await until_ready(port)


async def until_ready(port: int, *, within: float = 60) -> None:
    await until_open(port, within=within)
    async with asyncio.timeout(within):
        while not await is_ready(port):
            await asyncio.sleep(0.1)
