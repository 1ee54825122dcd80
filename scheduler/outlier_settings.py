"""When a worker that is worse than its peers rests, as settings say it. The rule itself is daemon/outliers.py's."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.setting_values import STRICT, Duration


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OutlierSettings:
    """[outliers]: when a worker that answers, but worse than its peers, is given a rest."""

    enabled: Annotated[bool, Field(description="Rest workers that fail more or are slower than others.")] = True
    error_ratio: Annotated[
        float, Field(gt=0, le=1, description="Least share of failed calls, and twice that of its peers.")
    ] = 0.2
    slower_ratio: Annotated[
        float, Field(gt=1, allow_inf_nan=False, description="Mean time to answer beside that of peers on like GPUs.")
    ] = 4.0
    min_calls: Annotated[int, Field(ge=5, description="Calls of about the last minute before a worker is judged.")] = 20
    max_resting_ratio: Annotated[
        float, Field(ge=0, le=1, description="Largest share of a model's workers that rest for this at once.")
    ] = 0.5
    rest_s: Annotated[
        Duration,
        Field(gt=0, description="First rest; each further one is twice as long, up to ten times."),
    ] = 30.0
