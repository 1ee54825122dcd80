"""FLEET.toml: the grid a fleet runs on, and its regions. Decides what its keys mean, and points at mistakes."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slacktide.file_places import nearest_of, text_of, wrong_at
from slacktide.terminal import UsageProblem

if TYPE_CHECKING:
    from intensity_feeds.series import IntensitySeries
    from scheduler.planning.plan import Region
    from scheduler.toml_positions import KeyPath, Position

_KEYS: dict[str, tuple[str, ...]] = {
    "": ("carbon", "region"),
    "carbon": ("trace",),
    "region": ("zone", "gpus", "pue", "power_cap_kw"),
}
_PLACE_IN_ERROR = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFile:
    """Regions are named by their zone; a cap limits facility power, PUE included."""

    regions: tuple[Region, ...]
    forecasts: Mapping[str, IntensitySeries]
    power_caps_w: Mapping[str, float]


def read_fleet(path: Path) -> FleetFile:
    """The fleet with its grid; the trace is sought beside the file, then in the working folder. Raises UsageProblem."""
    tables = _Tables.of(path)
    trace = tables.trace()
    regions = tables.regions()
    return FleetFile(
        regions=tuple(regions),
        forecasts=_forecasts(trace, tables, regions),
        power_caps_w=tables.power_caps_w(),
    )


def _forecasts(trace: Path, tables: _Tables, regions: list[Region]) -> Mapping[str, IntensitySeries]:
    from intensity_feeds.trace import TraceError, read_trace

    try:
        series = read_trace(trace)
    except TraceError as problem:
        raise UsageProblem(str(problem)) from None
    for index, region in enumerate(regions):
        if region.zone not in series:
            hint = nearest_of(region.zone, tuple(sorted(series)))
            raise tables.wrong(("region", index, "zone"), f"{trace.name} has no zone {region.zone}", hint)
    return {region.zone: series[region.zone] for region in regions}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """The parsed text, and where each key stands."""

    path: Path
    values: Mapping[str, Any]
    places: Mapping[KeyPath, Position]

    @classmethod
    def of(cls, path: Path) -> _Tables:
        from scheduler.toml_positions import positions

        text = text_of(path, "--fleet")
        try:
            tables = cls(path=path, values=tomllib.loads(text), places=positions(text))
        except tomllib.TOMLDecodeError as problem:
            place = _PLACE_IN_ERROR.search(str(problem))
            line, column = (int(place[1]), int(place[2])) if place and place[1] else (text.count("\n") + 1, 1)
            raise wrong_at(path, line, column, f"is no TOML: {_PLACE_IN_ERROR.sub('', str(problem))}") from None
        tables._refuse_other_shapes()
        return tables

    def wrong(self, where: KeyPath, what: str, hint: str = "") -> UsageProblem:
        """Points at the key, or at the nearest table around it."""
        while where and where not in self.places:
            where = where[:-1]
        line, column = (self.places[where].line, self.places[where].column) if where else (1, 1)
        return wrong_at(self.path, line, column, what, hint)

    def trace(self) -> Path:
        given = self.values.get("carbon", {}).get("trace")
        if not isinstance(given, str) or not given:
            raise self.wrong(("carbon", "trace"), "[carbon] names no trace", 'write trace = "grid.csv"')
        beside = self.path.parent / Path(given).expanduser()
        found = next((one for one in (beside, Path(given).expanduser()) if one.is_file()), None)
        if found is None:
            raise self.wrong(("carbon", "trace"), f"there is no file {given}", f"it was sought at {beside}")
        return found

    def regions(self) -> list[Region]:
        from scheduler.planning.plan import Region

        found: list[Region] = []
        for index in range(len(self._region_tables)):
            zone = self._zone(index)
            if any(other.zone == zone for other in found):
                raise self.wrong(("region", index, "zone"), f"{zone} is there twice", "give its GPUs in one [[region]]")
            pue = self._number(index, "pue", low=1.0)
            found.append(Region(name=zone, zone=zone, gpus=self._gpus(index), pue=pue))
        return found

    def power_caps_w(self) -> dict[str, float]:
        return {
            str(table["zone"]): 1000.0 * self._number(index, "power_cap_kw", low=0.0)
            for index, table in enumerate(self._region_tables)
            if "power_cap_kw" in table
        }

    @property
    def _region_tables(self) -> list[dict[str, Any]]:
        return list(self.values["region"])

    def _zone(self, index: int) -> str:
        zone = self._region_tables[index].get("zone")
        if not isinstance(zone, str) or not zone:
            raise self.wrong(("region", index, "zone"), "a region needs a zone", 'write zone = "DE"')
        return zone

    def _gpus(self, index: int) -> int:
        gpus = self._region_tables[index].get("gpus")
        if not isinstance(gpus, int) or isinstance(gpus, bool) or gpus < 1:
            shown = "no gpus" if gpus is None else f"gpus = {gpus!r}"
            raise self.wrong(("region", index, "gpus"), f"a region with {shown}", "write a whole number from 1")
        return gpus

    def _number(self, index: int, key: str, *, low: float) -> float:
        """A number from `low` on, which it is when not given."""
        value = self._region_tables[index].get(key, low)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value < math.inf:
            raise self.wrong(("region", index, key), f"{key} = {value!r}", f"write a number from {low:g}")
        return float(value)

    def _refuse_other_shapes(self) -> None:
        self._refuse_unknown((), self.values, "")
        carbon, regions = self.values.get("carbon", {}), self.values.get("region")
        if not isinstance(carbon, dict):
            raise self.wrong(("carbon",), "carbon is a table", "write [carbon]")
        if not isinstance(regions, list) or not regions or not all(isinstance(one, dict) for one in regions):
            raise self.wrong(("region",), "the fleet has no regions", "write one [[region]] table each")
        self._refuse_unknown(("carbon",), carbon, "carbon")
        for index, table in enumerate(regions):
            self._refuse_unknown(("region", index), table, "region")

    def _refuse_unknown(self, path: KeyPath, table: Mapping[str, Any], kind: str) -> None:
        for key in table:
            if key not in _KEYS[kind]:
                raise self.wrong((*path, key), f"unknown key {key}", nearest_of(key, _KEYS[kind]))
