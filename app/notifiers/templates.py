"""What the messages say: `app/data/messages.toml`, filled in.

Values are put in once and as plain text (`string.Template` makes a single pass), so a username that looks like
a placeholder stays as it is.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template

from app.notifiers.base import Message

_CREDENTIAL = "credential"  # arrives as `email` or `phone`, is shown as a word of the language

_PROVIDER = "provider"  # arrives as `alibaba`; one that has no word of the language stays as it is


class UnknownTemplate(LookupError):
    """No such template or language, or a parameter is missing; holds names, never values."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message for either channel: an email has `subject` and `email`, a text message is `sms`."""

    subject: str
    email: str
    sms: str


@dataclass(frozen=True, slots=True)
class _Source:
    subject: Template
    email: Template
    sms: Template
    words: Mapping[str, str]


@cache
def _sources() -> dict[tuple[str, str], _Source]:
    tables = tomllib.loads((resources.files("app") / "data" / "messages.toml").read_text(encoding="utf-8"))
    words = tables.pop("words")
    return {
        (name, locale): _Source(
            subject=Template(texts["subject"]),
            email=Template(texts["email"]),
            sms=Template(texts["sms"]),
            words=words[locale],
        )
        for name, locales in tables.items()
        for locale, texts in locales.items()
    }


def render(template: str, locale: str, params: Mapping[str, str]) -> Rendered:
    """The texts of one message. Params that the texts do not use are fine; raise UnknownTemplate for too few."""
    source = _sources().get((template, locale))
    if source is None:
        raise UnknownTemplate(f"{template}:{locale}")
    values = dict(params)
    if _CREDENTIAL in values:
        values[_CREDENTIAL] = source.words.get(values[_CREDENTIAL], "")
        if not values[_CREDENTIAL]:
            raise UnknownTemplate(f"{template}:{locale} has no word for its credential")
    if _PROVIDER in values:
        values[_PROVIDER] = source.words.get(values[_PROVIDER], values[_PROVIDER])
    try:
        return Rendered(
            subject=source.subject.substitute(values),
            email=source.email.substitute(values),
            sms=source.sms.substitute(values),
        )
    except KeyError as missing:
        raise UnknownTemplate(f"{template}:{locale} needs {missing}") from None


def text_of(message: Message) -> str:
    """What the receiver reads: the body of an email or the line of a text message."""
    rendered = render(message.template, message.locale, message.params)
    return rendered.email if message.channel == "email" else rendered.sms
