"""Takes new settings up in a daemon that runs: all of them or none. What can change is settings_change.py's to say.

Whatever may fail is done first, beside the requests; what follows is one turn of the event loop, so no request sees
half of it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.budget_settings import budgets_of
from scheduler.config import Settings
from scheduler.daemon.feeds import Intensity, secret_variables
from scheduler.daemon.model_routing import Judge, read_judges
from scheduler.daemon.prices import PriceFile
from scheduler.daemon.recipes import BatchEstimates
from scheduler.daemon.worker_profiles import worker_deployment
from scheduler.keys import bootstrap_key
from scheduler.planning.weighed.spending import Spending
from scheduler.quota_settings import limits_of
from scheduler.settings_change import fixed_changes
from shaping.energy import ProfileError

if TYPE_CHECKING:
    from scheduler.daemon.app import Daemon

log = logging.getLogger(__name__)


class FixedSettingsError(Exception):
    """Settings that differ in what only a start takes up; `keys` are all of them."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys
        super().__init__(f"{', '.join(keys)}: only a start takes this up")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """All that had to be read for new settings, and might not have been; None for what stays."""

    judges: Mapping[str, Judge]
    source: Intensity | None
    prices: PriceFile
    spending: Spending | None


async def take_up(daemon: Daemon, after: Settings, environment: Mapping[str, str], folder: Path) -> None:
    """Raises FixedSettingsError, TraceError, CalibrationFileError, CertificateError, ModelPoolError, StoreBusyError;
    then everything is as it was.
    """
    if keys := fixed_changes(daemon.settings, after):
        raise FixedSettingsError(keys)
    _put_in_force(daemon, after, await _prepared(daemon, after, environment, folder))
    log.info("settings reloaded", extra={"action": "settings_reloaded", "workers": len(after.worker)})


async def _prepared(daemon: Daemon, after: Settings, environment: Mapping[str, str], folder: Path) -> _Prepared:
    before, env = daemon.settings, daemon.env
    await env.in_thread(_read_profiles, after)
    judges = await env.in_thread(read_judges, after.model_pool, after.worker)
    source = None
    if _asked_of_feeds(before) != _asked_of_feeds(after):
        source = await env.in_thread(Intensity.of, after, environment, folder / "intensity", env, daemon.metrics)
    prices = daemon.prices
    if not prices.is_of(after.price.trace, after.region):
        prices = PriceFile(env, after.price.trace, after.region)
        await prices.first()
    spending = None
    if before.budget != after.budget:  # the last: what is booked after it has no other turn to be counted in
        spending = await daemon.budgets.spent_for(budgets_of(after.budget), daemon.accounts, daemon.reads)
    if daemon.listener.certificate is not None:  # the same files, of which others may have been put in their place
        daemon.listener.certificate.renew()
    return _Prepared(judges=judges, source=source, prices=prices, spending=spending)


def _put_in_force(daemon: Daemon, after: Settings, prepared: _Prepared) -> None:
    """Without a turn of the event loop in between, and without anything that may fail."""
    daemon.settings = after
    daemon.gateway.take_up(daemon.resolver.spread(after), prepared.judges)
    daemon.quotas.take_up(limits_of(after.tenant))
    daemon.cookbook.take_up(after)
    daemon.cron.take_up(after.launch)
    daemon.past.take_up(after.planning.duration_quantile_ratio)
    daemon.api.settings = daemon.fine_tuning.settings = after
    daemon.api.estimate = BatchEstimates(after)
    daemon.status.workers = len(after.worker)
    daemon.sights.take_up(after)
    daemon.guard.keyring.name(bootstrap_key(digest) for digest in after.server.keys_sha256)
    daemon.launcher.withheld |= secret_variables(after)
    daemon.capacity.take_up(after.region, after.worker, after.planning.interactive_quantile_ratio)
    if prepared.source is not None:
        daemon.poller.source = prepared.source
    if prepared.spending is not None:
        daemon.budgets.take_up(budgets_of(after.budget), prepared.spending)
        daemon.wanted.budgets.set()
    daemon.prices = prepared.prices
    daemon.price_by(prepared.prices.known)
    daemon.look_again()


def _asked_of_feeds(settings: Settings) -> object:
    return settings.feed, settings.planning.correct_forecasts


def _read_profiles(settings: Settings) -> None:
    """Have every file of a calibration read before anything depends on it."""
    for worker in settings.worker:
        try:
            worker_deployment(worker)
        except ProfileError:  # energy nobody knows, as at a start
            continue
