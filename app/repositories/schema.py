"""SQL about the schema itself."""

from datetime import datetime

from sqlalchemy import column, func, null, select, table
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.repositories.base import Repository

_VERSION = table("alembic_version", column("version_num"))


class SchemaRepository(Repository):
    async def state(self) -> tuple[str | None, datetime | None]:
        """The migration that the database is at, None for an empty one; and its clock, where that is not our own."""
        clock = null() if self._dialect == "sqlite" else func.now()
        try:
            row = (await self._session.execute(select(_VERSION.c.version_num, clock))).one_or_none()
        except (OperationalError, ProgrammingError) as error:
            if "alembic_version" in str(error.orig):
                return None, None
            raise
        return (row[0], row[1]) if row else (None, None)
