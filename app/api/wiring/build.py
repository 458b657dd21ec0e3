"""The parts put together."""

from datetime import timedelta

from app.api.wiring.container import Container
from app.api.wiring.for_clients import ForClients, for_clients
from app.api.wiring.for_clouds import ForClouds, for_clouds
from app.api.wiring.for_holders import ForHolders, for_holders
from app.api.wiring.for_operators import for_operators
from app.api.wiring.for_real_names import ForRealNames, for_real_names
from app.api.wiring.shared import Shared, shared
from app.core.config import Settings
from app.models.verification import Channel
from app.services.waiting_changes import WaitingChanges
from app.workers.outbox import OutboxWorker, Retrying
from app.workers.runner import Runner
from app.workers.upkeep import Upkeep


def build(settings: Settings) -> Container:
    """Nothing is connected or started yet."""
    common = shared(settings)
    holders, clients, real_names = for_holders(common), for_clients(common), for_real_names(common)
    clouds = for_clouds(common)
    runner = _runner(common, holders, clients, real_names, clouds)
    common.uow.on_messages = runner.wake
    common.uow.on_events += [runner.wake_for_events, common.events.wake]
    # A group declares its members where it makes them; by name they are the container's, and a missing one ends here.
    return Container(
        settings=settings,
        runner=runner,
        **vars(common.gateways),
        **vars(holders),
        **vars(clients),
        **vars(clouds),
        **vars(real_names),
        **vars(for_operators(common)),
    )


def _runner(
    common: Shared, holders: ForHolders, clients: ForClients, real_names: ForRealNames, clouds: ForClouds
) -> Runner:
    return Runner(
        _outboxes(common),
        clients.webhook_worker,
        real_names.real_name_worker,
        clouds.marketplace_worker,
        _upkeep(common, holders.waiting),
        poll_seconds=common.settings.outbox_poll_seconds,
    )


def _outboxes(common: Shared) -> list[OutboxWorker]:
    settings = common.settings
    retrying = Retrying(
        lease=settings.outbox_lease_seconds,
        attempts=settings.outbox_max_attempts,
        first=settings.outbox_backoff_seconds,
        longest=settings.outbox_backoff_max_seconds,
    )
    return [
        OutboxWorker(
            common.uow,
            channel=channel,
            notices=common.notices,
            notifiers=common.gateways.notifiers,
            retrying=retrying,
        )
        for channel in (Channel.EMAIL, Channel.SMS)
    ]


def _upkeep(common: Shared, waiting: WaitingChanges) -> Upkeep:
    settings = common.settings
    return Upkeep(
        common.uow,
        waiting,
        common.data_keys,
        retention=timedelta(days=settings.retention_days),
        known_address=timedelta(days=settings.known_address_days),
        events_kept=timedelta(days=settings.event_retention_days),
    )
