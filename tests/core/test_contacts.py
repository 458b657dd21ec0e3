"""Emails, phones and usernames: what is accepted, and what counts as the same."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.contacts import ContactRefused, Identifier, Kind, email_key, read_email, read_identifier, read_phone
from app.core.masking import contact, dial_code, email, phone

SERVED = ["CN", "HK", "US", "GB"]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("li.lei@example.com", "li.lei@example.com"),
        ("Li.Lei@EXAMPLE.Com", "Li.Lei@example.com"),
        ("a+tag@example.com", "a+tag@example.com"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("li@例子.中国", "li@例子.中国"),
    ],
)
def test_emails_are_kept_as_they_are_written_to(typed: str, kept: str) -> None:
    assert read_email(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "li.lei",
        "li.lei@",
        "@example.com",
        "li lei@example.com",
        "li@example",
        "li@exa_mple.com",
        "li@@example.com",
        "li@example..com",
        ".li@example.com",
        "li@[127.0.0.1]",
        "Li Lei <li@example.com>",
        '"li lei"@example.com',
        "李雷@example.com",
        "li@example.com\nbcc:x@example.org",
        "li\x00@example.com",
        f"li@{'a' * 64}.com",
        f"li@{'a.' * 130}com",
    ],
)
def test_what_is_no_email_is_refused(typed: str) -> None:
    with pytest.raises(ContactRefused) as refused:
        read_email(typed)
    assert refused.value.code == "invalid_email"


@pytest.mark.parametrize("other", ["LI.LEI@EXAMPLE.COM", "Li.Lei@Example.com", "ｌｉ.lei@example.com"])
def test_spellings_of_one_address_are_one_login(other: str) -> None:
    assert email_key(other) == email_key("li.lei@example.com")


def test_tagged_and_dotted_addresses_are_others() -> None:
    addresses = ["li.lei@example.com", "lilei@example.com", "li.lei+tag@example.com"]
    assert len({email_key(address) for address in addresses}) == 3


@pytest.mark.parametrize(
    ("typed", "region", "number"),
    [
        ("13800138000", "CN", "+8613800138000"),
        (" 138 0013-8000 ", "CN", "+8613800138000"),
        ("+86 138 0013 8000", "US", "+8613800138000"),
        ("0086 13800138000", "CN", "+8613800138000"),
        ("１３８００１３８０００", "CN", "+8613800138000"),
        ("(201) 555-0123", "US", "+12015550123"),
        ("5123 4567", "HK", "+85251234567"),
        ("07400 123456", "GB", "+447400123456"),
    ],
)
def test_phones_are_read_in_the_region_and_kept_as_e164(typed: str, region: str, number: str) -> None:
    assert read_phone(typed, region=region, countries=SERVED) == number


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "invalid_phone"),
        ("abc", "invalid_phone"),
        ("123", "invalid_phone"),
        ("+999123456789", "invalid_phone"),
        ("13800138000;ext=12", "invalid_phone"),
        ("+861065529988", "phone_not_mobile"),
        ("+19002345678", "phone_not_mobile"),
        ("+448081570123", "phone_not_mobile"),
        ("+79123456789", "phone_country_not_served"),
        ("+12423591234", "phone_country_not_served"),
    ],
    ids=["empty", "letters", "short", "no country", "extension", "landline", "premium", "toll free", "RU", "BS in +1"],
)
def test_phones_that_cannot_be_texted_are_refused_with_the_reason(typed: str, code: str) -> None:
    with pytest.raises(ContactRefused) as refused:
        read_phone(typed, region="CN", countries=SERVED)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("typed", "identifier"),
    [
        ("acme", Identifier(Kind.USERNAME, "acme")),
        ("  ACME ", Identifier(Kind.USERNAME, "acme")),
        ("a.b_c-1", Identifier(Kind.USERNAME, "a.b_c-1")),
        ("Li@Example.com", Identifier(Kind.EMAIL, "li@example.com")),
        ("13800138000", Identifier(Kind.PHONE, "+8613800138000")),
        ("+86 138 0013 8000", Identifier(Kind.PHONE, "+8613800138000")),
        ("+12015550123", Identifier(Kind.PHONE, "+12015550123")),
    ],
)
def test_identifier_is_told_by_its_form(typed: str, identifier: Identifier) -> None:
    assert read_identifier(typed, region="CN") == identifier


@pytest.mark.parametrize(
    "typed", ["li@example.com", "Li@EXAMPLE.com", "li@例子.中国", "li@xn--fsqu00a.xn--fiqs8s", "li@EXAMPLE。com"]
)
def test_email_logs_in_as_it_was_typed_at_registration(typed: str) -> None:
    assert read_identifier(typed, region="CN").key == email_key(read_email(typed))


def test_domains_that_idna_tells_apart_are_two_logins() -> None:
    """IDNA 2008 keeps ß (RFC 5894 §7.2): the two names may have two owners."""
    assert email_key(read_email("li@straße.de")) != email_key(read_email("li@strasse.de"))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=254))
def test_whatever_is_typed_is_some_identifier(typed: str) -> None:
    identifier = read_identifier(typed, region="CN")
    assert (identifier.kind is Kind.EMAIL) == ("@" in typed)


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{3,31}", fullmatch=True))
def test_username_is_never_taken_for_a_phone_or_an_email(username: str) -> None:
    assert read_identifier(username, region="CN") == Identifier(Kind.USERNAME, username.lower())


@pytest.mark.parametrize(
    ("address", "masked"),
    [("li.lei@example.com", "l***@example.com"), ("a@example.com", "a***@example.com")],
)
def test_masked_email_shows_its_first_letter_and_domain(address: str, masked: str) -> None:
    assert email(address) == masked


@pytest.mark.parametrize(
    ("number", "masked"),
    [("+8613800138000", "+86*******8000"), ("+85251234567", "+852****4567"), ("+12015550123", "+1******0123")],
)
def test_masked_phone_shows_country_and_last_four_digits(number: str, masked: str) -> None:
    assert phone(number) == masked


@pytest.mark.parametrize(
    ("value", "masked"), [(None, None), ("li@example.com", "l***@example.com"), ("+8613800138000", "+86*******8000")]
)
def test_contact_is_masked_by_its_kind(value: str | None, masked: str | None) -> None:
    assert contact(value) == masked


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_the_dial_code_is_what_parsing_would_find(region: str) -> None:
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if number is not None:
        shown = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        assert dial_code(shown) == f"+{number.country_code}"
