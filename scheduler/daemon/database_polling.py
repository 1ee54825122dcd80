"""Looks at the database again and again: keys that another daemon has made or ended, and how many jobs stand where.

A database that is busy is asked again the next time; what is known until then is some seconds old.
"""

from __future__ import annotations

import logging

from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.keys import Keyring
from scheduler.store.contract import Reads, StoreBusyError

log = logging.getLogger(__name__)

_KEYS_S = 5.0  # real, as those below
_COUNT_S = 5.0


async def learn_keys(env: Env, reads: Reads, keyring: Keyring) -> None:
    """Until cancelled; the first look is the caller's, before anybody is let in."""
    while True:
        await env.sleep_s(_KEYS_S * env.speed)
        try:
            keyring.learn(await env.in_thread(reads.keys))
        except StoreBusyError as error:
            log.warning("keys not read", extra={"action": "keys_unread", "why": str(error)})


async def count_jobs(env: Env, reads: Reads, metrics: Metrics) -> None:
    """Until cancelled."""
    while True:
        try:
            for state, count in (await env.in_thread(reads.count_by_state)).items():
                metrics.jobs(state, count)
        except StoreBusyError as error:
            log.warning("jobs not counted", extra={"action": "count_failed", "why": str(error)})
        await env.sleep_s(_COUNT_S * env.speed)
