"""A database as it stands after years: accounts and all that belongs to them, written by COPY.

The rows are such as the service itself writes: its own hashes, its own sealed names, its own order of records. Accounts
are numbered from 0; `holder17` and `wksp_17` are those of the account 17.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]

from app.core import ids
from app.core.clock import now
from app.core.crypto import digest
from app.gateways.real_name.base import Claim, Kind
from app.services.real_name import ClaimBox

PASSWORD = "correct horse battery staple"
_YEARS = 2
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Seeded:
    """The ids of what was written, by the number of the account."""

    accounts: list[UUID]
    sessions: list[UUID]
    events: int

    @property
    def size(self) -> int:
        return len(self.accounts)


@dataclass(frozen=True)
class Seed:
    """What the rows are made of. `hashes` are of PASSWORD; `box` seals verified names."""

    size: int
    hashes: list[str]
    box: ClaimBox
    at: datetime = field(default_factory=now)
    chance: Random = field(default_factory=lambda: Random(2026))  # noqa: S311 - the same data every time

    async def write(self, connection: asyncpg.Connection) -> Seeded:
        """Fill an empty, migrated database, and have it analysed."""
        accounts = [ids.new() for _ in range(self.size)]
        sessions = [ids.new() for _ in range(self.size)]
        cloud_accounts = [ids.new() for _ in range(self.size)]
        for table, columns, rows in (
            ("accounts", _ACCOUNTS, self._each(accounts, self._account)),
            ("sessions", _SESSIONS, self._each(accounts, self._live_session, sessions)),
            ("sessions", _SESSIONS, self._each(accounts, self._old_session)),
            ("activity", _ACTIVITY, self._each(accounts, self._login)),
            ("challenges", _CHALLENGES, self._each(accounts, self._used_code)),
            ("outbox_messages", _OUTBOX, self._each(accounts, self._sent_message)),
            ("cloud_accounts", _CLOUD_ACCOUNTS, self._each(accounts, self._cloud_account, cloud_accounts)),
            ("settlements", _SETTLEMENTS, self._each(accounts, self._first_record)),
            ("settlements", _SETTLEMENTS, self._each(accounts, self._second_record, cloud_accounts)),
            ("workspaces", _WORKSPACES, self._each(accounts, self._workspace)),
            ("real_name_documents", _DOCUMENTS, self._each(accounts, self._document)),
            ("real_name_submissions", _SUBMISSIONS, self._each(accounts, self._submission)),
            ("events", _EVENTS, self._each(accounts, self._event)),
        ):
            await connection.copy_records_to_table(table, columns=columns.split(), records=rows)
        await connection.execute("UPDATE event_head SET last = $1", self.size)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
        return Seeded(accounts, sessions, self.size)

    def _each(self, accounts: list[UUID], make: Callable[..., Row | None], *own: list[UUID]) -> Iterator[Row]:
        """A row of each account that has one; `make` is given its number, its id, and its part of `own`."""
        for number, account in enumerate(accounts):
            row = make(number, account, *(one[number] for one in own))
            if row is not None:
                yield row

    def _born(self, number: int) -> datetime:
        """Accounts came evenly over the years, to the whole second."""
        return (self.at - timedelta(days=365 * _YEARS * (self.size - number) / self.size)).replace(microsecond=0)

    def _account(self, number: int, account: UUID) -> Row:
        name, born = f"holder{number}", self._born(number)
        return (
            *(account, name, name, email(number), email(number), phone(number)),
            *(self.hashes[number % len(self.hashes)], False, born, 1, "active", "verified" if number % 2 else "none"),
            *(False, "Asia/Shanghai", 1, born, born, f"Northwind Trading {number} Ltd.", "I", "CN-ZJ"),
            *("Watches over everything that sails, flies or rolls.", "Li Lei", "en"),
        )

    def _live_session(self, number: int, account: UUID, session: UUID) -> Row:
        began = self.at - timedelta(seconds=self.chance.randrange(86_400))
        ends = began + timedelta(days=14), began + timedelta(days=90)
        token = digest(session.bytes)
        return session, account, "password", "cookie", address(number), _AGENT, began, began, *ends, None, None, token

    def _old_session(self, number: int, account: UUID) -> Row:
        born = self._born(number)
        until = born + timedelta(days=14), born + timedelta(days=90)
        ended = born + timedelta(hours=1), "logout"
        session = ids.new()
        row = session, account, "code", "cookie", address(number), _AGENT, born, born, *until, *ended
        return (*row, digest(session.bytes))

    def _login(self, number: int, account: UUID) -> Row:
        return ids.new(), account, "session.started", "holder", address(number), _AGENT, "password", self._born(number)

    def _used_code(self, number: int, account: UUID) -> Row:
        sent = self.at - timedelta(hours=1 + self.chance.randrange(24))
        code = ids.new()
        secrets = digest(code.bytes), digest(code.hex)
        ends = sent + timedelta(minutes=10), sent + timedelta(minutes=30), sent + timedelta(minutes=1)
        return (
            code,
            "login",
            "open",
            secrets[0],
            account,
            "email",
            email(number),
            secrets[1],
            sent,
            *ends,
            1,
            1,
            1,
            sent,
        )

    def _sent_message(self, number: int, _: UUID) -> Row:
        sent = self.at - timedelta(days=self.chance.randrange(30))
        params = json.dumps({"target": "h***@example.com", "minutes": "10"})
        return ids.new(), "email", email(number), "login_code", "en", params, "sent", 1, sent, sent, sent

    def _cloud_account(self, number: int, account: UUID, cloud_account: UUID) -> Row | None:
        if not _settles_by_cloud(number):
            return None
        born = self._born(number)
        names = f"1{number:011}", f"i-{number:012}", "guance-pro"
        return cloud_account, account, "alibaba", *names, "active", born, 0, born, born

    def _first_record(self, number: int, _: UUID) -> Row:
        return ids.new(), workspace(number), self._born(number), None, "billing_center", None, "created"

    def _second_record(self, number: int, _: UUID, cloud_account: UUID) -> Row | None:
        if not _settles_by_cloud(number):
            return None
        first = self._born(number)
        return (
            *(ids.new(), workspace(number), first + timedelta(hours=2), first),
            *("cloud_account", cloud_account, "chosen"),
        )

    def _workspace(self, number: int, account: UUID) -> Row:
        born = self._born(number)
        current = born + timedelta(hours=2) if _settles_by_cloud(number) else born
        return workspace(number), account, "cn1", f"Production {number}", current, born, current

    def _document(self, number: int, _: UUID) -> Row | None:
        return (digest(f"document-{number}"), 1) if number % 2 else None

    def _submission(self, number: int, account: UUID) -> Row | None:
        if not number % 2:
            return None
        submission, born = ids.new(), self._born(number)
        key, sealed = self.box.close(submission, _claim(number))
        states = "verified", key, sealed, digest(f"document-{number}"), True, False, 1
        return submission, account, "enterprise", "CN", *states, born, born, born

    def _event(self, number: int, account: UUID) -> Row:
        shown = ids.show(ids.ACCOUNT, account)
        data = json.dumps({"account_id": shown, "changed": ["company_name"]})
        at = self.at - timedelta(days=30 * (self.size - number) / self.size)
        return ids.new(), number + 1, "account.profile_updated", shown, data, at


def workspace(number: int) -> str:
    return f"wksp_{number}"


def email(number: int) -> str:
    return f"holder{number}@example.com"


def phone(number: int) -> str | None:
    """A mobile number of China for two accounts in three."""
    return f"+86138{number:08}" if number % 3 else None


def address(number: int) -> str:
    """Where an account calls from: an address of 10.0.0.0/8 of its own."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _settles_by_cloud(number: int) -> bool:
    return number % 3 == 0


def _claim(number: int) -> Claim:
    return Claim(
        kind=Kind.ENTERPRISE,
        name=f"Northwind Trading {number} Ltd.",
        number=f"9133{number:014}",
        legal_name="Li Lei",
    )


_ACCOUNTS = (
    "id username username_key email email_key phone password_hash password_revoked password_changed_at "
    "credentials_version status real_name_status arbitrary_settlement time_zone profile_version created_at updated_at "
    "company_name industry region company_description contact_name locale"
)
_SESSIONS = (
    "id account_id method delivery ip user_agent auth_time last_used_at expires_at final_at ended_at end_reason "
    "refresh_hash"
)
_ACTIVITY = "id account_id action actor ip user_agent new_value created_at"
_CHALLENGES = (
    "id purpose lane slot account_id channel target code_mac code_sent_at code_expires_at expires_at closed_at "
    "code_tries tries sends created_at"
)
_OUTBOX = "id channel to template locale params state attempts due_at created_at finished_at"
_CLOUD_ACCOUNTS = (
    "id account_id provider account_number instance_id product status status_at asked created_at claimed_at"
)
_SETTLEMENTS = "id workspace_id effective_from follows method cloud_account_id cause"
_WORKSPACES = "id account_id site name settled_from created_at updated_at"
_DOCUMENTS = "document_hash used"
_SUBMISSIONS = (
    "id account_id type country status key_id sealed document_hash holds_document in_review attempts due_at created_at "
    "decided_at"
)
_EVENTS = "id position type subject data created_at"
