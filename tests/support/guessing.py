"""`python -m tests.support.guessing`: somebody guesses at an account all year long, on a clock that is moved.

The stranger knows username, email and phone, comes from a new address every day, takes every code that can be had for
login and reset, guesses each as often as it is compared, and on the first days types passwords as fast as they are
looked at. The holder logs in every evening, from an address known to the service, which forgives the failures: the
worst case, since the stranger may then begin anew.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from unittest.mock import patch

import httpx
import time_machine

from app.core import logging, migrations
from app.core.clock import now
from app.core.crypto import Mac
from app.core.passwords import PasswordHasher
from tests.support.api import PASSWORD, Api, Holder, calling_from, running

PHONE = "+8613800138000"
_CODES = 10**6
_DAY = timedelta(days=1)
_PASSWORD_DAYS = 5  # each is like the others, and takes a hundred calls


@dataclass
class Attack:
    """What the service did in so many days."""

    days: int = 0
    codes: int = 0  # guesses that were compared with a code
    passwords: int = 0  # and with the password
    holder_by_code: int = 0  # days on which the holder got in by a code
    holder_by_password: int = 0  # and then by the password

    @property
    def chance(self) -> float:
        """That some guess of a code was right."""
        return float(1 - (1 - 1 / _CODES) ** self.codes)

    def __str__(self) -> str:
        return (
            f"{self.days} days: {self.codes} guesses of codes compared (chance {self.chance:.3%}), {self.passwords} of "
            f"the password on {min(self.days, _PASSWORD_DAYS)} days; the holder got in on {self.holder_by_code} days "
            f"by code, {self.holder_by_password} by password"
        )


@contextmanager
def _compared(attack: Attack) -> Iterator[None]:
    """Count what is really compared, whatever the answers say."""
    matches, verify = Mac.matches, PasswordHasher.verify

    def of_code(self: Mac, mac: bytes, *parts: str | bytes) -> bool:
        attack.codes += 1
        return matches(self, mac, *parts)

    async def of_password(self: PasswordHasher, password: str, hashed: str | None) -> bool:
        attack.passwords += hashed is not None
        return await verify(self, password, hashed)

    with patch.object(Mac, "matches", of_code), patch.object(PasswordHasher, "verify", of_password):
        yield


async def attacked(api: Api, days: int) -> Attack:
    """The holder's address stays known: nobody is logged in for longer than GUANCE_KNOWN_ADDRESS_DAYS without it."""
    holder, attack = await api.register(phone=PHONE), Attack()
    identifiers = (holder.username, holder.email, PHONE)
    with time_machine.travel(now().replace(microsecond=0), tick=False) as clock:
        for day in range(days):
            began = now()
            async with calling_from(api, f"203.0.{day // 250}.{1 + day % 250}") as stranger:
                with _compared(attack):
                    for identifier in identifiers:
                        await _guess_codes(stranger, identifier, clock)
                    if day < _PASSWORD_DAYS:
                        await _guess_passwords(stranger, holder.username, clock, attack)
            await _holder_comes(api, holder, attack)
            attack.days += 1
            api.notifier.sent.clear()
            clock.move_to(max(now(), began + _DAY))
    return attack


async def _guess_codes(stranger: Api, identifier: str, clock: time_machine.Traveller) -> None:
    for ask in (_ask_login, _ask_reset):
        while (url_and_body := await ask(stranger, identifier)) is not None:
            url, body = url_and_body
            while (await stranger.client.post(url, json=body)).status_code == 422:
                pass
            clock.shift(stranger.settings.code_resend_seconds)


Guess = tuple[str, dict[str, str]]


async def _ask_login(stranger: Api, identifier: str) -> Guess | None:
    asked = await stranger.client.post("/v1/login-codes", json={"identifier": identifier})
    if asked.status_code != 202:
        return None
    return "/v1/sessions", {"method": "code", "challenge_id": asked.json()["challenge_id"], "code": "000000"}


async def _ask_reset(stranger: Api, identifier: str) -> Guess | None:
    asked = await stranger.client.post("/v1/password-resets", json={"identifier": identifier})
    if asked.status_code != 202:
        return None
    url = f"/v1/password-resets/{asked.json()['id']}/confirm"
    return url, {"code": "000000", "new_password": "another long passphrase"}


async def _guess_passwords(stranger: Api, identifier: str, clock: time_machine.Traveller, attack: Attack) -> None:
    """Until no guess is compared any more: the account has had so many failures that it takes no password."""
    while True:
        before = attack.passwords
        answer = await _log_in(stranger, identifier, "wrong horse battery staple")
        if answer.status_code == 429:
            clock.shift(int(answer.headers["Retry-After"]))
        elif attack.passwords == before:
            return


async def _log_in(api: Api, identifier: str, password: str) -> httpx.Response:
    body = {"method": "password", "identifier": identifier, "password": password}
    return await api.client.post("/v1/sessions", json=body)


async def _holder_comes(api: Api, holder: Holder, attack: Attack) -> None:
    """By a code, which always works from a known address; after it the password works as well."""
    asked = await api.client.post("/v1/login-codes", json={"identifier": holder.email})
    if asked.status_code == 202:
        code = await api.code(holder.email)
        body = {"method": "code", "challenge_id": asked.json()["challenge_id"], "code": code}
        attack.holder_by_code += (await api.client.post("/v1/sessions", json=body)).status_code == 201
    attack.holder_by_password += (await _log_in(api, holder.username, PASSWORD)).status_code == 201


async def _run(days: int) -> Attack:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/app.db"
        await asyncio.to_thread(migrations.upgrade, url)
        async with running(url, code_resend_seconds=60) as api:
            return await attacked(api, days)


def main() -> int:
    """Print what the attack came to; 1 when the stated chance is passed or the holder was shut out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    days = parser.parse_args().days
    logging.configure("ERROR")
    began = time.monotonic()
    attack = asyncio.run(_run(days))
    sys.stdout.write(f"{attack} ({time.monotonic() - began:.0f} s)\n")
    held = attack.chance <= 0.0074 * days / 365 and attack.holder_by_code == attack.holder_by_password == days
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
