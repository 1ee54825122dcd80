"""`slacktide backup` and `slacktide restore`: the daemon's state in a folder, taken while it runs, and back again.

The order makes the copy whole: files first, then the database as of one instant, then the files anew that came or grew
since. So whatever the database of the copy names is there, and what is there beyond that the next start removes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slacktide.terminal import OwnFailure, UsageProblem, reason_of, say

if TYPE_CHECKING:
    from scheduler.config import Settings

MANIFEST = "backup.json"
DATABASE = "queue.db"
# What belongs to a life of the daemon and not to its state: locks, the reserve of disk, runs under way.
_LEFT_OUT = frozenset({"lock", "ballast", "ballast.new", f"{DATABASE}.lock", "settings-in-force.toml"})
_LIVE_RUNS = Path("runs", "runs")

CONFIG_OPTION = typer.Option("--config", "-c", help="Settings of the daemon whose state it is.")


def backup(
    to: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write the copy; must not be there yet.")],
    config: Annotated[Path, CONFIG_OPTION] = Path("slacktide.toml"),
    without_database: Annotated[
        bool, typer.Option("--without-database", help="Files only: the queue is in PostgreSQL, and pg_dump copies it.")
    ] = False,
) -> None:
    """Copy the daemon's queue, ledger, files and journal while it runs.

    Example: slacktide backup -c slacktide.toml /backups/2026-11-22

    Everything acknowledged before it began is in it. Runs under way are not: after a restore they begin again, from
    their checkpoint where they have one. The folder appears whole or not at all.
    """
    from importlib.metadata import version

    settings, state = _state_of(config)
    database = _database_of(settings, state, without_database)
    if to.exists():
        raise UsageProblem(f"{to} is there already", "name a folder that is not")
    unfinished = to.with_name(f".{to.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        _copy_new(state, unfinished)
        if database is not None:
            _copy_queue(database, unfinished / DATABASE)
        _copy_new(state, unfinished)
        files = sum(1 for _ in _files(unfinished))
        manifest = {
            "version": version("slacktide"),
            "made_at": _now(),
            "has_database": database is not None,
            "files": files,
        }
        (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        _flush(unfinished)
        unfinished.rename(to)
        _sync(to.absolute().parent)
    except OSError as error:
        raise OwnFailure(f"the copy could not be made: {_said(error)}", "mend that, then run it again") from None
    say(f"wrote {files} files into {to}")


def restore(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `slacktide backup` wrote.")],
    config: Annotated[Path, CONFIG_OPTION] = Path("slacktide.toml"),
) -> None:
    """Put a copy of the daemon's state back, into a state folder that is empty or not there.

    Example: slacktide restore -c slacktide.toml /backups/2026-11-22

    Then start the daemon. The copy may come from an older version: its database is brought up to date at the start.
    """
    from scheduler.store.copying import UnsoundDatabaseError, check_database

    manifest = _manifest(source)
    settings, state = _state_of(config, must_exist=False)
    if manifest["has_database"] and settings.server.database_url:
        raise UsageProblem(
            "the copy has a database of its own, and the settings name another",
            "take server.database_url out, or move the queue there first",
        )
    if state.exists() and any(state.iterdir()):
        raise UsageProblem(f"{state} is not empty", "stop the daemon and move that folder away, then run it again")
    try:
        if manifest["has_database"]:
            check_database(source / DATABASE)
        unfinished = state.with_name(f".{state.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(source, unfinished, ignore=shutil.ignore_patterns(MANIFEST))
        unfinished.chmod(0o700)
        _flush(unfinished)
        if state.exists():
            state.rmdir()
        unfinished.rename(state)
        _sync(state.absolute().parent)
    except UnsoundDatabaseError as error:
        raise OwnFailure(str(error), "use another copy") from None
    except OSError as error:
        raise OwnFailure(f"the copy could not be put back: {_said(error)}", "mend that, then run it again") from None
    say(f"put {manifest['files']} files of {manifest['made_at']} into {state}; start the daemon")


# -- settings ---------------------------------------------------------------------------------------------------------


def _state_of(config: Path, *, must_exist: bool = True) -> tuple[Settings, Path]:
    from scheduler.config_text import SettingsError, read_settings
    from slacktide.config import read_text

    try:
        settings = read_settings(read_text(config), str(config), os.environ).settings
    except SettingsError as error:
        raise UsageProblem(f"the settings cannot be used:\n{error}", f"slacktide config check -c {config}") from None
    state = Path(settings.server.state_dir).expanduser()
    if must_exist and not state.is_dir():
        raise UsageProblem(f"there is no state folder {state}", "server.state_dir or -c may be another's")
    return settings, state


def _database_of(settings: Settings, state: Path, without_database: bool) -> Path | None:
    """The file to copy; None where the queue is copied by other means."""
    url = settings.server.database_url
    path = Path(url.removeprefix("sqlite:///")) if url else state / DATABASE
    if url and not url.startswith("sqlite:///"):
        if not without_database:
            hint = "first this with --without-database, then pg_dump: what the dump names is then in the copy"
            raise UsageProblem("the queue is on a server of its own, which this command does not copy", hint)
        return None
    if without_database:
        raise UsageProblem("--without-database is for a queue in PostgreSQL", "leave it out")
    if not path.is_file():
        raise UsageProblem(f"there is no database {path}", "has the daemon ever run with these settings?")
    return path


def _manifest(source: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        return {name: manifest[name] for name in ("version", "made_at", "has_database", "files")}
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageProblem(f"{source} is nothing that `slacktide backup` wrote", f"it would hold {MANIFEST}") from None


# -- files ------------------------------------------------------------------------------------------------------------


def _copy_queue(database: Path, target: Path) -> None:
    import sqlite3

    from scheduler.store.copying import UnsoundDatabaseError, copy_database

    try:
        copy_database(database, target)
    except (UnsoundDatabaseError, sqlite3.Error) as error:
        raise OwnFailure(f"the database could not be copied: {error}", "slacktide doctor looks for the cause") from None


def _copy_new(state: Path, target: Path) -> None:
    """Copy every file that is not in the copy yet, or has grown or changed since."""
    for path in _files(state):
        inside = path.relative_to(state)
        if _stays(inside):
            continue
        copy = target / inside
        try:
            if not copy.exists() or _stamp(copy) != _stamp(path):
                copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.copy2(path, copy)
        except FileNotFoundError:  # its time was over while we copied
            continue


def _stays(inside: Path) -> bool:
    is_queue = inside.name.startswith(DATABASE) and len(inside.parts) == 1
    return is_queue or inside.name in _LEFT_OUT or inside.is_relative_to(_LIVE_RUNS)


def _files(folder: Path) -> Iterator[Path]:
    for at, _, names in os.walk(folder):
        yield from (path for name in names if not (path := Path(at, name)).is_symlink() and path.is_file())


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _flush(folder: Path) -> None:
    """On disk, names and contents: a copy is for the day on which the power fails."""
    for at, _, names in os.walk(folder):
        for name in names:
            _sync(Path(at, name))
        _sync(Path(at))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: TID251  when somebody at a terminal copied it


def _said(error: OSError) -> str:
    return f"{error.filename}: {reason_of(error)}" if error.filename else reason_of(error)
