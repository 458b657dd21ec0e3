"""Which new passwords are refused, and that good ones are not."""

import gzip
from pathlib import Path

import pytest

from app.core.password_rules import refusal

DATA = Path(__file__).parents[1] / "app" / "data"
ACME = ("li.lei", "billing-team@acme-corp.com", "Acme Billing")


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "PassWord",
        "iloveyou",
        "woaini1314",
        "5201314520",
        "a123456789",
        "qwer1234",
        "1qaz2wsx3edc",
        "zxcvbnm123",
    ],
)
def test_a_password_of_the_list_is_refused_in_any_case(password: str) -> None:
    assert refusal(password, words=()) == "common"
    assert refusal(password.upper(), words=()) == "common"


def test_full_width_characters_do_not_hide_a_common_password() -> None:
    assert refusal("ｐａｓｓｗｏｒｄ", words=()) == "common"


@pytest.mark.parametrize("password", ["Dragon2024!", "sunshine!!", "Football_2026", "5201314520!", "woaini19990101"])
def test_digits_and_punctuation_at_the_end_do_not_make_a_common_word_a_password(password: str) -> None:
    assert refusal(password, words=()) == "common"


@pytest.mark.parametrize(
    "password",
    [
        *("aaaaaaaa", "12345678", "abcdefgh", "87654321", "qwertyui", "poiuytrewq", "zyxwvuts", "1234567890"),
        *("hhhhhhhh2024", "defghijk!", "asdfghjk#1", "观观观观观观观观", "........"),
    ],
)
def test_one_run_of_repeated_or_neighbouring_characters_is_refused(password: str) -> None:
    assert refusal(password, words=()) == "common"


@pytest.mark.parametrize("password", ["Guance2026!", "guanceyun123", "GUANCE-GUANCE", "观测云2026!!", "my guance"])
def test_the_name_of_the_service_is_refused_without_being_told(password: str) -> None:
    assert refusal(password, words=()) == "context"


@pytest.mark.parametrize(
    "password", ["acme-billing1", "AcmeBilling2026", "acme acme acme", "Billing-Team#9", "acmecorp.com"]
)
def test_names_of_the_holder_and_the_company_are_refused(password: str) -> None:
    assert refusal(password, words=ACME) == "context"


def test_a_chinese_company_name_is_refused_whole_and_with_a_tail() -> None:
    assert refusal("杭州驻云科技2026", words=["杭州驻云科技"]) == "context"


def test_a_context_word_is_not_refused_for_another_company() -> None:
    assert refusal("acme-billing1", words=["Globex"]) is None


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple acme",
        "acme pays on time",
        "guance keeps watch",
        "观测云上的一只小猫",
        "Xk7#mPq2vR",
    ],
)
def test_a_password_with_enough_of_its_own_is_accepted(password: str) -> None:
    assert refusal(password, words=ACME) is None


def test_short_words_are_in_everything_and_refuse_nothing() -> None:
    assert refusal("lei-0831-5572-9046", words=["lei", "li", ""]) is None


def test_a_very_long_password_is_judged_quickly() -> None:
    assert refusal("x!" * 30_000, words=ACME) is None


def test_the_list_is_sorted_unique_and_folded() -> None:
    """So that a renewal shows as a small difference, and every line can match."""
    lines = gzip.decompress((DATA / "common_passwords.txt.gz").read_bytes()).decode().splitlines()
    assert len(lines) > 25_000
    assert lines == sorted(set(lines))
    assert all(len(line) >= 6 and line == line.casefold() for line in lines)
