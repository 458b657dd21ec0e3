"""What bodies are made of."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from app.core import clock, ids, reference
from app.core.contacts import USERNAME, ContactRefused, read_email
from app.core.errors import NotFound
from app.core.passwords import prepare

# Control, surrogate, private and unassigned characters, and those that turn the direction of what follows: they
# break databases (NUL, surrogates) or deceive readers (Unicode TR 36 §2, bidirectional overrides).
_FORBIDDEN_CATEGORIES = {"Cc", "Cs", "Co", "Cn"}
_UNSEEN = {"Cf", "Zs", "Zl", "Zp"}  # of nothing else a name cannot be; within a word they have their place
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_BIDI = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SHORTEST_PASSWORD, _LONGEST_PASSWORD = 8, 128  # characters, NIST SP 800-63B-4 §3.1.1.2


class In(BaseModel):
    """A request body: unknown members are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Out(BaseModel):
    """A response body. No defaults, so that generated clients see every member as there."""

    model_config = ConfigDict(frozen=True)


def _refuse(code: str) -> PydanticCustomError:
    return PydanticCustomError(code, "refused")


def _readable(*, lines: bool) -> AfterValidator:
    """NFC, trimmed, and nothing that cannot be stored or read."""

    def check(text: str) -> str:
        for letter in text:
            if unicodedata.category(letter) in _FORBIDDEN_CATEGORIES and not (lines and letter in "\n\t"):
                raise _refuse("forbidden_character")
        if _BIDI.search(text) or (text.strip() and all(unicodedata.category(letter) in _UNSEEN for letter in text)):
            raise _refuse("forbidden_character")
        return unicodedata.normalize("NFC", text.strip())

    return AfterValidator(check)


def _length(shortest: int, longest: int) -> AfterValidator:
    """Checked again after normalising, which may lengthen: columns have their bounds too."""

    def check(text: str) -> str:
        if len(text) < shortest:
            raise _refuse("string_too_short")
        if len(text) > longest:
            raise _refuse("string_too_long")
        return text

    return AfterValidator(check)


def _trim(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _digits(value: Any) -> Any:
    """Full-width digits and blanks, as people paste them."""
    return unicodedata.normalize("NFKC", value).replace(" ", "").strip() if isinstance(value, str) else value


def _email(text: str) -> str:
    try:
        return read_email(text)
    except ContactRefused as refused:
        raise _refuse(refused.code) from None


def _username(text: str) -> str:
    if not USERNAME.fullmatch(text):
        raise _refuse("invalid_username")
    return text


def _password(text: str) -> str:
    """Any character but those that cannot be hashed the same everywhere."""
    if any(unicodedata.category(letter) == "Cs" or letter == "\0" for letter in text):
        raise _refuse("forbidden_character")
    return text


def _new_password(text: str) -> str:
    prepared = prepare(_password(text))
    if len(prepared) < _SHORTEST_PASSWORD:
        raise _refuse("password_too_short")
    if len(prepared) > _LONGEST_PASSWORD:
        raise _refuse("password_too_long")
    return text


def _known(check: Any, code: str) -> AfterValidator:
    def of(value: str) -> str:
        if not check(value):
            raise _refuse(code)
        return value

    return AfterValidator(of)


def _typed(text: str) -> str:
    """What cannot be encoded cannot be looked up: it is nobody's."""
    if any(unicodedata.category(letter) in ("Cs", "Cc") for letter in text):
        raise _refuse("forbidden_character")
    return text


def _bounds(shortest: int, longest: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=shortest, max_length=longest)


def text(shortest: int, longest: int, *, lines: bool = False) -> tuple[Any, ...]:
    """The validators of a text of `shortest` to `longest` characters."""
    return _bounds(shortest, longest), _readable(lines=lines), _length(shortest, longest)


def _utf8(value: Any) -> Any:
    """A header's octets, which HTTP gives as Latin-1, as the text that they are (names are Chinese as well)."""
    try:
        return value.encode("latin-1").decode() if isinstance(value, str) else value
    except UnicodeError:
        raise _refuse("forbidden_character") from None


ActorName = Annotated[str, BeforeValidator(_utf8), *text(1, 128)]
Reason = Annotated[str, BeforeValidator(_utf8), *text(1, 500)]


def known_region() -> AfterValidator:
    return _known(reference.is_region, "unknown_region")


def _printed(value: str) -> str:
    """As a register prints it: no pictures, and nothing that is not seen."""
    if any(unicodedata.category(letter) in ("So", "Sk", "Cf") for letter in value):
        raise _refuse("forbidden_character")
    return value


LegalName = Annotated[str, *text(2, 128), AfterValidator(_printed)]
PersonName = Annotated[str, *text(2, 64), AfterValidator(_printed)]
CompanyName = Annotated[str, *text(2, 128)]
Description = Annotated[str, *text(1, 1000, lines=True)]
ContactName = Annotated[str, *text(1, 64)]
Username = Annotated[
    str,
    BeforeValidator(_trim),
    AfterValidator(_username),
    WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9._-]{3,31}$"}),
]
Email = Annotated[
    str,
    BeforeValidator(_trim),
    AfterValidator(_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 254}),
]
Phone = Annotated[str, _bounds(4, 32), AfterValidator(_typed)]
Identifier = Annotated[str, _bounds(1, 254), AfterValidator(_typed)]
Typed = Annotated[str, Field(min_length=1, max_length=254), AfterValidator(_typed)]
Contact = Annotated[str, _bounds(3, 254), AfterValidator(_typed)]
Code = Annotated[str, Field(pattern=r"^[0-9]{6}$"), BeforeValidator(_digits)]
NewPassword = Annotated[
    str,
    AfterValidator(_new_password),
    WithJsonSchema({"type": "string", "format": "password", "minLength": 8, "maxLength": 128}),
]
Password = Annotated[
    str, Field(min_length=1, max_length=1024, json_schema_extra={"format": "password"}), AfterValidator(_password)
]
Token = Annotated[str, Field(min_length=20, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]
WorkspaceId = Annotated[str, Field(pattern=r"^wksp_[A-Za-z0-9_-]{1,48}$", examples=["wksp_8f2c1d"])]
Site = Annotated[
    str, Field(pattern=r"^[a-z]{2}[0-9]{1,2}$", examples=["cn1"]), _known(reference.is_site, "unknown_site")
]
Industry = Annotated[str, Field(pattern=r"^[A-T]$"), _known(reference.is_industry, "unknown_industry")]
Region = Annotated[
    str,
    Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$"),
    _known(reference.is_region, "unknown_region"),
]
TimeZone = Annotated[str, Field(min_length=1, max_length=64), _known(reference.is_time_zone, "unknown_time_zone")]


def _shown_id(prefix: str) -> tuple[Any, ...]:
    pattern = f"^{prefix}_[0-9a-f]{{32}}$"
    schema = {"type": "string", "pattern": pattern, "examples": [f"{prefix}_0193b5c27d3e7a41b4d2c9f1e8a60b57"]}
    return PlainSerializer(lambda value: ids.show(prefix, value), return_type=str), WithJsonSchema(schema)


def _path_id(prefix: str) -> BeforeValidator:
    """Whatever is no id of ours names nothing: 404, as for an id of somebody else."""

    def read(value: Any) -> UUID:
        found = ids.read(prefix, value) if isinstance(value, str) else value
        if not isinstance(found, UUID):
            raise NotFound
        return found

    return BeforeValidator(read)


def _body_id(prefix: str) -> BeforeValidator:
    def read(value: Any) -> UUID:
        found = ids.read(prefix, value) if isinstance(value, str) else None
        if found is None:
            raise _refuse("invalid_id")
        return found

    return BeforeValidator(read)


AccountIdIn = Annotated[UUID, _body_id(ids.ACCOUNT), *_shown_id(ids.ACCOUNT)]
AccountId = Annotated[UUID, *_shown_id(ids.ACCOUNT)]
ActivityId = Annotated[UUID, *_shown_id(ids.ACTIVITY)]
ChallengeId = Annotated[UUID, *_shown_id(ids.CHALLENGE)]
AttemptId = Annotated[UUID, *_shown_id(ids.WEBHOOK_ATTEMPT)]
EndpointId = Annotated[UUID, *_shown_id(ids.WEBHOOK_ENDPOINT)]
EventId = Annotated[UUID, *_shown_id(ids.EVENT)]
EventIdIn = Annotated[UUID, _body_id(ids.EVENT), *_shown_id(ids.EVENT)]
ChangeId = Annotated[UUID, *_shown_id(ids.CREDENTIAL_CHANGE)]
RegistrationId = Annotated[UUID, *_shown_id(ids.REGISTRATION)]
ResetId = Annotated[UUID, *_shown_id(ids.PASSWORD_RESET)]
SessionId = Annotated[UUID, *_shown_id(ids.SESSION)]
SubmissionId = Annotated[UUID, *_shown_id(ids.REAL_NAME)]

CloudAccountId = Annotated[UUID, *_shown_id(ids.CLOUD_ACCOUNT)]
NoticeId = Annotated[UUID, *_shown_id(ids.CLOUD_NOTICE)]
SettlementId = Annotated[UUID, *_shown_id(ids.SETTLEMENT)]

ChallengeIdIn = Annotated[UUID, _body_id(ids.CHALLENGE), *_shown_id(ids.CHALLENGE)]
CloudAccountIdIn = Annotated[UUID, _body_id(ids.CLOUD_ACCOUNT), *_shown_id(ids.CLOUD_ACCOUNT)]
AccountPath = Annotated[UUID, _path_id(ids.ACCOUNT), *_shown_id(ids.ACCOUNT)]
CloudAccountPath = Annotated[UUID, _path_id(ids.CLOUD_ACCOUNT), *_shown_id(ids.CLOUD_ACCOUNT)]
NoticePath = Annotated[UUID, _path_id(ids.CLOUD_NOTICE), *_shown_id(ids.CLOUD_NOTICE)]
EndpointPath = Annotated[UUID, _path_id(ids.WEBHOOK_ENDPOINT), *_shown_id(ids.WEBHOOK_ENDPOINT)]
ChangePath = Annotated[UUID, _path_id(ids.CREDENTIAL_CHANGE), *_shown_id(ids.CREDENTIAL_CHANGE)]
RegistrationPath = Annotated[UUID, _path_id(ids.REGISTRATION), *_shown_id(ids.REGISTRATION)]
ResetPath = Annotated[UUID, _path_id(ids.PASSWORD_RESET), *_shown_id(ids.PASSWORD_RESET)]
SubmissionPath = Annotated[UUID, _path_id(ids.REAL_NAME), *_shown_id(ids.REAL_NAME)]
SessionPath = Annotated[UUID, _path_id(ids.SESSION), *_shown_id(ids.SESSION)]


def _spelled(value: Any) -> Any:
    """As RFC 3339 has it: pydantic takes seconds since 1970 too."""
    if not isinstance(value, str) or not _DATE.match(value):
        raise _refuse("invalid_instant")
    return value


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise _refuse("invalid_instant") from None


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_spelled),
    AfterValidator(_to_utc),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Moment = Annotated[
    datetime,
    PlainSerializer(clock.shown, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T08:15:30.000Z"]}),
]
