"""What the tests of credential changes share."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.api import (
    Api,
    Holder,
)

PHONE = "+8613800138000"
NEW_PHONE = "+8613900139000"
NEW_EMAIL = "fresh@example.org"


@dataclass(frozen=True)
class Case:
    """A credential, its next value, and how both are shown."""

    credential: str
    new: str
    masked_old: str
    masked_new: str
    taken: str

    def old(self, holder: Holder) -> str:
        return holder.email if self.credential == "email" else PHONE


EMAIL_CASE = Case("email", NEW_EMAIL, "h***@example.com", "f***@example.org", "email_taken")
PHONE_CASE = Case("phone", NEW_PHONE, "+86*******8000", "+86*******9000", "phone_taken")
BOTH = pytest.mark.parametrize("case", [EMAIL_CASE, PHONE_CASE], ids=["email", "phone"])


def shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def started(api: Api, holder: Holder, credential: str = "email") -> str:
    answer = await api.start(holder, credential)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def proven(api: Api, holder: Holder, credential: str = "email", *, by: str | None = None) -> str:
    """A change whose current contact is proven."""
    change = await started(api, holder, credential)
    answer = await api.step(holder, change, "verify-current", {"code": await api.code(by or holder.email)})
    assert answer.json()["state"] == "propose", answer.text
    return change


async def completed(api: Api, holder: Holder, case: Case, value: str | None = None) -> None:
    value = value or case.new
    change = await api.reach_confirm(holder, value, credential=case.credential, proves=case.old(holder))
    answer = await api.step(holder, change, "confirm", {"code": await api.code(value)})
    assert answer.json()["state"] == "completed", answer.text


async def execute(api: Api, statement: str, **values: Any) -> None:
    """Something that happens to the account elsewhere."""
    async with api.container.engine.begin() as connection:
        await connection.execute(text(statement), values)


async def suspend(api: Api) -> None:
    await execute(api, "UPDATE accounts SET status = 'suspended'")
