"""`Idempotency-Key`: the same request again gets the same answer (draft-ietf-httpapi-idempotency-key-header)."""

from dataclasses import dataclass
from datetime import timedelta

from app.core.clock import now
from app.core.crypto import Mac, Seal
from app.core.errors import IdempotencyKeyReused, RequestRunning
from app.core.limits import Limits
from app.repositories.unit_of_work import UnitOfWork, retried

_LOCK = timedelta(seconds=60)  # longer than any request takes: then who computed the answer died


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was given."""

    status: int
    headers: dict[str, str]
    body: bytes


class IdempotencyService:
    def __init__(self, uow: UnitOfWork, *, secret: bytes, limits: Limits) -> None:
        self.uow = uow
        self._mac = Mac(secret, "idempotency")  # a plain hash of a body would let its password be guessed
        # An answer may hold what is shown once: a webhook's secret, a ticket.
        self._seal = Seal(secret, "idempotent-answers")
        self._kept = timedelta(hours=limits.idempotency_hours)

    @retried
    async def claim(self, *, caller: str, key: str, request: bytes) -> Answer | None:
        """The answer given before; None when the caller is to compute it, and then to `keep` or `release` it.

        Raises IdempotencyKeyReused for another request, and RequestRunning while the first is being computed.
        """
        at, fingerprint = now(), self._mac.of(request)
        async with self.uow() as uow:
            if await uow.idempotency.claim(
                self._hash(caller, key),
                fingerprint=fingerprint,
                at=at,
                locked_until=at + _LOCK,
                expires_at=at + self._kept,
            ):
                return None
            kept = await uow.idempotency.get(self._hash(caller, key))
        if kept is None:
            raise RequestRunning
        if kept.fingerprint != fingerprint:
            raise IdempotencyKeyReused
        if kept.status is None:
            raise RequestRunning
        place = self._hash(caller, key).hex()
        return Answer(kept.status, kept.headers or {}, self._seal.open(kept.body or b"", bound=place))

    @retried
    async def keep(self, *, caller: str, key: str, answer: Answer) -> None:
        async with self.uow() as uow:
            place = self._hash(caller, key)
            sealed = self._seal.close(answer.body, bound=place.hex())
            await uow.idempotency.keep(place, status=answer.status, headers=answer.headers, body=sealed)

    @retried
    async def release(self, *, caller: str, key: str) -> None:
        """Nothing was done: the key may be used again."""
        async with self.uow() as uow:
            await uow.idempotency.release(self._hash(caller, key))

    def _hash(self, caller: str, key: str) -> bytes:
        return self._mac.of(caller, key)
