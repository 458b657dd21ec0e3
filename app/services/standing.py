"""What a subscription's messages add up to: its status follows from the set of them, in whatever order they came."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.models.cloud_accounts import CloudStatus, Effect


@dataclass(frozen=True, slots=True)
class Fact:
    """One message: when by the provider's word, which one, what it does, and to which agreement of the subscription."""

    at: datetime
    id: UUID
    effect: Effect
    strand: str = ""

    @property
    def place(self) -> tuple[datetime, bool, UUID]:
        """Where it stands among the others. Of several at one instant an end is the last."""
        return self.at, self.effect in (Effect.CLOSED, Effect.RELEASED), self.id


@dataclass(frozen=True, slots=True)
class Standing:
    """`since`: when it became so, by the provider's word; None while nothing was said."""

    status: CloudStatus
    since: datetime | None


def standing(facts: Iterable[Fact]) -> Standing:
    """Play the facts in the order of their times.

    A subscription may be held by several agreements one after the other (AWS renewals): it ends with the last of them,
    and the end of one that was renewed or replaced ends nothing, once its successor is known. Only an activation opens
    what has ended: a restored payment or an older message does not. What was released stays so, whatever comes later.
    """
    played = sorted(facts, key=lambda fact: fact.place)
    superseded = {fact.strand for fact in played if fact.effect is Effect.SUPERSEDED and fact.strand}
    succeeded = any(fact.strand and fact.strand not in superseded for fact in played)
    replaced = superseded if succeeded else set()  # these neither hold it nor end it
    now = Standing(CloudStatus.PENDING, None)
    held: set[str] = set()
    for fact in played:
        if fact.effect is Effect.RELEASED:
            return Standing(CloudStatus.ENDED, now.since if now.status is CloudStatus.ENDED else fact.at)
        if fact.effect is Effect.ACTIVATED:
            held.add(fact.strand)
        elif fact.effect is Effect.CLOSED:
            held = held - {fact.strand} if fact.strand else set()
            if fact.strand in replaced or any(held - replaced):
                continue
        after = _after(now.status, fact.effect)
        if after is not now.status:
            now = Standing(after, fact.at)
    return now


def _after(status: CloudStatus, effect: Effect) -> CloudStatus:
    if effect is Effect.ACTIVATED:
        return CloudStatus.ACTIVE
    if effect in (Effect.CLOSED, Effect.FAILED):
        return CloudStatus.ENDED
    if status is CloudStatus.ENDED:
        return status
    if effect is Effect.FROZEN:
        return CloudStatus.FROZEN
    return CloudStatus.ACTIVE if effect is Effect.UNFROZEN else status
