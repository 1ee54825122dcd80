"""What the daemon may start: [[template]], [[launch]] and [[fine_tuning]] of the settings. Starts nothing."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.setting_values import STRICT, Duration, Power
from scheduler.work_settings import ShapeSettings


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TemplateSettings:
    """[[template]]: a command that jobs submitted over HTTP may name; {placeholders} are filled from the job."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", description="Name that jobs refer to.")]
    command: Annotated[tuple[str, ...], Field(min_length=1, description="Argument list; never a shell line.")]
    cwd: Annotated[str, Field(description="Working directory; empty: the job's own folder.")] = ""
    env: Annotated[dict[str, str], Field(description="Environment added to the daemon's own.")] = field(
        default_factory=dict
    )
    grace_s: Annotated[Duration, Field(description="Time between SIGTERM and SIGKILL.")] = 30.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HyperparameterSettings:
    """[fine_tuning.hyperparameters.NAME]: a number that clients may set, and its placeholder in the template."""

    default: Annotated[float, Field(allow_inf_nan=False, description='Value for "auto", and where none is given.')]
    low: Annotated[float, Field(allow_inf_nan=False, description="Smallest value allowed.")] = 0.0
    high: Annotated[float, Field(allow_inf_nan=False, description="Largest value allowed.")] = 1e9
    is_whole: Annotated[bool, Field(description="Whole numbers only.")] = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FineTuningSettings(ShapeSettings):
    """[[fine_tuning]]: a model that clients of /v1/fine_tuning/jobs may train, and what that takes."""

    model: Annotated[str, Field(min_length=1, description="Name by which clients ask for it.")]
    template: Annotated[str, Field(min_length=1, description="The template that trains it; see fine-tuning.md.")]
    duration_s: Annotated[Duration, Field(gt=0, description="Expected run time.")]
    within_s: Annotated[Duration, Field(gt=0, description="Finish this long after the call at the latest.")] = 86400.0
    gpus: Annotated[int, Field(ge=0, description="GPUs it holds.")] = 1
    power_w: Annotated[Power, Field(description="IT power while it runs, of all GPUs and their host share.")] = 700.0
    interruptible: Annotated[bool, Field(description="May be paused (SIGTERM, checkpoint) and started again.")] = False
    checkpoint_s: Annotated[Duration, Field(description="Time to write a checkpoint.")] = 0.0
    restore_s: Annotated[Duration, Field(description="Time to load one.")] = 0.0
    min_run_s: Annotated[Duration, Field(description="Shortest piece worth running, without its overheads.")] = 0.0
    regions: Annotated[tuple[str, ...], Field(description="Where it may run; empty: anywhere.")] = ()
    hyperparameters: Annotated[
        dict[str, HyperparameterSettings], Field(description="What clients may set, by name.")
    ] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LaunchSettings(ShapeSettings):
    """[[launch]]: a training or other command that recurs."""

    # It begins the ids of its jobs, and with them the names of their runs.
    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Name; with the local time it is the period."),
    ]
    cron: Annotated[str, Field(description="Cron expression of five fields: the earliest start of each period.")]
    command: Annotated[tuple[str, ...], Field(min_length=1, description="Argument list; never a shell line.")]
    duration_s: Annotated[Duration, Field(gt=0, description="Expected run time.")]
    timezone: Annotated[str, Field(description="IANA time zone of the cron expression.")] = "UTC"
    within_s: Annotated[Duration | None, Field(description="Finish this long after the tick at the latest.")] = None
    finish_by: Annotated[
        str, Field(pattern=r"^(\d{2}:\d{2})?$", description="Local time of day to finish by, HH:MM; or use within_s.")
    ] = ""
    gpus: Annotated[int, Field(ge=0, description="GPUs it holds.")] = 1
    power_w: Annotated[Power, Field(description="IT power while it runs, of all GPUs and their host share.")] = 700.0
    interruptible: Annotated[bool, Field(description="May be paused (SIGTERM, checkpoint) and started again.")] = False
    checkpoint_s: Annotated[Duration, Field(description="Time to write a checkpoint.")] = 0.0
    restore_s: Annotated[Duration, Field(description="Time to load one.")] = 0.0
    min_run_s: Annotated[Duration, Field(description="Shortest piece worth running, without its overheads.")] = 0.0
    regions: Annotated[tuple[str, ...], Field(description="Where it may run; empty: anywhere.")] = ()
    cwd: Annotated[str, Field(description="Working directory; empty: the run's own folder.")] = ""
    env: Annotated[dict[str, str], Field(description="Environment added to the daemon's own.")] = field(
        default_factory=dict
    )
    grace_s: Annotated[Duration, Field(description="Time between SIGTERM and SIGKILL.")] = 30.0
    catch_up_s: Annotated[Duration, Field(description="How late a missed tick is still launched.")] = 3600.0
