"""Regions, what is held back in them, their feeds, and what is planned for."""

from __future__ import annotations

from collections.abc import Iterator

from intensity_feeds.series import Signal
from intensity_feeds.synthetic import ARCHETYPES
from scheduler.config import Settings
from scheduler.config_checks.finding import Finding, nearest
from scheduler.objective_settings import unpriced
from scheduler.region_settings import FeedKind, FeedSettings, RegionSettings

# What the grid emits on average, or what one more kilowatt-hour would add: neither stands in for the other.
SIGNALS: dict[FeedKind, Signal] = {
    FeedKind.UK_CARBON: Signal.AVERAGE,
    FeedKind.ELECTRICITY_MAPS: Signal.AVERAGE,
    FeedKind.WATTTIME: Signal.MARGINAL,
    FeedKind.TRACE: Signal.AVERAGE,
    FeedKind.SYNTHETIC: Signal.AVERAGE,
}

# What a kind cannot work without.
NEEDED: dict[FeedKind, tuple[str, ...]] = {
    FeedKind.ELECTRICITY_MAPS: ("token_env",),
    FeedKind.WATTTIME: ("user_env", "password_env"),
    FeedKind.TRACE: ("file",),
}


def region_findings(settings: Settings) -> Iterator[Finding]:
    served = {worker.region for worker in settings.worker}
    fed = {zone for feed in settings.feed for zone in feed.zones}
    for index, region in enumerate(settings.region):
        if region.devices and len(set(region.devices)) != region.gpus:
            yield Finding(
                path=("region", index, "devices"),
                what=f"{len(set(region.devices))} different devices are named for {region.gpus} GPUs",
                hint="name each GPU once, or none",
            )
        yield from _held(index, region)
        if region.learn_interactive and region.name not in served:
            yield Finding(
                path=("region", index, "learn_interactive"),
                what=f"no [[worker]] stands in {region.name!r}: there is nothing to learn",
                hint="leave it out, or add the worker",
                is_warning=True,
            )
        if region.zone not in fed:
            yield Finding(
                path=("region", index, "zone"),
                what=f"no [[feed]] answers for zone {region.zone!r}; work there is planned as if it were flat",
                hint=nearest(region.zone, fed) or "add the zone to a feed",
                is_warning=True,
            )


def objective_findings(settings: Settings) -> Iterator[Finding]:
    weights, has_trace = settings.objective.weights, bool(settings.price.trace)
    counts_usd = any(one.usd is not None for one in settings.budget)
    for index, what, hint in unpriced(settings.region, weights, has_trace=has_trace, counts_usd=counts_usd):
        yield Finding(path=("region", index), what=what, hint=hint)


def _held(index: int, region: RegionSettings) -> Iterator[Finding]:
    if region.interactive_gpus > region.gpus:
        yield Finding(
            path=("region", index, "interactive_gpus"),
            what=f"interactive_gpus = {region.interactive_gpus} in a region of {region.gpus}",
            hint=f"write {region.gpus} or fewer",
        )
    wanted = [
        *(("reserved", place, rule.gpus) for place, rule in enumerate(region.reserved)),
        *(("maintenance", place, rule.gpus) for place, rule in enumerate(region.maintenance)),
    ]
    for key, place, gpus in wanted:
        if gpus is not None and gpus > region.gpus:
            yield Finding(
                path=("region", index, key, place, "gpus"),
                what=f"gpus = {gpus} in a region of {region.gpus}",
                hint=f"write {region.gpus} or fewer",
            )


def feed_findings(feeds: tuple[FeedSettings, ...]) -> Iterator[Finding]:
    first: dict[str, FeedKind] = {}
    for index, feed in enumerate(feeds):
        for key in NEEDED.get(feed.kind, ()):
            if not getattr(feed, key):
                yield Finding(path=("feed", index), what=f"a feed of kind {feed.kind.value!r} needs {key}")
        if feed.kind is FeedKind.SYNTHETIC and feed.archetype not in ARCHETYPES:
            yield Finding(
                path=("feed", index, "archetype"),
                what=f"no archetype {feed.archetype!r}; there are {', '.join(ARCHETYPES)}",
                hint=nearest(feed.archetype, ARCHETYPES),
            )
        for zone_index, zone in enumerate(feed.zones):
            before = first.setdefault(zone, feed.kind)
            if SIGNALS[before] is not SIGNALS[feed.kind]:
                yield Finding(
                    path=("feed", index, "zones", zone_index),
                    what=f"zone {zone!r} would mix {SIGNALS[before]} intensity ({before.value}) "
                    f"with {SIGNALS[feed.kind]} ({feed.kind.value})",
                    hint="give the zone feeds of one signal only",
                )
