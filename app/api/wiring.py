"""How everything is built from the settings: the one place that knows all the parts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pydantic import SecretStr

from app.core.config import Billing as BillingChoice
from app.core.config import Settings
from app.core.cursors import Cursors
from app.core.database import Engine, open_engine
from app.core.migrations import head
from app.core.passwords import PasswordHasher
from app.core.tokens import RefreshTokens, Tokens
from app.core.vault import Vault
from app.gateways.billing import Billing, HttpBilling, NoBilling
from app.gateways.real_name.alibaba import AlibabaRealName
from app.gateways.real_name.base import Provider
from app.gateways.real_name.sandbox import SandboxRealName
from app.gateways.real_name.tencent import TencentRealName
from app.gateways.targets import Targets
from app.gateways.webhooks import WebhookGateway
from app.models.verification import Channel
from app.notifiers import build as build_notifiers
from app.notifiers.base import Notifier
from app.repositories.unit_of_work import UnitOfWork
from app.services.access import Access
from app.services.accounts import AccountService
from app.services.activity import ActivityService
from app.services.budgets import Budgets
from app.services.change_notices import ChangeNotices
from app.services.change_views import ChangeViews
from app.services.clients import ClientService
from app.services.closing import BoundWorkspaces, ClosingService, Debts, RecentChanges
from app.services.credential_effects import CredentialEffects
from app.services.credentials import CredentialService
from app.services.data_keys import DataKeyService
from app.services.directory import DirectoryService
from app.services.events import Events
from app.services.health import HealthService
from app.services.idempotency import IdempotencyService
from app.services.invoicing import InvoicingGate
from app.services.limiting import LimitingService
from app.services.new_accounts import NewAccounts
from app.services.notices import Notices
from app.services.open_codes import OpenCodes
from app.services.password import PasswordService
from app.services.profile import ProfileService
from app.services.real_name import ClaimBox, RealNameService
from app.services.real_name_effects import RealNameEffects
from app.services.real_name_review import RealNameReviews
from app.services.reversals import ReversalService
from app.services.sessions import SessionService
from app.services.signing_keys import SigningKeyService
from app.services.staff import StaffService
from app.services.throttling import Throttling
from app.services.tickets import TicketService
from app.services.verification import Verification
from app.services.waiting_changes import WaitingChanges
from app.services.webhooks import EndpointSecrets, WebhookService
from app.services.workspaces import WorkspaceService
from app.workers.outbox import OutboxWorker, Retrying
from app.workers.real_name import MANUAL, Providers, RealNameWorker
from app.workers.runner import Runner
from app.workers.upkeep import Upkeep
from app.workers.webhooks import Schedule, WebhookWorker


@dataclass(frozen=True, slots=True)
class Container:
    """What a process is made of. Services keep nothing between calls; one of each serves all requests."""

    settings: Settings
    engine: Engine
    hasher: PasswordHasher
    tokens: Tokens
    notifiers: dict[str, Notifier]
    cursors: Cursors
    billing: Billing
    webhook_gateway: WebhookGateway
    accounts: AccountService
    activity: ActivityService
    clients: ClientService
    closing: ClosingService
    credentials: CredentialService
    directory: DirectoryService
    events: Events
    health: HealthService
    idempotency: IdempotencyService
    keys: SigningKeyService
    limiting: LimitingService
    data_keys: DataKeyService
    invoicing: InvoicingGate
    password: PasswordService
    profile: ProfileService
    real_name: RealNameService
    real_name_worker: RealNameWorker
    real_name_providers: Providers
    reversals: ReversalService
    reviews: RealNameReviews
    runner: Runner
    sessions: SessionService
    staff: StaffService
    tickets: TicketService
    waiting: WaitingChanges
    webhooks: WebhookService
    webhook_worker: WebhookWorker
    workspaces: WorkspaceService

    async def close(self) -> None:
        self.hasher.close()
        for notifier in self.notifiers.values():
            await notifier.close()
        for provider in self.real_name_providers.by_name.values():
            await provider.close()
        await self.billing.close()
        await self.webhook_gateway.close()
        await self.engine.dispose()


def build(settings: Settings) -> Container:
    """Nothing is connected or started yet."""
    secret, region = settings.secret, settings.default_phone_region
    engine = _engine(settings)
    uow = UnitOfWork(engine)
    hasher = _hasher(settings)
    tokens = Tokens(issuer=settings.issuer, audience=settings.audience, life_seconds=settings.access_token_seconds)
    notices = Notices(secret, spa_url=str(settings.spa_url))
    change_notices = ChangeNotices(notices)
    access = Access(
        tokens,
        RefreshTokens(secret),
        change_notices,
        idle=timedelta(days=settings.session_idle_days),
        longest=timedelta(days=settings.session_max_days),
    )
    budgets = Budgets(secret, settings)
    verification = Verification(uow, secret=secret, limits=settings, budgets=budgets, notices=notices)
    codes = OpenCodes(uow, verification, limits=settings, region=region)
    throttling = Throttling(secret, settings)
    effects = CredentialEffects(limits=settings, access=access, notices=change_notices, verification=verification)
    keys = SigningKeyService(uow, tokens, secret=secret, jwks_ahead=timedelta(seconds=settings.jwks_ahead_seconds))
    views = ChangeViews(verification, settings)
    waiting = WaitingChanges(uow, effects=effects, notices=change_notices)
    credentials = CredentialService(
        uow,
        limits=settings,
        effects=effects,
        notices=change_notices,
        waiting=waiting,
        verification=verification,
        views=views,
        region=region,
    )
    new_accounts = NewAccounts(limits=settings, hasher=hasher, region=region, time_zone=settings.default_time_zone)
    events = Events(uow, source=settings.issuer)
    endpoint_secrets = EndpointSecrets(secret)
    webhook_gateway = _webhook_gateway(settings)
    webhook_worker = WebhookWorker(
        uow, events=events, gateway=webhook_gateway, secrets=endpoint_secrets, schedule=_schedule(settings)
    )
    billing = _billing(settings)
    data_keys = DataKeyService(uow, Vault(), secret=secret)
    box = ClaimBox(data_keys)
    real_name_effects = RealNameEffects(
        notices, limits=settings, retention=timedelta(days=settings.real_name_retention_days)
    )
    providers = _providers(settings)
    real_name_worker = RealNameWorker(uow, providers=providers, box=box, budgets=budgets, effects=real_name_effects)
    notifiers = build_notifiers(settings)
    outboxes = _outboxes(settings, uow, notices, notifiers)
    upkeep = _upkeep(settings, uow, waiting, data_keys)
    runner = Runner(outboxes, webhook_worker, real_name_worker, upkeep, poll_seconds=settings.outbox_poll_seconds)
    uow.on_messages = runner.wake
    uow.on_events += [runner.wake_for_events, events.wake]
    return Container(
        settings=settings,
        engine=engine,
        hasher=hasher,
        tokens=tokens,
        notifiers=notifiers,
        cursors=Cursors(secret),
        accounts=AccountService(
            uow,
            limits=settings,
            access=access,
            effects=effects,
            new_accounts=new_accounts,
            verification=verification,
            views=views,
        ),
        activity=ActivityService(uow),
        billing=billing,
        clients=ClientService(uow, tokens),
        closing=ClosingService(
            uow,
            limits=settings,
            access=access,
            notices=notices,
            real_name=real_name_effects,
            local=[BoundWorkspaces(), RecentChanges(timedelta(hours=settings.change_hold_hours))],
            remote=[Debts(billing)],
            kept=timedelta(days=settings.closed_retention_days),
        ),
        credentials=credentials,
        directory=DirectoryService(uow, new_accounts=new_accounts, region=region),
        events=events,
        health=HealthService(uow, tokens, data_keys.vault, head=head()),
        idempotency=IdempotencyService(uow, secret=secret, limits=settings),
        keys=keys,
        limiting=LimitingService(uow, budgets),
        password=PasswordService(
            uow,
            limits=settings,
            access=access,
            budgets=budgets,
            codes=codes,
            hasher=hasher,
            notices=notices,
            throttling=throttling,
            verification=verification,
        ),
        profile=ProfileService(uow),
        data_keys=data_keys,
        invoicing=InvoicingGate(uow, box=box),
        real_name=RealNameService(uow, secret=secret, box=box, budgets=budgets, effects=real_name_effects),
        real_name_worker=real_name_worker,
        real_name_providers=providers,
        reviews=RealNameReviews(uow, box=box, effects=real_name_effects),
        reversals=ReversalService(uow, access=access, effects=effects, notices=change_notices),
        runner=runner,
        sessions=SessionService(
            uow,
            access=access,
            verification=verification,
            codes=codes,
            throttling=throttling,
            hasher=hasher,
            grace=timedelta(seconds=settings.refresh_grace_seconds),
        ),
        staff=StaffService(uow, access=access, notices=notices),
        tickets=TicketService(uow, limits=settings),
        waiting=waiting,
        webhook_gateway=webhook_gateway,
        webhook_worker=webhook_worker,
        webhooks=WebhookService(
            uow,
            events=events,
            gateway=webhook_gateway,
            secrets=endpoint_secrets,
            overlap=timedelta(hours=settings.webhook_secret_overlap_hours),
        ),
        workspaces=WorkspaceService(uow),
    )


def _engine(settings: Settings) -> Engine:
    return open_engine(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        pooler=settings.database_pooler,
        timeout=settings.database_timeout_seconds,
    )


def _hasher(settings: Settings) -> PasswordHasher:
    return PasswordHasher(
        memory_kib=settings.argon2_memory_kib,
        time=settings.argon2_time,
        parallelism=settings.argon2_parallelism,
        threads=settings.hash_threads,
        queue=settings.hash_queue,
    )


def _webhook_gateway(settings: Settings) -> WebhookGateway:
    return WebhookGateway(Targets(settings.webhook_allowed_networks), timeout=settings.webhook_timeout_seconds)


def _schedule(settings: Settings) -> Schedule:
    timeout = timedelta(seconds=settings.webhook_timeout_seconds)
    return Schedule(
        pauses=settings.webhook_retry_seconds,
        patience=timedelta(hours=settings.webhook_pause_after_hours),
        lease=4 * timeout,
        timeout=timeout,
    )


def _billing(settings: Settings) -> Billing:
    if settings.billing is BillingChoice.NONE:
        return NoBilling()
    token = settings.billing_token
    return HttpBilling(
        str(settings.billing_url),
        token=token.get_secret_value() if token else None,
        timeout=settings.billing_timeout_seconds,
    )


def _providers(settings: Settings) -> Providers:
    made: dict[str, Callable[[], Provider]] = {
        "sandbox": SandboxRealName,
        "alibaba": lambda: AlibabaRealName(
            key_id=_secret(settings.aliyun_access_key_id),
            key_secret=_secret(settings.aliyun_access_key_secret),
            auth_code=_secret(settings.alibaba_real_name_auth_code) or None,
            person_endpoint=str(settings.alibaba_person_endpoint),
            company_endpoint=str(settings.alibaba_company_endpoint),
            timeout=settings.real_name_timeout_seconds,
        ),
        "tencent": lambda: TencentRealName(
            secret_id=_secret(settings.tencent_secret_id),
            secret_key=_secret(settings.tencent_secret_key),
            person_endpoint=str(settings.tencent_person_endpoint),
            company_endpoint=str(settings.tencent_company_endpoint),
            timeout=settings.real_name_timeout_seconds,
        ),
    }
    return Providers(
        {name: made[name]() for name in settings.real_name_names if name != MANUAL},
        settings.real_name_providers,
        timedelta(seconds=settings.real_name_timeout_seconds),
    )


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value() if value else ""


def _outboxes(
    settings: Settings, uow: UnitOfWork, notices: Notices, notifiers: dict[str, Notifier]
) -> list[OutboxWorker]:
    retrying = Retrying(
        lease=settings.outbox_lease_seconds,
        attempts=settings.outbox_max_attempts,
        first=settings.outbox_backoff_seconds,
        longest=settings.outbox_backoff_max_seconds,
    )
    return [
        OutboxWorker(uow, channel=channel, notices=notices, notifiers=notifiers, retrying=retrying)
        for channel in (Channel.EMAIL, Channel.SMS)
    ]


def _upkeep(settings: Settings, uow: UnitOfWork, waiting: WaitingChanges, data_keys: DataKeyService) -> Upkeep:
    return Upkeep(
        uow,
        waiting,
        data_keys,
        retention=timedelta(days=settings.retention_days),
        known_address=timedelta(days=settings.known_address_days),
        events_kept=timedelta(days=settings.event_retention_days),
    )
