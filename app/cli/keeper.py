"""What the parent of several processes becomes: a program of its own that keeps them, and holds nothing else.

A parent that stayed what it was would keep a copy of all that was loaded, only to fork from it once in a while. So this
imports little of the standard library and nothing of the service, and is started by the file's name
(`app/cli/prefork.py`), in the process and with the children of the one before.
"""

import _socket  # `socket` and its enumerations are a megabyte
import contextlib
import glob
import json
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing is a megabyte
    from collections.abc import Callable, Sequence

STOPPING = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS = 0.5  # sooner when a process ends
_HANGS_AFTER = 60  # looks without a beat; many, so that a machine that stood still for a while kills nobody
_SECONDS_TO_STOP = 30  # more than a server takes to finish its requests
_BEATS = 65536  # bytes; more than a pipe holds


class Keeper:
    """Keeps a process running in each of the places, which beats at least once a second: writes the place to `beats`.

    `start` puts another process in a place and gives its number. `gone` is told the number of each process that
    ended. `cannot_start` is the exit code that ends them all.
    """

    def __init__(
        self,
        pids: "Sequence[int]",
        *,
        beats: int,
        start: "Callable[[int], int]",
        gone: "Callable[[int], None]",
        log: "Callable[..., None]" = lambda *_, **__: None,
        cannot_start: int,
    ) -> None:
        self._places = {pid: place for place, pid in enumerate(pids)}
        self._missed = dict.fromkeys(pids, 0)  # looks, since the last beat
        self._beats, self._start, self._gone = beats, start, gone
        self._log, self._cannot_start = log, cannot_start
        self._stopping = False
        os.set_blocking(beats, False)

    def run(self) -> int:
        """Until SIGTERM or SIGINT; returns the exit code: 0, or that of a process that could not start."""
        for number in STOPPING:
            signal.signal(number, self._stop)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # it is waited for
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)  # as it was forked and became this, they waited
        code = 0
        while not self._stopping:
            if not signal.sigtimedwait([signal.SIGCHLD], _LOOK_SECONDS):
                self._kill_the_hanging()
            code = self._replace_the_dead()
        self._stop_all()
        return code

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _replace_the_dead(self) -> int:
        for pid, code in self._reap():
            place = self._places.pop(pid)
            if code == self._cannot_start:
                self._stopping = True
                return code
            if not self._stopping:
                self._log("process_replaced", level="warning", pid=pid, exit_code=code)
                another = self._start(place)
                self._places[another], self._missed[another] = place, 0
        return 0

    def _reap(self) -> list[tuple[int, int]]:
        ended = []
        for pid in list(self._places):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                ended.append((pid, os.waitstatus_to_exitcode(status)))
                del self._missed[pid]
                self._gone(pid)
        return ended

    def _kill_the_hanging(self) -> None:
        beating = self._beating()
        for pid, missed in list(self._missed.items()):
            self._missed[pid] = 0 if self._places[pid] in beating else missed + 1
            if missed >= _HANGS_AFTER:
                self._log("process_hangs", level="error", pid=pid)
                os.kill(pid, signal.SIGKILL)

    def _beating(self) -> set[int]:
        """The places from which a beat came since the last look."""
        try:
            return set(os.read(self._beats, _BEATS))
        except BlockingIOError:
            return set()

    def _stop_all(self) -> None:
        self._tell(signal.SIGTERM)
        deadline = time.monotonic() + _SECONDS_TO_STOP
        while self._places:
            for pid, _ in self._reap():
                del self._places[pid]
            if time.monotonic() > deadline:
                self._tell(signal.SIGKILL)
            time.sleep(0.05)

    def _tell(self, number: signal.Signals) -> None:
        for pid in self._places:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def keep(
    *,
    pids: list[int],
    commands: list[list[str]],
    beats: int,
    listening: list[int],
    quiet: bool,
    metrics: str,
    metrics_are_ours: bool,
    metrics_of_living: str,
    cannot_start: int,
) -> int:
    """Until SIGTERM or SIGINT; the exit code.

    `pids` and `commands` by place: the process that is there, and what starts another. `beats` and `listening`, the
    sockets of the first places, are descriptors; `quiet` logs errors and no warnings. `metrics` is the folder in which
    they count, `metrics_of_living` the pattern of those of its files that count for a process (`{pid}`) only as long as
    it lives.
    """

    def start(place: int) -> int:
        if place < len(listening):
            _refuse(listening[place])
        theirs = [(os.POSIX_SPAWN_CLOSE, one) for at, one in enumerate(listening) if at != place]
        return os.posix_spawn(commands[place][0], commands[place], os.environ, file_actions=theirs, setsigmask=[])

    def gone(pid: int) -> None:
        for path in glob.glob(metrics_of_living.format(pid=pid), root_dir=metrics):  # noqa: PTH207 - pathlib is larger
            os.remove(f"{metrics}/{path}")  # noqa: PTH107 - as above

    def log(event: str, *, level: str, **members: object) -> None:
        if level == "error" or not quiet:
            line = {**members, "event": event, "level": level, "logger": "app.cli.keeper", "timestamp": _now()}
            print(json.dumps(line), flush=True)  # noqa: T201 - as app.core.logging writes it

    code = Keeper(pids, beats=beats, start=start, gone=gone, log=log, cannot_start=cannot_start).run()
    if metrics_are_ours:
        _remove(metrics)
    return code


def _refuse(listening: int) -> None:
    """Let the kernel lead callers to the other places until somebody listens in this one again."""
    taken = _socket.socket(fileno=listening)
    with contextlib.suppress(OSError):  # who ended had done so
        taken.shutdown(_socket.SHUT_RD)
    taken.detach()


def _now() -> str:
    """RFC 3339."""
    at = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1_000_000):06}Z"


def _remove(folder: str) -> None:
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            os.remove(entry)  # noqa: PTH107 - as above
        os.rmdir(folder)  # noqa: PTH106 - as above


if __name__ == "__main__":
    sys.exit(keep(**json.loads(sys.argv[1])))
