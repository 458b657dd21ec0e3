"""Receivers of webhooks on this host: real listeners that keep what they get and answer as told; and false names."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from app.core import ids
from app.models.events import EventType
from app.services.events import publish
from tests.support.api import Api
from tests.support.services import ServiceClient, spread

HERE = "127.0.0.0/8"


@dataclass(frozen=True)
class Received:
    """One request; the names of its headers are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Behaviour = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


def answers(status: int, **headers: str) -> Behaviour:
    async def answer(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(status, {**headers, "content-length": "0"}))

    return answer


def says(raw: bytes) -> Behaviour:
    """Exactly these bytes."""

    async def say(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return say


def dribbles(start: bytes, again: bytes, every: float) -> Behaviour:
    """Says something, and something more again and again, without an end."""

    async def dribble(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(every)

    return dribble


async def hangs(_: Received, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def by_id(status: Mapping[str, int]) -> Behaviour:
    """For some events another status than 200."""

    async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(status.get(received.id, 200), {"content-length": "0"}))

    return answer


@dataclass
class Gate:
    """Holds every answer back until it is opened."""

    status: int = 200
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _: Received, writer: asyncio.StreamWriter) -> None:
        self.reached.set()
        await self.opened.wait()
        writer.write(_head(self.status, {"content-length": "0"}))


@dataclass
class Receiver:
    """A listener; set `behave` to change what it does from now on."""

    behave: Behaviour
    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = 0
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    most_at_once: int = 0
    _tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/hooks"

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.received]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.most_at_once = max(self.most_at_once, len(self._tasks))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.received.append(await _read(reader))
            await self.behave(self.received[-1], writer)
            await writer.drain()
        self._tasks.discard(task)
        writer.close()

    async def stop(self) -> None:
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@asynccontextmanager
async def receiver(
    behave: Behaviour | None = None, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """It takes everything, unless told otherwise."""
    hooks = Receiver(behave or answers(204), "https" if tls else "http", host)
    server = await asyncio.start_server(hooks.serve, host, port, ssl=tls)
    hooks.port = server.sockets[0].getsockname()[1]
    try:
        yield hooks
    finally:
        server.close()
        await hooks.stop()


class Names:
    """What the resolver says of some names: the next answer on each call, the last one for ever. `asked` keeps them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **known: Sequence[Sequence[str]]) -> None:
        self.asked: list[str] = []
        self.known = {name.replace("_", "."): list(answers) for name, answers in known.items()}
        self._ask = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, port: Any, *rest: Any, **options: Any) -> list[Any]:
        if host not in self.known:
            return self._ask(host, port, *rest, **options)
        self.asked.append(host)
        answers = self.known[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [_as_found(address, port) for address in addresses]


def _as_found(address: str, port: Any) -> tuple[Any, ...]:
    family, where = (socket.AF_INET6, (address, port, 0, 0)) if ":" in address else (socket.AF_INET, (address, port))
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Received(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1")


@dataclass(frozen=True)
class Endpoint:
    """A webhook endpoint, and the calls that its owner makes for it."""

    service: ServiceClient
    id: str
    secret: str

    @property
    def path(self) -> str:
        return f"/webhook-endpoints/{self.id}"

    async def shown(self) -> dict[str, Any]:
        answer = await self.service.get(self.path)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def attempts(self, **params: Any) -> list[dict[str, Any]]:
        """The oldest first."""
        answer = await self.service.get(f"{self.path}/attempts", **{"limit": 100, **params})
        assert answer.status_code == 200, answer.text
        return list(reversed(answer.json()["items"]))

    async def set_status(self, status: str) -> None:
        answer = await self.service.put(f"{self.path}/status", {"status": status})
        assert answer.status_code == 200, answer.text

    async def redeliver(self, **members: Any) -> int:
        answer = await self.service.post(f"{self.path}/redeliveries", members)
        assert answer.status_code == 202, answer.text
        queued: int = answer.json()["queued"]
        return queued


async def endpoint(service: ServiceClient, url: str, *event_types: str) -> Endpoint:
    answer = await service.post("/webhook-endpoints", {"url": url, "event_types": event_types})
    assert answer.status_code == 201, answer.text
    return Endpoint(service, answer.json()["id"], answer.json()["secret"])


async def happen(api: Api, *kinds: EventType, account: UUID | None = None) -> None:
    """Events of one account (none: of one account each), as the services write them."""
    for kind in kinds:
        async with api.container.profile.uow() as uow:
            publish(uow, kind, account or ids.new())


async def deliver(api: Api) -> None:
    """Send all that is due, and wait for the answers."""
    worker = api.container.webhook_worker
    await spread(api)
    while await worker.deliver_due():
        await worker.settled()
