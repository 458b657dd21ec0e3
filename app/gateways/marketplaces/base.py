"""What a cloud marketplace is to this service. A new one is one module that has the members of `Marketplace`.

A module knows its provider's wire protocol and nothing of our tables: it says whether a call is genuine, what it
means in the vocabulary of `Effect`, and how to answer in the provider's own form. Keeping the message, applying it
once and in order, and telling others is the same for all (services/marketplace.py).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from app.models.cloud_accounts import CloudStatus, Effect


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came. `channel` is what follows `/marketplace/{provider}/` in its path, empty if nothing does.

    `query` has the decoded pairs in their order, `headers` lower-case names; `at` is when it came.
    """

    channel: str
    method: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes
    at: datetime


class Page(StrEnum):
    """What a person in a browser is told instead (app/data/problems.toml has the texts)."""

    HELP = "help"  # nothing was brought along
    EXPIRED = "expired"  # start again at the marketplace
    INVALID = "invalid"
    UNKNOWN = "unknown"  # genuine, but of a purchase that is not known here
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer in the provider's own form; or a page for a person in a browser."""

    status: int = 200
    body: bytes = b""
    media_type: str = "application/json"
    page: Page | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # such as a signature of the body


def instance_key(instance_id: str) -> str:
    """The key that every subscription has: the service adds it to those of the notice that opens it."""
    return f"instance:{instance_id}"


def json_reply(members: Mapping[str, object], status: int = 200) -> Reply:
    return Reply(status, json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode())


class Refused(Exception):
    """The call is not genuine, or makes no sense: nothing of it is kept. `why` is one word, for the metrics."""

    def __init__(self, why: str, reply: Reply) -> None:
        super().__init__(why)
        self.why = why
        self.reply = reply


class CannotTell(Exception):
    """The provider does not answer, or not so that it could be understood. `why` is one word."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Notice:
    """One message about a subscription.

    `keys` each name one subscription and no other; `hints` may name several. `strand` tells the agreements of one
    subscription apart where the provider has them. `dedup` is the same for a message that is sent again.
    `opens`: a subscription that nobody knew may begin with it; then there is an `instance_id`.
    `recurs`: the provider may say the same words again with a new meaning.
    """

    channel: str
    type: str
    effect: Effect
    dedup: str
    at: datetime
    body: Mapping[str, Any]
    keys: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    strand: str = ""
    account_number: str | None = None
    instance_id: str | None = None
    product: str | None = None
    opens: bool = False
    recurs: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """What a genuine call says.

    `notice` is kept and applied before the call is answered. `once` names a call that is accepted once until
    `once_until`. `lands`: a customer came in a browser, with the subscription of one of these keys. `asks`: keys of
    subscriptions whose state the provider asks for. `context` is the module's own, for `answer`.
    """

    notice: Notice | None = None
    once: str | None = None
    once_until: datetime | None = None
    lands: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is known of a subscription here."""

    instance_id: str
    account_number: str | None
    status: CloudStatus
    keys: tuple[str, ...] = ()


class Done(StrEnum):
    """What became of a call."""

    APPLIED = "applied"
    REPEATED = "repeated"  # the message was applied before
    WAITING = "waiting"  # kept, but its subscription is not known (yet), or which one is meant
    IGNORED = "ignored"  # kept: it means nothing here
    READ = "read"  # nothing was kept: it only asked
    REPLAYED = "replayed"  # its `once` was accepted before: nothing was done


@dataclass(frozen=True, slots=True)
class Outcome:
    """`subscription` is the one that the notice is about, as it is now; `asked` has those of `asks` that are known."""

    done: Done
    subscription: Subscription | None = None
    asked: Mapping[str, Subscription] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the provider itself says of a subscription when asked. None is what it does not tell."""

    account_number: str | None = None
    status: CloudStatus | None = None
    product: str | None = None
    keys: tuple[str, ...] = ()


class Marketplace(Protocol):
    """`name` is what it is called in paths, tables and the API: lower-case letters, 16 at most.

    `typed`: whether a holder may name an account and an instance by typing them.
    """

    name: str
    typed: bool

    def serves(self, channel: str, method: str) -> bool:
        """Whether this installation takes calls there; otherwise they are answered 404."""

    async def hear(self, call: Call) -> Heard:
        """Verify a call and read it. Raises Refused, with the answer in the provider's form.

        It may ask the provider (that is outside of any transaction), but never for longer than the provider waits.
        """

    def answer(self, heard: Heard, outcome: Outcome) -> Reply:
        """What the provider expects to hear. A customer who lands is sent on to the frontend: then it is asked only
        when that could not be (`done` is REPLAYED or WAITING).
        """

    def later(self, call: Call) -> Reply:
        """Nothing could be done now: an answer that makes the provider call again, or a person try again."""

    def parse(self, channel: str, body: Mapping[str, Any], at: datetime) -> Notice:
        """The notice in a kept `body`, read anew; `at` is when it came. Raises ValueError."""

    async def look_up(self, subscription: Subscription) -> Facts:
        """Ask the provider about a subscription; raises CannotTell. For one it does not know, Facts with nothing."""

    async def close(self) -> None: ...
