"""Settings from the text of slacktide.toml and the environment, or all that is wrong with them, each with its place.

The text and the environment come as arguments: this module opens nothing.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from pydantic import ValidationError

from scheduler.config import Settings, validate
from scheduler.config_checks import findings
from scheduler.config_checks.finding import Finding, nearest
from scheduler.toml_positions import KeyPath, Position, positions

ENVIRONMENT_PREFIX = "SLACKTIDE_"
# Tables of single values; what comes in lists is set in the file.
OVERRIDABLE = ("server", "shaping", "batches", "planning", "objective", "price", "telemetry", "tracing")
_PLACE_IN_TOML_ERROR = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong. `where` is `file:line:column`, or the name of an environment variable."""

    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.hint})" if self.hint else "")


class SettingsError(Exception):
    """Settings that cannot be used; `problems` are all of them, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsText:
    """Settings with what they were read from: `origins` tells which values were given, and where."""

    settings: Settings
    origins: Mapping[KeyPath, str]
    warnings: tuple[Problem, ...]


def parse_settings(text: str, file_name: str, environment: Mapping[str, str]) -> Settings:
    """The settings that the daemon runs on. Raises SettingsError with every problem at once."""
    return read_settings(text, file_name, environment).settings


def read_settings(text: str, file_name: str, environment: Mapping[str, str]) -> SettingsText:
    """The settings with their origins and warnings. Raises SettingsError with every problem at once."""
    tables, places = _parsed(text, file_name)
    source = _Source(file_name=file_name, places=places, overrides=_overrides(environment))
    for path, name in source.overrides.items():
        _set(tables, path, environment[name])
    try:
        settings = validate(tables)
    except ValidationError as error:
        found = [_finding(one, tables) for one in error.errors(include_url=False)]
        raise SettingsError(source.problems(found)) from None
    found = [*findings(settings), *_unset_credentials(settings, environment)]
    if errors := [one for one in found if not one.is_warning]:
        raise SettingsError(source.problems(errors))
    return SettingsText(settings=settings, origins=source.origins(), warnings=source.problems(found))


def _parsed(text: str, file_name: str) -> tuple[dict[str, Any], dict[KeyPath, Position]]:
    try:
        return tomllib.loads(text), positions(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE_IN_TOML_ERROR.search(str(error))
        line, column = (place[1], place[2]) if place and place[1] else (str(text.count("\n") + 1), "1")
        what = f"is no TOML: {_PLACE_IN_TOML_ERROR.sub('', str(error))}"
        raise SettingsError((Problem(where=f"{file_name}:{line}:{column}", what=what),)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where each value came from."""

    file_name: str
    places: Mapping[KeyPath, Position]
    overrides: Mapping[KeyPath, str]

    def problems(self, found: list[Finding]) -> tuple[Problem, ...]:
        """Findings with their place, in the order of the file; those of the environment come last."""
        ordered = sorted(found, key=lambda one: (one.path in self.overrides, self._position(one.path)))
        return tuple(Problem(where=self._where(one.path), what=one.what, hint=one.hint) for one in ordered)

    def origins(self) -> dict[KeyPath, str]:
        return {path: self._where(path) for path in [*self.places, *self.overrides]}

    def _where(self, path: KeyPath) -> str:
        if path in self.overrides:
            return self.overrides[path]
        position = self._position(path)
        return f"{self.file_name}:{position.line}:{position.column}"

    def _position(self, path: KeyPath) -> Position:
        """Its own place, or that of the nearest table around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Position(1, 1))


def _overrides(environment: Mapping[str, str]) -> dict[KeyPath, str]:
    """SLACKTIDE_SERVER__PORT sets port in [server]. Two underscores, so that other variables of ours stay free."""
    found: dict[KeyPath, str] = {}
    for name in sorted(environment):
        table, separator, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if name.startswith(ENVIRONMENT_PREFIX) and separator:
            found[(table, key)] = name
    unknown = [Problem(where=name, what="sets nothing", hint=_known(path)) for path, name in found.items()]
    if problems := tuple(one for one, path in zip(unknown, found, strict=True) if not _is_overridable(path)):
        raise SettingsError(problems)
    return found


def _is_overridable(path: KeyPath) -> bool:
    return path[0] in OVERRIDABLE and path[1] in keys_of((path[0],))


def _known(path: KeyPath) -> str:
    names = [f"{table}__{key}".upper() for table in OVERRIDABLE for key in keys_of((table,))]
    near = nearest("__".join(map(str, path)).upper(), names)
    return near.replace("'", f"'{ENVIRONMENT_PREFIX}", 1) or "tables in lists are set in the file"


def _set(tables: dict[str, Any], path: KeyPath, text: str) -> None:
    table = tables.setdefault(str(path[0]), {})
    if isinstance(table, dict):  # otherwise the model says what is wrong with the table
        is_list = _hint_of(path).startswith("tuple")
        table[str(path[1])] = [part.strip() for part in text.split(",") if part.strip()] if is_list else text


def _hint_of(path: KeyPath) -> str:
    return str(get_type_hints(_class_at(path[:-1])).get(str(path[-1]), ""))


@functools.cache
def _class_at(path: KeyPath) -> type[Any]:
    """The class of the table at `path`; indexes into lists are passed over."""
    found: type[Any] = Settings
    for part in (one for one in path if isinstance(one, str)):
        hint = get_type_hints(found).get(part)
        inner = next((one for one in (hint, *getattr(hint, "__args__", ())) if is_dataclass(one)), None)
        if not isinstance(inner, type):
            break
        found = inner
    return found


def keys_of(path: KeyPath) -> tuple[str, ...]:
    """Names of the settings in the table at `path`; a name that Python keeps for itself ends in _ in the code."""
    return tuple(field.name.rstrip("_") for field in fields(_class_at(path)))


def _finding(error: Mapping[str, Any], tables: Mapping[str, Any]) -> Finding:
    """What pydantic says, in the words of someone who edits the file."""
    path: KeyPath = error["loc"]
    key = str(path[-1])
    match error["type"]:
        case "unexpected_keyword_argument":
            hint = nearest(key, keys_of(path[:-1])) or f"known: {', '.join(keys_of(path[:-1]))}"
            return Finding(path=path, what=f"unknown key {key!r} in {_table(path[:-1])}", hint=hint)
        case "missing" | "missing_argument":
            return Finding(path=path[:-1], what=f"{_table(path[:-1])} needs {key}")
        case "dataclass_type" | "dataclass_exact_type":
            return Finding(path=path, what=f"{key} must be a table", hint=f"write {_table(path)} and its keys below")
        case "tuple_type" if not path[1:]:
            return Finding(path=path, what=f"{key} is a list of tables", hint=f"write [[{key}]] for each")
        case "value_error":
            return Finding(path=path, what=f"{_spelled(path)}: {error['ctx']['error']}")
        case "string_pattern_mismatch":
            pattern = error["ctx"]["pattern"]
            return Finding(path=path, what=f"{_spelled(path)}: {error['input']!r} does not match {pattern}")
        case _:
            said = error["msg"].lower().replace("input should", "should").replace("valid tuple", "list")
            said = said.replace("tuple", "the list").replace(" after validation", "")
            return Finding(path=path, what=f"{_spelled(path)}: {said}, got {error['input']!r}")


def _spelled(path: KeyPath) -> str:
    names = [one for one in path if isinstance(one, str)]
    return ".".join(names[1:] or names)


def _table(path: KeyPath) -> str:
    names = ".".join(one for one in path if isinstance(one, str))
    if not names:
        return "the file"
    return f"[[{names}]]" if isinstance(path[-1], int) else f"[{names}]"


def _unset_credentials(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    named = [
        ("feed", index, key, getattr(feed, key), "this feed will be refused")
        for index, feed in enumerate(settings.feed)
        for key in ("token_env", "user_env", "password_env")
    ]
    named += [
        ("agent", index, "token_env", agent.token_env, "this agent is not asked, and energy is modelled")
        for index, agent in enumerate(settings.agent)
    ]
    return [
        Finding(path=(table, index, key), what=f"the environment variable {name} is not set; {so}", is_warning=True)
        for table, index, key, name, so in named
        if name and not environment.get(name)
    ]
