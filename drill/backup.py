"""Backup and restore, done: a dump of the primary under load, another server made of it, the service on that."""

import time

from drill.client import Caller, ServiceCaller, Traffic
from drill.compare import compare
from drill.ledger import Kind
from drill.load import Load
from drill.processes import free_port
from drill.service import until_ready
from drill.site import Site

_AT_ONCE = 1000  # accounts in one look-up


async def back_up_and_restore(load: Load) -> str:
    """Raises RuntimeError when what was acknowledged before the backup began is not in what was restored."""
    site, moment, began = load.site, time.time(), time.monotonic()
    dump = site.primary.folder / "account.dump"
    await site.primary.dump(dump)
    dumped = time.monotonic() - began
    server = site.server("restored")
    await server.create()
    await server.start()
    try:
        began = time.monotonic()
        await server.restore(dump)
        restored = time.monotonic() - began
        began = time.monotonic()
        await site.service.command("migrate", database=server.url())
        told = await _serve(load, site, server.url(), moment)
        found = await compare(load.ledger, server, before=moment)
        if found.lost:
            raise RuntimeError(f"the backup lacks {found.lost[:10]}")
    finally:
        await server.stop()
    return (
        f"dumped {dump.stat().st_size / 1024:.0f} KiB in {dumped:.1f} s under load, restored in {restored:.1f} s, "
        f"migrated, served and read back in {time.monotonic() - began:.1f} s: {told} accounts and all other "
        f"{sum(found.compared.values()) - told} writes that were acknowledged before it began"
    )


async def _serve(load: Load, site: Site, url: str, moment: float) -> int:
    """Start the service on the restored database and ask it for every account that it must have; how many."""
    port = free_port()
    replica = site.service.replica("restored", port, environment=site.service.environment(database=url))
    await replica.start()
    caller = Caller(f"http://127.0.0.1:{port}", Traffic(), patience=30)
    try:
        await until_ready(port)
        service = ServiceCaller(caller, *load.credentials)
        ids = [one.value for one in load.ledger.of(Kind.ACCOUNT, before=moment) if one.acknowledged]
        for first in range(0, len(ids), _AT_ONCE):
            answer = await service.call("POST", "/accounts/lookup", json={"ids": ids[first : first + _AT_ONCE]})
            missing = [one["id"] for one in answer.expect(200).body["items"] if not one["found"]]
            if missing:
                raise RuntimeError(f"the restored service does not know {missing[:10]}")
        return len(ids)
    finally:
        await caller.close()
        await replica.stop()
