"""The door to those who know whether a name and a document number belong together."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    ENTERPRISE = "enterprise"
    INDIVIDUAL = "individual"


class Outcome(StrEnum):
    """What an answer means, whoever gave it."""

    MATCHED = "matched"
    NOT_OPERATING = "not_operating"  # it all fits, but the enterprise is closed, suspended or revoked
    MISMATCHED = "mismatched"
    NOT_FOUND = "not_found"
    INVALID = "invalid"  # the provider takes the input for none at all
    UNAVAILABLE = "unavailable"  # nobody can tell now; never a refusal
    LIMITED = "limited"  # the provider's own limit is used up; another day


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody says of themselves.

    `number` is a resident identity number, or a Unified Social Credit Code. `legal_name` and `legal_number` are those
    of an enterprise's legal representative; `phone` (E.164, +86) is an individual's.
    """

    kind: Kind
    name: str = field(repr=False)
    number: str = field(repr=False)
    legal_name: str | None = field(default=None, repr=False)
    legal_number: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A provider's answer. `field` is the member that is wrong, where it says so; `detail` its own code, for staff;
    `request_id` what its support asks for.
    """

    outcome: Outcome
    field: str | None = None
    detail: str | None = None
    request_id: str | None = None


class Provider(Protocol):
    async def verify(self, attempt_id: str, claim: Claim) -> Verdict:
        """Ask once. Raises nothing: what goes wrong on the way is an outcome. Each call may be billed.

        `attempt_id` names this call, where the provider takes a name for it.
        """

    async def close(self) -> None: ...
