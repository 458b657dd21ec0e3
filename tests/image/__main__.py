"""Build the image's root file system as its Dockerfile says, look at it, and serve from it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.image.dockerfile import Stage, stages
from tests.image.journey import Postbox, answers, eventually, journey
from tests.image.tree import Builder, Tree
from tests.support.postgres import postgres

ROOT = Path(__file__).parents[2]
_PORT = 8000  # the one of EXPOSE and HEALTHCHECK
_NOT_IN_THE_IMAGE = ("pip", "pip3", "gcc", "cc", "c++", "ld", "as", "make", "git", "curl", "wget")
_NOT_TO_IMPORT = ("pip", "setuptools", "wheel", "pytest", "ensurepip._bundled")
_SECONDS_TO_STOP = 30


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Container:
    """Starts the end stage's processes: its user, its environment, its folder, a read-only root."""

    def __init__(self, tree: Tree, stage: Stage, settings: dict[str, str]) -> None:
        self._tree, self._stage = tree, stage
        self._settings = settings
        self.log = tree.folder.with_name("containers.log")

    def start(self, *words: str, settings: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return self._tree.start(
                words,
                environment=self._stage.environment() | (self._settings if settings is None else settings),
                user=self._stage.last("USER"),
                workdir=self._stage.last("WORKDIR"),
                read_only=True,
                output=log.fileno(),
            )

    def run(self, *words: str, settings: dict[str, str] | None = None) -> int:
        return self.start(*words, settings=settings).wait()

    def command(self, *words: str) -> list[str]:
        return [*self._stage.words("ENTRYPOINT"), *words]

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        process = self.start(*self.command(*words))
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def stopped(process: subprocess.Popen[bytes]) -> int:
    """The exit code after a SIGTERM to process 1, which `unshare` keeps from itself."""
    first = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    os.kill(first, signal.SIGTERM)
    return process.wait(_SECONDS_TO_STOP)


def look_at(tree: Tree, container: Container) -> None:
    folders = [tree.folder / name for name in ("usr/bin", "usr/local/bin", "usr/sbin", "bin", "venv/bin")]
    tools = [f"{folder.name}/{name}" for folder in folders for name in _NOT_IN_THE_IMAGE if (folder / name).exists()]
    assert not tools, f"in the image: {tools}"
    for name in _NOT_TO_IMPORT:
        assert container.run("python", "-c", f"import {name}") != 0, f"in the image: {name}"
    code = [path for folder in ("srv", "venv") for path in (tree.folder / folder).rglob("*")]
    own = tree.folder / "srv" / "var"
    loose = [path for path in code if path != own and not path.is_symlink() and _is_loose(path)]
    assert not loose, f"the service could write {loose[:3]}"
    bare = [
        path for path in (tree.folder / "srv").rglob("*.py") if not list(path.parent.glob(f"__pycache__/{path.stem}.*"))
    ]
    assert not bare, f"without bytecode: {bare[:3]}"
    assert container.run("sh", "-c", "touch /srv/app/x || touch /x || touch /venv/x || touch /srv/var/x") != 0
    assert container.run("sh", "-c", "test $(id -u) -ne 0 && touch /tmp/x") == 0
    say("no pip, setuptools or compiler; nothing that the service's user could change; all bytecode is there")


def _is_loose(path: Path) -> bool:
    status = path.lstat()
    return (status.st_uid, status.st_gid) != (0, 0) or bool(status.st_mode & 0o022)


def serve(container: Container, stage: Stage, postbox: Postbox) -> None:
    assert container.run(*container.command("serve"), settings={}) == 2, "production started without its settings"
    assert container.run(*container.command("migrate")) == 0
    assert container.run(*container.command("keys", "rotate")) == 0
    with container.running(*stage.words("CMD")) as server, container.running("worker") as worker:
        base = f"http://127.0.0.1:{_PORT}"
        began = time.monotonic()
        eventually(lambda: answers(f"{base}/readyz"))
        say(f"ready after {time.monotonic() - began:.1f} s")
        assert container.run(*stage.words("HEALTHCHECK")) == 0, "the health check fails"
        assert journey(base, postbox) == "Northwind Trading"
        say("registered, confirmed by mail, profile read; the health check holds")
        assert stage.last("STOPSIGNAL") == "SIGTERM"
        for name, process in (("serve", server), ("worker", worker)):
            began = time.monotonic()
            assert stopped(process) == 0, f"{name} ended badly"
            say(f"{name}: ended by SIGTERM with 0 after {time.monotonic() - began:.1f} s")
    assert container.run(*stage.words("HEALTHCHECK")) != 0, "healthy without a server"


def settings_of(database: str, smtp: int) -> dict[str, str]:
    return {
        "GUANCE_SECRET_KEY": "a-secret-of-the-proof-and-of-nothing-else",
        "GUANCE_DATABASE_URL": database,
        "GUANCE_ISSUER": "https://account.example.com",
        "GUANCE_SPA_URL": "https://billing.example.com",
        "GUANCE_EMAIL_NOTIFIER": "smtp",
        "GUANCE_SMTP_URL": f"smtp://127.0.0.1:{smtp}",
        "GUANCE_SMS_NOTIFIER": "http",
        "GUANCE_SMS_HTTP_URL": "https://sms.example.com",
        "GUANCE_REAL_NAME_PROVIDERS": "{}",
        "GUANCE_BILLING": "http",
        "GUANCE_BILLING_URL": "https://bills.example.com",
        "GUANCE_WORKER_IN_SERVER": "false",
    }


def prove(work: Path) -> None:
    builder, began = Builder(ROOT, work), time.monotonic()
    base = builder.base()
    say(f"debian: {base.kib() // 1024} MiB, {time.monotonic() - began:.0f} s")
    found = stages((ROOT / "Dockerfile").read_text())
    for stage in found:
        began = time.monotonic()
        tree = builder.build(stage, base)
        say(f"{stage.name or 'end image'}: {tree.kib() // 1024} MiB, {time.monotonic() - began:.0f} s")
    with ExitStack() as stack:
        postbox = stack.enter_context(Postbox(8025))
        settings = settings_of(stack.enter_context(postgres()), 8025)
        container = Container(tree, stage, settings)
        look_at(tree, container)
        serve(container, stage, postbox)


def main() -> int:
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        sys.stderr.write("needs root and debootstrap: make image-check\n")
        return 2
    work = Path(tempfile.mkdtemp(prefix="image-"))
    try:
        prove(work)
    except (AssertionError, subprocess.CalledProcessError):
        for log in work.glob("*.log"):
            sys.stderr.write(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}\n")
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
