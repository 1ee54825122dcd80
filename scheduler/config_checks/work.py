"""Templates, launches and fine-tunings: that they can be filled, scheduled and run somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.cron import CronTrigger

from scheduler.config import Settings
from scheduler.config_checks.finding import Finding, nearest, repeated, unknown_region
from scheduler.fine_tuning import OWN_PLACEHOLDERS
from scheduler.launch_settings import FineTuningSettings, LaunchSettings
from scheduler.region_settings import RegionSettings
from scheduler.templates import placeholders
from scheduler.toml_positions import KeyPath
from scheduler.work_settings import most_power_w, shape_mistakes

_NUMBER_OF_A_DAY = re.compile(r"(?<!/)\b[0-7]\b")
_LIKE_A_PLACEHOLDER = re.compile(r"\{[^{}\"':]*\}")
_PLACEHOLDER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")


def template_findings(settings: Settings) -> Iterator[Finding]:
    for index, template in enumerate(settings.template):
        for place, argument in enumerate(template.command):
            for found in _LIKE_A_PLACEHOLDER.findall(argument):
                if not _PLACEHOLDER.fullmatch(found):
                    yield Finding(
                        path=("template", index, "command", place),
                        what=f"{found} is no placeholder",
                        hint="between the braces: letters, digits and _, no digit first, such as {dataset}",
                    )


def launch_findings(settings: Settings) -> Iterator[Finding]:
    regions = {region.name: region for region in settings.region}
    for index, launch in enumerate(settings.launch):
        path: KeyPath = ("launch", index)
        yield from _schedule(path, launch)
        yield from _shape(path, launch)
        yield from _end(path, launch)
        for place, name in enumerate(launch.regions):
            if name not in regions:
                yield unknown_region((*path, "regions", place), name, list(regions))
        yield from _room(path, launch, [regions[name] for name in launch.regions or regions if name in regions])


def fine_tuning_findings(settings: Settings) -> Iterator[Finding]:
    regions = {region.name: region for region in settings.region}
    commands = {template.name: template.command for template in settings.template}
    yield from repeated("fine_tuning", "model", [one.model for one in settings.fine_tuning])
    for index, one in enumerate(settings.fine_tuning):
        path: KeyPath = ("fine_tuning", index)
        if one.template not in commands:
            hint = nearest(one.template, commands) or "add one with name and command"
            yield Finding(path=(*path, "template"), what=f"no [[template]] is called {one.template!r}", hint=hint)
        else:
            yield from _placeholders(path, one, placeholders(commands[one.template]))
        yield from _shape(path, one)
        if one.within_s < one.duration_s:
            yield Finding(path=(*path, "within_s"), what="is shorter than duration_s: no run can be in time")
        for place, name in enumerate(one.regions):
            if name not in regions:
                yield unknown_region((*path, "regions", place), name, list(regions))
        yield from _room(path, one, [regions[name] for name in one.regions or regions if name in regions])


def _shape(path: KeyPath, work: LaunchSettings | FineTuningSettings) -> Iterator[Finding]:
    for key, what, hint in shape_mistakes(work):
        yield Finding(path=(*path, key), what=what, hint=hint)


def _placeholders(path: KeyPath, one: FineTuningSettings, wanted: frozenset[str]) -> Iterator[Finding]:
    """Something fills each placeholder, and each number that a client may set reaches the trainer."""
    for name in sorted(wanted - {*OWN_PLACEHOLDERS, *one.hyperparameters}):
        yield Finding(
            path=(*path, "template"),
            what=f"nothing fills {{{name}}} of the template {one.template!r}",
            hint=f"add [fine_tuning.hyperparameters.{name}]; filled by themselves: {', '.join(OWN_PLACEHOLDERS)}",
        )
    for name in sorted(one.hyperparameters.keys() - wanted):
        yield Finding(
            path=(*path, "hyperparameters", name),
            what=f"the template {one.template!r} has no {{{name}}}: the trainer would never hear of it",
        )
    for name, limits in one.hyperparameters.items():
        if not limits.low <= limits.default <= limits.high:
            yield Finding(path=(*path, "hyperparameters", name, "default"), what="lies outside low and high")


def _schedule(path: KeyPath, launch: LaunchSettings) -> Iterator[Finding]:
    try:
        zone = ZoneInfo(launch.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield Finding(
            path=(*path, "timezone"), what=f"no time zone {launch.timezone!r}", hint="IANA names, such as Europe/Berlin"
        )
        zone = ZoneInfo("UTC")
    # Sunday in cron, Monday in APScheduler: a number would be a guess about what was meant.
    if _NUMBER_OF_A_DAY.search(launch.cron.split()[-1] if launch.cron.split() else ""):
        yield Finding(
            path=(*path, "cron"),
            what=f"{launch.cron!r}: numbers of weekdays mean different days to different programs",
            hint="write mon, tue, wed, thu, fri, sat or sun",
        )
    try:
        CronTrigger.from_crontab(launch.cron, timezone=zone)
    except ValueError as problem:
        yield Finding(
            path=(*path, "cron"),
            what=f"{launch.cron!r} is no cron expression: {problem}",
            hint="minute hour day month weekday, such as '0 22 * * mon-fri'",
        )


def _end(path: KeyPath, launch: LaunchSettings) -> Iterator[Finding]:
    if (launch.within_s is None) == (not launch.finish_by):
        yield Finding(path=path, what="needs exactly one of within_s and finish_by")
    elif launch.within_s is not None and launch.within_s < launch.duration_s:
        yield Finding(path=(*path, "within_s"), what="is shorter than duration_s: no run can be in time")
    hour, _, minute = launch.finish_by.partition(":")
    if hour > "23" or minute > "59":
        yield Finding(path=(*path, "finish_by"), what=f"{launch.finish_by!r} is no time of day", hint="00:00 to 23:59")


def _room(
    path: KeyPath, launch: LaunchSettings | FineTuningSettings, allowed: list[RegionSettings]
) -> Iterator[Finding]:
    most = max((region.gpus for region in allowed), default=0)
    if not allowed and not launch.regions:
        yield Finding(path=path, what="no [[region]] to run in", hint="add one with name and zone")
    elif allowed and launch.gpus > most:
        yield Finding(
            path=(*path, "gpus"),
            what=f"wants {launch.gpus} GPUs, and no region that it may run in has more than {most}",
        )
    elif allowed and not any(_has_power(region, most_power_w(launch)) for region in allowed):
        yield Finding(
            path=(*path, "power_profile" if launch.power_profile else "power_w"),
            what=f"draws {most_power_w(launch):g} W, with PUE above the power cap of every region that it may run in",
            hint="raise power_cap_kw, or name another region",
        )


def _has_power(region: RegionSettings, power_w: float) -> bool:
    return region.power_cap_kw is None or power_w * region.pue <= 1000.0 * region.power_cap_kw
