"""What a subscription's messages add up to, in whatever order they came."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.cloud_accounts import CloudStatus, Effect
from app.services.standing import Fact, Standing, standing

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PENDING, ACTIVE, FROZEN, ENDED = CloudStatus
SAYS_NOTHING = [Effect.REGISTERED, Effect.CHANGED, Effect.ENDING, Effect.NONE, Effect.UNKNOWN]


def told(*words: str) -> list[Fact]:
    """Facts an hour apart, each `effect`, or `effect:agreement`."""
    facts = []
    for number, word in enumerate(words):
        effect, _, strand = word.partition(":")
        facts.append(Fact(BEGIN + number * HOUR, UUID(int=number), Effect(effect), strand))
    return facts


def hour(number: int) -> datetime:
    return BEGIN + number * HOUR


@st.composite
def some_facts(draw: st.DrawFn, effects: list[Effect] | None = None, *, strands: str = "-ab") -> list[Fact]:
    """Many at the same instant; `-` is no agreement."""
    members = st.tuples(st.integers(0, 4), st.sampled_from(effects or list(Effect)), st.sampled_from(strands))
    return [
        Fact(hour(at), UUID(int=number), effect, strand.strip("-"))
        for number, (at, effect, strand) in enumerate(draw(st.lists(members, max_size=8)))
    ]


def later(facts: list[Fact], effect: Effect, strand: str = "", *, hours: int = 1) -> Fact:
    """Behind all of them."""
    at = max((fact.at for fact in facts), default=BEGIN) + hours * HOUR
    return Fact(at, UUID(int=10_000 + len(facts)), effect, strand)


# --- Order ----------------------------------------------------------------------------------------------------------


@given(st.data())
def test_the_same_facts_add_up_to_the_same_in_any_order(data: st.DataObject) -> None:
    facts = data.draw(some_facts())
    shuffled = data.draw(st.permutations(facts))

    assert standing(shuffled) == standing(facts)


@given(some_facts())
def test_since_is_the_time_of_a_fact_or_nothing_was_said(facts: list[Fact]) -> None:
    found = standing(facts)

    if found.since is None:
        assert found.status is PENDING
    else:
        assert found.since in {fact.at for fact in facts}


@given(some_facts(), some_facts(SAYS_NOTHING))
def test_news_without_consequence_change_nothing(facts: list[Fact], news: list[Fact]) -> None:
    known = {"", *(fact.strand for fact in facts)}  # the first word of another agreement says that there is one

    assert standing([*facts, *(one for one in news if one.strand in known)]) == standing(facts)


@pytest.mark.parametrize("word", SAYS_NOTHING)
def test_whatever_is_heard_of_a_successor_keeps_the_end_of_the_replaced_from_ending_it(word: Effect) -> None:
    ended = told("superseded:a", "closed:a")

    assert standing(ended).status is ENDED
    assert standing([*ended, later(ended, word, "b")]).status is PENDING


@pytest.mark.parametrize("end", [Effect.CLOSED, Effect.RELEASED])
def test_of_several_at_one_instant_an_end_is_the_last(end: Effect) -> None:
    activated, ended = Fact(BEGIN, UUID(int=9), Effect.ACTIVATED), Fact(BEGIN, UUID(int=1), end)

    assert standing([activated, ended]) == standing([ended, activated]) == Standing(ENDED, BEGIN)


# --- One subscription -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "since"),
    [
        ("", PENDING, None),
        ("registered", PENDING, None),
        ("activated", ACTIVE, 0),
        ("registered activated", ACTIVE, 1),
        ("activated activated changed", ACTIVE, 0),  # since the first
        ("activated frozen", FROZEN, 1),
        ("activated frozen frozen", FROZEN, 1),
        ("activated frozen unfrozen", ACTIVE, 2),
        ("activated frozen activated", ACTIVE, 2),
        ("activated ending", ACTIVE, 0),
        ("activated closed", ENDED, 1),
        ("activated closed closed", ENDED, 1),
        ("activated frozen closed", ENDED, 2),
        ("activated closed frozen", ENDED, 1),
        ("activated closed unfrozen", ENDED, 1),
        ("activated closed frozen unfrozen changed", ENDED, 1),
        ("activated closed activated", ACTIVE, 2),  # only that opens again
        ("failed", ENDED, 0),
        ("failed unfrozen", ENDED, 0),
        ("failed activated", ACTIVE, 1),
        ("closed", ENDED, 0),
        ("released activated", ENDED, 0),  # the purchase is told of again, or late
        ("activated released activated unfrozen", ENDED, 1),
        ("activated closed released activated", ENDED, 1),
        ("unfrozen", ACTIVE, 0),  # what was paid again had begun
        ("frozen", FROZEN, 0),
    ],
)
def test_what_facts_add_up_to(words: str, status: CloudStatus, since: int | None) -> None:
    assert standing(told(*words.split())) == Standing(status, hour(since) if since is not None else None)


@given(some_facts(), st.permutations([Effect.FROZEN, Effect.UNFROZEN, Effect.FAILED, *SAYS_NOTHING]))
def test_what_is_closed_stays_closed_but_for_an_activation(before: list[Fact], news: list[Effect]) -> None:
    closed = later(before, Effect.CLOSED)
    behind = [later([*before, closed], effect, hours=number + 1) for number, effect in enumerate(news)]

    assert standing([*before, closed, *behind]).status is ENDED
    released = any(fact.effect is Effect.RELEASED for fact in before)
    assert standing([*before, closed, later(behind, Effect.ACTIVATED)]).status is (ENDED if released else ACTIVE)


@given(some_facts())
def test_an_end_that_names_no_agreement_ends_them_all(before: list[Fact]) -> None:
    """Whatever older messages come to be known behind it."""
    assert standing([*before, later(before, Effect.CLOSED)]).status is ENDED


@given(some_facts([Effect.FROZEN, Effect.CLOSED, Effect.FAILED, Effect.SUPERSEDED, *SAYS_NOTHING]))
def test_what_was_never_activated_nor_paid_again_is_not_active(facts: list[Fact]) -> None:
    assert standing(facts).status is not ACTIVE


# --- Agreements one after the other ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "since"),
    [
        ("activated:a activated:b closed:a", ACTIVE, 0),  # renewed: the end of the first ends nothing
        ("activated:a activated:b closed:a closed:b", ENDED, 3),
        ("activated:a closed:a", ENDED, 1),
        ("activated:a closed:a activated:b", ACTIVE, 2),  # bought again
        ("activated:a superseded:a closed:a", ENDED, 2),  # no other took its place
        ("activated:a superseded:a closed:a registered:b", ACTIVE, 0),
        ("activated:a superseded:a closed:a activated:b", ACTIVE, 0),
        ("activated:a superseded:a closed:a activated:b closed:b", ENDED, 4),
        ("activated:a closed:a superseded:a registered:b", ACTIVE, 0),  # what came too late says that it never ended
        ("activated:a superseded:b closed:a", ENDED, 2),  # another one was renewed
        ("activated:a activated:b closed", ENDED, 2),  # no agreement: all of them
        ("activated closed:a", ENDED, 1),  # what was bought without a name is the only one there is
        ("activated:a activated:b closed:a frozen", FROZEN, 3),
        ("activated:a frozen activated:b closed:a", ACTIVE, 2),
        ("activated:a superseded closed", ENDED, 2),  # which one was renewed, nobody said
    ],
)
def test_a_subscription_ends_with_the_last_of_its_agreements(
    words: str, status: CloudStatus, since: int | None
) -> None:
    assert standing(told(*words.split())) == Standing(status, hour(since) if since is not None else None)


@given(st.integers(1, 5), st.booleans(), st.randoms(use_true_random=False))
def test_it_is_renewed_as_often_as_one_likes_and_messages_come_as_they_like(
    renewals: int, ends: bool, chance: Random
) -> None:
    words = ["activated:0"]
    for number in range(renewals):
        words += [f"superseded:{number}", f"closed:{number}", f"activated:{number + 1}"]
    words += [f"closed:{renewals}"] * ends
    facts = sorted(told(*words), key=lambda _: chance.random())

    assert standing(facts) == (Standing(ENDED, hour(len(words) - 1)) if ends else Standing(ACTIVE, BEGIN))


@given(some_facts(strands="ab"))
def test_the_end_of_an_agreement_that_was_replaced_says_nothing_at_all(facts: list[Fact]) -> None:
    known = [later(facts, Effect.SUPERSEDED, "a"), later(facts, Effect.REGISTERED, "c", hours=2)]
    without = [fact for fact in facts if (fact.effect, fact.strand) != (Effect.CLOSED, "a")]

    assert standing([*facts, *known]) == standing([*without, *known])


@given(some_facts(), some_facts())
def test_what_was_released_never_comes_back(before: list[Fact], after: list[Fact]) -> None:
    released = later(before, Effect.RELEASED)
    late = [replace(fact, at=fact.at + (released.at - BEGIN) + HOUR) for fact in after]

    assert standing([*before, released, *late]).status is ENDED
