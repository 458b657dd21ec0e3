"""The marketplaces that the settings switch on."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from app.core.config import Settings
from app.gateways.marketplaces.alibaba import AlibabaMarketplace
from app.gateways.marketplaces.alibaba_openapi import AlibabaOpenApi
from app.gateways.marketplaces.aws import AwsMarketplace, Seller
from app.gateways.marketplaces.base import Marketplace
from app.gateways.marketplaces.huawei import HuaweiMarketplace
from app.gateways.marketplaces.huawei_openapi import HuaweiOpenApi

# https://docs.aws.amazon.com/marketplace/latest/APIReference/metering-regions.html
_AWS = ("us-east-1", "https://metering.marketplace.us-east-1.amazonaws.com")
_AWS_CHINA = ("cn-northwest-1", "https://metering.marketplace.cn-northwest-1.amazonaws.com.cn")


def marketplaces(settings: Settings) -> Mapping[str, Marketplace]:
    """By their names. One without its key is left out, and its calls are answered 404."""
    made = [_aws(settings)]
    if settings.alibaba_marketplace_key:
        made.append(_alibaba(settings, settings.alibaba_marketplace_key))
    if settings.huawei_marketplace_key or settings.huawei_tenant_sync_key:
        made.append(_huawei(settings))
    return {market.name: market for market in made}


def _aws(settings: Settings) -> Marketplace:
    """Each of its places needs a setting of its own: without any it serves nothing."""
    return AwsMarketplace(
        sellers=_sellers(settings),
        topics=settings.aws_sns_topics,
        events_secret=_plain(settings.aws_events_secret),
        timeout=settings.marketplace_timeout_seconds,
    )


def _sellers(settings: Settings) -> dict[str, Seller]:
    accounts = {
        "landing": (
            settings.aws_access_key_id,
            settings.aws_secret_access_key,
            settings.aws_session_token,
            *_AWS,
            settings.aws_products,
        ),
        "landing/china": (
            settings.aws_china_access_key_id,
            settings.aws_china_secret_access_key,
            settings.aws_china_session_token,
            *_AWS_CHINA,
            settings.aws_china_products,
        ),
    }
    return {
        channel: Seller(
            key_id=key_id.get_secret_value(),
            secret=secret.get_secret_value(),
            session_token=_plain(token),
            region=region,
            endpoint=endpoint,
            products=frozenset(products),
        )
        for channel, (key_id, secret, token, region, endpoint, products) in accounts.items()
        if key_id and secret
    }


def _alibaba(settings: Settings, key: SecretStr) -> Marketplace:
    key_id, secret = _plain(settings.aliyun_access_key_id), _plain(settings.aliyun_access_key_secret)
    openapi = None
    if key_id and secret:
        endpoint = str(settings.alibaba_marketplace_endpoint)
        openapi = AlibabaOpenApi(key_id, secret, endpoint, timeout=settings.marketplace_timeout_seconds / 2)
    return AlibabaMarketplace(
        key=key.get_secret_value(),
        products=frozenset(settings.alibaba_marketplace_products),
        openapi=openapi,
        front_end_url=str(settings.spa_url),
        login_url=f"{settings.issuer.rstrip('/')}/marketplace/alibaba",
        verify_seconds=settings.alibaba_verify_seconds,
        time_zone=ZoneInfo(settings.alibaba_marketplace_time_zone),
    )


def _huawei(settings: Settings) -> Marketplace:
    key_id, secret = _plain(settings.huawei_access_key_id), _plain(settings.huawei_secret_access_key)
    openapi = None
    if key_id and secret:
        openapi = HuaweiOpenApi(
            key_id=key_id,
            key_secret=secret,
            endpoint=str(settings.huawei_marketplace_endpoint),
            timeout=settings.marketplace_timeout_seconds,
        )
    return HuaweiMarketplace(
        key=_plain(settings.huawei_marketplace_key),
        tenant_key=_plain(settings.huawei_tenant_sync_key),
        openapi=openapi,
        front_end_url=str(settings.spa_url),
        v1=settings.huawei_marketplace_v1,
    )


def _plain(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None
