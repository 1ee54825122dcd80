"""The databases that every store is held to the contract on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import programs, running_server
from tests.stores import POSTGRES_VARIABLE, emptied, sqlite_store_url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The database that the environment names, else a server of our own."""
    if named := os.environ.get(POSTGRES_VARIABLE):
        yield named
    elif bin_folder := programs():
        with running_server(bin_folder) as url:
            yield url
    else:
        pytest.skip(f"no PostgreSQL: install the package postgresql, or set {POSTGRES_VARIABLE} to a URL")


@pytest.fixture(params=("sqlite", "postgresql"))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return sqlite_store_url(tmp_path)
    named: str = request.getfixturevalue("postgres_url")
    emptied(named)
    return named
