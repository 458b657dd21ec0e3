"""Bodies of the company profile and of the lists that it chooses from."""

from typing import Any

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from app.api.schemas.accounts import Locale
from app.api.schemas.base import CompanyName, ContactName, Description, In, Industry, Moment, Out, Region, TimeZone

_PROFILE: JsonDict = {
    "company_name": "Acme Observability Ltd.",
    "industry": "I",
    "region": "CN-ZJ",
    "company_description": "Monitors everything.",
    "contact_name": "Li Lei",
    "username": "acme",
    "email": "l***@example.com",
    "phone": "+86*******8000",
    "locale": "en",
    "time_zone": "Asia/Shanghai",
    "updated_at": "2026-11-23T08:15:30.000Z",
}


def _without_default(schema: JsonDict) -> None:
    schema.pop("default", None)


def _absent(description: str) -> Any:
    """A member that may be absent: it has no default then, it is simply not edited."""
    return Field(None, description=description, json_schema_extra=_without_default)


class ProfilePatchIn(In):
    """A JSON merge patch (RFC 7396): absent members stay, null clears what may be empty."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"contact_name": "Han Meimei", "industry": None}]})

    company_name: CompanyName = _absent("2–128 characters.")
    industry: Industry | None = _absent("A code of `GET /v1/industries`.")
    region: Region | None = _absent("A code of `GET /v1/regions`.")
    company_description: Description | None = _absent("Up to 1,000 characters.")
    contact_name: ContactName | None = _absent("Whom we may ask for.")
    locale: Locale = _absent("Language of messages.")
    time_zone: TimeZone = _absent("IANA name.")


class ProfileOut(Out):
    model_config = ConfigDict(json_schema_extra={"examples": [_PROFILE]})

    company_name: str = Field(description="2–128 characters.")
    industry: str | None = Field(description="A code of `GET /v1/industries`.")
    region: str | None = Field(description="A code of `GET /v1/regions`.")
    company_description: str | None = Field(description="Up to 1,000 characters.")
    contact_name: str | None = Field(description="Whom we may ask for.")
    username: str = Field(description="Never changes.")
    email: str = Field(description="Masked; changed by a credential change.")
    phone: str | None = Field(description="Masked; changed by a credential change.")
    locale: Locale = Field(description="Language of messages.")
    time_zone: str = Field(description="IANA name.")
    updated_at: Moment = Field(description="When it was last edited.")


class ReferenceOut(Out):
    """An entry to choose from."""

    code: str = Field(description="What goes into the profile.")
    name_zh: str = Field(description="Chinese name.")
    name_en: str = Field(description="English name.")
    parent: str | None = Field(description="The country of a subdivision.")


class ReferencesOut(Out):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [{"code": "CN-ZJ", "name_zh": "浙江省", "name_en": "Zhejiang Sheng", "parent": "CN"}],
                    "next_cursor": None,
                }
            ]
        }
    )

    items: list[ReferenceOut] = Field(description="Sorted by code.")
    next_cursor: str | None = Field(description="The code to go on after; null at the end.")
