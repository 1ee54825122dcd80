"""What gateway and batches ask of the grid: when work should go, and what a region emits now.

Decides nothing: deferral.py finds the hour, the poller has the forecasts. Under the policy `run_now` nothing waits.
"""

from __future__ import annotations

from intensity_feeds.series import IntensitySeries
from scheduler.config import Settings
from scheduler.daemon.poller import Poller
from scheduler.deferral import fluid_release_at_s, release_at_s


class CleanHours:
    """By the zones and the policy of the settings, which only a start changes."""

    def __init__(self, settings: Settings, poller: Poller) -> None:
        self._zones = {region.name: region.zone for region in settings.region}
        self._waits, self._poller = settings.planning.policy != "run_now", poller

    def grid_of(self, region: str) -> IntensitySeries | None:
        """What is known of a region's grid."""
        return self._poller.forecasts().get(self._zones[region])

    def intensity_gco2e_per_kwh(self, region: str, now_s: float) -> float | None:
        """What the grid of a region emits now; None where nobody knows."""
        series = self.grid_of(region)
        return series.at(now_s) if series is not None and series.covers(now_s, now_s + 1.0) else None

    def release_at_s(self, region: str, now_s: float, duration_s: float, release_by_s: float) -> float:
        """When a deferrable request should go."""
        return release_at_s(self.grid_of(region), now_s, duration_s, release_by_s) if self._waits else now_s

    def batch_release_at_s(self, region: str, now_s: float, duration_s: float, release_by_s: float) -> float:
        """When lines that can be left off and begun again should go."""
        return fluid_release_at_s(self.grid_of(region), now_s, duration_s, release_by_s) if self._waits else now_s
