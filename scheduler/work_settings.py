"""What [[launch]] and [[fine_tuning]] say alike of the power and the GPUs of a run, in the words of submitted jobs.

Decides what goes together and what a job is made of; the schedule and the command are launch_settings.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Protocol

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from scheduler.gpu_speeds import parse_speeds
from scheduler.jobs import Phase
from scheduler.power_profiles import mean_w, parse_power_profile, whole_s
from scheduler.quantities import QuantityError, format_duration
from scheduler.setting_values import STRICT

_SAME_S = 0.5


def _profile_text(value: str) -> str:
    return _checked(value, parse_power_profile)


def _speeds_text(value: str) -> str:
    return _checked(value, parse_speeds)


def _checked(value: str, parse: Callable[[str], object]) -> str:
    try:
        if value:
            parse(value)
    except (QuantityError, OverflowError) as error:
        raise ValueError(str(error)) from None
    return value


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ShapeSettings:
    """How the power of a run changes, or on how many GPUs it may run."""

    power_profile: Annotated[
        str,
        AfterValidator(_profile_text),
        Field(
            description="Power along the run, as long as duration_s together, such as 10m:200W,2h:2.8kW; "
            "power_w is not read then. Empty: constant."
        ),
    ] = ""
    elastic: Annotated[
        str,
        AfterValidator(_speeds_text),
        Field(description="Speeds on other numbers of GPUs, `gpus` among them, such as 1:1,2:1.8,4:3; empty: fixed."),
    ] = ""


class Shaped(Protocol):
    """A launch or a fine-tuning of the settings."""

    @property
    def duration_s(self) -> float: ...
    @property
    def power_w(self) -> float: ...
    @property
    def gpus(self) -> int: ...
    @property
    def interruptible(self) -> bool: ...
    @property
    def power_profile(self) -> str: ...
    @property
    def elastic(self) -> str: ...


def phases_of(work: Shaped) -> tuple[Phase, ...]:
    """Of work whose power changes along its run; empty for any other."""
    return parse_power_profile(work.power_profile) if work.power_profile else ()


def speeds_of(work: Shaped) -> tuple[tuple[int, float], ...]:
    """Of work on more or fewer GPUs; empty for any other."""
    return parse_speeds(work.elastic) if work.elastic else ()


def power_of_w(work: Shaped) -> float:
    """On average over the run."""
    return mean_w(phases_of(work)) if work.power_profile else work.power_w


def most_power_w(work: Shaped) -> float:
    """At its highest."""
    return max((phase.power_w for phase in phases_of(work)), default=work.power_w)


def shape_mistakes(work: Shaped) -> Iterator[tuple[str, str, str]]:
    """What does not go together: the key, what is wrong and the remedy."""
    if work.power_profile:
        lasts_s = whole_s(phases_of(work))
        if abs(lasts_s - work.duration_s) > _SAME_S:
            told = f"lasts {format_duration(lasts_s)}, and duration_s says {format_duration(work.duration_s)}"
            yield "power_profile", told, f'write duration_s = "{lasts_s:g}s"'
        if work.interruptible:
            yield "power_profile", "a job whose power changes runs in one piece", "leave out interruptible"
        if work.elastic:
            yield "elastic", "goes not with power_profile: phases are of one number of GPUs", "leave one of them out"
    if work.elastic and work.gpus not in dict(speeds_of(work)):
        told = ", ".join(f"{gpus}" for gpus, _ in speeds_of(work))
        yield "elastic", f"gpus = {work.gpus} has no speed in it", f"write one of {told} for gpus, or add its speed"
