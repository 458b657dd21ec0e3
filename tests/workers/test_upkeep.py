"""What is over is forgotten in its time, what lives is kept, and what waits is measured."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from prometheus_client import REGISTRY
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import ids
from app.core.clock import now
from app.core.crypto import digest
from app.core.database import METADATA
from app.models.accounts import Account, Registration
from app.models.base import Base
from app.models.cloud_accounts import CloudAccount, MarketplaceClaim, MarketplaceNonce
from app.models.credentials import CredentialChange
from app.models.idempotency import IdempotentAnswer
from app.models.outbox import OutboxMessage
from app.models.sessions import LoginTicket, Session
from app.models.throttles import LoginThrottle
from app.models.verification import Budget, Challenge
from app.workers.upkeep import Upkeep
from tests.support.api import Api
from tests.workers import only_row, write

RETENTION, KNOWN = timedelta(days=30), timedelta(days=90)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)

Rows = Callable[[UUID, datetime], list[Base]]


def upkeep(api: Api) -> Upkeep:
    uow, waiting = api.container.profile.uow, api.container.waiting
    return Upkeep(
        uow, waiting, api.container.data_keys, retention=RETENTION, known_address=KNOWN, events_kept=RETENTION
    )


def _unique() -> bytes:
    return digest(ids.new().bytes)


def _budget(_: UUID, until: datetime) -> list[Base]:
    return [Budget(key=_unique(), used=1, expires_at=until)]


def _throttle(_: UUID, until: datetime) -> list[Base]:
    return [LoginThrottle(key=_unique(), failures=1, next_at=until, expires_at=until)]


def _answer(_: UUID, until: datetime) -> list[Base]:
    return [IdempotentAnswer(key=_unique(), fingerprint=_unique(), locked_until=until, expires_at=until)]


def _challenge(account: UUID | None, until: datetime) -> Challenge:
    return Challenge(
        id=ids.new(),
        purpose="login",
        lane="open",
        slot=_unique(),
        account_id=account,
        channel="email",
        target="li@example.com",
        code_mac=_unique(),
        code_sent_at=until,
        code_expires_at=until,
        expires_at=until,
    )


def _registration(_: UUID, until: datetime) -> list[Base]:
    challenge = _challenge(None, until)
    body = {"username": "acme", "email": "li@example.com", "company_name": "Northwind Trading"}
    return [challenge, Registration(challenge_id=challenge.id, expires_at=until, **body)]


def _change(account: UUID, until: datetime, **members: Any) -> list[Base]:
    challenge = _challenge(account, until)
    values = {"credential": "email", "proof": "current", "state": "cancelled", "base_version": 1} | members
    change = CredentialChange(
        account_id=account, session_id=ids.new(), challenge_id=challenge.id, expires_at=until, **values
    )
    return [challenge, change]


def _message(_: UUID, finished: datetime | None, **members: Any) -> list[Base]:
    values = {"channel": "email", "to": "li@example.com", "template": "login_code", "locale": "en", "params": {}}
    return [OutboxMessage(**values | members, state="sent" if finished else "queued", finished_at=finished)]


def _ticket(account: UUID, until: datetime) -> list[Base]:
    return [
        LoginTicket(ticket_hash=_unique(), account_id=account, workspace_id="wksp_1", actor="owner", expires_at=until)
    ]


def _session(account: UUID, until: datetime) -> list[Base]:
    return [
        Session(
            account_id=account,
            method="code",
            delivery="body",
            ip="192.0.2.1",
            expires_at=until,
            final_at=until,
            refresh_hash=_unique(),
        )
    ]


def _nonce(_: UUID, until: datetime) -> list[Base]:
    return [MarketplaceNonce(nonce=_unique(), expires_at=until)]


def _claim(account: UUID, until: datetime, **members: Any) -> list[Base]:
    bought = CloudAccount(
        id=ids.new(), account_id=account, provider="alibaba", instance_id=ids.new().hex, status_at=until
    )
    claim = MarketplaceClaim(token_hash=_unique(), cloud_account_id=bought.id, expires_at=until, **members)
    return [bought, claim]


TABLES: dict[type[Base], tuple[Rows, timedelta]] = {
    Budget: (_budget, timedelta()),
    LoginThrottle: (_throttle, timedelta()),
    IdempotentAnswer: (_answer, timedelta()),
    Registration: (_registration, timedelta(days=1)),
    Challenge: (lambda account, until: [_challenge(account, until)], RETENTION),
    CredentialChange: (_change, RETENTION),
    OutboxMessage: (_message, RETENTION),
    LoginTicket: (_ticket, RETENTION),
    Session: (_session, KNOWN),
    MarketplaceNonce: (_nonce, timedelta()),
    MarketplaceClaim: (_claim, RETENTION),
}


async def _account(api: Api) -> UUID:
    account = Account(
        id=ids.new(),
        username="acme",
        username_key="acme",
        email="li@example.com",
        email_key="li@example.com",
        company_name="Northwind Trading",
        time_zone="Asia/Shanghai",
    )
    await _add(api, [account])
    return account.id


async def _add(api: Api, rows: list[Base]) -> None:
    async with AsyncSession(api.container.engine, expire_on_commit=False) as session:
        for row in rows:
            session.add(row)
            await session.flush()
        await session.commit()


async def _count(api: Api, table: type[Base]) -> int:
    async with api.container.engine.connect() as connection:
        return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


def test_every_table_is_either_forgotten_by_the_clock_or_lives_with_the_account() -> None:
    forgotten = {table.__tablename__ for table in TABLES}
    events = {"events", "event_head", "webhook_deliveries", "webhook_attempts"}  # test_event_retention, test_webhooks
    kept = {"signing_keys", "service_clients", "client_secrets", "webhook_endpoints"}  # until somebody removes them
    kept |= {"data_keys", "real_name_documents"}
    of_accounts = {"accounts", "activity", "account_references", "workspaces", "real_name_submissions"}
    of_accounts |= {"real_name_calls"}
    evidence = {"cloud_accounts", "cloud_account_keys", "cloud_notices", "cloud_notice_keys", "settlements"}  # who paid

    assert forgotten | events | kept | of_accounts | evidence == set(METADATA.tables)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.__tablename__))
async def test_what_is_over_is_forgotten_in_its_time_and_not_before(api: Api, table: type[Base]) -> None:
    make, kept_for = TABLES[table]
    account, at = await _account(api), now()
    await _add(api, make(account, at - kept_for - SECOND))
    await _add(api, make(account, at - kept_for + SECOND))
    assert await _count(api, table) == 2

    with time_machine.travel(at, tick=False):
        await upkeep(api).forget()
    assert await _count(api, table) == 1

    with time_machine.travel(at + 2 * SECOND, tick=False):
        await upkeep(api).forget()
    assert await _count(api, table) == 0


async def test_changes_that_wait_or_may_still_be_undone_are_kept_with_their_codes(api: Api) -> None:
    account, at = await _account(api), now()
    long_ago = at - 2 * RETENTION
    await _add(api, _change(account, long_ago, state="waiting", effective_at=long_ago))
    await _add(api, _change(account, long_ago, state="completed", completed_at=at - RETENTION + HOUR))
    challenges = await _count(api, Challenge)

    await upkeep(api).forget()

    assert await _count(api, CredentialChange) == 2
    assert await _count(api, Challenge) == challenges


async def test_a_message_that_still_waits_is_never_forgotten(api: Api) -> None:
    await _add(api, _message(await _account(api), None, created_at=now() - 2 * KNOWN))

    await upkeep(api).forget()

    assert (await only_row(api)).state == "queued"


async def test_codes_that_nobody_delivered_in_time_are_erased(api: Api) -> None:
    await write(api, expires_at=now() + HOUR)
    await write(api, expires_at=now() + 3 * HOUR)
    async with api.container.engine.connect() as connection:
        sealed = select(func.count()).where(OutboxMessage.sealed.is_not(None))
        with time_machine.travel(now() + 2 * HOUR):
            assert await upkeep(api).forget() == 1

        assert await connection.scalar(sealed) == 1


async def test_the_backlog_is_measured(api: Api) -> None:
    await write(api)
    await write(api)

    with time_machine.travel(now() + HOUR):
        await upkeep(api).measure()

    assert REGISTRY.get_sample_value("guance_outbox_waiting_messages") == 2
    oldest = REGISTRY.get_sample_value("guance_outbox_oldest_seconds")
    assert oldest is not None
    assert 3600 <= oldest < 3660
    await api.deliver()
    await upkeep(api).measure()
    assert REGISTRY.get_sample_value("guance_outbox_waiting_messages") == 0
