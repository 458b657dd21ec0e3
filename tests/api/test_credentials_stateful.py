"""Any order of calls: the service against a plain model of its credential changes.

Two accounts with two credentials each and any number of sessions start, prove, propose, mistype, wait, cancel, undo,
log out and run into each other, while the clock moves. After each call the service shows what the model expects.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

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

from app.core import masking
from app.core.clock import now
from tests.support.api import Api, empty, frozen, undo, wrong
from tests.support.stateful import Run, play

FLOW, PROOF, CODE, HOLD, WAIT, UNDO = (timedelta(minutes=m) for m in (30, 10, 10, 24 * 60, 72 * 60, 72 * 60))
CODE_TRIES, FLOW_TRIES, SENDS = 5, 10, 5
STEPS = ("verify_current", "propose", "verify_new")
OPEN = (*STEPS, "waiting")
CREDENTIALS = ("email", "phone")
SHOWN = ("id", "state", "tries_left", "new_value")
FREE = {
    "email": ("free1@one.example", "free2@two.example"),
    "phone": ("+8613900139001", "+8613900139002"),
}


@dataclass(eq=False)
class Session:
    owner: int
    auth: dict[str, str]
    id: str
    lives: bool = True


@dataclass(eq=False)
class Flow:
    """A credential change as the model has it."""

    owner: int
    session: Session
    credential: str
    proof: str
    old: str
    sent_to: str
    created: datetime
    expires: datetime
    code_expires: datetime
    id: str = ""
    code: str = ""
    token: str | None = None
    state: str = "verify_current"
    new: str | None = None
    proven: datetime | None = None
    effective: datetime | None = None
    completed: datetime | None = None
    code_tries: int = 0
    tries: int = 0
    sends: int = 1

    @property
    def ends(self) -> datetime:
        return self.created + FLOW

    @property
    def tries_left(self) -> int | None:
        asking = self.state in ("verify_current", "verify_new")
        return max(0, min(CODE_TRIES - self.code_tries, FLOW_TRIES - self.tries)) if asking else None

    def is_over(self, at: datetime) -> bool:
        return self.state in STEPS and (self.expires <= at or self.tries >= FLOW_TRIES)

    def shown(self, at: datetime) -> dict[str, Any]:
        return {
            "id": self.id,
            "state": "expired" if self.is_over(at) else self.state,
            "tries_left": self.tries_left,
            "new_value": masking.contact(self.new),
        }


@dataclass
class Model:
    """The rules, and nothing of how they are carried out. Each act gives `ok` or the code of its refusal."""

    values: list[dict[str, str]]
    flows: list[Flow] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)

    def start(self, flow: Flow) -> str:
        if not flow.session.lives:
            return "session_ended"
        siblings = [one for one in self.flows if (one.owner, one.credential) == (flow.owner, flow.credential)]
        if any(one.completed and one.state == "completed" and one.completed + HOLD > now() for one in siblings):
            return "change_held"
        if any(one.state in OPEN and not one.is_over(now()) for one in siblings):
            return "change_open"
        for dead in siblings:
            dead.state = "cancelled" if dead.state in OPEN else dead.state
        self.flows.append(flow)
        return "ok"

    def guess(self, by: Session, flow: Flow, state: str, *, right: bool) -> str:
        if refused := self._refused(by, flow, state):
            return refused
        if flow.code_expires <= now():
            return "code_expired"
        if not flow.tries_left:
            return "too_many_tries"
        flow.code_tries, flow.tries = flow.code_tries + 1, flow.tries + 1
        if not right:
            return "wrong_code"
        return self._prove(flow) if state == "verify_current" else self._confirm(flow)

    def propose(self, by: Session, flow: Flow, value: str) -> str:
        if refused := self._refused(by, flow, "propose", "verify_new"):
            return refused
        if flow.is_over(now()):
            return "change_expired"
        if value == self.values[flow.owner][flow.credential]:
            return "validation_failed"
        if flow.proven is None or flow.proven + PROOF <= now():
            return "change_expired"
        if flow.sends >= SENDS:
            return "too_many_sends"
        flow.state, flow.new, flow.sent_to, flow.expires = "verify_new", value, value, flow.ends
        self._sent(flow)
        return "ok"

    def resend(self, by: Session, flow: Flow) -> str:
        if refused := self._refused(by, flow, "verify_current", "verify_new"):
            return refused
        if flow.is_over(now()):
            return "change_expired"
        if flow.sends >= SENDS:
            return "too_many_sends"
        self._sent(flow)
        return "ok"

    def cancel(self, by: Session, flow: Flow) -> str:
        if refused := self._hidden(by, flow):
            return refused
        if flow.state not in OPEN:
            return "wrong_state"
        flow.state = "cancelled"
        return "ok"

    def end(self, by: Session, which: Session) -> str:
        if not by.lives:
            return "session_ended"
        if not which.lives or which.owner != by.owner:
            return "not_found"
        self._end([which], also=STEPS if which is by else OPEN)
        return "ok"

    def apply_due(self) -> list[Flow]:
        """Those that took effect."""
        due = [one for one in self.flows if one.state == "waiting" and one.effective and one.effective <= now()]
        for flow in sorted(due, key=lambda one: one.effective or now()):
            if flow.state == "waiting":
                if self._is_taken(flow):
                    flow.state = "cancelled"
                else:
                    self._complete(flow)
        return [flow for flow in due if flow.state == "completed"]

    def undo(self, flow: Flow) -> str:
        if flow.state == "waiting" and flow.effective and flow.effective > now():
            flow.state = "cancelled"
            self._end([flow.session], also=OPEN)
            return "ok"
        if flow.state != "completed" or flow.token is None or flow.completed is None or flow.completed + UNDO <= now():
            return "reversal_expired"
        if any(values[flow.credential] == flow.old for values in self._others(flow)):
            return f"{flow.credential}_taken"
        self.values[flow.owner][flow.credential] = flow.old
        for later in self.flows:
            if (later.owner, later.credential) == (flow.owner, flow.credential) and later.completed:
                later.token = later.token if later.completed < flow.completed else None
        flow.state = "undone"
        self._shut(flow.owner, keep=None)
        return "ok"

    def _prove(self, flow: Flow) -> str:
        flow.tries -= 1  # a right one costs nothing
        flow.state, flow.proven, flow.expires = "propose", now(), min(flow.ends, now() + PROOF)
        return "ok"

    def _confirm(self, flow: Flow) -> str:
        if self._is_taken(flow):
            assert flow.proven
            flow.state, flow.new, flow.expires = "propose", None, min(flow.ends, flow.proven + PROOF)
            return f"{flow.credential}_taken"
        flow.tries -= 1
        if flow.proof == "other":
            flow.state, flow.effective = "waiting", now() + WAIT
        else:
            self._complete(flow)
        return "ok"

    def _complete(self, flow: Flow) -> None:
        assert flow.new
        self.values[flow.owner][flow.credential] = flow.new
        flow.state, flow.completed = "completed", now()
        self._shut(flow.owner, keep=flow.session)

    def _shut(self, owner: int, *, keep: Session | None) -> None:
        self._end([one for one in self.sessions if one.owner == owner and one is not keep], also=OPEN)
        for flow in self.flows:
            if flow.owner == owner and flow.state in OPEN:
                flow.state = "cancelled"

    def _end(self, sessions: list[Session], *, also: tuple[str, ...]) -> None:
        """End those that live, and with them the flows that they started, where they are in one of the states."""
        for session in [one for one in sessions if one.lives]:
            session.lives = False
            for flow in self.flows:
                if flow.session is session and flow.state in also:
                    flow.state = "cancelled"

    def _sent(self, flow: Flow) -> None:
        flow.sends, flow.code_tries, flow.code_expires = flow.sends + 1, 0, min(now() + CODE, flow.ends)

    def _is_taken(self, flow: Flow) -> bool:
        return any(values[flow.credential] == flow.new for values in self._others(flow))

    def _others(self, flow: Flow) -> list[dict[str, str]]:
        return [values for owner, values in enumerate(self.values) if owner != flow.owner]

    def _hidden(self, by: Session, flow: Flow) -> str | None:
        if not by.lives:
            return "session_ended"
        return "not_found" if by.owner != flow.owner else None

    def _refused(self, by: Session, flow: Flow, *states: str) -> str | None:
        if hidden := self._hidden(by, flow):
            return hidden
        if flow.state not in states:
            return "wrong_state"
        if flow.session is not by:
            return "other_session"
        return "change_expired" if flow.expires <= now() else None


T = TypeVar("T")
PICK = st.integers(0, 11)  # of a list, round and round; 0 is the newest

CHANGE: dict[str, st.SearchStrategy[Any]] = {
    "by": PICK,
    "credential": st.sampled_from(CREDENTIALS),
    "proof": st.sampled_from(("current", "current", "other")),
    "steps": st.integers(0, 3),
    "choice": PICK,
}


def pick(number: int, *lists: list[T]) -> T:
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
        self.model = Model(values=[])
        self.usernames: list[str] = []

    def teardown(self) -> None:
        self._frozen.__exit__(None, None, None)

    @initialize(changes=st.lists(st.fixed_dictionaries(CHANGE), min_size=1, max_size=3))
    def two_accounts(self, changes: list[dict[str, Any]]) -> None:
        self.run(empty(self.api))
        self.api.notifier.sent.clear()
        for owner, phone in enumerate(("+8613800138001", "+8613800138002")):
            email = f"home{owner}@home{owner}.example"
            holder = self.run(self.api.register(phone=phone, email=email))
            self.usernames.append(holder.username)
            self.model.values.append({"email": email, "phone": phone})
            self.model.sessions.append(Session(owner, holder.auth, holder.session_id))
        for change in changes:
            self._start(**change)

    @precondition(lambda self: len(self._living()) < 5)
    @rule(owner=st.integers(0, 1))
    def log_in(self, owner: int) -> None:
        self.clock.shift(1)
        client, values = self.api.client, self.model.values[owner]
        asked = self.run(client.post("/v1/login-codes", json={"identifier": self.usernames[owner]}))
        code = self.run(self.api.code(values["email"]))
        body = {"method": "code", "challenge_id": asked.json()["challenge_id"], "code": code}
        entered = self.run(client.post("/v1/sessions", json=body)).json()
        session = Session(owner, {"Authorization": f"Bearer {entered['access_token']}"}, entered["session_id"])
        self.model.sessions.append(session)

    @rule(change=st.fixed_dictionaries(CHANGE))
    def start(self, change: dict[str, Any]) -> None:
        self._start(**change)

    @precondition(lambda self: self.model.flows)
    @rule(which=PICK, steps=st.integers(1, 3), choice=PICK)
    def go_on(self, which: int, steps: int, choice: int) -> None:
        """The next right steps, by the session that started it."""
        flow = self._flow(which)
        for _ in range(steps):
            self._step(flow.session, flow, flow.state, right=True, choice=choice)

    @precondition(lambda self: self.model.flows)
    @rule(which=PICK, times=st.integers(1, 6), sends=st.integers(0, 1))
    def mistype(self, which: int, times: int, sends: int) -> None:
        flow = self._flow(which)
        for _ in range(times):
            self._step(flow.session, flow, flow.state, right=False, choice=0)
        for _ in range(sends):
            self._resend(flow.session, flow)

    @precondition(lambda self: self.model.flows)
    @rule(by=PICK, which=PICK, state=st.sampled_from(STEPS), choice=PICK)
    def step_out_of_turn(self, by: int, which: int, state: str, choice: int) -> None:
        self._step(self._session(by), self._flow(which), state, right=True, choice=choice)

    @precondition(lambda self: self.model.flows)
    @rule(by=PICK, which=PICK)
    def send_again(self, by: int, which: int) -> None:
        flow = self._flow(which)
        self._resend(flow.session if by % 2 else self._session(by), flow)

    @precondition(lambda self: self.model.flows)
    @rule(by=PICK, which=PICK)
    def cancel(self, by: int, which: int) -> None:
        self.clock.shift(1)
        session, flow = self._session(by), self._flow(which)
        assert outcome(self._call("DELETE", url(flow), session)) == self.model.cancel(session, flow)

    @precondition(lambda self: len(self._living()) > 2)
    @rule(by=PICK, which=PICK)
    def end_session(self, by: int, which: int) -> None:
        self.clock.shift(1)
        session, other = self._session(by), self._session(which)
        answer = self._call("DELETE", f"/v1/sessions/{other.id}", session)
        assert outcome(answer) == self.model.end(session, other)

    @precondition(lambda self: self.model.flows)
    @rule(minutes=st.sampled_from((1, 4, 9, 10, 21, 30, 24 * 60, 72 * 60)))
    def time_passes(self, minutes: int) -> None:
        self.clock.shift(timedelta(minutes=minutes))

    @precondition(lambda self: any(flow.state == "waiting" for flow in self.model.flows))
    @rule(later=st.booleans())
    def the_worker_comes(self, later: bool) -> None:
        self.clock.shift(WAIT if later else timedelta(seconds=1))
        self.run(self.api.container.waiting.apply_due())
        for flow in self.model.apply_due():
            flow.token = self.run(self.api.token(flow.old))

    @precondition(lambda self: any(flow.token for flow in self.model.flows))
    @rule(which=PICK)
    def undo(self, which: int) -> None:
        self.clock.shift(1)
        flow = pick(which, [flow for flow in self.model.flows if flow.token])
        token = flow.token or ""
        assert outcome(self.run(undo(self.api, token))) == self.model.undo(flow)

    @invariant()
    def service_shows_what_the_model_says(self) -> None:
        for owner, values in enumerate(self.model.values):
            mine = [session for session in self.model.sessions if session.owner == owner]
            watcher = next((session for session in mine if session.lives), None)
            if watcher is not None:
                account = self._call("GET", "/v1/account", watcher).json()
                assert [account[name] for name in CREDENTIALS] == [
                    masking.contact(values[name]) for name in CREDENTIALS
                ]
                self._compare_flows(watcher, account["credential_changes"])

    def _compare_flows(self, watcher: Session, shown: list[dict[str, Any]]) -> None:
        at = now()
        mine = [flow for flow in self.model.flows if flow.owner == watcher.owner]
        listed = [{name: one[name] for name in SHOWN} for one in shown]
        still_open = [flow for flow in mine if flow.state in OPEN and not flow.is_over(at)]
        assert listed == [flow.shown(at) for flow in still_open]
        for flow in (one for one in mine if one not in still_open):
            one = self._call("GET", url(flow), watcher).json()
            assert {name: one[name] for name in SHOWN} == flow.shown(at)

    def _start(self, by: int, credential: str, proof: str, steps: int, choice: int) -> None:
        """Start a flow and take its next steps."""
        self.clock.shift(1)
        session = self._session(by)
        values, at = self.model.values[session.owner], now()
        other = "phone" if credential == "email" else "email"
        flow = Flow(
            owner=session.owner,
            session=session,
            credential=credential,
            proof=proof,
            old=values[credential],
            sent_to=values[credential if proof == "current" else other],
            created=at,
            expires=at + FLOW,
            code_expires=at + CODE,
        )
        asked = {"credential": credential, "proof": proof}
        answer = self._call("POST", "/v1/account/credential-changes", session, asked)
        expected = self.model.start(flow)
        assert outcome(answer) == expected
        if expected == "ok":
            flow.id, flow.code = answer.json()["id"], self.run(self.api.code(flow.sent_to))
            for _ in range(steps):
                self._step(session, flow, flow.state, right=True, choice=choice)

    def _step(self, by: Session, flow: Flow, state: str, *, right: bool, choice: int) -> None:
        """Take the step that belongs to a state; in any other state, the last one."""
        self.clock.shift(1)
        if state == "propose":
            value = pick(choice, [*(values[flow.credential] for values in self.model.values), *FREE[flow.credential]])
            answer = self._call("PUT", f"{url(flow)}/new-value", by, {"value": value})
            expected = self.model.propose(by, flow, value)
        else:
            state = "verify_current" if state == "verify_current" else "verify_new"
            step = "verify-current" if state == "verify_current" else "confirm"
            code = flow.code if right else wrong(flow.code)
            answer = self._call("POST", f"{url(flow)}/{step}", by, {"code": code})
            expected = self.model.guess(by, flow, state, right=right)
        assert outcome(answer) == expected
        if expected == "ok" and flow.state == "verify_new":
            flow.code = self.run(self.api.code(flow.sent_to))
        if expected == "ok" and flow.state in ("waiting", "completed"):
            flow.token = self.run(self.api.token(flow.old))

    def _resend(self, by: Session, flow: Flow) -> None:
        self.clock.shift(1)
        answer = self._call("POST", f"{url(flow)}/resend", by)
        assert outcome(answer) == self.model.resend(by, flow)
        if answer.is_success:
            flow.code = self.run(self.api.code(flow.sent_to))

    def _living(self) -> list[Session]:
        return [session for session in self.model.sessions if session.lives]

    def _session(self, number: int) -> Session:
        """Mostly one that lives."""
        return pick(number, self._living() if number < 10 else [], self.model.sessions)

    def _flow(self, number: int) -> Flow:
        """Mostly one that is open."""
        still_open = [flow for flow in self.model.flows if flow.state in OPEN]
        return pick(number, still_open if number < 10 else [], self.model.flows)

    def _call(self, method: str, path: str, by: Session, body: dict[str, str] | None = None) -> httpx.Response:
        answer: httpx.Response = self.run(self.api.client.request(method, path, json=body, headers=by.auth))
        return answer


def url(flow: Flow) -> str:
    return f"/v1/account/credential-changes/{flow.id}"


def outcome(answer: httpx.Response) -> str:
    return "ok" if answer.is_success else str(answer.json()["code"])


@pytest.mark.settings(
    access_token_seconds=10**9,
    session_idle_days=1000,
    session_max_days=1000,
    daily_tries=10**6,
    daily_sends_per_target=10**6,
    hourly_sms_per_ip=10**6,
)
@pytest.mark.timeout(900)  # a failure is made small before it is shown, which takes minutes
async def test_service_and_model_agree_whatever_happens_in_whatever_order(api: Api) -> None:
    await play(lambda run: Machine(api, run), examples=30)
