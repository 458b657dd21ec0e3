"""Access and refresh tokens without the service: what is signed, and what is never accepted."""

import base64
import hashlib
import hmac
import json
import sys
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from app.core import ids
from app.core.clock import now
from app.core.crypto import Unreadable, b64, unb64
from app.core.tokens import BadToken, RefreshTokens, SigningKey, Tokens

ACCOUNT, SESSION = ids.new(), ids.new()
KEY = SigningKey.generate(now() - timedelta(days=1))
FOREIGN = SigningKey.generate(now() - timedelta(days=1))

Json = dict[str, Any]


def tokens(*keys: SigningKey) -> Tokens:
    made = Tokens(issuer="https://accounts.test", audience="guance", life_seconds=600)
    made.load(list(keys or (KEY,)))
    return made


def claims(**changes: object) -> Json:
    at = int(now().timestamp())
    right: Json = {
        "iss": "https://accounts.test",
        "aud": "guance",
        "sub": ids.show(ids.ACCOUNT, ACCOUNT),
        "sid": ids.show(ids.SESSION, SESSION),
        "auth_time": at,
        "iat": at,
        "exp": at + 600,
        "jti": "1",
    }
    return {name: value for name, value in (right | changes).items() if value is not ...}


def header(**changes: object) -> Json:
    right = {"alg": "ES256", "typ": "at+jwt", "kid": KEY.kid}
    return {name: value for name, value in (right | changes).items() if value is not ...}


def part(content: object) -> str:
    return b64(json.dumps(content).encode())


def forge(head: Json, payload: object, key: SigningKey = KEY) -> str:
    """A token signed with ES256, whatever its header says; by `cryptography`, not by what the service signs with."""
    private = serialization.load_pem_private_key(key.pem, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    signed = f"{part(head)}.{part(payload)}"
    r, s = decode_dss_signature(private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{b64(r.to_bytes(32) + s.to_bytes(32))}"


def public_pem(key: SigningKey) -> bytes:
    private = serialization.load_pem_private_key(key.pem, None)
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def signed_by_hmac(secret: bytes) -> str:
    """The old confusion: the public key taken for a shared secret (CVE-2016-10555, CVE-2024-33663)."""
    signed = f"{part(header(alg='HS256'))}.{part(claims())}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def test_a_token_made_by_the_book_is_good() -> None:
    read = tokens().verify(forge(header(), claims()))
    assert (read.account_id, read.session_id) == (ACCOUNT, SESSION)


def test_what_we_sign_we_verify() -> None:
    at = now().replace(microsecond=0)
    read = tokens().verify(tokens().sign(account_id=ACCOUNT, session_id=SESSION, auth_time=at))
    assert (read.account_id, read.session_id, read.auth_time) == (ACCOUNT, SESSION, at)


HOUR = 3600
AT = int(now().timestamp())


@pytest.mark.parametrize(
    ("head", "payload"),
    [
        pytest.param({"alg": "none"}, {}, id="alg none"),
        pytest.param({"alg": "None"}, {}, id="alg None"),
        pytest.param({"alg": "HS256"}, {}, id="alg HS256"),
        pytest.param({"alg": "ES384"}, {}, id="alg ES384"),
        pytest.param({"alg": None}, {}, id="alg null"),
        pytest.param({"alg": ...}, {}, id="no alg"),
        pytest.param({"typ": "JWT"}, {}, id="typ JWT"),
        pytest.param({"typ": ...}, {}, id="no typ"),
        pytest.param({"kid": ...}, {}, id="no kid"),
        pytest.param({"kid": "unknown"}, {}, id="unknown kid"),
        pytest.param({"kid": FOREIGN.kid}, {}, id="foreign kid"),
        pytest.param({"kid": [KEY.kid]}, {}, id="kid is a list"),
        pytest.param({"kid": {}}, {}, id="kid is an object"),
        pytest.param({"crit": ["exp"]}, {}, id="crit"),
        pytest.param({"crit": []}, {}, id="empty crit"),
        *(
            pytest.param({}, {name: ...}, id=f"no {name}")
            for name in ("iss", "aud", "sub", "sid", "auth_time", "iat", "exp", "jti")
        ),
        pytest.param({}, {"iss": "https://elsewhere.test"}, id="foreign issuer"),
        pytest.param({}, {"aud": "elsewhere"}, id="foreign audience"),
        pytest.param({}, {"aud": []}, id="no audience in the list"),
        pytest.param({}, {"aud": None}, id="audience null"),
        pytest.param({}, {"exp": AT - 1}, id="expired"),
        pytest.param({}, {"exp": "tomorrow"}, id="exp is text"),
        pytest.param({}, {"exp": None}, id="exp null"),
        pytest.param({}, {"exp": 10**30}, id="exp is endless"),
        pytest.param({}, {"nbf": AT + HOUR}, id="not yet"),
        pytest.param({}, {"sub": "acnt_1"}, id="sub is no id"),
        pytest.param({}, {"sub": 1}, id="sub is a number"),
        pytest.param({}, {"sub": ids.show(ids.SESSION, ACCOUNT)}, id="sub is a session"),
        pytest.param({}, {"sid": ids.show(ids.ACCOUNT, SESSION)}, id="sid is an account"),
        pytest.param({}, {"sid": None}, id="sid null"),
        pytest.param({}, {"auth_time": "now"}, id="auth_time is text"),
        pytest.param({}, {"auth_time": 10**30}, id="auth_time is endless"),
    ],
)
def test_rightly_signed_token_with_a_wrong_header_or_claim_is_refused(head: Json, payload: Json) -> None:
    with pytest.raises(BadToken):
        tokens().verify(forge(header(**head), claims(**payload)))


GOOD = forge(header(), claims())
HEAD, PAYLOAD, SIGNATURE = GOOD.split(".")
DER = base64.b64decode("".join(public_pem(KEY).decode().splitlines()[1:-1]))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("x", id="a letter"),
        pytest.param("..", id="dots"),
        pytest.param("a.b.c", id="not base64"),
        pytest.param(f"{HEAD}.{PAYLOAD}", id="two parts"),
        pytest.param(f"{HEAD}.{PAYLOAD}.", id="no signature"),
        pytest.param(f"{GOOD}.{SIGNATURE}", id="four parts"),
        pytest.param(f"{part(header(alg='none'))}.{PAYLOAD}.", id="unsigned"),
        pytest.param(f"{HEAD}.{part(claims(sub=ids.show(ids.ACCOUNT, ids.new())))}.{SIGNATURE}", id="other payload"),
        pytest.param(f"{part(header(extra=1))}.{PAYLOAD}.{SIGNATURE}", id="other header"),
        pytest.param(f"{HEAD}.{PAYLOAD}.{'A' * 86}", id="signature of zeros"),
        pytest.param(f"{HEAD}.{PAYLOAD}.{b64(unb64(SIGNATURE)[:63])}", id="short signature"),
        pytest.param(forge(header(), claims(), FOREIGN), id="foreign key under our kid"),
        pytest.param(forge(header(kid=FOREIGN.kid), claims(), FOREIGN), id="foreign key"),
        pytest.param(signed_by_hmac(public_pem(KEY)), id="HS256 with our public key as PEM"),
        pytest.param(signed_by_hmac(DER), id="HS256 with our public key as DER"),
        pytest.param(forge(header(), []), id="payload is a list"),
        pytest.param(forge(header(), "text"), id="payload is text"),
        pytest.param(f"{part([])}.{PAYLOAD}.{SIGNATURE}", id="header is a list"),
        pytest.param(f"{part('text')}.{PAYLOAD}.{SIGNATURE}", id="header is text"),
        pytest.param(GOOD + "é", id="not ASCII"),
        pytest.param("ａ" + GOOD[1:], id="full width"),
        pytest.param("a" * 5 * 1024, id="5 KB"),
        pytest.param(forge(header(), claims(padding="x" * 5 * 1024)), id="5 KB, rightly signed"),
        pytest.param(f"{b64(b'[' * 1000)}.{PAYLOAD}.{SIGNATURE}", id="deeply nested header"),
    ],
)
def test_what_we_did_not_sign_so_is_refused(token: str) -> None:
    with pytest.raises(BadToken):
        tokens().verify(token)


def test_token_that_was_verified_once_still_expires() -> None:
    service, start = tokens(), now()
    with time_machine.travel(start, tick=False):
        token = service.sign(account_id=ACCOUNT, session_id=SESSION, auth_time=start)
    with time_machine.travel(start + timedelta(seconds=598), tick=False):
        service.verify(token)
    with time_machine.travel(start + timedelta(seconds=600), tick=False), pytest.raises(BadToken):
        service.verify(token)


def test_a_token_that_was_verified_is_not_kept() -> None:
    """Ten thousand are remembered, by a digest: a token is many times as long, and somebody's."""
    service, token = tokens(), forge(header(), claims())
    held = sys.getrefcount(token)
    service.verify(token)
    assert sys.getrefcount(token) == held


def test_token_that_was_verified_once_stops_with_its_key() -> None:
    service = tokens(KEY, FOREIGN)
    token = forge(header(), claims())
    service.verify(token)
    service.load([FOREIGN])
    with pytest.raises(BadToken):
        service.verify(token)


def test_no_two_tokens_are_alike() -> None:
    at = now()
    made = {tokens().sign(account_id=ACCOUNT, session_id=SESSION, auth_time=at) for _ in range(10)}
    assert len({json.loads(unb64(token.split(".")[1]))["jti"] for token in made}) == 10


def test_newest_key_that_has_begun_signs() -> None:
    later = SigningKey.generate(now() + timedelta(minutes=10))
    service = tokens(KEY, later)

    def signer() -> str:
        token = service.sign(account_id=ACCOUNT, session_id=SESSION, auth_time=now())
        return str(json.loads(unb64(token.split(".")[0]))["kid"])

    assert signer() == KEY.kid
    with time_machine.travel(now() + timedelta(minutes=11)):
        assert signer() == later.kid


def test_nothing_is_ready_before_a_key_has_begun() -> None:
    assert not tokens(SigningKey.generate(now() + timedelta(minutes=10))).ready
    assert tokens().ready


def test_key_set_shows_no_private_member() -> None:
    [shown] = tokens().jwks()
    assert shown.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert {shown["kty"], shown["crv"], shown["use"], shown["alg"]} == {"EC", "P-256", "sig", "ES256"}


SECRET = b"a secret of at least thirty-two bytes"


def test_refresh_token_tells_its_session_only_to_who_made_it() -> None:
    token = RefreshTokens(SECRET).mint(SESSION)
    assert RefreshTokens(SECRET).session_of(token) == SESSION
    assert RefreshTokens(SECRET + b"!").session_of(token) is None


def test_refresh_tokens_of_one_session_differ() -> None:
    assert len({RefreshTokens(SECRET).mint(SESSION) for _ in range(100)}) == 100


RAW = unb64(RefreshTokens(SECRET).mint(SESSION))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "é",
        "A" * 74 + "==",
        b64(RAW[:-1]),
        b64(RAW + b"\0"),
        b64(bytes(56)),
        *(b64(RAW[:at] + bytes([RAW[at] ^ 1]) + RAW[at + 1 :]) for at in (0, 16, 55)),
    ],
)
def test_refresh_token_that_was_touched_tells_nothing(token: str) -> None:
    assert RefreshTokens(SECRET).session_of(token) is None


def test_successor_is_readable_only_with_the_token_before_it() -> None:
    service = RefreshTokens(SECRET)
    old, successor = service.mint(SESSION), service.mint(SESSION)
    sealed = service.hand_over(old, successor)
    assert service.take_over(old, sealed) == successor
    with pytest.raises(Unreadable):
        service.take_over(service.mint(SESSION), sealed)
