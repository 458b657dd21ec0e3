"""The transaction: all or nothing, run again when the database asks for it, and its refusals in the domain's words."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError, StatementError

from app.core import ids
from app.core.clock import now
from app.core.crypto import digest
from app.core.database import open_engine
from app.core.errors import AppError, ChangeOpen, EmailTaken, NotReady, PhoneTaken, TransactionConflict, UsernameTaken
from app.models.accounts import Account
from app.models.credentials import Credential, CredentialChange, State
from app.models.verification import Challenge
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.notices import Contact
from tests.conftest import BACKENDS
from tests.support.api import Api

A_MOMENT = datetime(2026, 11, 23, 8, 15, 30)  # noqa: DTZ001 - without a time zone: what must be refused


def uow_of(api: Api) -> UnitOfWork:
    return UnitOfWork(api.container.engine)


def account(name: str = "acme", **members: Any) -> Account:
    values = {
        "id": ids.new(),
        "username": name,
        "username_key": name,
        "email": f"{name}@example.com",
        "email_key": f"{name}@example.com",
        "company_name": "Northwind Trading",
        "time_zone": "Asia/Shanghai",
    }
    return Account(**values | members)


def challenge(**members: Any) -> Challenge:
    at = now()
    values = {
        "id": ids.new(),
        "purpose": "change_current",
        "lane": "session",
        "slot": digest(ids.new().bytes),
        "channel": "email",
        "target": "acme@example.com",
        "code_mac": bytes(32),
        "code_sent_at": at,
        "code_expires_at": at,
        "expires_at": at,
    }
    return Challenge(**values | members)


async def add(uow: UnitOfWork, *accounts: Account) -> None:
    async with uow() as work:
        for one in accounts:
            work.accounts.add(one)


async def exists(uow: UnitOfWork, name: str) -> bool:
    async with uow.reading() as work:
        return await work.accounts.is_username_taken(name)


async def test_a_block_commits_at_its_end_and_not_before(api: Api) -> None:
    uow, elsewhere = uow_of(api), uow_of(api)
    async with uow() as work:
        work.accounts.add(account())
        await work.accounts.flush()
        assert not await exists(elsewhere, "acme")

    assert await exists(elsewhere, "acme")


@pytest.mark.parametrize("error", [UsernameTaken(), RuntimeError("a bug"), asyncio.CancelledError()])
async def test_an_error_takes_back_the_whole_block(api: Api, error: BaseException) -> None:
    uow = uow_of(api)
    with pytest.raises(type(error)):
        async with uow() as work:
            work.accounts.add(account())
            await work.accounts.flush()
            raise error

    assert not await exists(uow, "acme")


@pytest.mark.parametrize(
    ("same", "refusal"),
    [
        ({"username_key": "acme"}, UsernameTaken),
        ({"email_key": "acme@example.com"}, EmailTaken),
        ({"phone": "+8613800138000"}, PhoneTaken),
    ],
)
async def test_a_second_login_of_the_same_form_is_refused_by_name(
    api: Api, same: dict[str, str], refusal: type[AppError]
) -> None:
    uow = uow_of(api)
    await add(uow, account(phone="+8613800138000"))

    with pytest.raises(refusal):
        await add(uow, account("other", **same))

    assert not await exists(uow, "other")


@pytest.mark.parametrize("state", [State.VERIFY_CURRENT, State.PROPOSE, State.VERIFY_NEW, State.WAITING])
async def test_a_second_open_change_of_a_credential_is_refused_by_name(api: Api, state: State) -> None:
    uow, holder = uow_of(api), account()
    await add(uow, holder)
    await _add_change(uow, holder.id, "email", state)
    await _add_change(uow, holder.id, "phone", state)
    await _add_change(uow, holder.id, "email", State.COMPLETED)

    with pytest.raises(ChangeOpen):
        await _add_change(uow, holder.id, "email", State.VERIFY_CURRENT)


async def _add_change(uow: UnitOfWork, account_id: UUID, credential: str, state: State) -> None:
    asked = challenge(account_id=account_id)
    change = CredentialChange(
        account_id=account_id,
        session_id=ids.new(),
        credential=credential,
        proof="current",
        state=state,
        base_version=1,
        challenge_id=asked.id,
        expires_at=now(),
    )
    async with uow() as work:
        await work.challenges.add(asked)
        work.changes.add(change)


async def test_two_live_codes_in_one_slot_are_a_conflict_to_be_run_again(api: Api) -> None:
    uow = uow_of(api)
    async with uow() as work:
        await work.challenges.add(challenge(slot=bytes(32)))

    with pytest.raises(TransactionConflict):
        async with uow() as work:
            await work.challenges.add(challenge(slot=bytes(32)))


async def test_a_violation_that_nobody_foresaw_is_not_dressed_up(api: Api) -> None:
    with pytest.raises(IntegrityError, match="status_known"):
        await add(uow_of(api), account(status="asleep"))


async def test_a_time_without_a_zone_never_reaches_the_database(api: Api) -> None:
    with pytest.raises(StatementError, match="naive"):
        await add(uow_of(api), account(created_at=A_MOMENT))


async def test_times_come_back_as_they_went_in(api: Api) -> None:
    uow, moment = uow_of(api), now()
    await add(uow, holder := account(created_at=moment))

    async with uow.reading() as work:
        read = (await work.accounts.get_one(holder.id)).created_at

    assert (read, read.utcoffset()) == (moment, moment.utcoffset())


async def test_a_reader_does_not_wait_for_a_writer(api: Api) -> None:
    uow = uow_of(api)
    async with uow() as work:
        work.accounts.add(account())
        await work.accounts.flush()
        async with asyncio.timeout(2):
            assert not await exists(uow, "acme")


@pytest.mark.parametrize(("fails", "woken"), [(False, 1), (True, 0)])
async def test_the_worker_is_woken_by_committed_messages_alone(api: Api, *, fails: bool, woken: int) -> None:
    uow, calls = uow_of(api), []
    uow.on_messages = lambda: calls.append("woken")
    await add(uow, account())
    assert calls == []

    try:
        async with uow() as work:
            contact = Contact.of("acme@example.com")
            api.container.password.notices.write(work, contact, "password_changed", "en", {"username": "acme"})
            if fails:
                raise UsernameTaken
    except UsernameTaken:
        pass

    assert len(calls) == woken


# --- Run again ------------------------------------------------------------------------------------------------------


async def test_two_that_deadlock_both_get_their_way(pg_api: Api) -> None:
    """PostgreSQL ends one of them with 40P01; it is run again."""
    uow, here, there = uow_of(pg_api), account("here"), account("there")
    await add(uow, here, there)
    met, attempts = asyncio.Barrier(2), []

    @retried
    async def fail_both(first: UUID, second: UUID) -> None:
        attempts.append(first)
        async with uow() as work:
            await work.accounts.set_credential(first, Credential.PHONE, None, version=None, at=now())
            if len(attempts) <= 2:
                await met.wait()
            await work.accounts.set_credential(second, Credential.PHONE, None, version=None, at=now())

    await asyncio.gather(fail_both(here.id, there.id), fail_both(there.id, here.id))

    assert len(attempts) == 3
    async with uow.reading() as work:
        assert [(await work.accounts.get_one(one.id)).credentials_version for one in (here, there)] == [3, 3]


async def test_a_serialization_failure_is_run_again(pg_api: Api) -> None:
    """Two that read before either wrote, at an isolation that PostgreSQL refuses with 40001."""
    strict = UnitOfWork(pg_api.container.engine.execution_options(isolation_level="REPEATABLE READ"))
    await add(strict, holder := account())
    met, attempts = asyncio.Barrier(2), []

    @retried
    async def read_and_write() -> None:
        attempts.append("attempt")
        async with strict() as work:
            await work.accounts.get_one(holder.id)
            if len(attempts) <= 2:
                await met.wait()
            await work.accounts.set_credential(holder.id, Credential.PHONE, None, version=None, at=now())

    await asyncio.gather(read_and_write(), read_and_write())

    assert len(attempts) == 3
    async with strict.reading() as work:
        assert (await work.accounts.get_one(holder.id)).credentials_version == 3


@pytest.mark.parametrize(("error", "attempts"), [(TransactionConflict, 5), (UsernameTaken, 1), (RuntimeError, 1)])
async def test_only_a_conflict_is_run_again_and_not_for_ever(error: Callable[[], Exception], attempts: int) -> None:
    tried = []

    @retried
    async def fail() -> None:
        tried.append("attempt")
        raise error()

    with pytest.raises(Exception) as raised:
        await fail()

    assert raised.type is error
    assert len(tried) == attempts


@pytest.fixture(params=BACKENDS)
async def unmigrated(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[UnitOfWork]:
    """A database that has no tables yet."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/empty.db" if sqlite else str(request.getfixturevalue("postgres_url"))
    engine = open_engine(url)
    yield UnitOfWork(engine)
    await engine.dispose()


async def test_a_database_that_was_not_migrated_is_not_ready(unmigrated: UnitOfWork) -> None:
    with pytest.raises(NotReady) as refused:
        async with unmigrated.reading() as work:
            await work.signing_keys.all()

    assert refused.value.checks == {"schema": False}
