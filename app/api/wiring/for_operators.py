"""What keeps the service itself going: keys, health, limits, answers kept for retries."""

from dataclasses import dataclass
from datetime import timedelta

from app.api.wiring.shared import Shared
from app.core.cursors import Cursors
from app.core.migrations import fits
from app.core.passwords import PasswordHasher
from app.core.tokens import Tokens
from app.services.data_keys import DataKeyService
from app.services.events import Events
from app.services.health import HealthService
from app.services.idempotency import IdempotencyService
from app.services.limiting import LimitingService
from app.services.signing_keys import SigningKeyService


@dataclass(frozen=True, kw_only=True)
class ForOperators:
    cursors: Cursors
    data_keys: DataKeyService
    events: Events
    hasher: PasswordHasher
    health: HealthService
    idempotency: IdempotencyService
    keys: SigningKeyService
    limiting: LimitingService
    tokens: Tokens


def for_operators(shared: Shared) -> ForOperators:
    ahead = timedelta(seconds=shared.settings.jwks_ahead_seconds)
    return ForOperators(
        cursors=Cursors(shared.secret),
        data_keys=shared.data_keys,
        events=shared.events,
        hasher=shared.hasher,
        health=HealthService(shared.uow, shared.tokens, shared.data_keys.vault, fits=fits()),
        idempotency=IdempotencyService(shared.uow, secret=shared.secret, limits=shared.settings),
        keys=SigningKeyService(shared.uow, shared.tokens, secret=shared.secret, jwks_ahead=ahead),
        limiting=LimitingService(shared.uow, shared.budgets, untold=shared.settings.anonymous_requests_untold),
        tokens=shared.tokens,
    )
