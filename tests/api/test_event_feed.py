"""The feed: its order, its pages, reading it again, and cursors that are none."""

from typing import Any

import pytest

from app.core.scopes import Scope
from tests.support.api import Api, refusal, running
from tests.support.services import ServiceClient, client, feed


async def read(service: ServiceClient, **params: Any) -> dict[str, Any]:
    answer = await service.get("/events", **params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_events_can_be_read_again_from_any_cursor(api: Api) -> None:
    service = await client(api, Scope.EVENTS)
    holders = [await api.register() for _ in range(5)]
    pages = [await read(service, limit=1)]
    for _ in holders:
        pages.append(await read(service, limit=1, after=pages[-1]["next_cursor"]))
    for number in range(3):
        body = {"company_name": f"Northwind {number}"}
        await api.client.patch("/v1/account/profile", json=body, headers={**holders[0].auth, "If-Match": "*"})

    everything = await feed(service)

    assert [event["subject"] for event in everything[:5]] == [holder.account_id for holder in holders]
    assert [page["items"] for page in pages] == [[event] for event in everything[:5]] + [[]]
    for number, page in enumerate(pages[:-1], start=1):
        assert await feed(service, page["next_cursor"]) == everything[number:]
    assert await feed(service, pages[-1]["next_cursor"]) == everything[5:]


async def test_an_empty_page_says_where_to_go_on(api: Api) -> None:
    service = await client(api, Scope.EVENTS)
    beginning = await read(service)
    assert beginning["items"] == []

    again = await read(service, after=beginning["next_cursor"])
    assert again == beginning
    holder = await api.register()

    (event,) = await feed(service, again["next_cursor"])
    assert event["subject"] == holder.account_id


async def test_a_page_holds_as_many_as_were_asked_for(api: Api) -> None:
    service = await client(api)
    for number in range(102):
        body = {"username": f"acme{number}", "email": f"acme{number}@example.com", "company_name": "Northwind Trading"}
        answer = await service.post("/accounts", body)
        assert answer.status_code == 201, answer.text

    assert [len((await read(service, **limit))["items"]) for limit in ({}, {"limit": 7}, {"limit": 1000})] == [
        100,
        7,
        102,
    ]


@pytest.mark.parametrize("limit", [0, -1, 1001, "many"])
async def test_a_limit_out_of_bounds_is_refused(api: Api, limit: object) -> None:
    answer = await (await client(api, Scope.EVENTS)).get("/events", limit=limit)

    assert refusal(answer) == (422, "validation_failed")
    assert [one["pointer"] for one in answer.json()["errors"]] == ["limit"]


async def foreign_cursors(api: Api, service: ServiceClient) -> list[str]:
    """Of other lists, of other deployments, altered, and no cursors at all."""
    holder = await api.register()
    mine = str((await read(service))["next_cursor"])
    await api.log_in(holder)
    sessions = await api.client.get("/v1/account/activity?limit=1", headers=holder.auth)
    trail = await service.get(f"/accounts/{holder.account_id}/activity", limit=1)
    async with running(api.settings.database_url.get_secret_value(), secret_key="elsewhere" * 4) as other:
        theirs = str((await read(await client(other)))["next_cursor"])
    altered = [mine[:place] + ("A" if mine[place] != "A" else "B") + mine[place + 1 :] for place in range(len(mine))]
    garbage = ["", " ", "0", "1", mine[:-1], mine + "A", mine + "=", "ü", "\x00", "A" * 100, mine[:11]]
    return [sessions.json()["next_cursor"], trail.json()["next_cursor"], theirs, *altered, *garbage]


async def test_a_cursor_from_elsewhere_is_refused(api: Api) -> None:
    service = await client(api)

    for cursor in await foreign_cursors(api, service):
        answer = await service.get("/events", after=cursor)
        assert refusal(answer) == (422, "validation_failed"), (cursor, answer.text)
        assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [("after", "invalid_cursor")]
