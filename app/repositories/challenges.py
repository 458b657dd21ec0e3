"""SQL for one-time codes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Update, bindparam, update

from app.models.verification import Challenge, Purpose
from app.repositories.base import Repository, table
from app.repositories.direct import Fixed

_T = table(Challenge)
_CLOSE = update(_T).where(_T.c.closed_at.is_(None)).values(closed_at=bindparam("at"))
_CLOSE_OF_ACCOUNT = _CLOSE.where(_T.c.account_id == bindparam("account"))
_CLOSE_SLOT = Fixed(_CLOSE.where(_T.c.slot == bindparam("of_slot")))
_CLOSE_ALL = Fixed(_CLOSE_OF_ACCOUNT)
_CLOSE_SOME = Fixed(_CLOSE_OF_ACCOUNT.where(_T.c.purpose == bindparam("of_purpose"), _T.c.lane == bindparam("of_lane")))
_COUNT_TRY = Fixed(
    update(_T)
    .where(
        _T.c.id == bindparam("challenge"),
        _T.c.purpose == bindparam("of_purpose"),
        _T.c.closed_at.is_(None),
        _T.c.code_expires_at > bindparam("at"),
        _T.c.code_tries < bindparam("most_of_code"),
        _T.c.tries < bindparam("most_of_flow"),
    )
    .values(code_tries=_T.c.code_tries + 1, tries=_T.c.tries + 1)
    .returning(*_T.c)
)


def used_up() -> Update:
    """Use a code up, if it is still the one that was checked and nobody did before; the try was none."""
    return (
        update(_T)
        .where(_T.c.id == bindparam("challenge"), _T.c.closed_at.is_(None), _T.c.code_mac == bindparam("mac"))
        .values(closed_at=bindparam("at"), tries=_T.c.tries - 1)
    )


_CONSUME = Fixed(used_up())


class ChallengeRepository(Repository):
    async def add(self, challenge: Challenge) -> None:
        """Write it now, with the message that carries its code: rows that refer to it follow."""
        self._source.add(challenge)
        await self._source.write()

    async def get(self, challenge_id: UUID) -> Challenge | None:
        return await self._session.get(Challenge, challenge_id)

    async def get_one(self, challenge_id: UUID) -> Challenge:
        """As it is now, for an id that a row refers to."""
        return await self._session.get_one(Challenge, challenge_id, populate_existing=True)

    async def close_slot(self, slot: bytes, at: datetime) -> None:
        """The codes before in this slot are good for nothing any more."""
        await self._run(_CLOSE_SLOT, {"of_slot": slot, "at": at})

    async def close_all(
        self, account_id: UUID, at: datetime, *, purpose: Purpose | None = None, lane: str | None = None
    ) -> None:
        """Close the account's open codes: of one purpose and lane, or all."""
        values = {"account": account_id, "at": at}
        if purpose is None:
            await self._run(_CLOSE_ALL, values)
        else:
            await self._run(_CLOSE_SOME, {**values, "of_purpose": purpose, "of_lane": lane})

    async def count_try(
        self, challenge_id: UUID, *, purpose: Purpose, at: datetime, code_tries: int, flow_tries: int
    ) -> Challenge | None:
        """Count one try on a live code with tries left; the challenge, in no session, or None when there is no such."""
        values = {"challenge": challenge_id, "of_purpose": purpose, "at": at}
        found = await self._run(_COUNT_TRY, {**values, "most_of_code": code_tries, "most_of_flow": flow_tries})
        return Challenge(**found.one()._asdict()) if found else None

    async def consume(self, challenge: Challenge, at: datetime) -> bool:
        """Use the code up, if it is still the one that was checked and nobody did before."""
        values = {"challenge": challenge.id, "mac": challenge.code_mac, "at": at}
        return (await self._run(_CONSUME, values)).rowcount == 1

    async def belong(self, challenge_id: UUID, account_id: UUID) -> None:
        """What was asked before there was an account is its own now, and goes with it."""
        await self._changed(update(Challenge).where(Challenge.id == challenge_id).values(account_id=account_id))

    async def replace_code(
        self, challenge: Challenge, *, mac: bytes, at: datetime, expires_at: datetime, sends: int
    ) -> Challenge | None:
        """Put another code in its place, if no other re-send came first and sends are left."""
        return await self._session.scalar(
            update(Challenge)
            .where(
                Challenge.id == challenge.id,
                Challenge.closed_at.is_(None),
                Challenge.code_mac == challenge.code_mac,
                Challenge.sends < sends,
            )
            .values(
                code_mac=mac,
                code_sent_at=at,
                code_expires_at=expires_at,
                code_tries=0,
                sends=Challenge.sends + 1,
            )
            .returning(Challenge)
            .execution_options(populate_existing=True)
        )

    async def give_back(self, challenge_id: UUID) -> None:
        """One try less: it was right."""
        await self._changed(
            update(Challenge)
            .where(Challenge.id == challenge_id, Challenge.tries > 0, Challenge.code_tries > 0)
            .values(tries=Challenge.tries - 1, code_tries=Challenge.code_tries - 1)
        )
