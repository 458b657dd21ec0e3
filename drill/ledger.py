"""What clients were told: every write that was acknowledged, and those of which they do not know."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    ACCOUNT = "account"
    SESSION = "session"
    PROFILE = "profile edit"
    EMAIL = "email change"
    PHONE = "phone change"
    PASSWORD = "password change"
    SUBMISSION = "real-name submission"
    DECISION = "real-name decision"
    WORKSPACE = "workspace"
    CLOUD_ACCOUNT = "cloud account"
    SETTLEMENT = "settlement change"
    REFERENCE = "account by reference"
    TICKET = "login ticket"


@dataclass(frozen=True, slots=True)
class Entry:
    """One write that a client meant to do once.

    `subject` is the account, or what the write is about; `value` what it set or made. Without `acknowledged` the
    client was never told. `at` is in seconds since the epoch, when the client knew. `spare` counts the repeats of a
    write that has no idempotency key after an answer that was lost: so many more there may be.
    """

    kind: Kind
    subject: str
    value: str
    acknowledged: bool
    at: float
    spare: int = 0


@dataclass
class Ledger:
    entries: list[Entry] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)  # answers that no journey expects
    given_up: list[str] = field(default_factory=list)  # calls that were never answered within the client's patience

    def acknowledge(self, kind: Kind, subject: str, value: str = "", *, spare: int = 0) -> None:
        self.entries.append(Entry(kind, subject, value, True, time.time(), spare))

    def doubt(self, kind: Kind, subject: str, value: str = "") -> None:
        self.entries.append(Entry(kind, subject, value, False, time.time()))

    def of(self, kind: Kind, *, before: float = float("inf")) -> Iterator[Entry]:
        """Oldest first; those that were acknowledged before a moment, and doubtful ones whenever."""
        return (one for one in self.entries if one.kind is kind and (one.at < before or not one.acknowledged))

    def write(self, path: Path) -> None:
        path.write_text("".join(f"{json.dumps(asdict(one))}\n" for one in self.entries))
