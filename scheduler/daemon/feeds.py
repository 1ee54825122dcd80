"""The feeds of the settings, built once at start. Secrets come from the environment and stay in the clients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from intensity_feeds.cache import IntensityCache
from intensity_feeds.electricity_maps import HOST as ELECTRICITY_MAPS_HOST
from intensity_feeds.electricity_maps import ElectricityMaps
from intensity_feeds.fallback import Ladder, Outcome
from intensity_feeds.feed import Answer, Feed
from intensity_feeds.forecast_memory import ForecastMemory
from intensity_feeds.rungs import LadderRules
from intensity_feeds.series import IntensitySeries
from intensity_feeds.synthetic import SyntheticFeed
from intensity_feeds.trace import TraceFeed, read_trace
from intensity_feeds.uk_carbon import HOST as UK_CARBON_HOST
from intensity_feeds.uk_carbon import UKCarbon
from intensity_feeds.watttime import HOST as WATTTIME_HOST
from intensity_feeds.watttime import WattTime
from scheduler.config import Settings
from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.region_settings import FeedKind, FeedSettings

# What has just come is what a forecast is corrected by; one call in twelve asks for it.
_HISTORY_EVERY_S = 3600.0


def feed_of(settings: FeedSettings, environment: Mapping[str, str]) -> Feed:
    """One feed. Raises TraceError for a trace that cannot be read."""
    match settings.kind:
        case FeedKind.UK_CARBON:
            return UKCarbon(base_url=settings.base_url or UK_CARBON_HOST, timeout_s=settings.timeout_s)
        case FeedKind.ELECTRICITY_MAPS:
            return ElectricityMaps(
                environment.get(settings.token_env, ""),
                base_url=settings.base_url or ELECTRICITY_MAPS_HOST,
                timeout_s=settings.timeout_s,
            )
        case FeedKind.WATTTIME:
            return WattTime(
                environment.get(settings.user_env, ""),
                environment.get(settings.password_env, ""),
                base_url=settings.base_url or WATTTIME_HOST,
                timeout_s=settings.timeout_s,
            )
        case FeedKind.TRACE:
            return TraceFeed(read_trace(Path(settings.file).expanduser(), settings.zones))
        case FeedKind.SYNTHETIC:
            return SyntheticFeed(dict.fromkeys(settings.zones, settings.archetype))


def secret_variables(settings: Settings) -> frozenset[str]:
    """Names of the environment variables that hold credentials of feeds and tokens of agents."""
    names = {name for feed in settings.feed for name in (feed.token_env, feed.user_env, feed.password_env)}
    names |= {agent.token_env for agent in settings.agent}
    return frozenset(names - {""})


class Intensity:
    """The ladder of all zones, as the poller asks for it."""

    def __init__(self, ladder: Ladder, env: Env) -> None:
        self._ladder, self._env = ladder, env

    @classmethod
    def of(
        cls, settings: Settings, environment: Mapping[str, str], folder: Path, env: Env, metrics: Metrics
    ) -> Intensity:
        """Reads traces and opens the cache: slow, so not on the event loop."""
        by_zone: dict[str, list[Feed]] = {}
        for one in settings.feed:
            feed = feed_of(one, environment)
            for zone in one.zones:
                by_zone.setdefault(zone, []).append(feed)

        def count(outcome: Outcome) -> None:
            metrics.feed_outcome(outcome.feed, outcome.name)

        corrects = settings.planning.correct_forecasts
        rules = LadderRules(history_every_s=_HISTORY_EVERY_S) if corrects else LadderRules()
        memory = ForecastMemory(folder, corrects=corrects, on_scored=metrics.forecast_errors)
        return cls(Ladder(by_zone, IntensityCache(folder), rules=rules, on_outcome=count, memory=memory), env)

    def answer(self, zone: str, now_s: float, horizon_s: float) -> Answer | None:
        return self._ladder.answer(zone, now_s, horizon_s)

    def history(self, zone: str, start_at_s: float, end_at_s: float) -> IntensitySeries | None:
        return self._ladder.history(zone, start_at_s, end_at_s, self._env.now_s())
