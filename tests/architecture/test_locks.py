"""The locks hold what pyproject.toml asks for; whoever changes one and forgets the other is told."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.sources import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CORE: list[str] = PROJECT["project"]["dependencies"]
EXTRAS: list[str] = [one for extra in PROJECT["project"]["optional-dependencies"].values() for one in extra]
GROUPS: dict[str, list[str]] = {
    name: [one for one in group if isinstance(one, str)] for name, group in PROJECT["dependency-groups"].items()
}
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ \\]+)", re.MULTILINE)


def pins(lock: str) -> dict[str, set[str]]:
    """Versions by name; a name may have several, for several Pythons."""
    found: dict[str, set[str]] = {}
    for name, version in _PIN.findall((ROOT / lock).read_text("utf-8")):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def unmet(asked: Iterable[str], locked: dict[str, set[str]]) -> list[str]:
    wanted = [Requirement(one) for one in asked if not one.startswith("slacktide[")]
    return [
        str(one)
        for one in wanted
        if not any(one.specifier.contains(version) for version in locked.get(canonicalize_name(one.name), ()))
    ]


@pytest.mark.parametrize(
    ("lock", "asked"),
    [
        ("requirements.lock", [*CORE, *GROUPS["build"]]),
        ("requirements-dev.lock", [*CORE, *EXTRAS, *GROUPS["build"], *GROUPS["dev"]]),
    ],
)
def test_the_lock_meets_the_project(lock: str, asked: list[str]) -> None:
    assert unmet(asked, pins(lock)) == [], f"{lock} is out of date; run `make lock`"


def test_both_locks_name_the_same_versions() -> None:
    core, everything = pins("requirements.lock"), pins("requirements-dev.lock")
    assert {name: versions for name, versions in core.items() if everything.get(name) != versions} == {}


def test_every_pin_has_a_hash() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock", "requirements-beside.lock"):
        entries = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / lock).read_text("utf-8"))
        assert [one.split()[0] for one in entries if "==" in one and "--hash=sha256:" not in one] == []


def test_an_unmet_requirement_is_seen() -> None:
    assert unmet(["a>=2", "b", "C_c<1"], {"a": {"1.0"}, "c-c": {"0.9"}}) == ["a>=2", "b"]
