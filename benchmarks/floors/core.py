"""The least that other operations cost, on SQLAlchemy Core.

Asking for a code is three statements in a transaction; entering it counts the guess in a statement that is committed by
itself, as every design has to that lets no failure be a free guess, compares, and then is three statements in a
transaction; what other services look up is one.

The rows of codes, budgets, messages, sessions and activity are those of the service, so that the same indexes are
written. Look-ups answer with the number of rows alone, or (`…-json`) with the rows.
"""

import hashlib
import hmac
import json
import secrets
import time
from typing import Any
from uuid import UUID

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, HTTPException, Request, Response
from jose import jwk, jwt
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from benchmarks.floors import statements
from benchmarks.floors.digests import mac
from benchmarks.floors.parts import ENGINE, READING, Caller, Statement, Transaction

app = FastAPI()


def _signing_key() -> Any:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return jwk.construct(pem.decode(), "ES256")


_KEY = _signing_key()


@app.get("/ready")
async def ready() -> Response:
    return Response()


@app.post("/login-codes", status_code=202, response_model=None)
async def request_code(body: dict[str, str], request: Request, connection: Transaction) -> dict[str, Any]:
    """Who is it; may they have another message; the code and its message."""
    email = body["identifier"]
    account = (await connection.execute(statements.BY_EMAIL, {"email": email})).one_or_none()
    address = request.headers.get("x-forwarded-for", "")
    charged = ("gap", email), ("sends", email), ("target", email), ("address", address)
    keys = sorted(hashlib.sha256(f"{name}:{subject}".encode()).digest() for name, subject in charged)
    await connection.execute(statements.CHARGE, {"keys": keys})
    challenge, code = uuid7(), f"{secrets.randbelow(10**6):06}"
    made = {"id": challenge, "account": account.id if account else None, "target": email, "mac": mac(challenge, code)}
    slot = hashlib.sha256(challenge.bytes).digest()
    params = json.dumps({"target": "h***@example.com", "minutes": "10"})
    written = {**made, "slot": slot, "message": uuid7(), "params": params, "sealed": code.encode()}
    await connection.execute(statements.WRITE_CODE, written)
    return {"challenge_id": challenge}


@app.post("/sessions", status_code=201, response_model=None)
async def enter_code(body: dict[str, str], request: Request) -> dict[str, Any]:
    """Count the guess, for good; compare; use the code up, the session, the trail."""
    challenge = UUID(body["challenge_id"])
    async with READING.connect() as connection:
        counted = (await connection.execute(statements.COUNT_GUESS, {"id": challenge})).scalar_one_or_none()
    if counted is None or not hmac.compare_digest(counted, mac(challenge, body["code"])):
        raise HTTPException(422)
    session, refresh = uuid7(), secrets.token_urlsafe(40)
    async with ENGINE.begin() as connection:
        used = {"id": challenge, "mac": counted}
        entered = (await connection.execute(statements.USE_CODE, used)).one_or_none()
        if entered is None or entered.status != "active":
            raise HTTPException(422)
        begun = {"id": session, "account": entered.account_id, "ip": request.headers.get("x-forwarded-for", "")}
        await connection.execute(statements.OPEN_SESSION, {**begun, "hash": hashlib.sha256(refresh.encode()).digest()})
        await connection.execute(statements.RECORD, {**begun, "id": uuid7(), "session": session})
    at = int(time.time())
    claims = {"sub": entered.account_id.hex, "sid": session.hex, "iat": at, "exp": at + 600, "jti": uuid7().hex}
    return {"access_token": jwt.encode(claims, _KEY, algorithm="ES256"), "refresh_token": refresh}


@app.post("/settlements/lookup")
async def look_up_settlements(request: Request, caller: Caller, connection: Statement) -> Response:
    return _count(await _settlements(connection, caller, orjson.loads(await request.body())["workspace_ids"]))


@app.post("/settlements/lookup-json")
async def look_up_settlements_as_json(request: Request, caller: Caller, connection: Statement) -> Response:
    return _rows(await _settlements(connection, caller, orjson.loads(await request.body())["workspace_ids"]))


@app.get("/settlements/{workspace}")
async def settlement(workspace: str, caller: Caller, connection: Statement) -> Response:
    return _count(await _settlements(connection, caller, [workspace]))


@app.get("/accounts/{account}/invoicing")
async def invoicing(account: str, caller: Caller, connection: Statement) -> Response:
    asked = {"client": caller[0], "secret": caller[1], "account": UUID(account[5:])}
    return _count((await connection.execute(statements.INVOICING, asked)).all())


@app.post("/accounts/lookup")
async def look_up_accounts(request: Request, caller: Caller, connection: Statement) -> Response:
    return _count(await _accounts(connection, caller, orjson.loads(await request.body())["ids"]))


@app.post("/accounts/lookup-json")
async def look_up_accounts_as_json(request: Request, caller: Caller, connection: Statement) -> Response:
    return _rows(await _accounts(connection, caller, orjson.loads(await request.body())["ids"]))


@app.get("/events")
async def events(after: int, caller: Caller, connection: Statement) -> Response:
    asked = {"client": caller[0], "secret": caller[1], "after": after}
    return _rows((await connection.execute(statements.EVENTS, asked)).all())


async def _settlements(connection: AsyncConnection, caller: tuple[UUID, UUID], workspaces: list[str]) -> Any:
    asked = {"client": caller[0], "secret": caller[1], "workspaces": workspaces}
    return (await connection.execute(statements.SETTLEMENTS, asked)).all()


async def _accounts(connection: AsyncConnection, caller: tuple[UUID, UUID], shown: list[str]) -> Any:
    asked = {"client": caller[0], "secret": caller[1], "accounts": [UUID(one[5:]) for one in shown]}
    return (await connection.execute(statements.ACCOUNTS, asked)).all()


def _count(rows: Any) -> Response:
    return Response(b'{"rows":%d}' % len(rows), media_type="application/json")


def _rows(rows: Any) -> Response:
    return Response(orjson.dumps([dict(row._mapping) for row in rows], default=str), media_type="application/json")
