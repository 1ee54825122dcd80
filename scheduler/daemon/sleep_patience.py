"""How long there must be too many workers before one sleeps, where the settings do not say.

Decides by the energy of waking: a sleep pays once what the GPU saves is more than loading the model takes. That is
known where a worker is stopped by a command, since then nothing keeps the clocks up; what sleep calls leave of an
engine draws as much as before, and there is no such time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scheduler.shaping_settings import ConsolidationSettings
from scheduler.worker_settings import WorkerSettings
from shaping.consolidation import break_even_s
from shaping.profiles import gpu_profile

USUAL_PATIENCE_S = 60.0


def patience_of(settings: ConsolidationSettings, workers: Sequence[WorkerSettings], wake_s: float) -> float:
    """The patience of one pool; of unlike workers the longest. Raises ProfileError for an unknown GPU."""
    if settings.patience_s is not None:
        return settings.patience_s
    if not all(one.stop_command for one in workers):
        return USUAL_PATIENCE_S
    longest_s = max((_break_even_s(one.gpu, wake_s) for one in workers), default=math.inf)
    return longest_s if math.isfinite(longest_s) else USUAL_PATIENCE_S


def _break_even_s(gpu: str, wake_s: float) -> float:
    """Loading draws what a GPU without a process does: 71 W beside 71.8 on an H100. Source: energy_model 2.3."""
    profile = gpu_profile(gpu)
    return break_even_s(profile.bare_idle_w, wake_s, profile.context_idle_w, profile.bare_idle_w)
