"""Floor b, the reference: FastAPI with `Depends`, SQLAlchemy Core on asyncpg. One route: who am I."""

from typing import Any

from fastapi import FastAPI, HTTPException, Response
from sqlalchemy import bindparam, column, func, select, table

from benchmarks.floors.parts import Caller, Transaction

_SHOWN = (
    *("id", "username", "email", "phone", "company_name", "industry", "region", "company_description", "contact_name"),
    *("status", "real_name_status", "locale", "time_zone", "created_at", "updated_at"),
)
_A = table("accounts", *map(column, _SHOWN)).alias("a")
_S = table("sessions", *map(column, ("id", "account_id", "ended_at", "expires_at"))).alias("s")
_WHO = (
    select(*(_A.c[name] for name in _SHOWN))
    .join(_S, _S.c.account_id == _A.c.id)
    .where(_S.c.id == bindparam("session"), _A.c.id == bindparam("account"))
    .where(_S.c.ended_at.is_(None), _S.c.expires_at > func.now(), _A.c.status == "active")
)

app = FastAPI()


@app.get("/account", response_model=None)  # with a model the answer would be validated as well
async def who_am_i(caller: Caller, connection: Transaction) -> dict[str, Any]:
    account, session = caller
    row = (await connection.execute(_WHO, {"session": session, "account": account})).mappings().one_or_none()
    if row is None:
        raise HTTPException(401)
    return dict(row)


@app.get("/ready")
async def ready() -> Response:
    return Response()
