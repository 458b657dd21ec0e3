"""What many services are given, made once."""

from dataclasses import dataclass
from datetime import timedelta

from app.api.wiring.gateways import Gateways, gateways
from app.core.config import Settings
from app.core.passwords import PasswordHasher
from app.core.tokens import RefreshTokens, Tokens
from app.core.vault import Vault
from app.repositories.lookups import Lookups
from app.repositories.unit_of_work import UnitOfWork
from app.services.access import Access
from app.services.budgets import Budgets
from app.services.change_notices import ChangeNotices
from app.services.data_keys import DataKeyService
from app.services.events import Events
from app.services.new_accounts import NewAccounts
from app.services.notices import Notices
from app.services.open_codes import OpenCodes
from app.services.real_name import ClaimBox
from app.services.real_name_effects import RealNameEffects
from app.services.settlement_effects import SettlementEffects
from app.services.verification import Verification


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Given to each group of services; a handler sees none of it but what a group offers."""

    settings: Settings
    gateways: Gateways
    uow: UnitOfWork
    lookups: Lookups
    secret: bytes
    hasher: PasswordHasher
    tokens: Tokens
    access: Access
    notices: Notices
    change_notices: ChangeNotices
    budgets: Budgets
    verification: Verification
    codes: OpenCodes
    new_accounts: NewAccounts
    data_keys: DataKeyService
    box: ClaimBox
    real_name_effects: RealNameEffects
    events: Events
    settlement_effects: SettlementEffects

    @property
    def region(self) -> str:
        """Where a phone number without a prefix is taken to be from."""
        return self.settings.default_phone_region


def shared(settings: Settings) -> Shared:
    """Nothing is connected yet."""
    outside = gateways(settings)
    secret, region, uow = settings.secret, settings.default_phone_region, UnitOfWork(outside.engine)
    hasher = _hasher(settings)
    tokens = Tokens(issuer=settings.issuer, audience=settings.audience, life_seconds=settings.access_token_seconds)
    notices = Notices(secret, spa_url=str(settings.spa_url))
    change_notices = ChangeNotices(notices)
    budgets = Budgets(secret, settings)
    verification = Verification(uow, secret=secret, limits=settings, budgets=budgets, notices=notices)
    data_keys = DataKeyService(uow, Vault(), secret=secret)
    retention = timedelta(days=settings.real_name_retention_days)
    return Shared(
        settings=settings,
        gateways=outside,
        uow=uow,
        lookups=Lookups(uow, UnitOfWork(outside.replica) if outside.replica is not None else None),
        secret=secret,
        hasher=hasher,
        tokens=tokens,
        access=_access(settings, tokens, change_notices),
        notices=notices,
        change_notices=change_notices,
        budgets=budgets,
        verification=verification,
        codes=OpenCodes(uow, verification, limits=settings, region=region),
        new_accounts=NewAccounts(limits=settings, hasher=hasher, region=region, time_zone=settings.default_time_zone),
        data_keys=data_keys,
        box=ClaimBox(data_keys),
        real_name_effects=RealNameEffects(notices, limits=settings, retention=retention),
        events=Events(uow, source=settings.issuer),
        settlement_effects=SettlementEffects(
            notices, policies=settings.cloud_end_policies, countdown=timedelta(days=settings.lock_days)
        ),
    )


def _hasher(settings: Settings) -> PasswordHasher:
    return PasswordHasher(
        memory_kib=settings.argon2_memory_kib,
        time=settings.argon2_time,
        parallelism=settings.argon2_parallelism,
        threads=settings.hash_threads,
        queue=settings.hash_queue,
    )


def _access(settings: Settings, tokens: Tokens, notices: ChangeNotices) -> Access:
    return Access(
        tokens,
        RefreshTokens(settings.secret),
        notices,
        idle=timedelta(days=settings.session_idle_days),
        longest=timedelta(days=settings.session_max_days),
    )
