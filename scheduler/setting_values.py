"""How values are written in settings: a duration or a power as text with its unit, and no key that nobody knows."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from scheduler.quantities import parse_duration_s, parse_power_w

STRICT = ConfigDict(extra="forbid")


def _duration(value: object) -> object:
    return parse_duration_s(value) if isinstance(value, str) else value


def _power(value: object) -> object:
    return parse_power_w(value) if isinstance(value, str) else value


# In the file "90s", "4h", "10kW"; in the code seconds and watts.
Duration = Annotated[float, BeforeValidator(_duration), Field(ge=0, allow_inf_nan=False)]
Power = Annotated[float, BeforeValidator(_power), Field(ge=0, allow_inf_nan=False)]
