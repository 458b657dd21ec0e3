"""What had to leave the service: every message, every event, each at least once and the events in their order."""

import asyncio
import time

from drill.compare import Findings
from drill.load import Load
from drill.postgres import Server

_OPEN = (
    "SELECT (SELECT count(*) FROM outbox_messages WHERE state = 'queued') + "
    "(SELECT count(*) FROM webhook_deliveries WHERE state = 'pending') + "
    "(SELECT count(*) FROM events WHERE position IS NULL) + "
    "(SELECT count(*) FROM webhook_endpoints e, event_head h WHERE e.position < h.last)"
)


async def drained(server: Server, *, within: float) -> float | None:
    """Wait until nothing waits to be sent; how many seconds that took, None when it did not come true in time."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        [row] = await server.query(_OPEN)
        if row[0] == 0:
            return time.monotonic() - began
        await asyncio.sleep(0.5)
    return None


async def compare_outgoing(found: Findings, load: Load, server: Server, *, within: float) -> None:
    """Add to the findings what did not arrive, or not in its order."""
    if await drained(server, within=within) is None:
        found.undelivered.append(f"something still waits after {within:.0f} s")
    while await load.reader.page():
        pass
    await _messages(found, load, server)
    rows = await server.query("SELECT id, position FROM events ORDER BY position")
    ids = [f"evnt_{row['id'].hex}" for row in rows]
    found.compared["event in the feed"], found.compared["webhook"] = len(load.reader.read), len(load.site.sinks.hooks)
    if load.reader.read != ids:
        missing = set(ids) - set(load.reader.read)
        found.undelivered.append(
            f"the feed reader has {len(load.reader.read)} of {len(ids)} events, {len(missing)} missing, "
            f"{len(load.reader.read) - len(set(load.reader.read))} twice, or in another order"
        )
    if [row["position"] for row in rows] != list(range(1, len(rows) + 1)):
        found.undelivered.append("positions have gaps")
    found.undelivered += [f"webhook {one}" for one in ids if one not in load.site.sinks.hooks]


async def _messages(found: Findings, load: Load, server: Server) -> None:
    rows = await server.query("SELECT id, channel, template, state, last_error FROM outbox_messages")
    mailbox = load.site.sinks.mailbox
    found.compared["message"] = len(rows)
    for row in rows:
        if row["channel"] == "none":
            continue
        shown = f"mesg_{row['id'].hex}"
        if row["state"] != "sent" or shown not in mailbox.ids:
            found.undelivered.append(f"{row['template']} {shown}: {row['state']} {row['last_error'] or ''}")
