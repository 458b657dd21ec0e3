"""The service as a test sees it: HTTP in, messages out, and a hand on the worker."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import time_machine
from fastapi import FastAPI
from sqlalchemy import delete, event

from app.api.wiring import Container
from app.core.clock import now
from app.core.config import Settings
from app.core.database import METADATA
from app.main import create_app
from app.models.sessions import StoredKey
from app.models.verification import Channel
from app.notifiers.base import Message
from app.notifiers.recording import RecordingNotifier
from app.workers.outbox import OutboxWorker, Retrying

PASSWORD = "correct horse battery staple"
_OF_KEYS = re.compile(r"\bFROM (signing_keys|data_keys)\b")
TEST_SETTINGS: dict[str, Any] = {
    "argon2_memory_kib": 8,
    "argon2_time": 1,
    "login_failure_seconds": 0,
    "worker_in_server": False,
    "database_timeout_seconds": 20,  # two workers share the machine: slow is not away
    "code_resend_seconds": 0,
    "anonymous_requests_per_minute": 1_000_000,
    "anonymous_requests_untold": 1,
    "hourly_sends_per_ip": 1_000_000,
}


@dataclass
class Holder:
    """A registered, logged-in account."""

    account_id: str
    session_id: str
    access_token: str
    refresh_token: str
    username: str
    email: str
    password: str | None

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}


@dataclass
class Api:
    """One application on one database."""

    app: FastAPI
    client: httpx.AsyncClient
    notifier: RecordingNotifier = field(default_factory=RecordingNotifier)
    _names: int = 0

    @property
    def container(self) -> Container:
        container: Container = self.app.state.container
        return container

    @property
    def settings(self) -> Settings:
        return self.container.settings

    def outbox(self, channel: Channel = Channel.EMAIL, **changes: Any) -> OutboxWorker:
        """A worker that delivers to `notifier`."""
        retrying = {"lease": 60, "attempts": 10, "first": 2.0, "longest": 3600.0} | changes
        return OutboxWorker(
            self.container.profile.uow,
            channel=channel,
            notices=self.container.password.notices,
            notifiers={"email": self.notifier, "sms": self.notifier},
            retrying=Retrying(**retrying),
        )

    async def deliver(self) -> list[Message]:
        """Deliver all that is due; everything that was ever sent, oldest first."""
        for channel in (Channel.EMAIL, Channel.SMS):
            while await self.outbox(channel).deliver_due():
                pass
        return self.notifier.sent

    async def messages(self, to: str, template: str | None = None) -> list[Message]:
        sent = await self.deliver()
        return [one for one in sent if one.to == to and template in (None, one.template)]

    async def code(self, to: str) -> str:
        """The newest code sent to the contact."""
        codes = [one.params["code"] for one in await self.messages(to) if "code" in one.params]
        return codes[-1]

    async def token(self, to: str) -> str:
        """The newest undo or cancel token sent to the contact."""
        return [one.params["token"] for one in await self.messages(to) if "token" in one.params][-1]

    def name(self) -> str:
        self._names += 1
        return f"holder{self._names}"

    async def register(self, *, password: str | None = PASSWORD, phone: str | None = None, **members: Any) -> Holder:
        """Register and confirm; with a phone, prove that as well."""
        name = self.name()
        body = {"username": name, "email": f"{name}@example.com", "company_name": "Northwind Trading", **members}
        if password is not None:
            body["password"] = password
        if phone is not None:
            body["phone"] = phone
        started = await self.client.post("/v1/registrations", json=body)
        assert started.status_code == 202, started.text
        confirmed = await self.client.post(
            f"/v1/registrations/{started.json()['id']}/confirm",
            json={"code": await self.code(body["email"]), "refresh_token_delivery": "body"},
        )
        assert confirmed.status_code == 201, confirmed.text
        holder = _holder(confirmed.json(), body["username"], body["email"], password)
        if phone is not None:
            account = await self.client.get("/v1/account", headers=holder.auth)
            change = account.json()["credential_changes"][0]["id"]
            done = await self.step(holder, change, "confirm", {"code": await self.code(phone)})
            assert done.json()["state"] == "completed", done.text
        return holder

    async def log_in(self, holder: Holder, **members: Any) -> Holder:
        """Another session of the same account."""
        body = {
            "method": "password",
            "identifier": holder.username,
            "password": holder.password,
            "refresh_token_delivery": "body",
        } | members
        answer = await self.client.post("/v1/sessions", json=body)
        assert answer.status_code == 201, answer.text
        return _holder(answer.json(), holder.username, holder.email, holder.password)

    async def start(self, holder: Holder, credential: str = "email", proof: str = "current") -> httpx.Response:
        return await self.client.post(
            "/v1/account/credential-changes", json={"credential": credential, "proof": proof}, headers=holder.auth
        )

    async def step(self, holder: Holder, change: str, step: str, body: dict[str, str]) -> httpx.Response:
        """`verify-current`, `new-value` or `confirm`."""
        method = "PUT" if step == "new-value" else "POST"
        url = f"/v1/account/credential-changes/{change}/{step}"
        return await self.client.request(method, url, json=body, headers=holder.auth)

    async def reach_confirm(self, holder: Holder, value: str, *, credential: str = "email", proves: str) -> str:
        """A change up to the new value's code; `proves` is the contact that gets the first one. The change's id."""
        change = (await self.start(holder, credential)).json()["id"]
        await self.step(holder, change, "verify-current", {"code": await self.code(proves)})
        proposed = await self.step(holder, change, "new-value", {"value": value})
        assert proposed.status_code == 200, proposed.text
        return str(change)

    async def change_email(self, holder: Holder, value: str) -> httpx.Response:
        """The whole flow; the answer to its last step."""
        change = await self.reach_confirm(holder, value, proves=holder.email)
        return await self.step(holder, change, "confirm", {"code": await self.code(value)})


def _holder(session: dict[str, Any], username: str, email: str, password: str | None) -> Holder:
    return Holder(
        account_id=session["account_id"],
        session_id=session["session_id"],
        access_token=session["access_token"],
        refresh_token=session["refresh_token"],
        username=username,
        email=email,
        password=password,
    )


@asynccontextmanager
async def running(database_url: str, **settings: Any) -> AsyncIterator[Api]:
    """An application with its lifespan, on a migrated database."""
    app = create_app(Settings(**{"database_url": database_url, **TEST_SETTINGS, **settings}))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="https://test") as client,
    ):
        yield Api(app, client)


async def empty(api: Api) -> None:
    """Delete every row but the keys that seal or sign now and the place where events are counted from."""
    async with api.container.engine.begin() as connection:
        for table in reversed(METADATA.sorted_tables):
            if table.name not in ("signing_keys", "data_keys", "event_head"):
                await connection.execute(delete(table))
        await connection.execute(delete(StoredKey).where(StoredKey.active_from > now()))
    if not api.container.tokens.ready:  # it went by such a key when a test's clock was past its beginning
        await api.container.keys.reload()
    api.container.limiting.forget()  # what it remembers of the counters that are gone


@contextmanager
def statements(api: Api) -> Iterator[list[str]]:
    """The SQL that the application sends to the database meanwhile, but for its own look at its keys by the clock."""
    seen: list[str] = []

    def note(*arguments: Any) -> None:
        if not _OF_KEYS.search(arguments[2]):
            seen.append(arguments[2])

    engine = api.container.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


@asynccontextmanager
async def calling_from(api: Api, ip: str) -> AsyncIterator[Api]:
    """The same service, called from another address."""
    transport = httpx.ASGITransport(app=api.app, raise_app_exceptions=False, client=(ip, 1234))
    async with httpx.AsyncClient(transport=transport, base_url="https://test") as client:
        yield Api(api.app, client, api.notifier)


@contextmanager
def frozen() -> Iterator[time_machine.Traveller]:
    """A clock that stands still, on a whole second, until the test moves it."""
    with time_machine.travel(now().replace(microsecond=0) + timedelta(seconds=1), tick=False) as clock:
        yield clock


async def renewed(api: Api, holder: Holder) -> Holder:
    """The same session with a fresh access token: for after the clock moved."""
    answer = await api.client.post("/v1/sessions/refresh", json={"refresh_token": holder.refresh_token})
    assert answer.status_code == 200, answer.text
    return _holder(answer.json(), holder.username, holder.email, holder.password)


async def change_of(api: Api, holder: Holder, change: str) -> dict[str, Any]:
    """A credential change as its holder sees it."""
    answer = await api.client.get(f"/v1/account/credential-changes/{change}", headers=holder.auth)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def resend(api: Api, holder: Holder, change: str) -> httpx.Response:
    return await api.client.post(f"/v1/account/credential-changes/{change}/resend", headers=holder.auth)


async def cancel(api: Api, holder: Holder, change: str) -> httpx.Response:
    return await api.client.delete(f"/v1/account/credential-changes/{change}", headers=holder.auth)


async def undo(api: Api, token: str) -> httpx.Response:
    return await api.client.post("/v1/credential-change-reversals", json={"token": token})


async def may_log_in(api: Api, identifier: str, password: str = PASSWORD) -> bool:
    """Whether the password login works; costs a session when it does."""
    answer = await api.client.post(
        "/v1/sessions", json={"method": "password", "identifier": identifier, "password": password}
    )
    assert answer.status_code in (201, 401), answer.text
    return answer.status_code == 201


async def may_act(api: Api, holder: Holder) -> bool:
    """Whether the session lives."""
    answer = await api.client.get("/v1/account", headers=holder.auth)
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


def wrong(code: str) -> str:
    """Six digits that are not the code."""
    return f"{(int(code) + 1) % 1_000_000:06}"


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refused call."""
    return answer.status_code, answer.json()["code"]
