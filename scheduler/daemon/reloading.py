"""Takes new settings up in a daemon that runs: all of them or none. What can change is settings_change.py's to say.

Whatever may fail is done first, beside the requests; what follows is one turn of the event loop, so no request sees
half of it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.config import Settings
from scheduler.daemon.feeds import Intensity, secret_variables
from scheduler.daemon.recipes import BatchEstimates
from scheduler.daemon.worker_profiles import worker_deployment
from scheduler.keys import bootstrap_key
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


async def take_up(daemon: Daemon, after: Settings, environment: Mapping[str, str], folder: Path) -> None:
    """Raises FixedSettingsError, TraceError, CalibrationFileError; then everything is as it was."""
    before, env = daemon.settings, daemon.env
    if keys := fixed_changes(before, after):
        raise FixedSettingsError(keys)
    await env.in_thread(_read_profiles, after)
    source = None
    if before.feed != after.feed:
        source = await env.in_thread(Intensity.of, after, environment, folder / "intensity", env, daemon.metrics)
    daemon.settings = after
    daemon.gateway.take_up(daemon.resolver.spread(after))
    daemon.quotas.take_up(limits_of(after.tenant))
    daemon.cookbook.take_up(after)
    daemon.api.settings = daemon.fine_tuning.settings = after
    daemon.api.estimate = BatchEstimates(after)
    daemon.status.workers = len(after.worker)
    daemon.sights.take_up(after)
    daemon.guard.keyring.name(bootstrap_key(digest) for digest in after.server.keys_sha256)
    daemon.launcher.withheld |= secret_variables(after)
    daemon.capacity.take_up(after.region, after.worker)
    if source is not None:
        daemon.poller.source = source
    daemon.look_again()
    log.info("settings reloaded", extra={"action": "settings_reloaded", "workers": len(after.worker)})


def _read_profiles(settings: Settings) -> None:
    """Have every file of a calibration read before anything depends on it."""
    for worker in settings.worker:
        try:
            worker_deployment(worker)
        except ProfileError:  # energy nobody knows, as at a start
            continue
