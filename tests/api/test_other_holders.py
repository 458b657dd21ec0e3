"""Nobody reaches what belongs to another account: every operation with an id, called with the ids of somebody else."""

import re
from typing import Any

import httpx
import pytest

from app.main import documents
from tests.api.test_service_tokens import HOLDERS, Operation
from tests.support.api import Api, Holder
from tests.support.clouds import ALIBABA_KEY, alibaba_account, workspace
from tests.support.real_names import enterprise, submitted
from tests.support.services import client

WITH_ID = re.compile(r"\b(sess|cchg|rnam|clda|wksp)_[0-9a-zA-Z_]+")
pytestmark = pytest.mark.settings(alibaba_marketplace_key=ALIBABA_KEY)


async def belongings(api: Api, holder: Holder) -> dict[str, str]:
    """One of each kind of thing that an account has, by the prefix of its id."""
    change = (await api.start(holder)).json()["id"]
    submission = await submitted(api, holder, enterprise())
    return {
        "sess": holder.session_id,
        "cchg": change,
        "rnam": submission,
        "clda": await alibaba_account(api, holder),
        "wksp": await workspace(await client(api), holder),
    }


def aimed(operation: Operation, ids: dict[str, str]) -> str:
    """The operation's path with one of the ids."""
    return WITH_ID.sub(lambda found: ids[found[1]], operation.path)


def owned() -> list[Operation]:
    return [operation for operation in HOLDERS if WITH_ID.search(operation.path)]


async def call(api: Api, operation: Operation, path: str, holder: Holder) -> httpx.Response:
    headers = operation.headers | holder.auth
    return await api.client.request(operation.method, path, headers=headers, json=operation.body)


async def state(api: Api, holder: Holder, ids: dict[str, str]) -> list[Any]:
    """Everything of the holder's that an operation could have changed."""
    paths = ["", "/profile", "/credential-changes", "/real-name", "/cloud-accounts", "/workspaces"]
    answers = [await api.client.get(f"/v1/account{path}", headers=holder.auth) for path in paths]
    answers.append(await api.client.get("/v1/sessions", headers=holder.auth))
    assert {answer.status_code for answer in answers} == {200}
    assert all(any(one in answer.text for answer in answers) for one in ids.values())
    return [answer.json() for answer in answers]


async def test_what_belongs_to_another_account_is_not_there_on_any_operation(api: Api) -> None:
    owner, stranger = await api.register(), await api.register()
    ids = await belongings(api, owner)
    before = await state(api, owner, ids)
    answers = {one.name: await call(api, one, aimed(one, ids), stranger) for one in owned()}

    refused = {name: (answer.status_code, answer.json()["code"]) for name, answer in answers.items()}
    assert refused == dict.fromkeys(answers, (404, "not_found"))
    assert await state(api, owner, ids) == before


async def test_the_walk_meets_every_operation_that_takes_an_id_of_a_holder(api: Api) -> None:
    """And the owner is not told that there is nothing: the ids are right."""
    templates = {
        item["operationId"]
        for path, methods in documents()["public"]["paths"].items()
        for item in methods.values()
        if "{id}" in path and item.get("security", [{}])[0]
    }
    assert {operation.name for operation in owned()} == templates

    owner = await api.register()
    ids = await belongings(api, owner)
    harmless = [one for one in owned() if one.method == "GET"]
    answers = {one.name: await call(api, one, aimed(one, ids), owner) for one in harmless}
    assert {answer.status_code for answer in answers.values()} == {200}


@pytest.mark.parametrize(
    "member", ["account_id", "id", "status", "password_hash", "real_name_status", "arbitrary_settlement"]
)
async def test_no_body_takes_what_it_was_not_made_for(api: Api, member: str) -> None:
    """Mass assignment: a member that the operation does not have is refused by each, and changes nothing."""
    holder = await api.register()
    shown = await api.client.get("/v1/account", headers=holder.auth)
    for operation in HOLDERS:
        if operation.body is None or member in operation.body:
            continue
        body = operation.body | {member: "acnt_" + "0" * 32}
        headers = operation.headers | holder.auth
        answer = await api.client.request(operation.method, operation.path, headers=headers, json=body)
        assert answer.status_code in (404, 410, 422), (operation.name, answer.text)
    assert (await api.client.get("/v1/account", headers=holder.auth)).json() == shown.json()
