"""What paid for a workspace, now and at any past instant: as the settlement service asks, and as its holder sees it."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import time_machine

from app.core import ids
from app.core.clock import now
from app.core.scopes import Scope
from tests.support.api import Api, Holder, refusal, statements
from tests.support.clouds import (
    ASKED,
    MARKETPLACES,
    alibaba,
    alibaba_account,
    bind,
    choose,
    get,
    history,
    huawei_account,
    huawei_tells,
    paid_by,
    workspace,
)
from tests.support.services import ServiceClient, client

pytestmark = pytest.mark.settings(
    **MARKETPLACES, **ASKED, access_token_seconds=10**8, session_idle_days=1000, session_max_days=1000
)
BEGIN = datetime(2032, 11, 2, 4, tzinfo=UTC)
HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)


def shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def looked_up(service: ServiceClient, *workspace_ids: str, at: datetime | None = None) -> list[Any]:
    """For each that was asked for its settlement, or None."""
    body = {"workspace_ids": workspace_ids, **({"at": at.isoformat()} if at is not None else {})}
    answer = await service.post("/settlements/lookup", body)
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert [one["workspace_id"] for one in items] == list(workspace_ids)
    assert all(one["found"] is (one["settlement"] is not None) for one in items)
    return [one["settlement"] for one in items]


async def causing(service: ServiceClient, workspace_id: str, at: datetime | None = None) -> tuple[Any, ...] | None:
    """Method, lock and span; None when nothing paid. Both ways of asking say the same."""
    (found,) = await looked_up(service, workspace_id, at=at)
    if found is None:
        params = {"at": at.isoformat()} if at is not None else {}
        assert refusal(await service.get(f"/workspaces/{workspace_id}/settlement", **params)) == (404, "not_found")
        return None
    assert found == await paid_by(service, workspace_id, at)
    return found["method"], found["locked"], found["effective_from"], found["effective_to"]


# --- At an instant --------------------------------------------------------------------------------------------------


async def test_every_past_instant_has_the_span_that_it_lies_in_and_its_ends_are_half_open(api: Api) -> None:
    """Bound an hour after it became known, locked an hour later, unlocked and dissolved an hour later each."""
    with time_machine.travel(BEGIN, tick=False) as clock:
        holder, service = await api.register(), await client(api)
        cloud_account = await huawei_account(api, holder)
        workspace_id = await workspace(service, holder, site="cn4")
        clock.shift(HOUR)
        assert (await bind(api, holder, cloud_account, workspace_id)).status_code == 200
        clock.shift(HOUR)
        await huawei_tells(api, "releaseInstance")
        clock.shift(HOUR)
        assert (await choose(api, holder, workspace_id, None)).status_code == 200
        clock.shift(HOUR)
        await service.call("DELETE", f"/workspaces/{workspace_id}")
        clock.shift(HOUR)

        spans = [
            ("billing_center", False),
            ("cloud_account", False),
            ("cloud_account", True),
            ("billing_center", False),
        ]
        for number, (method, locked) in enumerate(spans):
            begins, ends = BEGIN + number * HOUR, BEGIN + (number + 1) * HOUR
            expected = (method, locked, shown(begins), shown(ends))
            for moment in (begins, begins + TICK, begins + HOUR / 2, ends - TICK):
                assert await causing(service, workspace_id, moment) == expected
        for outside in (BEGIN - timedelta(days=5000), BEGIN - TICK, BEGIN + 4 * HOUR, BEGIN + 5 * HOUR, None):
            assert await causing(service, workspace_id, outside) is None
        recorded = await history(api, holder, workspace_id)
        assert [one["cause"] for one in recorded] == ["created", "chosen", "locked", "unlocked"]
        assert [(one["effective_from"], one["effective_to"]) for one in recorded] == [
            (shown(BEGIN + number * HOUR), shown(BEGIN + (number + 1) * HOUR)) for number in range(4)
        ]


async def test_a_record_is_found_at_the_very_instant_that_it_is_said_to_begin(api: Api) -> None:
    """While the clock runs on between milliseconds: what is told can be asked for again."""
    holder, service = await api.register(), await client(api)
    workspace_id = await workspace(service, holder)
    cloud_account = await alibaba_account(api, holder)
    assert (await choose(api, holder, workspace_id, cloud_account)).status_code == 200
    await alibaba(api, "releaseInstance", instanceId="122000001")

    for span in await history(api, holder, workspace_id):
        begins = datetime.fromisoformat(span["effective_from"])
        paid = await paid_by(service, workspace_id, begins)
        assert (paid["method"], paid["effective_from"]) == (span["method"], span["effective_from"])
    await service.call("DELETE", f"/workspaces/{workspace_id}")
    gone = datetime.fromisoformat((await history(api, holder, workspace_id))[-1]["effective_to"])
    assert await causing(service, workspace_id, gone) is None
    assert await causing(service, workspace_id, gone - TICK) is not None


async def test_the_settlement_service_is_told_all_that_it_bills_by(api: Api) -> None:
    with time_machine.travel(BEGIN, tick=False):
        holder, service = await api.register(), await client(api)
        workspace_id = await workspace(service, holder)
        cloud_account = await alibaba_account(api, holder)
        assert await paid_by(service, workspace_id) == {
            "workspace_id": workspace_id,
            "account_id": holder.account_id,
            "site": "cn1",
            "method": "billing_center",
            "provider": None,
            "cloud_account": None,
            "locked": False,
            "effective_from": shown(BEGIN),
            "effective_to": None,
        }
        with time_machine.travel(BEGIN + HOUR, tick=False):
            assert (await choose(api, holder, workspace_id, cloud_account)).status_code == 200
            paid = await paid_by(service, workspace_id)

    assert paid["provider"] == "alibaba"
    assert paid["cloud_account"] == {
        "id": cloud_account,
        "provider": "alibaba",
        "account_id": "1234567890123456",
        "instance_id": "122000001",
        "product": "cmgj00053362",
        "status": "active",
    }


async def test_an_instant_is_the_same_in_any_time_zone(api: Api) -> None:
    with time_machine.travel(BEGIN, tick=False) as clock:
        holder, service = await api.register(), await client(api)
        workspace_id = await workspace(service, holder)
        clock.shift(HOUR)
        far_west, far_east = timezone(timedelta(hours=-11)), timezone(timedelta(hours=14))

        for zone in (far_west, far_east):
            assert await causing(service, workspace_id, BEGIN.astimezone(zone)) is not None
            assert await causing(service, workspace_id, (BEGIN - TICK).astimezone(zone)) is None


async def test_the_future_is_not_told(api: Api) -> None:
    with time_machine.travel(BEGIN, tick=False):
        holder, service = await api.register(), await client(api)
        workspace_id = await workspace(service, holder)
        assert await causing(service, workspace_id, BEGIN) is not None  # now is past enough
        later = (BEGIN + TICK).isoformat()

        one = await service.get(f"/workspaces/{workspace_id}/settlement", at=later)
        many = await service.post("/settlements/lookup", {"workspace_ids": [workspace_id], "at": later})

    for answer, pointer in ((one, "at"), (many, "/at")):
        assert refusal(answer) == (422, "validation_failed")
        assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [(pointer, "future_instant")]


@pytest.mark.parametrize("wrong", ["2032-11-02", "2032-11-02T04:00:00", "1700000000", "yesterday", ""])
async def test_an_instant_without_a_time_or_a_zone_is_refused(api: Api, wrong: str) -> None:
    service = await client(api)

    answers = [
        await service.get("/workspaces/wksp_8f2c1d/settlement", at=wrong),
        await service.post("/settlements/lookup", {"workspace_ids": ["wksp_8f2c1d"], "at": wrong}),
    ]

    assert [refusal(answer) for answer in answers] == [(422, "validation_failed")] * 2


async def test_now_is_what_is_current_though_the_clock_that_made_it_was_ahead(api: Api) -> None:
    """Instances' clocks differ by some seconds: what one has done, the other knows at once."""
    with time_machine.travel(BEGIN, tick=False) as clock:
        holder, service = await api.register(), await client(api)
        cloud_account = await alibaba_account(api, holder)
        clock.shift(5)
        workspace_id = await workspace(service, holder)
        clock.shift(1)
        assert (await choose(api, holder, workspace_id, cloud_account)).status_code == 200
        clock.move_to(BEGIN)

        begins, ends = shown(BEGIN + timedelta(seconds=6)), None
        assert await causing(service, workspace_id) == ("cloud_account", False, begins, ends)
        await service.call("DELETE", f"/workspaces/{workspace_id}")
        assert await causing(service, workspace_id) is None
        recorded = await history(api, holder, workspace_id)
        assert recorded[-1]["effective_to"] == begins  # and not before it began


# --- Many -----------------------------------------------------------------------------------------------------------


async def test_a_thousand_workspaces_are_looked_up_in_one_statement_in_the_order_asked(api: Api) -> None:
    holder, service = await api.register(), await client(api)
    known = [await workspace(service, holder) for _ in range(3)]
    cloud_account = await alibaba_account(api, holder)
    await bind(api, holder, cloud_account, known[1])
    before = now()
    await service.call("DELETE", f"/workspaces/{known[2]}")
    asked = [known[0], "wksp_nobodys", known[1], known[0], known[2]] * 200

    for at, dissolved in ((None, None), (before, "billing_center")):
        with statements(api) as seen:
            found = await looked_up(service, *asked, at=at)

        assert [one and one["method"] for one in found] == [
            "billing_center",
            None,
            "cloud_account",
            "billing_center",
            dissolved,
        ] * 200
        assert len(seen) == 1


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [([], "/workspace_ids"), (["wksp_1"] * 1001, "/workspace_ids"), (["w" * 65], "/workspace_ids/0")],
    ids=["none", "too many", "too long"],
)
async def test_how_many_are_asked_for_and_how_long_their_names_are_is_limited(
    api: Api, asked: list[str], pointer: str
) -> None:
    service = await client(api)

    answer = await service.post("/settlements/lookup", {"workspace_ids": asked})

    assert refusal(answer) == (422, "validation_failed")
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]


async def test_what_is_asked_for_by_names_that_no_workspace_can_have_is_not_found(api: Api) -> None:
    assert await looked_up(await client(api), "", "生产环境", "wksp_' OR 1=1 --") == [None, None, None]


# --- Who may ask ----------------------------------------------------------------------------------------------------


async def both(service: ServiceClient) -> list[tuple[int, str]]:
    """How the two ways of asking are refused."""
    one = await service.get("/workspaces/wksp_8f2c1d/settlement")
    many = await service.post("/settlements/lookup", {"workspace_ids": ["wksp_8f2c1d"]})
    return [refusal(one), refusal(many)]


async def test_asking_needs_its_scope(api: Api) -> None:
    scopes = [scope for scope in Scope if scope is not Scope.SETTLEMENTS]

    assert await both(await client(api, *scopes)) == [(403, "insufficient_scope")] * 2
    allowed = await client(api, Scope.SETTLEMENTS)
    assert await looked_up(allowed, "wksp_8f2c1d") == [None]


async def test_a_client_that_was_disabled_is_told_nothing_from_then_on(api: Api) -> None:
    service = await client(api, Scope.SETTLEMENTS)
    found = ids.read(ids.CLIENT, service.client_id)
    assert found is not None

    await api.container.clients.disable(client_id=found)

    assert await both(service) == [(401, "client_disabled")] * 2


# --- Lists ----------------------------------------------------------------------------------------------------------


async def pages(api: Api, holder: Holder, path: str, limit: int) -> list[dict[str, Any]]:
    """All that a list shows, page after page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await get(api, holder, path, limit=limit, **cursor)
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        assert len(page["items"]) == limit
        cursor = {"cursor": page["next_cursor"]}


async def test_workspaces_are_listed_page_after_page_each_once_and_dissolved_ones_are_not(api: Api) -> None:
    holder, other, service = await api.register(), await api.register(), await client(api)
    named = ["wksp_a1", "wksp_B2", "wksp_b3", "wksp_A4", "wksp_9", "wksp_10", "wksp_z"]
    for workspace_id in named:
        body = {"account_id": holder.account_id, "site": "cn1", "name": "Production"}
        assert (await service.put(f"/workspaces/{workspace_id}", body)).status_code == 201
    await workspace(service, other)
    await service.call("DELETE", "/workspaces/wksp_z")

    whole = [one["id"] for one in await pages(api, holder, "/workspaces", 100)]

    assert sorted(whole) == sorted(named[:-1])
    for limit in (1, 2, 3, 6):
        assert [one["id"] for one in await pages(api, holder, "/workspaces", limit)] == whole


async def test_the_history_is_listed_page_after_page_the_newest_first_without_gaps(api: Api) -> None:
    with time_machine.travel(datetime(2032, 1, 15, tzinfo=UTC), tick=False) as clock:
        holder, service = await api.register(), await client(api)
        workspace_id = await workspace(service, holder)
        for number in range(3):
            clock.shift(timedelta(days=31))
            cloud_account = await alibaba_account(api, holder, instance=f"12200000{number}")
            assert (await choose(api, holder, workspace_id, cloud_account)).status_code == 200
            clock.shift(60)
            await alibaba(api, "releaseInstance", instanceId=f"12200000{number}")
        path = f"/workspaces/{workspace_id}/settlement-history"
        whole = await pages(api, holder, path, 100)

        assert [one["cause"] for one in whole] == ["fell_back", "chosen"] * 3 + ["created"]
        assert [one["effective_from"] for one in whole[:-1]] == [one["effective_to"] for one in whole[1:]]
        assert whole[0]["effective_to"] is None
        assert whole[1]["account_id"] == "********3456"
        for limit in (1, 2, 3, 7):
            assert await pages(api, holder, path, limit) == whole

        clock.shift(60)
        await service.call("DELETE", f"/workspaces/{workspace_id}")
        (newest, *_) = await pages(api, holder, path, 100)
        assert newest["effective_to"] == "2032-04-17T00:04:00.000Z"


@pytest.mark.parametrize("path", ["/workspaces", "/workspaces/{}/settlement-history"])
async def test_a_cursor_of_another_account_or_list_is_refused(api: Api, path: str) -> None:
    holder, other, service = await api.register(), await api.register(), await client(api)
    workspace_id, _ = [await workspace(service, holder) for _ in range(2)]
    foreign = [await workspace(service, other) for _ in range(2)]
    cursor = (await get(api, other, "/workspaces", limit=1))["next_cursor"]
    assert len(foreign) == 2

    url = f"/v1/account{path.format(workspace_id)}"
    answer = await api.client.get(url, params={"cursor": cursor}, headers=holder.auth)

    assert refusal(answer) == (422, "validation_failed")
