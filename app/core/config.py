"""Settings, read from the environment with the prefix `GUANCE_`. `docs/configuration.md` describes each."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AnyHttpUrl, Field, IPvAnyNetwork, PositiveInt, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.core.limits import Limits
from app.core.reference import is_time_zone

DEVELOPMENT_SECRET = "development-only-secret-do-not-use-in-production"
SECRETS = Path("/run/secrets")  # where container engines put them, a file each
_SECRET_LENGTH = 32  # characters; NIST SP 800-107r1 §5.3.4: an HMAC key no shorter than the hash


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class EmailNotifier(StrEnum):
    LOG = "log"
    SMTP = "smtp"


class SmsNotifier(StrEnum):
    LOG = "log"
    HTTP = "http"
    ALIYUN = "aliyun"


class Billing(StrEnum):
    NONE = "none"
    HTTP = "http"


REAL_NAME_PROVIDERS = ("sandbox", "manual", "alibaba", "tencent")
_REAL_NAME_KEYS = r"^(enterprise|individual)(:[A-Z]{2})?$"
_REAL_NAME_NEEDS = {
    "alibaba": ("aliyun_access_key_id", "aliyun_access_key_secret"),
    "tencent": ("tencent_secret_id", "tencent_secret_key"),
}
_MARKETPLACES_NEED = {
    "aws_access_key_id": ("aws_secret_access_key", "aws_products"),
    "aws_china_access_key_id": ("aws_china_secret_access_key", "aws_china_products"),
    "huawei_access_key_id": ("huawei_secret_access_key",),
    "huawei_marketplace_v1": ("huawei_marketplace_key",),
}
_DEVELOPMENT_PROVIDERS = {"enterprise:CN": ["sandbox"], "individual:CN": ["sandbox"]}


class Settings(BaseSettings, Limits):
    """Everything that can be set. Raises pydantic's ValidationError for a value that production must not run with."""

    model_config = SettingsConfigDict(env_prefix="GUANCE_", extra="forbid", hide_input_in_errors=True)

    environment: Environment = Environment.DEVELOPMENT
    secret_key: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    allow_sqlite: bool = False

    database_url: SecretStr = SecretStr("sqlite:///var/app.db")
    database_read_url: SecretStr | None = None
    database_pool_size: PositiveInt = 10
    database_pooler: Annotated[str, Field(pattern="^(none|pgbouncer)$")] = "none"
    database_timeout_seconds: PositiveInt = 5

    issuer: str = "http://127.0.0.1:8000"
    audience: str = "guance"
    access_token_seconds: PositiveInt = 600
    session_idle_days: PositiveInt = 14
    session_max_days: PositiveInt = 90
    refresh_grace_seconds: Annotated[int, Field(ge=0)] = 10
    jwks_ahead_seconds: Annotated[int, Field(ge=0)] = 600

    spa_url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:5173")
    cors_origins: list[str] = []
    forwarded_allow_ips: str = "127.0.0.1"
    metrics_port: PositiveInt | None = None
    otlp_url: SecretStr | None = None
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    trace_service: str = "guance-account"
    max_requests: PositiveInt = 500
    receive_seconds: PositiveInt = 10
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"

    argon2_memory_kib: Annotated[int, Field(ge=8)] = 19_456
    argon2_time: PositiveInt = 2
    argon2_parallelism: PositiveInt = 1
    hash_threads: PositiveInt = 1
    hash_queue: PositiveInt = 32
    login_failure_seconds: Annotated[float, Field(ge=0)] = 0.5

    worker_in_server: bool = True
    outbox_poll_seconds: Annotated[float, Field(gt=0)] = 1.0
    outbox_lease_seconds: PositiveInt = 30
    outbox_max_attempts: PositiveInt = 10
    outbox_backoff_seconds: Annotated[float, Field(gt=0)] = 2.0
    outbox_backoff_max_seconds: PositiveInt = 3600
    retention_days: PositiveInt = 30

    event_retention_days: PositiveInt = 90
    webhook_allowed_networks: list[IPvAnyNetwork] = []
    webhook_timeout_seconds: PositiveInt = 15
    webhook_retry_seconds: list[PositiveInt] = [5, 60, 300, 1800, 7200, 14_400, 21_600, 43_200]
    webhook_pause_after_hours: PositiveInt = 24
    webhook_secret_overlap_hours: PositiveInt = 24
    closed_retention_days: PositiveInt = 183

    billing: Billing = Billing.NONE
    billing_url: AnyHttpUrl | None = None
    billing_token: SecretStr | None = None
    billing_timeout_seconds: PositiveInt = 5

    real_name_providers: dict[
        Annotated[str, Field(pattern=_REAL_NAME_KEYS)], list[Annotated[str, Field(pattern="^[a-z]+$")]]
    ] = _DEVELOPMENT_PROVIDERS
    real_name_timeout_seconds: PositiveInt = 10
    real_name_retention_days: PositiveInt = 30
    alibaba_real_name_auth_code: SecretStr | None = None
    tencent_secret_id: SecretStr | None = None
    alibaba_person_endpoint: AnyHttpUrl = AnyHttpUrl("https://cloudauth.aliyuncs.com")
    alibaba_company_endpoint: AnyHttpUrl = AnyHttpUrl("https://dytnsapi.aliyuncs.com")
    tencent_secret_key: SecretStr | None = None
    tencent_person_endpoint: AnyHttpUrl = AnyHttpUrl("https://faceid.tencentcloudapi.com")
    tencent_company_endpoint: AnyHttpUrl = AnyHttpUrl("https://ocr.tencentcloudapi.com")

    cloud_end_policies: dict[
        Annotated[str, Field(pattern="^[a-z]{1,16}$")], Annotated[str, Field(pattern="^(fall_back|lock)$")]
    ] = {"alibaba": "fall_back", "aws": "lock", "huawei": "lock"}
    lock_days: PositiveInt = 14
    marketplace_claim_hours: PositiveInt = 24
    marketplace_timeout_seconds: Annotated[float, Field(gt=0, le=4)] = 3.0
    alibaba_marketplace_key: SecretStr | None = None
    alibaba_marketplace_products: list[str] = []
    alibaba_marketplace_endpoint: AnyHttpUrl = AnyHttpUrl("https://market.aliyuncs.com")
    alibaba_marketplace_time_zone: str = "Asia/Shanghai"
    alibaba_verify_seconds: PositiveInt = 300
    aws_access_key_id: SecretStr | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None
    aws_products: list[str] = []
    aws_china_access_key_id: SecretStr | None = None
    aws_china_secret_access_key: SecretStr | None = None
    aws_china_session_token: SecretStr | None = None
    aws_china_products: list[str] = []
    aws_events_secret: SecretStr | None = None
    aws_sns_topics: list[str] = []
    huawei_marketplace_key: SecretStr | None = None
    huawei_marketplace_v1: bool = False
    huawei_tenant_sync_key: SecretStr | None = None
    huawei_access_key_id: SecretStr | None = None
    huawei_secret_access_key: SecretStr | None = None
    huawei_marketplace_endpoint: AnyHttpUrl = AnyHttpUrl("https://mkt.myhuaweicloud.com")

    default_phone_region: Annotated[str, Field(pattern="^[A-Z]{2}$")] = "CN"
    default_time_zone: str = "Asia/Shanghai"
    dev_messages_file: Path = Path("var/messages.jsonl")

    email_notifier: EmailNotifier = EmailNotifier.LOG
    email_from: str = "Guance <no-reply@guance.com>"
    smtp_url: SecretStr | None = None
    sms_notifier: SmsNotifier = SmsNotifier.LOG
    sms_http_url: SecretStr | None = None
    aliyun_access_key_id: SecretStr | None = None
    aliyun_access_key_secret: SecretStr | None = None
    aliyun_sms_endpoint: AnyHttpUrl = AnyHttpUrl("https://dysmsapi.aliyuncs.com")
    aliyun_sms_sign_name: str | None = None
    aliyun_sms_templates: dict[str, str] = {}
    notifier_timeout_seconds: PositiveInt = 10

    @property
    def secret(self) -> bytes:
        return self.secret_key.get_secret_value().encode()

    @property
    def is_development(self) -> bool:
        return self.environment is Environment.DEVELOPMENT

    @property
    def real_name_names(self) -> set[str]:
        """The providers that some order names."""
        return {name for order in self.real_name_providers.values() for name in order}

    @property
    def uses_sqlite(self) -> bool:
        return self.database_url.get_secret_value().startswith("sqlite")

    @model_validator(mode="after")
    def _choices_are_complete(self) -> Self:
        needs: dict[StrEnum, dict[str, object]] = {
            EmailNotifier.SMTP: {"smtp_url": self.smtp_url},
            SmsNotifier.HTTP: {"sms_http_url": self.sms_http_url},
            SmsNotifier.ALIYUN: {
                "aliyun_access_key_id": self.aliyun_access_key_id,
                "aliyun_access_key_secret": self.aliyun_access_key_secret,
                "aliyun_sms_sign_name": self.aliyun_sms_sign_name,
                "aliyun_sms_templates": self.aliyun_sms_templates,
            },
        }
        for chosen in (self.email_notifier, self.sms_notifier):
            missing = [f"GUANCE_{name.upper()}" for name, value in needs.get(chosen, {}).items() if not value]
            if missing:
                raise ValueError(f"the notifier {chosen} needs {', '.join(missing)}")
        for name in self.real_name_names:
            missing = [f"GUANCE_{one.upper()}" for one in _REAL_NAME_NEEDS.get(name, ()) if not getattr(self, one)]
            if name not in REAL_NAME_PROVIDERS or missing:
                raise ValueError(f"GUANCE_REAL_NAME_PROVIDERS: {name} needs {', '.join(missing) or 'to be known'}")
        for name, needed in _MARKETPLACES_NEED.items():
            missing = [f"GUANCE_{one.upper()}" for one in needed if not getattr(self, one)]
            if getattr(self, name) and missing:
                raise ValueError(f"GUANCE_{name.upper()} needs {', '.join(missing)}")
        if (self.aws_events_secret or self.aws_sns_topics) and not (
            self.aws_access_key_id or self.aws_china_access_key_id
        ):
            raise ValueError("GUANCE_AWS_EVENTS_SECRET and GUANCE_AWS_SNS_TOPICS need GUANCE_AWS_ACCESS_KEY_ID")
        if not is_time_zone(self.alibaba_marketplace_time_zone):
            raise ValueError("GUANCE_ALIBABA_MARKETPLACE_TIME_ZONE is no time zone")
        if self.billing is Billing.HTTP and not self.billing_url:
            raise ValueError("GUANCE_BILLING=http needs GUANCE_BILLING_URL")
        return self

    @model_validator(mode="after")
    def _production_is_strict(self) -> Self:
        if self.is_development:
            return self
        secret = self.secret_key.get_secret_value()
        refused = {
            "GUANCE_SECRET_KEY must be set to a secret of its own": secret == DEVELOPMENT_SECRET,
            f"GUANCE_SECRET_KEY must have {_SECRET_LENGTH} characters": len(secret) < _SECRET_LENGTH,
            "GUANCE_EMAIL_NOTIFIER=log is for development": self.email_notifier is EmailNotifier.LOG,
            "GUANCE_SMS_NOTIFIER=log is for development": self.sms_notifier is SmsNotifier.LOG,
            "GUANCE_DATABASE_URL is SQLite; GUANCE_ALLOW_SQLITE=true says that this is meant": self.uses_sqlite
            and not self.allow_sqlite,
            "GUANCE_ISSUER must be the https URL of this service": not self.issuer.startswith("https://"),
            "GUANCE_BILLING=none is for development: nobody is asked for debts": self.billing is Billing.NONE,
            "GUANCE_REAL_NAME_PROVIDERS: sandbox is for development": "sandbox" in self.real_name_names,
            f"GUANCE_AWS_EVENTS_SECRET must have {_SECRET_LENGTH} characters": self.aws_events_secret is not None
            and len(self.aws_events_secret.get_secret_value()) < _SECRET_LENGTH,
            "GUANCE_SPA_URL must be https": self.spa_url.scheme != "https",
        }
        if reasons := [reason for reason, holds in refused.items() if holds]:
            raise ValueError("; ".join(reasons))
        return self


def load() -> Settings:
    """The settings of this process: variables, and files of SECRETS named like them.

    A variable wins over a file. In production a `GUANCE_` variable or file that names no setting is an error.
    """
    settings = Settings(_secrets_dir=SECRETS if SECRETS.is_dir() else None)
    if (unknown := unknown_names()) and not settings.is_development:
        raise ValueError(f"unknown settings: {', '.join(unknown)}")
    return settings


def unknown_names() -> list[str]:
    """What begins with `GUANCE_`, variable or file, and names no setting: mostly a slip of the pen."""
    known = {f"GUANCE_{name}".upper() for name in Settings.model_fields}
    files = [path.name for path in SECRETS.iterdir()] if SECRETS.is_dir() else []
    given = [name for name in (*os.environ, *files) if name.upper().startswith("GUANCE_")]
    return sorted(name for name in given if name.upper() not in known)
