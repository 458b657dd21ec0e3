"""Whether this process can serve."""

from collections.abc import Callable
from datetime import timedelta

from app.core.clock import now
from app.core.errors import AppError, NotReady
from app.core.tokens import Tokens
from app.core.vault import Vault
from app.repositories.unit_of_work import UnitOfWork

# Half the life of a token and of a code (docs/configuration.md): replicas that are nearer to each other take what the
# other signed or wrote, and what is past its time outlives it by no more than this.
_CLOCKS_APART = timedelta(minutes=5)


class HealthService:
    def __init__(self, uow: UnitOfWork, tokens: Tokens, vault: Vault, *, fits: Callable[[str | None], bool]) -> None:
        self.uow = uow
        self._tokens = tokens
        self._vault = vault
        self._fits = fits

    async def require_ready(self) -> dict[str, bool]:
        """The checks, all of them true; raises NotReady.

        database: it answers; schema: it is at the revision of this code, or of a version to come; signing_key: there
        is one that signs; data_key: there is one that seals names and document numbers; clock: ours is the
        database's, within five minutes.
        """
        checks = await self._checks()
        if not all(checks.values()):
            raise NotReady(checks)
        return checks

    async def _checks(self) -> dict[str, bool]:
        keys = {"signing_key": self._tokens.ready, "data_key": self._vault.ready}
        try:
            async with self.uow.reading() as uow:
                revision, clock = await uow.schema.state()
        except AppError:
            return {"database": False, "schema": False, "clock": False, **keys}
        agree = clock is None or abs(now() - clock) <= _CLOCKS_APART
        return {"database": True, "schema": self._fits(revision), "clock": agree, **keys}
