"""`slacktide doctor`: what on this machine keeps the daemon from running well, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slacktide.terminal import JSON_OPTION, UsageProblem, print_json

if TYPE_CHECKING:
    from scheduler.config import Settings
    from scheduler.region_settings import FeedSettings

OWN_PACKAGES = ("scheduler", "shaping", "intensity_feeds", "simulations", "slacktide")
NEEDED_FREE_BYTES = 2 * 1024**3
# Several checkpointers could reset a WAL that a reader still needed; fixed in 3.51.3.
WAL_RESET_FIXED_IN = (3, 51, 3)
PROBE_TIMEOUT_S = 10.0
CLOCK_OFF_BY_S = 5.0


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"  # nothing to do, good to know
    WARNING = "warning"  # it runs, with less than it could have
    PROBLEM = "problem"  # it will not run


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One thing looked at. `fix` says what to do where something is to be done."""

    subject: str
    verdict: Verdict
    what: str
    fix: str = ""


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Settings to look at; without it, ./slacktide.toml if there.")
    ] = None,
    online: Annotated[bool, typer.Option("--online", help="Also ask each feed and agent of the settings.")] = False,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Look at this machine and say what is wrong, each with its fix. Exit code 1 when the daemon would not run.

    A daemon that runs by these settings is asked what it complains of; with a key in SLACKTIDE_KEY where it has keys.

    Example: slacktide doctor --online -c slacktide.toml
    """
    found = list(diagnose(config, online=online))
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            print(f"{one.verdict.value:<8} {one.subject:<16} {one.what}")
            if one.fix:
                print(f"{'':<8} {'':<16} fix: {one.fix}")
    if any(one.verdict is Verdict.PROBLEM for one in found):
        raise typer.Exit(1)


def diagnose(config: Path | None, *, online: bool) -> Iterator[Diagnosis]:
    """All diagnoses, from the ground up."""
    import os
    import sqlite3
    import sys

    from slacktide.doctor_daemon import daemon
    from slacktide.doctor_meters import meters

    settings, about_settings = _settings(config)
    state_dir = Path(settings.server.state_dir).expanduser()
    yield python_version(sys.version_info[:3])
    yield packages(_origins(), Path(__file__).resolve().parents[1])
    yield nvml_distribution(_installed())
    yield sqlite_version(sqlite3.sqlite_version_info)
    yield about_settings
    yield from restart(settings)
    yield state_folder(state_dir)
    yield disk_space(_free_bytes(state_dir))
    yield time_zones()
    yield nvml()
    yield from meters(settings)
    if about_settings.verdict in (Verdict.OK, Verdict.WARNING):  # a file says where it would be
        yield from daemon(settings, os.environ)
    if online:
        from slacktide.doctor_agents import agents

        for feed in settings.feed:
            yield from _answering(feed)
        yield from agents(settings, os.environ)


def python_version(version: tuple[int, int, int]) -> Diagnosis:
    shown = ".".join(map(str, version))
    if version < (3, 11):
        return _problem("python", f"{shown} is too old", "install Python 3.11 or newer, and Slacktide into it")
    return _ok("python", shown)


def packages(origins: Mapping[str, Path | None], expected: Path) -> Diagnosis:
    """Our packages have plain names; another distribution, or a file in the working directory, may take them.

    `origins` says where each name is found, `expected` where all of them belong: beside the running command line.
    """
    wrong = {name: origin for name, origin in origins.items() if origin is None or origin.resolve() != expected / name}
    if not wrong:
        return _ok("packages", f"all found in {expected}")
    found = "; ".join(f"import {name} finds {origin or 'nothing'}" for name, origin in wrong.items())
    fix = "install Slacktide into an environment of its own: pipx install slacktide, or uv tool install slacktide"
    return _problem("packages", f"{found}; expected them in {expected}", fix)


def nvml_distribution(installed: frozenset[str]) -> Diagnosis:
    """The distribution called pynvml brings a module of the same name as nvidia-ml-py, years older."""
    if "pynvml" in installed:
        fix = "pip uninstall pynvml && pip install --force-reinstall nvidia-ml-py"
        return Diagnosis(
            subject="pynvml", verdict=Verdict.WARNING, what="the deprecated pynvml shadows nvidia-ml-py", fix=fix
        )
    return _ok("pynvml", "only nvidia-ml-py provides it")


def sqlite_version(version: tuple[int, ...]) -> Diagnosis:
    shown = ".".join(map(str, version))
    if version >= WAL_RESET_FIXED_IN:
        return _ok("sqlite", shown)
    what = f"{shown} may corrupt a WAL that several connections checkpoint (3.7.0 to 3.51.2); the daemon uses one"
    fix = "none needed; keep other programs from writing to the queue's file"
    return Diagnosis(subject="sqlite", verdict=Verdict.NOTE, what=what, fix=fix)


def restart(settings: Settings) -> Iterator[Diagnosis]:
    """What the file has and a daemon that has run with its state folder does not: SIGHUP would refuse it."""
    from slacktide.settings_kept import RESTART, taking_a_restart

    if keys := [key for key, _ in taking_a_restart(settings) or ()]:
        what = f"not in force before a restart: {', '.join(keys)}"
        yield Diagnosis(subject="settings", verdict=Verdict.WARNING, what=what, fix=RESTART)


def state_folder(folder: Path) -> Diagnosis:
    """Whether the daemon can create and write its folder, found out without leaving anything there."""
    import os

    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    if not nearest.is_dir():
        return _problem("state folder", f"{nearest} is no folder", "set state_dir in [server] to another path")
    if not os.access(nearest, os.W_OK | os.X_OK):
        return _problem(
            "state folder", f"{nearest} cannot be written", f"chown it, or set state_dir in [server]: {folder}"
        )
    return _ok("state folder", f"{folder}" if folder.exists() else f"{folder} (will be created)")


def disk_space(free_bytes: int) -> Diagnosis:
    shown = f"{free_bytes / 1024**3:.1f} GiB free"
    if free_bytes < NEEDED_FREE_BYTES:
        fix = "free some space, or set state_dir in [server] to another disk"
        return Diagnosis(subject="disk", verdict=Verdict.WARNING, what=shown, fix=fix)
    return _ok("disk", shown)


def time_zones() -> Diagnosis:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        return _problem("time zones", "no time zone data", "pip install tzdata, or apt-get install tzdata")
    return _ok("time zones", "known")


def nvml() -> Diagnosis:
    """Where NVML answers, what workers with `devices` draw is booked and logged; energy is modelled elsewhere."""
    import pynvml

    from scheduler.daemon.nvml import begun, shut_down

    try:
        with begun(pynvml):
            count = pynvml.nvmlDeviceGetCount()
        shut_down(pynvml)
    except pynvml.NVMLError as error:
        fix = "none needed without an NVIDIA GPU here; with one, install its driver"
        return Diagnosis(subject="gpus", verdict=Verdict.NOTE, what=f"NVML: {error}; energy is modelled", fix=fix)
    return _ok("gpus", f"{count} seen by NVML; what workers with `devices` draw is booked and logged")


def clock(offset_s: float) -> Diagnosis:
    """`offset_s` is our clock minus the clock of a service."""
    if abs(offset_s) > CLOCK_OFF_BY_S:
        fix = "run a time service, such as chrony or systemd-timesyncd"
        return Diagnosis(subject="clock", verdict=Verdict.WARNING, what=f"off by {offset_s:.0f} s", fix=fix)
    return _ok("clock", "agrees with the feed's")


def _answering(feed: FeedSettings) -> Iterator[Diagnosis]:
    """Whether the service of a feed answers at all, and whether its clock agrees with ours. Sends no credentials."""
    import requests

    from scheduler.region_settings import FeedKind

    subject = feed.kind.value
    if feed.kind is FeedKind.TRACE:
        yield _trace_file(subject, Path(feed.file))
    if not (address := feed.base_url or _own_address(feed)):
        return
    try:
        response = requests.head(address, timeout=PROBE_TIMEOUT_S, allow_redirects=False)
    except requests.RequestException as error:
        what = f"{address} does not answer: {type(error).__name__}"
        fix = "check the network and base_url; meanwhile the cache and yearly averages stand in"
        yield Diagnosis(subject=subject, verdict=Verdict.WARNING, what=what, fix=fix)
        return
    yield _ok(subject, f"{address} answers")
    if date := response.headers.get("Date"):
        yield _clock_beside(date)


def _own_address(feed: FeedSettings) -> str:
    from intensity_feeds import electricity_maps, uk_carbon, watttime
    from scheduler.region_settings import FeedKind

    services = {
        FeedKind.ELECTRICITY_MAPS: electricity_maps.HOST,
        FeedKind.UK_CARBON: uk_carbon.HOST,
        FeedKind.WATTTIME: watttime.HOST,
    }
    return services.get(feed.kind, "")


def _trace_file(subject: str, file: Path) -> Diagnosis:
    if file.is_file():
        return _ok(subject, f"{file} is there")
    return _problem(subject, f"{file} is no file", "set file of the [[feed]] to an existing trace")


def _clock_beside(date: str) -> Diagnosis:
    import time
    from email.utils import parsedate_to_datetime

    now_s = time.time()  # noqa: TID251  the clock itself is examined
    try:
        return clock(now_s - parsedate_to_datetime(date).timestamp())
    except ValueError:
        return Diagnosis(subject="clock", verdict=Verdict.NOTE, what=f"the feed's own is unreadable: {date!r}")


def _settings(config: Path | None) -> tuple[Settings, Diagnosis]:
    from scheduler.config import Settings
    from slacktide.config import DEFAULT_FILE, load

    file = config or DEFAULT_FILE
    if config is None and not file.exists():
        return Settings(), Diagnosis(subject="settings", verdict=Verdict.NOTE, what="no slacktide.toml here: defaults")
    try:
        read = load(file)
    except UsageProblem as problem:
        return Settings(), _problem("settings", problem.what, problem.hint or f"slacktide config check -c {file}")
    if read.warnings:
        fix = f"slacktide config check -c {file}"
        what = f"{file}: {len(read.warnings)} to look at"
        return read.settings, Diagnosis(subject="settings", verdict=Verdict.WARNING, what=what, fix=fix)
    return read.settings, _ok("settings", f"{file} is sound")


def _origins() -> dict[str, Path | None]:
    from importlib.util import find_spec

    specs = {name: find_spec(name) for name in OWN_PACKAGES}
    return {name: Path(spec.origin).parent if spec and spec.origin else None for name, spec in specs.items()}


def _installed() -> frozenset[str]:
    from importlib.metadata import distributions

    return frozenset((found.metadata["Name"] or "").lower() for found in distributions())


def _free_bytes(folder: Path) -> int:
    from shutil import disk_usage

    return disk_usage(next(one for one in (folder, *folder.parents) if one.exists())).free


def _ok(subject: str, what: str) -> Diagnosis:
    return Diagnosis(subject=subject, verdict=Verdict.OK, what=what)


def _problem(subject: str, what: str, fix: str) -> Diagnosis:
    return Diagnosis(subject=subject, verdict=Verdict.PROBLEM, what=what, fix=fix)
