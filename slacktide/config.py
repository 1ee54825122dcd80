"""`slacktide config`: write, check and show the settings of the daemon."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slacktide.terminal import JSON_OPTION, UsageProblem, print_json, say

if TYPE_CHECKING:
    from scheduler.config_text import Problem, SettingsText
    from scheduler.toml_positions import KeyPath

DEFAULT_FILE = Path("slacktide.toml")

config_app = typer.Typer(no_args_is_help=True, help="Write, check and show the settings of the daemon.")

FileOption = Annotated[Path, typer.Option("--config", "-c", help="File with the settings.", show_default=True)]
JsonOption = Annotated[bool, JSON_OPTION]


@config_app.command("check", short_help="Say everything that is wrong with a file.")
def check(file: FileOption = DEFAULT_FILE, as_json: JsonOption = False) -> None:
    """Say everything that is wrong with a file, each with line, column and remedy.

    Also what of it a daemon on this machine takes up by a restart only, where one has run with its state folder.

    Example: slacktide config check -c slacktide.toml
    """
    errors, warnings = examined(file)
    fixed = None if errors else _fixed(file)
    if as_json:
        rows = {"errors": as_rows(errors), "warnings": as_rows(warnings)}
        restart = None if fixed is None else [{"key": key, "why": why} for key, why in fixed]
        print_json({"file": str(file), **rows, "needs_restart": restart})
    else:
        for problem in errors:
            print(problem)
        for warning in warnings:
            print(f"{warning.where}: warning: {warning.what}" + (f" ({warning.hint})" if warning.hint else ""))
        if not errors:
            print(f"{file}: sound" + (f", {len(warnings)} to look at" if warnings else ""))
        _say_restart(fixed or [])
    if errors:
        raise typer.Exit(2)


@config_app.command("init", short_help="Write a commented example.")
def init(
    file: Annotated[Path | None, typer.Argument(help="File to write; without one the text goes to stdout.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write a commented example that works as it stands, to be edited.

    Example: slacktide config init slacktide.toml
    """
    text = example_text()
    if file is None:
        print(text, end="")
        return
    try:
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageProblem(f"{file} exists already", "name another file, or add --force to replace it") from None
    except OSError as error:
        raise UsageProblem(f"cannot write {file}: {error.strerror}", "name a file in a folder that exists") from None
    say(f"wrote {file}; next: slacktide config check -c {file}")


@config_app.command("show", short_help="Show the settings in force.")
def show(file: FileOption = DEFAULT_FILE, as_json: JsonOption = False) -> None:
    """Show the settings in force, defaults included, and where each comes from.

    Example: SLACKTIDE_SERVER__PORT=9000 slacktide config show -c slacktide.toml
    """
    rows = [(spelled(path), value, origin) for path, value, origin in in_force(load(file))]
    if as_json:
        print_json([{"key": key, "value": value, "origin": origin} for key, value, origin in rows])
        return
    width = max(len(f"{key} = {value!r}") for key, value, _ in rows)
    for key, value, origin in rows:
        print(f"{f'{key} = {value!r}':<{min(width, 72)}}  # {origin}")


def examined(file: Path) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Errors and warnings of a file with the environment over it."""
    from scheduler.config_text import SettingsError, read_settings

    try:
        return (), read_settings(read_text(file), str(file), os.environ).warnings
    except SettingsError as error:
        return error.problems, ()


def _fixed(file: Path) -> list[tuple[str, str]] | None:
    from slacktide.settings_kept import taking_a_restart

    return taking_a_restart(load(file).settings)


def _say_restart(fixed: Sequence[tuple[str, str]]) -> None:
    from slacktide.settings_kept import RESTART

    for key, why in fixed:
        print(f"takes a restart: {key} ({why})")
    if fixed:
        print(f"SIGHUP would refuse the whole file: {RESTART}")


def as_rows(problems: tuple[Problem, ...]) -> list[dict[str, str]]:
    return [{"where": one.where, "what": one.what, "hint": one.hint} for one in problems]


def load(file: Path) -> SettingsText:
    """The settings of a file and the environment. Raises UsageProblem with everything that is wrong."""
    from scheduler.config_text import SettingsError, read_settings

    try:
        return read_settings(read_text(file), str(file), os.environ)
    except SettingsError as error:
        raise UsageProblem(f"{file} cannot be used:\n{error}") from None


def read_text(file: Path) -> str:
    """The text of a settings file. Raises UsageProblem."""
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UsageProblem(f"{file} is no UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    except OSError as error:
        hint = "slacktide config init slacktide.toml writes an example; -c names another file"
        raise UsageProblem(f"cannot read {file}: {error.strerror}", hint) from None


def example_text() -> str:
    from importlib.resources import files

    return (files("slacktide") / "example.toml").read_text("utf-8")


def in_force(read: SettingsText) -> list[tuple[KeyPath, Any, str]]:
    """Every value with its path and origin; what may be secret is not shown."""
    from dataclasses import asdict

    return [
        (path, concealed(path, value), read.origins.get(path, "default"))
        for path, value in leaves((), asdict(read.settings))
    ]


def leaves(path: KeyPath, value: Any) -> list[tuple[KeyPath, Any]]:
    """The single values of nested tables; a list of plain values is one."""
    if isinstance(value, dict) and value:
        return [leaf for key, inner in value.items() for leaf in leaves((*path, key.rstrip("_")), inner)]
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return [leaf for index, inner in enumerate(value) for leaf in leaves((*path, index), inner)]
    return [(path, list(value) if isinstance(value, tuple) else value)]


def concealed(path: KeyPath, value: Any) -> Any:
    """Environment of commands, key hashes and passwords inside addresses stay where they are."""
    import re

    if path[-2:-1] == ("env",) or (path[-1] == "keys_sha256" and value):
        return "(hidden)"
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:(hidden)@", value) if isinstance(value, str) else value


def spelled(path: KeyPath) -> str:
    """`launch[0].cron`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
