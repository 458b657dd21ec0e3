"""SQL for the slowing down of logins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Delete,
    Integer,
    LargeBinary,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import Grouping

from app.core.clock import now
from app.core.database import UtcDateTime
from app.models.throttles import LoginThrottle
from app.repositories.base import Repository, among, table
from app.repositories.direct import Fixed

_T = table(LoginThrottle)
_OTHER = _T.alias()
# Not "from now on": whoever counted at once, or by a slower clock, would be told to come later.
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_EVER_SINCE = bindparam("ever", type_=UtcDateTime())
_FAILURES = case((_T.c.expires_at <= bindparam("at"), 1), else_=_T.c.failures + 1)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an attempt is counted under: what was typed, and the account. Each is remembered for so long."""

    typed: bytes
    typed_memory: timedelta
    account: bytes
    account_memory: timedelta


@dataclass(frozen=True, slots=True)
class Counted:
    """All keys that attempts at an account are counted under."""

    typed: Sequence[bytes]
    account: bytes

    def values(self) -> dict[str, Any]:
        """Of the parameters of `forgetting`."""
        return {"throttles": [*self.typed, self.account], "throttled": self.account}


def _counted(insert: "postgresql.Insert | sqlite.Insert", **moved: Any) -> Any:
    """One failure more, unless it is too early for another attempt."""
    return insert.on_conflict_do_update(
        index_elements=[_T.c.key],
        set_={"failures": _FAILURES, "expires_at": insert.excluded.expires_at, **moved},
        where=_T.c.next_at <= bindparam("at"),
    ).returning(_T.c.key, _T.c.failures)


def _row(key: str, next_at: Any) -> dict[str, Any]:
    """That of the first failure under a key."""
    ends = bindparam(f"{key}_ends", type_=UtcDateTime())
    return {"key": bindparam(key, type_=LargeBinary()), "failures": 1, "next_at": next_at, "expires_at": ends}


def _attempt() -> Fixed:
    """What was typed, then the account: `forgetting` takes them in this order too, so that two never deadlock.

    One INSERT of both rows: CockroachDB has a statement change a table once.
    """
    typed = bindparam("typed", type_=LargeBinary())
    early = exists().where(_OTHER.c.key == typed, _OTHER.c.next_at > bindparam("at"))
    rows = select(
        func.unnest(bindparam("keys", type_=postgresql.ARRAY(LargeBinary))),
        literal_column("1"),
        func.unnest(bindparam("first_moments", type_=postgresql.ARRAY(UtcDateTime))),
        func.unnest(bindparam("ends", type_=postgresql.ARRAY(UtcDateTime))),
    ).where(~early)
    # After the first failure, the second, …; in brackets, without which the cast of the parameter would take the index.
    moments: Any = Grouping(bindparam("moments", type_=postgresql.ARRAY(UtcDateTime)))
    moment = moments[func.least(_FAILURES, bindparam("moments_end", type_=Integer()))]
    insert = postgresql.insert(_T).from_select(["key", "failures", "next_at", "expires_at"], rows)
    return Fixed(_counted(insert, next_at=case((_T.c.key == typed, moment), else_=_T.c.next_at)))


def forgetting(dialect: str, *conditions: Any) -> Delete:
    """Taken in order; a DELETE takes them in whatever order it finds them."""
    in_order = _T.c.key == bindparam("throttled", type_=LargeBinary()), _T.c.key
    held = select(_T.c.key).where(among(_T.c.key, "throttles")[dialect]).order_by(*in_order).with_for_update()
    return delete(_T).where(_T.c.key.in_(held), *conditions)


_ATTEMPT = _attempt()
_TYPED = Fixed(_counted(sqlite.insert(_T).values(_row("typed", _EVER_SINCE))))
_WAIT = Fixed(update(_T).where(_T.c.key == bindparam("typed")).values(next_at=bindparam("moment")))
_ACCOUNT = Fixed(_counted(sqlite.insert(_T).values(_row("account", _EVER_SINCE))))
_TAKE_BACK = Fixed(
    update(_T).where(_T.c.key == bindparam("account"), _T.c.failures > 0).values(failures=_T.c.failures - 1)
)
_FORGET = Fixed({dialect: forgetting(dialect) for dialect in ("postgresql", "sqlite")})


class ThrottleRepository(Repository):
    async def attempt(self, attempt: Attempt, *, waits: Sequence[timedelta]) -> tuple[int, int] | None:
        """Count it as a failure; how many there are now under what was typed, and under the account.

        After the first failure under what was typed the next attempt has to wait for `waits[0]`, and so on; the last
        one is that of all that follow. None, and nothing is counted, when it is too early.

        One statement, which needs no transaction; SQLite takes several, in one.
        """
        at = now()
        moments = [at + wait if wait else _EVER for wait in waits]
        ends = at + attempt.typed_memory, at + attempt.account_memory
        values = {"at": at, "typed": attempt.typed, "account": attempt.account}
        if self._dialect == "sqlite":
            values |= {"ever": _EVER, "typed_ends": ends[0], "account_ends": ends[1]}
            return await self._attempt_in_steps(values, moments)
        values |= {"keys": [attempt.typed, attempt.account], "first_moments": [moments[0], _EVER], "ends": ends}
        return await self._attempt_at_once(attempt, {**values, "moments": moments, "moments_end": len(moments)})

    async def _attempt_at_once(self, attempt: Attempt, values: dict[str, Any]) -> tuple[int, int] | None:
        found = dict(await self._run(_ATTEMPT, values))
        if attempt.typed in found:
            return found[attempt.typed], found[attempt.account]
        if attempt.account in found:  # it was not too early when we looked, and others were faster
            await self._run(_TAKE_BACK, values)
        return None

    async def _attempt_in_steps(self, values: dict[str, Any], moments: Sequence[datetime]) -> tuple[int, int] | None:
        typed = (await self._run(_TYPED, values)).one_or_none()
        if typed is None:
            return None
        await self._run(_WAIT, {**values, "moment": moments[min(typed.failures, len(moments)) - 1]})
        return typed.failures, (await self._run(_ACCOUNT, values)).one().failures

    async def next_at(self, key: bytes) -> datetime | None:
        return await self._session.scalar(select(LoginThrottle.next_at).where(LoginThrottle.key == key))

    async def forget(self, counted: Counted) -> None:
        await self._run(_FORGET, counted.values())
