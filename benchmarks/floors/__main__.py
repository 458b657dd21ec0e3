"""`python -m benchmarks.floors NAME PORT WORKERS`: a floor, served and its callers spread as the service's are."""

import signal
import sys
from multiprocessing import get_context

import uvicorn

from app.cli import listening


def main(name: str, port: int, workers: int) -> None:
    config = uvicorn.Config(
        f"benchmarks.floors.{name}:app",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
    processes = [
        get_context("fork").Process(target=uvicorn.Server(config).run, args=([one],))
        for one in listening.sockets(config, workers)
    ]
    for one in processes:
        one.start()

    def stop(*_: object) -> None:
        for one in processes:
            one.terminate()

    signal.signal(signal.SIGTERM, stop)
    for one in processes:
        one.join()


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
