"""Access tokens as others see them: verified offline, refused when they are not ours, and the life of their keys."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import time_machine
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from sqlalchemy import select

from app.api.wiring import build
from app.core import ids, migrations
from app.core.clock import now
from app.core.crypto import b64, unb64
from app.core.tokens import SigningKey, Tokens
from app.models.sessions import StoredKey
from tests.support.api import Api, Holder, running, statements

Json = dict[str, Any]


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Api]:
    """The service on a database that no other test shares: here keys come and go."""
    url = f"sqlite:///{tmp_path / 'app.db'}"
    await asyncio.to_thread(migrations.upgrade, url)
    async with running(url) as api:
        yield api


async def key_set(api: Api) -> list[Json]:
    keys: list[Json] = (await api.client.get("/.well-known/jwks.json")).json()["keys"]
    return keys


async def kids(api: Api) -> list[str]:
    return [key["kid"] for key in await key_set(api)]


async def get_account(api: Api, token: str | bytes) -> httpx.Response:
    value = b"Bearer " + (token.encode("latin-1") if isinstance(token, str) else token)
    return await api.client.get("/v1/account", headers={b"Authorization": value})


def part(token: str, index: int) -> Json:
    content: Json = json.loads(unb64(token.split(".")[index]))
    return content


def verify_offline(token: str, keys: list[Json]) -> Json:
    """The claims, by nothing but the published keys and RFC 7515 and 7518. Raises InvalidSignature."""
    head, payload, signature = token.split(".")
    [key] = [key for key in keys if key["kid"] == part(token, 0)["kid"]]
    x, y = (int.from_bytes(unb64(key[name])) for name in ("x", "y"))
    raw = unb64(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public.verify(der, f"{head}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
    return part(token, 1)


async def test_token_says_who_since_when_and_until_when(api: Api) -> None:
    holder = await api.register()
    with time_machine.travel(now() + timedelta(minutes=5), tick=False):
        token = (await api.log_in(holder)).access_token
        at = int(now().timestamp())
    head, claims = part(token, 0), part(token, 1)
    assert head == {"alg": "ES256", "typ": "at+jwt", "kid": head["kid"]}
    session_id, jti = claims.pop("sid"), claims.pop("jti")
    assert session_id.startswith("sess_")
    assert jti
    assert claims == {
        "iss": api.settings.issuer,
        "aud": api.settings.audience,
        "sub": holder.account_id,
        "auth_time": at,
        "iat": at,
        "exp": at + 600,
    }


async def test_auth_time_stays_that_of_the_login_when_the_token_is_refreshed(api: Api) -> None:
    start = now()
    with time_machine.travel(start, tick=False):
        holder = await api.register()
    with time_machine.travel(start + timedelta(hours=1), tick=False):
        answer = await api.client.post("/v1/sessions/refresh", json={"refresh_token": holder.refresh_token})
    claims = part(answer.json()["access_token"], 1)
    assert (claims["auth_time"], claims["iat"]) == (int(start.timestamp()), int(start.timestamp()) + 3600)


async def test_token_is_verified_offline_with_the_key_set_alone(api: Api) -> None:
    holder = await api.register()
    assert verify_offline(holder.access_token, await key_set(api))["sub"] == holder.account_id


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(b"x", id="malformed"),
        pytest.param(b"a.b.c", id="not base64"),
        pytest.param(b"\xe9\xe9.\xff", id="not ASCII"),
        pytest.param(b"a" * 5 * 1024, id="5 KB"),
    ],
)
async def test_what_is_no_token_is_refused(api: Api, token: bytes) -> None:
    refused = await get_account(api, token)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
    assert refused.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("forgery", ["unsigned", "altered", "foreign", "foreign under our kid"])
async def test_forged_token_is_refused(api: Api, forgery: str) -> None:
    holder = await api.register()
    head, payload, signature = holder.access_token.split(".")
    foreign = Tokens(issuer=api.settings.issuer, audience=api.settings.audience, life_seconds=600)
    made = SigningKey.generate(now())
    ours = SigningKey(part(holder.access_token, 0)["kid"], made.pem, made.active_from)
    foreign.load([ours if forgery == "foreign under our kid" else made])
    account_id = UUID(holder.account_id.removeprefix("acnt_"))
    session_id = UUID(holder.session_id.removeprefix("sess_"))
    forged = {
        "unsigned": f"{b64(json.dumps({'alg': 'none', 'typ': 'at+jwt'}).encode())}.{payload}.",
        "altered": f"{head}.{b64(unb64(payload).replace(b'acnt_', b'acnt_0'))}.{signature}",
        "foreign": foreign.sign(account_id=account_id, session_id=session_id, auth_time=now()),
        "foreign under our kid": foreign.sign(account_id=account_id, session_id=session_id, auth_time=now()),
    }[forgery]
    refused = await get_account(api, forged)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
    assert refused.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


async def test_token_of_one_account_with_the_session_of_another_is_refused(api: Api) -> None:
    holder, stranger = await api.register(), await api.register()
    mixed = api.container.tokens.sign(
        account_id=UUID(holder.account_id.removeprefix("acnt_")),
        session_id=UUID(stranger.session_id.removeprefix("sess_")),
        auth_time=now(),
    )
    assert (await get_account(api, mixed)).json()["code"] == "session_ended"


async def test_token_lives_ten_minutes(api: Api) -> None:
    start = now().replace(microsecond=0) + timedelta(seconds=1)
    with time_machine.travel(start, tick=False):
        holder = await api.register()
    with time_machine.travel(start + timedelta(seconds=599), tick=False):
        assert (await get_account(api, holder.access_token)).status_code == 200
    with time_machine.travel(start + timedelta(seconds=600), tick=False):
        assert (await get_account(api, holder.access_token)).json()["code"] == "invalid_token"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token x", "bearer"])
async def test_without_a_bearer_token_a_login_is_asked_for(api: Api, header: str | None) -> None:
    refused = await api.client.get("/v1/account", headers={} if header is None else {"Authorization": header})
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert refused.headers["WWW-Authenticate"] == "Bearer"


async def test_scheme_is_read_without_regard_to_case(api: Api) -> None:
    holder = await api.register()
    answer = await api.client.get("/v1/account", headers={"Authorization": f"bEARER {holder.access_token}"})
    assert answer.status_code == 200


# Keys. Nothing in their life depends on the database at hand.


async def login_kid(api: Api, holder: Holder) -> str:
    return str(part((await api.log_in(holder)).access_token, 0)["kid"])


async def test_new_key_is_published_before_it_signs(own: Api) -> None:
    holder, [old] = await own.register(), await kids(own)
    start = now()
    with time_machine.travel(start, tick=False):
        new = await own.container.keys.rotate()
        assert await kids(own) == [old, new]
    with time_machine.travel(start + timedelta(seconds=599), tick=False):
        assert await login_kid(own, holder) == old
    with time_machine.travel(start + timedelta(seconds=600), tick=False):
        assert await login_kid(own, holder) == new


async def test_token_of_the_old_key_is_good_until_it_expires_and_then_the_key_is_retired(own: Api) -> None:
    holder, [old] = await own.register(), await kids(own)
    start = now().replace(microsecond=0)
    with time_machine.travel(start, tick=False):
        new = await own.container.keys.rotate()
    with time_machine.travel(start + timedelta(seconds=599), tick=False):
        last = (await own.log_in(holder)).access_token
    with time_machine.travel(start + timedelta(seconds=599 + 599), tick=False):
        await own.container.keys.reload()
        assert (await get_account(own, last)).status_code == 200
        assert verify_offline(last, await key_set(own))["sub"] == holder.account_id
        assert [view.state for view in await own.container.keys.all()] == ["verifying", "signing"]
    with time_machine.travel(start + timedelta(seconds=600 + 600 + 120), tick=False):
        await own.container.keys.reload()
        assert await kids(own) == [new]
        assert [(view.kid, view.state) for view in await own.container.keys.all()] == [
            (old, "retired"),
            (new, "signing"),
        ]


async def test_clock_set_right_after_it_was_past_a_key_to_come_has_a_key_again_within_seconds(own: Api) -> None:
    """An hour ahead only the key to come was left; the look every 30 seconds is not waited for."""
    [old] = await kids(own)
    new = await own.container.keys.rotate()
    with time_machine.travel(now() + timedelta(hours=1), tick=False):
        await own.container.keys.reload()
        assert await kids(own) == [new]
    assert (await own.client.get("/readyz")).status_code == 503
    async with asyncio.timeout(10):
        while (await own.client.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - time is what it is about
            await asyncio.sleep(0.1)
    assert await login_kid(own, await own.register()) == old


async def test_revoked_key_stops_at_once(own: Api) -> None:
    holder, [old] = await own.register(), await kids(own)
    new = await own.container.keys.rotate(at_once=True)
    await own.container.keys.revoke(kid=old)
    refused = await get_account(own, holder.access_token)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
    assert await kids(own) == [new]
    assert (await get_account(own, (await own.log_in(holder)).access_token)).status_code == 200


async def test_key_made_by_another_process_is_found(own: Api) -> None:
    holder = await own.register()
    another = build(own.settings)
    try:
        kid = await another.keys.rotate(at_once=True)
        assert kid not in await kids(own)
        token = another.tokens.sign(
            account_id=UUID(holder.account_id.removeprefix("acnt_")),
            session_id=UUID(holder.session_id.removeprefix("sess_")),
            auth_time=now(),
        )
    finally:
        await another.close()
    assert (await get_account(own, token)).status_code == 200
    assert kid in await kids(own)


async def test_unknown_keys_do_not_ask_the_database_again_and_again(own: Api) -> None:
    foreign = Tokens(issuer=own.settings.issuer, audience=own.settings.audience, life_seconds=600)
    foreign.load([SigningKey.generate(now())])
    token = foreign.sign(account_id=ids.new(), session_id=ids.new(), auth_time=now())
    assert (await get_account(own, token)).json()["code"] == "invalid_token"
    with statements(own) as asked:
        assert (await get_account(own, token)).json()["code"] == "invalid_token"
    assert asked == []


async def test_keys_are_sealed_in_the_database(own: Api) -> None:
    async with own.container.engine.connect() as connection:
        [sealed] = await connection.scalars(select(StoredKey.sealed_pem))
    assert b"PRIVATE KEY" not in sealed
