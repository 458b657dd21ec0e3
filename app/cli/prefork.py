"""Several processes of one server: forked from a parent that has loaded everything and serves nothing itself.

Forking after the imports starts many as quickly as one and shares what was loaded. The parent stays without threads,
since a lock that another thread holds while it forks stays locked in the child for ever. Once it has forked it becomes
`app/cli/keeper.py`, which keeps them and needs a twentieth of the memory. What starts in the place of a process that
ended loads everything anew.
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import structlog

from app.cli import keeper

MOST = 250  # places: a beat is one byte

log = structlog.get_logger()


class Pulse:
    """What a process tells its parent: that it is alive. And whether there still is a parent."""

    def __init__(self, beats: int, place: int, *, parent: int) -> None:
        self._beats, self._place, self._parent = beats, bytes([place]), parent

    def beat(self) -> None:
        with contextlib.suppress(OSError):  # the parent stands still, or is gone
            os.write(self._beats, self._place)

    @property
    def orphaned(self) -> bool:
        """The parent was killed: nobody would put another process in this one's place, or stop it."""
        return os.getppid() != self._parent


Work = Callable[[Pulse], None]


def pipe() -> tuple[int, int]:
    """Where a parent reads beats, and where its processes write them: nobody waits at either end."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
        os.set_inheritable(end, True)  # over exec, by the keeper and by the processes that it starts
    return ends


def fork(work: Work, pulse: Pulse) -> int:
    """The number of a process that lives for the work. SIGTERM and SIGINT are blocked here from then on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, keeper.STOPPING)  # the child must not take one for its parent
    sys.stdout.flush()  # or the child would write it too
    pid = os.fork()
    if pid == 0:
        live(work, pulse)
    return pid


def become_keeper(**what: Any) -> NoReturn:
    """Go on as `keeper.keep(**what)`: the same process, with its children, its open descriptors and nothing else."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Neither site-packages nor the environment's settings for Python: it takes nothing from either.
    os.execv(sys.executable, [sys.executable, "-I", "-S", keeper.__file__, json.dumps(what)])  # noqa: S606 - no shell


def live(work: Work, pulse: Pulse) -> NoReturn:
    """The whole life of a process; never returns to what was done before."""
    code = 1
    try:
        for number in keeper.STOPPING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, keeper.STOPPING)
        work(pulse)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        log.exception("process_failed")
    finally:
        sys.stdout.flush()
        os._exit(code)
