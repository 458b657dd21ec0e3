"""What holders do with their accounts: from registration to closing."""

from dataclasses import dataclass
from datetime import timedelta

from app.api.wiring.shared import Shared
from app.services.accounts import AccountService
from app.services.activity import ActivityService
from app.services.admission import Admission
from app.services.change_views import ChangeViews
from app.services.closing import BoundWorkspaces, ClosingService, Debts, RecentChanges
from app.services.credential_effects import CredentialEffects
from app.services.credentials import CredentialService
from app.services.password import PasswordService
from app.services.profile import ProfileService
from app.services.reversals import ReversalService
from app.services.sessions import SessionService
from app.services.throttling import Throttling
from app.services.waiting_changes import WaitingChanges


@dataclass(frozen=True, kw_only=True)
class ForHolders:
    accounts: AccountService
    activity: ActivityService
    closing: ClosingService
    credentials: CredentialService
    password: PasswordService
    profile: ProfileService
    reversals: ReversalService
    sessions: SessionService
    waiting: WaitingChanges


def for_holders(shared: Shared) -> ForHolders:
    effects = CredentialEffects(
        limits=shared.settings,
        access=shared.access,
        notices=shared.change_notices,
        verification=shared.verification,
    )
    views = ChangeViews(shared.verification, shared.settings)
    waiting = WaitingChanges(shared.uow, effects=effects, notices=shared.change_notices)
    throttling = Throttling(shared.secret, shared.settings)
    return ForHolders(
        accounts=_accounts(shared, effects, views),
        activity=ActivityService(shared.uow),
        closing=_closing(shared),
        credentials=_credentials(shared, effects, views, waiting),
        password=_password(shared, throttling),
        profile=ProfileService(shared.uow),
        reversals=ReversalService(shared.uow, access=shared.access, effects=effects, notices=shared.change_notices),
        sessions=_sessions(shared, throttling),
        waiting=waiting,
    )


def _accounts(shared: Shared, effects: CredentialEffects, views: ChangeViews) -> AccountService:
    return AccountService(
        shared.uow,
        limits=shared.settings,
        access=shared.access,
        effects=effects,
        new_accounts=shared.new_accounts,
        verification=shared.verification,
        views=views,
    )


def _closing(shared: Shared) -> ClosingService:
    hold = timedelta(hours=shared.settings.change_hold_hours)
    return ClosingService(
        shared.uow,
        limits=shared.settings,
        access=shared.access,
        notices=shared.notices,
        real_name=shared.real_name_effects,
        local=[BoundWorkspaces(), RecentChanges(hold)],
        remote=[Debts(shared.gateways.billing)],
        kept=timedelta(days=shared.settings.closed_retention_days),
    )


def _credentials(
    shared: Shared, effects: CredentialEffects, views: ChangeViews, waiting: WaitingChanges
) -> CredentialService:
    return CredentialService(
        shared.uow,
        limits=shared.settings,
        effects=effects,
        notices=shared.change_notices,
        waiting=waiting,
        verification=shared.verification,
        views=views,
        region=shared.region,
    )


def _password(shared: Shared, throttling: Throttling) -> PasswordService:
    return PasswordService(
        shared.uow,
        limits=shared.settings,
        access=shared.access,
        budgets=shared.budgets,
        codes=shared.codes,
        hasher=shared.hasher,
        notices=shared.notices,
        throttling=throttling,
        verification=shared.verification,
    )


def _sessions(shared: Shared, throttling: Throttling) -> SessionService:
    return SessionService(
        shared.uow,
        access=shared.access,
        admission=Admission(shared.uow, access=shared.access, verification=shared.verification, throttling=throttling),
        verification=shared.verification,
        codes=shared.codes,
        throttling=throttling,
        hasher=shared.hasher,
        grace=timedelta(seconds=shared.settings.refresh_grace_seconds),
        failure_takes=shared.settings.login_failure_seconds,
    )
