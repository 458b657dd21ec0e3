"""Twenty write through two servers, others read meanwhile, one server is killed: each reader got what happened."""

import asyncio
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import pytest
from sqlalchemy import Executable, select, text

from app.core import ids, reference
from app.core.database import open_engine
from app.models.activity import Action, Activity
from app.models.events import Event as Row
from app.models.events import EventType
from tests.races.processes import ROOT, eventually, free_port, is_ready, process
from tests.support.api import PASSWORD, Holder, running
from tests.support.services import client, staff

MEMBERS = ("company_description", "company_name", "contact_name", "industry", "region")
EDITS = [edit for size in (1, 2, 3, 4, 5) for edit in itertools.combinations(MEMBERS, size)]
TOGGLES, PASSWORDS = 12, 12  # that each who does it does
BUSY = {409, 412, 429, 503}  # somebody else was first, or the database could not: ask again
WITNESS = {  # what the activity trail calls it, which is written beside the event
    Action.REGISTERED: EventType.ACCOUNT_CREATED,
    Action.PROFILE_EDITED: EventType.PROFILE_UPDATED,
    Action.PASSWORD_CHANGED: EventType.PASSWORD_CHANGED,
    Action.SUSPENDED: EventType.SUSPENDED,
    Action.RESTORED: EventType.RESTORED,
}
LATE = (
    "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(random() * 0.05); RETURN NULL; "
    "END'",
    "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
    "EXECUTE FUNCTION late()",
)
Event = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """Accounts by what is done to them, how many at once do it to each, and how many read."""

    edited: int
    toggled: int
    renewed: int  # their password, by one alone: two would have to know each other's
    each: int
    readers: int

    @property
    def acts(self) -> int:
        return self.edited * len(EDITS) + self.toggled * self.each * TOGGLES + self.renewed * PASSWORDS


PLANS = {
    "postgresql": Plan(edited=4, toggled=2, renewed=2, each=3, readers=3),  # 12 + 6 + 2 = 20 writers
    "sqlite": Plan(edited=1, toggled=1, renewed=1, each=2, readers=2),
}


@dataclass
class Race:
    """Two servers on one database, the first of which dies; and what those who wrote were told."""

    bases: list[str]
    first: Popen[bytes]
    service: dict[str, str]
    http: httpx.AsyncClient
    kill_after: int
    edits: dict[str, dict[int, tuple[str, ...]]] = field(default_factory=lambda: defaultdict(dict))
    acknowledged: int = 0
    unanswered: int = 0
    middle: asyncio.Event = field(default_factory=asyncio.Event)
    killed: bool = False
    over: bool = False

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """Through either server until it is done; None when the server died and took the answer along."""
        while True:
            try:
                answer = await self.http.request(method, random.choice(self.bases) + path, **options)
            except httpx.TransportError:
                assert self.killed, "a server broke off that was not killed"
                self.unanswered += 1
                return None
            if answer.is_success:
                self.acknowledged += method != "GET"
                if self.acknowledged >= self.kill_after:
                    self.middle.set()
                return answer
            assert answer.status_code in BUSY, answer.text

    async def edit(self, holder: Holder, edits: Iterator[tuple[str, ...]], fresh: "Fresh") -> None:
        """Each edit of an account changes other members than any other one, which tells its event from theirs."""
        for changed in edits:
            body = {name: fresh.value(name) for name in changed}
            answer = await self.call("PATCH", "/v1/account/profile", json=body, headers=holder.auth | {"If-Match": "*"})
            if answer is not None:
                self.edits[holder.account_id][int(answer.headers["ETag"].strip('"'))] = changed

    async def toggle(self, holder: Holder) -> None:
        for number in range(TOGGLES):
            status = {"status": "active" if number % 2 else "suspended"}
            headers = {**self.service, **staff()}
            await self.call("PUT", f"/internal/v1/accounts/{holder.account_id}/status", json=status, headers=headers)

    async def renew(self, holder: Holder) -> None:
        """Until an answer is missing: nobody knows then which password it is."""
        current = PASSWORD
        for number in range(PASSWORDS):
            new = f"passphrase number {number}"
            body = {"current_password": current, "new_password": new}
            if await self.call("PUT", "/v1/account/password", json=body, headers=holder.auth) is None:
                return
            current = new

    async def read(self) -> list[Event]:
        """All events, page by page, until nothing comes any more after all have written."""
        seen: list[Event] = []
        after: dict[str, str] = {}
        while True:
            last = self.over
            params = {**after, "limit": str(random.randint(1, 30)), "wait": "0" if last else "1"}
            answer = await self.call("GET", "/internal/v1/events", params=params, headers=self.service)
            if answer is None:
                continue
            page = answer.json()
            seen += page["items"]
            after = {"after": page["next_cursor"]}
            if last and not page["items"]:
                return seen

    async def kill_first(self) -> None:
        """In the middle of it all."""
        await self.middle.wait()
        self.killed = True
        self.first.kill()
        await asyncio.to_thread(self.first.wait)
        del self.bases[0]


class Fresh:
    """Values that an account did not have before."""

    def __init__(self) -> None:
        self._industries = iter("ABCDEFGHIJKLMNOPQRST")
        self._regions = iter([region.code for region in reference.regions(None)])
        self._numbers = itertools.count()

    def value(self, member: str) -> str:
        if member == "industry":
            return next(self._industries)
        return next(self._regions) if member == "region" else f"Number {next(self._numbers)}"


@pytest.fixture
async def late(database: str) -> str:
    """The same, in which commits take their time."""
    if database.startswith("postgresql"):
        await commit_late(database)
    return database


async def commit_late(database: str) -> None:
    """Each event's transaction takes up to 50 ms more to commit: events become visible in another order."""
    engine = open_engine(database)
    async with engine.begin() as connection:
        for statement in LATE:
            await connection.execute(text(statement))
    await engine.dispose()


@asynccontextmanager
async def racing(database: str, folder: Path, service: dict[str, str], *, kill_after: int) -> AsyncIterator[Race]:
    environment = {
        "PYTHONPATH": str(ROOT),
        "GUANCE_DATABASE_URL": database,
        "GUANCE_DEV_MESSAGES_FILE": str(folder / "messages.jsonl"),
        "GUANCE_ARGON2_MEMORY_KIB": "8",
    }
    async with AsyncExitStack() as stack:
        ports = [free_port(), free_port()]
        first, _ = [stack.enter_context(process(folder, environment, "serve", "--port", str(port))) for port in ports]
        bases = [f"http://127.0.0.1:{port}" for port in ports]
        await eventually(lambda: all(is_ready(base) for base in bases))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=60))
        yield Race(bases, first, service, http, kill_after)


async def test_every_reader_gets_all_that_was_committed_once_and_in_order(late: str, tmp_path: Path) -> None:
    plan = PLANS[late.partition(":")[0]]
    async with running(late) as api:
        service = await client(api)
        edited = [await api.register() for _ in range(plan.edited)]
        toggled = [await api.register() for _ in range(plan.toggled)]
        renewed = [await api.register() for _ in range(plan.renewed)]

    async with racing(late, tmp_path, service.auth, kill_after=plan.acts // 2) as race:
        writers = [race.renew(holder) for holder in renewed]
        for holder in edited:
            edits, fresh = iter(random.sample(EDITS, len(EDITS))), Fresh()
            writers += [race.edit(holder, edits, fresh) for _ in range(plan.each)]
        for holder in toggled:
            writers += [race.toggle(holder) for _ in range(plan.each)]
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(race.read()) for _ in range(plan.readers)]
            await asyncio.gather(*writers, race.kill_first())
            race.over = True
        read = [reader.result() for reader in readers]

    committed = await rows(late, select(Row.id, Row.position).order_by(Row.position))
    assert all(position is not None for _, position in committed)
    for seen in read:
        assert [event["id"] for event in seen] == [ids.show(ids.EVENT, event_id) for event_id, _ in committed]
        assert seen == read[0]
    assert race.unanswered < race.acknowledged
    assert_orderly(read[0], race)
    assert Counter((event["subject"], event["type"]) for event in read[0]) == await witnessed(late)


async def rows(database: str, statement: Executable) -> list[Any]:
    engine = open_engine(database)
    async with engine.connect() as connection:
        found = list(await connection.execute(statement))
    await engine.dispose()
    return found


async def witnessed(database: str) -> Counter[tuple[str, str]]:
    """What the activity trail says was done to each account: written beside the event, by the same transaction."""
    statement = select(Activity.account_id, Activity.action).where(Activity.action.in_(WITNESS))
    found = await rows(database, statement)
    return Counter((ids.show(ids.ACCOUNT, account_id), str(WITNESS[Action(action)])) for account_id, action in found)


def assert_orderly(events: list[Event], race: Race) -> None:
    """The events of an account tell its history: each acknowledged edit at its version, suspensions by turns."""
    assert [event["sequence"] for event in events] == sorted({event["sequence"] for event in events})
    assert race.edits
    for account_id, acknowledged in race.edits.items():
        changed = updates(events)[account_id]
        assert {version: changed[version - 2] for version in acknowledged} == acknowledged
    turns: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if event["type"] in (EventType.SUSPENDED, EventType.RESTORED):
            turns[event["subject"]].append(event["type"])
    assert turns
    for types in turns.values():
        assert types == [(EventType.SUSPENDED, EventType.RESTORED)[number % 2] for number in range(len(types))]


def updates(events: list[Event]) -> dict[str, list[tuple[str, ...]]]:
    """The members that each edit changed, by account."""
    found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for event in events:
        if event["type"] == EventType.PROFILE_UPDATED:
            found[event["subject"]].append(tuple(event["data"]["changed"]))
    return found
