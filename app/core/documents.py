"""Document numbers of mainland China: resident identity numbers and Unified Social Credit Codes.

What is refused here costs no call to anybody. Sources: GB 11643-1999 (identity numbers, check character after ISO 7064
MOD 11-2), GB 32100-2015 (credit codes) and GB 11714-1997 (the organisation code inside them). No library is used: the
known ones refuse people who were registered in a county younger than they are, and residence permits of Hong Kong,
Macao and Taiwan residents, and accept people born tomorrow.
"""

import re
import unicodedata
from datetime import date, timedelta, timezone

from app.core import clock

_LONGEST_INPUT = 64  # characters as typed; there may be blanks between the places
_CHINA = timezone(timedelta(hours=8))

_RESIDENT = re.compile(r"[0-9]{17}[0-9X]")
_FIRST_GENERATION = re.compile(r"[0-9]{15}")
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_CHECKS = "10X98765432"
# GB/T 2260 provinces; 81, 82 and 83 are the residence permits of Hong Kong, Macao and Taiwan residents
_PROVINCES = frozenset(
    str(each)
    for first, last in ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65), (71, 71), (81, 83))
    for each in range(first, last + 1)
)
_EARLIEST_BIRTH = date(1900, 1, 1)

_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # without I O S V Z
_CREDIT = re.compile(rf"[{_CREDIT_ALPHABET}]{{2}}[0-9]{{6}}[{_CREDIT_ALPHABET}]{{10}}")
_CREDIT_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_NEVER_IN_CREDIT = frozenset("IOSVZ")
_ORGANISATION_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)


class DocumentRefused(ValueError):
    """A number that cannot be one; `code` says why. The number itself is in no text."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def resident_number(text: str) -> str:
    """The 18 places of an identity number, the check character in upper case; full-width and spaced ones are read.

    Raises DocumentRefused: `id_number_too_short` (15 places: no longer valid), `invalid_id_number` (another form, or no
    such province), `id_number_birth_date` (no date, before 1900, or to come in China), `id_number_check_digit`.
    """
    number = plain(text[: _LONGEST_INPUT + 1])
    if _FIRST_GENERATION.fullmatch(number):
        raise DocumentRefused("id_number_too_short")
    if not _RESIDENT.fullmatch(number) or number[:2] not in _PROVINCES:
        raise DocumentRefused("invalid_id_number")
    if not _can_be_born(number[6:14]):
        raise DocumentRefused("id_number_birth_date")
    if resident_check(number[:17]) != number[17]:
        raise DocumentRefused("id_number_check_digit")
    return number


def social_credit_code(text: str) -> str:
    """The 18 places of a credit code in upper case; full-width and spaced ones are read.

    Raises DocumentRefused: `credit_code_letters` (I, O, S, V or Z, which no code has), `invalid_credit_code` (another
    form), `credit_code_check_digit`. The check inside of the organisation code is not asked for: see
    `inner_check_holds`.
    """
    code = plain(text[: _LONGEST_INPUT + 1])
    if len(code) == 18 and _NEVER_IN_CREDIT.intersection(code):
        raise DocumentRefused("credit_code_letters")
    if not _CREDIT.fullmatch(code):
        raise DocumentRefused("invalid_credit_code")
    if credit_check(code[:17]) != code[17]:
        raise DocumentRefused("credit_code_check_digit")
    return code


def inner_check_holds(code: str) -> bool:
    """Whether the organisation code (places 9 to 17) of a well-formed credit code keeps its own check.

    A hint for whoever reviews, never a reason to refuse: some old organisation codes do not keep it.
    """
    return organisation_check(code[8:16]) == code[16]


def resident_check(places: str) -> str:
    """The 18th place of an identity number that begins with these 17 digits. Raises ValueError for other text."""
    total = sum(int(place) * weight for place, weight in zip(places, _RESIDENT_WEIGHTS, strict=True))
    return _RESIDENT_CHECKS[total % 11]


def credit_check(places: str) -> str:
    """The 18th place of a credit code that begins with these 17. Raises ValueError for other text."""
    total = sum(_CREDIT_ALPHABET.index(place) * weight for place, weight in zip(places, _CREDIT_WEIGHTS, strict=True))
    return _CREDIT_ALPHABET[-total % 31]


def organisation_check(places: str) -> str:
    """The 9th place of an organisation code that begins with these 8. Raises ValueError for other text."""
    total = sum(
        _ORGANISATION_ALPHABET.index(place) * weight
        for place, weight in zip(places, _ORGANISATION_WEIGHTS, strict=True)
    )
    return "0123456789X"[-total % 11]


def masked(number: str) -> str:
    """As it may be shown: `11010519491231002X` -> `110*************2X`, as long as it was.

    Three and two places stay, so that its owner knows it: not the last four, which some take for a secret. Of a number
    with fewer than ten places, one stays at each end; of one with fewer than five, none.
    """
    head, tail = (3, 2) if len(number) >= 10 else (1, 1) if len(number) >= 5 else (0, 0)
    return number[:head] + "*" * (len(number) - head - tail) + number[len(number) - tail :]


def plain(text: str) -> str:
    """One spelling of a number: NFKC, upper case, without the blanks and invisible characters that copying brings."""
    wide = unicodedata.normalize("NFKC", text)
    return "".join(each for each in wide if not each.isspace() and unicodedata.category(each) != "Cf").upper()


def _can_be_born(digits: str) -> bool:
    try:
        born = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return _EARLIEST_BIRTH <= born <= clock.now().astimezone(_CHINA).date()
