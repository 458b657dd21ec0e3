"""Nobody is asked: the end of the submitted name decides. For development and tests."""

import unicodedata

from app.gateways.real_name.base import Claim, Outcome, Verdict

_ENDINGS = {
    "(mismatched)": Outcome.MISMATCHED,
    "(not operating)": Outcome.NOT_OPERATING,
    "(not found)": Outcome.NOT_FOUND,
    "(unavailable)": Outcome.UNAVAILABLE,
    "(limited)": Outcome.LIMITED,
}


class SandboxRealName:
    """`Example Ltd (not found)` is not found, and so on; full-width brackets are read as well. Other names match.

    A mismatch names the name. The attempt's id stands for the provider's.
    """

    async def verify(self, attempt_id: str, claim: Claim) -> Verdict:
        name = " ".join(unicodedata.normalize("NFKC", claim.name).casefold().split())
        outcome = next((outcome for ending, outcome in _ENDINGS.items() if name.endswith(ending)), Outcome.MATCHED)
        field = "name" if outcome is Outcome.MISMATCHED else None
        return Verdict(outcome, field=field, detail="sandbox", request_id=attempt_id)

    async def close(self) -> None:
        pass
