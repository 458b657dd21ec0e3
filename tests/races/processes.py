"""`python -m app` in processes of their own: started, watched, killed."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx

ROOT = Path(__file__).parents[2]
_SECONDS = 15


@contextmanager
def process(folder: Path, environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m app …` in a process of its own, dead when the block ends."""
    with (folder / f"{uuid4().hex}.log").open("wb") as log:
        command = [sys.executable, "-m", "app", *arguments]
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def logs_of(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("*.log"))


async def eventually(holds: Callable[[], object], *, within: float = _SECONDS) -> None:
    """Look until it holds: what another process does cannot be awaited. The server of a test runs meanwhile."""
    await asyncio.to_thread(_look, holds, within)


def _look(holds: Callable[[], object], within: float) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def is_ready(base: str) -> bool:
    """Whether the server at the address takes requests."""
    try:
        return httpx.get(f"{base}/readyz").is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
