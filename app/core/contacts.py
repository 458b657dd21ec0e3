"""E-mail addresses, phone numbers and usernames: what is accepted, and the one form in which each is compared.

Syntax is that of the libraries `email-validator` and `phonenumbers`; only numbers that take text
messages count as phones (mobile, or fixed-or-mobile where a plan does not tell them apart).
"""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

import idna
import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneNumberType

USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{3,31}")
_TEXTABLE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}
_DIAL_CODES = {str(code): regions[0] for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()}
_EMAIL_LENGTH = 254  # characters, RFC 5321 §4.5.3.1.3 less the angle brackets


class Kind(StrEnum):
    """What a login identifier is. Disjoint by form: only emails have `@`, only phones start with `+` or a digit."""

    USERNAME = "username"
    EMAIL = "email"
    PHONE = "phone"


@dataclass(frozen=True, slots=True)
class Identifier:
    kind: Kind
    key: str  # the normalised form that the database compares


class ContactRefused(ValueError):
    """A contact that cannot be used; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def username_key(username: str) -> str:
    return username.lower()


def read_email(text: str) -> str:
    """The address as it is written to (domain lower-cased, IDNA-mapped). Raises ContactRefused."""
    if len(text) > _EMAIL_LENGTH:
        raise ContactRefused("invalid_email")
    try:
        return validate_email(text, check_deliverability=False, allow_smtputf8=False).normalized
    except EmailNotValidError:
        raise ContactRefused("invalid_email") from None


def email_key(address: str) -> str:
    """The form in which addresses are compared: `Li@Example.com` and `li@example.com` are one login.

    The domain as it stands in the DNS (UTS 46), however its dots and letters were typed. Never raises.
    """
    local, _, domain = address.rpartition("@")
    try:
        domain = idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError, IndexError):
        domain = _folded(domain)
    return f"{_folded(local)}@{domain}"


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def read_phone(text: str, *, region: str, countries: Collection[str]) -> str:
    """E.164; a number without `+` is read in `region`. Raises ContactRefused."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        raise ContactRefused("invalid_phone") from None
    if number.extension or not phonenumbers.is_valid_number(number):
        raise ContactRefused("invalid_phone")
    if phonenumbers.number_type(number) not in _TEXTABLE:
        raise ContactRefused("phone_not_mobile")
    if phonenumbers.region_code_for_number(number) not in countries:
        raise ContactRefused("phone_country_not_served")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def country_of(contact: str) -> str:
    """The country of an E.164 number: the first of those that share its dial code. `none` for what is no number.

    By a table alone: a number's own country (of +1, say) takes the library so long to find that the time would tell
    a contact from a stand-in.
    """
    if not contact.startswith("+"):
        return "none"
    found = (
        _DIAL_CODES.get(contact[1:length]) for length in (2, 3, 4)
    )  # ITU-T E.164: one to three digits, no prefixes
    return next((country for country in found if country), "none")


def read_identifier(text: str, *, region: str) -> Identifier:
    """What somebody typed to log in with. Never raises: what cannot be a login is an identifier that nobody has."""
    text = text.strip()
    if "@" in text:
        return Identifier(Kind.EMAIL, email_key(text))
    if USERNAME.fullmatch(text):
        return Identifier(Kind.USERNAME, username_key(text))
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return Identifier(Kind.USERNAME, username_key(text))
    return Identifier(Kind.PHONE, phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
