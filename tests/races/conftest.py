"""A database of the test's own, for processes that nobody else's rows may disturb."""

import asyncio
from pathlib import Path

import pytest

from app.core import migrations
from tests.races import create_database


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Migrated, on each engine in turn."""
    url = f"sqlite:///{tmp_path / 'app.db'}"
    if request.param == "postgresql":
        url = await create_database(request.getfixturevalue("postgres_url"))
    await asyncio.to_thread(migrations.upgrade, url)
    return url
