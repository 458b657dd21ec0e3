"""The page on marketplaces says what is so: settings exist, words mean what it says, links lead somewhere."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.core.config import Settings
from app.gateways.marketplaces.alibaba import AlibabaMarketplace
from app.gateways.marketplaces.aws_customer import of_facts
from app.gateways.marketplaces.aws_events import of_event, of_message
from app.gateways.marketplaces.base import Notice
from app.gateways.marketplaces.huawei_notices import PURCHASES, SYNC, notice
from app.gateways.marketplaces.huawei_v1 import notice_v1
from app.models.cloud_accounts import Effect

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "marketplaces.md").read_text(encoding="utf-8")
AT = datetime(2026, 11, 23, tzinfo=UTC)
ROW = re.compile(r"^\| ((?:AWS|Alibaba|Huawei)[^|]*) \| ([^|]+) \| `(\w+)` \|$", re.MULTILINE)
NAMED = re.compile(r"`([^`]+)`")


def documented() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Provider, a word with what stands beside it, and the effect."""
    for provider, words, effect in ROW.findall(PAGE):
        kind = ""
        for word in NAMED.findall(words):
            if word.isupper():
                yield provider, (kind, word), effect
            elif f"`{word}` `" not in words:
                yield provider, (word,), effect
            kind = kind if word.isupper() else word


def aws_event(kind: str, status: str = "") -> Notice:
    detail = {
        "agreement": {"id": "agmt-1", "status": status},
        "acceptor": {"accountId": "123456789012"},
        "license": {"arn": "arn:aws:license-manager::294406891311:license:l-" + "1" * 32},
        "product": {"code": "ours"},
    }
    source = "aws.agreement-marketplace"
    return of_event("events", {"id": "1", "detail-type": kind, "source": source, "detail": detail}, AT, {"ours"})


def aws_message(action: str) -> Notice:
    said = {"action": action, "customer-identifier": "X01", "product-code": "ours"}
    return of_message("sns", {"Type": "Notification", "MessageId": "1", "Message": said}, AT, {"ours"})


def aws_landing(_: str) -> Notice:
    return of_facts("landing", {"ProductCode": "ours", "CustomerIdentifier": "X01", "CustomerAWSAccountId": "1"}, AT)


def alibaba(action: str) -> Notice:
    market = AlibabaMarketplace(key="k", products=frozenset(), openapi=None, front_end_url="", login_url="")
    named = ("instanceId", "orderBizId", "orderId", "aliUid", "productCode", "skuId")
    return market.parse("", {"action": action, **dict.fromkeys(named, "1")}, AT)


def huawei(activity: str, more: str = "") -> Notice:
    sealed = {"timestamp": "1700000000000", "nonce": "0" * 64}
    named = dict.fromkeys(("instanceId", "orderId", "orderLineId", "businessId"), "1")
    return notice(PURCHASES, {"activity": activity, "scene": more, "status": more, **named, **sealed})


def huawei_v1(activity: str, more: str = "") -> Notice:
    named = dict.fromkeys(("instanceId", "orderId", "businessId", "customerId"), "1")
    return notice_v1({"activity": activity, "instanceStatus": more, **named, "timeStamp": "20261123000000000"})


MEANS: dict[str, Callable[..., Notice]] = {
    "AWS, landing": aws_landing,
    "AWS, events": aws_event,
    "AWS, SNS": aws_message,
    "Alibaba Cloud": alibaba,
    "Huawei Cloud": huawei,
    "Huawei Cloud, V1.0": huawei_v1,
}


@pytest.mark.parametrize(
    ("provider", "words", "effect"), [one for one in documented() if "tenants" not in one[0]], ids=str
)
def test_each_word_means_what_the_page_says(provider: str, words: tuple[str, ...], effect: str) -> None:
    assert MEANS[provider](*words).effect == effect


@pytest.mark.parametrize(("flag", "effect"), [("0", "none"), ("1", "registered"), ("2", "registered")])
def test_tenants_mean_what_the_page_says(flag: str, effect: str) -> None:
    """Deleted, added, changed."""
    body = {"instanceId": "1", "flag": flag, "timestamp": "1700000000000", "nonce": "0" * 64}

    assert notice(f"{SYNC}tenantSync", body).effect == effect
    assert notice(f"{SYNC}authSync", body).effect == "none"
    assert ("tenantSync",) in [words for provider, words, _ in documented() if "tenants" in provider]


def test_the_page_has_a_word_for_every_provider_and_each_effect_but_the_unknown() -> None:
    found = list(documented())

    assert {provider.removesuffix(", tenants") for provider, _, _ in found} == set(MEANS)
    assert {effect for _, _, effect in found} == {*Effect} - {Effect.UNKNOWN}
    assert all(f"`{effect}`" in PAGE for effect in Effect)


def test_every_setting_that_the_page_names_exists_and_it_names_all_those_of_marketplaces() -> None:
    known = {f"GUANCE_{name}".upper() for name in Settings.model_fields}
    named = set(re.findall(r"GUANCE_[A-Z0-9_]+[A-Z0-9]", PAGE))
    of_marketplaces = re.compile(r"GUANCE_(AWS_|HUAWEI_|ALIBABA_(MARKETPLACE|VERIFY)|MARKETPLACE_|CLOUD_|LOCK_)")

    assert named <= known
    assert {name for name in known if of_marketplaces.match(name)} <= named


def test_every_link_and_every_file_that_the_page_names_is_there() -> None:
    links = re.findall(r"\]\(([^)#]*)(?:#([\w-]+))?\)", PAGE)
    assert links
    for file, anchor in links:
        text = (DOCS / file).read_text(encoding="utf-8")
        heads = [head.lower().replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
        assert not anchor or anchor in heads, f"{file}#{anchor}"
    files = [one for one in NAMED.findall(PAGE) if re.fullmatch(r"(?:app|tests)/[\w/.]+\.\w+", one)]
    missing = [one for one in files if not (DOCS.parent / one).exists()]
    assert missing == ["app/gateways/marketplaces/azure.py"]  # the example


def test_the_page_is_short_enough_to_be_read() -> None:
    assert len(PAGE.splitlines()) <= 150
