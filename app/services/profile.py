"""The company profile: read in one statement, edited under its version."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.core import masking
from app.core.callers import Caller
from app.core.clock import now
from app.core.errors import PreconditionFailed
from app.models.activity import Action
from app.models.events import EventType
from app.repositories.unit_of_work import UnitOfWork, retried
from app.services.activity import record
from app.services.events import publish

_SHOWN = 64  # characters of a value that the trail keeps


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile; contacts are masked, since they change elsewhere. `version` is what the ETag shows."""

    username: str
    email: str
    phone: str | None
    company_name: str
    industry: str | None
    region: str | None
    company_description: str | None
    contact_name: str | None
    locale: str
    time_zone: str
    updated_at: datetime
    version: int


class ProfileService:
    def __init__(self, uow: UnitOfWork) -> None:
        self.uow = uow

    async def read(self, *, caller: Caller) -> Profile:
        """Raises SessionEnded."""
        with self.uow.rows() as uow:
            return _profile(await uow.accounts.profile(caller))

    @retried
    async def edit(
        self, *, caller: Caller, versions: frozenset[int] | None, values: Mapping[str, str | None]
    ) -> Profile:
        """Change the members in `values`, if the profile is at one of `versions` (None: at any).

        Raises PreconditionFailed when it is not, and SessionEnded.
        """
        async with self.uow() as uow:
            before = await uow.accounts.profile(caller)
            if versions is not None and before.profile_version not in versions:
                raise PreconditionFailed
            changed = {name: value for name, value in values.items() if getattr(before, name) != value}
            if not changed:
                return _profile(before)
            written = {**changed, "updated_at": now()}
            if not await uow.accounts.edit_profile(caller.account_id, before.profile_version, written):
                raise PreconditionFailed
            record(
                uow,
                Action.PROFILE_EDITED,
                caller.account_id,
                origin=caller.origin,
                session_id=caller.session_id,
                old=_trace({name: getattr(before, name) for name in changed}),
                new=_trace(changed),
            )
            publish(uow, EventType.PROFILE_UPDATED, caller.account_id, changed=sorted(changed))
            return _profile(await uow.accounts.profile(caller))


def _profile(row: Any) -> Profile:
    members = {name: getattr(row, name) for name in Profile.__slots__ if name != "version"}
    members["email"] = masking.email(members["email"])
    members["phone"] = masking.contact(members["phone"])
    return Profile(**members, version=row.profile_version)


def _trace(values: Mapping[str, str | None]) -> str:
    """The values as JSON, short, and without a person's name."""
    return json.dumps(
        {
            name: masking.name(value) if name == "contact_name" else value and value[:_SHOWN]
            for name, value in values.items()
        },
        ensure_ascii=False,
    )
