"""The codes of failures, their texts in both languages, and their documentation are one list."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any, get_args

import pytest

from app.api.schemas.settlement import ReasonCode
from app.api.texts import choose_locale, field_text, problem_text
from app.core import errors
from app.gateways.marketplaces.base import Page
from app.models.real_name import Reason
from app.services.settlement_rules import Against

ROOT = Path(__file__).parents[1]
TEXTS: dict[str, dict[str, Any]] = tomllib.loads((ROOT / "app/data/problems.toml").read_text(encoding="utf-8"))
ROWS = re.findall(
    r"^\| `(\w+)` \| (\d{3}) \| .+ \| .+ \|$", (ROOT / "docs/errors.md").read_text(encoding="utf-8"), re.MULTILINE
)
REASONS = re.findall(
    r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", (ROOT / "docs/errors.md").read_text(encoding="utf-8"), re.MULTILINE
)
LANGUAGES = ("en", "zh-CN")

# A contract with clients. A new code is a reviewed change; one that is gone breaks those who wait for it.
FROZEN = [
    "account_closed",
    "account_suspended",
    "body_too_large",
    "body_too_slow",
    "busy",
    "change_expired",
    "change_held",
    "change_open",
    "claim_gone",
    "client_disabled",
    "closing_refused",
    "closing_undecided",
    "cloud_account_ended",
    "cloud_account_taken",
    "cloud_account_unproven",
    "code_expired",
    "code_used",
    "credentials_moved",
    "cursor_expired",
    "database_unavailable",
    "document_used_up",
    "email_taken",
    "fresh_login_required",
    "idempotency_key_reused",
    "insufficient_scope",
    "internal_error",
    "invalid_credentials",
    "invalid_refresh_token",
    "invalid_ticket",
    "invalid_token",
    "login_slowed",
    "malformed_body",
    "marketplace_unavailable",
    "method_not_allowed",
    "name_taken",
    "no_other_credential",
    "no_password",
    "not_found",
    "not_ready",
    "notice_unreadable",
    "other_session",
    "password_exists",
    "password_refused",
    "phone_taken",
    "precondition_failed",
    "precondition_required",
    "rate_limited",
    "reference_taken",
    "registration_expired",
    "request_running",
    "resend_too_soon",
    "reversal_expired",
    "second_actor_needed",
    "session_ended",
    "settlement_refused",
    "submission_pending",
    "too_many_endpoints",
    "too_many_mismatches",
    "too_many_secrets",
    "too_many_sends",
    "too_many_tries",
    "try_again",
    "unauthenticated",
    "unsupported_media_type",
    "username_taken",
    "validation_failed",
    "workspace_dissolved",
    "workspace_elsewhere",
    "wrong_code",
    "wrong_password",
    "wrong_state",
]

# Our own codes for fields; those of pydantic are its error types.
FIELD_CODES = {
    *("forbidden_character", "invalid_cursor", "invalid_email", "invalid_id", "invalid_phone", "invalid_username"),
    *("not_nullable", "other", "password_too_long", "password_too_short", "phone_country_not_served"),
    *("phone_not_mobile", "same_value", "unknown_industry", "unknown_locale", "unknown_parameter", "unknown_region"),
    *("unknown_time_zone", "unsupported_hash", "password_twice", "unknown_site", "exactly_one_parameter"),
    *("one_event_or_span", "empty_span", "invalid_url", "https_required", "unresolvable_host", "forbidden_address"),
    *("invalid_instant", "future_instant", "provider_not_typed", "repeated_parameter"),
    *("id_number_too_short", "invalid_id_number", "id_number_birth_date", "id_number_check_digit"),
    *("credit_code_letters", "invalid_credit_code", "credit_code_check_digit"),
}

# The parameters that every error of the class has; texts may use no others.
PARAMS: dict[type[errors.AppError], dict[str, object]] = {
    errors.TooMany: {"retry_after": 30},
    errors.Unavailable: {"retry_after": 2},
    errors.WrongCode: {"tries_left": 4},
    errors.PasswordRefused: {"reason": "common"},
    errors.InsufficientScope: {"scope": "accounts:read"},
}


def descendants(cls: type[errors.AppError]) -> Iterator[type[errors.AppError]]:
    for child in cls.__subclasses__():
        yield child
        yield from descendants(child)


CLASSES = [cls for cls in descendants(errors.AppError) if cls.__module__ == errors.__name__ and "code" in vars(cls)]
BY_CODE = {cls.code: cls for cls in CLASSES}


def params_of(code: str) -> dict[str, object]:
    return next((params for cls, params in PARAMS.items() if issubclass(BY_CODE[code], cls)), {})


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_the_list_of_codes_is_frozen() -> None:
    assert sorted(BY_CODE) == FROZEN


def test_no_two_classes_share_a_code() -> None:
    assert len(BY_CODE) == len(CLASSES)


def test_every_code_has_texts_and_every_text_has_a_class() -> None:
    assert sorted(TEXTS["problems"]) == FROZEN


def test_every_code_has_one_row_with_its_status_in_the_documentation() -> None:
    assert sorted(ROWS) == sorted((code, str(cls.status)) for code, cls in BY_CODE.items())


@pytest.mark.parametrize("code", FROZEN)
def test_the_texts_of_a_code_say_the_same_in_both_languages(code: str) -> None:
    texts = TEXTS["problems"][code]
    assert sorted(texts) == sorted(LANGUAGES)
    assert all(len(texts[language]) == 2 and all(texts[language]) for language in LANGUAGES)
    english, chinese = (placeholders(" ".join(texts[language])) for language in LANGUAGES)
    assert english == chinese <= params_of(code).keys()


@pytest.mark.parametrize("code", FROZEN)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_is_filled_from_what_its_class_always_has(code: str, language: str) -> None:
    title, detail = problem_text(code, language, params_of(code))
    assert not re.search(r"[{}]", title + detail)


def test_the_parameters_are_filled_in() -> None:
    assert problem_text("wrong_code", "en", errors.WrongCode(tries_left=3).params)[1].endswith("Tries left: 3.")
    assert "30 秒" in problem_text("login_slowed", "zh-CN", errors.LoginSlowed(retry_after=30).params)[1]


def test_a_failed_login_tells_the_ways_that_stay_open_when_the_password_is_locked() -> None:
    """The answer to a locked password login is the same, so that it does not tell which accounts exist."""
    assert "verification code or reset the password" in problem_text("invalid_credentials", "en", {})[1]
    assert "验证码登录" in problem_text("invalid_credentials", "zh-CN", {})[1]


@pytest.mark.parametrize("code", sorted(TEXTS["fields"]))
def test_every_field_text_is_there_in_both_languages(code: str) -> None:
    assert sorted(TEXTS["fields"][code]) == sorted(LANGUAGES)
    assert all(field_text(code, language) == TEXTS["fields"][code][language] != "" for language in LANGUAGES)


def test_our_own_field_codes_have_texts() -> None:
    assert TEXTS["fields"].keys() >= FIELD_CODES


def test_a_field_code_without_text_gets_a_general_one() -> None:
    assert field_text("no_such_type", "en") == field_text("other", "en")
    assert field_text("no_such_type", "zh-CN") == field_text("other", "zh-CN") != field_text("other", "en")


def test_a_locale_without_texts_is_answered_in_english() -> None:
    assert field_text("missing", "fr") == field_text("missing", "en")
    assert problem_text("busy", "fr", {"retry_after": 2}) == problem_text("busy", "en", {"retry_after": 2})


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        (None, "en"),
        ("", "en"),
        ("zh", "zh-CN"),
        ("zh-CN", "zh-CN"),
        ("ZH-hans-CN", "zh-CN"),
        ("zh-Hans", "zh-CN"),
        ("zh-TW,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("en", "en"),
        ("en-GB", "en"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("en;q=0.5, zh;q=0.6", "zh-CN"),
        ("en;q=0.5 , zh ; q=0.5", "en"),
        ("fr", "en"),
        ("fr, zh;q=0.2", "zh-CN"),
        ("fr;q=1, *;q=0.5", "en"),
        ("zh;q=0.5, *", "en"),
        ("zh;q=0.5, *;q=0.1", "zh-CN"),
        ("en;q=0, *", "zh-CN"),
        ("en;q=0, zh;q=0, *", "en"),
        ("zh;q=0", "en"),
    ],
)
def test_the_dearest_language_that_we_have_is_chosen(header: str | None, locale: str) -> None:
    assert choose_locale(header) == locale


@pytest.mark.parametrize(
    "header",
    [
        ";;;",
        ",,,",
        "q=1",
        "zh;q=x",
        "zh;q=-1",
        "zh;q=1;q=0",
        "zh;q=9",
        "zh;q=nan",
        "\x00",
        "zhuang",
        "-zh",
        "é" * 9_000,
    ],
)
def test_garbage_is_answered_in_english(header: str) -> None:
    assert choose_locale(header) == "en"


def test_every_reason_against_a_submission_has_texts() -> None:
    assert sorted(TEXTS["reasons"]) == sorted(Reason)
    assert all(sorted(texts) == sorted(LANGUAGES) for texts in TEXTS["reasons"].values())


def test_every_reason_against_a_settlement_has_texts_and_a_row_in_the_documentation() -> None:
    assert sorted(TEXTS["settlement"]) == sorted(Against) == sorted(get_args(ReasonCode))
    assert all(sorted(texts) == sorted(LANGUAGES) and all(texts.values()) for texts in TEXTS["settlement"].values())
    assert sorted(REASONS) == sorted(Against)


def test_every_page_for_who_comes_from_a_marketplace_has_a_title_and_a_text_in_both_languages() -> None:
    assert sorted(TEXTS["pages"]) == sorted(Page)
    for texts in TEXTS["pages"].values():
        assert sorted(texts) == sorted(LANGUAGES)
        assert all(len(texts[language]) == 2 and all(texts[language]) for language in LANGUAGES)
