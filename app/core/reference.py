"""What a profile or a workspace may name: industries, regions, time zones and sites, the first two with their names.

Industries are the sections of GB/T 4754-2017. Regions are ISO 3166-1 alpha-2 and ISO 3166-2 as pycountry carries them
(Debian's iso-codes). Everything is read at its first use: importing this module costs nothing.
"""

import gettext
import tomllib
import zoneinfo
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_INDUSTRIES = Path(__file__).parent.parent / "data" / "industries.toml"
_SITES = Path(__file__).parent.parent / "data" / "sites.toml"
_HOME = "CN"  # the country whose subdivisions stand in the list of all countries
# Names that the zh_CN catalogues of iso-codes lack or misspell.
_ZH = {"BO": "玻利维亚", "CN-NX": "宁夏回族自治区", "KG": "吉尔吉斯斯坦", "KH": "柬埔寨", "MT": "马耳他"}


@dataclass(frozen=True, slots=True)
class Reference:
    """An entry of a list to choose from; `parent` is the code of the entry that it belongs to."""

    code: str
    zh: str
    en: str
    parent: str | None


@cache
def industries() -> tuple[Reference, ...]:
    """The 20 sections A–T, in their order."""
    entries = tomllib.loads(_INDUSTRIES.read_text(encoding="utf-8"))["industries"]
    return tuple(Reference(code=one["code"], zh=one["zh"], en=one["en"], parent=None) for one in entries)


def regions(country: str | None) -> tuple[Reference, ...]:
    """The subdivisions of a country; without one, all countries and the subdivisions of China. Sorted by code.

    A country that does not exist, or has no subdivisions, has none.
    """
    if country is None:
        entries = (*_countries(), *_subdivisions().get(_HOME, ()))
        return tuple(sorted(entries, key=lambda entry: entry.code))
    return _subdivisions().get(country, ())


@cache
def sites() -> dict[str, str]:
    """The codes of Guance's deployment sites, and which cloud operates each."""
    entries = tomllib.loads(_SITES.read_text(encoding="utf-8"))["sites"]
    return {code: str(site["cloud"]) for code, site in entries.items()}


def is_site(code: str) -> bool:
    return code in sites()


def cloud_of(site: str) -> str:
    """Which cloud operates it; empty for one that is no more."""
    return sites().get(site, "")


def is_region(code: str) -> bool:
    """Whether it is an ISO 3166-1 alpha-2 or an ISO 3166-2 code, written as ISO does."""
    return code in _region_codes()


def is_industry(code: str) -> bool:
    return any(entry.code == code for entry in industries())


def is_time_zone(name: str) -> bool:
    """Whether the IANA database knows the zone (or the link) by this name."""
    return name in _time_zones()


@cache
def _countries() -> tuple[Reference, ...]:
    import pycountry  # noqa: PLC0415 - 60 ms that only those who ask for regions shall pay

    chinese = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=["zh_CN"])
    entries = []
    for country in pycountry.countries:
        name = getattr(country, "common_name", country.name)  # "Bolivia" rather than "Bolivia, Plurinational State of"
        zh = _ZH.get(country.alpha_2) or chinese.gettext(name)  # gettext answers the English name when it has none
        entries.append(Reference(code=country.alpha_2, zh=zh, en=name, parent=None))
    return tuple(sorted(entries, key=lambda entry: entry.code))


@cache
def _subdivisions() -> dict[str, tuple[Reference, ...]]:
    import pycountry  # noqa: PLC0415

    chinese = gettext.translation("iso3166-2", pycountry.LOCALES_DIR, languages=["zh_CN"])
    found: dict[str, list[Reference]] = {}
    for one in sorted(pycountry.subdivisions, key=lambda one: str(one.code)):
        zh = _ZH.get(one.code) or chinese.gettext(one.name)
        parent = one.parent_code or one.country_code  # GB-LND lies in GB-ENG, US-TX in US
        found.setdefault(one.country_code, []).append(Reference(code=one.code, zh=zh, en=one.name, parent=parent))
    return {country: tuple(entries) for country, entries in found.items()}


@cache
def _region_codes() -> frozenset[str]:
    inside = (entry.code for entries in _subdivisions().values() for entry in entries)
    return frozenset(entry.code for entry in _countries()).union(inside)


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())  # walks a directory tree: once
