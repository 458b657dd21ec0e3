"""Letting somebody in by one statement: all of it if its conditions hold, else nothing.

Only PostgreSQL writes in a WITH. It is a short cut of what `services/admission.py` does in steps, which say why when
this lets nobody in, and which SQLite goes anyway. Each part names the one before it, so that they run in the order in
which the steps take their rows: the account, the code, then the counters.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, Insert, Select, bindparam, exists, select, update

from app.models.accounts import Account, Status
from app.models.activity import Activity
from app.models.sessions import Session
from app.models.verification import Budget, Challenge
from app.repositories import inserts
from app.repositories.base import Repository, among, table
from app.repositories.challenges import used_up
from app.repositories.direct import Fixed
from app.repositories.throttles import Counted, forgetting

_ACCOUNTS, _CHALLENGES, _BUDGETS = table(Account), table(Challenge), table(Budget)
_ACTIVE = (
    select(_ACCOUNTS.c.id)
    .where(_ACCOUNTS.c.id == bindparam("account"), _ACCOUNTS.c.status == Status.ACTIVE)
    .with_for_update(key_share=True)
)


def _there_is(part: CTE) -> Any:
    return exists(select(part.c.id))


def _row(model: inserts.Model, part: CTE) -> Insert:
    columns = inserts.columns(model)
    values = [bindparam(name, type_=table(model).c[key].type) for name, key, _ in columns]
    return table(model).insert().from_select([key for _, key, _ in columns], select(*values).select_from(part))


def _admitting(allowed: CTE, *others: CTE) -> Fixed:
    """Begin the session and note it in the trail, once `allowed` has a row."""
    begun = _row(Session, allowed).returning(table(Session).c.id).cte("begun")
    noted = _row(Activity, begun).cte("noted")
    forgotten = forgetting("postgresql", _there_is(allowed)).cte("forgotten")
    admitted: Select[Any] = select(begun.c.id).add_cte(*others, forgotten, noted)
    return Fixed(admitted)


def _by_password() -> Fixed:
    still = _ACTIVE.where(_ACCOUNTS.c.password_hash == bindparam("hashed"), _ACCOUNTS.c.password_revoked.is_(False))
    return _admitting(still.cte("held"))


def _by_code() -> Fixed:
    held = _ACTIVE.cte("held")
    used = used_up().where(_there_is(held)).returning(_CHALLENGES.c.id).cte("used")
    one_of = among(_BUDGETS.c.key, "budgets")["postgresql"]
    given_back = update(_BUDGETS).where(one_of, _BUDGETS.c.used > 0, _there_is(used)).values(used=_BUDGETS.c.used - 1)
    return _admitting(used, given_back.cte("given_back"))


_BY_PASSWORD, _BY_CODE = _by_password(), _by_code()


class AdmissionRepository(Repository):
    """Each tells whether the session has begun; False too where there is no short cut."""

    async def by_password(self, session: Session, entry: Activity, *, hashed: str, counted: Counted) -> bool:
        """If the account is active and its password is still the one that was compared."""
        values = {"account": session.account_id, "hashed": hashed, **counted.values()}
        return await self._admit(_BY_PASSWORD, session, entry, values)

    async def by_code(
        self,
        session: Session,
        entry: Activity,
        *,
        challenge: Challenge,
        budgets: Sequence[bytes],
        counted: Counted,
    ) -> bool:
        """If the account is active and nobody used the code before."""
        values = {
            "account": session.account_id,
            "challenge": challenge.id,
            "mac": challenge.code_mac,
            "at": session.auth_time,
            "budgets": sorted(budgets),
            **counted.values(),
        }
        return await self._admit(_BY_CODE, session, entry, values)

    async def _admit(self, statement: Fixed, session: Session, entry: Activity, values: dict[str, Any]) -> bool:
        if self._dialect != "postgresql":
            return False
        return bool(await self._run(statement, {**values, **inserts.values([session, entry])}))
