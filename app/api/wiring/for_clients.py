"""What other services of Guance and staff do: the internal surface, and what they are told by webhooks."""

from dataclasses import dataclass
from datetime import timedelta

from app.api.wiring.shared import Shared
from app.core.config import Settings
from app.services.clients import ClientService
from app.services.directory import DirectoryService
from app.services.staff import StaffService
from app.services.tickets import TicketService
from app.services.webhooks import EndpointSecrets, WebhookService
from app.workers.webhooks import Schedule, WebhookWorker


@dataclass(frozen=True, kw_only=True)
class ForClients:
    clients: ClientService
    directory: DirectoryService
    staff: StaffService
    tickets: TicketService
    webhooks: WebhookService
    webhook_worker: WebhookWorker


def for_clients(shared: Shared) -> ForClients:
    secrets = EndpointSecrets(shared.secret)
    return ForClients(
        clients=ClientService(shared.uow, shared.tokens),
        directory=DirectoryService(
            shared.uow, lookups=shared.lookups, new_accounts=shared.new_accounts, region=shared.region
        ),
        staff=StaffService(shared.uow, access=shared.access, notices=shared.notices),
        tickets=TicketService(shared.uow, limits=shared.settings),
        webhooks=WebhookService(
            shared.uow,
            events=shared.events,
            gateway=shared.gateways.webhook_gateway,
            secrets=secrets,
            overlap=timedelta(hours=shared.settings.webhook_secret_overlap_hours),
        ),
        webhook_worker=WebhookWorker(
            shared.uow,
            events=shared.events,
            gateway=shared.gateways.webhook_gateway,
            secrets=secrets,
            schedule=_schedule(shared.settings),
        ),
    )


def _schedule(settings: Settings) -> Schedule:
    timeout = timedelta(seconds=settings.webhook_timeout_seconds)
    return Schedule(
        pauses=settings.webhook_retry_seconds,
        patience=timedelta(hours=settings.webhook_pause_after_hours),
        lease=4 * timeout,
        timeout=timeout,
    )
