"""Single values of a scenario that are set from outside its file: `jobs.slack_s=2d`. Opens no file.

`jobs.slack_s` means every [[jobs]] table, `jobs.0.slack_s` the first, `jobs.training.slack_s` the one of that name.
A value is read as TOML where it is TOML, else as text: quotes around durations and words can be left out. A number of
hours may be said as such, `jobs.slack_h=48`, and a few paths have a second name.
"""

from __future__ import annotations

import copy
import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from typing import Any, get_args, get_origin, get_type_hints

from scheduler.toml_positions import KeyPath
from simulations.scenario import Scenario
from simulations.scenario_tables import Origin, ScenarioError, Tables

_HINTS = get_type_hints(Scenario)
# Seconds in the units that a key may end in instead.
_UNIT_S = {"ms": 0.001, "min": 60.0, "h": 3600.0, "d": 86400.0}
# By what else people call a path.
_ALSO_CALLED = {("fleet",): ("region",), ("shaping", "budget_s"): ("policy", "interactive_hold_s")}
LISTS = tuple(field.name for field in fields(Scenario) if get_origin(_HINTS[field.name]) is tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One value for one path. `source` is what the user wrote, for messages."""

    path: tuple[str, ...]
    value: Any
    source: str


def parse_override(text: str, option: str = "--set") -> Override:
    """`PATH=VALUE`. Raises ScenarioError."""
    path, value = split_override(text, option)
    return Override(path=path, value=parse_value(value), source=f"{option} {text}")


def split_override(text: str, option: str) -> tuple[tuple[str, ...], str]:
    """The path and the text after its equals sign. Raises ScenarioError."""
    name, separator, value = text.partition("=")
    path = path_of(name.strip())
    if not separator or not path:
        raise ScenarioError(f"{option} {text}", "is not PATH=VALUE", "write it like jobs.slack_s=2d or region.0.gpus=8")
    return path, value.strip()


def path_of(name: str) -> tuple[str, ...]:
    """The parts of a dotted key, quoted ones included; nothing where it is none."""
    try:
        table: Any = tomllib.loads(f"{name} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts = []
    while isinstance(table, dict) and len(table) == 1:
        ((part, table),) = table.items()
        parts.append(part)
    return tuple(parts) if table == 0 else ()


def parse_value(text: str) -> Any:
    """A TOML value, else the text itself: `128`, `true`, `["a", "b"]`, `2d`, `seasonal`."""
    try:
        plain = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    if list(plain) != ["value"]:
        return text
    return plain["value"].isoformat() if isinstance(plain["value"], datetime) else plain["value"]


def overridden(tables: Tables, overrides: Iterable[Override]) -> Tables:
    """The tables with every override in its place, the later over the earlier. Raises ScenarioError."""
    plain: dict[str, Any] = copy.deepcopy(dict(tables.plain))
    origins = dict(tables.origins)
    for one in map(_in_own_words, overrides):
        for path in places_of(plain, one):
            _put(plain, path, one)
            origins[path] = Origin(source=one.source)
    return Tables(plain=plain, origins=origins)


def _in_own_words(one: Override) -> Override:
    """The same under the name and in the unit of the scenario's own key."""
    path, value = one.path, one.value
    for called, own in _ALSO_CALLED.items():
        if path[: len(called)] == called:
            path = (*own, *path[len(called) :])
    stem, _, unit = path[-1].rpartition("_")
    if unit in _UNIT_S and path[-1] not in _KEYS and f"{stem}_s" in _KEYS:
        path = (*path[:-1], f"{stem}_s")
        if isinstance(value, int | float) and not isinstance(value, bool):
            value *= _UNIT_S[unit]
    return replace(one, path=path, value=value)


def _keys_of(kind: Any) -> Iterator[str]:
    """The names of all keys of a table and of the tables in it."""
    for inner in get_args(kind):
        yield from _keys_of(inner)
    if is_dataclass(kind):
        yield from (field.name for field in fields(kind))
        for inner in get_type_hints(kind).values():
            yield from _keys_of(inner)


_KEYS = frozenset(_keys_of(Scenario))


def places_of(plain: Mapping[str, Any], one: Override) -> Sequence[KeyPath]:
    """The keys that an override sets. Raises ScenarioError."""
    one = _in_own_words(one)
    table, *rest = one.path
    if table not in LISTS:
        return (one.path,)
    entries = plain.get(table)
    if not isinstance(entries, list) or not entries:
        raise ScenarioError(one.source, f"the scenario has no [[{table}]]", "add one to its file")
    if not rest:
        raise ScenarioError(one.source, f"{table!r} is a list of tables", f"name a key of it: {table}.KEY=VALUE")
    if len(rest) == 1:
        return [(table, place, rest[0]) for place in range(len(entries))]
    return [(table, _place_of(table, rest[0], entries, one), *rest[1:])]


def _place_of(table: str, selector: str, entries: list[Any], one: Override) -> int:
    names = [str(entry.get("name", table)) if isinstance(entry, dict) else "" for entry in entries]
    if selector in names:
        return names.index(selector)
    if selector.isdigit() and int(selector) < len(entries):
        return int(selector)
    near = difflib.get_close_matches(selector, names, n=1)
    known = f"0 to {len(entries) - 1}" if len(entries) > 1 else "0"
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {known}, or {', '.join(names)}"
    raise ScenarioError(one.source, f"no [[{table}]] is called {selector!r}, and none has that place", hint)


def _put(plain: dict[str, Any], path: KeyPath, one: Override) -> None:
    table: Any = plain
    for depth, part in enumerate(path[:-1], start=1):
        if isinstance(table, list) and isinstance(part, str):
            return  # a list of tables where there should be one table: the model says so
        table = table[part] if isinstance(part, int) else table.setdefault(part, {})
        if not isinstance(table, dict | list):
            named = ".".join(map(str, path[:depth]))
            raise ScenarioError(one.source, f"{named!r} is a value, not a table", f"write {named}=VALUE")
    if isinstance(table, dict):
        table[path[-1]] = one.value
