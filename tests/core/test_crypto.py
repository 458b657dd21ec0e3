"""Keyed hashes and sealed values: bound to their use, their place and their secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.crypto import Mac, Seal, Unreadable, b64, digest, random_token, unb64

SECRET = b"a secret of at least thirty-two bytes"


def test_mac_matches_only_the_parts_it_was_made_of() -> None:
    mac = Mac(SECRET, "codes")
    made = mac.of("challenge", "123456")
    assert mac.matches(made, "challenge", "123456")
    assert not mac.matches(made, "challenge", "123457")


@pytest.mark.parametrize(
    ("one", "other"),
    [(("ab", "c"), ("a", "bc")), (("ab",), ("a", "b")), (("a", ""), ("a",)), (("", "a"), ("a", ""))],
)
def test_parts_of_a_mac_cannot_flow_together(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    mac = Mac(SECRET, "codes")
    assert mac.of(*one) != mac.of(*other)


@pytest.mark.parametrize(
    "other", [Mac(SECRET, "slots"), Mac(SECRET + b"!", "codes")], ids=["another use", "another secret"]
)
def test_mac_of_another_use_or_secret_is_another(other: Mac) -> None:
    assert not other.matches(Mac(SECRET, "codes").of("123456"), "123456")


def test_text_and_its_bytes_have_one_mac() -> None:
    mac = Mac(SECRET, "codes")
    assert mac.of("李雷") == mac.of("李雷".encode())


@given(st.binary(max_size=300), st.text(max_size=20))
def test_sealed_value_opens_where_it_was_sealed(value: bytes, place: str) -> None:
    try:
        place.encode()
    except UnicodeEncodeError:
        return
    assert Seal(SECRET, "outbox").open(Seal(SECRET, "outbox").close(value, bound=place), bound=place) == value


def test_same_value_is_never_sealed_alike_twice() -> None:
    seal = Seal(SECRET, "outbox")
    assert seal.close(b"123456", bound="row") != seal.close(b"123456", bound="row")


@pytest.mark.parametrize(
    ("seal", "bound"),
    [
        pytest.param(Seal(SECRET, "outbox"), "another row", id="moved"),
        pytest.param(Seal(SECRET, "signing-keys"), "row", id="another use"),
        pytest.param(Seal(SECRET + b"!", "outbox"), "row", id="another secret"),
    ],
)
def test_sealed_value_opens_nowhere_else(seal: Seal, bound: str) -> None:
    sealed = Seal(SECRET, "outbox").close(b"123456", bound="row")
    with pytest.raises(Unreadable):
        seal.open(sealed, bound=bound)


@pytest.mark.parametrize("position", [1, 13, -1], ids=["nonce", "body", "tag"])
def test_altered_sealed_value_does_not_open(position: int) -> None:
    sealed = bytearray(Seal(SECRET, "outbox").close(b"123456", bound="row"))
    sealed[position] ^= 1
    with pytest.raises(Unreadable):
        Seal(SECRET, "outbox").open(bytes(sealed), bound="row")


def test_sealed_value_does_not_show_what_is_in_it() -> None:
    assert b"123456" not in Seal(SECRET, "outbox").close(b"123456", bound="row")


@given(st.binary(max_size=100))
def test_base64url_comes_back_as_it_went(data: bytes) -> None:
    text = b64(data)
    assert "=" not in text
    assert unb64(text) == data


@pytest.mark.parametrize("text", ["a", "ab+/", "ab cd", "ab\ncd", "é", "a" * 5, "ab==", "aB"])
def test_what_is_no_base64url_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        unb64(text)


def test_random_tokens_fit_a_url_and_differ() -> None:
    tokens = {random_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(unb64(token)) == 32 for token in tokens)


def test_digest_is_sha_256_of_text_or_bytes() -> None:
    assert digest("abc") == digest(b"abc")
    assert digest("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
