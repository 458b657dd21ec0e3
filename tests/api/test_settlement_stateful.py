"""Any order of calls: the service against a plain model of how workspaces settle.

Two accounts buy on two marketplaces and choose for workspaces on several sites; providers freeze, unfreeze and release;
staff allow arbitrary settlement; workspaces are dissolved; days and months pass. After each call everybody is told what
the model expects: holders how their workspaces settle and why not otherwise, the settlement service what paid at any
past instant, and the feed what happened to each workspace and cloud account, once and in order.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

import httpx
import pytest
import respx
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from app.core.clock import now
from app.models.events import Event
from tests.support.api import Api, Holder, empty, frozen
from tests.support.clouds import (
    ASKED,
    MARKETPLACES,
    alibaba,
    alibaba_bought,
    bind,
    choose,
    get,
    history,
    huawei_account,
    huawei_tells,
    options,
    typed,
    workspace,
)
from tests.support.services import ServiceClient, client, staff
from tests.support.stateful import Run, play

CLOUDS = {"cn1": "alibaba", "cn6": "alibaba", "cn4": "huawei", "za1": "huawei", "us1": "aws"}
BUYERS = {
    "alibaba": ("1234567890123456", "6543210987654321"),
    "huawei": ("459bbbec25d24749b2eb83be37b602a8", "0123456789abcdef0123456789abcdef"),
}
OWNERS = range(2)
COUNTDOWN = timedelta(days=14)
SHANGHAI = timedelta(hours=8)
MOST = 6  # workspaces, and cloud accounts
LATE = st.sampled_from((None, None, -1, 0))
PICK = st.integers(0, 11)  # of a list, round and round; 0 is the newest


@dataclass(eq=False)
class Subscription:
    """A cloud account as the model has it."""

    owner: int
    provider: str
    buyer: int
    id: str = ""
    status: str = "active"
    told: list[tuple[str, ...]] = field(default_factory=lambda: [("activated",)])


@dataclass(frozen=True)
class Record:
    start: datetime
    by: Subscription | None
    cause: str
    lock_ends: datetime | None = None


@dataclass(eq=False)
class Space:
    """A workspace as the model has it."""

    owner: int
    site: str
    records: list[Record]
    id: str = ""
    dissolved: datetime | None = None
    told: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def current(self) -> Record:
        return self.records[-1]

    def at(self, moment: datetime) -> Record | None:
        """What paid then: the last record that had begun."""
        if self.dissolved is not None and moment >= self.dissolved:
            return None
        return next((one for one in reversed(self.records) if one.start <= moment), None)

    def end(self, record: Record) -> datetime | None:
        later = [one.start for one in self.records if one.start > record.start]
        return later[0] if later else self.dissolved


@dataclass
class Model:
    """The rules, and nothing of how they are carried out."""

    spaces: list[Space] = field(default_factory=list)
    subscriptions: list[Subscription] = field(default_factory=list)
    arbitrary: set[int] = field(default_factory=set)

    def against(self, space: Space, wanted: Subscription | None) -> list[str]:
        current, codes = space.current, []
        locked = current.lock_ends is not None
        if wanted is current.by and not locked and space.dissolved is None:
            return []
        if space.dissolved is not None:
            codes.append("workspace_dissolved")
        if current.lock_ends is not None and now() >= current.lock_ends:
            codes.append("lock_is_over")
        if wanted is not None and wanted.status != "active":
            codes.append("cloud_account_not_active")
        if wanted is not None and wanted.provider != CLOUDS[space.site] and space.owner not in self.arbitrary:
            codes.append("cloud_of_another_site")
        if current.by is not None and current.by.status != "ended" and not locked:
            codes.append("stays_until_cloud_account_ends")
        chosen = [one.start + SHANGHAI for one in space.records if one.cause == "chosen"]
        today = now() + SHANGHAI
        if chosen and not locked and (chosen[-1].year, chosen[-1].month) == (today.year, today.month):
            codes.append("changed_this_month")
        return codes

    def bind(self, spaces: list[Space], wanted: Subscription | None, owner: int) -> dict[str, list[str]]:
        """What is against it; all of them settle so when that is nothing."""
        codes = {
            space.id: self.against(space, wanted) if space.owner == owner else ["workspace_unknown"] for space in spaces
        }
        refusals = {name: reasons for name, reasons in codes.items() if reasons}
        for space in dict.fromkeys(spaces):
            if not refusals and (space.current.by is not wanted or space.current.lock_ends is not None):
                self._move(space, wanted, "unlocked" if space.current.lock_ends is not None else "chosen")
        return refusals

    def subscribe(self, new: Subscription) -> None:
        self.subscriptions.append(new)
        for space in self._locked():
            by = space.current.by
            same = by is not None and (by.owner, by.provider, by.buyer) == (new.owner, new.provider, new.buyer)
            if same:
                self._move(space, None, "resubscribed")

    def freeze(self, which: Subscription) -> None:
        if which.status == "active":
            which.status = "frozen"
            which.told.append(("frozen",))
            self._stop(which)

    def unfreeze(self, which: Subscription) -> None:
        if which.status == "frozen":
            which.status = "active"
            which.told.append(("unfrozen",))
            for space in self._locked():
                if space.current.by is which:
                    self._move(space, which, "resumed")

    def release(self, which: Subscription) -> None:
        if which.status != "ended":
            was_active = which.status == "active"
            which.status = "ended"
            which.told.append(("closed",))
            if was_active:
                self._stop(which)

    def _stop(self, which: Subscription) -> None:
        for space in self.spaces:
            if space.current.by is which and space.dissolved is None and space.current.lock_ends is None:
                if which.provider == "alibaba":
                    self._move(space, None, "fell_back")
                else:
                    space.records.append(Record(now(), which, "locked", now() + COUNTDOWN))
                    space.told.append(("lock_requested",))

    def _locked(self) -> list[Space]:
        """Those that can still be unlocked."""
        return [
            space
            for space in self.spaces
            if space.dissolved is None and space.current.lock_ends is not None and now() < space.current.lock_ends
        ]

    def _move(self, space: Space, way: Subscription | None, cause: str) -> None:
        before = space.current
        space.records.append(Record(now(), way, cause))
        if before.by is not way:
            space.told.append(("settlement_changed", cause))
        if before.lock_ends is not None:
            space.told.append(("unlock_requested",))


def shown(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z") if moment is not None else None


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
        self.steps = 0

    def teardown(self) -> None:
        try:
            for space in self.model.spaces:
                self.run(self._assert_shown(space))
        finally:
            self._frozen.__exit__(None, None, None)

    @initialize()
    def two_accounts(self) -> None:
        self.run(empty(self.api))
        self.begin = now()
        self.holders = [self.run(self.api.register()) for _ in OWNERS]
        self.desk = self.run(client(self.api))
        for provider in BUYERS:
            self._subscribe(0, provider, 0)
        for site in ("cn1", "cn4", "za1"):
            self._make(0, site)
        self._bind(self.model.spaces[1:], self.model.subscriptions[1])

    @precondition(lambda self: len(self.model.spaces) < MOST)
    @rule(owner=st.sampled_from((0, 0, 1)), site=st.sampled_from(tuple(CLOUDS)))
    def make(self, owner: int, site: str) -> None:
        self._make(owner, site)

    @precondition(lambda self: len(self.model.subscriptions) < MOST)
    @rule(owner=st.sampled_from((0, 0, 1)), provider=st.sampled_from(tuple(BUYERS)), buyer=st.sampled_from((0, 0, 1)))
    def subscribe(self, owner: int, provider: str, buyer: int) -> None:
        self._subscribe(owner, provider, buyer)

    @rule(which=PICK, what=st.sampled_from(("freeze", "release", "freeze", "release", "unfreeze")))
    def provider_says(self, which: int, what: str) -> None:
        pays = [space.current.by for space in self._living() if space.current.by and not space.current.lock_ends]
        self._tell(pays[which % len(pays)] if pays and which < 10 else self._subscription(which), what)

    @rule(which=PICK, wanted=st.none() | PICK, late=LATE, stranger=st.sampled_from((0, 0, 0, 1)))
    def choose(self, which: int, wanted: int | None, late: int | None, stranger: int) -> None:
        space = self._locked_one(which, late)[0] if self._locked() and which < 9 else self._space(which)
        self._choose(space, wanted, (space.owner + stranger) % len(OWNERS))

    @precondition(lambda self: self._locked() and len(self.model.subscriptions) < 2 * MOST)
    @rule(which=PICK, late=LATE)
    def subscribe_again(self, which: int, late: int | None) -> None:
        _, by = self._locked_one(which, late)
        self._subscribe(by.owner, by.provider, by.buyer)

    @precondition(lambda self: self._locked())
    @rule(which=PICK, late=LATE)
    def unfreeze(self, which: int, late: int | None) -> None:
        self._tell(self._locked_one(which, late)[1], "unfreeze")

    @rule(some=st.lists(PICK, min_size=1, max_size=4), wanted=PICK)
    def bind(self, some: list[int], wanted: int) -> None:
        self._bind([self._space(one) for one in some], self._subscription(wanted))

    @rule(wanted=PICK)
    def bind_what_can_be_bound(self, wanted: int) -> None:
        """So that many workspaces are bound, and the others of them have something to be."""
        way = self._subscription(wanted)
        spaces = [one for one in self.model.spaces if one.owner == way.owner and not self.model.against(one, way)]
        if spaces:
            self._bind(spaces, way)

    @rule(passed=st.sampled_from((timedelta(hours=1), timedelta(days=1), COUNTDOWN, timedelta(days=31))))
    def time_passes(self, passed: timedelta) -> None:
        self.clock.shift(passed)

    @precondition(lambda self: len(self._living()) > 2 and self.steps > 9)
    @rule(which=PICK)
    def dissolve(self, which: int) -> None:
        self.clock.shift(1)
        space = self._space(which)
        assert self.run(self.desk.call("DELETE", f"/workspaces/{space.id}")).status_code == 204
        space.dissolved = space.dissolved or now()

    @rule(owner=st.sampled_from(OWNERS), enabled=st.booleans())
    def staff_switch_arbitrary_settlement(self, owner: int, enabled: bool) -> None:
        url = f"/accounts/{self.holders[owner].account_id}/arbitrary-settlement"
        assert self.run(self.desk.put(url, {"enabled": enabled}, headers=staff())).status_code == 200
        (self.model.arbitrary.add if enabled else self.model.arbitrary.discard)(owner)

    @invariant()
    def holders_see_how_their_workspaces_settle(self) -> None:
        if not self.model.spaces:
            return
        self.steps += 1
        space = self.model.spaces[self.steps % len(self.model.spaces)]
        self.run(self._assert_shown(space))
        items = self.run(get(self.api, self.holders[space.owner], "/workspaces", limit=100))["items"]
        mine = [one for one in self._living() if one.owner == space.owner]
        assert {one["id"]: (one["cloud_account_id"], one["lock_ends_at"], one["effective_from"]) for one in items} == {
            one.id: (one.current.by and one.current.by.id, shown(one.current.lock_ends), shown(one.current.start))
            for one in mine
        }

    @invariant()
    def the_settlement_service_is_told_what_paid_at_any_instant(self) -> None:
        if self.model.spaces:
            chance = Random(self.steps)
            starts = [one.start for space in self.model.spaces for one in space.records]
            boundary = chance.choice([*starts, *(one.dissolved for one in self.model.spaces if one.dissolved)])
            anywhere = self.begin + (now() - self.begin) * chance.random()
            self._assert_paid(chance.choice([boundary, boundary - timedelta(microseconds=1), anywhere, None]))

    @invariant()
    def the_feed_has_everything_once_and_in_order(self) -> None:
        told: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for type_, data in self.run(self._events()):
            kind, _, what = type_.partition(".")
            if kind == "workspace":
                told[data["workspace_id"]].append((what, data["cause"]) if "cause" in data else (what,))
            elif kind == "cloud_account":
                told[data["cloud_account_id"]].append((what,))
        known: list[Space | Subscription] = [*self.model.spaces, *self.model.subscriptions]
        assert told == {one.id: one.told for one in known if one.told}

    def _assert_paid(self, moment: datetime | None) -> None:
        body: dict[str, Any] = {"workspace_ids": [one.id for one in self.model.spaces]}
        answer = self.run(self.desk.post("/settlements/lookup", body | ({"at": moment.isoformat()} if moment else {})))
        assert [_paid(one) for one in answer.json()["items"]] == [
            _expected(space, moment or now()) for space in self.model.spaces
        ]

    def _tell(self, which: Subscription, what: str) -> None:
        self.clock.shift(1)
        self.run(self._say(which, what))
        getattr(self.model, what)(which)

    def _bind(self, spaces: list[Space], way: Subscription) -> None:
        self.clock.shift(1)
        answer = self.run(bind(self.api, self.holders[way.owner], way.id, *(space.id for space in spaces)))
        assert outcome(answer) == (self.model.bind(spaces, way, way.owner) or "ok")

    def _choose(self, space: Space, wanted: int | None, by: int) -> None:
        self.clock.shift(1)
        way = self._subscription(wanted) if wanted is not None else None
        answer = self.run(choose(self.api, self.holders[by], space.id, way.id if way else None))
        if by != space.owner or (way is not None and way.owner != by):
            assert outcome(answer) == "not_found"
        else:
            assert outcome(answer) == (self.model.bind([space], way, by) or "ok")

    def _living(self) -> list[Space]:
        return [one for one in self.model.spaces if one.dissolved is None]

    def _locked(self) -> list[Space]:
        return [one for one in self._living() if one.current.lock_ends is not None]

    def _locked_one(self, number: int, late: int | None) -> tuple[Space, Subscription]:
        """A locked workspace, and by what; the next step comes so many seconds behind the end of its countdown."""
        space = self._locked()[number % len(self._locked())]
        by, ends = space.current.by, space.current.lock_ends
        assert by is not None
        assert ends is not None
        if late is not None and ends - timedelta(seconds=5) > now():
            self.clock.move_to(ends + timedelta(seconds=late - 1))
        return space, by

    def _space(self, number: int) -> Space:
        return self.model.spaces[-1 - number % len(self.model.spaces)]

    def _subscription(self, number: int) -> Subscription:
        return self.model.subscriptions[-1 - number % len(self.model.subscriptions)]

    def _make(self, owner: int, site: str) -> None:
        self.clock.shift(1)
        space = Space(owner, site, [Record(now(), None, "created")])
        space.id = self.run(workspace(self.desk, self.holders[owner], site=site))
        self.model.spaces.append(space)

    def _subscribe(self, owner: int, provider: str, buyer: int) -> None:
        self.clock.shift(1)
        new = Subscription(owner, provider, buyer)
        new.id = self.run(self._buy(new, len(self.model.subscriptions)))
        self.model.subscribe(new)

    async def _buy(self, new: Subscription, number: int) -> str:
        holder, buyer = self.holders[new.owner], BUYERS[new.provider][new.buyer]
        if new.provider == "huawei":
            return await huawei_account(self.api, holder, number, buyer=buyer)
        await alibaba_bought(self.api, uid=buyer, instance=f"{number}")
        answer = await typed(self.api, holder, number=buyer, instance=f"{number}")
        return str(answer.json()["id"])

    async def _say(self, which: Subscription, what: str) -> None:
        """By a signed call. Alibaba Cloud is asked when it says again what it has said before, and confirms it."""
        number = self.model.subscriptions.index(which)
        if which.provider == "huawei":
            if what == "release":
                await huawei_tells(self.api, "releaseInstance", number)
            else:
                await huawei_tells(self.api, "updateInstanceStatus", number, status=what.upper())
            return
        action = {"freeze": "expiredInstance", "unfreeze": "renewInstance", "release": "releaseInstance"}[what]
        more = {"orderId": f"{now():%Y%m%d%H%M%S}"} if what == "unfreeze" else {}
        confirmed = {"OrderId": "1", "ProductCode": "1", "Status": "EXPIRED", "OrderStatus": "NORMAL"}
        with respx.mock(assert_all_called=False) as router:
            asked = {"AliUid": BUYERS["alibaba"][which.buyer], "InstanceIds": [f"{number}"]}
            router.post(host="market.aliyuncs.com").respond(json=confirmed | asked)
            answer = await alibaba(self.api, action, instanceId=f"{number}", **more)
        assert answer.json() == {"success": "true"}, answer.text

    async def _assert_shown(self, space: Space) -> None:
        """To its holder: what may be chosen, and how it was."""
        holder = self.holders[space.owner]
        mine = [one for one in self.model.subscriptions if one.owner == space.owner]
        assert await options(self.api, holder, space.id) == {
            one.id if one else None: self.model.against(space, one) for one in (None, *mine)
        }
        assert [
            (one["cloud_account_id"], one["cause"], one["lock_ends_at"], one["effective_from"], one["effective_to"])
            for one in await history(self.api, holder, space.id)
        ] == [
            (one.by and one.by.id, one.cause, shown(one.lock_ends), shown(one.start), shown(space.end(one)))
            for one in space.records
        ]

    async def _events(self) -> list[Any]:
        async with self.api.container.engine.connect() as connection:
            return list(await connection.execute(select(Event.type, Event.data).order_by(Event.written)))


def _paid(item: dict[str, Any]) -> tuple[Any, ...] | None:
    paid = item["settlement"]
    if paid is None:
        return None
    by = paid["cloud_account"] and paid["cloud_account"]["id"]
    return by, paid["locked"], paid["effective_from"], paid["effective_to"]


def _expected(space: Space, moment: datetime) -> tuple[Any, ...] | None:
    record = space.at(moment)
    if record is None:
        return None
    return record.by and record.by.id, record.lock_ends is not None, shown(record.start), shown(space.end(record))


def outcome(answer: httpx.Response) -> Any:
    """`ok`, a code, or the codes against each workspace."""
    if answer.is_success:
        return "ok"
    said = answer.json()
    if said["code"] != "settlement_refused":
        return said["code"]
    return {one["workspace_id"]: [reason["code"] for reason in one["reasons"]] for one in said["refusals"]}


@pytest.mark.settings(
    **MARKETPLACES,
    **ASKED,
    access_token_seconds=10**9,
    session_idle_days=10_000,
    session_max_days=10_000,
)
@pytest.mark.timeout(900)  # a failure is made small before it is shown, which takes minutes
async def test_service_and_model_agree_whatever_happens_in_whatever_order(api: Api) -> None:
    await play(lambda run: Machine(api, run), examples=15)
