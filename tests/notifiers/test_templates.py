"""The catalogue of messages: complete, alike in both languages, and filled in as plain text."""

import tomllib
from importlib import resources
from string import Template

import pytest

from app.notifiers.base import Message
from app.notifiers.templates import UnknownTemplate, render, text_of

LOCALES = ["zh-CN", "en"]
SIGNATURES = {"zh-CN": "观测云费用中心", "en": "Guance Billing Center"}
SMS_SENDERS = {"zh-CN": "【观测云】", "en": "[Guance]"}

CODE = {"code", "minutes", "target"}
CLOUD = {"username", "provider", "number"}
PARAMS: dict[str, set[str]] = {
    "registration_code": CODE | {"username"},
    "registration_taken": {"target", "username"},
    "login_code": CODE,
    "password_reset_code": CODE,
    "first_password_code": CODE,
    "password_changed": {"username"},
    "account_suspended": {"username"},
    "account_restored": {"username"},
    "account_closed": {"username"},
    "real_name_verified": {"username"},
    "real_name_rejected": {"username"},
    "change_current_code": CODE | {"credential"},
    "change_other_code": CODE | {"credential"},
    "change_new_code": CODE | {"credential"},
    "credential_changed_old": {"credential", "old", "new", "link", "hours", "token"},
    "credential_changed_new": {"credential", "old", "new"},
    "credential_change_waiting": {"credential", "old", "new", "effective_at", "link", "token"},
    "credential_change_cancelled": {"credential", "new"},
    "credential_change_undone": {"credential", "old", "new"},
    "cloud_claim_code": CODE,
    "cloud_account_added": CLOUD,
    "workspaces_fell_back": CLOUD | {"workspaces"},
    "workspaces_locked": CLOUD | {"workspaces", "until"},
}
VALUES = {
    "code": "482913",
    "minutes": "10",
    "target": "l***@example.com",
    "username": "li.lei",
    "credential": "phone",
    "old": "+86*******8000",
    "new": "+86*******9000",
    "link": "https://billing.example.com/undo?token=tkn-1",
    "hours": "72",
    "token": "tkn-1",
    "effective_at": "2026-12-01T08:00:00Z",
    "provider": "azure",
    "number": "************3456",
    "workspaces": "Production, Staging",
    "until": "2026-12-07 08:00 UTC",
}
CODES = sorted(name for name, params in PARAMS.items() if "code" in params)
EACH = [(template, locale) for template in sorted(PARAMS) for locale in LOCALES]


def values(template: str) -> dict[str, str]:
    return {name: VALUES[name] for name in PARAMS[template]}


def sources() -> dict[str, dict[str, dict[str, str]]]:
    tables = tomllib.loads((resources.files("app") / "data" / "messages.toml").read_text(encoding="utf-8"))
    return {name: locales for name, locales in tables.items() if name != "words"}


def placeholders(text: str) -> set[str]:
    return set(Template(text).get_identifiers())


def test_the_catalogue_has_exactly_the_known_templates_in_both_languages() -> None:
    assert {name: sorted(locales) for name, locales in sources().items()} == {name: sorted(LOCALES) for name in PARAMS}


@pytest.mark.parametrize("template", sorted(PARAMS))
@pytest.mark.parametrize("part", ["subject", "email", "sms"])
def test_both_languages_use_the_same_placeholders_and_only_known_ones(template: str, part: str) -> None:
    chinese, english = (sources()[template][locale][part] for locale in LOCALES)
    assert Template(chinese).is_valid()
    assert Template(english).is_valid()
    assert placeholders(chinese) == placeholders(english)
    assert placeholders(chinese) <= PARAMS[template]


@pytest.mark.parametrize(("template", "locale"), EACH)
def test_every_message_shows_all_its_values_but_the_token(template: str, locale: str) -> None:
    rendered = render(template, locale, values(template))
    shown = PARAMS[template] - {"token", "credential"}
    for text in (rendered.email, rendered.sms):
        assert [name for name in shown if VALUES[name] not in text] == []
        assert "$" not in text


@pytest.mark.parametrize(("template", "locale"), EACH)
def test_a_text_message_is_one_line_that_names_its_sender(template: str, locale: str) -> None:
    sms = render(template, locale, values(template)).sms
    assert sms.startswith(SMS_SENDERS[locale])
    assert "\n" not in sms


@pytest.mark.parametrize(("template", "locale"), EACH)
def test_an_email_is_signed_and_its_subject_holds_no_value(template: str, locale: str) -> None:
    rendered = render(template, locale, values(template))
    assert rendered.email.endswith(f"\n\n{SIGNATURES[locale]}\n")
    assert placeholders(sources()[template][locale]["subject"]) == set()
    assert "\n" not in rendered.subject


@pytest.mark.parametrize("template", CODES)
def test_a_code_comes_with_the_advice_to_keep_it_secret_and_to_ignore_it_when_unasked(template: str) -> None:
    chinese, english = (render(template, locale, values(template)) for locale in LOCALES)
    for text in (chinese.email, chinese.sms):
        assert "忽略" in text
        assert "10 分钟" in text
        assert "请勿" in text
    for text in (english.email, english.sms):
        assert "gnore this" in text
        assert "10 minutes" in text
        assert "Do not share it" in text


@pytest.mark.parametrize(
    ("locale", "credential", "word"),
    [
        ("zh-CN", "email", "新邮箱"),
        ("zh-CN", "phone", "新手机号"),
        ("en", "email", "new email address"),
        ("en", "phone", "new phone number"),
    ],
)
def test_a_credential_is_shown_as_a_word_of_the_language(locale: str, credential: str, word: str) -> None:
    rendered = render("change_new_code", locale, {**VALUES, "credential": credential})
    assert word in rendered.email
    assert word in rendered.sms


@pytest.mark.parametrize(
    ("locale", "provider", "word"),
    [
        ("zh-CN", "alibaba", "阿里云"),
        ("zh-CN", "aws", "亚马逊云科技"),
        ("zh-CN", "huawei", "华为云"),
        ("en", "alibaba", "Alibaba Cloud"),
        ("en", "aws", "AWS"),
        ("en", "huawei", "Huawei Cloud"),
        ("en", "azure", "azure"),  # one that has no word yet
    ],
)
def test_a_provider_is_called_as_people_call_it(locale: str, provider: str, word: str) -> None:
    rendered = render("cloud_account_added", locale, {**VALUES, "provider": provider})
    for text in (rendered.email, rendered.sms):
        assert word in text
        assert provider == word or provider not in text


@pytest.mark.parametrize("value", ["${code}", "$code", "$$", "{code}", "%(code)s"])
def test_a_value_that_looks_like_a_placeholder_stays_as_it_is(value: str) -> None:
    rendered = render("registration_code", "en", {**VALUES, "username": value})
    assert f"the username {value}." in rendered.email
    assert f"to register {value} with" in rendered.sms


def test_a_missing_parameter_an_unknown_name_or_language_is_an_error_without_values() -> None:
    with pytest.raises(UnknownTemplate, match="needs 'code'") as missing:
        render("login_code", "en", {"minutes": "10", "target": "l***@example.com"})
    assert "example" not in str(missing.value)
    with pytest.raises(UnknownTemplate):
        render("words", "en", VALUES)
    with pytest.raises(UnknownTemplate):
        render("login_code", "fr", VALUES)
    with pytest.raises(UnknownTemplate) as word:
        render("change_new_code", "en", {**VALUES, "credential": "fax"})
    assert "fax" not in str(word.value)


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_text_of_is_what_the_channel_shows(channel: str) -> None:
    message = Message(
        id="mesg_1", channel=channel, to="li.lei@example.com", template="login_code", locale="en", params=VALUES
    )
    rendered = render("login_code", "en", VALUES)
    assert text_of(message) == getattr(rendered, channel)
