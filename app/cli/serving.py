"""`python -m app serve`: one process, or several behind one socket."""

import gc
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from socket import socket
from types import FrameType
from typing import Any

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from app.cli.connections import bounded
from app.cli.prefork import Prefork, Pulse, Work
from app.core import telemetry
from app.core.config import Settings
from app.main import create_app

_KEEP_ALIVE = 75  # seconds; longer than a proxy keeps a connection, so that it never sends into one that ends
_TICKS = 5  # of uvicorn's tenths of a second, from beat to beat

log = structlog.get_logger()


def serve(settings: Settings, *, host: str, port: int, workers: int) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Each worker is a process with connections, a hash thread and loops of its own; they share the socket, and nothing
    else that a request needs.
    """
    application = create_app(settings)
    gc.collect()
    gc.freeze()  # what was loaded stays: no collection looks through it, nor makes forked processes copy it
    events = application.state.container.events
    config = _config(application, settings, host=host, port=port)
    metrics_port = None if settings.is_development else settings.metrics_port
    if workers == 1:
        if metrics_port:
            telemetry.serve(metrics_port)
        return Server(config, before_exit=events.stop).serve_all()
    listening = config.bind_socket()
    telemetry.forget(os.getpid())  # what it did so far, it did for all

    def work(pulse: Pulse) -> None:
        sys.exit(Server(config, before_exit=events.stop, pulse=pulse).serve_all([listening]))

    works: list[Work] = [work] * workers
    if metrics_port:
        works.append(partial(_show_metrics, metrics_port, listening))
    # While anybody holds the socket open the kernel lets callers in whom nobody will answer.
    return Prefork(works, gone=telemetry.forget, stopping=listening.close).run()


def _config(application: Callable[..., Any], settings: Settings, *, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        host=host,
        port=port,
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

    def __init__(self, config: uvicorn.Config, *, before_exit: Callable[[], None], pulse: Pulse | None = None) -> None:
        super().__init__(config)
        self._before_exit = before_exit
        self._pulse = pulse

    def serve_all(self, sockets: list[socket] | None = None) -> int:
        """Until it is told to stop; the exit code."""
        self.run(sockets)
        return 0 if self.started else STARTUP_FAILURE

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._before_exit()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if self._pulse and counter % _TICKS == 0:
            self._pulse.beat()
            if self._pulse.orphaned:
                self._before_exit()
                return True
        return await super().on_tick(counter)


def _show_metrics(port: int, listening: socket, pulse: Pulse) -> None:
    """In a process of its own, since it takes a thread: the parent of all has none."""
    listening.close()
    try:
        telemetry.serve(port)
    except OSError as error:
        log.error("metrics_port_not_free", port=port, why=error.strerror)  # noqa: TRY400 - the words say it all
        sys.exit(STARTUP_FAILURE)
    while not pulse.orphaned:
        pulse.beat()
        time.sleep(_TICKS / 10)
