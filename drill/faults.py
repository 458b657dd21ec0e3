"""What goes wrong, one thing after another. Each fault returns what is worth saying about it besides the errors."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from app.core import migrations
from drill.service import is_ready, next_version, roll, until_ready
from drill.site import REPLICAS, Site


@dataclass(frozen=True)
class Fault:
    """`act` returns when what an operator or a supervisor does about it is done, or when the fault is over."""

    name: str
    what: str
    act: Callable[[Site], Awaitable[str]]
    refusals: bool = False  # whether customers may be refused, as "expired", while it lasts


async def kill_replica(site: Site) -> str:
    site.replicas[REPLICAS[0]].kill()
    return ""


async def restarted(site: Site) -> str:
    """What the supervisor does after the kill: until both take requests again."""
    began = time.monotonic()
    await until_ready(site.ports[REPLICAS[0]])
    return f"both replicas were ready {time.monotonic() - began:.1f} s later"


async def roll_replicas(site: Site) -> str:
    for name, port in site.ports.items():
        await roll(site.replicas[name], port)
    return ""


async def restart_pgbouncer(site: Site) -> str:
    await site.pgbouncer.restart()
    return ""


async def restart_primary(site: Site) -> str:
    await site.primary.restart()
    return ""


async def promote_standby(site: Site) -> str:
    """`kill -9` of the primary; then what automation does: promote the standby, point the pooler to it."""
    site.primary.kill()
    began = time.monotonic()
    await site.standby.promote()
    await site.pgbouncer.point_to(site.standby.port)
    site.primary, site.standby = site.standby, site.primary
    return f"promoted and pointed to in {time.monotonic() - began:.1f} s"


async def rejoin(site: Site) -> str:
    """A new standby of the new primary, so that commits are synchronous again."""
    began = time.monotonic()
    site.standby = site.server("three")
    await site.join(site.standby)
    return f"a new standby was in step after {time.monotonic() - began:.1f} s"


async def migrate_forward(site: Site) -> str:
    """The schema first; old replicas go on for a while; then one new beside one old; then only new ones."""
    tree = next_version(site.folder / "next", migrations.head())
    began = time.monotonic()
    await site.migrate(tree=tree)
    migrated = time.monotonic() - began
    await asyncio.sleep(3)
    for name, port in site.ports.items():
        new = site.service.replica(name, port, tree=tree)
        await roll(site.replicas[name], port, new)
        site.replicas[name] = new
        await asyncio.sleep(3)
    await site.worker.stop(signal.SIGTERM)
    site.worker = site.service.worker(tree=tree)
    await site.worker.start()
    return f"migrated in {migrated:.1f} s, then one replica after the other"


def read_only(seconds: float) -> Callable[[Site], Awaitable[str]]:
    """The pooler leads to a server that only reads, as after a failover that went half way; then to the primary."""

    async def act(site: Site) -> str:
        await site.pgbouncer.point_to(site.standby.port)
        await asyncio.sleep(seconds)
        await site.pgbouncer.point_to(site.primary.port)
        return ""

    return act


def clock_steps(seconds: float) -> Callable[[Site], Awaitable[str]]:
    """The clock of one running replica steps an hour ahead, then two back, then to the right time."""

    async def act(site: Site) -> str:
        name, clock = REPLICAS[0], site.folder / "clock"
        clock.write_text("+0")
        strayed = site.service.replica(name, site.ports[name], workers=1, environment=faked(clock))
        await roll(site.replicas[name], site.ports[name], strayed)
        seen = []
        for offset in ("+3600", "-3600", "+0"):
            clock.write_text(offset)
            await asyncio.sleep(seconds)
            seen.append(f"{offset} s: {'ready' if await is_ready(site.ports[name]) else 'not ready'}")
        await roll(strayed, site.ports[name], site.replicas[name])
        return ", ".join(seen)

    return act


def faked(clock: Path) -> dict[str, str]:
    """The environment of a process whose clock is as far off as the file says (libfaketime)."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # only the time of day steps
        "DONT_FAKE_MONOTONIC": "1",
    }


def notifiers_away(seconds: float) -> Callable[[Site], Awaitable[str]]:
    async def act(site: Site) -> str:
        site.sinks.hang_sms()
        await site.sinks.refuse_mail()
        await asyncio.sleep(seconds)
        await site.sinks.accept_mail()
        site.sinks.answer_sms()
        waiting = await site.primary.query("SELECT count(*) FROM outbox_messages WHERE state = 'queued'")
        return f"after {seconds:.0f} s, {waiting[0][0]} messages waited"

    return act


async def delivered(site: Site) -> str:
    """Until what had waited was delivered; new messages come all the time."""
    began, moment = time.monotonic(), await site.primary.query("SELECT now()")
    statement = "SELECT count(*) FROM outbox_messages WHERE state = 'queued' AND created_at < $1"
    while (await site.primary.query(statement, moment[0][0]))[0][0]:
        await asyncio.sleep(0.2)
    return f"all of them were delivered {time.monotonic() - began:.1f} s after the end"
