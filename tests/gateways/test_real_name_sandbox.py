"""The provider that asks nobody: the end of the submitted name decides."""

import pytest

from app.gateways.real_name.base import Claim, Kind, Outcome, Provider, Verdict
from app.gateways.real_name.sandbox import SandboxRealName


async def verdict(name: str, kind: Kind = Kind.ENTERPRISE) -> Verdict:
    provider: Provider = SandboxRealName()
    told = await provider.verify("rnca_1", Claim(kind=kind, name=name, number="91350100M000100Y43"))
    await provider.close()
    return told


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        ("(mismatched)", Outcome.MISMATCHED),
        ("(not operating)", Outcome.NOT_OPERATING),
        ("(not found)", Outcome.NOT_FOUND),
        ("(unavailable)", Outcome.UNAVAILABLE),
        ("(limited)", Outcome.LIMITED),
    ],
)
async def test_the_end_of_the_name_decides(ending: str, outcome: Outcome, kind: Kind) -> None:
    for name in (f"Example Ltd {ending}", f"观测未来{ending}", f"李雷 {ending.upper()} ", ending):
        assert (await verdict(name, kind)).outcome is outcome


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("观测未来（mismatched）", Outcome.MISMATCHED),
        ("观测未来（not　operating）", Outcome.NOT_OPERATING),
        ("观测未来（ｎｏｔ ｆｏｕｎｄ）", Outcome.NOT_FOUND),
        ("观测未来(limited）", Outcome.LIMITED),
    ],
)
async def test_full_width_brackets_are_read_as_well(name: str, outcome: Outcome) -> None:
    assert (await verdict(name)).outcome is outcome


@pytest.mark.parametrize(
    "name",
    ["观测未来科技有限公司", "", "(mismatched) Ltd", "mismatched", "Example (matched)", "观测云（上海）有限公司"],
)
async def test_any_other_name_matches(name: str) -> None:
    assert await verdict(name) == Verdict(Outcome.MATCHED, detail="sandbox", request_id="rnca_1")


async def test_a_mismatch_names_the_name() -> None:
    assert (await verdict("Example Ltd (mismatched)")).field == "name"
    assert (await verdict("Example Ltd (not found)")).field is None
