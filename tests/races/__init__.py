"""What happens when many ask at once: two instances of the service on one database, and what their answers say."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from uuid import uuid4

import httpx
from sqlalchemy import text

from app.core.database import async_url, open_engine
from tests.support.api import Api, Holder

Call = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]
Body = Mapping[str, str | None]


@dataclass
class Replicas:
    """Two instances on one database. Set up through `first`; race through both."""

    first: Api
    second: Api

    async def at_once(self, calls: Iterable[Call]) -> list[httpx.Response]:
        """Make all calls at the same time, every other one to the second instance; the answers in their order."""
        clients = (self.first.client, self.second.client)
        return list(await asyncio.gather(*(call(clients[number % 2]) for number, call in enumerate(calls))))

    async def scalar(self, sql: str) -> object:
        async with self.first.container.engine.connect() as connection:
            return await connection.scalar(text(sql))


def tally(answers: Iterable[httpx.Response]) -> Counter[str]:
    """How often each outcome came: the status of a success, the code of a failure."""
    return Counter(outcome(answer) for answer in answers)


def outcome(answer: httpx.Response) -> str:
    return str(answer.status_code) if answer.is_success else str(answer.json()["code"])


def assert_documented(api: Api, operation: str, answers: Iterable[httpx.Response]) -> None:
    """Each answer has a status and a code that the OpenAPI document gives for the operation (`post /v1/sessions`)."""
    method, _, path = operation.partition(" ")
    responses = api.app.openapi()["paths"][path][method]["responses"]
    for answer in answers:
        documented = responses.get(str(answer.status_code), {}).get("content", {})
        codes = documented.get("application/problem+json", {}).get("examples", {})
        assert str(answer.status_code) in responses, answer.text
        assert answer.is_success or outcome(answer) in codes, answer.text
        assert answer.status_code < 500, answer.text


def send(method: str, url: str, holder: Holder | None = None, body: Body | None = None) -> Call:
    headers = holder.auth if holder else None
    return lambda client: client.request(method, url, json=body, headers=headers)


def post(url: str, body: Body, holder: Holder | None = None) -> Call:
    return send("POST", url, holder, body)


def another(code: str, step: int) -> str:
    """A wrong code, a different one for each step."""
    return f"{(int(code) + step) % 1_000_000:06}"


async def create_database(server: str) -> str:
    """The URL of an empty PostgreSQL database of the test's own."""
    name = f"races_{uuid4().hex}"
    engine = open_engine(server).execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    return async_url(server).set(drivername="postgresql", database=name).render_as_string(hide_password=False)
