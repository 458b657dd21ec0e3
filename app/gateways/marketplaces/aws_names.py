"""How AWS Marketplace names things, read so that it can be stored and compared.

Sources: https://docs.aws.amazon.com/marketplace/latest/APIReference/API_marketplace-metering_ResolveCustomer.html and
https://docs.aws.amazon.com/marketplace/latest/userguide/saas-eventbridge-integration.html.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

_LICENCE = re.compile(r"(?:^|[:/])(l-[0-9a-f]{32})$")
_NAME = re.compile(r"[!-~]{1,255}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL takes neither in text nor in JSON
_LONGEST, _MOST, _DEEPEST = 1024, 64, 6  # characters of a text, members of an object, objects in one another
_LARGEST = 2**53  # beyond it JSON's readers disagree
_AHEAD = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Names:
    """What a message names a subscription by. `customer` is AWS's older name of a buyer: new products have none."""

    licence: str | None = None
    agreement: str | None = None
    account: str | None = None
    customer: str | None = None
    product: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Each agreement has a licence of its own."""
        named = {"license": self.licence, "agreement": self.agreement}
        return tuple(f"{kind}:{name}" for kind, name in named.items() if name)

    @property
    def hints(self) -> tuple[str, ...]:
        """One buyer may have several agreements about one product at a time."""
        named = {"customer": self.customer, "buyer": self.account}
        return tuple(f"{kind}:{name}/{self.product}" for kind, name in named.items() if name and self.product)


def fact(value: object) -> str | None:
    """A name without the blanks around it, None where there is none. Raises ValueError for what cannot be one."""
    if value is None:
        return None
    name = value.strip() if isinstance(value, str) else None
    if name is None or (name and not _NAME.fullmatch(name)):
        raise ValueError("not a name")
    return name or None


def licence_of(arn: str | None) -> str | None:
    """What a licence is known by: the ARN around it is written in several ways, one of them without `arn:`."""
    found = _LICENCE.search(arn or "")
    return found[1] if found else arn


def arn_of(arn: str | None) -> str | None:
    """The whole ARN, which metering is asked with: AWS's own sample of an event omits its beginning."""
    return f"arn:{arn}" if arn and _LICENCE.search(arn) and arn.startswith(("aws:", "aws-")) else arn


def moment(text: object, at: datetime) -> datetime:
    """When AWS says that it was; `at`, when it came, where that cannot be read or has not been yet."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
        if found is None or found.tzinfo is None:
            return at
        return found.astimezone(UTC) if found <= at + _AHEAD else at
    except (ValueError, OverflowError):
        return at


def storable(value: object, depth: int = _DEEPEST) -> Any:
    """JSON that any database keeps, bounded; storable already, it stays as it is."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        members = list(value.items())[:_MOST] if depth else []
        return {_text(str(name)): storable(member, depth - 1) for name, member in members}
    if isinstance(value, list):
        return [storable(member, depth - 1) for member in value[:_MOST]] if depth else []
    if isinstance(value, int | float) and not abs(value) < _LARGEST:  # too large, or no number at all
        return None
    return value


def _text(value: str) -> str:
    return _UNSTORABLE.sub("\ufffd", value[:_LONGEST])
