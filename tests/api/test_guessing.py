"""Three days of the attack that `make guessing` runs for a year: what is compared, and that the holder gets in."""

import pytest

from tests.support.api import Api
from tests.support.guessing import attacked


@pytest.mark.settings(code_resend_seconds=60)
async def test_a_stranger_who_guesses_every_day_compares_as_much_as_is_stated_and_keeps_nobody_out(api: Api) -> None:
    """docs/configuration.md: twenty guesses a day are 0.73 % in a year."""
    days = 3
    attack = await attacked(api, days)

    assert attack.codes == days * api.settings.daily_tries
    assert attack.passwords == days * api.settings.login_max_failures
    assert attack.chance * 365 / days < 0.0074
    assert (attack.holder_by_code, attack.holder_by_password) == (days, days)
