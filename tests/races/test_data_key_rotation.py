"""Keys that seal personal data change on the command line while everybody goes on reading and writing."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from copy import copy
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import time_machine
from sqlalchemy import ColumnElement, exists, func, insert, select, update

from app.core import ids
from app.core.clock import now
from app.core.database import reading
from app.core.vault import DataKey, Vault
from app.gateways.real_name.base import Claim, Kind
from app.models.real_name import Submission
from app.workers.upkeep import Upkeep
from tests.races.processes import ROOT, eventually, free_port, is_ready, logs_of, process
from tests.support.api import Api, Holder, running
from tests.support.real_names import CREDIT_CODE, decided, enterprise, status, submitted
from tests.support.services import ServiceClient, client, staff

ROTATIONS, USERS, MANY = 3, 2, 5000
NAME = "Acme Rotation Ltd."
PATH = "/v1/account/real-name"
TROUBLE = ("Traceback", "real_name_unreadable", "data_keys_unreadable", "request_failed", "worker_failed")


@pytest.fixture
def environment(database: str, tmp_path: Path) -> dict[str, str]:
    """All that a process of ours is told: no cap is in the way of the few accounts that submit all the time."""
    many = "1000000"
    return {
        "PYTHONPATH": str(ROOT),
        "GUANCE_DATABASE_URL": database,
        "GUANCE_WORKER_IN_SERVER": "false",
        "GUANCE_DEV_MESSAGES_FILE": str(tmp_path / "messages.jsonl"),
        "GUANCE_OUTBOX_POLL_SECONDS": "0.1",
        "GUANCE_REAL_NAME_ACCOUNTS_PER_ENTERPRISE": many,
        "GUANCE_DAILY_MISMATCHES_PER_ACCOUNT": many,
        "GUANCE_DAILY_MISMATCHES_PER_DOCUMENT": many,
    }


async def rotate(environment: dict[str, str]) -> str:
    """`keys rotate-data` in a process of its own; what it prints."""
    command = [sys.executable, "-m", "app", "keys", "rotate-data"]
    ended = await asyncio.to_thread(
        subprocess.run, command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return str(ended.stdout)


@asynccontextmanager
async def servers(folder: Path, environment: dict[str, str], count: int) -> AsyncIterator[list[httpx.AsyncClient]]:
    """As many servers, started at the same time."""
    async with AsyncExitStack() as stack:
        bases = []
        for port in [free_port() for _ in range(count)]:
            stack.enter_context(process(folder, environment, "serve", "--port", str(port)))
            bases.append(f"http://127.0.0.1:{port}")
        for base in bases:
            await eventually(lambda base=base: is_ready(base))  # type: ignore[misc]
        yield [await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=20)) for base in bases]


async def newest_key(api: Api) -> UUID:
    return max(key.id for key in await api.container.data_keys.all())


async def sealed_by(api: Api) -> dict[UUID, int]:
    """How many values each key seals."""
    async with api.container.engine.connect() as connection:
        counted = select(Submission.key_id, func.count()).where(Submission.sealed.is_not(None))
        return {row[0]: row[1] for row in await connection.execute(counted.group_by(Submission.key_id))}


async def until(api: Api, holds: ColumnElement[bool]) -> None:
    """Look until it holds in the database."""
    async with asyncio.timeout(15), reading(api.container.engine).connect() as connection:
        while not await connection.scalar(select(holds)):
            await asyncio.to_thread(time.sleep, 0.001)


async def names(api: Api) -> dict[str | None, int]:
    """How often each name is in what lies in the table, opened with the keys that are there now."""
    await api.container.data_keys.reload()
    async with api.container.engine.connect() as connection:
        rows = list(await connection.execute(select(Submission.id, Submission.sealed)))
    claims = [await api.container.real_name.box.open(row.id, row.sealed) for row in rows]
    found = [claim.name if claim else None for claim in claims]
    return {name: found.count(name) for name in set(found)}


async def fill(api: Api, count: int) -> None:
    """So many submissions that came to nothing."""
    account = ids.read(ids.ACCOUNT, (await api.register()).account_id)
    rows = []
    for _ in range(count):
        submission = ids.new()
        key, sealed = api.container.real_name.box.close(submission, Claim(Kind.ENTERPRISE, NAME, CREDIT_CODE))
        values = {"id": submission, "account_id": account, "type": "enterprise", "country": "CN", "status": "rejected"}
        rows.append({**values, "key_id": key, "sealed": sealed, "document_hash": b"\0" * 32, "holds_document": False})
    async with api.container.engine.begin() as connection:
        await connection.execute(insert(Submission), rows)


async def keep_up(api: Api) -> None:
    kept = timedelta(days=3650)
    uow, waiting = api.container.profile.uow, api.container.waiting
    await Upkeep(uow, waiting, api.container.data_keys, retention=kept, known_address=kept, events_kept=kept).forget()


def taken(answer: httpx.Response) -> httpx.Response:
    """A 409 is right too: the provider was faster than the withdrawal, or has not answered yet."""
    assert answer.status_code in (200, 201, 204, 409), answer.text
    return answer


async def use(clients: list[httpx.AsyncClient], holder: Holder, done: asyncio.Event) -> int:
    """Submit, look, and withdraw, now here and now there; how often."""
    turn = 0
    while not done.is_set():
        turn += 1
        here, there = clients[turn % 2], clients[(turn + 1) % 2]
        name = f"{NAME} {turn}" + " (unavailable)" * (turn % 3 == 0)
        made = taken(await here.post(f"{PATH}/submissions", json=enterprise(name), headers=holder.auth))
        for reader in (there, here):
            seen = taken(await reader.get(PATH, headers=holder.auth)).json()
            assert made.status_code == 409 or seen["latest"]["name"] == name
            page = taken(await reader.get(f"{PATH}/submissions", headers=holder.auth)).json()
            assert None not in [one["name"] for one in page["items"]]
        if made.status_code == 201 and turn % 2:
            taken(await there.delete(f"{PATH}/submissions/{made.json()['id']}", headers=holder.auth))
    return turn


async def look(
    clients: list[httpx.AsyncClient], service: ServiceClient, holders: list[Holder], done: asyncio.Event
) -> int:
    """Staff and the invoice service read meanwhile."""
    turn = 0
    while not done.is_set():
        turn += 1
        here, account = clients[turn % 2], holders[turn % len(holders)].account_id
        queue = taken(await here.get("/internal/v1/real-name/submissions", headers=service.auth)).json()
        assert None not in [one["name"] for one in queue["items"]]
        gate = taken(await here.get(f"/internal/v1/accounts/{account}/invoicing", headers=service.auth)).json()
        assert gate["allowed"] is (gate["verified_name"] is not None)
    return turn


async def test_keys_rotate_in_the_middle_of_reads_and_writes(
    database: str, environment: dict[str, str], tmp_path: Path
) -> None:
    async with running(database) as api:
        first = await newest_key(api)
        holders, service = [await api.register() for _ in range(USERS)], await client(api)
        late = await api.register()
        before = copy(api.container.data_keys.vault)
        async with servers(tmp_path, environment, 2) as clients:
            with process(tmp_path, environment, "worker"):
                done = asyncio.Event()
                using = [asyncio.create_task(use(clients, holder, done)) for holder in holders]
                using.append(asyncio.create_task(look(clients, service, holders, done)))
                for _ in range(ROTATIONS):
                    assert " seals " in await rotate(environment)
                done.set()
                assert min(await asyncio.gather(*using)) > ROTATIONS

        keys = [key.id for key in await api.container.data_keys.all()]
        assert len(keys) == 1 + ROTATIONS
        api.container.data_keys.vault = before  # as a server that has not heard of the others
        await submitted(api, late, enterprise(NAME))
        assert (await sealed_by(api))[first] >= 1

        resealed = ~exists().where(Submission.key_id != keys[-1])
        for _ in range(4):  # what a worker is just verifying it leaves for its next pass: here, for the next worker
            with process(tmp_path, environment, "worker"), suppress(TimeoutError):
                await until(api, resealed)
                break
        await until(api, resealed)

        assert None not in await names(api)
    assert [word for word in TROUBLE if word in logs_of(tmp_path)] == []


async def test_two_rotations_at_once_end_with_one_key_that_seals(database: str, environment: dict[str, str]) -> None:
    async with running(database) as api:
        await fill(api, 500)

        printed = await asyncio.gather(*(rotate(environment) for _ in range(2)))

        made = {ids.read(ids.DATA_KEY, line.split()[0]) for line in printed}
        assert len(made) == 2
        await keep_up(api)
        assert await sealed_by(api) == {await newest_key(api): 500}
        assert await newest_key(api) in made
        assert await names(api) == {NAME: 500}


async def test_a_rotation_that_is_killed_loses_nothing_and_goes_on_later(
    database: str, environment: dict[str, str], tmp_path: Path
) -> None:
    async with running(database) as api:
        await fill(api, MANY)
        for finish in (lambda: keep_up(api), lambda: rotate(environment)):
            before = await newest_key(api)
            with process(tmp_path, environment, "keys", "rotate-data") as rotating:
                await until(api, exists().where(Submission.key_id > before))
                rotating.kill()
                assert rotating.wait() == -9
            halfway = await sealed_by(api)
            assert set(halfway) == {before, await newest_key(api)}
            assert await names(api) == {NAME: MANY}

            await finish()

            assert await sealed_by(api) == {await newest_key(api): MANY}
            assert await names(api) == {NAME: MANY}


async def test_servers_that_start_at_once_on_an_empty_database_read_each_others_values(
    database: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """Each may have made a first key of its own."""
    async with servers(tmp_path, environment, 2) as clients, running(database) as api:
        holders = [await api.register() for _ in clients]
        for here, holder in zip(clients, holders, strict=True):
            body = enterprise(f"Acme {holder.username}")
            assert (await here.post(f"{PATH}/submissions", json=body, headers=holder.auth)).status_code == 201
        for here in clients:
            seen = [(await here.get(PATH, headers=holder.auth)).json()["latest"]["name"] for holder in holders]
            assert seen == [f"Acme {holder.username}" for holder in holders]
    assert [word for word in TROUBLE if word in logs_of(tmp_path)] == []


async def test_a_server_opens_what_a_key_it_has_not_heard_of_has_sealed(database: str) -> None:
    async with running(database) as first, running(database) as second:
        holder = await first.register()
        made = await second.container.data_keys.rotate()
        await decided(second, holder, enterprise(NAME))
        assert first.container.data_keys.vault.newest != made

        assert (await status(first, holder))["verified_name"] == NAME

        await submitted(first, holder, enterprise(f"{NAME} 2"))  # and seals with it from then on
        assert set(await sealed_by(first)) == {made}


async def test_many_decisions_at_once_on_what_an_unknown_key_has_sealed_all_go_through(database: str) -> None:
    """More than there are connections."""
    settings = {"database_pool_size": 3, "real_name_accounts_per_enterprise": 100}
    async with running(database, **settings) as here, running(database, **settings) as there:
        body = enterprise(f"{NAME} (not found)")
        waiting = [await decided(here, await here.register(), body) for _ in range(8)]
        service = await client(here)
        await there.container.data_keys.rotate()
        assert await there.container.data_keys.reseal() == len(waiting)

        path, approve = "/real-name/submissions/{}/decision", {"decision": "approve"}
        answers = await asyncio.gather(*(service.post(path.format(one), approve, headers=staff()) for one in waiting))

    assert [answer.status_code for answer in answers] == [200] * len(waiting)


async def test_a_key_made_where_the_clock_is_behind_seals_all_the_same(database: str) -> None:
    async with running(database) as api:
        await submitted(api, await api.register(), enterprise(NAME))
        with time_machine.travel(now() - timedelta(days=400)):
            made = [await api.container.data_keys.rotate() for _ in range(2)]
            made += await asyncio.gather(*(api.container.data_keys.rotate() for _ in range(4)))

        assert len(set(made)) == 6
        assert api.container.data_keys.vault.newest == max(made)
        await api.container.data_keys.reseal()
        assert await sealed_by(api) == {max(made): 1}


async def test_values_that_do_not_open_are_kept_and_keep_no_other_from_a_new_key(database: str) -> None:
    async with running(database) as api:
        await fill(api, 250)
        lost = Vault()
        lost.load([DataKey(ids.new(), b"\0" * 32)])
        strange = {"key_id": lost.newest, "sealed": lost.close(b"{}", bound="of another service")}
        async with api.container.engine.begin() as connection:
            first = list(await connection.scalars(select(Submission.id).order_by(Submission.id).limit(240)))
            for some, values in ((first[:120], strange), (first[120:], {"sealed": b"\2 and nothing that was sealed"})):
                await connection.execute(update(Submission).where(Submission.id.in_(some)).values(values))
        before = await sealed_by(api)

        made = await api.container.data_keys.rotate()
        assert await api.container.data_keys.reseal() == 10

        after = await sealed_by(api)
        assert after == {**before, next(key for key in before if key != lost.newest): 120, made: 10}
        assert await names(api) == {None: 240, NAME: 10}


async def test_what_is_erased_while_it_is_sealed_anew_stays_erased(database: str) -> None:
    async with running(database) as api, running(database) as other:
        await fill(api, 1000)
        async with api.container.engine.begin() as connection:
            await connection.execute(update(Submission).values(erase_at=now() - timedelta(days=1)))

        async def erase() -> None:
            async with other.container.profile.uow() as uow:
                erased = await uow.real_name.erase_due(now(), limit=70)
            if erased:
                await erase()

        await api.container.data_keys.rotate()
        await asyncio.gather(api.container.data_keys.reseal(), erase())

        assert await names(api) == {None: 1000}
        assert await sealed_by(api) == {}
