"""A PostgreSQL primary with a synchronous standby, as Debian packages it."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from drill.processes import free_port, own, run, server_user

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
max_connections = 100
shared_buffers = 64MB
wal_level = replica
hot_standby = on
wal_retrieve_retry_interval = 500ms
wal_receiver_status_interval = 1s
restart_after_crash = on
log_min_messages = warning
log_line_prefix = '%m [%p] '
"""
STANDBY = "standby"


def bindir() -> Path:
    """The newest that Debian has installed. Raises RuntimeError without one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_basebackup"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError("PostgreSQL is not installed: run drill/install.sh")
    return found[-1].parent


class Server:
    """One PostgreSQL server, its data in `folder/data`. `pg_ctl` runs it, as it would under an operator's hand."""

    def __init__(self, name: str, folder: Path, log: Path) -> None:
        self.name = name
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._log = log
        own(folder)
        own(log.parent)

    def url(self, database: str = "account") -> str:
        return f"postgresql://app@127.0.0.1:{self.port}/{database}"

    async def create(self) -> None:
        """A new, empty one."""
        await self._run("initdb", "-D", self.data, "-U", "app", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS.format(folder=self.folder))

    async def copy_of(self, primary: "Server", *, follow: bool) -> None:
        """A base backup of a running server: a standby that follows it, or a copy of its own."""
        flags = ("-R",) if follow else ()
        source = f"host=127.0.0.1 port={primary.port} user=app application_name={STANDBY}"
        await self._run("pg_basebackup", "-D", self.data, "-d", source, "-X", "stream", "-c", "fast", *flags)
        own_settings = (self.data / "postgresql.auto.conf").read_text().splitlines()
        kept = [line for line in own_settings if not line.startswith("synchronous_standby_names")]
        (self.data / "postgresql.auto.conf").write_text("\n".join(kept) + "\n")
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(f"\nunix_socket_directories = '{self.folder}'\n")

    async def dump(self, file: Path) -> None:
        """A logical backup of the service's database, in PostgreSQL's own format."""
        await self._run("pg_dump", "-Fc", "-d", self.url(), "-f", file)

    async def restore(self, file: Path) -> None:
        """Make the service's database of a dump."""
        await self._run("pg_restore", "--create", "--exit-on-error", "-d", self.url("postgres"), file)

    async def start(self) -> None:
        await self._ctl("start", "-w", "-l", self._log, "-o", f"-p {self.port}")

    async def restart(self) -> None:
        """`fast`: open transactions are rolled back."""
        await self._ctl("restart", "-w", "-m", "fast", "-l", self._log, "-o", f"-p {self.port}")

    async def stop(self) -> None:
        if (self.data / "postmaster.pid").exists():
            await self._ctl("stop", "-w", "-m", "immediate")

    async def promote(self) -> None:
        await self._ctl("promote", "-w")

    def kill(self) -> None:
        """`kill -9`: the postmaster and every process of it, as when the machine is gone."""
        postmaster = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        (self.data / "postmaster.pid").unlink()

    async def query(self, statement: str, *values: Any, database: str = "account") -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.url(database), timeout=10)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def wait_for_standby(self) -> None:
        """Until the standby has all and every commit waits for it."""
        await self.query(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
        await self.query("SELECT pg_reload_conf()")
        async with asyncio.timeout(30):
            while not await self.query("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"):
                await asyncio.sleep(0.1)

    async def _ctl(self, action: str, *arguments: str | Path) -> None:
        await self._run("pg_ctl", action, "-D", self.data, "-s", *arguments)

    async def _run(self, name: str, *arguments: str | Path) -> str:
        command = [bindir() / name, *arguments]
        # What pg_ctl starts inherits its output: to a file, or the drill would wait for the server's end.
        output = self.folder / f"{name}.out"
        shell = ["/bin/sh", "-c", 'out=$1; shift; exec "$@" > "$out" 2>&1', "sh", output, *command]
        try:
            await run(shell, environment=_ENVIRONMENT, user=server_user(), cwd=self.folder)
        except RuntimeError as error:
            raise RuntimeError(f"{error} {output.read_text()[-2000:]}") from None
        return output.read_text()
