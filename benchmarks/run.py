"""The method: every contender of an operation in turn, round after round; windows with somebody else in them go."""

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.load import Load
from benchmarks.machine import Use, foreign_share, pss
from benchmarks.operations import Contender, Operation
from benchmarks.world import World

FOREIGN = 0.12  # of the machine; above it a window is dropped
_TRIES = 4  # windows for one figure before a dirty one is taken as it is
_WARM = 1  # second


@dataclass(frozen=True, slots=True)
class Window:
    """One contender under load for some seconds. CPU in milliseconds a request, memory in MiB, p50 and p99 in ms."""

    operation: str
    contender: str
    connections: int
    requests: int
    per_second: float
    p50: float
    p99: float
    server_cpu: float
    database_cpu: float
    memory: float
    foreign: float

    @property
    def clean(self) -> bool:
        return self.foreign <= FOREIGN

    def members(self) -> dict[str, Any]:
        return asdict(self)


class Runner:
    """`postgres` is the first process of the database."""

    def __init__(self, world: World, *, postgres: int, seconds: int, dirty: bool) -> None:
        self._world = world
        self._postgres = postgres
        self._seconds = seconds
        self._tries = 1 if dirty else _TRIES
        self._warm: set[tuple[str, str]] = set()
        self._rates: dict[tuple[str, str, int], float] = {}

    def window(self, operation: Operation, name: str, connections: int) -> Window:
        """One window, again while somebody else is busy. Raises RuntimeError for answers that are not as expected."""
        contender = operation.contenders[name]
        if (operation.name, name) not in self._warm:
            self._measure(operation, name, contender, 16, _WARM)
            self._warm.add((operation.name, name))
        for _ in range(self._tries):
            window = self._measure(operation, name, contender, connections, self._seconds)
            if window.clean:
                break
        return window

    def _measure(self, operation: Operation, name: str, contender: Contender, connections: int, seconds: int) -> Window:
        world, server = self._world, self._world.servers[contender.server]
        once = contender.rate is not None
        key = (operation.name, name, connections)
        rate = self._rates.get(key, contender.rate or 0)
        requests = contender.make(world, int(rate * seconds * 1.5) if once else operation.requests)
        groups = {"server": server.pid, "database": self._postgres}
        load = Load(requests, world.folder, port=server.port, connections=connections, seconds=seconds, once=once)
        before = Use.now(groups)
        seen = load.outcome()
        after = Use.now(groups)
        if seen.refused or seen.broken or not seen.requests:
            raise RuntimeError(f"{operation.name}, {name}: {seen}; see the logs in {world.folder}")
        self._rates[key] = seen.requests / seen.seconds

        def cpu(group: str) -> float:
            return (after.groups[group] - before.groups[group]) * 1000 / seen.requests

        return Window(
            operation=operation.name,
            contender=name,
            connections=connections,
            requests=seen.requests,
            per_second=seen.requests / seen.seconds,
            p50=seen.p50,
            p99=seen.p99,
            server_cpu=cpu("server"),
            database_cpu=cpu("database"),
            memory=pss(server.pid),
            foreign=foreign_share(before, after),
        )
