"""What stands before: PgBouncer before the database, HAProxy before the replicas."""

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path
from string import Template

import asyncpg  # type: ignore[import-untyped]

from drill.processes import Process, free_port, own, program, server_user, until_open

_HERE = Path(__file__).parent


class PgBouncer:
    """Pools transactions before whichever PostgreSQL it is told of."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.port = free_port()
        self._folder = folder
        own(folder)
        self._process = Process(
            "pgbouncer", [program("pgbouncer"), folder / "pgbouncer.ini"], log, user=server_user(), cwd=folder
        )

    @property
    def url(self) -> str:
        return f"postgresql://app@127.0.0.1:{self.port}/account"

    def configure(self, database: int) -> None:
        """`database` is the port of the server."""
        text = Template((_HERE / "pgbouncer.ini").read_text())
        settings = text.substitute(database=database, port=self.port, folder=self._folder)
        (self._folder / "pgbouncer.ini").write_text(settings)

    async def start(self) -> None:
        await self._process.start()
        await until_open(self.port)

    async def stop(self) -> None:
        await self._process.stop()

    async def restart(self) -> None:
        """As a package upgrade does it: every connection breaks."""
        await self.stop()
        await self.start()

    async def point_to(self, database: int) -> None:
        """Another server from now on: what automation does after a promotion."""
        self.configure(database)
        admin = await asyncpg.connect(
            f"postgresql://app@127.0.0.1:{self.port}/pgbouncer", statement_cache_size=0, timeout=5
        )
        try:
            await admin.execute("RELOAD")
        finally:
            await admin.close()


class HAProxy:
    """Sends each request to a replica that is ready."""

    def __init__(self, folder: Path, log: Path, replicas: Mapping[str, int]) -> None:
        self.port = free_port()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._configure(replicas)
        self._process = Process("haproxy", [program("haproxy"), "-f", folder / "haproxy.cfg", "-db"], log)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        await self._process.start()
        await until_open(self.port)

    async def stop(self) -> None:
        await self._process.stop(signal.SIGKILL)

    def _configure(self, replicas: Mapping[str, int]) -> None:
        lines = [f"    server {name} 127.0.0.1:{port} check" for name, port in replicas.items()]
        text = Template((_HERE / "haproxy.cfg").read_text())
        settings = text.substitute(folder=self._folder, port=self.port, servers="\n".join(lines))
        (self._folder / "haproxy.cfg").write_text(settings)
        head, _, body = (_HERE / "away.http").read_text().partition("\n\n")
        answer = [*head.splitlines(), f"Content-Length: {len(body.encode())}", "", body]
        (self._folder / "away.http").write_text("\r\n".join(answer), newline="")


async def ask_haproxy(socket: Path, command: str) -> str:
    """What its admin socket answers."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(f"{command}\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer
