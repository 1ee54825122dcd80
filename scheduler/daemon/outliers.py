"""Which worker is worse than its peers: the share of calls that fail, or the time it takes to answer.

Pure: calls come in as they end, time as an argument in real seconds that never jump. A worker that does not answer at
all is not this module's: three failures in a row rest it at once (workers.py). Where all are bad nobody is an outlier.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

from scheduler.outlier_settings import OutlierSettings
from scheduler.worker_settings import WorkerSettings

# Of what is remembered; a minute ago counts for a third.
_MEMORY_S = 60.0
_LONGEST_REST_RATIO = 10.0
_WORSE_THAN_PEERS_RATIO = 2.0
# Between fast answers a factor says nothing.
_LEAST_EXCESS_S = 0.1
_LOOK_EVERY_S = 1.0


class Fault(StrEnum):
    """What a worker does worse than its peers."""

    ERRORS = "errors"
    SLOW = "slow"


@dataclass(slots=True)
class _Mean:
    """Of times; what is older counts for less."""

    calls: float = 0.0  # unit: calls, faded
    total_s: float = 0.0

    def add(self, took_s: float) -> None:
        self.calls += 1
        self.total_s += took_s

    def fade(self, by_ratio: float) -> None:
        self.calls *= by_ratio
        self.total_s *= by_ratio

    @property
    def mean_s(self) -> float:
        return self.total_s / self.calls


@dataclass(slots=True)
class RecentCalls:
    """What the calls of one worker came to lately, and its rests."""

    calls: float = 0.0
    failed_calls: float = 0.0
    whole: _Mean = field(default_factory=_Mean)  # plain answers, to their end
    first: _Mean = field(default_factory=_Mean)  # streams, to their first bytes
    rests_until_s: float = 0.0
    next_rest_ratio: float = 1.0
    looked_at_s: float = -math.inf
    _seen_at_s: float = 0.0

    def ended(self, now_s: float, *, is_failed: bool) -> None:
        self.fade_to(now_s)
        self.calls += 1
        self.failed_calls += is_failed

    def fade_to(self, now_s: float) -> None:
        by_ratio = math.exp(-max(0.0, now_s - self._seen_at_s) / _MEMORY_S)
        self.calls *= by_ratio
        self.failed_calls *= by_ratio
        self.whole.fade(by_ratio)
        self.first.fade(by_ratio)
        self._seen_at_s = now_s

    @property
    def error_ratio(self) -> float:
        return self.failed_calls / self.calls if self.calls else 0.0

    def rest(self, now_s: float, first_rest_s: float) -> float:
        """Begin a rest, after which it is judged by what it does then; its length."""
        rest_s = first_rest_s * self.next_rest_ratio
        self.rests_until_s = now_s + rest_s
        self.next_rest_ratio = min(_LONGEST_REST_RATIO, 2 * self.next_rest_ratio)
        self.calls = self.failed_calls = 0.0
        self.whole, self.first = _Mean(), _Mean()
        return rest_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A worker as it is judged."""

    settings: WorkerSettings
    recent: RecentCalls
    is_up: bool


def fault_of(one: Peer, others: Sequence[Peer], rules: OutlierSettings, now_s: float) -> Fault | None:
    """What it does worse than the others of its model; None too where it has to go on because of them."""
    recent = one.recent
    if not rules.enabled or now_s - recent.looked_at_s < _LOOK_EVERY_S or recent.calls < rules.min_calls:
        return None
    recent.looked_at_s = now_s
    for other in others:
        other.recent.fade_to(now_s)
    fault = _fault(one, others, rules)
    if fault is None:
        recent.next_rest_ratio = 1.0
    resting = sum(other.recent.rests_until_s > now_s for other in others)
    may_rest = resting + 1 <= rules.max_resting_ratio * (len(others) + 1) and any(other.is_up for other in others)
    return fault if may_rest else None


def _fault(one: Peer, others: Sequence[Peer], rules: OutlierSettings) -> Fault | None:
    calls = sum(other.recent.calls for other in others)
    if calls >= rules.min_calls and one.recent.error_ratio >= rules.error_ratio:
        theirs_ratio = sum(other.recent.failed_calls for other in others) / calls
        if one.recent.error_ratio >= _WORSE_THAN_PEERS_RATIO * theirs_ratio:
            return Fault.ERRORS
    alike = [other.recent for other in others if _hardware(other.settings) == _hardware(one.settings)]
    for times in (_whole, _first):
        if _is_slow(times(one.recent), [times(other) for other in alike], rules):
            return Fault.SLOW
    return None


def _whole(recent: RecentCalls) -> _Mean:
    return recent.whole


def _first(recent: RecentCalls) -> _Mean:
    return recent.first


def _is_slow(mine: _Mean, theirs: Sequence[_Mean], rules: OutlierSettings) -> bool:
    known = [other.mean_s for other in theirs if other.calls >= rules.min_calls]
    if mine.calls < rules.min_calls or not known:
        return False
    usual_s = median(known)
    return mine.mean_s >= max(rules.slower_ratio * usual_s, usual_s + _LEAST_EXCESS_S)


def _hardware(settings: WorkerSettings) -> tuple[str, int]:
    return settings.gpu, settings.gpus
