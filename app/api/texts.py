"""The words of a failure in the reader's language, from `app/data/problems.toml`."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

DEFAULT_LOCALE: Final = "en"
LOCALES: Final = ("en", "zh-CN")
_FILE = Path(__file__).parent.parent / "data" / "problems.toml"
_BY_LANGUAGE = {"en": "en", "zh": "zh-CN", "*": DEFAULT_LOCALE}
_LONGEST_HEADER = 1_000  # characters; browsers send some dozens, more is not a wish but an attack
_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)  # RFC 9110 §12.4.2


def choose_locale(accept_language: str | None) -> str:
    """The locale that `Accept-Language` likes best (RFC 9110 §12.5.4); English when it says nothing we can follow.

    Of equal wishes the first wins, as browsers list the dearest first. Every Chinese is answered in zh-CN, the only
    one we have. A language with quality 0 is never chosen, unless nothing else is left than the default. Never raises.
    """
    best, best_quality = DEFAULT_LOCALE, 0.0
    refused: set[str] = set()
    wildcard = 0.0
    for item in (accept_language or "")[:_LONGEST_HEADER].split(","):
        language, quality = _wish(item)
        locale = _BY_LANGUAGE.get(language)
        if locale is None:
            continue
        if language == "*":
            wildcard = max(wildcard, quality)
        elif quality == 0.0:
            refused.add(locale)
        elif quality > best_quality:
            best, best_quality = locale, quality
    if wildcard > best_quality:  # `en;q=0, *` wants anything but English
        return next((locale for locale in LOCALES if locale not in refused), DEFAULT_LOCALE)
    return best


def problem_text(code: str, locale: str, params: Mapping[str, object]) -> tuple[str, str]:
    """Title and detail for a code of `app.core.errors`, with `params` filled in.

    Raises KeyError for a code without texts or a text whose parameter is missing; a test sees to it that there is none.
    """
    title, detail = _texts()["problems"][code][_known(locale)]
    return title, detail.format_map(params)


def reason_text(code: str, locale: str) -> str:
    """Why a real-name submission was rejected."""
    text: str = _texts()["reasons"][code][_known(locale)]
    return text


def settlement_text(code: str, locale: str) -> str:
    """Why a workspace cannot settle in some way."""
    text: str = _texts()["settlement"][code][_known(locale)]
    return text


def page_text(code: str, locale: str) -> tuple[str, str]:
    """Title and text of a page for somebody who comes from a marketplace."""
    title, text = _texts()["pages"][code][_known(locale)]
    return title, text


def field_text(code: str, locale: str) -> str:
    """What is wrong with one field; a general sentence for a code without a text of its own."""
    fields = _texts()["fields"]
    text: str = fields.get(code, fields["other"])[_known(locale)]
    return text


def _wish(item: str) -> tuple[str, float]:
    """The primary language of one item and its quality; a weight that cannot be read counts as no wish at all."""
    tag, *weights = (part.strip() for part in item.split(";"))
    language = tag.partition("-")[0].lower()
    if not weights:
        return language, 1.0
    quality = _QUALITY.fullmatch(weights[0]) if len(weights) == 1 else None
    return (language, float(quality[1])) if quality else ("", 0.0)


def _known(locale: str) -> str:
    return locale if locale in LOCALES else DEFAULT_LOCALE


@cache
def _texts() -> dict[str, dict[str, Any]]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))
