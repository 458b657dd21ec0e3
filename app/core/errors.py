"""Every failure that the service tells of.

AppError
├── Malformed            400
├── Unauthenticated      401  no token, a bad one, an ended session, wrong credentials
├── Forbidden            403  known, but not allowed
├── NotFound             404
├── MethodNotAllowed     405
├── Conflict             409  the state of things is against it
├── Gone                 410  it was there; its time is over
├── BodyTooSlow          408  it did not arrive in time
├── PreconditionFailed   412 · PreconditionRequired 428
├── BodyTooLarge         413 · UnsupportedMediaType 415
├── Invalid              422  what was sent cannot be right
├── TooMany              429  Retry-After says when to come again
├── Internal             500
└── Unavailable          503  Retry-After; nothing was done

`code` is the contract with clients: written out, never derived, never changed. The texts in zh-CN and en stand in
`app/data/problems.toml`; `docs/errors.md` lists them; a test keeps the three alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with what was sent: where (JSON pointer or parameter name) and what (a stable code)."""

    pointer: str
    code: str


@dataclass(frozen=True, slots=True)
class Unmet:
    """A condition for closing an account that is not met, or (`unknown`) of which nobody can tell now."""

    condition: str
    unknown: bool = False
    until: datetime | None = None

    def shown(self) -> dict[str, object]:
        return {
            "condition": self.condition,
            "state": "unknown" if self.unknown else "unmet",
            "until": _instant(self.until) if self.until else None,
        }


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


class AppError(Exception):
    """A failure with a status and a stable code; `params` fill the text, `headers` go out with the answer."""

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, **params: object) -> None:
        super().__init__(self.code)
        self.params = params
        self.headers: dict[str, str] = {}

    @property
    def extensions(self) -> Mapping[str, object]:
        """Members beside the standard ones of the problem document."""
        return {}


class Malformed(AppError):
    status, code = 400, "malformed_body"


class Unauthenticated(AppError):
    status, code = 401, "unauthenticated"

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 §11.6.1


class InvalidToken(Unauthenticated):
    code = "invalid_token"

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'  # RFC 6750 §3.1


class SessionEnded(InvalidToken):
    code = "session_ended"


class ClientDisabled(InvalidToken):
    code = "client_disabled"


class FreshLoginRequired(Unauthenticated):
    """The login is older than `max_age` seconds (RFC 9470 §3)."""

    code = "fresh_login_required"

    def __init__(self, *, max_age: int = 600) -> None:
        super().__init__()
        self.headers["WWW-Authenticate"] = f'Bearer error="insufficient_user_authentication", max_age="{max_age}"'


class InvalidCredentials(Unauthenticated):
    code = "invalid_credentials"


class InvalidTicket(Unauthenticated):
    code = "invalid_ticket"


class InvalidRefreshToken(Unauthenticated):
    code = "invalid_refresh_token"


class Forbidden(AppError):
    status: ClassVar[int] = 403


class AccountSuspended(Forbidden):
    code = "account_suspended"


class InsufficientScope(Forbidden):
    """The token lacks `scope` (RFC 6750 §3.1)."""

    code = "insufficient_scope"

    def __init__(self, scope: str = "") -> None:
        super().__init__(scope=scope)
        self.scope = scope
        self.headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{scope}"'

    @property
    def extensions(self) -> Mapping[str, object]:
        return {"scope": self.scope}


class NotFound(AppError):
    status, code = 404, "not_found"


class MethodNotAllowed(AppError):
    status, code = 405, "method_not_allowed"


class Conflict(AppError):
    status: ClassVar[int] = 409


class UsernameTaken(Conflict):
    code = "username_taken"


class EmailTaken(Conflict):
    code = "email_taken"


class PhoneTaken(Conflict):
    code = "phone_taken"


class CodeUsed(Conflict):
    code = "code_used"


class ChangeOpen(Conflict):
    code = "change_open"


class ChangeHeld(Conflict):
    """The credential was replaced a short while ago; it may change again at `held_until`."""

    code = "change_held"

    def __init__(self, held_until: datetime) -> None:
        super().__init__()
        self.held_until = held_until

    @property
    def extensions(self) -> Mapping[str, object]:
        return {"held_until": _instant(self.held_until)}


class CloudAccountTaken(Conflict):
    code = "cloud_account_taken"


class CloudAccountEnded(Conflict):
    code = "cloud_account_ended"


class CloudAccountUnproven(Conflict):
    code = "cloud_account_unproven"


class NoticeUnreadable(Conflict):
    code = "notice_unreadable"


class SettlementRefused(Conflict):
    """Each workspace that cannot settle so, with every reason: `{workspace_id, reasons: [{code, until}]}`."""

    code = "settlement_refused"

    def __init__(self, refusals: Sequence[Mapping[str, object]] = ()) -> None:
        super().__init__()
        self.refusals = refusals


class WrongState(Conflict):
    code = "wrong_state"


class OtherSession(Conflict):
    code = "other_session"


class CredentialsMoved(Conflict):
    code = "credentials_moved"


class NoOtherCredential(Conflict):
    code = "no_other_credential"


class PasswordExists(Conflict):
    code = "password_exists"


class NoPassword(Conflict):
    code = "no_password"


class RequestRunning(Conflict):
    code = "request_running"


class AccountClosed(Conflict):
    code = "account_closed"


class ReferenceTaken(Conflict):
    code = "reference_taken"


class WorkspaceElsewhere(Conflict):
    code = "workspace_elsewhere"


class WorkspaceDissolved(Conflict):
    code = "workspace_dissolved"


class ClosingRefused(Conflict):
    """Conditions against closing the account; `unmet` names each, and until when it holds where that is known."""

    code = "closing_refused"

    def __init__(self, unmet: Sequence[Unmet] = ()) -> None:
        super().__init__()
        self.unmet = unmet

    @property
    def extensions(self) -> Mapping[str, object]:
        return {"unmet": [one.shown() for one in self.unmet]}


class SubmissionPending(Conflict):
    code = "submission_pending"


class DocumentUsedUp(Conflict):
    code = "document_used_up"


class SecondActorNeeded(Conflict):
    code = "second_actor_needed"


class TooManySecrets(Conflict):
    code = "too_many_secrets"


class TooManyEndpoints(Conflict):
    code = "too_many_endpoints"


class NameTaken(Conflict):
    code = "name_taken"


class Gone(AppError):
    status: ClassVar[int] = 410


class CodeExpired(Gone):
    code = "code_expired"


class RegistrationExpired(Gone):
    code = "registration_expired"


class ChangeExpired(Gone):
    code = "change_expired"


class ReversalExpired(Gone):
    code = "reversal_expired"


class CursorExpired(Gone):
    code = "cursor_expired"


class ClaimGone(Gone):
    code = "claim_gone"


class PreconditionFailed(AppError):
    status, code = 412, "precondition_failed"


class PreconditionRequired(AppError):
    status, code = 428, "precondition_required"


class BodyTooSlow(AppError):
    """The rest of the body is not waited for, so the connection ends with the answer (RFC 9110 §15.5.9)."""

    status, code = 408, "body_too_slow"

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        self.headers["Connection"] = "close"


class BodyTooLarge(AppError):
    status, code = 413, "body_too_large"


class UnsupportedMediaType(AppError):
    status, code = 415, "unsupported_media_type"


class Invalid(AppError):
    """422 with what is wrong, field by field."""

    status, code = 422, "validation_failed"

    def __init__(self, *problems: FieldProblem) -> None:
        super().__init__()
        self.problems = problems

    @classmethod
    def member(cls, name: str, code: str) -> "Invalid":
        return cls(FieldProblem(pointer=f"/{name}", code=code))


class WrongCode(AppError):
    """The code is not the one that was sent; `tries_left` more may be made on it."""

    status, code = 422, "wrong_code"

    def __init__(self, *, tries_left: int) -> None:
        super().__init__(tries_left=tries_left)
        self.tries_left = tries_left

    @property
    def extensions(self) -> Mapping[str, object]:
        return {"tries_left": self.tries_left}


class WrongPassword(AppError):
    status, code = 422, "wrong_password"


class PasswordRefused(AppError):
    """A new password that must not be used; `reason` is common, context or same."""

    status, code = 422, "password_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)
        self.reason = reason

    @property
    def extensions(self) -> Mapping[str, object]:
        return {"reason": self.reason}


class IdempotencyKeyReused(AppError):
    status, code = 422, "idempotency_key_reused"


class TooMany(AppError):
    """429; `retry_after` and `window` in seconds, `policy` names the limit (draft-ietf-httpapi-ratelimit-headers)."""

    status, code = 429, "rate_limited"

    def __init__(self, *, retry_after: int, limit: int = 1, window: int = 60, policy: str = "default") -> None:
        super().__init__(retry_after=retry_after)
        self.policy = policy
        self.headers["Retry-After"] = str(retry_after)
        self.headers["RateLimit-Policy"] = f'"{policy}";q={limit};w={window}'
        self.headers["RateLimit"] = f'"{policy}";r=0;t={retry_after}'


class ResendTooSoon(TooMany):
    code = "resend_too_soon"


class TooManySends(TooMany):
    code = "too_many_sends"


class TooManyTries(TooMany):
    code = "too_many_tries"


class TooManyMismatches(TooMany):
    code = "too_many_mismatches"


class LoginSlowed(TooMany):
    code = "login_slowed"


class Internal(AppError):
    status, code = 500, "internal_error"


class Unavailable(AppError):
    status: ClassVar[int] = 503

    def __init__(self, *, retry_after: int = 2) -> None:
        super().__init__(retry_after=retry_after)
        self.headers["Retry-After"] = str(retry_after)


class NotReady(Unavailable):
    """Which of `checks` fail."""

    code = "not_ready"

    def __init__(self, checks: Mapping[str, bool]) -> None:
        super().__init__()
        self.checks = checks

    @property
    def extensions(self) -> Mapping[str, object]:
        return {"checks": dict(self.checks)}


class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"


class TransactionConflict(Unavailable):
    """The database asked for the transaction to be run again (SQLSTATE 40001, 40P01; SQLite BUSY)."""

    code = "try_again"


class Busy(Unavailable):
    code = "busy"


class MarketplaceUnavailable(Unavailable):
    """A cloud provider has to be asked and does not answer."""

    code = "marketplace_unavailable"


class ClosingUndecided(Unavailable):
    """A service that has to be asked does not answer: nobody can tell now whether the account may be closed."""

    code = "closing_undecided"


class TokenRefused(Exception):
    """Why no token is given: `error` is a code of RFC 6749 §5.2, which also says how it is shown."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


def every_kind() -> list[type[AppError]]:
    """All failures that have a code, in the order of their codes."""
    found, todo = [], [AppError]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if "code" in vars(kind):
            found.append(kind)
    return sorted(found, key=lambda kind: kind.code)


def seconds_until(moment: datetime, now: datetime) -> int:
    """Whole seconds from `now` to `moment`, at least 1: what Retry-After says."""
    return max(1, -int((now - moment).total_seconds() // 1))
