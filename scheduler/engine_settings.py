"""Which inference engine a worker runs, as settings name it, and which of its orders it keeps.

Decides the words of the settings; what each engine's endpoints are called is scheduler/daemon/engines.py's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from scheduler.setting_values import STRICT


class EngineKind(StrEnum):
    """What answers at a worker's address."""

    OPENAI = "openai"  # anything with OpenAI's paths; told to sleep as vLLM is
    VLLM = "vllm"
    SGLANG = "sglang"
    TGI = "tgi"
    OLLAMA = "ollama"
    LLAMACPP = "llamacpp"


class PriorityOrder(StrEnum):
    """Which of two priorities an engine serves first."""

    NONE = "none"  # it keeps none, or is not started to
    LOWER_FIRST = "lower_first"  # vLLM with --scheduling-policy priority
    HIGHER_FIRST = "higher_first"  # SGLang with --enable-priority-scheduling
    ENGINE = "engine"  # as the engine named beside it does


# Source: the engines' documentation of their scheduling; the others keep one queue for all.
ENGINE_ORDERS = {
    EngineKind.VLLM: PriorityOrder.LOWER_FIRST,
    EngineKind.SGLANG: PriorityOrder.HIGHER_FIRST,
}
# They offer neither sleep nor a way to give the GPU's memory back while they run.
NEVER_SLEEP = frozenset({EngineKind.TGI, EngineKind.LLAMACPP})


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EngineSettings:
    """Keys of [[worker]] that say what runs there."""

    engine: Annotated[
        EngineKind, Field(description="What runs there: how its load is read, and how it is told to sleep.")
    ] = EngineKind.OPENAI
    resolve: Annotated[
        bool, Field(description="Count each address that the name in `url` has as a worker; looked up every 10 s.")
    ] = False
    priority: Annotated[
        PriorityOrder,
        Field(
            description="Tell the engine to serve deferred requests last: vLLM lower, SGLang higher, or by `engine`."
        ),
    ] = PriorityOrder.NONE


def priority_order(settings: EngineSettings) -> PriorityOrder:
    """The sign that the worker's engine reads; none where it keeps no priorities."""
    if settings.priority is PriorityOrder.ENGINE:
        return ENGINE_ORDERS.get(settings.engine, PriorityOrder.NONE)
    return settings.priority
