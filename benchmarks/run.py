"""The method: every contender of an operation in turn, round after round; windows with somebody else in them go."""

import time
from dataclasses import replace

from benchmarks import servers
from benchmarks.figures import Kind, Window
from benchmarks.load import Load, Outcome
from benchmarks.machine import Use, foreign_share, pss
from benchmarks.operations import BESIDE, OPERATIONS, Contender
from benchmarks.servers import Server
from benchmarks.world import World

_TRIES = 4  # windows for one figure before a dirty one is taken as it is
_WARM = 1  # seconds
_SETTLE = 10  # seconds at most between windows
_REST = 10  # seconds; twice as long as the service takes to give back what it does not use (app/cli/serving.py)
_SPARE = 1.5  # times as many requests as the last window of the kind took


class Runner:
    """`postgres` is the first process of the database; `dirty` takes every window as it comes."""

    def __init__(self, world: World, *, postgres: int, workers: int, seconds: int, dirty: bool) -> None:
        self._world = world
        self._postgres = postgres
        self._workers = workers
        self._seconds = seconds
        self._dirty = dirty
        self._warm: set[tuple[str, str]] = set()
        self._rates: dict[Kind, float] = {}
        self._made: dict[tuple[str, str, str], list[bytes]] = {}

    def start(self) -> float:
        """Seconds from the command to the first 200, of another instance of the service."""
        with servers.service(self._world.folder, self._world.environment, workers=self._workers) as started:
            return started.started

    def rested(self) -> float:
        """MiB of the service when it has had nothing to do for a while."""
        server = self._world.servers["service"]
        self._until_idle(server)
        time.sleep(_REST)
        return pss(server.pid)

    def window(self, kind: Kind) -> Window:
        """One window, again while somebody else is busy. Raises RuntimeError for answers that are not as expected."""
        longer = OPERATIONS[kind.operation].windows
        self._world.renew()
        if (kind.operation, kind.contender) not in self._warm:
            self._measure(kind, _WARM * longer)
            self._warm.add((kind.operation, kind.contender))
        found = None
        for _ in range(_TRIES):
            found = self._measure(kind, self._seconds * longer) or found
            if found and (found.clean or self._dirty):
                break
        if found is None:
            raise RuntimeError(f"{kind}: not one answer")
        return found

    def _measure(self, kind: Kind, seconds: int) -> Window | None:
        """None when nothing was answered in time."""
        contender = OPERATIONS[kind.operation].contenders[kind.contender]
        server = self._world.servers[contender.server]
        groups = {"server": server.pid, "database": self._postgres}
        while True:
            requests = self._requests(kind, contender, seconds)
            before = Use.now(groups)
            seen = self._under_load(kind, contender, requests, seconds)
            after = Use.now(groups)
            self._until_idle(server)
            if contender.rate is None or seen.requests + _ahead(kind) < len(requests):
                break
            self._rates[kind] = 2 * len(requests) / seconds  # it ran dry, and waited for the end of the window
        if seen.refused or seen.broken:
            raise RuntimeError(f"{kind}: {seen}\n{self._world.refusals()}")
        if not seen.requests:
            return None
        self._rates[kind] = seen.requests / seen.seconds
        return _window(kind, seen, before, after, pss(server.pid))

    def _until_idle(self, server: Server) -> None:
        """What nobody waits for any longer is still worked on: that is not the next one's."""
        deadline, before = time.monotonic() + _SETTLE, -1.0
        while time.monotonic() < deadline:
            used = Use.now({"server": server.pid}).groups["server"]
            if used - before < 0.02:
                return
            before = used
            time.sleep(0.2)

    def _requests(self, kind: Kind, contender: Contender, seconds: int) -> list[bytes]:
        if contender.rate is None:
            key = kind.operation, kind.contender, self._world.service_token
            if key not in self._made:
                self._made[key] = contender.make(self._world, OPERATIONS[kind.operation].requests)
            return self._made[key]
        rate = self._rates.get(kind, contender.rate)
        return contender.make(self._world, int(rate * seconds * _SPARE) + 2 * _ahead(kind))

    def _under_load(self, kind: Kind, contender: Contender, requests: list[bytes], seconds: int) -> Outcome:
        port = self._world.servers[contender.server].port
        folder, once = self._world.folder, contender.rate is not None
        others = contender.beside(self._world, OPERATIONS[kind.operation].requests) if contender.beside else []
        load = Load(requests, folder, port=port, connections=kind.connections, seconds=seconds, once=once)
        if not others:
            return load.outcome()
        beside = Load(others, folder / "beside", port=port, connections=BESIDE, seconds=seconds, once=False)
        seen, other = load.outcome(), beside.outcome()
        return replace(seen, refused=seen.refused + other.refused, broken=seen.broken + other.broken)


def _window(kind: Kind, seen: Outcome, before: Use, after: Use, memory: float) -> Window:
    used = {name: (after.groups[name] - before.groups[name]) * 1000 / seen.requests for name in after.groups}
    return Window(
        operation=kind.operation,
        contender=kind.contender,
        connections=kind.connections,
        requests=seen.requests,
        per_second=seen.requests / seen.seconds,
        p50=seen.p50,
        p99=seen.p99,
        server_cpu=used["server"],
        database_cpu=used["database"],
        memory=memory,
        foreign=foreign_share(before, after),
    )


def _ahead(kind: Kind) -> int:
    """How many requests may have been taken and not answered: each caller has one under way and maybe the next one."""
    return 2 * kind.connections
