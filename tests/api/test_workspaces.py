"""Workspaces: which account pays for each, by the word of the workspace service."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.core import ids
from app.core.clock import now
from tests.support.api import Api, frozen, refusal
from tests.support.changes import shown, suspend
from tests.support.services import ServiceClient, client, feed

Json = dict[str, Any]
WORKSPACE = "wksp_8f2c1d"


async def put(service: ServiceClient, payer: str, workspace: str = WORKSPACE, **changes: Any) -> httpx.Response:
    body = {"account_id": payer, "site": "cn1", "name": "Production", **changes}
    return await service.put(f"/workspaces/{workspace}", body)


async def dissolve(service: ServiceClient, workspace: str = WORKSPACE) -> httpx.Response:
    return await service.call("DELETE", f"/workspaces/{workspace}")


async def test_a_new_workspace_is_made_known(api: Api) -> None:
    with frozen():
        holder, studio = await api.register(), await client(api)

        answer = await put(studio, holder.account_id, name=" 生产环境 ")

        assert (answer.status_code, answer.json()) == (
            201,
            {
                "id": WORKSPACE,
                "account_id": holder.account_id,
                "site": "cn1",
                "name": "生产环境",
                "created_at": shown(now()),
                "dissolved_at": None,
            },
        )


async def test_the_same_again_changes_nothing(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    first = (await put(studio, holder.account_id)).json()

    again = await put(studio, holder.account_id)

    assert (again.status_code, again.json()) == (200, first)


async def test_another_name_renames_it(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    first = (await put(studio, holder.account_id)).json()

    renamed = await put(studio, holder.account_id, name="Staging")

    assert (renamed.status_code, renamed.json()) == (200, first | {"name": "Staging"})


async def test_neither_its_account_nor_its_site_can_be_changed(api: Api) -> None:
    holder, other, studio = await api.register(), await api.register(), await client(api)
    first = (await put(studio, holder.account_id)).json()

    assert refusal(await put(studio, other.account_id)) == (409, "workspace_elsewhere")
    assert refusal(await put(studio, holder.account_id, site="us1", name="Else")) == (409, "workspace_elsewhere")
    assert (await put(studio, holder.account_id)).json() == first


async def test_dissolving_is_final_and_again_changes_nothing(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    await put(studio, holder.account_id)

    assert [(await dissolve(studio)).status_code for _ in range(2)] == [204, 204]

    assert refusal(await put(studio, holder.account_id)) == (409, "workspace_dissolved")
    assert refusal(await put(studio, holder.account_id, name="Else")) == (409, "workspace_dissolved")


async def test_a_workspace_that_nobody_knows_cannot_be_dissolved(api: Api) -> None:
    assert refusal(await dissolve(await client(api))) == (404, "not_found")


@pytest.mark.parametrize(
    ("wrong", "pointer", "code"),
    [
        ({"site": "xx1"}, "/site", "unknown_site"),
        ({"site": "CN1"}, "/site", "string_pattern_mismatch"),
        ({"site": ""}, "/site", "string_pattern_mismatch"),
        ({"account_id": "acnt_1"}, "/account_id", "invalid_id"),
        ({"name": " "}, "/name", "string_too_short"),
        ({"name": "n" * 129}, "/name", "string_too_long"),
        ({"name": "a\0b"}, "/name", "forbidden_character"),
        ({"owner": "li"}, "/owner", "extra_forbidden"),
    ],
)
async def test_what_cannot_be_right_is_named(api: Api, wrong: Json, pointer: str, code: str) -> None:
    holder, studio = await api.register(), await client(api)

    answer = await put(studio, holder.account_id, **wrong)

    assert refusal(answer) == (422, "validation_failed")
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [(pointer, code)]


@pytest.mark.parametrize("workspace", ["8f2c1d", "wksp_", "wksp_" + "x" * 49, "wksp_ü", "acnt_" + "0" * 32])
async def test_an_id_that_no_workspace_has_is_refused(api: Api, workspace: str) -> None:
    holder, studio = await api.register(), await client(api)

    assert refusal(await put(studio, holder.account_id, workspace)) == (422, "validation_failed")


async def test_an_account_that_nobody_has_pays_for_nothing(api: Api) -> None:
    studio = await client(api)

    assert refusal(await put(studio, ids.show(ids.ACCOUNT, ids.new()))) == (404, "not_found")


async def test_a_closed_account_pays_for_nothing(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    await put(studio, holder.account_id)
    await dissolve(studio)
    assert (await api.client.post("/v1/account/closure", headers=holder.auth)).status_code == 204

    for workspace in (WORKSPACE, "wksp_new"):
        assert refusal(await put(studio, holder.account_id, workspace)) == (409, "account_closed")


async def test_a_suspended_account_still_pays(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    await suspend(api)

    assert (await put(studio, holder.account_id)).status_code == 201


@pytest.mark.parametrize("site", ["cn1", "cn2", "cn4", "cn6", "us1", "eu1", "ap1", "za1", "id1"])
async def test_every_site_of_guance_has_workspaces(api: Api, site: str) -> None:
    holder, studio = await api.register(), await client(api)

    assert (await put(studio, holder.account_id, site=site)).json()["site"] == site


async def test_a_workspace_is_no_business_of_the_feed(api: Api) -> None:
    """No event is promised for it: a reader sees the account's own alone."""
    with frozen() as clock:
        holder, studio = await api.register(), await client(api)
        await put(studio, holder.account_id)
        clock.shift(timedelta(seconds=1))
        await dissolve(studio)

        assert [event["type"] for event in await feed(studio)] == ["account.created"]


async def test_a_new_workspace_is_paid_for_by_the_billing_center_from_its_first_instant(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    made = (await put(studio, holder.account_id)).json()

    paid = (await studio.get(f"/workspaces/{WORKSPACE}/settlement", at=made["created_at"])).json()

    assert (paid["account_id"], paid["method"], paid["locked"]) == (holder.account_id, "billing_center", False)
    assert (paid["effective_from"], paid["effective_to"]) == (made["created_at"], None)


async def test_a_renamed_workspace_settles_as_before(api: Api) -> None:
    holder, studio = await api.register(), await client(api)
    await put(studio, holder.account_id)
    before = (await studio.get(f"/workspaces/{WORKSPACE}/settlement")).json()
    await put(studio, holder.account_id, name="Staging")

    assert (await studio.get(f"/workspaces/{WORKSPACE}/settlement")).json() == before


@pytest.mark.parametrize("odd", ["", "\0", "a\0b", "\u202e", "生产", " ", "%00", "'; --", "wksp_nobody", "x" * 64])
async def test_what_is_no_workspaces_id_is_not_found_and_spoils_no_look_up(api: Api, odd: str) -> None:
    holder, studio = await api.register(), await client(api)
    await put(studio, holder.account_id)

    answer = await studio.post("/settlements/lookup", {"workspace_ids": [odd, WORKSPACE, odd]})

    assert answer.status_code == 200, answer.text
    assert [(one["workspace_id"], one["found"]) for one in answer.json()["items"]] == [
        (odd, False),
        (WORKSPACE, True),
        (odd, False),
    ]
