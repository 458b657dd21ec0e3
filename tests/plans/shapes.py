"""SQL statements as the plan test keeps them: one for each shape, whatever the values and however many of them."""

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import app.models  # noqa: F401 - so that every vocabulary below is known
from app.core.clock import now

TIME = re.compile(r"\{now([+-]\d+)m\}")  # a time in a kept statement: so many minutes from the moment it is asked at

_CAST = r"(?:::[A-Z]+(?: WITH TIME ZONE)?)"
_LIST = re.compile(rf"(?<=IN )\((\$\d+{_CAST}?(?:, \$\d+{_CAST}?){{2}})(?:, \$\d+{_CAST}?)+\)")
_ROWS = re.compile(r"VALUES (\([^()]*\))(?:, \([^()]*\))+")
_PLACE = re.compile(r"\$(\d+)")
_LISTED = re.compile(rf"\(\${_CAST}?(?:, \${_CAST}?)+\)")
_ASSIGNED = re.compile(rf'(?<= SET )(?:"?\w+"?=\${_CAST}?(?:, )?)+|, "?\w+"?=\${_CAST}?(?=,| WHERE| RETURNING|$)')
_WORD = re.compile(r"'\w[^']*'")
_INLINE = re.compile(r"'[^']*'|(?<![\w$.])-?\d+(?=::)|\b(?:true|false)(?=::)")


def words(statement: str) -> str:
    """The words in a sample: what tells one from another of the same shape."""
    return " ".join(_WORD.findall(statement))


@lru_cache
def _vocabulary() -> frozenset[str]:
    return frozenset(str(word) for kind in StrEnum.__subclasses__() if kind.__module__[:4] == "app." for word in kind)


def tidy(statement: str) -> str:
    """On one line; of a list three values at most, of rows the first."""
    return _ROWS.sub(r"VALUES \1", _LIST.sub(r"(\1)", " ".join(statement.split())))


def shape(statement: str) -> str:
    """What statements have in common that the planner treats alike.

    How many values stand in a list, which columns get plain values, and which words and numbers are asked for tell
    nothing about whether there is an index.
    """
    bare = _INLINE.sub("$", _PLACE.sub("$", tidy(statement)))
    return _ASSIGNED.sub("…", _LISTED.sub("(…)", re.sub(r"\(\$(?:::\w+)?\)", "(…)", bare)))


def sample(statement: str, parameters: Sequence[Any]) -> str:
    """The statement with what its plan depends on written out, as PostgreSQL plans it for given values.

    Words of our vocabularies, numbers and truth values stand as they are, times as their distance from now (`TIME`); all
    else (ids, names, hashes) stays a parameter, numbered anew.
    """
    left: dict[str, str] = {}

    def value(found: re.Match[str]) -> str:
        given = parameters[int(found[1]) - 1]
        return _literal(given) or left.setdefault(found[1], f"${len(left) + 1}")

    return _PLACE.sub(value, tidy(statement))


def _literal(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return f"'{{now{round((value - now()).total_seconds() / 60):+}m}}'"
    if isinstance(value, str) and value in _vocabulary():
        return f"'{value}'"
    return None
