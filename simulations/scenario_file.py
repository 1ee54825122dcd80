"""A scenario from its file: by path, or by the name of one that comes with the package.

Says of every mistake which line and which key, and what was probably meant. Knows no default of its own.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from scheduler.toml_positions import KeyPath, Position, positions
from simulations.scenario import Scenario

_ADAPTER = TypeAdapter(Scenario)
_UNKNOWN = "unexpected_keyword_argument"  # pydantic's name for a key that no field has


class ScenarioError(ValueError):
    """A scenario that cannot be used; `line` is None where no single line is at fault."""

    def __init__(self, source: str, what: str, hint: str = "", line: int | None = None) -> None:
        self.source, self.what, self.hint, self.line = source, what, hint, line
        super().__init__(f"{source}, line {line}: {what}" if line else f"{source}: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedScenario:
    """A scenario and the folder that its relative paths start from."""

    scenario: Scenario
    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / Path(name).expanduser()


def packaged_scenarios() -> dict[str, str]:
    """Name and text of each scenario that comes with the package."""
    folder = files("simulations") / "scenarios"
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)
    return {entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8") for entry in found}


def load_scenario(name_or_path: str) -> LoadedScenario:
    """A file, or the name of a packaged scenario. Raises ScenarioError."""
    path = Path(name_or_path)
    if path.is_file():
        return LoadedScenario(scenario=parse_scenario(_text(path), name_or_path), folder=path.resolve().parent)
    packaged = packaged_scenarios()
    if name_or_path in packaged:
        return LoadedScenario(scenario=parse_scenario(packaged[name_or_path], name_or_path), folder=Path.cwd())
    near = difflib.get_close_matches(name_or_path, packaged, n=1)
    hint = f"did you mean {near[0]}?" if near else f"packaged scenarios: {', '.join(packaged)}"
    raise ScenarioError(name_or_path, "no such file, and no packaged scenario of that name", hint)


def parse_scenario(text: str, source: str) -> Scenario:
    """The scenario of a TOML text. Raises ScenarioError."""
    try:
        plain = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(source, f"is no TOML: {error}") from error
    try:
        return _ADAPTER.validate_python(plain)
    except ValidationError as error:
        raise _first_mistake(error, text, source) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(str(path), f"cannot be read: {error}") from error


def _first_mistake(error: ValidationError, text: str, source: str) -> ScenarioError:
    """The first mistake in the text, but an unknown key before all: it often explains the one that is missing."""
    places = positions(text)
    mistakes = [(_line_of(places, detail["loc"]), detail["loc"], detail) for detail in error.errors()]
    line, path, detail = min(mistakes, key=lambda mistake: (mistake[2]["type"] != _UNKNOWN, mistake[0] or 0))
    named = ".".join(str(part) for part in path if isinstance(part, str))
    match detail["type"]:
        case kind if kind == _UNKNOWN:
            return ScenarioError(source, f"unknown key {named!r}", _nearest(path), line)
        case "missing" | "missing_argument":
            return ScenarioError(source, f"{named!r} is missing", "every scenario needs it", line)
    what = detail["msg"].removeprefix("Value error, ")
    return ScenarioError(source, f"{named}: {what}" if named else what, "", line)


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
    return [field.name for field in fields(table)]


def _table_in(annotation: Any) -> Any:
    """The dataclass inside `Table`, `tuple[Table, ...]` or `Annotated[tuple[Table, ...], ...]`."""
    if is_dataclass(annotation):
        return annotation
    return next((found for part in get_args(annotation) if (found := _table_in(part)) is not None), None)


def _line_of(places: Mapping[KeyPath, Position], path: KeyPath) -> int | None:
    """The line of a key, or of the nearest table around it that the text has."""
    for depth in range(len(path), 0, -1):
        if path[:depth] in places:
            return places[path[:depth]].line
    return None


def plain_settings(scenario: Scenario) -> Mapping[str, Any]:
    """The scenario as JSON can hold it, defaults included."""
    plain: dict[str, Any] = _ADAPTER.dump_python(scenario, mode="json")
    return plain
