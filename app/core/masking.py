"""Contacts as they may be shown: enough to be recognised by their owner, too little for anybody else."""

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE


def email(address: str) -> str:
    """`li.lei@example.com` -> `l***@example.com`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"


def phone(number: str) -> str:
    """`+8613800138000` -> `+86*******8000`: the country and the last four digits stay."""
    dial = dial_code(number)
    hidden = len(number) - len(dial) - 4
    return f"{dial}{'*' * max(3, hidden)}{number[-min(4, max(0, hidden)) :] if hidden > 0 else ''}"


def dial_code(number: str) -> str:
    """`+86` of `+8613800138000`."""
    digits = number.removeprefix("+")
    # No dial code begins with another one (ITU-T E.164), so this is all that parsing would find out.
    return f"+{next(digits[:length] for length in (1, 2, 3) if int(digits[:length]) in COUNTRY_CODE_TO_REGION_CODE)}"


def name(value: str | None) -> str | None:
    """A person's: `Li Lei` -> `L***`."""
    return f"{value[:1]}***" if value else value


def number(value: str | None) -> str | None:
    """A buyer's at a cloud provider: `123456789012` -> `********9012`; of a short one nothing stays."""
    if value is None:
        return None
    shown = value[-4:] if len(value) >= 8 else ""
    return f"{'*' * 8}{shown}"


def contact(value: str | None) -> str | None:
    if not value:
        return None
    return email(value) if "@" in value else phone(value)
