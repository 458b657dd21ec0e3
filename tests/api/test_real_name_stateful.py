"""Any order of calls: the service against a plain model of real-name authentication.

Three accounts share a few documents. They submit, withdraw and close; a provider answers whatever it likes; three
people of staff decide and override; time passes and what came to nothing is erased. After each call the service shows
what the model expects, and its counters, events and trail say the same.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import text

from app.core.clock import now
from app.gateways.real_name.base import Outcome
from tests.support.api import Api, Holder, empty, frozen
from tests.support.real_names import CREDIT_CODE, ID_NUMBER, OTHER_CREDIT_CODE, gate, status, submit, withdraw
from tests.support.services import ServiceClient, client, staff
from tests.support.stateful import Run, play
from tests.workers.test_real_name import Register, worker

CAPS = {"enterprise": 2, "individual": 1}
PAUSES = [timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360)]
KEPT = timedelta(days=30)
DOCUMENTS = [
    ("enterprise", "CN", CREDIT_CODE),
    ("enterprise", "CN", CREDIT_CODE),  # often the same
    ("enterprise", "CN", OTHER_CREDIT_CODE),
    ("enterprise", "SG", "201912345K"),
    ("individual", "CN", ID_NUMBER),
]
REVIEWED = {Outcome.NOT_OPERATING, Outcome.NOT_FOUND}
REFUSED = {Outcome.MISMATCHED: "mismatched", Outcome.INVALID: "invalid_document"}
ANSWERS = (*Outcome, Outcome.MISMATCHED, Outcome.MISMATCHED)
PEOPLE = ("han.meimei", "li.lei", "Li.Lei", "jim.green")
OWNERS = range(3)


@dataclass(eq=False)
class Submission:
    """A submission as the model has it."""

    owner: int
    document: tuple[str, str, str]
    name: str
    due: datetime
    id: str = ""
    status: str = "pending"
    in_review: bool = False
    reason: str | None = None
    attempts: int = 0
    superseded: bool = False
    erase: datetime | None = None
    erased: bool = False
    proposed_by: str | None = None

    @property
    def kind(self) -> str:
        return self.document[0]

    @property
    def in_force(self) -> bool:
        return self.status == "verified" and not self.superseded

    @property
    def shown(self) -> tuple[str, str, bool, str | None, bool]:
        reason = self.reason if self.status == "rejected" else None
        return self.id, self.status, self.in_review, reason, self.erased


@dataclass
class Model:
    """The rules, and nothing of how they are carried out. Each act gives `ok` or the code of its refusal."""

    submissions: list[Submission] = field(default_factory=list)
    status: dict[int, str] = field(default_factory=lambda: dict.fromkeys(OWNERS, "none"))
    closed: set[int] = field(default_factory=set)
    told: Counter[tuple[int, str]] = field(default_factory=Counter)
    trail: Counter[tuple[int, str]] = field(default_factory=Counter)

    def of(self, owner: int) -> list[Submission]:
        return [one for one in self.submissions if one.owner == owner]

    def pending(self, owner: int) -> Submission | None:
        return next((one for one in self.of(owner) if one.status == "pending"), None)

    def in_force(self, owner: int) -> Submission | None:
        return next((one for one in self.of(owner) if one.in_force), None)

    def holders(self, document: tuple[str, str, str]) -> set[int]:
        live = [one for one in self.submissions if one.status == "pending" or one.in_force]
        return {one.owner for one in live if one.document == document} - self.closed

    def decidable(self) -> list[Submission]:
        return [one for one in self.submissions if one.in_review or self._is_overridable(one)]

    def submit(self, new: Submission) -> str:
        if new.owner in self.closed:
            return "session_ended"
        if self.pending(new.owner):
            return "submission_pending"
        if self._steps_back(new):
            return "wrong_state"
        if self._is_used_up(new):
            return "document_used_up"
        self.submissions.append(new)
        if self.status[new.owner] != "verified":
            self.status[new.owner] = "pending"
        self._note(new, "submitted", event=True)
        return "ok"

    def withdraw(self, by: int, which: Submission) -> str:
        if by in self.closed:
            return "session_ended"
        if by != which.owner:
            return "not_found"
        if which.status != "pending":
            return "wrong_state"
        self._drop(which, "cancelled")
        return "ok"

    def answer(self, outcome: Outcome) -> None:
        """The worker comes: of all that are due, the provider says the same."""
        for one in self.submissions:
            if one.status != "pending" or one.in_review or one.due > now():
                continue
            one.attempts += 1
            if one.document[1] != "CN":
                self._review(one, "review_needed")
            elif outcome is Outcome.MATCHED:
                self._verify(one)
            elif outcome in REVIEWED:
                self._review(one, outcome)
            elif outcome in REFUSED:
                self._drop(one, "rejected", REFUSED[outcome])
            else:
                pause = PAUSES[min(one.attempts, len(PAUSES)) - 1]
                one.due = now() + (timedelta(days=1) if outcome is Outcome.LIMITED else pause)

    def decide(self, which: Submission, actor: str, *, approve: bool) -> str:
        if which.status == "pending" and which.in_review:
            if approve:
                self._verify(which)
            else:
                self._drop(which, "rejected", "other")
            return "ok"
        if not approve or not self._is_overridable(which):
            return "wrong_state"
        return self._override(which, actor)

    def close(self, owner: int) -> str:
        if owner in self.closed:
            return "session_ended"
        self.closed.add(owner)
        if self.status[owner] != "verified":
            self.status[owner] = "none"
        for one in self.of(owner):
            one.status = "cancelled" if one.status == "pending" else one.status
            one.in_review = one.in_review and one.status == "pending"
            one.erased, one.erase = not one.in_force, None
        return "ok"

    def erase(self) -> None:
        for one in self.submissions:
            one.erased = one.erased or (one.erase is not None and one.erase <= now())

    def reason(self, owner: int) -> str:
        """What the gate says."""
        mine, in_force = self.of(owner), self.in_force(owner)
        if owner in self.closed:
            return "account_closed"
        if in_force:
            return "verified" if in_force.kind == "enterprise" else "enterprise_required"
        if self.pending(owner):
            return "pending"
        return "rejected" if mine and mine[-1].status == "rejected" else "not_submitted"

    def _override(self, which: Submission, actor: str) -> str:
        if which.proposed_by is None:
            which.proposed_by = actor
            self._note(which, "override_proposed")
            return "ok"
        if which.proposed_by.casefold() == actor.casefold():
            return "second_actor_needed"
        if self._is_used_up(which):
            return "document_used_up"
        self._verify(which)
        return "ok"

    def _is_overridable(self, one: Submission) -> bool:
        refused = one.status == "rejected" and one.reason in REFUSED.values() and not one.erased
        return refused and self.pending(one.owner) is None and not self._steps_back(one)

    def _steps_back(self, one: Submission) -> bool:
        """To an individual where an enterprise is in force; or, of staff, behind what is in force since."""
        before = self.in_force(one.owner)
        if before is None:
            return False
        newer = one in self.submissions and self.submissions.index(before) > self.submissions.index(one)
        return newer or (before.kind, one.kind) == ("enterprise", "individual")

    def _is_used_up(self, one: Submission) -> bool:
        return len(self.holders(one.document) - {one.owner}) >= CAPS[one.kind]

    def _verify(self, one: Submission) -> None:
        if before := self.in_force(one.owner):
            before.superseded, before.erase = True, now() + KEPT
        one.status, one.in_review, one.reason, one.erase = "verified", False, None, None
        self.status[one.owner] = "verified"
        self._note(one, "verified", event=True)

    def _drop(self, one: Submission, end: str, reason: str | None = None) -> None:
        one.status, one.in_review, one.reason, one.erase = end, False, reason, now() + KEPT
        fallen = "rejected" if end == "rejected" else "none"
        self.status[one.owner] = "verified" if self.in_force(one.owner) else fallen
        self._note(one, end, event=True)

    def _review(self, one: Submission, reason: str) -> None:
        one.in_review, one.reason = True, reason
        self._note(one, "in_review")

    def _note(self, one: Submission, act: str, *, event: bool = False) -> None:
        self.trail[one.owner, act] += 1
        if event:
            self.told[one.owner, act] += 1


PICK = st.integers(0, 11)  # of a list, round and round; 0 is the newest
TOLD = "SELECT subject, type FROM events WHERE type LIKE 'real_name.%'"
TRAIL = "SELECT account_id, action FROM activity WHERE action LIKE 'real_name.%'"
LIVE = (
    "SELECT count(*) FROM real_name_submissions WHERE status = 'pending' GROUP BY account_id",
    "SELECT count(*) FROM real_name_submissions WHERE status = 'verified' AND superseded_at IS NULL"
    " GROUP BY account_id",
)
COUNTED = """
SELECT d.used, (
    SELECT count(DISTINCT s.account_id) FROM real_name_submissions s JOIN accounts a ON a.id = s.account_id
    WHERE s.document_hash = d.document_hash AND a.status <> 'closed'
    AND (s.status = 'pending' OR s.status = 'verified' AND s.superseded_at IS NULL)
) FROM real_name_documents d
"""


def pick(number: int, *lists: list[Submission]) -> Submission:
    """One of the first list that has any."""
    some = next(one for one in lists if one)
    return some[-1 - number % len(some)]


class Machine(RuleBasedStateMachine):
    """Each rule asks the model and the service the same, a second after the one before."""

    def __init__(self, api: Api, run: Run) -> None:
        super().__init__()
        self.api, self.run = api, run
        self._frozen = frozen()
        self.clock = self._frozen.__enter__()
        self.model = Model()
        self.holders: list[Holder] = []
        self.desk: ServiceClient

    def teardown(self) -> None:
        self._frozen.__exit__(None, None, None)

    @initialize()
    def three_accounts(self) -> None:
        self.run(empty(self.api))
        self.holders = [self.run(self.api.register()) for _ in OWNERS]
        self.desk = self.run(client(self.api))

    @rule(owner=st.sampled_from(OWNERS), document=st.sampled_from(DOCUMENTS))
    def submit(self, owner: int, document: tuple[str, str, str]) -> None:
        self._submit(owner, document)

    @rule(owner=st.sampled_from(OWNERS), document=st.sampled_from(DOCUMENTS), outcome=st.sampled_from(ANSWERS))
    def submit_and_be_answered(self, owner: int, document: tuple[str, str, str], outcome: Outcome) -> None:
        self._submit(owner, document)
        self.ask(outcome)

    @precondition(lambda self: self.model.submissions)
    @rule(outcome=st.sampled_from(Outcome))
    def ask(self, outcome: Outcome) -> None:
        self.clock.shift(1)
        self.run(
            worker(self.api, {"enterprise": ["first"], "individual": ["first"]}, first=Register(outcome)).ask_due()
        )
        self.model.answer(outcome)

    @precondition(lambda self: self.model.submissions)
    @rule(which=PICK, stranger=st.sampled_from((0, 0, 0, 1)))
    def withdraw(self, which: int, stranger: int) -> None:
        self.clock.shift(1)
        submission = pick(
            which, [one for one in self.model.submissions if one.status == "pending"], self.model.submissions
        )
        by = (submission.owner + stranger) % len(OWNERS)
        answer = self.run(withdraw(self.api, self.holders[by], submission.id))
        assert outcome_of(answer) == self.model.withdraw(by, submission)

    @precondition(lambda self: self.model.submissions)
    @rule(which=PICK, actors=st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3), approve=st.booleans())
    def decide(self, which: int, actors: list[str], approve: bool) -> None:
        submission = pick(which, self.model.decidable() if which < 9 else [], self.model.submissions)
        for actor in actors:
            self.clock.shift(1)
            url = f"/real-name/submissions/{submission.id}/decision"
            body = {"decision": "approve" if approve else "reject"}
            answer = self.run(self.desk.post(url, body, headers=staff(actor)))
            assert outcome_of(answer) == self.model.decide(submission, actor, approve=approve)

    @precondition(lambda self: self.model.submissions)
    @rule(minutes=st.sampled_from((1, 5, 30, 24 * 60, 31 * 24 * 60)), erasing=st.booleans())
    def time_passes(self, minutes: int, erasing: bool) -> None:
        self.clock.shift(timedelta(minutes=minutes))
        self.run(self.desk.renew())
        if erasing:
            self.run(self._erase())
            self.model.erase()

    @precondition(lambda self: len(self.model.submissions) > 4)
    @rule(owner=st.sampled_from(OWNERS))
    def close(self, owner: int) -> None:
        self.clock.shift(1)
        answer = self.run(self.api.client.post("/v1/account/closure", headers=self.holders[owner].auth))
        assert outcome_of(answer) == self.model.close(owner)

    @invariant()
    def holders_see_what_the_model_says(self) -> None:
        for owner, holder in enumerate(self.holders):
            told = self.run(gate(self.desk, holder))
            in_force = self.model.in_force(owner)
            name = in_force.name if in_force and in_force.kind == "enterprise" else None
            assert (told["reason"], told["verified_name"]) == (self.model.reason(owner), name)
            assert told["allowed"] is (told["reason"] == "verified")
            if owner not in self.model.closed:
                shown = self.run(status(self.api, holder))
                latest = shown["latest"]
                expected = self.model.of(owner)[-1].shown if self.model.of(owner) else None
                assert (shown["status"], shown["type"]) == (
                    self.model.status[owner],
                    in_force.kind if in_force else None,
                )
                members = [latest[one] for one in ("id", "status", "in_review", "reason")] if latest else []
                assert (*members, latest["name"] is None) == expected if latest else expected is None

    @invariant()
    def rows_events_and_trail_agree(self) -> None:
        names = {holder.account_id.removeprefix("acnt_"): owner for owner, holder in enumerate(self.holders)}
        for sql, expected in ((TOLD, self.model.told), (TRAIL, self.model.trail)):
            found = [(str(who).removeprefix("acnt_").replace("-", ""), what) for who, what in self._rows(sql)]
            assert expected == Counter((names[who], what.removeprefix("real_name.")) for who, what in found)
        counted = self._rows(COUNTED)
        assert all(used == holding for used, holding in counted)
        used = [len(self.model.holders(document)) for document in set(DOCUMENTS)]
        assert sorted(one for one, _ in counted if one) == sorted(one for one in used if one)
        rows = self._rows("SELECT id, real_name_status FROM accounts")
        assert {names[str(who).replace("-", "")]: found for who, found in rows} == self.model.status

    @invariant()
    def at_most_one_is_pending_and_one_in_force(self) -> None:
        assert all(count == 1 for sql in LIVE for (count,) in self._rows(sql))

    def _submit(self, owner: int, document: tuple[str, str, str]) -> None:
        self.clock.shift(1)
        kind, country, number = document
        name = f"Acme {len(self.model.submissions)}"
        body = {"type": kind, "name": name, "id_number" if kind == "individual" else "registration_number": number}
        answer = self.run(
            submit(self.api, self.holders[owner], body | ({"country": country} if kind == "enterprise" else {}))
        )
        new = Submission(owner, document, name, due=now(), id=answer.json().get("id", ""))
        assert outcome_of(answer) == self.model.submit(new)

    async def _erase(self) -> None:
        async with self.api.container.profile.uow() as uow:
            await uow.real_name.erase_due(now(), limit=1000)

    def _rows(self, sql: str) -> list[Any]:
        async def read() -> list[Any]:
            async with self.api.container.engine.connect() as connection:
                return list(await connection.execute(text(sql)))

        rows: list[Any] = self.run(read())
        return rows


def outcome_of(answer: httpx.Response) -> str:
    return "ok" if answer.is_success else str(answer.json()["code"])


@pytest.mark.settings(
    access_token_seconds=10**9,
    session_idle_days=10_000,
    session_max_days=10_000,
    fresh_login_seconds=10**9,
    daily_mismatches_per_account=10**6,
    daily_mismatches_per_document=10**6,
    real_name_accounts_per_enterprise=CAPS["enterprise"],
    real_name_accounts_per_individual=CAPS["individual"],
)
@pytest.mark.timeout(900)  # a failure is made small before it is shown, which takes minutes
async def test_service_and_model_agree_whatever_happens_in_whatever_order(api: Api) -> None:
    await play(lambda run: Machine(api, run), examples=15)
