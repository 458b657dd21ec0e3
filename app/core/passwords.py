"""Password hashing: argon2id through passlib, in a bounded thread pool, so that logins never hold up other requests.

NIST SP 800-63B-4 §3.1.1.2; parameters after the OWASP Password Storage Cheat Sheet (m = 19 MiB, t = 2, p = 1).
"""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError
from passlib.context import CryptContext
from passlib.exc import UnknownHashError

from app.core.errors import Busy
from app.core.telemetry import HASH_QUEUE

T = TypeVar("T")


def prepare(password: str) -> str:
    """NFKC: the same characters from another keyboard are the same password (NIST SP 800-63B-4 §3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


class PasswordHasher:
    """Hash and verify with `threads` threads and at most `queue` waiting; raises Busy (503) beyond that."""

    def __init__(self, *, memory_kib: int, time: int, parallelism: int, threads: int, queue: int) -> None:
        self._context = CryptContext(
            schemes=["argon2"],
            argon2__type="ID",
            argon2__memory_cost=memory_kib,
            argon2__time_cost=time,
            argon2__parallelism=parallelism,
        )
        self._floor = (memory_kib, time)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hash")
        self._room = threads + queue
        self._taken = 0
        self._decoy = str(self._context.hash("nobody's password"))

    async def hash(self, password: str) -> str:
        return await self._run(lambda: str(self._context.hash(prepare(password))))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password is right; takes the same time when there is no hash to compare with."""
        right = await self._run(lambda: self._matches(prepare(password), self._decoy if hashed is None else hashed))
        return right and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether the parameters were raised since. Stronger ones than today's are kept."""
        try:
            made_with = extract_parameters(hashed)
        except InvalidHashError:
            return True
        return made_with.memory_cost < self._floor[0] or made_with.time_cost < self._floor[1]

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password: str, hashed: str) -> bool:
        try:
            return bool(self._context.verify(password, hashed))
        except (UnknownHashError, ValueError):  # a damaged row is a wrong password, not a 500
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._taken >= self._room:
            raise Busy(retry_after=1)
        self._taken += 1
        HASH_QUEUE.inc()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._taken -= 1
            HASH_QUEUE.dec()
