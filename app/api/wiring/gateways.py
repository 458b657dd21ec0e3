"""What the process reaches outside itself: the database, and other companies' services. The settings choose which."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from pydantic import SecretStr

from app.api.wiring.marketplaces import marketplaces
from app.core.config import Billing as BillingChoice
from app.core.config import Settings
from app.core.database import Engine, open_engine
from app.gateways.billing import Billing, HttpBilling, NoBilling
from app.gateways.marketplaces.base import Marketplace
from app.gateways.real_name.alibaba import AlibabaRealName
from app.gateways.real_name.base import Provider
from app.gateways.real_name.sandbox import SandboxRealName
from app.gateways.real_name.tencent import TencentRealName
from app.gateways.targets import Targets
from app.gateways.webhooks import WebhookGateway
from app.notifiers import build as build_notifiers
from app.notifiers.base import Notifier
from app.workers.real_name import MANUAL, Providers

_REPLICA_SECONDS = 1  # the primary answers as well, so a replica is not waited for


@dataclass(frozen=True, kw_only=True)
class Gateways:
    engine: Engine
    replica: Engine | None
    notifiers: dict[str, Notifier]
    billing: Billing
    marketplaces: Mapping[str, Marketplace]
    real_name_providers: Providers
    webhook_gateway: WebhookGateway

    async def close(self) -> None:
        for notifier in self.notifiers.values():
            await notifier.close()
        for provider in self.real_name_providers.by_name.values():
            await provider.close()
        for market in self.marketplaces.values():
            await market.close()
        await self.billing.close()
        await self.webhook_gateway.close()
        await self.engine.dispose()
        if self.replica is not None:
            await self.replica.dispose()


def gateways(settings: Settings) -> Gateways:
    """Nothing is connected yet."""
    return Gateways(
        engine=_engine(settings),
        replica=_replica(settings),
        notifiers=build_notifiers(settings),
        billing=_billing(settings),
        marketplaces=marketplaces(settings),
        real_name_providers=_providers(settings),
        webhook_gateway=_webhook_gateway(settings),
    )


def _engine(settings: Settings) -> Engine:
    return open_engine(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        pooler=settings.database_pooler,
        timeout=settings.database_timeout_seconds,
    )


def _replica(settings: Settings) -> Engine | None:
    if settings.database_read_url is None:
        return None
    return open_engine(
        settings.database_read_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        pooler=settings.database_pooler,
        timeout=min(settings.database_timeout_seconds, _REPLICA_SECONDS),
        name="replica",
    )


def _webhook_gateway(settings: Settings) -> WebhookGateway:
    return WebhookGateway(Targets(settings.webhook_allowed_networks), timeout=settings.webhook_timeout_seconds)


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
