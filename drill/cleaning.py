"""`python -m drill.cleaning`: the service's own clean-up again and again, as if days were minutes.

Its statements are those of production. What it deletes in production after days it deletes here after two minutes: it
is told of moments that lie so far ahead as the settings say that things are kept.
"""

import asyncio
from datetime import timedelta

from app.api.wiring import Container
from app.cli.common import run, settings_of_process
from app.core.clock import now

_EVERY = 15.0  # seconds
_KEPT = timedelta(minutes=2)


async def _clean(container: Container) -> None:
    settings, uow = container.settings, container.profile.uow
    a_day, idle = timedelta(hours=settings.idempotency_hours), timedelta(days=settings.session_idle_days)
    while True:
        await asyncio.sleep(_EVERY)
        before = now() - _KEPT
        async with uow() as work:
            await work.cleanup.forget(at=before + a_day, before=before, sessions_before=before + idle)
        async with uow() as work:
            await work.events.forget(before)


if __name__ == "__main__":
    run(settings_of_process(), _clean)
