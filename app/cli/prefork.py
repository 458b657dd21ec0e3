"""Several processes of one server: forked from a parent that has loaded everything and serves nothing itself.

Forking after the imports starts many as quickly as one and shares what was loaded. The parent stays without threads,
since a lock that another thread holds while it forks stays locked in the child for ever. It puts a new process in the
place of one that died or hangs, hands SIGTERM and SIGINT on, and ends when they have ended.
"""

import contextlib
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

import structlog
from uvicorn.config import STARTUP_FAILURE

_LOOK_SECONDS = 0.5
_HANGS_AFTER = 60  # looks without a beat; many, so that a machine that stood still for a while kills nobody
_SECONDS_TO_STOP = 30  # more than a server takes to finish its requests
_STOPPING = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


class Pulse:
    """What a process tells its parent: that it is alive. And whether there still is a parent."""

    def __init__(self, shared: mmap.mmap, place: int) -> None:
        self._shared, self._place = shared, place
        self._parent = os.getpid()

    def beat(self) -> None:
        self._shared[self._place] = (self._shared[self._place] + 1) % 256

    @property
    def orphaned(self) -> bool:
        """The parent was killed: nobody would put another process in this one's place, or stop it."""
        return os.getppid() != self._parent


Work = Callable[[Pulse], None]


class Prefork:
    """Keeps one process running for each of the works, which beat at least once a second.

    `gone` is told the number of each process that ended; `stopping` is called before they are told to stop.
    """

    def __init__(
        self, works: Sequence[Work], *, gone: Callable[[int], None], stopping: Callable[[], None] = lambda: None
    ) -> None:
        self._works, self._gone, self._before_stop = works, gone, stopping
        self._shared = mmap.mmap(-1, len(works))
        self._places: dict[int, int] = {}
        self._beats: dict[int, tuple[int, int]] = {}
        self._stopping = False

    def run(self) -> int:
        """Until SIGTERM or SIGINT; returns the exit code: 0, or that of a process that could not start."""
        for number in _STOPPING:
            signal.signal(number, self._stop)
        for place in range(len(self._works)):
            self._start(place)
        code = 0
        while not self._stopping:
            time.sleep(_LOOK_SECONDS)
            code = self._replace_the_dead()
            self._kill_the_hanging()
        self._before_stop()
        self._stop_all()
        return code

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _start(self, place: int) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)  # the child must not take one for its parent
        pulse = Pulse(self._shared, place)
        if (pid := os.fork()) == 0:
            _live(self._works[place], pulse)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
        self._places[pid], self._beats[pid] = place, (self._shared[place], 0)

    def _replace_the_dead(self) -> int:
        for pid, code in self._reap():
            place = self._places.pop(pid)
            if code == STARTUP_FAILURE:
                self._stopping = True
                return code
            if not self._stopping:
                log.warning("process_replaced", pid=pid, exit_code=code)
                self._start(place)
        return 0

    def _reap(self) -> list[tuple[int, int]]:
        ended = []
        for pid in list(self._places):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                ended.append((pid, os.waitstatus_to_exitcode(status)))
                del self._beats[pid]
                self._gone(pid)
        return ended

    def _kill_the_hanging(self) -> None:
        for pid, (before, missed) in list(self._beats.items()):
            beat = self._shared[self._places[pid]]
            self._beats[pid] = beat, missed + 1 if beat == before else 0
            if missed >= _HANGS_AFTER:
                log.error("process_hangs", pid=pid)
                os.kill(pid, signal.SIGKILL)

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


def _live(work: Work, pulse: Pulse) -> None:
    """The whole life of a forked process; never returns to what its parent was doing."""
    code = 1
    try:
        for number in _STOPPING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
        work(pulse)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        log.exception("process_failed")
    finally:
        sys.stdout.flush()
        os._exit(code)
