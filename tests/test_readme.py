"""The README's session is true: every command is run, every answer compared."""

from tests.support.readme import README, normalised, replayed


def test_every_command_of_the_readme_answers_what_it_says() -> None:
    written = README.read_text(encoding="utf-8")

    assert normalised(replayed(written)) == normalised(written)
