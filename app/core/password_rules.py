"""Passwords that must not be used: NIST SP 800-63B-4 §3.1.1.2, the blocklist of common, expected and context words.

Only whole passwords are refused, not those that merely hold such a word, so that the rules stop guesses and do not
become rules of composition. Everything is compared after NFKC and casefold. Length is judged elsewhere.
"""

import gzip
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

COMMON: Final = "common"
CONTEXT: Final = "context"

_LIST = Path(__file__).parent.parent / "data" / "common_passwords.txt.gz"
_SERVICE = ("guance", "guanceyun", "观测云")
_STEM_LENGTH = 6  # characters; with a shorter stem most of the password is what was hung on to it
_WORD_LENGTH = 4  # characters; shorter ones are in everything
_CJK_WORD_LENGTH = 2  # an ideograph is a syllable and more: 观测 is a word
_REST_LENGTH = 4  # letters that have to be left when the context words are taken out
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890")


def refusal(password: str, *, words: Iterable[str]) -> str | None:
    """Why the password is refused: "common", "context" or None when it is not.

    common   It is in the list of common passwords or one run of a repeated character or of neighbours in the alphabet,
             among the digits or on a keyboard row; or it is so once the punctuation, or the digits and punctuation, at
             its end are taken off and 6 characters are left (`Dragon2024!`).
    context  Taking out the service's name and `words` leaves fewer than 4 letters (digits and punctuation do not
             count: a year and `!` are the first tails to be guessed). `words` are the username, the email address or
             its parts, the company's name: each counts as a whole, with its spaces left out, and part by part; what
             has fewer than 4 characters (2 for Chinese and other non-ASCII words) does not count.
    """
    folded = _fold(password)
    if any(_is_common(form) for form in _forms(folded)):
        return COMMON
    return CONTEXT if _is_context(folded, words) else None


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _forms(password: str) -> set[str]:
    without_punctuation = password[: _end(password, keep_digits=True)]
    without_digits = password[: _end(password, keep_digits=False)]
    return {password} | {form for form in (without_punctuation, without_digits) if len(form) >= _STEM_LENGTH}


def _end(password: str, *, keep_digits: bool) -> int:
    """Where the tail of punctuation, and of digits too unless they are kept, begins."""
    end = len(password)
    while end and not (password[end - 1].isalpha() or (keep_digits and password[end - 1].isdigit())):
        end -= 1
    return end


def _is_common(form: str) -> bool:
    return form in _common() or _is_run(form)


def _is_run(form: str) -> bool:
    """aaaaaaaa, 12345678, hgfedcba, qwertyui."""
    steps = {ord(after) - ord(before) for before, after in pairwise(form)}
    return steps in ({0}, {1}, {-1}) or any(form in row or form in row[::-1] for row in _ROWS)


def _is_context(password: str, words: Iterable[str]) -> bool:
    rest = password
    for word in sorted(_parts(words), key=len, reverse=True):  # the longest first: guanceyun before guance
        rest = rest.replace(word, " ")
    return rest != password and sum(character.isalpha() for character in rest) < _REST_LENGTH


def _parts(words: Iterable[str]) -> set[str]:
    """Each word whole, without its separators, and part by part."""
    found: set[str] = set()
    for word in map(_fold, (*_SERVICE, *words)):
        parts = [part for part in re.split(r"[\W_]+", word) if part]
        found.update((word, "".join(parts), *parts))
    return {word for word in found if len(word) >= (_WORD_LENGTH if word.isascii() else _CJK_WORD_LENGTH)}


@cache
def _common() -> frozenset[str]:
    return frozenset(gzip.decompress(_LIST.read_bytes()).decode().splitlines())
