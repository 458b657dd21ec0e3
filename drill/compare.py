"""What clients were told, held against what the database, the mailboxes and the readers have."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from drill.ledger import Entry, Kind, Ledger

# Which rows a kind of write leaves: of each subject, so many as were acknowledged, none more than were meant.
_COUNTED = {
    Kind.PROFILE: "SELECT subject, count(*) n FROM events WHERE type = 'account.profile_updated' GROUP BY 1",
    Kind.EMAIL: "SELECT subject, count(*) n FROM events WHERE type = 'account.email_changed' GROUP BY 1",
    Kind.PHONE: "SELECT subject, count(*) n FROM events WHERE type = 'account.phone_changed' GROUP BY 1",
    Kind.PASSWORD: "SELECT subject, count(*) n FROM events WHERE type = 'account.password_changed' GROUP BY 1",
    Kind.SUBMISSION: "SELECT account_id, count(*) n FROM real_name_submissions GROUP BY 1",
    Kind.DECISION: "SELECT subject, count(*) n FROM events WHERE type = 'real_name.verified' GROUP BY 1",
    Kind.CLOUD_ACCOUNT: "SELECT account_id, count(*) n FROM cloud_accounts WHERE account_id IS NOT NULL GROUP BY 1",
    Kind.SETTLEMENT: "SELECT workspace_id, count(*) n FROM settlements WHERE cause = 'chosen' GROUP BY 1",
    Kind.WORKSPACE: "SELECT id, count(*) n FROM workspaces GROUP BY 1",
    Kind.REFERENCE: "SELECT reference, count(*) n FROM account_references GROUP BY 1",
    Kind.ACCOUNT: "SELECT username, count(*) n FROM accounts GROUP BY 1",
    Kind.SESSION: "SELECT account_id, count(*) n FROM sessions GROUP BY 1",
    Kind.TICKET: "SELECT account_id, count(*) n FROM login_tickets GROUP BY 1",
}
# Which value the last acknowledged write must have left.
_VALUES = {
    Kind.PROFILE: "SELECT id, contact_name FROM accounts",
    Kind.EMAIL: "SELECT id, email FROM accounts",
    Kind.PHONE: "SELECT id, phone FROM accounts",
    Kind.WORKSPACE: "SELECT id, account_id FROM workspaces",
    Kind.REFERENCE: "SELECT reference, account_id FROM account_references",
    Kind.ACCOUNT: "SELECT username, id FROM accounts",
    Kind.SETTLEMENT: "SELECT s.workspace_id, s.cloud_account_id FROM settlements s JOIN workspaces w "
    "ON w.id = s.workspace_id AND w.settled_from = s.effective_from",
}
_IDS = {
    Kind.SESSION: "SELECT id FROM sessions",
    Kind.SUBMISSION: "SELECT id FROM real_name_submissions",
    Kind.DECISION: "SELECT id FROM real_name_submissions WHERE status = 'verified'",
    Kind.CLOUD_ACCOUNT: "SELECT id FROM cloud_accounts",
}
_PREFIXES = ("acnt_", "sess_", "rnam_", "clda_")


@dataclass
class Findings:
    """What was compared, by kind, and what was wrong."""

    compared: dict[str, int] = field(default_factory=dict)
    doubtful: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    undelivered: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.undelivered)


class Asked(Protocol):
    """What answers questions about a database: a server of the drill."""

    async def query(self, statement: str) -> Sequence[Any]: ...


async def compare(ledger: Ledger, server: Asked, *, before: float = float("inf")) -> Findings:
    """Hold the ledger against a database.

    `before` (seconds since the epoch) is for a backup: what was acknowledged until then must be in it; more may be.
    """
    found = Findings()
    for kind in Kind:
        entries = list(ledger.of(kind, before=before))
        found.compared[kind] = sum(one.acknowledged for one in entries)
        found.doubtful[kind] = len(entries) - found.compared[kind]
        rows = {_plain(row[0]): row["n"] for row in await server.query(_COUNTED[kind])}
        _count(found, kind, entries, rows, whole=before == float("inf"))
        if kind in _VALUES and before == float("inf"):
            values = {_plain(row[0]): _plain(row[1]) for row in await server.query(_VALUES[kind])}
            _hold(found, kind, entries, values)
        if kind in _IDS:
            there = {_plain(row[0]) for row in await server.query(_IDS[kind])}
            told = {_plain(one.value) for one in entries if one.acknowledged and one.value}
            found.lost += [f"{kind} {one}" for one in sorted(told - there)]
    return found


def _count(found: Findings, kind: Kind, entries: Iterable[Entry], rows: dict[str, int], *, whole: bool) -> None:
    by_subject: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_subject[_plain(entry.subject)].append(entry)
    for subject, meant in by_subject.items():
        told = sum(one.acknowledged and not (one.spare and not one.value) for one in meant)
        most = len(meant) + sum(one.spare for one in meant)
        there = rows.get(subject, 0)
        if there < told:
            found.lost.append(f"{kind} of {subject}: {there} of {told}")
        if there > most and whole:
            found.doubled.append(f"{kind} of {subject}: {there} instead of {most}")


def _hold(found: Findings, kind: Kind, entries: Iterable[Entry], values: dict[str, str]) -> None:
    """The last that was acknowledged stands there, or one of those after it of which nobody knows."""
    allowed: dict[str, set[str]] = defaultdict(set)
    known: set[str] = set()
    for entry in entries:
        subject = _plain(entry.subject)
        if entry.acknowledged:
            allowed[subject], known = set(), known | {subject}
        allowed[subject].add(_plain(entry.value))
    for subject in known:
        if values.get(subject, "") not in allowed[subject]:
            found.lost.append(f"{kind} of {subject}: {values.get(subject)!r} instead of {allowed[subject]}")


def _plain(value: Any) -> str:
    """Ids as they are compared: bare, as 32 hexadecimal digits."""
    if isinstance(value, UUID):
        return value.hex
    text = str(value)
    return text[5:] if text.startswith(_PREFIXES) else text
