"""SQL for one-time codes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import update

from app.models.verification import Challenge, Purpose
from app.repositories.base import Repository


class ChallengeRepository(Repository):
    def add(self, challenge: Challenge) -> None:
        self._session.add(challenge)

    async def flush(self) -> None:
        """Write what was added now: rows that refer to it follow."""
        await self._session.flush()

    async def get(self, challenge_id: UUID) -> Challenge | None:
        return await self._session.get(Challenge, challenge_id)

    async def get_one(self, challenge_id: UUID) -> Challenge:
        """As it is now, for an id that a row refers to."""
        return await self._session.get_one(Challenge, challenge_id, populate_existing=True)

    async def close_slot(self, slot: bytes, at: datetime) -> None:
        """The codes before in this slot are good for nothing any more."""
        await self._changed(
            update(Challenge).where(Challenge.slot == slot, Challenge.closed_at.is_(None)).values(closed_at=at)
        )

    async def close_all(
        self, account_id: UUID, at: datetime, *, purpose: Purpose | None = None, lane: str | None = None
    ) -> None:
        """Close the account's open codes: of one purpose and lane, or all."""
        statement = update(Challenge).where(Challenge.account_id == account_id, Challenge.closed_at.is_(None))
        if purpose is not None:
            statement = statement.where(Challenge.purpose == purpose, Challenge.lane == lane)
        await self._changed(statement.values(closed_at=at))

    async def count_try(
        self, challenge_id: UUID, *, purpose: Purpose, at: datetime, code_tries: int, flow_tries: int
    ) -> Challenge | None:
        """Count one try on a live code that has tries left, and give the challenge; None when there is no such."""
        return await self._session.scalar(
            update(Challenge)
            .where(
                Challenge.id == challenge_id,
                Challenge.purpose == purpose,
                Challenge.closed_at.is_(None),
                Challenge.code_expires_at > at,
                Challenge.code_tries < code_tries,
                Challenge.tries < flow_tries,
            )
            .values(code_tries=Challenge.code_tries + 1, tries=Challenge.tries + 1)
            .returning(Challenge)
            .execution_options(populate_existing=True)
        )

    async def consume(self, challenge: Challenge, at: datetime) -> bool:
        """Use the code up, if it is still the one that was checked and nobody did before."""
        return (
            await self._changed(
                update(Challenge)
                .where(
                    Challenge.id == challenge.id,
                    Challenge.closed_at.is_(None),
                    Challenge.code_mac == challenge.code_mac,
                )
                .values(closed_at=at, tries=Challenge.tries - 1)
            )
            == 1
        )

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
