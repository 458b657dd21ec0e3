"""The processes that are measured: PostgreSQL as in production, the service, and the floors."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from uuid import uuid4

from tests.races.processes import free_port

ROOT = Path(__file__).parents[1]
# As in production, sized for a machine that it shares: a commit is on the disk before it is answered.
POSTGRES = (
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "max_connections=200",
    "shared_buffers=1GB",
    "max_wal_size=4GB",
    "checkpoint_timeout=30min",
    "autovacuum_naptime=15min",
)
_SECONDS_TO_START = 60
_SECONDS_TO_STOP = 30


@dataclass(frozen=True, slots=True)
class Server:
    """One contender: its first process, and where it listens. `started` is the seconds to its first answer."""

    pid: int
    port: int
    started: float

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def service(folder: Path, environment: dict[str, str], *, workers: int) -> Iterator[Server]:
    """`python -m app serve`, ready."""
    port = free_port()
    command = ["-m", "app", "serve", "--port", str(port), "--workers", str(workers)]
    with _process(folder, environment, command) as child:
        yield _ready(child, port, "/readyz")


@contextmanager
def floor(name: str, folder: Path, environment: dict[str, str], *, workers: int) -> Iterator[Server]:
    """`benchmarks.floors.<name>`, served as the service is."""
    port = free_port()
    with _process(folder, environment, ["-m", "benchmarks.floors", name, str(port), str(workers)]) as child:
        yield _ready(child, port, "/ready")


@contextmanager
def worker(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """`python -m app worker`: delivers what waits in the outbox."""
    with _process(folder, environment, ["-m", "app", "worker"]):
        yield


def command(environment: dict[str, str], *arguments: str) -> str:
    """What `python -m app …` prints. Raises CalledProcessError."""
    line = [sys.executable, "-m", "app", *arguments]
    done = subprocess.run(line, cwd=ROOT, env=_with_paths(environment), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


def _with_paths(environment: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}


@contextmanager
def _process(folder: Path, environment: dict[str, str], arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{uuid4().hex}.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=_with_paths(environment), stdout=log, stderr=log
        )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(_SECONDS_TO_STOP)


def _ready(child: subprocess.Popen[bytes], port: int, path: str) -> Server:
    """Asks until the first 200."""
    began = time.monotonic()
    while True:
        if _answers(port, path):
            return Server(child.pid, port, time.monotonic() - began)
        if child.poll() is not None or time.monotonic() - began > _SECONDS_TO_START:
            raise RuntimeError(f"what was to listen on {port} did not start; see its log")
        time.sleep(0.005)


def _answers(port: int, path: str) -> bool:
    asked = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        asked.request("GET", path)
        return asked.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        asked.close()
