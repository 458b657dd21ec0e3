"""How often, how long, how many: what services are given of the settings. Sources in `docs/configuration.md`."""

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, Field, PositiveInt


class Limits(BaseModel):
    """Each is a setting of its own: `GUANCE_` and its name in capitals."""

    code_resend_seconds: Annotated[int, Field(ge=0)] = 60
    code_life_seconds: PositiveInt = 600
    code_tries: PositiveInt = 5
    flow_tries: PositiveInt = 10
    flow_sends: PositiveInt = 5
    flow_life_seconds: PositiveInt = 1800
    proof_life_seconds: PositiveInt = 600
    daily_tries: PositiveInt = 20
    daily_sends_per_target: PositiveInt = 10
    hourly_sends_per_ip: PositiveInt = 500
    hourly_sms_per_ip: PositiveInt = 120
    daily_sms_per_dial_code: PositiveInt = 10_000
    sms_countries: list[str] = [
        *("CN", "HK", "MO", "TW", "SG", "US", "CA", "GB", "IE", "DE", "FR", "NL", "ES", "IT", "CH", "SE"),
        *("JP", "KR", "AU", "NZ", "ID", "MY", "TH", "VN", "PH", "IN", "AE", "ZA"),
    ]  # fmt: skip
    anonymous_requests_per_minute: PositiveInt = 600
    anonymous_requests_untold: PositiveInt = 10
    login_free_failures: PositiveInt = 5
    login_delay_max_seconds: PositiveInt = 900
    login_max_failures: PositiveInt = 100
    known_address_days: PositiveInt = 90
    lost_contact_wait_hours: Annotated[int, Field(ge=0)] = 72
    undo_hours: PositiveInt = 72
    change_hold_hours: Annotated[int, Field(ge=0)] = 24
    fresh_login_seconds: PositiveInt = 600
    login_ticket_seconds: PositiveInt = 60
    real_name_accounts_per_enterprise: PositiveInt = 6
    real_name_accounts_per_individual: PositiveInt = 3
    daily_mismatches_per_account: PositiveInt = 5
    daily_mismatches_per_document: PositiveInt = 10
    daily_typed_instances: PositiveInt = 20
    idempotency_hours: PositiveInt = 24

    @property
    def resend_gap(self) -> timedelta:
        return timedelta(seconds=self.code_resend_seconds)

    @property
    def code_life(self) -> timedelta:
        return timedelta(seconds=self.code_life_seconds)

    @property
    def flow_life(self) -> timedelta:
        return timedelta(seconds=self.flow_life_seconds)

    @property
    def proof_life(self) -> timedelta:
        return timedelta(seconds=self.proof_life_seconds)
