"""Look-ups of other services: from a replica where there is one, from the primary else."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.core.callers import Service
from app.core.errors import ClientDisabled, Unavailable
from app.core.telemetry import LOOKUPS
from app.repositories.unit_of_work import UnitOfWork, Work

R = TypeVar("R")
FEW = 50  # ids; with more of them a look-up is a wide one
_REST = 5.0  # seconds in which a replica that did not answer is not asked


class Lookups:
    """Reads that may be as old as the replica is behind. Whether the client may act is never old."""

    def __init__(self, primary: UnitOfWork, replica: UnitOfWork | None) -> None:
        self._primary, self._replica = primary, replica
        self._rests_until = float("-inf")

    async def look(
        self,
        service: Service,
        read: Callable[[Work], Awaitable[R]],
        *,
        is_whole: Callable[[R], bool],
        wide: bool = False,
    ) -> R:
        """What `read` finds; it is asked of the primary when the replica does not answer or has not all of it.

        `read` is one statement behind the service's client (`through_client`), `wide` if it may have many rows. Raises
        ClientDisabled.
        """
        if self._replica is not None and time.monotonic() >= self._rests_until:
            found = await self._from_replica(self._replica, service, read, wide)
            if found is not None and is_whole(found):
                LOOKUPS.labels("replica").inc()
                return found
            LOOKUPS.labels("primary").inc()
        with self._primary.rows(wide=wide) as work:
            return await read(work)

    async def _from_replica(
        self, replica: UnitOfWork, service: Service, read: Callable[[Work], Awaitable[R]], wide: bool
    ) -> R | None:
        with self._primary.rows() as work:
            if not await work.clients.is_live(service):
                raise ClientDisabled
        try:
            with replica.rows(wide=wide) as work:
                return await read(work)
        except ClientDisabled:  # it does not know the client yet
            return None
        except Unavailable:  # away, or behind the schema of this code
            self._rests_until = time.monotonic() + _REST
            return None
