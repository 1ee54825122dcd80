"""What `--power-profile` and `--elastic` mean, as options of one job and as columns of a file of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slacktide.file_places import rows_of, wrong_at
from slacktide.plan_options import read_option
from slacktide.terminal import UsageProblem

if TYPE_CHECKING:
    from scheduler.planning.one_job.elastic import Scaling
    from scheduler.planning.one_job.power_profile import Phase


def phases_of(text: str) -> list[Phase]:
    """`10m:3kW,2h:10kW`. Raises UsageProblem."""
    from scheduler.planning.one_job.power_profile import Phase
    from slacktide.bounded import bounded_duration_s, bounded_power_w

    phases = []
    for part in text.split(","):
        duration, colon, power = part.partition(":")
        if not colon:
            raise UsageProblem(
                f"--power-profile: {part!r} is no phase", "write DURATION:POWER, such as 10m:3kW,2h:10kW"
            )
        phase = Phase(
            duration_s=read_option("--power-profile", bounded_duration_s, duration),
            power_w=read_option("--power-profile", bounded_power_w, power),
        )
        if not phase.duration_s > 0:
            raise UsageProblem(f"--power-profile: {part!r} takes no time", "leave the phase out")
        phases.append(phase)
    return phases


def scaling_of(text: str) -> Scaling:
    """`1:1,2:1.8,4:3`, or the path of a CSV file with the columns gpus and speed. Raises UsageProblem."""
    from scheduler.planning.one_job.elastic import InvalidScalingError, Scaling

    pairs = _pairs_of(text) if ":" in text and not text.lower().endswith(".csv") else _pairs_in(Path(text))
    try:
        return Scaling(speeds=tuple(sorted(pairs)))
    except InvalidScalingError as problem:
        raise UsageProblem(f"--elastic: the curve {problem.what}", "write GPUs:speed, such as 1:1,2:1.8,4:3") from None


def _pairs_of(text: str) -> list[tuple[int, float]]:
    try:
        return [(int(gpus), float(speed)) for gpus, speed in (part.split(":") for part in text.split(","))]
    except ValueError:
        raise UsageProblem(
            f"--elastic: {text!r} is no list of GPUs and speeds", "write, for instance, 1:1,2:1.8,4:3, or name a .csv"
        ) from None


def _pairs_in(path: Path) -> list[tuple[int, float]]:
    rows = rows_of(path, "--elastic")
    _, header = next(rows, (1, []))
    pairs = []
    for number, cells in rows:
        if not cells:
            continue
        row = dict(zip(header, cells, strict=False))
        try:
            pairs.append((int(row["gpus"]), float(row["speed"])))
        except (KeyError, ValueError):
            what = "needs a whole number under gpus and a number under speed"
            raise wrong_at(path, number, 1, what, "the first line is gpus,speed") from None
    return pairs
