"""What is measured: for each operation the service's requests, and those of the floors that it is compared with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle, islice

from benchmarks import codes
from benchmarks.requests import raw
from benchmarks.seed import PASSWORD, email, workspace
from benchmarks.world import World

Make = Callable[[World, int], list[bytes]]
_MANY = 1000  # ids in one look-up
_LOOK_UPS = 60  # different ones of such
_NEW_PASSWORD = "trombone giraffe sandbox"
_ALL = (16, 64)
BESIDE = 8  # callers who read, and callers who log in beside them
_HASHING = (16,)  # a hash at a time in each process: more callers would only wait longer, or be told to come again


@dataclass(frozen=True)
class Contender:
    """`make` gives so many requests for the server of this name, answered with `status`. `rate`: of requests that can
    be sent once only, how many a second to have ready at first; None for those that may be sent again. `beside`: other
    requests for the same server at the same time, of eight callers.
    """

    server: str
    make: Make
    status: int = 200
    rate: int | None = None
    beside: Make | None = None


@dataclass(frozen=True)
class Operation:
    """`contenders` by name: the service first, then its reference, then others that say something."""

    contenders: Mapping[str, Contender]
    connections: tuple[int, ...] = _ALL
    requests: int = 2000  # different ones, where they may be sent again
    windows: int = 1  # a window is so many times as long as usual: slow requests are few


def _readers(world: World, count: int) -> list[int]:
    return list(islice(cycle(world.readers), count))


def _as_holder(path: str) -> Make:
    """The path, asked for by each reader in turn."""
    return lambda world, count: [
        raw("GET", path, token=world.token(number), number=number) for number in _readers(world, count)
    ]


def _as_service(path: Callable[[World, int], str]) -> Make:
    """The path of each account in turn, asked for by the service client."""
    return lambda world, count: [
        raw("GET", path(world, number), token=world.service_token) for number in _readers(world, count)
    ]


def _look_up(path: str, member: str, name: Callable[[World, int], str]) -> Make:
    """A thousand names at a time, each time from another account on, spread over all of them."""

    def make(world: World, count: int) -> list[bytes]:
        size = world.seeded.size
        step = max(1, size // _MANY)
        asked = [
            [name(world, (first * 7 + at * step) % size) for at in range(min(_MANY, size))] for first in range(count)
        ]
        return [raw("POST", path, token=world.service_token, body={member: names}) for names in asked]

    return make


def _log_in(world: World, count: int) -> list[bytes]:
    numbers = _readers(world, count)
    return [
        raw(
            "POST",
            "/v1/sessions",
            body={
                "method": "password",
                "identifier": f"holder{number}",
                "password": PASSWORD,
                "refresh_token_delivery": "body",
            },
            number=number,
        )
        for number in numbers
    ]


def _ask_for_code(path: str, whose: Callable[[World, int], list[int]]) -> Make:
    return lambda world, count: [
        raw("POST", path, body={"identifier": email(number)}, number=number) for number in whose(world, count)
    ]


def _enter_code(world: World, count: int) -> list[bytes]:
    return [
        raw(
            "POST",
            "/v1/sessions",
            body={"method": "code", "challenge_id": challenge, "code": code, "refresh_token_delivery": "body"},
            number=number,
        )
        for number, (challenge, code) in enumerate(codes.sent(world, count))
    ]


def _enter_written_code(world: World, count: int) -> list[bytes]:
    return [
        raw("POST", "/sessions", body={"challenge_id": challenge, "code": code}, number=number)
        for number, (challenge, code) in enumerate(codes.written(world, count))
    ]


def _change_password(world: World, count: int) -> list[bytes]:
    body = {"current_password": PASSWORD, "new_password": _NEW_PASSWORD}
    return [
        raw("PUT", "/v1/account/password", token=world.token(number), body=body, number=number)
        for number in world.fresh(count)
    ]


def _nothing(path: str) -> Make:
    return lambda _, count: [raw("POST", path)] * count


def _feed(world: World, count: int) -> list[bytes]:
    pages = islice(cycle(world.cursors), count)
    return [raw("GET", f"/internal/v1/events?limit=100&after={after}", token=world.service_token) for after in pages]


def _feed_by_position(world: World, count: int) -> list[bytes]:
    pages = islice(cycle(range(len(world.cursors))), count)
    return [raw("GET", f"/events?after={100 * page}", token=world.service_token) for page in pages]


def _looked_up(path: str, floor: str, member: str, name: Callable[[World, int], str]) -> Operation:
    return Operation(
        {
            "service": Contender("service", _look_up(path, member, name)),
            "core": Contender("core", _look_up(floor, member, name)),
            "core, as JSON": Contender("core", _look_up(f"{floor}-json", member, name)),
        },
        requests=_LOOK_UPS,
    )


def _beside_logins(server: str) -> Operation:
    """Reads while eight callers log in again and again, compared with the same reads alone."""
    reads = _as_holder("/v1/account/profile")
    return Operation(
        {"service": Contender(server, reads, beside=_log_in), "alone": Contender(server, reads)},
        connections=(BESIDE,),
        windows=2,
    )


OPERATIONS: Mapping[str, Operation] = {
    "profile": Operation(
        {
            "service": Contender("service", _as_holder("/v1/account/profile")),
            "b": Contender("b", _as_holder("/account")),
            "a": Contender("a", _as_holder("/account")),
        },
    ),
    "account": Operation(
        {
            "service": Contender("service", _as_holder("/v1/account")),
            "b": Contender("b", _as_holder("/account")),
        },
    ),
    "login": Operation(
        {
            "service": Contender("service", _log_in, 201),
            "hash": Contender("a", _nothing("/log-in"), 201),
            "hash, libsodium": Contender("a", _nothing("/log-in-with-libsodium"), 201),
        },
        connections=_HASHING,
        windows=3,
    ),
    "password change": Operation(
        {
            "service": Contender("service", _change_password, 204, rate=60),
            "hash": Contender("a", _nothing("/change-password"), 204),
        },
        connections=_HASHING,
        windows=3,
    ),
    "code request": Operation(
        {
            "service": Contender("service", _ask_for_code("/v1/login-codes", World.fresh), 202, rate=600),
            "core": Contender("core", _ask_for_code("/login-codes", World.others), 202, rate=1500),
        },
    ),
    "code confirm": Operation(
        {
            "service": Contender("service", _enter_code, 201, rate=200),
            "core": Contender("core", _enter_written_code, 201, rate=1500),
        },
    ),
    "settlement": Operation(
        {
            "service": Contender(
                "service", _as_service(lambda _, number: f"/internal/v1/workspaces/{workspace(number)}/settlement")
            ),
            "core": Contender("core", _as_service(lambda _, number: f"/settlements/{workspace(number)}")),
        },
    ),
    "settlements of 1,000": _looked_up(
        "/internal/v1/settlements/lookup",
        "/settlements/lookup",
        "workspace_ids",
        lambda _, number: workspace(number),
    ),
    "invoicing": Operation(
        {
            "service": Contender(
                "service", _as_service(lambda world, number: f"/internal/v1/accounts/{world.shown(number)}/invoicing")
            ),
            "core": Contender("core", _as_service(lambda world, number: f"/accounts/{world.shown(number)}/invoicing")),
        },
    ),
    "accounts of 1,000": _looked_up(
        "/internal/v1/accounts/lookup",
        "/accounts/lookup",
        "ids",
        lambda world, number: world.shown(number),
    ),
    "events": Operation(
        {
            "service": Contender("service", _feed),
            "core": Contender("core", _feed_by_position),
        },
        requests=_LOOK_UPS,
    ),
    "reads beside logins": _beside_logins("service"),
    "reads beside logins, one process": _beside_logins("single"),
}
