"""The vault of personal data: what it seals opens in its own place alone, and with keys that change."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import ids
from app.core.crypto import Seal, Unreadable
from app.core.errors import NotReady
from app.core.vault import KEY_LENGTH, DataKey, UnknownKey, Vault

HERE = "real_name_submissions.sealed:0193b5c27d3e7a41b4d2c9f1e8a60b57"
NUMBER = b"11010519491231002X"
NONCE = slice(17, 29)

Change = Callable[[bytes], bytes]


def key(number: int = 0) -> DataKey:
    """Made one after the other, as their ids say."""
    return DataKey(ids.new(), bytes([number]) * KEY_LENGTH)


def vault(*keys: DataKey) -> Vault:
    """With these keys, the oldest first."""
    made = Vault()
    made.load(keys)
    return made


def key_of(sealed: bytes) -> bytes:
    return sealed[1:17]


@given(value=st.binary(max_size=300), place=st.text(st.characters(codec="utf-8"), max_size=60))
def test_what_is_sealed_opens_in_its_place_as_it_was(value: bytes, place: str) -> None:
    safe = vault(key())

    assert safe.open(safe.close(value, bound=place), bound=place) == value


@given(
    value=st.binary(min_size=8, max_size=300),
    place=st.text(st.characters(codec="utf-8"), max_size=60),
    other=st.text(st.characters(codec="utf-8"), max_size=60),
)
def test_it_opens_in_no_other_place_and_shows_nothing_of_itself(value: bytes, place: str, other: str) -> None:
    safe = vault(key())
    sealed = safe.close(value, bound=place)

    assert value not in sealed
    if place != other:
        with pytest.raises(Unreadable):
            safe.open(sealed, bound=other)


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(HERE[:-1] + "8", id="another row"),
        pytest.param(HERE.replace(".sealed", ".name"), id="another column"),
        pytest.param(HERE.replace("submissions", "calls"), id="another table"),
        pytest.param(HERE + " ", id="a longer name"),
        pytest.param("", id="nowhere"),
    ],
)
def test_a_value_that_was_moved_does_not_open(elsewhere: str) -> None:
    safe = vault(key())
    sealed = safe.close(NUMBER, bound=HERE)

    with pytest.raises(Unreadable):
        safe.open(sealed, bound=elsewhere)


def test_a_value_with_any_bit_altered_does_not_open() -> None:
    safe = vault(key())
    sealed = safe.close(NUMBER, bound=HERE)

    for position in range(8 * len(sealed)):
        altered = bytearray(sealed)
        altered[position // 8] ^= 1 << position % 8
        with pytest.raises(Unreadable):
            safe.open(bytes(altered), bound=HERE)


def test_a_value_that_was_cut_short_does_not_open() -> None:
    safe = vault(key())
    sealed = safe.close(NUMBER, bound=HERE)

    for length in range(len(sealed)):
        with pytest.raises(Unreadable):
            safe.open(sealed[:length], bound=HERE)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda sealed: sealed + b"\0", id="lengthened"),
        pytest.param(lambda sealed: b"\0" * len(sealed), id="zeroes"),
        pytest.param(lambda sealed: sealed * 2, id="twice"),
        pytest.param(lambda _: NUMBER, id="never sealed"),
        pytest.param(lambda _: Seal(b"s" * 32, "real-name").close(NUMBER, bound=HERE), id="sealed in another form"),
    ],
)
def test_what_is_no_sealed_value_does_not_open(change: Change) -> None:
    safe = vault(key())

    with pytest.raises(Unreadable):
        safe.open(change(safe.close(NUMBER, bound=HERE)), bound=HERE)


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_another_form_than_todays_does_not_open(version: int) -> None:
    """So that a later form can be told apart, and one with less protection cannot be slipped in."""
    safe = vault(key())

    with pytest.raises(Unreadable):
        safe.open(bytes([version]) + safe.close(NUMBER, bound=HERE)[1:], bound=HERE)


def test_a_value_names_its_key_and_is_never_sealed_alike_twice() -> None:
    """A nonce that repeats under one key would give away what both values say (NIST SP 800-38D §8)."""
    only = key()
    safe = vault(only)

    sealed = [safe.close(NUMBER, bound=HERE) for _ in range(5000)]

    assert {key_of(one) for one in sealed} == {only.id.bytes}
    assert len({one[NONCE] for one in sealed}) == len(sealed)


@given(st.lists(st.sampled_from(range(5)), min_size=1, max_size=5, unique=True))
def test_the_newest_key_seals_and_all_that_are_loaded_open(numbers: Sequence[int]) -> None:
    keys = [key(number) for number in numbers]
    sealed = [vault(*keys[: count + 1]).close(NUMBER, bound=HERE) for count in range(len(keys))]
    safe = vault(*keys)

    assert [key_of(one) for one in sealed] == [one.id.bytes for one in keys]
    assert safe.newest == keys[-1].id
    assert {safe.open(one, bound=HERE) for one in sealed} == {NUMBER}


def test_a_key_that_was_not_loaded_is_told_from_a_value_that_is_broken() -> None:
    known, unknown = key(1), key(2)
    sealed = vault(unknown).close(NUMBER, bound=HERE)

    with pytest.raises(UnknownKey):
        vault(known).open(sealed, bound=HERE)
    with pytest.raises(Unreadable) as altered:
        vault(known, unknown).open(sealed[:-1] + bytes([sealed[-1] ^ 1]), bound=HERE)
    assert not isinstance(altered.value, UnknownKey)


def test_another_secret_under_the_same_name_does_not_open() -> None:
    one = key(1)
    sealed = vault(one).close(NUMBER, bound=HERE)

    with pytest.raises(Unreadable):
        vault(DataKey(one.id, b"\2" * KEY_LENGTH)).open(sealed, bound=HERE)


def test_a_value_that_names_another_key_than_its_own_does_not_open() -> None:
    one, other = key(1), key(2)
    sealed = vault(one).close(NUMBER, bound=HERE)

    with pytest.raises(Unreadable):
        vault(one, other).open(sealed[:1] + other.id.bytes + sealed[17:], bound=HERE)


def test_what_is_loaded_takes_the_place_of_what_was() -> None:
    before, after = key(1), key(2)
    safe = vault(before)
    sealed = safe.close(NUMBER, bound=HERE)

    safe.load([after])

    assert safe.newest == after.id
    with pytest.raises(UnknownKey):
        safe.open(sealed, bound=HERE)


def test_without_a_key_nothing_is_sealed_and_nothing_opens() -> None:
    sealed = vault(key()).close(NUMBER, bound=HERE)
    empty = vault()

    assert not empty.ready
    with pytest.raises(NotReady) as refused:
        empty.close(NUMBER, bound=HERE)
    assert refused.value.checks == {"data_key": False}
    with pytest.raises(UnknownKey):
        empty.open(sealed, bound=HERE)


def test_a_key_does_not_show_its_secret() -> None:
    one = DataKey(ids.new(), b"what-nobody-may-see-in-a-log-or-")

    assert "nobody" not in f"{one} {one!r} {vars(vault(one))}"
