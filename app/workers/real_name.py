"""Asking providers about submissions: outside of any transaction, each call written down before it is made.

A worker that dies between a provider's answer and the commit leaves the lease to run out; the next one makes another
call, and only the newest call may write its verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from app.core import ids, tracing
from app.core.clock import now
from app.core.telemetry import REAL_NAME_CALLS, REAL_NAME_SECONDS
from app.gateways.real_name.base import Claim, Outcome, Provider, Verdict
from app.models.real_name import ProviderCall, Reason, Submission, SubmissionStatus
from app.repositories.unit_of_work import UnitOfWork, Work, retried
from app.services.budgets import Budgets
from app.services.real_name import HOME, ClaimBox
from app.services.real_name_effects import RealNameEffects

MANUAL = "manual"  # in an order of providers: staff
_BATCH = 5
_REVIEWED = {Outcome.NOT_OPERATING: Reason.NOT_OPERATING, Outcome.NOT_FOUND: Reason.NOT_FOUND}
_REFUSED = {Outcome.MISMATCHED: Reason.MISMATCHED, Outcome.INVALID: Reason.INVALID_DOCUMENT}
_SILENT = (Outcome.UNAVAILABLE, Outcome.LIMITED)
_PAUSES = (60, 300, 1800, 7200, 21_600)  # seconds between rounds in which nobody could tell; then always the last
_NEXT_DAY = timedelta(days=1)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Providers:
    """Whom to ask, in order: by `type:country`, in mainland China by `type`, else staff. `timeout` bounds a call."""

    by_name: Mapping[str, Provider]
    orders: Mapping[str, Sequence[str]]
    timeout: timedelta

    def order(self, kind: str, country: str) -> Sequence[str]:
        own = self.orders.get(f"{kind}:{country}")
        return own or (self.orders.get(kind) if country == HOME else None) or [MANUAL]

    @property
    def lease(self) -> timedelta:
        """Longer than a call can take; each call takes a new one."""
        return self.timeout + timedelta(seconds=30)


class RealNameWorker:
    def __init__(
        self, uow: UnitOfWork, *, providers: Providers, box: ClaimBox, budgets: Budgets, effects: RealNameEffects
    ) -> None:
        self.uow = uow
        self._providers = providers
        self._box = box
        self._budgets = budgets
        self._effects = effects

    async def ask_due(self) -> int:
        """Take a few submissions and ask about each; how many there were."""
        leased = await self._lease()
        for submission in leased:
            await self._ask(submission)
        return len(leased)

    @retried
    async def _lease(self) -> list[Submission]:
        at = now()
        async with self.uow() as uow:
            return await uow.real_name.lease(at=at, until=at + self._providers.lease, limit=_BATCH)

    async def _ask(self, submission: Submission) -> None:
        claim = await self._box.open(submission.id, submission.sealed)
        if claim is None:  # unreadable: it is looked at again when the lease is over
            return
        silent: list[Outcome] = []
        for name in self._providers.order(submission.type, submission.country):
            if name == MANUAL:
                await self._hand_to_staff(submission)
                return
            with tracing.work("ask provider", **{"guance.provider": name}):
                outcome = await self._ask_one(submission, claim, name)
            if outcome not in _SILENT:
                return
            silent.append(outcome)
        await self._later(submission, silent)

    async def _ask_one(self, submission: Submission, claim: Claim, name: str) -> Outcome | None:
        """None when the submission is no longer this worker's."""
        call = await self._begin(submission, name)
        if call is None:
            return None
        verdict = await self._verify(name, call, claim)
        REAL_NAME_CALLS.labels(name, submission.type, verdict.outcome).inc()
        log.info(
            "real_name_asked",
            submission=ids.show(ids.REAL_NAME, submission.id),
            provider=name,
            outcome=verdict.outcome,
            detail=verdict.detail,
            provider_request_id=verdict.request_id,
        )
        await self._settle(submission, call, verdict)
        return verdict.outcome

    @retried
    async def _begin(self, submission: Submission, name: str) -> ProviderCall | None:
        call = ProviderCall(id=ids.new(), submission_id=submission.id, provider=name, created_at=now())
        async with self.uow() as uow:
            begun = await uow.real_name.begin_call(submission, call, until=now() + self._providers.lease)
        return call if begun else None

    async def _verify(self, name: str, call: ProviderCall, claim: Claim) -> Verdict:
        try:
            with REAL_NAME_SECONDS.labels(name).time():
                return await self._providers.by_name[name].verify(call.id.hex, claim)
        except Exception as error:
            # A provider's bug must not stop the others. Only the kind is kept: the text may hold a name.
            log.warning("provider_failed", provider=name, kind=type(error).__name__)
            return Verdict(Outcome.UNAVAILABLE, detail="internal")

    @retried
    async def _settle(self, submission: Submission, call: ProviderCall, verdict: Verdict) -> None:
        """Write the answer down, and act on it if this call is still the one that may."""
        async with self.uow() as uow:
            account = await uow.accounts.hold(submission.account_id)
            current = await uow.real_name.get(submission.id, hold=True)
            await uow.real_name.finish_call(
                call.id,
                outcome=verdict.outcome,
                detail=_short(verdict.detail, 64),
                request_id=_short(verdict.request_id, 64),
                finished_at=now(),
            )
            if account is None or current is None or current.attempt_id != call.id:
                return
            if current.status != SubmissionStatus.PENDING or current.in_review:
                if current.status == SubmissionStatus.CANCELLED and verdict.outcome is not Outcome.MISMATCHED:
                    await self._give_back(uow, current)  # it was withdrawn meanwhile
                return
            if verdict.outcome is Outcome.MATCHED:
                await self._effects.verify(uow, account, current)
            elif verdict.outcome in _REFUSED:
                reason = _REFUSED[verdict.outcome]
                await self._effects.reject(uow, account, current, reason=reason, field=_short(verdict.field, 24))
            elif verdict.outcome in _REVIEWED:
                self._effects.review(uow, current, _REVIEWED[verdict.outcome], _short(verdict.field, 24))
            if verdict.outcome is not Outcome.MISMATCHED and verdict.outcome not in _SILENT:
                await self._give_back(uow, current)

    @retried
    async def _hand_to_staff(self, submission: Submission) -> None:
        async with self.uow() as uow:
            current = await uow.real_name.get(submission.id, hold=True)
            if current is None or current.attempts != submission.attempts:
                return  # another worker has taken over
            if current.status == SubmissionStatus.PENDING and not current.in_review:
                self._effects.review(uow, current, Reason.REVIEW_NEEDED)
                await self._give_back(uow, current)

    async def _later(self, submission: Submission, silent: Sequence[Outcome]) -> None:
        """Nobody could tell: it stays pending. A used-up limit of all of them is new the next day."""
        pause = timedelta(seconds=_PAUSES[min(submission.attempts, len(_PAUSES)) - 1])
        if silent and all(outcome is Outcome.LIMITED for outcome in silent):
            pause = _NEXT_DAY
        async with self.uow() as uow:
            await uow.real_name.postpone(submission, now() + pause)

    async def _give_back(self, uow: Work, submission: Submission) -> None:
        """It was counted as a mismatch beforehand, and is none."""
        await self._budgets.give_mismatches_back(uow, submission.account_id.hex, submission.document_hash)


def _short(text: str | None, length: int) -> str | None:
    """As much as its column takes, whatever a provider says."""
    return text[:length] if text else text
