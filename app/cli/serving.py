"""`python -m app serve`: one process, or several behind one port."""

import gc
import os
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from socket import socket
from types import FrameType
from typing import Any, NoReturn

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from app.cli import counting, listening, memory, prefork
from app.cli.connections import bounded
from app.cli.prefork import Pulse, Work
from app.core import telemetry
from app.core.config import Settings
from app.main import create_app

_KEEP_ALIVE = 75  # seconds; longer than a proxy keeps a connection, so that it never sends into one that ends
_TICKS = 5  # of uvicorn's tenths of a second, from beat to beat
_TICKS_TO_GIVE_BACK = 50

log = structlog.get_logger()


class Task(StrEnum):
    """What a process is for."""

    SERVE = "serve"
    SHOW_METRICS = "show-metrics"


def serve(settings: Settings, *, host: str, port: int, workers: int) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Each worker is a process with connections, a hash thread and loops of its own; they share the port, and nothing
    else that a request needs. What this process becomes when it has forked them is not what called.
    """
    server = _loaded(settings, host=host, port=port)
    metrics_port = None if settings.is_development else settings.metrics_port
    if workers == 1:
        if metrics_port:
            telemetry.serve(metrics_port)
        return server.serve_all()
    sockets = listening.sockets(server.config, workers)
    telemetry.forget(os.getpid())  # what it did so far, it did for all
    works: list[tuple[Task, Work]] = [(Task.SERVE, _serving(server, sockets, place)) for place in range(workers)]
    if metrics_port:
        works.append((Task.SHOW_METRICS, partial(_show_metrics, metrics_port, sockets)))
    return _fork(works, sockets, quiet=settings.log_level == "ERROR")


def replace(settings: Settings, task: Task, *, place: int, beats: int, listens: int, parent: int) -> NoReturn:
    """Be the process of a task in the place of one that ended. `beats` and `listens`, the socket of a place that has
    one, are descriptors of its parent.
    """
    if task is Task.SHOW_METRICS and settings.metrics_port:
        work: Work = partial(_show_metrics, settings.metrics_port, [])
    else:
        work = _serving(_loaded(settings), [socket(fileno=listens)], 0)
    prefork.live(work, Pulse(beats, place, parent=parent))


def _fork(works: list[tuple[Task, Work]], sockets: list[socket], *, quiet: bool) -> NoReturn:
    """Fork a process for each of the works, and become what keeps them. The first of them have sockets."""
    heard, beats = prefork.pipe()
    listens = [one.fileno() for one in sockets]
    pids, commands = [], []
    for place, (task, work) in enumerate(works):
        pids.append(prefork.fork(work, Pulse(beats, place, parent=os.getpid())))
        handed = (place, beats, listens[place] if place < len(listens) else -1, os.getpid())
        commands.append([sys.executable, "-m", "app", "replace", "--", task, *map(str, handed)])
    metrics, metrics_are_ours = counting.handed_over()
    prefork.become_keeper(
        pids=pids,
        commands=commands,
        beats=heard,
        listening=listens,
        quiet=quiet,
        metrics=metrics,
        metrics_are_ours=metrics_are_ours,
        metrics_of_living=telemetry.FILES_OF_LIVING,
        cannot_start=STARTUP_FAILURE,
    )


def _loaded(settings: Settings, **where: Any) -> "Server":
    """All that serving needs, so that processes share it: the loop and the layers around the routes too."""
    memory.in_one_heap()
    application = create_app(settings)
    application.middleware_stack = application.build_middleware_stack()
    config = _config(application, settings, **where)
    config.load()
    config.get_loop_factory()
    gc.collect()
    gc.freeze()  # what was loaded stays: no collection looks through it, nor makes forked processes copy it
    memory.give_back()
    return Server(config, before_exit=application.state.container.events.stop)


def _serving(server: "Server", sockets: list[socket], place: int) -> Work:
    def work(pulse: Pulse) -> None:
        for one in sockets:
            if one is not sockets[place]:
                one.close()
        sys.exit(server.serve_all([sockets[place]], pulse))

    return work


def _config(application: Callable[..., Any], settings: Settings, **where: Any) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        **where,
        loop="uvloop",
        http=bounded(settings.receive_seconds),
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=20,
    )


class Server(uvicorn.Server):
    """Ends what waits for events, which would keep the process for as long as it waits."""

    def __init__(self, config: uvicorn.Config, *, before_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_exit = before_exit
        self._pulse: Pulse | None = None

    def serve_all(self, sockets: list[socket] | None = None, pulse: Pulse | None = None) -> int:
        """Until it is told to stop; the exit code."""
        self._pulse = pulse
        self.run(sockets)
        return 0 if self.started else STARTUP_FAILURE

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._before_exit()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        listening.refuse(sockets or [])
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        if self._pulse and counter % _TICKS == 0:
            self._pulse.beat()
            if self._pulse.orphaned:
                self._before_exit()
                return True
        if counter % _TICKS_TO_GIVE_BACK == 0:
            memory.give_back()
        return await super().on_tick(counter)


def _show_metrics(port: int, sockets: list[socket], pulse: Pulse) -> None:
    """In a process of its own, since it takes a thread: the parent of all has none."""
    for one in sockets:
        one.close()
    try:
        telemetry.serve(port)
    except OSError as error:
        log.error("metrics_port_not_free", port=port, why=error.strerror)  # noqa: TRY400 - the words say it all
        sys.exit(STARTUP_FAILURE)
    while not pulse.orphaned:
        pulse.beat()
        time.sleep(_TICKS / 10)
