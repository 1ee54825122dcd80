"""A scenario from its file and those it includes: by path, or by the name of one that comes with the package.

Says of every mistake which line and which key, and what was probably meant. Knows no default of its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from scheduler.toml_positions import KeyPath
from simulations.overrides import Override, overridden
from simulations.scenario import Scenario
from simulations.scenario_tables import (
    INCLUDE,
    Origin,
    Tables,
    all_laid_over,
    includes_of,
    seen_from,
    tables_of,
)
from simulations.scenario_tables import ScenarioError as ScenarioError

_ADAPTER = TypeAdapter(Scenario)
_UNKNOWN = "unexpected_keyword_argument"  # pydantic's name for a key that no field has


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedScenario:
    """A scenario and the folder that its relative paths start from; `copies` are files that lie elsewhere, by name."""

    scenario: Scenario
    folder: Path
    copies: Mapping[str, Path] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        return self.copies.get(name) or self.folder / Path(name).expanduser()


def packaged_scenarios() -> dict[str, str]:
    """Name and text of each scenario that comes with the package."""
    folder = files("simulations") / "scenarios"
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)
    return {entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8") for entry in found}


def load_scenario(name_or_path: str, overrides: Iterable[Override] = ()) -> LoadedScenario:
    """A file, or the name of a packaged scenario, with single values set anew. Raises ScenarioError."""
    return read_scenario(name_or_path).validated(overrides)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadScenario:
    """A scenario's tables, its includes under them, before anything is judged."""

    source: str
    tables: Tables
    folder: Path

    def validated(self, overrides: Iterable[Override] = ()) -> LoadedScenario:
        """Raises ScenarioError."""
        return LoadedScenario(scenario=_validated(overridden(self.tables, overrides), self.source), folder=self.folder)


def read_scenario(name_or_path: str) -> ReadScenario:
    """A file, or the name of a packaged scenario. Raises ScenarioError."""
    path = Path(name_or_path)
    if path.is_file():
        return ReadScenario(source=name_or_path, tables=_read_file(path, ()), folder=path.resolve().parent)
    packaged = packaged_scenarios()
    if name_or_path in packaged:
        tables = tables_of(packaged[name_or_path], name_or_path)
        return ReadScenario(source=name_or_path, tables=tables, folder=Path.cwd())
    near = difflib.get_close_matches(name_or_path, packaged, n=1)
    hint = f"did you mean {near[0]}?" if near else f"packaged scenarios: {', '.join(packaged)}"
    raise ScenarioError(name_or_path, "no such file, and no packaged scenario of that name", hint)


def _read_file(path: Path, above: tuple[Path, ...]) -> Tables:
    """A file laid over those it includes; `above` are the files that led here."""
    names, own = includes_of(tables_of(_text(path), str(path)), str(path))
    chain = (*above, path)
    parts = []
    for place, name in enumerate(names):
        asked_by = own.origin((INCLUDE, place))
        line = None if asked_by is None else asked_by.line
        parts.append(seen_from(_read_included(path, name, line, chain), name))
    return all_laid_over([*parts, own])


def _read_included(path: Path, name: str, line: int | None, chain: tuple[Path, ...]) -> Tables:
    included = path.parent / Path(name).expanduser()
    if included.is_file():
        if any(included.samefile(one) for one in chain):
            shown = " -> ".join(one.name for one in (*chain, included))
            raise ScenarioError(str(path), f"include goes in a circle: {shown}", "take one of them out", line)
        return _read_file(included, chain)
    packaged = packaged_scenarios()
    if name in packaged:
        return tables_of(packaged[name], name)
    hint = "the path starts from the folder of the file that includes it"
    raise ScenarioError(str(path), f"include: there is no file {name!r}", hint, line)


def parse_scenario(text: str, source: str) -> Scenario:
    """The scenario of a TOML text that includes nothing. Raises ScenarioError."""
    return _validated(tables_of(text, source), source)


def _validated(tables: Tables, source: str) -> Scenario:
    try:
        return _ADAPTER.validate_python(tables.plain)
    except ValidationError as error:
        raise _first_mistake(error, tables, source) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(str(path), f"cannot be read: {error}") from error


def _first_mistake(error: ValidationError, tables: Tables, source: str) -> ScenarioError:
    """The first mistake in the text, but an unknown key before all: it often explains the one that is missing."""
    mistakes = [(tables.origin(detail["loc"]) or Origin(source=source), detail) for detail in error.errors()]
    origin, detail = min(mistakes, key=lambda mistake: (mistake[1]["type"] != _UNKNOWN, mistake[0].line or 0))
    path = detail["loc"]
    named = ".".join(str(part) for part in path if isinstance(part, str))
    match detail["type"]:
        case kind if kind == _UNKNOWN:
            return ScenarioError(origin.source, f"unknown key {named!r}", _nearest(path), origin.line)
        case "missing" | "missing_argument":
            return ScenarioError(origin.source, f"{named!r} is missing", "every scenario needs it", origin.line)
    what = detail["msg"].removeprefix("Value error, ")
    return ScenarioError(origin.source, f"{named}: {what}" if named else what, "", origin.line)


def _nearest(path: KeyPath) -> str:
    known = _keys_beside(path)
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known keys here: {', '.join(known)}"


def _keys_beside(path: KeyPath) -> list[str]:
    """The keys that the table around `path` may hold."""
    table: Any = Scenario
    for part in path[:-1]:
        if isinstance(part, str):
            table = _table_in(get_type_hints(table)[part])
    return [*(field.name.rstrip("_") for field in fields(table)), *((INCLUDE,) if table is Scenario else ())]


def _table_in(annotation: Any) -> Any:
    """The dataclass inside `Table`, `tuple[Table, ...]` or `Annotated[tuple[Table, ...], ...]`."""
    if is_dataclass(annotation):
        return annotation
    return next((found for part in get_args(annotation) if (found := _table_in(part)) is not None), None)


def plain_settings(scenario: Scenario) -> Mapping[str, Any]:
    """The scenario as JSON can hold it, defaults included."""
    plain: dict[str, Any] = _ADAPTER.dump_python(scenario, mode="json", by_alias=True)
    return plain
