"""Where the time of an operation goes: py-spy looks at the service's processes while they are under load."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.load import Load
from benchmarks.operations import OPERATIONS
from benchmarks.world import World

_RATE = 250  # looks a second
_SHOWN = 30  # lines of the first list
_SHOWN_UNDER = 110  # and of the second
_WAITING = ("Condition.wait (", "_worker (concurrent/")  # threads that are given work now and then
_ENTRY = "RequestResponseCycle.run_asgi"  # uvicorn's call of the application: what is above it is the same for all


def profile(world: World, name: str, *, connections: int, seconds: int) -> str:
    """The functions that were running, and those on the stack, by their share of the looks that found work."""
    operation = OPERATIONS[name]
    contender = operation.contenders["service"]
    server = world.servers[contender.server]
    count = operation.requests if contender.rate is None else contender.rate * seconds
    requests, once = contender.make(world, count), contender.rate is not None
    load = Load(requests, world.folder, port=server.port, connections=connections, seconds=seconds + 2, once=once)
    stacks = _record(server.pid, world.folder / "stacks", seconds)
    seen = load.outcome()
    return f"{name}, c={connections}: {seen.requests / seen.seconds:.0f}/s\n{_told(stacks)}"


def _record(pid: int, path: Path, seconds: int) -> Counter[tuple[str, ...]]:
    """How often each stack was seen, the outermost function first."""
    spy = Path(sys.executable).with_name("py-spy")
    command = [str(spy), "record", "--subprocesses", "--nolineno", "--format", "raw", "--rate", str(_RATE)]
    command += ["--pid", str(pid), "--duration", str(seconds), "--output", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in path.read_text().splitlines():
        frames, _, count = line.rpartition(" ")
        stack = tuple(frame for frame in frames.split(";") if not frame.startswith("process "))
        if stack and not stack[-1].startswith(_WAITING):
            stacks[stack] += int(count)
    return stacks


def _told(stacks: Counter[tuple[str, ...]]) -> str:
    own: Counter[str] = Counter()
    under: Counter[str] = Counter()
    everything = sum(stacks.values())
    for frames, count in stacks.items():
        own[frames[-1]] += count
        entry = next((at for at, frame in enumerate(frames) if frame.startswith(_ENTRY)), 0)
        for frame in set(frames[entry:]):
            under[frame] += count

    def listed(found: Counter[str], lines: int) -> str:
        return "\n".join(f"{count / everything:6.1%}  {name}" for name, count in found.most_common(lines))

    return f"running:\n{listed(own, _SHOWN)}\n\non the stack:\n{listed(under, _SHOWN_UNDER)}"
