"""INSERTs of rows that are made in Python and enter no session: those of several tables in one statement."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, cast

from sqlalchemy import Column, Insert, Table, bindparam
from sqlalchemy.orm import DeclarativeBase

from app.repositories.direct import Fixed

Model = type[DeclarativeBase]


def rounds(rows: Iterable[DeclarativeBase], *, together: bool) -> list[list[DeclarativeBase]]:
    """The rows by statement: one of each table in each, in their order; each by itself where `together` is false.

    Sorted by table, so that it is the same statement whatever came first.
    """
    found: list[dict[Model, DeclarativeBase]] = []
    for row in rows:
        free = (one for one in found if together and type(row) not in one)
        first = next(free, None)
        if first is None:
            found.append(first := {})
        first[type(row)] = row
    return [sorted(one.values(), key=lambda row: row.__tablename__) for one in found]


def statement(rows: list[DeclarativeBase]) -> Fixed:
    """Inserts one row of each table."""
    return _of(tuple(type(row) for row in rows))


def values(rows: list[DeclarativeBase]) -> dict[str, Any]:
    """What the rows were given; the column's default, or NULL, for what they were not."""
    found: dict[str, Any] = {}
    for row in rows:
        given = row.__dict__
        for name, key, default in columns(type(row)):
            found[name] = given[key] if key in given else default()
    return found


@cache
def _of(models: tuple[Model, ...]) -> Fixed:
    *others, last = models
    return Fixed(_insert(last).add_cte(*(_insert(other).cte(f"of_{other.__tablename__}") for other in others)))


def _insert(model: Model) -> Insert:
    table = cast("Table", model.__table__)
    return table.insert().values({key: bindparam(name, type_=table.c[key].type) for name, key, _ in columns(model)})


@cache
def columns(model: Model) -> list[tuple[str, str, Callable[[], Any]]]:
    """Of each column that the database does not number: the parameter, the member, the default."""
    return [
        (f"{model.__tablename__}_{column.key}", column.key, _default(column))
        for column in cast("Table", model.__table__).columns
        if column.identity is None
    ]


def _default(column: Column[Any]) -> Callable[[], Any]:
    default: Any = column.default
    if default is None:
        return lambda: None
    return (lambda: default.arg(None)) if default.is_callable else (lambda: default.arg)
