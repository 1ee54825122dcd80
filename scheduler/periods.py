"""When a recurring launch is due, and the job that one period of it becomes. Pure: cron arithmetic and no timer.

A period is named by the local date and time of its tick. So 02:30 on the night the clocks go back is one period, though
it comes twice; and 02:30 on the night they go forward, which never comes, is launched once at the instant that stands
in for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from scheduler.jobs import Interruption, Job, JobKind
from scheduler.launch_settings import LaunchSettings
from scheduler.work_settings import phases_of, power_of_w, speeds_of

# Longer than clocks are ever moved. Asked from inside the hour that a change leaves out, or repeats, the trigger does
# not know of the tick before it; so the search begins before any such hour.
_CLOCK_CHANGE_S = 3 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One tick of a launch: `key` is unique within it."""

    key: str
    tick_at_s: float
    finish_by_s: float


def due_periods(launch: LaunchSettings, after_s: float, now_s: float) -> Iterator[Period]:
    """Periods whose tick lies in (after_s, now_s], oldest first, each once."""
    trigger = CronTrigger.from_crontab(launch.cron, timezone=ZoneInfo(launch.timezone))
    seen: set[str] = set()
    instant_s = after_s - _CLOCK_CHANGE_S
    # Steps are taken in UTC: adding a second to a local time inside the repeated hour can lead back into it for ever.
    while (tick := trigger.get_next_fire_time(None, datetime.fromtimestamp(instant_s, UTC))) is not None:
        tick_at_s = float(tick.timestamp())
        if tick_at_s > now_s:
            return
        key = tick.replace(tzinfo=None).isoformat(timespec="minutes")
        is_new = key not in seen
        seen.add(key)
        if is_new and tick_at_s > after_s:
            yield Period(key=key, tick_at_s=tick_at_s, finish_by_s=_finish_by_s(launch, tick))
        instant_s = max(tick_at_s, instant_s) + 1.0


def next_tick_at_s(launch: LaunchSettings, now_s: float) -> float | None:
    """The next tick after now; None for an expression that never comes again."""
    trigger = CronTrigger.from_crontab(launch.cron, timezone=ZoneInfo(launch.timezone))
    tick = trigger.get_next_fire_time(None, datetime.fromtimestamp(now_s, UTC) + timedelta(seconds=1))
    return None if tick is None else float(tick.timestamp())


def job_of(launch: LaunchSettings, period: Period, now_s: float) -> Job:
    """The job of one period. Its id names launch and period, so that it is the same whoever submits it.

    A period caught up so late that its work no longer fits gets the time it needs: late is better than never, and the
    plan says so.
    """
    earliest_s = max(period.tick_at_s, now_s)
    return Job(
        id=f"{launch.name}-{period.key.replace(':', '')}",
        kind=JobKind.FINE_TUNING,
        submitted_at_s=now_s,
        earliest_start_at_s=earliest_s,
        deadline_at_s=max(period.finish_by_s, earliest_s + launch.duration_s),
        duration_s=launch.duration_s,
        power_w=power_of_w(launch),
        gpus=launch.gpus,
        interruption=_interruption(launch),
        regions=launch.regions,
        label=launch.name,
        template=template_of(launch),
        power_profile=phases_of(launch),
        elastic=speeds_of(launch),
    )


def template_of(launch: LaunchSettings) -> str:
    """What a launch's jobs have for a template; the colon keeps clients from naming it."""
    return f"launch:{launch.name}"


def _interruption(launch: LaunchSettings) -> Interruption | None:
    if not launch.interruptible:
        return None
    return Interruption(checkpoint_s=launch.checkpoint_s, restore_s=launch.restore_s, min_run_s=launch.min_run_s)


def _finish_by_s(launch: LaunchSettings, tick: datetime) -> float:
    if launch.within_s is not None:
        return tick.timestamp() + launch.within_s
    hour, minute = (int(part) for part in launch.finish_by.split(":"))
    # Wall-clock arithmetic in the launch's own zone: "by 07:00" means 07:00 on either side of a change of clocks.
    finish = tick.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
    if finish.replace(tzinfo=None) <= tick.replace(tzinfo=None):
        finish = (finish.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=tick.tzinfo)
    return finish.timestamp()
