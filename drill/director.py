"""Starts everything, lets the load run, does one thing after another to it, and compares."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drill import faults
from drill.backup import back_up_and_restore
from drill.compare import compare
from drill.faults import Fault
from drill.load import Load, Pace
from drill.outgoing import compare_outgoing
from drill.report import Outcome, Report, outcome_of
from drill.site import Site, site


@dataclass(frozen=True)
class Form:
    """How long and how hard; times in seconds. `calm` without an error ends the watch over a fault."""

    name: str
    workers: int  # processes of each replica
    lanes: int
    pause: float
    baseline: float
    calm: float
    away: float
    patience: float
    code_within: float


Follow = Callable[[Site], Awaitable[str]]


def plan(form: Form, load: Load) -> list[tuple[Fault, Sequence[Follow]]]:
    """The faults in their order, each with what is waited for afterwards."""

    async def back_up(_: Site) -> str:
        return await back_up_and_restore(load)

    return [
        (Fault("replica", "SIGKILL", faults.kill_replica), [faults.restarted]),
        (Fault("rolling", "SIGTERM to one replica after the other", faults.roll_replicas), []),
        (Fault("pgbouncer", "restarted", faults.restart_pgbouncer), []),
        (Fault("primary", "restarted", faults.restart_primary), []),
        (Fault("failover", "primary killed, standby promoted", faults.promote_standby), [faults.rejoin]),
        (Fault("read-only", "the pooler leads to a standby, and back", faults.read_only(form.away)), []),
        (Fault("backup", "taken under load and restored elsewhere", back_up), []),
        (Fault("clock", "of one replica steps by ±1 h", faults.clock_steps(form.away), refusals=True), []),
        (Fault("migration", "schema forward, then new replicas beside old ones", faults.migrate_forward), []),
        (Fault("notifiers", "SMS gateway hangs, SMTP refuses", faults.notifiers_away(form.away)), [faults.delivered]),
    ]


async def drill(form: Form, out: Path, only: Sequence[str] | None = None) -> Report:
    """The whole of it. The ledger, the report and all logs are in `out` afterwards."""
    began = time.monotonic()
    async with site(out, workers=form.workers) as running:
        _say(f"everything runs after {time.monotonic() - began:.1f} s")
        load = Load(running, Pace(form.lanes, form.pause, form.patience, form.code_within))
        loaded = time.monotonic()
        await load.start()
        outcomes = [await _meet(load, Fault("none", "nothing happens", _wait(form.baseline)), [], form.calm)]
        for fault, follows in plan(form, load):
            if only is None or fault.name in only:
                outcomes.append(await _meet(load, fault, follows, form.calm))
        _say("the load ends")
        await load.stop()
        ended = time.monotonic()
        found = await compare(load.ledger, running.primary)
        await compare_outgoing(found, load, running.primary, within=60)
        load.ledger.write(out / "ledger.jsonl")
    attempts = load.traffic.attempts
    hooks, mailbox = running.sinks.hooks, running.sinks.mailbox
    report = Report(
        form=form.name,
        seconds=time.monotonic() - began,
        customers=load.customers,
        attempts=len(attempts),
        per_second=len(attempts) / (ended - loaded),
        breaches=dict(Counter(f"{one.route}: {one.outcome}" for one in attempts if one.breach)),
        outcomes=outcomes,
        findings=found,
        surprises=load.ledger.surprises,
        given_up=dict(Counter(load.ledger.given_up)),
        repeats={"messages": mailbox.repeats, "webhooks": sum(hooks.values()) - len(hooks)},
    )
    report.write(out.with_suffix(".json"))
    return report


async def _meet(load: Load, fault: Fault, follows: Sequence[Follow], calm: float) -> Outcome:
    _say(f"{fault.name}: {fault.what}")
    began, surprises = time.monotonic(), len(load.ledger.surprises)
    notes = [await fault.act(load.site)]
    ended = time.monotonic()
    notes += [await follow(load.site) for follow in follows]
    if fault.refusals and (refused := load.ledger.surprises[surprises:]):
        notes.append(f"{len(refused)} customers were refused before it was taken out: {refused}")
        del load.ledger.surprises[surprises:]
    if not await _calm(load, began, calm):
        notes.append("it never became calm")
        load.ledger.surprises.append(f"{fault.name}: errors went on")
    load.check()
    outcome = outcome_of(fault.name, fault.what, load.traffic.between(began, time.monotonic()), began, ended)
    outcome.notes = notes
    return outcome


async def _calm(load: Load, began: float, calm: float, *, within: float = 60) -> bool:
    """Until there was no error for so long, but answers; whether that came true."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        lately = load.traffic.between(max(began, time.monotonic() - calm), time.monotonic())
        if time.monotonic() - began >= calm and lately and not any(one.failed for one in lately):
            return True
    return False


def _wait(seconds: float) -> Follow:
    async def act(_: Site) -> str:
        await asyncio.sleep(seconds)
        return ""

    return act


def _say(what: str) -> None:
    sys.stderr.write(f"drill: {what}\n")
    sys.stderr.flush()
