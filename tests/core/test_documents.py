"""Identity numbers and credit codes: what is read, what is refused and why, and how much of them is shown."""

from datetime import UTC, datetime

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from app.core.documents import (
    DocumentRefused,
    credit_check,
    inner_check_holds,
    masked,
    organisation_check,
    resident_check,
    resident_number,
    social_credit_code,
)

# From the standard itself and widely published samples, from python-stdnum's tests, and of residence permits' form.
RESIDENT = [
    "11010519491231002X",
    "53010219200508011X",  # python-stdnum 2.2 refuses it: the county is younger than the person
    "360426199101010071",
    "44011320141005001X",
    "412723199010050012",
    "110102199101010078",
    "120110198012010073",
    "810000199003070015",
    "830000199003070019",
]
CREDIT = [
    "91350100M000100Y43",
    "91110000600037341L",
    "121200004013590816",
    "91310115MA1K3BTP2B",
    "91440300568520498A",
    "92340602MA2PBMEM24",
    "N2440300MA5F00018G",  # a rural collective; python-stdnum 2.2 refuses letters in front
]
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def refusal_of_resident(text: str) -> str:
    with pytest.raises(DocumentRefused) as refused:
        resident_number(text)
    assert str(refused.value) == refused.value.code
    return refused.value.code


def refusal_of_credit(text: str) -> str:
    with pytest.raises(DocumentRefused) as refused:
        social_credit_code(text)
    assert str(refused.value) == refused.value.code
    return refused.value.code


@pytest.mark.parametrize("number", RESIDENT)
def test_identity_numbers_are_read(number: str) -> None:
    assert resident_number(number) == number


@pytest.mark.parametrize(
    "typed",
    [
        "11010519491231002x",
        " 110105 19491231 002X\n",
        "１１０１０５１９４９１２３１００２Ｘ",
        "１１０１０５\u300019491231００２ｘ",
        "11010519491231002Ⅹ",  # the Roman numeral that keyboards offer
        "\u202d11010519491231002X\u202c",  # as it is copied from a contact list
        "\ufeff110105\u200b19491231002X",
    ],
)
def test_an_identity_number_is_the_same_however_it_was_typed(typed: str) -> None:
    assert resident_number(typed) == "11010519491231002X"


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "invalid_id_number"),
        ("   ", "invalid_id_number"),
        ("1101051949123100", "invalid_id_number"),
        ("11010519491231002", "invalid_id_number"),
        ("11010519491231002XX", "invalid_id_number"),
        ("X1010519491231002X", "invalid_id_number"),
        ("1101051949123100XX", "invalid_id_number"),
        ("110105-19491231-002X", "invalid_id_number"),
        ("١١٠١٠٥١٩٤٩١٢٣١٠٠٢٨", "invalid_id_number"),  # digits, but not these
        ("11010519491231002\x00", "invalid_id_number"),
        ("张三", "invalid_id_number"),
        ("🪪" * 18, "invalid_id_number"),
        ("1" * 10_000, "invalid_id_number"),
        (" " * 10_000 + "11010519491231002X", "invalid_id_number"),
        ("911124198108030024", "invalid_id_number"),  # a foreigner's permanent residence card of 2023
        ("160105194912310028", "invalid_id_number"),
        ("000000194912310028", "invalid_id_number"),
        ("110105491231002", "id_number_too_short"),
        ("１１０１０５４９１２３１００２", "id_number_too_short"),
        ("360426199113010079", "id_number_birth_date"),
        ("360426199102300071", "id_number_birth_date"),
        ("110105190002290027", "id_number_birth_date"),  # 1900 was no leap year
        ("360426000001010071", "id_number_birth_date"),
        ("110105180012310027", "id_number_birth_date"),
        ("440524188001010014", "id_number_birth_date"),  # the standard's own example would be very old
        ("110101209901010017", "id_number_birth_date"),
        ("36042619910102009X", "id_number_check_digit"),
        ("110105194912310020", "id_number_check_digit"),
        ("11010519491213002X", "id_number_check_digit"),  # two digits the wrong way round
    ],
)
def test_what_is_no_identity_number_is_refused_with_its_reason(typed: str, code: str) -> None:
    assert refusal_of_resident(typed) == code


def test_a_child_has_a_number_from_the_day_of_its_birth_in_china() -> None:
    number = "11010520260102001"
    number += resident_check(number)
    with time_machine.travel(datetime(2026, 1, 1, 16, 0, tzinfo=UTC), tick=False):
        assert resident_number(number) == number
    with time_machine.travel(datetime(2026, 1, 1, 15, 59, 59, tzinfo=UTC), tick=False):
        assert refusal_of_resident(number) == "id_number_birth_date"


@pytest.mark.parametrize("date", ["19000101", "20000229", "20240229"])
def test_the_edges_of_the_calendar_are_dates(date: str) -> None:
    number = f"110105{date}002"
    assert resident_number(number + resident_check(number)).startswith(number)


@pytest.mark.parametrize(
    ("places", "check"),
    [("11010519491231002", "X"), ("44052418800101001", "4"), ("53010219200508011", "X"), ("36042619910101007", "1")],
)
def test_the_check_of_identity_numbers_equals_the_published_ones(places: str, check: str) -> None:
    assert resident_check(places) == check


@given(st.from_regex(r"[0-9]{17}", fullmatch=True), st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_changes_the_check_of_an_identity_number(places: str, at: int, by: int) -> None:
    wrong = places[:at] + str((int(places[at]) + by) % 10) + places[at + 1 :]
    assert resident_check(wrong) != resident_check(places)


@pytest.mark.parametrize("places", ["", "1" * 16, "1" * 18, "1101051949123100A"])
def test_a_check_is_worked_out_for_seventeen_digits_only(places: str) -> None:
    with pytest.raises(ValueError):
        resident_check(places)


@pytest.mark.parametrize("code", CREDIT)
def test_credit_codes_are_read(code: str) -> None:
    assert social_credit_code(code) == code
    assert inner_check_holds(code)


@pytest.mark.parametrize(
    "typed",
    [
        "91350100m000100y43",
        " 913501 00M000100Y 43 ",
        "９１３５０１００Ｍ０００１００Ｙ４３",
        "91350100M000100Y43\u200b",
    ],
)
def test_a_credit_code_is_the_same_however_it_was_typed(typed: str) -> None:
    assert social_credit_code(typed) == "91350100M000100Y43"


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "invalid_credit_code"),
        ("110000600037341", "invalid_credit_code"),  # a registration number of before 2015
        ("91350100M000100Y4", "invalid_credit_code"),
        ("91350100M000100Y433", "invalid_credit_code"),
        ("9135O1OOM000100Y43", "credit_code_letters"),
        ("9135010AM000100Y43", "invalid_credit_code"),  # a letter in the region
        ("91350100-M000100Y4", "invalid_credit_code"),
        ("观测未来科技有限公司统一社会信用代", "invalid_credit_code"),
        ("9" * 10_000, "invalid_credit_code"),
        ("9111000060003IOZSV", "credit_code_letters"),
        *((f"91350100M000100{letter}43", "credit_code_letters") for letter in "IOSVZiosvz"),
        ("91110000600037341N", "credit_code_check_digit"),
        ("91350100M000100Y44", "credit_code_check_digit"),
        ("91350100M001000Y43", "credit_code_check_digit"),
    ],
)
def test_what_is_no_credit_code_is_refused_with_its_reason(typed: str, code: str) -> None:
    assert refusal_of_credit(typed) == code


def test_a_wrong_inner_check_is_no_reason_to_refuse() -> None:
    """Old organisation codes break it."""
    assert social_credit_code("91110000600037342P") == "91110000600037342P"
    assert not inner_check_holds("91110000600037342P")


@pytest.mark.parametrize(
    ("places", "check"), [("91350100M000100Y4", "3"), ("91110000600037341", "L"), ("91110000600037342", "P")]
)
def test_the_check_of_credit_codes_equals_the_published_ones(places: str, check: str) -> None:
    assert credit_check(places) == check


@given(st.text(ALPHABET, min_size=17, max_size=17), st.integers(0, 16), st.sampled_from(ALPHABET))
def test_one_wrong_place_changes_the_check_of_a_credit_code(places: str, at: int, other: str) -> None:
    wrong = places[:at] + other + places[at + 1 :]
    assert (credit_check(wrong) == credit_check(places)) == (wrong == places)


@pytest.mark.parametrize(
    ("places", "check"), [("M000100Y", "4"), ("60003734", "1"), ("00000000", "0"), ("00000005", "1"), ("00000006", "X")]
)
def test_the_check_of_organisation_codes_follows_its_standard(places: str, check: str) -> None:
    assert organisation_check(places) == check


@pytest.mark.parametrize("places", ["", "9135010", "9135010-M", "91350100M0"])
def test_an_organisation_code_of_another_form_has_no_check(places: str) -> None:
    with pytest.raises(ValueError):
        organisation_check(places)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("11010519491231002X", "110*************2X"),
        ("91350100M000100Y43", "913*************43"),
        ("1234567890", "123*****90"),
        ("123456789", "1*******9"),
        ("12345", "1***5"),
        ("1234", "****"),
        ("", ""),
    ],
)
def test_a_masked_number_can_be_recognised_but_not_used(number: str, shown: str) -> None:
    assert masked(number) == shown
