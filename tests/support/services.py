"""Service clients as a test needs them: made, with a token, and staff behind them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from app.core import ids
from app.core.scopes import Scope
from tests.support.api import Api


@dataclass
class ServiceClient:
    """A client with a token for some scopes; calls the internal surface."""

    api: Api
    client_id: str
    secret: str
    scopes: frozenset[str]
    token: str = field(default="", repr=False)

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """`path` behind `/internal/v1`."""
        headers = {**self.auth, **options.pop("headers", {})}
        return await self.api.client.request(method, f"/internal/v1{path}", headers=headers, **options)

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.call("GET", path, params=params)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.call("POST", path, json=body, **options)

    async def put(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return await self.call("PUT", path, json=body, **options)

    async def renew(self) -> None:
        """Another token: for after the clock moved."""
        answer = await token(self.api, self.client_id, self.secret)
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]


async def token(api: Api, client_id: str, secret: str, **members: str) -> httpx.Response:
    """The answer of the token endpoint, the client authenticating by Basic."""
    body = {"grant_type": "client_credentials", **members}
    return await api.client.post("/oauth/token", data=body, auth=(client_id, secret))


async def client(api: Api, *scopes: Scope, name: str | None = None) -> ServiceClient:
    """A new client with these scopes (none: all), and a token for all of them."""
    given: Iterable[Scope] = scopes or tuple(Scope)
    made = await api.container.clients.create(name=name or f"client-{ids.new().hex[-12:]}", scopes=given)
    service = ServiceClient(api, ids.show(ids.CLIENT, made.client_id), made.secret, frozenset(given))
    await service.renew()
    return service


def staff(actor: str = "han.meimei", reason: str = "Ticket 4711") -> dict[str, str | bytes]:
    """The headers with which a staff tool says who and why."""
    return {"X-Actor": actor.encode(), "X-Reason": reason.encode()}


async def spread(api: Api) -> None:
    """Give events their positions and endpoints their deliveries."""
    while await api.container.webhook_worker.spread():
        pass


async def feed(service: ServiceClient, after: str | None = None) -> list[dict[str, Any]]:
    """All events behind a cursor."""
    found: list[dict[str, Any]] = []
    while True:
        answer = await service.get("/events", **({"after": after} if after else {}), limit=1000)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        if not page["items"]:
            return found
        found += page["items"]
        after = page["next_cursor"]
