"""`Idempotency-Key`: the same request again gets the same answer, and takes effect once."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
import time_machine
from sqlalchemy import func, select, update

from app.core.clock import now
from app.core.crypto import digest
from app.core.errors import Busy, DatabaseUnavailable
from app.models.idempotency import IdempotentAnswer
from tests.support.api import PASSWORD, Api, Holder
from tests.support.clouds import ALIBABA_KEY, alibaba, alibaba_bought, alibaba_lands, bind, claim_of, settled, workspace
from tests.support.services import client

Json = dict[str, Any]
KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


def registration(**changes: str) -> Json:
    body = {"username": "acme", "email": "li.lei@example.com", "company_name": "Acme", "password": PASSWORD}
    return body | changes


async def register(api: Api, *, key: str = KEY, **changes: str) -> httpx.Response:
    body = registration(**changes)
    return await api.client.post("/v1/registrations", json=body, headers={"Idempotency-Key": key})


async def ask_code(api: Api, identifier: str, *, key: str = KEY) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return await api.client.post("/v1/login-codes", json={"identifier": identifier}, headers=headers)


async def start_change(api: Api, holder: Holder, *, key: str = KEY) -> httpx.Response:
    headers = {**holder.auth, "Idempotency-Key": key}
    return await api.client.post("/v1/account/credential-changes", json={"credential": "email"}, headers=headers)


async def leave_running(api: Api, until: timedelta) -> None:
    """As if who computes the answers were not done yet; `until` is when they are taken for dead."""
    claim = {"status": None, "headers": None, "body": None, "locked_until": now() + until}
    async with api.container.engine.begin() as connection:
        await connection.execute(update(IdempotentAnswer).values(claim))


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_the_same_request_again_gets_the_same_answer_and_one_message_is_sent(api: Api) -> None:
    first, again = await register(api), await register(api)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(await api.messages("li.lei@example.com")) == 1


async def test_without_a_key_the_request_takes_effect_again(api: Api) -> None:
    for _ in range(2):
        assert (await api.client.post("/v1/registrations", json=registration())).status_code == 202
    assert len(await api.messages("li.lei@example.com")) == 2


async def test_another_key_takes_effect_again(api: Api) -> None:
    assert (await register(api)).json()["id"] != (await register(api, key="another")).json()["id"]


async def test_the_key_with_another_body_is_refused(api: Api) -> None:
    await register(api)
    assert code_of(await register(api, company_name="Other")) == (422, "idempotency_key_reused")


async def test_the_key_on_another_path_is_refused(api: Api) -> None:
    sent = (await register(api)).json()
    elsewhere = await api.client.post(f"/v1/registrations/{sent['id']}/resend", headers={"Idempotency-Key": KEY})
    assert code_of(elsewhere) == (422, "idempotency_key_reused")


async def test_a_refusal_is_replayed_too(api: Api) -> None:
    holder = await api.register()
    assert (await start_change(api, holder, key="first")).status_code == 201
    refused = await start_change(api, holder)
    assert code_of(refused) == (409, "change_open")
    [change] = (await api.client.get("/v1/account/credential-changes", headers=holder.auth)).json()["items"]
    await api.client.delete(f"/v1/account/credential-changes/{change['id']}", headers=holder.auth)
    again = await start_change(api, holder)
    assert (again.content, again.headers["Idempotency-Replayed"]) == (refused.content, "true")


async def test_what_could_not_be_read_is_not_kept(api: Api) -> None:
    assert (await register(api, username="?")).status_code == 422
    assert (await register(api)).status_code == 202


async def test_while_the_first_is_running_the_second_is_told_so(api: Api) -> None:
    await register(api)
    await leave_running(api, timedelta(seconds=1))
    assert code_of(await register(api)) == (409, "request_running")
    assert code_of(await register(api, company_name="Other")) == (422, "idempotency_key_reused")


async def test_the_key_of_a_request_that_died_can_be_used_again(api: Api) -> None:
    first = await register(api)
    await leave_running(api, timedelta(0))
    again = await register(api)
    assert again.status_code == 202
    assert "Idempotency-Replayed" not in again.headers
    assert again.json()["id"] != first.json()["id"]
    assert (await register(api)).content == again.content


async def test_the_key_of_a_request_that_died_stays_with_its_body(api: Api) -> None:
    await register(api)
    await leave_running(api, timedelta(0))
    assert code_of(await register(api, company_name="Other")) == (422, "idempotency_key_reused")


async def test_many_at_once_take_effect_once(pg_api: Api) -> None:
    answers = await asyncio.gather(*(register(pg_api) for _ in range(6)))
    done = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert len(done) == 1
    assert {code_of(answer) for answer in answers if answer.status_code != 202} <= {(409, "request_running")}
    assert len(await pg_api.messages("li.lei@example.com")) == 1


async def test_accounts_do_not_share_keys(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    first, second = await start_change(api, holder), await start_change(api, other)
    assert [first.status_code, second.status_code] == [201, 201]
    assert first.json()["id"] != second.json()["id"]
    assert (await ask_code(api, holder.username)).status_code == 202


async def test_nothing_is_replayed_on_an_ended_session(api: Api) -> None:
    holder = await api.register()
    await start_change(api, holder)
    await api.client.delete("/v1/sessions/current", headers=holder.auth)
    assert code_of(await start_change(api, holder)) == (401, "session_ended")


async def test_another_session_of_the_account_gets_the_replay(api: Api) -> None:
    holder = await api.register()
    other = await api.log_in(holder)
    first = await start_change(api, holder)
    assert (await start_change(api, other)).content == first.content


@pytest.mark.settings(code_resend_seconds=60)
async def test_a_refusal_for_being_too_early_is_not_kept(api: Api) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        assert (await ask_code(api, "nobody", key="first")).status_code == 202
        assert code_of(await ask_code(api, "nobody")) == (429, "resend_too_soon")
    with time_machine.travel(start + timedelta(seconds=60), tick=False):
        assert (await ask_code(api, "nobody")).status_code == 202


@pytest.mark.parametrize("failure", [DatabaseUnavailable, Busy, RuntimeError])
async def test_a_breakdown_is_not_kept(api: Api, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]) -> None:
    async def break_down(**_: object) -> None:
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(api.container.sessions, "request_code", break_down)
        assert (await ask_code(api, "nobody")).status_code in {500, 503}
    assert (await ask_code(api, "nobody")).status_code == 202


async def test_answers_are_kept_for_a_day(api: Api) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        first = await ask_code(api, "nobody")
    with time_machine.travel(start + timedelta(hours=24, seconds=-1), tick=False):
        assert (await ask_code(api, "nobody")).content == first.content
    with time_machine.travel(start + timedelta(hours=24), tick=False):
        later = await ask_code(api, "nobody")
    assert "Idempotency-Replayed" not in later.headers
    assert later.json()["challenge_id"] != first.json()["challenge_id"]


async def test_a_day_later_the_key_may_name_another_request(api: Api) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        await ask_code(api, "nobody")
    with time_machine.travel(start + timedelta(hours=24), tick=False):
        assert (await ask_code(api, "somebody")).status_code == 202


@pytest.mark.parametrize("key", [b"", b"a b", b"x" * 256, b"\xe9", b"a\tb"])
async def test_an_odd_key_is_refused(api: Api, key: bytes) -> None:
    headers = {b"Idempotency-Key": key, b"Content-Type": b"application/json"}
    refused = await api.client.post("/v1/login-codes", content=b'{"identifier": "nobody"}', headers=headers)
    assert code_of(refused) == (422, "validation_failed")
    assert [problem["pointer"] for problem in refused.json()["errors"]] == ["Idempotency-Key"]


# Cloud accounts: what is replayed is what was answered, though things have moved on.

on_alibaba: pytest.MarkDecorator = pytest.mark.settings(alibaba_marketplace_key=ALIBABA_KEY)


async def add_cloud_account(api: Api, holder: Holder) -> httpx.Response:
    body = {"provider": "alibaba", "account_id": "1234567890123456", "instance_id": "122000001"}
    headers = {**holder.auth, "Idempotency-Key": KEY}
    return await api.client.post("/v1/account/cloud-accounts", json=body, headers=headers)


@on_alibaba
async def test_a_cloud_account_is_added_once_and_answered_as_it_was(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    await alibaba_bought(api)
    first = await add_cloud_account(api, holder)
    await alibaba(api, "releaseInstance", instanceId="122000001", isRefund="false")
    again = await add_cloud_account(api, holder)

    assert (first.status_code, first.json()["status"]) == (201, "active")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert code_of(await add_cloud_account(api, other)) == (409, "cloud_account_ended")
    assert len([one for one in await api.messages(holder.email) if one.template == "cloud_account_added"]) == 1


@on_alibaba
async def test_bindings_are_made_once_and_not_again_after_the_holder_lost_them(api: Api) -> None:
    holder = await api.register()
    await alibaba_bought(api)
    cloud_account = (await add_cloud_account(api, holder)).json()["id"]
    workspace_id = await workspace(await client(api), holder)
    url, body = f"/v1/account/cloud-accounts/{cloud_account}/bindings", {"workspace_ids": [workspace_id]}
    headers = {**holder.auth, "Idempotency-Key": "bind"}
    first = await api.client.post(url, json=body, headers=headers)
    await alibaba(api, "expiredInstance", instanceId="122000001")
    again = await api.client.post(url, json=body, headers=headers)

    assert first.status_code == 200
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert (await settled(api, holder, workspace_id))["method"] == "billing_center"
    assert code_of(await bind(api, holder, cloud_account, workspace_id)) == (409, "settlement_refused")


@on_alibaba
async def test_a_claim_is_taken_once_by_whom_it_was_taken(api: Api) -> None:
    holder, other = await api.register(), await api.register()
    token = claim_of(await alibaba_lands(api, await alibaba_bought(api)))

    async def accept(who: Holder) -> httpx.Response:
        headers = {**who.auth, "Idempotency-Key": KEY}
        return await api.client.post(f"/v1/marketplace-claims/{token}/accept", headers=headers)

    first, again, others = await accept(holder), await accept(holder), await accept(other)

    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.status_code == 200
    assert again.headers["Idempotency-Replayed"] == "true"
    assert code_of(others) == (410, "claim_gone")


async def test_keys_are_kept_as_hashes_and_only_for_requests_that_bring_one(api: Api) -> None:
    await ask_code(api, "nobody")
    await api.client.post("/v1/login-codes", json={"identifier": "nobody"})
    async with api.container.engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(IdempotentAnswer)) == 1
        [key] = await connection.scalars(select(IdempotentAnswer.key))
    assert len(key) == 32
    assert KEY.encode() not in key


async def test_body_cannot_be_guessed_from_what_is_kept(api: Api) -> None:
    """Bodies hold passwords and codes: a plain hash of one beside its other members could be tried out quickly."""
    answer = await register(api)
    content = b"\n".join([b"POST", b"/v1/registrations", answer.request.content])
    async with api.container.engine.connect() as connection:
        [fingerprint] = await connection.scalars(select(IdempotentAnswer.fingerprint))
    assert fingerprint not in {digest(content), digest(answer.request.content)}


def test_no_answer_with_tokens_is_ever_kept(pg_api: Api) -> None:
    """A kept answer lies in the database in the clear for a day."""
    for path, item in pg_api.app.openapi()["paths"].items():
        for operation in item.values():
            takes_key = any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", []))
            assert not (takes_key and "SessionOut" in str(operation["responses"])), path
