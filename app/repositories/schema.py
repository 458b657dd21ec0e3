"""SQL about the schema itself."""

from sqlalchemy import column, select, table
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.repositories.base import Repository

_VERSION = table("alembic_version", column("version_num"))


class SchemaRepository(Repository):
    async def revision(self) -> str | None:
        """The migration that the database is at; None for an empty one."""
        try:
            revision: str | None = await self._session.scalar(select(_VERSION.c.version_num))
        except (OperationalError, ProgrammingError) as error:
            if "alembic_version" in str(error.orig):
                return None
            raise
        return revision
