"""`serve --workers`: several processes behind one port, and a parent that keeps them."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from app.cli import keeper, prefork
from app.cli.prefork import Pulse
from app.core import ids
from tests.races.processes import ROOT, eventually, free_port, is_ready, logs_of, process

WORKERS = 3


@pytest.fixture
def environment(database: str, tmp_path: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT),
        "GUANCE_DATABASE_URL": database,
        "GUANCE_WORKER_IN_SERVER": "false",
        "GUANCE_DEV_MESSAGES_FILE": str(tmp_path / "messages.jsonl"),
        "TMPDIR": str(tmp_path),
    }


@contextlib.contextmanager
def several(folder: Path, environment: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    arguments = ("serve", "--port", str(port), "--workers", str(WORKERS))
    with process(folder, environment, *arguments) as parent:
        try:
            yield parent
        finally:
            for child in children(parent.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)


def children(parent: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    return []


def metrics_folders(folder: Path) -> list[Path]:
    return list(folder.glob("guance-metrics-*"))


def is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


async def test_a_killed_process_is_replaced_and_the_others_go_on(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with several(tmp_path, environment, port) as parent:
        await eventually(lambda: is_ready(f"http://127.0.0.1:{port}"))
        first, *others = children(parent.pid)
        os.kill(first, signal.SIGKILL)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await eventually(lambda: len(set(children(parent.pid)) - {first}) == WORKERS)
            for _ in range(20):  # while the other one loads; what lay with the killed one is lost
                assert (await client.get("/livez", headers={"Connection": "close"}, timeout=1)).status_code == 200
        assert set(others) <= set(children(parent.pid))
        await eventually(lambda: is_ready(f"http://127.0.0.1:{port}"))
    assert "process_replaced" in logs_of(tmp_path)


async def test_callers_are_spread_over_the_processes_and_over_a_new_one_too(
    environment: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    with several(tmp_path, environment, port) as parent:
        await eventually(lambda: is_ready(f"http://127.0.0.1:{port}"))
        assert min(spread(port, parent.pid)) > 5
        first = children(parent.pid)[0]
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: len(set(children(parent.pid)) - {first}) == WORKERS)
        await eventually(lambda: min(spread(port, parent.pid)) > 5)


def spread(port: int, parent: int) -> list[int]:
    """How many of sixty callers at once are with each process: 20 more or less, and more than 5 but once in 100,000."""
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            calling = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            calling.sendall(b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n")
            calling.settimeout(5)
            assert calling.recv(100).startswith(b"HTTP/1.1 200")
        return [len(connections(child, port)) for child in children(parent)]


def connections(pid: int, port: int) -> set[str]:
    """The sockets of a process that are connected on this port of ours (proc(5))."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    connected = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"}
    held = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            held.add(str(link.readlink()))
    return connected & held


async def test_all_of_them_are_replaced_when_all_are_killed(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with several(tmp_path, environment, port) as parent:
        await eventually(lambda: is_ready(f"http://127.0.0.1:{port}"))
        killed = children(parent.pid)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: len(set(children(parent.pid)) - set(killed)) == WORKERS)
        await eventually(lambda: is_ready(f"http://127.0.0.1:{port}"), within=60)
        parent.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(parent.wait, 20) == 0
    told = [json.loads(line) for line in logs_of(tmp_path).splitlines() if "process_replaced" in line]
    assert sorted(line["pid"] for line in told) == killed
    for line in told:
        assert line.keys() == {"event", "level", "logger", "timestamp", "pid", "exit_code"}
        assert (line["level"], line["exit_code"]) == ("warning", -signal.SIGKILL)
        assert abs(datetime.fromisoformat(line["timestamp"]) - datetime.now(UTC)) < timedelta(minutes=2)


async def test_the_parent_ends_one_that_has_only_begun_to_load(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with several(tmp_path, environment, port) as parent:
        await eventually(lambda: is_ready(f"http://127.0.0.1:{port}"))
        before = children(parent.pid)
        os.kill(before[0], signal.SIGKILL)
        await eventually(lambda: set(children(parent.pid)) - set(before))
        processes = children(parent.pid)
        parent.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(parent.wait, 20) == 0
        assert all(is_gone(pid) for pid in processes)


async def test_the_parent_keeps_nothing_of_what_it_loaded(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with several(tmp_path, environment, port) as parent:
        await eventually(lambda: is_ready(f"http://127.0.0.1:{port}"))
        assert resident(parent.pid) < 20
        assert all(resident(child) > 50 for child in children(parent.pid))


async def test_what_a_hash_took_is_given_back_within_seconds(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with several(tmp_path, environment, port) as parent:
        await eventually(lambda: is_ready(f"http://127.0.0.1:{port}"))
        body = {"method": "password", "identifier": "nobody@example.com", "password": "correct horse battery staple"}
        before = {child: resident(child) for child in children(parent.pid)}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            for _ in range(WORKERS * 3):  # each on a connection of its own, so that most of the processes hash
                await client.post("/v1/sessions", json=body, headers={"Connection": "close"})
        await eventually(lambda: all(resident(child) < mib + 14 for child, mib in before.items()))


def resident(pid: int) -> float:
    """MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_the_parent_ends_them_all_and_leaves_nothing(
    environment: dict[str, str], tmp_path: Path, told: signal.Signals
) -> None:
    port = free_port()
    with several(tmp_path, environment, port) as parent:
        await eventually(lambda: is_ready(f"http://127.0.0.1:{port}"))
        processes = children(parent.pid)
        parent.send_signal(told)
        assert await asyncio.to_thread(parent.wait, 20) == 0
        assert all(is_gone(pid) for pid in processes)
    assert metrics_folders(tmp_path) == []


async def test_processes_whose_parent_was_killed_end_by_themselves(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with several(tmp_path, environment, port) as parent:
        await eventually(lambda: is_ready(f"http://127.0.0.1:{port}"))
        processes = children(parent.pid)
        parent.kill()
        await eventually(lambda: all(is_gone(pid) for pid in processes))


async def test_a_port_that_is_taken_ends_the_parent_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with several(tmp_path, environment, port):
        await eventually(lambda: is_ready(f"http://127.0.0.1:{port}"))
        with several(tmp_path, environment, port) as second:
            assert await asyncio.to_thread(second.wait, 20) != 0


def ended(works: list[Callable[[Pulse], None]], tmp_path: Path) -> int:
    """The exit code of a parent that keeps these works, in a process of its own, which starts others by forking."""
    pid = os.fork()
    if pid == 0:
        try:
            heard, beats = prefork.pipe()

            def start(place: int) -> int:
                started = prefork.fork(works[place], Pulse(beats, place, parent=os.getpid()))
                signal.pthread_sigmask(signal.SIG_UNBLOCK, keeper.STOPPING)
                return started

            def gone(pid: int) -> None:
                (tmp_path / f"gone-{pid}").touch()

            pids = [start(place) for place in range(len(works))]
            os._exit(keeper.Keeper(pids, beats=heard, start=start, gone=gone, cannot_start=3).run())
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_process_that_cannot_start_ends_them_all(tmp_path: Path) -> None:
    def fails(_: Pulse) -> None:
        raise SystemExit(3)

    def lives(pulse: Pulse) -> None:
        while True:
            pulse.beat()
            signal.sigtimedwait([], 0.1)

    assert ended([lives, fails], tmp_path) == 3
    assert len(list(tmp_path.glob("gone-*"))) == 2


def test_a_process_that_hangs_is_killed_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.keeper._LOOK_SECONDS", 0.02)
    monkeypatch.setattr("app.cli.keeper._HANGS_AFTER", 10)

    def hangs_once(pulse: Pulse) -> None:
        if (tmp_path / "hung").exists():
            os.kill(os.getppid(), signal.SIGTERM)
        (tmp_path / "hung").touch()
        while True:
            signal.sigtimedwait([], 0.1)

    assert ended([hangs_once], tmp_path) == 0
    assert len(list(tmp_path.glob("gone-*"))) == 2


def test_forked_processes_never_make_the_same_id(tmp_path: Path) -> None:
    ids.new()

    def make(pulse: Pulse) -> None:
        (tmp_path / f"made-{os.getpid()}").write_text(" ".join(ids.new().hex[-18:] for _ in range(200)))
        while True:
            pulse.beat()
            if len(list(tmp_path.glob("made-*"))) == WORKERS:
                os.kill(os.getppid(), signal.SIGTERM)
            signal.sigtimedwait([], 0.1)

    assert ended([make] * WORKERS, tmp_path) == 0
    made = [text for path in tmp_path.glob("made-*") for text in path.read_text().split()]
    assert len(made) == len(set(made)) == WORKERS * 200
