"""The tables of FLEET.toml and where each key of them stands: shapes, known keys, numbers. Knows no planner."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slacktide.file_places import nearest_of, text_of, wrong_at
from slacktide.terminal import UsageProblem

if TYPE_CHECKING:
    from scheduler.toml_positions import KeyPath, Position

# Table -> its keys. Those named with brackets are lists of tables.
_KEYS: dict[str, tuple[str, ...]] = {
    "": ("carbon", "price", "objective", "transfer", "region", "budget", "pool"),
    "carbon": ("trace", "signal"),
    "price": ("trace",),
    "transfer": ("gb_per_s", "wh_per_gb", "usd_per_gb"),
    "objective": ("gco2e", "usd", "water_l", "waiting_kwh_h", "carbon_usd_per_t", "at_most_usd", "at_most_kgco2e"),
    "region": (
        "name",
        "zone",
        "gpus",
        "gpu_type",
        "speed",
        "power_ratio",
        "pue",
        "power_cap_kw",
        "price_usd_per_kwh",
        "price_zone",
        "gpu_hour_usd",
        "embodied_kgco2e_per_gpu",
        "lifetime_years",
        "wue_l_per_kwh",
        "source_l_per_kwh",
        "gpu",
        "reserved",
        "maintenance",
    ),
    "reserved": ("days", "from", "to", "timezone", "gpus"),
    "maintenance": ("from", "to", "gpus"),
    "budget": ("tenant", "gco2e", "kwh", "usd", "per"),
    "pool": (
        "name",
        "tokens",
        "earliest_start",
        "finish_by",
        "zones",
        "priority",
        "tokens_per_s_per_gpu",
        "power_w_per_gpu",
        "model",
        "prompt_tokens",
        "output_tokens",
        "on",
    ),
    "on": ("zone", "tokens_per_s_per_gpu", "power_w_per_gpu"),
}
_LISTS_OF_REGION = ("reserved", "maintenance")
_TABLES = ("carbon", "price", "objective", "transfer")
_PLACE_IN_ERROR = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The parsed text, and where each key stands. Every mistake is a UsageProblem that points at it."""

    path: Path
    values: Mapping[str, Any]
    places: Mapping[KeyPath, Position]

    @classmethod
    def of(cls, path: Path) -> Tables:
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

    @property
    def budgets(self) -> list[dict[str, Any]]:
        return list(self.values.get("budget", []))

    @property
    def pools(self) -> list[dict[str, Any]]:
        return list(self.values.get("pool", []))

    @property
    def regions(self) -> list[dict[str, Any]]:
        return list(self.values["region"])

    def table(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.values.get(name, {})
        return found

    def text(self, where: KeyPath, example: str) -> str:
        """A text that must be there."""
        value = self.value(where)
        if not isinstance(value, str) or not value:
            raise self.wrong(where, f"a {where[0]} needs a {where[-1]}", f'write {where[-1]} = "{example}"')
        return value

    def number(self, where: KeyPath, *, low: float) -> float | None:
        """A number from `low` on; None where none is given."""
        value = self.value(where)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value < math.inf:
            wanted = "a number" if low == -math.inf else f"a number from {low:g}"
            raise self.wrong(where, f"{where[-1]} = {value!r}", f"write {wanted}")
        return float(value)

    def whole(self, where: KeyPath) -> int:
        value = self.value(where)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            shown = f"no {where[-1]}" if value is None else f"{where[-1]} = {value!r}"
            raise self.wrong(where, f"a {_owner(where)} with {shown}", "write a whole number from 1")
        return value

    def file(self, where: KeyPath) -> Path:
        """A file that is there, sought beside this one, then in the working folder."""
        given = self.value(where)
        if not isinstance(given, str) or not given:
            raise self.wrong(where, f"[{where[0]}] names no {where[-1]}", f'write {where[-1]} = "grid.csv"')
        beside = self.path.parent / Path(given).expanduser()
        found = next((one for one in (beside, Path(given).expanduser()) if one.is_file()), None)
        if found is None:
            raise self.wrong(where, f"there is no file {given}", f"it was sought at {beside}")
        return found

    def value(self, where: KeyPath) -> Any:
        """What stands there; None where nothing does."""
        found: Any = self.values
        for part in where:
            if isinstance(found, Mapping) and part not in found:
                return None
            found = found[part]
        return found

    def _refuse_other_shapes(self) -> None:
        self._refuse_unknown((), self.values, "")
        for name in _TABLES:
            if not isinstance(table := self.table(name), dict):
                raise self.wrong((name,), f"{name} is a table", f"write [{name}]")
            self._refuse_unknown((name,), table, name)
        regions = self.values.get("region")
        if not _is_list_of_tables(regions) or not regions:
            raise self.wrong(("region",), "the fleet has no regions", "write one [[region]] table each")
        for index, table in enumerate(regions):
            self._refuse_unknown(("region", index), table, "region")
            for kind in _LISTS_OF_REGION:
                self._refuse_other_lists(("region", index, kind), table.get(kind, []), f"region.{kind}")
        for name in ("budget", "pool"):
            self._refuse_other_lists((name,), self.values.get(name, []), name)
        for index, table in enumerate(self.pools):
            self._refuse_other_lists(("pool", index, "on"), table.get("on", []), "pool.on")

    def _refuse_other_lists(self, path: KeyPath, found: object, kind: str) -> None:
        if not isinstance(found, list) or not _is_list_of_tables(found):
            raise self.wrong(path, f"{path[-1]} is no list of tables", f"write [[{kind}]]")
        for number, table in enumerate(found):
            self._refuse_unknown((*path, number), table, str(path[-1]))

    def _refuse_unknown(self, path: KeyPath, table: Mapping[str, Any], kind: str) -> None:
        for key in table:
            if key not in _KEYS[kind]:
                raise self.wrong((*path, key), f"unknown key {key}", nearest_of(key, _KEYS[kind]))


def _owner(where: KeyPath) -> str:
    """The kind of table in which a key stands."""
    return str(next(part for part in reversed(where[:-1]) if isinstance(part, str)))


def _is_list_of_tables(found: object) -> bool:
    return isinstance(found, Sequence) and all(isinstance(one, dict) for one in found)
