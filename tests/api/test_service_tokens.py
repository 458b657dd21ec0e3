"""Who is let in: what opens the internal surface, what does not, and how soon a client that may no more is out.

What holds for every operation is asked of every operation that the OpenAPI documents name.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core import ids
from app.core.clock import now
from app.core.crypto import b64, unb64
from app.core.errors import NotFound, TooManySecrets
from app.core.scopes import Scope
from app.core.tokens import SigningKey, Tokens
from app.main import documents
from app.services.clients import Credentials
from tests.support.api import Api, frozen, refusal
from tests.support.services import ServiceClient, client, token

Json = dict[str, Any]
DOCUMENTS = documents()
PARAMETERS = {"find_account": {"username": "acme"}}  # what a schema does not demand, and the operation does
BODIES = {"url": "https://8.8.8.8/hooks"}  # no name that somebody would have to resolve


@dataclass(frozen=True)
class Operation:
    """A call that the document describes, made of its examples. `scope` is None for the holder's own."""

    name: str
    method: str
    path: str
    scope: str | None
    headers: dict[str, str] = field(default_factory=dict)
    body: Json | None = None

    async def call(self, api: Api, auth: dict[str, str], **headers: str) -> httpx.Response:
        return await api.client.request(
            self.method,
            self.path,
            headers=self.headers | auth | headers,
            json=self.body,
            params=PARAMETERS.get(self.name),
        )


def operations(surface: str) -> Iterator[Operation]:
    """Those that need a token."""
    document = DOCUMENTS[surface]
    for path, item in document["paths"].items():
        for method, described in item.items():
            [needed, *_] = described.get("security") or [{}]
            if path != "/oauth/token" and needed:
                yield _operation(document["components"]["schemas"], path, method, described, needed)


def _operation(schemas: Json, path: str, method: str, described: Json, needed: Json) -> Operation:
    parameters = {one["name"]: one for one in described.get("parameters", [])}
    example = parameters["id"]["schema"]["examples"][0] if "id" in parameters else ""
    headers = {"If-Match": '"1"'} | {
        name: "somebody" for name, one in parameters.items() if one["in"] == "header" and one["required"]
    }
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    scopes = needed.get("client")
    return Operation(
        described["operationId"],
        method.upper(),
        path.replace("{id}", example).replace("{token}", "x" * 43),
        scopes[0] if scopes else None,
        headers,
        _body(schemas, content) if content else None,
    )


def _body(schemas: Json, content: Json) -> Json:
    if "examples" in content:
        body: Json = next(iter(content["examples"].values()))["value"]
    else:
        body = schemas[content["schema"]["$ref"].rpartition("/")[2]]["examples"][0]
    return body | {name: value for name, value in BODIES.items() if name in body}


INTERNAL, HOLDERS = list(operations("internal")), list(operations("public"))


async def refusals(
    api: Api, which: list[Operation], auth: dict[str, str], **headers: str
) -> dict[str, tuple[int, str, str]]:
    """Status, code and challenge of each operation's refusal."""
    found = {}
    for operation in which:
        answer = await operation.call(api, auth, **headers)
        code = answer.json()["code"] if answer.content and answer.is_error else answer.text
        found[operation.name] = (answer.status_code, code, answer.headers.get("WWW-Authenticate", ""))
    return found


def all_refused(which: list[Operation], code: str) -> dict[str, tuple[int, str, str]]:
    challenge = "Bearer" if code == "unauthenticated" else 'Bearer error="invalid_token"'
    return {operation.name: (401, code, challenge) for operation in which}


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def uuid_of(service: ServiceClient) -> UUID:
    found = ids.read(ids.CLIENT, service.client_id)
    assert found is not None
    return found


async def status(service: ServiceClient) -> tuple[int, str]:
    answer = await service.get("/events")
    return (200, "") if answer.is_success else refusal(answer)


IN, OUT = (200, ""), (401, "client_disabled")

# --- Every operation ------------------------------------------------------------------------------------------------


def test_the_document_names_every_operation_of_the_surface() -> None:
    assert len(INTERNAL) >= 20
    assert all(operation.path.startswith("/internal/v1/") for operation in INTERNAL)
    assert {operation.name for operation in INTERNAL if operation.scope not in set(Scope)} == set()


async def test_without_a_token_every_internal_operation_asks_for_one(api: Api) -> None:
    assert await refusals(api, INTERNAL, {}) == all_refused(INTERNAL, "unauthenticated")


async def test_a_holders_token_opens_no_internal_operation(api: Api) -> None:
    holder = await api.register()
    assert (await api.client.get("/v1/account", headers=holder.auth)).status_code == 200  # a good one

    assert await refusals(api, INTERNAL, holder.auth) == all_refused(INTERNAL, "invalid_token")


async def test_a_services_token_opens_no_operation_of_a_holder(api: Api) -> None:
    service = await client(api)
    assert await status(service) == IN

    assert len(HOLDERS) >= 20
    assert await refusals(api, HOLDERS, service.auth) == all_refused(HOLDERS, "invalid_token")


async def test_a_disabled_clients_token_stops_at_once_on_every_operation(api: Api) -> None:
    service = await client(api)
    assert await status(service) == IN

    await api.container.clients.disable(client_id=uuid_of(service))

    stopped = all_refused(INTERNAL, "client_disabled")
    assert await refusals(api, INTERNAL, service.auth) == stopped
    assert await refusals(api, INTERNAL, service.auth, **{"Idempotency-Key": "k"}) == stopped


async def test_a_revoked_secrets_token_stops_at_once_on_every_operation(api: Api) -> None:
    service = await client(api)
    await revoke_first(service)

    assert await refusals(api, INTERNAL, service.auth) == all_refused(INTERNAL, "client_disabled")


# --- Tokens ---------------------------------------------------------------------------------------------------------


async def test_a_token_lives_ten_minutes(api: Api) -> None:
    with frozen() as clock:
        service = await client(api)
        clock.shift(timedelta(seconds=599))
        assert await status(service) == IN
        clock.shift(timedelta(seconds=1))
        assert await status(service) == (401, "invalid_token")
        await service.renew()
        assert await status(service) == IN


FORGED = ["unsigned", "altered", "foreign_key", "foreign_key_under_our_kid", "no_token", "other_kind"]


@pytest.mark.parametrize("forgery", FORGED)
async def test_a_forged_token_is_refused(api: Api, forgery: str) -> None:
    service = await client(api)
    head, payload, signature = service.token.split(".")
    claims = api.container.tokens.verify_service(service.token)
    foreign = Tokens(issuer=api.settings.issuer, audience=api.settings.audience, life_seconds=600)
    key = SigningKey.generate(now())
    kid = json.loads(unb64(head))["kid"]
    foreign.load([SigningKey(kid, key.pem, key.active_from) if forgery == "foreign_key_under_our_kid" else key])
    signed = foreign.sign_service(client_id=claims.client_id, secret_id=claims.secret_id, scopes=claims.scopes)
    service.token = {
        "unsigned": f"{b64(json.dumps({'alg': 'none', 'typ': 'at+jwt', 'kid': kid}).encode())}.{payload}.",
        "altered": f"{head}.{b64(unb64(payload).replace(b'events:read', b'staff:audit'))}.{signature}",
        "foreign_key": signed,
        "foreign_key_under_our_kid": signed,
        "no_token": service.secret,
        "other_kind": f"{b64(unb64(head).replace(b'at+jwt', b'JWT'))}.{payload}.{signature}",
    }[forgery]

    assert await status(service) == (401, "invalid_token")


@pytest.mark.parametrize("other", ["issuer", "audience"])
async def test_a_token_that_our_key_signed_for_others_is_refused(api: Api, other: str) -> None:
    service = await client(api)
    claims = api.container.tokens.verify_service(service.token)
    named = {"issuer": api.settings.issuer, "audience": api.settings.audience} | {other: "https://other.example.com"}
    tokens = Tokens(**named, life_seconds=600)
    tokens.load(api.container.tokens._keys)
    service.token = tokens.sign_service(client_id=claims.client_id, secret_id=claims.secret_id, scopes=claims.scopes)

    assert await status(service) == (401, "invalid_token")


async def test_a_token_of_one_client_by_the_secret_of_another_is_refused(api: Api) -> None:
    service, other = await client(api), await client(api)
    tokens = api.container.tokens
    secret_id = tokens.verify_service(other.token).secret_id
    service.token = tokens.sign_service(client_id=uuid_of(service), secret_id=secret_id, scopes=service.scopes)

    assert await status(service) == OUT


# --- Clients and secrets --------------------------------------------------------------------------------------------


async def rotated(service: ServiceClient) -> ServiceClient:
    """The same client, by its new secret."""
    made: Credentials = await service.api.container.clients.rotate(client_id=uuid_of(service))
    other = ServiceClient(service.api, service.client_id, made.secret, service.scopes)
    await other.renew()
    return other


async def revoke_first(service: ServiceClient) -> None:
    secret_id = service.api.container.tokens.verify_service(service.token).secret_id
    await service.api.container.clients.revoke(client_id=uuid_of(service), secret_id=secret_id)


async def test_two_secrets_are_good_until_one_is_revoked_with_its_tokens(api: Api) -> None:
    old = await client(api)
    new = await rotated(old)
    assert (await status(old), await status(new)) == (IN, IN)

    await revoke_first(old)

    assert (await status(old), await status(new)) == (OUT, IN)
    assert (await token(api, old.client_id, old.secret)).json()["error"] == "invalid_client"
    await new.renew()
    assert await status(new) == IN


async def test_a_third_secret_is_refused_until_one_is_revoked(api: Api) -> None:
    first = await client(api)
    await rotated(first)
    with pytest.raises(TooManySecrets):
        await rotated(first)

    await revoke_first(first)

    assert await status(await rotated(first)) == IN


async def test_of_many_who_rotate_at_once_one_gets_a_secret(api: Api) -> None:
    service = await client(api)

    made = await asyncio.gather(*(rotated(service) for _ in range(5)), return_exceptions=True)

    assert sorted(type(one).__name__ for one in made) == ["ServiceClient"] + ["TooManySecrets"] * 4


async def test_a_secret_of_one_client_is_not_revoked_through_another(api: Api) -> None:
    service, other = await client(api), await client(api)
    secret_id = api.container.tokens.verify_service(service.token).secret_id

    with pytest.raises(NotFound):
        await api.container.clients.revoke(client_id=uuid_of(other), secret_id=secret_id)

    assert await status(service) == IN


async def test_a_client_that_is_enabled_again_goes_on(api: Api) -> None:
    service, other = await client(api), await client(api)
    await api.container.clients.disable(client_id=uuid_of(service))
    assert (await status(service), await status(other)) == (OUT, IN)
    assert (await token(api, service.client_id, service.secret)).status_code == 401

    await api.container.clients.enable(client_id=uuid_of(service))

    await service.renew()
    assert await status(service) == IN


@pytest.mark.parametrize("stopped", ["disabled", "revoked"])
async def test_a_client_that_waits_for_events_is_told_none_once_it_is_stopped(api: Api, stopped: str) -> None:
    service = await client(api, Scope.EVENTS)
    waiting = asyncio.create_task(service.get("/events", wait=5))
    while not api.container.events._news and not waiting.done():  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)

    if stopped == "disabled":
        await api.container.clients.disable(client_id=uuid_of(service))
    else:
        await revoke_first(service)
    await api.register()

    assert refusal(await waiting) == OUT
