"""Processes of the drill: started, watched by a supervisor, killed. Ports and folders of their own."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
_RESTART_AFTER = 1.0  # seconds that a supervisor waits, as systemd's RestartSec is commonly set


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str:
    """The path of a program of Debian's. Raises RuntimeError when it is not installed."""
    if found := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        return found
    raise RuntimeError(f"{name} is not installed: run drill/install.sh")


def server_user() -> str | None:
    """PostgreSQL and PgBouncer refuse to run as root."""
    return "nobody" if os.geteuid() == 0 else None


def own(folder: Path) -> None:
    """Give the folder to the servers' user."""
    folder.mkdir(parents=True, exist_ok=True)
    if user := server_user():
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)


async def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    cwd: Path | None = None,
) -> str:
    """Run to the end; what it printed. Raises RuntimeError with that when it failed."""
    child = await asyncio.create_subprocess_exec(
        *map(str, command),
        env=dict(environment) if environment is not None else None,
        cwd=cwd or "/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        user=user,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
    )
    output, _ = await child.communicate()
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {output.decode()[-3000:]}")
    return output.decode()


@dataclass
class Process:
    """A process under a supervisor: one that ends without being asked to is started again after a second."""

    name: str
    command: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str] | None = None
    cwd: Path | None = None
    user: str | None = None
    starts: int = 0
    _child: asyncio.subprocess.Process | None = None
    _wanted: bool = False
    _supervisor: "asyncio.Task[None] | None" = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def runs(self) -> bool:
        return self._child is not None and self._child.returncode is None

    async def start(self) -> None:
        self._wanted = True
        await self._spawn()
        self._supervisor = asyncio.create_task(self._supervise())

    async def stop(self, number: int = signal.SIGTERM, *, patience: float = 40) -> None:
        """Signal it and wait until it is gone; killed after `patience` seconds."""
        self._wanted = False
        if self._supervisor is None or self._child is None:
            return
        self.signal(number)
        try:
            await asyncio.wait_for(asyncio.shield(self._supervisor), patience)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._supervisor
        self._supervisor = None

    def kill(self) -> None:
        """`kill -9` of the process and of those that it has forked, all at once."""
        os.killpg(self.pid, signal.SIGKILL)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._child is not None:
                self._child.send_signal(number)

    async def _spawn(self) -> None:
        with self.log.open("ab") as sink:
            self._child = await asyncio.create_subprocess_exec(
                *map(str, self.command),
                env=dict(self.environment) if self.environment is not None else None,
                cwd=self.cwd or "/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                user=self.user,
                group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
                start_new_session=True,  # Ctrl-C is for the drill, which ends them in their order
            )
        self.starts += 1

    async def _supervise(self) -> None:
        while True:
            assert self._child is not None
            await self._child.wait()
            if self._wanted:
                await asyncio.sleep(_RESTART_AFTER)
            if not self._wanted:
                return
            await self._spawn()


def python(*arguments: str) -> list[str]:
    """`python …` as this one is run."""
    return [sys.executable, *arguments]


async def until_open(port: int, *, within: float = 30) -> None:
    """Until something listens on the port."""
    async with asyncio.timeout(within):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
