"""Calls about identifiers that somebody has and that nobody has, in random order, each identifier once."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import median

import httpx

from tests.timing.served import new_name
from tests.timing.statistics import Comparison, compare

Call = Callable[[httpx.Client, str], httpx.Response]

# A run says "told apart" of equal distributions once in a thousand, and is then repeated once with new identifiers:
# a false alarm comes once in a million.
FALSE_ALARM = 0.001


def log_in(client: httpx.Client, name: str) -> httpx.Response:
    body = {"method": "password", "identifier": name, "password": "wrong horse battery staple"}
    return client.post("/v1/sessions", json=body)


def log_in_by_email(client: httpx.Client, name: str) -> httpx.Response:
    return log_in(client, f"{name}@example.com")


def ask_login_code(client: httpx.Client, name: str) -> httpx.Response:
    return client.post("/v1/login-codes", json={"identifier": f"{name}@example.com"})


def ask_reset(client: httpx.Client, name: str) -> httpx.Response:
    return client.post("/v1/password-resets", json={"identifier": f"{name}@example.com"})


def register(client: httpx.Client, name: str) -> httpx.Response:
    """Without a password: its hash, the same for all, would only hide the rest."""
    body = {"username": new_name(), "email": f"{name}@example.com", "company_name": "Contoso"}
    return client.post("/v1/registrations", json=body)


OPERATIONS: dict[str, Call] = {
    "login by username": log_in,
    "login by email": log_in_by_email,
    "login code": ask_login_code,
    "password reset": ask_reset,
    "registration": register,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds of the calls about known and unknown identifiers."""

    known: list[float]
    unknown: list[float]

    @property
    def comparison(self) -> Comparison:
        return compare(self.known, self.unknown)

    @property
    def told_apart(self) -> bool:
        return self.comparison.p < FALSE_ALARM

    @property
    def would_find(self) -> float:
        """The least delay of the known ones that would have told these apart; milliseconds, to a hundredth."""
        low, high = 0.0, max(*self.known, *self.unknown)
        while high - low > 0.01:
            middle = (low + high) / 2
            later = [time + middle for time in self.unknown]
            low, high = (low, middle) if compare(later, self.unknown).p < FALSE_ALARM else (middle, high)
        return high

    def __str__(self) -> str:
        found = self.comparison
        return (
            f"{len(self.known)} + {len(self.unknown)} calls, median {median(self.known):.3f} / "
            f"{median(self.unknown):.3f} ms, AUC {found.auc:.3f}, p {found.p:.4f}; "
            f"a delay of {self.would_find:.2f} ms would be found"
        )


def measure(client: httpx.Client, call: Call, known: Iterable[str], *, warming: int = 50) -> Measured:
    """Call once about each of the known names and once about as many that nobody has, in random order.

    The first `warming` calls are about nobody and are not counted: connections and caches of plans fill up.
    Raises AssertionError when an answer's status differs from the others'.
    """
    for _ in range(warming):
        call(client, new_name())
    names = [(name, True) for name in known]
    names += [(new_name(), False) for _ in names]
    random.shuffle(names)
    times: dict[bool, list[float]] = {True: [], False: []}
    statuses = set()
    for name, is_known in names:
        began = time.perf_counter()
        answer = call(client, name)
        times[is_known].append((time.perf_counter() - began) * 1000)
        statuses.add(answer.status_code)
    assert len(statuses) == 1, statuses
    return Measured(times[True], times[False])


def measure_until_sure(client: httpx.Client, call: Call, names: Iterator[str], *, calls: int) -> list[Measured]:
    """One run of `calls` names of each kind, and another one if that told them apart."""
    runs = [measure(client, call, list(islice(names, calls)))]
    if runs[0].told_apart:
        runs.append(measure(client, call, list(islice(names, calls))))
    return runs
