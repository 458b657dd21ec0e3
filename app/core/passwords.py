"""Password hashing: argon2id through passlib, in a bounded thread pool, so that logins never hold up other requests.

NIST SP 800-63B-4 §3.1.1.2; parameters after the OWASP Password Storage Cheat Sheet (m = 19 MiB, t = 2, p = 1).
"""

import asyncio
import base64
import contextlib
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError
from nacl.bindings import crypto_pwhash_str_verify
from nacl.exceptions import InvalidkeyError
from passlib.context import CryptContext
from passlib.exc import UnknownHashError

from app.core.errors import Busy
from app.core.telemetry import HASH_QUEUE, HASH_REFUSED

T = TypeVar("T")

_NICER = 5  # a third of the weight of what answers requests (sched(7))

# The last letters of salt and checksum carry bits that do not count and must be zero.
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]")
_BCRYPT_COST = 13  # about 0.7 s of the one hash thread; Guance's is 12 at most
_BCRYPT_READS = 72  # bytes; what comes after has never counted
_ARGON2ID = re.compile(
    r"\$argon2id\$v=19\$m=[1-9][0-9]{0,6},t=[1-9][0-9]?,p=[1-9][0-9]?\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})"
)
_ARGON2_MEMORY = 131_072  # KiB
_ARGON2_WORK = 262_144  # KiB times passes: about 0.3 s; RFC 9106's second choice is 64 MiB three times
_ARGON2_LANES = 16
_SODIUM_LENGTH = 127


def prepare(password: str) -> str:
    """NFKC: the same characters from another keyboard are the same password (NIST SP 800-63B-4 §3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def may_import(hashed: str) -> bool:
    """Whether a hash made elsewhere may log in here: argon2id or bcrypt, whole, and not made to keep us busy."""
    if match := _BCRYPT.fullmatch(hashed):
        return int(match[1]) <= _BCRYPT_COST
    try:
        made_with = extract_parameters(hashed)
    except InvalidHashError:
        return False
    match = _ARGON2ID.fullmatch(hashed)
    return (
        match is not None
        and all(_is_base64(part) for part in match.groups())
        and made_with.memory_cost <= _ARGON2_MEMORY
        and made_with.memory_cost >= 8 * made_with.parallelism  # RFC 9106 §3.1
        and made_with.memory_cost * made_with.time_cost <= _ARGON2_WORK
        and made_with.parallelism <= _ARGON2_LANES
    )


def _is_base64(text: str) -> bool:
    """Whether an encoder writes it like this: no password would ever be right for anything else."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return False
    return base64.b64encode(raw).decode().rstrip("=") == text


def _sodium_takes(hashed: str) -> bool:
    return len(hashed) <= _SODIUM_LENGTH and ",p=1$" in hashed and _ARGON2ID.fullmatch(hashed) is not None


def _sodium_finds(secret: bytes, hashed: str) -> bool:
    """What passlib finds, in a third less CPU (docs/decisions/0029)."""
    try:
        return crypto_pwhash_str_verify(hashed.encode(), secret)
    except InvalidkeyError:
        return False


def _step_back() -> None:
    """Let the threads that answer requests go first wherever the processor has to choose: setpriority(2), which is of a
    thread on Linux alone. On a processor of its own a hash is as fast as ever."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):  # where it is not to be had, logins go on without
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICER)


class PasswordHasher:
    """Hash and verify with `threads` threads and at most `queue` waiting; raises Busy (503) beyond that."""

    def __init__(self, *, memory_kib: int, time: int, parallelism: int, threads: int, queue: int) -> None:
        self._context = CryptContext(
            schemes=["argon2", "bcrypt"],  # the first one hashes; bcrypt comes from elsewhere, until the next login
            argon2__type="ID",
            argon2__memory_cost=memory_kib,
            argon2__time_cost=time,
            argon2__parallelism=parallelism,
        )
        self._floor = (memory_kib, time)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hash", initializer=_step_back)
        self._room = threads + queue
        self._taken = 0
        self._decoy = str(self._context.hash("nobody's password"))

    async def hash(self, password: str) -> str:
        return await self._run(lambda: str(self._context.hash(prepare(password))))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password is right; takes the same time when there is no hash to compare with."""
        right = await self._run(lambda: self._matches(password, self._decoy if hashed is None else hashed))
        return right and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether it is no argon2id, or its parameters were raised since. Stronger ones than today's are kept."""
        try:
            made_with = extract_parameters(hashed)
        except InvalidHashError:
            return True
        return made_with.memory_cost < self._floor[0] or made_with.time_cost < self._floor[1]

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password: str, hashed: str) -> bool:
        """As we hash it, and, for a hash that was made elsewhere, as it was typed."""
        return any(self._equals(form, hashed) for form in dict.fromkeys((prepare(password), password)))

    def _equals(self, password: str, hashed: str) -> bool:
        secret = password.encode()
        if _sodium_takes(hashed):
            return _sodium_finds(secret, hashed)
        if _BCRYPT.fullmatch(hashed):
            secret = secret[:_BCRYPT_READS]
        elif hashed.startswith("$2"):
            return False
        try:
            return bool(self._context.verify(secret, hashed))
        except (UnknownHashError, ValueError):  # a damaged row is a wrong password, not a 500
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._taken >= self._room:
            HASH_REFUSED.inc()
            raise Busy(retry_after=1)
        self._taken += 1
        HASH_QUEUE.inc()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._taken -= 1
            HASH_QUEUE.dec()
