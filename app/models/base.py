"""What every table shares."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Uuid, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.core import ids
from app.core.database import METADATA, UtcDateTime


class Base(DeclarativeBase):
    metadata = METADATA
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime(), UUID: Uuid()}


class Keyed:
    """A UUIDv7 primary key: unique everywhere, and in the order of making."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=ids.new)


def one_of(column: str, values: type[StrEnum] | Iterable[StrEnum]) -> CheckConstraint:
    """`column` holds one of the values and nothing else."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def unique_where(name: str, *columns: str, where: str) -> Index:
    """At most one row with these columns among those that `where` holds for: the database's "at most one current"."""
    return Index(name, *columns, unique=True, postgresql_where=text(where), sqlite_where=text(where))


def index_where(name: str, *columns: str, where: str) -> Index:
    """An index of some rows.

    PostgreSQL takes one that had no rows when it made a plan to cost nothing, and reads it whole even to find a row by
    its primary key, however many rows it has come to hold. So `where` also names a column that only the statements
    pick rows by which the index is for (`… AND slot IS NOT NULL`): the others cannot use it.
    """
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))
