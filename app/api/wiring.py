"""How everything is built from the settings: the one place that knows all the parts."""

from dataclasses import dataclass
from datetime import timedelta

from app.core.config import Settings
from app.core.cursors import Cursors
from app.core.database import Engine, open_engine
from app.core.migrations import head
from app.core.passwords import PasswordHasher
from app.core.tokens import RefreshTokens, Tokens
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
from app.services.credential_effects import CredentialEffects
from app.services.credentials import CredentialService
from app.services.health import HealthService
from app.services.idempotency import IdempotencyService
from app.services.limiting import LimitingService
from app.services.notices import Notices
from app.services.open_codes import OpenCodes
from app.services.password import PasswordService
from app.services.profile import ProfileService
from app.services.reversals import ReversalService
from app.services.sessions import SessionService
from app.services.signing_keys import SigningKeyService
from app.services.throttling import Throttling
from app.services.verification import Verification
from app.services.waiting_changes import WaitingChanges
from app.workers.outbox import OutboxWorker, Retrying
from app.workers.runner import Runner
from app.workers.upkeep import Upkeep


@dataclass(frozen=True, slots=True)
class Container:
    """What a process is made of. Services keep nothing between calls; one of each serves all requests."""

    settings: Settings
    engine: Engine
    hasher: PasswordHasher
    tokens: Tokens
    notifiers: dict[str, Notifier]
    cursors: Cursors
    accounts: AccountService
    activity: ActivityService
    credentials: CredentialService
    health: HealthService
    idempotency: IdempotencyService
    keys: SigningKeyService
    limiting: LimitingService
    password: PasswordService
    profile: ProfileService
    reversals: ReversalService
    runner: Runner
    sessions: SessionService
    waiting: WaitingChanges

    async def close(self) -> None:
        self.hasher.close()
        for notifier in self.notifiers.values():
            await notifier.close()
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
    notifiers = build_notifiers(settings)
    runner = _runner(settings, uow, notices, notifiers, waiting)
    uow.on_messages = runner.wake
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
            hasher=hasher,
            verification=verification,
            views=views,
            region=region,
            time_zone=settings.default_time_zone,
        ),
        activity=ActivityService(uow),
        credentials=credentials,
        health=HealthService(uow, tokens, head=head()),
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
        waiting=waiting,
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


def _runner(
    settings: Settings,
    uow: UnitOfWork,
    notices: Notices,
    notifiers: dict[str, Notifier],
    waiting: WaitingChanges,
) -> Runner:
    retrying = Retrying(
        lease=settings.outbox_lease_seconds,
        attempts=settings.outbox_max_attempts,
        first=settings.outbox_backoff_seconds,
        longest=settings.outbox_backoff_max_seconds,
    )
    outboxes = [
        OutboxWorker(uow, channel=channel, notices=notices, notifiers=notifiers, retrying=retrying)
        for channel in (Channel.EMAIL, Channel.SMS)
    ]
    upkeep = Upkeep(
        uow,
        waiting,
        retention=timedelta(days=settings.retention_days),
        known_address=timedelta(days=settings.known_address_days),
    )
    return Runner(outboxes, upkeep, poll_seconds=settings.outbox_poll_seconds)
