"""What is shipped: the five packages with their data, and nothing that would take a common name such as `tests`."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest

from tests.architecture.sources import PACKAGES, ROOT

DATA = [".toml", ".mako", ".csv", ".html", ".js", ".css", ".typed"]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_the_wheel_holds_the_five_packages_and_no_other(shipped: set[str]) -> None:
    tops = {name.partition("/")[0] for name in shipped}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.slow
def test_the_data_of_the_packages_comes_along(shipped: set[str]) -> None:
    data = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in DATA
    }
    assert data <= shipped
