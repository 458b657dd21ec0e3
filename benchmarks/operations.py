"""What is measured: for each operation the service's requests, and those of the floors that it is compared with."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.seed import address
from benchmarks.world import World

Make = Callable[[World, int], list[bytes]]


@dataclass(frozen=True)
class Contender:
    """`make` gives so many requests for the server of this name. `rate`: for requests that can be sent once only, how
    many a second to have ready at first; None for those that may be sent again and again.
    """

    server: str
    make: Make
    status: int = 200
    rate: int | None = None


@dataclass(frozen=True)
class Operation:
    """`contenders` by name: the service first, then what it is compared with, the reference before others."""

    name: str
    contenders: Mapping[str, Contender]
    connections: tuple[int, ...] = (16, 64)
    requests: int = 2000  # different ones, where they may be sent again


def raw(method: str, path: str, *, token: str | None = None, body: object = None, number: int | None = None) -> bytes:
    """A request as it goes over the wire; `number` is of the account from whose address it comes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: account.example.com", "Accept: application/json"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if number is not None:
        lines.append(f"X-Forwarded-For: {address(number)}")
    content = b""
    if body is not None:
        content = json.dumps(body).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _as_holder(path: str) -> Make:
    """The path, asked for by each reader in turn."""

    def make(world: World, count: int) -> list[bytes]:
        readers = [world.readers[at % len(world.readers)] for at in range(count)]
        return [raw("GET", path, token=world.token(number), number=number) for number in readers]

    return make


OPERATIONS = (
    Operation(
        "profile",
        {
            "service": Contender("service", _as_holder("/v1/account/profile")),
            "b": Contender("b", _as_holder("/account")),
            "a": Contender("a", _as_holder("/account")),
        },
    ),
    Operation(
        "account",
        {
            "service": Contender("service", _as_holder("/v1/account")),
            "b": Contender("b", _as_holder("/account")),
        },
    ),
)
