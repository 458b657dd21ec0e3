"""Access tokens: JWT ES256 (RFC 7519, RFC 9068), behind the one door to python-jose.

What makes jose safe here: one fixed algorithm; the key is picked by `kid` before jose sees the token; every claim is
demanded; `typ` and `crit` are checked by us, since jose ignores them; keys are EC P-256 and nothing else.
"""

import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwk, jwt
from jose.backends.base import Key
from jose.exceptions import JOSEError

from app.core import ids
from app.core.clock import now
from app.core.crypto import Mac, Seal, b64, digest, unb64
from app.core.errors import NotReady

ALGORITHM = "ES256"
TYPE = "at+jwt"  # RFC 9068 §2.1
_CLAIMS = ("exp", "iat", "aud", "iss", "sub", "jti")
_LENGTH = 2048  # characters; ours have about 550
_CACHED = 10_000  # tokens


class BadToken(Exception):
    """Not a token of ours, or not any more."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An EC P-256 key pair; `active_from` is when it starts to sign."""

    kid: str
    pem: bytes
    active_from: datetime

    @classmethod
    def generate(cls, active_from: datetime) -> "SigningKey":
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
        return cls(kid=digest(public).hex()[:16], pem=pem, active_from=active_from)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says."""

    account_id: UUID
    session_id: UUID
    auth_time: datetime


@dataclass(frozen=True, slots=True)
class ServiceClaims:
    """What a verified token of a service says."""

    client_id: UUID
    secret_id: UUID
    scopes: frozenset[str]


class Tokens:
    """Sign and verify with the keys it was last given. One object in each process.

    Holders and services have audiences of their own, so that a token of one is nothing on the other's routes.
    """

    def __init__(self, *, issuer: str, audience: str, life_seconds: int) -> None:
        self._issuer, self._audience, self._life = issuer, audience, timedelta(seconds=life_seconds)
        self._service_audience = f"{audience}-internal"
        self._keys: list[SigningKey] = []
        self._private: dict[str, Key] = {}
        self._public: dict[str, Key] = {}
        # A signature that was good stays good until the token expires; whether the session lives is never cached.
        self._verified: dict[bytes, tuple[Claims | ServiceClaims, datetime]] = {}

    @property
    def life_seconds(self) -> int:
        return int(self._life.total_seconds())

    def load(self, keys: list[SigningKey]) -> None:
        """Take the keys that may verify now, in the order in which they start to sign."""
        if [key.kid for key in keys] == [key.kid for key in self._keys]:
            return
        self._private = {key.kid: jwk.construct(key.pem.decode(), ALGORITHM) for key in keys}
        self._public = {kid: private.public_key() for kid, private in self._private.items()}
        self._keys = keys
        self._verified.clear()

    @property
    def ready(self) -> bool:
        return self._signer() is not None

    def knows(self, token: str) -> bool:
        """Whether the key that the token names is loaded."""
        try:
            return jwt.get_unverified_header(token).get("kid") in self._public
        except JOSEError:
            return True  # not a token: no other key would make it one

    def jwks(self) -> list[dict[str, str]]:
        """The public keys (RFC 7517), those that sign later included."""
        return [
            {**_text(self._public[key.kid].to_dict()), "kid": key.kid, "use": "sig", "alg": ALGORITHM}
            for key in self._keys
        ]

    def sign(self, *, account_id: UUID, session_id: UUID, auth_time: datetime) -> str:
        """An access token; raises NotReady when no key signs (`python -m app keys rotate` makes one)."""
        return self._sign(
            self._audience,
            sub=ids.show(ids.ACCOUNT, account_id),
            sid=ids.show(ids.SESSION, session_id),
            auth_time=int(auth_time.timestamp()),
        )

    def sign_service(self, *, client_id: UUID, secret_id: UUID, scopes: Iterable[str]) -> str:
        """An access token of a service, `sub` being the client (RFC 9068 §2.2); raises NotReady."""
        client = ids.show(ids.CLIENT, client_id)
        return self._sign(
            self._service_audience,
            sub=client,
            client_id=client,
            sid=ids.show(ids.CLIENT_SECRET, secret_id),
            scope=" ".join(sorted(scopes)),
        )

    def verify(self, token: str) -> Claims:
        """Raises BadToken for anything that is not a live token of this issuer for holders."""
        claims = self._known(token, self._audience, _holder)
        assert isinstance(claims, Claims)  # noqa: S101 - narrows the type
        return claims

    def verify_service(self, token: str) -> ServiceClaims:
        """Raises BadToken for anything that is not a live token of this issuer for services."""
        claims = self._known(token, self._service_audience, _service)
        assert isinstance(claims, ServiceClaims)  # noqa: S101 - narrows the type
        return claims

    def _sign(self, audience: str, **own: str | int) -> str:
        key = self._signer()
        if key is None:
            raise NotReady({"signing_key": False})
        issued = now()
        claims = {
            "iss": self._issuer,
            "aud": audience,
            **own,
            "iat": int(issued.timestamp()),
            "exp": int((issued + self._life).timestamp()),
            "jti": ids.new().hex,
        }
        headers = {"kid": key.kid, "typ": TYPE}
        return str(jwt.encode(claims, self._private[key.kid], algorithm=ALGORITHM, headers=headers))

    def _known(self, token: str, audience: str, read: "_Reader") -> Claims | ServiceClaims:
        if len(token) > _LENGTH or not token.isascii():
            raise BadToken
        key = digest(f"{audience} {token}")  # a sixth of the token's length, ten thousand times
        if cached := self._verified.get(key):
            claims, expires = cached
            if now() < expires:
                return claims
            del self._verified[key]
        claims, expires = self._verify(token, audience, read)
        if len(self._verified) >= _CACHED:
            del self._verified[next(iter(self._verified))]  # the oldest; all at once would have to be verified anew
        self._verified[key] = claims, expires
        return claims

    def _verify(self, token: str, audience: str, read: "_Reader") -> tuple[Claims | ServiceClaims, datetime]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != ALGORITHM or header.get("typ") != TYPE or "crit" in header:
                raise BadToken
            payload = jwt.decode(
                token,
                self._public[header["kid"]],
                algorithms=[ALGORITHM],
                audience=audience,
                issuer=self._issuer,
                options={f"require_{claim}": True for claim in _CLAIMS},
            )
            expires = datetime.fromtimestamp(payload["exp"], UTC)
            if expires <= now():
                raise BadToken
            return read(payload), expires
        except (JOSEError, KeyError, TypeError, ValueError, OverflowError, AttributeError):
            raise BadToken from None

    def _signer(self) -> SigningKey | None:
        at = now()
        return max(
            (key for key in self._keys if key.active_from <= at),
            key=lambda key: key.active_from,
            default=None,
        )


_Reader = Callable[[Mapping[str, Any]], Claims | ServiceClaims]


def _holder(payload: Mapping[str, Any]) -> Claims:
    auth_time = datetime.fromtimestamp(payload["auth_time"], UTC)
    return Claims(_id(ids.ACCOUNT, payload["sub"]), _id(ids.SESSION, payload["sid"]), auth_time)


def _service(payload: Mapping[str, Any]) -> ServiceClaims:
    scopes = frozenset(payload["scope"].split())
    return ServiceClaims(_id(ids.CLIENT, payload["sub"]), _id(ids.CLIENT_SECRET, payload["sid"]), scopes)


def _id(prefix: str, text: str) -> UUID:
    found = ids.read(prefix, text)
    if found is None:
        raise BadToken
    return found


def _text(jwk_members: Mapping[str, Any]) -> dict[str, str]:
    """jose gives some members as bytes, by version."""
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in jwk_members.items()}


class RefreshTokens:
    """Refresh tokens: session id, 192 random bits, and a tag that tells one of ours from one made up.

    The tag lets a used token be recognised as once ours (so its reuse ends the session) without keeping every old
    token, while garbage with a known session id ends nothing.
    """

    _RANDOM, _TAG = 24, 16  # bytes

    def __init__(self, secret: bytes) -> None:
        self._mac = Mac(secret, "refresh-token")

    def mint(self, session_id: UUID) -> str:
        body = session_id.bytes + secrets.token_bytes(self._RANDOM)
        return b64(body + self._mac.of(body)[: self._TAG])

    def session_of(self, token: str) -> UUID | None:
        """The session that the token was made for; None when we never made it."""
        try:
            raw = unb64(token)
        except ValueError:
            return None
        body, tag = raw[: -self._TAG], raw[-self._TAG :]
        if len(body) != 16 + self._RANDOM or not hmac.compare_digest(tag, self._mac.of(body)[: self._TAG]):
            return None
        return UUID(bytes=body[:16])

    def hand_over(self, old: str, successor: str) -> bytes:
        """The successor, readable only by who holds the old token: what a lost answer is repeated from."""
        return Seal(old.encode(), "refresh-successor").close(successor.encode(), bound="")

    def take_over(self, old: str, sealed: bytes) -> str:
        return Seal(old.encode(), "refresh-successor").open(sealed, bound="").decode()
