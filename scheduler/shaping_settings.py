"""How requests are held, which workers stay awake for them, and who reads their prompts, as settings write it.

[shaping], [consolidation] and [hand_over]. The rules themselves are the shaping package's.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.setting_values import STRICT, Duration
from shaping.phases import Objective
from shaping.policy import Holding, ShapingPolicy


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HoldSettings:
    """How requests are held for company: the same for a daemon and for a what-if, which name the rule itself."""

    interactive_hold_s: Annotated[
        Duration, Field(description="Longest hold of an interactive request to form a denser batch.")
    ] = 0.02
    min_group: Annotated[int, Field(ge=1, description="Group size worth releasing before the hold is over.")] = 8
    max_delay_s: Annotated[Duration, Field(description="Rule window: longest wait of the first of a batch.")] = 0.05
    max_batch: Annotated[
        int | None, Field(ge=1, description="Rule window: batch that goes at once; unset: only the delay counts.")
    ] = None
    pace_gap_s: Annotated[Duration, Field(description="Rule paced: time between two requests.")] = 0.05
    latency_price_gco2e_per_h: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="Rule adaptive: grams worth saving for an hour that one interactive request waits; "
            "a tenth of it for flex, a hundredth for batch.",
        ),
    ] = 0.3
    first_token_budget_s: Annotated[
        Duration | None,
        Field(gt=0, description="Longest that prompts of deferred requests keep the next from its first token."),
    ] = None
    length_lanes: Annotated[
        bool, Field(description="Group requests whose outputs, by their `max_tokens`, are about as long.")
    ] = False

    def held_by(self, rule: Holding) -> ShapingPolicy:
        """The same in the shaper's words."""
        return ShapingPolicy(
            interactive_hold_s=self.interactive_hold_s,
            min_group=self.min_group,
            max_group=self.max_batch,
            holding=rule,
            max_delay_s=self.max_delay_s,
            pace_gap_s=self.pace_gap_s,
            latency_price_gco2e_per_h=self.latency_price_gco2e_per_h,
            has_length_lanes=self.length_lanes,
            first_token_budget_s=self.first_token_budget_s,
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ShapingSettings(HoldSettings):
    """[shaping]: how long requests may be held, and for what."""

    policy: Annotated[Holding, Field(description="Rule by which requests are held for company, see shaping.md.")] = (
        Holding.GROUP
    )
    flex_deadline_s: Annotated[Duration, Field(description="Deadline of a flex request that names none.")] = 540.0
    flex_margin_s: Annotated[Duration, Field(description="Time kept free before a flex deadline, beyond service.")] = (
        5.0
    )
    max_held: Annotated[int, Field(ge=1, description="Requests held at once; more are answered 429.")] = 10_000

    @property
    def hold_policy(self) -> ShapingPolicy:
        return self.held_by(self.policy)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ConsolidationSettings:
    """[consolidation]: whether workers without work sleep, and how many stay awake."""

    enabled: Annotated[bool, Field(description="Put workers to sleep at low load; each must serve one model only.")] = (
        False
    )
    min_awake: Annotated[
        int, Field(ge=0, description="Workers of each model that never sleep; 0 lets the first request wait.")
    ] = 1
    headroom_ratio: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="Places kept free, as a share of those in use.")
    ] = 0.25
    wake_s: Annotated[Duration, Field(description="Time from the order to the first request, with reserve.")] = 30.0
    patience_s: Annotated[
        Duration | None,
        Field(
            description="How long there must be too many before one sleeps; if left out 1 min, or where all are "
            "stopped by command the time after which a sleep pays for waking."
        ),
    ] = None
    stay_s: Annotated[
        Duration, Field(description="Turn of a busy worker on shared GPUs, where others cannot wait for a swap anyway.")
    ] = 30.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HandOverSettings:
    """[hand_over]: when a prompt is read by a worker with `role = "prefill"` for one with `role = "decode"`."""

    objective: Annotated[
        Objective, Field(description="What the place of a prompt is to spare: latency, energy or energy_delay.")
    ] = Objective.ENERGY
    link_bytes_per_s: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="Rate at which KV caches go from worker to worker.")
    ] = 25e9
    link_j_per_byte: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="Energy of the way, by byte of KV cache.")
    ] = 1e-9
    link_setup_s: Annotated[Duration, Field(description="Time that a hand-over takes beside, the second call too.")] = (
        0.005
    )
