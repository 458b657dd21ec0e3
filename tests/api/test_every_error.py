"""Every code of a failure, provoked through HTTP; and each answer is documented for its operation."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import httpx
import pytest
import time_machine
from sqlalchemy import event, text, update
from starlette.routing import compile_path

from app.core.clock import now
from app.core.errors import every_kind
from app.core.scopes import Scope
from app.main import documents
from app.models.accounts import Account, Status
from tests.support.api import PASSWORD, Api, Holder, frozen, renewed, running
from tests.support.clouds import (
    ALIBABA_KEY,
    alibaba,
    alibaba_account,
    alibaba_bought,
    bind,
    typed,
    workspace,
)
from tests.support.services import client, staff

NEW = "another long passphrase"
PHONE, OTHER_PHONE = "+8613800138000", "+8613900139000"
NOTHING = "0" * 32
SLOW_HASH = {"argon2_memory_kib": 32_768, "argon2_time": 3, "hash_queue": 1}
# Answers to paths and methods that there are none of, and so no operation that could tell of them.
NO_OPERATION = {"method_not_allowed"}
COMMAND_LINE = {"name_taken", "too_many_secrets"}  # told there: tests/test_clients_command.py

Provoke = Callable[[Api], Awaitable[httpx.Response]]
ROWS: dict[str, tuple[Provoke, dict[str, Any]]] = {}


def provokes(code: str, **settings: Any) -> Callable[[Provoke], Provoke]:
    """A row of the table: how to get this answer, of a service with these settings."""

    def add(row: Provoke) -> Provoke:
        ROWS[code] = row, settings
        return row

    return add


async def post(api: Api, url: str, holder: Holder | None = None, **body: Any) -> httpx.Response:
    return await api.client.post(url, json=body, headers=holder.auth if holder else None)


async def get(api: Api, url: str, holder: Holder | None = None) -> httpx.Response:
    return await api.client.get(url, headers=holder.auth if holder else None)


async def log_in(api: Api, identifier: str, password: str = "a guess") -> httpx.Response:
    return await post(api, "/v1/sessions", method="password", identifier=identifier, password=password)


async def ask_login_code(api: Api, identifier: str = "nobody") -> httpx.Response:
    return await post(api, "/v1/login-codes", identifier=identifier)


async def enter(api: Api, asked: httpx.Response, code: str) -> httpx.Response:
    challenge_id = asked.json()["challenge_id"]
    return await post(api, "/v1/sessions", method="code", challenge_id=challenge_id, code=code)


async def register(api: Api, **members: Any) -> httpx.Response:
    body = {"username": "li.lei", "email": "li.lei@example.com", "company_name": "Contoso", **members}
    return await post(api, "/v1/registrations", **body)


async def confirm(api: Api, registration: str, code: str) -> httpx.Response:
    return await post(api, f"/v1/registrations/{registration}/confirm", code=code)


async def change_password(api: Api, holder: Holder, current: str = PASSWORD, new: str = NEW) -> httpx.Response:
    body = {"current_password": current, "new_password": new}
    return await api.client.put("/v1/account/password", json=body, headers=holder.auth)


async def patch_profile(api: Api, holder: Holder, headers: dict[str, str]) -> httpx.Response:
    body = {"company_name": "Contoso"}
    return await api.client.patch("/v1/account/profile", json=body, headers=holder.auth | headers)


# 400 to 405


@provokes("malformed_body")
async def _(api: Api) -> httpx.Response:
    return await api.client.post("/v1/login-codes", content="{", headers={"Content-Type": "application/json"})


@provokes("unauthenticated")
async def _(api: Api) -> httpx.Response:
    return await get(api, "/v1/account")


@provokes("invalid_token")
async def _(api: Api) -> httpx.Response:
    return await api.client.get("/v1/account/profile", headers={"Authorization": "Bearer of.nothing.good"})


@provokes("session_ended")
async def _(api: Api) -> httpx.Response:
    holder = await api.register()
    await api.client.delete("/v1/sessions/current", headers=holder.auth)
    return await get(api, "/v1/account", holder)


@provokes("invalid_credentials")
async def _(api: Api) -> httpx.Response:
    return await log_in(api, "nobody")


@provokes("invalid_ticket")
async def _(api: Api) -> httpx.Response:
    return await post(api, "/v1/sessions", method="ticket", ticket="x" * 43)


@provokes("invalid_refresh_token")
async def _(api: Api) -> httpx.Response:
    return await post(api, "/v1/sessions/refresh", refresh_token="x" * 75)


@provokes("account_suspended")
async def _(api: Api) -> httpx.Response:
    holder = await api.register()
    async with api.container.engine.begin() as connection:
        await connection.execute(update(Account).values(status=Status.SUSPENDED))
    return await log_in(api, holder.username, PASSWORD)


@provokes("not_found")
async def _(api: Api) -> httpx.Response:
    return await get(api, f"/v1/account/credential-changes/cchg_{NOTHING}", await api.register())


@provokes("method_not_allowed")
async def _(api: Api) -> httpx.Response:
    return await api.client.delete("/v1/login-codes")


# 409


@provokes("username_taken")
async def _(api: Api) -> httpx.Response:
    holder = await api.register()
    return await register(api, username=holder.username)


@provokes("email_taken")
async def _(api: Api) -> httpx.Response:
    """Two who ask for one email before either has proven it."""
    started = [(await register(api, username=name)).json()["id"] for name in ("li.lei", "han.mei")]
    first, second = [one.params["code"] for one in await api.messages("li.lei@example.com")]
    assert (await confirm(api, started[0], first)).status_code == 201
    return await confirm(api, started[1], second)


@provokes("phone_taken")
async def _(api: Api) -> httpx.Response:
    await api.register(phone=PHONE)
    holder = await api.register()
    change = await api.reach_confirm(holder, PHONE, credential="phone", proves=holder.email)
    return await api.step(holder, change, "confirm", {"code": await api.code(PHONE)})


@provokes("code_used")
async def _(api: Api) -> httpx.Response:
    holder = await api.register()
    asked = await ask_login_code(api, holder.email)
    code = await api.code(holder.email)
    await enter(api, asked, code)
    return await enter(api, asked, code)


@provokes("change_open")
async def _(api: Api) -> httpx.Response:
    holder = await api.register()
    await api.start(holder)
    return await api.start(holder)


@provokes("change_held")
async def _(api: Api) -> httpx.Response:
    holder = await api.register()
    await api.change_email(holder, "new@example.org")
    return await api.start(holder)


@provokes("wrong_state")
async def _(api: Api) -> httpx.Response:
    holder = await api.register()
    change = (await api.start(holder)).json()["id"]
    return await api.step(holder, change, "confirm", {"code": "000000"})


@provokes("other_session")
async def _(api: Api) -> httpx.Response:
    holder = await api.register()
    change = (await api.start(holder)).json()["id"]
    return await api.step(await api.log_in(holder), change, "verify-current", {"code": "000000"})


@provokes("credentials_moved")
async def _(api: Api) -> httpx.Response:
    """Another change of the password runs whole while this one hashes."""
    holder, hasher = await api.register(), api.container.hasher
    other, hash_it = await api.log_in(holder), hasher.hash
    with pytest.MonkeyPatch.context() as patch:

        async def overtaken(password: str) -> str:
            patch.setattr(hasher, "hash", hash_it)
            await change_password(api, other, new="the faster passphrase")
            return await hash_it(password)

        patch.setattr(hasher, "hash", overtaken)
        return await change_password(api, holder)


@provokes("no_other_credential")
async def _(api: Api) -> httpx.Response:
    return await api.start(await api.register(), proof="other")


@provokes("password_exists")
async def _(api: Api) -> httpx.Response:
    return await post(api, "/v1/account/password-codes", await api.register(), credential="email")


@provokes("no_password")
async def _(api: Api) -> httpx.Response:
    return await change_password(api, await api.register(password=None))


@provokes("request_running", **SLOW_HASH)
async def _(api: Api) -> httpx.Response:
    body = {"username": "li.lei", "email": "li.lei@example.com", "company_name": "Contoso", "password": PASSWORD}
    headers = {"Idempotency-Key": "one"}
    answers = await asyncio.gather(
        *(api.client.post("/v1/registrations", json=body, headers=headers) for _ in range(2))
    )
    return max(answers, key=lambda answer: answer.status_code)


# 410, 412, 428


@provokes("code_expired")
async def _(api: Api) -> httpx.Response:
    asked = await ask_login_code(api)
    with time_machine.travel(now() + timedelta(minutes=10)):
        return await enter(api, asked, "000000")


@provokes("registration_expired")
async def _(api: Api) -> httpx.Response:
    started = (await register(api)).json()["id"]
    with time_machine.travel(now() + timedelta(minutes=30)):
        return await confirm(api, started, "000000")


@provokes("change_expired", access_token_seconds=3600)
async def _(api: Api) -> httpx.Response:
    holder = await api.register()
    change = (await api.start(holder)).json()["id"]
    with time_machine.travel(now() + timedelta(minutes=31)):
        return await api.step(holder, change, "verify-current", {"code": "000000"})


@provokes("reversal_expired")
async def _(api: Api) -> httpx.Response:
    return await post(api, "/v1/credential-change-reversals", token="x" * 43)


@provokes("precondition_failed")
async def _(api: Api) -> httpx.Response:
    return await patch_profile(api, await api.register(), {"If-Match": '"0"'})


@provokes("precondition_required")
async def _(api: Api) -> httpx.Response:
    return await patch_profile(api, await api.register(), {})


# 408, 413, 415, 422


@provokes("body_too_slow", receive_seconds=1)
async def _(api: Api) -> httpx.Response:
    async def stalling() -> AsyncIterator[bytes]:
        yield b'{"identifier":'
        await asyncio.Event().wait()

    return await api.client.post("/v1/login-codes", content=stalling(), headers={"Content-Type": "application/json"})


@provokes("body_too_large")
async def _(api: Api) -> httpx.Response:
    return await ask_login_code(api, "x" * 65_536)


@provokes("unsupported_media_type")
async def _(api: Api) -> httpx.Response:
    return await api.client.post("/v1/login-codes", content="identifier=nobody", headers={"Content-Type": "text/plain"})


@provokes("validation_failed")
async def _(api: Api) -> httpx.Response:
    return await post(api, "/v1/login-codes", name="nobody")


@provokes("wrong_code")
async def _(api: Api) -> httpx.Response:
    return await enter(api, await ask_login_code(api), "000000")


@provokes("wrong_password")
async def _(api: Api) -> httpx.Response:
    return await change_password(api, await api.register(), current="a guess")


@provokes("password_refused")
async def _(api: Api) -> httpx.Response:
    return await register(api, password="password1")


@provokes("idempotency_key_reused")
async def _(api: Api) -> httpx.Response:
    headers = {"Idempotency-Key": "one"}
    for name in ("nobody", "somebody"):
        answer = await api.client.post("/v1/login-codes", json={"identifier": name}, headers=headers)
    return answer


# 429


@provokes("rate_limited", anonymous_requests_per_minute=1)
async def _(api: Api) -> httpx.Response:
    await get(api, "/v1/usernames/li.lei")
    return await get(api, "/v1/usernames/li.lei")


@provokes("resend_too_soon", code_resend_seconds=60)
async def _(api: Api) -> httpx.Response:
    await ask_login_code(api)
    return await ask_login_code(api)


@provokes("too_many_sends", daily_sends_per_target=1)
async def _(api: Api) -> httpx.Response:
    await ask_login_code(api)
    return await ask_login_code(api)


@provokes("too_many_tries", code_tries=1)
async def _(api: Api) -> httpx.Response:
    asked = await ask_login_code(api)
    await enter(api, asked, "000000")
    return await enter(api, asked, "000000")


@provokes("login_slowed", login_free_failures=1)
async def _(api: Api) -> httpx.Response:
    await log_in(api, "nobody")
    return await log_in(api, "nobody")


# Other services


@provokes("client_disabled")
async def _(api: Api) -> httpx.Response:
    service = await client(api)
    await api.container.clients.disable(client_id=UUID(service.client_id.removeprefix("clnt_")))
    return await service.get("/events")


@provokes("insufficient_scope")
async def _(api: Api) -> httpx.Response:
    return await (await client(api, Scope.ACCOUNTS_READ)).get("/events")


@provokes("account_closed")
async def _(api: Api) -> httpx.Response:
    holder = await api.register()
    await post(api, "/v1/account/closure", holder)
    service = await client(api)
    return await service.call("DELETE", f"/accounts/{holder.account_id}/sessions", headers=staff())


@provokes("reference_taken")
async def _(api: Api) -> httpx.Response:
    service = await client(api)
    for name in ("acme", "another"):
        answer = await service.post("/accounts", new_account(name) | {"reference": "r-1"})
    return answer


@provokes("workspace_elsewhere")
async def _(api: Api) -> httpx.Response:
    service, holders = await client(api), [await api.register(), await api.register()]
    for holder in holders:
        answer = await service.put("/workspaces/wksp_1", workspace_of(holder))
    return answer


@provokes("workspace_dissolved")
async def _(api: Api) -> httpx.Response:
    service, holder = await client(api), await api.register()
    await service.put("/workspaces/wksp_1", workspace_of(holder))
    await service.call("DELETE", "/workspaces/wksp_1")
    return await service.put("/workspaces/wksp_1", workspace_of(holder))


@provokes("closing_refused")
async def _(api: Api) -> httpx.Response:
    service, holder = await client(api), await api.register()
    await service.put("/workspaces/wksp_1", workspace_of(holder))
    return await post(api, "/v1/account/closure", holder)


@provokes("fresh_login_required")
async def _(api: Api) -> httpx.Response:
    with frozen() as clock:
        holder = await api.register()
        clock.shift(timedelta(minutes=11))
        return await post(api, "/v1/account/closure", await renewed(api, holder))


@provokes("too_many_endpoints")
async def _(api: Api) -> httpx.Response:
    service = await client(api)
    for _ in range(21):
        answer = await service.post("/webhook-endpoints", {"url": "https://8.8.8.8/hook"})
    return answer


@provokes("cursor_expired")
async def _(api: Api) -> httpx.Response:
    service = await client(api)
    with frozen() as clock:
        await api.register()
        cursor = (await service.get("/events", limit=1)).json()["next_cursor"]
        await api.register()
        await service.get("/events")
        clock.shift(timedelta(days=91))
        await api.container.runner.upkeep.forget()
        await service.renew()
        return await service.get("/events", after=cursor)


@provokes("submission_pending")
async def _(api: Api) -> httpx.Response:
    holder = await api.register()
    await submit(api, holder)
    return await submit(api, holder)


@provokes("document_used_up", real_name_accounts_per_enterprise=1)
async def _(api: Api) -> httpx.Response:
    await submit(api, await api.register())
    return await submit(api, await api.register())


@provokes("too_many_mismatches", daily_mismatches_per_account=1)
async def _(api: Api) -> httpx.Response:
    holder = await api.register()
    for _ in range(2):
        answer = await submit(api, holder, "Northwind (mismatched)")
        await api.container.real_name_worker.ask_due()
    return answer


@provokes("second_actor_needed")
async def _(api: Api) -> httpx.Response:
    service, holder = await client(api), await api.register()
    submission = (await submit(api, holder, "Northwind (mismatched)")).json()["id"]
    await api.container.real_name_worker.ask_due()
    url = f"/real-name/submissions/{submission}/decision"
    for _ in range(2):
        answer = await service.post(url, {"decision": "approve"}, headers=staff())
    return answer


# Cloud accounts


ALIBABA = {"alibaba_marketplace_key": ALIBABA_KEY}


@provokes("cloud_account_unproven", **ALIBABA)
async def _(api: Api) -> httpx.Response:
    await alibaba_bought(api, uid="1234567890123456", instance="122000001")
    return await typed(api, await api.register(), number="6543210987654321", instance="122000001")


@provokes("cloud_account_ended", **ALIBABA)
async def _(api: Api) -> httpx.Response:
    instance = await alibaba_bought(api)
    await alibaba(api, "releaseInstance", instanceId=instance, isRefund="false")
    return await typed(api, await api.register(), instance=instance)


@provokes("cloud_account_taken", **ALIBABA)
async def _(api: Api) -> httpx.Response:
    await alibaba_account(api, await api.register(), instance="122000001")
    return await typed(api, await api.register(), instance="122000001")


@provokes("settlement_refused", **ALIBABA)
async def _(api: Api) -> httpx.Response:
    holder, service = await api.register(), await client(api)
    elsewhere = await workspace(service, holder, site="us1")
    return await bind(api, holder, await alibaba_account(api, holder), elsewhere)


@provokes("claim_gone")
async def _(api: Api) -> httpx.Response:
    return await get(api, f"/v1/marketplace-claims/{'x' * 43}")


@provokes("notice_unreadable", **ALIBABA)
async def _(api: Api) -> httpx.Response:
    """By a server in which the provider is switched off."""
    await alibaba(api, "expiredInstance", instanceId="122000001")
    async with running(api.settings.database_url.get_secret_value()) as without:
        service = await client(without)
        [notice] = (await service.get("/marketplace/notices")).json()["items"]
        return await service.post(f"/marketplace/notices/{notice['id']}/apply", headers=staff())


@provokes(
    "marketplace_unavailable",
    **ALIBABA,
    aliyun_access_key_id="id",
    aliyun_access_key_secret="secret",
    alibaba_marketplace_endpoint="http://127.0.0.1:9",
)
async def _(api: Api) -> httpx.Response:
    return await typed(api, await api.register(), instance="122000001")


async def submit(api: Api, holder: Holder, name: str = "Northwind") -> httpx.Response:
    body = {"type": "enterprise", "name": name, "registration_number": "91350100M000100Y43"}
    return await post(api, "/v1/account/real-name/submissions", holder, **body)


def new_account(name: str) -> dict[str, str]:
    return {"username": name, "email": f"{name}@example.com", "company_name": "Northwind Trading"}


def workspace_of(holder: Holder) -> dict[str, str]:
    return {"account_id": holder.account_id, "site": "cn1", "name": "Production"}


# 500, 503


@provokes("closing_undecided", billing="http", billing_url="http://127.0.0.1:9")
async def _(api: Api) -> httpx.Response:
    return await post(api, "/v1/account/closure", await api.register())


@provokes("internal_error")
async def _(api: Api) -> httpx.Response:
    async def crash(**_: Any) -> None:
        raise RuntimeError

    holder = await api.register()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.container.profile, "read", crash)
        return await get(api, "/v1/account/profile", holder)


@provokes("not_ready")
async def _(api: Api) -> httpx.Response:
    """A database without tables."""
    with TemporaryDirectory() as folder:
        async with running(f"sqlite:///{folder}/app.db") as unmigrated:
            return await get(unmigrated, "/readyz")


@provokes("database_unavailable")
async def _(api: Api) -> httpx.Response:
    async with running("postgresql://127.0.0.1:9/nothing") as alone:
        return await ask_login_code(alone)


@provokes("try_again")
async def _(api: Api) -> httpx.Response:
    """Somebody holds a lock for longer than the database lets us wait."""
    async with running(api.settings.database_url.get_secret_value()) as impatient, locked(api):
        engine = impatient.container.engine.sync_engine
        wait = "PRAGMA busy_timeout = 1" if engine.dialect.name == "sqlite" else "SET lock_timeout = 1"

        @event.listens_for(engine, "checkout")
        def hurry(connection: Any, *_: Any) -> None:
            cursor = connection.cursor()
            cursor.execute(wait)
            cursor.close()
            connection.commit()  # lest it be undone with the transaction that it began

        return await ask_login_code(impatient)


@asynccontextmanager
async def locked(api: Api) -> AsyncIterator[None]:
    async with api.container.engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"  # there the transaction itself is the lock
        await connection.execute(text("SELECT 1" if is_sqlite else "LOCK TABLE budgets"))
        yield
        await connection.rollback()


@provokes("busy", **SLOW_HASH)
async def _(api: Api) -> httpx.Response:
    answers = await asyncio.gather(*(log_in(api, f"nobody{number}") for number in range(10)))
    return max(answers, key=lambda answer: answer.status_code)


# The table


def test_every_code_has_a_row() -> None:
    """A new code is provoked here, or is none."""
    assert ROWS.keys() | COMMAND_LINE == {kind.code for kind in every_kind()}


@pytest.mark.parametrize(
    ("code", "provoke"),
    [
        pytest.param(code, provoke, id=code, marks=[pytest.mark.settings(**settings)] if settings else [])
        for code, (provoke, settings) in ROWS.items()
    ],
)
async def test_a_code_is_answered_with_its_status_as_documented(api: Api, code: str, provoke: Provoke) -> None:
    (kind,) = [kind for kind in every_kind() if kind.code == code]
    answer = await provoke(api)

    assert (answer.status_code, answer.json()["code"]) == (kind.status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert code in NO_OPERATION or code in documented(api, answer)


def documented(api: Api, answer: httpx.Response) -> set[str]:
    """The codes that the OpenAPI document names for the operation and status of the answer."""
    path, method = answer.request.url.path, answer.request.method.lower()
    (operation,) = [
        operations[method]
        for document in documents().values()
        for template, operations in document["paths"].items()
        if compile_path(template)[0].match(path) and method in operations
    ]
    response = operation["responses"].get(str(answer.status_code), {})
    return set(response.get("content", {}).get("application/problem+json", {}).get("examples", {}))


async def test_an_unknown_path_is_not_found(api: Api) -> None:
    answer = await get(api, "/v1/nowhere")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
