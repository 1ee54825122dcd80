"""Arrows only ever point down, and no module waits for itself."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.architecture.shells import is_shell
from tests.architecture.sources import PACKAGES, ROOT, Import, Module, imports, modules, parsed

# Package -> the packages below it that it may import.
ARROWS: dict[str, frozenset[str]] = {
    "intensity_feeds": frozenset(),
    "shaping": frozenset(),
    "scheduler": frozenset({"shaping", "intensity_feeds"}),
    "simulations": frozenset({"scheduler", "shaping", "intensity_feeds"}),
    "slacktide": frozenset({"simulations", "scheduler", "shaping", "intensity_feeds"}),
}

# Room of the planner -> the rooms below it that it may import; each may import what stands in the planner's own folder.
PLANNING = "scheduler.planning"
ROOMS: dict[str, frozenset[str]] = {
    "one_job": frozenset(),
    "open_jobs": frozenset({"one_job"}),
    "whole_fleet": frozenset({"one_job", "open_jobs"}),
    "weighed": frozenset({"one_job", "open_jobs", "whole_fleet"}),
    "reasons": frozenset({"one_job", "open_jobs", "whole_fleet", "weighed"}),
}
# Rooms within the room of whole fleets, likewise.
WHOLE_FLEET = f"{PLANNING}.whole_fleet"
FLEET_ROOMS: dict[str, frozenset[str]] = {
    "alone": frozenset(),
    "slots": frozenset({"alone"}),
    "rules": frozenset({"alone"}),
    "token_filling": frozenset({"alone"}),
}


def wrong_arrows(module: Module) -> list[str]:
    return [
        f"{module.at(one.node)} imports {one.target}: {remedy}"
        for one in imports(module)
        if (remedy := _why_wrong(module, one))
    ]


def _why_wrong(module: Module, one: Import) -> str:
    target = one.target.partition(".")[0]
    if target in {"tests", "benchmarks", "docs", "examples"}:
        return "shipped code knows nothing of tests and documents; move what is needed into a package"
    if target not in PACKAGES:
        return ""
    if target == module.package:
        return _why_wrong_room(PLANNING, ROOMS, module.name, one.target) or _why_wrong_room(
            WHOLE_FLEET, FLEET_ROOMS, module.name, one.target
        )
    if target not in ARROWS[module.package]:
        allowed = ", ".join(sorted(ARROWS[module.package])) or "none of the five packages"
        return f"{module.package} may import {allowed}; pass what is needed as an argument from above"
    if module.package == "simulations" and target == "scheduler" and is_shell(one.target):
        return "simulations drive the scheduler's pure part only; move the rule out of the shell"
    return ""


def _room(house: str, rooms: Mapping[str, frozenset[str]], name: str) -> str | None:
    """The room of a house that a dotted name lies in; empty for the house's own folder, None outside."""
    if not name.startswith(house + "."):
        return None
    first = name.removeprefix(house + ".").partition(".")[0]
    return first if first in rooms else ""


def _why_wrong_room(house: str, rooms: Mapping[str, frozenset[str]], from_name: str, to_name: str) -> str:
    here, there = _room(house, rooms, from_name), _room(house, rooms, to_name)
    if here is None or not there or here == there or there in rooms.get(here, frozenset()):
        return ""
    if not here and house != PLANNING:  # joint plans are made of what their rooms find
        return ""
    return f"{house}'s {here or 'own folder'} knows nothing of {there}; move what both need below them"


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_imports_point_down(module: Module) -> None:
    assert not (wrong := wrong_arrows(module)), "\n" + "\n".join(wrong)


def test_no_module_needs_itself_while_it_is_loaded() -> None:
    names = {module.name for module in modules()}
    graph = {
        module.name: {one.target for one in imports(module) if one.when_loaded and not one.for_types} & names
        for module in modules()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail("modules import each other; move what both need into a third: " + " <- ".join(cycle.args[1]))


@pytest.mark.parametrize(
    ("place", "text", "reason"),
    [
        ("shaping/made_up.py", "def late():\n    from scheduler.jobs import Job\n", "none of the five packages"),
        ("intensity_feeds/made_up.py", "import shaping.request\n", "none of the five packages"),
        ("scheduler/daemon/made_up.py", "import simulations\n", "may import intensity_feeds, shaping"),
        ("simulations/made_up.py", "from scheduler.daemon import env\n", "pure part only"),
        ("scheduler/made_up.py", "if x:\n    from tests.real_data import real_data\n", "knows nothing of tests"),
        ("scheduler/planning/one_job/made_up.py", "import scheduler.planning.open_jobs.fleet\n", "of open_jobs"),
        ("scheduler/planning/made_up.py", "import scheduler.planning.one_job.window\n", "nothing of one_job"),
        ("scheduler/planning/reasons/made_up.py", "import scheduler.planning.one_job.window\n", ""),
        ("simulations/a/made_up.py", "from ..serving import x\nfrom . import y\n", ""),
    ],
)
def test_a_wrong_arrow_is_seen_wherever_it_stands(place: str, text: str, reason: str) -> None:
    wrong = wrong_arrows(parsed(text, ROOT / place))
    assert bool(wrong) == bool(reason)
    assert all(reason in line for line in wrong)


def test_a_right_arrow_is_left_alone() -> None:
    text = "from scheduler.jobs import Job\nfrom intensity_feeds.series import IntensitySeries\nimport numpy\n"
    assert wrong_arrows(parsed(text, ROOT / "simulations/made_up.py")) == []
