"""Which worker gets a request, as the gateway chooses it: by load, and among about equal ones by what it sent them.

Knows what was sent where, not what a worker's cache really holds.
"""

from __future__ import annotations

from collections.abc import Sequence

from shaping.prefixes import Prefix, PrefixIndex, load_slack, preferred
from simulations.workers import WorkerLimits


class Followed:
    """The prefixes that each worker of a pool was sent."""

    def __init__(self, workers: int, limits: WorkerLimits) -> None:
        blocks = int(limits.kv_tokens // limits.prefix_block_tokens)
        self._sent = [PrefixIndex(blocks) for _ in range(workers)]
        self._slack = load_slack(limits.sequences)

    def place(self, prefix: Prefix, loads_requests: Sequence[float]) -> int:
        """The worker of a request. With all of them infinite it is the first one."""
        known = [sent.known(prefix) for sent in self._sent]
        place = preferred(loads_requests, [self._slack] * len(loads_requests), known) or 0
        self._sent[place].touch(prefix)
        return place
