"""Industries, regions and time zones."""

import subprocess
import sys

import pytest

from app.core import reference


def test_there_are_the_twenty_sections_of_gb_t_4754_in_their_order() -> None:
    codes = [entry.code for entry in reference.industries()]
    assert codes == list("ABCDEFGHIJKLMNOPQRST")
    assert reference.industries()[0].zh == "农、林、牧、渔业"
    assert reference.industries()[8].zh == "信息传输、软件和信息技术服务业"
    assert all(entry.zh and entry.en and entry.parent is None for entry in reference.industries())


def test_a_section_letter_is_an_industry_and_nothing_else_is() -> None:
    assert reference.is_industry("I")
    assert not any(reference.is_industry(code) for code in ("", "i", "U", "A01", "AB"))


def test_all_countries_are_listed_with_the_provinces_of_china_sorted_by_code() -> None:
    entries = reference.regions(None)
    codes = [entry.code for entry in entries]
    assert codes == sorted(codes)
    assert len(set(codes)) == len(codes)
    assert len([entry for entry in entries if entry.parent is None]) == 249
    assert {entry.parent for entry in entries} == {None, "CN"}
    assert len([entry for entry in entries if entry.parent == "CN"]) == 34


@pytest.mark.parametrize(
    ("code", "zh", "en"),
    [
        ("CN", "中国", "China"),
        ("BO", "玻利维亚", "Bolivia"),
        ("KH", "柬埔寨", "Cambodia"),
        ("KR", "韩国", "South Korea"),
        ("CN-ZJ", "浙江省", "Zhejiang Sheng"),
        ("CN-NX", "宁夏回族自治区", "Ningxia Huizu Zizhiqu"),
    ],
)
def test_regions_have_their_common_names_in_both_languages(code: str, zh: str, en: str) -> None:
    entry = next(entry for entry in reference.regions(None) if entry.code == code)
    assert (entry.zh, entry.en) == (zh, en)


def test_every_province_of_china_has_a_chinese_name() -> None:
    assert not [entry for entry in reference.regions("CN") if entry.zh.isascii()]


def test_the_subdivisions_of_one_country_are_its_own() -> None:
    entries = reference.regions("US")
    assert next(entry for entry in entries if entry.code == "US-OH").zh == "俄亥俄州"
    assert all(entry.code.startswith("US-") and entry.parent == "US" for entry in entries)


def test_a_subdivision_within_another_names_that_one_as_its_parent() -> None:
    assert next(entry for entry in reference.regions("GB") if entry.code == "GB-BRD").parent == "GB-ENG"


def test_a_name_missing_in_chinese_is_given_in_english() -> None:
    assert all(entry.zh for country in ("US", "GB", "TW", "FR") for entry in reference.regions(country))


def test_a_country_that_does_not_exist_has_no_subdivisions() -> None:
    assert reference.regions("ZZ") == ()
    assert reference.regions("us") == ()


def test_iso_codes_are_regions_and_other_spellings_are_not() -> None:
    assert all(reference.is_region(code) for code in ("CN", "US", "CN-BJ", "US-CA", "TW", "CN-TW"))
    assert not any(reference.is_region(code) for code in ("", "cn", "CHN", "ZZ", "CN-ZZ", "EU"))


def test_iana_names_are_time_zones() -> None:
    assert all(reference.is_time_zone(name) for name in ("Asia/Shanghai", "UTC", "America/New_York"))
    assert not any(reference.is_time_zone(name) for name in ("", "Asia/Beijing", "+08:00", "../etc/passwd"))


def test_importing_the_module_does_not_load_the_tables() -> None:
    script = "import sys, app.core.reference; sys.exit('pycountry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
