"""The whole installation of the drill on loopback: databases, pooler, replicas, worker, proxy, and who is sent to."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from app.core.scopes import Scope
from drill.fronts import HAProxy, PgBouncer
from drill.postgres import Server
from drill.processes import Process, free_port
from drill.service import Places, Service, until_ready
from drill.sinks import Sinks

REPLICAS = ("replica-1", "replica-2")


class Site:
    """Everything that runs. `primary` and `standby` change places when one is promoted."""

    def __init__(self, folder: Path, logs: Path, *, workers: int, settings: Mapping[str, str]) -> None:
        self.folder, self.logs = folder, logs
        self.sinks = Sinks()
        self.primary, self.standby = self.server("one"), self.server("two")
        self.pgbouncer = PgBouncer(folder / "pgbouncer", logs / "pgbouncer.log")
        places = Places(self.pgbouncer.url, self.sinks.http_port, self.sinks.smtp_port)
        self.service = Service(places, logs, workers=workers, settings=settings)
        self.ports = {name: free_port() for name in REPLICAS}
        self.replicas: dict[str, Process] = {}
        self.worker: Process = self.service.worker()
        self.proxy = HAProxy(folder / "haproxy", logs / "haproxy.log", self.ports)
        self._servers = [self.primary, self.standby]

    def server(self, name: str) -> Server:
        """Another PostgreSQL server of this site, not started yet."""
        return Server(name, self.folder / name, self.folder / "logs" / f"postgres-{name}.log")

    async def start(self) -> None:
        await self.sinks.start()
        await self.primary.create()
        await self.primary.start()
        await self.primary.query("CREATE DATABASE account", database="postgres")
        await self.join(self.standby)
        self.pgbouncer.configure(self.primary.port)
        await self.pgbouncer.start()
        await self.migrate()
        await self.service.command("keys", "rotate", "--now")
        for name, port in self.ports.items():
            self.replicas[name] = self.service.replica(name, port)
            await self.replicas[name].start()
        await self.worker.start()
        await asyncio.gather(*(until_ready(port) for port in self.ports.values()))
        await self.proxy.start()

    async def migrate(self, **options: Path) -> None:
        """By the newest code unless `tree` names another; past the pooler, as the lock needs it."""
        await self.service.command("migrate", database=self.primary.url(), **options)

    async def join(self, server: Server) -> None:
        """A new standby of the primary, which every commit waits for from now on."""
        await server.copy_of(self.primary, follow=True)
        await server.start()
        await self.primary.wait_for_standby()
        if server not in self._servers:
            self._servers.append(server)

    async def service_client(self) -> tuple[str, str]:
        return await self.service.client("drill", *(scope.value for scope in Scope))

    async def stop(self) -> None:
        await self.proxy.stop()
        await asyncio.gather(*(replica.stop() for replica in (*self.replicas.values(), self.worker)))
        await self.pgbouncer.stop()
        await self.sinks.stop()
        for server in self._servers:
            with contextlib.suppress(RuntimeError):
                await server.stop()


@asynccontextmanager
async def site(logs: Path, *, workers: int = 1, settings: Mapping[str, str] | None = None) -> AsyncIterator[Site]:
    """A running one, gone afterwards but for its logs."""
    # Not the default temporary folder: the path of a socket has about a hundred characters to live in.
    folder = Path(tempfile.mkdtemp(prefix="drill-", dir="/tmp"))
    folder.chmod(0o755)
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    running = Site(folder, logs, workers=workers, settings=settings or {})
    try:
        await running.start()
        yield running
    finally:
        await running.stop()
        for log in (folder / "logs").glob("*"):
            shutil.copy(log, logs)
        shutil.rmtree(folder, ignore_errors=True)
